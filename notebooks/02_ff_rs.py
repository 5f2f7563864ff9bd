# %% [markdown]
# # Relevance and omega
#
# A detector says "fake" with one number, its logit. This chapter hands that number back to the feature maps
# that made it, layer by layer, and turns the result into a ranking of all feature maps of the network: the
# *forensic feature relevance statistic* (FF-RS) of {cite:t}`chandrasegaran2022`, written $\omega$.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
k = None  # feature maps that count as top; None: the paper's number
seeds = [0, 1, 2]
n = None  # fakes to choose the one picture from, at most 100; None: 32
device = "auto"  # of the few pictures explained here
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
from itertools import combinations

import numpy as np
import pandas as pd

from tff_core import detectors, figures, lrp, published
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import ranking as texts
from tff_core.features import layers
from tff_core.pictures import data

chapter = Chapter(detector, generators, seeds, k=k, device=device, build=build)
spec, k, seed = chapter.spec, chapter.k, chapter.seed

# %% [markdown]
# ## Relevance: handing the logit back
#
# **Idea.** Every unit of a layer gets its value from units in the layer below. Give each of these a share of
# the relevance in proportion to its contribution, and repeat down to the pixels. That is *layer-wise
# relevance propagation* (LRP) {cite}`bach2015,montavon2019`.
#
# **Equation.** Let $a_j \ge 0$ be the inputs of a convolution and $w_{ij}$ its weights. The paper uses the
# rule that follows positive contributions only,
#
# $$
# R_j = \sum_i \frac{a_j w_{ij}^+}{\sum_{j'} a_{j'} w_{ij'}^+}\, R_i , \qquad w^+ = \max(w, 0),
# $$
#
# so that $\sum_j R_j = \sum_i R_i$: relevance is neither created nor lost. Where inputs can be negative, as
# in EfficientNet, negative inputs take part with negative weights. Batch normalisation is first folded into
# the convolution before it. Where a residual branch meets its shortcut, relevance splits in proportion to the
# two summands.

# %% [markdown]
# **Code.** Load a trained detector, convert it for LRP, and explain the fake it is surest about.

# %%
trained = chapter.trained()
net = lrp.canonize(trained.model, bounds=spec.preprocessing.bounds)

fakes = chapter.validation(label=1, first=min(n or 32, 100))
surest = detectors.logits(trained.model, chapter.batches(fakes)).argmax()
pixels = chapter.load(fakes.take([int(surest)]))
x = data.normalize(pixels, spec.preprocessing).to(chapter.device)
explained = lrp.relevance(net, x, pixels=True)

# %% [markdown]
# `explained.maps` holds one tensor of relevance for each of the network's convolutions. How much of the logit
# arrives? A layer that *all* paths pass through must receive all of it.

# %%
logit = float(explained.logit)
sums = {m: float(r.sum()) / abs(logit) for m, r in explained.maps.items()}
cuts = {"the pixels": float(explained.pixels.sum()) / abs(logit)}
cuts |= layers.passages(spec.arch, sums)

# %% tags=["remove-input"]
arriving = pd.DataFrame({"layer": list(sums), "share": list(sums.values())})
figures.show(figures.conservation(arriving, cuts))
say(texts.conservation(len(fakes), logit, cuts))

# %% [markdown]
# **Figure.** The same relevance as pictures, summed over the channels of a layer, from the pixels to the last
# convolutions. Move the slider.

# %% tags=["remove-input"]
drawn = {"the pixels": explained.pixels}
drawn |= dict(list(explained.maps.items())[::3])
drawn = {name: r[0].sum(0).cpu().numpy() for name, r in drawn.items()}
picture = pixels[0].permute(1, 2, 0).numpy()
figures.show(figures.relevance_maps(picture, drawn))

# %% [markdown]
# **What it means.** Relevance is an account of *this* logit: which units it was made of, given what the
# network computed. **What it does not mean.** It is not an experiment. A unit may carry much relevance and
# yet be replaceable, because others would say the same; to find out takes the intervention of the {doc}`next
# chapter </notebooks/03_sensitivity>`. Nor are bright pixels "where the forgery is": every pixel of these
# pictures was generated.

