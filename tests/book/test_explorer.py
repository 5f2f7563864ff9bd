"""The explorer: what it finds in any picture for any map, and what its controls do."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from lrp_nets import toy
from PIL import Image

from tff_core import lrp
from tff_core.book import explorer
from tff_core.features import maxima, pixels
from tff_core.features.names import FeatureMap
from tff_core.pictures import data

NET = lrp.canonize(toy(7).float())
MAPS = [FeatureMap("conv1", 1, 4), FeatureMap("blocks.1.conv", 4, 5)]


def picture(seed: int = 0, height: int = 32, width: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def png(seed: int = 0, **size: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(seed, **size).permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_look_is_the_patch_of_that_map_in_that_picture() -> None:
    found = explorer.look(NET, picture(), MAPS[0])
    best = maxima.activation_max(NET, [data.normalize(picture()[None])], MAPS[:1], top=1)
    patch = maxima.lrp_max(NET, best)[0]
    assert found.value == patch.value and found.box == patch.window()
    assert found.position == (best.row[0, 0], best.col[0, 0])
    top, left, bottom, right = found.box
    expected = picture()[:, top:bottom, left:right].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found.patch, expected)
    assert str(MAPS[0]) in found.words() and f"{found.value:.2f}" in found.words()


def test_a_map_that_is_not_active_has_no_patch_and_says_so() -> None:
    blank = np.zeros((4, 4, 3), dtype=np.uint8)
    found = explorer.Look(MAPS[0], 0.0, (0, 0), None, blank, blank)
    assert found.patch is None and "no patch" in found.words()
    assert not explorer.rows([found])[2].any()


def test_rows_of_a_collage() -> None:
    looks = [explorer.look(NET, picture(seed), MAPS[1]) for seed in range(3)]
    out = explorer.rows(looks, side=16)
    assert out.shape == (3, 3, 16, 16, 3)
    np.testing.assert_array_equal(out[0, 1], looks[1].picture[1::2, 1::2])


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        ({}, False),
        ({"JPY_SESSION_NAME": "05_lrp_max.ipynb"}, True),
        ({"JPY_SESSION_NAME": "x.ipynb", "TFF_STATIC": "1"}, False),
    ],
)
def test_widgets_are_for_notebooks_that_a_server_runs(
    set_to: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JPY_SESSION_NAME", "TFF_STATIC"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert explorer.live() is expected


def test_the_middle_of_a_large_picture_is_looked_at_as_it_is() -> None:
    large = picture(height=700, width=100)
    np.testing.assert_array_equal(pixels.middle(large, explorer.LARGEST), large[:, 94:606])
    assert pixels.middle(picture(), explorer.LARGEST).shape == (3, 32, 32)
    assert explorer.uploaded(png(height=600, width=40)).shape == (3, 512, 40)


def test_an_upload_that_is_no_picture_is_named_by_its_own_name() -> None:
    with pytest.raises(data.PictureError, match=r"^mine\.png cannot be read"):
        explorer.uploaded(b"no picture", "mine.png")


@pytest.fixture
def controls(tmp_path: Path):  # type: ignore[no-untyped-def]
    for seed in range(2):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    box = explorer.widget(NET, {"first": tmp_path / "0.png", "second": tmp_path / "1.png"}, MAPS)
    (choice, upload), known, (layer, channel), out = (
        box.children[0].children, box.children[1], box.children[2].children, box.children[3],
    )  # fmt: skip
    return choice, upload, known, layer, channel, out


def test_the_widget_shows_what_is_chosen(controls) -> None:  # type: ignore[no-untyped-def]
    choice, _, known, layer, channel, out = controls
    assert out.value == explorer.drawn(explorer.look(NET, picture(0), MAPS[0]))
    choice.value = "second"
    assert out.value == explorer.drawn(explorer.look(NET, picture(1), MAPS[0]))
    known.value = MAPS[1]
    assert (layer.value, channel.value) == (MAPS[1].layer, MAPS[1].channel)
    assert out.value == explorer.drawn(explorer.look(NET, picture(1), MAPS[1]))
    layer.value = "conv1"  # fewer channels than the last choice: the last one there is
    assert (channel.value, channel.max) == (3, 3)
    assert out.value == explorer.drawn(explorer.look(NET, picture(1), FeatureMap("conv1", 3, 4)))
    channel.value = 0
    assert out.value == explorer.drawn(explorer.look(NET, picture(1), FeatureMap("conv1", 0, 4)))


def test_the_widget_takes_the_readers_own_picture_and_tells_what_is_wrong_with_it(controls) -> None:  # type: ignore[no-untyped-def]
    choice, upload, *_, out = controls
    choice.value = "your own picture"
    assert "Give a picture" in out.value
    given = {"type": "image/png", "size": 1, "last_modified": datetime.datetime.now(tz=datetime.UTC)}
    upload.set_trait("value", ({"name": "a.png", "content": memoryview(png(5)), **given},))
    assert out.value == explorer.drawn(explorer.look(NET, picture(5), MAPS[0]))
    choice.value = "first"
    upload.set_trait("value", ({"name": "<b>.png", "content": memoryview(b"x"), **given},))
    assert choice.value == "your own picture"
    assert "&lt;b&gt;.png cannot be read" in out.value


def test_the_widget_shows_what_a_network_with_its_own_preprocessing_sees(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png())
    own = data.Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, resize=48, crop=40)
    box = explorer.widget(NET, {"first": tmp_path / "0.png"}, MAPS, preprocessing=own)
    upload, out = box.children[0].children[1], box.children[-1]
    assert out.value == explorer.drawn(explorer.look(NET, picture(), MAPS[0], preprocessing=own))
    assert out.value != explorer.drawn(explorer.look(NET, picture(), MAPS[0]))
    large = {"height": 700, "width": 600}
    given = {"type": "image/png", "size": 1, "last_modified": datetime.datetime.now(tz=datetime.UTC)}
    upload.set_trait("value", ({"name": "a.png", "content": memoryview(png(5, **large)), **given},))
    # resized as a whole, not its middle
    assert out.value == explorer.drawn(explorer.look(NET, picture(5, **large), MAPS[0], preprocessing=own))


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        explorer.widget(NET, {}, MAPS)
