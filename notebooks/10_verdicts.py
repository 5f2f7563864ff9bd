# %% [markdown]
# # Verdicts: which claims hold here
#
# The paper makes eight claims {cite}`chandrasegaran2022`. The chapters have measured a number for each of
# them, on every generator and for every detector. This page puts the numbers side by side and says, by stated
# rules, which claims hold, hold in part, are mixed, open or contradicted. (The rules for single generators
# were written down before anyone looked at the numbers; since then *holds in part* has become stricter, and
# *mixed*, *open* and *contradicted*, once a single verdict, have been separated.)

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"  # the one that the main chapters are about
detectors_shown = ["resnet50-miniature"]  # all that are judged
chapters_of = {}  # of detectors for which the book has only some
generators = [
    "progan",
    "stylegan2",
    "stylegan",
    "biggan",
    "cyclegan",
    "stargan",
    "gaugan",
]
k = None  # not used here: the tables know it
seeds = [0, 1, 2]  # of the detectors behind the tables
n = None  # not used here: the tables know it
device = "auto"  # not used here: everything was computed beforehand
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
from tff_core import detectors, figures
from tff_core.book.chapter import say
from tff_core.claims import reproduction, verdicts
from tff_core.claims.texts import verdicts as texts
from tff_core.store.results import Store

store = Store(build or None)
specs = {name: detectors.get(name, store) for name in detectors_shown}
titles = texts.titles({name: spec.title for name, spec in specs.items()})
archs = {name: spec.arch for name, spec in specs.items()}

# %% [markdown]
# ## From an interval to a word
#
# **Idea.** A claim about generators in general is not a claim about their average. So every generator is
# judged on its own. It has one number with a 95 % interval, and the claim has a **border**: the value at
# which there would be nothing to claim. If the whole interval lies on the claim's side of the border, that
# generator speaks *for* the claim; if it lies wholly on the other side, *against* it; and if it contains the
# border, the question stays *open* there.
#
# **Equation.** With the interval $[l_g, h_g]$ of generator $g$ and a claim that predicts numbers above the
# border $b$,
#
# $$
# s_g = \begin{cases} \text{for} & l_g > b \\ \text{against} & h_g < b \\ \text{open} & \text{otherwise,}
# \end{cases}
# $$
#
# $$
# \text{verdict} = \begin{cases} \text{holds} & \text{all } s_g \text{ are \emph{for}} \\
# \text{holds in part} & \text{at least } m \text{ are for, none against} \\
# \text{mixed} & \text{some are for, some against} \\
# \text{contradicted} & \text{some are against, none for} \\
# \text{open} & \text{otherwise.} \end{cases}
# $$
#
# Here $m$ is the smallest number of generators that luck alone would produce in at most 5 of 100 cases: if
# there were no effect, each interval would still lie wholly on the claim's side with probability 0.025, and
# of seven generators at least one would in 16 of 100 cases, at least two in 1.2. So of seven generators it
# takes two, and one alone leaves the claim open.
#
# **Intervals** cover training seeds and pictures: another training would give other numbers, and how
# different they would be is estimated from few seeds, which makes the intervals wide. {doc}`How often they
# cover the true value </book/coverage>` was simulated. Where only one seed was trained, an interval covers
# **pictures only**. It says nothing about another training, so it speaks neither for a claim nor against it,
# and the generator stays open.
#
# A claim with two parts has two intervals for each generator, and both must say *for*. Where a table is
# missing the verdict is *not testable here*, with the reason. A *caution* says that a comparison is not quite
# fair; the cautions were added when this was noticed, and change no verdict.
#
# **Code.** Two steps: read one number per generator from the result tables, then apply the rule. Nothing is
# measured on this page, and none of the paper's numbers enters a verdict.

# %%
evidence = verdicts.evidence(store, detectors_shown, generators)
table = verdicts.judge(evidence)

# %% tags=["remove-input"]
say(texts.rules())

