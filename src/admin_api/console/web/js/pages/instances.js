// The NGINX instances that agents report.

import { el, fill } from "../dom.js";
import { filters, get } from "../api.js";
import { time } from "../format.js";
import { stateTag } from "../keys.js";
import { keyField } from "../parts/key-field.js";
import { list } from "../parts/list.js";
import { empty } from "../parts/states.js";
import { agentLink, containerMark, instanceLink, keyCell, nginxVersion, withKeys } from "../rows.js";

export const title = "Instances";

// An agent reports its NGINX anew when it changes; no event tells of that.
const AGAIN = 30_000;

const STATUS = [["", "All"], ["online", "Online"], ["offline", "Offline"], ["unavailable", "Unavailable"], ["unknown", "Unknown"]];

// A list of instances; `of` are filters that always hold.
export const instanceList = (context, of, more) =>
  list({
    context,
    noun: ["instance", "instances"],
    rowId: (instance) => instance.object_id,
    every: AGAIN,
    read: async (query, wanted, signal) => {
      const fields = filters({ key_object_id: wanted.key, instance_status: wanted.status, ...of });
      return withKeys(await get("/instances", { ...query, search: wanted.search, ...fields }, { signal }), signal);
    },
    ...more,
  });

export async function show(main, context) {
  const { signal, can } = context;
  const instances = instanceList(context, {}, {
    caption: "NGINX instances",
    fields: [
      { name: "search", label: "Host, version or path", placeholder: "Part of it" },
      { name: "status", label: "Status", options: STATUS },
      keyField(signal),
    ],
    sort: { field: "hostname", dir: "Ascending" },
    live: ({ kind }) => kind !== "rejected",
    columns: [
      { label: "Host", sort: "hostname", cell: (instance) => el("div", {}, instanceLink(instance), el("div", { class: "muted" }, instance.os_version, containerMark(instance.has_container_host))) },
      { label: "Status", sort: "status", cell: (instance) => stateTag(instance.status) },
      { label: "NGINX", cell: nginxVersion },
      { label: "Key", cell: keyCell },
      { label: "Agent", cell: (instance) => agentLink(instance.system_id, instance.agent_version || "agent") },
      { label: "Last reported", sort: "last_reported", first: "Descending", class: "nowrap", cell: (instance) => time(instance.last_reported) },
    ],
    none: () => empty("No instances yet",
      el("p", {}, "An agent that connects reports the NGINX on its host. ", can("admin") ? ["To connect one, ", el("a", { href: "#/keys" }, "add a data plane key"), "."] : null)),
  });
  fill(main, el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title)), instances.node);
  await instances.first;
}
