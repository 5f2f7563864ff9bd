# %% [markdown]
# # Data card: the pictures behind the numbers
#
# The paper works on ForenSynths {cite}`wang2020`: photographs, and pictures from large generators, tens of
# gigabytes on file-sharing sites.

# %% [markdown] tags=["only-if:dataset=miniature"]
# **The miniature ForenSynths.** This book must run on two processor cores in a quarter of an hour, so it
# makes a benchmark of its own, in the same folder layout and with the same seven families of generators.
# **It is a toy.** This page says what is in it, what is not, and what follows for every number in the book.

# %% tags=["parameters", "remove-input"]
dataset = "miniature"  # the cells about it are left out where the book has other pictures
generators = [
    "progan",
    "stylegan2",
    "stylegan",
    "biggan",
    "cyclegan",
    "stargan",
    "gaugan",
]
n = None  # pictures per label behind the statistics; None: all
columns = 8  # pictures in a row of the sample grids
build = ""  # where the pictures are; "": the project's build folder

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from tff_core import figures
from tff_core.features import pixels
from tff_core.miniature import card
from tff_core.pictures import audit, data
from tff_core.store.results import Store, read_json

store = Store(build or None)


def arrays(part, generator, label, count):
    """Pictures as uint8 (N, H, W, 3)."""
    found = data.scan(store.data(dataset, part, generator)).where(
        label=label, first=count or None
    )
    return data.load(found).permute(0, 2, 3, 1).numpy()


# %% [markdown] tags=["only-if:dataset!=miniature"]
# This book was made with other pictures. They lie on disk in the layout of ForenSynths and were taken as they
# are: this page counts them and looks at their files. Where they come from, which model made the fakes and on
# what it was trained, it cannot know; a number of this book is about these folders, and the names of the
# generators are those of the folders.

# %% tags=["hide-input", "only-if:dataset!=miniature"]
SAMPLE = 200  # pictures per label and folder whose files are looked at
counts, tables = [], []
places = [("test", g) for g in generators] + [
    (part, "progan") for part in ("train", "val")
]
for part, generator in places:
    root = store.data(dataset, part, generator)
    if not root.is_dir():
        continue
    found = data.scan(root)
    some = found.where(first=SAMPLE)
    facts = pd.DataFrame([audit.facts(path) for path in some.paths]).assign(
        label=some.labels
    )
    name = f"{figures.generator_name(generator)}, {part}"
    whole = facts[facts["error"] == ""]
    sides = whole[["width", "height"]].agg(["min", "max"])
    several = " to ".join(
        dict.fromkeys(f"{w:.0f}x{h:.0f}" for w, h in sides.to_numpy())
    )
    counts.append([name, *found.counts, len(found.classes) or "none", several])
    counts[-1] += [
        ", ".join(whole["format"].value_counts().index),
        len(found.stray),
        len(facts) - len(whole),
    ]
    tables.append(audit.separation(facts).assign(folder=name))
heads = [
    "folder",
    "reals",
    "fakes",
    "classes",
    "width x height",
    "formats",
    "other files",
    "unreadable",
]
lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
lines += ["| " + " | ".join(map(str, row)) + " |" for row in counts]
display(
    Markdown(
        "\n".join(lines)
        + f"\n\nSizes, formats and unreadable files: of the first {SAMPLE} pictures per label, "
        "spread over the classes; smallest to largest width and height."
    )
)

# %% [markdown] tags=["only-if:dataset!=miniature"]
# ## What gives them away without a network
#
# A detector can tell reals from fakes without looking at what they show, where the files of the two differ:
# in size, in format, in how they were compressed. The AUC says how well such a property alone separates the
# two: 0.5 tells nothing, 1 tells all. `tff check` says more.

# %% tags=["hide-input", "only-if:dataset!=miniature"]
table = pd.concat(tables)
told = table[table["auc"] > audit.LIMIT]
lines = [
    "| folder | property | AUC | reach of chance | reals | fakes |",
    "|---" * 6 + "|",
]
lines += [
    f"| {row.folder} | {row.property} | {row.auc:.2f} | {row.chance:.2f} | {row.real} | {row.fake} |"
    for row in told.itertuples()
]
few = f"No property of the files separates reals from fakes with an AUC above {audit.LIMIT:g}."
display(Markdown("\n".join(lines) if len(told) else few))

