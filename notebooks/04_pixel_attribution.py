# %% [markdown]
# # Where the detector looks: explanations in pixels
#
# The usual question to a network is: *which pixels* made you decide so? {cite:t}`chandrasegaran2022` put it
# to universal detectors, looked at the heatmaps, and found nothing in them that a person could use; that is
# why they went on to feature maps. This chapter draws such heatmaps, counts what they show, and asks the
# same of networks that must give another answer.

# %% tags=["parameters"]
detector = "resnet50-miniature"
generators = [
    "progan",
    "stylegan2",
    "stylegan",
    "biggan",
    "cyclegan",
    "stargan",
    "gaugan",
]
seeds = [0, 1, 2]
n = None  # pictures per label and generator; at most 20 are used here, so that the page takes minutes
device = "auto"
build = ""  # where the results are; "": the project's build folder
classifier = None  # compared with; None: the scene classifier of the same network; "imagenet"; "": the latter

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from tff_core import detectors, figures, lrp
from tff_core.claims import verdicts
from tff_core.features import color_ablation, pixels
from tff_core.miniature import scenes
from tff_core.miniature.sample import layouts, things
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write

store = Store(build or None)
spec = detectors.get(detector, store)
device = (
    detectors.default_device() if device == "auto" else torch.device(device)
)
n = min(n or 20, 20)
if classifier is None:
    classifier = "" if spec.external else f"{spec.arch}-scenes"
images = {
    g: data.scan(store.data(spec.dataset, "test", g)).where(first=n)
    for g in generators
}
METHODS = figures.pixels.METHODS
LARGEST = 128  # pixels a side of what is drawn on this page: of larger pictures the middle

# %% [markdown]
# ## Two ways to a heatmap
#
# **Idea.** *Guided Grad-CAM* {cite}`selvaraju2017` multiplies a coarse map, of the regions whose deep
# features raise the answer, by a fine one, of the pixels that reach the answer through positive steps only
# {cite}`springenberg2015`. *LRP* {cite}`bach2015` hands the answer itself back, layer by layer, until it
# arrives at the pixels.
#
# **Equation.** Let $A_c$ be the maps of the last convolutional stage, $y$ the logit to be explained, and
# $G(x)$ guided backpropagation, the gradient $\partial y / \partial x$ of which only positive values pass at
# every activation. Then
#
# $$
# \text{Guided Grad-CAM}(x) = G(x) \cdot
# \operatorname{up}\Bigl[\operatorname{ReLU}\bigl(\textstyle\sum_c \alpha_c A_c\bigr)\Bigr], \qquad
# \alpha_c = \frac{1}{hw} \sum_{i,j} \frac{\partial y}{\partial A_{c,i,j}} .
# $$
#
# LRP is the walk of the chapter on {doc}`the ranking </notebooks/02_ff_rs>`, with one more step through the
# first convolution. Of both only positive relevance is kept, summed over the three colours.
#
# **What is explained.** What the network decides. A detector with logit $f$ and threshold $t$ gets a logit
# for each of its answers, $t - f$ for *real* and $f - t$ for *fake*; the larger one is explained, as the
# class with the largest logit is of a classifier.
#
# **Code.** captum {cite}`kokhlikyan2020` computes Guided Grad-CAM; guided backpropagation goes through
# EfficientNet's swish too, which the paper's code leaves plain.


# %%
def explain(model, net, x):
    """Heatmaps (N, H, W) of what a network decides on each picture, by both methods."""
    products = [pixels.guided_gradcam(model, part)[1] for part in x.split(25)]
    return {
        "guided_gradcam": pixels.heat(torch.cat(products)),
        "lrp": pixels.heat(pixels.relevance(net, x)),
    }


# %% [markdown]
# ## Three networks, one shape
#
# A heatmap that looks meaningless may be the fault of the detector, or of the method. So the same methods
# are put to three networks of the same shape, on the same pictures:
#
# - the **detector**, in all its training seeds;
# - a **classifier**, which says *what* a picture shows. It must look at contents. On the miniature it tells
#   scenes apart (facade, landscape, still life, pebbles) and was trained on the reals of the same training
#   part; for photographs it is ImageNet's, where its weights are on the machine;
# - an **untrained network** {cite}`adebayo2018`, which knows nothing at all. What its heatmaps show is the
#   shape of the network and the contrast of the picture.

