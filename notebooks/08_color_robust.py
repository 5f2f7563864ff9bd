# %% [markdown]
# # Detectors that cannot rely on colour
#
# If a detector leans on colour, a gray picture takes something away from it. {cite:t}`chandrasegaran2022`
# draw the conclusion: train the detector so that colour alone does not help it. This chapter trains such a
# **colour-robust** twin (CR) and asks four things. Is it better than the universal detector on gray
# pictures? What does it pay for that in colour? Do its top feature maps still respond to colour? And can it
# be broken in the same way, by taking its top-k away?

# %% tags=["parameters"]
detector = "resnet50-miniature"
robust = "resnet50-miniature-cr"  # its colour-robust twin
generators = [
    "progan",
    "stylegan2",
    "stylegan",
    "biggan",
    "cyclegan",
    "stargan",
    "gaugan",
]
k = None  # how many feature maps count as top; None: the paper's number for this network
seeds = [0, 1, 2]  # of the universal detector
robust_seeds = [0]  # of the twin
n = None  # pictures per label and generator, at most 60, so that the page takes minutes; None: all there are
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from tff_core import detectors, figures, lrp, published
from tff_core.claims import verdicts
from tff_core.claims.verdicts import named
from tff_core.features import (
    color_ablation,
    color_conditional,
    color_robust,
    ffrs,
    patches,
    pixels,
)
from tff_core.pictures import data
from tff_core.store.results import Store, atomic_write

store = Store(build or None)
if not robust:
    raise ValueError(
        f"{detector} has no colour-robust twin to compare with: name one as the parameter `robust`"
    )
spec, twin = detectors.get(detector, store), detectors.get(robust, store)
device = (
    detectors.default_device() if device == "auto" else torch.device(device)
)
k = k or spec.k
n = min(n, 60) if n else None
both = [
    seed for seed in seeds if seed in robust_seeds
]  # compared seed by seed
images = {
    g: data.scan(store.data(spec.dataset, "test", g)).where(first=n)
    for g in generators
}
names = [figures.generator_name(g) for g in generators]

# %% [markdown]
# ## The same training, half of it in gray
#
# **Idea.** Turn every training picture gray with probability one half. What only colour tells is then
# missing half of the time, and the detector has to find something else as well.
#
# **Equation.** With $\ell$ the loss of a picture $x$ with label $y$, training minimises
#
# $$
# \mathbb{E}\Bigl[\tfrac{1}{2}\,\ell\bigl(f(x), y\bigr) +
# \tfrac{1}{2}\,\ell\bigl(f(\operatorname{gray}(x)), y\bigr)\Bigr]
# $$
#
# instead of $\mathbb{E}\,\ell(f(x), y)$. Validation pictures stay in colour. (In the paper's code they pass
# through the same lottery.)
#
# **Controls.** A twin that is trained here, with one training seed, starts from the same weights as the
# universal detector of that seed, and sees the same pictures in the same order with the same blur, JPEG and
# flips; only the gray is new. So the two are compared **seed by seed, where both exist**. Of a twin that was
# trained elsewhere all this is not known.
#
# **Code.** In colour the test pictures have been judged for the chapter on sensitivity; here the same
# pictures go through both detectors in gray. The bootstrap then draws the same pictures for all four.

# %%
wanted = {
    "universal": spec.preprocessing,
    "color-robust": twin.preprocessing,
}  # of the pictures
nets = {"universal": {}, "color-robust": {}}
for model, name, some in (
    ("universal", detector, seeds),
    ("color-robust", robust, robust_seeds),
):
    for seed in some:
        trained = detectors.load(name, seed, store, device)
        nets[model][seed] = lrp.canonize(
            trained.model, bounds=wanted[model].bounds
        )


def batches(images, model, turned=None):
    return data.batches(
        images,
        60,
        device=device,
        transform=turned,
        preprocessing=wanted[model],
    )