# %% [markdown]
# **Why the layer-matched control?** Omega is a share *within a layer*, so the narrow early layers win the
# ranking. Any maps of those layers matter more than maps drawn from the whole network, most of whose channels
# are in late layers. A comparison with random maps thus confounds two statements: "these layers matter" and
# "these maps matter". C2, C5 and C7 are judged against other maps *of the same layers*, which isolates the
# second. The paper compares with random maps of any layer; that number is given beside the verdict.
#
# **Why a margin in C3?** That a loss does not *differ from zero* shows little: with few pictures nothing
# differs significantly from anything. C3 claims that a loss is *small*, so the interval must exclude a large
# one. What counts as large, five points of AP, was fixed beforehand.

# %% [markdown]
# ## The verdicts

# %% tags=["remove-input"]
say(texts.table(table, titles, archs, detector, chapters_of))

# %% [markdown]
# *How to read it.* The verdict follows from the single generators, and says how many of them speak for the
# claim. The number below it is a summary: the mean over the generators, with the mean of the intervals' ends.
# That interval is as wide as if the errors of all generators were perfectly correlated, so it is
# conservative. The verdict links to the chapter that computed the numbers, with its code.

# %% tags=["remove-input"]
names = {"claim": texts.NAMES, "detector": titles}
states = verdicts.by_generator(evidence).replace(names)
figures.show(figures.verdict_tiles(states, texts.hover(evidence, titles)))

# %% [markdown]
# ## The intervals

# %% tags=["remove-input"]
asked = texts.asked(evidence)
units = {texts.NAMES[c.key]: texts.UNITS[c.unit] for c in verdicts.CLAIMS}
if len(asked):
    figures.show(figures.verdict_intervals(asked.replace(names), units))

# %% [markdown]
# ## Claim by claim
#
# The reason for each verdict, with the generators named. *n* is the sample size behind each interval, the
# smallest over the generators.

# %% tags=["remove-input"]
say(texts.reasons(table, titles))

# %% [markdown]
# ## Measured beside published
#
# A detector may claim to be one of the paper's own. Then every number that the paper gives for it can be put
# beside the measured one, on the same generators.

# %% tags=["remove-input"]
claimed = {name: spec.published for name, spec in specs.items()}
known = [name for name in claimed if claimed[name]]
for name in reproduction.twins(store, known):
    claimed[name] = detectors.get(name, store).published
compared = reproduction.compare(store, claimed, generators)
say(texts.beside_paper(compared, any(claimed.values())))

# %% [markdown]
# ## How much of this is luck?
#
# **Idea.** Even if a claim were true nowhere, an interval would now and then lie wholly on its side: at 95 %,
# in one case of forty if the truth sits on the border. Test seven generators, and the probability that at
# least *one* speaks for a claim that is true on none is already
#
# $$
# 1 - (1 - 0.025)^7 \approx 16 \text{ of } 100 .
# $$
#
# So a single generator of seven is weak evidence, which is why *holds in part* requires two; and *holds* is
# strong: all seven by luck is out of the question. For each verdict, the table gives the probability of at
# least that many generators by luck alone.

# %% tags=["remove-input"]
say(texts.luck(table, evidence, titles))

# %% [markdown]
# Two cautions. The results of one detector on the generators are not independent: they come from the same few
# trained networks, so lucky results cluster, and several occur more often than the table says. And the border
# is the worst case: if the truth lies well on the other side, luck is rarer.

