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

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - say what a new source costs a network with modules, and what one softmax;
# - freeze a network so that not a bit of it changes;
# - write the cosine transform as a matrix, and say where upsampling leaves its copy;
# - measure means and deviations of more pictures than memory holds;
# - say what several claims to one picture mean.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} One more generator
# *Objective:* compare what a new source costs · *easy* · 5 minutes
#
# A network with modules knows four sources. A fifth appears. How many numbers have to be trained, which
# pictures are needed, and what happens to the answers for the four? Compare with one softmax.
# ```

# %% [markdown] tags=["solution"]
# One secondary module: the table above has its size. Its pictures are the fifth source's fakes and, as
# negatives, what the others were trained on. The other modules and the primary stay as they are, so the four
# sources' probabilities do not change at all. A softmax has to be trained again as a whole, and all of its
# answers move.

# %% [markdown] tags=["instructor"]
# **Hint** Which weights does the fifth answer depend on?
#
# **Marking** 1 point each: the numbers, the pictures, the other answers.
#
# **Discuss** The old modules have never seen the fifth source. What may they say of its pictures?

# %% [markdown] tags=["exercise"]
# ```{exercise} Frozen, to the last bit
# *Objective:* freeze a network with batch normalisation · *medium* · 15 minutes
#
# The primary is to stay as it is while a secondary module learns from its maps. Without gradients its weights
# stay. But a batch normalisation also keeps means of what it has seen, and in training mode updates them at
# every call, without any gradient. Write the lines of `step` that compute the primary's maps.
# ```

# %% tags=["exercise"]
import torch
from torch import nn


def modules():
    """A primary, of which all is shared here, and a secondary module."""
    torch.manual_seed(0)
    primary = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    pool = nn.AdaptiveAvgPool2d(1)
    return primary, nn.Sequential(pool, nn.Flatten(), nn.Linear(4, 1))


def state(module):
    """Weights and running statistics, by name."""
    return {name: v.clone() for name, v in module.state_dict().items()}


# %% tags=["solution"]
def step(primary, secondary, x, y):
    """One step of training of the secondary module."""
    # BEGIN SOLUTION
    primary.eval()
    with torch.no_grad():
        maps = primary(x)
    # END SOLUTION
    loss = nn.functional.binary_cross_entropy_with_logits(secondary(maps), y)
    loss.backward()
    with torch.no_grad():
        for weights in (*primary.parameters(), *secondary.parameters()):
            if weights.grad is not None:
                weights -= 0.1 * weights.grad


# %% tags=["test"]
primary, secondary = modules()
before, learnt = state(primary), state(secondary)
x, y = torch.randn(8, 1, 9, 9) + 3, torch.ones(8, 1)
step(primary, secondary, x, y)
for name, now in state(primary).items():
    assert torch.equal(before[name], now), (
        f"{name} of the primary has changed in one step: weights change by "
        "gradients, running statistics in training mode"
    )
assert not torch.equal(learnt["2.weight"], secondary[2].weight), (
    "the secondary module has to go on learning"
)

# %% tags=["hidden-test"]
primary, secondary = modules()
primary(x)  # its running means are no longer 0
before, learnt = state(primary), state(secondary)
primary.train()  # as net.train() of a whole network does before every epoch
step(primary, secondary, x, y)
changed = [n for n, v in state(primary).items() if not v.equal(before[n])]
assert not changed, f"{changed} changed after train() had been called again"
primary, other = modules()
primary.load_state_dict(before)
maps = primary.eval()(x).detach()
nn.functional.binary_cross_entropy_with_logits(other(maps), y).backward()
expected = learnt["2.weight"] - 0.1 * other[2].weight.grad
assert torch.allclose(secondary[2].weight, expected), (
    "the secondary has to learn from the maps that the frozen primary makes "
    "when it is used, by its running means and not by those of the batch"
)


# %% tags=["wrong"]
# stops the gradients alone; the running statistics go on
def step(primary, secondary, x, y):
    with torch.no_grad():
        maps = primary(x)
    loss = nn.functional.binary_cross_entropy_with_logits(secondary(maps), y)
    loss.backward()
    with torch.no_grad():
        for weights in secondary.parameters():
            weights -= 0.1 * weights.grad


# %% tags=["wrong"]
# sets evaluation mode alone; the weights go on learning
def step(primary, secondary, x, y):
    logits = secondary(primary.eval()(x))
    nn.functional.binary_cross_entropy_with_logits(logits, y).backward()
    with torch.no_grad():
        for weights in (*primary.parameters(), *secondary.parameters()):
            weights -= 0.1 * weights.grad


