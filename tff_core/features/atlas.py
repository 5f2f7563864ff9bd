"""The atlas: a place for every feature map of one detector, and a card for each of the top ones.

The contents of a card are computed here or elsewhere and passed in as tables; `page` renders them as HTML
that is a plain list without scripts. Searching and sorting come from the site's ``book.js``.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tff_core import lrp, metrics
from tff_core.features import dropout, ffrs
from tff_core.features.color_conditional import ALPHA
from tff_core.features.names import FeatureMap, anchor
from tff_core.pictures import data, sheets

Floats = NDArray[np.float64]
COLUMNS = (
    "map", "place", "omega", "omega_low", "omega_high", "p", "conditional", "effect", "effect_low",
    "effect_high", "d_ap", "shared", "expected",
)  # fmt: skip
"""The columns of the table that `page` takes, which describes them."""
_GAP = 2  # px between the patches of a card


# ----------------------------------------------------------------------------------------------- the index


def index(omega: ffrs.Omega, k: int) -> str:
    """A place for every map of the network, as HTML: its layer, omega and rank, and a table of the layers.

    ``k`` maps count as top. The page's script shows the map whose `anchor` the address names, or the maps of
    a layer (``atlas.html#layer1.0.conv1``); numbers are in the page itself, so nothing is loaded. Without
    the script there is the table.
    """
    rank = {m: number for number, m in enumerate(omega.ranking, start=1)}
    layers, rows = [], []
    for name, values in omega.values.items():
        maps = [FeatureMap(name, c, len(values)) for c in range(len(values))]
        places = [rank[m] for m in maps]
        layers.append([name, [float(f"{v:.3g}") for v in values], places])
        first = maps[int(np.argmin(places))]
        rows.append(
            f'<tr><th scope="row"><a href="#{anchor(first).rpartition(".")[0]}"><code>{html.escape(name)}'
            f"</code></a></th><td>{len(maps):,}</td><td>{sum(place <= k for place in places)}</td>"
            f'<td><a href="#{anchor(first)}">#{first.channel}</a></td><td>{min(places):,}</td>'
            f"<td>{max(values):.3g}</td></tr>"
        )
    # the text of a script ends at the first "</"
    numbers = json.dumps({"k": k, "layers": layers}, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="tff-index"><script type="application/json">{numbers}</script><details><summary>All '
        f"{len(layers)} layers and their {len(omega):,} maps</summary><table><thead><tr><th>layer</th>"
        f"<th>maps</th><th>in the top {k}</th><th>largest ω</th><th>rank</th><th>ω</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></details></div>"
    )


# ---------------------------------------------------------------------------------------------- the numbers


@torch.no_grad()
def omega_samples(
    net: lrp.Net,
    batches: data.Pictures,
    maps: Sequence[FeatureMap],
    count: int | None = None,
    batch_size: int = 25,
) -> Floats:
    """Each map's share of its layer's relevance per picture, (N, M): omega before averaging over pictures.

    Args:
        net: with one logit, which speaks for fake.
        batches: fakes (N, 3, H, W), normalised, or batches of them, which are read twice.
        maps: feature maps of ``net``.
        count: use only this many pictures, those that the network is most confident are fake; all by default.
            Omega uses the pictures above a confidence, so their number selects the same ones.
        batch_size: pictures at a time, at most.

    Returns one row for each picture used that has relevance in every requested layer.
    Source: paper, section 4, algorithm 1.
    """
    logits = torch.cat([net(part)[:, net.target or 0] for part in _parts(batches, batch_size)])
    chosen = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    chosen[logits.argsort(descending=True, stable=True)[:count]] = True
    layers: dict[str, list[int]] = {}
    for column, m in enumerate(maps):
        layers.setdefault(m.layer, []).append(column)
    rows, seen = [], 0
    for whole in _parts(batches, batch_size):
        part = whole[chosen[seen : seen + len(whole)]]
        seen += len(whole)
        if not len(part):
            continue
        out = np.full((len(part), len(maps)), np.nan)

        def collect(layer: str, r: Tensor, out: Floats = out) -> None:
            if layer in layers:
                index = torch.tensor([maps[c].channel for c in layers[layer]], device=r.device)
                total = r.abs().sum((1, 2, 3), dtype=torch.float64)[:, None]
                positive = r.index_select(1, index).clamp(min=0).sum((2, 3), dtype=torch.float64)
                out[:, layers[layer]] = (positive / total).cpu().numpy()

        # the size of the starting relevance cancels; its sign is that of a fake
        start = torch.zeros_like(net(part))
        start[:, net.target or 0] = 1
        lrp.relevance(net, part, start=start, on_layer=collect)
        rows.append(out)
    found = np.concatenate(rows)
    return found[np.isfinite(found).all(1)]


def _parts(batches: data.Pictures, size: int) -> Iterator[Tensor]:
    for x in data.pictures(batches):
        yield from x.contiguous(memory_format=torch.channels_last).split(size)


def means(values: ArrayLike, n: int = 1000, seed: int = 0) -> Floats:
    """Mean over pictures with a 95 % bootstrap interval for many maps at once: (M, 3) from (N, M).

    The columns are value, low and high. Raises ValueError where there is no picture.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not len(table):
        raise ValueError(
            f"values of shape {table.shape}: expected (pictures, maps) with at least one picture"
        )
    low, high = np.quantile(metrics.resampled_means(table, n, seed), [0.025, 0.975], axis=0)
    return np.stack([table.mean(0), low, high], axis=1)


@torch.no_grad()
def single_dropout(
    net: lrp.Net, batches: Iterable[Sequence[Any]], maps: Sequence[FeatureMap], n: int = 1000
) -> pd.DataFrame:
    """The effect of dropping each map on its own.

    Parameters
    ----------
    net: with one logit, which speaks for fake.
    batches: tuples that begin with pictures (N, 3, H, W), normalised, and their labels (N,), 1 fake and 0
        real; both labels are present.
    maps: each is dropped alone, as in `dropout.fold_dropout`.
    n: bootstrap resamples.

    Returns
    -------
    One row per map, in their order: ``effect, effect_low, effect_high``, the mean change of the fakes' logit
    (negative: without the map they look less fake) with an interval over the fakes; and ``d_ap``, the change
    of the AP over all pictures.
    """
    plans = [dropout.plan(net, [m]) for m in maps]
    labels, before, after = [], [], []
    for x, some, *_ in batches:
        own = np.empty((len(maps), len(x)))
        for number, found in dropout.sweep(net, x, plans):
            own[number] = found[:, net.target or 0].double().cpu().numpy()
        labels.append(torch.as_tensor(some).cpu().numpy())
        before.append(net(x)[:, net.target or 0].double().cpu().numpy())
        after.append(own)
    y, whole, logits = np.concatenate(labels), np.concatenate(before), np.concatenate(after, axis=1)
    ap = metrics.average_precision(y, whole)
    table = means((logits - whole)[:, y == 1].T, n)
    result = pd.DataFrame(table, columns=["effect", "effect_low", "effect_high"])
    result["d_ap"] = [metrics.average_precision(y, row) - ap for row in logits]
    return result


# ----------------------------------------------------------------------------------------------- the page


def sheet(cells: ArrayLike) -> str:
    """Patches (R, C, h, w, 3), uint8, as a single image, a data URI; an all-zero cell is left empty.

    Lossless, because the details of interest in a patch are often barely visible.
    """
    return sheets.webp(sheets.tiled(cells, _GAP))


def histograms(color: ArrayLike, gray: ArrayLike, bins: int = 24) -> str:
    """Overlaid histograms of a map's maximum activations in colour and in gray, as a small inline SVG.

    ``color`` and ``gray`` (N,): values of the same pictures. Colour is filled, gray is a line. The axis is
    labelled at its two ends.
    """
    values = [np.asarray(v, dtype=np.float64) for v in (color, gray)]
    low, high = (float(f(np.concatenate(values))) for f in (np.min, np.max))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    counts = [np.histogram(v, edges)[0] for v in values]
    tallest = max(1, *(int(c.max()) for c in counts))
    width, height = 240, 48

    def outline(count: NDArray[np.int64]) -> str:
        steps = [(i * width // bins, round(height - (height - 2) * c / tallest)) for i, c in enumerate(count)]
        path = "".join(f"V{y}H{x + width // bins}" for x, y in steps)
        return f"M0 {height}{path}V{height}"

    said = f"Maximum activation over {len(values[0])} fakes: " + ", ".join(
        f"median {np.median(v):.2f} {name}" for v, name in zip(values, ("in colour", "in gray"), strict=True)
    )
    return (
        f'<svg class="tff-histogram" viewBox="0 0 {width} {height + 14}" width="{width}" '
        f'height="{height + 14}" role="img" aria-label="{said}"><title>{said}</title>'
        f'<path d="{outline(counts[0])}Z" fill="#D55E00" fill-opacity="0.5"/>'
        f'<path d="{outline(counts[1])}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f'<text x="0" y="{height + 12}">{low:.2f}</text>'
        f'<text x="{width}" y="{height + 12}" text-anchor="end">{edges[-1]:.2f}</text></svg>'
    )


def details(found: Mapping[str, pd.DataFrame], p: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The strongest picture of each map and generator, as `page` lists them.

    Parameters
    ----------
    found: the table of `patches.find` for each generator.
    p: p-values, a row per map and a column per generator.
    names: display names of the generators.
    """
    rows = []
    for generator, own in found.items():
        first = own[own["rank"] == 0]
        rows.append(
            pd.DataFrame(
                {
                    "map": first["map"],
                    "generator": names[generator],
                    "activation": first["activation"],
                    "where": [_place(box) for box in first["box"]],
                    "picture": [path.name for path in first["path"]],
                    "p": p.loc[first["map"], generator].to_numpy(),
                }
            )
        )
    return pd.concat(rows)


def _place(box: tuple[int, int, int, int] | None) -> str:
    """The rows and columns of a patch in words, or that the map is not active."""
    if box is None:
        return "not active"
    top, left, bottom, right = box
    return f"{top}-{bottom - 1}, {left}-{right - 1}"


def page(
    table: pd.DataFrame,
    sheets: Mapping[str, Mapping[str, str]],
    drawings: Mapping[str, str],
    details: pd.DataFrame,
    generators: Sequence[str],
) -> str:
    """The cards of all maps as HTML, in the order of the table.

    Parameters
    ----------
    table: one row per map, columns `COLUMNS`: its name, the ``place`` of its layer in the network (from 0),
        omega with its interval, ``p`` of the colour test (median over generators) and on how many it is at
        most 0.05 (``conditional``), the effect of dropping it alone with its interval (change of the logit of
        fakes) and on the AP, and how many of its first pictures by relevance are among the first by
        activation (``shared``, in percent), and by chance (``expected``). A missing number is shown as such
        and sorted last.
    sheets: for each map the data URIs of its patches, one column per generator, from `sheet`, by what they
        are ranked by, in words.
    drawings: the histograms of each map, from `histograms`.
    details: rows ``map, generator, activation, where, picture, p``, in the order in which they are shown.
    generators: their names as shown, in the order of the columns of the sheets.

    Raises ValueError naming a column that the table lacks. All text is escaped.
    """
    lacking = [name for name in COLUMNS if name not in table]
    if lacking or table.empty:
        raise ValueError(
            f"the table of the atlas lacks {', '.join(lacking) or 'rows'}: expected a row per map and the "
            f"columns {', '.join(COLUMNS)}"
        )
    by_map = dict(tuple(details.groupby("map", sort=False)))
    cards = [
        _card(number, row, sheets[row["map"]], drawings[row["map"]], by_map.get(row["map"]), generators)
        for number, row in enumerate(_records(table), start=1)
    ]
    return f'<div class="tff-atlas"><ol class="tff-cards">{"".join(cards)}</ol></div>'


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _card(
    number: int,
    row: Mapping[str, Any],
    sheets: Mapping[str, str],
    drawing: str,
    details: pd.DataFrame | None,
    generators: Sequence[str],
) -> str:
    name = str(row["map"])
    m = FeatureMap.parse(name)
    total = len(generators)
    keys = {"rank": number, "layer": row["place"], "p": row["p"], "effect": row["effect"]}
    data = "".join(f' data-{key}="{"" if pd.isna(v) else f"{v:.6g}"}"' for key, v in keys.items())
    facts = {
        "layer": html.escape(m.layer),
        "ω": _interval(row, "omega", "{:.4f}"),
        "colour: p": f"{_number(row['p'], '{:.2g}')}; at most {ALPHA:g} on {row['conditional']} of {total}",
        "dropped: logit": _interval(row, "effect", "{:+.3f}"),
        "dropped: AP": f"{_number(row['d_ap'], '{:+.2f}', 100)} points",
        "pictures": "not comparable"
        if pd.isna(row["shared"])
        else f"{100 * row['shared']:.0f} % the same by activation and relevance; chance "
        f"{100 * row['expected']:.0f} %",
    }
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts.items())
    heads = "".join(f"<span>{html.escape(g)}</span>" for g in generators)
    columns = f"one column for each of {', '.join(generators)}"
    shown = "".join(
        f'<p class="tff-by">{html.escape(by)}</p><img src="{picture}" '
        f'alt="{html.escape(f"Patches of {name}, {by}; {columns}", True)}">'
        for by, picture in sheets.items()
    )
    return (
        f'<li class="tff-card" id="{anchor(m)}"{data}><p class="tff-name"><a href="#{anchor(m)}">'
        f"<span>{number}</span> <code>{html.escape(name)}</code></a></p>"
        f'<div class="tff-patches" style="--columns:{total}">{shown}'
        f'<div class="tff-heads">{heads}</div></div>{drawing}<dl>{listed}</dl>{_details(details)}</li>'
    )


def _details(rows: pd.DataFrame | None) -> str:
    if rows is None:
        return ""
    lines = "".join(
        f"<tr><td>{html.escape(str(row.generator))}</td><td>{_number(row.p, '{:.1g}')}</td>"
        f"<td>{row.activation:.2f}</td><td>{html.escape(str(row.where))}</td>"
        f"<td>{html.escape(str(row.picture))}</td></tr>"
        for row in cast("list[Any]", list(rows.itertuples()))
    )
    return (
        "<details><summary>Strongest picture of each generator</summary><table><thead><tr><th>generator</th>"
        "<th>p</th><th>activation</th><th>rows, columns</th><th>picture</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></details>"
    )


def _number(value: float, form: str, times: float = 1) -> str:
    return "not measured" if pd.isna(value) else form.format(times * value).replace("-", "−")


def _interval(row: Mapping[str, Any], name: str, form: str) -> str:
    value, low, high = (_number(row[f"{name}{end}"], form) for end in ("", "_low", "_high"))
    return value if pd.isna(row[f"{name}_low"]) else f"{value} [{low}, {high}]"
