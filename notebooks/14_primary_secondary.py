# %% [markdown]
# # Two modules: fake, and by whom
#
# A detector says *fake*. Who wants to know *by whom* could train one large classifier of all generators, and
# train it again for each new one. {cite:t}`khoo2022` propose something smaller: a **primary** module learns to
# detect once, is frozen, and each generator gets a **secondary** module of its own, which looks at what the
# primary has computed and says *mine* or *not mine*. This chapter builds and trains such networks, and asks
# whether the frozen part is enough; {doc}`the next one </notebooks/15_attribution>` looks at the names that they
# give.

# %% tags=["parameters", "remove-input"]
source_networks = ["modules_dct", "notl_dct"]  # of these, what they see
source_seeds = [0, 1, 2]
sources_known = ["progan", "stylegan2", "cyclegan", "stargan"]
dataset = "miniature"
n = None  # pictures per label and generator; None: all
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import torch

from tff_core import detectors, figures
from tff_core.attribution import (
    comparison,
    inputs,
    panels,
    parameters,
    sources,
    weights,
)
from tff_core.book.chapter import save, say
from tff_core.claims.texts import who as texts
from tff_core.pictures import data
from tff_core.store.results import Store, read_json

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device
networks = [
    one
    for name in (texts.MODULES, texts.ALONE)
    for one in texts.having(source_networks, name)
]
files = comparison.files(store, networks, source_seeds)

# %% [markdown]
# ## One trunk, many judges
#
# **Idea.** The first layers of the primary describe a picture, whoever asks; only the last ones decide. So the
# decision *fake* and every decision *made by this generator* can share the first layers, and a new generator
# costs one more small module, without touching the others.
#
# **Equation.** With the frozen first half $b$ of the primary, its second half $p$, and the module $s_i$ of
# source $i$, each one number,
#
# $$
# P(\text{fake}) = \sigma\bigl(p(b(x))\bigr), \qquad P(\text{by } i) = \sigma\bigl(s_i(b(x))\bigr) .
# $$
#
# The probabilities of the sources need not add up to one: several modules may claim a picture, or none, and a
# picture of nobody's is a possible answer from the start. The rival without transfer, *notl*, has the
# primary's layers and one softmax over reals and all sources, and is trained from nothing.
#
# **Code.** A module is a network like any other; `attribution.parameters` counts its numbers.

# %%
rows = {}
for network, paths in files.items():
    net = weights.load(paths[:1]).net
    parts = {"in all": parameters(net).trainable}
    if texts.having([network], texts.MODULES):
        parts["primary"] = parameters(net.primary).trainable
        parts["a secondary"] = parameters(net.secondaries[0]).trainable
    infos = [read_json(path.with_suffix(".json")) for path in paths]
    rows[network] = {"parts": parts, "infos": infos}

# %% tags=["remove-input"]
say(texts.facts(rows))

# %% [markdown]
# ## What they see
#
# Two kinds of input are known: the **pixels**, scaled to $[-1, 1]$, or the **spectrum**, the logarithm of the
# cosine transform of the luma {cite}`frank2020`. In the spectrum, what upsampling leaves behind stands at
# fixed places: it is the same for every picture of a generator, whatever the picture shows. Each coefficient
# is then brought to mean 0 and deviation 1 over the training pictures.

# %%
images = sources.of_sets(
    {
        name: data.scan(store.data(dataset, "test", name)).where(first=n)
        for name in sources_known
    }
)
of = {name: number for number, name in enumerate(images.names)}
shown, spectra = {}, {}
for name in ("real", *sources_known):
    some = [
        data.read(path)
        for path, source in zip(images.paths, images.sources, strict=True)
        if source == of.get(name, sources.REAL)
    ][:4]
    shown[name] = torch.stack(some)
    spectra[name] = panels.gray(inputs.spectrum(shown[name]))

