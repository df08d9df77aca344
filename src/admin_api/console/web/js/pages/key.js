// One data plane key: what it is, who uses it, and what may be done with it.

import { el, fill } from "../dom.js";
import { get } from "../api.js";
import { ago, number, time } from "../format.js";
import { riskMark, stateTag } from "../keys.js";
import { followRevocation } from "../keys/revoke.js";
import { actionsOf } from "../keys/show.js";
import { button } from "../parts/dialog.js";
import { list } from "../parts/list.js";
import { empty, failed, loading } from "../parts/states.js";

export const title = "Data plane key";

const LINES = 20;

export async function show(main, context) {
  const { id, signal, live } = context;
  const path = `/data-plane-keys/${encodeURIComponent(id)}`;
  const head = el("div", {});
  const facts = el("div", {});
  const revocation = el("div", {});
  const parts = el("div", {});
  let version;
  let following = false;
  let gone = false;

  const load = async () => {
    let key;
    try {
      key = await get(path, {}, { signal });
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      gone = error.status === 404;
      version = undefined;
      fill(head, heading(gone ? "Not found" : id));
      fill(facts, gone ? empty("There is no such key", "It was deleted, or never existed.") : failed(error, load));
      fill(revocation);
      parts.hidden = true;
      return;
    }
    parts.hidden = false;
    document.title = `${key.name} · muster`;
    const now = JSON.stringify(key);
    if (now === version) return;
    version = now;
    const had = head.contains(document.activeElement) ? document.activeElement.id : null;
    fill(head, heading(key.name, key, actionsOf(key, context, load, () => context.go("#/keys"))));
    if (had) document.getElementById(had)?.focus();
    fill(facts, factsOf(key));
    if (key.revoked && !following) {
      following = true;
      const picture = el("div", { class: "stack" }, loading());
      fill(revocation, part("What the gateways did about the revoke", picture));
      followRevocation(id, picture, signal).catch(() => {});
    }
  };

  fill(main, head, facts, revocation, parts);
  fill(head, heading(id));
  fill(facts, loading());
  await load();
  if (signal.aborted || gone) return;
  live.follow(load, signal, (event) => event.key_object_id === id);
  fill(parts,
    part("Agents now", agents(context, id, false)),
    part("Agents ever", agents(context, id, true)),
    part("Live sessions", sessions(context, id)),
    part("Telemetry senders", senders(context, path)));
}

const heading = (name, key, actions = []) =>
  el("div", {},
    el("p", { class: "crumb" }, el("a", { href: "#/keys" }, "Data Plane Keys")),
    el("div", { class: "page-head" },
      el("h1", { tabindex: "-1" }, name),
      key && stateTag(key.status),
      key && riskMark(key),
      el("div", { class: "actions" }, actions.map(({ label, act, danger }) =>
        button(label, act, danger ? "danger" : "", { id: `do-${label.toLowerCase().replaceAll(" ", "-")}` })))));

const part = (name, ...what) => el("section", { class: "part", "aria-label": name }, el("h2", {}, name), what);

function factsOf(key) {
  const facts = [
    ["Key ID", el("code", {}, key.object_id)],
    ["Created", time(key.created_at)],
    ["Expires", time(key.expires_at)],
    key.revoked_at && ["Revoked", time(key.revoked_at)],
    ["Last changed", time(key.modified_at)],
    ["Last used", ago(key.last_used_at)],
    ["Live sessions", number(key.live_sessions)],
    ["Instances", number(key.instances_count)],
  ];
  return el("dl", { class: "facts" }, facts.filter(Boolean).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

const agentLink = (id, label = id) => el("a", { href: `#/agents/${encodeURIComponent(id)}` }, label || id);

const about = (id) => (event) => event.key_object_id === id;

function agents(context, id, ever) {
  return list({
    context,
    local: true,
    size: LINES,
    lines: 1,
    live: about(id),
    caption: ever ? "Agents that ever joined with this key" : "Agents whose last join was with this key",
    noun: ["agent", "agents"],
    rowId: (agent) => agent.system_id,
    read: async (query, _, signal) => get("/agents", { ...query, key_object_id: id, ever: ever || null }, { signal }),
    columns: [
      { label: "Host", cell: (agent) => agentLink(agent.system_id, agent.hostname) },
      { label: "State", cell: (agent) => stateTag(agent.connected ? "connected" : "unavailable") },
      { label: "Version", cell: (agent) => agent.agent_version || "–" },
      { label: "Address", cell: (agent) => agent.last_address },
      { label: "Instances", class: "num", cell: (agent) => number(agent.instances_count) },
      { label: "Last seen", class: "nowrap", cell: (agent) => time(agent.last_seen) },
    ],
    none: () => empty(ever ? "No agent ever joined with this key" : "No agent uses this key now"),
  }).node;
}

function sessions(context, id) {
  return list({
    context,
    local: true,
    size: LINES,
    lines: 1,
    live: about(id),
    caption: "Live sessions under this key",
    noun: ["session", "sessions"],
    rowId: (session) => session.session_id,
    read: (query, _, signal) => get("/sessions", { ...query, key_object_id: id }, { signal }),
    columns: [
      { label: "Session", cell: (session) => el("code", {}, session.session_id) },
      { label: "Agent", cell: (session) => agentLink(session.system_id) },
      { label: "From", cell: (session) => session.peer },
      { label: "Gateway", cell: (session) => session.gateway_name || session.gateway_id },
      { label: "Since", class: "nowrap", cell: (session) => time(session.opened_at) },
    ],
    none: () => empty("No session is live under this key"),
  }).node;
}

function senders(context, path) {
  return list({
    context,
    local: true,
    size: LINES,
    lines: 1,
    live: false,
    caption: "Who sent telemetry under this key in the last 5 minutes",
    noun: ["sender", "senders"],
    rowId: (sender) => `${sender.address} ${sender.system_id}`,
    read: (query, _, signal) => get(`${path}/telemetry-senders`, query, { signal }),
    columns: [
      { label: "Address", cell: (sender) => sender.address },
      { label: "Agent", cell: (sender) => (sender.system_id ? agentLink(sender.system_id) : "not given") },
      { label: "Exports", class: "num", cell: (sender) => number(sender.exports) },
      { label: "First", class: "nowrap", cell: (sender) => time(sender.first_export) },
      { label: "Last", class: "nowrap", cell: (sender) => time(sender.last_export) },
    ],
    none: () => empty("Nobody sent telemetry under this key in the last 5 minutes", "As this gateway knows; others may know more."),
  }).node;
}