rows = []
for generator, some in images.items():
    judged = [path.relative_to(some.root).as_posix() for path in some.paths]
    logits = {}
    for model, name in (("universal", detector), ("color-robust", robust)):
        turned = batches(some, model, data.grayscale)
        known = pd.read_csv(store.scores(name, generator))
        known = (
            known[known["condition"] == "baseline"]
            .set_index(["seed", "image"])["logit"]
            .sort_index()
        )
        logits[model] = {
            "color": {
                seed: known[seed].loc[judged].to_numpy()
                for seed in nets[model]
            },
            "gray": {
                seed: detectors.logits(net, turned)
                for seed, net in nets[model].items()
            },
        }
    one = color_robust.robustness(
        some.labels, logits["universal"], logits["color-robust"]
    )
    rows.append(
        one.assign(detector=detector, twin=robust, generator=generator)
    )
measured = pd.concat(rows, ignore_index=True)

# %% tags=["hide-input"]
for generator, own in measured.groupby("generator"):
    with atomic_write(store.part("color_robust", detector, generator)) as part:
        own.to_csv(part, index=False)
paper = published.color_robust().replace(
    {
        "detector": {"baseline": "universal"},
        "input": {"rgb": "color", "grayscale": "gray"},
    }
)
paper = paper.rename(columns={"detector": "model"})
figures.show(
    figures.robust_ap(measured, paper[paper["architecture"] == spec.arch])
)

# %% tags=["hide-input"]
figures.show(figures.robust_differences(measured))

# %% tags=["hide-input"]
pooled = {
    key: own.set_index("generator")
    for key, own in measured[measured["seed"] == "all"].groupby(
        ["model", "input"]
    )
}
single = measured[
    (measured["model"] == "universal") & (measured["input"] == "gray")
]
single = single[single["seed"] != "all"].groupby("generator")["ap"]
gain, cost = pooled["difference", "gray"], pooled["difference", "color"]
ends = {"ap_low": "low", "ap_high": "high"}
better, worse, unsure = verdicts.parted(
    gain.rename(columns=ends).reset_index()
)
word = verdicts.word(len(better), len(worse + unsure))
several = (
    len(seeds) + len(robust_seeds) > 2
)  # then the means are of other seeds than the differences
won, paid, _ = verdicts.parted(cost.rename(columns=ends).reset_index())
counts = measured[["n_real", "n_fake"]]
whole = pooled["universal", "color"]
chance = {
    row.Index: verdicts.chance(int(row.n_real), int(row.n_fake))
    for row in whole.itertuples()
}
blind = [g for g in generators if whole.loc[g, "ap_low"] <= chance[g]]
ap = {
    (m, i): pooled[m, i]["ap"].mean()
    for m in ("universal", "color-robust")
    for i in ("color", "gray")
}
text = (
    f"The claim **{word}** here. On gray pictures the colour-robust detector's AP exceeds the universal "
    f"one's with its whole interval on {len(better)} of {len(gain)} generators{named(better)}; the interval "
    f"contains zero on {len(unsure)}{named(unsure)} and lies below zero on {len(worse)}{named(worse)}. Mean "
    f"over generators and all seeds of each: {verdicts.percent(ap['universal', 'gray'])} and "
    f"{verdicts.percent(ap['color-robust', 'gray'])}; {'seed by seed ' * several}the difference is "
    f"{verdicts.points(gain['ap'].mean())}.\n\n"
    f"**What it costs in colour.** {verdicts.percent(ap['universal', 'color'])} and "
    f"{verdicts.percent(ap['color-robust', 'color'])}, "
    f"{'seed by seed' if several else 'a difference of'} {verdicts.points(cost['ap'].mean())}; "
    f"the interval lies below zero on {len(paid)} generators{named(paid)}, above zero on "
    f"{len(won)}{named(won)}, and contains zero on {len(cost) - len(paid) - len(won)}.\n\n"
)

