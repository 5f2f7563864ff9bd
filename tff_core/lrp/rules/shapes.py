"""Operations that reorder, reshape, select, repeat or join values without changing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tff_core.lrp.rules.base import POINT, Call, Reach, Rule


class Reshape(Rule):
    """Each picture's values in another shape; relevance goes back to the old shape.

    ``local`` promises that rows and columns are unchanged.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], local: bool = False) -> None:
        self.function, self.local = function, local

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        y = self.function(inputs[0])
        if len(y) != len(inputs[0]):
            raise ValueError(
                f"a batch of shape {tuple(inputs[0].shape)} is brought into the shape {tuple(y.shape)}, "
                "which mixes its pictures: expected the first axis to stay; give pictures of the size that "
                "the network is made for"
            )
        return y, inputs[0].shape

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (r.reshape(len(r), *saved[1:]),)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT if self.local else None


class Permute(Rule):
    """The axes in another order, except that of the pictures."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.order = order
        self.back = tuple(order.index(axis) for axis in range(len(order)))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return inputs[0].permute(self.order), None

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (r.permute(self.back),)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        n = len(self.order)
        return POINT if self.order[-2:] == (n - 2, n - 1) else None


class Part(Rule):
    """Some channels, rows or columns of a tensor; the others get no relevance.

    ``take`` returns a view of the selected part.
    """

    def __init__(self, take: Callable[[Tensor], Tensor], local: bool) -> None:
        self.take, self.local = take, local

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return self.take(inputs[0]), inputs[0].shape

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        out = r.new_zeros(len(r), *saved[1:])
        self.take(out).copy_(r)
        return (out,)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT if self.local else None


class Expand(Rule):
    """One value repeated at several positions, as (N, C, 1, 1) to (N, C, h, w): their relevance is summed."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return self.function(*inputs), inputs[0].shape

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (r.sum_to_size(len(r), *saved[1:]), None)

    def receives(self, position: int) -> bool:
        return position == 0  # only the shape of the second is used

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]


class Pad(Rule):
    """Zeros around the picture; relevance that reaches the padding is dropped."""

    fresh = True

    def __init__(self, sides: tuple[int, int, int, int]) -> None:
        self.sides = sides  # left, right, top, bottom

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return F.pad(inputs[0], self.sides), inputs[0].shape

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        left, _, top, _ = self.sides
        return (r[..., top : top + saved[2], left : left + saved[3]],)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        left, _, top, _ = self.sides
        return Reach(before=top), Reach(before=left)


