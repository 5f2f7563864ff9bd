"""Maps of evidence: by autograd, and as parts of the logit."""

from __future__ import annotations

import pytest
import torch

from tff_core import attribution
from tff_core.attribution.evidence import evidence, published, scaled


def network(kind: str, sources: int = 2) -> attribution.Attributor:
    torch.manual_seed(0)
    net = attribution.build(kind=kind, size=64, sources=sources)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.2 * torch.randn_like(parameter)  # the usual start is nearly dead
    return net


def batch(kind: str) -> torch.Tensor:
    return torch.randn(3, 3 if kind == "pixel" else 1, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["pixel", "dct"])
@pytest.mark.parametrize("source", [None, 0, 1])
def test_what_places_contribute_is_the_logit_less_its_bias(kind: str, source: int | None) -> None:
    net, x = network(kind).train(), batch(kind)
    found = evidence(net, x, source)
    assert net.training and net.secondaries[0].training
    net.eval()
    out = net(x)
    assert out.attribution is not None
    logit = out.detection if source is None else out.attribution[:, source]
    bias = net.task(source).head[-1].bias
    whole = found.mean((1, 2)) if kind == "pixel" else found.sum((1, 2))
    torch.testing.assert_close(whole + bias, logit, rtol=1e-4, atol=1e-4)
    assert bool((found > 0).any()) and bool((found < 0).any())
    if kind == "pixel":
        torch.testing.assert_close(published(net, x, source), found)


@pytest.mark.parametrize("source", [None, 1])
def test_the_published_map_of_spectra_is_gradient_times_activation(source: int | None) -> None:
    net, x = network("dct").eval(), batch("dct")
    task = net.task(source)
    with torch.no_grad():
        *_, head = task.head
        head.weight /= 30  # type: ignore[operator]  # else the probability is 0 or 1, and its gradient nothing
    maps = task.after(task.before(x)).detach().requires_grad_()
    torch.sigmoid(task.head(maps)).sum().backward()
    assert maps.grad is not None
    expected = (maps.grad * maps).sum(1).clamp(min=0).detach()
    torch.testing.assert_close(published(net, x, source), expected, rtol=1e-4, atol=1e-7)
    assert bool(expected.any())


def test_scaling_divides_by_the_largest_and_never_by_zero() -> None:
    maps = torch.tensor([[[1.0, -4.0]], [[0.5, 0.25]], [[0.0, 0.0]]])
    assert scaled(maps).tolist() == [[[0.25, -1.0]], [[1.0, 0.5]], [[0.0, 0.0]]]
    assert scaled(maps, whole_batch=True)[1].tolist() == [[0.125, 0.0625]]
    assert not scaled(torch.zeros(2, 3, 3), whole_batch=True).any()


def test_a_source_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of the 2 sources"):
        evidence(network("pixel"), batch("pixel"), 2)
    with pytest.raises(ValueError, match="the network takes"):
        evidence(network("pixel"), batch("dct"))
