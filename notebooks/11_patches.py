# %% [markdown]
# # Patch classifiers
#
# A universal detector looks at a whole picture and gives one answer. Cut the network off early, and it
# becomes a crowd of small judges: every cell of its map sees a patch of a few dozen pixels and says of that
# patch alone whether it is fake. {cite:t}`chai2020` found that such **patch classifiers** carry over to
# generators that they have not seen, and that they show *where* a picture gives itself away. This chapter
# trains them and asks what becomes of their average; {doc}`the next one </notebooks/12_heatmaps>` looks at
# their maps.

# %% tags=["parameters", "remove-input"]
networks = ["xception_block2"]
patch_seeds = [0, 1, 2]
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
detectors_shown = ["resnet50-miniature"]
experiments = []  # what the build has asked besides: "parity", "variants"
dataset = "miniature"
n = None  # pictures per label and generator; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd

from tff_core import detectors, figures, intervals, localization
from tff_core.book.chapter import save, say
from tff_core.claims.texts import where as texts
from tff_core.localization import evaluation, receptive, variants, weights
from tff_core.pictures import data
from tff_core.store.results import Store, read_json

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device

# %% [markdown]
# ## A network cut short
#
# **Idea.** The deeper a layer, the more of the picture each of its cells has seen: its **receptive field**.
# A layer with kernel $k$ and stride $s$, after layers whose cells are $j$ pixels apart, widens the field by
# $(k - 1)\,j$ and multiplies the distance by $s$. Whoever cuts the network after an early block and puts a
# linear layer with two outputs on every cell has a classifier that *cannot* use more than a patch.
#
# **Equation.** Each cell $c$ has logits $\ell_c \in \mathbb{R}^2$. In training it answers for its picture
# alone, with the picture's label $y$; tested, the cells are joined:
#
# $$
# L = -\frac{1}{|C|} \sum_{c \in C} \log \operatorname{softmax}(\ell_c)_y, \qquad
# P(\text{fake}) = \frac{1}{|C|} \sum_{c \in C} \operatorname{softmax}(\ell_c)_{\text{fake}} .
# $$
#
# **Code.** `localization.field` has the receptive field in closed form, for every network.

# %%
nets, seen = {}, {}
for network in networks:
    paths = [store.patches(network, seed) for seed in patch_seeds]
    nets[network] = [localization.load(path).to(device) for path in paths]
    seen[network] = weights.preparation(paths[0])

example = data.scan(store.data(dataset, "val", "progan")).paths[0]
size = tuple(data.read(example).shape[-2:])
rows = receptive.summary({name: nets[name][0] for name in networks}, size)

# %% tags=["remove-input"]
say(texts.networks(rows))

# %% [markdown]
# ## Training
#
# The recipe is the published one: Adam, pairs of reals and fakes, cells that all learn their picture's
# label, the epoch chosen by the share of validation's cells that are right. Two things differ. The networks
# see fine differences of luma and chroma, brought to one contrast, which networks learn from much sooner
# than from plain pixels ({doc}`the design log </book/design_log>`), and they are trained for two epochs of
# the miniature, not for hundreds of a large data set.

# %% tags=["remove-input"]
best = {
    network: [
        read_json(store.patches(network, seed).with_suffix(".json"))["best"]
        for seed in patch_seeds
    ]
    for network in networks
}
say(texts.trained(best))

# %% [markdown]
# ## Cells together
#
# **Idea.** A single cell sees little and errs often; the mean over all cells sees the whole picture, without
# any cell having seen it. How much is that worth? Score every cell by itself, with its picture's label, and
# compare. Cells of one picture are not independent, so a resample draws pictures with all of their cells.


# %%
def test(generator):
    """Test pictures of one generator, and their labels."""
    images = data.scan(store.data(dataset, "test", generator)).where(first=n)
    return images, np.array(images.labels)


def scores(images):
    """Of each network the mean of the softmax, (S, N), and its cells."""
    found = {}
    for network, some in nets.items():
        margins = np.stack(
            [
                evaluation.cells(net, images, seen[network], device=device)
                for net in some
            ]
        ).reshape(len(some), len(images), -1)
        found[network + texts.ONE] = margins
        found[network] = localization.probability(margins).mean(2)
    return found


# %%
found, tables = {}, []
for generator in generators:
    images, labels = test(generator)
    found[generator] = scores(images)
    rows = intervals.compare_ap(labels, found[generator])
    tables.append(rows.assign(generator=generator))