# %% tags=["hide-input"]
lucky = [
    g
    for g in better
    if pooled["color-robust", "gray"].loc[g, "ap"] <= single.max()[g]
]
if len(seeds) > 1:
    spread = (single.max() - single.min()).mean()
    text += (
        f"**Read with care.** {len(both)} of the {len(seeds)} training seeds "
        f"{'has' if len(both) == 1 else 'have'} a twin"
        + (
            ", so the interval knows pictures but not seeds"
            if len(both) == 1
            else ""
        )
        + f". The universal detectors' own AP in gray differs by {100 * spread:.1f} points from seed to seed "
        f"(highest minus lowest, mean over generators); on {len(better) - len(lucky)} of the {len(better)} "
        "generators where the claim holds is the twin above every universal seed. "
    )
if blind:
    text += (
        f"On {len(blind)}{named(blind)} the universal detector itself is not surely better than chance in "
        "colour: there was little to restore. "
    )
sizes = [
    f"{min(v)}" if min(v) == max(v) else f"{min(v)} to {max(v)}"
    for v in (counts["n_real"], counts["n_fake"])
]
text += f"n = {sizes[0]} reals and {sizes[1]} fakes per generator."
display(
    Markdown(
        f":::{{admonition}} Verdict: colour-robust training restores\n:class: important\n\n{text}\n:::"
    )
)

# %% [markdown]
# The rule: *holds* if on every generator the whole interval of the paired difference on gray pictures lies
# above zero, *holds in part* if on some, *does not hold* if on none. The cost in colour is reported by the
# same rule and has no part in the verdict.
#
# **All numbers, beside the paper's.** The paper has one table for each of its networks, of one detector each
# and without intervals. Unfold for all; the measured columns stand at the network of this page.

# %% tags=["hide-cell"]
CASES = [
    (m, i) for m in ("universal", "color-robust") for i in ("color", "gray")
]
for arch in dict.fromkeys([*published.K, spec.arch]):
    rows, own = (
        paper[paper["architecture"] == arch].set_index(
            ["generator", "model", "input"]
        ),
        arch == spec.arch,
    )
    sides = ["paper", "here"] if len(rows) else ["here"]
    heads = [
        f"{m.replace('color', 'colour')}, {i.replace('color', 'colour')}"
        for m, i in CASES
    ]
    lines = [
        "| generator | " + " | ".join(f"paper: {h}" for h in heads) + " |",
        "|---" * 5 + "|",
    ]
    if own:
        heads = [f"{side}: {h}" for h in heads for side in sides]
        heads += [
            "here: robust minus universal, gray",
            "here: the same, colour",
        ]
        lines = [
            "| generator | " + " | ".join(heads) + " |",
            "|---" * (1 + len(heads)) + "|",
        ]
    known = [g for g in paper["generator"].unique() if g not in generators]
    for generator in (
        [*generators, *known] if own else paper["generator"].unique()
    ):
        cells = [figures.generator_name(generator)]
        for case in CASES:
            there = (generator, *case) in rows.index
            mark = (
                "*"
                if there and rows.loc[(generator, *case), "doubtful"]
                else ""
            )
            if "paper" in sides:
                cells.append(
                    f"{100 * rows.loc[(generator, *case), 'ap']:.1f}{mark}"
                    if there
                    else ""
                )
            if own and generator in generators:
                row = pooled[case].loc[generator]
                cells.append(verdicts.percent(row.ap, row.ap_low, row.ap_high))
            elif own:
                cells.append("")
        if own and generator in generators:
            some = (
                pooled["difference", i].loc[generator]
                for i in ("gray", "color")
            )
            cells += [
                verdicts.points(row.ap, row.ap_low, row.ap_high)
                for row in some
            ]
        elif own:
            cells += ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    remark = (
        "\n\n\\* The StyleGAN2 column of this table repeats the StyleGAN column, number for number, and "
        "contradicts the paper's own sensitivity table: presumably a copying error. Not a target."
        if rows["doubtful"].any()
        else ""
    )
    title = spec.title if own else detectors.ARCHITECTURES[arch].title
    display(
        Markdown(
            f"**{title}**, AP in percent.\n\n" + "\n".join(lines) + remark
        )
    )

