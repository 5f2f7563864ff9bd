"""Feature maps and the way their names are written: ``layer1.0.conv1.#63(T=64)``.

The form is that of the paper's published relevance tables: the module name of the convolution, the
0-based channel, and the number of channels of that layer.
"""

from __future__ import annotations

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