# %% [markdown]
# ## Omega: from one picture to a statistic
#
# **Idea.** Average over many fakes, and forget where in the picture the relevance sat: a universal artefact
# has no fixed place. Pictures with large logits must not outvote the others, so each picture is normalised,
# in each layer.
#
# **Equation.** For picture $x$ and layer $l$ let $R_{c,h,w}$ be the relevance at channel $c$ and position
# $(h, w)$. Over the set $X$ of fakes to which the detector gives a probability of at least 0.9,
#
# $$
# \omega^{(l)}_c = \frac{1}{|X|} \sum_{x \in X}
# \frac{\sum_{h,w} \max\bigl(R^{(l)}_{c,h,w}(x),\, 0\bigr)}{\sum_{c',h,w} \bigl|R^{(l)}_{c',h,w}(x)\bigr|}
# \in [0, 1].
# $$
#
# **Code.** One line, `ffrs.ff_rs(net, batches, label="fake")`; it keeps one number per feature map in memory,
# however many pictures there are. The pipeline ran it on ProGAN's validation pictures for every detector
# seed. A map's name gives its layer, its number there (`#`), and the number of maps in the layer (`T`).

# %%
omega = {s: chapter.omega(s) for s in seeds}
omega_real = chapter.omega(seed, "real")
for m in omega[seed].top(5):
    print(f"{m!s:40s} {omega[seed][m]:.4f}")

# %% [markdown]
# **Figure.** All feature maps of all layers, sorted by $\omega$.

# %% tags=["remove-input"]
theirs = spec.arch in published.K and published.K[spec.arch] == k
ranked = {f"seed {s}": [o[m] for m in o.ranking] for s, o in omega.items()}
at_k = published.OMEGA_AT_K[spec.arch] if theirs else None
figures.show(figures.omega_ranks(ranked, k, at_k))
own = ranked[f"seed {seed}"]
say(texts.concentration(spec.title, len(net.layers), own, k, seed))

# %% [markdown]
# ## Where the top-k lie

# %%
sources = {
    f"seed {s}": layers.mix(o.top(k), net.layers, spec.arch)
    for s, o in omega.items()
}
if theirs:
    sources["the paper"] = published.TOP_PARTS[spec.arch]
everything = omega[seed].ranking
sources["all maps"] = layers.mix(everything, net.layers, spec.arch)

# %% tags=["remove-input"]
rows = [
    {"source": source, "group": part, "count": count}
    for source, parts in sources.items()
    for part, count in parts.items()
]
figures.show(figures.layer_mix(pd.DataFrame(rows)))

# %% [markdown]
# The last bar shows what a uniform sample of the network would look like. Where the others differ from it, is
# that a discovery about forgeries or a property of the statistic? Sum $\omega$ over a layer: the result is
# the *positive share* of that layer's relevance, a number between 0 and 1 whatever the layer's width. If a
# layer of 64 maps and one of 2,048 divide up the same amount, a typical map of the narrow one gets 32 times
# as much.

# %%
per_layer = layers.per_layer(omega[seed], omega_real, k)

# %% tags=["remove-input"]
figures.show(figures.layer_sums(per_layer))
narrow = layers.narrowness(per_layer)
say(texts.narrowness(len(per_layer), seed, k, narrow))

# %% [markdown]
# ## How stable is the ranking?
#
# Train the same network again from another seed. Do the same maps come out on top? Two networks trained from
# different random weights share no numbering of channels: map 63 of one has nothing to do with map 63 of the
# other. So the *names* should agree no more often than chance, given how many of the top-k each layer holds;
# only the *layers* can agree. (Networks fine-tuned from the same pre-trained weights do share a numbering.)

# %%
rankings = {f"seed {s}, fakes": o.top(k) for s, o in omega.items()}
rankings[f"seed {seed}, reals"] = omega_real.top(k)
sets = [set(maps) for maps in rankings.values()]
common = np.array([[len(a & b) for b in sets] for a in sets])

# %% tags=["remove-input"]
figures.show(figures.overlap(common, list(rankings), k))
pairs = {
    (a, b): layers.agreement(omega[a], omega[b], k)
    for a, b in combinations(seeds, 2)
}
say(texts.stability(pairs, k, seed, int(common[0, -1])))

# %% [markdown]
# ## What omega does not mean
#
# - **Not importance.** It is an account, not an experiment; the next chapter intervenes.
# - **Not comparable across layers**, as shown above: each layer divides up its own total.
# - **Not a named artefact.** $\omega$ says which map, not what the map sees. The paper goes on to find
#   colour.
# - **Not a property of fakes alone.** It belongs to this detector, these weights and these pictures, and of
#   the pictures it uses only those that the detector is already sure about.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - hand the relevance of a layer back to the one below by the z+ rule, and check that nothing is lost;
# - fold a batch normalisation into its convolution, so that the rule sees one linear layer;
# - compute omega from relevance, and say what its normalisation does to pictures, to maps and to layers;
# - say why narrow layers win, and rank without that advantage.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} The sum over a layer
# *Objective:* say what the normalisation of omega does to a layer · *easy* · 5 minutes
#
# Show that the sum of $\omega$ over the channels of a layer lies between 0 and 1, and say when it is
# exactly 1.
# ```

