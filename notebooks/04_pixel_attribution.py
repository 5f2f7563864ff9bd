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
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - measure whether a heatmap follows objects, and set it beside one that knows no network;
# - compute a class-activation map, and say what it shows when the answer is "real";
# - show that a method hardly depends on what it claims to explain;
# - check an attribution for completeness, and say why that is not enough.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} More than its area
# *Objective:* measure where heatmaps point, with one vote for each picture · *easy* · 10 minutes
#
# Write `q` from this chapter's equation: `heats` and `objects` are `(N, H, W)`, not negative and boolean.
# What is $q$ of a heatmap that is the same everywhere, and does its brightness matter?
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
objects = np.zeros((3, 8, 8), dtype=bool)
for i, side in enumerate((2, 4, 6)):
    objects[i, 1 : 1 + side, 1 : 1 + side] = True
heats = rng.random((3, 8, 8)) * (1 + 2 * objects)


# %% tags=["solution"]
def q(heats, objects):
    """Share of relevance on objects, over their share of the area."""
    # BEGIN SOLUTION
    on = (heats * objects).sum((1, 2)) / heats.sum((1, 2))
    return on.sum() / objects.mean((1, 2)).sum()
    # END SOLUTION


# %% tags=["test"]
same = q(np.full((3, 8, 8), 7.0), objects)
assert np.isclose(same, 1), (
    f"a heatmap that is the same everywhere has q = {same:.2f}: it knows "
    "nothing about objects, so expected 1; divide by the area's share"
)
loud = heats * np.array([1, 1, 100])[:, None, None]
assert np.isclose(q(loud, objects), q(heats, objects)), (
    "one heatmap a hundred times as bright changes q: each picture's "
    "relevance should be divided by its own sum first"
)

# %% tags=["hidden-test"]
from tff_core.features import pixels

shares, area = pixels.share_on(heats, objects)
expected = shares.sum() / area.sum()
assert np.isclose(q(heats, objects), expected), (
    f"q is {expected:.3f}, found {q(heats, objects):.3f}: sum over the "
    "pictures above and below the line, then divide"
)
assert np.isclose(q(1.0 * objects, objects), 3 / area.sum()), (
    "with all relevance on the objects q is one over their mean area"
)


# %% tags=["wrong"]
# pools the pixels of all pictures, so bright heatmaps count more
def q(heats, objects):
    return (heats * objects).sum() / heats.sum() / objects.mean()


# %% tags=["wrong"]
# reports the share of relevance, whatever the size of the objects
def q(heats, objects):
    return ((heats * objects).sum((1, 2)) / heats.sum((1, 2))).mean()


# %% tags=["wrong"]
# averages the ratios: a tiny object gives its picture a huge vote
def q(heats, objects):
    on = (heats * objects).sum((1, 2)) / heats.sum((1, 2))
    return (on / objects.mean((1, 2))).mean()


# %% [markdown] tags=["solution"]
# It is 1, at any brightness. "Half of the relevance lies on objects" sounds like a finding; where objects
# cover half of the pictures it is what blind heatmaps do. The mean of ratios is also 1 there, but a picture
# whose object is two pixels wide then sways it more than all others. A $q$ above 1 does not show that a
# *network* sees objects either: contours have edges, and a heatmap of edges, for which no network is needed,
# is above 1, too.

# %% [markdown] tags=["instructor"]
# **Hint** Compute the two shares for a single picture, then sum each over pictures.
#
# **Marking** 1 point: relevance divided by its own sum; 1 point: area; 1 point: ratio of sums; 1 point: what
# $q$ of edges says.
#
# **Common mistakes** Leaving out the area; pooling pixels; averaging ratios.
#
# **Discuss** Which heatmap without a network would you want beside any claim about "looking at objects"?

# %% [markdown] tags=["exercise"]
# ```{exercise} A map for each answer
# *Objective:* compute a class-activation map, and find out what its ReLU throws away · *medium* · 15 minutes
#
# `maps` are the feature maps $A_c$ of one picture, `gradients` those of the logit at each of their positions,
# both `(C, h, w)`. Write `cam`, the bracket of this chapter's equation before it is enlarged. A detector has
# one logit $f$ for "fake", and $-f$ for "real": can one place light up for both?
# ```

# %% tags=["exercise"]
import torch

torch.manual_seed(0)
maps, gradients = torch.rand(5, 6, 6), torch.randn(5, 6, 6)


