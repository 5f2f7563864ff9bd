# %% [markdown]
# # Names
#
# Who made it? Here the network with modules from {doc}`the last chapter </notebooks/14_primary_secondary>` is
# asked about pictures of the generators that it knows: whom it confuses with whom, how good it is at each, how
# far its probabilities can be trusted, and where it looks. Then the question that every network has to stand:
# would something far simpler have done?

# %% tags=["parameters", "remove-input"]
source_networks = [
    "modules_dct", "notl_dct", "logistic_dct", "nearest-mean_dct",
]  # fmt: skip
source_seeds = [0, 1, 2]
sources_known = ["progan", "stylegan2", "cyclegan", "stargan"]
dataset = "miniature"
n = None  # pictures per label and generator; None: all
looked = 40  # fakes of each source whose relevance is averaged
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd
import torch

from tff_core import detectors, figures
from tff_core.attribution import (
    comparison,
    inputs,
    networks,
    panels,
    sources,
    spectra,
    summary,
    weights,
)
from tff_core.book.chapter import save, say
from tff_core.claims.texts import who as texts
from tff_core.miniature.sample import made_by, makers
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device
network = texts.having(source_networks, texts.MODULES)[0]
sets = {
    name: data.scan(store.data(dataset, "test", name)).where(first=n)
    for name in sources_known
}
images = sources.of_sets(sets)

# %% [markdown]
# ## Who is taken for whom
#
# **Idea.** Every module answers for itself, so there are more answers than sources: *real*, if the primary says
# so; the source that claims the picture most, if any does; and *none of these* for a fake that nobody claims.
# The **confusion matrix** counts what was answered to pictures of each source.
#
# **Equation.** With the probabilities $P_0$ of being fake and $P_i$ of source $i$, the answer is
#
# $$
# a = \begin{cases} \text{real} & P_0 < 1/2 \\ \arg\max_i P_i & P_0 \ge 1/2,\ \max_i P_i \ge 1/2 \\
# \text{none of these} & \text{otherwise.} \end{cases}
# $$
#
# **Code.** `attribution.evaluation` asks; the menu of the figure takes away the primary's last word.

# %%
files = comparison.files(store, source_networks, source_seeds)
asked = comparison.ask(files, images, device=device)
first = asked[network][0]

# %% tags=["remove-input"]
figures.show(figures.confusion(first.confusion, sources_known))
say(texts.agreed([one.facts for one in asked[network]]))

# %% [markdown]
# ## Source by source
#
# The confusion matrix depends on the threshold of one half; the average precision (AP) and the area under the
# ROC curve (AUC) do not: they ask how well a module's probability *ranks* its own pictures above all others.
# A **calibration error** of 5 % says that the share of pictures that are the source's differs from the
# probability by 5 % on average.

# %%
scores = summary.by_source(asked[network], sources_known)

# %% tags=["remove-input"]
say(texts.scores(scores))
save(store, "source_scores", scores)

# %% [markdown]
# ## The generator, or one training of it?
#
# **Idea.** The networks have learnt a name from pictures of one training of the generator (of eight, for
# ProGAN). A second training, on the same photographs, made a part of the test pictures. If the modules know
# the architecture, these are named as often; if they know the one model, they are not.

# %%
models, learnt = {}, {}
for name, one in sets.items():
    models |= dict(zip(map(str, one.paths), made_by(one), strict=True))
    for kind in (dataset, f"{dataset}-sources"):
        folder = store.data(kind, "train", name)
        learnt[name] = makers(folder) or learnt.get(name, ())
by_model = summary.by_model(asked[network], models, learnt)

# %% tags=["remove-input"]
say(texts.models(by_model))
save(store, "source_models", by_model)

# %% [markdown]
# ## Would something simpler do?
#
# **Claim.** Modules on a shared primary are competitive with other ways of naming sources {cite}`khoo2022`. The
# plainest rivals first: *logistic regression* on the coefficients of the log spectrum {cite}`frank2020`, whose
# penalty validation pictures choose, and the *nearest mean*: the source whose mean spectrum is closest. They
# have no layers at all. `make all` adds a convolutional network from the literature, and networks that see pixels.

