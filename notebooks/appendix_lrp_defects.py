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

# %% tags=["hide-input"]
import copy

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from tff_core import detectors, lrp
from tff_core.features import ffrs
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
where = (
    detectors.default_device() if device == "auto" else torch.device(device)
)

specs, models, pictures = {}, {}, {}
for name in detectors_shown:
    spec = specs[name] = detectors.get(name, store)
    trained = detectors.load(name, seeds[0], store, where)
    models[name] = trained.model
    images = data.scan(store.data(spec.dataset, "val", "progan"))
    for label, number in (("fake", 1), ("real", 0)):
        chosen = images.where(label=number, first=per_label)
        # eight pictures at a time, of one size
        pictures[name, label] = data.batches(
            chosen, 8, device=where, preprocessing=spec.preprocessing
        )
    called = {
        label: detectors.logits(trained.model, pictures[name, label]) > 0
        for label in ("fake", "real")
    }
    if not called["fake"].any() or called["real"].all():
        # a hardly trained detector calls every picture by one label: then 0.5 is its calibrated threshold
        [m for m in trained.model.modules() if isinstance(m, torch.nn.Linear)][
            -1
        ].bias.data -= trained.threshold


def omega(model, name, label, **options):
    """Omega of a model over one label, in double precision: what differs is the method, not the rounding."""
    net = lrp.canonize(model, **options).to(device="cpu", dtype=torch.float64)
    batches = [x.cpu().double() for x, *_ in pictures[name, label]]
    return ffrs.ff_rs(net, batches, label=label, confidence=0.5)


def distance(a, b, k):
    """Relative L1 distance of two omegas, and how many of their top k they share."""
    x, y = (np.concatenate(list(o.values.values())) for o in (a, b))
    return np.abs(x - y).sum() / np.abs(y).sum(), len(
        set(a.top(k)) & set(b.top(k))
    )


def compare(rows):
    """Rows of (network, code, corrected, k) as a table."""
    found = []
    for name, code, corrected, k in rows:
        far, shared = distance(code, corrected, k)
        found.append(
            {
                "network": specs[name].title,
                "L1 distance of omega": far,
                "top-k shared": f"{shared} of {k}",
            }
        )
    return (
        pd.DataFrame(found)
        .style.hide(axis="index")
        .format({"L1 distance of omega": "{:.2g}"})
    )


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
compare([(name, code[name], exact[name], specs[name].k) for name in models])

# %%
shifts = {}
for name, model in models.items():
    nets = (lrp.canonize(model, reference=r) for r in (False, True))
    right, theirs = (
        detectors.logits(net, pictures[name, "fake"]) for net in nets
    )
    shifts[specs[name].title] = float(abs(theirs - right).max())
display(
    Markdown(
        "Largest change of a logit: "
        + ", ".join(f"{k}: {v:.2g}" for k, v in shifts.items())
        + "."
    )
)

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
compare(
    [(name, real_code[name], real[name], specs[name].k) for name in models]
)

# %% [markdown]
# A layer that all relevance must pass shows it best: the first. If relevance starts at a positive total, at
# least half of it is positive there (as long as convolutions conserve relevance, and only the bias of the
# last layer takes a share).

# %%
rows = [
    {
        "network": specs[name].title,
        "omega of": label,
        "code": sum(next(iter(a.values.values()))),
        "corrected": sum(next(iter(b.values.values()))),
    }
    for label, pairs in (
        ("fakes", (code, exact)),
        ("reals", (real_code, real)),
    )
    for name, a, b in (
        (name, pairs[0][name], pairs[1][name]) for name in models
    )
]
pd.DataFrame(rows).style.hide(axis="index").format(
    {"code": "{:.3f}", "corrected": "{:.3f}"}
).set_caption(
    "Sum of omega over the first convolution: the share of relevance that is positive."
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
efficient = next((name for name in models if specs[name].arch == "efb0"), None)
if efficient is None:
    display(
        Markdown(
            "No EfficientNet is part of this build; `make all` trains one and fills this section."
        )
    )
other = None
if efficient and len(seeds) > 1 and not specs[efficient].external:
    other = detectors.load(
        efficient, seeds[-1], store, where
    ).model.state_dict()
elif efficient:
    try:
        other = detectors.imagenet("efb0").to(where).state_dict()
        display(
            Markdown(
                "The detector has one seed: the gates are those of ImageNet's weights."
            )
        )
    except FileNotFoundError:
        text = "The detector has one seed, and ImageNet's weights are not on this machine: no gates to lend."
        display(Markdown(text))

# %%
if other:
    hybrid = copy.deepcopy(models[efficient])
    gates = {key: value for key, value in other.items() if "_se_" in key}
    hybrid.load_state_dict(hybrid.state_dict() | gates)

    own, foreign = (
        detectors.logits(m, pictures[efficient, "fake"])
        for m in (models[efficient], hybrid)
    )
    correlation = float(np.corrcoef(own, foreign)[0, 1])
    display(
        Markdown(
            f"{len(gates)} tensors exchanged. Of {len(own)} fakes the detector calls {int((own > 0).sum())} "
            f"fake, the hybrid {int((foreign > 0).sum())}; its logits differ by "
            f"{float(abs(own - foreign).mean()):.2g} on average, and correlate by {correlation:.2f}."
        )
    )

# %%
mixed = {}
if other and bool((foreign > 0).any()):
    mixed[efficient] = omega(hybrid, efficient, "fake")
    display(
        compare(
            [
                (
                    efficient,
                    mixed[efficient],
                    exact[efficient],
                    specs[efficient].k,
                )
            ]
        )
    )
elif other:
    display(
        Markdown(
            "The hybrid calls no picture fake, so that it has no omega at all."
        )
    )

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

# %% tags=["hide-input"]
lines = [
    "| defect | network | L1 distance of omega | top-k shared | ranking |",
    "|---|---|---|---|---|",
]
for defect, theirs, right in (
    ("1, folding, fakes", code, exact),
    ("2, sign, reals", real_code, real),
    ("3, gates, fakes", mixed, exact),
):
    for name in theirs:
        k, title = specs[name].k, specs[name].title
        far, shared = distance(theirs[name], right[name], k)
        ranking = "changed" if shared < 0.9 * k else "kept"
        lines.append(
            f"| {defect} | {title} | {far:.2g} | {shared} of {k} | {ranking} |"
        )
display(Markdown("\n".join(lines)))

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
