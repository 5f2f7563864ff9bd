# %% [markdown]
# # Heatmaps, judged by masks
#
# The map of a patch classifier says of every part of a picture how fake it looks. {cite:t}`chai2020` show
# such maps and let the reader judge. Here the judge is a mask: pictures are made of which one part comes from
# a generator and the rest from the camera, so that it is known to the pixel which is which.

# %% tags=["parameters", "remove-input"]
networks = ["xception_block2"]
patch_seeds = [0, 1, 2]
detector = "resnet50-miniature"
seeds = [0, 1, 2]
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
spliced = ["progan", "stylegan2", "cyclegan"]  # tuned on the first one's
n = None  # pictures per label and generator whose maps are averaged
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import figures, localization
from tff_core.book.chapter import Chapter, save, say
from tff_core.claims.texts import where as texts
from tff_core.features import locating
from tff_core.localization import (
    comparison,
    evaluation,
    gallery,
    masks,
    weights,
)

chapter = Chapter(detector, generators, seeds, device=device, build=build)
store, device = chapter.store, chapter.device
path = store.patches(networks[0], patch_seeds[0])
net = localization.load(path).to(device)
seen = weights.preparation(path)
title = texts.spoken(net.name, localization.field(net.name).size)

# %% [markdown]
# ## Easiest and hardest
#
# **Idea.** Sort the pictures of a class by their score and look at both ends: at the *easiest*, which the
# classifier is most sure of, and at the *hardest*, which it takes for the other class. Their maps show what
# it goes by, and where it is led astray.
#
# **Equation.** The map is $m_c = \operatorname{softmax}(\ell_c)_{\text{fake}}$, one number for each cell $c$,
# drawn at the middle of what the cell sees and interpolated between.
#
# **Code.** One call scores the pictures, one puts the map on the pixels.

# %%
shown = generators[1] if len(generators) > 1 else generators[0]
images = chapter.test(shown, first=n)
found = evaluation.evaluate(net, images, seen, device=device)
cells = localization.probability(
    evaluation.cells(net, images, seen, device=device)
)

# %% tags=["remove-input"]
figures.show(
    figures.pictures(
        *gallery.ends(net, images, found.pictures, cells),
        f"{figures.generator_name(shown)}: the fakes and reals that {title} "
        "is most sure of, and those that it takes for the other class. Maps "
        "from dark (0) to bright (1): probability of being fake.",
    )
)

# %% [markdown]
# `tff patches-test --show 100` writes the same for a folder of your own, with every picture's map at full
# size, on a page that opens from a file.
#
# ## Maps of many pictures
#
# Where do fakes give themselves away on average? If the mean map of all fakes is flat, the traces lie
# everywhere; if it has a pattern, something in the pictures, or at their borders, always sits there.

# %%
rows, ranges = gallery.averages(images.labels, cells)

# %% tags=["remove-input"]
real, fake = images.counts
figures.show(
    figures.pictures(
        rows,
        ranges,
        f"{figures.generator_name(shown)}: mean maps of {fake} fakes and "
        f"{real} reals, each on its own scale, dark to bright.",
    )
)
say(texts.ranges(ranges))

# %% [markdown]
# ## Exact masks
#
# **Idea.** Take a photograph, choose a region of 4 to 40 percent of it at a random place, and put there what
# a generator has made. If the family keeps the layout of its source, the region shows *the same things*, and
# nothing but the generator's traces tells it apart; otherwise it comes from another scene. `make all` adds
# the smallest change of all: regions that an autoencoder has encoded and decoded, as a diffusion model does
# with whatever it changes in a picture. Beside them stand as many authentic pictures, of which nothing should
# be marked.
#
# **Measures.** The average precision of all pixels (how well the map *ranks* them; a map that knows nothing
# has the share of fake pixels), its mean over pictures, the intersection over union of what is marked and
# what is fake, and the share of authentic pictures that is marked. The threshold for marking is chosen on
# other pictures, of the generator that all were trained on.
#
# **Rivals.** The same pictures go to the relevance and the gradients of the whole detector, smoothed by two
# pixels because they are spiky, and to two maps that know no network: edges, and the energy of the finest
# structure. Whoever does not beat these has found nothing.

# %%
methods = {}
for name in networks:
    path = store.patches(name, patch_seeds[0])
    cut = localization.load(path).to(device)
    sees = weights.preparation(path)
    methods[name] = comparison.classifier(cut, sees, device)
methods |= locating.methods(
    chapter.trained().model, chapter.net(), chapter.spec.preprocessing, device
)
methods |= {"edges": comparison.edges, "high_pass": comparison.high_pass}