# %% [markdown]
# ## What it means, and what it does not
#
# - *Holds* means: on every generator of this benchmark, with these few detector seeds, the whole interval
#   lies on the claim's side. It does **not** mean that it holds for other pictures and other generators.
# - *Holds in part* means: it depends on the generator, or the intervals are too wide to tell. *Open* and
#   *against* are different things; the tiles keep them apart.
# - *Does not hold* does **not** mean that the opposite was shown. Where all generators are open, a larger
#   test might still find the claim true; look at how wide the intervals are. It is refuted only where
#   generators speak against it.
# - Where the detector itself is no better than chance on a generator, there is nothing to break and
#   nothing to explain. Such generators still count, which is strict on C2 and lenient on C3; the text says
#   how many there are.
# - C4 and C5 are judged by eye in the paper. Which number stands for what the eye saw (relevance on objects,
#   chroma of patches) is a choice of this book, and another number might say otherwise.
# - The pictures are those of the {doc}`data card </notebooks/data_card>`. Where they are the miniature's and
#   not the paper's, agreement supports the claims, and disagreement does not refute them for the paper's own.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - turn intervals into a verdict by a rule written down beforehand;
# - compute how many generators luck alone would bring to a claim's side, also where results are not
#   independent;
# - say what an average precision is by chance, and why not one half;
# - keep "open" and "contradicted" apart.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} From intervals to a word
# *Objective:* apply a rule, and keep "open" apart from "against" · *easy* · 15 minutes
#
# Write `word` for the intervals `low` and `high` of all generators, the claim's border, and the number `m` of
# generators that luck does not explain. It returns `HOLDS`, `IN_PART`, `MIXED`, `CONTRADICTED` or `UNDECIDED`
# (open), by the rule of this page. The claim predicts numbers above the border; an interval that touches it
# is open.
# ```

# %% tags=["exercise"]
import numpy as np

from tff_core.claims.verdicts import (
    CONTRADICTED,
    HOLDS,
    IN_PART,
    MIXED,
    UNDECIDED,
)

SEVEN = np.arange(7)  # of seven generators
low, high = np.full(7, -0.1), np.full(7, 0.1)


# %% tags=["solution"]
def word(low, high, border, m):
    """The verdict on intervals low (G,) to high (G,)."""
    # BEGIN SOLUTION
    speak_for, against = np.sum(low > border), np.sum(high < border)
    if speak_for == len(low):
        return HOLDS
    if against:
        return MIXED if speak_for else CONTRADICTED
    return IN_PART if speak_for >= m else UNDECIDED
    # END SOLUTION


# %% tags=["test"]
assert word(low, high, -0.2, 2) == HOLDS, "all seven lie above the border"
assert word(low, high, 0, 2) == UNDECIDED, "all seven contain the border"
assert word(low, high, 0.2, 2) == CONTRADICTED, "all seven lie below it"
first = np.where(SEVEN < 1, 0.2, 0)  # one generator on the claim's side
assert word(low + first, high + first, 0, 2) == UNDECIDED, (
    "one of seven is no more than luck gives: open, as m says"
)
last = first - np.where(SEVEN > 5, 0.2, 0)
assert word(low + last, high + last, 0, 2) == MIXED, (
    "one for the claim and one against it: mixed, however few"
)

# %% tags=["hidden-test"]
from tff_core.claims import verdicts

rng = np.random.default_rng(0)
for _ in range(300):
    n = int(rng.integers(1, 9))
    value, reach = rng.normal(0.1, 0.2, n), rng.choice([0.02, 0.2])
    ends = value - reach, value + reach
    yes, no = int(np.sum(ends[0] > 0)), int(np.sum(ends[1] < 0))
    want = verdicts.word(yes, against=no, open_=n - yes - no)
    got = word(*ends, 0.0, verdicts.needed(n))
    assert got == want, f"{yes} for, {no} against, of {n}: {got}, not {want}"
assert word(low, high, -0.1, 2) == UNDECIDED, "an end on the border is open"


# %% tags=["wrong"]
# judges the mean interval
def word(low, high, border, m):
    if low.mean() > border:
        return HOLDS
    return CONTRADICTED if high.mean() < border else UNDECIDED


# %% tags=["wrong"]
# counts every generator that is not for the claim as against it
def word(low, high, border, m):
    speak_for = np.sum(low > border)
    if speak_for == len(low):
        return HOLDS
    return IN_PART if speak_for >= m else CONTRADICTED


