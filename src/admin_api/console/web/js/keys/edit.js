// Editing a key: its name, and its date as long as that can be moved.

import { el } from "../dom.js";
import { BASE, call, patch } from "../api.js";
import { dateText } from "../format.js";
import { button, dialog } from "../parts/dialog.js";
import { failed, loading } from "../parts/states.js";
import { dayAt, dayFault, dayField, lastSecond } from "./expiry.js";

const FIXED = {
  expired: "The key has expired, so its date is fixed. Add a new key instead.",
  revoked: "The key was revoked, which is final, so its date is fixed.",
};
const CHANGED = "Somebody changed this key meanwhile. This is its newest state: look at it, and save again if you still want to.";

const pathOf = (id) => `/data-plane-keys/${encodeURIComponent(id)}`;

// `saved` is told the key as it is then.
export async function editKey(id, { saved, closed }) {
  const box = dialog({ title: "Edit Key", body: loading(), footer: button("Cancel", () => box.close()), closed });
  const load = async (words) => {
    try {
      const { data, headers } = await call("GET", BASE + pathOf(id));
      ask(box, data, headers.get("etag"), words, { load, saved });
    } catch (error) {
      box.show({ body: failed(error, () => load(words)) });
    }
  };
  await load("");
}

function ask(box, key, etag, words, { load, saved }) {
  const fixed = FIXED[key.status];
  const error = el("p", { id: "edit-error", class: "field-error", role: "alert" }, words);
  const name = el("input", { id: "key-name", name: "name", type: "text", required: true, maxlength: "128", autocomplete: "off", autofocus: true, "aria-describedby": "edit-error", value: key.name });
  const before = dayAt(key.expires_at);
  const day = dayField({ id: "key-expires", name: "expires", value: before, disabled: Boolean(fixed), required: !fixed, "aria-describedby": "key-expires-hint edit-error" });
  if (fixed) for (const bound of ["min", "max"]) day.removeAttribute(bound);
  const form = el("form", { id: "edit-key", class: "stack", novalidate: true },
    el("label", { for: "key-name", class: "label" }, "Name"), name,
    el("label", { for: "key-expires", class: "label" }, "Expiration date"), day,
    el("p", { id: "key-expires-hint", class: "hint" }, fixed ?? `Now ${dateText(key.expires_at)}. The longest duration for a key is one year from today.`),
    error);

  const refuse = (field, text) => {
    field.setAttribute("aria-invalid", "true");
    error.textContent = text;
    field.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    for (const field of [name, day]) field.removeAttribute("aria-invalid");
    error.textContent = "";
    const edit = {};
    if (name.value !== key.name) edit.name = name.value.trim();
    if (edit.name === "") return refuse(name, "Give the key a name.");
    if (!fixed && day.value !== before) {
      const fault = day.value === "" ? "Pick a day." : dayFault(day);
      if (fault) return refuse(day, fault);
      edit.expires_at = lastSecond(day.value);
    }
    if (Object.keys(edit).length === 0) return box.close();
    box.work(true);
    try {
      const now = await patch(pathOf(key.object_id), edit, { headers: etag ? { "if-match": etag } : {} });
      box.work(false);
      box.close();
      saved(now);
    } catch (failure) {
      box.work(false);
      if (fixed) day.disabled = true;
      if (failure.status === 412) return load(CHANGED);
      refuse(failure.message.startsWith("expires_at") ? day : name, failure.message);
    }
  });
  box.show({
    title: "Edit Key",
    body: form,
    footer: [
      button("Cancel", () => box.close()),
      el("button", { class: "button primary", type: "submit", form: "edit-key" }, "Save"),
    ],
  });
}
