# %% [markdown]
# # What gives a fake away: transferable forensic features
#
# Train a network to tell photographs from the pictures of **one** generator, and it recognises the pictures
# of generators that it has never seen. Such a network is called a *universal detector* {cite}`wang2020`.
# What does it look at? {cite:t}`chandrasegaran2022` answer: at a handful of its feature maps, found by
# asking how much *relevance* each of them carries. Hold those few constant and the detector goes blind;
# hold as many others constant and nothing happens. They call what these maps respond to *transferable
# forensic features*.
#
# This book rebuilds that finding from nothing, in front of the reader, and adds a stricter control.

# %% tags=["parameters", "hide-input"]
detector = "resnet50-miniature"
generators = ["progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan"]
k = None  # how many feature maps are dropped; None: the paper's number for this network
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
device = "auto"  # not used here: the scores were computed beforehand
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
from IPython.display import Markdown, display

from tff_core import detectors, figures
from tff_core.claims import verdicts
from tff_core.store.results import Store

store = Store(build or None)
spec = detectors.get(detector, store)
k = k or spec.k
sensitivity = verdicts.read(store, "sensitivity", detector, generators)
contrast = verdicts.read(store, "contrast", detector, generators)
paper = verdicts.paper(spec.arch)

# %% [markdown]
# ## The finding in one figure
#
# Average precision (AP) says how well a detector sorts fakes above reals, whatever the threshold: 100 % is
# perfect, chance is about the share of fakes. The figure shows it for the whole detector and with *k* feature
# maps held constant: the *k* with the most relevance (**top-k**), the *k* with the least (**low-k**), *k*
# drawn at random from all the others (**random-k**), and, this book's addition, *k* drawn at random **in
# the same layers** as the top-k (**layer-matched**).

# %% tags=["hide-input"]
summary = verdicts.summarize(sensitivity[sensitivity["seed"].isin(seeds)])
figures.show(figures.finding(summary, paper, k))

# %% [markdown]
# A marker is a mean over the trained detectors, and over the draws of a random set. Switch to the published
# numbers with the buttons (where the paper has this network), hover a marker for its numbers, click a legend
# entry to hide it.

# %% tags=["hide-input"]
strict = verdicts.verdict(contrast)
usual = verdicts.verdict(contrast, "top-k - random-k")
caution = verdicts.unfair(store, detector, generators)
display(
    Markdown(
        f"**Against random feature maps of the same layers.** {strict.sentence()}\n\n"
        f"**Against random feature maps of any layer, as in the paper.** {usual.sentence()}"
        + (f"\n\n**{verdicts.CAUTION}** {caution}." if caution else "")
    )
)

# %% [markdown]
# The rule behind these sentences: the difference of AP, top-k minus control, is pooled over the detectors
# trained from different seeds (where there are several), with a 95 % bootstrap interval over pictures and
# over draws of the control. A generator speaks for the claim if that whole interval lies below zero; how a
# word follows from all of them stands at {doc}`the verdicts </notebooks/10_verdicts>`.
# {doc}`The third chapter </notebooks/03_sensitivity>` shows the intervals.

# %% [markdown]
# ```{admonition} What these pictures are, and are not
# :class: warning
# The paper uses ForenSynths: photographs, and fakes of large generators. By default this book uses a
# **miniature** of it that the project makes itself. Its "photographs" are procedural scenes taken by a
# simulated camera; its fakes come from small networks, one for each of the paper's seven families, trained
# adversarially on such scenes for minutes. The names ProGAN, StyleGAN2 and so on stand for the *way each
# family draws*, above all its way of upsampling, not for the published models. So the switch above compares
# two experiments of the same design on different pictures: agreement supports the finding, disagreement
# does not refute it. The {doc}`data card </notebooks/data_card>` shows the pictures and tells what was put
# in by construction.
# ```

# %% tags=["hide-input"]
if spec.dataset != "miniature":
    text = (
        f"**Here it is otherwise.** This book was made with the data set `{spec.dataset}`, whose pictures "
        "lie on disk and were not made by the project"
        + (", and with a detector that was trained elsewhere" if spec.external else "")
        + ". The names of the generators are those of its folders. {doc}`The data card "
        "</notebooks/data_card>` shows what is in them."
    )
    display(Markdown(text))

# %% [markdown]
# ## Every claim of the paper, and its verdict
#
# The figure is about two of the paper's claims. It makes eight, each has a chapter here, and each gets a
# word by the same rule. *Holds*: on every generator the whole interval lies on the claim's side. *Holds in
# part*: on more than luck would give, and on none on the other side. *Mixed*: on some for the claim, on some
# against it. *Contradicted*: on some against it, on none for it. *Open*: everything else.

