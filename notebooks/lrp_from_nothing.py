# %% [markdown]
# # LRP from nothing
#
# Layer-wise relevance propagation {cite}`bach2015,montavon2019` hands the output of a network back to its
# inputs. Libraries do it in one line, and whoever has used one line has had to believe it. Here you write
# all of it: eight functions of one to five lines each in plain PyTorch, a walk through a network, and $\omega$
# on top. When you are done, your code and the engine of this book agree on ResNet-18 to one part in a million.

# %% tags=["parameters", "remove-input"]
family = "progan"  # of the generator whose fake is explained
size = 64  # pixels a side

# %% tags=["remove-input"]
import pandas as pd
import torch

from tff_core import figures, lrp
from tff_core.book import lrp_steps
from tff_core.miniature import generators
from tff_core.miniature.camera import EDITION_2, take
from tff_core.miniature.sample import fakes, weights


def summed(explained):
    """The pixels, then the layers in forward order, (h, w) each: summed over
    channels."""
    drawn = {"the pixels": explained.pixels} | explained.maps
    return {name: r[0].sum(0).numpy() for name, r in drawn.items()}


# %% [markdown]
# ## One question, asked of every layer
#
# **Idea.** A layer computed its outputs from its inputs. Somebody says how much of the decision each output
# $i$ carries: its relevance $R_i$. How much did each input $j$ carry? Every rule below answers in the same
# form: split $R_i$ over the inputs, in proportion to what they *contributed* to output $i$, and let each input
# add up what it gets,
#
# $$
# R_j = \sum_i \frac{c_{ij}}{\sum_{j'} c_{ij'}} \, R_i .
# $$
#
# Whatever the contributions $c_{ij}$ are, the fractions of one output sum to 1, so
# $\sum_j R_j = \sum_i R_i$: **conservation**. Rules differ only in what they count as a contribution.
#
# | layer | contribution $c_{ij}$ | exercise |
# |---|---|---|
# | linear layer and convolution, inputs $a_j \ge 0$: **z+** | $a_j w_{ij}^+$ with $w^+ = \max(w, 0)$ | 1, 2 |
# | sum of two branches | the two summands, with their signs | 3 |
# | max pooling | the largest input: all; the others: nothing | 4 |
# | average pooling | $a_j$ | 5 |
# | last layer: **epsilon** | $a_j w_{ij}$, and the bias $b_i$ takes part | 6 |
# | first layer, pixels from $l$ to $h$: **z^B** | $x_j w_{ij} - l\, w_{ij}^+ - h\, w_{ij}^-$ | 7 |
# | ReLU | its one input: all of it | - |
# | batch normalisation | none: it is folded into the convolution first | 8 |
#
# These are the choices of {cite:t}`chandrasegaran2022` for ResNets, and of this book.

# %% [markdown]
# ## Three places where conservation ends
#
# - **The z+ rule leaves the bias out.** What a bias contributed is handed to the inputs. Where *no* input has
#   a positive contribution there is nobody to hand it to, and $0/0$ has to become $0$: z+ divides by
#   $\max(\sum_j c_{ij}, 10^{-12})$.
# - **The epsilon rule lets the bias take part.** Its share goes to no input, and leaves the account.
# - **Signed contributions can cancel.** Their sum $z$ may be tiny where both summands are large, so it is moved
#   away from zero, *keeping its sign*: $z + 10^{-6}$ where $z \ge 0$, $z - 10^{-6}$ where $z < 0$. That costs
#   a millionth, and it is the reason why relevance of a residual branch may be negative.

# %% [markdown]
# ## What the rules do: a network whose weights we wrote
#
# **Code.** The network below has no training behind it: two of its first maps respond to vertical stripes that
# alternate from column to column, one is a blur, and the second convolution reads the stripes alone. The
# picture is a simulated photograph with such stripes in one quarter, so we know what a right explanation looks
# like.

# %%
net = lrp_steps.stripe_net()
photograph = take("test", "pebbles", 0, 0, size).pixels
picture = torch.from_numpy(photograph).permute(2, 0, 1)[None] / 255.0
half = size // 2
picture[..., half:, half::2] += 0.2
picture = picture.clamp(0, 1).double()

canonized = lrp.canonize(net, bounds=(0, 1))
explained = lrp.relevance(canonized, picture, pixels=True)

# %% tags=["remove-input"]
shown = (255 * picture[0].permute(1, 2, 0)).byte().numpy()
what = "A photograph with stripes, which this network calls fake,"
figures.show(figures.relevance_maps(shown, summed(explained), what))

# %% [markdown]
# **Figure.** The relevance of the pixels, and of each convolution's output: move the slider. Relevance sits in
# the quarter with the stripes. How much of it arrives?

# %%
sums = {name: r.sum() for name, r in summed(explained).items()}
account = pd.Series(sums) / float(explained.logit.abs())
account.round(4).to_frame("relevance / logit")

# %% [markdown]
# Every row has the same number: nothing is lost on the way from the second convolution to the pixels. It need
# not be 1. The last layer has a bias, and its share left the account in the first step.

# %% [markdown]
# ## The same for a network that knows nothing
#
# A ResNet-18 with *random* weights, and a fake picture of the miniature.

# %%
model = generators.load(weights("test", family)[0])[0]
fake = fakes(model, "test", family, [0], 0, size, EDITION_2)
x = torch.from_numpy(fake).permute(0, 3, 1, 2).double() / 255

random_net = lrp.canonize(lrp_steps.resnet18(), bounds=(0, 1))
accounted = lrp.relevance(random_net, x, pixels=True)

# %% tags=["remove-input"]
what = "A fake picture, seen by a network of random weights,"
figures.show(figures.relevance_maps(fake[0], summed(accounted), what))

# %% [markdown]
# **What it means.** Relevance is an account of one output, and the account balances for every network.
# **What it does not mean.** A balanced account is not a true story about the world: this network has learnt
# nothing, and its relevance is as neat as that of a detector. Conservation tells you that the *code* is
# right. Whether the *explanation* is worth something takes experiments, as in {doc}`Sensitivity
# </notebooks/03_sensitivity>` and {doc}`Does it depend on the detector?
# </notebooks/17_does_it_depend>`.

# %% [markdown]
# ## Exercises
#
# The steps build on each other, and all are in double precision. From exercise 9 on, `steps` calls the
# functions that you have written and takes the engine's rule for each one that still says "your turn". So you
# can go on where one step resists.
#
# ```{admonition} You can now
# :class: tip
# - write the z+ rule for any layer that is linear in its input, and say what it does to the bias;
# - name the places where relevance is lost, and check that there are no others;
# - explain why residual sums bring negative relevance, and why a stabiliser must keep the sign;
# - take relevance from a logit to the pixels of a ResNet, and turn it into omega.
# ```

