# %% [markdown]
# # What gives a fake away: transferable forensic features
#
# Train a network to tell photographs from the pictures of **one** generator, and it recognises the pictures
# of generators that it has never seen. Such a network is called a *universal detector* {cite}`wang2020`.
# What does it look at? The answer of {cite:t}`chandrasegaran2022` is a handful of feature maps, found by
# asking how much *relevance* each of them carries. Hold those few constant and the detector goes blind; hold
# an equal number of others constant and nothing happens. They call what these maps respond to *transferable
# forensic features*.
#
# This book repeats the experiment from scratch, step by step, adds a stricter control, and says of every
# claim whether it holds here.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
k = None  # feature maps that are dropped; None: the paper's number
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # not used here: the scores were computed beforehand
carried = (
    False  # whether this build asks what carries over to other generators
)
networks = []  # patch classifiers that this build has trained
source_networks = []  # and networks that name sources
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
from tff_core import detectors, figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims import verdicts
from tff_core.claims.texts import exam, planes, where, who
from tff_core.claims.texts import overview as texts

chapter = Chapter(detector, generators, seeds, k=k, build=build)
store, spec = chapter.store, chapter.spec
sensitivity = verdicts.read(store, "sensitivity", detector, generators)
contrast = verdicts.read(store, "contrast", detector, generators)
summary = verdicts.summarize(sensitivity[sensitivity["seed"].isin(seeds)])

# %% [markdown]
# ## The finding in one figure
#
# Average precision (AP) says how well a detector ranks fakes above reals, whatever the threshold: 100 % is
# perfect, chance is about the share of fakes. The figure shows it for the whole detector and with *k* feature
# maps held constant: the *k* with the most relevance (**top-k**), the *k* with the least (**low-k**), *k*
# drawn at random from all the others (**random-k**), and, as this book's addition, *k* drawn at random **in
# the same layers** as the top-k (**layer-matched**).

# %% tags=["remove-input"]
paper = verdicts.paper(spec.arch)
figures.show(figures.finding(summary, paper, chapter.k))

# %% [markdown]
# Each marker is a mean over the trained detectors and, for a random set, over its draws. The buttons switch
# to the published numbers (where the paper has this network); hover over a marker for its numbers, click a
# legend entry to hide it.

# %% tags=["remove-input"]
say(texts.finding(contrast, verdicts.unfair(store, detector, generators)))

# %% [markdown]
# The rule behind these sentences: the difference of AP, top-k minus control, is pooled over the detectors
# trained from different seeds (where there are several), with a 95 % interval over pictures, draws of the
# control and seeds. A generator speaks for the claim if that whole interval lies below zero; how a
# verdict follows from all of them is explained in {doc}`the verdicts </notebooks/10_verdicts>`. {doc}`The
# third chapter </notebooks/03_sensitivity>` shows the intervals.

# %% [markdown]
# ```{admonition} What these pictures are, and are not
# :class: warning
# The paper uses ForenSynths: photographs, and fakes of large generators. By default this book uses a
# **miniature** of it that the project makes itself. Its "photographs" are procedural scenes taken by a
# simulated camera; its fakes come from small networks, one for each of the paper's seven families, trained
# adversarially on such scenes for minutes. The names ProGAN, StyleGAN2 and so on stand for the *way each
# family draws*, above all its way of upsampling, not for the published models. So the switch above compares
# two experiments of the same design on different pictures: agreement supports the finding, disagreement
# does not refute it. The {doc}`data card </notebooks/data_card>` shows the pictures and says what was put in
# by construction.
# ```

# %% tags=["remove-input"]
say(texts.other_pictures(spec.dataset, spec.external))

# %% [markdown]
# ## Every claim of the paper, and its verdict
#
# The figure is about two of the paper's claims. It makes eight; each has a chapter here, and each gets a
# verdict by the same rule. *Holds*: on every generator the whole interval lies on the claim's side. *Holds in
# part*: on more generators than luck would give, and on none against it. *Mixed*: on some for the claim, on
# some against it. *Contradicted*: on some against it, on none for it. *Open*: everything else.

# %% tags=["remove-input"]
judged = verdicts.load(store)
others = [] if judged is None else list(judged["detector"])
titles = {
    name: detectors.get(name, store).title for name in [detector, *others]
}
say(texts.claims(judged, titles))

