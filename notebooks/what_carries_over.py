# %% [markdown]
# # Colour is what carries over
#
# The paper finds colour among the features that a universal detector carries from one generator to others.
# It looks for them in a detector that sees everything. This page asks the question from the other end: train
# detectors that **cannot** see a part of the picture, and look at what still carries over.

# %% tags=["parameters", "remove-input"]
compared = {
    "rgb": "resnet18-rgb",
    "luma": "resnet18-luma",
    "chroma": "resnet18-chroma",
}  # what a detector sees, and its name
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
seeds = [0, 1, 2]
dataset = "miniature"
shifted = "miniature-other"  # the same part, its reals by another camera
n = None  # pictures per label and generator, at most 60; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import detectors, figures
from tff_core.book.chapter import save, say
from tff_core.claims.texts import planes as texts
from tff_core.features import planes
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device

# %% [markdown]
# ## Three detectors, trained alike
#
# **Idea.** A picture is a *luma*, the light, and two *chroma* components, the colours. A network that is
# given the luma alone cannot use colour; one that is given the chroma alone cannot use anything else. If
# both learn to recognise the fakes that they are trained on, then both parts carry traces. Which of them
# carries over to generators that neither has seen?
#
# **Equation.** With $Y = 0.299\,R + 0.587\,G + 0.114\,B$, the three networks see
#
# $$
# x, \qquad (Y, Y, Y), \qquad x - (Y, Y, Y) + \tfrac12,
# $$
#
# each less the mean of the 3 x 3 pixels around, and every channel brought to the same contrast: how *strong*
# a trace is says nothing, its shape alone does. Network, pictures, steps and seeds are the same.
#
# **Code.** The part that a detector sees belongs to its preprocessing.

# %%
nets = {
    s: [detectors.load(compared[s], seed, store, device) for seed in seeds]
    for s in planes.SEES
}
seen = {s: some[0].spec.preprocessing for s, some in nets.items()}
for s, one in seen.items():
    print(f"{s:7s} high-pass {one.highpass}, contrast {one.contrast}")


# %%
def logits(sees, images, transform=None):
    """Of all pictures, (S, N): one row per training seed."""
    shown = data.batches(
        images,
        device=device,
        transform=transform,
        preprocessing=seen[sees],
    )
    return np.stack([detectors.logits(d.model, shown) for d in nets[sees]])


# %% tags=["remove-input"]
held_out = {
    s: np.mean([d.info["validation"]["ap"] for d in some])
    for s, some in nets.items()
}
say(texts.trained(held_out))

# %% [markdown]
# ## On pictures as in training, and on others
#
# A trace of the *simulation* would be worth nothing: a JPEG whose blocks always begin in the corner, say, or
# a demosaicing that all reals share. So every detector is asked three times.
#
# - **As trained**: the test pictures of every generator.
# - **Cut at random**: seven eighths of each side, from a place of its own for every picture, so that no grid
#   begins in the corner any more.
# - **Another camera**: the reals, and the scenes that fakes are made from, are taken by the second camera of
#   the {doc}`data card </notebooks/data_card>`, which has another mosaic, other sharpening and no JPEG. What
#   the detector knows about *reals* from the first camera is then of no use.


# %%
def test(generator, of=dataset):
    folder = store.data(of, "test", generator)
    return data.scan(folder).where(first=min(n or 60, 60))


asked = {
    planes.SAME: (dataset, None),
    planes.OFFSET: (dataset, planes.cut),
    planes.CAMERA: (shifted, None),
}
table = []
for condition, (of, transform) in asked.items():
    for generator in generators:
        images = test(generator, of)
        found = {sees: logits(sees, images, transform) for sees in nets}
        rows = planes.compare(images.labels, found)
        table.append(rows.assign(generator=generator, condition=condition))
table = pd.concat(table, ignore_index=True)

# %% tags=["remove-input"]
figures.show(figures.planes(table))
say(texts.numbers(table))

# %% [markdown]
# ## Real trace or simulated?
#
# One experiment needs no fake at all. Give the detectors the reals of both cameras and see whether they rank
# those of the second above those of the first. A detector that knows reals by the first camera's JPEG or
# demosaicing calls the second camera's reals fake, and its average precision on this task is high; one that
# looks for what generators leave behind does no better than chance.

# %%
first = test("progan").where(label=0)
second = test("progan", shifted).where(label=0)
labels = np.r_[np.zeros(len(first)), np.ones(len(second))]
found = {
    sees: np.hstack([logits(sees, first), logits(sees, second)])
    for sees in nets
}
cameras = planes.compare(labels, found)

# %% tags=["remove-input"]
order = ["generator", "condition"]
table = table[[*order, *(name for name in table if name not in order)]]
save(store, "planes", table)
save(store, "planes_cameras", cameras)
say(texts.verdict(table, cameras))