# %% tags=["wrong"]
# overlooks those against the claim once enough speak for it
def word(low, high, border, m):
    speak_for, against = np.sum(low > border), np.sum(high < border)
    if speak_for == len(low):
        return HOLDS
    if speak_for >= m:
        return IN_PART
    return CONTRADICTED if against else UNDECIDED


# %% [markdown] tags=["solution"]
# The mean over generators never enters: a claim about generators in general is not one about their average.
# Open is what remains when nothing can be said; it is neither weak support nor a weak refutation.

# %% [markdown] tags=["instructor"]
# **Hint** Count those for and those against first; the order of the questions matters.
#
# **Marking** 1 point for each of the five words.
#
# **Discuss** Write your rule for a claim of your own *before* you look at its numbers. Why before?

# %% [markdown] tags=["exercise"]
# ```{exercise} One of seven
# *Objective:* weigh repeated weak evidence · *medium* · 10 minutes
#
# One generator of seven speaks for a claim, and its verdict reads *open*. A second detector, with another
# network, gives the same single generator. Is that stronger evidence than one detector with two generators of
# seven?
# ```

# %% [markdown] tags=["solution"]
# Each alone has a chance of about one in six by luck. If the two detectors were independent, *the same*
# generator twice by luck would have a probability of about 7 times 0.025 squared, 0.4 in 100; two or more of
# seven with one detector: `verdicts.luck(2, 7)`, about 1.2 in 100. So it is somewhat stronger, and it points
# to something about that generator. But both detectors saw the same test pictures: luck in the choice of
# pictures would affect both.

# %% [markdown] tags=["instructor"]
# **Hint** How probable is it that two independent detectors pick the *same* one of seven by luck?
#
# **Marking** 1 point for each probability. 1 point: the pictures are shared.
#
# **Common mistakes** one in six squared, which is the chance of *any* one of seven for each detector.

# %% [markdown] tags=["exercise"]
# ```{exercise} How often is luck enough?
# *Objective:* compute what chance alone brings to the claim's side · *medium* · 15 minutes
#
# The truth lies exactly on the border for all of `n` generators. Each interval of 95 % still lies wholly on
# the claim's side with probability 0.025, independently. Write `luck`, the probability that at least `m` do,
# and `needed`, the smallest `m` that luck reaches with a probability of at most 5 %. How many are needed of
# 7, of 20, of 100 generators?
# ```

# %% tags=["exercise"]
from math import comb

SIDE = 0.025


# %% tags=["solution"]
def luck(m, n):
    """Probability that at least m of n speak for the claim by luck."""
    # BEGIN SOLUTION
    return sum(
        comb(n, i) * SIDE**i * (1 - SIDE) ** (n - i) for i in range(m, n + 1)
    )
    # END SOLUTION


def needed(n):
    """The smallest m with a luck of at most 0.05."""
    # BEGIN SOLUTION
    return next(m for m in range(n + 1) if luck(m, n) <= 0.05)
    # END SOLUTION


# %% tags=["test"]
assert abs(luck(0, 7) - 1) < 1e-9, "none or more: that is certain"
assert abs(luck(1, 7) - (1 - 0.975**7)) < 1e-9, (
    "at least one is the opposite of none: 1 - 0.975 ** 7"
)
assert needed(7) == 2, "of seven generators it takes two"

# %% tags=["hidden-test"]
from tff_core.claims import verdicts

for n in (1, 2, 3, 7, 20, 100):
    assert needed(n) == verdicts.needed(n), f"of {n} it is another number"
    for m in range(min(n, 5) + 1):
        assert abs(luck(m, n) - verdicts.luck(m, n)) < 1e-9, (
            f"at least {m} of {n}: only one side of the interval counts, and "
            "more than m count as well"
        )


# %% tags=["wrong"]
# exactly m, not at least m
def luck(m, n):
    return comb(n, m) * SIDE**m * (1 - SIDE) ** (n - m)


def needed(n):
    return next(m for m in range(1, n + 1) if luck(m, n) <= 0.05)


# %% tags=["wrong"]
# counts both sides of the interval
def luck(m, n):
    p = 2 * SIDE
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(m, n + 1))


