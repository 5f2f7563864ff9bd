# %% [markdown]
# # Sources nobody has seen
#
# A network that knows four generators meets a fifth. Whatever it answers, the name cannot be right; the best it
# can say is *none of these*. This chapter asks how often it does, whether a threshold can promise anything,
# whether strangers can be sorted without labels, what names are worth after damage, and whether the
# maps that detect are those that name.

# %% tags=["parameters", "remove-input"]
source_networks = ["modules_dct"]  # the first with modules is asked
source_seeds = [0, 1, 2]
sources_known = ["progan", "stylegan2", "cyclegan", "stargan"]
sources_unknown = ["stylegan", "biggan", "gaugan"]
dataset = "miniature"
n = None  # pictures per label and generator; None: all
damaged = 20  # pictures per label and source that are damaged
looked = 60  # pictures of each task that the bridge looks at
draws = 8  # of the bridge's control
crossed = 20  # pictures per label and source that maps are dropped for
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd
import torch

from tff_core import detectors, figures
from tff_core.attribution import (
    comparison,
    discovery,
    inputs,
    networks,
    openset,
    robustness,
    sources,
    summary,
    weights,
)
from tff_core.book.chapter import save, say
from tff_core.claims.texts import novel as texts
from tff_core.claims.texts import who
from tff_core.features import bridge
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device
network = who.having(source_networks, who.MODULES)[0]
sets = {
    name: data.scan(store.data(dataset, "test", name)).where(first=n)
    for name in [*sources_known, *sources_unknown]
}

# %% [markdown]
# ## What strangers are called
#
# **Idea.** Pictures of generators that were never trained on go through the same network. Below the line of the
# matrix every name is wrong.

# %%
images = sources.of_sets(sets)
files = comparison.files(store, [network], source_seeds)
asked = comparison.ask(files, images, device=device)[network]

# %% tags=["remove-input"]
figures.show(figures.confusion(asked[0].confusion, sources_known))

# %% [markdown]
# ## A threshold that keeps a promise
#
# **Idea.** Each picture gets a score of **known-ness**: the largest probability that any source claims, but no
# more than that of being fake. Pictures below a threshold are rejected. The threshold comes from pictures of
# *known* sources: it is their five-percent quantile, in the version of **split conformal prediction**.
#
# **Equation.** With the scores $s_{(1)} \le \dots \le s_{(m)}$ of $m$ calibration pictures, a further picture
# of the same kind is rejected at the threshold
#
# $$
# \tau = s_{(k)}, \quad k = \lfloor \alpha\,(m + 1) \rfloor, \qquad\text{with probability at most } \alpha,
# $$
#
# whatever the network is like. Nothing is promised about unknown sources; that can only be measured.
#
# **Code.** Half of the test pictures of each source calibrate, the other half are tested: validation pictures
# have chosen the epochs, and ProGAN's come from other trainings of the generator.

# %%
halves = []
for one in asked:
    place = one.pictures.groupby("truth").cumcount()
    halves.append([one.pictures[place % 2 == half] for half in (0, 1)])
tests = [
    openset.measure(calibration, tested, sources_known)
    for calibration, tested in halves
]
table = summary.unknown_sources(tests)

# %% tags=["remove-input"]
figures.show(
    figures.oscr(
        {
            f"training {number}": (one.curve["right"], one.curve["wrong"])
            for number, one in enumerate(tests, start=1)
        },
        {
            f"training {number}": tuple(one.facts["oscr"].values())[:3]
            for number, one in enumerate(tests, start=1)
        },
    )
)
say(texts.promise([one.facts for one in tests]))
save(store, "source_unknown", table)
say(texts.novel(table))

# %% [markdown]
# ## Sorting strangers
#
# **Idea.** Strangers may come from one new generator or from several. The modules see traces all the same, so
# pictures are grouped by what the last layers see, in units of how much that varies within known sources. A
# group is parted only where one normal distribution would hardly ever look as parted. No label is used;
# afterwards the groups are compared with the truth by the adjusted Rand index, which is 0 by chance and 1 for
# the same groups. The question is put to *all* pictures of unknown sources, as if every one of them had been
# rejected.

# %%
net, statistics = weights.load(files[network][:1])
net = net.to(device)
known = halves[0][0]
known = known[known["truth"].isin(sources_known)]
strange = halves[0][1]
strange = strange[strange["truth"].isin(sources_unknown)]
old, new = (
    discovery.features(net, list(part["path"]), statistics, device=device)
    for part in (known, strange)
)
groups = discovery.cluster(new, old, pd.factorize(known["truth"])[0])
truth = strange["truth"].tolist()
agreed = discovery.agreement(groups.group, truth, {"source": None})

