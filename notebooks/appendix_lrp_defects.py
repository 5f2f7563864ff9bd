# %% [markdown]
# # Appendix: three defects of the published code, and what each does to omega
#
# The paper's relevances come from code that differs from the method it describes in three places. This book's
# engine is correct by default and reproduces that code on request, `lrp.canonize(model, reference=True)`, so
# that each difference can be switched on and its effect on $\omega$ measured. In float64 the reproduction
# agrees to eleven decimals with numbers computed by the published code itself; the tests check this.

# %% tags=["parameters", "remove-input"]
detectors_shown = ["resnet50-miniature", "efb0-miniature"]
seeds = [0, 1, 2]  # the first is explained; the last lends its gates
per_label = 24  # validation pictures; few, as all is in double precision
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import copy

import numpy as np
import torch

from tff_core import detectors, lrp
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import defects as texts
from tff_core.features import ffrs

LABELS = {"fake": 1, "real": 0}
chapters, models, pictures = {}, {}, {}
for name in detectors_shown:
    chapter = Chapter(name, seeds=seeds, device=device, build=build)
    chapters[name], models[name] = chapter, chapter.trained().model
    called = {}
    for label, number in LABELS.items():
        some = chapter.validation(label=number, first=per_label)
        pictures[name, label] = chapter.batches(some, 8)
        found = detectors.logits(models[name], pictures[name, label])
        called[label] = found > 0
    if not called["fake"].any() or called["real"].all():
        # a hardly trained detector calls all pictures by one label: then
        # probability 0.5 is put where its calibrated threshold is
        every = models[name].modules()
        linear = [m for m in every if isinstance(m, torch.nn.Linear)]
        linear[-1].bias.data -= chapter.trained().threshold

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
# EfficientNet, 0.9995 in each of 49 layers: the network being explained is no longer the detector.

# Omega from the corrected and from the published code, in double precision, so that only the method differs;
# and how far apart two omegas are.


# %%
def omega(model, name, label, **options):
    """Omega of a model over the validation pictures of one label."""
    net = lrp.canonize(model, **options).to(device="cpu", dtype=torch.float64)
    batches = [x.cpu().double() for x, *_ in pictures[name, label]]
    return ffrs.ff_rs(net, batches, label=label, confidence=0.5)


def distance(name, a, b):
    """Relative L1 distance, how many of their top k they share, and k."""
    k = chapters[name].k
    x, y = (np.concatenate(list(o.values.values())) for o in (a, b))
    shared = len(set(a.top(k)) & set(b.top(k)))
    return np.abs(x - y).sum() / np.abs(y).sum(), shared, k


title = {name: chapter.spec.title for name, chapter in chapters.items()}
exact = {name: omega(models[name], name, "fake") for name in models}
code = {
    name: omega(models[name], name, "fake", reference=True) for name in models
}

# %% tags=["remove-input"]
shifts = {}
for name, model in models.items():
    nets = (lrp.canonize(model, reference=r) for r in (False, True))
    right, theirs = (
        detectors.logits(net, pictures[name, "fake"]) for net in nets
    )
    shifts[title[name]] = float(abs(theirs - right).max())
say(
    texts.distances(
        [(title[m], *distance(m, code[m], exact[m])) for m in models]
    ),
    texts.logits(shifts),
)

# %% [markdown]
# **What it means.** A blemish: a factor so close to 1 leaves hardly a trace, and even less in ResNet-50,
# whose $\epsilon$ is a hundredth of EfficientNet's. **What it does not mean.** It does not mean that folding
# errors are harmless: the effect is small because $\epsilon$ is.

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
real = {name: omega(models[name], name, "real") for name in models}
real_code = {
    name: omega(models[name], name, "real", reference=True) for name in models
}

# %% tags=["remove-input"]
say(
    texts.distances(
        [(title[m], *distance(m, real_code[m], real[m])) for m in models]
    )
)

# %% [markdown]
# A layer that all relevance must pass through shows it best: the first. If relevance starts at a positive
# total, at least half of it is positive there (as long as convolutions conserve relevance, and only the bias
# of the last layer takes a share).