# %% [markdown] tags=["solution"]
# For one picture the sum over channels is $P / (P + N)$, where $P$ is the sum of the positive and $N$ the
# absolute sum of the negative relevance of the layer. It is 1 if nothing in the layer is negative. With the
# rule above and non-negative inputs, relevance stays positive; negative relevance enters where residual
# branches are added, because a branch can pull against the sum. A mean of numbers in $[0, 1]$ is in $[0, 1]$.

# %% [markdown] tags=["instructor"]
# **Hint** Call the positive relevance of the whole layer $P$ and the absolute negative one $N$.
#
# **Marking** 1 point: $P / (P + N)$ for one picture; 1 point: the mean over pictures; 1 point: where negative
# relevance comes from.
#
# **Common mistakes** Summing to 1 in every case; forgetting that residual branches can pull against each
# other.
#
# **Discuss** If every layer shares out at most 1, what does a layer of four maps do to a ranking of all maps?

# %% [markdown] tags=["exercise"]
# ```{exercise} Back through a dense layer
# *Objective:* apply the z+ rule, and check what it keeps and what it refuses · *easy* · 10 minutes
#
# Inputs $a_j \ge 0$, weights $w_{ij}$, relevance $R_i$ of the outputs. Write `zplus`, which returns $R_j$ by
# this chapter's rule. An output that no positive contribution reached has nothing to hand back to: its share
# is zero, not NaN.
# ```

# %% tags=["exercise"]
import torch

a = torch.tensor([1.0, 2.0, 0.0])
w = torch.tensor([[1.0, 1.0, 5.0], [2.0, -0.5, 1.0]])
relevance = torch.tensor([3.0, 4.0])


# %% tags=["solution"]
def zplus(a, w, relevance):
    """Relevance (J,) of inputs a (J,); w (I, J), relevance (I,)."""
    # BEGIN SOLUTION
    positive = w.clamp(min=0)
    z = positive @ a
    return a * ((relevance / z.clamp(min=1e-12)) @ positive)
    # END SOLUTION


# %% tags=["test"]
below = zplus(a, w, relevance)
assert torch.isclose(below.sum(), relevance.sum()), (
    f"7 went in and {below.sum():g} came out: each output must be divided "
    "by the sum of its own contributions, and each share has a factor a"
)
assert below.min() >= 0, (
    f"an input got {below.min():g}: a negative weight took part"
)
assert torch.allclose(below, torch.tensor([5.0, 2.0, 0.0])), (
    "output 1 is made of 1 and 2, output 2 of 2 and nothing else, so the "
    f"inputs get 1 + 4, 2 and 0: found {below.tolist()}"
)

# %% tags=["hidden-test"]
from tff_core.lrp.rules import Conv

torch.manual_seed(0)
for _ in range(5):
    a, w, relevance = torch.rand(6), torch.randn(4, 6), torch.rand(4)
    rule = Conv(w[:, :, None, None], None, (1, 1), (0, 0), (1, 1), 1)
    _, saved = rule.forward(a[None, :, None, None])
    expected = rule.relevance(relevance[None, :, None, None], saved)[0]
    assert torch.allclose(zplus(a, w, relevance), expected.flatten()), (
        "a 1 x 1 convolution of tff_core shares this out differently: are "
        "only positive weights used, above and below the line?"
    )
dead = zplus(torch.ones(2), torch.tensor([[-1.0, -2.0]]), torch.ones(1))
assert dead.tolist() == [0, 0], (
    f"an output without positive contributions gave back {dead.tolist()}: "
    "expected zeros; keep the denominator above zero"
)


# %% tags=["wrong"]
# shares in proportion to all contributions, negative ones included
def zplus(a, w, relevance):
    return a * ((relevance / (w @ a)) @ w)


# %% tags=["wrong"]
# shares out by the weights and forgets how active the inputs are
def zplus(a, w, relevance):
    positive = w.clamp(min=0)
    return (relevance / positive.sum(1).clamp(min=1e-12)) @ positive


# %% tags=["wrong"]
# divides zero by zero where nothing positive arrived
def zplus(a, w, relevance):
    positive = w.clamp(min=0)
    return a * ((relevance / (positive @ a)) @ positive)


