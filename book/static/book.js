// Draws the plotly figures of a page. Mathematics in figures needs MathJax to be ready first.
// `document.documentElement.dataset.figures` says "done" when every figure stands.
window.addEventListener("load", async () => {
  // plotly looks for MathJax 2's queue when a page holds formulas of version 3; give it the modern one
  if (window.MathJax && !window.MathJax.Hub) {
    window.MathJax.Hub = { Queue: (f) => window.MathJax.startup.promise.then(f) };
  }
  if (window.MathJax && window.MathJax.startup) {
    await window.MathJax.startup.promise;
  }
  // a sheet of pictures is only as high as its width lets it be: what it leaves empty on a narrow screen goes,
  // but for the room that the names of its columns take, which are turned there
  const lower = async (box) => {
    const { xaxis: x, yaxis: y, xaxis2: second, height, _size: size } = box._fullLayout;
    if (!size || second || !y || !y.visible || y.scaleanchor !== "x") return;
    const [across, down] = [x, y].map((axis) => Math.abs(axis.range[1] - axis.range[0]));
    const names = box.querySelector(".xaxislayer-above");
    const room = names ? names.getBoundingClientRect().height : 0;
    const empty = Math.floor(size.h - (size.w * down) / across - room);
    if (empty > 0) {
      box.style.minHeight = `${height - empty}px`;
      await Plotly.relayout(box, { height: height - empty, "yaxis.constraintoward": "bottom" });
    }
  };
  // labels that lead somewhere; plotly draws them anew, and would drop links of a page opened from a file
  const lead = (box, links) => {
    for (const text of box.querySelectorAll(".main-svg text[data-unformatted]")) {
      const target = links[text.dataset.unformatted];
      if (!target || text.querySelector("a") || text.closest(".updatemenu-container, .slider-container, .hoverlayer")) {
        continue;
      }
      const link = document.createElementNS("http://www.w3.org/2000/svg", "a");
      link.setAttribute("href", target);
      link.append(...text.childNodes);
      text.append(link);
      text.style.pointerEvents = "all";
    }
  };
  // a menu is as wide as its longest entry: where it would end beyond the figure, it begins further left, and
  // where it is wider than the figure, its letters are smaller
  const fit = async (box) => {
    const ends = () => {
      const menus = [...box.querySelectorAll(".updatemenu-header, .updatemenu-button")].map((one) => one.getBoundingClientRect());
      return [Math.min(...menus.map(({ left }) => left)), Math.max(...menus.map(({ right }) => right))];
    };
    const frame = box.getBoundingClientRect();
    const [menu] = box._fullLayout.updatemenus || [];
    if (!menu) return;
    const [left, right] = ends();
    if (right <= frame.right) return;
    const small = Math.min(1, frame.width / (right - left));
    if (small < 1) await Plotly.relayout(box, { "updatemenus[0].font.size": Math.floor(menu.font.size * small) });
    const [from, to] = ends();
    const shift = Math.min(to - frame.right + 1, from - frame.left);
    if (shift > 0) await Plotly.relayout(box, { "updatemenus[0].x": menu.x - shift / box._fullLayout._size.w });
  };
  const isNarrow = () => window.matchMedia("(max-width: 640px)").matches;
  const draw = async (script, narrow) => {
    const box = document.getElementById(script.dataset.plotly);
    const figure = JSON.parse(script.textContent);
    const layout = figure.layout || {};
    layout.autosize = true;
    delete layout.width;
    if (narrow) {
      // a legend beside the plot would take half of a telephone's width
      if (layout.showlegend !== false && (layout.legend || {}).orientation !== "h") {
        const place = layout.sliders ? { y: 1.02, yanchor: "bottom" } : { y: -0.25, yanchor: "top" };
        layout.legend = { ...(layout.legend || {}), orientation: "h", x: 0, xanchor: "left", ...place };
      }
      layout.margin = { l: 48, r: 12, ...(layout.margin || {}) };
    }
    Plotly.purge(box);
    box.style.minHeight = "";
    await Plotly.newPlot(box, figure.data || [], layout, { responsive: true, displaylogo: false });
    if (narrow) {
      await lower(box);
      await fit(box);
    }
    const { links } = layout.meta || {};
    if (links) {
      lead(box, links);
      box.on("plotly_afterplot", () => lead(box, links));
    }
    if (figure.frames) {
      await Plotly.addFrames(box, figure.frames);
    }
    window.tffKeys?.(box);
  };
  let narrow;
  let drawn = Promise.resolve();
  const drawAll = () => {
    if (narrow === isNarrow()) return drawn;
    narrow = isNarrow();
    document.documentElement.dataset.figures = "drawing";
    const jobs = [...document.querySelectorAll("script[data-plotly]")];
    drawn = drawn.then(() => Promise.all(jobs.map((script) => draw(script, narrow)))).then(() => {
      reach();
      document.documentElement.dataset.figures = "done";
    });
    return drawn;
  };
  await drawAll();
  // a telephone that is turned, or a window that is made as narrow as one
  window.addEventListener("resize", drawAll);
});