table = pd.concat(tables, ignore_index=True)

# %% tags=["remove-input"]
titles = {}
for network in networks:
    name = texts.spoken(network, localization.field(network).size)
    titles[network] = f"{name}, mean"
    titles[network + texts.ONE] = f"{name}, one cell"
first = dict(list(titles.items())[:2])
figures.show(
    figures.compared(
        table,
        first,
        "Average precision of the mean over a picture's cells, and of "
        "single cells.",
    )
)
say(texts.averaging(table, networks))

# %% [markdown]
# ## Beside whole networks
#
# Do limited receptive fields carry over *better*? The universal detectors of this book are trained on the
# same pictures, longer, and from features of a network that knows scenes; they see all of a picture. On the
# generator that all were trained on there is nothing to learn about that; on the others the AP of both is
# compared picture by picture and seed by seed.


# %%
def logits(detector, generator):
    """Of the whole detector on the same pictures, (S, N), as it was scored."""
    rows = pd.read_csv(store.scores(detector, generator))
    rows = rows[rows["condition"] == "baseline"]
    images, _ = test(generator)
    names = [path.relative_to(images.root).as_posix() for path in images.paths]
    wide = rows.pivot(index="image", columns="seed", values="logit")
    return wide.loc[names].to_numpy().T


tables = [table]
for detector in detectors_shown:
    for generator in generators:
        whole = logits(detector, generator)
        pairs = min(len(whole), len(patch_seeds))
        both = {name: found[generator][name][:pairs] for name in networks}
        rows = intervals.compare_ap(
            test(generator)[1],
            {detector: whole[:pairs], **both},
        )
        about = rows["name"].str.contains(detector, regex=False)
        tables.append(rows[about].assign(generator=generator))
table = pd.concat(tables, ignore_index=True)
table = table[["generator", *table.columns.drop("generator")]]

# %% tags=["remove-input"]
shown = {}
for name in detectors_shown:
    arch = detectors.get(name, store).arch
    shown[name] = f"{detectors.architecture(arch).title}, whole"
shown |= {name: titles[name] for name in networks}
figures.show(
    figures.compared(
        table,
        shown,
        "Average precision of whole networks and of patch classifiers on "
        "the same pictures.",
    )
)
save(store, "patch_classifiers", table)
say(texts.transfer(table, networks, {n: shown[n] for n in detectors_shown}))

# %% [markdown]
# ## Prepared alike?
#
# Reals come in the format that they were found in, fakes in one that was chosen. {cite:t}`chai2020` report
# that a mere difference in resizing made their classifiers look better than they were, on generators that
# they had not seen, too. That can be repeated.
#
# **Idea.** First, no fakes at all: *reals* against *reals*, of which one half is resized with another kernel,
# goes through another size and back, or through a JPEG. There is nothing to detect. Then true fakes, twice:
# with reals that went the fakes' way, and with reals that went another.

# %%
if "parity" in experiments:
    reals, fakes = (
        pd.concat(
            pd.read_csv(store.part("parity", what, f"s{seed}"))
            for seed in patch_seeds
        )
        for what in ("reals", "fakes")
    )

# %% tags=["remove-input"]
if "parity" in experiments:
    say(texts.prepared(reals), texts.parity(fakes))
    save(store, "parity_reals", reals)
    save(store, "parity", fakes)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# ## Which fakes to learn from?
#
# A sample of a generator shows something that no photograph shows, and a classifier might go by that.
# {cite:t}`chai2020` also train on **inversions**: of each real, the picture that a generator can make most like
# it. Real and fake then show the same.
#
# **Idea.** The miniature's autoencoder encodes and decodes every real. One network is trained three times: on
# samples of ProGAN, on inversions, and on half of each, with the same reals and as many pictures and steps. It
# is tested on held-out samples, on inversions of held-out reals, and on families that it has never seen.

# %%
if "variants" in experiments:
    scored = pd.concat(
        pd.read_csv(store.part("variants", "scores", f"s{seed}"))
        for seed in patch_seeds
    )
    learnt = variants.compare(scored)

