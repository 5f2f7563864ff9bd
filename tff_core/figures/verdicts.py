"""What the intervals say about the paper's claims."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    FAKE,
    INK,
    REAL,
    SEED_COLOURS,
    add_menu,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    records,
)

STATES: dict[str, tuple[str, str, str]] = {
    "for": ("for the claim", "+", REAL),
    "open": ("open", "?", "#D9D9D9"),
    "against": ("against the claim", "\u2212", FAKE),
    "missing": ("not measured", "", "rgba(128,128,128,0.12)"),
}
"""The name, sign and colour of a tile."""
_PARTS = ("diamond", "circle-open")


def verdict_tiles(states: pd.DataFrame, told: Mapping[tuple[str, str, str], str]) -> go.Figure:
    """Claims by generators: what each one says. A menu chooses the detector if there are several.

    Parameters
    ----------
    states: columns ``claim`` (its name on the axis), ``detector`` (its title), ``generator`` and
        ``says`` ("for", "open", "against", "missing"). A generator that a claim does not use has no row.
    told: for (claim, detector, generator), the numbers that appear on hovering.
    """
    unknown = set(states["says"]) - set(STATES)
    if unknown:
        raise ValueError(f"tiles {sorted(unknown)} have no colour: expected some of {list(STATES)}")
    generators = in_order(states["generator"])
    claims = list(dict.fromkeys(states["claim"]))
    names = list(STATES)
    figure = go.Figure()
    detectors = list(dict.fromkeys(states["detector"]))
    for detector in detectors:
        own = states[states["detector"] == detector].set_index(["claim", "generator"])["says"]
        cells = [[own.get((claim, g)) for g in generators] for claim in claims]
        figure.add_heatmap(
            z=[[None if says is None else names.index(says) for says in row] for row in cells],
            x=[generator_name(g) for g in generators],
            y=claims,
            zmin=-0.5,
            zmax=len(names) - 0.5,
            colorscale=_steps([STATES[name][2] for name in names]),
            showscale=False,
            xgap=3,
            ygap=3,
            text=[["" if says is None else STATES[says][1] for says in row] for row in cells],
            texttemplate="%{text}",
            textfont={"size": 16},
            customdata=[
                [
                    _hover(says, told.get((claim, detector, g), ""))
                    for g, says in zip(generators, row, strict=True)
                ]
                for claim, row in zip(claims, cells, strict=True)
            ],
            hovertemplate="%{y}, %{x}: %{customdata}<extra></extra>",
            hoverongaps=False,
        )
    several = len(detectors) > 1
    if several:
        add_menu(figure, {d: [other == d for other in detectors] for d in detectors})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, side="top", tickangle=-45)
    signs = ", ".join(f"{sign} {name}" for name, sign, _ in STATES.values() if sign)
    text = (
        f"What the interval of each generator says about each claim: {signs}; pale: not measured; no tile: "
        "the claim does not ask this generator. Hover a tile for its numbers."
    )
    described = "; ".join(
        f"{detector}, {claim}: "
        + ", ".join(f"{generator_name(r.generator)} {STATES[r.says][0]}" for r in records(rows))
        for (detector, claim), rows in states.groupby(["detector", "claim"], sort=False)
    )
    height = 150 + 40 * len(claims) + 40 * several
    finish(figure, height, text, f"Claims by generators. {described}.", several)
    figure.update_layout(margin_t=120 if several else 80)
    if several:  # above the generator names, which are above the tiles
        figure.update_layout(updatemenus=[{"pad": {"b": 78, "l": 0, "t": 0}}])
    return figure


def _hover(says: str | None, numbers: str) -> str:
    return "<br>".join(filter(None, [STATES[says][0], numbers])) if says else ""


def _steps(colours: list[str]) -> list[tuple[float, str]]:
    n = len(colours)
    return [(at, colour) for i, colour in enumerate(colours) for at in (i / n, (i + 1) / n)]


def verdict_intervals(evidence: pd.DataFrame, axes: Mapping[str, tuple[str, float]]) -> go.Figure:
    """The interval of every generator, one claim at a time: a menu chooses it.

    Parameters
    ----------
    evidence: columns ``claim`` (its name in the menu), ``detector`` (its title), ``part``, ``generator``,
        ``value``, ``low``, ``high``, ``border`` and ``n``. Rows without an interval are left out, and so are
        claims that have none.
    axes: for each claim its axis title and the factor by which its numbers are multiplied there (100 for
        percent).
    """
    table = evidence.dropna(subset=["low", "high"]).copy()
    if table.empty:
        raise ValueError("no claim has an interval: expected the evidence of one claim or more")
    scaled = ["value", "low", "high", "border"]
    table[scaled] = table[scaled].mul([axes[claim][1] for claim in table["claim"]], axis=0)
    generators = in_order(table["generator"])
    claims = list(dict.fromkeys(table["claim"]))
    detectors = list(dict.fromkeys(table["detector"]))
    figure, owner = go.Figure(), []
    for claim in claims:
        own = table[table["claim"] == claim]
        parts = list(dict.fromkeys(own["part"]))
        places = [(d, p) for d in detectors for p in parts]
        for i, (detector, part) in enumerate(places):
            rows = own[(own["detector"] == detector) & (own["part"] == part)]
            if rows.empty:
                continue
            shift = 0.3 - 0.6 * i / max(1, len(places) - 1) if len(places) > 1 else 0.0
            y = [len(generators) - 1 - generators.index(g) + shift for g in rows["generator"]]
            figure.add_scatter(
                x=rows["border"],
                y=y,
                mode="markers",
                marker={
                    "symbol": "line-ns-open",
                    "size": 16,
                    "color": INK,
                    "line": {"width": 1.5, "color": INK},
                },
                name="border",
                showlegend=i == 0,
                legendgroup="border",
                visible=claim == claims[0],
                hovertemplate="border of the rule: %{x:.3g}<extra></extra>",
            )
            figure.add_scatter(
                x=rows["value"],
                y=y,
                mode="markers",
                marker={
                    "symbol": _PARTS[parts.index(part) % 2],
                    "size": 9,
                    "color": SEED_COLOURS[detectors.index(detector) % len(SEED_COLOURS)],
                },
                error_x=error_bars(rows, "value", scale=1),
                name=detector if len(parts) == 1 else f"{detector}: {part}",
                visible=claim == claims[0],
                customdata=np.stack([rows["low"], rows["high"], rows["n"]], axis=1),
                hovertemplate="%{x:.3g} [%{customdata[0]:.3g}, %{customdata[1]:.3g}], n = %{customdata[2]}"
                f"<extra>{detector}</extra>",
            )
            owner += [claim, claim]
    if len(claims) > 1:
        add_menu(
            figure,
            {claim: [o == claim for o in owner] for claim in claims},
            dropdown=True,
            relayout={claim: {"xaxis.title.text": axes[claim][0]} for claim in claims},
        )
    generator_axis(figure, generators)
    figure.update_xaxes(title=axes[claims[0]][0])
    text = (
        "Every generator's number with its interval, and, as a short upright line, the border that the whole "
        "interval must pass to speak for the claim. The menu chooses the claim."
    )
    described = "; ".join(
        f"{claim}: {len(own)} intervals on {own['generator'].nunique()} generators"
        for claim, own in table.groupby("claim", sort=False)
    )
    height = 240 + 46 * max(3, len(generators))
    return finish(figure, height, text, f"Intervals by generator. {described}.", len(claims) > 1)