# %% tags=["solution"]
def cam(maps, gradients):
    """Class-activation map (h, w), not scaled."""
    # BEGIN SOLUTION
    alpha = gradients.mean((1, 2))
    return torch.einsum("c,chw->hw", alpha, maps).clamp(min=0)
    # END SOLUTION


# %% tags=["test"]
fake, real = cam(maps, gradients), cam(maps, -gradients)
assert fake.min() >= 0 and real.min() >= 0, (
    "the map has negative values: they are the other answer's"
)
assert (fake * real).max() == 0, (
    "a place lights up for f and for -f: rectify the sum over maps, not "
    "each map's part of it"
)
assert max(fake.max(), real.max()) > 0, "both maps are empty"

# %% tags=["hidden-test"]
from torch import nn

from tff_core.features import pixels

net = nn.Sequential(
    nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2),
).eval()  # fmt: skip
x = torch.randn(1, 3, 8, 8)
for answer in (0, 1):
    a = net[:2](x).detach().requires_grad_()
    (g,) = torch.autograd.grad(net[2:](a)[0, answer], a)
    found = cam(a.detach()[0], g[0])
    found = found / found.max().clamp(min=1e-12)
    expected = pixels.gradcam(net, x, layer="1", target=answer)[0, 0]
    assert torch.allclose(found, expected, atol=1e-4), (
        f"answer {answer}: not Grad-CAM's map; each map should have one "
        "weight, the mean of its gradient over all positions"
    )


# %% tags=["wrong"]
# rectifies each map's part before the sum
def cam(maps, gradients):
    alpha = gradients.mean((1, 2), keepdim=True)
    return (alpha * maps).clamp(min=0).sum(0)


# %% tags=["wrong"]
# leaves out the ReLU
def cam(maps, gradients):
    return (gradients.mean((1, 2), keepdim=True) * maps).sum(0)


# %% tags=["wrong"]
# weighs each position by its own gradient
def cam(maps, gradients):
    return (gradients * maps).sum(0).clamp(min=0)


# %% [markdown] tags=["solution"]
# No: the sum before the ReLU changes its sign with the logit, so the two maps divide the picture between
# them. A single logit's map shows half of what the network computed, and if all evidence is on the other side
# it shows nothing at all. One weight for each map is a choice, too: it says how much the map matters on
# average over the picture, and loses where it does.

# %% [markdown] tags=["instructor"]
# **Hint** First the sum without a ReLU. What becomes of it if $f$ becomes $-f$?
#
# **Marking** 1 point: one weight for each map; 1 point: ReLU after the sum; 1 point: the answer for $f$ and
# $-f$.
#
# **Common mistakes** ReLU on every summand; gradients not averaged; scaling before comparing.
#
# **Discuss** What would a figure show that draws the map of $f$ for pictures that the detector calls real?

# %% [markdown] tags=["exercise"]
# ```{exercise} Explaining "real"
# *Objective:* choose the logit that belongs to the answer · *medium* · 10 minutes
#
# A detector with the single logit $f$ calls a picture real. What does the class-activation map of $f$ show,
# and when is it empty? Follow LRP, started with $+|f|$, through the last layer, $f = \sum_c w_c a_c$, whose
# shares are $w_c a_c / f$: does it have the same problem?
# ```

# %% [markdown] tags=["solution"]
# The map keeps the regions whose features *raise* $f$: what speaks for fake, though the answer was real. It
# is empty if there is no such region. The logit $-f$ flips the sign of every $\alpha_c$, and the map shows
# what speaks for real; that is what `pixels.decisions` is for. LRP hands $w_c a_c\,|f| / f = -w_c a_c$ to
# each feature of such a picture, which is positive where the feature speaks for real: no problem.

# %% [markdown] tags=["instructor"]
# **Hint** What is the sign of $f$ here, and so of $|f| / f$?
#
# **Marking** 1 point: what the map of $f$ shows; 1 point: when it is empty; 2 points: LRP through the last
# layer.
#
# **Common mistakes** Reading the map of $f$ as the reason for "real"; taking an empty map for a fault.
#
# **Discuss** A threshold other than 0 makes "real" of a positive logit. What then?

# %% [markdown] tags=["exercise"]
# ```{exercise} Guided backpropagation, and its opposite
# *Objective:* see how little a guided gradient depends on the logit · *medium* · 15 minutes
#
# Fill in the backward pass of a ReLU for guided backpropagation: a gradient passes only where the ReLU let
# its input pass *and* where the gradient itself is positive. The test compares the gradients of $f$ and of
# $-f$ at the pixels. For plain gradients their cosine is $-1$. Guess first: what is it for guided ones?
# ```

