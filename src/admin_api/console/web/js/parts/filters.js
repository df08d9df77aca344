// What of a list is wanted: fields that are searched, and choices.

import { debounced, el, freshId } from "../dom.js";

const TYPING = 300;

// `fields`: {name, label, placeholder} is searched as one types, with `options`
// ([[value, label], …], "" for all) it is a choice, with `make` what that makes
// ({node, value, focus}). `values` is asked once for
// what is wanted first; `changed({name: value})` is told what is wanted now.
export function filters(fields, values, changed, signal) {
  const node = el("form", { class: "filters", role: "search" });
  node.addEventListener("submit", (event) => event.preventDefault());
  const inputs = new Map();
  for (const field of fields) {
    const id = freshId(`filter-${field.name}`);
    const label = el("label", { for: id, class: "label" }, field.label);
    if (field.make) {
      const made = field.make(id, values.get(field.name) ?? "", (value) => changed({ [field.name]: value }));
      inputs.set(field.name, made);
      node.append(el("div", { class: "filter" }, label, made.node));
      continue;
    }
    const input = field.options ? choice(field, id) : search(field, id);
    input.value = values.get(field.name) ?? "";
    const tell = () => changed({ [field.name]: input.value.trim() });
    if (field.options) input.addEventListener("change", tell);
    else input.addEventListener("input", debounced(tell, TYPING, signal));
    inputs.set(field.name, input);
    node.append(el("div", { class: "filter" }, label, input));
  }
  // Wants everything again.
  const clear = () => {
    for (const input of inputs.values()) input.value = "";
    changed(Object.fromEntries([...inputs.keys()].map((name) => [name, ""])));
    inputs.values().next().value?.focus();
  };
  return { node, clear };
}

const choice = ({ name, options }, id) =>
  el("select", { id, name }, options.map(([value, label]) => el("option", { value }, label)));

const search = ({ name, placeholder }, id) =>
  el("input", { id, name, type: "search", placeholder, autocomplete: "off", spellcheck: "false", maxlength: "128" });