# %% tags=["remove-input"]
if "variants" in experiments:
    say(texts.variants(learnt, scored["network"].iloc[0]))
    save(store, "variants", learnt)
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# A generator speaks for a claim if the whole interval of the difference lies above zero, against it if
# below; {doc}`the verdicts </notebooks/10_verdicts>` explain how the word follows.
#
# ## What it means, and what it does not
#
# - If patches of a few dozen pixels are enough, then what carries over is **local**: it does not need objects
#   or their arrangement.
# - The comparison is not one of receptive fields alone. Whole networks have other layers, other training and
#   another start. What the field itself does is asked where the trace is known:
#   {doc}`What patches see </notebooks/13_what_patches>`.
# - A cell's input is scaled by the contrast of the whole picture: one number comes from beyond its field.
# - Samples come from ProGAN and inversions from an autoencoder, so they differ in their traces, too. And the
#   held-out inversions come from the very weights of the training, the held-out samples from another ProGAN.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - compute from kernels, strides and paddings what a cell sees, and check it by gradients;
# - say how the mean over cells, the mean over logits and the vote rank pictures differently;
# - recognise labels that are the wrong way round by the AP that they give;
# - put an interval around a share of cells that come from a few pictures;
# - name what a real and its inversion still differ in.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} How far a cell sees
# *Objective:* compute a receptive field from kernels, strides and paddings · *easy* · 10 minutes
#
# A convolution of 3 x 3 pixels with stride 2, then one of 3 x 3 with stride 1, then a pooling of 3 x 3 with
# stride 2. How many pixels does a cell see, and how far apart are two neighbours? Work it out on paper. Then
# write `field`, which also says at which pixel the field of the first cell starts: below zero where it starts
# in the padding.
# ```


# %% tags=["solution"]
def field(layers):
    """(size, jump, start) in pixels, of layers (kernel, stride, padding)."""
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        # BEGIN SOLUTION
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
        # END SOLUTION
    return size, jump, start


# %% tags=["test"]
found = field([(3, 2, 0), (3, 1, 0), (3, 2, 0)])
assert found[0] == 11, (
    f"a cell sees {found[0]} pixels instead of 11: each layer widens the "
    "field by kernel - 1 steps, each as long as the jump *before* the layer"
)
assert found[1] == 4, f"cells are {found[1]} apart: strides multiply"
assert field([(3, 1, 1)])[2] == -1, "padding moves the start to the left"

# %% tags=["hidden-test"]
import torch
from torch import nn


def by_gradient(layers, side=201, cell=5):
    """First and last pixel that a cell depends on, by its gradient."""
    convs = [nn.Conv1d(1, 1, k, s, p) for k, s, p in layers]
    net = nn.Sequential(*convs).double()
    for values in net.parameters():
        nn.init.ones_(values)
    x = torch.ones(1, 1, side, dtype=torch.double, requires_grad=True)
    net(x)[0, 0, cell].backward()
    return x.grad[0, 0].nonzero().ravel()[[0, -1]].tolist()


for layers in (
    [(3, 2, 0), (3, 1, 0)],
    [(7, 2, 3), (3, 2, 1), (3, 1, 1)],
    [(5, 3, 2), (1, 2, 0), (3, 1, 1)],
    [(1, 1, 0)],
):
    size, jump, start = field(layers)
    first, last = by_gradient(layers)
    assert (start + 5 * jump, size) == (first, last - first + 1), (
        f"of layers {layers} cell 5 depends on pixels {first} to {last}: "
        "padding counts in units of the jump before its layer"
    )


# %% tags=["wrong"]
# multiplies the jump first and widens by the new one
def field(layers):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        jump *= stride
        size += (kernel - 1) * jump
        start -= padding * jump
    return size, jump, start


# %% tags=["wrong"]
# takes padding for pixels of the picture, whatever the strides before it
def field(layers):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding
        jump *= stride
    return size, jump, start


# %% [markdown] tags=["solution"]
# The field grows from 1 to $1 + 2 \cdot 1 = 3$, the distance to 2; then to $3 + 2 \cdot 2 = 7$, at distance
# 2; then to $7 + 2 \cdot 2 = 11$, at distance 4: 11 pixels, 4 apart. One step of a kernel is as long as two
# neighbours of the layer below are apart, and so is one cell of padding.

# %% [markdown] tags=["instructor"]
# **Hint** Draw two layers over a row of pixels and count.
#
# **Marking** 1 point: the field; 1 point: the jump; 1 point: the start, with padding in units of the jump.
#
# **Common mistakes** The jump is updated before it is used. A good question for the class: which layer of a
# ResNet widens the field most, the first one with its 7 x 7 kernel or a late one of 3 x 3?