tuned = masks.find(store.localized("val", spliced[0]))
tables, thresholds = [], None
for one in spliced:
    spotted = masks.find(store.localized("test", one))
    rows = comparison.compare(
        methods, tuned, spotted, networks[0], thresholds=thresholds
    )
    thresholds = rows.set_index("method")["threshold"].to_dict()
    tables.append(rows.assign(generator=one))
table = pd.concat(tables)

# %% tags=["remove-input"]
named = {
    name: texts.spoken(name, localization.field(name).size)
    for name in networks
}
named |= texts.METHODS
some = masks.find(store.localized("test", spliced[-1])).first(6)
rows = gallery.side_by_side(
    some, {named[m]: methods[m] for m in (networks[0], "lrp", "edges")}
)
figures.show(
    figures.pictures(
        rows,
        None,
        f"Spliced pictures ({figures.generator_name(spliced[-1])}), the part "
        "that is fake, and three maps of it, each on its own scale.",
    )
)
figures.show(figures.found_pixels(table, named))
order = ["generator", "method", "measure"]
table = table[[*order, *(c for c in table if c not in order)]]
save(store, "localization", table)
say(texts.found(table, named, networks[0]))

# %% [markdown]
# ## What it means, and what it does not
#
# - A map that finds spliced regions shows **where the classifier sees its traces**, and here these are the
#   generator's, since nothing else differs. On a picture that is fake throughout, the same map has nothing to
#   be compared with: that it is bright in one place does not mean that the rest is real.
# - Relevance explains *one decision of a whole network*, which was never asked where. That it is worse at
#   finding a region is no fault of the method; that it is used for this purpose would be.
# - The borders of these splices are hard. Blending them would make the task more difficult for every method,
#   and give edge detectors less to find.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - say what each measure of a map gives a map that knows nothing;
# - tell a map that ranks all pixels from one that ranks those of each picture;
# - choose a threshold for marking without looking at the test;
# - draw a cell's value where the cell has looked;
# - say what a bright spot on a picture that is fake throughout does not mean.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} A map of nothing
# *Objective:* know the chance level of each measure of a map · *easy* · 5 minutes
#
# A map has the same value everywhere. What are its average precision, its intersection over union at the best
# threshold, and the share of authentic pictures that it marks?
# ```

# %% [markdown] tags=["solution"]
# Its AP is the share of fake pixels, since every threshold calls all or none. Marking all gives the same
# share as intersection over union, which is better than marking nothing, so at the threshold it marks all of
# every authentic picture.

# %% [markdown] tags=["instructor"]
# **Hint** How many different sets of pixels can a threshold mark?
#
# **Marking** 1 point each: the AP, the intersection over union, the authentic pictures.
#
# **Discuss** An AP of pixels of 0.2: good or bad? It cannot be said without the share of fake pixels.

# %% [markdown] tags=["exercise"]
# ```{exercise} Two averages of one map
# *Objective:* tell the AP of all pixels from the mean AP of pictures · *easy* · 10 minutes
#
# A map can put the fake pixels first *within* each picture and still give one whole picture higher values
# than another. Write `both`: the AP of all pixels of all pictures together, and the mean of each picture's
# own AP. Which of the two notices?
# ```

# %% tags=["exercise"]
import numpy as np

from tff_core.metrics import average_precision  # of labels and scores, flat


# %% tags=["solution"]
def both(scores, fake):
    """AP of pixels and mean AP of pictures; maps (N, H, W), fake (N, H, W)."""
    # BEGIN SOLUTION
    together = average_precision(fake.ravel(), scores.ravel())
    each = [
        average_precision(mask.ravel(), one.ravel())
        for mask, one in zip(fake, scores, strict=True)
    ]
    return together, float(np.mean(each))
    # END SOLUTION


# %% tags=["test"]
rng = np.random.default_rng(0)
fake = np.zeros((6, 16, 16), dtype=int)
for number in range(6):
    fake[number, 4:12, 2 : 4 + number] = 1
scores = fake + rng.normal(0, 0.4, fake.shape)
moved = scores + np.arange(6)[:, None, None]  # one more level a picture
pixels, pictures = both(scores, fake)
pixels_moved, pictures_moved = both(moved, fake)
assert abs(pictures - pictures_moved) < 1e-12, (
    "adding a number to all of a picture changes no order within it: its own "
    "AP has to stay as it is"
)
assert pixels_moved < pixels - 0.1, (
    "pixels of all pictures are to be ranked in one list, where a picture's "
    "level counts"
)