# %% [markdown] tags=["solution"]
# Each output hands back all it has, so the sum is kept for any weights: conservation says that the *account*
# balances, not that it is true. The rule that counts negative contributions, too, is just as balanced, but
# its shares can have either sign and grow without bound where the contributions nearly cancel. Two things get
# nothing: an input that is zero, whatever its weight, and a negative weight, whatever its input. So the z+
# rule never says that an input spoke *against* an output. And where nothing positive arrives, relevance is
# lost after all.

# %% [markdown] tags=["instructor"]
# **Hint** First the contributions $a_j w^+_{ij}$ as a table of outputs and inputs; then normalise its rows.
#
# **Marking** 1 point: positive weights above and below the line; 1 point: conservation; 1 point: the output
# that nothing reached.
#
# **Common mistakes** Normalising over outputs instead of inputs; dividing by zero; forgetting $a_j$.
#
# **Discuss** Name two different rules that both conserve. What, then, does a test of conservation prove?

# %% [markdown] tags=["exercise"]
# ```{exercise} Who outvotes whom
# *Objective:* compute omega so that every picture has one vote · *medium* · 10 minutes
#
# `relevance` has shape `(N, C, H, W)`: one layer, $N$ pictures. Write `omega_of` from this chapter's
# equation.
# Each of the mistakes that the tests look for lets something be outvoted, or cancelled: a picture, a map, or
# a place in a map.
# ```

# %% tags=["exercise"]
import torch

torch.manual_seed(0)
relevance = torch.randn(8, 5, 4, 4)


# %% tags=["solution"]
def omega_of(relevance):
    """Omega (C,) of the maps of a layer."""
    # BEGIN SOLUTION
    positive = relevance.clamp(min=0).sum((2, 3))
    total = relevance.abs().sum((1, 2, 3))
    return (positive / total[:, None]).mean(0)
    # END SOLUTION


# %% tags=["test"]
loud = relevance.clone()
loud[0] *= 1000
assert torch.allclose(omega_of(loud), omega_of(relevance)), (
    "a picture with a logit a thousand times as large changes omega: "
    "normalise each picture by its own total"
)
assert omega_of(relevance).min() >= 0 and omega_of(relevance).sum() <= 1, (
    "omega should be a share of the layer: at least 0, and at most 1 in "
    "sum; divide by the sum of absolute values, which cannot cancel"
)

# %% tags=["hidden-test"]
from tff_core.features import ffrs

oracle = ffrs.Accumulator({"layer": 5})
oracle.add("layer", relevance, torch.ones(8, dtype=torch.bool))
expected = (oracle.sums["layer"] / oracle.counts["layer"]).float()
assert torch.allclose(omega_of(relevance), expected, atol=1e-6), (
    "omega differs from tff_core's: is the positive part taken at each "
    "place, before places are summed?"
)
torn = torch.tensor([4.0, -4.0, 1.0, 1.0]).reshape(1, 2, 1, 2)
assert torch.allclose(omega_of(torn), torch.tensor([0.4, 0.2])), (
    "a map with +4 at one place and -4 at another has omega 4/10: within "
    "a map the two must not cancel"
)


# %% tags=["wrong"]
# one total for all pictures: large logits outvote the others
def omega_of(relevance):
    return relevance.clamp(min=0).sum((0, 2, 3)) / relevance.abs().sum()


# %% tags=["wrong"]
# divides by the sum, not by the sum of absolute values
def omega_of(relevance):
    positive = relevance.clamp(min=0).sum((2, 3))
    return (positive / relevance.sum((1, 2, 3))[:, None]).mean(0)


# %% tags=["wrong"]
# sums the places of a map first, where plus and minus cancel
def omega_of(relevance):
    positive = relevance.sum((2, 3)).clamp(min=0)
    return (positive / relevance.abs().sum((1, 2, 3))[:, None]).mean(0)


# %% [markdown] tags=["solution"]
# The order of the steps is the definition. The total is taken for each picture, so a sure picture has no more
# votes than one that is barely sure enough. It is taken of absolute values, so it cannot come near zero by
# cancellation, which would let one picture outvote all others. The positive part is taken at each place, so
# what speaks against "fake" in one corner does not hide what speaks for it in another. (It also means that a
# map that is torn between the two can rank high.)

