// A list as pages show it: filters, a table, pages; read from the gateway one
// page at a time, and again when something happens.

import { el, fill, repeated } from "../dom.js";
import { count as counted } from "../format.js";
import { filters } from "./filters.js";
import { announce } from "./notice.js";
import { pager } from "./pager.js";
import { empty, failed } from "./states.js";
import { table } from "./table.js";

const PAGE = 50;

// context: the page's. read(query, wanted, signal): one page of the list;
//   `query` has limit and offset (or page_token, with `tokens`), and
//   sort_fields and sort_dir; `wanted` is what the filters say. Answers
//   {count, total, items} as REST does (or {items, next_page_token}).
// noun: [one, many]. none: what stands where the list is empty.
// sort: {field, dir} at first. local: what is chosen does not go into the
//   address, for lists that are part of a page. live: events that may change it
//   (event => bool); false: none. every: milliseconds after which it is read
//   again, for what no event tells. lines: grey lines while it loads.
// The rest goes to table(). Answers {node, reload, items}.
export function list({ context, read, noun, none, sort, fields = [], tokens = false, local = false, live, every, size = PAGE, lines, ...rest }) {
  const { signal } = context;
  const chosen = local ? new URLSearchParams() : context.query;
  const choose = (what) => {
    if (!local) return context.setQuery(what);
    for (const [name, value] of Object.entries(what)) {
      if (value) chosen.set(name, value);
      else chosen.delete(name);
    }
  };
  const order = () => ({ field: chosen.get("sort") ?? sort?.field, dir: chosen.get("dir") ?? sort?.dir });
  const wanted = () => Object.fromEntries(fields.map(({ name }) => [name, chosen.get(name) ?? ""]));
  const page = () => Math.max(1, Number.parseInt(chosen.get("page") ?? "1", 10) || 1);

  let asked = 0;
  let seen = false;
  // Tokens of the pages so far: of a list that has no positions.
  let places = [null];
  let items = [];

  const rows = table({
    ...rest,
    sort: order(),
    onSort: sort && ((field, dir) => {
      choose({ sort: field, dir, page: null });
      rows.sorted(order());
      reload(true);
    }),
  });
  const turn = pager((by) => {
    if (tokens && by < 0) places.pop();
    if (!tokens) choose({ page: page() + by === 1 ? null : String(page() + by) });
    if (tokens && by > 0) places.push(turn.next);
    reload(true);
    node.scrollIntoView({ block: "start" });
  });
  const bar = fields.length > 0 && filters(fields, chosen, (what) => {
    choose({ ...what, page: null });
    places = [null];
    reload(true);
  }, signal);
  const summary = el("span", { class: "muted summary" });
  const state = el("div", {});
  const trouble = el("div", {});
  const foot = el("div", { class: "list-foot" }, summary, turn.node);
  const node = el("div", { class: "list" }, bar && bar.node, trouble, rows.node, state, foot);

  // `told`: the reader asked for it, so he is told what came of it.
  async function reload(told = false) {
    asked += 1;
    const mine = asked;
    const query = { limit: size };
    if (tokens) query.page_token = places.at(-1);
    else query.offset = (page() - 1) * size + 1;
    if (order().field) Object.assign(query, { sort_fields: order().field, sort_dir: order().dir });
    try {
      const answer = await read(query, wanted(), signal);
      if (mine !== asked || signal.aborted) return;
      if (!tokens && answer.items.length === 0 && answer.count > 0 && page() > 1) {
        // The last page has gone.
        const last = Math.ceil(answer.count / size);
        choose({ page: last === 1 ? null : String(last) });
        return await reload(told);
      }
      show(answer, told);
    } catch (error) {
      if (mine !== asked || signal.aborted || error.name === "AbortError") return;
      trouble.replaceChildren(failed(error, () => reload(true)));
      rows.node.hidden = !seen;
      foot.hidden = !seen;
      if (!seen) state.replaceChildren();
    }
  }

  function show(answer, told) {
    seen = true;
    items = answer.items;
    trouble.replaceChildren();
    rows.update(items);
    const filtered = Object.values(wanted()).some(Boolean);
    const nothing = items.length === 0 && places.length === 1 && !answer.next_page_token;
    rows.node.hidden = nothing;
    foot.hidden = nothing;
    if (!nothing) state.replaceChildren();
    else if (filtered) fill(state, empty(`No ${noun[1]} match`, el("button", { class: "button", type: "button", onclick: bar.clear }, "Clear filters")));
    else fill(state, none());
    turn.next = answer.next_page_token;
    turn.update({
      first: (page() - 1) * size + 1,
      shown: items.length,
      count: tokens ? undefined : answer.count,
      hasBack: tokens ? places.length > 1 : page() > 1,
      hasOn: tokens ? Boolean(answer.next_page_token) : page() * size < answer.count,
    });
    const further = items.length === 0 ? "None here, older ones may match" : "";
    const words = tokens ? further : filtered ? `${counted(answer.count, ...noun)} of ${answer.total}` : counted(answer.count, ...noun);
    summary.textContent = words;
    if (told) announce(nothing ? `No ${noun[1]}` : words || `${counted(items.length, ...noun)} shown`);
  }

  rows.wait(lines);
  const first = reload();
  if (live !== false) context.live.follow(() => reload(), signal, live);
  if (every) repeated(() => reload(), every, signal);
  return { node, reload, first, items: () => items };
}