# %% tags=["remove-input"]
rejected = len(set(tests[0].rejected) & set(strange["path"]))
say(texts.groups(groups.group, truth, agreed, rejected))

# %% [markdown]
# ## After damage
#
# **Claim.** Perturbation makes such networks miss sources rather than name wrong ones {cite}`khoo2022`: a false
# *none* becomes more frequent, a false name less so.
#
# **Measure.** The same pictures of known sources, and reals, before and after blur, cropping, JPEG, noise and
# resizing. An operation speaks for the claim if in every training, at its strongest, the whole interval of what
# false *none* has risen by lies above that of false names.

# %%
some = sources.of_sets(
    {name: sets[name].where(first=damaged) for name in sources_known}
)
curves = []
for seed, path in zip(source_seeds, files[network], strict=True):
    one, about = weights.load([path])
    found = robustness.measure(one.to(device), some, about, device=device)
    curves.append(found.table.assign(seed=seed))
curves = pd.concat(curves, ignore_index=True)

# %% tags=["remove-input"]
figures.show(
    figures.attribution_robustness(curves[curves["seed"] == source_seeds[0]])
)
save(store, "source_robustness", curves)
say(texts.misses(curves))

# %% [markdown]
# ## Do the maps that detect also name?
#
# **Idea.** Detection and all sources share the feature maps before the branch. Relevance says for each of these
# tasks which maps it rests on; two tasks can be compared by how many of their first maps are the same.
#
# **Control.** Relevance flows where activations are large, whoever asks, so two tasks share maps even if neither
# has learnt to use them. Each task is therefore also compared with the other one *untrained*: its own layers'
# weights in random order. Only what is shared beyond that was learnt.