# %% tags=["hide-input"]
table = verdicts.load(store)
lines = ["**Not there yet:** the table of verdicts is made after all chapters; `make` makes it."]
if table is not None:
    shown = list(dict.fromkeys([detector, *table["detector"]]))
    careful = table["why"].str.contains(verdicts.CAUTION).map({True: ", with a caution", False: ""})
    word = table.assign(word=table["verdict"] + careful).set_index(["claim", "detector"])["word"]
    titles = " | ".join(detectors.get(name, store).title for name in shown)
    lines = [f"| | claim | {titles} |", "|---|---|" + "---|" * len(shown)]
    for claim in verdicts.CLAIMS:
        cells = [word.get((claim.key, name), verdicts.UNTESTED) for name in shown]
        known = set(cells) != {verdicts.UNTESTED}  # a relative link: to the chapter of this page's detector
        name = f"{{doc}}`{claim.title} <{claim.chapter}>`" if known else claim.title
        lines.append("| " + " | ".join([claim.key, name, *cells]) + " |")
    lines.append(
        "\nA claim leads to the chapter that measured it, with its code; {doc}`the verdicts "
        "</notebooks/10_verdicts>` have the intervals and the rule behind each word."
    )
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## Omega in three sentences
#
# *Layer-wise relevance propagation* (LRP) {cite}`bach2015,montavon2019` takes a detector's logit for one
# picture and hands it back, layer by layer, to the feature maps that produced it, keeping the total. The
# *forensic feature relevance statistic* **omega** ($\omega$) of a feature map is the share of its layer's
# relevance that speaks for "fake" and sits in that map, averaged over many fakes that the detector is sure
# of. Sort all feature maps of all layers by $\omega$: the first *k* are the top-k of the figure.

# %% tags=["hide-input"]
rows = summary.set_index(["condition", "generator"])
lines = ["| generator | whole detector | top-k dropped | layer-matched dropped |", "|---|---|---|---|"]
for generator in generators:
    cells = [
        verdicts.percent(row.ap, row.low, row.high)
        for row in (rows.loc[(c, generator)] for c in ("baseline", "top-k", "matched-k"))
    ]
    lines.append("| " + " | ".join([figures.generator_name(generator), *cells]) + " |")
reals, fakes = (figures.base.span_text(summary[column]) for column in ("n_real", "n_fake"))
whiskers = (
    "In brackets the whiskers of the figure: from the lowest to the highest end of the seeds' intervals, "
    "wider than the pooled intervals of the chapters."
    if len(seeds) > 1
    else "In brackets 95 % intervals over pictures."
)
display(
    Markdown(
        f"**The same in numbers.** AP in percent for {spec.title}, k = {k}, {len(seeds)} detector "
        f"seed{'s' * (len(seeds) > 1)}; {reals} reals and {fakes} fakes per generator. {whiskers}\n\n"
        + "\n".join(lines)
    )
)

# %% [markdown]
# ## How to read this book
#
# - {doc}`Universal detectors </notebooks/01_universal_detectors>`: does a detector of one generator
#   recognise the others, and at which threshold?
# - {doc}`Relevance and omega </notebooks/02_ff_rs>`: how is a logit handed back to feature maps, and what
#   does $\omega$ measure?
# - {doc}`Sensitivity </notebooks/03_sensitivity>`: what is lost when the top-k are held constant, and
#   compared with what?
# - {doc}`Pixels </notebooks/04_pixel_attribution>`: do heatmaps on the picture show what the detector looks
#   at, more than those of a classifier, an untrained network or the picture's edges?
# - {doc}`Patches </notebooks/05_lrp_max>`: what excites a feature map most? {doc}`The atlas
#   </notebooks/atlas>` has a card for each of the top-k.
# - {doc}`Without colour </notebooks/06_color_ablation>`: what does the detector say of gray pictures, and of
#   pictures with the colours of others?
# - {doc}`Maps that respond to colour </notebooks/07_color_conditional>`: how many of the top-k, and how many
#   of other maps?
# - {doc}`Colour-robust detectors </notebooks/08_color_robust>`: does training with gray pictures help?
# - {doc}`What the paper did not ask </notebooks/09_beyond>`: other rankings, harder controls, more and fewer
#   maps, other ways of dropping them.
# - {doc}`Verdicts </notebooks/10_verdicts>`: every claim, its intervals and its word.
# - {doc}`Every generator </book/generators>`: one page for each, with pictures, scores, accuracies and
#   differences.
# - {doc}`Data card </notebooks/data_card>`: what the pictures are, how they were made, what was tried.
#
# Every chapter goes from an idea to an equation, to a few lines of code, to a figure, to what it means, and
# to **what it does not mean**. Numbers in sentences are written by the code beside them. Figures respond
# without a running kernel. Every page is a notebook: open it in JupyterLab (`make lab`), change the cell of
# parameters, and run it again. At the foot of each page stand the commit, the versions, the parameters and
# the data that made it.
