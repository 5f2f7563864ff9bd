# %% [markdown]
# # Does it depend on the detector?
#
# Everything this book says about feature maps rests on relevance by the z+ rule. There is a serious objection to
# that rule. {cite:t}`sixt2020` show that relevance which is passed on by positive weights alone tends to forget
# the later layers: whatever they have learnt, the same places light up. {cite:t}`binder2023`, one of the
# authors of the paper among them, object that the usual tests of this are flawed. So this chapter asks the
# detector itself: **make it forget, and see whether its explanations notice.**

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
seeds = [0, 1, 2]
shuffled = "resnet18-miniature"  # the network that learns shuffled labels
shuffled_seeds = []  # its training seeds; none: not asked in this build
n = None  # what the steps have measured is what there is
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import detectors, figures
from tff_core.book.chapter import Chapter, save, say
from tff_core.claims.texts import exam_dependence as texts
from tff_core.exam import dependence, noticing
from tff_core.exam import shuffled as labels

chapter = Chapter(detector, ["progan"], seeds, device=device, build=build)


def read(what, seed):
    path = chapter.store.part(f"depend_{what}", detector, f"s{seed}")
    table = pd.read_csv(f"{path}.gz", keep_default_na=False, na_values=[""])
    return (
        table.assign(group=table["group"].fillna(""))
        if "group" in table
        else table
    )


def keep(table, rows):
    rows = rows.assign(detector=detector)
    chapter.save_part(
        table, "all", rows[["detector", *rows.columns.drop("detector")]]
    )


# %% [markdown]
# ## The rules, before any result
#
# **What forgets.** The layers of a network are taken in groups, of one output size each. A group forgets when
# all its weights are drawn anew, by the network's own initialisation. Its batch normalisations then scale by
# one, shift by zero, and take their statistics from pictures under the new weights; with the old ones,
# activations would fade or explode, and an explanation would change for that reason alone. From the logit down,
# more and more groups forget; then each forgets alone. Every training seed has a draw of its own, so an interval
# over seeds covers both.
#
# **What is compared.** Heatmaps of the same fakes, each network explaining its own decision: by the **rank
# correlation** of their pixels {cite:p}`adebayo2018`, the cosine, and how many of the strongest tenth they
# share beyond chance. Omega by rank correlation within layers, and by how many of the top-k maps are found again
# beyond what their layers give by chance; only in **layers that keep their weights**, since a map whose weights
# were drawn anew has a name in common with the old one, and nothing else.
#
# **Questions.** Each is answered by an interval of 95 % over pictures and training seeds, against a border of
# one half, a convention:
#
# 1. *All random*: is the rank correlation with a wholly random network's explanation below one half?
# 2. *Later half random*: the same when only the groups of the later half are random.
# 3. *Random answers*: is the absolute cosine of two relevances that start at random above the last layer below
#    one half in the picture (for omega: in the middle layer)?
# 4. *The other answer*: of all relevance, is the surplus of one sign below one half?
# 5. *Complexity*: is the random network's heatmap more complex {cite:p}`hedstroem2023`? Border: zero.
#
# *Passed* if the whole interval lies on the right side, *failed* if on the other, *open* if it contains the border
# or if there is one training alone. An explanation passes if it passes all questions that can be asked of it.
#
# **Controls.** The *edges* of the picture know no network and must fail; *random numbers* are never the same
# and pass. Passing says that an explanation depends on the detector, not that it is right.

# %% tags=["remove-input"]
tables = [
    {
        what: read(what, seed)
        for what in ("heatmaps", "omega", "starts", "complexity")
    }
    for seed in seeds
]
pooled = dependence.pool(tables)
alike = pooled["similarity"]
down = alike[alike["order"] == dependence.TOP_DOWN]
groups = list(down.sort_values("depth")["group"].drop_duplicates())
later = noticing.later(len(groups))

