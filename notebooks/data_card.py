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
dataset = "miniature"  # where it is another, the cells about it are left out
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
n = None  # pictures per label behind the statistics; None: all
columns = 8  # pictures in a row of the sample grids
build = ""  # where the pictures are; "": the project's build folder

# %% tags=["remove-input"]
from tff_core import figures
from tff_core.book import data_card
from tff_core.book.chapter import say
from tff_core.claims.texts import pictures as texts
from tff_core.miniature import card
from tff_core.pictures import audit, data, photographs
from tff_core.store.results import Store

store = Store(build or None)
test = {g: store.data(dataset, "test", g) for g in generators}
title = {g: figures.generator_name(g) for g in generators}


def arrays(generator, count, **which):
    """Test pictures as uint8 (N, H, W, 3)."""
    some = data.scan(test[generator]).where(first=count or None, **which)
    return data.load(some).permute(0, 2, 3, 1).numpy()


# %% [markdown] tags=["only-if:dataset!=miniature"]
# This book was made with other pictures. They are on disk in the layout of ForenSynths and were used as they
# are: this page counts them and looks at their files. It cannot know where they come from, which model made
# the fakes and on what data it was trained; the numbers in this book are about these folders, and the
# generators are named after them.

# %% tags=["remove-input", "only-if:dataset!=miniature"]
places = [(f"{title[g]}, test", test[g]) for g in generators]
for part in ("train", "val"):
    places.append((f"ProGAN, {part}", store.data(dataset, part, "progan")))
rows, separation = data_card.folders(places)
say(texts.folders(rows, data_card.SAMPLE))

# %% [markdown] tags=["only-if:dataset!=miniature"]
# ## What gives them away without a network
#
# A detector can tell reals from fakes without looking at what they show if their files differ: in size, in
# format, in how they were compressed. The AUC measures how well such a property alone separates the two: 0.5
# means not at all, 1 perfectly. `tff check` says more.

# %% tags=["remove-input", "only-if:dataset!=miniature"]
say(texts.separation(separation, audit.LIMIT))

# %% [markdown] tags=["only-if:dataset!=miniature"]
# ## Examples
#
# The first pictures of each folder, spread over its classes. Large ones are cropped to their middle, at a
# common size.

# %% tags=["remove-input", "only-if:dataset!=miniature"]
for g in generators:
    shown = data_card.beside(data.scan(test[g]).where(first=columns))
    text = f"{title[g]}: reals beside fakes, test part."
    figures.show(figures.pictures(shown, text=text))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## Reals: drawn scenes, photographed by a simulated camera
#
# No photograph is involved. A *real* picture is a procedural scene, drawn in linear light, of one of four
# classes (facades, landscapes, still lifes, pebbles) under one of three lights (noon, evening, overcast).
# Then comes a camera: optical blur, a colour filter mosaic that records one colour per pixel, sensor noise,
# demosaicing, chroma denoising, a tone curve, JPEG at twice the final size, a reduction, and on some
# pictures blur or sharpening. What matters for forensics is this second half: it gives all reals a common
# origin that a generator has to imitate.

# %% tags=["remove-input", "only-if:dataset=miniature"]
classes = data.scan(store.data(dataset, "test", "progan")).classes
shown = {c: arrays("progan", columns, label=0, group=c) for c in classes}
text = (
    "Reals of the four classes. Colours vary from none to strong on purpose: "
    "a detector that has never seen a gray real would call every gray picture "
    "odd, and a test with gray pictures would then say nothing."
)
figures.show(figures.pictures(shown, text=text))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ### The camera, held to photographs
#
# A simulated camera can have traces of its own, and a detector can learn them. The one behind this book's
# pictures, edition 1, writes a JPEG whose blocks begin in the corner of every picture, so that chroma differs
# less within pairs of columns than between them, in the same columns of every real; and its pictures have
# half the fine colour of photographs. The camera of edition 2 was chosen by statistics of photographs that
# come with the installed packages, and not by what a detector makes of its pictures: it cuts its pictures at
# random places out of larger photographs and reduces them by random factors. Targets and trials are in
# {doc}`the design log </book/design_log>`. The generators that ship have learnt from edition 1, so this book
# stays with it. A second camera has another mosaic and demosaicing, another tone curve, more sharpening,
# other filters for the reduction, and no JPEG.
#
# *Detail* is how much a pixel differs from the mean of its four neighbours. The slope is that of log power
# over log frequency. *Even over odd* compares the differences between neighbours at even and at odd columns or
# rows, as a log ratio; 0 means that no grid has a fixed place in the pictures. Y, Cb and Cr are luma and the
# two colour differences. The scenes are new ones, on which nothing was chosen.