# %%
def tasks(net):
    """The network of each task, and its own pictures of the test."""
    nets, own = {}, {}
    for number, name in enumerate(["detection", *net.names]):
        source = None if name == "detection" else number - 1
        nets[name] = networks.folded(net, source)
        chosen = sources_known if source is None else [name]
        share = -(-looked // len(chosen))
        x = [
            data.load(sets[one].where(label=1, first=share)) for one in chosen
        ]
        own[name] = inputs.seen(torch.cat(x), statistics).to(device)
    return nets, own


nets, own = tasks(net)
layers = bridge.shared_layers(nets)
heads, controls = {}, {}
try:
    for name, one in nets.items():
        at = float(one(own[name])[:, 0].median())  # half of them count
        heads[name] = bridge.look(one, own[name], layers, 0.5, at)
        controls[name] = bridge.untrained(one, own[name], layers, draws)
    first = min(5, bridge.depth(heads))
    shared = bridge.specific(heads, controls, [first])
    overlap = bridge.overlap(heads, [first])
except ValueError as error:  # tasks that have learnt nothing
    shared, why = None, str(error)

# %% tags=["remove-input"]
if shared is None:
    say(texts.no_bridge(why))
else:
    figures.show(figures.bridge_overlap(overlap))
    figures.show(figures.bridge_specific(shared))
    save(store, "source_overlap", overlap)
    save(store, "source_bridge", shared)
    say(texts.bridged(shared))

# %% [markdown]
# ## What is lost without the other's maps?
#
# **Idea.** A ranking says where a task looks, not what it needs. So the first maps of every task are dropped,
# held constant as in {doc}`the chapter on sensitivity </notebooks/03_sensitivity>`, and every task is measured
# without them: detection without the maps that name, names without those that detect.
#
# **Control.** As many other maps of the same layers, drawn at random. A fall below that control says that these
# maps matter more to the task than their neighbours do.


# %%
def crossing():
    """AP of every task without the first maps of each, and without others."""
    pictures = sources.of_sets(
        {name: sets[name].where(first=crossed) for name in sources_known}
    )
    who_made = np.array(pictures.sources)
    labels = {"detection": who_made != sources.REAL}
    labels |= {name: who_made == i for i, name in enumerate(net.names)}
    x = torch.stack([data.read(path) for path in pictures.paths])
    scores = bridge.scores(
        nets,
        heads,
        inputs.seen(x, statistics).to(device).split(64),
        {name: own.astype(int) for name, own in labels.items()},
        first,
        draws // 2,
    )
    return bridge.breakage(scores, resamples=300)


# %% tags=["remove-input"]
if shared is not None:
    lost = crossing()
    figures.show(figures.bridge_breakage(lost))
    say(texts.crossed(lost))
    names = {"control": "k_control", "n_fake": "n_own", "n_real": "n_not_own"}
    save(store, "source_crossing", lost.rename(columns=names))

# %% [markdown]
# ## What it means, and what it does not
#
# - A coverage that was promised holds for pictures like those of the calibration, on average over calibrations.
#   It says nothing about how many strangers are let in.
# - Unknown here are families of this benchmark. A generator that upsamples like a known one is harder, another
#   training of a known generator harder still.
# - Resizing leaves traces of its own, and modules that look for traces of upsampling may take them for those of a
#   generator. A name is worth no more than what is known of how a picture was prepared.
# - Groups that do not follow the sources may follow what the pictures show, or anything else that differs.
# - The bridge is measured on one training, over a few dozen maps. Where a single control does as well, it does
#   not show that the tasks share what they have learnt.
# - A map that is dropped is gone for everything computed after it. That two tasks fall together says that both
#   use the map; it does not say that they read the same from it.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - set a threshold that keeps a promise, and say to whom it was made;
# - measure naming and rejecting together, at all thresholds at once;
# - compare groups without names with the truth, beyond chance;
# - ask what two rankings share beyond what their layers give;
# - say which failure makes a network look cautious.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Nothing but strangers
# *Objective:* say to whom a conformal threshold promises something · *easy* · 5 minutes
#
# All pictures of a test come from unknown generators. What does the conformal threshold promise about the
# share of them that is rejected?
# ```

# %% [markdown] tags=["solution"]
# Nothing: its promise is about pictures like those that it was calibrated on. A network that gives every fake
# the same score keeps the promise, and lets in nearly every stranger.

# %% [markdown] tags=["instructor"]
# **Hint** Which pictures are exchangeable with those of the calibration?
#
# **Marking** 1 point: nothing; 1 point: an example of a useless network that keeps the promise.
#
# **Common mistakes** "95 % are rejected", which confuses the two kinds of error.

# %% [markdown] tags=["exercise"]
# ```{exercise} How many to calibrate
# *Objective:* choose the order statistic that keeps a promise · *medium* · 15 minutes
#
# With $\alpha = 0.05$, how many calibration pictures are needed before anything can be rejected at all? Write
# `threshold`: the $k$-th smallest of $m$ scores, $k = \lfloor \alpha\,(m + 1) \rfloor$, and minus infinity
# where $k$ is 0. A further picture is rejected if its score is *below* it.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def threshold(scores, alpha):
    """Scores (m,) of pictures of known sources."""
    # BEGIN SOLUTION
    k = int(np.floor(alpha * (len(scores) + 1) + 1e-9))
    return float(np.sort(scores)[k - 1]) if k else -np.inf
    # END SOLUTION


# %% tags=["test"]
assert threshold(np.arange(18.0), 0.05) == -np.inf, (
    "of 18 pictures and a further one, the last is the smallest in one of 19 "
    "cases, more than 5 %: nothing may be rejected"
)
assert threshold(np.arange(19.0)[::-1], 0.05) == 0, (
    "of 19 the smallest is the threshold: the further one is below it in one "
    "of 20 cases"
)

# %% tags=["hidden-test"]
rng = np.random.default_rng(0)
for m, alpha in ((10, 0.1), (19, 0.05), (30, 0.2), (57, 0.1), (99, 0.07)):
    pool = rng.permutation(np.exp(rng.normal(size=m + 1)))
    # any of the m + 1 is as likely to be the further one
    missed = [
        pool[i] < threshold(np.delete(pool, i), alpha) for i in range(m + 1)
    ]
    most = int(alpha * (m + 1) + 1e-9)
    assert sum(missed) <= most, (
        f"m = {m}, alpha = {alpha}: {sum(missed)} of {m + 1} are rejected, "
        f"promised were {most} at most: the further picture counts, too"
    )
    assert sum(missed) == most, (
        f"m = {m}, alpha = {alpha}: {sum(missed)} of {m + 1} are rejected, "
        f"allowed are {most}: a higher threshold keeps the promise as well"
    )
same = np.ones(50)
assert not (same < threshold(same, 0.05)).any(), (
    "equal scores are not below the threshold: nothing is rejected"
)


# %% tags=["wrong"]
# takes the quantile of the calibration, without the further picture
def threshold(scores, alpha):
    return float(np.quantile(scores, alpha))


# %% tags=["wrong"]
# rounds the rank up, so that too many are rejected
def threshold(scores, alpha):
    k = int(np.ceil(alpha * (len(scores) + 1) - 1e-9))
    return float(np.sort(scores)[k - 1])


# %% tags=["wrong"]
# counts from zero, one score too far
def threshold(scores, alpha):
    k = int(np.floor(alpha * (len(scores) + 1) + 1e-9))
    return float(np.sort(scores)[k]) if k else -np.inf


# %% [markdown] tags=["solution"]
# $k = \lfloor 0.05\,(m + 1) \rfloor$ must be at least 1, so $m \ge 19$. The further picture's rank among all
# $m + 1$ is equally likely to be any, so it is below the $k$-th smallest of the others in $k$ of $m + 1$
# cases. No word about the network, nor about how scores are distributed: only that the pictures are
# exchangeable.

# %% [markdown] tags=["instructor"]
# **Hint** Take $m = 1$: in how many of two cases is the other one smaller?
#
# **Marking** 2 points: the rank; 1 point: minus infinity; 1 point: 19.
#
# **Discuss** ProGAN's calibration pictures come from other trainings than those of the network. Does it
# matter?

# %% [markdown] tags=["exercise"]
# ```{exercise} Known, and named right
# *Objective:* compute the areas under the ROC and the OSCR curve by pairs · *medium* · 15 minutes
#
# The AUROC is the probability that a known picture scores above an unknown one, equal scores counting half.
# The area under the OSCR curve asks in addition that the known picture is *named right*. Write `areas`, which
# gives both. Which of the two can be 1 for a network that confuses all names?
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def areas(known, right, unknown):
    """(AUROC, OSCR); scores (n,), named right (n,) of bool, scores (m,)."""
    # BEGIN SOLUTION
    above = (known[:, None] > unknown) + 0.5 * (known[:, None] == unknown)
    return float(above.mean()), float((above * right[:, None]).mean())
    # END SOLUTION


# %% tags=["test"]
known, unknown = np.array([0.9, 0.8, 0.3]), np.array([0.5, 0.3])
auroc, oscr = areas(known, np.array([True, False, True]), unknown)
assert np.isclose(auroc, 4.5 / 6), (
    f"AUROC {auroc:.3f}: of six pairs four are won and one is a draw"
)
assert np.isclose(oscr, 2.5 / 6), (
    f"OSCR {oscr:.3f}: the pairs of the picture with a wrong name are lost, "
    "but they are pairs all the same"
)

# %% tags=["hidden-test"]
rng = np.random.default_rng(0)
known, unknown = rng.integers(0, 9, 60) / 4, rng.integers(0, 7, 40) / 4
right = rng.random(60) < 0.7
auroc, oscr = areas(known, right, unknown)
cuts = np.concatenate([[9], np.unique(np.r_[known, unknown])[::-1]])
wrong = [(unknown >= cut).mean() for cut in cuts]
for found, good in ((auroc, np.ones(60, dtype=bool)), (oscr, right)):
    curve = [((known >= cut) & good).mean() for cut in cuts]
    area = np.sum(np.diff(wrong) * (np.add(curve[1:], curve[:-1]) / 2))
    assert np.isclose(found, area), (
        f"{found:.4f} by pairs, but {area:.4f} under the curve of accepted "
        "known pictures over accepted unknown ones"
    )
assert areas(known, np.zeros(60, dtype=bool), unknown)[1] == 0, (
    "without a right name nothing is both accepted and right"
)


# %% tags=["wrong"]
# leaves pictures with a wrong name out, instead of counting them as lost
def areas(known, right, unknown):
    above = (known[:, None] > unknown) + 0.5 * (known[:, None] == unknown)
    return float(above.mean()), float(above[right].sum() / above[right].size)


# %% tags=["wrong"]
# counts equal scores as won
def areas(known, right, unknown):
    above = known[:, None] >= unknown
    return float(above.mean()), float((above & right[:, None]).mean())


# %% tags=["wrong"]
# multiplies the AUROC by the accuracy
def areas(known, right, unknown):
    above = (known[:, None] > unknown) + 0.5 * (known[:, None] == unknown)
    return float(above.mean()), float(above.mean() * right.mean())


# %% [markdown] tags=["solution"]
# All pairs in one table, $n$ by $m$. The AUROC knows no names, and is 1 if every known picture scores above
# every stranger, whatever it is called; the OSCR area is then the share that is named right. In general it is
# not the product of the two: wrong names may come with low scores, and to reject these costs nothing.

# %% [markdown] tags=["instructor"]
# **Hint** `known[:, None] > unknown` compares each with each.
#
# **Marking** 1 point: pairs with ties; 2 points: wrong names are lost pairs; 1 point: the AUROC can.
#
# **Discuss** Of which threshold is either number? Of none: what would a user need beside it?

# %% [markdown] tags=["exercise"]
# ```{exercise} Groups without names
# *Objective:* compare partitions beyond chance · *medium* · 15 minutes
#
# Two partitions of the same pictures are compared by pairs: $b$ pairs are together in both, $r$ in the first
# and $c$ in the second. By chance $e = r\,c / \binom{n}{2}$ of them would be together in both, and at most
# $(r + c) / 2$ can be. Write the adjusted Rand index, $(b - e) / \bigl((r + c) / 2 - e\bigr)$, and 1 where
# there is nothing to adjust. Why not simply the share of pairs on which both agree?
# ```

# %% tags=["exercise"]
import numpy as np


def pairs(counts):
    """How many pairs there are within groups of these sizes."""
    return float((counts * (counts - 1) / 2).sum())


# %% tags=["solution"]
def adjusted_rand(first, second):
    """Of two lists of group numbers 0, 1, ..., (n,) each."""
    table = np.zeros((max(first) + 1, max(second) + 1))
    np.add.at(table, (first, second), 1)
    # BEGIN SOLUTION
    both, rows, columns = map(pairs, (table, table.sum(1), table.sum(0)))
    chance = rows * columns / pairs(np.array([len(first)]))
    most = (rows + columns) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)
    # END SOLUTION