# %% tags=["hidden-test"]
order = [0, 0, 0, 5]
repeated = both(scores[order], fake[order])[1]
own = [both(scores[i : i + 1], fake[i : i + 1])[0] for i in order]
assert abs(repeated - np.mean(own)) < 1e-12, (
    "every picture counts once in the mean, however much of it is fake"
)
assert abs(both(scores[:1], fake[:1])[0] - own[0]) < 1e-12, (
    "of one picture the two are the same number"
)


# %% tags=["wrong"]
# takes the mean over pictures for both
def both(scores, fake):
    pairs = zip(fake, scores, strict=True)
    each = [average_precision(f.ravel(), s.ravel()) for f, s in pairs]
    return float(np.mean(each)), float(np.mean(each))


# %% tags=["wrong"]
# weights pictures by how much of them is fake
def both(scores, fake):
    pairs = zip(fake, scores, strict=True)
    each = [average_precision(f.ravel(), s.ravel()) for f, s in pairs]
    weights = fake.sum((1, 2))
    together = average_precision(fake.ravel(), scores.ravel())
    return together, float(np.average(each, weights=weights))


# %% [markdown] tags=["solution"]
# One list for the first, one list a picture for the second. Only the AP of all pixels notices a level that
# differs between pictures, and a single threshold for all of them would suffer from it, too. The mean over
# pictures forgives it: it answers "where in this picture?", not "is this pixel fake?".

# %% [markdown] tags=["instructor"]
# **Hint** `ravel` for the first, a loop for the second.
#
# **Marking** 1 point each for the two; 1 point: only the first notices.
#
# **Discuss** Why can the AP of a map be high in both senses and its intersection over union low?

# %% [markdown] tags=["exercise"]
# ```{exercise} A threshold that has seen the answers
# *Objective:* choose a threshold on other pictures than it is judged on · *medium* · 15 minutes
#
# Twelve maps of pure noise are judged by the intersection over union (IoU) of what they mark. Write `honest`:
# of the thresholds take the one with the best mean IoU on *validation* pictures, and return the mean IoU that
# it has on the *test* pictures. Then look at what choosing on the test itself would have reported.
# ```

# %% tags=["exercise"]
import numpy as np


def iou(scores, fake, threshold):
    """Of each picture, (N,); maps and masks are (N, H, W)."""
    marked = scores >= threshold
    union = (marked | fake).sum((1, 2))
    return (marked & fake).sum((1, 2)) / np.maximum(union, 1)


# %% tags=["solution"]
def honest(validation, test, thresholds):
    """Mean IoU on test; each of the two is a pair (scores, fake)."""
    # BEGIN SOLUTION
    means = [iou(*validation, one).mean() for one in thresholds]
    return float(iou(*test, thresholds[int(np.argmax(means))]).mean())
    # END SOLUTION


# %% tags=["test"]
def noise(seed):
    rng = np.random.default_rng(seed)
    fake = np.zeros((12, 12, 12), dtype=bool)
    for one, (row, column) in zip(
        fake, rng.integers(0, 8, (12, 2)), strict=True
    ):
        one[row : row + 4, column : column + 4] = True
    levels = rng.normal(0, 1, (12, 1, 1))
    return levels + rng.normal(0, 0.3, fake.shape), fake


thresholds = np.linspace(-3, 3, 61)
found, best = [], []
for seed in range(20):
    validation, test = noise(seed), noise(100 + seed)
    found.append(honest(validation, test, thresholds))
    best.append(max(iou(*test, one).mean() for one in thresholds))
found, best = np.array(found), np.array(best)
assert (found <= best + 1e-12).all(), (
    "no threshold can do better on the test than the best one for the test"
)
assert (found < best - 1e-6).any(), (
    "in 20 of 20 cases this is the best that the test allows: the threshold "
    "has been chosen on the test pictures"
)

# %% tags=["hidden-test"]
fake = np.zeros((2, 2, 2), dtype=bool)
fake[:, 0] = True
validation = np.where(fake, 1.0, 0.0), fake
test = np.where(fake, 0.4, 0.0), fake
assert honest(validation, test, [0.2, 0.6]) == 1.0, (
    "both thresholds are perfect on validation: take the first of them"
)
assert honest(validation, test, [0.6]) == 0.0, (
    "the only threshold marks nothing of the test, so the IoU is 0"
)
uneven = np.stack([np.where(fake[0], 3.0, 2.0), np.where(fake[0], 3.0, 0.0)])
ramp = np.array([[[0.0, 1.0], [2.0, 3.0]]] * 2)
assert honest((uneven, fake), (ramp, fake), [1.0, 2.5]) == 0.0, (
    "2.5 is perfect on both pictures of validation, 1.0 on one: the best "
    "*mean* over validation counts, and on this test it marks real pixels"
)