# %% [markdown]
# ## Do its maps still respond to colour?
#
# **Idea.** The same test as in the last chapter, before and after: the share of **colour-conditional** maps
# among the top-k (Mood's median test of the maximum activation, colour against gray, at 5 %). Each detector
# has its own top-k and its own layer-matched control. The same fakes in both.
#
# **Interval.** As there: shares are measured on random halves of the pictures; how much two halves differ
# tells how much a share varies. The number of pictures is the same everywhere, because a share without its
# $n$ says little.

# %%
DRAWS = 20  # sets of the layer-matched control
omega, groups, shares = {}, {}, []
for model, name in (("universal", detector), ("color-robust", robust)):
    for seed in both:
        o = omega[model, seed] = ffrs.Omega.from_csv(
            store.omega(name, seed), nets[model][seed]
        )
        groups[model, seed] = {
            "top-k": [o.top(k)],
            "matched-k": [o.matched(k, draw) for draw in range(DRAWS)],
        }
fakes = {g: some.where(label=1) for g, some in images.items()}
for generator, some in fakes.items():
    samples = {}
    for model in nets:
        kinds = batches(some, model), batches(some, model, data.grayscale)
        samples[model] = [
            color_conditional.sample(
                nets[model][seed], *kinds, groups[model, seed]
            )
            for seed in both
        ]
    one = color_robust.before_after(
        samples["universal"], samples["color-robust"], splits=40
    )
    one = one.assign(detector=detector, twin=robust, generator=generator)
    # beside the shares of halves, whose differences give the interval, that of all fakes: it is the paper's
    for model, found in samples.items():
        share = [
            np.mean(
                color_conditional.mood(s.color, s.gray).p[
                    s.members["top-k"][0]
                ]
                <= color_conditional.ALPHA
            )
            for s in found
        ]
        one.loc[
            (one["model"] == model) & (one["group"] == "top-k"), "whole"
        ] = np.mean(share)
    shares.append(one)
shares = pd.concat(shares, ignore_index=True)

# %% tags=["hide-input"]
for generator, own in shares.groupby("generator"):
    with atomic_write(
        store.part("color_robust_share", detector, generator)
    ) as part:
        own.to_csv(part, index=False)
table = published.color_conditional()
published_shares = {
    model: table[table["detector"] == key]
    .set_index("generator")["share"]
    .to_dict()
    for model, key in (
        ("universal", spec.arch),
        ("color-robust", f"cr-{spec.arch}"),
    )
}
published_shares = {
    model: own for model, own in published_shares.items() if own
}
figures.show(figures.robust_shares(shares, published_shares))

# %% tags=["hide-input"]
of = {
    key: own.set_index("generator")
    for key, own in shares.groupby(["model", "group"])
}
lines = [
    "| generator | universal: top-k | layer-matched | colour-robust: top-k | layer-matched | "
    "after minus before: top-k | layer-matched | paper: before, after |",
    "|---|---|---|---|---|---|---|---|",
]
for generator in generators:
    cells = [figures.generator_name(generator)]
    for model in ("universal", "color-robust", "difference"):
        for group in ("top-k", "matched-k"):
            row = of[model, group].loc[generator]
            show = (
                verdicts.points if model == "difference" else verdicts.percent
            )
            cells.append(show(row.share, row.low, row.high))
    old = [
        own[generator] for own in published_shares.values() if generator in own
    ]
    lines.append(
        "| "
        + " | ".join([*cells, ", ".join(f"{100 * s:.1f}" for s in old)])
        + " |"
    )
