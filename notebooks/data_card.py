# %% [markdown]
# # Data card: the pictures behind the numbers
#
# The paper works on ForenSynths {cite}`wang2020`: photographs, and pictures from large generators, tens of
# gigabytes on file-sharing sites.

# %% [markdown] tags=["only-if:dataset=miniature"]
# **The miniature ForenSynths, second edition.** This book must run on two processor cores in a quarter of an
# hour, so it makes a benchmark of its own, in the same folder layout and with the same seven families of
# generators. **It is a toy.** This page says what is in it, what is not, and what follows for every number in
# the book.

# %% tags=["parameters", "remove-input"]
dataset = "miniature"  # where it is another, the cells about it are left out
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
n = None  # pictures per label behind the statistics; None: all
columns = 8  # pictures in a row of the sample grids
build = ""  # where the pictures are; "": the project's build folder

# %% tags=["remove-input"]
from tff_core import figures
from tff_core.book import data_card
from tff_core.book.chapter import say
from tff_core.claims.texts import pictures as texts
from tff_core.miniature import card
from tff_core.pictures import audit, data, photographs
from tff_core.store.results import Store

store = Store(build or None)
test = {g: store.data(dataset, "test", g) for g in generators}
title = {g: figures.generator_name(g) for g in generators}


def arrays(generator, count, **which):
    """Test pictures as uint8 (N, H, W, 3)."""
    some = data.scan(test[generator]).where(first=count or None, **which)
    return data.load(some).permute(0, 2, 3, 1).numpy()


# %% [markdown] tags=["only-if:dataset!=miniature"]
# This book was made with other pictures. They are on disk in the layout of ForenSynths and were used as they
# are: this page counts them and looks at their files. It cannot know where they come from, which model made
# the fakes and on what data it was trained; the numbers in this book are about these folders, and the
# generators are named after them.

# %% tags=["remove-input", "only-if:dataset!=miniature"]
places = [(f"{title[g]}, test", test[g]) for g in generators]
for part in ("train", "val"):
    places.append((f"ProGAN, {part}", store.data(dataset, part, "progan")))
rows, separation = data_card.folders(places)
say(texts.folders(rows, data_card.SAMPLE))

# %% [markdown] tags=["only-if:dataset!=miniature"]
# ## What gives them away without a network
#
# A detector can tell reals from fakes without looking at what they show if their files differ: in size, in
# format, in how they were compressed. The AUC measures how well such a property alone separates the two: 0.5
# means not at all, 1 perfectly. `tff check` says more.

# %% tags=["remove-input", "only-if:dataset!=miniature"]
say(texts.separation(separation, audit.LIMIT))

# %% [markdown] tags=["only-if:dataset!=miniature"]
# ## Examples
#
# The first pictures of each folder, spread over its classes. Large ones are cropped to their middle, at a
# common size.

# %% tags=["remove-input", "only-if:dataset!=miniature"]
for g in generators:
    shown = data_card.beside(data.scan(test[g]).where(first=columns))
    text = f"{title[g]}: reals beside fakes, test part."
    figures.show(figures.pictures(shown, text=text))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## Reals: drawn scenes, photographed by a simulated camera
#
# No photograph is involved. A *real* picture is a procedural scene, drawn in linear light, of one of four
# classes (facades, landscapes, still lifes, pebbles) under one of three lights (noon, evening, overcast).
# Then comes a camera: optical blur, a colour filter mosaic that records one colour per pixel, sensor noise,
# demosaicing, chroma denoising, a tone curve, sharpening, JPEG on most pictures, a cut and a reduction. What matters for forensics is this second half: it gives all reals a common
# origin that a generator has to imitate.