# %% [markdown] tags=["exercise"]
# ```{exercise} The patch of a cell
# *Objective:* cut out what a cell has really seen · *easy* · 10 minutes
#
# Write `box`: which pixels of a picture a cell sees, with `bottom` and `right` the first that are outside.
# The field is given as (size, jump, start), along rows and columns alike. What does a cell at the border see
# less of, and is it a fair rival of a cell in the middle?
# ```


# %% tags=["solution"]
def box(field, cell, height, width):
    """(top, left, bottom, right) of a cell (row, column)."""
    size, jump, start = field
    # BEGIN SOLUTION
    top, left = (start + jump * place for place in cell)
    bottom, right = min(top + size, height), min(left + size, width)
    return max(top, 0), max(left, 0), bottom, right
    # END SOLUTION


# %% tags=["test"]
assert box((11, 4, 0), (2, 0), 40, 60) == (8, 0, 19, 11), (
    "cell (2, 0): its field starts 2 jumps below the first one's and is 11 "
    "pixels long; rows come first"
)
assert box((11, 4, -5), (0, 0), 40, 60) == (0, 0, 6, 6), (
    "of a field from -5 to 5 only pixels 0 to 5 are in the picture: it is "
    "cut off, not moved"
)

# %% tags=["hidden-test"]
import torch
from torch import nn

net = nn.Sequential(nn.Conv2d(1, 1, 5, 2, 2), nn.Conv2d(1, 1, 3, 2, 1))
net = net.double()
for values in net.parameters():
    nn.init.ones_(values)
for cell in ((0, 0), (3, 1), (2, 5), (6, 7)):
    x = torch.ones(1, 1, 25, 29, dtype=torch.double, requires_grad=True)
    net(x)[0, 0, cell[0], cell[1]].backward()
    rows, columns = x.grad[0, 0].nonzero().T
    truth = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    assert box((9, 4, -4), cell, 25, 29) == tuple(map(int, truth)), (
        f"cell {cell} depends on {tuple(map(int, truth))} by its gradient: "
        "clip the box at all four borders, and take rows before columns"
    )


# %% tags=["wrong"]
# moves the box into the picture, so that all patches have one size
def box(field, cell, height, width):
    size, jump, start = field
    top = min(max(start + jump * cell[0], 0), height - size)
    left = min(max(start + jump * cell[1], 0), width - size)
    return top, left, top + size, left + size


# %% tags=["wrong"]
# forgets that the first field may start in the padding
def box(field, cell, height, width):
    size, jump, _ = field
    top, left = jump * cell[0], jump * cell[1]
    return top, left, min(top + size, height), min(left + size, width)


# %% [markdown] tags=["solution"]
# Start and end follow from the jump; then the box is clipped to the picture. A cell in the corner of a padded
# network may see a quarter of its field, and zeros for the rest. Zeros are no pixels of a photograph: such a
# cell knows that it sits at the border, and has less to judge by. Moving the box inside would show pixels
# that the cell has never seen.

# %% [markdown] tags=["instructor"]
# **Hint** First the box without borders, then `max` and `min`.
#
# **Marking** 1 point: start and size; 1 point: clipped at all borders; 1 point: what padding tells a cell.
#
# **Common mistakes** Boxes of equal size by shifting; `bottom` as the last pixel inside; columns first.

# %% [markdown] tags=["exercise"]
# ```{exercise} Averages before and after
# *Objective:* say what the softmax does to a very sure cell · *medium* · 10 minutes
#
# The mean of the logits and the mean of the probabilities need not rank pictures alike. Give the logits of
# two pictures with two cells each whose order differs: the *first* looks faker by the mean of its logits, the
# *second* by the mean of its probabilities, both by more than 0.05. In which of them does a single very sure
# cell decide?
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def pictures():
    """Logits of being fake of two pictures, (2, 2): a row for each."""
    # BEGIN SOLUTION
    return np.array([[9.0, -5.0], [1.0, 1.0]])
    # END SOLUTION