# %% [markdown]
# ## And beyond the paper
#
# Detectors that see only the light of a picture, or only its colours, tell which of the two carries over to
# generators that they have never seen. Networks that are cut short tell how little of a picture is enough. And
# modules on a frozen detector tell whether what detects a fake also knows who made it.

# %% tags=["remove-input"]
found = verdicts.carried(store) if carried else None
patches = verdicts.patch_classifiers(store) if networks else None
named = verdicts.source_transfer(store) if source_networks else None
say(
    planes.front(found),
    where.front(patches, networks, detector),
    who.front(named, source_networks),
)

# %% [markdown]
# ## Can the explanations be trusted?
#
# Relevance, omega and heatmaps are answers of a method, and a method can be examined: with detectors that have
# forgotten what they learnt, with traces that were planted, with pictures from which the relevant is taken away,
# and with pictures that are damaged. Edges and random numbers sit the same exam.

# %% tags=["remove-input"]
say(exam.front(exam.load(store, detector)))

# %% [markdown]
# ## Omega in three sentences
#
# *Layer-wise relevance propagation* (LRP) {cite}`bach2015,montavon2019` takes a detector's logit for one
# picture and hands it back, layer by layer, to the feature maps that produced it, keeping the total. The
# *forensic feature relevance statistic* **omega** ($\omega$) of a feature map is the share of its layer's
# relevance that speaks for "fake" and sits in that map, averaged over many fakes that the detector is sure
# about. Sort all feature maps of all layers by $\omega$: the first *k* are the top-k of the figure.

# %% tags=["remove-input"]
say(texts.numbers(summary, spec.title, chapter.k, len(seeds)))

# %% [markdown]
# ## How to read this book
#
# - {doc}`Universal detectors </notebooks/01_universal_detectors>`: does a detector trained on one generator
#   recognise the others, and at what threshold?
# - {doc}`Relevance and omega </notebooks/02_ff_rs>`: how is a logit handed back to feature maps, and what
#   does $\omega$ measure?
# - {doc}`Sensitivity </notebooks/03_sensitivity>`: what is lost when the top-k are held constant, compared
#   with other maps?
# - {doc}`Pixels </notebooks/04_pixel_attribution>`: do heatmaps on the picture show what the detector looks
#   at, more than those of a classifier, an untrained network or the picture's edges?
# - {doc}`Patches </notebooks/05_lrp_max>`: what excites a feature map most, and what runs through it? {doc}`The
#   atlas </notebooks/atlas>` has a place for every map.
# - {doc}`Without colour </notebooks/06_color_ablation>`: what does the detector make of gray pictures, and of
#   pictures with the colours of others?
# - {doc}`Maps that respond to colour </notebooks/07_color_conditional>`: how many of the top-k, and how many
#   of the other maps?
# - {doc}`Colour-robust detectors </notebooks/08_color_robust>`: does training with gray pictures help?
# - {doc}`Colour is what carries over </notebooks/what_carries_over>`: which part of a picture lets a detector
#   recognise generators that it has never seen?
# - {doc}`What the paper did not ask </notebooks/09_beyond>`: other rankings, harder controls, more and fewer
#   maps, other ways of dropping them.
# - {doc}`Can we trust it? </notebooks/17_does_it_depend>`: what explanations depend on, what they find, whether
#   they are faithful, and whether they hold when pictures are damaged.
# - {doc}`Verdicts </notebooks/10_verdicts>`: every claim, its intervals and its verdict.
# - {doc}`Every generator </book/generators>`: one page for each, with pictures, scores, accuracies and
#   differences.
# - {doc}`Data card </notebooks/data_card>`: what the pictures are, how they were made, what was tried.
#
# Every chapter goes from an idea to an equation, to a few lines of code, to a figure, to what it means, and
# to **what it does not mean**. Numbers in sentences are computed, never typed. Figures are interactive
# without a running kernel. Every page is a notebook, which the button at the top downloads; it includes the
# code that only loads, draws or writes sentences, which the page leaves out. In the code, `chapter` stands
# for the detector with its pictures, rankings and results. Open a notebook in JupyterLab (`make lab`), change
# the parameter cell, and run it again. The foot of each page gives the commit, the versions, the parameters
# and the data behind it.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - say what the paper claims, and name the controls that the claim is measured against here;
# - read an interval: what it covers, and on which side of zero it lies;
# - turn the intervals of several generators into a verdict, by a rule that was fixed beforehand.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} From intervals to a verdict
# *Objective:* read intervals and verdicts by the book's rule, not by their centres · *easy* · 10 minutes
#
# The claim: AP falls further without the top-k than without the control. `intervals` (invented) holds, for
# each of seven generators, the ends of the interval of the difference, in points of AP. Write `verdict`, by
# the rule of this chapter. Of seven generators luck alone may give one: for *holds in part* at least two must
# speak for the claim.
# ```