# %% tags=["remove-input", "only-if:dataset=miniature"]
classes = data.scan(store.data(dataset, "test", "progan")).classes
shown = {c: arrays("progan", columns, label=0, group=c) for c in classes}
text = (
    "Reals of the four classes. Colours vary from none to strong on purpose: "
    "a detector that has never seen a gray real would call every gray picture "
    "odd, and a test with gray pictures would then say nothing."
)
figures.show(figures.pictures(shown, text=text))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ### The camera, held to photographs
#
# A simulated camera can have traces of its own, and a detector can learn them. That of the first edition
# wrote a JPEG whose blocks began in the corner of every picture, so that chroma differed less within pairs of
# columns than between them, in the same columns of every real; and its pictures had half the fine colour of
# photographs. The camera behind this book's pictures was chosen by statistics of photographs that come with
# the installed packages, and not by what a detector makes of its pictures: it cuts its pictures at random
# places out of larger photographs and reduces them by random factors. Targets and trials are in {doc}`the
# design log </book/design_log>`. A second camera, for tests under shift, has another mosaic and demosaicing,
# another tone curve, more sharpening, other filters for the reduction, and no JPEG.
#
# *Detail* is how much a pixel differs from the mean of its four neighbours. The slope is that of log power
# over log frequency. *Even over odd* compares the differences between neighbours at even and at odd columns or
# rows, as a log ratio; 0 means that no grid has a fixed place in the pictures. Y, Cb and Cr are luma and the
# two colour differences. The scenes are new ones, on which nothing was chosen.

# %% tags=["remove-input", "only-if:dataset=miniature"]
scenes = min(40, n or 40)  # of each class
say(texts.cameras(card.cameras(scenes), list(photographs.paths())))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## Fakes: seven small convolutional generators
#
# Every generator is trained adversarially, against a critic that sees plain RGB, on the same drawn
# scenes. Each upsamples in its family's way, and it is upsampling that leaves the traces this book is about.
# The networks have a hundred thousand to three hundred thousand weights and saw two thousand batches of
# sixteen pictures; the originals have tens of millions of weights and saw millions of pictures. So they were
# given help:
#
# - **ProGAN, StyleGAN2, StyleGAN, BigGAN** do not start from noise alone. A small encoder, trained with the
#   generator, turns two scenes into two latents; these are blended along a random line and jittered with
#   noise, and the generator decodes the blend (5,152 numbers for the 12,288 of a picture). A fake is
#   therefore a *smeared collage of two scenes*, and every one of its pixels comes out of the generator. In
#   the terms of the literature these are VAE-GANs with the named family's decoder.
# - **GauGAN** paints a segmentation map; a coarse code of the scene (2,048 numbers) sets its colours.
# - **CycleGAN and StarGAN** change the lighting of one scene, as the originals change horses or hair.
#
# Left out: progressive growing, style mixing, self-attention, perceptual losses. **Where this page and the
# figures say "ProGAN", read "a small network that upsamples as ProGAN does".**

# %% tags=["remove-input", "only-if:dataset=miniature"]
for g in generators:
    real, fake = (arrays(g, columns, label=label) for label in (0, 1))
    text = f"{title[g]}: reals beside fakes, test part."
    figures.show(figures.pictures({"real": real, "fake": fake}, text=text))

# %% [markdown] tags=["only-if:dataset=miniature"]
# Each folder has its own scenes: reals and fakes show the same kinds of scene but never the same scene, and
# no scene appears in two of the parts *train*, *val* and *test*.

# %% tags=["remove-input", "only-if:dataset=miniature"]
say(texts.sampled(data_card.sampled(store, dataset, generators)))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## How they were made
#
# The weights ship with the code; this table is read from their headers. The commands that made them, and can
# make them again, are below it: the budget is counted in steps, and every random number follows from the
# seed. ProGAN's training fakes come from eight seeds at two ages each, because a detector trained on one
# model learns that model. **Its validation and test fakes come from two further seeds that no detector has
# seen**, which is stricter than ForenSynths; every other family has two seeds, whose fakes come in turn.

# %% tags=["remove-input", "only-if:dataset=miniature"]
models = card.models()
models = models[models["generator"].isin(generators)]
say(texts.models(models))

# %% tags=["remove-input", "hide-output", "only-if:dataset=miniature"]
print("\n".join(models["command"]))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## When training stopped
#
# Generators were trained until their *luma* passes for real: until a single statistic of it tells fakes from
# reals no better than chance. Their chroma is left with more traces, in every family. Nobody asked for that:
# the critic sees plain RGB, in which colour is a small part of every channel.

# %% tags=["remove-input", "only-if:dataset=miniature"]
learned = card.histories()
learned = learned[learned["generator"].isin(generators)]
figures.show(figures.training_statistics(learned))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## What gives them away without a network
#
# A single number per picture already reveals something. The AUC is the share of pairs, one fake and one real,
# in which the fake has the larger value: 50 % means no separation, 0 % and 100 % perfect separation.

# %% tags=["remove-input", "only-if:dataset=miniature"]
reals_and_fakes = {
    g: (arrays(g, n, label=0), arrays(g, n, label=1)) for g in generators
}
say(texts.statistics(card.compare(reals_and_fakes)))

