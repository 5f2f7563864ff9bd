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
say(texts.table(table, titles, archs, detector))

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
# ```{exercise} One of seven
# One generator of seven speaks for a claim, and its verdict reads *open*. A second detector, with another
# network, gives the same single generator. Is that stronger evidence than one detector with two generators of
# seven?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Each alone has a chance of about one in six by luck. If the two detectors were independent, *the same*
# generator twice by luck would have a probability of about 7 times 0.025 squared, 0.4 in 100; two or more of
# seven with one detector: `verdicts.luck(2, 7)`, about 1.2 in 100. So it is somewhat stronger, and it points
# to something about that generator. But both detectors saw the same test pictures: luck in the choice of
# pictures would affect both.
# ```
#
# ```{exercise} Better than chance
# C1 does not use one half as the border, although each test set holds as many fakes as reals. Compute the AP
# of random scores for 60 reals and 60 fakes many times. What is the mean, and why is it not one half? Compare
# with `verdicts.chance(60, 60)`.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# ~~~python
# import numpy as np
# from tff_core import metrics
# rng, labels = np.random.default_rng(0), np.repeat([0, 1], 60)
# np.mean([metrics.average_precision(labels, rng.normal(size=120)) for _ in range(2000)])
# ~~~
# About 0.52. Precision is read off only at the position of a fake, and that fake itself counts as found:
# among the first $i$ of a random order half are fakes on average, but if the $i$-th is known to be one, a
# little more than half. The excess goes to zero as the test set grows.
# ```