# %% [markdown] tags=["instructor"]
# **Hint** For each of the three operations (positive part, sum, division): over which axes, and when?
#
# **Marking** 1 point: total for each picture; 1 point: absolute values; 1 point: positive part before the sum.
#
# **Common mistakes** Normalising over the batch; normalising each map by itself; clamping after the sum.
#
# **Discuss** Would you normalise over all layers at once? What would it do to deep and to shallow layers?

# %% [markdown] tags=["exercise"]
# ```{exercise} Fold it away
# *Objective:* merge batch normalisation into a convolution exactly · *medium* · 15 minutes
#
# The z+ rule is for a linear layer with weights. A convolution followed by batch normalisation, $\gamma (z -
# \mu) / \sqrt{\sigma^2 + \epsilon} + \beta$, is one: write `fold`, which returns weights and bias of the
# *single* convolution that computes what the two compute together, in evaluation mode.
# ```

# %% tags=["exercise"]
import torch
from torch import nn


def pair(bias, seed=0):
    """A convolution and a batch normalisation with a past."""
    torch.manual_seed(seed)
    conv, bn = nn.Conv2d(3, 8, 3, bias=bias), nn.BatchNorm2d(8).eval()
    for values in (bn.weight, bn.bias, bn.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(bn.running_var, 0.5, 2)
    return conv.requires_grad_(False), bn.requires_grad_(False)


# %% tags=["solution"]
def fold(conv, bn):
    """Weights (C_out, C_in, h, w) and bias (C_out,) of the two as one."""
    # BEGIN SOLUTION
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    own = 0 if conv.bias is None else conv.bias
    bias = bn.bias + scale * (own - bn.running_mean)
    return conv.weight * scale[:, None, None, None], bias
    # END SOLUTION


# %% tags=["test"]
conv, bn = pair(bias=False)
x = torch.randn(2, 3, 9, 9)
weight, bias = fold(conv, bn)
wanted, found = bn(conv(x)), nn.functional.conv2d(x, weight, bias)
off = (found - wanted).mean((0, 2, 3)).abs().max()
assert torch.allclose(found, wanted, atol=1e-4) or off < 1e-4, (
    f"the means of the maps are off by up to {off:.2g}: a constant is "
    "missing from the bias, or is not scaled like the map"
)
assert torch.allclose(found, wanted, atol=1e-4), (
    "the means of the maps agree, their values do not: look at the scale"
)

# %% tags=["hidden-test"]
from tff_core import lrp

for number in range(3):
    conv, bn = pair(bias=True, seed=number)
    weight, bias = fold(conv, bn)
    found = nn.functional.conv2d(x, weight, bias)
    assert torch.allclose(found, bn(conv(x)), atol=1e-4), (
        "wrong for a convolution that has a bias of its own: batch "
        "normalisation scales that bias, too"
    )
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)
    net = nn.Sequential(conv, bn, nn.ReLU(), *head).eval()
    expected = lrp.canonize(net).conv("0").weight
    assert torch.allclose(weight, expected, atol=1e-5), (
        "tff_core folds to other weights: look at the scale"
    )


# %% tags=["wrong"]
# divides by the variance, not by its root
def fold(conv, bn):
    scale = bn.weight / (bn.running_var + bn.eps)
    bias = bn.bias - scale * bn.running_mean
    return conv.weight * scale[:, None, None, None], bias


# %% tags=["wrong"]
# subtracts the mean without scaling it
def fold(conv, bn):
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    bias = bn.bias - bn.running_mean
    return conv.weight * scale[:, None, None, None], bias


# %% tags=["wrong"]
# leaves the convolution's own bias as it was
def fold(conv, bn):
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    own = 0 if conv.bias is None else conv.bias
    bias = own + bn.bias - scale * bn.running_mean
    return conv.weight * scale[:, None, None, None], bias


# %% [markdown] tags=["solution"]
# $w' = w\,\gamma / \sqrt{\sigma^2 + \epsilon}$ and $b' = \beta + (b - \mu)\,\gamma / \sqrt{\sigma^2 +
# \epsilon}$, map by map. Note that a negative $\gamma$ turns the sign of a map's weights: which of them are
# positive, and so what the z+ rule passes on, is decided *after* folding. An explanation of the unfolded
# convolution would follow the wrong half of its weights.

# %% [markdown] tags=["instructor"]
# **Hint** Write the batch normalisation as $s z + t$ with two numbers for each map, then put $z = w * a + b$
# into it.
#
# **Marking** 1 point: scale; 1 point: bias without, 1 point: with a bias of the convolution; 1 point: what a
# negative $\gamma$ does to z+.
#
# **Common mistakes** The variance instead of its root; $\mu$ unscaled; scaling the wrong axis of the weights.
#
# **Discuss** In training mode the same fold would be wrong. Why?

