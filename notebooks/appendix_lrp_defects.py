# %% [markdown]
# # Appendix: three defects of the published code, and what each does to omega
#
# The paper's relevances come from code that differs from the method it describes in three places. This book's
# engine is correct by default and reproduces that code on request, `lrp.canonize(model, reference=True)`, so
# that each difference can be switched on and its effect on $\omega$ measured. In float64 the reproduction
# agrees to eleven decimals with numbers computed by the published code itself; the tests check this.

# %% tags=["parameters", "remove-input"]
detectors_shown = ["resnet50-miniature", "efb0-miniature"]
seeds = [0, 1, 2]  # the first is explained; the last lends its gates
n = None  # validation pictures per label: at most 24, as all is in double
device = "auto"
build = ""  # where the results are; "": the project's build folder

# %% tags=["remove-input"]
import copy

import numpy as np
import torch

from tff_core import detectors, lrp
from tff_core.book.chapter import Chapter, say
from tff_core.claims.texts import defects as texts
from tff_core.features import ffrs

LABELS = {"fake": 1, "real": 0}
chapters, models, pictures = {}, {}, {}
for name in detectors_shown:
    chapter = Chapter(name, seeds=seeds, device=device, build=build)
    chapters[name], models[name] = chapter, chapter.trained().model
    called = {}
    for label, number in LABELS.items():
        some = chapter.validation(label=number, first=min(24, n or 24))
        pictures[name, label] = chapter.batches(some, 8)
        found = detectors.logits(models[name], pictures[name, label])
        called[label] = found > 0
    if not called["fake"].any() or called["real"].all():
        # a hardly trained detector calls all pictures by one label: then
        # probability 0.5 is put where its calibrated threshold is
        every = models[name].modules()
        linear = [m for m in every if isinstance(m, torch.nn.Linear)]
        linear[-1].bias.data -= chapter.trained().threshold

# %% [markdown]
# ## 1. The folded batch normalisation still runs
#
# **Idea.** LRP first folds each batch normalisation into the convolution before it. The code then resets
# the batch normalisation to mean 0, variance 1, scale 1 and shift 0, and leaves it in the network. That is
# almost the identity, but a batch normalisation divides by the root of its variance *plus epsilon*:
#
# $$
# y' = \frac{y}{\sqrt{1 + \epsilon}} .
# $$
#
# With PyTorch's $\epsilon = 10^{-5}$ in ResNet-50 that is a factor 0.999995; with the $10^{-3}$ of
# EfficientNet, 0.9995 in each of 49 layers: the network being explained is no longer the detector.

# Omega from the corrected and from the published code, in double precision, so that only the method differs;
# and how far apart two omegas are.


# %%
def omega(net, name, label):
    """Omega of a network over the validation pictures of one label."""
    net = net.to(device="cpu", dtype=torch.float64)
    batches = [x.cpu().double() for x, *_ in pictures[name, label]]
    return ffrs.ff_rs(net, batches, label=label, confidence=0.5)


def distance(name, a, b):
    """Relative L1 distance, how many of their top k they share, and k."""
    k = chapters[name].k
    x, y = (np.concatenate(list(o.values.values())) for o in (a, b))
    shared = len(set(a.top(k)) & set(b.top(k)))
    return np.abs(x - y).sum() / np.abs(y).sum(), shared, k


title = {name: chapter.spec.title for name, chapter in chapters.items()}
ours = {name: lrp.canonize(model) for name, model in models.items()}
theirs = {
    name: lrp.canonize(model, reference=True) for name, model in models.items()
}
exact = {name: omega(ours[name], name, "fake") for name in models}
code = {name: omega(theirs[name], name, "fake") for name in models}

# %% tags=["remove-input"]
shifts = {}
for name in models:
    right, wrong = (
        detectors.logits(nets[name], pictures[name, "fake"])
        for nets in (ours, theirs)
    )
    shifts[title[name]] = float(abs(wrong - right).max())
say(
    texts.distances(
        [(title[m], *distance(m, code[m], exact[m])) for m in models]
    ),
    texts.logits(shifts),
)

# %% [markdown]
# **What it means.** A blemish: a factor so close to 1 leaves hardly a trace, and even less in ResNet-50,
# whose $\epsilon$ is a hundredth of EfficientNet's. **What it does not mean.** It does not mean that folding
# errors are harmless: the effect is small because $\epsilon$ is.

