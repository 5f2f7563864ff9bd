"""Networks that forget: what is drawn anew, what stays, and what their explanations look like."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from exam_nets import BOUNDS, plain, shown, trained
from torch import nn

from tff_core import detectors, lrp
from tff_core.exam import randomization
from tff_core.exam.randomization import GRADIENT, METHODS, ZPLUS, cascade, groups, look, randomised
from tff_core.features import pixels, rankings


def names(model: nn.Module, x: torch.Tensor, by: randomization.By) -> list[str]:
    return [group.name for group in groups(model, x, by)]


class TestGroups:
    def test_they_are_those_of_the_network_from_the_logit_down(self) -> None:
        model, x = trained(), shown()
        assert names(model, x, "layer") == [
            "fc", "blocks.1.shortcut", "blocks.1.conv", "blocks.0.conv", "conv1",
        ]  # fmt: skip
        assert names(model, x, "block") == ["fc", "blocks.1", "blocks.0", "conv1"]
        assert names(model, x, "stage") == ["fc", "blocks.1", "blocks.0", "conv1"]
        assert groups(model, x, "layer")[-1].modules == ("conv1", "bn1")

    def test_every_module_with_weights_is_in_one(self) -> None:
        model = detectors.build("resnet18")
        x = torch.zeros(1, 3, 64, 64)
        everything = {
            name
            for name, module in model.named_modules()
            if next(module.parameters(recurse=False), None) is not None
        }
        for by in ("layer", "block", "stage"):
            found = [name for group in groups(model, x, by) for name in group.modules]  # type: ignore[arg-type]
            assert len(found) == len(set(found)) and set(found) == everything
        assert names(model, x, "stage") == ["fc", "layer4", "layer3", "layer2", "layer1", "conv1"]

    def test_blocks_of_one_size_that_are_not_the_whole_list_are_named_by_their_ends(self) -> None:
        model = detectors.build("efb0")
        found = names(model, torch.zeros(1, 3, 64, 64), "stage")
        assert found[0] == "_fc" and "_blocks.5 to _blocks.10" in found and len(found) == 6

    def test_modules_that_are_not_used_are_left_out(self) -> None:
        model = trained()
        model.unused = nn.Linear(3, 3)  # type: ignore[assignment]
        assert "unused" not in names(model, shown(), "layer")
        with pytest.raises(ValueError, match="no layer with weights"):
            groups(nn.Sequential(nn.ReLU()), shown())


class TestRandomised:
    def test_nothing_chosen_changes_nothing(self) -> None:
        model, x = trained(), shown()
        twin = randomised(model, [], 0)
        assert twin is not model and torch.equal(twin(x), model(x))

    @pytest.mark.parametrize("make", [plain, None])
    def test_what_is_chosen_changes_and_the_rest_stays(self, make) -> None:  # type: ignore[no-untyped-def]
        model, x = trained(), shown()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        chosen = groups(model, x, "layer")[:2]
        twin = randomised(model, chosen, 3, make=make, pictures=x)
        gone = {name for group in chosen for name in group.modules}
        for name, value in twin.state_dict().items():
            changed = name.rpartition(".")[0] in gone
            assert torch.equal(value, before[name]) != changed, name
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert not any(module.training for module in twin.modules())

    @pytest.mark.parametrize("make", [plain, None])
    def test_the_seed_says_it_all(self, make) -> None:  # type: ignore[no-untyped-def]
        model, x = trained(), shown()
        every = groups(model, x, "layer")
        state = torch.random.get_rng_state()
        one, same, other = (randomised(model, every, s, make=make, pictures=x)(x) for s in (1, 1, 2))
        assert torch.equal(one, same) and not torch.allclose(one, other)
        assert torch.equal(state, torch.random.get_rng_state())
        # a layer's new weights do not depend on which others forget, too
        alone = randomised(model, every[:1], 1, make=make, pictures=x)
        together = randomised(model, every, 1, make=make, pictures=x)
        assert torch.equal(alone.fc.weight, together.fc.weight)  # type: ignore[union-attr]

    def test_a_network_does_not_get_the_start_of_its_training_back(self) -> None:
        x = shown()
        torch.manual_seed(3)
        start = plain()
        twin = randomised(start, groups(start, x), 3, make=plain, pictures=x)
        for name, value in twin.named_parameters():
            if "bn" not in name:
                assert not torch.allclose(value, start.get_parameter(name)), name

    def test_refitted_norms_standardise_their_maps_on_the_pictures(self) -> None:
        model, x = trained(), shown(8)
        twin = randomised(model, groups(model, x), 0, make=plain, pictures=x)
        seen = {}
        for name, module in twin.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.register_forward_hook(lambda m, i, y, name=name: seen.__setitem__(name, y.clone()))
        with torch.no_grad():
            twin(x)
        assert len(seen) == 3
        for y in seen.values():
            torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(y.shape[1]), atol=2e-3, rtol=0)
            torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(y.shape[1]), atol=0.01, rtol=0)

    def test_the_start_can_be_asked_for_as_it_is(self) -> None:
        model, x = trained(), shown()
        twin = randomised(model, groups(model, x), 0, make=plain, norms="initial")
        assert torch.equal(twin.bn1.running_mean, torch.zeros(8))  # type: ignore[union-attr]
        assert torch.equal(twin.bn1.running_var, torch.ones(8))  # type: ignore[union-attr]

    def test_branches_that_start_at_zero_are_not_dead(self) -> None:
        """The registry's residual networks start with a scale of zero, which would leave most of them out."""
        model, x = detectors.build("resnet18"), torch.randn(4, 3, 64, 64)
        twin = randomised(model, groups(model, x), 0, make=lambda: detectors.build("resnet18"), pictures=x)
        assert torch.equal(twin.layer1[0].bn2.weight, torch.ones(64))  # type: ignore[index,union-attr]

    def test_what_cannot_be_done_is_said(self) -> None:
        model, x = trained(), shown()
        every = groups(model, x)
        for pictures in (None, x[:1]):
            with pytest.raises(ValueError, match="pictures: expected two or more"):
                randomised(model, every, 0, make=plain, pictures=pictures)
        with pytest.raises(ValueError, match=r"without blocks\.1\.conv\.weight of shape|without fc"):
            randomised(model, every, 0, make=lambda: nn.Sequential(nn.Linear(2, 2)), pictures=x)

        class Own(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = nn.Parameter(torch.ones(1))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.scale * x

        own = Own()
        with pytest.raises(ValueError, match="is a Own, which has no reset_parameters"):
            randomised(own, groups(own, x), 0)


class TestCascade:
    def test_a_step_keeps_what_the_one_before_has_drawn(self) -> None:
        model, x = trained(), shown()
        steps = groups(model, x)
        found = list(cascade(model, steps, 0, make=plain, pictures=x))
        assert [(f.depth, f.group) for f in found] == list(enumerate([g.name for g in steps], 1))
        for one, later in itertools.pairwise(found):
            assert torch.equal(one.model.fc.weight, later.model.fc.weight)  # type: ignore[union-attr]
            assert later.kept < one.kept
        assert not found[-1].kept

    def test_it_can_go_up_and_one_by_one(self) -> None:
        model, x = trained(), shown()
        steps = groups(model, x)
        up = next(cascade(model, steps, 0, "bottom up", make=plain, pictures=x))
        assert up.group == "conv1" and "fc" in up.kept
        for one, step in zip(cascade(model, steps, 0, "alone", make=plain, pictures=x), steps, strict=True):
            assert one.group == step.name and not one.kept & set(step.modules)
            assert one.kept | set(step.modules) == up.kept | set(steps[-1].modules)
        with pytest.raises(ValueError, match="order is 'sideways'"):
            next(cascade(model, steps, 0, "sideways"))  # type: ignore[arg-type]


class TestLook:
    def test_relevance_and_shares_are_those_of_the_book(self) -> None:
        model, x = trained(), shown(6)
        with torch.no_grad():
            model.fc.bias -= model(x).median()  # type: ignore[union-attr,operator]
        net = lrp.canonize(model, bounds=BOUNDS)
        heat, shares = randomization.relevance(net, x, batch_size=4)
        np.testing.assert_allclose(heat, pixels.strength(pixels.relevance(net, x)), rtol=1e-5)
        fake = (net(x)[:, 0] > 0).numpy()
        assert 0 < fake.sum() < len(x)  # of the others, what speaks for real
        of_fakes = rankings.shares(net, x)
        np.testing.assert_allclose(shares[fake], of_fakes[fake], rtol=1e-4, atol=1e-6)
        assert not np.allclose(shares[~fake], of_fakes[~fake], atol=1e-3)

    def test_all_methods_explain_what_the_network_decides(self) -> None:
        model, x = trained(), shown()
        found = look(model, x, BOUNDS)
        assert tuple(found.heatmaps) == METHODS and found.shares.shape == (4, 4 * 8)
        for maps in found.heatmaps.values():
            assert maps.shape == (4, 32, 32) and (maps >= 0).all() and maps.max() > 0
        flipped = trained()
        with torch.no_grad():
            flipped.fc.weight.neg_()  # type: ignore[union-attr,operator]
            flipped.fc.bias.neg_()  # type: ignore[union-attr,operator]
        # the same network with its answers exchanged decides for the same reasons
        for name, maps in look(flipped, x, BOUNDS).heatmaps.items():
            np.testing.assert_allclose(maps, found.heatmaps[name], rtol=1e-3, atol=1e-6)

    def test_some_methods_are_enough(self) -> None:
        assert tuple(look(trained(), shown(), BOUNDS, [GRADIENT, ZPLUS]).heatmaps) == (ZPLUS, GRADIENT)
        with pytest.raises(ValueError, match="no method 'tea leaves'"):
            look(trained(), shown(), BOUNDS, ["tea leaves"])
