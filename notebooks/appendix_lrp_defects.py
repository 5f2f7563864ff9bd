# %% [markdown]
# # Appendix: three defects of the published code, and what each does to omega
#
# The paper's relevances come from code that differs from the method it describes in three places. This
# book's engine is right by default and re-creates the code on request, `lrp.canonize(model, reference=True)`,
# so that each difference can be switched on and its effect on $\omega$ be measured. Re-created in float64, it
# agrees with numbers that the published code itself computed to eleven decimals; the tests hold it there.

# %% tags=["parameters", "remove-input"]
detectors_shown = ["resnet50-miniature", "efb0-miniature"]
seeds = [0, 1, 2]  # the first is explained; the last lends its gates
per_label = 24  # validation pictures per label, few because everything here is in double precision
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import copy

import numpy as np
import pandas as pd
import torch
from IPython.display import display

from tff_core import detectors, lrp
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import defects as texts
from tff_core.features import ffrs

own = {"seeds": seeds, "device": device, "build": build}
chapters = {name: Chapter(name, **own) for name in detectors_shown}
specs = {name: one.spec for name, one in chapters.items()}
models, pictures = {}, {}
for name, one in chapters.items():
    trained = one.trained()
    models[name] = trained.model
    for label, number in (("fake", 1), ("real", 0)):
        chosen = one.validation(label=number, first=per_label)
        pictures[name, label] = one.batches(chosen, 8)
    shown = [pictures[name, label] for label in ("fake", "real")]
    fake, real = (detectors.logits(trained.model, own) > 0 for own in shown)
    if not fake.any() or real.all():
        # a hardly trained detector calls every picture by one label:
        # then 0.5 is its calibrated threshold
        linear = torch.nn.Linear
        layers = [m for m in trained.model.modules() if isinstance(m, linear)]
        layers[-1].bias.data -= trained.threshold


# %% tags=["remove-input"]
def omega(model, name, label, **options):
    """In double precision: what differs is the method, not the rounding."""
    net = lrp.canonize(model, **options)
    net = net.to(device="cpu", dtype=torch.float64)
    batches = [x.cpu().double() for x, *_ in pictures[name, label]]
    return ffrs.ff_rs(net, batches, label=label, confidence=0.5)


def distance(a, b, k):
    """Relative L1 distance of two omegas, and how many top k they share."""
    x, y = (np.concatenate(list(o.values.values())) for o in (a, b))
    shared = len(set(a.top(k)) & set(b.top(k)))
    return np.abs(x - y).sum() / np.abs(y).sum(), shared


def compare(theirs, right):
    """Omegas of the code and corrected ones, by network, as a table."""
    found = []
    for name, code in theirs.items():
        k = specs[name].k
        far, shared = distance(code, right[name], k)
        found.append((specs[name].title, far, f"{shared} of {k}"))
    heads = ["network", "L1 distance of omega", "top-k shared"]
    table = pd.DataFrame(found, columns=heads).style.hide(axis="index")
    return table.format({"L1 distance of omega": "{:.2g}"})


# %% [markdown]
# ## 1. The folded batch normalisation still runs
#
# **Idea.** LRP first folds each batch normalisation into the convolution before it. The code then resets
# the batch normalisation to mean 0, variance 1, scale 1 and shift 0, and leaves it in the network. That is
# almost the identity, but a batch normalisation divides by the root of its variance *plus epsilon*:
#
# $$
# y' = \frac{y}{\sqrt{1 + \epsilon}} .
# $$
#
# With PyTorch's $\epsilon = 10^{-5}$ in ResNet-50 that is a factor 0.999995; with the $10^{-3}$ of
# EfficientNet, 0.9995 in each of 49 layers: the network that is explained is no longer the detector.

# %%
exact = {name: omega(model, name, "fake") for name, model in models.items()}
code = {
    name: omega(model, name, "fake", reference=True)
    for name, model in models.items()
}
compare(code, exact)

# %%
shifts = {}
for name, model in models.items():
    nets = (lrp.canonize(model, reference=r) for r in (False, True))
    fakes = pictures[name, "fake"]
    right, theirs = (detectors.logits(net, fakes) for net in nets)
    shifts[specs[name].title] = float(abs(theirs - right).max())
say(texts.logits(shifts))

# %% [markdown]
# **What it means.** A blemish: a factor so near to 1 leaves hardly a trace, and less of one in ResNet-50,
# whose $\epsilon$ is a hundredth of EfficientNet's. **What it does not mean.** That folding errors are
# harmless: the effect is small because $\epsilon$ is.

# %% [markdown]
# ## 2. Reals are explained with the sign of fakes
#
# **Idea.** Relevance starts at the logit $f(x)$ for a fake and should start at $-f(x)$ for a real picture,
# so that in both cases what speaks *for the decision* is positive. The code starts instead at the derivative
# of $\pm f$: $+1$ for fakes and $-1$ for reals. For fakes that is $f(x)$ divided by $f(x) > 0$, and $\omega$
# is normalised, so nothing changes. For reals $f(x) < 0$, and
#
# $$
# \frac{a_i w_i}{f(x)} \cdot (-1) = \frac{a_i w_i}{|f(x)|} ,
# $$
#
# positive for the units that voted **fake**. The code explains why real pictures are *not quite* as real as
# they could be.