# %% tags=["remove-input", "only-if:dataset=miniature"]
scenes = min(40, n or 40)  # of each class
say(texts.cameras(card.cameras(scenes), list(photographs.paths())))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## Fakes: seven small convolutional generators
#
# Every generator is trained adversarially, against a critic that sees plain RGB, on the same drawn
# scenes. Each upsamples in its family's way, and it is upsampling that leaves the traces this book is about.
# The networks have a hundred thousand to three hundred thousand weights and saw a few hundred batches of
# sixteen pictures; the originals have tens of millions of weights and saw millions of pictures. So they were
# given help:
#
# - **ProGAN, StyleGAN2, StyleGAN, BigGAN** do not start from noise alone. A small encoder, trained with the
#   generator, turns two scenes into two latents; these are blended along a random line and jittered with
#   noise, and the generator decodes the blend (5,152 numbers for the 12,288 of a picture). A fake is
#   therefore a *smeared collage of two scenes*, and every one of its pixels comes out of the generator. In
#   the terms of the literature these are VAE-GANs with the named family's decoder.
# - **GauGAN** paints a segmentation map; a coarse code of the scene (2,048 numbers) sets its colours.
# - **CycleGAN and StarGAN** change the lighting of one scene, as the originals change horses or hair.
#
# Left out: progressive growing, style mixing, self-attention, perceptual losses. **Where this page and the
# figures say "ProGAN", read "a small network that upsamples as ProGAN does".**

# %% tags=["remove-input", "only-if:dataset=miniature"]
for g in generators:
    real, fake = (arrays(g, columns, label=label) for label in (0, 1))
    text = f"{title[g]}: reals beside fakes, test part."
    figures.show(figures.pictures({"real": real, "fake": fake}, text=text))

# %% [markdown] tags=["only-if:dataset=miniature"]
# Each folder has its own scenes: reals and fakes show the same kinds of scene but never the same scene, and
# no scene appears in two of the parts *train*, *val* and *test*.

# %% tags=["remove-input", "only-if:dataset=miniature"]
say(texts.sampled(data_card.sampled(store, dataset, generators)))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## How they were made
#
# The weights ship with the code; this table is read from their headers. The commands that made them, and can
# make them again, are below it: the budget is counted in steps, and every random number follows from the
# seed. ProGAN's training and validation fakes come from three seeds at two ages each, because a detector
# trained on one model learns that model. **The test fakes of ProGAN come from a fourth seed that no detector
# has seen**, which is stricter than ForenSynths.

# %% tags=["remove-input", "only-if:dataset=miniature"]
models = card.models()
models = models[models["generator"].isin(generators)]
say(texts.models(models))

# %% tags=["remove-input", "hide-output", "only-if:dataset=miniature"]
print("\n".join(models["command"]))

# %% [markdown] tags=["only-if:dataset=miniature"]
# ## What gives them away without a network
#
# A single number per picture already reveals something. The AUC is the share of pairs, one fake and one real,
# in which the fake has the larger value: 50 % means no separation, 0 % and 100 % perfect separation.

# %% tags=["remove-input", "only-if:dataset=miniature"]
reals_and_fakes = {
    g: (arrays(g, n, label=0), arrays(g, n, label=1)) for g in generators
}
say(texts.statistics(card.compare(reals_and_fakes)))

# %% [markdown] tags=["only-if:dataset=miniature"]
# Small generators err in fine colour: their three output channels are not as tightly coupled as a camera's
# mosaic and its denoising make them. Nothing was built in to this end; the critic sees plain RGB. But it is a
# property of *these* generators and *these* scenes, and the traces are one to four pixels wide, where those
# of large generators can be wider.
#
# ## What this benchmark can and cannot show
#
# **It can** run every step of the paper on a real detector, with generators and pictures that exist, and it
# can show whether the method finds, in a network trained here, feature maps whose removal blinds it, on
# families it has never seen, and by more than a fair control.
#
# **It cannot** say whether a number in the paper is right or wrong. The pictures are 64 pixels wide, the
# scenes are simple and the generators small and related by a shared training recipe; the reals of a build
# have one camera. Transfer here is transfer among siblings. Where a claim of the paper does not hold here, the book
# says so, and no number was tuned towards the published ones. {doc}`The design log </book/design_log>` says
# what was tried, what failed, and when choosing stopped.
