# %% [markdown]
# # Sensitivity: what is lost without the top-k
#
# Omega says which feature maps *carry* the decision. Does the decision *need* them? This chapter removes them
# and looks at what is left, on the generator that the detector was trained on and on those it has never seen.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
k = None  # feature maps that are dropped; None: the paper's number
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # of the few pictures explained here
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd
import torch

from tff_core import detectors, figures, lrp
from tff_core.book.chapter import Chapter, say
from tff_core.claims import verdicts
from tff_core.claims.texts import sensitivity as texts
from tff_core.features import dropout, layers

chapter = Chapter(detector, generators, seeds, k=k, device=device, build=build)
store, spec, k, seed = chapter.store, chapter.spec, chapter.k, chapter.seed
sensitivity = verdicts.read(store, "sensitivity", detector, generators)
contrast = verdicts.read(store, "contrast", detector, generators)
paper = verdicts.paper(spec.arch)

# %% [markdown]
# ## Feature-map dropout
#
# **Idea.** Set a feature map to zero at the output of its convolution, for every picture alike, and run the
# rest of the network as usual {cite}`chandrasegaran2022`. Whatever that map told the later layers about
# *this* picture is gone.
#
# **Equation.** After the convolution comes batch normalisation, with trained scale $\gamma$ and shift $\beta$
# and with the mean $\mu$ and variance $\sigma^2$ from training. A map that is zero before it is not zero
# after it, but a constant:
#
# $$
# \mathrm{BN}(0) = \beta - \frac{\gamma\, \mu}{\sqrt{\sigma^2 + \epsilon}} ,
# $$
#
# whereas its usual mean is $\beta$. Feature-map dropout thus does two things: it silences the map, **and**
# it shifts what the next layer receives by $-\gamma\mu/\sqrt{\sigma^2+\epsilon}$. The second is a side
# effect, and the same for every picture.

# %% [markdown]
# **Code.** A context manager for the network as trained, and a folded copy for speed. Both compute the same
# function.

# %%
trained = chapter.trained()
net = lrp.canonize(trained.model)
omega = chapter.omega()
top = omega.top(k)

batches = chapter.batches(chapter.validation(first=4))
whole = detectors.logits(trained.model, batches)
with dropout.feature_map_dropout(trained.model, top):
    dropped = detectors.logits(trained.model, batches)
folded = detectors.logits(dropout.fold_dropout(net, top), batches)

# %% tags=["remove-input"]
taken = pd.Series([m.layer for m in top]).value_counts()
gone = {layer: t for layer, t in net.layers.items() if taken.get(layer) == t}
say(texts.dropout(whole, dropped, folded, gone, k, seed))

# %% [markdown]
# **Figure.** How large is that side effect? In units of the map's own standard deviation after the batch
# norm, $|\gamma|$, the shift is $|\mu| / \sqrt{\sigma^2 + \epsilon}$: a property of the trained network,
# computed without any picture.

# %%
norms = {}
for name, module in trained.model.named_modules():
    if isinstance(module, torch.nn.Conv2d):
        layer, width = name, module.out_channels
    elif isinstance(module, torch.nn.BatchNorm2d):
        sigma = (module.running_var + module.eps).sqrt()
        if module.num_features == width:  # else it normalises something else
            norms[layer] = (module.running_mean.abs() / sigma).cpu()

# %% tags=["remove-input"]
order = list(net.layers)
shift = [
    {
        "map": str(m),
        "group": layers.part(m.layer, spec.arch),
        "set": name,
        "shift": float(norms[m.layer][m.channel]),
    }
    for name, maps in (("top-k", top), ("matched-k", omega.matched(k, 0)))
    for m in sorted(maps, key=lambda m: order.index(m.layer))
    if m.layer in norms  # without a batch norm zero stays zero
]
median = {}
if shift:
    shift = pd.DataFrame(shift)
    median = shift.groupby("set")["shift"].median().to_dict()
    figures.show(figures.shifts(shift))
say(texts.shifts(median, k, seed))