class Shuffle(Rule):
    """The channels of several groups, interleaved."""

    fresh = True

    def __init__(self, groups: int) -> None:
        self.groups = groups

    @staticmethod
    def _shuffled(x: Tensor, groups: int) -> Tensor:
        return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return self._shuffled(inputs[0], self.groups), None

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return (self._shuffled(r, r.shape[1] // self.groups),)

    def nonnegative(self, *inputs: bool) -> bool:
        return inputs[0]

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT


class Concatenate(Rule):
    """Tensors concatenated along an axis, by default the channels: each gets its own part back."""

    fresh = True

    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        return torch.cat(inputs, self.axis), [x.shape[self.axis] for x in inputs]

    def relevance(self, r: Tensor, saved: Any) -> tuple[Tensor | None, ...]:
        return r.split(saved, self.axis)

    def nonnegative(self, *inputs: bool) -> bool:
        return all(inputs)

    def reach(self) -> tuple[Reach, Reach] | None:
        return POINT if self.axis == 1 else None


# --- builders -----------------------------------------------------------------------------------------


def _keeps_places(call: Call) -> bool:
    before, after = call.shape(call.inputs[0]), call.shape()
    return before is not None and after is not None and len(after) > 2 and before[-2:] == after[-2:]


def _apart(call: Call) -> None:
    """Refuses operations that mix the pictures of a batch."""
    before, after = call.shape(call.inputs[0]), call.shape()
    if before is not None and after is not None and (not after or before[0] != after[0]):
        raise call.refuse(
            f"it makes the shape {after} of {before}, which mixes the pictures: expected the first axis to "
            "stay; if the network is made for one size of pictures, declare it (preprocessing: crop)"
        )


def reshape(call: Call) -> Rule:
    """``view``, ``reshape``, ``flatten``, ``unflatten``, ``squeeze``, ``unsqueeze``."""
    _apart(call)
    m = call.module
    if isinstance(m, nn.Flatten | nn.Unflatten):
        return Reshape(m, _keeps_places(call))
    args, kwargs = call.rest()
    name = getattr(call.node.target, "__name__", str(call.node.target))
    if name == "squeeze" and not (args or kwargs):  # the first axis stays, even for a single picture
        return Reshape(lambda x: x.reshape(len(x), *[n for n in x.shape[1:] if n != 1]))
    if name in ("view", "reshape", "view_as", "reshape_as"):
        sizes = args[0] if args and not isinstance(args[0], int) else args or kwargs.get("shape")
        if isinstance(sizes, fx.Node) or sizes is None:
            raise call.refuse("expected sizes, x.view(x.size(0), -1); use torch.flatten(x, 1)")
        # inside, tensors are laid out channels last, where a view may not be possible
        return Reshape(lambda x: x.reshape(tuple(sizes)), _keeps_places(call))
    return Reshape(lambda x: getattr(x, name)(*args, **kwargs), _keeps_places(call))


def permute(call: Call) -> Rule:
    shape = call.shape(call.inputs[0]) or (0, 0, 0, 0)
    order = list(range(len(shape)))
    name = getattr(call.node.target, "__name__", str(call.node.target))
    if name == "permute":
        dims = call.rest()[0] or (call.get(1, "dims", ()),)
        order = [int(d) % len(shape) for d in (dims[0] if isinstance(dims[0], tuple | list) else dims)]
    else:
        a, b = (int(call.get(i, f"dim{i - 1}", 0)) % len(shape) for i in (1, 2))
        order[a], order[b] = order[b], order[a]
    if order[0] != 0:
        raise call.refuse("it moves the axis of the pictures: expected the first axis to stay where it is")
    return Permute(tuple(order))


def item(call: Call) -> Rule:
    """``x[...]`` with numbers and slices."""
    index = call.get(1, "", None)
    index = index if isinstance(index, tuple) else (index,)
    allowed = all(i is None or i is Ellipsis or isinstance(i, int | slice) for i in index)
    whole = bool(index) and (index[0] is Ellipsis or index[0] == slice(None))
    if not allowed or not whole or any(isinstance(i, bool) for i in index):
        raise call.refuse("expected numbers and slices of channels, rows or columns, x[:, 0:8]")
    _apart(call)
    plain = all(isinstance(i, int | slice) for i in index[:2]) and all(i == slice(None) for i in index[2:])
    return Part(lambda x: x[index], plain and _keeps_places(call))


def narrow(call: Call) -> Rule:
    axis = _axis(call, call.get(1, "dim", 0))
    start, length = call.get(2, "start", 0), call.get(3, "length", 0)
    return Part(lambda x: x.narrow(axis, start, length), axis == 1)


def split(call: Call) -> Rule:
    """One of the parts that ``chunk``, ``split`` or ``unbind`` returns."""
    if call.part is None:
        raise call.refuse("expected its parts to be taken one by one, a, b = x.chunk(2, 1)")
    part: int = call.part
    name = getattr(call.node.target, "__name__", str(call.node.target))
    if name == "unbind":
        axis = _axis(call, call.get(1, "dim", 0))
        return Part(lambda x: x.select(axis, part), False)
    keyword = "chunks" if name == "chunk" else "split_size"
    how = call.get(1, keyword, call.get(1, "split_size_or_sections", None))
    axis = _axis(call, call.get(2, "dim", 0))

    def parts(x: Tensor) -> Sequence[Tensor]:
        return x.chunk(how, axis) if name == "chunk" else x.split(how, axis)

    return Part(lambda x: parts(x)[part], axis == 1)


def _axis(call: Call, given: int) -> int:
    shape = call.shape(call.inputs[0]) or (0, 0, 0, 0)
    axis = given % len(shape)
    if axis == 0:
        raise call.refuse("it takes the pictures of a batch apart: expected an axis other than the first")
    return axis


def expand(call: Call) -> Rule:
    _apart(call)
    before, after = call.shape(call.inputs[0]), call.shape()
    if before is not None and after is not None and len(before) != len(after):
        raise call.refuse("expected as many axes as before; use x[:, :, None, None] first")
    if call.node.target == "expand_as":
        return Expand(lambda x, other: x.expand(len(x), *other.shape[1:]))
    args, kwargs = call.rest()
    return Expand(lambda x: x.expand(*args, **kwargs))


def shuffle(call: Call) -> Rule:
    m = call.module
    return Shuffle(m.groups if isinstance(m, nn.ChannelShuffle) else call.get(1, "groups", 1))


def pad(call: Call) -> Rule:
    m = call.module
    if isinstance(m, nn.ZeroPad2d):
        sides, mode, value = tuple(m.padding), "constant", 0.0
    else:
        sides = tuple(call.get(1, "pad", ()))
        mode, value = call.get(2, "mode", "constant"), call.get(3, "value", None)
    if mode != "constant" or value or len(sides) not in (2, 4) or any(side < 0 for side in sides):
        raise call.refuse(f"expected zeros around rows and columns, found mode {mode!r} and sides {sides}")
    left, right, top, bottom = (*sides, 0, 0)[:4]
    return Pad((left, right, top, bottom))


def cat(call: Call) -> Rule:
    given = call.get(1, "dim", call.get(1, "axis", 0))
    return Concatenate(_axis(call, given))
