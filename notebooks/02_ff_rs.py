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
# ```{exercise} The sum over a layer
# Show that the sum of $\omega$ over the channels of a layer lies between 0 and 1, and say when it is
# exactly 1.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# For one picture the sum over channels is $P / (P + N)$, where $P$ is the sum of the positive and $N$ the
# absolute sum of the negative relevance of the layer. It is 1 if nothing in the layer is negative. With the
# rule above and non-negative inputs, relevance stays positive; negative relevance enters where residual
# branches are added, because a branch can pull against the sum. A mean of numbers in $[0, 1]$ is in $[0, 1]$.
# ```
#
# ```{exercise} A ranking without the advantage of narrow layers
# Multiply each $\omega_c$ by the number of channels of its layer and rank again. Which layers does the new
# top-k come from? Start from `omega[seed].values`.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# ~~~python
# scaled = {
#     (layer, c): w * len(v)
#     for layer, v in omega[seed].values.items()
#     for c, w in enumerate(v)
# }
# best = sorted(scaled, key=scaled.get, reverse=True)[:k]
# parts = [layers.part(layer, spec.arch) for layer, _ in best]
# pd.Series(parts).value_counts()
# ~~~
# The scaled value compares a map with the *average map of its own layer*. Maps of wide layers can now win if
# the relevance there is concentrated in a few of them. Neither ranking is the right one: they answer
# different questions.
# ```
