// Checks the questions of a quiz, one at a time, and counts. Every answer and its feedback stand in the page; the
// script only shows what belongs to the answer that was given. Nothing is stored or sent.
(() => {
  const number = (text) => {
    const parts = text.trim().replace(",", ".").replace("\u2212", "-").split("/");
    const values = parts.map((part) => (part.trim() === "" ? NaN : Number(part)));
    return parts.length === 1 ? values[0] : parts.length === 2 ? values[0] / values[1] : NaN;
  };

  // what each kind of question finds: whether the answer is right, and which lines of feedback belong to it;
  // null where nothing was answered yet
  const judge = {
    single(form, lines) {
      const chosen = form.querySelector("input:checked");
      if (!chosen) return null;
      const line = lines.find((one) => one.dataset.value === chosen.value);
      return { right: line.dataset.right === "yes", told: [line] };
    },
    multiple(form, lines) {
      const boxes = [...form.querySelectorAll("input")];
      if (!boxes.some((box) => box.checked)) return null;
      const amiss = lines.filter((line, i) => boxes[i].checked !== (line.dataset.right === "yes"));
      return { right: !amiss.length, told: amiss.length ? amiss : lines.filter((line) => line.dataset.right === "yes") };
    },
    number(form, lines) {
      const value = number(form.querySelector("input").value);
      if (!Number.isFinite(value)) return null;
      const tolerance = Number(lines[0].parentElement.dataset.tolerance) + 1e-9;
      const [line] = lines
        .filter((one) => Math.abs(value - Number(one.dataset.value)) <= tolerance)
        .sort((a, b) => Math.abs(value - a.dataset.value) - Math.abs(value - b.dataset.value));
      return { right: Boolean(line) && line.dataset.right === "yes", told: line ? [line] : [] };
    },
    order(form, lines) {
      const fields = [...form.querySelectorAll("select")];
      if (fields.some((field) => field.value === "")) return null;
      const amiss = fields.filter((field) => field.value !== field.dataset.place).map((field) => field.dataset.place);
      return { right: !amiss.length, told: amiss.length ? lines.filter((line) => amiss.includes(line.dataset.value)) : lines };
    },
  };
  const MISSING = {
    single: "Choose an answer first.",
    multiple: "Choose at least one answer first.",
    number: "Enter a number first, such as 0.25 or 1/4.",
    order: "Give every line a place first.",
  };

  for (const quiz of document.querySelectorAll(".tff-quiz")) {
    const forms = [...quiz.querySelectorAll(".tff-question")];
    const score = quiz.querySelector(".tff-score");
    const first = new Map(); // the first answer counts: a second one has read the feedback

    const count = () => {
      const right = [...first.values()].filter(Boolean).length;
      score.hidden = !first.size;
      score.textContent =
        first.size < forms.length
          ? `${right} of ${first.size} answered right at the first try; ${forms.length - first.size} to go.`
          : `Score: ${right} of ${forms.length} right at the first try.`;
    };

    const again = document.createElement("button");
    again.type = "button";
    again.className = "tff-again";
    again.textContent = "Start again";

    for (const form of forms) {
      const { kind } = form.dataset;
      const fields = [...form.querySelectorAll("input, select")];
      const result = form.querySelector(".tff-result");
      const fold = form.querySelector("details");
      const why = form.querySelector(".tff-why");
      form.querySelector("summary").textContent = "Feedback";
      const lines = [...form.querySelectorAll(".tff-feedback > li")];
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Check";
      // buttons of equal names need their question, too, for those who hear them one by one
      const name = form.querySelector(".tff-number").textContent;
      button.setAttribute("aria-label", `Check ${name.toLowerCase()}`);
      result.before(button);
      let tries = 0;

      const clear = () => {
        fold.open = false;
        fold.hidden = true;
        result.textContent = "";
        delete form.dataset.result;
      };
      const check = () => {
        clear();
        const found = judge[kind](form, lines);
        if (!found) {
          result.textContent = MISSING[kind];
          return;
        }
        tries += 1;
        if (!first.has(form)) first.set(form, found.right);
        form.dataset.result = found.right ? "right" : "wrong";
        // whoever errs is told why, and may try again; whoever errs twice is told the answer
        const all = !found.right && tries > 1;
        for (const line of lines) line.hidden = !all && !found.told.includes(line);
        why.hidden = !all && !found.right;
        fold.hidden = false;
        fold.open = true;
        // what is shown is read out as well: the status line has the feedback as plain text, unseen
        const said = document.createElement("span");
        said.className = "tff-said";
        said.textContent = ` ${found.told.map((line) => line.dataset.plain).join(" ")}`;
        result.append(found.right ? "Right." : all ? "Not right. This is the answer:" : "Not right.", said);
        count();
      };
      clear();
      form.addEventListener("input", clear);
      button.addEventListener("click", check);
      form.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && event.target.matches("input")) check();
      });
      again.addEventListener("click", () => {
        for (const field of fields) {
          if (field.type === "radio" || field.type === "checkbox") field.checked = false;
          else field.value = "";
        }
        tries = 0;
        clear();
      });
    }
    again.addEventListener("click", () => {
      first.clear();
      count();
      forms[0].querySelector("input, select").focus();
    });
    score.after(again);
  }
})();