# %%
table = comparison.attribution(asked)

# %% tags=["remove-input"]
titles = {name: texts.spoken(name) for name in source_networks}
figures.show(
    figures.compared(
        table,
        titles,
        "Average precision of naming each source, its fakes against all "
        "other pictures.",
    )
)
save(store, "source_networks", table)
say(texts.competitive(table, source_networks))

# %% [markdown]
# ## What there is to see
#
# **Idea.** The mean log spectrum of a family averages away what single pictures show and keeps what the
# generator adds to all of them. Its difference from the reals, coefficient by coefficient, is tested with the
# false discovery rate held at 5 %: of thousands of coefficients, one in twenty would differ by chance.

# %%
reals = [p for one in sets.values() for p in one.where(label=0).paths]
families = {"real": spectra.measure(x for _, x in data.stream(reals, 64))}
for name, one in sets.items():
    fakes = one.where(label=1).paths
    families[name] = spectra.measure(x for _, x in data.stream(fakes, 64))
apart = {
    name: spectra.difference(one, families["real"])
    for name, one in families.items()
    if name != "real"
}

# %% tags=["remove-input"]
figures.show(
    figures.spectrum_differences(
        {name: one.value for name, one in apart.items()},
        {name: one.q for name, one in apart.items()},
    )
)
figures.show(
    figures.spectrum_profiles(
        spectra.profile_differences(families),
        "ln |c|, less the reals'",
        "How far the mean log spectrum of each family is from the reals'.",
        zero=True,
    )
)

# %% [markdown]
# ## Where in the spectrum the modules look
#
# **Idea.** That a family differs somewhere does not say that a network makes use of it. The relevance of every
# coefficient does: how much of a module's logit rests on it, by the same rules as in
# {doc}`the chapter on relevance </notebooks/02_ff_rs>`. It is averaged over pictures of a module's own source,
# and for detection over fakes of all sources.
#
# **Equation.** With the relevance $R_{uv}$ of coefficient $(u, v)$ of one picture and $m$ coefficients, its
# share is
#
# $$
# r_{uv} = m\, \frac{R_{uv}}{\sum_{u'v'} |R_{u'v'}|},
# $$
#
# 1 everywhere if all counted alike, and negative where a coefficient speaks against the class. A
# picture counts if its module claims it; of a module that claims less than half, the half that it claims most.

# %%
net, statistics = weights.load(files[network][:1])
net = net.to(device)


def relevance(source):
    """Mean shares for detection (None), or for the source of a number."""
    own = net.names if source is None else [net.names[source]]
    some = [sets[one].where(label=1, first=looked) for one in own]
    paths = [path for one in some for path in one.paths]
    batches = [x for _, x in data.stream(paths, 32)]
    x = inputs.seen(torch.cat(batches), statistics).to(device)
    at = min(0.0, float(networks.folded(net, source)(x)[:, 0].median()))
    return spectra.relevance(net, batches, statistics, source, 0.5, at)


seen, unseen = {}, {}
for number, name in enumerate(["detection", *net.names]):
    try:
        seen[name] = relevance(number - 1 if number else None)
    except ValueError as error:  # of pixels, or it has learnt nothing
        unseen[name] = str(error)

# %% tags=["remove-input"]
if seen:
    share = "relevance, 1 if all alike"
    figures.show(
        figures.spectrum_planes(
            {name: one.mean for name, one in seen.items()},
            share,
            "Mean relevance of each coefficient for detection and for each "
            "source, by its own module: red for, blue against.",
            diverging=True,
        )
    )
    rings = spectra.profiles(seen)
    rings["left_out"] = rings["family"].map(lambda one: seen[one].left_out)
    figures.show(
        figures.spectrum_profiles(
            rings,
            share,
            "Mean relevance of the coefficients of a frequency.",
            base="detection",
        )
    )
    save(store, "source_relevance", rings.rename(columns={"family": "task"}))
say(texts.looked(rings if seen else pd.DataFrame(), unseen))