# %% [markdown]
# The rule is that of all claims: a generator speaks for it if the whole interval of the AP of chroma alone
# minus that of luma alone lies above zero, against it if below; {doc}`the verdicts </notebooks/10_verdicts>`
# explain how the word follows. ProGAN, which all three were trained on, is left out. The paper has no such
# test: the claim is what its interpretation implies.
#
# ## What it means, and what it does not
#
# - If chroma alone carries over and luma alone does not, then the features that transfer *can* be colour
#   features, whatever a detector that sees both decides to use. {doc}`Without colour
#   </notebooks/06_color_ablation>` asks what it does use.
# - It does **not** say that luma carries no trace: only that what a network learns from one generator's luma
#   says little about another's.
# - The generators here are small and related, and their losses weigh every channel alike. Large generators
#   are trained with losses that care for luma more than for colour, which would make chroma an even better
#   place to look; that cannot be seen here.
# - Where the answer changes with the camera or with the cut, the trace belongs to the simulation, and the
#   text above says so.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - build the picture that a detector of luma alone, or of chroma alone, is given;
# - say which traces of a file or of an upsampling each of the two can carry;
# - tell a trace of a grid from one of a scene by cutting the grid's corner off.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} A grid without colour
# *Objective:* know where traces of an upsampling hide · *easy* · 5 minutes
#
# A network sees the luma alone. Which trace of an upsampling that doubles every pixel can it still find, and
# what would hide it?
# ```

# %% [markdown] tags=["solution"]
# The pairs: within a pair of columns neighbours differ less than between pairs, in luma as in chroma, unless
# the layers after the upsampling have smoothed it away. Generators are trained until their luma passes for
# real, so it is there that the pairs vanish first; the {doc}`data card </notebooks/data_card>` shows both
# against the steps of training.

# %% [markdown] tags=["instructor"]
# **Hint** Compare neighbours within a pair of columns, and across two pairs.
#
# **Marking** 1 point: pairs of columns and rows. 1 point: what smooths them.
#
# **Discuss** Would the pairs survive if the picture were cut at an odd place? Reduced to three quarters?

# %% [markdown] tags=["exercise"]
# ```{exercise} What a network is shown
# *Objective:* find out what chroma alone still knows about the light · *easy* · 10 minutes
#
# Write `shown` for pictures with values in [0, 1]: `"luma"` gives the luma in all three channels, `"chroma"`
# the picture less its luma, plus one half. What is the luma of every pixel of the second? A shadow multiplies
# all three channels of a surface by one half. Does a network that is given the chroma alone see the shadow?
# ```

# %% tags=["exercise"]
import torch

LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
rng = torch.Generator().manual_seed(0)
pictures = torch.rand(4, 3, 8, 8, generator=rng, dtype=torch.float64)


# %% tags=["solution"]
def shown(pictures, what):
    """What a detector of "luma" or of "chroma" sees of (N, 3, H, W)."""
    # BEGIN SOLUTION
    luma = torch.einsum("c,nchw->nhw", LUMA, pictures)[:, None]
    return (
        luma.expand_as(pictures) if what == "luma" else pictures - luma + 0.5
    )
    # END SOLUTION


# %% tags=["test"]
luma, chroma = (shown(pictures, what) for what in ("luma", "chroma"))
assert luma.shape == chroma.shape == pictures.shape, (
    "a network has three input channels, whatever they hold"
)
light = torch.einsum("c,nchw->nhw", LUMA, chroma)
assert torch.allclose(light, torch.full_like(light, 0.5)), (
    "the light of the chroma picture must be one half everywhere: was the "
    "mean of the channels taken off in place of their luma?"
)
assert torch.allclose(luma + chroma - 0.5, pictures), (
    "both parts together must give the whole picture"
)

# %% tags=["hidden-test"]
from tff_core.pictures.data import Preprocessing, normalize

plain = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
for what in ("luma", "chroma"):
    want = normalize(pictures, Preprocessing(planes=what, **plain))
    assert torch.allclose(shown(pictures, what), want), (
        f"{what} differs from what the detectors of this page are shown"
    )
shadow = shown(pictures / 2, "chroma") - 0.5
assert torch.allclose(shadow, (chroma - 0.5) / 2), "chroma scales with light"


# %% tags=["wrong"]
# takes the mean of the channels for the luma
def shown(pictures, what):
    luma = pictures.mean(1, keepdim=True)
    return (
        luma.expand_as(pictures) if what == "luma" else pictures - luma + 0.5
    )


# %% tags=["wrong"]
# gives the luma as a single channel
def shown(pictures, what):
    luma = torch.einsum("c,nchw->nhw", LUMA, pictures)[:, None]
    return luma if what == "luma" else pictures - luma + 0.5