# %% tags=["exercise"]
import torch
from torch import nn


class Activation(nn.Module):
    """A function of a tensor as a layer."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def opposite(function, depth=4):
    """Cosine of the pixels' gradients of f and of -f, random weights."""
    torch.manual_seed(0)
    layers = []
    for width in [3] + [16] * (depth - 1):
        layers += [nn.Conv2d(width, 16, 3, padding=1), Activation(function)]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 1)
    net = nn.Sequential(*layers, *head)
    x = torch.randn(1, 3, 16, 16).requires_grad_()
    one, other = (torch.autograd.grad(s * net(x).sum(), x)[0] for s in (1, -1))
    return float(torch.cosine_similarity(one.flatten(), other.flatten(), 0))


# %% tags=["solution"]
class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        # BEGIN SOLUTION
        (x,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (x > 0)
        # END SOLUTION


# %% tags=["test"]
x = torch.tensor([2.0, 2.0, -2.0, -2.0], requires_grad=True)
incoming = torch.tensor([3.0, -3.0, 3.0, -3.0])
(found,) = torch.autograd.grad(Guided.apply(x), x, incoming)
assert found.tolist() == [3, 0, 0, 0], (
    f"inputs 2, 2, -2, -2 and gradients 3, -3, 3, -3: only the first passes "
    f"both masks, found {found.tolist()}"
)
plain, guided = opposite(torch.relu), opposite(Guided.apply)
print(f"cosine of f and -f: plain {plain:.2f}, guided {guided:.2f}")
assert plain < -0.99 and guided > 0.7, (
    f"guided gradients of f and of -f have cosine {guided:.2f}: expected "
    "nearly the same picture for both; are both masks in place?"
)

# %% tags=["hidden-test"]
from tff_core.features import pixels

x = torch.randn(200, requires_grad=True)
incoming = torch.randn(200)
found, expected = (
    torch.autograd.grad(relu(x), x, incoming)[0]
    for relu in (Guided.apply, pixels.Guided(torch.relu))
)
assert torch.equal(found, expected), (
    "differs from tff_core's guided ReLU on random inputs and gradients"
)


# %% tags=["wrong"]
# the ReLU's own mask only: the plain gradient
class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


# %% tags=["wrong"]
# masks the gradient's sign only, as a deconvolution does
class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(min=0)


# %% tags=["wrong"]
# lets negative gradients pass as positive ones
class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient.abs() * (x > 0)


# %% [markdown] tags=["solution"]
# Nearly $+1$: the guided pictures of $f$ and of $-f$ are almost the same, and this network has random
# weights. Behind the last activation the two gradients are opposite; its mask keeps half of each, and from
# there on only positive steps are followed, so both end where the paths of positive weights end. A picture
# that is the same for "fake" and for "real" cannot be the reason for either.

# %% [markdown] tags=["instructor"]
# **Hint** Two masks, multiplied; one is known from the forward pass, the other comes with the gradient.
#
# **Marking** 1 point: the mask of the input; 1 point: that of the gradient; 2 points: why $f$ and $-f$ give
# nearly the same.
#
# **Common mistakes** One mask of the two; masking the *output* of the backward pass by its own input twice.
#
# **Discuss** Deeper networks: does the cosine grow or fall? (Try `depth`.)

# %% [markdown] tags=["exercise"]
# ```{exercise} Guided, but by what?
# *Objective:* say what a product of two maps knows, and what it only seems to know · *medium* · 10 minutes
#
# Guided backpropagation sets negative gradients to zero at every ReLU. What information about the logit is
# lost, and why does the product with a class-activation map not restore it?
# ```

# %% [markdown] tags=["solution"]
# Every path with a negative step is cut, so only the paths on which everything speaks *for* a feature reach
# the pixels; which logit they lead to hardly matters after a few layers, and the result resembles the edges
# of the picture. The class-activation map knows the logit, but only at the resolution of the last stage: a
# few cells a side. Their product has the detail of one and the knowledge of the other, and looks as if the
# knowledge were that detailed.

# %% [markdown] tags=["instructor"]
# **Hint** Which of the two factors changes if another logit is explained? At what resolution?
#
# **Marking** 2 points: which paths are cut, and that the logit hardly matters; 2 points: resolution of the
# class-activation map.
#
# **Common mistakes** "The product combines the advantages of both."
#
# **Discuss** Design a figure that would show a reader how coarse the knowledge is.

# %% [markdown] tags=["exercise"]
# ```{exercise} Complete, and why
# *Objective:* build an attribution that adds up, and see why a gradient's does not · *hard* · 20 minutes
#
# Integrated gradients {cite}`sundararajan2017` go from a baseline $b$ to the input $x$ on a straight line and
# average the gradient on the way: $(x - b) \cdot \int_0^1 \nabla f(b + s\,(x - b))\, ds$. Write `integrated`
# with `steps` points at the middles of equal pieces. Then say, without computing, what the attributions sum
# to, and why.
# ```

# %% tags=["exercise"]
import torch


def saturated(x):
    """f (N,) of inputs (N, D): rises with their sum, up to 1."""
    return 1 - (1 - x.sum(-1)).relu()


x, baseline = torch.tensor([1.5, 0.5]), torch.zeros(2)


# %% tags=["solution"]
def integrated(f, x, baseline, steps=200):
    """Attributions (D,) of f at x (D,); f takes (N, D) and gives (N,)."""
    # BEGIN SOLUTION
    s = (torch.arange(steps) + 0.5) / steps
    path = (baseline + s[:, None] * (x - baseline)).requires_grad_()
    (gradients,) = torch.autograd.grad(f(path).sum(), path)
    return (x - baseline) * gradients.mean(0)
    # END SOLUTION


# %% tags=["test"]
found = integrated(saturated, x, baseline)
assert torch.isclose(found.sum(), torch.tensor(1.0), atol=0.01), (
    f"f rises from 0 to 1 on the way, the attributions sum to "
    f"{found.sum():.2f}; at x itself f is flat: the gradient is needed all "
    "along the line, as a mean, times the way"
)
assert torch.allclose(found, torch.tensor([0.75, 0.25]), atol=0.01), (
    f"expected 3/4 and 1/4, in proportion to the inputs: {found.tolist()}"
)

# %% tags=["hidden-test"]
torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Linear(5, 16), torch.nn.Softplus(), torch.nn.Linear(16, 1)
)


