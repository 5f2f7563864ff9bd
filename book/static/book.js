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
  const narrow = window.matchMedia("(max-width: 640px)").matches;
  const jobs = [...document.querySelectorAll("script[data-plotly]")].map(async (script) => {
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
    await Plotly.newPlot(box, figure.data || [], layout, { responsive: true, displaylogo: false });
    if (narrow) {
      await lower(box);
    }
    if (figure.frames) {
      await Plotly.addFrames(box, figure.frames);
    }
  });
  await Promise.all(jobs);
  document.documentElement.dataset.figures = "done";
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
      const card = cards.find((one) => `#${one.id}` === decodeURIComponent(window.location.hash));
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
