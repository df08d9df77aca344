// Agents.

import { el, fill } from "../dom.js";
import { get } from "../api.js";
import { number, time } from "../format.js";
import { keyField } from "../parts/key-field.js";
import { list } from "../parts/list.js";
import { empty } from "../parts/states.js";
import { agentLink, agentState, containerMark, keyCell, withKeys } from "../rows.js";

export const title = "Agents";

const STATE = [["", "All"], ["true", "Connected"], ["false", "Not connected"]];

export async function show(main, context) {
  const { signal, can } = context;
  const agents = list({
    context,
    caption: "Agents",
    noun: ["agent", "agents"],
    rowId: (agent) => agent.system_id,
    fields: [
      { name: "search", label: "Host, ID or address", placeholder: "Part of it" },
      { name: "connected", label: "State", options: STATE },
      keyField(signal),
    ],
    sort: { field: "hostname", dir: "Ascending" },
    live: ({ kind }) => kind !== "rejected",
    read: async (query, { search, connected, key }, signal) =>
      withKeys(await get("/agents", { ...query, search, connected, key_object_id: key }, { signal }), signal),
    columns: [
      { label: "Host", sort: "hostname", cell: (agent) => el("div", {}, agentLink(agent.system_id, agent.hostname), el("div", { class: "muted" }, agent.last_address, containerMark(agent.has_container_host))) },
      { label: "State", cell: agentState },
      { label: "Sessions", class: "num", cell: (agent) => number(agent.live_sessions) },
      { label: "Instances", class: "num", cell: (agent) => number(agent.instances_count) },
      { label: "Key", cell: keyCell },
      { label: "Version", cell: (agent) => agent.agent_version || "–" },
      { label: "Last seen", sort: "last_seen", first: "Descending", class: "nowrap", cell: (agent) => time(agent.last_seen) },
    ],
    none: () => empty("No agents yet",
      el("p", {}, "An agent shows here once it has connected. ", can("admin") ? ["To connect one, ", el("a", { href: "#/keys" }, "add a data plane key"), "."] : null)),
  });
  fill(main, el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title)), agents.node);
  await agents.first;
}