# %% [markdown]
# ## 2. Reals are explained with the sign of fakes
#
# **Idea.** Relevance starts at the logit $f(x)$ for a fake and should start at $-f(x)$ for a real picture,
# so that in both cases what speaks *for the decision* is positive. The code starts instead at the derivative
# of $\pm f$: $+1$ for fakes and $-1$ for reals. For fakes that is $f(x)$ divided by $f(x) > 0$, and $\omega$
# is normalised, so nothing changes. For reals $f(x) < 0$, and
#
# $$
# \frac{a_i w_i}{f(x)} \cdot (-1) = \frac{a_i w_i}{|f(x)|} ,
# $$
#
# positive for the units that voted **fake**. The code explains why real pictures are *not quite* as real as
# they could be.

# %%
real = {name: omega(ours[name], name, "real") for name in models}
real_code = {name: omega(theirs[name], name, "real") for name in models}

# %% tags=["remove-input"]
say(
    texts.distances(
        [(title[m], *distance(m, real_code[m], real[m])) for m in models]
    )
)

# %% [markdown]
# A layer that all relevance must pass through shows it best: the first. If relevance starts at a positive
# total, at least half of it is positive there (as long as convolutions conserve relevance, and only the bias
# of the last layer takes a share).

# %% tags=["remove-input"]
say(
    texts.sums(
        [
            (title[m], label, *(o[m].values[first].sum() for o in pair))
            for label, pair in (
                ("fakes", (code, exact)),
                ("reals", (real_code, real)),
            )
            for m in models
            for first in list(exact[m].values)[:1]
        ]
    )
)

# %% [markdown]
# The tables published by the paper's authors show the same symptom: over the first convolution their omega of
# *fakes* sums to 0.960 in ResNet-50 and 0.998 in EfficientNet-B0, their omega of *reals* to 0.041 and 0.002.
#
# **What it means.** The published ranking for reals ranks the maps that speak for *fake* in real pictures.
# **What it does not mean.** None of the paper's results is affected: they use the ranking of fakes only.

# %% [markdown]
# ## 3. EfficientNet's gates come from another network
#
# **Idea.** For EfficientNet the code builds its own copy of the network with ImageNet weights, and then
# copies from the detector every convolution with a batch normalisation, and the last layer. The
# squeeze-excite gates have convolutions *without* batch normalisation. They are not copied: relevance is
# computed through a detector with ImageNet's gates.
#
# ImageNet's weights are not part of this book. The gates of another network of the same architecture stand in
# for them: those of the detector trained with another seed; where there is no other seed, ImageNet's own if
# they are on the machine. The paper's detectors started from ImageNet's weights, so theirs may be nearer to
# the gates that replaced them, or, after long training, farther.

# %% tags=["remove-input"]
archs = {name: chapter.spec.arch for name, chapter in chapters.items()}
efficient = next((m for m in models if archs[m] == "efb0"), None)
other, lender = None, "" if efficient else "none"
if efficient and len(seeds) > 1 and not chapters[efficient].spec.external:
    lender = "seed"
    other = chapters[efficient].trained(seeds[-1]).model.state_dict()
elif efficient:
    try:
        other = detectors.imagenet("efb0").state_dict()
        lender = "imagenet"
    except FileNotFoundError:
        pass
say(texts.gates(lender))

# %%
mixed = {}
if other:
    hybrid = copy.deepcopy(models[efficient])
    gates = {key: value for key, value in other.items() if "_se_" in key}
    hybrid.load_state_dict(hybrid.state_dict() | gates)

    fakes = pictures[efficient, "fake"]
    own, foreign = (
        detectors.logits(m, fakes) for m in (models[efficient], hybrid)
    )
    if bool((foreign > 0).any()):
        mixed[efficient] = omega(lrp.canonize(hybrid), efficient, "fake")

# %% tags=["remove-input"]
if other:
    correlation = float(np.corrcoef(own, foreign)[0, 1])
    far = [(title[m], *distance(m, mixed[m], exact[m])) for m in mixed]
    say(
        texts.exchanged(len(gates), own, foreign, correlation),
        texts.distances(far) if far else "",
    )

# %% [markdown]
# **What it means.** The published omega of EfficientNet-B0 describes a network that nobody trained. How far
# it is from the detector's own cannot be known without the authors' weights and ImageNet's; the table gives
# the distance for a stand-in. **What it does not mean.** It does not mean that the paper's sensitivity tables
# are wrong: they were computed with the true detector, and a ranking from the wrong gates is more likely to
# have weakened what they show than to have made it up.

# %% [markdown]
# ## The three side by side
#
# The rule for the last column: a defect *changes the ranking* where fewer than nine in ten of the top $k$
# maps stay among them.