# %% [markdown] tags=["exercise"]
# ```{exercise} z+ for a linear layer
# *Objective:* write the rule that all others vary · *easy* · 6 minutes
#
# `x` (N, inputs) holds inputs that cannot be negative, `weight` (outputs, inputs) the weights, `r`
# (N, outputs) the relevance of the outputs. Return the relevance of the inputs by z+: two matrix products and
# a quotient, with a denominator of at least `1e-12`. No loop.
# ```

# %% tags=["exercise"]
import torch


# %% tags=["solution"]
def zplus_linear(x, weight, r):
    """Relevance (N, inputs) of the inputs of a linear layer."""
    # BEGIN SOLUTION
    positive = weight.clamp(min=0)
    z = x @ positive.T
    return x * ((r / z.clamp(min=1e-12)) @ positive)
    # END SOLUTION


# %% tags=["test"]
two = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
w = torch.tensor([[3.0, -4.0], [1.0, 1.0]], dtype=torch.float64)
found = zplus_linear(two, w, torch.tensor([[6.0, 9.0]]).double())
assert found.shape == two.shape, "one number for each input: (N, inputs)"
assert abs(float(found.sum()) - 15) < 1e-9, (
    "15 came in, another sum went out: each output's fractions must sum to 1"
)
assert torch.allclose(found, torch.tensor([[9.0, 6.0]]).double()), (
    "by hand: output 1 has one positive contribution, 3 x 1, and gives it "
    "all of its 6; output 2 gives 9 as 1 : 2, in proportion to x * w+"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

torch.manual_seed(1)
a = torch.rand(1, 7).double()
w = torch.randn(5, 7).double()
r = torch.randn(1, 5).double()
want = lrp_steps.dense_zplus(lambda v: v @ w.T, a, r)
assert torch.allclose(zplus_linear(a, w, r), want), (
    "differs from the rule written out unit by unit from the matrix"
)
dead = zplus_linear(a, -w.abs(), r)
assert torch.isfinite(dead).all(), (
    "an output without positive contributions gives 0 / 0: use a floor"
)


# %% tags=["wrong"]
# uses all weights, not only the positive ones
def zplus_linear(x, weight, r):
    z = x @ weight.T
    return x * ((r / z) @ weight)


# %% tags=["wrong"]
# no floor under the denominator: nan where nothing contributes
def zplus_linear(x, weight, r):
    positive = weight.clamp(min=0)
    return x * ((r / (x @ positive.T)) @ positive)


# %% tags=["wrong"]
# forgets the inputs: shares in proportion to the weights alone
def zplus_linear(x, weight, r):
    positive = weight.clamp(min=0)
    return (r / positive.sum(1)) @ positive


# %% [markdown] tags=["solution"]
# The sum over outputs is a product with the *same* matrix, from the other side: forward with $W^+$,
# back with its transpose. The factor $a_j$ does not depend on $i$, so it stands outside. Every linear layer
# has this form, which is why the next steps are short.

# %% [markdown] tags=["instructor"]
# **Hint** Divide first, multiply back, and only then by `x`.
#
# **Marking** 2 points: the rule; 1 point: the floor.
#
# **Common mistakes** `relu(x @ w.T)` as the denominator, which is the layer's output and not the sum of
# positive contributions.
#
# **Discuss** Is an output with $R_i = 0$ irrelevant? Only for this decision.

# %% [markdown] tags=["exercise"]
# ```{exercise} z+ for a convolution
# *Objective:* see that a convolution is a linear layer with a short notation · *medium* · 8 minutes
#
# The same rule for an `nn.Conv2d`, `x` (N, C, H, W) not negative. `F.conv2d` goes forward with $w^+$ and
# without the bias; `conv2d_input(x.shape, weight, s, stride, padding)` is its transpose. Use the layer's own
# stride and padding.
# ```

# %% tags=["exercise"]
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.grad import conv2d_input


# %% tags=["solution"]
def zplus_conv(x, conv, r):
    """Relevance (N, C, H, W) of the inputs of a convolution."""
    # BEGIN SOLUTION
    positive, how = conv.weight.clamp(min=0), (conv.stride, conv.padding)
    s = r / F.conv2d(x, positive, None, *how).clamp(min=1e-12)
    return x * conv2d_input(x.shape, positive, s, *how)
    # END SOLUTION


# %% tags=["test"]
torch.manual_seed(0)
strided = nn.Conv2d(3, 4, 3, stride=2, padding=1)
strided = strided.double().requires_grad_(False)
strided.bias += 1
a = torch.rand(2, 3, 9, 9).double()
r = torch.rand_like(strided(a))
found = zplus_conv(a, strided, r)
assert found.shape == a.shape, "one number for each input: (N, C, H, W)"
lost = abs(float(found.sum() / r.sum()) - 1)
assert lost < 1e-9, (
    f"a share of {lost:.3f} is lost or made: is the bias in the denominator, "
    "or is one of the two convolutions not with w+?"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

for conv in (strided, nn.Conv2d(3, 2, 1).double().requires_grad_(False)):
    one = torch.rand(1, 3, 6, 6).double()
    r = torch.randn_like(conv(one))
    matrix = lambda v, c=conv: c(v) - c(torch.zeros_like(v))  # noqa: E731
    want = lrp_steps.dense_zplus(matrix, one, r)
    assert torch.allclose(zplus_conv(one, conv, r), want, atol=1e-9), (
        f"differs from z+ of the convolution's dense matrix for {conv}"
    )


# %% tags=["wrong"]
# keeps the bias: its share is handed to nobody
def zplus_conv(x, conv, r):
    positive, how = conv.weight.clamp(min=0), (conv.stride, conv.padding)
    s = r / F.conv2d(x, positive, conv.bias, *how).clamp(min=1e-12)
    return x * conv2d_input(x.shape, positive, s, *how)


# %% tags=["wrong"]
# W+ on the way forward, W on the way back
def zplus_conv(x, conv, r):
    positive, how = conv.weight.clamp(min=0), (conv.stride, conv.padding)
    s = r / F.conv2d(x, positive, None, *how).clamp(min=1e-12)
    return x * conv2d_input(x.shape, conv.weight, s, *how)


# %% tags=["wrong"]
# divides by the layer's own output
def zplus_conv(x, conv, r):
    positive, how = conv.weight.clamp(min=0), (conv.stride, conv.padding)
    s = r / conv(x).clamp(min=1e-12)
    return x * conv2d_input(x.shape, positive, s, *how)


# %% [markdown] tags=["solution"]
# `conv2d_input` is what PyTorch uses for the gradient of a convolution with respect to its input: a
# multiplication by the transposed matrix. Nothing here is a gradient of the network, though: the weights are
# $w^+$, and what is multiplied is $R / z$.

# %% [markdown] tags=["instructor"]
# **Hint** It is the linear layer again: `@ positive.T` is `F.conv2d`, `@ positive` is `conv2d_input`.
#
# **Marking** 2 points: conservation; 1 point: stride and padding are the layer's own.
#
# **Common mistakes** The bias (positive biases are counted by some libraries: both are defensible, but the
# sum then shrinks); a transposed convolution without `output_padding`, whose shape is wrong.

# %% [markdown] tags=["exercise"]
# ```{exercise} A residual sum
# *Objective:* let negative relevance in, and know from where · *easy* · 5 minutes
#
# A block ends with $y = a + b$. Each summand gets relevance in proportion to itself, with its sign:
# $a\,R/y$ and $b\,R/y$. Write `stabilised(z)`, which moves `z` by `1e-6` away from zero as described above, and
# `split(a, b, r)`, which returns both shares.
# ```

# %% tags=["exercise"]
import torch


# %% tags=["solution"]
def stabilised(z):
    """z, moved away from zero by 1e-6; zero itself counts as positive."""
    # BEGIN SOLUTION
    return z + 1e-6 * torch.where(z < 0, -1.0, 1.0).to(z)
    # END SOLUTION


def split(a, b, r):
    """Relevance of the two summands."""
    # BEGIN SOLUTION
    s = r / stabilised(a + b)
    return a * s, b * s
    # END SOLUTION


# %% tags=["test"]
a = torch.tensor([3.0, 3.0, 0.0]).double()
b = torch.tensor([1.0, -2.0, 0.0]).double()
to_a, to_b = split(a, b, torch.ones(3).double())
assert torch.isfinite(to_a + to_b).all(), (
    "0 + 0: torch.sign(0) is 0, so this denominator was not moved"
)
assert abs(float(to_a[0] / to_b[0]) - 3) < 1e-9, (
    "3 + 1: in proportion to the summands, so 3 : 1 and not 1 : 1"
)
assert to_b[1] < 0 and abs(float((to_a + to_b)[1]) - 1) < 1e-5, (
    "3 - 2: the second pulled against the sum, so its share is negative, and "
    "the shares sum to 1 all the same"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

torch.manual_seed(2)
a, b, r = torch.randn(3, 500).double()
b[:9] = -a[:9] - 1e-6  # sums just below zero
for mine, engine in zip(
    split(a, b, r), lrp_steps.Steps().sum(a, b, r), strict=True
):
    assert torch.allclose(mine, engine, rtol=1e-6), (
        "differs from the engine where the sum is negative: the stabiliser "
        "must have the sign of the sum, or the denominator crosses zero"
    )


# %% tags=["wrong"]
# adds the stabiliser whatever the sign: -1e-6 becomes 0
def stabilised(z):
    return z + 1e-6


def split(a, b, r):
    s = r / stabilised(a + b)
    return a * s, b * s


# %% tags=["wrong"]
# torch.sign is 0 at 0
def stabilised(z):
    return z + 1e-6 * torch.sign(z)


def split(a, b, r):
    s = r / stabilised(a + b)
    return a * s, b * s


# %% tags=["wrong"]
# half to each branch
def split(a, b, r):
    return r / 2, r / 2


# %% [markdown] tags=["solution"]
# With $a = 3$, $b = -2$ and $R = 1$ the shares are 3 and $-2$: the sum is 1, but three times as much relevance
# flows down one branch as came in. Relevance that cancels is the price of counting in proportion. It is why
# $\omega$ divides by the sum of *absolute* values, and why single maps of a ResNet can carry more than
# the logit.

# %% [markdown] tags=["instructor"]
# **Hint** `torch.where(z < 0, -1.0, 1.0)`.
#
# **Marking** 1 point: proportion; 1 point: sign; 1 point: zero.
#
# **Discuss** What would half and half say about a block whose branch computes nothing ($b = 0$)?

# %% [markdown] tags=["exercise"]
# ```{exercise} Max pooling
# *Objective:* give relevance to the unit that was passed on, as often as it was · *medium* · 8 minutes
#
# Write `winner(x, pool, r)` for an `nn.MaxPool2d` with numbers as its settings: all of an output's relevance
# goes to the input that was the maximum. `F.max_pool2d(..., return_indices=True)` says where it was, in the
# flattened map. The windows of ResNet-18 overlap.
# ```

# %% tags=["exercise"]
import torch
import torch.nn.functional as F
from torch import nn


# %% tags=["solution"]
def winner(x, pool, r):
    """Relevance (N, C, H, W) of the inputs of a max pooling."""
    # BEGIN SOLUTION
    how = pool.kernel_size, pool.stride, pool.padding
    _, place = F.max_pool2d(x, *how, return_indices=True)
    nothing = torch.zeros_like(x).flatten(2)
    return nothing.scatter_add(2, place.flatten(2), r.flatten(2)).view_as(x)
    # END SOLUTION


# %% tags=["test"]
a = torch.zeros(1, 1, 4, 4).double()
a[0, 0, 1, 1] = 5  # in all four windows
pool = nn.MaxPool2d(3, 1)
found = winner(a, pool, torch.ones(1, 1, 2, 2).double())
assert abs(float(found.sum()) - 4) < 1e-9, (
    "4 came in: a pixel that wins several windows gets the sum, not the last"
)
assert float(found[0, 0, 1, 1]) == 4, (
    "the maximum takes all; the other pixels of the window were not passed on"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

torch.manual_seed(3)
a = torch.rand(2, 3, 9, 9).double()
for pool in (nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2)):
    r = torch.randn_like(pool(a))
    want = lrp_steps.Steps().max(a, pool, r)
    assert torch.allclose(winner(a, pool, r), want), (
        f"differs from the engine for {pool}: use its stride and padding"
    )


# %% tags=["wrong"]
# spreads relevance evenly over the window
def winner(x, pool, r):
    x = x.clone().requires_grad_(True)
    F.avg_pool2d(x, pool.kernel_size, pool.stride, pool.padding).backward(r)
    return x.grad


# %% tags=["wrong"]
# unpools: where windows overlap the last one overwrites the others
def winner(x, pool, r):
    how = pool.kernel_size, pool.stride, pool.padding
    _, place = F.max_pool2d(x, *how, return_indices=True)
    nothing = torch.zeros_like(x).flatten(2)
    return nothing.scatter(2, place.flatten(2), r.flatten(2)).view_as(x)


# %% [markdown] tags=["solution"]
# Overlapping windows make the difference between `scatter` (and `F.max_unpool2d`) and `scatter_add`: one
# pixel can be the maximum of four windows of a ResNet's stem, and then it is owed four relevances. The check
# of the sum finds this at once; a look at a heatmap does not.

# %% [markdown] tags=["instructor"]
# **Hint** `torch.zeros_like(x).flatten(2).scatter_add(2, ..., ...)`.
#
# **Marking** 2 points: the winner takes all; 1 point: overlapping windows.
#
# **Common mistakes** Comparing `x` with the upsampled maximum, which pays ties twice.

# %% [markdown] tags=["exercise"]
# ```{exercise} Average pooling
# *Objective:* derive a rule yourself from its contributions · *easy* · 4 minutes
#
# `nn.AdaptiveAvgPool2d(1)` takes the mean over all places. Write `average(x, pool, r)` for `r` (N, C): what is
# the contribution of one place to the mean? `stabilised` is as in exercise 3.
# ```

# %% tags=["exercise"]
import torch


def stabilised(z):
    return z + 1e-6 * torch.where(z < 0, -1.0, 1.0).to(z)


# %% tags=["solution"]
def average(x, pool, r):
    """Relevance (N, C, H, W) of the inputs of a mean over all places."""
    # BEGIN SOLUTION
    s = r / stabilised(x.mean((2, 3)))
    return x * s[:, :, None, None] / x[0, 0].numel()
    # END SOLUTION


# %% tags=["test"]
a = torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]]).double()
found = average(a, None, torch.tensor([[8.0, 4.0]]).double())
assert abs(float(found.sum()) - 12) < 1e-4, (
    "12 came in: a mean of n places divides by n, once"
)
assert float(found[0, 0, 0, 0]) < float(found[0, 0, 0, 1]), (
    "places contribute a / n to the mean: 1 and 3 do not get the same"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

torch.manual_seed(4)
a, r = torch.rand(2, 3, 5, 4).double(), torch.randn(2, 3).double()
assert torch.allclose(
    average(a, None, r), lrp_steps.Steps().mean(a, None, r)
), "differs from the engine on maps that are not square"


# %% tags=["wrong"]
# spreads relevance evenly over the map, as a gradient would
def average(x, pool, r):
    return torch.ones_like(x) * r[:, :, None, None] / x[0, 0].numel()


# %% tags=["wrong"]
# forgets that a mean divides by the number of places
def average(x, pool, r):
    s = r / stabilised(x.mean((2, 3)))
    return x * s[:, :, None, None]


# %% [markdown] tags=["solution"]
# The mean is a linear layer whose weights are all $1/n$, which are positive: z+ again. What is new is only
# that a map that is silent everywhere gets nothing to hand on, and the stabiliser sees to it.

# %% [markdown] tags=["instructor"]
# **Hint** Write the mean as a sum of $n$ terms.
#
# **Marking** 2 points: in proportion; 1 point: the sum.
#
# **Discuss** Compare with Grad-CAM, which weights a map by the mean of its gradient over all places.

# %% [markdown] tags=["exercise"]
# ```{exercise} The last layer and its bias
# *Objective:* find where the account loses relevance on purpose · *medium* · 6 minutes
#
# For the last `nn.Linear`, the epsilon rule counts signed contributions, $c_{ij} = a_j w_{ij}$, and the
# bias $b_i$ is one of the contributors: $z_i = \sum_j a_j w_{ij} + b_i$, stabilised. Write
# `epsilon_linear(x, linear, r)`.
# ```

# %% tags=["exercise"]
import torch
from torch import nn


def stabilised(z):
    return z + 1e-6 * torch.where(z < 0, -1.0, 1.0).to(z)


# %% tags=["solution"]
def epsilon_linear(x, linear, r):
    """Relevance (N, inputs) of the inputs of the last layer."""
    # BEGIN SOLUTION
    return x * ((r / stabilised(linear(x))) @ linear.weight)
    # END SOLUTION


# %% tags=["test"]
last = nn.Linear(2, 1).double().requires_grad_(False)
last.weight[:] = torch.tensor([[3.0, -1.0]])
last.bias[:] = 1.0
found = epsilon_linear(
    torch.tensor([[1.0, 2.0]]).double(), last, last.bias[None]
)
assert float(found[0, 1]) < 0, (
    "2 x -1 pulled against the output: signed weights, so a negative share"
)
assert abs(float(found.sum()) - 0.5) < 1e-5, (
    "the output is 3 - 2 + 1 = 2 and the bias made 1 of it, so half of the "
    "relevance stays with the bias and half is left for the inputs"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

torch.manual_seed(5)
layer = nn.Linear(6, 4).double().requires_grad_(False)
a, r = torch.randn(3, 6).double(), torch.randn(3, 4).double()
want = lrp_steps.Steps().last(a, layer, r)
assert torch.allclose(epsilon_linear(a, layer, r), want), (
    "differs from the engine where outputs are negative: look at the sign of "
    "the stabiliser, and at all outputs"
)


# %% tags=["wrong"]
# leaves the bias out, as z+ does
def epsilon_linear(x, linear, r):
    return x * ((r / stabilised(x @ linear.weight.T)) @ linear.weight)


# %% tags=["wrong"]
# positive weights only
def epsilon_linear(x, linear, r):
    positive = linear.weight.clamp(min=0)
    return x * ((r / stabilised(x @ positive.T + linear.bias)) @ positive)


# %% tags=["wrong"]
# stabilises by the absolute value: negative outputs change their sign
def epsilon_linear(x, linear, r):
    return x * ((r / (linear(x).abs() + 1e-6)) @ linear.weight)


# %% [markdown] tags=["solution"]
# The bias has a contribution and no place to send its share to. So the pixels of a picture sum to the logit
# *minus* what the bias of the last layer made of it, and whoever plots "relevance / logit" should expect
# a constant that is not 1.

# %% [markdown] tags=["instructor"]
# **Hint** The denominator is the layer's output.
#
# **Marking** 2 points: signed weights; 1 point: the bias in the denominator.
#
# **Discuss** A detector with a large bias calls every picture fake. What should its heatmap look like?

# %% [markdown] tags=["exercise"]
# ```{exercise} Pixels
# *Objective:* treat inputs that may be negative, and say what "nothing" is for a pixel · *medium* · 10 minutes
#
# z+ needs inputs that cannot be negative, and it calls a pixel of 0 empty. A normalised pixel can be negative,
# and black is not nothing. The z^B rule measures pixels from their bounds $l$ and $h$:
# $c_{ij} = x_j w_{ij} - l\,w_{ij}^+ - h\,w_{ij}^-$. That is three convolutions forward, of `x` with $w$, of a
# picture full of $-l$ with $w^+$ and of one full of $-h$ with $w^-$, a stabilised quotient, and the same three
# back. Write `zb_conv(x, conv, r, low, high)`.
# ```

# %% tags=["exercise"]
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.grad import conv2d_input


def stabilised(z):
    return z + 1e-6 * torch.where(z < 0, -1.0, 1.0).to(z)


# %% tags=["solution"]
def zb_conv(x, conv, r, low, high):
    """Relevance (N, C, H, W) of pixels between low and high."""
    # BEGIN SOLUTION
    w, how = conv.weight, (conv.stride, conv.padding)
    halves = (-low, w.clamp(min=0)), (-high, w.clamp(max=0))
    parts = [(x, w)] + [(torch.full_like(x, v), half) for v, half in halves]
    s = r / stabilised(sum(F.conv2d(a, v, None, *how) for a, v in parts))
    return sum(a * conv2d_input(x.shape, v, s, *how) for a, v in parts)
    # END SOLUTION


# %% tags=["test"]
torch.manual_seed(0)
stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
stem = stem.double().requires_grad_(False)
x = 4 * torch.rand(1, 3, 8, 8).double() - 2
r = torch.rand_like(stem(x))
found = zb_conv(x, stem, r, -2.0, 2.0)
assert found.shape == x.shape, "one number for each pixel and channel"
assert abs(float(found.sum() / r.sum()) - 1) < 1e-5, (
    "relevance is lost or made: the bias has no part in this rule, and the "
    "three ways back need the weights of the three ways forward"
)
assert float(found.min()) > -1e-9, (
    "between the bounds no contribution is negative: is w+ with the lower "
    "bound and w- with the upper one?"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

want = lrp_steps.Steps().pixels(x, stem, r, -2.0, 2.0)
assert torch.allclose(found, want, atol=1e-10), (
    "differs from the engine on pixels that may be negative"
)
x, r = torch.rand(2, 3, 8, 8).double(), torch.randn(2, 4, 4, 4).double()
want = lrp_steps.Steps().pixels(x, stem, r, 0.0, 1.0)
assert torch.allclose(zb_conv(x, stem, r, 0.0, 1.0), want, atol=1e-10), (
    "differs from the engine for pixels in [0, 1]: 1 is the upper bound there"
)


# %% tags=["wrong"]
# drops negative pixels, as if they were empty
def zb_conv(x, conv, r, low, high):
    a, w = x.clamp(min=0), conv.weight.clamp(min=0)
    how = conv.stride, conv.padding
    s = r / stabilised(F.conv2d(a, w, None, *how))
    return a * conv2d_input(x.shape, w, s, *how)


# %% tags=["wrong"]
# the bounds change places
def zb_conv(x, conv, r, low, high):
    w, how = conv.weight, (conv.stride, conv.padding)
    halves = (-high, w.clamp(min=0)), (-low, w.clamp(max=0))
    parts = [(x, w)] + [(torch.full_like(x, v), half) for v, half in halves]
    s = r / stabilised(sum(F.conv2d(a, v, None, *how) for a, v in parts))
    return sum(a * conv2d_input(x.shape, v, s, *how) for a, v in parts)


# %% [markdown] tags=["solution"]
# $c_{ij} = (x_j - l)\,w_{ij}^+ + (x_j - h)\,w_{ij}^-$: a pixel contributes by being above its least value where
# the weight is positive, and by being below its greatest where it is negative. Both terms are at least 0. The
# padding is 0 for the two constant pictures as well, so that what lies outside contributes nothing.

# %% [markdown] tags=["instructor"]
# **Hint** Make a list of the three pairs (picture, weights), and sum over it twice.
#
# **Marking** 2 points: the three parts; 1 point: forward and back use the same ones.
#
# **Discuss** What does z+ say about a black picture in [0, 1], and what does it say after normalisation?

# %% [markdown] tags=["exercise"]
# ```{exercise} Fold the batch normalisation
# *Objective:* know which weights a network really has before clamping them · *medium* · 6 minutes
#
# In evaluation a batch normalisation is $y \mapsto \gamma\,(y - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta$. Write
# `fold(conv, bn)`, which returns one `nn.Conv2d` that computes both. Copy the convolution
# (`copy.deepcopy`) and leave the given one as it is; it has no bias.
# ```

# %% tags=["exercise"]
import copy

import torch
from torch import nn


# %% tags=["solution"]
def fold(conv, bn):
    """A convolution that computes bn(conv(x)) of a network in evaluation."""
    # BEGIN SOLUTION
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    folded = copy.deepcopy(conv)
    folded.weight.data = conv.weight * scale[:, None, None, None]
    folded.bias = nn.Parameter(bn.bias - bn.running_mean * scale, False)
    return folded
    # END SOLUTION


# %% tags=["test"]
torch.manual_seed(0)
conv = nn.Conv2d(2, 3, 3, padding=1, bias=False).requires_grad_(False).double()
bn = nn.BatchNorm2d(3, eps=0.1).requires_grad_(False).double().eval()
bn.running_mean[:] = torch.tensor([0.5, -0.2, 0.1])
bn.running_var[:] = torch.tensor([0.2, 2.0, 1.0])
bn.weight[:] = torch.tensor([1.0, -2.0, 0.5])
bn.bias[:] = torch.tensor([0.3, 0.0, -1.0])
a = torch.rand(1, 2, 5, 5).double()
assert torch.allclose(fold(conv, bn)(a), bn(conv(a))), (
    "the folded layer computes something else: did epsilon go under the root, "
    "and is the mean scaled, too?"
)

# %% tags=["hidden-test"]
from tff_core.book import lrp_steps

before = conv.weight.clone()
folded = fold(conv, bn)
assert torch.equal(conv.weight, before), "the given layer was changed: copy it"
assert (folded.weight[1] * conv.weight[1] <= 0).all(), (
    "a scale below zero turns the weights of its map around"
)
r = torch.rand(1, 3, 5, 5).double()
want = lrp_steps.Steps().conv(a, lrp_steps.Steps().fold(conv, bn), r)
assert torch.allclose(lrp_steps.Steps().conv(a, folded, r), want), (
    "z+ of the folded layer differs: fold first, clamp afterwards"
)


# %% tags=["wrong"]
# forgets epsilon
def fold(conv, bn):
    scale = bn.weight / bn.running_var.sqrt()
    folded = copy.deepcopy(conv)
    folded.weight.data = conv.weight * scale[:, None, None, None]
    folded.bias = nn.Parameter(bn.bias - bn.running_mean * scale, False)
    return folded


# %% tags=["wrong"]
# scales by the size of gamma: clamping then keeps the wrong half of a map
def fold(conv, bn):
    scale = bn.weight.abs() / (bn.running_var + bn.eps).sqrt()
    folded = copy.deepcopy(conv)
    folded.weight.data = conv.weight * scale[:, None, None, None]
    folded.bias = nn.Parameter(bn.bias - bn.running_mean * scale, False)
    return folded


# %% tags=["wrong"]
# does not scale the mean
def fold(conv, bn):
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    folded = copy.deepcopy(conv)
    folded.weight.data = conv.weight * scale[:, None, None, None]
    folded.bias = nn.Parameter(bn.bias - bn.running_mean, False)
    return folded


# %% [markdown] tags=["solution"]
# z+ looks at the signs of weights, and $\gamma$ can be negative: what the convolution alone calls a positive
# weight is then a negative one of the network. A rule that treats the two layers one after the other has no
# way to know. The order matters: *fold, then clamp*.

# %% [markdown] tags=["instructor"]
# **Hint** Write $\gamma\,(w \cdot x - \mu)/s + \beta$ as one weight and one constant.
#
# **Marking** 2 points: the same function; 1 point: the given layer is left alone.
#
# **Discuss** {doc}`/notebooks/appendix_lrp_defects`: published code folded, and then ran the emptied batch
# normalisation once more, which still divides by $\sqrt{1 + \epsilon}$.

# %% [markdown] tags=["exercise"]
# ```{exercise} A whole small network
# *Objective:* walk from the logit to the pixels, layer by layer · *medium* · 12 minutes
#
# `net` is an `nn.Sequential`, and `rules` says what to call for each kind of layer: your functions, with the
# layer's input, the layer, and the relevance of its output. Write `explain(net, x, low, high)`: keep the input of
# each layer on the way forward, start at $|f(x)|$, and walk back. Return a dictionary of the relevance *at the
# output* of each convolution, by its name in `net.named_children()`, and the relevance of the pixels, for which
# the first convolution needs `steps.pixels(x, layer, r, low, high)`.
# ```

# %% tags=["exercise"]
import torch
from torch import nn

from tff_core.book import lrp_steps

steps = lrp_steps.Steps(globals())  # yours, where there are any
rules = {
    nn.Conv2d: steps.conv,
    nn.MaxPool2d: steps.max,
    nn.AdaptiveAvgPool2d: steps.mean,
    nn.Linear: steps.last,
    nn.ReLU: lambda a, layer, r: r,
    nn.Flatten: lambda a, layer, r: r,  # the rule of the mean takes it flat
}


# %% tags=["solution"]
def explain(net, x, low, high):
    """Relevance at the output of each convolution, by name; and of pixels."""
    # BEGIN SOLUTION
    inputs, maps = [x], {}
    for layer in net:
        inputs.append(layer(inputs[-1]))
    r = inputs.pop().abs()
    for name, layer in reversed(list(net.named_children())):
        if isinstance(layer, nn.Conv2d):
            maps[name] = r
        if len(inputs) == 1:
            return maps, steps.pixels(x, layer, r, low, high)
        r = rules[type(layer)](inputs.pop(), layer, r)
    # END SOLUTION


# %% tags=["test"]
net = lrp_steps.small_net()
torch.manual_seed(0)
x = torch.rand(2, 3, 12, 12).double()
maps, pixels = explain(net, x, 0.0, 1.0)
assert set(maps) == {"0", "3"}, "one entry for each convolution, by its name"
assert maps["3"].shape == (2, 8, 6, 6) and pixels.shape == x.shape, (
    "relevance at the output of a convolution has that output's shape"
)
want = 1 - float(net[7].bias) / net(x)[:, 0]  # the last bias keeps its share
for where, r in {"3": maps["3"], "0": maps["0"], "pixels": pixels}.items():
    share = r.flatten(1).sum(1) / net(x)[:, 0].abs()
    assert torch.allclose(share, want, atol=1e-3), (
        f"{where}: {float(share[0]):.3f} of the logit arrives, expected "
        f"{float(want[0]):.3f}. Does the walk start at the size of the logit, "
        "and is each rule given the input of its layer, after the ReLU?"
    )

# %% tags=["hidden-test"]
from tff_core import lrp

for seed in (0, 1, 2):
    net = lrp_steps.small_net(seed)
    maps, pixels = explain(net, x, 0.0, 1.0)
    engine = lrp.relevance(lrp.canonize(net, bounds=(0, 1)), x, pixels=True)
    pairs = [(maps[name], r) for name, r in engine.maps.items()]
    for mine, r in [*pairs, (pixels, engine.pixels)]:
        off = float((mine - r).abs().max() / r.abs().max())
        assert off < 1e-6, (
            f"differs from the engine by {off:.1e} (relative): pixels have "
            "a rule of their own, and bounds"
        )


# %% tags=["wrong"]
# gives the rules what the convolution made, before the ReLU
def explain(net, x, low, high):
    inputs, maps, y = [], {}, x
    for layer in net:
        inputs.append(inputs[-1] if isinstance(layer, nn.MaxPool2d) else y)
        y = layer(y)
    r = y.abs()
    for name, layer in reversed(list(net.named_children())):
        if isinstance(layer, nn.Conv2d):
            maps[name] = r
        if len(inputs) == 1:
            return maps, steps.pixels(x, layer, r, low, high)
        a = inputs.pop()
        a = inputs[-1] if isinstance(layer, nn.AdaptiveAvgPool2d) else a
        r = rules[type(layer)](a, layer, r)


# %% tags=["wrong"]
# z+ for the pixels as well: black is nothing
def explain(net, x, low, high):
    inputs, maps = [x], {}
    for layer in net:
        inputs.append(layer(inputs[-1]))
    r = inputs.pop().abs()
    for name, layer in reversed(list(net.named_children())):
        if isinstance(layer, nn.Conv2d):
            maps[name] = r
        r = rules[type(layer)](inputs.pop(), layer, r)
    return maps, r


# %% tags=["wrong"]
# starts at 1 for every picture, whatever its logit
def explain(net, x, low, high):
    inputs, maps = [x], {}
    for layer in net:
        inputs.append(layer(inputs[-1]))
    r = torch.ones_like(inputs.pop())
    for name, layer in reversed(list(net.named_children())):
        if isinstance(layer, nn.Conv2d):
            maps[name] = r
        if len(inputs) == 1:
            return maps, steps.pixels(x, layer, r, low, high)
        r = rules[type(layer)](inputs.pop(), layer, r)


# %% [markdown] tags=["solution"]
# LRP is backpropagation with other multipliers: one pass forward that remembers, one pass back that asks each
# layer the same question. The table from layer to rule is all that a library adds to it, besides the care
# for networks that are not a sequence. That ReLU needs no rule is no oversight: what a closed ReLU passed on is
# 0, and no rule above gives relevance to a 0.

# %% [markdown] tags=["instructor"]
# **Hint** `inputs.pop()` walks back by itself, if the last output was popped first.
#
# **Marking** 3 points: conservation at both convolutions; 1 point: pixels; 1 point: agreement.
#
# **Common mistakes** Off by one: the rule gets the output of its layer. PyTorch then complains about shapes,
# except at a ReLU, where it does not.

# %% [markdown] tags=["exercise"]
# ```{exercise} A residual block
# *Objective:* follow relevance where the network is not a sequence · *medium* · 10 minutes
#
# A basic block of `torchvision` computes `relu(b + shortcut)`, where `a = relu(bn1(conv1(x)))`,
# `b = bn2(conv2(a))`, and the shortcut is `x`, or `downsample` of `x` if that is not `None` (a convolution and
# a batch normalisation: `conv, bn = block.downsample`). Write `through_block(block, x, r)`, the relevance of
# `x`, from `steps.fold`, `steps.conv` and `steps.sum`.
# ```

# %% tags=["exercise"]
import torch
import torch.nn.functional as F

from tff_core.book import lrp_steps

steps = lrp_steps.Steps(globals())  # yours, where there are any


# %% tags=["solution"]
def through_block(block, x, r):
    """Relevance of the input of a basic block."""
    # BEGIN SOLUTION
    first = steps.fold(block.conv1, block.bn1)
    second = steps.fold(block.conv2, block.bn2)
    a, down = (
        F.relu(first(x)),
        block.downsample and steps.fold(*block.downsample),
    )
    branch, rest = steps.sum(second(a), down(x) if down else x, r)
    rest = steps.conv(x, down, rest) if down else rest
    return rest + steps.conv(x, first, steps.conv(a, second, branch))
    # END SOLUTION


# %% tags=["test"]
net = lrp_steps.resnet18()
torch.manual_seed(0)
x = torch.rand(1, 64, 8, 8).double()
for block in (net.layer1[0], net.layer2[0]):
    r = block(x)  # nothing where the block gave nothing
    found = through_block(block, x, r)
    assert found.shape == x.shape, "one number for each input of the block"
    assert abs(float(found.sum() / r.sum()) - 1) < 1e-3, (
        f"{float(r.sum()):.2f} came in and {float(found.sum()):.2f} went out: "
        "x was read twice, so what branch and shortcut get is added"
    )

# %% tags=["hidden-test"]
for block in (net.layer1[1], net.layer2[0]):
    want = lrp_steps.Steps().block(block, x, block(x))
    off = (through_block(block, x, block(x)) - want).abs().sum()
    assert off < 1e-6 * want.abs().sum(), (
        "conserved, but not where the engine has it: are the batch "
        "normalisations folded before the weights are clamped, and is "
        "relevance split at the sum in proportion?"
    )


# %% tags=["wrong"]
# does not fold: clamps the weights of the convolutions as they are
def through_block(block, x, r):
    a, down = F.relu(block.bn1(block.conv1(x))), block.downsample
    b = block.bn2(block.conv2(a))
    branch, rest = steps.sum(b, down(x) if down else x, r)
    rest = steps.conv(x, down[0], rest) if down else rest
    return rest + steps.conv(
        x, block.conv1, steps.conv(a, block.conv2, branch)
    )


# %% tags=["wrong"]
# half to the branch, half to the shortcut
def through_block(block, x, r):
    first = steps.fold(block.conv1, block.bn1)
    second = steps.fold(block.conv2, block.bn2)
    a, down = (
        F.relu(first(x)),
        block.downsample and steps.fold(*block.downsample),
    )
    rest = steps.conv(x, down, r / 2) if down else r / 2
    return rest + steps.conv(x, first, steps.conv(a, second, r / 2))


# %% tags=["wrong"]
# forgets the shortcut on the way back
def through_block(block, x, r):
    first = steps.fold(block.conv1, block.bn1)
    second = steps.fold(block.conv2, block.bn2)
    a, down = (
        F.relu(first(x)),
        block.downsample and steps.fold(*block.downsample),
    )
    branch, _ = steps.sum(second(a), down(x) if down else x, r)
    return steps.conv(x, first, steps.conv(a, second, branch))


# %% [markdown] tags=["solution"]
# Relevance is split at the sum, each part goes down its own way, and the ways meet again at `x`, where the parts
# are *added*, because `x` was read twice. The ReLU after the sum needs no code: where it is closed the block's
# output is 0, and nothing that is 0 has received relevance.

# %% [markdown] tags=["instructor"]
# **Hint** Write it for a block without `downsample` first; `layer1` has two of them.
#
# **Marking** 2 points: conservation; 1 point: the shortcut with `downsample`; 1 point: agreement.
#
# **Common mistakes** Folding with the batch normalisation of the other convolution; relevance of the shortcut
# that skips the convolution of `downsample`, whose shape does not fit.

# %% [markdown] tags=["exercise"]
# ```{exercise} ResNet-18
# *Objective:* explain a real architecture with code of your own · *hard* · 10 minutes
#
# `torchvision` builds it from `conv1`, `bn1`, ReLU, `maxpool`, the blocks of `layer1` to `layer4`, a mean
# (`avgpool`) and `fc`. Write `explain_resnet(net, x, low, high)`, the relevance of the pixels from $|f(x)|$. All
# rules are in `steps`; `steps.block(block, x, r)` is your `through_block`.
# ```

# %% tags=["exercise"]
import torch
import torch.nn.functional as F

from tff_core.book import lrp_steps

steps = lrp_steps.Steps(globals())  # yours, where there are any


# %% tags=["solution"]
def explain_resnet(net, x, low, high):
    """Relevance of the pixels."""
    # BEGIN SOLUTION
    stem = steps.fold(net.conv1, net.bn1)
    a = F.relu(stem(x))
    blocks = [*net.layer1, *net.layer2, *net.layer3, *net.layer4]
    inputs = [net.maxpool(a)]
    for block in blocks:
        inputs.append(block(inputs[-1]))
    top = inputs.pop()
    r = steps.last(top.mean((2, 3)), net.fc, net(x).abs())
    r = steps.mean(top, net.avgpool, r)
    for block in reversed(blocks):
        r = steps.block(block, inputs.pop(), r)
    return steps.pixels(x, stem, steps.max(a, net.maxpool, r), low, high)
    # END SOLUTION


# %% tags=["test"]
net = lrp_steps.resnet18()
torch.manual_seed(0)
x = torch.rand(1, 3, 32, 32).double()
pixels, f = explain_resnet(net, x, 0.0, 1.0), net(x)
share, want = float(pixels.sum() / f.abs()), float(1 - net.fc.bias / f)
assert pixels.shape == x.shape, "one number for each pixel and channel"
assert abs(share - want) < 0.01, (
    f"{share:.3f} of the logit arrives at the pixels, expected {want:.3f}: "
    "does the walk start at the size of the logit, and go through all blocks?"
)

# %% tags=["hidden-test"]
from tff_core import lrp

mean = torch.tensor([0.485, 0.456, 0.406]).double().view(1, 3, 1, 1)
std = torch.tensor([0.229, 0.224, 0.225]).double().view(1, 3, 1, 1)
low, high = float((-mean / std).min()), float(((1 - mean) / std).max())
for picture, *bounds in ((x, 0.0, 1.0), ((x - mean) / std, low, high)):
    canonized = lrp.canonize(net, bounds=tuple(bounds), example=picture)
    want = lrp.relevance(canonized, picture, pixels=True).pixels
    mine = explain_resnet(net, picture, *bounds)
    off = float((mine - want).abs().sum() / want.abs().sum())
    assert off < 1e-6, (
        f"differs from the engine by {off:.1e} (relative), expected 1e-6; "
        "pixels lie between the bounds that are given, and may be negative"
    )


# %% tags=["wrong"]
# explains the stem without its batch normalisation
def explain_resnet(net, x, low, high):
    a = F.relu(net.bn1(net.conv1(x)))
    blocks = [*net.layer1, *net.layer2, *net.layer3, *net.layer4]
    inputs = [net.maxpool(a)]
    for block in blocks:
        inputs.append(block(inputs[-1]))
    r = steps.last(inputs[-1].mean((2, 3)), net.fc, net(x).abs())
    r = steps.mean(inputs.pop(), net.avgpool, r)
    for block in reversed(blocks):
        r = steps.block(block, inputs.pop(), r)
    r = steps.max(a, net.maxpool, r)
    return steps.pixels(x, net.conv1, r, low, high)


# %% tags=["wrong"]
# bounds of pixels from 0 to 1, also for normalised ones
def explain_resnet(net, x, low, high):
    stem = steps.fold(net.conv1, net.bn1)
    a = F.relu(stem(x))
    blocks = [*net.layer1, *net.layer2, *net.layer3, *net.layer4]
    inputs = [net.maxpool(a)]
    for block in blocks:
        inputs.append(block(inputs[-1]))
    r = steps.last(inputs[-1].mean((2, 3)), net.fc, net(x).abs())
    r = steps.mean(inputs.pop(), net.avgpool, r)
    for block in reversed(blocks):
        r = steps.block(block, inputs.pop(), r)
    return steps.pixels(x, stem, steps.max(a, net.maxpool, r), 0.0, 1.0)


# %% [markdown] tags=["solution"]
# Nothing here is new, and that is the point: from eight functions that were each checked on numbers which fit on
# a page follows the explanation of a network with eleven million weights. What is left of a difference to the
# engine is rounding: sums are taken in another order.

# %% [markdown] tags=["instructor"]
# **Hint** It is `explain` once more, with blocks for layers.
#
# **Marking** 2 points: conservation; 2 points: agreement.
#
# **Common mistakes** The relevance of the stem's output goes through the max pooling first.

# %% [markdown] tags=["exercise"]
# ```{exercise} Omega in ten lines
# *Objective:* turn relevance into the paper's statistic, and average in the right order · *medium* · 10 minutes
#
# `explained(net, x)` gives the relevance (N, C, h, w) at each convolution, by name. Write
# `omega(net, x, explained)`, a dictionary of one vector (C,) for each: keep the pictures that the network calls
# fake with a probability of at least 0.9; in each picture and layer divide the sum of *positive* relevance of
# each map by the layer's sum of *absolute* relevance; then take the mean over pictures.
# ```

# %% tags=["exercise"]
import torch

from tff_core import lrp
from tff_core.book import lrp_steps

net = lrp_steps.small_net()
torch.manual_seed(0)
x = torch.rand(12, 3, 12, 12).double() * torch.linspace(0, 2, 12).view(
    -1, 1, 1, 1
)
net[7].bias += 2.2 - net(x).median()  # sure of half of them


def engine(net, x):
    """What your function for the small network returns first."""
    return lrp.relevance(lrp.canonize(net), x).maps


# %% tags=["solution"]
def omega(net, x, explained):
    """Omega (C,) of the maps of each convolution, by its name."""
    # BEGIN SOLUTION
    sure = torch.sigmoid(net(x))[:, 0] >= 0.9
    found = {}
    for name, r in explained(net, x[sure]).items():
        positive = r.clamp(min=0).sum((2, 3))
        absolute = r.abs().sum((1, 2, 3))
        found[name] = (positive / absolute[:, None]).mean(0)
    return found
    # END SOLUTION


# %% tags=["test"]
found = omega(net, x, engine)
assert {k: len(v) for k, v in found.items()} == {"0": 6, "3": 8}, (
    "one vector for each convolution, one number for each of its maps"
)
for v in found.values():
    assert float(v.min()) >= 0 and float(v.sum()) < 1 + 1e-9, (
        "a layer's omega lies in [0, 1] and sums to at most 1: divide by the "
        "sum of absolute values, and sum positive relevance only"
    )
assert float(found["3"].sum()) < 0.99, (
    "this network has negative relevance in its second convolution, so the "
    "positive share of that layer is less than 1"
)

# %% tags=["hidden-test"]
from tff_core.features import ffrs

want = ffrs.ff_rs(lrp.canonize(net), [x], confidence=0.9)
for name, values in want.values.items():
    off = float((found[name] - torch.from_numpy(values)).abs().max())
    assert off < 1e-9, (
        "differs from ffrs.ff_rs: normalise each picture before the mean, and "
        "leave out the pictures that the network is not sure about"
    )


# %% tags=["wrong"]
# divides by the sum, not by the sum of absolute values
def omega(net, x, explained):
    sure = torch.sigmoid(net(x))[:, 0] >= 0.9
    found = {}
    for name, r in explained(net, x[sure]).items():
        positive, total = r.clamp(min=0).sum((2, 3)), r.sum((1, 2, 3))
        found[name] = (positive / total[:, None]).mean(0)
    return found


# %% tags=["wrong"]
# averages first and normalises afterwards: large logits outvote the others
def omega(net, x, explained):
    sure = torch.sigmoid(net(x))[:, 0] >= 0.9
    found = {}
    for name, r in explained(net, x[sure]).items():
        positive = r.clamp(min=0).sum((2, 3)).mean(0)
        found[name] = positive / r.abs().sum((1, 2, 3)).mean()
    return found


# %% tags=["wrong"]
# takes all pictures, also those that the network is not sure about
def omega(net, x, explained):
    found = {}
    for name, r in explained(net, x).items():
        positive, absolute = r.clamp(min=0).sum((2, 3)), r.abs().sum((1, 2, 3))
        found[name] = (positive / absolute[:, None]).mean(0)
    return found


# %% [markdown] tags=["solution"]
# A mean of fractions is not the fraction of means: normalised last, a picture with ten times the relevance
# counts ten times. Normalised first, each picture has one vote. Neither is wrong in itself, but only one is
# the statistic of the paper. With your own walk, `omega(net, x, lambda net, x: explain(net, x, 0.0, 1.0)[0])`
# gives the same numbers.

# %% [markdown] tags=["instructor"]
# **Hint** Two sums over different axes: the places alone, and places and channels.
#
# **Marking** 2 points: the quotient; 1 point: its order with the mean; 1 point: which pictures count.
#
# **Discuss** {doc}`/notebooks/02_ff_rs`: what does a sum over the whole layer do to narrow layers?

# %% [markdown] tags=["exercise"]
# ```{exercise} A balanced account
# *Objective:* say what conservation proves and what it does not · *easy* · 5 minutes
#
# A colleague has a new rule: every layer spreads the relevance of its outputs evenly over all its inputs. She
# checks conservation in each layer; it holds to the last digit. What does the heatmap of a picture look like?
# What did your checks in the exercises above rule out, and what did they not?
# ```

# %% [markdown] tags=["solution"]
# Her heatmap is one grey surface: every pixel has the same relevance, whatever the network and the picture.
# Conservation is a sum, and says nothing about how the sum is divided. It finds code that loses relevance (the
# bias, a missing shortcut, overlapping windows) and passes every rule whose fractions sum to 1. That is why each
# step was also held against a second, slower way to the same numbers: its dense matrix, or the engine. And even
# the right numbers are an account of the network, not yet a fact about fakes.

# %% [markdown] tags=["instructor"]
# **Hint** Apply her rule to a picture of one colour, and to a face.
#
# **Marking** 1 point: the constant heatmap; 1 point: a mistake that conservation finds; 1 point: one that it
# does not.
#
# **Discuss** Which of the wrong answers that you gave today conserved relevance? (Half and half; spreading
# evenly.)