# %% [markdown]
# ## Five conditions
#
# | condition | which k maps are dropped | draws |
# |---|---|---|
# | whole detector | none | |
# | top-k | the k with the largest $\omega$ | |
# | low-k | the k with the smallest $\omega$ | |
# | random-k | uniformly from all maps outside the top-k | several |
# | layer-matched | at random outside the top-k, **as many in each layer as the top-k have there** | many |
#
# The paper has the first four. It reports random-k as *one* AP, that of the mean probability of five such
# networks: an **ensemble**. Ensembles tend to be better than their members, so this may flatter the control.
# Here random-k is the mean of the individual networks' APs, and the ensemble is shown beside it.

# %% tags=["remove-input"]
summary = verdicts.summarize(sensitivity[sensitivity["seed"].isin(seeds)])
figures.show(figures.finding(summary, paper, k))
say(texts.losses(summary, k, len(seeds)))

# %% [markdown]
# ## Beyond the layer: top-k against its matched control
#
# **Equation.** On each generator, with $D$ draws $M_1, \dots, M_D$ of the layer-matched control,
#
# $$
# \Delta = \mathrm{AP}(\text{top-}k) - \frac{1}{D}\sum_{d=1}^{D} \mathrm{AP}(M_d).
# $$
#
# The interval comes from a paired bootstrap: the pictures are resampled, the *same* ones for both terms, and
# so are the $D$ draws; the pooled row adds how far detector seeds differ, where there are several, by
# Student's $t$ ({doc}`does it cover? </book/coverage>`).

# %% tags=["remove-input"]
shown = contrast["seed"].astype(str).isin(["all", *map(str, seeds)])
figures.show(figures.forest(contrast[shown]))
say(texts.verdict(contrast, omega.shortfall(k), k, seed))

# %% [markdown]
# The rule: a generator speaks for the claim if the whole pooled interval lies below zero, against it if it
# lies above; {doc}`the verdicts </notebooks/10_verdicts>` explain how the verdict follows. A handful of
# detector seeds is few, and a single one allows no comparison; where there are several, read the seeds' own
# intervals beside the pooled one.

# %% [markdown]
# ## Real and fake accuracy, always together
#
# A threshold calibrated on the whole detector need not suit one with dropped maps. When the logits drift to
# one side, the network calls *everything* real, or everything fake: one of the two accuracies rises while the
# detector goes blind. AP does not see drift; accuracies see little else. So they are printed together.

# %% tags=["remove-input"]
figures.show(figures.accuracies(summary, paper))
say(texts.drift(summary, paper, len(seeds)))

# %% [markdown]
# Unfold for all numbers, in percent, with the paper's beside them where it has this network. R / F: accuracy
# on reals and on fakes. In brackets are the whiskers of the figure above, from the lowest to the highest end
# of the seeds' intervals; with several seeds this is wider than a pooled interval.

# %% tags=["remove-input", "hide-output"]
say(texts.everything(summary, paper))

# %% [markdown]
# ## What it means, and what it does not
#
# - If AP falls much further without the top-k than without matched maps, then *these* maps, and not just
#   their layers, carry what the detector uses. If this also happens on generators that the ranking never saw,
#   what they respond to transfers.
# - It does **not** mean that other maps carry nothing: with fewer or more maps dropped the result may change,
#   and another detector may use something else.
# - It does **not** mean that the maps are "about" forgeries. They may see something as plain as fine colour
#   detail.
# - A drop may come from the shift of the constant rather than from lost information. The control shares the
#   layers, not the shifts.

# %% [markdown]
# ```{exercise} The ensemble
# Five networks each lose a different random set of maps, and their probabilities are averaged. Why should the
# AP of the mean be higher than the mean of the five APs? When would it not be?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Each dropped network is the whole one plus an error of its own. Averaging keeps the common part and shrinks
# the errors, as far as they are independent, so the ranking and hence AP improve. If all five err alike, or
# if one of them gives nearly all pictures probability 0 or 1 and so decides every comparison, nothing is
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
