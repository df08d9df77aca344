// Dialogs: modal, named by their heading, and the focus goes back to where it
// came from.

import { el, fill, freshId } from "../dom.js";

// Opens one. body and footer are nodes or lists of nodes; both may be replaced
// by show(). A dialog that is `kept` is not closed by Escape: what it shows can't
// be had again. `closed` is told when it is gone.
export function dialog({ title, body = [], footer = [], kept = false, wide = false, closed }) {
  const back = document.activeElement;
  const id = freshId("dialog");
  const heading = el("h2", { id, tabindex: "-1" }, title);
  const content = el("div", { class: "dialog-body" });
  const buttons = el("div", { class: "dialog-foot" });
  const node = el("dialog", { "aria-labelledby": id, class: wide ? "wide" : null }, heading, content, buttons);
  let busy = false;

  const close = () => node.close();
  const show = (next) => {
    if (next.title) heading.textContent = next.title;
    if (next.wide !== undefined) node.classList.toggle("wide", next.wide);
    kept = next.kept ?? kept;
    if (next.body) fill(content, next.body);
    if (next.footer) fill(buttons, next.footer);
    const first = node.querySelector("[autofocus]") ?? heading;
    if (node.open) first.focus();
  };
  node.addEventListener("cancel", (event) => {
    if (busy || kept) event.preventDefault();
  });
  // Chromium lets a second Escape close what asked to stay.
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && (busy || kept)) event.preventDefault();
  });
  node.addEventListener("close", () => {
    fill(content);
    node.remove();
    // The browser gave the focus back when it closed; this event comes later, and the
    // focus may have moved on.
    if (document.activeElement === document.body) returnTo(back);
    closed?.();
  });
  show({ body, footer });
  document.body.append(node);
  node.showModal();
  // While something is under way nothing can be pressed.
  const work = (is) => {
    busy = is;
    node.setAttribute("aria-busy", String(is));
    for (const control of node.querySelectorAll("button, input, select")) control.disabled = is;
  };
  return { node, close, show, work };
}

function returnTo(back) {
  const again = back?.isConnected ? back : back?.id && document.getElementById(back.id);
  if (again && again !== document.body) return again.focus();
  document.querySelector("main h1")?.focus();
}

export const button = (label, onclick, kind = "", more = {}) =>
  el("button", { class: `button ${kind}`, type: "button", onclick, ...more }, label);

// Asks before something is done that can't be undone. `work` does it; while it
// fails the dialog stays and tells why. Resolves to what `work` answered, or to
// undefined where it was left.
export function confirm({ title, body, verb, work, danger = true, cancel = "Cancel" }) {
  return new Promise((resolve) => {
    let outcome;
    const error = el("p", { class: "field-error", role: "alert" });
    const act = async () => {
      box.work(true);
      error.textContent = "";
      try {
        outcome = await work();
        box.work(false);
        box.close();
      } catch (failure) {
        box.work(false);
        error.textContent = failure.message;
      }
    };
    const box = dialog({
      title,
      body: [body, error],
      footer: [
        button(cancel, () => box.close(), "", { autofocus: true }),
        button(verb, act, danger ? "danger" : "primary"),
      ],
      closed: () => resolve(outcome),
    });
  });
}