def needed(n):
    return next(m for m in range(n + 1) if luck(m, n) <= 0.05)


# %% tags=["wrong"]
# takes 5 % of the generators for what luck gives
def luck(m, n):
    return sum(
        comb(n, i) * SIDE**i * (1 - SIDE) ** (n - i) for i in range(m, n + 1)
    )


def needed(n):
    return max(1, round(0.05 * n))


# %% [markdown] tags=["solution"]
# Two of 7, three of 20, six of 100: the more one tests, the more must agree. The expected number of lucky
# generators, $0.025\,n$, is not enough: luck gives that many or more in over half of all cases.

# %% [markdown] tags=["instructor"]
# **Hint** The number of lucky generators is binomial.
#
# **Marking** 2 points: the tail. 1 point: one-sided. 1 point: `needed`.
#
# **Common mistakes** two-sided 0.05; "exactly" for "at least".

# %% [markdown] tags=["exercise"]
# ```{exercise} Better than chance
# *Objective:* know the AP of a detector that knows nothing · *medium* · 15 minutes
#
# C1 does not use one half as the border, although each test set holds as many fakes as reals. In a random
# order of $N$ pictures, $F$ of them fake, look at place $i$. If it holds a fake, then of the $i - 1$ places
# before it a share $q = (F - 1) / (N - 1)$ is fake on average. What is the expected precision at that place?
# AP is the mean of the precision over the fakes, and a fake is equally likely at every place. Write
# `by_chance`, and compare with random scores.
# ```

# %% tags=["exercise"]
import numpy as np

from tff_core import metrics