change = {group: of["difference", group] for group in ("top-k", "matched-k")}
rises, falls, _ = verdicts.parted(change["top-k"].reset_index())
more, beyond = (
    of[model, "top-k - matched-k"].reset_index()
    for model in ("color-robust", "difference")
)
still, *_ = verdicts.parted(more)
less, further, _ = verdicts.parted(beyond)
halves = sorted(set(shares["n"]))
matched = [len(own["matched-k"][0]) for own in groups.values()]
short = (
    f" of {' to '.join(map(str, sorted({min(matched), max(matched)})))} maps, because of some layers "
    "more than half are among the top-k"
    if min(matched) < k
    else ""
)
display(
    Markdown(
        "\n".join(lines)
        + f"\n\nShares of k = {k} maps in percent (differences in points) with 95 % intervals, "
        f"measured on {' to '.join(map(str, sorted({halves[0], halves[-1]})))} fakes at a time; detector "
        f"seed{'s' * (len(both) > 1)} {', '.join(map(str, both))}; {DRAWS} layer-matched sets{short}."
        "\n\nThe share among the top-k "
        f"**falls** with its whole interval on {len(falls)} of {len(generators)} generators{named(falls)} "
        f"and rises on {len(rises)}{named(rises)}; on average it changes by "
        f"{verdicts.points(change['top-k']['share'].mean())}, that of layer-matched maps by "
        f"{verdicts.points(change['matched-k']['share'].mean())}. Compared with their "
        f"controls the top-k fall further on {len(further)} generators{named(further)} and less far on "
        f"{len(less)}{named(less)}; on the others the interval contains zero. After "
        f"the training the top-k respond to colour more often than other maps of their layers on "
        f"{len(still)} generators{named(still)}."
    )
)

# %% [markdown]
# If the share falls for the controls as much as for the top-k, or more, the *whole network* has turned away
# from colour, and nothing particular has happened to the maps that carry the decision. The switch of the
# figure shows the two changes side by side.

# %% [markdown]
# ## What its maps look for
#
# **Idea.** The LRP-max patches of chapter *What a feature map looks for*, now for the colour-robust
# detector: for each of its first maps by $\omega$, the place in the fakes of every generator where it is
# most excited. Beside it, in the menu, the universal detector of the same training seed.

# %%
ROWS, RANKS, CELL = (
    8,
    3,
    44,
)  # maps shown, patches of each, side of a patch on this page
seed = both[0]
found = []
for model in ("color-robust", "universal"):
    (top,), (others, *_) = groups[model, seed].values()
    partner = dict(
        patches.pairs(top, others)
    )  # for a map one of its own layer that is not in the top-k
    group = dict.fromkeys(top[:ROWS], "top-k")
    group |= {partner[m]: "matched-k" for m in top[:ROWS] if m in partner}
    for generator, some in fakes.items():
        seen = wanted[model]
        own = patches.find(
            nets[model][seed],
            some,
            list(group),
            RANKS,
            device=device,
            preprocessing=seen,
        )
        own = patches.measure(own, seen).assign(
            model=model, generator=generator
        )
        found.append(
            own.assign(
                group=own["map"].map(
                    {str(m): name for m, name in group.items()}
                )
            )
        )
found = pd.concat(found, ignore_index=True)

# %% tags=["hide-input"]
frames, hover, labels = {}, {}, {}


def cut(row):
    """A patch as a square picture of CELL pixels; black where there is none."""
    if row.box is None:
        return np.zeros((CELL, CELL, 3), dtype=np.uint8)
    whole = wanted[row.model].cut(data.read(row.path))
    return pixels.enlarge(whole.permute(1, 2, 0).numpy(), row.box, CELL)


def told(row):
    what = (
        "not active"
        if row.box is None
        else f"chroma of the patch / of its picture {row.ratio:.2f}"
    )
    return f"{row.map}<br>{figures.generator_name(row.generator)}: activation {row.activation:.2f}<br>{what}"