# %% tags=["wrong"]
# chooses among the thresholds on the test pictures
def honest(validation, test, thresholds):
    return float(max(iou(*test, one).mean() for one in thresholds))


# %% tags=["wrong"]
# reports the IoU of validation, on which the threshold was chosen
def honest(validation, test, thresholds):
    return float(max(iou(*validation, one).mean() for one in thresholds))


# %% [markdown] tags=["solution"]
# The best of many thresholds is a maximum over noise: on the pictures that chose it, it looks better than it
# is, and the fewer pictures there are the more so. Chosen on others, its IoU on the test is what a user would
# get, who has no masks to choose by.

# %% [markdown] tags=["instructor"]
# **Hint** `np.argmax` over the thresholds, with validation alone.
#
# **Marking** 2 points: chosen on validation, judged on test; 1 point: why the other number is too good.
#
# **Discuss** The same holds for epochs, layers, and the seed that is shown.

# %% [markdown] tags=["exercise"]
# ```{exercise} Silence must not pay
# *Objective:* keep authentic pictures out of the mean overlap · *medium* · 10 minutes
#
# On an authentic picture there is nothing to find: if nothing is marked, the IoU is 0 / 0, which programs,
# this book's among them, count as 1. Write `judged`: the mean IoU over the *spliced* pictures, and apart from
# it the share of the pixels of *authentic* pictures that is marked.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def judged(scores, fake, threshold):
    """(mean IoU of spliced, false area); maps and masks are (N, H, W)."""
    marked = scores >= threshold
    spliced = fake.any((1, 2))
    # BEGIN SOLUTION
    both = (marked & fake)[spliced].sum((1, 2))
    either = (marked | fake)[spliced].sum((1, 2))
    return float((both / either).mean()), float(marked[~spliced].mean())
    # END SOLUTION


# %% tags=["test"]
fake = np.zeros((4, 8, 8), dtype=bool)
fake[:2, 2:6, 2:6] = True  # two spliced pictures, two authentic ones
silent = judged(np.zeros(fake.shape), fake, 0.5)
assert silent == (0.0, 0.0), (
    f"a map that marks nothing has found nothing, and has {silent[0]} of IoU: "
    "authentic pictures do not belong in the mean"
)
loud = judged(np.ones(fake.shape), fake, 0.5)
assert loud == (0.25, 1.0), (
    f"{loud}: marking all gives the share of fake pixels, 16 of 64, and "
    "marks the authentic pictures from border to border"
)

# %% tags=["hidden-test"]
rng = np.random.default_rng(0)
scores = rng.random(fake.shape)
some = judged(scores, fake, 0.7)
assert abs(some[1] - (scores[2:] >= 0.7).mean()) < 1e-12, (
    "what is marked around a spliced region lowers its IoU already: the false "
    "area is that of authentic pictures alone, and marked means at or above"
)
sizes = fake.copy()
sizes[1] = False
sizes[1, 0, 0] = True
exact = np.where(sizes, 1.0, 0.0)
exact[1, 0, 1] = 1.0
assert judged(exact, sizes, 0.5)[0] == 0.75, (
    "IoU of 1 and 1/2: the mean is over pictures, a small region counts as "
    "much as a large one"
)


# %% tags=["wrong"]
# counts authentic pictures without a mark as found perfectly
def judged(scores, fake, threshold):
    marked = scores >= threshold
    union = (marked | fake).sum((1, 2))
    both = (marked & fake).sum((1, 2))
    each = np.where(union > 0, both / np.maximum(union, 1), 1.0)
    return float(each.mean()), float(marked[~fake.any((1, 2))].mean())


# %% tags=["wrong"]
# takes all pixels that are marked and not fake for the false area
def judged(scores, fake, threshold):
    marked = scores >= threshold
    spliced = fake.any((1, 2))
    both = (marked & fake)[spliced].sum((1, 2))
    either = (marked | fake)[spliced].sum((1, 2))
    return float((both / either).mean()), float(marked[~fake].mean())


# %% [markdown] tags=["solution"]
# Were authentic pictures in the mean, a map that marks nothing would have an IoU of one half on equal numbers
# of both, for having looked nowhere; and a single false pixel would cost a whole picture. So there are two
# numbers: what is found where there is something, and what is marked where there is nothing.