# %%
trained = {
    seed: detectors.load(detector, seed, store, device) for seed in seeds
}
networks = {
    ("detector", seed): pixels.decisions(t.model, t.threshold)
    for seed, t in trained.items()
}
absent = ""  # why there is no classifier
if classifier in ("", "imagenet"):
    try:
        networks["classifier", 0] = detectors.imagenet(spec.arch).to(device)
    except (FileNotFoundError, ValueError) as error:
        absent = str(error)
else:
    control = detectors.load(classifier, 0, store, device)
    networks["classifier", 0] = control.model
torch.manual_seed(seeds[0])
blank = detectors.build(spec.arch)
example = data.load(
    images[generators[0]], spec.preprocessing, middle=True
)  # for batch norms, all of one size
example = data.normalize(example, spec.preprocessing).to(device)
networks["untrained", seeds[0]] = pixels.decisions(
    pixels.with_norms_of(blank, example)
)
# a classifier wants the same pictures, but with ImageNet's mean and deviation removed
plain = replace(
    spec.preprocessing, mean=data.IMAGENET.mean, std=data.IMAGENET.std
)
wanted = {
    key: plain if key[0] == "classifier" else spec.preprocessing
    for key in networks
}
nets = {
    key: lrp.canonize(model, bounds=wanted[key].bounds)
    for key, model in networks.items()
}

# %% tags=["hide-input"]
if absent:
    text = (
        "**There is no classifier here**, so that the detector stands beside the untrained network alone, "
        f"and the claim of this chapter cannot be tested: {absent}."
    )
elif classifier in ("", "imagenet"):
    text = "The control is the network with ImageNet's weights, from this machine."
else:
    found = control.info["validation"]
    accuracy = verdicts.percent(
        found["accuracy"], found["accuracy_low"], found["accuracy_high"]
    )
    text = (
        f"The classifier `{classifier}` names the class of {accuracy} of {found['n']} validation pictures "
        f"(95 % interval); guessing would name {verdicts.percent(1 / len(control.spec.classes))}."
    )
display(Markdown(text))

# %% [markdown]
# ## What counts as an object
#
# The scenes of the miniature are drawn by a program, so which pixel shows what is known exactly.
# **Objects** are the things with a shape of their own: windows and doors, trees, what stands on the table,
# pebbles. The rest is surface: sky, hills, ground, walls and roofs, table and backdrop, the gaps between
# pebbles. Of pictures from elsewhere nothing of that is known; they are only looked at. A real has the
# segmentation of its scene. A fake has one only where its family keeps the layout
# of the scene that it starts from; fakes that blend two scenes have none, and then the reals of the same
# folder have to do. Pictures without any object are left out.


# %%
def seen(mask):
    """A mask as the network sees the picture: resized and cropped alike."""
    return (
        spec.preprocessing.cut(
            torch.from_numpy(255 * mask.astype(np.uint8))[None]
        )[0].numpy()
        > 127
    )


def chosen(some):
    """Scenes behind the pictures, those with objects, and four to be shown: two fakes, two reals."""
    behind = layouts(some)
    masks = [
        None if scene is None else seen(things(scene)) for scene in behind
    ]
    measured = [
        i
        for i, mask in enumerate(masks)
        if mask is not None and 0 < mask.mean() < 1
    ]
    shown = []
    for label, places in ((1, (0, 0.5)), (0, (0.25, 0.75))):
        every = [i for i in range(len(some)) if some.labels[i] == label]
        known = [i for i in measured if some.labels[i] == label] or every
        shown += [known[int(place * len(known))] for place in places]
    return behind, masks, measured, shown


heat, masks, measured, shown, kinds = {}, {}, {}, {}, {}
for generator, some in images.items():
    behind, masks[generator], measured[generator], shown[generator] = chosen(
        some
    )
    kinds[generator] = [scene and scene.label for scene in behind]
    needed = sorted({*measured[generator], *shown[generator]})
    for key, model in networks.items():
        for x, _, index in data.batches(
            some.take(needed), device=device, preprocessing=wanted[key]
        ):
            places = [needed[i] for i in index]
            for method, maps in explain(model, nets[key], x).items():
                heat.setdefault((generator, method, *key), {}).update(
                    zip(places, maps, strict=True)
                )
    edges = {
        i: pixels.edges(data.load(some.take([i]), spec.preprocessing))[0]
        for i in needed
    }
    heat[generator, "edges", "edges", 0] = edges

