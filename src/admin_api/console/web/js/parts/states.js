// What stands where there is nothing to show: yet, at all, or not to this reader.

import { el } from "../dom.js";

// Shows only once it takes long enough to be noticed.
export const loading = (text = "Loading…") => el("p", { class: "state loading", role: "status" }, text);

// Nothing there; `more` may be a hint or a button.
export const empty = (title, ...more) =>
  el("div", { class: "state" }, el("p", { class: "state-title" }, title), more.length > 0 && el("div", { class: "muted" }, more));

// A call that failed, with a button that tries again.
export function failed(error, retry) {
  if (error.status === 403) return denied(error.message);
  const gone = error.status === 404;
  return el("div", { class: "state", role: "alert" },
    el("p", { class: "state-title" }, gone ? "Not found" : "That did not work"),
    el("p", {}, error.message),
    error.requestId && !gone && el("p", { class: "muted" }, "Request ", el("code", {}, error.requestId)),
    retry && el("button", { class: "button", type: "button", onclick: () => retry() }, "Retry"));
}

// What this reader's role does not let him see.
export const denied = (words) =>
  el("div", { class: "state" },
    el("p", { class: "state-title" }, "Your role does not allow this"),
    el("p", {}, words));