# %% tags=["wrong"]
# lets the primary change and puts its state back afterwards
def step(primary, secondary, x, y):
    kept = state(primary)
    maps = primary(x).detach()
    primary.load_state_dict(kept)
    nn.functional.binary_cross_entropy_with_logits(
        secondary(maps), y
    ).backward()
    with torch.no_grad():
        for weights in secondary.parameters():
            weights -= 0.1 * weights.grad


# %% [markdown] tags=["solution"]
# Weights are protected by computing without gradients, running means by evaluation mode. `net.train()`, which
# every loop calls, puts *all* modules back into training mode, so the primary has to be set to evaluation
# after it, each time. If its means moved, its own later layers would see maps on another scale than the one
# that they have learnt: detection gets worse without any error, and so do modules that were trained earlier.

# %% [markdown] tags=["instructor"]
# **Hint** Print `primary.state_dict()` before and after a call in training mode.
#
# **Marking** 1 point: no gradients; 1 point: evaluation mode; 1 point: why both are needed.
#
# **Common mistakes** `requires_grad_(False)` or `torch.no_grad()` alone, which leave the running means alive.

# %% [markdown] tags=["exercise"]
# ```{exercise} The cosine transform is a matrix
# *Objective:* write an orthonormal transform and use that it is one · *medium* · 15 minutes
#
# The DCT (type II) of $n$ values has the coefficients
# $c_k = w_k \sum_i x_i \cos\bigl(\pi k (2 i + 1) / 2 n\bigr)$, with $w_0 = \sqrt{1 / n}$ and
# $w_k = \sqrt{2 / n}$ for the others. Write its matrix $D$. Of a picture $X$ the transform is $D X D^\top$.
# How do you get $X$ back?
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def dct_matrix(n):
    """D (n, n): coefficient k of x is row k of D, times x."""
    # BEGIN SOLUTION
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    found = np.sqrt(2 / n) * np.cos(np.pi * k * (2 * i + 1) / (2 * n))
    found[0] = np.sqrt(1 / n)
    return found
    # END SOLUTION


# %% tags=["test"]
D = dct_matrix(8)
assert np.allclose(D @ np.ones(8), np.sqrt(8) * np.eye(8)[0]), (
    "a constant has one coefficient, the first, of root n times the value: "
    "rows are frequencies, columns are places"
)
assert np.allclose(D @ D.T, np.eye(8)), (
    "the rows are not orthonormal: look at the weight of row 0, and at the "
    "half step in 2 i + 1"
)


# %% tags=["hidden-test"]
def by_fourier(x):
    """The transform of values (n,), by the FFT of their mirror image."""
    n = len(x)
    turned = np.fft.fft(np.concatenate([x, x[::-1]]))[:n]
    c = (turned * np.exp(-1j * np.pi * np.arange(n) / (2 * n))).real
    return c / np.where(np.arange(n) == 0, 2 * np.sqrt(n), np.sqrt(2 * n))


rng = np.random.default_rng(0)
for n in (1, 7, 16):
    x = rng.normal(size=n)
    assert np.allclose(dct_matrix(n) @ x, by_fourier(x)), (
        f"of {n} values the fast transform has {by_fourier(x)[:3].round(3)} "
        f"first, the matrix {(dct_matrix(n) @ x)[:3].round(3)}"
    )
plane = rng.normal(size=(6, 9))
both = dct_matrix(6) @ plane @ dct_matrix(9).T
assert np.allclose(dct_matrix(6).T @ both @ dct_matrix(9), plane), (
    "the transposed matrices have to give the picture back"
)


# %% tags=["wrong"]
# gives the first row the weight of the others
def dct_matrix(n):
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    return np.sqrt(2 / n) * np.cos(np.pi * k * (2 * i + 1) / (2 * n))


# %% tags=["wrong"]
# has places in the rows and frequencies in the columns
def dct_matrix(n):
    k, i = np.arange(n)[None], np.arange(n)[:, None]
    found = np.sqrt(2 / n) * np.cos(np.pi * k * (2 * i + 1) / (2 * n))
    found[:, 0] = np.sqrt(1 / n)
    return found


# %% [markdown] tags=["solution"]
# $D D^\top = 1$, so the inverse is the transpose: $X = D^\top C D$, and $\sum X^2 = \sum C^2$. The transform
# loses nothing and finds nothing; it only puts what a generator repeats all over the picture in one place.
# What loses something is the next step, $\ln(|c| + 10^{-12})$, which forgets the sign. A coefficient of
# exactly zero becomes about -27.6, far below all others; rounding in single precision would fill it up, hence
# double.

