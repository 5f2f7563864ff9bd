# %% [markdown]
# # One generator, one detector
#
# What the detector makes of this generator's pictures, and what is left of it when feature maps are held
# constant. The chapters explain the terms; this page only shows results.

# %% tags=["parameters", "remove-input"]
detector = "resnet50-miniature"
generator = "progan"
k = None  # how many maps are dropped; None: the paper's number
seeds = [0, 1, 2]
n = None  # pictures per label; here always all that were scored
named_by = "none"  # the network that got a module for it, where one did
device = "auto"  # not used here: the scores were computed beforehand
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd
import torch

from tff_core import figures
from tff_core.book.chapter import Chapter, say
from tff_core.claims import verdicts
from tff_core.claims.texts import generator as texts
from tff_core.features import pixels
from tff_core.pictures import data

chapter = Chapter(detector, [generator], seeds, k=k, build=build)
k, spec, store = chapter.k, chapter.spec, chapter.store
name = figures.generator_name(generator)


# %% tags=["remove-input"]
def rows_of(table):
    """Rows of this detector and generator; none where it was not measured."""
    path = store.part(table, detector, generator)
    columns = ["seed", "label", "model", "low", "value"]
    rows = pd.DataFrame(columns=columns)
    rows = pd.read_csv(path) if path.is_file() else rows
    return rows.astype({"seed": str})


def over_seeds(rows):
    return rows[rows["seed"] == "all"]


scores = chapter.scores(generator)
sensitivity, contrast = rows_of("sensitivity"), rows_of("contrast")
transfer = rows_of("transfer")
paper = verdicts.paper(spec.arch)
if paper is not None:
    paper = paper[paper["generator"] == generator]

# %% tags=["remove-input"]
pooled = over_seeds(contrast)
pooled = pooled[pooled["contrast"] == verdicts.MATCHED].iloc[0]
matched = sensitivity[sensitivity["condition"] == "matched-k"]["k"]
# a small network of the family, not the published one
small = spec.dataset == "miniature" and generator in figures.GENERATORS
like = "-like" if small else ""
trained = f"trained on ProGAN{like} pictures only"
trained = "trained elsewhere" if spec.external else trained
told = spec.title, f"{name}{like}", trained, len(seeds), k, matched.min()
say(texts.short(over_seeds(transfer).iloc[0], pooled, *told))

# %% [markdown]
# ## Pictures

# %% tags=["remove-input"]
LARGEST = 256  # pixels of a picture on this page
images = chapter.test(generator)
place = {path: i for i, path in enumerate(images.paths)}


def shown(rows):
    """Rows of pictures (N, H, W, 3) of one size, large ones cut."""
    order = [i for places in rows.values() for i in places]
    loaded = data.load(images.take(order), middle=True)
    small = torch.stack([pixels.middle(one, LARGEST) for one in loaded])
    parts = small.permute(0, 2, 3, 1).split(
        [len(own) for own in rows.values()]
    )
    return {row: part.numpy() for row, part in zip(rows, parts, strict=True)}


some = {"real": 0, "fake": 1}
some = {
    label: [place[p] for p in images.where(label=code, first=8).paths]
    for label, code in some.items()
}
text = f"Reals and fakes of {name} from the test part, spread over its classes"
figures.show(
    figures.pictures(shown(some), text=f"{text}; not selected.", columns=4)
)

# %% [markdown]
# ## Scores under each condition

# %% tags=["remove-input"]
single = transfer[transfer["seed"] != "all"]
cuts = {f"threshold, seed {r.seed}": r.threshold for r in single.itertuples()}
titles = {c: title for c, (title, _, _) in figures.CONDITIONS.items()}
figures.show(figures.histograms(scores, "condition", cuts, titles))
own = sensitivity[sensitivity["seed"].isin(list(map(str, seeds)))]
summary = verdicts.summarize(own)
figures.show(figures.finding(summary, paper, k))
say(texts.conditions(summary, paper))

# %% [markdown]
# Accuracies are at the whole detector's threshold, calibrated on validation pictures; means over detector
# seeds and draws. In brackets are the whiskers of the figure, from the lowest to the highest end of the
# seeds' intervals; they are wider than the pooled interval at the top of the page.

