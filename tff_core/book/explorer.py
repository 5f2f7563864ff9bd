"""Any picture, any feature map: where the map is most excited in it, and by what. For JupyterLab.

`look` computes, `widget` lets a reader choose; a page without a kernel shows precomputed results.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tff_core import lrp
from tff_core.features import maxima, pixels
from tff_core.features.names import FeatureMap
from tff_core.pictures import data, sheets

LARGEST = 512
"""Pixels a side; of larger pictures the middle is looked at. They are not made smaller: that would change the
traces which detectors look for."""
_SHOWN = 256  # px a side on the screen
_OWN = "your own picture"


def live() -> bool:
    """True if a reader works in a notebook with a kernel, so that widgets can respond.

    A Jupyter server passes the notebook's name to the kernels it starts (``JPY_SESSION_NAME``); a build has
    no server. The environment variable ``TFF_STATIC`` makes it False in any case.
    """
    return "JPY_SESSION_NAME" in os.environ and not os.environ.get("TFF_STATIC")


@dataclass(frozen=True)
class Look:
    """One feature map in one picture.

    ``picture`` and ``overlay`` (relevance over a gray copy) are uint8 (H, W, 3). ``box`` (top, left, bottom,
    right) is the patch; it is None where the map has no relevance. ``value`` is the map's largest activation
    after batch normalisation, ``position`` (row, column) its position in the map.
    """

    map: FeatureMap
    value: float
    position: tuple[int, int]
    box: tuple[int, int, int, int] | None
    picture: NDArray[np.uint8]
    overlay: NDArray[np.uint8]

    @property
    def patch(self) -> NDArray[np.uint8] | None:
        """The part of the picture inside the box, (h, w, 3)."""
        if self.box is None:
            return None
        top, left, bottom, right = self.box
        return self.picture[top:bottom, left:right]

    def words(self) -> str:
        """What was found, in one sentence."""
        where = "it is not active anywhere in this picture, so that there is no patch"
        if self.box is not None:
            top, left, bottom, right = self.box
            where = f"the patch has rows {top} to {bottom - 1} and columns {left} to {right - 1}"
        row, column = self.position
        return (
            f"{self.map}: largest activation {self.value:.2f}, at row {row} and column {column} of the map; "
            f"{where}."
        )


def look(
    net: lrp.Net,
    picture: torch.Tensor,
    m: FeatureMap,
    device: str | torch.device = "cpu",
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Look:
    """Where in a picture, uint8 (3, H, W), a feature map is most excited, and by what.

    ``preprocessing`` is what the network needs; the preprocessed picture is what is shown. Raises ValueError
    where the network has no such map, or the picture is too small for it.
    """
    picture = preprocessing.cut(picture)
    x = data.normalize(picture[None], preprocessing).to(device)
    best = maxima.activation_max(net, [x], [m], top=1)
    patch = maxima.lrp_max(net, best)[0]
    shown = picture.permute(1, 2, 0).contiguous().numpy()
    over = pixels.overlay(shown[None], pixels.heat(pixels.in_place(patch)[None]))[0]
    return Look(m, patch.value, (int(best.row[0, 0]), int(best.col[0, 0])), patch.window(), shown, over)


def rows(looks: Sequence[Look], side: int = 64) -> NDArray[np.uint8]:
    """Pictures, overlays and patches as the three rows of a collage: uint8 (3, N, side, side, 3).

    Pixels are repeated, never interpolated. A missing patch is all black.
    """
    out = np.zeros((3, len(looks), side, side, 3), dtype=np.uint8)
    for i, found in enumerate(looks):
        whole = (0, 0, *found.picture.shape[:2])
        out[0, i] = pixels.enlarge(found.picture, whole, side)
        out[1, i] = pixels.enlarge(found.overlay, whole, side)
        if found.box is not None:
            out[2, i] = pixels.enlarge(found.picture, found.box, side)
    return out


def uploaded(
    content: bytes | memoryview, name: str = "upload", largest: int | None = LARGEST
) -> torch.Tensor:
    """A picture from the bytes of a file, uint8 (3, H, W), checked as `data.read` checks; large ones cropped.

    None for ``largest`` crops nothing, for a network whose preprocessing resizes or crops.

    Raises `data.PictureError`, which names the file, where the bytes are not a picture.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(content)
        try:
            whole = data.read(path)
            return whole if largest is None else pixels.middle(whole, largest)
        except data.PictureError as error:
            raise data.PictureError(str(error).replace(str(path), name)) from error


