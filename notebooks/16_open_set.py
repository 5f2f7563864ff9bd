# %% [markdown]
# # Sources nobody has seen
#
# A network that knows four generators meets a fifth. Whatever it answers, the name cannot be right; the best it
# can say is *none of these*. This chapter asks how often it does, whether a threshold can promise anything,
# whether strangers can be sorted without labels, what names are worth after damage, and whether the
# maps that detect are those that name.

# %% tags=["parameters", "remove-input"]
source_networks = ["modules_dct"]  # the first with modules is asked
source_seeds = [0, 1, 2]
sources_known = ["progan", "stylegan2", "cyclegan", "stargan"]
sources_unknown = ["stylegan", "biggan", "gaugan"]
dataset = "miniature"
n = None  # pictures per label and generator; None: all
damaged = 20  # pictures per label and source that are damaged
looked = 60  # pictures of each task that the bridge looks at
draws = 8  # of the bridge's control
crossed = 20  # pictures per label and source that maps are dropped for
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import numpy as np
import pandas as pd
import torch

from tff_core import detectors, figures
from tff_core.attribution import (
    comparison,
    discovery,
    inputs,
    networks,
    openset,
    robustness,
    sources,
    summary,
    weights,
)
from tff_core.book.chapter import save, say
from tff_core.claims.texts import novel as texts
from tff_core.claims.texts import who
from tff_core.features import bridge
from tff_core.pictures import data
from tff_core.store.results import Store

store = Store(build or None)
device = detectors.default_device() if device == "auto" else device
network = who.having(source_networks, who.MODULES)[0]
sets = {
    name: data.scan(store.data(dataset, "test", name)).where(first=n)
    for name in [*sources_known, *sources_unknown]
}

# %% [markdown]
# ## What strangers are called
#
# **Idea.** Pictures of generators that were never trained on go through the same network. Below the line of the
# matrix every name is wrong.

# %%
images = sources.of_sets(sets)
files = comparison.files(store, [network], source_seeds)
asked = comparison.ask(files, images, device=device)[network]

# %% tags=["remove-input"]
figures.show(figures.confusion(asked[0].confusion, sources_known))

# %% [markdown]
# ## A threshold that keeps a promise
#
# **Idea.** Each picture gets a score of **known-ness**: the largest probability that any source claims, but no
# more than that of being fake. Pictures below a threshold are rejected. The threshold comes from pictures of
# *known* sources: it is their five-percent quantile, in the version of **split conformal prediction**.
#
# **Equation.** With the scores $s_{(1)} \le \dots \le s_{(m)}$ of $m$ calibration pictures, a further picture
# of the same kind is rejected at the threshold
#
# $$
# \tau = s_{(k)}, \quad k = \lfloor \alpha\,(m + 1) \rfloor, \qquad\text{with probability at most } \alpha,
# $$
#
# whatever the network is like. Nothing is promised about unknown sources; that can only be measured.
#
# **Code.** Half of the test pictures of each source calibrate, the other half are tested: validation pictures
# have chosen the epochs, and ProGAN's come from other trainings of the generator.

# %%
halves = []
for one in asked:
    place = one.pictures.groupby("truth").cumcount()
    halves.append([one.pictures[place % 2 == half] for half in (0, 1)])
tests = [
    openset.measure(calibration, tested, sources_known)
    for calibration, tested in halves
]
table = summary.unknown_sources(tests)

# %% tags=["remove-input"]
figures.show(
    figures.oscr(
        {
            f"training {number}": (one.curve["right"], one.curve["wrong"])
            for number, one in enumerate(tests, start=1)
        },
        {
            f"training {number}": tuple(one.facts["oscr"].values())[:3]
            for number, one in enumerate(tests, start=1)
        },
    )
)
say(texts.promise([one.facts for one in tests]))
save(store, "source_unknown", table)
say(texts.novel(table))

# %% [markdown]
# ## Sorting strangers
#
# **Idea.** Strangers may come from one new generator or from several. The modules see traces all the same, so
# pictures are grouped by what the last layers see, in units of how much that varies within known sources. A
# group is parted only where one normal distribution would hardly ever look as parted. No label is used;
# afterwards the groups are compared with the truth by the adjusted Rand index, which is 0 by chance and 1 for
# the same groups. The question is put to *all* pictures of unknown sources, as if every one of them had been
# rejected.

# %%
net, statistics = weights.load(files[network][:1])
net = net.to(device)
known = halves[0][0]
known = known[known["truth"].isin(sources_known)]
strange = halves[0][1]
strange = strange[strange["truth"].isin(sources_unknown)]
old, new = (
    discovery.features(net, list(part["path"]), statistics, device=device)
    for part in (known, strange)
)
groups = discovery.cluster(new, old, pd.factorize(known["truth"])[0])
truth = strange["truth"].tolist()
agreed = discovery.agreement(groups.group, truth, {"source": None})

# %% tags=["remove-input"]
rejected = len(set(tests[0].rejected) & set(strange["path"]))
say(texts.groups(groups.group, truth, agreed, rejected))

# %% [markdown]
# ## After damage
#
# **Claim.** Perturbation makes such networks miss sources rather than name wrong ones {cite}`khoo2022`: a false
# *none* becomes more frequent, a false name less so.
#
# **Measure.** The same pictures of known sources, and reals, before and after blur, cropping, JPEG, noise and
# resizing. An operation speaks for the claim if in every training, at its strongest, the whole interval of what
# false *none* has risen by lies above that of false names.

