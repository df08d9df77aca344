// The sign-in page: an admin token opens the console.

import { el, fill } from "./dom.js";
import { signIn } from "./api.js";

const MARK = "/assets/favicon.svg";

export const wordmark = () =>
  el("div", { class: "wordmark" }, el("img", { src: MARK, alt: "", width: "24", height: "24" }), "muster");

// `why` tells who was signed in why that is over; `done` goes on afterwards.
export function signInPage(app, why, done) {
  document.title = "Sign in · muster";
  const error = el("p", { id: "sign-in-error", class: "field-error", role: "alert" });
  const input = el("input", {
    id: "token",
    name: "token",
    type: "password",
    required: true,
    autocomplete: "current-password",
    autocapitalize: "none",
    spellcheck: "false",
    placeholder: "mat_…",
    "aria-describedby": "token-hint sign-in-error",
  });
  const button = el("button", { class: "button primary wide", type: "submit" }, "Sign in");
  const form = el(
    "form",
    { class: "stack", novalidate: true, autocomplete: "on" },
    // What a password manager files it under.
    el("input", { type: "text", name: "username", autocomplete: "username", value: "muster", class: "gone", tabindex: "-1", "aria-hidden": "true", readonly: true }),
    el("label", { for: "token", class: "label" }, "Admin token"),
    input,
    el("p", { id: "token-hint", class: "hint" },
      "The first start wrote one to ", el("code", {}, "admin.token"),
      " in the gateway's data directory. An admin makes more: ", el("code", {}, "muster tokens create"), "."),
    error,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    error.textContent = "";
    try {
      await signIn(input.value);
      input.value = "";
      await done();
    } catch (failure) {
      error.textContent = failure.message;
      input.setAttribute("aria-invalid", "true");
      input.select();
      input.focus();
    } finally {
      button.disabled = false;
    }
  });
  fill(
    app,
    el("main", { class: "door" },
      wordmark(),
      el("h1", {}, "Sign in"),
      why && el("p", { class: "banner info", role: "status" }, why),
      form),
  );
  input.focus();
}