# %% tags=["remove-input"]
figures.show(
    figures.pictures(
        {
            f"{figures.generator_name(name)}{what}": pixels
            for name in shown
            for what, pixels in (
                ("", shown[name].permute(0, 2, 3, 1).numpy()),
                (", spectrum", spectra[name]),
            )
        },
        None,
        "Pictures and their log spectra, all spectra on one scale. The mean "
        "of a picture stands in the upper left corner, the finest pattern "
        "in the lower right one.",
    )
)

# %% [markdown]
# ## Training
#
# The recipe is the published one: Adam with a learning rate of $10^{-3}$ for detection and $10^{-4}$ for
# attribution, binary cross-entropy, and for each module the epoch with the smallest loss on validation
# pictures. It is a minute long here, in batches of 32, where the published networks saw a hundred thousand
# pictures many times. First the primary learns reals against the fakes of all sources. Then it is frozen, down
# to the running means of its batch normalisation, and each secondary learns its source against everything else.
#
# On pixels a minute is not enough: the losses hardly fall below those of a guess, since what is fine and the
# same in all fakes lies under all that the pictures show. On spectra it is enough, so `make` trains these, and
# `make all` both.
#
# ## Do they detect?
#
# The fakes of each source against the reals. ProGAN's test pictures come from a training of the generator that
# the networks have not seen; those of the other sources come from the very generators that they have learnt
# to name.

# %%
asked = comparison.ask(files, images, device=device)
found = comparison.detection(asked)

# %% tags=["remove-input"]
titles = {network: texts.spoken(network) for network in networks}
figures.show(
    figures.compared(
        found,
        titles,
        "Average precision of detecting the fakes of each source.",
    )
)
say(texts.values(found, networks))

# %% [markdown]
# ## Is the frozen primary enough?
#
# **Claim.** A secondary module, which cannot change the layers below it, names its source as well as the same
# layers that were trained for that from the start {cite}`khoo2022`.
#
# **Measure.** Each source is a question of its own: its fakes against all other pictures, reals and fakes. Both
# networks have a score for it, so their average precision can be compared, picture by picture and seed by
# seed. *As well* means: less than five points of AP worse, the margin of all such claims in this book.

# %%
table = comparison.attribution(asked)

# %% tags=["remove-input"]
figures.show(
    figures.compared(
        table,
        titles,
        "Average precision of naming each source, its fakes against all "
        "other pictures.",
    )
)
save(store, "source_transfer", table)
say(texts.suffices(table, networks))

# %% [markdown]
# ## What it means, and what it does not
#
# - What a detector computes halfway can be enough to tell who made a fake, or not: the verdict says which. It
#   does not say that the detector *uses* what tells the sources apart.
# - The two were not trained alike. The primary's first layers learn at the learning rate of detection, ten
#   times that of attribution, and in a short training this is a head start for the secondaries. With the
#   published hundred epochs it matters less.
# - Where the best epoch is the last one, a network was still learning: the comparison is one of equal recipes, not
#   of what either could learn in the end.
# - Not to be worse than a network that knows nothing is no merit. So the AP of a random order stands beside
#   every number, and sources on which the rival does not beat it are left open.
# - One way of seeing, one size of pictures, four generators whose pictures are prepared alike.
#
# ```{exercise} One more generator
# A network with modules knows four sources. A fifth appears. How many numbers have to be trained, which
# pictures are needed, and what happens to the answers for the four? Compare with one softmax.
# ```
#
# ```{admonition} Solution
# :class: dropdown
# One secondary module: the table above has its size. Its pictures are the fifth source's fakes and, as
# negatives, what the others were trained on. The other modules and the primary stay as they are, so the four
# sources' probabilities do not change at all. A softmax has to be trained again as a whole, and all of its
# answers move.
# ```
#
# ```{exercise} Claimed twice
# Two secondary modules give a picture the probabilities 0.9 and 0.8, and the primary says 0.3. Who made it?
# Which of the three numbers would you believe, and what would you want to know before?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# By the rule of this book nobody: the primary has the last word, and calls the picture real. Without it the
# first source is named, since it claims more. Each module is right about its own question more or less often;
# how often is measured in the next chapter, and so is how often claims and detection contradict each other.
# ```
