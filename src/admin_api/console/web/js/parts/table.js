// A table whose rows change in place: who reads or works in it loses neither
// place nor focus. On a phone each row is a card.

import { el, fill, freshId, icon } from "../dom.js";

const UP = "M4 10l4-4 4 4";
const DOWN = "M4 6l4 4 4-4";
const BOTH = "M5 6.5L8 3.5l3 3M5 9.5l3 3 3-3";

// columns: {label, cell: row => node, sort?: field, first?: direction it sorts
//   in first, class?, unseen?: its label is only read out}; the first names
//   the row.
// rowId: row => a key of its own. sort: {field, dir}; onSort(field, dir).
// select (or null): {can: row => bool, label: row => text, changed: ids => void}
export function table({ caption, columns, rowId, sort, onSort, select = null }) {
  const sorters = [];
  const body = el("tbody", { role: "rowgroup" });
  const node = el("table", { role: "table" });
  const chosen = new Set();
  let shown = new Map();

  const all = select && el("input", { type: "checkbox", "aria-label": `Select all on this page`, class: "check" });
  all?.addEventListener("change", () => {
    for (const { box } of shown.values()) {
      if (!box) continue;
      box.checked = all.checked;
      choose(box);
    }
    tell();
  });
  const choose = (box) => (box.checked ? chosen.add(box.value) : chosen.delete(box.value));
  const tell = () => {
    const boxes = [...shown.values()].filter(({ box }) => box);
    all.disabled = boxes.length === 0;
    all.checked = boxes.length > 0 && chosen.size === boxes.length;
    all.indeterminate = chosen.size > 0 && !all.checked;
    select.changed([...chosen]);
  };

  const head = columns.map((column) => {
    const props = { role: "columnheader", scope: "col", class: column.class };
    if (!column.sort || !onSort) {
      return el("th", props, column.unseen ? el("span", { class: "unseen" }, column.label) : column.label);
    }
    const button = el("button", { class: "sorter", type: "button" }, column.label);
    const cell = el("th", props, button);
    button.addEventListener("click", () => {
      const same = sort.field === column.sort;
      const dir = same ? flipped(sort.dir) : (column.first ?? "Ascending");
      onSort(column.sort, dir);
    });
    sorters.push({ column, cell, button });
    return cell;
  });
  fill(node,
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, select && el("th", { role: "columnheader", class: "checks" }, all), head)),
    body);
  const phoneSort = onSort && sorters.length > 0 && sortChoice(sorters, onSort);

  const markSort = () => {
    for (const { column, cell, button } of sorters) {
      const by = sort.field === column.sort;
      const arrow = by ? (sort.dir === "Ascending" ? UP : DOWN) : BOTH;
      fill(button, column.label, icon(arrow, { class: by ? "icon on" : "icon" }));
      if (by) cell.setAttribute("aria-sort", sort.dir.toLowerCase());
      else cell.removeAttribute("aria-sort");
    }
    phoneSort?.show(sort);
  };

  const made = (row, id) => {
    const box = select?.can(row) && el("input", { type: "checkbox", class: "check", value: id, "aria-label": select.label(row) });
    if (box) {
      box.checked = chosen.has(id);
      box.addEventListener("change", () => {
        choose(box);
        tell();
      });
    }
    const cells = columns.map((column, at) => {
      const props = { role: at === 0 ? "rowheader" : "cell", class: column.class, "data-label": column.label };
      return el(at === 0 ? "th" : "td", at === 0 ? { ...props, scope: "row" } : props, column.cell(row));
    });
    const tr = el("tr", { role: "row", "data-id": id }, select && el("td", { role: "cell", class: "checks" }, box), cells);
    return { tr, box, version: JSON.stringify(row) };
  };

  // Rows that say what they said stay as they are.
  const update = (rows) => {
    const next = new Map();
    for (const row of rows) {
      const id = rowId(row);
      const before = shown.get(id);
      const same = before && before.version === JSON.stringify(row);
      next.set(id, same ? before : replaced(before, made(row, id)));
    }
    shown = next;
    for (const id of chosen) if (!shown.get(id)?.box) chosen.delete(id);
    const wanted = [...shown.values()].map(({ tr }) => tr);
    const stays = wanted.length === body.children.length && wanted.every((tr, at) => body.children[at] === tr);
    if (!stays) keepingFocus(body, () => body.replaceChildren(...wanted));
    if (select) tell();
    node.setAttribute("aria-busy", "false");
  };

  // Grey lines where the first rows will be.
  const wait = (lines = 6) => {
    node.setAttribute("aria-busy", "true");
    const cells = () => columns.map(() => el("td", { role: "cell" }, el("span", { class: "bone" })));
    body.replaceChildren(...Array.from({ length: lines }, () => el("tr", { role: "row", class: "bones" }, select && el("td", { role: "cell", class: "checks" }), cells())));
  };

  markSort();
  const frame = el("div", { class: "table" }, phoneSort?.node, node);
  return {
    node: frame,
    update,
    wait,
    sorted(next) {
      sort = next;
      markSort();
    },
  };
}

export const flipped = (dir) => (dir === "Ascending" ? "Descending" : "Ascending");

// The same order, for windows too narrow for column headers.
function sortChoice(sorters, onSort) {
  const id = freshId("sort");
  const options = sorters.flatMap(({ column }) =>
    ["Ascending", "Descending"].map((dir) => el("option", { value: `${column.sort} ${dir}` }, `${column.label}, ${dir.toLowerCase()}`)));
  const input = el("select", { id }, options);
  input.addEventListener("change", () => onSort(...input.value.split(" ")));
  const node = el("div", { class: "filter phone-sort" }, el("label", { for: id, class: "label" }, "Sort by"), input);
  return { node, show: (sort) => (input.value = `${sort.field} ${sort.dir}`) };
}

// A row that is made anew gets the old one's place, and the focus in it.
function replaced(before, now) {
  if (before?.tr.isConnected) keepingFocus(before.tr, () => before.tr.replaceWith(now.tr), now.tr);
  return now;
}

function keepingFocus(within, change, now) {
  const active = document.activeElement;
  const had = within.contains(active) ? active : null;
  change();
  if (!had || document.activeElement === had) return;
  const again = had.isConnected ? had : had.id ? document.getElementById(had.id) : now?.querySelector("a, button, input");
  again?.focus({ preventScroll: true });
}
