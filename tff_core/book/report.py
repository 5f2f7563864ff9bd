"""Why a detector classified a picture as it did, and a self-contained HTML page that explains it.

The page holds no script and loads nothing; whatever comes from outside (file names above all) is escaped, and
a content security policy forbids the rest.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from tff_core import lrp
from tff_core.detectors import judge
from tff_core.features import ffrs, maxima, pixels
from tff_core.features.names import FeatureMap
from tff_core.pictures import data, sheets

MOST_PIXELS = 1 << 20  # of one picture: relevance keeps every activation, 1 kB for each pixel
_CELL = 96  # pixels a side of a patch on the page

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Fired:
    """A feature map that carried part of a decision.

    ``share`` is the part of its layer's relevance that is positive and on this map (omega for one picture);
    ``activation`` its largest output; ``place`` its rank in the detector's ranking, from 1, where known;
    ``box`` (top, left, bottom, right) what excited it, None where it was not active; ``patch`` and ``heat``
    are uint8 (h, w, 3).
    """

    map: FeatureMap
    share: float
    activation: float
    place: int | None
    box: tuple[int, int, int, int] | None
    patch: Pixels | None
    heat: Pixels | None


@dataclass(frozen=True)
class Explanation:
    """One picture (H, W, 3) uint8 with its logit, decision, heatmap over it, and strongest maps.

    ``threshold`` is the logit at and above which a picture is called fake.
    """

    path: Path
    picture: Pixels
    logit: float
    threshold: float
    decision: str
    heat: Pixels
    maps: tuple[Fired, ...]


def explain(
    net: lrp.Net,
    path: Path,
    rule: judge.Rule,
    omega: ffrs.Omega | None = None,
    *,
    maps: int = 8,
    crop: int | None = None,
    device: str | torch.device = "cpu",
    preprocessing: data.Preprocessing = data.IMAGENET,
) -> Explanation:
    """Relevance of one picture's pixels and feature maps, and LRP-max patches of the strongest maps.

    The decision is explained: f(x) at or above the threshold, -f(x) below it. The strongest maps are those
    with the largest share of positive relevance in their layer, on this picture alone. ``crop`` takes a
    square of at most that side from the middle; ``preprocessing`` is what the network then needs, and the
    preprocessed picture is shown.

    Raises PictureError as `data.read`, and ValueError where the picture is too large.
    """
    whole = data.read(path)
    if crop:
        whole = pixels.middle(whole, crop)
    whole = preprocessing.cut(whole)
    if whole[0].numel() > MOST_PIXELS:
        raise ValueError(
            f"{path} has {whole.shape[2]}x{whole.shape[1]} pixels: an explanation keeps all activations and "
            f"takes at most {MOST_PIXELS}; explain its middle with --crop 1024, or resize it"
        )
    x = data.normalize(whole[None].to(device), preprocessing)
    gathered = ffrs.Accumulator(net.layers)
    keep = torch.ones(1, dtype=torch.bool)
    out = net(x)[:, :1]
    logit = float(out[0, 0])
    found = lrp.relevance(
        net,
        x,
        # the decision is made at the threshold, not at 0: what spoke for it is f or -f accordingly
        start=out if logit >= rule.threshold else -out,
        pixels=True,
        on_layer=lambda layer, r: gathered.add(layer, r, keep),
    )
    assert found.pixels is not None
    own = ffrs.Omega({layer: sums.numpy() for layer, sums in gathered.sums.items()}, count=1)
    strongest = own.top(min(maps, len(own)))
    best = maxima.activation_max(net, [x], strongest, top=1)
    picture = whole.permute(1, 2, 0).numpy()
    places = {m: i + 1 for i, m in enumerate(omega.ranking)} if omega else {}
    fired = []
    for patch in maxima.lrp_max(net, best):
        box = patch.window()
        cut = heat = None
        if box is not None:
            over = pixels.overlay(picture[None], pixels.heat(pixels.in_place(patch)[None]))[0]
            cut, heat = (pixels.enlarge(shown, box, _CELL) for shown in (picture, over))
        fired.append(Fired(patch.map, own[patch.map], patch.value, places.get(patch.map), box, cut, heat))
    over = pixels.overlay(picture[None], pixels.heat(found.pixels))[0]
    return Explanation(path, picture, logit, rule.threshold, rule.decide(logit), over, tuple(fired))


def summary(one: Explanation) -> dict[str, Any]:
    """The numbers of an explanation, for JSON."""
    return {
        "path": str(one.path),
        "decision": one.decision,
        "probability": float(expit(one.logit)),
        "logit": one.logit,
        "maps": [
            {
                "map": str(m.map),
                "share": m.share,
                "activation": m.activation,
                "place": m.place,
                "box": list(m.box) if m.box else None,
            }
            for m in one.maps
        ],
    }


def made_by(facts: Mapping[str, Any]) -> dict[str, str]:
    """Provenance as words: commit, versions, device."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return {
        "commit": str(facts["commit"]),
        "versions": f"Python {facts['python']}, {versions}",
        "device": str(facts["device"]),
    }


