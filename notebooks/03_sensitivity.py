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
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - drop a feature map before or after folding, and say what the network sees instead of it;
# - draw a control that shares the layers of the top-k, and say what it rules out and what it does not;
# - compare two conditions on the same pictures, with an interval that uses the pairing;
# - separate what a dropped map told from the shift that its constant makes.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} The ensemble
# *Objective:* say when averaging flatters a control · *easy* · 10 minutes
#
# Five networks each lose a different random set of maps, and their probabilities are averaged. Why should the
# AP of the mean be higher than the mean of the five APs? When would it not be?
# ```

# %% [markdown] tags=["solution"]
# Each dropped network is the whole one plus an error of its own. Averaging keeps the common part and shrinks
# the errors, as far as they are independent, so the ranking and hence AP improve. If all five err alike, or
# if one of them gives nearly all pictures probability 0 or 1 and so decides every comparison, nothing is
# gained. Compare the two in the figure above.

# %% [markdown] tags=["instructor"]
# **Hint** Write each network's score as the whole detector's plus an error.
#
# **Marking** 2 points: errors that differ are averaged away; 1 point: one case in which they are not.
#
# **Common mistakes** "More networks are always better"; forgetting that top-k is a *single* network, so that
# the comparison is of one with five.
#
# **Discuss** Which of the two numbers answers what happens to *a* detector that loses k random maps?

# %% [markdown] tags=["exercise"]
# ```{exercise} A control with the same layers
# *Objective:* draw a control that differs from the top-k in one thing only · *medium* · 15 minutes
#
# `top` lists the strongest maps as (layer, channel); `widths` has the number of maps of each layer. Write
# `matched`: as many maps in each layer as `top` has there, drawn at random from the others, without
# repetition. Where a layer has too few others, take them all.
# ```

# %% tags=["exercise"]
import numpy as np

widths = {"first": 4, "middle": 16, "last": 64}
top = [("first", 1), ("first", 3), ("middle", 0), ("last", 7), ("middle", 9)]


# %% tags=["solution"]
def matched(top, widths, rng):
    """As many (layer, channel) in each layer as in ``top``, none of it."""
    # BEGIN SOLUTION
    chosen = []
    for layer, width in widths.items():
        others = [c for c in range(width) if (layer, c) not in top]
        wanted = min(width - len(others), len(others))
        drawn = rng.choice(others, wanted, replace=False) if wanted else []
        chosen += [(layer, int(c)) for c in drawn]
    return chosen
    # END SOLUTION


# %% tags=["test"]
rng = np.random.default_rng(0)
draws = [matched(top, widths, rng) for _ in range(50)]
for control in draws:
    shared = set(control) & set(top)
    assert not shared, f"the control has maps of the top-k: {shared}"
    for layer in widths:
        here = sum(name == layer for name, _ in control)
        there = sum(name == layer for name, _ in top)
        assert here == there, (
            f"layer {layer!r}: the top-k have {there} maps there, the control "
            f"{here}: a difference could be due to the layer alone"
        )

# %% tags=["hidden-test"]
assert all(len(set(control)) == len(control) for control in draws), (
    "a map was drawn twice: the control drops fewer maps than the top-k"
)
seen = {m for control in draws for m in control}
assert len(seen) > 20 and len({tuple(sorted(c)) for c in draws}) > 10, (
    "fifty draws are nearly the same: draw at random among all others"
)
crowded = [("first", c) for c in range(3)] + [("middle", 2)]
control = matched(crowded, widths, rng)
assert ("first", 3) in control and len(control) == 2, (
    "three of four maps of a layer are at the top: only one other is left, "
    f"and it should be taken, once; found {control}"
)


# %% tags=["wrong"]
# draws from all maps outside the top-k: that is random-k
def matched(top, widths, rng):
    others = [(name, c) for name, n in widths.items() for c in range(n)]
    others = [m for m in others if m not in top]
    drawn = rng.choice(len(others), len(top), replace=False)
    return [others[i] for i in drawn]


# %% tags=["wrong"]
# forgets that the top-k themselves may be drawn
def matched(top, widths, rng):
    chosen = []
    for layer, width in widths.items():
        wanted = sum(name == layer for name, _ in top)
        drawn = rng.choice(width, wanted, replace=False)
        chosen += [(layer, int(c)) for c in drawn]
    return chosen


# %% tags=["wrong"]
# draws with replacement
def matched(top, widths, rng):
    chosen = []
    for layer, width in widths.items():
        others = [c for c in range(width) if (layer, c) not in top]
        drawn = rng.choice(others, width - len(others))
        chosen += [(layer, int(c)) for c in drawn]
    return chosen