# %% [markdown]
# Beside the differences above, three cases can be told apart: a family differs and the module looks there; it
# differs and the module does not need it, as other coefficients say the same; or the module looks where the
# *means* are equal, since coefficients may also vary together, or more, in a source's pictures. None of them says
# that the answer would change without a coefficient: relevance shares out one answer among the inputs that it
# was computed from. And these rules let relevance flow where weights and activations are large; what an
# untrained module shares with a trained one is asked in {doc}`the next chapter </notebooks/16_open_set>`.

# %% [markdown]
# ## Where the modules look
#
# The last layer of a module is linear, so its logit is a sum over places, for the source (red) and against it
# (blue); for spectra a place is a band of frequencies. `tff attribute --panels` draws the same for your pictures.

# %%
shown = {}
for number, name in enumerate(net.names):
    x = data.load(sets[name].where(label=1, first=6))
    shown[figures.generator_name(name)] = x.permute(0, 2, 3, 1).numpy()
    shown[f"{figures.generator_name(name)}, evidence"] = panels.drawn(
        net, x, statistics, number, device
    )

# %% tags=["remove-input"]
figures.show(
    figures.pictures(
        shown,
        None,
        "Fakes of each source, and what in them speaks for that source "
        "(red) and against it (blue), by its own module; one scale a row.",
    )
)

# %% [markdown]
# ## What it means, and what it does not
#
# - A generator's name is found in a trace that all of its pictures share. A regression on the spectrum that
#   does well shows that the trace is *there*, at fixed frequencies; a network has to do better to be needed.
# - All generators here are of one benchmark, and their pictures are prepared alike. Where sources also differ
#   in size, format or content, a network may name these, and nobody would notice from the scores.
# - An architecture that was never seen is the question of {doc}`the next chapter </notebooks/16_open_set>`.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - give every score of a source its own chance level;
# - compute precision and recall of sources that are never named, or never there;
# - say why a softmax has a name for everybody;
# - put the answers of all modules together, and count where they contradict the primary;
# - find what differs among thousands of coefficients, at a rate that is held.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Guessing well
# *Objective:* put chance beside each score · *easy* · 5 minutes
#
# Half of the pictures are real, each of four sources has an eighth. What AP does a random order have for one
# source, and what accuracy does the answer *real* to everything have?
# ```

# %% [markdown] tags=["solution"]
# About one eighth, the share of the source; and one half. Both look different from *half right*, so every
# score needs its own chance beside it.

# %% [markdown] tags=["instructor"]
# **Hint** What is the precision of naming a random picture?
#
# **Marking** 1 point each: the AP, the accuracy; 1 point: why both need their own chance.
#
# **Discuss** Which accuracy has a network that knows the reals perfectly and draws lots for the fakes?

# %% [markdown] tags=["exercise"]
# ```{exercise} Never named, never there
# *Objective:* compute precision and recall where they exist · *easy* · 10 minutes
#
# Write `scores` of one name: the precision (of the pictures that were given the name, the share that is
# right) and the recall (of the pictures that are the source's, the share that was given its name). Where
# there is nothing to take a share of, the answer is NaN: neither 0 nor 1, but unknown.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def scores(truth, answers, name):
    """(precision, recall) of a name; truth and answers are arrays (N,)."""
    named, own = answers == name, truth == name
    # BEGIN SOLUTION
    right = (named & own).sum()
    precision = right / named.sum() if named.any() else np.nan
    recall = right / own.sum() if own.any() else np.nan
    return float(precision), float(recall)
    # END SOLUTION


# %% tags=["test"]
truth = np.array(["a", "a", "a", "b", "b", "real"])
answers = np.array(["a", "b", "real", "a", "real", "a"])
precision, recall = scores(truth, answers, "a")
assert (round(precision, 3), round(recall, 3)) == (0.333, 0.333), (
    f"{precision}, {recall}: three pictures are named a, one of them is; "
    "three are a's, one of them is named"
)
precision, recall = scores(truth, answers, "b")
assert (precision, recall) == (0, 0), (
    "the one picture that is named b is not b's: both are 0"
)