# %% [markdown]
# ## Look first
#
# Bright is relevant, over a gray copy of the picture. The slider chooses the generator; the pictures stand at
# fixed places of each folder and are not the prettiest. Of large pictures the middle is shown. Can you tell
# from a row what makes a picture fake?

# %% tags=["hide-input"]
COLUMNS = {
    name: number
    for name, number in [("detector", seeds[0]), *networks]
    if name != "detector" or number == seeds[0]
}
names = ["picture", "objects", *COLUMNS]
every = [
    data.load(some.take(shown[g]), spec.preprocessing, middle=True).shape
    for g, some in images.items()
]
side = [
    min(LARGEST, *(shape[axis] for shape in every)) for axis in (2, 3)
]  # one size for the whole figure


def middle(picture):
    """The middle of a picture or heatmap (H, W, ...), of the size of the figure."""
    top, left = (
        (have - want) // 2
        for have, want in zip(picture.shape, side, strict=False)
    )
    return picture[top : top + side[0], left : left + side[1]]


frames, hover, rows = {}, {}, {}
for generator, some in images.items():
    picked = shown[generator]
    whole = [
        data.load(some.take([i]), spec.preprocessing)[0]
        .permute(1, 2, 0)
        .numpy()
        for i in picked
    ]
    plain = np.stack([middle(picture) for picture in whole])
    cells, words, labels = [], [], []
    for picture, i in zip(plain, picked, strict=True):
        mask = masks[generator][i]
        objects = (
            np.zeros_like(picture)
            if mask is None
            else np.where(middle(mask)[..., None], picture, 40)
        )
        label = ("real", "fake")[some.labels[i]]
        for method, called in METHODS.items():
            maps = np.stack(
                [
                    middle(heat[generator, method, m, seed][i])
                    for m, seed in COLUMNS.items()
                ]
            )
            first = np.stack([picture, objects]) * (
                method == next(iter(METHODS))
            )  # shown once
            drawn = pixels.overlay(np.stack([picture] * len(maps)), maps)
            cells.append(np.concatenate([first.astype(np.uint8), drawn]))
            words.append(
                [
                    label,
                    f"objects in the {label}",
                    *(f"{label}: {m}, {called}" for m in COLUMNS),
                ]
            )
            labels.append(f"{label}<br>{called.removeprefix('Guided ')}")
    name = figures.generator_name(generator)
    frames[name], hover[name], rows[name] = np.stack(cells), words, labels
figures.show(
    figures.collage(
        frames, hover, rows, names,
        f"What {spec.title} looks at, as a detector (seed {seeds[0]}), "
        + ("" if absent else "as a classifier of what is shown, ")
        + "and untrained: Guided Grad-CAM, and below it LRP. No objects: no segmentation is known.",
        prefix="generator: ",
    )
)  # fmt: skip

# %% [markdown]
# *How to read it.* Spots at the same places in every picture come from the shape of the network, whose
# strides let some pixels through on more paths than others. A cell without any light is an empty heatmap:
# nothing speaks for the answer, which is then due to the threshold alone.

# %% [markdown]
# ## Then count
#
# **Idea.** If an explanation follows the contents of a picture, more of its relevance lies on objects than
# their area alone would get.
#
# **Equation.** With $R \ge 0$ a heatmap and $O$ the pixels of objects, over pictures $x$,
#
# $$
# q = \frac{\sum_x \; \sum_{p \in O} R_p(x) \,/ \sum_p R_p(x)}{\sum_x \; |O(x)| / |x|} .
# $$
#
# $q = 1$ is an explanation that knows nothing of objects. Things also have contours, so $q$ is printed for
# a heatmap that asks no network: the strength of the picture's edges.

# %%
tables = []
for generator, index in measured.items():
    if not index:
        continue
    inside = np.stack([masks[generator][i] for i in index])
    fake = np.array([images[generator].labels[i] for i in index]) == 1
    for method in (*METHODS, "edges"):
        shares = {}
        for name, seed in [
            key[2:] for key in heat if key[:2] == (generator, method)
        ]:
            maps = np.stack(
                [heat[generator, method, name, seed][i] for i in index]
            )
            shares.setdefault(name, {})[seed], area = pixels.share_on(
                maps, inside
            )
        for label, kept in (
            ("all", fake | True),
            ("real", ~fake),
            ("fake", fake),
        ):
            if kept.any():
                part = {
                    name: {s: v[kept] for s, v in own.items()}
                    for name, own in shares.items()
                }
                contrast = (
                    ("detector", "classifier") if label == "all" else ("", "")
                )
                found = pixels.focus(part, area[kept], contrast)
                tables.append(
                    found.assign(
                        generator=generator, method=method, label=label
                    )
                )

