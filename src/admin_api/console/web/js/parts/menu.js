// The ellipsis of a row: a button that opens a menu. Arrow keys move in it,
// Escape and Tab close it.

import { el, freshId, icon } from "../dom.js";

const DOTS = "M3 8h.01M8 8h.01M13 8h.01";
const MARGIN = 4;

let close = () => {};

// items(): [{label, act, danger?}] at the time it is opened. `id` stays the same
// when the row is made anew, so that the focus finds it again.
export function menuButton({ id, label, items }) {
  const button = el("button", {
    id,
    class: "button quiet square dots",
    type: "button",
    "aria-label": label,
    "aria-haspopup": "menu",
    "aria-expanded": "false",
  }, icon(DOTS));
  button.addEventListener("click", () => {
    if (button.ariaExpanded === "true") return close();
    open(button, items(), 0);
  });
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    open(button, items(), event.key === "ArrowUp" ? -1 : 0);
  });
  return button;
}

function open(button, items, first) {
  close();
  const ending = new AbortController();
  const { signal } = ending;
  const menu = el("div", { class: "menu-items", role: "menu", id: freshId("menu"), "aria-label": button.ariaLabel });
  // The button may have been made anew meanwhile.
  const opener = () => (button.isConnected ? button : document.getElementById(button.id));
  close = () => {
    close = () => {};
    ending.abort();
    const had = menu.contains(document.activeElement);
    menu.remove();
    button.ariaExpanded = "false";
    if (had) opener()?.focus();
  };
  for (const { label, act, danger } of items) {
    const item = el("button", { type: "button", role: "menuitem", tabindex: "-1", class: danger ? "danger" : null }, label);
    item.addEventListener("click", () => {
      close();
      act();
    });
    menu.append(item);
  }
  document.body.append(menu);
  button.ariaExpanded = "true";
  place(menu, button);
  focus(menu, first);
  menu.addEventListener("keydown", (event) => moved(event, menu));
  document.addEventListener("pointerdown", (event) => {
    if (!menu.contains(event.target) && !button.contains(event.target)) close();
  }, { signal });
  window.addEventListener("resize", () => close(), { signal });
  window.addEventListener("hashchange", () => close(), { signal });
  document.addEventListener("scroll", () => close(), { signal, capture: true });
}

function place(menu, button) {
  const at = button.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = at.bottom + MARGIN;
  const fits = below + height <= window.innerHeight;
  menu.style.top = `${fits ? below : Math.max(MARGIN, at.top - height - MARGIN)}px`;
  menu.style.left = `${Math.max(MARGIN, at.right - width)}px`;
}

function focus(menu, at) {
  [...menu.children].at(at)?.focus({ preventScroll: true });
}

function moved(event, menu) {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  const to = {
    ArrowDown: (at + 1) % items.length,
    ArrowUp: (at - 1 + items.length) % items.length,
    Home: 0,
    End: -1,
  }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    return focus(menu, to);
  }
  if (event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    return close();
  }
  if (event.key === "Tab") return close();
  if (event.key.length === 1) {
    const letter = event.key.toLowerCase();
    const named = items.findIndex((item) => item.textContent.toLowerCase().startsWith(letter));
    if (named >= 0) focus(menu, named);
  }
}