# %% [markdown] tags=["only-if:dataset!=miniature"]
# ## Examples
#
# The first pictures of each folder, spread over its classes. Of large ones the middle is shown, cut to one
# size.

# %% tags=["hide-input", "only-if:dataset!=miniature"]
for generator in generators:
    found = data.scan(store.data(dataset, "test", generator)).where(
        first=columns
    )
    shown = [
        pixels.middle(picture, 128)
        for picture in data.load(found, middle=True)
    ]
    rows = {
        word: [
            p.permute(1, 2, 0).numpy()
            for p, one in zip(shown, found.labels, strict=True)
            if one == label
        ]
        for label, word in enumerate(("real", "fake"))
    }
    text = (
        f"{figures.generator_name(generator)}: reals beside fakes, test part."
    )
    figures.show(
        figures.pictures(
            {word: np.stack(some) for word, some in rows.items()}, text=text
        )
    )

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## Reals: drawn scenes, photographed by a simulated camera
#
# No photograph is involved. A *real* picture is a procedural scene, drawn in linear light, of one of four
# classes (facades, landscapes, still lifes, pebbles) under one of three lights (noon, evening, overcast).
# Then comes a camera: optical blur, a colour filter mosaic that records one colour per pixel, sensor noise,
# demosaicing, chroma denoising, a tone curve, JPEG at twice the final size, a reduction, and on some
# pictures blur or sharpening. What matters for forensics is this second half: it gives all reals a common
# origin that a generator has to imitate.

# %% tags=["hide-input", "only-if:dataset=miniature"]
classes = data.scan(store.data(dataset, "test", "progan"))
figures.show(
    figures.pictures(
        {
            name: data.load(classes.where(label=0, group=name, first=columns))
            .permute(0, 2, 3, 1)
            .numpy()
            for name in classes.classes
        },
        text="Reals of the four classes. Colours vary from none to strong on purpose: a detector that has "
        "never seen a gray real would call every gray picture odd, and a test with gray pictures would then "
        "say nothing.",
    )
)

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## Fakes: seven small convolutional generators
#
# Every generator is trained adversarially, against a critic that sees plain RGB, on the same drawn
# scenes. Each upsamples in the way of its family, and it is upsampling that leaves the traces that the book
# is about. The networks have a hundred thousand to three hundred thousand weights and saw a few hundred
# batches of sixteen pictures; the originals have tens of millions and saw millions of pictures. So they were
# given help:
#
# - **ProGAN, StyleGAN2, StyleGAN, BigGAN** do not start from noise alone. A small encoder, trained with the
#   generator, turns two scenes into two latents; these are blended along a random line and jittered with
#   noise, and the generator decodes the blend (5,152 numbers for the 12,288 of a picture). A fake is
#   therefore a *smeared collage of two scenes*, and every one of its pixels comes out of the generator. In
#   the terms of the literature these are VAE-GANs with the named family's decoder.
# - **GauGAN** paints a segmentation map; a coarse code of the scene (2,048 numbers) sets its colours.
# - **CycleGAN and StarGAN** change the light of one scene, as the originals change horses or hair.
#
# Left out: progressive growing, style mixing, self-attention, perceptual losses. **Where this page and the
# figures say "ProGAN", read "a small network that upsamples as ProGAN does".**

# %% tags=["hide-input", "only-if:dataset=miniature"]
for generator in generators:
    real, fake = (
        arrays("test", generator, label, columns) for label in (0, 1)
    )
    figures.show(
        figures.pictures(
            {"real": real, "fake": fake},
            text=f"{figures.generator_name(generator)}: reals beside fakes, test part.",
        )
    )

# %% [markdown] tags=["only-if:dataset=miniature"]
# Each folder has scenes of its own: reals and fakes are of the same kinds but never of the same scene, and
# no scene stands in two of the parts *train*, *val* and *test*.