# %% tags=["test"]
logits = np.asarray(pictures(), dtype=float)
assert logits.shape == (2, 2), "expected a row of two cells for each picture"
before = logits.mean(1)
after = (1 / (1 + np.exp(-logits))).mean(1)
assert before[0] > before[1], (
    f"the mean logits are {before}: the first picture has to look faker; a "
    "single cell may have as large a logit as you like"
)
assert after[1] > after[0], (
    f"the mean probabilities are {after.round(3)}: the second picture has to "
    "look faker; a sure cell counts as 1 at most, however sure it is"
)

# %% tags=["hidden-test"]
gaps = before[0] - before[1], after[1] - after[0]
assert min(gaps) > 0.05, (
    f"the means differ by {gaps[0]:.3f} and {gaps[1]:.3f}: take logits that "
    "are farther apart, so that the order is clear in both"
)
vote = (logits > 0).mean(1)
assert vote[1] >= vote[0], (
    f"the votes are {vote}: where a single cell decides, fewer cells of the "
    "first picture say fake"
)


# %% tags=["wrong"]
# every cell of the first picture is surer, so both means agree
def pictures():
    return np.array([[3.0, 2.0], [1.0, 1.0]])


# %% tags=["wrong"]
# has the two pictures the wrong way round
def pictures():
    return np.array([[1.0, 1.0], [9.0, -5.0]])


# %% [markdown] tags=["solution"]
# Logits $(9, -5)$ and $(1, 1)$: the means of the logits are 2 and 1, those of the probabilities about 0.50
# and 0.73. Before the softmax one very sure cell outweighs the others; after it, it counts as one of two. The
# mean of probabilities, like a vote, asks how *many* cells find a trace; the mean of logits also how strong
# it is.

# %% [markdown] tags=["instructor"]
# **Hint** A probability cannot exceed 1; a logit can be anything.
#
# **Marking** 2 points: an example that works; 1 point: the first picture's sure cell decides, and only
# before.
#
# **Discuss** Which of the two would you take for pictures of which a small part is fake?

# %% [markdown] tags=["exercise"]
# ```{exercise} The AP of being wrong every time
# *Objective:* recognise swapped labels by their average precision · *medium* · 10 minutes
#
# Of a classifier's two outputs one means *fake*, but a file of weights need not say which. Read the wrong
# one, and a perfect classifier ranks every real above every fake. Its AUC is 0. Is its AP 0, or one less what
# it should be? Write `worst`, the AP of that order, from the definition: at each fake, the share of fakes
# among all pictures that rank as high or higher; and the mean of these shares over the fakes.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def worst(n_real, n_fake):
    """AP of an order with all reals above all fakes."""
    # BEGIN SOLUTION
    fakes = np.arange(1, n_fake + 1)
    return float((fakes / (n_real + fakes)).mean())
    # END SOLUTION


# %% tags=["test"]
assert worst(1, 1) == 0.5, "real, fake: at the fake, half of two are fake"
assert abs(worst(2, 2) - (1 / 3 + 2 / 4) / 2) < 1e-12, (
    "real, real, fake, fake: the shares at the two fakes are 1/3 and 2/4"
)
assert worst(500, 500) > 0.3, (
    f"{worst(500, 500):.3f} for 500 and 500: the last fakes come when half of "
    "what was called is fake, so the AP of the worst order is far above 0"
)

# %% tags=["hidden-test"]
from tff_core import metrics

for reals, fakes in ((1, 9), (30, 30), (90, 10)):
    labels = np.repeat([0, 1], [reals, fakes])
    swapped = metrics.average_precision(labels, -np.arange(len(labels)))
    assert abs(worst(reals, fakes) - swapped) < 1e-12, (
        f"{reals} reals and {fakes} fakes: expected {swapped:.4f}; the number "
        "of reals and of fakes need not be equal"
    )
assert abs(worst(10**5, 10**5) - (1 - np.log(2))) < 1e-4, (
    "with many pictures, half of them fake, the sum tends to 1 - ln 2"
)


# %% tags=["wrong"]
# takes AP for an AUC, which is 0 where the order is wrong throughout
def worst(n_real, n_fake):
    return 0.0


# %% tags=["wrong"]
# takes the precision when all are called, which is the share of fakes
def worst(n_real, n_fake):
    return n_fake / (n_real + n_fake)


