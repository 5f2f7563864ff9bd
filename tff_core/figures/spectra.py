"""Mean spectra of families, how they differ from reals, and profiles over frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from tff_core.figures.base import LINE, add_menu, band, finish, generator_name, series, span_text


def spectrum_planes(
    planes: Mapping[str, ArrayLike],
    unit: str = "ln |c|",
    text: str = "",
    diverging: bool = False,
    fourier: bool = False,
) -> go.Figure:
    """Planes of coefficients of the cosine transform, one for each family; a menu chooses it.

    ``planes`` (H, W) in ``unit``, the mean in the corner; NaN is left blank. With ``fourier`` they are of
    that transform, the mean in the corner, too, and are drawn with it in the middle. All families share one
    scale, symmetric about zero where it is ``diverging``; few coefficients beyond it (1 %, mostly the mean)
    do not stretch it. ``text`` begins the caption. A family of 128 x 128 takes 90 kB of the page.
    """
    drawn = {name: np.asarray(plane, dtype=np.float32) for name, plane in planes.items()}
    if not drawn or any(plane.ndim != 2 for plane in drawn.values()):
        raise ValueError(f"planes of {', '.join(drawn) or 'nothing'}: expected one (H, W) for each family")
    low, high = _range(list(drawn.values()), diverging)
    figure = go.Figure()
    for i, (name, plane) in enumerate(drawn.items()):
        height, width = plane.shape
        figure.add_heatmap(
            z=np.fft.fftshift(plane).round(2) if fourier else plane,
            x0=-(width // 2) / width if fourier else 0,
            dx=1 / width if fourier else 1 / (2 * width),
            y0=-(height // 2) / height if fourier else 0,
            dy=1 / height if fourier else 1 / (2 * height),
            zmin=low,
            zmax=high,
            colorscale="RdBu" if diverging else "Cividis",
            reversescale=diverging,
            visible=i == 0,
            name=name,
            colorbar={
                "orientation": "h", "y": -0.17, "yanchor": "top", "thickness": 10, "len": 0.9,
                "title": {"text": unit, "side": "top"},
            },
            hovertemplate="%{y:.3f} down, %{x:.3f} across: %{z:.2f} " + unit + "<extra></extra>",
            hoverongaps=False,
        )  # fmt: skip
    if len(drawn) > 1:
        visible = {generator_name(n): [other == n for other in drawn] for n in drawn}
        add_menu(figure, visible, dropdown=True)
    figure.update_xaxes(title="across, cycles per pixel", constrain="domain", showgrid=False)
    figure.update_yaxes(
        title="down, cycles per pixel", autorange="reversed", scaleanchor="x", constrain="domain",
        showgrid=False,
    )  # fmt: skip
    told = "; ".join(f"{generator_name(n)}: {_where(plane, fourier)}" for n, plane in drawn.items())
    place = "middle, the finest pattern in the corners" if fourier else "corner, the finest pattern opposite"
    caption = (
        f"{text} The mean of the picture stands in the {place}; one scale for "
        f"all families.{' The menu chooses the family.' if len(drawn) > 1 else ''}"
    )
    return finish(figure, 560, caption.strip(), f"Planes of frequencies. {told}.", menu=len(drawn) > 1)


def spectrum_differences(
    values: Mapping[str, ArrayLike], q: Mapping[str, ArrayLike], rate: float = 0.05, base: str = "real"
) -> go.Figure:
    """How each family's mean spectrum differs from that of ``base``, where chance does not explain it.

    ``values`` and ``q`` (H, W) for each family: the difference, and the false discovery rate at which it is
    called one. Coefficients whose ``q`` is above ``rate`` are blank.
    """
    shown: dict[str, NDArray[np.floating]] = {}
    shares = []
    for name, plane in values.items():
        rates = np.asarray(q[name])
        shown[name] = np.where(rates <= rate, np.asarray(plane, dtype=np.float32), np.nan)
        shares.append(f"{generator_name(name)} {int((rates <= rate).sum()):,} of {rates.size:,}")
    text = (
        f"Mean log spectrum of a family less that of {_plural(base)}: red where it has more. Blank: no "
        f"difference at a false discovery rate of {100 * rate:g} %. Coefficients that differ: "
        f"{', '.join(shares)}."
    )
    return spectrum_planes(shown, "difference of ln |c|", text, diverging=True)


def _plural(base: str) -> str:
    return "the reals" if base == "real" else generator_name(base)


def _range(planes: Sequence[NDArray[np.floating]], diverging: bool) -> tuple[float, float]:
    known = np.concatenate([plane[np.isfinite(plane)].ravel() for plane in planes])
    if not known.size:
        return -1.0, 1.0
    if diverging:
        end = float(np.quantile(np.abs(known), 0.99)) or 1.0
        return -end, end
    low, high = (float(v) for v in np.quantile(known, [0.005, 0.995]))
    return low, high if high > low else low + 1


def _where(plane: NDArray[np.floating], fourier: bool = False) -> str:
    """The largest absolute value and its place, in words."""
    if not np.isfinite(plane).any():
        return "nothing"
    row, column = np.unravel_index(np.nanargmax(np.abs(plane)), plane.shape)
    down, across = row / (2 * plane.shape[0]), column / (2 * plane.shape[1])
    if fourier:
        down, across = (abs(np.fft.fftfreq(n)[i]) for n, i in zip(plane.shape, (row, column), strict=True))
    return f"largest {plane[row, column]:.2f} at {down:.2f} down and {across:.2f} across"


def spectrum_profiles(
    table: pd.DataFrame, title: str, text: str = "", zero: bool = False, base: str = "real"
) -> go.Figure:
    """A number of each family over frequency, with the band of its interval.

    ``table`` has ``family``, ``frequency`` (cycles per pixel), ``value, low, high`` and ``n``; ``title`` is
    that of the axis; ``zero`` draws a line there, for differences. ``text`` begins the caption. Families keep
    their colours in a table of differences, which lacks the first of them, ``base``. With a column
    ``channel`` a menu chooses it. The mean of the picture,
    at frequency 0, is left out: it is brightness, and would stretch the axis.
    """
    table = table if "channel" in table else table.assign(channel="")
    families, channels = (list(dict.fromkeys(table[name])) for name in ("family", "channel"))
    figure, owner = go.Figure(), []
    told = []
    for channel in channels:
        for i, family in enumerate(families, start=0 if base in families else 1):
            rows = table[(table["family"] == family) & (table["channel"] == channel)]
            rows = rows[rows["frequency"] > 0].sort_values("frequency")
            colour, _, dash = series(i)
            name = generator_name(family)
            band(figure, rows["frequency"], rows["low"], rows["high"], colour, family)
            figure.add_scatter(
                x=rows["frequency"],
                y=rows["value"],
                mode="lines",
                name=name,
                legendgroup=family,
                line={"color": colour, "width": 2, "dash": dash},
                customdata=np.stack([rows["low"], rows["high"], rows["n"]], axis=1),
                hovertemplate=name + ", %{x:.3f} cycles per pixel: %{y:.2f} "
                "[%{customdata[0]:.2f}, %{customdata[1]:.2f}], n = %{customdata[2]}<extra></extra>",
            )
            owner += [channel, channel]
            best: Any = rows.loc[rows["value"].abs().idxmax()]
            who = f"{name}, {channel}," if channel else name
            told.append(f"{who} farthest from 0 at {best['frequency']:.2f} ({best['value']:.2f})")
    if len(channels) > 1:
        add_menu(figure, {one: [other == one for other in owner] for one in channels})
    if zero:
        figure.add_hline(y=0, line={"color": LINE, "width": 1.5})
    # where a pattern of two pixels stands, along an axis of the picture; beyond it are the diagonals
    figure.add_vline(x=0.5, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="frequency, cycles per pixel")
    figure.update_yaxes(title=title)
    caption = (
        f"{text} Means over rings of equal frequency; bands: 95 % intervals over {span_text(table['n'])} "
        "pictures. Dotted: the finest frequency along an axis of the picture."
        + (" The menu chooses the channel." if len(channels) > 1 else "")
    )
    height = 440 + 12 * len(families)
    description = f"Profiles over frequency: {'; '.join(told)}."
    return finish(figure, height, caption.strip(), description, menu=len(channels) > 1)