# %% tags=["hide-input"]
CONTRAST = "detector - classifier"
unknown = [g for g in generators if not measured[g]]
# a generator whose pictures have no segmentation keeps its rows, without a number
tables += [
    pd.DataFrame(
        {
            "model": [CONTRAST],
            "seed": ["all"],
            "n": [0],
            "generator": [g],
            "method": [m],
            "label": ["all"],
        }
    )
    for g in unknown
    for m in METHODS
]
columns = ["detector", "generator", "label", "method", "model", "seed"]
columns += ["share", "area", "ratio", "value", "low", "high", "n", "empty"]
table = pd.concat(tables, ignore_index=True).reindex(columns=columns)
everything = table[table["label"] == "all"]
pooled = everything[(everything["seed"] == "all") & everything["low"].notna()]
numbers = bool(len(pooled))
if numbers:
    figures.show(figures.object_shares(everything))
if CONTRAST in set(pooled["model"]):
    figures.show(figures.share_differences(everything))

# %% tags=["hide-input"]
mean = pooled.groupby(["method", "model"])["value"].mean()
with_fakes = sorted(
    set(table.loc[table["label"] == "fake", "generator"]), key=generators.index
)
empty = (
    table[(table["label"] == "all") & (table["seed"] != "all")]
    .groupby("model")["empty"]
    .sum()
)
text = []
if unknown:
    named = ", ".join(map(figures.generator_name, unknown))
    text.append(
        f"**No number** for {named}: the segmentation of these pictures is not known."
    )
if numbers:
    means = "; ".join(
        f"{METHODS.get(method, 'no network')}: "
        + ", ".join(
            f"{model} {value:.2f}"
            for model, value in own.droplevel("method").items()
            if model != CONTRAST
        )
        for method, own in mean.groupby("method", sort=False)
    )
    named = ", ".join(map(figures.generator_name, with_fakes)) or "none"
    sizes = pooled.loc[
        pooled["model"]
        == (CONTRAST if CONTRAST in set(pooled["model"]) else "detector"),
        "n",
    ]
    text.append(
        f"Mean of q over the generators: {means}. "
        f"{' to '.join(map(str, sorted({sizes.min(), sizes.max()})))} pictures per generator, {len(seeds)} "
        f"detector seed{'s' * (len(seeds) > 1)}. Fakes are "
        f"among them for: {named}; for the others only the reals of the folder. Empty heatmaps (nothing "
        f"positive), which count nowhere: {int(empty['detector'])} of the detectors'"
        + (
            "."
            if absent
            else f", {int(empty['classifier'])} of the classifier's."
        )
    )
display(Markdown("\n\n".join(text)))

# %% [markdown]
# ## The verdict
#
# The rule: a generator speaks *for* the claim if the whole interval of $q$(detector) minus $q$(classifier)
# lies below zero for both methods, *against* it if it lies above zero for one of them; {doc}`the verdicts
# </notebooks/10_verdicts>` say how the word follows. The paper has no
# number to print beside it: its evidence is the sight of heatmaps of fakes.

# %% tags=["hide-input"]
rows = pooled[pooled["model"] == CONTRAST]
said = rows.assign(
    says=verdicts.side(rows["low"], rows["high"], 0, "below", rows["seeds"])
)
says = said.pivot(index="generator", columns="method", values="says")
says = says.reindex(index=generators, columns=list(METHODS)).dropna()
for_it = [g for g in says.index if (says.loc[g] == "for").all()]
against = [g for g in says.index if (says.loc[g] == "against").any()]
rest = [g for g in says.index if g not in for_it + against]

