"""What dropping feature maps does to a detector."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tff_core.figures.base import (
    CONDITIONS,
    FAKE,
    INK,
    LINE,
    SEED_COLOURS,
    add_menu,
    alt_ap,
    chance_of,
    cloud,
    counts_text,
    dots,
    error_bars,
    finish,
    generator_axis,
    generator_name,
    in_order,
    known_conditions,
    offset_of,
    records,
    row_of,
    several_seeds,
)


def finding(summary: pd.DataFrame, paper: pd.DataFrame | None = None, k: int | None = None) -> go.Figure:
    """AP of every generator under every condition, with a switch between measured and published numbers.

    Parameters
    ----------
    summary: one row per generator and condition with ``ap``, ``low``, ``high`` in [0, 1], ``seeds``,
        ``draws``, ``n_real`` and ``n_fake``; optionally ``points``, the AP of every seed and draw, drawn
        faintly.
    paper: the published table, with ``generator``, ``condition`` and ``ap`` in [0, 1]; without it there is
        no switch.
    k: how many maps are dropped; named in the caption.
    """
    summary = known_conditions(summary)
    generators = in_order(summary["generator"])
    figure = go.Figure()
    conditions = [name for name in CONDITIONS if name in set(summary["condition"])]
    for condition in conditions:
        rows = summary[summary["condition"] == condition].set_index("generator")
        rows = rows.loc[[g for g in generators if g in rows.index]]
        y = [row_of(generators, g) + offset_of(condition, conditions) for g in rows.index]
        if "points" in rows:
            cloud(figure, rows["points"], y, CONDITIONS[condition][1])
        dots(figure, condition, rows, y, bars=True)
    measured = len(figure.data)
    if paper is not None:
        table = known_conditions(paper)
        present = [name for name in conditions if name in set(table["condition"])]
        for condition in present:
            rows = table[table["condition"] == condition].set_index("generator")
            rows = rows.loc[[g for g in generators if g in rows.index]]
            y = [row_of(generators, g) + offset_of(condition, conditions) for g in rows.index]
            dots(figure, condition, rows, y, bars=False, visible=False)
        total = len(figure.data)
        add_menu(
            figure,
            {
                "Measured here": [i < measured for i in range(total)],
                "The paper": [i >= measured for i in range(total)],
            },
        )
    chance = chance_of(summary)
    figure.add_vline(x=100 * chance, line={"color": LINE, "dash": "dot", "width": 1})
    figure.update_xaxes(title="average precision (AP), %", range=[min(38.0, 100 * chance - 8), 101.5])
    generator_axis(figure, generators)
    what = f"{k} feature maps" if k else "k feature maps"
    text = (
        f"Average precision on each generator, with the whole detector and with {what} held constant. "
        f"{counts_text(summary)} Whiskers: "
        + (
            "lowest to highest bound of the seeds' 95 % intervals; faint dots: single seeds and draws; "
            if summary["seeds"].max() > 1
            else "95 % intervals over pictures, of one detector; faint dots: single draws; "
        )
        + "dotted line: a random order, on average."
    )
    if paper is not None:
        text += " The paper reports one detector, no intervals and no layer-matched control."
    return finish(
        figure, 220 + 60 * max(3, len(generators)), text, alt_ap(summary, generators), menu=paper is not None
    )


def accuracies(summary: pd.DataFrame, paper: pd.DataFrame | None = None) -> go.Figure:
    """Real accuracy against fake accuracy at the calibrated threshold, one point per generator and condition.

    ``summary`` and ``paper`` hold ``generator``, ``condition``, ``acc_real`` and ``acc_fake`` in [0, 1]. A
    point in the lower right corner calls everything real, one in the upper left corner everything fake.
    """
    figure = go.Figure()
    sources = [("Measured here", known_conditions(summary))]
    if paper is not None:
        sources.append(("The paper", known_conditions(paper)))
    spans: dict[str, int] = {}
    for label, table in sources:
        for condition in [name for name in CONDITIONS if name in set(table["condition"])]:
            rows = table[table["condition"] == condition]
            name, colour, symbol = CONDITIONS[condition]
            figure.add_scatter(
                x=100 * rows["acc_real"],
                y=100 * rows["acc_fake"],
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 10, "opacity": 0.85},
                text=[generator_name(g) for g in rows["generator"]],
                visible=label == "Measured here",
                hovertemplate="%{text}, "
                + name
                + "<br>real right %{x:.1f} %<br>fake right %{y:.1f} %<extra></extra>",
            )
        spans[label] = len(figure.data)
    if paper is not None:
        first, total = spans["Measured here"], spans["The paper"]
        add_menu(
            figure,
            {
                "Measured here": [i < first for i in range(total)],
                "The paper": [i >= first for i in range(total)],
            },
        )
    for x, y, text, xanchor in (
        (0, 107, "all called fake", "left"),
        (100, -8, "all called real", "right"),
        (100, 107, "all right", "right"),
    ):
        figure.add_annotation(
            x=x, y=y, text=text, showarrow=False, xanchor=xanchor, font={"size": 11, "color": INK}
        )
    figure.update_xaxes(title="reals called real, %", range=[-4, 104])
    figure.update_yaxes(title="fakes called fake, %", range=[-13, 112], tickvals=[0, 20, 40, 60, 80, 100])
    several = "seeds" in summary and bool(summary["seeds"].max() > 1)
    text = (
        "Real and fake accuracy together, at the whole detector's threshold; one point per generator and "
        f"condition, mean over {'seeds and ' * several}draws. {counts_text(summary)}"
    )
    described = "; ".join(
        f"{CONDITIONS[str(c)][0]}: real {100 * t['acc_real'].mean():.0f} %, "
        f"fake {100 * t['acc_fake'].mean():.0f} % on average"
        for c, t in known_conditions(summary).groupby("condition", sort=False)
    )
    return finish(
        figure, 520, text, f"Scatter of real against fake accuracy. {described}.", menu=paper is not None
    )


def forest(contrast: pd.DataFrame) -> go.Figure:
    """Differences of AP with their intervals, one row per generator; a menu chooses the comparison.

    ``contrast`` has the columns of the contrast table: ``generator``, ``seed`` ("all" = pooled),
    ``contrast``, ``delta_ap``, ``low``, ``high`` in [-1, 1], ``n_draws``, ``n_real``, ``n_fake``. Left of
    zero: dropping the top-k hurts more than the comparison does.
    """
    if contrast.empty:
        raise ValueError("the contrast table has no row: expected one per generator, seed and contrast")
    table = contrast.assign(seed=contrast["seed"].astype(str))
    generators = in_order(table["generator"])
    kinds = [
        c
        for c in ("top-k - matched-k", "top-k - random-k", "top-k - baseline")
        if c in set(table["contrast"])
    ]
    figure = go.Figure()
    owner: list[str] = []
    for kind in kinds:
        rows = table[table["contrast"] == kind]
        for i, (seed, some) in enumerate(rows[rows["seed"] != "all"].groupby("seed")):
            figure.add_scatter(
                x=100 * some["delta_ap"],
                y=[row_of(generators, g) - 0.1 - 0.1 * i for g in some["generator"]],
                mode="markers",
                name=f"seed {seed}",
                marker={"size": 7, "color": SEED_COLOURS[i % 5], "symbol": "circle-open"},
                error_x=error_bars(some, "delta_ap", thickness=0.8),
                visible=kind == kinds[0],
                hovertemplate=f"seed {seed}: " + "%{x:+.1f} points<extra></extra>",
            )
            owner.append(kind)
        pooled = rows[rows["seed"] == "all"]
        figure.add_scatter(
            x=100 * pooled["delta_ap"],
            y=[row_of(generators, g) + 0.15 for g in pooled["generator"]],
            mode="markers",
            name="mean of the seeds" if several_seeds(table) else "the detector",
            marker={"size": 11, "color": FAKE, "symbol": "diamond"},
            error_x=error_bars(pooled, "delta_ap", thickness=2.2),
            visible=kind == kinds[0],
            customdata=np.stack(
                [
                    100 * pooled["low"],
                    100 * pooled["high"],
                    pooled["n_real"],
                    pooled["n_fake"],
                    pooled["n_draws"],
                ],
                axis=1,
            ),
            hovertemplate="%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<br>"
            "%{customdata[2]} reals, %{customdata[3]} fakes, %{customdata[4]} draws<extra></extra>",
        )
        owner.append(kind)
    labels = {
        "top-k - matched-k": "minus layer-matched",
        "top-k - random-k": "minus random-k",
        "top-k - baseline": "minus whole detector",
    }
    if len(kinds) > 1:
        add_menu(
            figure, {f"top-k {labels[kind]}": [o == kind for o in owner] for kind in kinds}, dropdown=True
        )
    figure.add_vline(x=0, line={"color": LINE, "width": 1.5})
    figure.update_xaxes(title="difference of AP, points")
    generator_axis(figure, generators)
    pooled = table[(table["seed"] == "all") & (table["contrast"] == kinds[0])]
    text = (
        "What dropping the top-k does beyond the comparison: difference of AP with its 95 % bootstrap "
        f"interval over pictures{', draws and seeds' if several_seeds(table) else ' and draws'}. "
        f"{counts_text(table)} Left of zero: the top-k matter more. "
        "The menu changes the comparison."
    )
    described = "; ".join(
        f"{generator_name(r.generator)} {100 * r.delta_ap:+.1f} [{100 * r.low:+.1f}, {100 * r.high:+.1f}]"
        for r in records(pooled)
    )
    return finish(
        figure,
        170 + 50 * max(2, len(generators)),
        text,
        f"Forest plot, {kinds[0]}, points of AP: {described}.",
        menu=len(kinds) > 1,
    )