# %% [markdown]
# ## Forgetting, step by step
#
# **Idea.** If an explanation shows what the network has learnt, little of it is left when the network has
# forgotten. For the later half this is the objection of {cite:t}`sixt2020`; for omega it decides whether a
# ranking of early maps says anything about the decision, or only about the pictures and the early layers.
#
# **Equation.** With $h(x; \theta)$ the heatmap and $\theta_d$ the weights after $d$ groups have forgotten,
#
# $$ s_d = \frac{1}{N} \sum_x \rho\bigl(h(x; \theta), h(x; \theta_d)\bigr) . $$
#
# **Code.** `tff_core.exam.randomization` makes the networks, `similarity` compares.

# %% tags=["remove-input"]
shown = {
    name: title
    for name, title in texts.TITLES.items()
    if name in set(alike["explanation"]) and not name.endswith("smooth")
}
figures.show(figures.forgetting(alike, shown, groups))
say(texts.forgotten(alike, later, groups), texts.counts(alike))

# %% [markdown]
# The last column is a yardstick: what a second training of the same detector leaves of the explanation. The
# two start from the same classifier, so their maps can be compared by name.

# %% tags=["remove-input"]
say(texts.known(alike, len(groups)), texts.beside_edges(alike, len(groups)))

# %% [markdown]
# ## Does relevance know what started it?
#
# **Idea.** Send two random vectors back from the input of the last layer. Where a rule has converged, both
# arrive as the same pattern {cite:p}`sixt2020`; then no answer of the network, of whatever meaning, would have
# given another. The gradient of the same two vectors is the control.
#
# **Equation.** With $r_l(v)$ the relevance that arrives in layer $l$ from the start $v$,
# $\; c_l = \bigl|\cos\bigl(r_l(v), r_l(v')\bigr)\bigr|$, with $v, v' \sim \mathcal{N}(0, I)$.
#
# **Another logit.** A detector has only one. Every rule is linear in what arrives, so relevance for "real" is
# that for "fake" with the sign changed everywhere: the cosine is $-1$ by construction and says nothing. What can be
# asked is whether a layer has relevance of both signs, $\bigl|\sum R\bigr| / \sum |R|$. At 1 no place in
# the picture speaks for the other answer.

# %% tags=["remove-input"]
figures.show(figures.starts(pooled["starts"], texts.STARTS))
say(texts.random_answers(pooled["starts"]))

# %% [markdown]
# ## What is said against such tests
#
# **Idea.** {cite:t}`binder2023` point out that a network whose upper layers are random still computes the
# lower activations as before; an explanation that reads them must stay similar, and a noisy one looks better
# than it is, because noise has no rank correlation with itself. Two repairs {cite:p}`hedstroem2023`: compare no
# heatmaps at all, only how *complex* they are before and after; and average heatmaps over noisy copies of the
# picture, so that noise cancels before the comparison.
#
# **Equation.** Complexity is the entropy $H$ of a heatmap's histogram, and its rise $(H_\mathrm{random} - H) / H$.

# %% tags=["remove-input"]
say(texts.complexity(pooled["complexity"]))
smooth = {
    name: title
    for name, title in texts.TITLES.items()
    if name.partition(",")[0] + dependence.SMOOTH in set(alike["explanation"])
}
if smooth:
    figures.show(figures.forgetting(alike, smooth, groups, again=False))

# %% [markdown]
# ## What if the labels were wrong?
#
# **Idea.** A detector that was trained with labels in random order has learnt pictures by heart, and nothing
# about fakes {cite:p}`adebayo2018`. Each has a partner that started from the same weights, saw the same pictures in
# the same order, and had the true labels. If both look at the same things, what they look at is not what tells
# real from fake.

# %% tags=["remove-input"]
if shuffled_seeds:
    found, facts = [], []
    for seed in shuffled_seeds:
        path = chapter.store.part("shuffled", shuffled, f"s{seed}")
        looks, sizes, told = labels.read(path.with_suffix(".npz"))
        found.append(looks)
        facts.append(told)
    spec = detectors.get(shuffled, chapter.store)
    compared = labels.compare(found, sizes, spec.k)
    save(chapter.store, "shuffled", compared)
    title = detectors.architecture(spec.arch).title
    say(texts.labels(compared, facts, title))
else:
    say(texts.NOT_ASKED)

# %% [markdown]
# ## Verdicts
#
# By the rules at the top of the page.