# %% tags=["hidden-test"]
silent = scores(truth, np.array(["real"] * 6), "b")
assert np.isnan(silent[0]) and silent[1] == 0, (
    f"{silent}: nothing is named b, so nobody knows how often the name would "
    "be right, but its recall is 0"
)
absent = scores(truth, np.array(["c"] * 6), "c")
assert absent[0] == 0 and np.isnan(absent[1]), (
    f"{absent}: six pictures are named c and none is, so the precision is 0; "
    "of no pictures there is no recall"
)
uneven = scores(truth, np.array(["a"] * 5 + ["b"]), "a")
assert uneven == (0.6, 1.0), (
    f"{uneven}: of five that are named a three are right, and none is missed"
)


# %% tags=["wrong"]
# calls the precision 0 where nothing was named
def scores(truth, answers, name):
    named, own = answers == name, truth == name
    right = (named & own).sum()
    return right / max(named.sum(), 1), right / max(own.sum(), 1)


# %% tags=["wrong"]
# has precision and recall the wrong way round
def scores(truth, answers, name):
    named, own = answers == name, truth == name
    right = (named & own).sum()
    precision = right / own.sum() if own.any() else np.nan
    recall = right / named.sum() if named.any() else np.nan
    return float(precision), float(recall)


# %% [markdown] tags=["solution"]
# Both have the pictures that are named right above the line; below it stand those that are *named*, and those
# that are *there*. A 0 for a precision that nobody knows would lower a mean over sources for no mistake, and
# a 1 would reward silence. NaN makes whoever averages decide, and say so.

# %% [markdown] tags=["instructor"]
# **Hint** Two masks, and what they share.
#
# **Marking** 1 point each: precision, recall, and both NaNs.
#
# **Discuss** F1 exists where either does. What is it for a source that is never named?

# %% [markdown] tags=["exercise"]
# ```{exercise} A name for everybody
# *Objective:* tell a softmax from claims that stand alone · *easy* · 5 minutes
#
# A stranger's picture makes no output of a network large. Give four logits for which a softmax is more than
# 90 % sure of the first source, while by a sigmoid of its own each source claims less than 10 %.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def stranger():
    """Four logits."""
    # BEGIN SOLUTION
    return np.array([-3.0, -7.0, -7.0, -7.0])
    # END SOLUTION


# %% tags=["test"]
logits = np.asarray(stranger(), dtype=float)
softmax = np.exp(logits - logits.max())
softmax /= softmax.sum()
assert logits.shape == (4,), "expected four logits"
assert softmax[0] > 0.9, (
    f"the softmax gives the first source {softmax[0]:.2f}: it sees only how "
    "far a logit is above the others"
)
claims = 1 / (1 + np.exp(-logits))
assert claims.max() < 0.1, (
    f"by itself a source claims {claims.max():.2f}: all logits have to be "
    "well below 0"
)

# %% tags=["hidden-test"]
assert np.isfinite(logits).all(), (
    "infinite logits are no answer of a network: take finite numbers"
)


# %% tags=["wrong"]
# is sure by the softmax, and by the sigmoid, too
def stranger():
    return np.array([8.0, 0.0, 0.0, 0.0])


# %% tags=["wrong"]
# claims nothing, but without a difference for the softmax to enlarge
def stranger():
    return np.array([-6.0, -6.0, -6.0, -6.0])


# %% [markdown] tags=["solution"]
# For example $(-3, -7, -7, -7)$: the first is 4 above each other, which the softmax turns into about 95 %. It
# does not change if all logits are lowered together, so *how much* was found is lost; its answers add up to
# one, and somebody has to be named. Claims that stand alone may all be small.

# %% [markdown] tags=["instructor"]
# **Hint** Add the same number to all logits. What changes?
#
# **Marking** 2 points: the logits; 1 point: what a softmax forgets.
#
# **Discuss** A softmax can have an answer *real* or *other*. Of which strangers does that help?

# %% [markdown] tags=["exercise"]
# ```{exercise} Who has the last word?
# *Objective:* put the modules' answers together and count contradictions · *medium* · 15 minutes
#
# Write `decide` by this chapter's rule: -2 for *real*, -1 for *none of these*, else the number of the source;
# and the share of the pictures *called real* that some module claims all the same (0 if none is called real).
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def decide(fake, sources):
    """Answers (N,) and contradictions, of P(fake) (N,), P(source) (N, S)."""
    # BEGIN SOLUTION
    claimed = sources.max(1) >= 0.5
    real = fake < 0.5
    answers = np.where(claimed, sources.argmax(1), -1)
    answers = np.where(real, -2, answers)
    return answers, float(claimed[real].mean()) if real.any() else 0.0
    # END SOLUTION


