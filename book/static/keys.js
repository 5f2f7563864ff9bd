// plotly draws its sliders and menus for a mouse alone: the same as controls of the page, which are seen when
// the keyboard comes to them and heard by a screen reader, and its buttons as buttons
window.tffKeys = (box) => {
  const kinds = ["sliders", "updatemenus"];
  const bar = document.createElement("div");
  bar.className = "tff-keys";
  const fields = [];
  for (const kind of kinds) {
    (box.layout[kind] || []).forEach((control, i) => {
      const steps = control.steps || control.buttons || [];
      const label = document.createElement("label");
      const field = document.createElement(kind === "sliders" ? "input" : "select");
      if (kind === "sliders") {
        Object.assign(field, { type: "range", min: 0, max: steps.length - 1, step: 1 });
      } else {
        field.append(...steps.map(({ label: text }, j) => new Option(text, String(j))));
      }
      const prefix = (control.currentvalue || {}).prefix || "";
      label.append(prefix.replace(/[:\s]+$/, "") || (kind === "sliders" ? "Shown in the figure" : "Show"), field);
      field.addEventListener("input", () => {
        const j = Number(field.value);
        const { method, args = [] } = steps[j];
        const [data, ...more] = args;
        const chosen = { [`${kind}[${i}].active`]: j };
        if (method === "restyle") Plotly.update(box, data, chosen, ...more);
        else if (method === "update") Plotly.update(box, data, { ...more[0], ...chosen }, ...more.slice(1));
        else if (method === "relayout") Plotly.relayout(box, { ...data, ...chosen });
        else Promise.resolve(Plotly[method](box, ...args)).then(() => Plotly.relayout(box, chosen));
      });
      fields.push({ field, kind, i, steps });
      bar.append(label);
    });
  }
  const follow = () => {
    for (const { field, kind, i, steps } of fields) {
      const active = Math.max(0, Number(box._fullLayout[kind][i].active) || 0);
      field.value = String(active);
      if (kind === "sliders") field.setAttribute("aria-valuetext", (steps[active] || {}).label || String(active));
    }
    for (const button of box.querySelectorAll(".modebar-btn")) {
      button.tabIndex = 0;
      button.setAttribute("role", "button");
      button.setAttribute("aria-label", button.dataset.title || "button of the figure");
    }
  };
  const earlier = box.nextElementSibling; // of a drawing that this one replaces
  if (earlier?.matches(".tff-keys")) earlier.remove();
  if (fields.length) box.after(bar);
  bar.addEventListener("keydown", (event) => event.stopPropagation()); // they would turn slides
  for (const event of ["plotly_afterplot", "plotly_sliderchange", "plotly_buttonclicked"]) box.on(event, follow);
  box.onkeydown = (event) => {
    const button = event.target.closest(".modebar-btn");
    if (!button || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    button.click();
  };
  follow();
};