# %% tags=["remove-input"]
defects = {
    "1, folding, fakes": (code, exact),
    "2, sign, reals": (real_code, real),
    "3, gates, fakes": (mixed, exact),
}
say(
    texts.side_by_side(
        [
            (defect, title[m], *distance(m, wrong[m], right[m]))
            for defect, (wrong, right) in defects.items()
            for m in wrong
        ]
    )
)

# %% [markdown]
# ## How this engine is verified
#
# | oracle | what is compared | agreement |
# |---|---|---|
# | the paper's code, float64 | omega, relevance sums, logits; fakes and reals | 1e-11 |
# | zennit {cite}`anders2021`, bias, stabilisers matched | all layers of ResNet-18 and -50, pixels | 1e-9 |
# | captum {cite}`kokhlikyan2020`, on an unrolled graph | all layers of ResNet-18 and -50 | 5e-4 |
# | the dense matrix of each operation | every rule | 1e-9 |
# | arithmetic by hand | chains, sums, gates | exact, but for the stabilisers |
#
# Neither library does this by default. zennit counts positive biases among the contributions. captum accepts
# a ResNet as torchvision ships it, whose ReLU modules are used several times, and returns meaningless
# numbers; and it removes the rules from the network after each call, so that a second call silently uses
# others.

# %% [markdown]
# ## Exercises
#
# ```{admonition} You can now
# :class: tip
# - fold a batch normalisation without losing its epsilon;
# - say from which value relevance must start so that it explains the decision that was made;
# - find weights that were not copied, and name the check that catches what conservation cannot.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} Folded to the last bit
# *Objective:* fold a batch normalisation exactly · *easy* · 15 minutes
#
# In evaluation a batch normalisation computes $\gamma (y - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta$ of each
# channel. Write `folded`: a single convolution that computes what the two layers do. With an epsilon of 1e-3,
# how far off is a network of 49 such layers if each keeps a factor of $1 / \sqrt{1 + \epsilon}$ too many?
# ```

# %% tags=["exercise"]
import torch
from torch.nn import BatchNorm2d, Conv2d, Sequential

torch.manual_seed(0)
x = torch.randn(4, 3, 6, 6, dtype=torch.float64)


def layers(bias=True, eps=1e-3):
    """A convolution with a batch normalisation that has seen pictures."""
    conv = Conv2d(3, 5, 3, stride=2, padding=1, bias=bias)
    norm = BatchNorm2d(5, eps=eps)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.01, 2)
    return Sequential(conv, norm).double().eval()


# %% tags=["solution"]
def folded(conv, norm):
    """A convolution with bias that does what conv and norm do."""
    # BEGIN SOLUTION
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    one = Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
        conv.padding, dtype=conv.weight.dtype,
    )  # fmt: skip
    one.weight.data = conv.weight * scale[:, None, None, None]
    one.bias.data = norm.bias + (bias - norm.running_mean) * scale
    return one
    # END SOLUTION


# %% tags=["test"]
two = layers()
with torch.no_grad():
    apart = (folded(*two)(x) - two(x)).abs().max()
assert apart < 1e-10, (
    f"off by {apart:.1e}: epsilon, the mean, and the bias of the convolution "
    "all belong in"
)

# %% tags=["hidden-test"]
for bias, eps in ((False, 1e-5), (True, 1e-5), (False, 0.1)):
    two = layers(bias, eps)
    with torch.no_grad():
        apart = (folded(*two)(x) - two(x)).abs().max()
    assert apart < 1e-10, (
        f"off by {apart:.1e} with an epsilon of {eps:g} and bias={bias}"
    )
before = layers()
kept = before[0].weight.clone()
folded(*before)
assert torch.equal(before[0].weight, kept), "the given layers were changed"


# %% tags=["wrong"]
# leaves epsilon out
def folded(conv, norm):
    scale = norm.weight / norm.running_var.sqrt()
    bias = 0 if conv.bias is None else conv.bias
    one = Conv2d(3, 5, 3, conv.stride, conv.padding).double()
    one.weight.data = conv.weight * scale[:, None, None, None]
    one.bias.data = norm.bias + (bias - norm.running_mean) * scale
    return one


# %% tags=["wrong"]
# adds the bias of the convolution without scaling it
def folded(conv, norm):
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    one = Conv2d(3, 5, 3, conv.stride, conv.padding).double()
    one.weight.data = conv.weight * scale[:, None, None, None]
    one.bias.data = norm.bias + bias - norm.running_mean * scale
    return one