# %%
real = {name: omega(model, name, "real") for name, model in models.items()}
real_code = {
    name: omega(model, name, "real", reference=True)
    for name, model in models.items()
}
compare(real_code, real)

# %% [markdown]
# A layer that all relevance must pass shows it best: the first. If relevance starts at a positive total, at
# least half of it is positive there (as long as convolutions conserve relevance, and only the bias of the
# last layer takes a share).


# %%
def first(omegas, name):
    """Sum of omega over the first convolution."""
    return sum(next(iter(omegas[name].values.values())))


rows = [
    (specs[name].title, label, first(theirs, name), first(right, name))
    for label, theirs, right in (
        ("fakes", code, exact),
        ("reals", real_code, real),
    )
    for name in models
]
heads = ["network", "omega of", "code", "corrected"]
table = pd.DataFrame(rows, columns=heads).style.hide(axis="index")
table.format({"code": "{:.3f}", "corrected": "{:.3f}"}).set_caption(
    "Sum of omega over the first convolution: "
    "the share of relevance that is positive."
)

# %% [markdown]
# The tables that the paper's authors published have the same mark: over the first convolution their omega
# of *fakes* sums to 0.960 in ResNet-50 and 0.998 in EfficientNet-B0, their omega of *reals* to 0.041 and
# 0.002.
#
# **What it means.** The published ranking for reals is one of maps that speak for *fake* in real pictures.
# **What it does not mean.** None of the paper's results is affected: they use the ranking of fakes only.

# %% [markdown]
# ## 3. EfficientNet's gates come from another network
#
# **Idea.** For EfficientNet the code builds its own copy of the network with the weights of ImageNet, and
# then copies every convolution with a batch normalisation, and the last layer, from the detector. The
# squeeze-excite gates have convolutions *without* batch normalisation. They are not copied: relevance is
# computed through a detector with ImageNet's gates.
#
# ImageNet's weights are not part of this book. The gates of another network of the same shape stand in for
# them: those of the detector trained with another seed; where there is no other seed, ImageNet's own if they
# are on the machine. The paper's detectors started from ImageNet's
# weights, so theirs may be nearer to the gates that replaced them, or, after long training, farther.

# %%
named = [name for name in models if specs[name].arch == "efb0"]
efficient = named[0] if named else None
other = None
if efficient is None:
    say(texts.NO_NETWORK)
elif len(seeds) > 1 and not specs[efficient].external:
    other = chapters[efficient].trained(seeds[-1]).model.state_dict()
else:
    try:
        lender = detectors.imagenet("efb0").to(chapters[efficient].device)
        other = lender.state_dict()
        say(texts.IMAGENET)
    except FileNotFoundError:
        say(texts.NO_GATES)

# %%
if other:
    hybrid = copy.deepcopy(models[efficient])
    gates = {key: value for key, value in other.items() if "_se_" in key}
    hybrid.load_state_dict(hybrid.state_dict() | gates)

    fakes = pictures[efficient, "fake"]
    both = (models[efficient], hybrid)
    own, foreign = (detectors.logits(model, fakes) for model in both)
    called = int((own > 0).sum()), int((foreign > 0).sum())
    apart = float(abs(own - foreign).mean())
    correlation = float(np.corrcoef(own, foreign)[0, 1])
    say(texts.gates(len(gates), len(own), called, apart, correlation))

# %%
mixed = {}
if other and bool((foreign > 0).any()):
    mixed[efficient] = omega(hybrid, efficient, "fake")
    display(compare(mixed, exact))
elif other:
    say(texts.BLIND)

# %% [markdown]
# **What it means.** The published omega of EfficientNet-B0 describes a network that nobody trained. How far
# it lies from the detector's own cannot be known without the authors' weights and ImageNet's; the table says
# how far it does for a stand-in. **What it does not mean.** That the paper's sensitivity tables are wrong:
# they were computed with the true detector, and a ranking from the wrong gates is more likely to have
# weakened what they show than to have made it up.

# %% [markdown]
# ## The three side by side
#
# The rule for the last column: a defect *changes the ranking* where fewer than nine in ten of the top $k$
# maps stay among them.

# %% tags=["remove-input"]
rows = [
    (
        defect,
        specs[name].title,
        *distance(theirs[name], right[name], specs[name].k),
        specs[name].k,
    )
    for defect, theirs, right in (
        ("1, folding, fakes", code, exact),
        ("2, sign, reals", real_code, real),
        ("3, gates, fakes", mixed, exact),
    )
    for name in theirs
]
say(texts.table(rows))

# %% [markdown]
# ## And how this engine is kept right
#
# | oracle | what is compared | agreement |
# |---|---|---|
# | the paper's code, float64 | omega, relevance sums, logits; fakes and reals | 1e-11 |
# | zennit {cite}`anders2021`, bias, stabilisers matched | all layers of ResNet-18 and -50, pixels | 1e-9 |
# | captum {cite}`kokhlikyan2020`, on an unrolled graph | all layers of ResNet-18 and -50 | 5e-4 |
# | the dense matrix of each operation | every rule | 1e-9 |
# | arithmetic by hand | chains, sums, gates | exact, but for the stabilisers |
#
# Neither library does this by default. zennit counts positive biases among the contributions. captum accepts
# a ResNet as torchvision ships it, whose ReLU modules are used several times, and returns numbers that mean
# nothing; and it takes the rules off the network after each call, so that a second call uses others in
# silence.
