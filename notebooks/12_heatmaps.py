# %% [markdown]
# # Heatmaps, judged by masks
#
# The map of a patch classifier says of every part of a picture how fake it looks. {cite:t}`chai2020` show
# such maps and let the reader judge. Here the judge is a mask: pictures are made of which one part comes from
# a generator and the rest from the camera, so that it is known to the pixel which is which.

# %% tags=["parameters", "remove-input"]
networks = ["xception_block2"]
patch_seeds = [0, 1, 2]
detector = "resnet50-miniature"
seeds = [0, 1, 2]
generators = [
    "progan", "stylegan2", "stylegan", "biggan", "cyclegan", "stargan",
    "gaugan",
]  # fmt: skip
spliced = ["progan", "stylegan2", "cyclegan"]  # tuned on the first one's
n = None  # pictures per label and generator whose maps are averaged
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import pandas as pd

from tff_core import figures, localization
from tff_core.book.chapter import Chapter, save, say
from tff_core.claims.texts import where as texts
from tff_core.features import locating
from tff_core.localization import (
    comparison,
    evaluation,
    gallery,
    masks,
    weights,
)

chapter = Chapter(detector, generators, seeds, device=device, build=build)
store, device = chapter.store, chapter.device
path = store.patches(networks[0], patch_seeds[0])
net = localization.load(path).to(device)
seen = weights.preparation(path)
title = texts.spoken(net.name, localization.field(net.name).size)

# %% [markdown]
# ## Easiest and hardest
#
# **Idea.** Sort the pictures of a class by their score and look at both ends: at the *easiest*, which the
# classifier is most sure of, and at the *hardest*, which it takes for the other class. Their maps show what
# it goes by, and where it is led astray.
#
# **Equation.** The map is $m_c = \operatorname{softmax}(\ell_c)_{\text{fake}}$, one number for each cell $c$,
# drawn at the middle of what the cell sees and interpolated between.
#
# **Code.** One call scores the pictures, one puts the map on the pixels.

# %%
shown = generators[1] if len(generators) > 1 else generators[0]
images = chapter.test(shown, first=n)
found = evaluation.evaluate(net, images, seen, device=device)
cells = localization.probability(
    evaluation.cells(net, images, seen, device=device)
)

# %% tags=["remove-input"]
figures.show(
    figures.pictures(
        *gallery.ends(net, images, found.pictures, cells),
        f"{figures.generator_name(shown)}: the fakes and reals that {title} "
        "is most sure of, and those that it takes for the other class. Maps "
        "from dark (0) to bright (1): probability of being fake.",
    )
)

# %% [markdown]
# `tff patches-test --show 100` writes the same for a folder of your own, with every picture's map at full
# size, on a page that opens from a file.
#
# ## Maps of many pictures
#
# Where do fakes give themselves away on average? If the mean map of all fakes is flat, the traces lie
# everywhere; if it has a pattern, something in the pictures, or at their borders, always sits there.

# %%
rows, ranges = gallery.averages(images.labels, cells)

# %% tags=["remove-input"]
real, fake = images.counts
figures.show(
    figures.pictures(
        rows,
        ranges,
        f"{figures.generator_name(shown)}: mean maps of {fake} fakes and "
        f"{real} reals, each on its own scale, dark to bright.",
    )
)
say(texts.ranges(ranges))

# %% [markdown]
# ## Exact masks
#
# **Idea.** Take a photograph, choose a region of 4 to 40 percent of it at a random place, and put there what
# a generator has made. If the family keeps the layout of its source, the region shows *the same things*, and
# nothing but the generator's traces tells it apart; otherwise it comes from another scene. `make all` adds
# the smallest change of all: regions that an autoencoder has encoded and decoded, as a diffusion model does
# with whatever it changes in a picture. Beside them stand as many authentic pictures, of which nothing should
# be marked.
#
# **Measures.** The average precision of all pixels (how well the map *ranks* them; a map that knows nothing
# has the share of fake pixels), its mean over pictures, the intersection over union of what is marked and
# what is fake, and the share of authentic pictures that is marked. The threshold for marking is chosen on
# other pictures, of the generator that all were trained on.
#
# **Rivals.** The same pictures go to the relevance and the gradients of the whole detector, smoothed by two
# pixels because they are spiky, and to two maps that know no network: edges, and the energy of the finest
# structure. Whoever does not beat these has found nothing.

# %%
methods = {}
for name in networks:
    path = store.patches(name, patch_seeds[0])
    cut = localization.load(path).to(device)
    sees = weights.preparation(path)
    methods[name] = comparison.classifier(cut, sees, device)
methods |= locating.methods(
    chapter.trained().model, chapter.net(), chapter.spec.preprocessing, device
)
methods |= {"edges": comparison.edges, "high_pass": comparison.high_pass}

tuned = masks.find(store.localized("val", spliced[0]))
tables, thresholds = [], None
for one in spliced:
    spotted = masks.find(store.localized("test", one))
    rows = comparison.compare(
        methods, tuned, spotted, networks[0], thresholds=thresholds
    )
    thresholds = rows.set_index("method")["threshold"].to_dict()
    tables.append(rows.assign(generator=one))
table = pd.concat(tables)

# %% tags=["remove-input"]
named = {
    name: texts.spoken(name, localization.field(name).size)
    for name in networks
}
named |= texts.METHODS
some = masks.find(store.localized("test", spliced[-1])).first(6)
rows = gallery.side_by_side(
    some, {named[m]: methods[m] for m in (networks[0], "lrp", "edges")}
)
figures.show(
    figures.pictures(
        rows,
        None,
        f"Spliced pictures ({figures.generator_name(spliced[-1])}), the part "
        "that is fake, and three maps of it, each on its own scale.",
    )
)
figures.show(figures.found_pixels(table, named))
order = ["generator", "method", "measure"]
table = table[[*order, *(c for c in table if c not in order)]]
save(store, "localization", table)
say(texts.found(table, named, networks[0]))

# %% [markdown]
# ## What it means, and what it does not
#
# - A map that finds spliced regions shows **where the classifier sees its traces**, and here these are the
#   generator's, since nothing else differs. On a picture that is fake throughout, the same map has nothing to
#   be compared with: that it is bright in one place does not mean that the rest is real.
# - Relevance explains *one decision of a whole network*, which was never asked where. That it is worse at
#   finding a region is no fault of the method; that it is used for this purpose would be.
# - The borders of these splices are hard. Blending them would make the task more difficult for every method,
#   and give edge detectors less to find.
#
# ```{exercise} A map of nothing
# A map has the same value everywhere. What are its average precision, its intersection over union at the best
# threshold, and the share of authentic pictures that it marks?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Its AP is the share of fake pixels, since every threshold calls all or none. Marking all gives the same share
# as intersection over union, which is better than marking nothing, so at the threshold it marks all of every
# authentic picture.
# ```
