# %% [markdown]
# # Relevance and omega
#
# A detector says "fake" with one number, its logit. This chapter hands that number back to the feature maps
# that made it, layer by layer, and turns the result into a ranking of all feature maps of the network: the
# *forensic feature relevance statistic* (FF-RS) of {cite:t}`chandrasegaran2022`, written $\omega$.

# %% tags=["parameters", "hide-input"]
detector = "resnet50-miniature"
generators = ["progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan"]
k = None  # how many feature maps count as top; None: the paper's number for this network
seeds = [0, 1, 2]
n = None  # how many fakes to choose the one picture from, at most 100; None: 32
device = "auto"  # of the few pictures explained here; "auto": what is there
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from tff_core import detectors, figures, lrp
from tff_core.features import ffrs
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
spec = detectors.get(detector, store)
k = k or spec.k
where = detectors.default_device() if device == "auto" else device

# %% [markdown]
# ## Relevance: handing the logit back
#
# **Idea.** Every unit of a layer got its value from units of the layer below. Give each of them a part of
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
# so that $\sum_j R_j = \sum_i R_i$: relevance is neither made nor lost. Where inputs can be negative, as in
# EfficientNet, negative inputs take part with negative weights. Batch normalisation is first folded into
# the convolution before it. Where a residual branch meets its shortcut, relevance splits in proportion to
# the two summands.

# %% [markdown]
# **Code.** Load a trained detector, make it readable for LRP, and explain the fake of which it is surest.

# %%
trained = detectors.load(detector, seeds[0], store, where)
net = lrp.canonize(trained.model, bounds=spec.preprocessing.bounds)

fakes = data.scan(store.data(spec.dataset, "val", "progan")).where(label=1, first=min(n or 32, 100))
batches = data.batches(fakes, device=where, preprocessing=spec.preprocessing)
surest = int(detectors.logits(trained.model, batches).argmax())
pixels = data.load(fakes.take([surest]), spec.preprocessing)
x = data.normalize(pixels, spec.preprocessing).to(where)
explained = lrp.relevance(net, x, pixels=True)

# %% [markdown]
# `explained.maps` holds one tensor of relevance for each of the network's convolutions. How much of the
# logit arrives? A place through which *all* paths run must receive all of it.

# %%
logit = float(explained.logit)
sums = {layer: float(r.sum()) / abs(logit) for layer, r in explained.maps.items()}
everything = {
    "resnet50": ["conv1"] + [f"layer{i}.0.conv3 + layer{i}.0.downsample.0" for i in (1, 2, 3, 4)],
    "efb0": ["_conv_stem", "_conv_head"],
}.get(spec.arch, [])  # of other networks it is not known here which places all paths run through
cuts = {place: sum(sums[layer] for layer in place.split(" + ")) for place in everything}
cuts = {"the pixels": float(explained.pixels.sum()) / abs(logit), **cuts}

# %% tags=["hide-input"]
figures.show(figures.conservation(pd.DataFrame({"layer": list(sums), "share": list(sums.values())}), cuts))

# %% tags=["hide-input"]
low, high = (f"{end:.3f}" for end in (min(cuts.values()), max(cuts.values())))
display(
    Markdown(
        f"Of {len(fakes)} fakes from validation this is the one with the largest logit ({logit:.2f}). "
        f"Through {len(cuts)} place{'s' * (len(cuts) > 1)} that all relevance must pass, the share of the "
        f"logit that arrives is {low if low == high else f'between {low} and {high}'}. What is missing, or "
        f"in excess, at *all* of them alike went to the bias of the last, linear layer: there the rule "
        f"counts the bias as a contribution, in the convolutions it does not."
        + (
            " What differs *between* them was taken by the small constants that keep a division by almost "
            "nothing from exploding; a network with tiny activations loses more that way."
            if len(cuts) > 1
            else ""
        )
    )
)

# %% [markdown]
# **Figure.** The same relevance, seen as pictures: summed over the channels of a layer, from the pixels to
# the last convolutions. Move the slider.

# %% tags=["hide-input"]
picture = pixels[0].permute(1, 2, 0).numpy()
layers = {"the pixels": explained.pixels, **dict(list(explained.maps.items())[::3])}
figures.show(figures.relevance_maps(picture, {name: r[0].sum(0).cpu().numpy() for name, r in layers.items()}))

