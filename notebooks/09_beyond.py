# %% [markdown]
# # What the paper did not ask
#
# Dropping the top-k breaks the detector, dropping as many random maps does not: that is the paper's case. A
# reviewer would ask further. Are the top-k special, or only loud? How many does it take? Would a simpler
# ranking have found them, without any relevance? Would the next hundred pictures, or the next training, have
# given the same list? Does it matter how a map is dropped? And is lost accuracy really lost?

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
k = None  # how many maps count as top; None: the paper's number
seeds = [0, 1, 2]
n = None  # pictures per label and generator, of which some are used here
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import detectors, figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import beyond as texts
from tff_core.features import beyond, dropout, rankings
from tff_core.features.rankings import MEAN, WHOLE

chapter = Chapter(detector, generators, seeds, k=k, device=device, build=build)
k, seed, seen = chapter.k, seeds[0], chapter.spec.preprocessing
n = min(n or 60, {"resnet50": 20}.get(chapter.spec.arch, 40))  # it is slow
test = {g: chapter.test(g, first=n) for g in generators}
net, omega = chapter.net(), chapter.omega()
DRAWS = {"controls": 4, "curves": 2}  # sets of each random control
STEPS = [s for s in (1, 4, 16, 63, 251, 1000) if s <= len(omega) // 2]


def save(table, rows):
    chapter.save_part(table, "all", rows.assign(detector=detector))


# %% [markdown]
# Everything on this page that drops maps is measured on the test pictures of every generator. Rankings, means
# and thresholds come from ProGAN's **validation** pictures alone, so nothing is chosen on the data it is
# judged on. Unless stated otherwise, the detector is that of the first training seed.
#
# ## Rivals of omega
#
# **Idea.** Omega says how much of a layer's relevance runs through a map. Much of that recipe has nothing to
# do with relevance: take some quantity on every map, keep its positive part, divide by the layer's total,
# average over pictures. So use a simpler quantity and keep the rest.
#
# **Equation.** With $Q_{l,c}(x)$ a quantity on map $c$ of layer $l$,
#
# $$
# \omega^Q_{l,c} = \frac{1}{N} \sum_x
# \frac{\sum_{h,w} \max\bigl(Q_{l,c}(x)_{h,w},\, 0\bigr)}{\sum_{c',h,w} \bigl|Q_{l,c'}(x)_{h,w}\bigr|} .
# $$
#
# $Q = R$, the relevance of {cite:t}`bach2015`, is the omega of {cite:t}`chandrasegaran2022`. $Q = a$ ranks by
# **mean activation**; $Q = a \cdot \partial f / \partial a$ by **gradient times activation**, which costs one
# ordinary backward pass. Two more rankings: omega of *reals*, and **single-map ablation**, which measures
# directly how far the logit of some fakes falls when that map alone is dropped.
#
# **Code.** All of them on the same validation fakes.

# %%
pool = chapter.validation(label=1, first=100)
logits = detectors.logits(net, chapter.batches(pool, 25))
places, confident = beyond.surest(logits)  # p >= 0.9, as for omega
fakes = pool.take(places)
share = {
    q: rankings.shares(net, chapter.batches(fakes, 25), q)
    for q in ("relevance", "gradient", "activation")
}
ranked = {
    "omega": omega,
    "omega of reals": chapter.omega(label="real"),
    "gradient x activation": rankings.ranking(net, share["gradient"].mean(0)),
    "activation": rankings.ranking(net, share["activation"].mean(0)),
}
proposed = rankings.candidates(ranked.values(), 120)
few = fakes.take(range(len(fakes))[:: max(1, len(fakes) // 6)][:6])
alone = rankings.ablation(net, chapter.batches(few, 25), proposed)
first = {name: own.top(max(STEPS[-1], k)) for name, own in ranked.items()}
first[beyond.ALONE] = rankings.reordered(omega, alone)

# %% tags=["remove-input"]
counts = {"fakes": len(fakes), "pool": len(pool), "confident": confident}
counts |= {"few": len(few), "validation": len(chapter.validation(label=1))}
say(texts.rivals(counts, first, alone, len(omega), k))

# %% [markdown]
# ## Three controls
#
# **Idea.** A layer-matched control has the layers of the top-k, but not their loudness. Maps with a large
# omega tend to be active maps, and silencing an active map is a larger intervention, whatever it encodes. So
# a second control takes, for each of the top-k, another map **of the same layer with a similar magnitude**:
# one of the five nearest, on a logarithmic scale, that are not in the top-k and not taken yet. A third takes
# it from **anywhere in the network**. Magnitude is the mean absolute value, over validation pictures and
# positions, of what the next operation reads.
#
# All sets are measured in one sweep over the pictures; what comes before the first layer of a set is computed
# once. The same sets, dropped in two other ways, are used in a later section.

# %%
level = rankings.levels(net, chapter.batches(chapter.validation(first=50)))
controls = beyond.controls(omega, level, k, DRAWS["controls"])
sizes = beyond.sizes(controls)
fair = [name for name in controls if sizes[name] >= beyond.LEAST * k]

cases = beyond.control_cases(net, omega, controls, k)
draws = controls[fair[0]]
cases += beyond.replacement_cases(net, omega, draws, fair[0], k, level)
panel = beyond.curves(net, test.values(), cases, seen)
CONTROLS = {f"top-k - {name}": name for name in controls}
control = panel.differences(
    {case: ("top-k", f"{name}, k") for case, name in CONTROLS.items()}, k
)

# %% tags=["remove-input"]
save("controls", control.assign(seed=seed, k=k, draws=DRAWS["controls"]))
text = f"AP without the top {k}, minus AP without as many "
caption = f"{text}maps of each control."
figures.show(figures.contrasts(control, CONTROLS, caption))
louder = beyond.louder(level, omega.top(k), controls)
without = panel.frame.loc[panel.frame["name"] == "top-k", "logit"]
cut = rankings.first_whole_layer(omega.top(k)), float(np.ptp(without))
say(texts.controls(control, sizes, louder, k, len(draws), *cut, seed))

# %% [markdown]
# The rule: a control speaks for the claim if the whole interval of the mean over generators lies below zero,
# against it if above; {doc}`the verdicts </notebooks/10_verdicts>` explain how the verdict follows. There is
# one training seed here, so all intervals cover pictures only, and so does the verdict. Where the top-k take
# most of a layer, too few maps are left for a control; one with less than nine tenths of k maps is shown, but
# does not count. Where the top-k fill a whole layer and without them all pictures get the same logit, the
# network is severed, and the verdict says that the result is trivial.
#
# ## Dose and response
#
# **Idea.** One k is one point on a curve. Drop the first 1, 4, 16, ... 1,000 maps of a ranking and watch the
# AP fall; the better a ranking, the earlier. The **area** under the curve over $\log k$, divided by $\log
# k_{\max}$, is the mean AP over all doses on a logarithmic scale: one number per ranking, small if the
# ranking finds what matters.

# %%
few_each = [images.where(first=max(1, n // 2)) for images in test.values()]
doses = beyond.dose_cases(net, omega, first, STEPS, DRAWS["curves"])
curves = beyond.curves(net, few_each, doses, seen)

# %% tags=["remove-input"]
NAMES = list(figures.beyond.RANKINGS)
table = curves.table(NAMES)
save("rankings", table.assign(seed=seed))
figures.show(figures.dose_curves(table))
minus = beyond.by_dose(curves, STEPS)
say(texts.doses(table, *minus, k))

# %% [markdown]
# The rule is the same, over the doses at which the control has nine tenths of k maps (interval of the mean
# over generators).
#
# ## Is LRP needed?
#
# The same curves, now compared between rankings. If that of a simpler ranking falls as early as omega's,
# relevance was one way to find these maps, not the only one.

# %% tags=["remove-input"]
area = curves.areas(NAMES, "omega")
save("rankings_area", area.assign(seed=seed))
figures.show(figures.ranking_areas(area[area["generator"] == MEAN]))
say(texts.areas(area, NAMES, beyond.gone(first, STEPS[-1]), seed))

# %% [markdown]
# The rule is the same, over the three rivals (interval of the difference, mean over generators). Chance and
# the layer-matched sets are not rivals but baselines: a ranking below the layer-matched curve knows more than
# which layers matter.
#
# ## How stable is the ranking?
#
# **Idea.** Rank by one half of the pictures, then by the other: how many of the first k are the same?
# Resample the pictures: how many stay? Both ask whether omega is a property of the detector or of the sample.
# Then compare trainings. Here there is a trap: channel 17 of one network has nothing to do with channel 17 of
# another trained from other random weights, because channels can be renumbered without changing the function.
# So two trainings should agree on no more maps than chance gives, given the **number of maps in each layer**.

# %%
ks = beyond.about(k, len(omega))  # and 10, 30, 100, 300, 1,000
pictures = rankings.stability(share["relevance"], ks)
labels = ("fake", "real")
by_seed = {(s, x): chapter.omega(s, x) for s in seeds for x in labels}
compared = beyond.between_seeds(by_seed, ks)

# %% tags=["remove-input"]
pictures = pictures.assign(a=f"s{seed}-fake", b=f"s{seed}-fake")
stability = pd.concat([pictures, beyond.over_pairs(compared)])
save("stability", pd.concat([stability, compared.assign(n=1)]))
figures.show(figures.ranking_stability(stability))
say(texts.stability(stability, compared, k, len(seeds)))

# %% [markdown]
# The rules. Over pictures: *holds* if the lower ends of both intervals, at the paper's k, are at least 80 of
# 100 maps; *holds in part* from 50 on, and below that the claim is *contradicted*. Over trainings: *holds* if
# every pair of seeds shares more maps than the upper end of chance, *holds in part* if more do than luck
# would give. A resample has fewer distinct pictures than the sample, so the bootstrap's overlap is on the low
# side.
#
# ## Another way to drop a map
#
# **Idea.** A zero *before* batch normalisation is the constant $\beta - \gamma\mu/\sigma$ after it: the map
# is silenced and shifted (chapter 3). A zero **after the activation** avoids the shift but removes what the
# map contributed on average. The map's own **mean**, over validation pictures, removes only what differs from
# picture to picture. The control is the first one above that counts.

# %%
WAYS = {
    "zero before batch norm (the paper's)": ("top-k", f"{fair[0]}, k"),
    "zero after the activation": ("top-k, zero", f"{fair[0]}, zero"),
    "the map's mean": ("top-k, mean", f"{fair[0]}, mean"),
}
replaced = panel.differences(WAYS, k)
harm = panel.differences({w: (own, WHOLE) for w, (own, _) in WAYS.items()}, k)

# %% tags=["remove-input"]
save("replacements", replaced.assign(seed=seed, k=k, control=fair[0]))
caption = f"{text}others ({fair[0]}), dropped in three ways."
figures.show(figures.contrasts(replaced, {w: w for w in WAYS}, caption))
told = fair[0], len(draws), seed, texts.trivially(*cut)
say(texts.replacements(replaced, harm, WAYS, *told))

# %% [markdown]
# ## Drift of the threshold
#
# **Idea.** AP depends only on the order of the logits. Accuracy depends on which side of a threshold they
# lie, and dropout moves them all. How much of a lost accuracy comes back if the threshold of the *dropped*
# detector is calibrated like that of the whole one, on ProGAN's validation pictures? What does not come back
# is lost.

# %%
held_out = chapter.validation(first=100)
before, after = {}, {}
for s in seeds:
    before[s] = chapter.trained(s).threshold
    without = dropout.fold_dropout(chapter.net(s), chapter.omega(s).top(k))
    logits = detectors.logits(without, chapter.batches(held_out))
    after[s] = rankings.recalibrated(held_out.labels, logits)
kept = pd.concat(map(chapter.scores, generators), ignore_index=True)
kept = kept[kept["condition"].isin(["baseline", "top-k"])]
drift = rankings.drift(
    kept, before, {s: new.value for s, new in after.items()}
)

# %% tags=["remove-input"]
save("drift", drift)
figures.show(figures.threshold_drift(drift))
say(texts.drift(drift, before, after, len(held_out), k))

# %% [markdown]
# The rule: *contradicted* if the interval of what comes back lies below zero, *open* if it contains zero;
# otherwise *holds in part* if the interval of what stays lost also lies above zero, and *holds* if not.
#
# ## What it means, and what it does not
#
# - A control shows what is *not* the reason. If the top-k beat maps that are as loud, loudness is not why
#   they matter.
# - A layer dropped as a whole says more about the layer's width than about its maps: omega divides up one
#   unit of relevance in every layer, so the maps of a narrow layer all rank high.
# - A ranking without relevance that does as well as omega does **not** mean that relevance is wrong. It means
#   that the sensitivity test cannot tell the two apart.
# - Single-map ablation sees each map alone. Maps that can replace one another look harmless to it, yet break
#   the detector together; a short list of candidates limits it further.
# - An overlap of two trainings at the level of chance does **not** mean that they use different features. It
#   means that channel numbers cannot say.
# - The curves are for one training seed, and each generator has few pictures here. The verdicts are about the
#   mean over generators; the menus show how single generators differ.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - say what a mean over a logarithmic scale of doses rewards, and compute it;
# - explain why equal channel numbers in two trainings mean nothing, with a network that proves it;
# - judge a control by the one property in which it should differ.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Area over k or over log k
# *Objective:* know what a summary of a curve rewards · *medium* · 15 minutes
#
# Draw two curves of AP against k from 1 to 1,000: one falls from 1 to one half between k = 1 and 10, the
# other between 100 and 1,000, both straight in $\log k$. How far apart are their mean APs over k, and over
# $\log k$? Estimate first. Then write `mean_ap`: the area under a curve that is straight between its doses,
# on the given scale of the axis, divided by the length of the axis.
# ```

# %% tags=["exercise"]
import numpy as np

doses = np.arange(1, 1001)
early = np.interp(np.log10(doses), [0, 1, 3], [1, 0.5, 0.5])
late = np.interp(np.log10(doses), [0, 2, 3], [1, 1, 0.5])


def linear(k):
    return np.asarray(k, dtype=float)


# %% tags=["solution"]
def mean_ap(doses, ap, scale=np.log):
    """Mean AP over an axis on which dose k lies at scale(k)."""
    # BEGIN SOLUTION
    x = scale(np.asarray(doses, dtype=float))
    ap = np.asarray(ap)
    area = np.sum(np.diff(x) * (ap[1:] + ap[:-1]) / 2)
    return area / (x[-1] - x[0])
    # END SOLUTION


# %% tags=["test"]
assert abs(mean_ap([1, 10], [1.0, 0.5]) - 0.75) < 1e-9, (
    "one straight piece from 1 to one half has the mean 0.75"
)
assert abs(mean_ap(doses, early) - 1.75 / 3) < 1e-3, (
    "over log k the early curve falls for one decade of three"
)
assert abs(mean_ap(doses, late) - 2.75 / 3) < 1e-3, (
    "over log k the late curve is at 1 for two decades of three"
)

# %% tags=["hidden-test"]
assert abs(mean_ap(doses, early, linear) - 0.50) < 0.01, (
    "over k the first ten doses hardly count: divided by the length of the "
    "axis on the same scale?"
)
assert abs(mean_ap(doses, late, linear) - 0.695) < 0.01, "over k: about 0.7"
few = [1, 2, 1000]
assert abs(mean_ap(few, [1, 0.5, 0.5]) - 0.525) < 0.01, (
    "doses are not equally far apart: the pieces have different lengths"
)
both = mean_ap(few, [1, 0, 1]), mean_ap(few, [1, 0, 1], np.log10)
assert np.isclose(*both), (
    "down and up again by as much, the mean is one half on any scale"
)


# %% tags=["wrong"]
# takes the plain mean of the points
def mean_ap(doses, ap, scale=np.log):
    return np.mean(ap)


# %% tags=["wrong"]
# divides by the largest dose, not by the length of the axis
def mean_ap(doses, ap, scale=np.log):
    x, ap = scale(np.asarray(doses, dtype=float)), np.asarray(ap)
    return np.sum(np.diff(x) * (ap[1:] + ap[:-1]) / 2) / doses[-1]


# %% tags=["wrong"]
# holds every value until the next dose
def mean_ap(doses, ap, scale=np.log):
    x, ap = scale(np.asarray(doses, dtype=float)), np.asarray(ap)
    return np.sum(np.diff(x) * ap[:-1]) / (x[-1] - x[0])


# %% [markdown] tags=["solution"]
# Over $\log k$ the first spends one of three decades falling and two at one half, the second two decades at 1
# and one falling: $(0.75 + 2 \cdot 0.5)/3 \approx 0.58$ against $(2 \cdot 1 + 0.75)/3 \approx 0.92$. Over k
# the first ten maps hardly count: 0.50 against about 0.7. The logarithm rewards finding the *first* maps;
# that is what a ranking is for.

# %% [markdown] tags=["instructor"]
# **Hint** Trapezoids; the width of each is a difference of `scale(k)`.
#
# **Marking** 2 points: trapezoids on the right axis. 1 point: its length. 1 point: what the logarithm
# rewards.
#
# **Common mistakes** the mean of the measured points, which depends on where one measured.

# %% [markdown] tags=["exercise"]
# ```{exercise} The same network, renumbered
# *Objective:* know what channel numbers of two trainings have in common · *medium* · 20 minutes
#
# A small network: a convolution, a ReLU, a second convolution, a mean. Write `renumbered`: a network that
# computes the *same function*, in which channel `order[i]` of the old first layer is channel `i` of the new
# one. Then compare which channels are among the top 4 of 16 in both. What share would two *unrelated* sets of
# 4 have in common? What does an overlap at chance between two trainings show?
# ```

# %% tags=["exercise"]
import copy

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 1, 1), nn.Flatten()
)
pictures = torch.randn(8, 3, 6, 6)
order = torch.randperm(16)


def top(net, k=4):
    """The channels of the first layer with the largest outgoing weight."""
    return set(net[2].weight[0, :, 0, 0].abs().topk(k).indices.tolist())


# %% tags=["solution"]
def renumbered(net, order):
    """A copy of the network with the channels of layer 0 in this order."""
    other = copy.deepcopy(net)
    # BEGIN SOLUTION
    other[0].weight.data = net[0].weight.data[order]
    other[0].bias.data = net[0].bias.data[order]
    other[2].weight.data = net[2].weight.data[:, order]
    # END SOLUTION
    return other


# %% tags=["test"]
other = renumbered(net, order)
with torch.no_grad():
    assert torch.allclose(other(pictures), net(pictures), atol=1e-5), (
        "another function: who reads the channels of the first layer, and "
        "does everything of a channel move with it?"
    )
assert not torch.equal(other[0].weight, net[0].weight), "nothing has moved"

# %% tags=["hidden-test"]
assert torch.equal(other[0].bias, net[0].bias[order]), (
    "channel order[i] of the old layer must become channel i of the new one"
)
assert {int(order[i]) for i in top(other)} == top(net), (
    "the same maps are the top ones, under their new numbers"
)
turns = [torch.randperm(16) for _ in range(500)]
shared = [len(top(net) & top(renumbered(net, turn))) for turn in turns]
assert abs(sum(shared) / 500 - 1) < 0.2, (
    "on average 4 x 4 / 16 = 1 map has the same number by chance"
)


# %% tags=["wrong"]
# reorders the first layer, but not what reads it
def renumbered(net, order):
    other = copy.deepcopy(net)
    other[0].weight.data = net[0].weight.data[order]
    other[0].bias.data = net[0].bias.data[order]
    return other


# %% tags=["wrong"]
# forgets the biases
def renumbered(net, order):
    other = copy.deepcopy(net)
    other[0].weight.data = net[0].weight.data[order]
    other[2].weight.data = net[2].weight.data[:, order]
    return other


# %% tags=["wrong"]
# puts the order's inverse on the second layer
def renumbered(net, order):
    other = copy.deepcopy(net)
    other[0].weight.data = net[0].weight.data[order]
    other[0].bias.data = net[0].bias.data[order]
    other[2].weight.data = net[2].weight.data[:, order.argsort()]
    return other


# %% [markdown] tags=["solution"]
# Four of sixteen share $4 \cdot 4 / 16 = 1$ map by chance, a quarter of the set: exactly what two numberings
# of *one and the same* network share on average. So an overlap at chance does not show that two trainings use
# different features; it shows that numbers cannot say. A comparison must look at what maps respond to.

# %% [markdown] tags=["instructor"]
# **Hint** The second layer reads channel i at `weight[:, i]`.
#
# **Marking** 2 points: both layers. 1 point: bias. 2 points: chance, and what it means.
#
# **Discuss** Why do trainings that start from the *same* weights (ImageNet's) overlap more?

# %% [markdown] tags=["exercise"]
# ```{exercise} A control that is too good
# *Objective:* know in what a control must differ · *hard* · 10 minutes
#
# Take as control for each of the top-k the map of the same layer that correlates best with it over the
# pictures. What would it mean if dropping these hurt as much as dropping the top-k?
# ```

# %% [markdown] tags=["solution"]
# That the evidence is spread over groups of redundant maps. The top-k would still carry what the detector
# uses, but so would their doubles, and "these k maps" would be an arbitrary choice from each group. A control
# must differ in the property in question and agree in all others.

# %% [markdown] tags=["instructor"]
# **Hint** Suppose every map had an identical twin.
#
# **Marking** 2 points: redundancy. 1 point: the top-k are then not wrong, but arbitrary. 1 point: the rule
# for controls.
#
# **Common mistakes** "omega is refuted".
