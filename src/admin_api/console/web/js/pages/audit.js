// The audit trail: who changed what, when, from where, and how it went.

import { el, fill } from "../dom.js";
import { get } from "../api.js";
import { exactTime } from "../format.js";
import { stateTag } from "../keys.js";
import { list } from "../parts/list.js";
import { empty } from "../parts/states.js";

export const title = "Audit";

const HOUR = 3_600_000;
const ACTIONS = [
  ["", "All"],
  ["key", "Keys"],
  ["key.create", "– added"],
  ["key.edit", "– edited"],
  ["key.revoke", "– revoked"],
  ["key.delete", "– deleted"],
  ["session.disconnect", "Disconnected sessions"],
  ["gateway.forget", "Forgotten gateways"],
  ["token", "Tokens"],
  ["instance", "Instances"],
  ["settings", "Settings"],
  ["sign_in", "Sign-ins"],
];
const RESULTS = [["", "All"], ["ok", "Done"], ["refused", "Refused"], ["failed", "Failed"]];
const WORDS = { ok: "done" };
const SINCE = [["", "Any time"], ["1", "Last hour"], ["24", "Last 24 hours"], ["168", "Last 7 days"], ["720", "Last 30 days"]];

export async function show(main, context) {
  const trail = list({
    context,
    tokens: true,
    every: 15_000,
    caption: "Audit records, the newest first",
    noun: ["record", "records"],
    rowId: (record) => String(record.id),
    fields: [
      { name: "actor", label: "Who", placeholder: "Part of a name or ID" },
      { name: "action", label: "What", options: ACTIONS },
      { name: "target", label: "Target", placeholder: "An ID, for example key_…" },
      { name: "result", label: "Result", options: RESULTS },
      { name: "since", label: "When", options: SINCE },
    ],
    live: ({ kind }) => kind.startsWith("key_") || kind === "session_closed",
    read: (query, wanted, signal) => get("/audit", { ...query, ...wanted, since: since(wanted.since) }, { signal }),
    columns: [
      { label: "When", class: "nowrap", cell: (record) => exactTime(record.at) },
      { label: "Who", cell: (record) => who(record.actor) },
      { label: "What", cell: (record) => el("div", {}, el("code", {}, record.action), record.detail && el("div", { class: "muted clip" }, record.detail)) },
      { label: "Target", cell: (record) => target(record.target) },
      { label: "Result", class: "reasoned", cell: result },
      { label: "From", cell: (record) => el("div", {}, record.from, el("div", { class: "muted" }, `${record.door}, ${record.gateway_name}`)) },
    ],
    none: () => empty("Nothing is recorded yet", "Every change, through any door, shows here with who made it."),
  });
  fill(main, el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title)), trail.node);
  await trail.first;
}

const since = (hours) => (hours ? new Date(Date.now() - Number(hours) * HOUR).toISOString() : null);

// "name (tok_…)"
function who(actor) {
  const [, name, id] = actor.match(/^(.*) \((tok_\w+)\)$/s) ?? [null, actor, null];
  return el("div", {}, el("span", { class: "clip" }, name), id && el("code", { class: "muted" }, id));
}

const LISTS = { key: "keys", inst: "instances" };

function target(id) {
  if (!id) return "–";
  const list = LISTS[id.split("_", 1)[0]];
  const code = el("code", {}, id);
  return list ? el("a", { href: `#/${list}/${encodeURIComponent(id)}` }, code) : code;
}

const result = (record) =>
  el("div", {}, stateTag(WORDS[record.result] ?? record.result), record.reason && el("div", { class: "muted clip", title: record.reason }, record.reason));
