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
#
# ```{exercise} Scores and names
# A module ranks its source perfectly: AP is 100 %. Can its recall be 0 all the same? What would you change, and
# on which pictures?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Yes: if all of its probabilities lie below one half, the order is right and no picture is claimed. A module of
# one source among many sees few pictures of its own and learns to be modest. The threshold has to be chosen
# on validation pictures, not on those that it is tested on.
# ```
#
# ```{exercise} Guessing well
# Half of the pictures are real, each of four sources has an eighth. What AP does a random order have for one
# source, and what accuracy does the answer *real* to everything have?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# About one eighth, the share of the source; and one half. Both look different from *half right*, so every
# score needs its own chance beside it.
# ```
