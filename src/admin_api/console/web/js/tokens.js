// Making and revoking admin tokens.

import { el } from "./dom.js";
import { del, post } from "./api.js";
import { dateText } from "./format.js";
import { dayFault, dayField, lastSecond } from "./keys/expiry.js";
import { button, confirm, dialog } from "./parts/dialog.js";
import { notice } from "./parts/notice.js";
import { secretBox } from "./parts/secret.js";

export const ROLES = [
  ["viewer", "Viewer", "sees everything but tokens, changes nothing"],
  ["operator", "Operator", "also edits and revokes keys, and disconnects agents"],
  ["admin", "Admin", "also adds and deletes keys, forgets gateways, and makes and revokes tokens"],
];
const ONCE = "Copy and store this token securely. It is displayed only once and cannot be retrieved later.";

// `added` is told when the token is there.
export function addToken({ added }) {
  const error = el("p", { id: "token-error", class: "field-error", role: "alert" });
  const name = el("input", { id: "token-name", name: "name", type: "text", required: true, maxlength: "128", autocomplete: "off", autofocus: true, "aria-describedby": "token-error" });
  const day = dayField({ id: "token-expires", name: "expires", max: null, "aria-describedby": "token-expires-hint token-error" });
  const roles = ROLES.map(([value, label, words], at) =>
    el("label", { class: "choice" },
      el("input", { type: "radio", name: "role", value, checked: at === 0 }),
      el("span", {}, el("strong", {}, label), el("span", { class: "hint" }, ` ${words}`))));
  const form = el("form", { id: "add-token", class: "stack", novalidate: true },
    el("label", { for: "token-name", class: "label" }, "Name"), name,
    el("fieldset", { class: "choices" }, el("legend", { class: "label" }, "Role"), roles),
    el("label", { for: "token-expires", class: "label" }, "Expiration date (optional)"), day,
    el("p", { id: "token-expires-hint", class: "hint" }, "If you don't set a date, the token does not expire."),
    error);
  const refuse = (field, words) => {
    field.setAttribute("aria-invalid", "true");
    error.textContent = words;
    field.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const field of [name, day]) field.removeAttribute("aria-invalid");
    error.textContent = "";
    if (name.value.trim() === "") return refuse(name, "Give the token a name.");
    const fault = dayFault(day);
    if (fault) return refuse(day, fault);
    const wanted = { name: name.value.trim(), role: new FormData(form).get("role") };
    if (day.value) wanted.expires_at = lastSecond(day.value);
    box.work(true);
    try {
      const token = await post("/tokens", wanted);
      box.work(false);
      confirmed(box, token);
      added();
    } catch (failure) {
      box.work(false);
      refuse(failure.message.startsWith("expires_at") ? day : name, failure.message);
    }
  });
  const box = dialog({
    title: "Add Token",
    body: form,
    footer: [
      button("Cancel", () => box.close()),
      el("button", { class: "button primary", type: "submit", form: "add-token" }, "Generate"),
    ],
  });
}

// The only place where the secret is: it goes with the dialog.
function confirmed(box, token) {
  const until = token.expires_at ? `expires on ${dateText(token.expires_at)}` : "does not expire";
  box.show({
    title: "Token created",
    kept: true,
    wide: true,
    body: [
      el("p", { class: "banner warn" }, ONCE),
      secretBox({ label: "Token", secret: token.token, fileName: "admin.token" }),
      el("p", { class: "muted" }, el("strong", {}, token.name), ` has the role ${token.role} and ${until}.`),
      el("p", { class: "muted" }, "It signs in here, goes into ", el("code", {}, "--token-file"), " of the command line, and into the header ", el("code", {}, "Authorization: Bearer"), " of REST calls."),
    ],
    footer: button("Close", () => box.close(), "primary"),
  });
}

// `revoked` is told when it is.
export async function revokeToken(token, { revoked }) {
  const done = await confirm({
    title: "Revoke token?",
    body: [
      el("p", {}, "Token ", el("strong", {}, token.name), ` · ${token.role} · `, el("code", {}, token.object_id)),
      el("p", {}, "Whoever uses it is refused from the next call on. A revoke is final."),
      token.yours && el("p", { class: "banner warn" }, "It is the token that you are signed in with: you will be signed out."),
    ],
    verb: "Revoke",
    work: async () => {
      await del(`/tokens/${encodeURIComponent(token.object_id)}`);
      return true;
    },
  });
  if (!done) return;
  notice("done", `Revoked the token ${token.name}.`);
  revoked();
}