# %% [markdown] tags=["instructor"]
# **Hint** Two `arange`, one as a column and one as a row.
#
# **Marking** 2 points: the matrix; 1 point: the inverse; 1 point: what the logarithm forgets.
#
# **Discuss** Why can a regression on the log spectrum see a trace that no single pixel shows?

# %% [markdown] tags=["exercise"]
# ```{exercise} The copy that upsampling leaves
# *Objective:* derive a trace of upsampling and find it · *hard* · 20 minutes
#
# A generator doubles a row of $n$ values by repeating each: $y_{2i} = y_{2i+1} = x_i$. Derive the DCT of $y$
# from the coefficients $c_k$ of $x$, up to a constant factor. Use
# $\cos(a - b) + \cos(a + b) = 2 \cos a \cos b$, and what the cosine does at $\pi (2i + 1) - a$. Write `copy`:
# the absolute coefficients $n$ to $2n - 1$ of $y$, from the lower ones of $y$ alone. What would a network
# see?
# ```

# %% tags=["exercise"]
import numpy as np


def dct(x):
    """The orthonormal transform (type II) of values (n,)."""
    n = len(x)
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    c = np.sqrt(2 / n) * np.cos(np.pi * k * (2 * i + 1) / (2 * n)) @ x
    c[0] /= np.sqrt(2)
    return c


# %% tags=["solution"]
def copy(lower):
    """|coefficients| n to 2n - 1, (n,), of y from 0 to n - 1, (n,)."""
    n = len(lower)
    # BEGIN SOLUTION
    k = np.arange(1, n)
    mirrored = np.abs(lower[1:]) * np.tan(np.pi * k / (4 * n))
    return np.concatenate([[0.0], mirrored[::-1]])
    # END SOLUTION


# %% tags=["test"]
rng = np.random.default_rng(0)
y = dct(np.repeat(rng.normal(size=16), 2))
found = copy(y[:16])
assert np.isclose(found[0], 0, atol=1e-9), (
    "coefficient n of a row of repeated values is 0: its cosine has opposite "
    "signs at the two places of every pair"
)
assert np.allclose(found, np.abs(y[16:])), (
    f"expected {np.abs(y[16:20]).round(3)} first, found {found[:4].round(3)}: "
    "coefficient 2n - k goes with k, and both have a cosine of k / 4n in them"
)

# %% tags=["hidden-test"]
for n in (8, 33):
    y = dct(np.repeat(rng.normal(size=n), 2))
    assert np.allclose(copy(-y[:n]), np.abs(y[n:])), (
        f"n = {n}: absolute values, whatever the signs and the length are"
    )
white = np.mean([dct(rng.normal(size=64))[-1] ** 2 for _ in range(400)])
last = [copy(dct(np.repeat(rng.normal(size=32), 2))[:32])[-1] ** 2
        for _ in range(400)]  # fmt: skip
assert np.mean(last) < 0.01 * white, (
    "the copy of the lowest frequencies fades at the highest ones"
)


# %% tags=["wrong"]
# copies without mirroring
def copy(lower):
    n = len(lower)
    return np.abs(lower) * np.tan(np.pi * np.arange(n) / (4 * n))


# %% tags=["wrong"]
# mirrors, but forgets that repeating also blurs
def copy(lower):
    return np.concatenate([[0.0], np.abs(lower[1:])[::-1]])


# %% [markdown] tags=["solution"]
# Both places of a pair together give $2 \cos\frac{\pi k}{4n} \cos\frac{\pi k (2i + 1)}{2n}$, so coefficient
# $k$ of $y$ is $\sqrt 2 \cos\frac{\pi k}{4n}\, c_k$; at $2n - k$ the second cosine is the same but for its
# sign, and the first becomes $\sin\frac{\pi k}{4n}$. Hence $|y_{2n-k}| = \tan\frac{\pi k}{4n}\, |y_k|$: the
# upper half is a mirror image of the lower one, with a gap in the middle, *whatever the picture shows*. A
# filter that follows changes its strength; only one that removes the upper half altogether would remove it.

# %% [markdown] tags=["instructor"]
# **Hint** The places $2i$ and $2i + 1$ are a quarter step to the left and right of $x_i$'s own place.
#
# **Marking** 2 points: the derivation; 1 point: mirrored; 1 point: the tangent; 1 point: the reading.
#
# **Discuss** What does a second doubling add, and where?