# %% [markdown] tags=["solution"]
# Random-k differs from the top-k in two things: which maps, and which layers. Most maps of a network are in
# its wide, late layers, so random-k mostly leaves the early ones alone, and a gap between the two may be no
# more than "early layers matter". The matched control leaves one difference, the maps. Where it falls short
# it drops less than the top-k do; that must be counted and said, since it makes the top-k look better.

# %% [markdown] tags=["instructor"]
# **Hint** Go layer by layer: how many are wanted, and who is left?
#
# **Marking** 2 points: the same number in each layer; 1 point: none of the top-k; 1 point: no repetition, and
# the crowded layer; 1 point: what random-k leaves open.
#
# **Common mistakes** Random-k under another name; a control that overlaps with what it is compared with.
#
# **Discuss** What else could be matched? (The size of the maps' outputs, the shift of their constants.)

# %% [markdown] tags=["exercise"]
# ```{exercise} Dropping after folding
# *Objective:* say what "set to zero" means once batch normalisation is folded in · *medium* · 15 minutes
#
# LRP works on a network in which batch normalisation has been folded into the convolution. Setting the
# *folded* convolution's output to zero is **not** feature-map dropout. `folded` is such a convolution, `bn`
# the batch normalisation inside it. Write `drop`, which returns a copy whose map `channel` is what
# feature-map dropout would leave of it.
# ```

