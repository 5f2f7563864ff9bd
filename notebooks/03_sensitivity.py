# %% [markdown]
# # Sensitivity: what is lost without the top-k
#
# Omega says which feature maps *carry* the decision. Does the decision *need* them? This chapter takes them
# away and looks at what is left, on the generator that the detector was trained on and on those that it has
# never seen.

# %% tags=["parameters", "hide-input"]
detector = "resnet50-miniature"
generators = ["progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan"]
k = None  # how many feature maps are dropped; None: the paper's number for this network
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # of the few pictures explained here; "auto": what is there
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import pandas as pd
import torch
from IPython.display import Markdown, display

from tff_core import detectors, figures, lrp
from tff_core.claims import verdicts
from tff_core.features import dropout, ffrs
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
spec = detectors.get(detector, store)
k = k or spec.k
where = detectors.default_device() if device == "auto" else device
sensitivity = verdicts.read(store, "sensitivity", detector, generators)
contrast = verdicts.read(store, "contrast", detector, generators)
paper = verdicts.paper(spec.arch)

# %% [markdown]
# ## Feature-map dropout
#
# **Idea.** Set a feature map to zero at the output of its convolution, for every picture alike, and let the
# network go on {cite}`chandrasegaran2022`. Whatever that map told the later layers about *this* picture is
# gone.
#
# **Equation.** After the convolution comes batch normalisation, with trained scale $\gamma$ and shift
# $\beta$ and with the mean $\mu$ and variance $\sigma^2$ of training. A map that is zero before it is not
# zero after it, but the constant
#
# $$
# \mathrm{BN}(0) = \beta - \frac{\gamma\, \mu}{\sqrt{\sigma^2 + \epsilon}} ,
# $$
#
# whereas its usual mean is $\beta$. Feature-map dropout thus does two things: it silences the map, **and**
# it shifts what the next layer receives by $-\gamma\mu/\sqrt{\sigma^2+\epsilon}$. The second is a side
# effect, the same for every picture.

# %% [markdown]
# **Code.** A context manager for the network as trained; a folded copy for speed. They compute the same
# function.

# %%
trained = detectors.load(detector, seeds[0], store, where)
net = lrp.canonize(trained.model)
omega = ffrs.Omega.from_csv(store.omega(detector, seeds[0]), net)
top = omega.top(k)

pictures = data.scan(store.data(spec.dataset, "val", "progan")).where(first=4)
batches = data.batches(pictures, device=where, preprocessing=spec.preprocessing)
whole = detectors.logits(trained.model, batches)
with dropout.feature_map_dropout(trained.model, top):
    dropped = detectors.logits(trained.model, batches)
folded = detectors.logits(dropout.fold_dropout(net, top), batches)

# %% tags=["hide-input"]
text = (
    f"On {len(pictures)} validation pictures the largest difference between the two implementations is "
    f"{abs(folded - dropped).max():.1g} in the logit; between the whole detector and the dropped one it is "
    f"{abs(whole - dropped).max():.2g}."
)
gone = [layer for layer, t in net.layers.items() if sum(m.layer == layer for m in top) == t]
spread = [float(logits.max() - logits.min()) for logits in (whole, dropped)]
if gone:
    text += (
        f"\n\n**A whole layer is gone.** The top {k} of seed {seeds[0]} hold *all* maps of "
        f"{', '.join(f'`{layer}` ({net.layers[layer]})' for layer in gone)}. Between these pictures the "
        f"whole detector's logits differ by {spread[0]:.2g}, those of the dropped one by {spread[1]:.1g}. "
    )
    text += (
        "There is no way round that layer: every picture gets the same logit. Such a detector is blind for "
        "a plain reason, and dropping any layer without a shortcut would do it; it says little about what "
        "these maps see."
        if spread[1] < 1e-3
        else "Shortcuts lead round it, so that the later layers still see the picture."
    )
display(Markdown(text))

# %% [markdown]
# **Figure.** How large is that side effect? In units of the map's own standard deviation after the batch
# norm, $|\gamma|$, the shift is $|\mu| / \sqrt{\sigma^2 + \epsilon}$: a property of the trained network
# that needs no picture at all.

# %%
norms = {}
for name, module in trained.model.named_modules():
    if isinstance(module, torch.nn.Conv2d):
        layer = name
    elif isinstance(module, torch.nn.BatchNorm2d):
        norms[layer] = (module.running_mean.abs() / (module.running_var + module.eps).sqrt()).cpu()