# %% [markdown] tags=["exercise"]
# ```{exercise} Statistics of a stream
# *Objective:* join means and deviations batch by batch · *medium* · 15 minutes
#
# Coefficients are brought to mean 0 and deviation 1 over more pictures than fit into memory. Sums of $x$ and
# $x^2$ need little of it, but lose all digits where the mean is large. Welford's way keeps the number $n$,
# the mean $m$ and the sum of squares $S$ *around the mean*. Write `join`, which takes in a batch with
# $n_b, m_b, S_b$: $S + S_b + (m_b - m)^2\, n\, n_b / (n + n_b)$, and a mean weighted by the numbers.
# ```

# %% tags=["exercise"]
import numpy as np


# %% tags=["solution"]
def join(state, batch):
    """(n, mean, squares) after a batch (N, ...); state likewise, or None."""
    own = len(batch), batch.mean(0), ((batch - batch.mean(0)) ** 2).sum(0)
    if state is None:
        return own
    n, mean, squares = state
    # BEGIN SOLUTION
    total, apart = n + own[0], own[1] - mean
    squares = squares + own[2] + apart**2 * n * own[0] / total
    return total, mean + apart * own[0] / total, squares
    # END SOLUTION


# %% tags=["test"]
values = np.random.default_rng(0).normal(2, 3, size=(100, 5))
state = None
for part in np.split(values, [10, 60]):
    state = join(state, part)
assert state[0] == 100, "numbers of pictures add up"
assert np.allclose(state[1], values.mean(0)), (
    "the mean of batches of 10, 50 and 40 has to be weighted by their numbers"
)
assert np.allclose(np.sqrt(state[2] / 100), values.std(0)), (
    "the deviation differs: what the batches' means are apart belongs in it"
)

# %% tags=["hidden-test"]
far = values + 1e9
state = None
for part in np.split(far, 20):
    state = join(state, part)
assert np.allclose(np.sqrt(state[2] / 100), values.std(0), rtol=1e-3), (
    "with a mean of a billion the deviation of 3 is lost: keep squares around "
    "the mean, not of the values"
)


# %% tags=["wrong"]
# adds up the batches' own squares, as if all had one mean
def join(state, batch):
    own = len(batch), batch.mean(0), ((batch - batch.mean(0)) ** 2).sum(0)
    if state is None:
        return own
    n, mean, squares = state
    total = n + own[0]
    return total, (n * mean + own[0] * own[1]) / total, squares + own[2]


# %% tags=["wrong"]
# goes back to sums of values and of their squares
def join(state, batch):
    n, mean, squares = state or (0, 0.0, 0.0)
    total = n + len(batch)
    sums = n * mean + batch.sum(0)
    raw = squares + n * mean**2 + (batch**2).sum(0)
    return total, sums / total, np.maximum(raw - sums**2 / total, 0)


# %% [markdown] tags=["solution"]
# The difference of the means moves the joint mean by its share, and its square goes into the sum, weighted by
# $n\, n_b / (n + n_b)$: as if each picture of the smaller set were that far off, where one set is much
# smaller. The textbook formula $\overline{x^2} - \bar x^2$ subtracts two numbers that agree in nearly all of
# their digits.

# %% [markdown] tags=["instructor"]
# **Hint** Try two batches of one value each.
#
# **Marking** 1 point: the mean; 2 points: the squares; 1 point: why not sums of squares.
#
# **Discuss** A coefficient that is the same in all pictures has deviation 0. What should a network see of it?

# %% [markdown] tags=["exercise"]
# ```{exercise} Claimed twice
# *Objective:* resolve claims that contradict each other · *medium* · 5 minutes
#
# Two secondary modules give a picture the probabilities 0.9 and 0.8, and the primary says 0.3. Who made it?
# Which of the three numbers would you believe, and what would you want to know before?
# ```

# %% [markdown] tags=["solution"]
# By the rule of this book nobody: the primary has the last word, and calls the picture real. Without it the
# first source is named, since it claims more. Each module is right about its own question more or less often;
# how often is measured in the next chapter, and so is how often claims and detection contradict each other.

# %% [markdown] tags=["instructor"]
# **Hint** Need the three numbers add up to one?
#
# **Marking** 1 point: nobody, by the rule; 1 point: the first without it; 1 point: how often each is right.
#
# **Discuss** What would have to be calibrated before 0.9 and 0.3 can be compared?