# %% [markdown]
# **What it means.** Relevance is an account of *this* logit: which units it was made of, given what the
# network computed. **What it does not mean.** It is no experiment. A unit may carry much relevance and yet
# be replaceable, because others would say the same; that needs the intervention of the {doc}`next chapter
# </notebooks/03_sensitivity>`. Nor are bright pixels "where the forgery is": every pixel of these pictures
# was generated.

# %% [markdown]
# ## Omega: from one picture to a statistic
#
# **Idea.** Average over many fakes, and forget where in the picture the relevance sat: a universal artefact
# has no fixed place. Pictures with large logits must not outvote the others, so each picture is normalised,
# in each layer.
#
# **Equation.** For picture $x$ and layer $l$ let $R_{c,h,w}$ be the relevance at channel $c$ and position
# $(h, w)$. Over the set $X$ of fakes that the detector calls fake with probability at least 0.9,
#
# $$
# \omega^{(l)}_c = \frac{1}{|X|} \sum_{x \in X}
# \frac{\sum_{h,w} \max\bigl(R^{(l)}_{c,h,w}(x),\, 0\bigr)}{\sum_{c',h,w} \bigl|R^{(l)}_{c',h,w}(x)\bigr|}
# \in [0, 1].
# $$
#
# **Code.** One line, `ffrs.ff_rs(net, batches, label="fake")`; it needs memory for one number per feature
# map, however many pictures there are. The pipeline ran it on ProGAN's validation pictures for every
# detector seed. A map's name says its layer, its number there (`#`), and how many maps the layer has (`T`).

# %%
omega = {seed: ffrs.Omega.from_csv(store.omega(detector, seed), net) for seed in seeds}
omega_real = ffrs.Omega.from_csv(store.omega(detector, seeds[0], "real"), net)
for m in omega[seeds[0]].top(5):
    print(f"{m!s:40s} {omega[seeds[0]][m]:.4f}")

# %% [markdown]
# **Figure.** All feature maps of all layers, sorted by $\omega$.

# %% tags=["hide-input"]
published_at_k = {("resnet50", 114): 0.02533, ("efb0", 27): 0.05639}.get((spec.arch, k))
ranked = {f"seed {seed}": [o[m] for m in o.ranking] for seed, o in omega.items()}
figures.show(figures.omega_ranks(ranked, k, published_at_k))

# %% tags=["hide-input"]
some = omega[seeds[0]]
total = sum(some[m] for m in some.ranking)
share = sum(some[m] for m in some.top(k)) / total
empty = sum(some[m] == 0 for m in some.ranking)
display(
    Markdown(
        f"{spec.title} has {len(some):,} feature maps in {len(some.values)} layers. With seed {seeds[0]} the "
        f"top {k} ({100 * k / len(some):.2f} % of them) hold {100 * share:.1f} % of all $\\omega$; "
        f"{empty:,} maps hold none at all. (In the published ranking of ResNet-50 705 are exactly "
        f"zero, so that its *low-k* is an arbitrary choice among equals.)"
    )
)

# %% [markdown]
# ## Where the top-k lie

# %% tags=["hide-input"]
# counted in the paper's published rankings (progan_val-fake.csv), among the first 114 and the first 27
PAPER = {
    ("resnet50", 114): {"conv1": 9, "layer1": 57, "layer2": 22, "layer3": 5, "layer4": 21},
    ("efb0", 27): {
        "_conv_stem": 5,
        "_expand_conv": 1,
        "_depthwise_conv": 6,
        "_project_conv": 15,
        "_conv_head": 0,
    },
}


def part(layer):
    return layer.split(".")[-1 if spec.arch == "efb0" else 0]


# %%
def mix(maps):
    parts = {part(layer): 0 for layer in net.layers}
    for m in maps:
        parts[part(m.layer)] += 1
    return parts


sources = {f"seed {seed}": mix(o.top(k)) for seed, o in omega.items()}
sources |= {"the paper": PAPER[spec.arch, k]} if (spec.arch, k) in PAPER else {}
sources["all maps"] = mix(some.ranking)

# %% tags=["hide-input"]
rows = [{"source": s, "group": g, "count": c} for s, parts in sources.items() for g, c in parts.items()]
figures.show(figures.layer_mix(pd.DataFrame(rows)))

# %% [markdown]
# The last bar is what a uniform sample of the network would look like. Where the others differ from it, is
# that a discovery about forgeries, or a property of the statistic? Sum $\omega$ over a layer: the result is
# the *positive share* of that layer's relevance, a number between 0 and 1 whatever the layer's width. If a
# layer of 64 maps and one of 2,048 share out the same amount, a typical map of the narrow one gets 32 times
# as much.