# %%
some = sources.of_sets(
    {name: sets[name].where(first=damaged) for name in sources_known}
)
curves = []
for seed, path in zip(source_seeds, files[network], strict=True):
    one, about = weights.load([path])
    found = robustness.measure(one.to(device), some, about, device=device)
    curves.append(found.table.assign(seed=seed))
curves = pd.concat(curves, ignore_index=True)

# %% tags=["remove-input"]
figures.show(
    figures.attribution_robustness(curves[curves["seed"] == source_seeds[0]])
)
save(store, "source_robustness", curves)
say(texts.misses(curves))

# %% [markdown]
# ## Do the maps that detect also name?
#
# **Idea.** Detection and all sources share the feature maps before the branch. Relevance says for each of these
# tasks which maps it rests on; two tasks can be compared by how many of their first maps are the same.
#
# **Control.** Relevance flows where activations are large, whoever asks, so two tasks share maps even if neither
# has learnt to use them. Each task is therefore also compared with the other one *untrained*: its own layers'
# weights in random order. Only what is shared beyond that was learnt.


# %%
def tasks(net):
    """The network of each task, and its own pictures of the test."""
    nets, own = {}, {}
    for number, name in enumerate(["detection", *net.names]):
        source = None if name == "detection" else number - 1
        nets[name] = networks.folded(net, source)
        chosen = sources_known if source is None else [name]
        share = -(-looked // len(chosen))
        x = [
            data.load(sets[one].where(label=1, first=share)) for one in chosen
        ]
        own[name] = inputs.seen(torch.cat(x), statistics).to(device)
    return nets, own


nets, own = tasks(net)
layers = bridge.shared_layers(nets)
heads, controls = {}, {}
try:
    for name, one in nets.items():
        at = float(one(own[name])[:, 0].median())  # half of them count
        heads[name] = bridge.look(one, own[name], layers, 0.5, at)
        controls[name] = bridge.untrained(one, own[name], layers, draws)
    first = min(5, bridge.depth(heads))
    shared = bridge.specific(heads, controls, [first])
    overlap = bridge.overlap(heads, [first])
except ValueError as error:  # tasks that have learnt nothing
    shared, why = None, str(error)

# %% tags=["remove-input"]
if shared is None:
    say(texts.no_bridge(why))
else:
    figures.show(figures.bridge_overlap(overlap))
    figures.show(figures.bridge_specific(shared))
    save(store, "source_overlap", overlap)
    save(store, "source_bridge", shared)
    say(texts.bridged(shared))

# %% [markdown]
# ## What is lost without the other's maps?
#
# **Idea.** A ranking says where a task looks, not what it needs. So the first maps of every task are dropped,
# held constant as in {doc}`the chapter on sensitivity </notebooks/03_sensitivity>`, and every task is measured
# without them: detection without the maps that name, names without those that detect.
#
# **Control.** As many other maps of the same layers, drawn at random. A fall below that control says that these
# maps matter more to the task than their neighbours do.


# %%
def crossing():
    """AP of every task without the first maps of each, and without others."""
    pictures = sources.of_sets(
        {name: sets[name].where(first=crossed) for name in sources_known}
    )
    who_made = np.array(pictures.sources)
    labels = {"detection": who_made != sources.REAL}
    labels |= {name: who_made == i for i, name in enumerate(net.names)}
    x = torch.stack([data.read(path) for path in pictures.paths])
    scores = bridge.scores(
        nets,
        heads,
        inputs.seen(x, statistics).to(device).split(64),
        {name: own.astype(int) for name, own in labels.items()},
        first,
        draws // 2,
    )
    return bridge.breakage(scores, resamples=300)


# %% tags=["remove-input"]
if shared is not None:
    lost = crossing()
    figures.show(figures.bridge_breakage(lost))
    say(texts.crossed(lost))
    names = {"control": "k_control", "n_fake": "n_own", "n_real": "n_not_own"}
    save(store, "source_crossing", lost.rename(columns=names))

# %% [markdown]
# ## What it means, and what it does not
#
# - A coverage that was promised holds for pictures like those of the calibration, on average over calibrations.
#   It says nothing about how many strangers are let in.
# - Unknown here are families of this benchmark. A generator that upsamples like a known one is harder, another
#   training of a known generator harder still.
# - Resizing leaves traces of its own, and modules that look for traces of upsampling may take them for those of a
#   generator. A name is worth no more than what is known of how a picture was prepared.
# - Groups that do not follow the sources may follow what the pictures show, or anything else that differs.
# - The bridge is measured on one training, over a few dozen maps. Where a single control does as well, it does
#   not show that the tasks share what they have learnt.
# - A map that is dropped is gone for everything computed after it. That two tasks fall together says that both
#   use the map; it does not say that they read the same from it.
#
# ```{exercise} Nothing but strangers
# All pictures of a test come from unknown generators. What does the conformal threshold promise about the share
# of them that is rejected?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# Nothing: its promise is about pictures like those that it was calibrated on. A network that gives every fake the
# same score keeps the promise, and lets in nearly every stranger.
# ```
#
# ```{exercise} How many to calibrate
# With $\alpha = 0.05$, how many calibration pictures are needed before anything can be rejected at all?
# ```
#
# ```{admonition} Solution
# :class: dropdown
# $k = \lfloor 0.05\,(m + 1) \rfloor$ must be at least 1, so $m \ge 19$.
# ```
