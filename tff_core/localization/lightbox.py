"""A page of pictures in one file: filter by name, enlarge, step through; from ``file://``, without a network.

Pictures, style and script are in the page itself, and its content security policy forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tff_core.pictures import sheets
from tff_core.store import failures


class Entry(NamedTuple):
    """A picture of a page: name, caption, and its views by name, uint8 (H, W, 3), the first shown first."""

    name: str
    caption: str
    views: Mapping[str, NDArray[np.uint8]]


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:1rem auto;max-width:80rem;padding:0 1rem;
color:#222;
background:#fff}
h1{font-size:1.3rem;margin:0}
p{margin:.3rem 0}
.bar{display:flex;gap:1rem;align-items:center;flex-wrap:wrap;
position:sticky;
top:0;
background:#fff;padding:.5rem 0}
input,select,button{font:inherit}
ul{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));
gap:.75rem}
li button{border:1px solid #ccc;background:#fafafa;padding:.3rem;width:100%;
cursor:zoom-in;
border-radius:.3rem}
li button:focus-visible{outline:3px solid #0072b2}
li img{width:100%;height:8rem;object-fit:contain;image-rendering:pixelated}
li span{display:block;font-size:.8rem;overflow-wrap:anywhere}
dialog{border:0;padding:0;width:100vw;height:100vh;
max-width:none;
max-height:none;
background:#111;color:#eee}
dialog figure{margin:0;height:calc(100vh - 3rem);overflow:auto;display:grid;place-items:center}
dialog img{image-rendering:pixelated;cursor:zoom-in}
dialog nav{display:flex;gap:.5rem;align-items:center;height:3rem;padding:0 .75rem}
dialog nav span{flex:1;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
"""

_SCRIPT = """
'use strict';
const all = JSON.parse(document.getElementById('pictures').textContent);
const list = document.querySelector('ul'), box = document.querySelector('dialog');
const big = box.querySelector('img'), told = box.querySelector('span');
const filter = document.getElementById('filter'), view = document.getElementById('view');
const count = document.getElementById('count');
let shown = [], at = 0, zoom = 0;
const source = one => one.views[view.value] || Object.values(one.views)[0];
function matches(text) {
  let test;
  try { const found = new RegExp(text, 'i'); test = name => found.test(name); }
  catch { test = name => name.toLowerCase().includes(text.toLowerCase()); }
  return all.filter(one => test(one.name + ' ' + one.caption));
}
function draw() {
  shown = matches(filter.value);
  count.textContent = shown.length + ' of ' + all.length;
  list.replaceChildren(...shown.map((one, i) => {
    const item = document.createElement('li'), button = document.createElement('button');
    const image = document.createElement('img'), name = document.createElement('span');
    image.src = source(one); image.alt = one.name + ', ' + one.caption; image.loading = 'lazy';
    name.textContent = one.name + ' · ' + one.caption;
    button.type = 'button'; button.append(image, name); button.onclick = () => open(i);
    item.append(button);
    return item;
  }));
}
function size() {
  const fit = Math.min(innerWidth / big.naturalWidth, (innerHeight - 60) / big.naturalHeight);
  big.style.width = Math.max(1, Math.round(big.naturalWidth * fit * Math.pow(1.5, zoom))) + 'px';
  big.dataset.zoom = zoom;
}
function open(i) {
  if (!shown.length) return;
  at = (i + shown.length) % shown.length;
  const one = shown[at];
  big.src = source(one); big.alt = one.name + ', ' + one.caption;
  told.textContent = (at + 1) + '/' + shown.length + ' · ' + one.name + ' · ' + one.caption;
  zoom = 0;
  if (!box.open) box.showModal();
  big.decode().then(size, size);
}
function change(step) { zoom = Math.max(-4, Math.min(10, zoom + step)); size(); }
function next() { view.selectedIndex = (view.selectedIndex + 1) % view.options.length; draw(); open(at); }
filter.oninput = draw;
view.onchange = draw;
big.onclick = event => change(event.shiftKey ? -1 : 1);
for (const button of box.querySelectorAll('button')) button.onclick = () => act(button.value);
function act(key) {
  const steps = {ArrowLeft: () => open(at - 1), ArrowRight: () => open(at + 1), '+': () => change(1),
    '=': () => change(1), '-': () => change(-1), v: next, Escape: () => box.close(),
    Home: () => open(0), End: () => open(shown.length - 1)};
  if (!steps[key]) return false;
  steps[key]();
  return true;
}
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (box.open) { if (event.key !== 'Escape' && act(event.key)) event.preventDefault(); }
  else if (event.key === '/' && document.activeElement !== filter) { filter.focus(); event.preventDefault(); }
});
addEventListener('resize', () => { if (box.open) size(); });
draw();
"""


def page(entries: Sequence[Entry], title: str, text: str = "") -> str:
    """The page, as HTML. Names and captions may hold anything; they are shown as text."""
    views = list(dict.fromkeys(view for entry in entries for view in entry.views))
    listed = [
        {
            "name": failures.printable(entry.name),
            "caption": failures.printable(entry.caption),
            "views": {name: sheets.png(pixels) for name, pixels in entry.views.items()},
        }
        for entry in entries
    ]
    # no name may end the script element, whatever it is
    data = json.dumps(listed).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(_STYLE)}'; "
        f"script-src '{_hash(_SCRIPT)}'; base-uri 'none'; form-action 'none'"
    )
    options = "".join(f"<option>{html.escape(view)}</option>" for view in views)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(failures.printable(text))}</p>
<div class="bar">
<label>Filter (regular expression) <input id="filter" type="search"></label>
<label>View <select id="view">{options}</select></label>
<output id="count"></output>
<span>Keys: / filter; in a picture ← → step, + - zoom, v view, Esc close</span>
</div>
<ul></ul>
<dialog aria-label="One picture">
<nav><span></span>
<button type="button" value="ArrowLeft" aria-label="previous">←</button>
<button type="button" value="ArrowRight" aria-label="next">→</button>
<button type="button" value="-" aria-label="smaller">−</button>
<button type="button" value="+" aria-label="larger">+</button>
<button type="button" value="v">view</button>
<button type="button" value="Escape">close</button></nav>
<figure><img alt=""></figure>
</dialog>
<script type="application/json" id="pictures">{data}</script>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
