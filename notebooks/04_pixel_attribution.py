# %% [markdown]
# # Where the detector looks: explanations in pixels
#
# The usual question to a network is: *which pixels* led to this decision? {cite:t}`chandrasegaran2022` asked
# it of universal detectors, looked at the heatmaps, and found nothing in them that a person could use; that
# is why they turned to feature maps. This chapter draws such heatmaps, measures what they show, and asks the
# same of networks that must give a different answer.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
seeds = [0, 1, 2]
n = None  # pictures per label and generator; at most 20 are used here
device = "auto"
build = ""  # where the results are; "": the project's build folder
classifier = None  # compared with; None: of scenes; "imagenet", or "": its

# %% tags=["remove-input"]
from dataclasses import replace

import pandas as pd
import torch

from tff_core import detectors, figures
from tff_core.book import panels
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import pixels as texts
from tff_core.features import heatmaps, pixels
from tff_core.pictures import data

chapter = Chapter(detector, generators, seeds, device=device, build=build)
spec, seed = chapter.spec, chapter.seed
if classifier is None:
    classifier = "" if spec.external else f"{spec.arch}-scenes"
n = min(n or 20, 20)
images = {g: chapter.test(g, first=n) for g in generators}

# %% [markdown]
# ## Two ways to a heatmap
#
# **Idea.** *Guided Grad-CAM* {cite}`selvaraju2017` multiplies a coarse map of the regions whose deep features
# raise the output by a fine map of the pixels that reach the output through positive steps only
# {cite}`springenberg2015`. *LRP* {cite}`bach2015` hands the output itself back, layer by layer, down to the
# pixels.
#
# **Equation.** Let $A_c$ be the maps of the last convolutional stage, $y$ the logit to be explained, and
# $G(x)$ guided backpropagation, the gradient $\partial y / \partial x$ with only positive values passed at
# every activation. Then
#
# $$
# \text{Guided Grad-CAM}(x) = G(x) \cdot
# \operatorname{up}\Bigl[\operatorname{ReLU}\bigl(\textstyle\sum_c \alpha_c A_c\bigr)\Bigr], \qquad
# \alpha_c = \frac{1}{hw} \sum_{i,j} \frac{\partial y}{\partial A_{c,i,j}} .
# $$
#
# LRP is the walk of the chapter on {doc}`the ranking </notebooks/02_ff_rs>`, with one more step through the
# first convolution. For both, only positive relevance is kept, summed over the three colour channels.
#
# **What is explained.** What the network decides. A detector with logit $f$ and threshold $t$ gets a logit
# for each of its answers, $t - f$ for *real* and $f - t$ for *fake*; the larger one is explained, just as for
# a classifier it is the class with the largest logit.
#
# **Code.** captum {cite}`kokhlikyan2020` computes Guided Grad-CAM; guided backpropagation goes through
# EfficientNet's swish too, which the paper's code leaves plain.


# %%
def explain(model, net, x):
    """Heatmaps (N, H, W) of what a network decides, by both methods."""
    products = [pixels.guided_gradcam(model, part)[1] for part in x.split(25)]
    return {
        "guided_gradcam": pixels.heat(torch.cat(products)),
        "lrp": pixels.heat(pixels.relevance(net, x)),
    }


# %% [markdown]
# ## Three networks, one architecture
#
# A heatmap that looks meaningless may be the fault of the detector, or of the method. So the same methods are
# applied to three networks of the same architecture, on the same pictures:
#
# - the **detector**, in all its training seeds;
# - a **classifier**, which says *what* a picture shows. It must look at content. On the miniature it tells
#   scenes apart (facade, landscape, still life, pebbles) and was trained on the reals of the same training
#   part; for photographs it is ImageNet's, where its weights are on the machine;
# - an **untrained network** {cite}`adebayo2018`, which knows nothing at all. Its heatmaps show the
#   architecture and the contrast of the picture.

# %%
seen = spec.preprocessing
networks = {}
for s in seeds:
    trained = chapter.trained(s)
    own = pixels.decisions(trained.model, trained.threshold)
    networks["detector", s] = heatmaps.Network.of(own, seen)