# %% [markdown] tags=["solution"]
# $(1 + \epsilon)^{-49/2}$ is about 0.976: if the layers were linear and without biases, the answer would be
# lower by more than two hundredths. In a real network the biases are not scaled along, so that it is not even
# one common factor. A comparison of the logits, to ten decimals, finds it in a second.

# %% [markdown] tags=["instructor"]
# **Hint** Write the formula as scale times y plus an offset, and put the convolution's bias inside y.
#
# **Marking** 2 points: weight. 2 points: bias. 1 point: the estimate.
#
# **Common mistakes** forgetting epsilon: invisible with a loose tolerance and a variance near 1.

# %% [markdown] tags=["exercise"]
# ```{exercise} For which decision?
# *Objective:* start relevance so that it speaks for the decision · *medium* · 20 minutes
#
# A linear detector: $f(x) = \sum_i w_i x_i$. Write `relevance`: the relevance of every input for the
# *decision that was made*. It starts at $|f|$ and is shared out in proportion, $R_i = |f| \cdot w_i x_i / f$.
# Write `positive`: the share of positive relevance in the sum of absolute relevance, as omega takes it. What
# do both become for reals if relevance starts at the sign of $f$ instead, as the published code has it?
# ```

# %% tags=["exercise"]
import torch

torch.manual_seed(2)
w = torch.randn(8, dtype=torch.float64)
x = torch.randn(40, 8, dtype=torch.float64)
x = x[(x @ w).abs() > 1]  # the detector is sure of these
fake = x @ w > 0


# %% tags=["solution"]
def relevance(w, x):
    """Relevance (N, D) of the inputs for the decision on each picture."""
    # BEGIN SOLUTION
    logit = (x @ w)[:, None]
    return w * x * logit.abs() / logit
    # END SOLUTION


def positive(r):
    """Share of positive relevance in all absolute relevance, (N,)."""
    # BEGIN SOLUTION
    return r.clamp(min=0).sum(1) / r.abs().sum(1)
    # END SOLUTION


# %% tags=["test"]
r = relevance(w, x)
assert torch.allclose(r.sum(1), (x @ w).abs()), (
    "the sum over the inputs must be |f|, for reals as for fakes"
)
assert (positive(r) > 0.5).all(), (
    "what speaks for a decision must outweigh what speaks against it, in "
    "reals too: for which decision is this relevance?"
)

# %% tags=["hidden-test"]
vote = w * x > 0  # inputs that raise the logit, towards fake
assert torch.equal(r[fake] > 0, vote[fake]), "fakes: votes for fake"
assert torch.equal(r[~fake] > 0, ~vote[~fake]), (
    "in a real picture the inputs that lower the logit speak for the decision"
)
theirs = w * x / (x @ w)[:, None] * torch.where(fake, 1.0, -1.0)[:, None]
assert torch.allclose(positive(r)[fake], positive(theirs)[fake]), (
    "for fakes the scale cancels: both starts give the same share"
)
assert torch.allclose(positive(r)[~fake], 1 - positive(theirs)[~fake]), (
    "for reals the published start turns the share around"
)


# %% tags=["wrong"]
# explains the logit, whatever was decided
def relevance(w, x):
    return w * x


def positive(r):
    return r.clamp(min=0).sum(1) / r.abs().sum(1)


# %% tags=["wrong"]
# starts at the sign of f and divides by f, as the published code does
def relevance(w, x):
    logit = (x @ w)[:, None]
    return w * x / logit * logit.sign()


def positive(r):
    return r.clamp(min=0).sum(1) / r.abs().sum(1)


# %% tags=["wrong"]
# takes absolute values, so that nothing speaks against
def relevance(w, x):
    return (w * x).abs()


def positive(r):
    return r.clamp(min=0).sum(1) / r.abs().sum(1)


# %% [markdown] tags=["solution"]
# From the sign of f, a real's relevance sums to -1, and the shares of "for" and "against" are exchanged:
# omega then ranks what spoke *against* the decision. For fakes nothing changes, since omega is normalised and
# the start is positive either way. That is why the paper's results, which use fakes only, stand.

# %% [markdown] tags=["instructor"]
# **Hint** What is $|f| / f$ for a real?
#
# **Marking** 2 points: the relevance. 1 point: the share. 2 points: what happens to reals, and why not to
# fakes.
#
# **Common mistakes** explaining the logit itself, which is the decision's negative for reals.

# %% [markdown] tags=["exercise"]
# ```{exercise} What was not copied
# *Objective:* write the check that would have found the third defect · *medium* · 20 minutes
#
# A network is rebuilt from a detector by copying every convolution that has a batch normalisation, and the
# last layer. Its gate has neither, and keeps the weights that it was born with. Write `differing`: the names,
# sorted, of all parameters *and buffers* in which two networks of one architecture differ. Would you rather
# compare outputs? When would that be enough?
# ```