# %% [markdown] tags=["only-if:dataset=miniature"]
# Small generators err in fine colour: their three output channels are not as tightly coupled as a camera's
# mosaic and its denoising make them. Nothing was built in to this end; the critic sees plain RGB. But it is a
# property of *these* generators and *these* scenes, and the traces are one to four pixels wide, where those
# of large generators can be wider.
#
# ## What this benchmark can and cannot show
#
# **It can** run every step of the paper on a real detector, with generators and pictures that exist, and it
# can show whether the method finds, in a network trained here, feature maps whose removal blinds it, on
# families it has never seen, and by more than a fair control.
#
# **It cannot** say whether a number in the paper is right or wrong. The pictures are 64 pixels wide, the
# scenes are simple and the generators small and related by a shared training recipe; the reals of a build
# have one camera. Transfer here is transfer among siblings. Where a claim of the paper does not hold here, the book
# says so, and no number was tuned towards the published ones. {doc}`The design log </book/design_log>` says
# what was tried, what failed, and when choosing stopped.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - find a grid in a picture by comparing even with odd columns, and destroy the evidence by a cut;
# - show that a property of the files separates two folders, and make the folders alike;
# - look for pictures of the training set in a test set, also where no byte agrees.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Even and odd
# *Objective:* measure the trace of a grid, and know on what it depends · *easy* · 15 minutes
#
# Write `pair` for one plane (H, W): the natural logarithm of the mean absolute difference between the columns
# 2k and 2k + 1, over that between 2k + 1 and 2k + 2. Add 1e-5 to both means; where there is one difference
# too many, leave out the last. What does it give for a plane whose columns are all doubled, and what if that
# plane loses its first column? Why does the miniature's camera cut its pictures at random places?
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
noise = rng.random((32, 33))
doubled = rng.random((32, 16)).repeat(2, axis=1)


# %% tags=["solution"]
def pair(plane):
    """Log ratio of differences at even and at odd columns."""
    # BEGIN SOLUTION
    size = np.abs(np.diff(plane, axis=1)).mean(0)
    even, odd = size[0::2], size[1::2]
    count = min(len(even), len(odd))
    return np.log((even[:count].mean() + 1e-5) / (odd[:count].mean() + 1e-5))
    # END SOLUTION


# %% tags=["test"]
assert pair(doubled) < -8, "equal columns 2k and 2k + 1: far below zero"
assert pair(doubled[:, 1:]) > 8, (
    "without the first column the equal ones are 2k + 1 and 2k + 2"
)
assert abs(pair(noise)) < 0.1, "noise has no grid: close to 0"
assert abs(pair(np.zeros((8, 8)))) < 1e-9, "a constant plane has a ratio of 1"

# %% tags=["hidden-test"]
from tff_core.pictures import statistics

for plane in (noise, noise[:, 1:], doubled, noise.T, noise[:, :20] ** 3):
    want = float(statistics.pair(plane[None])[0])
    assert abs(pair(plane) - want) < 1e-9, (
        f"{pair(plane):.4f}, tff_core has {want:.4f}: absolute differences, "
        "their means, then the logarithm of the ratio"
    )


# %% tags=["wrong"]
# compares values in even and odd columns, not differences
def pair(plane):
    even, odd = plane[:, 0::2].mean(), plane[:, 1::2].mean()
    return np.log((even + 1e-5) / (odd + 1e-5))


# %% tags=["wrong"]
# forgets the absolute value: rises and falls cancel
def pair(plane):
    size = np.diff(plane, axis=1).mean(0)
    even, odd = abs(size[0::2].mean()), abs(size[1::2].mean())
    return np.log((even + 1e-5) / (odd + 1e-5))


# %% tags=["wrong"]
# has odd over even
def pair(plane):
    size = np.abs(np.diff(plane, axis=1)).mean(0)
    even, odd = size[0::2], size[1::2]
    count = min(len(even), len(odd))
    return np.log((odd[:count].mean() + 1e-5) / (even[:count].mean() + 1e-5))


# %% [markdown] tags=["solution"]
# Far below zero, and as far above it after the cut. The trace is the same, its place is not. If all reals
# began at the same place of a camera's grid, a detector could learn the *place*, which says nothing about how
# fakes are made. Cut at random, reals have a grid anywhere, and only what generators do remains at a fixed
# place.