# %% tags=["test"]
fake = np.array([0.9, 0.9, 0.2, 0.3, 0.5])
sources = np.array(
    [[0.7, 0.8], [0.4, 0.1], [0.1, 0.2], [0.9, 0.1], [0.5, 0.1]]
)
answers, contradictions = decide(fake, sources)
assert answers.tolist() == [1, -1, -2, -2, 0], (
    f"{answers.tolist()}: of two claims the larger counts, below one half "
    "nobody is named, and what the primary calls real has no source"
)
assert contradictions == 0.5, (
    f"{contradictions}: two pictures are called real, one of them is claimed"
)

# %% tags=["hidden-test"]
rng = np.random.default_rng(0)
p, q = rng.random(200), rng.random((200, 3)) ** 2
answers, contradictions = decide(p, q)
for answer, one, claims in zip(answers, p, q, strict=True):
    expected = int(np.flatnonzero(claims == claims.max())[0])
    if max(claims) < 0.5:
        expected = -1
    if one < 0.5:
        expected = -2
    assert answer == expected, (
        f"P(fake) {one:.2f}, claims {claims.round(2)}: expected {expected}"
    )
claimed = [max(claims) >= 0.5 for one, claims in zip(p, q, strict=True)
           if one < 0.5]  # fmt: skip
assert np.isclose(contradictions, np.mean(claimed)), (
    "contradictions are a share of the pictures that are called real"
)
assert decide(np.ones(2), np.zeros((2, 3)))[1] == 0, (
    "where nothing is called real nothing contradicts"
)


# %% tags=["wrong"]
# names the likeliest source of every fake, claimed or not
def decide(fake, sources):
    real = fake < 0.5
    answers = np.where(real, -2, sources.argmax(1))
    claimed = sources.max(1) >= 0.5
    return answers, float(claimed[real].mean()) if real.any() else 0.0


# %% tags=["wrong"]
# multiplies a claim by the probability of being fake
def decide(fake, sources):
    joint = sources * fake[:, None]
    answers = np.where(joint.max(1) >= 0.5, joint.argmax(1), -1)
    real, claimed = fake < 0.5, sources.max(1) >= 0.5
    share = float(claimed[real].mean()) if real.any() else 0.0
    return np.where(real, -2, answers), share


# %% tags=["wrong"]
# counts contradictions among all pictures
def decide(fake, sources):
    claimed, real = sources.max(1) >= 0.5, fake < 0.5
    answers = np.where(claimed, sources.argmax(1), -1)
    return np.where(real, -2, answers), float((claimed & real).mean())


# %% [markdown] tags=["solution"]
# The primary first, then the largest claim, if it is one. The probabilities are answers to different
# questions, of networks that were trained apart, so their product is nobody's probability: a fake of 0.6 that
# a module claims with 0.8 would be named by the rule, and by the product not. Contradictions tell how far the
# two questions have been learnt apart; they cost nothing to count and need no labels.

# %% [markdown] tags=["instructor"]
# **Hint** `np.where` twice, the primary's last.
#
# **Marking** 2 points: the answers; 1 point: the share; 1 point: why no product.
#
# **Discuss** Who should have the last word if the modules are right more often than the primary?

# %% [markdown] tags=["exercise"]
# ```{exercise} Scores and names
# *Objective:* tell a ranking from an answer · *medium* · 5 minutes
#
# A module ranks its source perfectly: AP is 100 %. Can its recall be 0 all the same? What would you change,
# and on which pictures?
# ```

# %% [markdown] tags=["solution"]
# Yes: if all of its probabilities lie below one half, the order is right and no picture is claimed. A module
# of one source among many sees few pictures of its own and learns to be modest. The threshold has to be
# chosen on validation pictures, not on those that it is tested on.