# %% [markdown] tags=["instructor"]
# **Hint** Index with `spliced` and with `~spliced`.
#
# **Marking** 1 point each for the two numbers; 1 point: what silence would be worth in one mean.
#
# **Common mistakes** Sums over all pixels before the division, which lets large regions decide.

# %% [markdown] tags=["exercise"]
# ```{exercise} Where a cell's value belongs
# *Objective:* put a map on the pixels that it was computed from · *hard* · 15 minutes
#
# A network without padding has cells that see 43 pixels, 8 apart. Its map is often stretched to the size of
# the picture; but the first cell has not looked at the first pixel only. Write `at_pixels`, along one axis:
# each value at the *middle* of its cell's field, straight lines between, and constant beyond the first and
# the last middle. The field is (size, jump, start) as in {doc}`the last chapter </notebooks/11_patches>`.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def at_pixels(values, field, side):
    """Values of cells (C,) at the pixels 0 ... side - 1, (side,)."""
    size, jump, start = field
    # BEGIN SOLUTION
    middles = start + (size - 1) / 2 + jump * np.arange(len(values))
    return np.interp(np.arange(side), middles, values)
    # END SOLUTION


# %% tags=["test"]
field = 43, 8, 0
found = at_pixels(np.eye(10)[0], field, 128)
assert found[21] == 1, (
    "the first cell sees pixels 0 to 42, so its value belongs to pixel 21, "
    f"which has {found[21]:.2f}"
)
assert found[0] == 1 and found[29] == 0, (
    "constant before the first middle, and 0 at the second one, 8 pixels on"
)

# %% tags=["hidden-test"]
edge = 70  # real before it, fake from there on
for size, jump, start in ((43, 8, -18), (11, 4, 0), (8, 2, -3)):
    first = start + jump * np.arange((128 - size - start) // jump + 1)
    seen = np.clip(first + size - np.maximum(first, edge), 0, size) / size
    drawn = at_pixels(seen, (size, jump, start), 128)
    crossing = np.interp(0.5, drawn, np.arange(128))
    assert abs(crossing - (edge - 0.5)) < jump / 2 + 0.51, (
        f"cells that tell how much of their {size} pixels is fake put the "
        f"edge at {crossing:.1f} instead of {edge}: use start, size and jump"
    )


# %% tags=["wrong"]
# stretches the map to the whole picture
def at_pixels(values, field, side):
    places = np.linspace(0, side - 1, len(values))
    return np.interp(np.arange(side), places, values)


# %% tags=["wrong"]
# puts a value at the first pixel of its cell's field
def at_pixels(values, field, side):
    _, jump, start = field
    places = start + jump * np.arange(len(values))
    return np.interp(np.arange(side), places, values)


# %% [markdown] tags=["solution"]
# The middle of the first field is `start + (size - 1) / 2`, and each further one is a jump on. A stretched
# map is wrong most where maps are looked at, near the borders: the outermost cells of a network without
# padding are drawn half a field away from what they have seen. Even at its true place a value speaks of all
# 43 pixels; a sharp border in a map is one of interpolation.

# %% [markdown] tags=["instructor"]
# **Hint** `np.interp(pixels, middles, values)` clamps at both ends.
#
# **Marking** 2 points: the middles; 1 point: constant beyond; 1 point: how far off a stretched map is.
#
# **Common mistakes** `align_corners`, which is an answer to another question: where the corners *of the map*
# are.

# %% [markdown] tags=["exercise"]
# ```{exercise} The brightest spot of a fake
# *Objective:* say what a map shows where there is no mask · *hard* · 10 minutes
#
# A picture is fake throughout, and the map of a patch classifier is bright on the sky and dark on a wall. A
# newspaper writes: "The sky was generated." Name two other reasons for the same map, and what you would
# measure to tell which it is.
# ```

# %% [markdown] tags=["solution"]
# The traces may be as strong on the wall but hidden by its texture, or the classifier may have learnt to look
# at smooth regions because it was right there. It may also be bright on *every* sky, those of photographs
# included. So look at the same classifier's maps of authentic pictures with skies; and take spliced pictures
# in which the wall alone is generated: if it stays dark there, darkness does not mean *real*.

# %% [markdown] tags=["instructor"]
# **Hint** What would the map be on a photograph of the same place?
#
# **Marking** 1 point each: two reasons; 2 points: a comparison that tells them apart.
#
# **Discuss** Why the chapter's masks could settle this for splices, and cannot for pictures fake throughout.