told = [
    f"{len(some)}{verdicts.named(some)}" for some in (for_it, against, rest)
]
if len(says):
    word = verdicts.word(len(for_it), against=len(against), open_=len(rest))
    follows = (
        pooled[pooled["model"] == "classifier"]
        .groupby("method")["low"]
        .apply(lambda low: (low > 1).sum())
    )
    counts = {
        side: ", ".join(
            f"{words} on {(says[m] == side).sum()}"
            for m, words in METHODS.items()
        )
        for side in ("for", "against")
    }
    text = (
        f"The claim {verdicts.claim_is(word)} here. Of {len(says)} "
        f"generators {told[0]} speak for it, {told[1]} against it, {told[2]} leave it open. "
        f"The interval lies above zero for {counts['against']}; below zero for {counts['for']}.\n\n"
        "**The premise.** The classifier's own explanations follow objects (whole interval of q above 1) for "
        + ", ".join(
            f"{words} on {follows.get(m, 0)}" for m, words in METHODS.items()
        )
        + ". Where they do not, the claim is measured against little."
    )
else:
    text = "The claim is **not testable here**: " + (
        "there is no classifier to compare with."
        if absent
        else "too few pictures have a segmentation and a heatmap."
    )
title = "Verdict: the detector's explanations follow objects less than a classifier's"
display(
    Markdown(f":::{{admonition}} {title}\n:class: important\n\n{text}\n:::")
)

# %% [markdown]
# By class of scene, in all pictures that have a segmentation:

