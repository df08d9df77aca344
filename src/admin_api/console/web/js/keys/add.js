// Adding a key: a name, a date if wanted, Generate; then the key, once.

import { el } from "../dom.js";
import { post } from "../api.js";
import { dateText } from "../format.js";
import { button, dialog } from "../parts/dialog.js";
import { secretBox } from "../parts/secret.js";
import { commands } from "./commands.js";
import { dayFault, dayField, lastSecond, RULE } from "./expiry.js";

const ONCE = "Copy and store this key securely. It is displayed only once and cannot be retrieved later.";

// `added` is told when the key is there, `closed` when its secret is gone.
export function addKey({ added, closed }) {
  const error = el("p", { id: "add-error", class: "field-error", role: "alert" });
  const name = el("input", { id: "key-name", name: "name", type: "text", required: true, maxlength: "128", autocomplete: "off", autofocus: true, "aria-describedby": "add-error" });
  const day = dayField({ id: "key-expires", name: "expires", "aria-describedby": "key-expires-hint add-error" });
  const form = el("form", { id: "add-key", class: "stack", novalidate: true },
    el("label", { for: "key-name", class: "label" }, "Name"), name,
    el("label", { for: "key-expires", class: "label" }, "Expiration date (optional)"), day,
    el("p", { id: "key-expires-hint", class: "hint" }, RULE),
    error);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = name.value.trim() === "" ? [name, "Give the key a name."] : dayFault(day) && [day, dayFault(day)];
    if (fault) return refuse(...fault);
    box.work(true);
    error.textContent = "";
    try {
      const wanted = { name: name.value.trim() };
      if (day.value) wanted.expires_at = lastSecond(day.value);
      const key = await post("/data-plane-keys", wanted);
      box.work(false);
      confirmed(box, key);
      added();
    } catch (failure) {
      box.work(false);
      refuse(failure.message.startsWith("expires_at") ? day : name, failure.message);
    }
  });
  const refuse = (field, words) => {
    for (const each of [name, day]) each.removeAttribute("aria-invalid");
    field.setAttribute("aria-invalid", "true");
    error.textContent = words;
    field.focus();
  };
  const box = dialog({
    title: "Add Data Plane Key",
    body: form,
    footer: [
      button("Cancel", () => box.close()),
      el("button", { class: "button primary", type: "submit", form: "add-key" }, "Generate"),
    ],
    closed,
  });
}

// The only place where the secret is: it goes with the dialog.
function confirmed(box, key) {
  box.show({
    title: "Data plane key created",
    kept: true,
    wide: true,
    body: [
      el("p", { class: "banner warn" }, ONCE),
      secretBox({ label: "Data plane key", secret: key.key, fileName: `${fileName(key.name)}.key` }),
      el("p", { class: "muted" }, `${key.name} expires on ${dateText(key.expires_at)}.`),
      el("h3", {}, "Set up an agent with it"),
      commands(),
    ],
    footer: button("Close", () => box.close(), "primary"),
  });
}

// The key's name as a file may be called.
const fileName = (name) => name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 64) || "data-plane";