# %% tags=["exercise"]
intervals = [
    (-31, -24),
    (-12, -3),
    (-9, 1),
    (-6, 2),
    (-4, 5),
    (-3, -1),
    (-8, 0),
]


# %% tags=["solution"]
def verdict(intervals, at_least=2):
    """holds, holds in part, mixed, contradicted or open."""
    # BEGIN SOLUTION
    speak_for = sum(high < 0 for low, high in intervals)
    against = sum(low > 0 for low, high in intervals)
    if speak_for == len(intervals):
        return "holds"
    if against:
        return "mixed" if speak_for else "contradicted"
    return "holds in part" if speak_for >= at_least else "open"
    # END SOLUTION


# %% tags=["test"]
assert verdict(intervals) == "holds in part", (
    "three whole intervals lie below zero and none above: not all, but "
    "more than luck, and none against"
)
assert verdict([(-9, 1)] * 7) == "open", (
    "every centre is below zero, but every interval holds zero: a "
    "generator speaks for the claim only if its whole interval does"
)
assert verdict([(-9, -1)] * 6 + [(1, 5)]) == "mixed", (
    "six speak for the claim and one against it: nobody is outvoted"
)

# %% tags=["hidden-test"]
from tff_core.claims import verdicts

for yes, no in [(7, 0), (6, 0), (1, 0), (2, 0), (0, 0), (0, 1), (1, 6)]:
    rows = [(-3, -1)] * yes + [(1, 3)] * no + [(-1, 1)] * (7 - yes - no)
    expected = verdicts.word(yes, against=no, open_=7 - yes - no)
    assert verdict(rows) == expected, (
        f"{yes} generators for the claim, {no} against it, the others open: "
        f"expected {expected!r}, found {verdict(rows)!r}"
    )
assert verdict([(-2, 0)] * 7) == "open", (
    "an interval that ends at zero does not lie wholly below it"
)


# %% tags=["wrong"]
# looks at the centre of each interval
def verdict(intervals, at_least=2):
    speak_for = sum(low + high < 0 for low, high in intervals)
    against = sum(low + high > 0 for low, high in intervals)
    if speak_for == len(intervals):
        return "holds"
    if against:
        return "mixed" if speak_for else "contradicted"
    return "holds in part" if speak_for >= at_least else "open"


# %% tags=["wrong"]
# lets the majority decide
def verdict(intervals, at_least=2):
    speak_for = sum(high < 0 for low, high in intervals)
    against = sum(low > 0 for low, high in intervals)
    if speak_for == len(intervals):
        return "holds"
    if against > speak_for:
        return "contradicted"
    return "holds in part" if speak_for >= at_least else "open"


# %% [markdown] tags=["solution"]
# Only two numbers count: how many whole intervals lie below zero, and how many above. The interval from
# $-8$ to $0$ touches zero and leaves the claim open, although its centre is further down than that of the
# interval from $-3$ to $-1$, which speaks for it: a small effect that is sure says more about the *sign* than
# a large one that is not. *Open* is no weak form of *contradicted*: it means that these pictures and
# detectors cannot tell.

# %% [markdown] tags=["instructor"]
# **Hint** Count the whole intervals on each side of zero before you look at any name of a verdict.
#
# **Marking** 1 point: whole intervals, strictly below zero; 1 point: *mixed* before *holds in part*; 1 point:
# *open* where nothing is shown.
#
# **Common mistakes** Reading the centre; taking *open* for *false*; outvoting a generator that contradicts.
#
# **Discuss** Why must the rule be fixed before anyone looks at the numbers?