def bent(x):
    return net(x)[:, 0]


weights, a, b = torch.randn(5), torch.randn(5), torch.randn(5)
exact = integrated(lambda x: x @ weights, a, b, steps=3)
assert torch.allclose(exact, weights * (a - b), atol=1e-5), (
    "for a linear f each input should get its weight times its way from "
    "the baseline; is the baseline used at both places?"
)
rise = (bent(a[None]) - bent(b[None])).detach()
found = integrated(bent, a, b)
assert torch.isclose(found.sum(), rise, atol=1e-3), (
    f"from a baseline other than zero f changes by {rise.item():.3f}, the "
    f"attributions sum to {found.sum():.3f}"
)


# %% tags=["wrong"]
# the gradient at the input, times the input
def integrated(f, x, baseline, steps=200):
    here = x[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f(here).sum(), here)
    return (x - baseline) * gradient[0]


# %% tags=["wrong"]
# averages the gradient and forgets to multiply by the way
def integrated(f, x, baseline, steps=200):
    s = (torch.arange(steps) + 0.5) / steps
    path = (baseline + s[:, None] * (x - baseline)).requires_grad_()
    return torch.autograd.grad(f(path).sum(), path)[0].mean(0)


# %% tags=["wrong"]
# begins at zero whatever the baseline
def integrated(f, x, baseline, steps=200):
    s = (torch.arange(steps) + 0.5) / steps
    path = (s[:, None] * x).requires_grad_()
    return x * torch.autograd.grad(f(path).sum(), path)[0].mean(0)


# %% [markdown] tags=["solution"]
# To $f(x) - f(b)$: the sum over inputs is the derivative of $f$ *along* the line, integrated over the line,
# and that is the fundamental theorem of calculus. A gradient at the end of the way knows only the last step,
# and a sure network is flat there. Completeness is to this method what conservation is to LRP, and as
# little a proof: any way from $b$ to $x$ gives a complete attribution, and so does any baseline. An input
# that equals its baseline gets nothing, so a black baseline cannot see that a pixel is black.

# %% [markdown] tags=["instructor"]
# **Hint** Put all points of the line into one batch; the gradient of the *sum* of their outputs has a row for
# each.
#
# **Marking** 2 points: the path; 1 point: mean times way; 2 points: why it is complete.
#
# **Common mistakes** Gradient times input; the baseline forgotten at one of its two places; a sum, not a mean.
#
# **Discuss** What would be a baseline "without a trace of a generator"?