# %% tags=["test"]
truth = np.repeat([0, 1, 2], 20)
assert np.isclose(adjusted_rand(truth, (truth + 1) % 3), 1), (
    "the same groups under other numbers are the same partition"
)
rng = np.random.default_rng(0)
lots = [adjusted_rand(truth, rng.permutation(truth)) for _ in range(300)]
assert abs(np.mean(lots)) < 0.02, (
    f"{np.mean(lots):.3f}: groups drawn by lot have an index of 0 on average"
)

# %% tags=["hidden-test"]
from itertools import combinations

a, b = rng.integers(0, 3, 25), rng.integers(0, 4, 25)
b[:12] = a[:12]
same = np.array([[x[i] == x[j] for i, j in combinations(range(25), 2)]
                 for x in (a, b)])  # fmt: skip
chance = same[0].mean() * same[1].sum()
index = (same.all(0).sum() - chance) / (same.sum() / 2 - chance)
assert np.isclose(adjusted_rand(a, b), index), (
    f"{adjusted_rand(a, b):.4f} instead of {index:.4f}, counted pair by pair"
)
assert np.isclose(adjusted_rand(a, b), adjusted_rand(b, a)), (
    "neither partition comes first: the index has to be symmetric"
)
assert adjusted_rand(np.zeros(9, int), np.zeros(9, int)) == 1, (
    "one group and one group: nothing to adjust, and the same partition"
)
assert abs(adjusted_rand(truth, np.zeros(60, int))) < 1e-12, (
    "one group of all says nothing about three sources: 0"
)


