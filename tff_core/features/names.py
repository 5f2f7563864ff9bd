"""Feature maps and the way their names are written: ``layer1.0.conv1.#63(T=64)``.

The form is that of the paper's published relevance tables: the module name of the convolution, the
0-based channel, and the number of channels of that layer. On the book's pages a name leads to the map's place
in the atlas.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_KEY = re.compile(r"(?P<layer>[^#]+)\.#(?P<channel>\d+)\(T=(?P<channels>\d+)\)")


@dataclass(frozen=True, order=True)
class FeatureMap:
    """One output channel of one convolution.

    ``layer`` is the name of the convolution in the network, ``channel`` its 0-based index and ``channels``
    the number of channels of that layer.
    """

    layer: str
    channel: int
    channels: int

    def __post_init__(self) -> None:
        if not 0 <= self.channel < self.channels:
            raise ValueError(
                f"feature map {self.layer!r}: channel {self.channel} is outside the layer's "
                f"{self.channels} channels (expected 0 to {self.channels - 1})"
            )

    def __str__(self) -> str:
        return f"{self.layer}.#{self.channel}(T={self.channels})"

    @classmethod
    def parse(cls, key: str) -> FeatureMap:
        """The feature map that ``key`` names.

        Raises ValueError where ``key`` is not of the form ``layer.#channel(T=channels)``.
        """
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(
                f"{key!r} is no feature-map name: expected the form 'layer1.0.conv1.#63(T=64)', "
                "that is layer, channel and number of channels"
            )
        return cls(match["layer"], int(match["channel"]), int(match["channels"]))


def anchor(m: FeatureMap) -> str:
    """The address of a map on the atlas's page: ``layer1.0.conv1.63`` for ``layer1.0.conv1.#63(T=64)``.

    Every map of the network has one: the page shows its card there, or what is known of all maps.
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", f"{m.layer}.{m.channel}")


def address(m: FeatureMap, folder: str = "") -> str:
    """Where the map's name leads, as for `link`; figures take it, see `figures.linked`."""
    return f"{folder}atlas.html#{anchor(m)}"


def link(m: FeatureMap, folder: str = "") -> str:
    """A map's name as a link to its place in the atlas, for text written by a notebook.

    ``folder`` is the atlas's folder relative to the page: "" if they share one (as all chapters of one
    detector do), otherwise with a trailing slash, such as ``../notebooks/``.
    """
    return f'<a href="{html.escape(address(m, folder), quote=True)}"><code>{html.escape(str(m))}</code></a>'