# a classifier of the same pictures, less ImageNet's mean and deviation
plain = replace(seen, mean=data.IMAGENET.mean, std=data.IMAGENET.std)
control = heatmaps.classifier(
    classifier, spec.arch, chapter.store, chapter.device
)
if not control.absent:
    networks["classifier", 0] = heatmaps.Network.of(control.model, plain)

torch.manual_seed(seed)
example = chapter.load(images[generators[0]], middle=True)  # of one size
example = data.normalize(example, seen).to(chapter.device)
blank = pixels.with_norms_of(detectors.build(spec.arch), example)
networks["untrained", seed] = heatmaps.Network.of(
    pixels.decisions(blank), seen
)

# %% tags=["remove-input"]
reached = control.trained and control.trained.info["validation"]
classes = len(control.trained.spec.classes) if control.trained else 0
say(texts.control(classifier, reached, classes, control.absent))

# %% [markdown]
# ## What counts as an object
#
# The scenes of the miniature are drawn by a program, so it is known exactly what each pixel shows.
# **Objects** are the things with a shape of their own: windows and doors, trees, what stands on the table,
# pebbles. The rest is surface: sky, hills, ground, walls and roofs, table and backdrop, the gaps between
# pebbles. For pictures from elsewhere none of this is known, so their heatmaps are only shown. A real has the
# segmentation of its scene. A fake has one only where its family keeps the layout of the scene it starts
# from; fakes that blend two scenes have none, and then the reals of the same folder stand in. Pictures
# without any object are left out.


# %%
subjects = {g: heatmaps.subject(some, seen) for g, some in images.items()}
heat = heatmaps.Heatmaps.collect(subjects, networks, explain, chapter.device)

# %% [markdown]
# ## Look first
#
# Bright means relevant, over a gray copy of the picture. The slider chooses the generator; the pictures are
# at fixed positions in each folder, not hand-picked. Large pictures are cropped to their middle. Can you tell
# from a row what makes a picture fake?

# %% tags=["remove-input"]
columns = {"detector": seed}
columns |= {name: s for name, s in networks if name != "detector"}
frames, hover, rows = panels.heatmaps(
    heat, columns, figures.pixels.METHODS, seen
)
beside = "" if control.absent else "as a classifier of what is shown, "
figures.show(
    figures.collage(
        frames,
        hover,
        rows,
        ["picture", "objects", *columns],
        f"What {spec.title} looks at, as a detector (seed {seed}), {beside}"
        "and untrained: Guided Grad-CAM, and below it LRP. No objects: no "
        "segmentation is known.",
        prefix="generator: ",
    )
)

# %% [markdown]
# *How to read it.* Spots at the same places in every picture come from the architecture, whose strides give
# some pixels more paths than others. A cell without any light is an empty heatmap: nothing speaks for the
# answer, which is then due to the threshold alone.

# %% [markdown]
# ## Then count
#
# **Idea.** If an explanation follows the content of a picture, more of its relevance lies on objects than
# their area alone would receive.
#
# **Equation.** With $R \ge 0$ a heatmap and $O$ the pixels of objects, over pictures $x$,
#
# $$
# q = \frac{\sum_x \; \sum_{p \in O} R_p(x) \,/ \sum_p R_p(x)}{\sum_x \; |O(x)| / |x|} .
# $$
#
# $q = 1$ is an explanation that knows nothing about objects. Objects also have contours, so $q$ is also
# printed for a heatmap that uses no network: the strength of the picture's edges.

# %%
table = heatmaps.focus(heat)

# %% tags=["remove-input"]
everything = table[table["label"] == "all"]
pooled = everything[everything["low"].notna() & (everything["seed"] == "all")]
if len(pooled):
    figures.show(figures.object_shares(everything))
if heatmaps.CONTRAST in set(pooled["model"]):
    figures.show(figures.share_differences(everything))
say(texts.means(table, len(seeds), bool(control.absent)))

# %% [markdown]
# ## The verdict
#
# The rule: a generator speaks *for* the claim if the whole interval of $q$(detector) minus $q$(classifier)
# lies below zero for both methods, *against* it if it lies above zero for one of them; {doc}`the verdicts
# </notebooks/10_verdicts>` explain how the verdict follows. The paper has no number to set beside it: its
# evidence is heatmaps of fakes, judged by eye.

# %% tags=["remove-input"]
say(texts.verdict(table, bool(control.absent)))