# %% tags=["wrong"]
# takes the share of pairs on which both agree, which is high by chance
def adjusted_rand(first, second):
    i, j = np.triu_indices(len(first), 1)
    one, other = first[i] == first[j], second[i] == second[j]
    return float((one == other).mean())


# %% tags=["wrong"]
# takes how pure the groups are: 1 for groups of one picture each
def adjusted_rand(first, second):
    table = np.zeros((max(first) + 1, max(second) + 1))
    np.add.at(table, (first, second), 1)
    return float(table.max(0).sum() / len(first))


# %% [markdown] tags=["solution"]
# Most pairs are in different groups of both partitions, whatever these are: with many small groups two
# partitions drawn by lot agree on nearly all pairs. Purity is no better, since groups of one picture are
# pure. The adjusted index is 0 for lots and 1 for the same groups, and falls for too many groups as for too
# few.

# %% [markdown] tags=["instructor"]
# **Hint** `pairs` of the table, of its rows' sums, and of its columns'.
#
# **Marking** 2 points: the three numbers of pairs; 1 point: chance; 1 point: why not the share.
#
# **Discuss** An index of 0.5 at the level of single generators, of 0.9 at that of families: what was found?

# %% [markdown] tags=["exercise"]
# ```{exercise} Shared, or from the same layer?
# *Objective:* compare an overlap with what the layers give by chance · *hard* · 15 minutes
#
# Relevance is a share of its layer, so the maps of narrow layers come first in every ranking. Two tasks have
# $x_l$ and $y_l$ of their first $k$ maps in layer $l$ with $n_l$ maps. If which ones they are were left to
# chance, how many would they share? Write `beyond`: shared less expected, as a share of $k$.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def beyond(first, second, layer):
    """Maps' numbers (k,) each, and the layer of every map, (M,)."""
    shared = len(set(first) & set(second))
    # BEGIN SOLUTION
    sizes = np.bincount(layer)
    x, y = (
        np.bincount(layer[maps], minlength=len(sizes))
        for maps in (first, second)
    )
    return (shared - float((x * y / sizes).sum())) / len(first)
    # END SOLUTION


