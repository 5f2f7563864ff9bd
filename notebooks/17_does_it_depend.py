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
#
# ```{exercise} Positive matrices
# Two layers pass relevance on by matrices whose entries are all positive. Why do two different starts become more
# alike with every further layer, and what would have to be true of the matrices for them not to?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# A positive matrix shrinks the angle between any two positive vectors (Perron and Frobenius), and products of many
# come close to rank one: one pattern, times a number that depends on the start. It does not happen if the matrices
# have many zeros in the right places, as permutations have, or entries of both signs.
# ```
#
# ```{exercise} Noise passes
# Take a heatmap of random numbers, drawn anew each time. What does it score in the test of forgetting, and what
# in one that first averages over a hundred copies?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Near zero in both: it passes. Averages of independent noise are still independent of each other. The test says
# that something changed, and cannot say that something meaningful did.
# ```