first = found[(found["rank"] == 0) & (found["group"] == "top-k")]
most = max(map(len, fakes.values()))
for model, own in first.groupby("model", sort=False):
    title = model.replace("color", "colour")
    keys = list(dict.fromkeys(own["map"]))
    labels[title] = [key.split("(")[0].replace(".#", "<br>#") for key in keys]
    place = {(row.map, row.generator): row for row in own.itertuples()}
    cells = [[place[key, g] for g in generators] for key in keys]
    frames[title] = np.array([[cut(row) for row in line] for line in cells])
    hover[title] = [[told(row) for row in line] for line in cells]
figures.show(
    figures.collage(
        frames, hover, labels, names,
        f"LRP-max patches of the first {len(labels['colour-robust'])} of the top {k} ({spec.title}, seed "
        f"{seed}): the strongest of {most} fakes or fewer per generator. The menu chooses the detector; "
        "hover a patch for its activation and chroma.",
    )
)  # fmt: skip

# %% [markdown]
# **Counting colour.** $\bar C_{\text{patch}} / \bar C_{\text{picture}}$, the mean chroma of a patch over
# that of its picture, for each map the mean over its patches.

# %% tags=["hide-input"]
usable = found.dropna(subset=["ratio"])
per_map = usable.groupby(["model", "group", "map"], as_index=False)[
    "ratio"
].mean()
means = pd.DataFrame(
    {"model": model, "group": group}
    | color_ablation.average(own["ratio"])._asdict()
    | {"maps": len(own)}
    for (model, group), own in per_map.groupby(["model", "group"])
)
if len(means):
    figures.show(figures.chroma_ratios(per_map, means))
lines = []
for row in means.itertuples():
    count = int(
        ((usable["model"] == row.model) & (usable["group"] == row.group)).sum()
    )
    span = (
        f" [{row.low:.2f}, {row.high:.2f}]" if row.maps > 1 else ""
    )  # one map has no spread
    lines.append(
        f"{row.model.replace('color', 'colour')}, {row.group.replace('matched-k', 'layer-matched')}: "
        f"{row.value:.2f}{span} (maps: {row.maps}, patches: {count})"
    )
tops = means[means["group"] == "top-k"].set_index("model")
verdict = ""
if len(tops) == 2:
    a, b = tops.loc["universal"], tops.loc["color-robust"]
    apart = a["low"] > b["high"] or b["low"] > a["high"]
    verdict = " The intervals of the two detectors' top maps " + (
        (
            "do not overlap: "
            + ("less" if b["value"] < a["value"] else "more")
            + " colour after the training."
        )
        if apart
        else "overlap: by this measure the patches have not become less colourful, or more."
    )
missing = int(found["ratio"].isna().sum())
display(
    Markdown(
        f"Seed {seed}; mean over maps with a 95 % interval over maps. {'; '.join(lines)}.{verdict} "
        f"{missing} of {len(found)} positions gave no ratio, because the map was not active "
        "anywhere in the picture or the picture has no colour."
    )
)

# %% [markdown]
# ## Can it be broken in the same way?
#
# **Idea.** Feature-map dropout as in the chapter on sensitivity, in the colour-robust detector, with *its*
# ranking: its top-k held constant, against as many random maps of the same layers.

# %% tags=["hide-input"]
measured_here = verdicts.Parts(
    store.root
)  # of these generators alone: another one changes nothing here
contrast = verdicts.read(measured_here, "contrast", robust, generators)
figures.show(
    figures.forest(
        contrast[
            contrast["seed"].astype(str).isin(["all", *map(str, robust_seeds)])
        ]
    )
)