# %% tags=["remove-input"]
judged = noticing.judge(pooled)
together = noticing.overall(judged)
say(texts.verdicts(judged, together), texts.finding(judged, together))
keep("dependence", alike)
keep("dependence_starts", pooled["starts"])
keep("dependence_complexity", pooled["complexity"])
words = together.set_index("explanation")["verdict"]
keep(
    "dependence_verdicts",
    judged.assign(together=judged["explanation"].map(words)),
)

# %% [markdown]
# ## What it means, and what it does not
#
# - An explanation that fails is not thereby wrong about the picture. It may show, faithfully, what the layers
#   respond to that were left as they are; it does not show what the *later* layers have made of it.
# - An explanation that passes depends on the detector. Random numbers pass, too. Whether it points to what the
#   decision rests on is another question, which this part of the book asks next.
# - The random networks are those of the initialisation, on pictures of {doc}`the miniature
#   </notebooks/data_card>`. Statistics of batch normalisations were fitted to few pictures.
# - Within layers that keep their weights, omega reads activations that have not changed. What is left there of its
#   order bounds what the paper's ranking can owe to the layers above.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - make a network forget, from the logit down, without changing the network that you ask about;
# - compare two heatmaps by the ranks of their pixels, and say what a control scores;
# - say why relevance through positive weights forgets where it started, and measure how fast;
# - tell "it depends on the detector" from "it is right".
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Noise passes
# *Objective:* say what a test of forgetting cannot tell · *easy* · 5 minutes
#
# Take a heatmap of random numbers, drawn anew each time. What does it score in the test of forgetting, and what
# in one that first averages over a hundred copies?
# ```

# %% [markdown] tags=["solution"]
# Near zero in both: it passes. Averages of independent noise are still independent of each other. The test says
# that something changed, and cannot say that something meaningful did.

# %% [markdown] tags=["instructor"]
# **Hint** Write down what is compared with what, and whether the two share anything.
#
# **Marking** 2 points: 1 for "near zero, so it passes"; 1 for why averaging changes nothing.
#
# **Common mistakes** Expecting the averages to agree because both are nearly flat: ranks do not care how flat.
#
# **Discuss** Which other test of this book would random numbers fail?

# %% [markdown] tags=["exercise"]
# ```{exercise} Alike, but by which measure?
# *Objective:* compare heatmaps so that one bright pixel does not decide · *easy* · 10 minutes
#
# Two heatmaps share their brightest pixel and nothing else. Are they alike? Write `rank_correlation`: for each
# picture the correlation of the *ranks* of its pixels, where equal pixels share the mean of their ranks, and NaN
# where a map is constant. Then compare the two maps below with both measures.
# ```

# %% tags=["exercise"]
import numpy as np
from pandas import DataFrame

rng = np.random.default_rng(0)
one, other = rng.random((2, 3, 16, 16))  # (N, H, W) each
one[:, 0, 0] = other[:, 0, 0] = 100


# %% tags=["solution"]
def rank_correlation(a, b):
    """Maps (N, H, W) twice; returns (N,)."""
    # BEGIN SOLUTION
    a, b = (DataFrame(m.reshape(len(m), -1)) for m in (a, b))
    a, b = (m.rank(axis=1).to_numpy() for m in (a, b))
    a, b = (m - m.mean(1, keepdims=True) for m in (a, b))
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(1) / scale
    # END SOLUTION


# %% tags=["test"]
found = rank_correlation(one, other)
assert np.shape(found) == (3,), "one number for each picture is expected"
assert np.allclose(rank_correlation(one, one**3), 1), (
    "cubing keeps the order of the pixels, so the ranks agree and the "
    "correlation is 1: do you correlate values instead of ranks?"
)
assert (np.abs(found) < 0.3).all(), (
    "but for one pixel the maps are independent: a high number means that "
    "the brightest pixel decides"
)

# %% tags=["hidden-test"]
from tff_core.features import pixels

ties = rng.integers(0, 3, (4, 8, 8)).astype(float)
more = rng.random((4, 8, 8)) + np.arange(4)[:, None, None]
assert np.allclose(
    rank_correlation(ties, more), pixels.likeness(ties, more)
), "with equal pixels, or pictures of unlike brightness, the number is off"
flat = rank_correlation(np.ones((1, 4, 4)), more[:1, :4, :4])
assert np.isnan(flat).all(), "a constant map has no order: NaN is expected"


