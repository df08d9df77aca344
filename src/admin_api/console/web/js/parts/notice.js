// Short words about what was done: seen at the edge of the page, and read out.

import { el, icon } from "../dom.js";

const SHOWN = 6000;
const CROSS = "M4 4l8 8M12 4l-8 8";

// Read out by screen readers, seen by nobody.
export function announce(text) {
  const polite = document.getElementById("polite");
  polite.textContent = "";
  requestAnimationFrame(() => (polite.textContent = text));
}

// `kind`: "done" goes by itself, "bad" stays until it is closed.
export function notice(kind, text) {
  const bad = kind === "bad";
  const node = el("div", { class: `notice ${kind}`, role: bad ? "alert" : "status" }, el("span", { class: "grow" }, text));
  node.append(el("button", {
    class: "button quiet square",
    type: "button",
    "aria-label": "Dismiss",
    onclick: () => node.remove(),
  }, icon(CROSS)));
  document.getElementById("notices").append(node);
  if (!bad) setTimeout(() => node.remove(), SHOWN);
}