# %% tags=["exercise"]
import torch
from torch import nn


def born(seed):
    """Convolution, batch normalisation, a gate without one, last layer."""
    torch.manual_seed(seed)
    parts = {"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4)}
    parts |= {"gate": nn.Conv2d(4, 4, 1), "last": nn.Linear(4, 1)}
    parts["norm"].running_mean.normal_()
    return nn.ModuleDict(parts).eval()


def logit(net, x):
    y = torch.relu(net["norm"](net["conv"](x)))
    y = y * torch.sigmoid(net["gate"](y.mean((2, 3), keepdim=True)))
    return net["last"](y.mean((2, 3)))


detector, rebuilt = born(0), born(1)
for name in ("conv", "norm", "last"):
    rebuilt[name].load_state_dict(detector[name].state_dict())


# %% tags=["solution"]
def differing(a, b):
    """Names of the parameters and buffers in which two networks differ."""
    # BEGIN SOLUTION
    one, other = a.state_dict(), b.state_dict()
    return sorted(k for k in one if not torch.equal(one[k], other[k]))
    # END SOLUTION


# %% tags=["test"]
assert differing(detector, detector) == [], "equal networks differ in nothing"
assert differing(detector, rebuilt) == ["gate.bias", "gate.weight"], (
    "the gate was not copied, and nothing else: compare the values, not "
    "names or shapes"
)

# %% tags=["hidden-test"]
stale = born(0)
stale["norm"].running_mean += 1
assert differing(detector, stale) == ["norm.running_mean"], (
    "running means are no parameters, but they change what is computed"
)
tiny = born(0)
tiny["last"].weight.data[0, 0] += 1e-6
assert differing(detector, tiny) == ["last.weight"], (
    "a copy is exact: a small difference is one, too"
)
pictures = torch.randn(5, 3, 8, 8)
with torch.no_grad():
    apart = (logit(detector, pictures) - logit(rebuilt, pictures)).abs()
assert apart.max() > 1e-4, "their logits differ, too: more than rounding"


# %% tags=["wrong"]
# looks at parameters only, not at running means and variances
def differing(a, b):
    one, other = dict(a.named_parameters()), dict(b.named_parameters())
    return sorted(k for k in one if not torch.equal(one[k], other[k]))


# %% tags=["wrong"]
# compares names and shapes
def differing(a, b):
    one, other = a.state_dict(), b.state_dict()
    return sorted(
        k for k in one if k not in other or one[k].shape != other[k].shape
    )


# %% tags=["wrong"]
# calls values that are close equal
def differing(a, b):
    one, other = a.state_dict(), b.state_dict()
    return sorted(
        k for k in one if not torch.allclose(one[k], other[k], atol=1e-3)
    )


# %% [markdown] tags=["solution"]
# Outputs are what matters in the end: if the logits of both agree to rounding on a few dozen pictures, the
# same function is being explained. That is the one check that also finds layers in another order or a
# forgotten activation. But where outputs differ, they do not say why; names do.

# %% [markdown] tags=["instructor"]
# **Hint** `state_dict` holds parameters and buffers.
#
# **Marking** 2 points: values of everything. 1 point: buffers. 1 point: when outputs are enough.
#
# **Discuss** Why did the published code run without a warning?

# %% [markdown] tags=["exercise"]
# ```{exercise} Conserved, and wrong
# *Objective:* know what a sum rule cannot see · *hard* · 10 minutes
#
# The sum of relevance over a layer equals the sum at the layer above it, up to biases: every engine of LRP
# tests this. Which of the three defects would that test have found? For each of them name a test that does.
# ```

# %% [markdown] tags=["solution"]
# None. Conservation compares layers of *the network that is walked through* with each other, and with the
# value that relevance started from. A batch normalisation that divides by a little too much passes relevance
# on unchanged; a start at -1 is conserved like any other; and a network with foreign gates conserves its own
# logit. What finds them: (1) and (3) the logits of the rebuilt network beside the detector's, in double
# precision; (2) the sign, since the sum must be positive for any decision that was made, or the value of the
# start itself.

# %% [markdown] tags=["instructor"]
# **Hint** What does the test compare, and with what does it never compare?
#
# **Marking** 2 points: none, with the reason. 1 point for each test.
#
# **Common mistakes** "the first, because numbers change": they change consistently.
#
# **Discuss** Write down one more property of relevance that all three would violate, or show that there is
# none.