# %% tags=["wrong"]
# correlates the values of the pixels, not their ranks
def rank_correlation(a, b):
    pairs = zip(*(m.reshape(len(m), -1) for m in (a, b)), strict=True)
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in pairs])


# %% tags=["wrong"]
# ranks the pixels of all pictures together, and breaks ties by position
def rank_correlation(a, b):
    a, b = (m.ravel().argsort().argsort().reshape(len(m), -1) for m in (a, b))
    pairs = zip(a, b, strict=True)
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in pairs])


# %% [markdown] tags=["solution"]
# By values the two maps correlate almost perfectly: the one bright pixel outweighs 255 others. By ranks they are
# unrelated. Heatmaps have such pixels often, so the choice of the measure can decide a verdict; that is why the
# chapter says beforehand which one it uses.

# %% [markdown] tags=["instructor"]
# **Hint** `DataFrame.rank(axis=1)` gives tied entries the mean of their ranks.
#
# **Marking** 3 points: 1 ranks within each picture, 1 ties, 1 constant maps.
#
# **Common mistakes** One `argsort` gives positions, not ranks; two of them break ties by position.

# %% [markdown] tags=["exercise"]
# ```{exercise} Forget from the top
# *Objective:* make the networks of a cascading randomisation · *medium* · 15 minutes
#
# Write `forget(net, depth, seed)`: a copy of the network whose last `depth` layers with weights are drawn anew by
# their own `reset_parameters()`, and whose other layers, as well as `net` itself, stay as they are.
# ```

# %% tags=["exercise"]
import copy

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(),
    nn.Flatten(), nn.Linear(64, 1),
)  # fmt: skip


# %% tags=["solution"]
def forget(net, depth, seed):
    # BEGIN SOLUTION
    twin = copy.deepcopy(net)
    layers = [m for m in twin if hasattr(m, "reset_parameters")]
    torch.manual_seed(seed)
    for layer in layers[len(layers) - depth :]:
        layer.reset_parameters()
    return twin
    # END SOLUTION


# %% tags=["test"]
def changed(net, other):
    pairs = zip(net, other, strict=True)
    return [
        not torch.equal(a.weight, b.weight)
        for a, b in pairs
        if hasattr(a, "weight")
    ]


before = copy.deepcopy(net)
top = forget(net, 1, seed=1)
assert not any(changed(before, net)), (
    "`net` itself has forgotten: the explanation that you compare with is "
    "gone; work on a copy"
)
assert changed(net, top) == [False, False, True], (
    "one step of the cascade forgets the layer next to the logit, and "
    "only that one"
)

# %% tags=["hidden-test"]
assert changed(net, forget(net, 2, 1)) == [False, True, True], (
    "from the logit down means that every step keeps what the steps before "
    "it have forgotten"
)
assert not any(changed(net, forget(net, 0, 1))), "depth 0 forgets nothing"
assert all(changed(net, forget(net, 3, 1))), "depth 3 is all of this network"
assert not any(changed(forget(net, 2, 5), forget(net, 2, 5))), (
    "the same seed has to give the same network"
)
assert any(changed(forget(net, 1, 5), forget(net, 1, 6))), (
    "another seed has to give other weights"
)


# %% tags=["wrong"]
# forgets from the picture up
def forget(net, depth, seed):
    twin = copy.deepcopy(net)
    torch.manual_seed(seed)
    for layer in [m for m in twin if hasattr(m, "weight")][:depth]:
        layer.reset_parameters()
    return twin


# %% tags=["wrong"]
# lets the trained network itself forget
def forget(net, depth, seed):
    torch.manual_seed(seed)
    for layer in [m for m in net if hasattr(m, "weight")][::-1][:depth]:
        layer.reset_parameters()
    return net


# %% tags=["wrong"]
# one layer alone at each step, not all above it
def forget(net, depth, seed):
    twin = copy.deepcopy(net)
    torch.manual_seed(seed)
    layers = [m for m in twin if hasattr(m, "weight")]
    if depth:
        layers[-depth].reset_parameters()
    return twin


