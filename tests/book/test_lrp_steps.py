"""The steps of *LRP from nothing*, and the way of a student through it, from the first line to ResNet-18."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
import pytest
import torch
from torch import Tensor, nn

from tff_core import lrp
from tff_core.book import lrp_steps

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "lrp_from_nothing.py"
ENGINE = lrp_steps.Steps()
ENGINES = (
    "zplus_linear", "zplus_conv", "zb_conv", "split", "winner", "average", "epsilon_linear", "fold",
    "through_block",
)  # fmt: skip


def cells(*tags: str) -> list[str]:
    """Code of the exercises' cells with one of these tags, in order."""
    notebook = jupytext.read(NOTEBOOK, fmt="py:percent")
    return [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and {*tags} & {*cell.metadata.get("tags", [])}
    ]


def written(solution: str) -> list[str]:
    """The lines that a student writes."""
    parts = re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", solution, re.DOTALL)
    return [line for line in "\n".join(parts).splitlines() if line.strip()]


def test_a_student_writes_less_than_sixty_lines_and_ten_for_omega() -> None:
    counts = [len(written(solution)) for solution in cells("solution")]
    assert 30 < sum(counts[:-1]) < 60 and counts[-1] <= 10


@pytest.mark.slow
def test_the_whole_way_in_one_notebook_calls_the_student_s_own_functions() -> None:
    """Not the engine's, which stand in for what is missing: it is taken away before ResNet-18."""
    notebook: dict[str, Any] = {}
    for cell in cells("exercise", "solution", "test"):
        exec(compile(cell, str(NOTEBOOK), "exec"), notebook)
    with pytest.MonkeyPatch.context() as patch:
        for name in ENGINES:
            patch.setattr(lrp_steps, f"_{name}", None)  # to be called by nobody
        net = lrp_steps.resnet18(3)
        x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
        mine: Tensor = notebook["explain_resnet"](net, x, 0.0, 1.0)
        small = lrp_steps.small_net(4)
        maps, _ = notebook["explain"](small, x, 0.0, 1.0)
    want = lrp.relevance(lrp.canonize(net, bounds=(0, 1), example=x), x, pixels=True).pixels
    assert want is not None and float((mine - want).abs().sum() / want.abs().sum()) < 1e-6
    for name, r in lrp.relevance(lrp.canonize(small), x).maps.items():
        assert torch.allclose(maps[name], r, rtol=1e-6)


def test_a_missing_or_unsolved_step_is_the_engine_s_and_a_wrong_one_is_not() -> None:
    def unsolved(*given: Any) -> None:
        raise NotImplementedError("your turn")

    a, b, r = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)).double()
    engine = ENGINE.sum(a, b, r)
    assert all(map(torch.equal, lrp_steps.Steps({"split": unsolved}).sum(a, b, r), engine))
    assert lrp_steps.Steps({"split": lambda a, b, r: (r / 2, r / 2)}).sum(a, b, r)[0].equal(r / 2)


def test_the_engine_s_linear_step_is_the_dense_rule() -> None:
    torch.manual_seed(0)
    x, weight, r = torch.rand(1, 6).double(), torch.randn(4, 6).double(), torch.randn(1, 4).double()
    assert torch.allclose(ENGINE.linear(x, weight, r), lrp_steps.dense_zplus(lambda v: v @ weight.T, x, r))


def test_a_folded_layer_computes_both_and_a_block_keeps_what_comes_in() -> None:
    net = lrp_steps.resnet18()
    x = torch.rand(1, 64, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    block = net.layer2[0]  # type: ignore[index,union-attr]
    folded = ENGINE.fold(block.conv1, block.bn1)
    assert torch.allclose(folded(x), block.bn1(block.conv1(x)))
    y = block(x)
    assert float(ENGINE.block(block, x, y).sum() / y.sum()) == pytest.approx(1, abs=1e-4)


def test_relevance_of_the_net_written_by_hand_lies_on_the_stripes() -> None:
    net = lrp_steps.stripe_net()
    plain = torch.full((1, 3, 32, 32), 0.4).double()
    striped = plain.clone()
    striped[..., 16:, 16::2] += 0.2
    assert float(net(plain)) < 0 < float(net(striped))
    explained = lrp.relevance(lrp.canonize(net, bounds=(0, 1)), striped, pixels=True)
    assert explained.pixels is not None
    inside = explained.pixels[..., 15:, 15:].sum() / explained.pixels.sum()
    assert float(inside) > 0.99
    # the blur is a map that responds, and that nothing reads
    assert isinstance(net[0], nn.Conv2d) and not explained.maps["0"][:, 2].any()