# %% [markdown] tags=["exercise"]
# ```{exercise} A ranking without the advantage of narrow layers
# *Objective:* tell a discovery from a property of the statistic · *hard* · 20 minutes
#
# `by_luck` makes up omegas in which no map is special: two layers share out the same amount at random, one
# among 16 maps, one among 256. The first test shows which layer the top 32 come from. Write `scaled`, which
# multiplies each omega by the number of maps of its layer. Then do it with this chapter's
# `omega[seed].values`: which layers does the new top-k come from?
# ```

# %% tags=["exercise"]
import numpy as np

WIDTHS = {"narrow": 16, "wide": 256}


def by_luck(seed):
    """Omega of every map of two layers, shared out at random."""
    rng = np.random.default_rng(seed)
    return {name: rng.dirichlet(np.ones(n)) for name, n in WIDTHS.items()}


def among_top(values, k=32):
    """How many of the k largest values each layer has."""
    names = np.repeat(list(values), [len(v) for v in values.values()])
    best = np.argsort(-np.concatenate(list(values.values())))[:k]
    return {name: int((names[best] == name).sum()) for name in values}


# %% tags=["solution"]
def scaled(values):
    """Layer by layer, each omega times the number of maps there."""
    # BEGIN SOLUTION
    return {layer: omegas * len(omegas) for layer, omegas in values.items()}
    # END SOLUTION


# %% tags=["test"]
plain = [among_top(by_luck(i))["narrow"] for i in range(20)]
fair = [among_top(scaled(by_luck(i)))["narrow"] for i in range(20)]
print(f"of the narrow layer's 16 maps, in the top 32: {np.mean(plain):.1f}")
print(f"scaled: {np.mean(fair):.1f}; its share of all maps: {32 / 17:.1f}")
assert np.mean(plain) > 8, "by luck alone most narrow maps are at the top"
assert 0.5 < np.mean(fair) < 4, (
    f"still {np.mean(fair):.1f} of 16 narrow maps in the top 32, though no "
    "map is special: expected about 16 of 272, like any other maps"
)

# %% tags=["hidden-test"]
given = {"a": np.array([0.3, 0.1]), "b": np.full(8, 0.1)}
assert np.allclose(scaled(given)["a"], [0.6, 0.2]), (
    f"a layer of two maps: 0.3 and 0.1 become 0.6 and 0.2, found "
    f"{scaled(given)['a']}; multiply by the number of maps, nothing else"
)
assert np.allclose(scaled(given)["b"], 0.8), "eight maps: 0.1 becomes 0.8"
assert np.allclose(given["a"], [0.3, 0.1]), "the given omegas were changed"


# %% tags=["wrong"]
# divides by the width, which doubles the advantage
def scaled(values):
    return {layer: omegas / len(omegas) for layer, omegas in values.items()}


# %% tags=["wrong"]
# divides by the layer's sum, which is 1 already
def scaled(values):
    return {layer: omegas / omegas.sum() for layer, omegas in values.items()}


# %% tags=["wrong"]
# divides by the layer's mean, which also undoes differences of the sums
def scaled(values):
    return {layer: omegas / omegas.mean() for layer, omegas in values.items()}


# %% [markdown] tags=["solution"]
# With the values of a detector:
#
# ~~~python
# new = scaled(omega[seed].values)
# ranked = sorted(
#     ((w, layer) for layer, v in new.items() for w in v), reverse=True
# )
# parts = [layers.part(layer, spec.arch) for _, layer in ranked[:k]]
# pd.Series(parts).value_counts()
# ~~~
#
# A narrow layer fills the plain top-k even where relevance is handed out by lot: finding the top-k in narrow
# layers is no discovery. The scaled value compares a map with its even share of the layer, so maps of wide
# layers can win if relevance is concentrated in a few of them. Neither ranking is the right one: they answer
# different questions.

# %% [markdown] tags=["instructor"]
# **Hint** If a layer shares out 1 among $n$ maps, what does a map of no merit get?
#
# **Marking** 1 point: `scaled`; 2 points: what the first test shows; 2 points: which question each ranking
# answers.
#
# **Common mistakes** Dividing by the width; normalising by the sum, which changes nothing where it is 1;
# calling the scaled ranking the true one.
#
# **Discuss** A control drawn in the *same layers* takes the advantage away without touching the ranking.