# %% tags=["hide-cell"]
models = [
    "detector",
    *([] if absent else ["classifier"]),
    "untrained",
    "edges",
]
lines = [
    "| scenes | area of objects | method | " + " | ".join(models) + " | n |"
]
lines += ["|" + "---|" * (4 + len(models))]
for kind in scenes.CLASSES if numbers else ():
    places = [
        (g, i)
        for g, index in measured.items()
        for i in index
        if kinds[g][i] == kind
    ]
    if not places:
        continue
    inside = np.stack([masks[g][i] for g, i in places])
    for method, words in METHODS.items():
        shares = {}
        for name, seed in [*networks, ("edges", 0)]:
            key = ("edges" if name == "edges" else method, name, seed)
            maps = np.stack([heat[(g, *key)][i] for g, i in places])
            shares.setdefault(name, {})[seed], area = pixels.share_on(
                maps, inside
            )
        rows = (
            pixels.focus(shares, area)
            .query("seed == 'all'")
            .set_index("model")
        )
        rows = rows.loc[models]
        cells = [
            f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
            if r.low == r.low
            else "too few"
            for r in rows.itertuples()
        ]
        cells = [
            kind,
            verdicts.percent(area.mean()),
            words,
            *cells,
            str(len(places)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
display(
    Markdown("\n".join(lines) if numbers else "No picture has a segmentation.")
)

# %% [markdown]
# ## Does the heatmap depend on what was learnt?
#
# **Idea.** Adebayo and colleagues' sanity check {cite}`adebayo2018`: if the heatmap of a trained network
# resembles that of an untrained one, it cannot tell what training has taught. So: how alike do two networks
# order the pixels of a picture?
#
# **Equation.** Spearman's rank correlation of the two heatmaps, pixel by pixel, averaged over pictures.

# %%
pairs = {"another training seed": [("detector", s) for s in seeds[1:]],
         "classifier": [key for key in networks if key[0] == "classifier"],
         "untrained network": [("untrained", seeds[0])], "edges": [("edges", 0)]}  # fmt: skip
pairs = {words: others for words, others in pairs.items() if others}
alike, rows = {}, []
for method in METHODS:
    for words, others in pairs.items():
        for generator in generators:
            one = heat[generator, method, "detector", seeds[0]]
            values = []
            for name, seed in others:
                other = heat[
                    generator,
                    "edges" if name == "edges" else method,
                    name,
                    seed,
                ]
                values += [pixels.likeness([one[i]], [other[i]]) for i in one]
            values = np.concatenate(values or [[]])
            values = values[np.isfinite(values)]
            alike.setdefault((method, words), []).append(values)
            own = {
                "generator": generator,
                "label": "all",
                "method": method,
                "model": f"detector ~ {words}",
            }
            number = color_ablation.average(values)._asdict() if len(values) else {}
            rows.append(
                own | number | {"seed": str(seeds[0]), "n": len(values)}
            )

# %% tags=["hide-input"]
whole = pd.concat([*tables, pd.DataFrame(rows)], ignore_index=True).assign(
    detector=detector
)
for generator, own in whole.reindex(columns=columns).groupby("generator"):
    with atomic_write(
        store.part("pixel_attribution", detector, generator)
    ) as part:
        own.to_csv(part, index=False)
mean = {key: np.concatenate(values) for key, values in alike.items()}
mean = {
    key: color_ablation.average(values) for key, values in mean.items() if len(values)
}
lines = [
    "| the detector's heatmap, compared with that of | "
    + " | ".join(METHODS.values())
    + " |"
]
lines += ["|" + "---|" * (1 + len(METHODS))]
for words in pairs:
    cells = [
        f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
        if (r := mean.get((method, words)))
        else ""
        for method in METHODS
    ]
    lines.append(f"| {words} | " + " | ".join(cells) + " |")
passed = []
for method, called in METHODS.items():
    own, blank = (
        mean.get((method, "another training seed")),
        mean.get((method, "untrained network")),
    )
    if own is not None and blank is not None:
        word = "passes" if own.low > blank.high else "does not pass"
        passed.append(f"{called} {word}")
counts = [
    sum(map(len, values)) for values in alike.values() if sum(map(len, values))
]
span = (
    " to ".join(map(str, sorted({min(counts), max(counts)})))
    if counts
    else "0"
)
note = (
    f"Detector seed {seeds[0]}; mean rank correlation with 95 % intervals over pictures, {span} comparisons "
    "each; pictures with an empty heatmap are left out."
)
check = f" **Sanity check: {'; '.join(passed)}.**" if passed else ""
display(Markdown("\n".join(lines) + f"\n\n{note}{check}"))

# %% [markdown]
# *How to read it.* Another training seed, where there is one, says how far two detectors agree that learnt
# the same task. The rule: a method *passes* if the whole interval of that agreement lies above the whole
# interval of the likeness to the untrained network; with one seed alone there is no such check. Otherwise its
# heatmap shows the picture and the shape of the network, whatever was learnt: uninformative in a stricter
# sense than the verdict's, and no matter where the objects are.
#
# ## With other pictures, and ImageNet
#
# Pictures of your own have no segmentation: the page then shows the heatmaps and says that the number is
# missing. The paper's control is ImageNet's classifier. If its weights are on your machine, where torch
# keeps what it downloads, run this chapter with `classifier = "imagenet"`; nothing is downloaded. On the
# miniature's scenes, which are no photographs, ImageNet's classes mean little: there the scene classifier
# is the control.

# %% [markdown]
# ## What it means, and what it does not
#
# - If the classifier's relevance follows the objects and the detector's does not, the detector looks at
#   something else than contents. The heatmap says *where* it looks, and leaves open *at what*: this is the
#   sense in which it does not inform, and the reason to go on to feature maps.
# - It does **not** mean that the heatmap is wrong. Traces of a generator may well lie in the sky.
# - $q$ measures objects, not insight. A heatmap can follow objects because things have contours: compare it
#   with the edges and with the untrained network before calling it an explanation.
# - What counts as an object was decided here, by a list of segments. Another list gives other numbers; the
#   difference of two networks on the same pictures suffers less from that than each number does.
# - A classifier of four kinds of scene need not look at things: a sky gives a landscape away.

# %% [markdown]
# ```{exercise} Guided, but by what?
# Guided backpropagation sets negative gradients to zero at every ReLU. Which information about the logit
# gets lost, and why does the product with a class-activation map not bring it back?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Every path with a negative step is cut, so what arrives at the pixels are the paths on which everything
# speaks *for* a feature; which logit they lead to hardly matters after a few layers, and the result
# resembles the edges of the picture. The class-activation map knows the logit, but at the resolution of the
# last stage: a few cells a side. Their product has the detail of the one and the knowledge of the other,
# and looks as if the detail were known.
# ```
#
# ```{exercise} Explaining "real"
# A detector with the single logit $f$ calls a picture real. What does the class-activation map of $f$ show,
# and when is it empty? Follow LRP, started with $+|f|$, through the last layer, $f = \sum_c w_c a_c$, whose
# shares are $w_c a_c / f$: does it have the same trouble?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# The map keeps the regions whose features *raise* $f$: what speaks for fake, though the answer was real. It
# is empty if there is no such region. The logit $-f$ turns every $\alpha_c$ round, and the map shows what
# speaks for real; that is what `pixels.decisions` is for. LRP hands $w_c a_c\,|f| / f = -w_c a_c$ to each
# feature of such a picture, which is positive where the feature speaks for real: no trouble.
# ```
