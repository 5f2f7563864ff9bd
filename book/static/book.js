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
    if (figure.frames) {
      await Plotly.addFrames(box, figure.frames);
    }
  });
  await Promise.all(jobs);
  document.documentElement.dataset.figures = "done";
});