# %% [markdown]
# ## Top-k against its controls

# %% tags=["remove-input"]
figures.show(figures.forest(contrast))

# %% [markdown]
# ## What it says about the claims
#
# Each chapter has measured a number for this generator. Here they are side by side; the chapter that a claim
# links to explains how it was measured, and {doc}`the verdicts </notebooks/10_verdicts>` count the
# generators.

# %% tags=["remove-input"]
parts = verdicts.Parts(store.root)
say(texts.claims(verdicts.evidence(parts, [detector], [generator])))

# %% [markdown]
# ## Colour, patches, pixels
#
# The chapters' figures for this generator alone. Missing figures were not measured for it.

# %% tags=["remove-input"]
gray, shares = (
    over_seeds(rows_of("color_ablation")),
    rows_of("color_conditional"),
)
twins, patches = rows_of("color_robust"), over_seeds(rows_of("patch_chroma"))
attribution = rows_of("pixel_attribution")
attribution = attribution[attribution["label"] == "all"]
if len(gray):
    figures.show(figures.gray_boxes(gray))
if len(shares):
    figures.show(figures.conditional_shares(shares))
if len(twins):
    figures.show(figures.robust_ap(twins))
if patches["value"].notna().any():
    figures.show(figures.patch_chroma(patches))
of_detector = attribution[attribution["model"] == "detector"]
if of_detector["low"].notna().any():
    figures.show(figures.object_shares(attribution))

# %% [markdown] tags=["only-if:named_by!=none"]
# ## Can it be named?
#
# The {doc}`networks that name sources </notebooks/15_attribution>` do not know this generator. Here they get
# a module for it, beside a primary and modules that stay as they are: what `tff attribute-train --start` does.

# %% tags=["remove-input", "only-if:named_by!=none"]
from tff_core.attribution import panels, weights
from tff_core.claims.texts import who
from tff_core.store.results import read_json

place_of = store.part("source_added", named_by, generator)
about = read_json(place_of.with_suffix(".json"))
named = pd.read_csv(place_of)
answers = pd.read_csv(place_of.with_suffix(".confusion.csv"))
say(who.added(about, named, answers))
if not about["lacks"]:
    one = answers[answers["seed"] == answers["seed"].iloc[0]]
    all_named = named["name"].drop_duplicates().iloc[1:]  # not detection
    figures.show(figures.confusion(one, list(all_named)))
    say(who.scores(named))

# %% tags=["remove-input", "only-if:named_by!=none"]
if not about["lacks"]:
    net, statistics = weights.load([store.root / about["weights"][0]])
    fakes = data.scan(store.data(about["dataset"], "test", generator))
    x = data.load(fakes.where(label=1, first=4))
    own = net.names.index(generator)
    drawn = {
        name: x.permute(0, 2, 3, 1).numpy(),
        f"{name}, evidence": panels.drawn(net, x, statistics, own),
    }
    text = "Fakes, and what in them speaks for this source (red) and "
    text += "against it (blue), by its own module."
    figures.show(figures.pictures(drawn, text=text, columns=4))

# %% [markdown]
# ## Most and least fake-looking
#
# By the logit of the whole detector, averaged over its seeds. Hover over a picture for its logit.

# %% tags=["remove-input"]
whole = scores[scores["condition"] == "baseline"]
whole = whole.groupby(["image", "label"])["logit"].mean().reset_index()
named = {p.relative_to(images.root).as_posix(): i for p, i in place.items()}
rows, labels = {}, {}
for label, code in (("real", 0), ("fake", 1)):
    ordered = whole[whole["label"] == code].sort_values("logit")
    ends = {"least": ordered.head(8), "most": ordered.iloc[::-1].head(8)}
    for words, own in ends.items():
        row = f"{label}, {words} fake"
        rows[row] = [named[image] for image in own["image"]]
        labels[row] = [f"{label}: logit {logit:.1f}" for logit in own["logit"]]
text = f"Extremes among {len(whole)} scored pictures: what convinces the "
text += "detector, and what misleads it."
figures.show(figures.pictures(shown(rows), labels, text=text, columns=4))
