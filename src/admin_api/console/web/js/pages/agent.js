// One agent: what it is, its NGINX, its sessions, its keys, and its refusals.

import { el } from "../dom.js";
import { get } from "../api.js";
import { number, time } from "../format.js";
import { stateTag } from "../keys.js";
import { list } from "../parts/list.js";
import { part, sheet } from "../parts/sheet.js";
import { empty } from "../parts/states.js";
import { refusalColumns, refusalId } from "../refusals.js";
import { agentState, containerMark, instanceLink, keyCell, nginxVersion, withKeys } from "../rows.js";
import { sessionColumns } from "../sessions.js";
import { instanceList } from "./instances.js";

export const title = "Agent";

const LINES = 20;

export async function show(main, context) {
  const { id } = context;
  const about = (event) => event.system_id === id;
  const part_ = { context, local: true, size: LINES, lines: 1, live: about };
  let keys = [];
  const read = async (signal) => {
    const agent = await get(`/agents/${encodeURIComponent(id)}`, {}, { signal });
    const { items } = await withKeys({ items: [agent, ...agent.registrations] }, signal);
    keys = items.map(({ key_object_id }) => key_object_id);
    return { ...items[0], registrations: items.slice(1) };
  };
  await sheet(main, context, {
    crumb: ["#/agents", "Agents"],
    noun: "agent",
    gone: "It was away for so long that it was forgotten, or it never joined. When it joins, it shows again.",
    read,
    name: (agent) => agent.hostname || agent.system_id,
    marks: (agent) => [agentState(agent), containerMark(agent.has_container_host)],
    facts: (agent) => [
      ["Agent ID", el("code", {}, agent.system_id)],
      ["Key of its last join", keyCell(agent)],
      ["Version", agent.agent_version || "–"],
      ["System", agent.os_version || "–"],
      ["Last address", agent.last_address],
      ["First seen", time(agent.first_seen)],
      ["Last seen", time(agent.last_seen)],
      ["Live sessions", number(agent.live_sessions)],
      ["Keys ever", number(agent.registrations.length)],
      Object.keys(agent.labels).length > 0 && ["Labels", labels(agent.labels)],
    ],
    wanted: (event) => about(event) || (!event.system_id && keys.includes(event.key_object_id)),
    parts: () => [
      part("Instances", instances(context, id, part_)),
      part("Live sessions", sessions(context, id, part_)),
      part("Keys it joined with", registrations(id, part_)),
      part("Rejections", refusals(id, part_)),
    ],
  });
}

const labels = (words) =>
  el("span", { class: "tags" }, Object.entries(words).map(([name, value]) => el("span", { class: "tag" }, value ? `${name}=${value}` : name)));

const instances = (context, id, of) =>
  instanceList(context, { system_id: id }, {
    ...of,
    caption: "NGINX instances of this agent",
    columns: [
      { label: "Instance", cell: (instance) => instanceLink({ ...instance, hostname: instance.nginx_build.conf_path }) },
      { label: "Status", cell: (instance) => stateTag(instance.status) },
      { label: "NGINX", cell: nginxVersion },
      { label: "Registered", class: "nowrap", cell: (instance) => time(instance.registered_at) },
      { label: "Last reported", class: "nowrap", cell: (instance) => time(instance.last_reported) },
    ],
    none: () => empty("It reported no NGINX"),
  }).node;

function sessions(context, id, of) {
  const columns = sessionColumns(context, () => found.reload(), true);
  const found = list({
    ...of,
    caption: "Live sessions of this agent",
    noun: ["session", "sessions"],
    rowId: (session) => session.session_id,
    read: async (query, _, signal) => withKeys(await get("/sessions", { ...query, system_id: id }, { signal }), signal),
    columns,
    none: () => empty("It has no live session", "It is not connected, or only just about to be."),
  });
  return found.node;
}

// They come with the agent, all of them: few, and with a bound.
const registrations = (id, of) =>
  list({
    ...of,
    caption: "Keys that this agent joined with, ever",
    noun: ["key", "keys"],
    rowId: (row) => row.key_object_id,
    read: async ({ limit, offset }, _, signal) => {
      const { registrations: all } = await get(`/agents/${encodeURIComponent(id)}`, {}, { signal });
      all.sort((one, other) => (one.last_seen < other.last_seen ? 1 : -1));
      const items = all.slice(offset - 1, offset - 1 + limit);
      return withKeys({ total: all.length, count: all.length, items }, signal);
    },
    columns: [
      { label: "Key", cell: keyCell },
      { label: "Joins", class: "num", cell: (row) => number(row.joins) },
      { label: "Last address", cell: (row) => row.last_address },
      { label: "First seen", class: "nowrap", cell: (row) => time(row.first_seen) },
      { label: "Last seen", class: "nowrap", cell: (row) => time(row.last_seen) },
    ],
    none: () => empty("None is known", "Its key was deleted."),
  }).node;

const refusals = (id, of) =>
  list({
    ...of,
    caption: "Rejections of this agent",
    noun: ["group of rejections", "groups of rejections"],
    rowId: refusalId,
    every: 15_000,
    read: async (query, _, signal) => withKeys(await get("/rejections", { ...query, system_id: id }, { signal }), signal),
    columns: refusalColumns(true),
    none: () => empty("It was not refused", "The gateways keep the last refusals in memory."),
  }).node;
