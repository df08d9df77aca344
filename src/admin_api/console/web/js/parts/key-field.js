// A filter by key: a part of its name is typed, and the key chosen from those
// that have it.

import { debounced, el, fill, freshId } from "../dom.js";
import { get } from "../api.js";
import { stateTag } from "../keys.js";

const OFFERED = 8;
const TYPING = 200;

// For filters(): {name: "key"}, whose value is the key's id.
export const keyField = (signal) => ({
  name: "key",
  label: "Key",
  make: (id, first, tell) => keyChoice(id, first, tell, signal),
});

// An input with a list of options that opens below it. Answers {node, value
// (to be set), focus}.
function keyChoice(id, first, tell, signal) {
  const options = el("ul", { id: freshId("keys"), role: "listbox", "aria-label": "Keys", class: "options", hidden: true });
  const input = el("input", {
    id,
    type: "search",
    role: "combobox",
    placeholder: "Part of a name",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: "128",
    "aria-autocomplete": "list",
    "aria-controls": options.id,
    "aria-expanded": "false",
  });
  let chosen = { id: first, name: first };
  let offered = [];
  let at = -1;

  const close = () => {
    options.hidden = true;
    input.ariaExpanded = "false";
    input.removeAttribute("aria-activedescendant");
    at = -1;
  };
  const choose = (key) => {
    const changed = key.id !== chosen.id;
    chosen = key;
    input.value = key.name;
    close();
    if (changed) tell(key.id);
  };
  const mark = (to) => {
    at = to;
    [...options.children].forEach((option, index) => (option.ariaSelected = String(index === at)));
    const now = options.children[at];
    if (now) input.setAttribute("aria-activedescendant", now.id);
    now?.scrollIntoView({ block: "nearest" });
  };
  const offer = async () => {
    const search = input.value.trim();
    if (search === "") return choose({ id: "", name: "" });
    let items;
    try {
      const query = { search, limit: OFFERED, sort_fields: "name", sort_dir: "Ascending" };
      ({ items } = await get("/data-plane-keys", query, { signal }));
    } catch {
      // The list below tells what is wrong with the gateway.
      return close();
    }
    if (input.value.trim() !== search || document.activeElement !== input) return;
    offered = items;
    fill(options, items.map(option), items.length === 0 && el("li", { class: "muted none" }, "No key has this in its name"));
    options.hidden = false;
    input.ariaExpanded = "true";
    mark(items.length === 1 ? 0 : -1);
  };
  const option = (key) => {
    const node = el("li", { id: freshId("key"), role: "option", "aria-selected": "false" },
      el("span", { class: "clip" }, key.name), stateTag(key.status));
    // Before the input loses the focus.
    node.addEventListener("pointerdown", (event) => event.preventDefault());
    node.addEventListener("click", () => choose({ id: key.object_id, name: key.name }));
    return node;
  };

  input.addEventListener("input", debounced(offer, TYPING, signal));
  input.addEventListener("keydown", (event) => {
    const open = !options.hidden;
    if (event.key === "Escape" && open) {
      event.preventDefault();
      close();
    }
    if (event.key === "Enter" && open && offered[at]) {
      event.preventDefault();
      choose({ id: offered[at].object_id, name: offered[at].name });
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    if (!open) return void offer();
    if (offered.length > 0) mark((at + step + offered.length) % offered.length);
  });
  // What was typed but not chosen filters nothing, so it does not stay.
  input.addEventListener("blur", () => {
    input.value = chosen.name;
    close();
  });

  if (first) {
    input.value = first;
    get(`/data-plane-keys/${encodeURIComponent(first)}`, {}, { signal }).then((key) => {
      if (chosen.id !== first) return;
      chosen.name = key.name;
      if (document.activeElement !== input) input.value = key.name;
    }, () => {});
  }
  return {
    node: el("div", { class: "combo" }, input, options),
    set value(_) {
      chosen = { id: "", name: "" };
      input.value = "";
      close();
    },
    focus: () => input.focus(),
  };
}