part = -1 if spec.arch == "efb0" else 0
shift = pd.DataFrame(
    [
        {
            "map": str(m),
            "group": m.layer.split(".")[part],
            "set": name,
            "shift": float(norms[m.layer][m.channel]),
        }
        for name, maps in (("top-k", top), ("matched-k", omega.matched(k, 0)))
        for m in sorted(maps, key=lambda m: list(net.layers).index(m.layer))
        if m.layer in norms  # without a batch norm zero stays zero
    ]
)

# %% tags=["hide-input"]
figures.show(figures.shifts(shift))

# %% tags=["hide-input"]
median = shift.groupby("set")["shift"].median()
display(
    Markdown(
        f"The median shift is {median['top-k']:.2f} standard deviations for the top {k} and "
        f"{median['matched-k']:.2f} for one draw of {k} other maps of the same layers (seed {seeds[0]}). A "
        f"detector that fails after dropout may fail because it *lost* information or because it was "
        f"*pushed* off what it saw in training; a control is fair only as far as it is pushed alike."
    )
)

# %% [markdown]
# ## Five conditions
#
# | condition | which k maps are dropped | draws |
# |---|---|---|
# | whole detector | none | |
# | top-k | the k with the largest $\omega$ | |
# | low-k | the k with the smallest $\omega$ | |
# | random-k | uniformly from all maps outside the top-k | several |
# | layer-matched | at random outside the top-k, **in each layer as many as the top-k have there** | many |
#
# The paper has the first four. It reports random-k as *one* AP, of the mean probability of five such
# networks: an **ensemble**. Ensembles tend to be better than their members, so this may flatter the
# control. Here random-k is the mean of the single networks' APs, and the ensemble is shown beside it.

# %% tags=["hide-input"]
summary = verdicts.summarize(sensitivity[sensitivity["seed"].isin(seeds)])
figures.show(figures.finding(summary, paper, k))

# %% tags=["hide-input"]
mean = summary.groupby("condition")["ap"].mean()
loss = {
    c: mean["baseline"] - mean[c] for c in ("top-k", "low-k", "random-k", "random-k-ensemble", "matched-k")
}
draws = summary.set_index("condition")["draws"]
display(
    Markdown(
        f"Averaged over the {len(generators)} generator{'s' * (len(generators) > 1)} and {len(seeds)} "
        f"detector seed{'s' * (len(seeds) > 1)}, AP changes by "
        f"{verdicts.points(-loss['top-k'])} without the top {k}, by {verdicts.points(-loss['low-k'])} "
        f"without the low {k}, by {verdicts.points(-loss['random-k'])} without a random {k} (mean of "
        f"{draws['random-k'].max()} draws; {verdicts.points(-loss['random-k-ensemble'])} for their "
        f"ensemble), and by {verdicts.points(-loss['matched-k'])} without {k} random maps of the same layers "
        f"({draws['matched-k'].max()} draws)."
    )
)

# %% [markdown]
# ## Beyond the layer: top-k against its matched control
#
# **Equation.** On each generator, with $D$ draws $M_1, \dots, M_D$ of the layer-matched control,
#
# $$
# \Delta = \mathrm{AP}(\text{top-}k) - \frac{1}{D}\sum_{d=1}^{D} \mathrm{AP}(M_d).
# $$
#
# The interval comes from a paired bootstrap: pictures are drawn anew, the *same* ones for both terms, and
# so are the $D$ draws; the pooled row also draws detector seeds, where there are several.

# %% tags=["hide-input"]
figures.show(figures.forest(contrast[contrast["seed"].astype(str).isin(["all", *map(str, seeds)])]))

# %% tags=["hide-input"]
strict = verdicts.verdict(contrast)
usual = verdicts.verdict(contrast, "top-k - random-k")
short = omega.shortfall(k)
display(
    Markdown(
        f"> **Verdict: top-k against layer-matched maps.** {strict.sentence()}\n>\n"
        f"> **Top-k against random maps of any layer (the paper's comparison).** {usual.sentence()}\n>\n"
        + (
            "> **Caution.** In "
            + ", ".join(f"`{layer}` ({missing})" for layer, missing in short.items())
            + f" the top {k} of seed {seeds[0]} take more than half of the maps, so the matched control "
            f"has fewer maps there (missing: in brackets; {sum(short.values())} of {k} in all). It drops "
            f"less than the top-k do, which favours the claim.\n"
            if short
            else f"> The matched control of seed {seeds[0]} has {k} maps too, as many in every layer.\n"
        )
    )
)

# %% [markdown]
# The rule: a generator speaks for the claim if the whole pooled interval lies below zero, against it if it
# lies above; {doc}`the verdicts </notebooks/10_verdicts>` say how the word follows. A handful of detector
# seeds is few, and one is none to compare; where there are several, read the seeds' own intervals beside
# the pooled one.