# %% [markdown] tags=["instructor"]
# **Hint** `np.diff` along the columns; entry 0 is the difference between the columns 0 and 1.
#
# **Marking** 2 points: even against odd. 1 point: absolute values. 1 point: what the cut does. 1 point: why.
#
# **Common mistakes** comparing columns instead of differences.

# %% [markdown] tags=["exercise"]
# ```{exercise} A leak without any fake
# *Objective:* separate two folders by how they were prepared · *medium* · 20 minutes
#
# Both sets below are *reals*. The second was resized to one half and back, as happens to fakes when only they
# are made to fit. Write `auc`: the share of pairs (one picture of each set) in which the value of the second
# set is larger; ties count one half. Then write `fair`: it takes a set that was left alone and one that was
# resized, and returns them so that the detail of their luma no longer tells them apart. Try, too, what
# happens if both are resized once more.
# ```

# %% tags=["exercise"]
import numpy as np
import torch

from tff_core.miniature import camera
from tff_core.pictures import degradations, statistics

taken = [camera.take("test", "pebbles", i, size=48).pixels for i in range(28)]
reals = torch.from_numpy(np.stack(taken)).permute(0, 3, 1, 2)


def resized(pictures):
    """To half the size and back."""
    return torch.stack([degradations.resize(x, 0.5) for x in pictures])


def detail(pictures):
    """Detail of the luma of each picture, (N,)."""
    pixels = pictures.permute(0, 2, 3, 1).numpy()
    return statistics.details(pixels)["luma detail"]


first, second = reals[:14], resized(reals[14:])


# %% tags=["solution"]
def auc(a, b):
    """Share of pairs in which b is larger than a."""
    # BEGIN SOLUTION
    a, b = np.asarray(a)[:, None], np.asarray(b)[None]
    return np.mean(b > a) + np.mean(b == a) / 2
    # END SOLUTION


def fair(untouched, small):
    """Both sets, in the same state."""
    # BEGIN SOLUTION
    return resized(untouched), small
    # END SOLUTION


# %% tags=["test"]
assert auc([1, 2], [3, 4]) == 1 and auc([3, 4], [1, 2]) == 0, (
    "1 if all of the second are larger, 0 if none is"
)
assert auc([1, 1], [1, 1]) == 0.5, (
    "a tie counts one half, neither a win nor a loss"
)
assert auc(detail(first), detail(second)) < 0.1, (
    "the resized set has less detail than the other, pair by pair"
)
after = auc(*map(detail, fair(first, second)))
assert 0.25 < after < 0.75, (
    f"the AUC is {after:.2f}: how often has each set now been resized?"
)

# %% tags=["hidden-test"]
from tff_core import metrics

rng = np.random.default_rng(0)
for _ in range(5):
    a, b = rng.integers(0, 6, 12), rng.integers(1, 7, 9)
    want = metrics.order([0] * 12 + [1] * 9, [*a, *b]).auc
    assert abs(auc(a, b) - want) < 1e-9, (
        f"{auc(a, b):.3f}, tff_core has {want:.3f}: pairs of every picture of "
        "one set with every picture of the other"
    )
one, two = map(detail, fair(reals[14:], resized(reals[:14])))
assert 0.25 < auc(one, two) < 0.75, (
    "with the sets exchanged they are told apart"
)
assert one.std() > 0 and two.std() > 0, "nothing is left of the pictures"


# %% tags=["wrong"]
# compares the pictures in the order of the files
def auc(a, b):
    n = min(len(a), len(b))
    a, b = np.asarray(a)[:n], np.asarray(b)[:n]
    return np.mean(b > a) + np.mean(b == a) / 2


def fair(untouched, small):
    return resized(untouched), small


# %% tags=["wrong"]
# counts ties as a success
def auc(a, b):
    return np.mean(np.asarray(b)[None] >= np.asarray(a)[:, None])


def fair(untouched, small):
    return resized(untouched), small


# %% tags=["wrong"]
# does the same to both, which leaves one of them resized twice
def auc(a, b):
    a, b = np.asarray(a)[:, None], np.asarray(b)[None]
    return np.mean(b > a) + np.mean(b == a) / 2


def fair(untouched, small):
    return resized(untouched), resized(small)