# %% tags=["hide-input", "only-if:dataset=miniature"]
counts = pd.DataFrame(
    {
        "part": part,
        "generator": figures.generator_name(generator),
        "reals": read_json(path / data.MANIFEST)["counts"]["real"],
        "fakes": read_json(path / data.MANIFEST)["counts"]["fake"],
        "models": len(read_json(path / data.MANIFEST)["config"]["weights"]),
    }
    for part in data.PARTS
    for generator in (generators if part == "test" else ["progan"])
    for path in [store.data(dataset, part, generator)]
    if (path / data.MANIFEST).is_file()
)
lines = ["| part | generator | reals | fakes | models |", "|---" * 5 + "|"]
lines += [
    "| " + " | ".join(map(str, row)) + " |"
    for row in counts.itertuples(index=False)
]
display(Markdown("\n".join(lines)))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## How they were made
#
# The weights ship with the code; this table is read from their headers. The commands that made them, and make
# them again, stand below it: the budget is counted in steps and every random number follows from the seed.
# ProGAN's training and validation fakes come from three seeds at two ages each, because a detector trained
# on one model learns that model. **The test fakes of ProGAN come from a fourth seed that no detector has
# seen**, which is stricter than ForenSynths.

# %% tags=["hide-input", "only-if:dataset=miniature"]
models = card.models()
shown = models[models["generator"].isin(generators)].assign(
    generator=lambda table: table["generator"].map(figures.generator_name)
)
lines = [
    "| generator | model | parts | upsampling | seed | steps | weights |",
    "|---" * 7 + "|",
]
lines += [
    f"| {row.generator} | {row.model} | {row.parts} | {row.upsampling} | {row.seed} | {row.steps} | "
    f"{row.parameters:,} |"
    for row in shown.itertuples()
]
display(Markdown("\n".join(lines)))
display(
    Markdown(
        f"{len(models)} files, {models['kilobytes'].sum() / 1000:.1f} MB in all."
    )
)

# %% tags=["hide-cell", "only-if:dataset=miniature"]
print("\n".join(shown["command"]))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## What gives them away without a network
#
# A single number per picture already tells something. *Detail* is what a pixel differs from the mean of its
# four neighbours; the AUC is the share of pairs, one fake and one real, in which the fake has the larger
# value: 50 % tells nothing, 0 % and 100 % tell all.

# %% tags=["hide-input", "only-if:dataset=miniature"]
table = card.compare(
    {g: (arrays("test", g, 0, n), arrays("test", g, 1, n)) for g in generators}
)
wide = table.pivot(index="generator", columns="statistic", values="auc").loc[
    generators
]
lines = [
    "| generator | " + " | ".join(wide.columns) + " |",
    "|---" * (1 + len(wide.columns)) + "|",
]
for generator, row in wide.iterrows():
    lines.append(
        f"| {figures.generator_name(generator)} | "
        + " | ".join(f"{100 * x:.0f} %" for x in row)
        + " |"
    )
display(Markdown("\n".join(lines)))
display(
    Markdown(
        f"AUC of fakes against reals, n = {table['n_fake'].min()} fakes and {table['n_real'].min()} reals "
        "per generator. Medians of chroma to luma detail: "
        + "; ".join(
            f"{figures.generator_name(row.generator)} {row.fake:.2f} (reals {row.real:.2f})"
            for row in table[
                table["statistic"] == "chroma to luma"
            ].itertuples()
        )
        + "."
    )
)

# %% [markdown] tags=["only-if:dataset=miniature"]
# Small generators err in fine colour: their three output channels are not as tightly tied to one another as
# a camera's mosaic and its denoising tie them. Nothing was built in to this end; the critic sees RGB as it
# is. But it is a property of *these* generators and *these* scenes, and the traces are one to four pixels
# wide, where those of large generators can be wider.
#
# ## What this benchmark can and cannot show
#
# **It can** run every step of the paper on a detector, generators and pictures that are really there, and it
# can show whether the method finds, in a network trained here, feature maps whose removal blinds it, on
# families it has never seen, and by more than a fair control.
#
# **It cannot** say that a number of the paper is right or wrong. The pictures are 64 pixels wide, the scenes
# are simple and the generators small and related by a shared training recipe; the reals have one camera.
# Transfer here is transfer among siblings. Where a claim of the paper does not hold here, the book says so,
# and no figure was tuned towards the published ones.
# {doc}`The design log </book/design_log>` says what was tried, what failed, and when choosing stopped.