# %% [markdown]
# ## Real and fake accuracy, always together
#
# A threshold fixed on the whole detector need not fit the dropped one. When the logits drift to one side,
# the network calls *everything* real, or everything fake: one of the two accuracies rises while the
# detector goes blind. AP does not see drift, accuracies see little else. So they are printed together.

# %% tags=["hide-input"]
figures.show(figures.accuracies(summary, paper))

# %% tags=["hide-input"]
gone = summary[summary["condition"] == "top-k"]
side = {
    "everything looks real": gone[(gone["acc_real"] > 0.9) & (gone["acc_fake"] < 0.3)],
    "everything looks fake": gone[(gone["acc_real"] < 0.3) & (gone["acc_fake"] > 0.9)],
}
named = {
    words: ", ".join(figures.generator_name(g) for g in rows["generator"]) or "no generator"
    for words, rows in side.items()
}
theirs = ""
if paper is not None:
    mean = paper[paper["condition"] == "top-k"][["acc_real", "acc_fake"]].mean()
    theirs = (
        " In the paper's table for this network the dropped detector calls "
        f"{verdicts.percent(mean['acc_real'])} of the reals and {verdicts.percent(1 - mean['acc_fake'])} of "
        "the fakes real, on average."
    )
display(
    Markdown(
        "Without the top-k, at the threshold calibrated on validation pictures for the whole detector"
        + (" (mean over seeds): " if len(seeds) > 1 else ": ")
        + "; ".join(f"{words} on {which}" for words, which in named.items())
        + ". (Rule: one accuracy above 90 %, the other below 30 %.)"
        + theirs
    )
)

# %% [markdown]
# Unfold for all numbers, in percent, with the paper's beside them where it has this network. R / F: reals and
# fakes called right. In brackets the whiskers of the figure above: lowest to highest end of the seeds'
# intervals, with several seeds wider than a pooled interval.

# %% tags=["hide-cell"]
columns = ["condition", "generator"]
known = (
    {}
    if paper is None
    else {row[:2]: row for row in paper[[*columns, "ap", "acc_real", "acc_fake"]].itertuples(index=False)}
)
measured = summary.set_index(["condition", "generator"])
heads = [
    "generator",
    "condition",
    "AP [interval]",
    "R / F",
    *(["paper: AP", "paper: R / F"] if known else []),
]
lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
for generator in generators:
    for condition, (name, _, _) in figures.CONDITIONS.items():
        row = measured.loc[(condition, generator)]
        cells = [figures.generator_name(generator), name, verdicts.percent(row.ap, row.low, row.high)]
        cells.append(f"{100 * row.acc_real:.0f} / {100 * row.acc_fake:.0f}")
        other = known.get((condition, generator))
        if other:
            cells += [f"{100 * other.ap:.1f}", f"{100 * other.acc_real:.0f} / {100 * other.acc_fake:.0f}"]
        elif known:
            cells += ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## What it means, and what it does not
#
# - If AP falls much further without the top-k than without matched maps, then *these* maps, and not just
#   their layers, carry what the detector uses. If it happens on generators that the ranking never saw, what
#   they respond to transfers.
# - It does **not** mean that other maps carry nothing: with fewer or more maps dropped the picture may
#   change, and another detector may use something else.
# - It does **not** mean that the maps are "about" forgeries. They may see something as plain as fine colour
#   detail.
# - A drop may come from the shift of the constant rather than from lost information. The control shares the
#   layers, not the shifts.

# %% [markdown]
# ```{exercise} The ensemble
# Five networks that each lose a different random set of maps are averaged in probability. Why should the AP
# of the mean be higher than the mean of the five APs? When would it not be?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Each dropped network is the whole one plus an error of its own. Averaging keeps the common part and
# shrinks the errors, as far as they are independent; ranks, hence AP, improve. If all five err alike, or if
# one of them gives nearly all pictures probability 0 or 1 and so decides every comparison, nothing is
# gained. Compare the two in the figure above.
# ```
#
# ```{exercise} Dropping after folding
# LRP works on a network in which batch normalisation has been folded into the convolution. Setting the
# *folded* convolution's output to zero is **not** feature-map dropout. What must it be set to instead?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# The folded convolution computes $\gamma (w * a - \mu)/\sqrt{\sigma^2+\epsilon} + \beta$. With $w * a = 0$
# this is the constant $\beta - \gamma\mu/\sqrt{\sigma^2+\epsilon}$: set the map's weights to zero and
# **keep** its folded bias. That is what `dropout.fold_dropout` does.
# ```