# %% [markdown] tags=["solution"]
# One half, everywhere. Yet the shadow is there: the chroma of a coloured surface is halved with its light. A
# detector of chroma alone still sees the shapes of coloured things; *without luma* does not mean *without
# scenes*. Only gray things, and what makes a surface lighter by adding white, disappear.

# %% [markdown] tags=["instructor"]
# **Hint** One `einsum` for the luma; keep the axis of the channels.
#
# **Marking** 2 points: the two pictures. 1 point: one half. 1 point: the shadow, with its reason.
#
# **Common mistakes** "chroma has no shapes, so the network cannot overfit to scenes".

# %% [markdown] tags=["exercise"]
# ```{exercise} What JPEG leaves in the chroma
# *Objective:* tell a trace of the file format from one of a generator · *medium* · 15 minutes
#
# JPEG usually stores one chroma value for each block of 2 x 2 pixels (4:2:0). Write `subsampled` for planes
# Y, Cb, Cr: luma as it is, chroma replaced by the mean of its block. `statistics.pair` is the log ratio of
# the differences between neighbours at even and at odd columns: negative where columns 2k and 2k + 1 are
# alike. Look at it in luma and in chroma, before and after one column is cut off. Which of the two detectors
# of this page might take such a file for the work of a generator? Which test on this page would tell?
# ```

# %% tags=["exercise"]
import numpy as np

from tff_core.pictures import statistics

planes = np.random.default_rng(0).normal(0, 0.1, (6, 3, 32, 32))


# %% tags=["solution"]
def subsampled(planes):
    """Planes (N, 3, H, W), even sides, with chroma in blocks of 2 x 2."""
    # BEGIN SOLUTION
    n, _, height, width = planes.shape
    blocks = planes[:, 1:].reshape(n, 2, height // 2, 2, width // 2, 2)
    mean = blocks.mean((3, 5)).repeat(2, axis=2).repeat(2, axis=3)
    return np.concatenate([planes[:, :1], mean], 1)
    # END SOLUTION


# %% tags=["test"]
stored = subsampled(planes)
assert np.array_equal(stored[:, 0], planes[:, 0]), "the luma must not change"
assert (statistics.pair(stored[:, 1]) < -2).all(), (
    "the columns 2k and 2k + 1 of the chroma must be equal: no pairs found"
)
assert (statistics.pair(stored[:, 1, :, 1:]) > 2).all(), (
    "without the first column the pairs begin one column later"
)

# %% tags=["hidden-test"]
whole = planes.reshape(6, 3, 16, 2, 16, 2).mean((3, 5))
small = stored.reshape(6, 3, 16, 2, 16, 2).mean((3, 5))
assert np.allclose(whole, small), (
    "the mean of a block has changed: does the block hold the mean of its "
    "four values, or one of them?"
)
assert np.allclose(subsampled(stored), stored), "twice is the same as once"
rows = statistics.pair(stored[:, 2].swapaxes(1, 2))
assert (rows < -2).all(), "rows must come in pairs, too, and in Cr as in Cb"


# %% tags=["wrong"]
# keeps the first value of each block and drops the other three
def subsampled(planes):
    found = planes.copy()
    first = planes[:, 1:, ::2, ::2]
    found[:, 1:] = first.repeat(2, axis=2).repeat(2, axis=3)
    return found


# %% tags=["wrong"]
# subsamples the luma as well
def subsampled(planes):
    n, c, height, width = planes.shape
    blocks = planes.reshape(n, c, height // 2, 2, width // 2, 2)
    return blocks.mean((3, 5)).repeat(2, axis=2).repeat(2, axis=3)


# %% tags=["wrong"]
# smooths with a window of 2 x 2 that moves by one pixel
def subsampled(planes):
    found, c = planes.copy(), planes[:, 1:]
    across = (c + np.roll(c, 1, 3)) / 2
    found[:, 1:] = (across + np.roll(across, 1, 2)) / 2
    return found


# %% [markdown] tags=["solution"]
# The chroma comes in pairs, the luma does not: just the trace of a generator that doubles its pixels, made by
# a file format. A detector of chroma alone may take it for one, or, where the reals of its training are such
# files, for the mark of a real. Cut at a random place, pairs begin anywhere and the sign of the statistic
# means nothing any more; another camera, without JPEG, lacks them altogether. Those are two of the three
# tests above.

# %% [markdown] tags=["instructor"]
# **Hint** `reshape` to (N, 2, H/2, 2, W/2, 2), then a mean over two axes.
#
# **Marking** 2 points: blocks. 1 point: luma untouched. 2 points: chroma detector, and a test that tells.
#
# **Discuss** Many decoders interpolate chroma smoothly. What is left of the pairs then?