# %% [markdown] tags=["instructor"]
# **Hint** Divide all probabilities by ten. What happens to the AP?
#
# **Marking** 1 point: yes, and why; 1 point: the threshold; 1 point: of validation pictures.
#
# **Common mistakes** Training it longer, which is an answer to another problem.

# %% [markdown] tags=["exercise"]
# ```{exercise} One in twenty of four thousand
# *Objective:* hold the false discovery rate · *hard* · 15 minutes
#
# Of 4096 coefficients about 205 have p < 0.05 by chance if none of them differs. Benjamini and Hochberg's
# procedure holds instead the expected share of false ones *among those that are called different*: with
# sorted p-values $p_{(1)} \le \dots \le p_{(m)}$ call the first $k$ different, for the **largest** $k$ with
# $p_{(k)} \le \alpha\,k / m$. Write `different`.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def different(p, alpha):
    """Which of the p-values (m,) are called different, (m,) of bool."""
    p = np.asarray(p)
    # BEGIN SOLUTION
    ordered = np.sort(p)
    below = ordered <= alpha * np.arange(1, len(p) + 1) / len(p)
    if not below.any():
        return np.zeros(len(p), dtype=bool)
    return p <= ordered[np.flatnonzero(below)[-1]]
    # END SOLUTION


# %% tags=["test"]
found = different([0.049, 0.001, 0.04, 0.9, 0.03], 0.05)
assert found.tolist() == [False, True, False, False, False], (
    f"{found.tolist()}: the lines are at 0.01, 0.02, 0.03, 0.04, 0.05, and "
    "only the smallest p-value lies below its own"
)
found = different([0.012, 0.015, 0.025, 0.6], 0.05)
assert found.tolist() == [True, True, True, False], (
    f"{found.tolist()}: lines at 0.0125, 0.025, 0.0375, 0.05; three lie below"
)

# %% tags=["hidden-test"]
assert different([0.02, 0.022, 0.025], 0.05).all(), (
    "the first lies above its line of 0.0167, the last below its own of 0.05: "
    "the largest k counts, with all before it"
)
assert different([0.03, 0.032, 0.033, 0.034], 0.035).all(), (
    "three lie above their lines and the last below: all four are different"
)
assert not different(np.full(5, 0.9), 0.05).any(), "nothing is below a line"
rng = np.random.default_rng(0)
false = []
for _ in range(60):
    p = rng.random(1000)
    p[:200] *= 1e-4  # two hundred that do differ
    called = different(p, 0.05)
    false.append(called[200:].sum() / max(called.sum(), 1))
assert 0.02 < np.mean(false) < 0.06, (
    f"{np.mean(false):.3f} of what is called different is not: expected 0.04, "
    "the rate times the share of coefficients that do not differ"
)


# %% tags=["wrong"]
# calls different what has p below alpha
def different(p, alpha):
    return np.asarray(p) <= alpha


# %% tags=["wrong"]
# stops at the first p-value above its line
def different(p, alpha):
    p = np.asarray(p)
    ordered = np.sort(p)
    below = ordered <= alpha * np.arange(1, len(p) + 1) / len(p)
    k = len(p) if below.all() else int(np.argmin(below))
    return p <= ordered[k - 1] if k else np.zeros(len(p), dtype=bool)


# %% tags=["wrong"]
# asks each p-value about its own line only
def different(p, alpha):
    p = np.asarray(p)
    rank = p.argsort().argsort() + 1
    return p <= alpha * rank / len(p)


# %% [markdown] tags=["solution"]
# Compare each sorted p-value with its line and go back from the *last* one below. A single p of 0.03 means
# little among four thousand; among many small ones it means more, since few of them can be false. What is
# held is an average over such tests, of coefficients that are independent or depend on each other positively;
# it does not say which of those called different are the false ones.

# %% [markdown] tags=["instructor"]
# **Hint** Plot sorted p-values, and the line from 0 to alpha.
#
# **Marking** 1 point: the lines; 2 points: the largest k, with all before it; 1 point: what is promised.
#
# **Discuss** Compare with Holm's method in {doc}`/notebooks/13_what_patches`: which would you take for a map
# that
# readers look at, and which for the claim "there is a difference at all"?