# %% [markdown] tags=["solution"]
# At the $k$-th fake all $n$ reals and $k$ fakes have been called:
# $\frac{1}{m} \sum_{k=1}^{m} \frac{k}{n + k}$. With as many reals as fakes this tends to $1 - \ln 2$, about
# 0.31, and with many more fakes to 1. So an AP below that of chance does not turn into a good one by taking
# it from 1, and one of 0.31 on balanced pictures is not a weak classifier but a perfect one whose labels are
# swapped.

# %% [markdown] tags=["instructor"]
# **Hint** Write the ranking of two reals and two fakes and go down.
#
# **Marking** 2 points: the sum; 1 point: AP of swapped labels is not one less AP.
#
# **Common mistakes** 0, as for AUC; the share of fakes, which is about what a *random* order gives.

# %% [markdown] tags=["exercise"]
# ```{exercise} A thousand cells are not a thousand pictures
# *Objective:* resample what is independent · *medium* · 10 minutes
#
# Of ten pictures a hundred cells each are right or wrong: a thousand zeros and ones. How sure is the share of
# right cells? Write `spread`, the standard deviation of that share over bootstrap resamples of the
# *pictures*, each with all of its cells.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def spread(right, resamples, rng):
    """Standard deviation of the share of right cells; right is (N, C)."""
    shares = []
    for _ in range(resamples):
        # BEGIN SOLUTION
        drawn = rng.integers(len(right), size=len(right))
        shares.append(right[drawn].mean())
        # END SOLUTION
    return float(np.std(shares))


# %% tags=["test"]
alike = np.repeat([[1.0], [0.0]], 5, axis=0) * np.ones((10, 100))
found = spread(alike, 2000, np.random.default_rng(0))
assert abs(found - np.sqrt(0.25 / 10)) < 0.01, (
    f"{found:.3f}: if all cells of a picture agree, a thousand cells are "
    "worth ten coins, whose share has a deviation of 0.158; draw pictures"
)

# %% tags=["hidden-test"]
rng = np.random.default_rng(1)
pictures = rng.beta(2, 1, size=(40, 1))
cells = (rng.random((40, 60)) < pictures).astype(float)
expected = cells.mean(1).std() / np.sqrt(40)
found = spread(cells, 4000, np.random.default_rng(2))
assert abs(found / expected - 1) < 0.08, (
    f"{found:.4f} instead of {expected:.4f}, the deviation of the pictures' "
    "shares divided by the root of their number: draw as many pictures as "
    "there are, with replacement, and keep their cells together"
)


# %% tags=["wrong"]
# draws cells, as if each were a picture of its own
def spread(right, resamples, rng):
    flat = right.ravel()
    shares = [rng.choice(flat, flat.size).mean() for _ in range(resamples)]
    return float(np.std(shares))


# %% tags=["wrong"]
# keeps the pictures and draws cells within each
def spread(right, resamples, rng):
    shares = []
    for _ in range(resamples):
        drawn = rng.integers(right.shape[1], size=right.shape)
        shares.append(np.take_along_axis(right, drawn, 1).mean())
    return float(np.std(shares))


# %% [markdown] tags=["solution"]
# Draw pictures with replacement and take the mean over all of their cells. Had cells been drawn, the
# deviation would be $\sqrt{100} = 10$ times too small in the first example, and any difference between two
# networks would look certain. What is exchangeable is the picture: the next test will have other pictures,
# not other cells of these.

# %% [markdown] tags=["instructor"]
# **Hint** `right[drawn]` with numbers of pictures.
#
# **Marking** 2 points: pictures are drawn, with replacement; 1 point: why the others are too sure.
#
# **Discuss** Seeds of a training, frames of a film, crops of a photograph: what is independent there?

# %% [markdown] tags=["exercise"]
# ```{exercise} What a pair still gives away
# *Objective:* find a cue that is no trace of a generator · *hard* · 10 minutes
#
# A real and its inversion show the same. By what can they be told apart without any trace of upsampling, and
# which experiment of this chapter would notice?
# ```

# %% [markdown] tags=["solution"]
# By what a small latent cannot hold. Fine detail is lost, as in a resize, so an inversion is smoother than
# its real. *Prepared alike?* asks single statistics of the pixels before any training, detail among them.

# %% [markdown] tags=["instructor"]
# **Hint** The decoder has to draw the picture from fewer numbers than it has pixels.
#
# **Marking** 2 points: loss of fine detail; 1 point: the statistics of *Prepared alike?*.
#
# **Common mistakes** "Nothing, they are the same picture"; traces of the decoder, which the question
# excludes.
