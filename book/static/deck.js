// A deck of slides: draws its formulas and figures at the size of a slide, then hands over to reveal.js. With
// `?plain` in the address, and without JavaScript, the same file is one page with the notes below each slide.
// `document.documentElement.dataset.figures` says "done" when every figure stands.
{
  const root = document.documentElement;
  const plain = new URLSearchParams(window.location.search).has("plain");
  root.classList.add("tff-scripted");
  if (!plain) {
    root.classList.replace("tff-plain", "tff-deck");
    for (const link of document.querySelectorAll("link[data-deck]")) link.media = "all";
  }
  window.addEventListener("load", async () => {
    // plotly looks for MathJax 2's queue when a page holds formulas of version 3; give it the modern one
    if (window.MathJax && !window.MathJax.Hub) {
      window.MathJax.Hub = { Queue: (f) => window.MathJax.startup.promise.then(f) };
    }
    if (window.MathJax && window.MathJax.startup) await window.MathJax.startup.promise;
    const { width, height } = document.body.dataset;
    const room = plain ? undefined : Number(width) - 100;
    // before reveal.js hides all slides but one: what is hidden has no size to draw in
    for (const script of document.querySelectorAll("script[data-plotly]")) {
      const box = document.getElementById(script.dataset.plotly);
      const { data, layout, frames } = JSON.parse(script.textContent);
      const more = plain ? { autosize: true } : { width: room, autosize: false };
      await Plotly.newPlot(box, data || [], { ...layout, ...more }, { displayModeBar: false, responsive: plain });
      if (frames) await Plotly.addFrames(box, frames);
      window.tffKeys?.(box);
    }
    if (!plain) {
      await Reveal.initialize({
        width: Number(width),
        height: Number(height),
        margin: 0.03,
        center: false,
        hash: true,
        slideNumber: "c/t",
        transition: "none",
        backgroundTransition: "none",
        scrollActivationWidth: null,
        pdfSeparateFragments: false,
        plugins: [RevealNotes],
      });
    }
    root.dataset.figures = "done";
  });
}
