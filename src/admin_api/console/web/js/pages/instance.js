// One NGINX instance.

import { el } from "../dom.js";
import { del, get } from "../api.js";
import { time } from "../format.js";
import { stateTag } from "../keys.js";
import { button, confirm } from "../parts/dialog.js";
import { notice } from "../parts/notice.js";
import { sheet } from "../parts/sheet.js";
import { agentLink, agentState, containerMark, keyCell, nginxVersion, withKeys } from "../rows.js";

export const title = "Instance";

const MEANING = {
  online: "Its agent is connected and says that NGINX is well.",
  offline: "Its agent is connected, but NGINX does not run there.",
  unavailable: "Its agent is not connected, so nothing newer is known.",
  unknown: "Its agent is connected and has said nothing of its health.",
};

export async function show(main, context) {
  const { id } = context;
  // Whose events are about it.
  let system;
  const read = async (signal) => {
    const instance = await get(`/instances/${encodeURIComponent(id)}`, {}, { signal });
    system = instance.system_id;
    const { items } = await withKeys({ items: [instance] }, signal);
    const agent = await get(`/agents/${encodeURIComponent(instance.system_id)}`, {}, { signal }).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    return { ...items[0], agent };
  };
  await sheet(main, context, {
    crumb: ["#/instances", "Instances"],
    noun: "instance",
    gone: "Its agent was forgotten, or the instance was deleted.",
    read,
    name: (instance) => instance.hostname || instance.object_id,
    marks: (instance) => [stateTag(instance.status), containerMark(instance.has_container_host)],
    facts: (instance) => [
      ["Status", MEANING[instance.status]],
      ["NGINX", nginxVersion(instance)],
      ["Configuration", el("code", {}, instance.nginx_build.conf_path || "–")],
      ["System", instance.os_version || "–"],
      ["Key", keyCell(instance)],
      ...agentFacts(instance.agent, instance.system_id),
      ["Registered", time(instance.registered_at)],
      ["Last reported", time(instance.last_reported)],
      ["Instance ID", el("code", {}, instance.object_id)],
      ["NGINX ID", el("code", {}, instance.nginx_id)],
    ],
    parts: () => [],
    actions: (instance) => context.can("admin") && isGone(instance) && [
      button("Delete", () => remove(instance, () => context.go("#/instances")), "danger", { id: "do-delete" }),
    ],
    wanted: (event) => event.system_id === system || Boolean(event.key_object_id && !event.system_id),
  });
}

// One that its agent reports is not deleted: it would be back at once.
const isGone = ({ status }) => status === "unavailable" || status === "offline";

async function remove(instance, gone) {
  const name = instance.hostname || instance.object_id;
  const done = await confirm({
    title: "Delete instance?",
    body: [
      el("p", {}, "Instance ", el("strong", {}, name), " · ", el("code", {}, instance.object_id)),
      el("p", {}, "It is taken off the list. When its agent reports it again, it is back."),
    ],
    verb: "Delete",
    work: async () => {
      await del(`/instances/${encodeURIComponent(instance.object_id)}`);
      return true;
    },
  });
  if (!done) return;
  notice("done", `Deleted the instance ${name}.`);
  gone();
}

const agentFacts = (agent, system) => [
  ["Agent", agentLink(system, agent?.hostname)],
  agent && ["Agent's state", agentState(agent)],
  agent && ["Agent's version", agent.agent_version || "–"],
  agent && ["Agent's last address", agent.last_address],
  agent && ["Agent last seen", time(agent.last_seen)],
];