# %% tags=["test"]
layer = np.repeat([0, 1], [4, 96])  # a narrow layer and a wide one
narrow = np.arange(4)
assert abs(beyond(narrow, narrow, layer)) < 1e-12, (
    f"{beyond(narrow, narrow, layer):.2f}: two tasks whose first four maps "
    "are all there is of the narrow layer had no choice"
)
wide = np.arange(50, 54)
assert np.isclose(beyond(wide, wide, layer), 1 - 4 / 96), (
    "four of 96 are hardly shared by chance: 4 x 4 / 96 are expected"
)

# %% tags=["hidden-test"]
rng = np.random.default_rng(0)
layer = np.repeat([0, 1, 2], [5, 20, 75])
found = []
for _ in range(500):
    first, second = (
        np.concatenate(
            [rng.choice(np.flatnonzero(layer == i), n, replace=False)
             for i, n in enumerate(numbers)]
        )
        for numbers in ((4, 3, 1), (3, 4, 1))
    )  # fmt: skip
    found.append(beyond(first, second, layer))
assert abs(np.mean(found)) < 0.02, (
    f"{np.mean(found):.3f} on average for maps drawn within their layers: "
    "expected 0; the two tasks may have different numbers in a layer"
)
assert beyond(np.arange(5, 10), np.arange(10, 15), layer) < -0.2, (
    "two tasks that avoid each other in a layer share fewer than by chance"
)


# %% tags=["wrong"]
# takes chance from all maps together, as if there were no layers
def beyond(first, second, layer):
    shared = len(set(first) & set(second))
    return (shared - len(first) ** 2 / len(layer)) / len(first)


# %% tags=["wrong"]
# calls everything shared that both have
def beyond(first, second, layer):
    return len(set(first) & set(second)) / len(first)


# %% [markdown] tags=["solution"]
# In each layer $x_l y_l / n_l$: every one of the first task's maps is among the second's with probability
# $y_l / n_l$. Without layers a few narrow ones would make any two rankings look related. What is left may
# still come from maps that are large for every task, learnt or not; that is what the untrained task is for.

# %% [markdown] tags=["instructor"]
# **Hint** Draw $y$ of $n$ balls, of which $x$ are red. How many red ones are expected?
#
# **Marking** 2 points: layer by layer; 1 point: as a share of $k$; 1 point: what it does not rule out.
#
# **Discuss** What does a value below 0 say?

# %% [markdown] tags=["exercise"]
# ```{exercise} Cautious, or broken?
# *Objective:* look for the trivial way to support a claim · *medium* · 5 minutes
#
# "Damage makes such networks miss sources rather than name wrong ones." Describe a network that knows nothing
# of any source and supports this claim perfectly. What would you report beside the claim?
# ```

# %% [markdown] tags=["solution"]
# A network whose claims all fall below one half as soon as a picture is touched: every answer becomes *none*,
# no name is wrong. It misses sources because it has stopped answering. Beside the claim belongs how many
# names are still right after the damage, and what a threshold that is chosen on damaged validation pictures
# would make of it: if names come back, the network still knew, and was only too modest.

# %% [markdown] tags=["instructor"]
# **Hint** What is the safest answer to any question?
#
# **Marking** 2 points: the network; 1 point: what is reported beside it.
#
# **Discuss** Is a false *none* really the smaller harm? For whom?