# %% [markdown] tags=["solution"]
# An AUC near 0 is as good a separation as one near 1: a detector trained on these folders would be excellent
# and would have learnt nothing about fakes. Detail that is lost cannot be put back, so the other set must
# lose it, too. Doing the same to both is *not* fair: one of them is then resized twice, and has less detail
# still. What counts is the whole history of a file. `tff check` looks for such properties in sizes, formats
# and compression; this one is in the pixels, where it does not look.

# %% [markdown] tags=["instructor"]
# **Hint** Which of the two sets can still be brought into the other's state?
#
# **Marking** 2 points: `auc`. 1 point: ties. 1 point: `fair`. 1 point: why resizing both does not help.
#
# **Discuss** A paper resizes fakes of 1,024 pixels to 256, and crops its reals. What might its detector
# learn?

# %% [markdown] tags=["exercise"]
# ```{exercise} A copy that is not a copy
# *Objective:* find test pictures that were trained on · *medium* · 20 minutes
#
# Some pictures of the test set were in the training set, saved once more as JPEG, and brighter. No byte
# agrees, so that comparing files, or pixels, finds nothing. Write `nearest`: for each test picture the number
# of the training picture that it resembles most, and how much: the correlation of their thumbnails.
# (`thumbnails` gives the mean luma of 8 x 8 fields; a correlation does not change with brightness or
# contrast.)
# ```

# %% tags=["exercise"]
import numpy as np
import torch

from tff_core.miniature import camera
from tff_core.pictures import data
from tff_core.pictures.degradations import jpeg

shown = [camera.take("train", "facade", i, size=48).pixels for i in range(24)]
pictures = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)
train, fresh = pictures[:16], pictures[16:]
copies = torch.stack([jpeg(x, 60) for x in train[[11, 4, 7]]])
brighter = (copies.float() * 0.8 + 51).byte()  # the first three were copied
test = torch.cat([brighter, fresh])


def thumbnails(pictures):
    """Mean luma of 8 x 8 fields of each picture, (N, 64)."""
    small = torch.nn.functional.adaptive_avg_pool2d(data.luma(pictures), 8)
    return small.flatten(1).double().numpy()


# %% tags=["solution"]
def nearest(test, train):
    """Number of the nearest training picture, and its correlation."""

    # BEGIN SOLUTION
    def unit(pictures):
        x = thumbnails(pictures)
        x = x - x.mean(1, keepdims=True)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    alike = unit(test) @ unit(train).T
    return alike.argmax(1), alike.max(1)
    # END SOLUTION


# %% tags=["test"]
which, alike = nearest(test, train)
same = any(torch.equal(x, y) for x in test for y in train)
assert not same, "no test picture is a training picture, pixel by pixel"
assert list(which[:3]) == [11, 4, 7], (
    f"the copies are of the pictures 11, 4 and 7; found {list(which[:3])}: "
    "does brightness still count?"
)
assert alike[:3].min() > alike[3:].max(), (
    "a copy must be more alike than any two different scenes"
)

# %% tags=["hidden-test"]
assert np.allclose(nearest(train, train)[0], np.arange(16)), (
    "every picture resembles itself most"
)
assert np.allclose(nearest(train, train)[1], 1), (
    "a picture's correlation with itself is 1: mean taken off, length 1?"
)
negative = 255 - train
assert nearest(negative[:1], train[:1])[1][0] < -0.9, (
    "a negative is the opposite: the sign of a correlation must stay"
)


# %% tags=["wrong"]
# takes the smallest distance of the pixels, which brightness changes
def nearest(test, train):
    a, b = test.flatten(1).double(), train.flatten(1).double()
    apart = torch.cdist(a, b).numpy()
    return apart.argmin(1), -apart.min(1)


# %% tags=["wrong"]
# multiplies thumbnails without taking their mean off
def nearest(test, train):
    a, b = thumbnails(test), thumbnails(train)
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    alike = a @ b.T
    return alike.argmax(1), alike.max(1)


# %% [markdown] tags=["solution"]
# The three copies stand out. In a real set draw the histogram of the largest correlations: copies make a heap
# of their own near 1. `tff check` reports *exact* duplicates, files with the same pixels; what was saved
# again, cut or mirrored needs a comparison like this one. In the miniature no scene appears in two parts, by
# construction.

# %% [markdown] tags=["instructor"]
# **Hint** Take off each thumbnail's mean, divide by its length; then a matrix product.
#
# **Marking** 2 points: correlation. 1 point: the nearest, and how near. 1 point: why files cannot tell.
#
# **Discuss** What would mirrored copies need? And what does a copied *real* in the test set do to AP?
