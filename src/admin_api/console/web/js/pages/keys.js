// The list of data plane keys.

import { el, fill } from "../dom.js";
import { filters, get } from "../api.js";
import { count, date, number } from "../format.js";
import { stateTag } from "../keys.js";
import { addKey } from "../keys/add.js";
import { deleteKeys } from "../keys/delete.js";
import { actionsOf, isEnded, keyName } from "../keys/show.js";
import { button } from "../parts/dialog.js";
import { list } from "../parts/list.js";
import { menuButton } from "../parts/menu.js";
import { empty } from "../parts/states.js";

export const title = "Data Plane Keys";

const FIELDS = [
  { name: "search", label: "Name", placeholder: "Part of a name" },
  { name: "status", label: "Status", options: [["", "All"], ["valid", "Valid"], ["expired", "Expired"], ["revoked", "Revoked"]] },
];

export async function show(main, context) {
  const { can } = context;
  const reload = () => keys.reload();
  const add = (id) => can("admin") && button("Add Data Plane Key", () => addKey({ added: reload }), "primary", { id });
  const columns = [
    { label: "Name", sort: "name", cell: keyName },
    { label: "Status", sort: "status", cell: (key) => stateTag(key.status) },
    { label: "Instances", class: "num", cell: (key) => number(key.instances_count) },
    { label: "Created", sort: "created_at", first: "Descending", class: "nowrap", cell: (key) => date(key.created_at) },
    { label: "Expires", sort: "expires_at", class: "nowrap", cell: (key) => date(key.expires_at) },
  ];
  if (can("operator")) {
    columns.push({
      label: "Actions",
      class: "acts",
      cell: (key) => {
        const actions = () => actionsOf(key, context, reload);
        return actions().length > 0 && menuButton({ id: `actions-${key.object_id}`, label: `Actions for ${key.name}`, items: actions });
      },
    });
  }

  const selection = el("div", { class: "selected-bar", hidden: true });
  let selected = [];
  const select = !can("admin") ? null : {
    can: isEnded,
    label: (key) => `Select ${key.name}`,
    changed: (ids) => {
      const now = ids.join();
      if (now === selected.join()) return;
      selected = ids;
      showSelection();
    },
  };
  const words = el("span", { role: "status" });
  const deleteButton = button("Delete selected", async () => {
    const chosen = keys.items().filter(({ object_id }) => selected.includes(object_id));
    if (await deleteKeys(chosen)) reload();
  }, "danger");
  fill(selection, words, deleteButton);
  const showSelection = () => {
    selection.hidden = selected.length === 0;
    words.textContent = `${count(selected.length, "key")} selected`;
  };

  const keys = list({
    context,
    caption: "Data plane keys",
    columns,
    rowId: (key) => key.object_id,
    noun: ["key", "keys"],
    fields: FIELDS,
    sort: { field: "created_at", dir: "Descending" },
    select,
    read: (query, wanted, signal) =>
      get("/data-plane-keys", { ...query, search: wanted.search, ...filters({ status: wanted.status }) }, { signal }),
    none: () => empty("No data plane keys yet",
      el("p", {}, can("admin") ? "Agents connect with a key. Add the first one." : "An admin can add one.")),
  });
  fill(main,
    el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title), el("div", { class: "actions" }, add("add-key-button"))),
    keys.node,
    selection);
  await keys.first;
}