# %% [markdown]
# By class of scene, in all pictures that have a segmentation:

# %% tags=["remove-input", "hide-output"]
say(texts.scenes(heatmaps.by_scene(heat), [*columns, "edges"]))

# %% [markdown]
# ## Does the heatmap depend on what was learnt?
#
# **Idea.** Adebayo and colleagues' sanity check {cite}`adebayo2018`: if the heatmap of a trained network
# resembles that of an untrained one, it cannot tell what training has taught. So: how similarly do two
# networks rank the pixels of a picture?
#
# **Equation.** Spearman's rank correlation of the two heatmaps, pixel by pixel, averaged over pictures.

# %%
others = {
    "another training seed": [("detector", s) for s in seeds[1:]],
    "classifier": [key for key in networks if key[0] == "classifier"],
    "untrained network": [("untrained", seed)],
    "edges": [("edges", 0)],
}
others = {words: some for words, some in others.items() if some}
alike, mean = heatmaps.likeness(heat, seed, others)

# %% tags=["remove-input"]
alike = alike.assign(label="all", seed=str(seed))
alike["model"] = "detector ~ " + alike.pop("other")
whole = pd.concat([table, alike], ignore_index=True)
whole.insert(0, "detector", detector)
chapter.save("pixel_attribution", whole)
say(texts.likeness(mean, seed))

# %% [markdown]
# *How to read it.* Another training seed, where there is one, shows how far two detectors that learnt the
# same task agree. The rule: a method *passes* if the whole interval of that agreement lies above the whole
# interval of the similarity to the untrained network; with one seed alone there is no such check. Otherwise
# its heatmap shows the picture and the architecture, whatever was learnt: uninformative in a stricter sense
# than the verdict's, wherever the objects are.
#
# ## With other pictures, and ImageNet
#
# Pictures of your own have no segmentation: the page then shows the heatmaps and says that the number is
# missing. The paper's control is ImageNet's classifier. If its weights are on your machine, where torch
# keeps what it downloads, run this chapter with `classifier = "imagenet"`; nothing is downloaded. On the
# miniature's scenes, which are not photographs, ImageNet's classes mean little: there the scene classifier is
# the control.

# %% [markdown]
# ## What it means, and what it does not
#
# - If the classifier's relevance follows the objects and the detector's does not, the detector looks at
#   something other than content. The heatmap says *where* it looks, but not *at what*: this is the sense in
#   which it is uninformative, and the reason to turn to feature maps.
# - It does **not** mean that the heatmap is wrong. Traces of a generator may well lie in the sky.
# - $q$ measures objects, not insight. A heatmap can follow objects because objects have contours: compare it
#   with the edges and with the untrained network before calling it an explanation.
# - What counts as an object was decided here, by a list of segments. Another list gives other numbers; the
#   difference between two networks on the same pictures depends on it less than either number does.
# - A classifier of four kinds of scene need not look at things: a sky gives a landscape away.

# %% [markdown]
# ```{exercise} Guided, but by what?
# Guided backpropagation sets negative gradients to zero at every ReLU. What information about the logit is
# lost, and why does the product with a class-activation map not restore it?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Every path with a negative step is cut, so only the paths on which everything speaks *for* a feature reach
# the pixels; which logit they lead to hardly matters after a few layers, and the result resembles the edges
# of the picture. The class-activation map knows the logit, but only at the resolution of the last stage: a
# few cells a side. Their product has the detail of one and the knowledge of the other, and looks as if the
# knowledge were that detailed.
# ```
#
# ```{exercise} Explaining "real"
# A detector with the single logit $f$ calls a picture real. What does the class-activation map of $f$ show,
# and when is it empty? Follow LRP, started with $+|f|$, through the last layer, $f = \sum_c w_c a_c$, whose
# shares are $w_c a_c / f$: does it have the same problem?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# The map keeps the regions whose features *raise* $f$: what speaks for fake, though the answer was real. It
# is empty if there is no such region. The logit $-f$ flips the sign of every $\alpha_c$, and the map shows
# what speaks for real; that is what `pixels.decisions` is for. LRP hands $w_c a_c\,|f| / f = -w_c a_c$ to
# each feature of such a picture, which is positive where the feature speaks for real: no problem.
# ```