# %% tags=["hide-input"]
top = set(some.top(k))
per_layer = pd.DataFrame(
    {
        "layer": list(some.values),
        "channels": [len(v) for v in some.values.values()],
        "fake": [v.sum() for v in some.values.values()],
        "real": [omega_real.values[layer].sum() for layer in some.values],
        "top": [sum(m.layer == layer for m in top) for layer in some.values],
    }
)
figures.show(figures.layer_sums(per_layer))

# %% tags=["hide-input"]
agreement = np.corrcoef(-np.log(per_layer["channels"]), per_layer["top"] / per_layer["channels"])[0, 1]
display(
    Markdown(
        f"Across the {len(per_layer)} layers of seed {seeds[0]}, the correlation between a layer's "
        f"narrowness (minus the logarithm of its channels) and the share of its maps that are in the top "
        f"{k} is {agreement:+.2f}. A positive value is what the definition of $\\omega$ leads one to "
        f"expect, for *any* task. A control that draws feature maps uniformly, as the paper's random-k "
        f"does, mostly draws from wide late layers, and so differs from the top-k in *two* respects: in "
        f"relevance and in place. The **layer-matched** control of the next chapter draws as many maps "
        f"from each layer as the top-k have there, so that only relevance differs."
    )
)

# %% [markdown]
# ## How stable is the ranking?
#
# Train the same network again from another seed. Are the same maps on top? Two networks trained from
# different random weights have no common numbering of channels: map 63 of one has nothing to do with map 63
# of the other. So the *names* should agree no more often than chance allows, given how many each layer
# holds; it is the *layers* that can agree. (Networks fine-tuned from the same pre-trained weights do share
# a numbering.)

# %%
rankings = {f"seed {seed}, fakes": o.top(k) for seed, o in omega.items()}
rankings[f"seed {seeds[0]}, reals"] = omega_real.top(k)
sets = [set(maps) for maps in rankings.values()]
common = np.array([[len(a & b) for b in sets] for a in sets])

# %% tags=["hide-input"]
figures.show(figures.overlap(common, list(rankings), k))

# %% tags=["hide-input"]
counts = {
    seed: pd.Series({layer: sum(m.layer == layer for m in o.top(k)) for layer in some.values})
    for seed, o in omega.items()
}
channels = per_layer.set_index("layer")["channels"]
pairs = [(a, b) for i, a in enumerate(seeds) for b in seeds[i + 1 :]]
lines = [
    f"- seeds {a} and {b}: {len(set(omega[a].top(k)) & set(omega[b].top(k)))} maps in common; "
    f"{(counts[a] * counts[b] / channels).sum():.1f} expected by chance, given the layers; "
    f"correlation of the number of top-{k} maps per layer {np.corrcoef(counts[a], counts[b])[0, 1]:+.2f}"
    for a, b in pairs
]
display(
    Markdown(
        ("\n".join(lines) if lines else "One seed only: nothing to compare.")
        + f"\n\nFakes and reals, seed {seeds[0]}: {int(common[0, -1])} maps in common. (In the published "
        "rankings of ResNet-50: 3 of 114.) Omega on reals explains the opposite logit: what speaks for "
        "*real*."
    )
)

# %% [markdown]
# ## What omega does not mean
#
# - **Not importance.** It is an account, not an experiment; the next chapter intervenes.
# - **Not comparable across layers**, as shown above: each layer shares out its own total.
# - **Not a named artefact.** $\omega$ says which map, not what the map sees. The paper goes on to find
#   colour.
# - **Not a property of fakes alone.** It belongs to this detector, these weights and these pictures, of
#   which it used only those that the detector is already sure of.

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
# rule above and inputs that are not negative, relevance stays positive; negative relevance comes in where
# residual branches are added, because a branch can pull against the sum. A mean of numbers in $[0, 1]$ is
# in $[0, 1]$.
# ```
#
# ```{exercise} A ranking without the advantage of narrow layers
# Multiply each $\omega_c$ by the number of channels of its layer and rank again. Which layers does the new
# top-k come from? Start from `omega[seeds[0]].values`.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# ~~~python
# scaled = {(layer, c): w * len(v) for layer, v in some.values.items() for c, w in enumerate(v)}
# best = sorted(scaled, key=scaled.get, reverse=True)[:k]
# pd.Series([part(layer) for layer, _ in best]).value_counts()
# ~~~
# The scaled value compares a map with the *average map of its own layer*. Maps of wide layers can now win,
# if relevance there is concentrated in few of them. Neither ranking is the right one: they answer different
# questions.
# ```