def simulated(n_real, n_fake, draws=1500):
    """Mean AP of random scores."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [n_real, n_fake])
    scores = rng.random((draws, len(y)))
    return np.mean([metrics.average_precision(y, s) for s in scores])


# %% tags=["solution"]
def by_chance(n_real, n_fake):
    """Expected AP of a random order."""
    # BEGIN SOLUTION
    total = n_real + n_fake
    q = (n_fake - 1) / (total - 1)
    place = np.arange(1, total + 1)
    return np.mean((1 + (place - 1) * q) / place)
    # END SOLUTION


# %% tags=["test"]
assert abs(by_chance(60, 60) - simulated(60, 60)) < 0.01, (
    "differs from the mean AP of random scores: the fake at place i itself "
    "counts as found"
)
assert by_chance(0, 5) == 1, "where all pictures are fake, AP is 1"
assert abs(by_chance(1, 1) - 0.75) < 1e-9, (
    "of two pictures the fake is first or second: (1 + 1/2) / 2"
)

# %% tags=["hidden-test"]
for n_real, n_fake in ((60, 60), (5, 3), (3, 5), (500, 20), (9, 1)):
    want = metrics.chance(n_real, n_fake)
    assert abs(by_chance(n_real, n_fake) - want) < 1e-9, (
        f"{n_real} reals and {n_fake} fakes: {by_chance(n_real, n_fake):.4f}, "
        f"tff_core has {want:.4f}"
    )


# %% tags=["wrong"]
# takes the share of fakes
def by_chance(n_real, n_fake):
    return n_fake / (n_real + n_fake)


# %% tags=["wrong"]
# forgets that one fake is known, and draws the others with replacement
def by_chance(n_real, n_fake):
    total = n_real + n_fake
    q, place = n_fake / total, np.arange(1, total + 1)
    return np.mean((1 + (place - 1) * q) / place)


# %% tags=["wrong"]
# forgets the fake at the place itself
def by_chance(n_real, n_fake):
    total = n_real + n_fake
    q = (n_fake - 1) / (total - 1)
    place = np.arange(1, total + 1)
    return np.mean((place - 1) * q / place)


# %% [markdown] tags=["solution"]
# About 0.52 for 60 and 60. Precision is read off only at the position of a fake, and that fake itself counts
# as found: among the first $i$ of a random order half are fakes on average, but if the $i$-th is known to be
# one, a little more than half. The excess goes to zero as the test set grows.

# %% [markdown] tags=["instructor"]
# **Hint** At place $i$: one known fake, and $(i - 1) q$ before it.
#
# **Marking** 2 points: the precision at place i. 1 point: the mean over places. 1 point: why not one half.
#
# **Discuss** A detector has an AP of 0.53 on 30 reals and 30 fakes. Better than chance?

# %% [markdown] tags=["exercise"]
# ```{exercise} Luck that comes in clusters
# *Objective:* know what shared networks do to agreement · *hard* · 20 minutes
#
# All generators are tested with the *same* few networks. Let $z_g = \sqrt{\rho}\, c + \sqrt{1 - \rho}\, e_g$,
# with $c$ and all $e_g$ standard normal: each $z_g$ is standard normal, and any two have correlation $\rho$.
# Generator $g$ speaks for the claim if $z_g > 1.96$. Write `clustered`: the probability that at least `m` of
# `n` do, simulated. Compare $\rho = 0$, 0.5 and 0.9 for two of seven. Does the *expected number* of lucky
# generators change?
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def clustered(m, n, rho, draws, rng):
    """Probability that at least m of n speak for the claim by luck."""
    # BEGIN SOLUTION
    common = rng.normal(size=(draws, 1))
    own = rng.normal(size=(draws, n))
    z = np.sqrt(rho) * common + np.sqrt(1 - rho) * own
    return np.mean((z > 1.96).sum(1) >= m)
    # END SOLUTION


# %% tags=["test"]
found = {
    rho: [
        clustered(m, 7, rho, 20_000, np.random.default_rng(0))
        for m in range(1, 8)
    ]
    for rho in (0, 0.3, 0.5, 0.9, 1)
}  # of seven generators at least one, two, ... seven
assert abs(found[0][0] - (1 - 0.975**7)) < 0.01, (
    "independent generators: at least one of seven in 16 of 100 cases"
)
assert abs(found[1][6] - 0.025) < 0.005, (
    "with correlation 1 all seven speak together or none does"
)
assert found[0.5][1] > 1.5 * found[0][1], (
    "two or more must be likelier if results cluster: do all generators of "
    "one draw share the same common part?"
)

# %% tags=["hidden-test"]
from tff_core.claims import verdicts

assert abs(found[0][1] - verdicts.luck(2, 7)) < 0.003, (
    "two or more of seven independent ones: not what the binomial gives"
)
for rho in (0.3, 0.9):
    number = sum(found[rho])
    assert abs(number - 7 * 0.025) < 0.03, (
        f"the expected number at {rho} is {number:.3f}, not 0.175: is each "
        "z still standard normal? (the roots of rho and of 1 - rho)"
    )


# %% tags=["wrong"]
# weighs by rho and 1 - rho: the z are no longer standard normal
def clustered(m, n, rho, draws, rng):
    common = rng.normal(size=(draws, 1))
    own = rng.normal(size=(draws, n))
    return np.mean(((rho * common + (1 - rho) * own) > 1.96).sum(1) >= m)


# %% tags=["wrong"]
# draws a common part for every generator
def clustered(m, n, rho, draws, rng):
    common = rng.normal(size=(draws, n))
    own = rng.normal(size=(draws, n))
    z = np.sqrt(rho) * common + np.sqrt(1 - rho) * own
    return np.mean((z > 1.96).sum(1) >= m)


# %% [markdown] tags=["solution"]
# The expected number stays at $0.025\,n$, but it comes in lumps: mostly none, sometimes several. So *at least
# one* becomes rarer, and *at least two* more frequent than the table of this page says. Two generators that
# agree are weaker evidence than they look wherever they share networks or pictures.

# %% [markdown] tags=["instructor"]
# **Hint** Draw one common number per row, and let it broadcast.
#
# **Marking** 2 points: shared part. 1 point: variances. 2 points: what changes, and what does not.
#
# **Common mistakes** concluding that correlation makes luck more frequent: the mean number is the same.