# %% tags=["hide-input"]
summary = {
    model: verdicts.summarize(rows[rows["seed"].isin(some)]).set_index(
        ["generator", "condition"]
    )
    for model, rows, some in (
        (
            "universal",
            verdicts.read(measured_here, "sensitivity", detector, generators),
            both,
        ),
        (
            "color-robust",
            verdicts.read(measured_here, "sensitivity", robust, generators),
            robust_seeds,
        ),
    )
}
shown = {
    "baseline": "whole",
    "top-k": "without top-k",
    "matched-k": "without layer-matched",
}
lines = [
    "| generator | "
    + " | ".join(
        f"{m.replace('color', 'colour')}: {w}"
        for m in summary
        for w in shown.values()
    )
    + " |",
    "|---" * 7 + "|",
]
for generator in generators:
    cells = [
        verdicts.percent(row.ap, row.low, row.high)
        for own in summary.values()
        for row in (own.loc[(generator, c)] for c in shown)
    ]
    lines.append(
        "| " + " | ".join([figures.generator_name(generator), *cells]) + " |"
    )
strict = verdicts.verdict(contrast)
common = {
    s: len(
        set(omega["universal", s].top(k))
        & set(omega["color-robust", s].top(k))
    )
    for s in both
}
expected = k * k / len(omega["universal", both[0]])
display(
    Markdown(
        f"> **Verdict: the colour-robust detector without its top-k.** {strict.sentence()}\n\nAP in percent, "
        f"k = {k}; intervals as in the chapter on sensitivity."
        + (
            f" The universal detector at the seeds that have a twin ({', '.join(map(str, both))})."
            if len(seeds) > 1
            else ""
        )
        + "\n\n"
        + "\n".join(lines)
        + f"\n\nOf the top {k} the two detectors share "
        f"{', '.join(f'{c} (seed {s})' for s, c in common.items())}; two random choices would share "
        f"{expected:.1f}."
        + (
            ""
            if twin.external
            else " They start from the same weights, so that a number means the same map at the beginning of "
            "training."
        )
    )
)

# %% [markdown]
# The rule is that of the chapter on sensitivity: *holds* if on every generator the whole interval of top-k
# minus layer-matched lies below zero, *holds in part* if on some, *does not hold* if on none.

# %% [markdown]
# ## What it means, and what it does not
#
# - If the twin keeps its AP in gray, what it needs is in the luma too. It does **not** mean that the
#   universal detector *used* colour for its decisions: it may have failed in gray because gray was new to
#   it. The chapter on colour ablation has a test without gray pictures.
# - A lower share of colour-conditional maps means that fewer maps *respond* to the change. It does not mean
#   that the detector is blind to colour, nor that it is safe against other changes: robust is meant against
#   gray, and nothing else was tested.
# - Random grayscaling is also plain augmentation, and augmentation alone may help on unseen generators. A
#   control with another augmentation of the same strength is missing here, as it is in the paper.
# - On the miniature many reals have little colour to begin with (the {doc}`data card </notebooks/data_card>`
#   says how much), so gray is less strange here than for photographs.

# %% [markdown]
# ```{exercise} Gray in validation
# The paper's code grays validation pictures at random too, and stops training early by their accuracy. What
# can that change, compared with validation in colour? For which detector of this chapter would it matter?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Early stopping then waits until *gray* pictures are well classified too, and a threshold calibrated on such
# pictures lies between what colour and gray would need. Here nothing stops early, and AP needs no
# threshold; the calibrated threshold of the colour-robust detector would be the one to change.
# ```
#
# ```{exercise} Better than the universal detector in colour?
# Can a detector that was trained half in gray beat, on coloured pictures of an unseen generator, the one
# that always saw colour? Name a reason for it and one against it.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# For: colour traces of ProGAN may be absent, or reversed, in another generator; a detector that does not
# trust them is not misled. Against: it has seen half as many coloured pictures in as many steps, and where
# colour does transfer it has given something away. The figure of differences and the row *difference,
# color* of the table tell which of the two it was.
# ```
