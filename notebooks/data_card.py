# %% [markdown]
# # Data card: the miniature ForenSynths
#
# The paper works on ForenSynths {cite}`wang2020`: photographs, and pictures from large generators, tens of
# gigabytes on file-sharing sites. This book must run on two processor cores in a quarter of an hour, so it
# makes a benchmark of its own, in the same folder layout and with the same seven families of generators.
# **It is a toy.** This page says what is in it, what is not, and what follows for every number in the book.

# %% tags=["parameters"]
generators = ["progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan", "gaugan"]
n = None  # pictures per label behind the statistics; None: all
columns = 8  # pictures in a row of the sample grids
build = ""  # where the pictures are; "": the project's build folder

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import Markdown, display

from tff_core import data, figures
from tff_core.miniature import DATASET, card
from tff_core.results import Store, read_json

store = Store(build or None)


def pixels(part, generator, label, count):
    """Pictures as uint8 (N, H, W, 3)."""
    found = data.scan(store.data(DATASET, part, generator)).where(label=label, first=count or 10**6)
    return data.load(found).permute(0, 2, 3, 1).numpy()


# %% [markdown]
# ## Reals: drawn scenes, photographed by a simulated camera
#
# No photograph is involved. A *real* picture is a procedural scene, drawn in linear light, of one of four
# classes (facades, landscapes, still lifes, pebbles) under one of three lights (noon, evening, overcast).
# Then comes a camera: optical blur, a colour filter mosaic that records one colour per pixel, sensor noise,
# demosaicing, chroma denoising, a tone curve, JPEG at twice the final size, a reduction, and on some
# pictures blur or sharpening. What matters for forensics is this second half: it gives all reals a common
# origin that a generator has to imitate.

# %% tags=["hide-input"]
classes = data.scan(store.data(DATASET, "test", "progan"))
figures.show(
    figures.pictures(
        {
            name: data.load(classes.where(label=0, group=name, first=columns)).permute(0, 2, 3, 1).numpy()
            for name in classes.classes
        },
        text="Reals of the four classes. Colours vary from none to strong on purpose: a detector that has "
        "never seen a gray real would call every gray picture odd, and a test with gray pictures would then "
        "say nothing.",
    )
)

# %% [markdown]
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

# %% tags=["hide-input"]
for generator in generators:
    real, fake = (pixels("test", generator, label, columns) for label in (0, 1))
    figures.show(
        figures.pictures(
            {"real": real, "fake": fake},
            text=f"{figures.generator_name(generator)}: reals beside fakes, test part.",
        )
    )

# %% [markdown]
# Each folder has scenes of its own: reals and fakes are of the same kinds but never of the same scene, and
# no scene stands in two of the parts *train*, *val* and *test*.

# %% tags=["hide-input"]
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
    for path in [store.data(DATASET, part, generator)]
    if (path / data.MANIFEST).is_file()
)
lines = ["| part | generator | reals | fakes | models |", "|---" * 5 + "|"]
lines += ["| " + " | ".join(map(str, row)) + " |" for row in counts.itertuples(index=False)]
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## How they were made
#
# The weights ship with the code; this table is read from their headers. The commands that made them, and make
# them again, stand below it: the budget is counted in steps and every random number follows from the seed.
# ProGAN's training and validation fakes come from three seeds at two ages each, because a detector trained
# on one model learns that model. **The test fakes of ProGAN come from a fourth seed that no detector has
# seen**, which is stricter than ForenSynths.

# %% tags=["hide-input"]
models = card.models()
shown = models[models["generator"].isin(generators)].assign(
    generator=lambda table: table["generator"].map(figures.generator_name)
)
lines = ["| generator | model | parts | upsampling | seed | steps | weights |", "|---" * 7 + "|"]
lines += [
    f"| {row.generator} | {row.model} | {row.parts} | {row.upsampling} | {row.seed} | {row.steps} | "
    f"{row.parameters:,} |"
    for row in shown.itertuples()
]
display(Markdown("\n".join(lines)))
display(Markdown(f"{len(models)} files, {models['kilobytes'].sum() / 1000:.1f} MB in all."))

# %% tags=["hide-cell"]
print("\n".join(shown["command"]))

# %% [markdown]
# ## What gives them away without a network
#
# A single number per picture already tells something. *Detail* is what a pixel differs from the mean of its
# four neighbours; the AUC is the share of pairs, one fake and one real, in which the fake has the larger
# value: 50 % tells nothing, 0 % and 100 % tell all.

# %% tags=["hide-input"]
table = card.compare({g: (pixels("test", g, 0, n), pixels("test", g, 1, n)) for g in generators})
wide = table.pivot(index="generator", columns="statistic", values="auc").loc[generators]
lines = ["| generator | " + " | ".join(wide.columns) + " |", "|---" * (1 + len(wide.columns)) + "|"]
for generator, row in wide.iterrows():
    lines.append(
        f"| {figures.generator_name(generator)} | " + " | ".join(f"{100 * x:.0f} %" for x in row) + " |"
    )
display(Markdown("\n".join(lines)))
display(
    Markdown(
        f"AUC of fakes against reals, n = {table['n_fake'].min()} fakes and {table['n_real'].min()} reals "
        "per generator. Medians of chroma to luma detail: "
        + "; ".join(
            f"{figures.generator_name(row.generator)} {row.fake:.2f} (reals {row.real:.2f})"
            for row in table[table["statistic"] == "chroma to luma"].itertuples()
        )
        + "."
    )
)

# %% [markdown]
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