// What the theme leaves out for readers without a mouse: arrows of the contents get a name, and what scrolls by
// itself can be scrolled by the keyboard.
const reach = () => {
  for (const arrow of document.querySelectorAll("nav summary")) {
    const link = arrow.closest("li")?.querySelector(":scope > a");
    if (!arrow.textContent.trim()) arrow.setAttribute("aria-label", `Pages below ${link ? link.textContent.trim() : "this"}`);
  }
  const scrolled = ".bd-article table, .bd-article pre, .bd-article .cell_output, .bd-article .output, .tff-figure, .bd-article div.math, .bd-article mjx-container[display]";
  for (const box of document.querySelectorAll(scrolled)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else if (box.tabIndex === 0) box.removeAttribute("tabindex");
  }
};
window.addEventListener("resize", reach);

// What the address names, after "#"; empty where it names nothing, or is no address.
const asked = () => {
  try {
    return decodeURIComponent(window.location.hash.slice(1));
  } catch {
    return "";
  }
};

// The atlas: every map of the network has a place at its address, also without a card.
window.addEventListener("DOMContentLoaded", () => {
  for (const index of document.querySelectorAll(".tff-index")) {
    const { k, layers } = JSON.parse(index.querySelector("script").textContent);
    const total = layers.reduce((sum, [, omegas]) => sum + omegas.length, 0);
    const anchor = (name) => name.replace(/[^A-Za-z0-9_.]+/g, "-");
    const byAnchor = new Map(layers.map((layer, i) => [anchor(layer[0]), { layer, i }]));
    const byRank = [];
    for (const [name, , ranks] of layers) {
      ranks.forEach((rank, channel) => (byRank[rank] = [name, channel]));
    }
    const make = (tag, text = "", more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
    const link = (name, channel, text) => make("a", text, { href: `#${anchor(name)}.${channel}` });
    const field = make("input", "", { type: "search", placeholder: "layer1.0.conv1.63", spellcheck: false });
    const list = make("datalist", "", { id: "tff-layers" });
    list.append(...layers.map(([name]) => make("option", "", { value: name })));
    field.setAttribute("list", list.id);
    const label = make("label", "Feature map, or layer");
    label.append(field);
    const form = make("form", "", { className: "tff-search" });
    form.append(label, list, make("button", "Show"));
    const shown = make("section", "", { className: "tff-card tff-lookup", tabIndex: -1 });
    shown.setAttribute("aria-live", "polite");
    shown.setAttribute("aria-label", "The feature map asked for");
    index.prepend(form, shown);
    const facts = (pairs) => {
      const table = make("dl");
      for (const [key, value] of pairs) {
        const cell = make("dd");
        cell.append(...[value].flat());
        table.append(make("dt", key), cell);
      }
      return table;
    };
    const title = (name) => {
      const line = make("p", "", { className: "tff-name" });
      line.append(make("code", name));
      return line;
    };
    const map = ({ layer: [name, omegas, ranks], i }, channel) => {
      const rank = ranks[channel];
      const mean = omegas.reduce((a, b) => a + b, 0) / omegas.length;
      const inside = ranks.filter((other) => other < rank).length + 1;
      const near = [];
      for (const [text, other] of [["rank before", byRank[rank - 1]], ["rank after", byRank[rank + 1]]]) {
        if (other) near.push(link(...other, `${text}: ${other[0]} #${other[1]}`), make("br"));
      }
      if (channel > 0) near.push(link(name, channel - 1, "channel before"), " ");
      if (channel + 1 < omegas.length) near.push(link(name, channel + 1, "channel after"), " ");
      const card = document.getElementById(`${anchor(name)}.${channel}`);
      const top = `${rank <= k ? "among" : "not among"} the top ${k}`;
      shown.replaceChildren(
        title(`${name}.#${channel}(T=${omegas.length})`),
        facts([
          ["layer", [make("a", name, { href: `#${anchor(name)}` }), `, convolution ${i + 1} of ${layers.length}`]],
          ["channel", `${channel}, of 0 to ${omegas.length - 1}`],
          ["ω", `${omegas[channel]}` + (mean > 0 ? `, ${(omegas[channel] / mean).toPrecision(2)} times its layer's mean` : "")],
          ["rank", `${rank.toLocaleString("en")} of ${total.toLocaleString("en")}, in its layer ${inside} of ${omegas.length}; ${top}`],
          ["card", card ? "below" : rank <= k ? "made by `make all`" : `only the top ${k} have one`],
          ["go to", near],
        ]),
      );
    };
    const layer = ({ layer: [name, omegas, ranks], i }) => {
      const order = ranks.map((_, channel) => channel).sort((a, b) => ranks[a] - ranks[b]);
      const names = make("p", "", { className: "tff-channels" });
      const show = (channels) => {
        for (const c of channels) names.append(link(name, c, `#${c}`), " ");
      };
      show(order.slice(0, 48));
      const top = ranks.filter((rank) => rank <= k).length;
      shown.replaceChildren(
        title(name),
        facts([
          ["layer", `convolution ${i + 1} of ${layers.length}`],
          ["maps", `${omegas.length}, ${top} of them among the top ${k}`],
          ["by ω", names],
        ]),
      );
      if (order.length > 48) {
        const more = make("button", `All ${order.length}`, { type: "button" });
        more.addEventListener("click", () => {
          more.remove();
          show(order.slice(48));
        });
        shown.append(more);
      }
    };
    const follow = (event) => {
      const wanted = asked();
      const element = wanted && document.getElementById(wanted);
      if (!wanted || (element && !element.matches(".tff-card"))) {
        // nothing, or a heading of the page
        if (!shown.firstChild) {
          shown.append(`${total.toLocaleString("en")} feature maps in ${layers.length} layers have a place here. Their names in the chapters lead to it.`);
        }
        return;
      }
      // as in an address, or as names are written: layer1.0.conv1.63, layer1.0.conv1.#63(T=64)
      const [, name, channel] = wanted.match(/^(.*?)\.#?(\d+)(?:\(T=\d+\))?$/) || [];
      const found = byAnchor.get(anchor(name || ""));
      if (found && Number(channel) < found.layer[1].length) {
        map(found, Number(channel));
      } else if (byAnchor.has(anchor(wanted))) {
        layer(byAnchor.get(anchor(wanted)));
      } else {
        const maps = found ? ` ${found.layer[0]} has the channels 0 to ${found.layer[1].length - 1}.` : "";
        const [first, omegas] = layers[0];
        shown.replaceChildren(
          `This network has no feature map or layer “${wanted}”.${maps} Expected a layer and a channel, such as ${first}.${omegas.length - 1}; all layers are in the table below.`,
        );
      }
      field.value = wanted;
      if (!element) {
        shown.scrollIntoView({ block: "nearest" });
        if (event) shown.focus({ preventScroll: true });
      }
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const wanted = field.value.trim();
      if (`#${wanted}` === window.location.hash) follow(event);
      else window.location.hash = encodeURIComponent(wanted);
    });
    window.addEventListener("hashchange", follow);
    follow();
  }
});

// The atlas: a search field and an order above its cards, which are a plain list without this script.
window.addEventListener("DOMContentLoaded", () => {
  for (const atlas of document.querySelectorAll(".tff-atlas")) {
    const list = atlas.querySelector(".tff-cards");
    const cards = [...list.children];
    const words = new Map(cards.map((card) => [card, card.textContent.toLowerCase()]));
    const control = (label, element) => {
      const named = document.createElement("label");
      named.append(label, element);
      return named;
    };
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "layer1 conv2, #63, a picture";
    const order = document.createElement("select");
    // the name of each card's number, and whether the largest comes first
    const orders = [
      ["omega, largest first", "rank", 1],
      ["layer, from the picture on", "layer", 1],
      ["p of colour, smallest first", "p", 1],
      ["effect, largest loss first", "effect", 1],
      ["effect, largest gain first", "effect", -1],
    ];
    order.append(...orders.map(([text], i) => new Option(text, String(i))));
    const told = document.createElement("output");
    const bar = document.createElement("form");
    bar.className = "tff-search";
    bar.addEventListener("submit", (event) => event.preventDefault());
    bar.append(control("Search", field), control("Sort by", order), told);
    atlas.prepend(bar);
    const number = (card, key) => (card.dataset[key] ? Number(card.dataset[key]) : NaN);
    const search = () => {
      const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const card of cards) {
        card.hidden = !wanted.every((word) => words.get(card).includes(word));
        left += card.hidden ? 0 : 1;
      }
      told.textContent = `${left} of ${cards.length} feature maps`;
    };
    const sort = () => {
      const [, key, sign] = orders[Number(order.value)];
      const sorted = [...cards].sort((a, b) => {
        const [x, y] = [number(a, key), number(b, key)];
        // what is missing comes last, what is equal in the order of omega
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y) || number(a, "rank") - number(b, "rank");
      });
      list.append(...sorted);
    };
    field.addEventListener("input", search);
    order.addEventListener("change", sort);
    // a browser keeps what was typed before a page is loaded again
    search();
    sort();
    const follow = () => {
      const card = cards.find((one) => one.id === asked());
      if (!card) return;
      if (card.hidden) {
        field.value = "";
        search();
      }
      card.scrollIntoView();
    };
    window.addEventListener("hashchange", follow);
    follow();
  }
});
