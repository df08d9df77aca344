// A secret that is shown once, and texts to copy: with buttons that copy them
// and save them to a file.

import { el, freshId } from "../dom.js";
import { announce } from "./notice.js";

const DONE = 2000;

// The text in a box of its own. A secret is a text on the page and nothing
// else: not the value of a field, which browsers remember.
export function secretBox({ label, secret, fileName }) {
  const id = freshId("secret");
  const text = el("code", { id, class: "secret", tabindex: "0", translate: "no" }, secret);
  // A page that is left may be kept for the way back; not with this.
  window.addEventListener("pagehide", () => (text.textContent = ""), { once: true });
  return el("div", { class: "secret-box", role: "group", "aria-label": label },
    text,
    el("div", { class: "row" },
      copyButton(() => text, `Copy the ${label.toLowerCase()}`),
      saveButton(() => `${text.textContent}\n`, fileName, `Download the ${label.toLowerCase()}`)));
}

// A block of commands or configuration.
export function textBox({ label, text, fileName }) {
  const pre = el("pre", { class: "text-box", tabindex: "0", role: "group", "aria-label": label, translate: "no" }, text);
  return el("div", { class: "stack" }, pre,
    el("div", { class: "row" },
      copyButton(() => pre, `Copy: ${label}`),
      saveButton(() => pre.textContent, fileName, `Download: ${label}`)));
}

// Copies a node's text; where the browser does not allow that, selects it.
function copyButton(node, label) {
  const button = el("button", { class: "button", type: "button", "aria-label": label }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(node().textContent);
      say(button, "Copied", "Copied");
    } catch {
      getSelection().selectAllChildren(node());
      say(button, "Selected", "The browser does not allow copying; it is selected: press Ctrl+C");
    }
  });
  return button;
}

function saveButton(text, fileName, label) {
  const button = el("button", { class: "button", type: "button", "aria-label": label }, "Download");
  button.addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([text()], { type: "text/plain" }));
    el("a", { href: url, download: fileName }).click();
    // The browser has begun to read it by then.
    setTimeout(() => URL.revokeObjectURL(url), DONE);
    say(button, "Saved", `Saved as ${fileName}`);
  });
  return button;
}

function say(button, word, words) {
  const before = button.dataset.word ?? button.textContent;
  button.dataset.word = before;
  button.textContent = word;
  announce(words);
  setTimeout(() => (button.textContent = before), DONE);
}