# %% tags=["remove-input"]
say(
    texts.sums(
        [
            (title[m], label, *(o[m].values[first].sum() for o in pair))
            for label, pair in (
                ("fakes", (code, exact)),
                ("reals", (real_code, real)),
            )
            for m in models
            for first in list(exact[m].values)[:1]
        ]
    )
)

# %% [markdown]
# The tables published by the paper's authors show the same symptom: over the first convolution their omega of
# *fakes* sums to 0.960 in ResNet-50 and 0.998 in EfficientNet-B0, their omega of *reals* to 0.041 and 0.002.
#
# **What it means.** The published ranking for reals ranks the maps that speak for *fake* in real pictures.
# **What it does not mean.** None of the paper's results is affected: they use the ranking of fakes only.

# %% [markdown]
# ## 3. EfficientNet's gates come from another network
#
# **Idea.** For EfficientNet the code builds its own copy of the network with ImageNet weights, and then
# copies from the detector every convolution with a batch normalisation, and the last layer. The
# squeeze-excite gates have convolutions *without* batch normalisation. They are not copied: relevance is
# computed through a detector with ImageNet's gates.
#
# ImageNet's weights are not part of this book. The gates of another network of the same architecture stand in
# for them: those of the detector trained with another seed; where there is no other seed, ImageNet's own if
# they are on the machine. The paper's detectors started from ImageNet's weights, so theirs may be nearer to
# the gates that replaced them, or, after long training, farther.

# %% tags=["remove-input"]
archs = {name: chapter.spec.arch for name, chapter in chapters.items()}
efficient = next((m for m in models if archs[m] == "efb0"), None)
other, lender = None, "" if efficient else "none"
if efficient and len(seeds) > 1 and not chapters[efficient].spec.external:
    lender = "seed"
    other = chapters[efficient].trained(seeds[-1]).model.state_dict()
elif efficient:
    try:
        other = detectors.imagenet("efb0").state_dict()
        lender = "imagenet"
    except FileNotFoundError:
        pass
say(texts.gates(lender))

# %%
mixed = {}
if other:
    hybrid = copy.deepcopy(models[efficient])
    gates = {key: value for key, value in other.items() if "_se_" in key}
    hybrid.load_state_dict(hybrid.state_dict() | gates)

    fakes = pictures[efficient, "fake"]
    own, foreign = (
        detectors.logits(m, fakes) for m in (models[efficient], hybrid)
    )
    if bool((foreign > 0).any()):
        mixed[efficient] = omega(hybrid, efficient, "fake")

# %% tags=["remove-input"]
if other:
    correlation = float(np.corrcoef(own, foreign)[0, 1])
    far = [(title[m], *distance(m, mixed[m], exact[m])) for m in mixed]
    say(
        texts.exchanged(len(gates), own, foreign, correlation),
        texts.distances(far) if far else "",
    )

# %% [markdown]
# **What it means.** The published omega of EfficientNet-B0 describes a network that nobody trained. How far
# it is from the detector's own cannot be known without the authors' weights and ImageNet's; the table gives
# the distance for a stand-in. **What it does not mean.** It does not mean that the paper's sensitivity tables
# are wrong: they were computed with the true detector, and a ranking from the wrong gates is more likely to
# have weakened what they show than to have made it up.

# %% [markdown]
# ## The three side by side
#
# The rule for the last column: a defect *changes the ranking* where fewer than nine in ten of the top $k$
# maps stay among them.

# %% tags=["remove-input"]
defects = {
    "1, folding, fakes": (code, exact),
    "2, sign, reals": (real_code, real),
    "3, gates, fakes": (mixed, exact),
}
say(
    texts.side_by_side(
        [
            (defect, title[m], *distance(m, theirs[m], right[m]))
            for defect, (theirs, right) in defects.items()
            for m in theirs
        ]
    )
)

# %% [markdown]
# ## How this engine is verified
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
# a ResNet as torchvision ships it, whose ReLU modules are used several times, and returns meaningless
# numbers; and it removes the rules from the network after each call, so that a second call silently uses
# others.