# %% [markdown] tags=["solution"]
# A layer's start needs no data, so forgetting is a copy and a loop. What this tiny network spares you are batch
# normalisations: with the old statistics the activations of a forgetful network fade or explode, and explanations
# change for that reason alone. The chapter fits them anew.

# %% [markdown] tags=["instructor"]
# **Hint** `copy.deepcopy`, and a list of the layers that have `reset_parameters`.
#
# **Marking** 4 points: 1 copy, 1 order, 1 cumulative, 1 reproducible.
#
# **Common mistakes** `layers[-depth:]` is the whole list for depth 0.
#
# **Discuss** Why is "each group alone" asked besides? (To see which layers an explanation reads.)

# %% [markdown] tags=["exercise"]
# ```{exercise} Positive matrices
# *Objective:* show why positive weights forget where relevance started · *hard* · 20 minutes
#
# Relevance $r$ passes a layer as $M r$. Write `convergence(matrices, v, w)`: the absolute cosine of the two
# relevances after each layer, first matrix first. Compare matrices with positive entries, with entries of both
# signs, and permutations. Why do two starts become more alike with every positive layer, and what would have to
# be true of the matrices for them not to?
# ```

# %% tags=["exercise"]
import numpy as np

rng = np.random.default_rng(0)
v, w = rng.normal(size=(2, 20))
signed = rng.normal(size=(6, 20, 20))
positive = np.abs(signed)
orders = np.stack([np.eye(20)[rng.permutation(20)] for _ in range(6)])


# %% tags=["solution"]
def convergence(matrices, v, w):
    # BEGIN SOLUTION
    found = []
    for matrix in matrices:
        v, w = matrix @ v, matrix @ w
        length = np.linalg.norm(v) * np.linalg.norm(w)
        found.append(abs(v @ w) / length)
    return np.array(found)
    # END SOLUTION


# %% tags=["test"]
alike = convergence(positive, v, w)
assert alike.shape == (6,), "one cosine after each layer is expected"
assert alike[-1] > 0.99, (
    "after six positive layers any two starts have become one pattern: "
    "does the relevance of one layer go into the next?"
)
start = abs(v @ w) / np.linalg.norm(v) / np.linalg.norm(w)
assert np.allclose(convergence(orders, v, w), start), (
    "a permutation moves relevance about and mixes nothing: the cosine of "
    "the starts is kept"
)

# %% tags=["hidden-test"]
by_hand = convergence(np.array([[[1, 1], [0, 0.5]]]), [1, 0], [0, 1])
assert np.allclose(by_hand, 2 / np.sqrt(5)), (
    "M r for r = (1, 0) is the first column of M: is your matrix transposed?"
)
minus = convergence(positive, v, -v)
assert np.allclose(minus, 1), "opposite starts have absolute cosine 1"
assert convergence(signed, v, w).max() < 0.95, (
    "matrices of both signs keep two starts apart here"
)


# %% tags=["wrong"]
# starts anew at every layer instead of going on from the last one
def convergence(matrices, v, w):
    a, b = matrices @ v, matrices @ w
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.abs((a * b).sum(1)) / length


# %% tags=["wrong"]
# passes relevance on by the transposed matrix
def convergence(matrices, v, w):
    found = []
    for m in matrices:
        v, w = v @ m, w @ m
        found.append(abs(v @ w) / np.linalg.norm(v) / np.linalg.norm(w))
    return np.array(found)


# %% [markdown] tags=["solution"]
# A positive matrix shrinks the angle between any two positive vectors (Perron and Frobenius), and products of many
# come close to rank one: one pattern, times a number that depends on the start. It does not happen if the matrices
# have many zeros in the right places, as permutations have, or entries of both signs.

# %% [markdown] tags=["instructor"]
# **Hint** Keep two vectors, multiply both, take the cosine, go on.
#
# **Marking** 5 points: 3 code, 1 rank one, 1 a condition (zeros in the right places, or both signs).
#
# **Common mistakes** Saying that the *sum* is forgotten: the sum is what the rule keeps.
#
# **Discuss** The z+ rule has such matrices, but they depend on the picture through the activations.
