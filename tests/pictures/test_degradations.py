"""Degradations: what each does by hand or by another library, from weak to strong, and always the same."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from tff_core.pictures import degradations
from tff_core.pictures.degradations import OPERATIONS, degrade


@pytest.fixture(scope="module")
def x() -> Tensor:
    """Two smooth pictures with some grain, so that a codec has something to keep and something to lose."""
    rng = np.random.default_rng(0)
    waves = np.sin(np.linspace(0, 7, 48))[:, None] * np.cos(np.linspace(0, 5, 40))[None]
    values = 128 + 60 * waves + 40 * rng.random((2, 3, 1, 1)) + rng.normal(0, 6, (2, 3, 48, 40))
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8))


def pillow(picture: Tensor, *arguments: object, **settings: object) -> Tensor:
    stored = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))
    image.save(stored, *arguments, **settings)  # type: ignore[arg-type]
    return torch.from_numpy(np.array(Image.open(stored).convert("RGB"))).permute(2, 0, 1)


def test_levels_run_from_weak_to_strong_and_none_changes_nothing(x: Tensor) -> None:
    for name, operation in OPERATIONS.items():
        assert all(map(operation.valid, operation.levels)), name
        if operation.none is not None:
            assert torch.equal(degrade(x, name, operation.none, [0, 1]), x), name
            assert operation.apply(x[0], operation.none, 0).shape == x[0].shape
        if not operation.resized:
            changes = [
                float((degrade(x, name, level, [0, 1]).float() - x.float()).square().mean())
                for level in operation.levels
            ]
            assert changes[0] > 0 and (changes == sorted(changes) or name in ("zoom", "enlarge")), name


def test_what_is_random_follows_from_seed_and_number_alone(x: Tensor) -> None:
    both = torch.stack([x[0], x[0]])
    for name in ("noise", "crop", "zoom"):
        level = OPERATIONS[name].levels[-1]
        one = degrade(both, name, level, [5, 6], seed=1)
        assert torch.equal(one, degrade(both, name, level, [5, 6], seed=1))
        assert torch.equal(one[1], degrade(x[:1], name, level, [6], seed=1)[0])  # whatever the batch
        assert not torch.equal(one[0], one[1])
        assert not torch.equal(one, degrade(both, name, level, [5, 6], seed=2))
    gray = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    weak, strong = (degrade(gray, "noise", deviation, [3]).double() - 128 for deviation in (4, 8))
    assert float(weak.std()) == pytest.approx(4, rel=0.05)
    torch.testing.assert_close(strong, 2 * weak, atol=1.5, rtol=0)


def test_a_crop_is_a_part_of_the_picture_where_it_says(x: Tensor) -> None:
    seed = degradations.random_seed(0, 7)
    top, left, height, width = degradations.cut(48, 40, 0.25, seed)
    assert (height, width) == (36, 30) and 0 <= top <= 12 and 0 <= left <= 10
    found = degrade(x[:1], "crop", 0.25, [7])[0]
    assert torch.equal(found, x[0, :, top : top + height, left : left + width])
    tops = {degradations.cut(48, 40, 0.25, seed)[0] for seed in range(200)}
    assert tops == set(range(13))  # every place, both ends included
    # a stronger crop stays at the same relative place
    places = [(degradations.cut(480, 480, share, seed)[0]) / (480 * share) for share in (0.1, 0.5)]
    assert places[0] == pytest.approx(places[1], abs=0.03)


def test_codecs_and_blur_are_those_of_other_libraries(x: Tensor) -> None:
    for quality in (90, 40):
        other = pillow(x[0], "JPEG", quality=quality, subsampling=2)
        apart = (degrade(x[:1], "jpeg", quality, [0])[0].int() - other.int()).abs()
        assert apart.float().mean() < 0.5  # two builds of libjpeg
        assert torch.equal(
            degrade(x[:1], "webp", quality, [0])[0], pillow(x[0], "WEBP", quality=quality, method=4)
        )
    smooth = gaussian_filter(x[0].numpy().astype(float), (0, 1.6, 1.6), mode="mirror")
    np.testing.assert_allclose(degrade(x[:1], "blur", 1.6, [0])[0].numpy(), smooth, atol=1.01)


def test_coarser_chroma_leaves_luma_alone(x: Tensor) -> None:
    from tff_core.pictures.statistics import planes

    before = planes(x.permute(0, 2, 3, 1).numpy())
    for level, shared in ((2, (1, 2)), (4, (2, 2))):
        after = planes(degrade(x, "chroma", level, [0, 1]).permute(0, 2, 3, 1).numpy())
        assert np.abs(after - before)[..., 0].max() < 3 / 255  # rounding, and colours that no screen shows
        assert np.abs(after - before)[..., 1:].max() > 5 / 255
        for plane in (1, 2):  # what is left is that of means over blocks
            blocks = before[..., plane].reshape(2, 48 // shared[0], shared[0], 40 // shared[1], shared[1])
            means = blocks.mean((2, 4), keepdims=True).repeat(shared[0], 2).repeat(shared[1], 4)
            own = after[..., plane].reshape(blocks.shape)
            assert np.abs(own - means).mean() < np.abs(own - blocks).mean()
    alike = torch.full((1, 3, 9, 7), 90, dtype=torch.uint8)  # odd sides
    alike[:, 0] = 200
    assert (degrade(alike, "chroma", 4, [0]).int() - alike.int()).abs().max() <= 2
    assert [OPERATIONS["chroma"].label(level) for level in (1, 2, 4)] == ["4:4:4", "4:2:2", "4:2:0"]
    assert OPERATIONS["jpeg"].label(90.0) == "90"


def test_pictures_smaller_than_a_kernel_are_blurred_all_the_same() -> None:
    tiny = torch.randint(0, 256, (1, 3, 2, 3), dtype=torch.uint8)
    assert degrade(tiny, "blur", 8, [0]).shape == tiny.shape
    assert torch.equal(degrade(tiny[..., :1, :1], "blur", 8, [0]), tiny[..., :1, :1])
    assert degrade(tiny, "shrink", 0.1, [0]).shape == tiny.shape


@pytest.mark.parametrize(
    ("operation", "level", "told"),
    [
        ("rain", 1, "operation 'rain': expected one of jpeg, webp"),
        ("jpeg", 101, "jpeg of level 101: expected a quality"),
        ("webp", 0.5, "expected a quality"),
        ("shrink", 0, "expected a factor"),
        ("blur", -1, "expected a deviation in pixels"),
        ("noise", float("inf"), "expected a deviation"),
        ("crop", 1, "expected a share of each axis"),
        ("chroma", 3, "expected a number of pixels that share"),
    ],
)
def test_levels_that_an_operation_does_not_have_are_refused(operation: str, level: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        degrade(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), operation, level, [0])


def test_only_pictures_are_degraded() -> None:
    with pytest.raises(ValueError, match=r"float32 of shape \(1, 3, 8, 8\): expected uint8 pictures"):
        degrade(torch.zeros(1, 3, 8, 8), "jpeg", 50, [0])