def widget(
    net: lrp.Net,
    pictures: Mapping[str, Path],
    start: Sequence[FeatureMap],
    device: str | torch.device = "cpu",
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Any:
    """Choose or upload a picture, choose a feature map, see its relevance and patch. An ipywidgets box.

    Parameters
    ----------
    net: from `lrp.canonize`.
    pictures: names and paths to choose from.
    start: maps worth a look, the first of them shown initially; others can be chosen by layer and channel.
    device: where ``net`` is.
    preprocessing: what ``net`` needs.

    Raises ValueError where there is no picture or no map.
    """
    import ipywidgets  # only a notebook needs it, and it takes a while to load

    if not pictures or not start:
        raise ValueError(f"{len(pictures)} pictures and {len(start)} maps: expected at least one of each")
    style = {"description_width": "70px"}
    wide = ipywidgets.Layout(width="auto", max_width="420px")
    choice = ipywidgets.Dropdown(options=[*pictures, _OWN], description="picture", style=style, layout=wide)
    upload = ipywidgets.FileUpload(accept="image/*", multiple=False, description=_OWN)
    known = ipywidgets.Dropdown(
        options=[(str(m), m) for m in start], value=start[0], description="top map", style=style, layout=wide
    )
    layer = ipywidgets.Dropdown(
        options=list(net.layers), value=start[0].layer, description="layer", style=style, layout=wide
    )
    channel = ipywidgets.BoundedIntText(
        value=start[0].channel,
        max=start[0].channels - 1,
        description="channel",
        style=style,
        layout=ipywidgets.Layout(width="170px"),
    )
    # the network's own resize is of the whole picture
    largest = None if preprocessing.resize or preprocessing.crop else LARGEST
    out = ipywidgets.HTML()
    moving = False  # while one control sets another

    def show(*_: object) -> None:
        if moving:
            return
        try:
            m = FeatureMap(layer.value, channel.value, net.layers[layer.value])
            if choice.value != _OWN:
                picture = data.read(pictures[choice.value])
            elif upload.value:
                picture = uploaded(upload.value[0]["content"], upload.value[0]["name"], largest)
            else:
                out.value = "Give a picture with the button above."
                return
            out.value = drawn(look(net, picture, m, device, preprocessing))
        except (ValueError, OSError, RuntimeError) as error:
            out.value = f"<b>{html.escape(str(error))}</b>"

    def set_map(m: FeatureMap) -> None:
        nonlocal moving
        moving = True
        layer.value = m.layer
        channel.max = m.channels - 1  # before the value, which it bounds
        channel.value = m.channel
        moving = False
        show()

    known.observe(lambda change: set_map(change["new"]), "value")
    layer.observe(
        lambda change: (
            set_map(
                FeatureMap(
                    change["new"],
                    min(channel.value, net.layers[change["new"]] - 1),
                    net.layers[change["new"]],
                )
            )
            if not moving
            else None
        ),
        "value",
    )
    channel.observe(show, "value")
    choice.observe(show, "value")

    def given(_: object) -> None:
        if choice.value == _OWN:
            show()
        else:
            choice.value = _OWN

    upload.observe(given, "value")
    show()
    return ipywidgets.VBox(
        [ipywidgets.HBox([choice, upload]), known, ipywidgets.HBox([layer, channel]), out],
        layout=ipywidgets.Layout(max_width="900px"),
    )


def drawn(found: Look) -> str:
    """Picture, relevance and patch side by side with a sentence, as HTML."""
    figures = {"picture": found.picture, "relevance": found.overlay, "patch": found.patch}
    cells = "".join(
        f'<figure style="margin:0 12px 8px 0"><img alt="{name}" src="{sheets.png(array)}" '
        f'style="width:{_SHOWN}px;max-width:100%;image-rendering:pixelated"><figcaption>{name}</figcaption></figure>'
        for name, array in figures.items()
        if array is not None
    )
    return f'<p>{html.escape(found.words())}</p><div style="display:flex;flex-wrap:wrap">{cells}</div>'
