"""The paper's own numbers, as tables.

Source: the tables in the README of the paper's code (github.com/sutd-visual-computing-group/
transferable-forensic-features, 2023) for Chandrasegaran, Tran, Binder and Cheung, "Discovering Transferable
Forensic Features for CNN-generated Images Detection", ECCV 2022. The files hold percentages as printed there;
the functions return fractions in [0, 1].

Their random-k is one ensemble of five networks, and their accuracies are at a threshold calibrated on the
test pictures themselves (0.5 for ProGAN).
"""

from __future__ import annotations

from importlib import resources

import pandas as pd

K = {"resnet50": 114, "efb0": 27}
OMEGA_AT_K = {"resnet50": 0.02533, "efb0": 0.05639}
"""Omega of the last map of the top k in the published rankings on fakes (progan_val-fake.csv)."""
TOP_PARTS = {
    "resnet50": {"conv1": 9, "layer1": 57, "layer2": 22, "layer3": 5, "layer4": 21},
    "efb0": {
        "_conv_stem": 5, "_expand_conv": 1, "_depthwise_conv": 6, "_project_conv": 15, "_conv_head": 0,
    },
}  # fmt: skip
"""How many of the top k of these rankings lie in each part of the network."""


def _read(name: str, *fractions: str) -> pd.DataFrame:
    with resources.files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as stream:
        table = pd.read_csv(stream)
    table[list(fractions)] = table[list(fractions)] / 100
    return table


def sensitivity(arch: str | None = None) -> pd.DataFrame:
    """Feature-map dropout of the published detectors (blur and JPEG with probability 0.5).

    Columns detector ("resnet50" or "efb0"), k, condition ("baseline", "top-k", "random-k", "low-k"),
    generator, ap, acc_real, acc_fake. With ``arch``, only its rows; ValueError where the paper has no such
    network.
    """
    table = _read("sensitivity", "ap", "acc_real", "acc_fake")
    if arch is None:
        return table
    if arch not in K:
        raise ValueError(f"the paper has no network {arch!r}: expected one of {', '.join(K)}")
    return table[table["detector"] == arch].reset_index(drop=True)


def color_robust() -> pd.DataFrame:
    """AP of the baseline and the color-robust detectors on color and on grayscale pictures.

    Columns architecture, detector ("baseline" or "color-robust"), input ("rgb" or "grayscale"), generator,
    ap, doubtful. In the rows of EfficientNet-B0 the StyleGAN2 numbers repeat those of StyleGAN, in all four,
    and contradict the paper's sensitivity table (99.0 here, 95.9 there, for the same baseline): presumably a
    copying error in the source. These are marked doubtful and are no target for a reproduction.
    """
    table = _read("color_robust_ap", "ap")
    table["doubtful"] = (table["architecture"] == "efb0") & (table["generator"] == "stylegan2")
    return table


def color_conditional() -> pd.DataFrame:
    """Share of the top-k feature maps that are color-conditional (median test, p <= 0.05).

    Columns detector ("resnet50", or "cr-resnet50" and so on for the color-robust ones), generator, share.
    """
    table = _read("color_conditional", "percent_color_conditional")
    return table.rename(columns={"percent_color_conditional": "share"})