# %% tags=["exercise"]
import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def trained_pair(bias, seed=0):
    """A convolution and a batch normalisation with a past."""
    torch.manual_seed(seed)
    conv, bn = nn.Conv2d(3, 6, 3, bias=bias).eval(), nn.BatchNorm2d(6).eval()
    for values in (bn.weight, bn.bias, bn.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(bn.running_var, 0.5, 2)
    return conv.requires_grad_(False), bn.requires_grad_(False)


# %% tags=["solution"]
def drop(folded, bn, channel):
    """A copy of a folded convolution in which one map is dropped."""
    dropped = copy.deepcopy(folded)
    # BEGIN SOLUTION
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    constant = bn.bias - scale * bn.running_mean
    dropped.weight[channel] = 0
    dropped.bias[channel] = constant[channel]
    # END SOLUTION
    return dropped


# %% tags=["test"]
conv, bn = trained_pair(bias=False)
folded = fuse_conv_bn_eval(conv, bn)
x = torch.randn(2, 3, 8, 8)
zeroed = conv(x)
zeroed[:, 4] = 0
wanted, found = bn(zeroed), drop(folded, bn, 4)(x)
assert found[:, 4].std() < 1e-6, (
    "map 4 still depends on the picture: what did its weights become?"
)
assert torch.allclose(found[:, 4], wanted[:, 4], atol=1e-5), (
    f"map 4 is {found[0, 4, 0, 0]:.3f} everywhere, feature-map dropout "
    f"leaves {wanted[0, 4, 0, 0]:.3f}: what does batch normalisation make "
    "of a zero?"
)
others = [0, 1, 2, 3, 5]
assert torch.allclose(found[:, others], wanted[:, others], atol=1e-5), (
    "the other maps have changed, too"
)

# %% tags=["hidden-test"]
from tff_core.features import dropout
from tff_core.features.names import FeatureMap

for number in range(3):
    conv, bn = trained_pair(bias=True, seed=number)
    with dropout.feature_map_dropout(
        nn.Sequential(conv, bn), [FeatureMap("0", 2, 6)]
    ) as model:
        wanted = model(x)
    found = drop(fuse_conv_bn_eval(conv, bn), bn, 2)(x)
    assert torch.allclose(found, wanted, atol=1e-5), (
        "wrong for a convolution with a bias: the folded bias contains it, "
        "and dropping the map takes it away with the rest"
    )
assert not (conv.weight[2] == 0).any(), "the given network was changed"


# %% tags=["wrong"]
# sets the output of the folded convolution to zero
def drop(folded, bn, channel):
    dropped = copy.deepcopy(folded)
    dropped.weight[channel] = 0
    dropped.bias[channel] = 0
    return dropped


# %% tags=["wrong"]
# keeps the folded bias, which is right only without a bias of its own
def drop(folded, bn, channel):
    dropped = copy.deepcopy(folded)
    dropped.weight[channel] = 0
    return dropped


# %% tags=["wrong"]
# takes beta, the usual mean of the map, for what a zero becomes
def drop(folded, bn, channel):
    dropped = copy.deepcopy(folded)
    dropped.weight[channel] = 0
    dropped.bias[channel] = bn.bias[channel]
    return dropped


# %% [markdown] tags=["solution"]
# The folded convolution computes $\gamma (w * a + b - \mu)/\sqrt{\sigma^2+\epsilon} + \beta$. Feature-map
# dropout makes $w * a + b$ zero, which leaves the constant $\beta - \gamma\mu/\sqrt{\sigma^2+\epsilon}$. Set
# the map's weights to zero and its bias to that constant. In a ResNet the convolutions have no bias of their
# own, so the constant *is* the folded bias, and keeping that is enough; in general it is not.
# `dropout.fold_dropout` does the general thing.

# %% [markdown] tags=["instructor"]
# **Hint** Follow a zero from the output of the plain convolution through the batch normalisation.
#
# **Marking** 1 point: weights; 2 points: the constant; 1 point: the convolution that has a bias.
#
# **Common mistakes** Zero after folding; $\beta$; the folded bias, in general.
#
# **Discuss** Is a constant of zero after the batch normalisation "less" of an intervention than this one?

# %% [markdown] tags=["exercise"]
# ```{exercise} The same pictures for both
# *Objective:* bootstrap a difference so that the pairing counts · *medium* · 20 minutes
#
# `a` and `b` are the logits of two conditions, such as top-k and control, on the *same* pictures. Write
# `difference`: the ends of a 95 % interval of AP(`a`) minus AP(`b`), from `n` resamples of the reals and,
# apart from them, of the fakes. What should come out where both conditions have the same logits?
# ```

# %% tags=["exercise"]
import numpy as np

from tff_core.metrics import average_precision as ap

rng = np.random.default_rng(0)
labels = np.repeat([0, 1], 40)
a = labels + rng.normal(size=80)
b = a + 0.1 * rng.normal(size=80)  # nearly the same detector


# %% tags=["solution"]
def difference(labels, a, b, rng, n=100):
    """Ends of the 95 % interval of AP(a) - AP(b), paired over pictures."""
    # BEGIN SOLUTION
    reals, fakes = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    found = []
    for _ in range(n):
        own = [rng.choice(group, len(group)) for group in (reals, fakes)]
        drawn = np.concatenate(own)
        y = labels[drawn]
        found.append(ap(y, a[drawn]) - ap(y, b[drawn]))
    return tuple(np.quantile(found, [0.025, 0.975]))
    # END SOLUTION


# %% tags=["test"]
low, high = difference(labels, a, a, np.random.default_rng(1))
assert low == high == 0, (
    f"two conditions with the same logits: from {low:.3f} to {high:.3f}, "
    "expected 0 to 0; do both terms see the same resampled pictures?"
)
low, high = difference(labels, a, b, np.random.default_rng(1))
assert low < high < low + 0.1, (
    f"two detectors that nearly agree differ by {low:.3f} to {high:.3f}: "
    "the interval should be far narrower than that of one AP"
)

# %% tags=["hidden-test"]
low, high = difference(labels, 1.0 * labels, 0 * a, rng)
assert np.allclose([low, high], 0.5), (
    f"a perfect ranking beside a blind one: the difference is one half in "
    f"every resample, found {low:.2f} to {high:.2f}; does each logit keep "
    "its label, and has every resample as many fakes as reals?"
)


# %% tags=["wrong"]
# draws the pictures anew for the second condition
def difference(labels, a, b, rng, n=100):
    found = []
    groups = [np.flatnonzero(labels == y) for y in (0, 1)]
    for _ in range(n):
        one = np.concatenate([rng.choice(g, len(g)) for g in groups])
        two = np.concatenate([rng.choice(g, len(g)) for g in groups])
        found.append(ap(labels[one], a[one]) - ap(labels[two], b[two]))
    return tuple(np.quantile(found, [0.025, 0.975]))


# %% tags=["wrong"]
# resamples the logits, but not the labels that belong to them
def difference(labels, a, b, rng, n=100):
    found = []
    for _ in range(n):
        drawn = rng.choice(len(labels), len(labels))
        found.append(ap(labels, a[drawn]) - ap(labels, b[drawn]))
    return tuple(np.quantile(found, [0.025, 0.975]))


# %% tags=["wrong"]
# resamples reals and fakes together, so their share varies
def difference(labels, a, b, rng, n=100):
    found = []
    for _ in range(n):
        drawn = rng.choice(len(labels), len(labels))
        y = labels[drawn]
        found.append(ap(y, a[drawn]) - ap(y, b[drawn]))
    return tuple(np.quantile(found, [0.025, 0.975]))


# %% [markdown] tags=["solution"]
# Hard pictures are hard for both conditions. Resampled together, what the pictures do to both cancels in the
# difference; resampled apart, it is counted twice, and two equal detectors seem to differ by as much as two
# drawn at random. Overlapping intervals of two APs therefore do not show that they are equal: what the claim
# is about is the difference, and it needs an interval of its own.

# %% [markdown] tags=["instructor"]
# **Hint** How many times do you draw picture numbers in one resample?
#
# **Marking** 2 points: one draw for both; 1 point: reals and fakes apart; 1 point: why the interval is
# narrower.
#
# **Common mistakes** Two draws; logits without their labels; subtracting the ends of two intervals.
#
# **Discuss** The draws of the control are resampled, too. Why are detector seeds not?

# %% [markdown] tags=["exercise"]
# ```{exercise} Lost, or only shifted?
# *Objective:* take away what a map tells without shifting what follows · *hard* · 25 minutes
#
# Zero is an unusual value for many maps, so dropping one also shifts the logits. Write `silenced`: the logits
# of `net` where the map `channel`, *after* batch normalisation (`net[1]`), has its mean over all pictures and
# positions, everywhere. Leave the network as it was. A forward hook that returns a tensor replaces a module's
# output.
# ```

# %% tags=["exercise"]
import torch
from torch import nn


def reader(seed=0):
    """Convolution, batch normalisation, mean, one logit."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1),
    )  # fmt: skip
    nn.init.constant_(net[1].running_mean, 1.0)
    return net.eval().requires_grad_(False)


net, x = reader(), torch.randn(32, 3, 6, 6)


# %% tags=["solution"]
def silenced(net, x, channel):
    """Logits (N, 1) with one map at its mean for every picture alike."""

    # BEGIN SOLUTION
    def hook(module, inputs, output):
        output = output.clone()
        output[:, channel] = output[:, channel].mean()
        return output

    handle = net[1].register_forward_hook(hook)
    try:
        return net(x)
    finally:
        handle.remove()
    # END SOLUTION


# %% tags=["test"]
whole, quiet = net(x), silenced(net, x, 2)
assert torch.equal(net(x), whole), (
    "afterwards the network gives other logits: is a hook still on it?"
)
assert (quiet - whole).abs().max() > 1e-3, (
    "no picture's logit has changed, so nothing was taken away: does each "
    "picture keep a value of its own?"
)
assert torch.isclose(quiet.mean(), whole.mean(), atol=1e-4), (
    f"the mean logit went from {whole.mean():.3f} to {quiet.mean():.3f}: "
    "this network is linear behind the map, so the map's mean keeps it"
)

# %% tags=["hidden-test"]
for number in range(1, 4):
    other, pictures = reader(number), torch.randn(16, 3, 7, 5)
    for channel in range(4):
        maps = other[1](other[0](pictures))
        maps[:, channel] = maps[:, channel].mean()
        expected = other[2:](maps)
        found = silenced(other, pictures, channel)
        assert torch.allclose(found, expected, atol=1e-5), (
            f"map {channel} of another network: the logits differ by up to "
            f"{(found - expected).abs().max():.3f}; is it one mean over all "
            "pictures and positions, and this map's alone?"
        )


# %% tags=["wrong"]
# sets the map to zero behind the batch normalisation
def silenced(net, x, channel):
    maps = net[1](net[0](x))
    maps[:, channel] = 0
    return net[2:](maps)


# %% tags=["wrong"]
# takes the mean of each picture: what the map told is still there
def silenced(net, x, channel):
    maps = net[1](net[0](x))
    maps[:, channel] = maps[:, channel].mean((1, 2), keepdim=True)
    return net[2:](maps)


# %% tags=["wrong"]
# leaves its hook on the network
def silenced(net, x, channel):
    def hook(module, inputs, output):
        output = output.clone()
        output[:, channel] = output[:, channel].mean()
        return output

    net[1].register_forward_hook(hook)
    return net(x)


# %% [markdown] tags=["solution"]
# The mean over all pictures is the constant that tells nothing about any of them and, as long as what follows
# is linear, moves no logit on average: what changes is information alone. Zero does both at once, and a
# threshold that was calibrated on the whole detector feels the shift. (The mean over *one* picture would keep
# all that a network with global averaging reads from the map: then nothing is lost.) Behind a ReLU the mean
# logit may move even so. {doc}`Later </notebooks/09_beyond>` the book asks what other ways of
# dropping change.

# %% [markdown] tags=["instructor"]
# **Hint** Compute the maps in two steps, `net[0]` and `net[1]`, before you write the hook. (A solution
# without hooks is as good.)
#
# **Marking** 1 point: the right place; 2 points: one mean for all; 1 point: the network is as it was;
# 1 point: which part of a drop in AP such a control would take away, and which it would not.
#
# **Common mistakes** A hook that stays; a mean for each picture; writing into the module's own output.
#
# **Discuss** A constant added to all logits changes no AP. Why can the shift of a constant *inside* the
# network change it?