# ----------------------------------------------------------------------------------------------- the page

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:70rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;overflow-wrap:anywhere;margin-top:2.5rem}h3{font-size:1rem}
.row{display:flex;flex-wrap:wrap;gap:1rem}
figure{margin:0}figcaption{font-size:.85rem;opacity:.8;overflow-wrap:anywhere}
img{image-rendering:pixelated;border:1px solid #8888;display:block}
.large figure{width:min(256px,43vw)}
.large img{width:100%;height:auto;box-sizing:border-box}
.map{width:12.6rem;border:1px solid #8884;border-radius:6px;padding:.6rem}
.map p{margin:.4rem 0 0;font-size:.85rem;overflow-wrap:anywhere}
.map .row{gap:.4rem}
.patch{width:8.4rem}
.fake,.real,.unsure{font-weight:700;border-radius:4px;padding:.1rem .45rem;color:#fff}
.fake{background:#b34700}.real{background:#00608f}.unsure{background:#5f5f5f}
table{border-collapse:collapse;font-size:.85rem}
th,td{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0;overflow-wrap:anywhere}
.note{border-left:4px solid #b34700;padding:.1rem .8rem;overflow-wrap:anywhere}
""".strip()


def escape(text: object) -> str:
    """Text for HTML: markup, quotes, control characters and bytes that are not text are all made harmless."""
    words = os.fsencode(str(text)).decode("utf-8", "backslashreplace")
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    return html.escape(safe, quote=True)


def image(picture: Pixels, words: str, size: int | None = None) -> str:
    """A picture (H, W, 3) inside the page; ``words`` is its text alternative."""
    sides = f' width="{size}" height="{size}"' if size else ""
    return f'<img src="{sheets.png(picture)}" alt="{escape(words)}"{sides}>'


def document(title: str, body: Sequence[str]) -> str:
    """A whole page: ``title`` is text, ``body`` is HTML."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    )
    return "\n".join([head, f"<h1>{escape(title)}</h1>", *body, "</main>\n</body>\n</html>\n"])


def notes_of(notes: Sequence[str]) -> list[str]:
    """Remarks, each a paragraph."""
    return [f'<p class="note">{escape(text)}</p>' for text in notes]


def facts_of(facts: Mapping[str, object]) -> str:
    """A table of names and values."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    return f"<table>{rows}</table>"


def page(explanations: Sequence[Explanation], facts: Mapping[str, object], notes: Sequence[str] = ()) -> str:
    """The report on some pictures as one HTML document.

    ``facts`` says what made it (detector, threshold, versions), ``notes`` what the reader must know first.
    """
    body = [*notes_of(notes)]
    for one in explanations:
        body += _section(one)
    body += [
        "<h2>How to read this</h2>",
        "<p>Relevance says which pixels and feature maps carried the detector's answer on this picture; it "
        "does not say that the answer is right. Bright pixels spoke for the decision (of an unsure one: for "
        "its side of the threshold). A map's share is the part of its layer's relevance that is positive and "
        "lies on it. A patch is the smallest box around the quarter of the pixels that excited the map most "
        "at its strongest position; beside it the same box with its relevance. Maps of deep layers see the "
        "whole picture.</p>",
        "<h2>How it was made</h2>",
        facts_of(facts),
    ]
    count = len(explanations)
    return document(f"What the detector looked at: {count} picture{'s' if count != 1 else ''}", body)


def _section(one: Explanation) -> list[str]:
    name = one.path.name
    size = f"{one.picture.shape[1]}x{one.picture.shape[0]} pixels"
    parts = [
        f"<section>\n<h2>{escape(name)}</h2>",
        f'<p><span class="{one.decision}">{one.decision}</span> probability of being fake '
        f"{100 * float(expit(one.logit)):.1f} %, logit {one.logit:.3f}; called fake from "
        f"{100 * float(expit(one.threshold)):.1f} %, logit {one.threshold:.3f}</p>",
        '<div class="row large">',
        f"<figure>{image(one.picture, f'the picture {name}')}<figcaption>{escape(one.path)}, {size}"
        "</figcaption></figure>",
        f"<figure>{image(one.heat, f'relevance of the pixels of {name}')}<figcaption>relevance of the "
        "pixels (LRP)</figcaption></figure>",
        "</div>",
        f"<h3>The {len(one.maps)} feature maps with the largest share of relevance</h3>",
        '<div class="row">',
    ]
    for m in one.maps:
        rank = f"; place {m.place} in the detector's ranking" if m.place else ""
        if m.patch is None or m.heat is None or m.box is None:
            shown, where = "<p>not active anywhere in the picture</p>", ""
        else:
            shown = (
                f'<div class="row">{image(m.patch, f"patch of {m.map}", 88)}'
                f"{image(m.heat, f'relevance in the patch of {m.map}', 88)}</div>"
            )
            where = f"; rows {m.box[0]} to {m.box[2] - 1}, columns {m.box[1]} to {m.box[3] - 1}"
        parts.append(
            f'<div class="map">{shown}<p><b>{escape(m.map)}</b><br>share {100 * m.share:.1f} %{rank}; '
            f"activation {m.activation:.2f}{where}</p></div>"
        )
    return [*parts, "</div>\n</section>"]


def collage(
    rows: Mapping[str, Sequence[tuple[Pixels | None, str]]],
    facts: Mapping[str, object],
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """A page of patches: for each feature map its name and its pictures, each with a caption."""
    body = [*notes_of(notes)]
    for name, cells in rows.items():
        body += [f"<section>\n<h2>{escape(name)}</h2>", '<div class="row">']
        for picture, words in cells:
            shown = image(picture, words, _CELL) if picture is not None else "<p>not active</p>"
            body.append(f'<figure class="map patch">{shown}<figcaption>{escape(words)}</figcaption></figure>')
        body.append("</div>\n</section>")
    return document(title, [*body, "<h2>How it was made</h2>", facts_of(facts)])
