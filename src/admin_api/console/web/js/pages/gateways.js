// The gateways that share the store, and forgetting one that died.

import { el, fill } from "../dom.js";
import { del, get } from "../api.js";
import { ago, count, number, time } from "../format.js";
import { stateTag } from "../keys.js";
import { button, confirm } from "../parts/dialog.js";
import { list } from "../parts/list.js";
import { notice } from "../parts/notice.js";
import { empty } from "../parts/states.js";

export const title = "Gateways";

// No event tells that a gateway falls silent.
const AGAIN = 5000;
// The gateway forgets none that was silent for less.
const SILENT = 10_000;

export async function show(main, context) {
  const { can } = context;
  const columns = [
    { label: "Gateway", class: "nowrap", cell: name },
    { label: "State", cell: state },
    { label: "Sessions", class: "num", cell: (gateway) => el("a", { href: `#/sessions?gateway=${encodeURIComponent(gateway.gateway_id)}`, id: `sessions-${gateway.gateway_id}` }, number(gateway.live_sessions)) },
    { label: "Agent address", cell: (gateway) => gateway.agent_address ?? "–" },
    { label: "Admin address", cell: (gateway) => gateway.admin_address ?? "–" },
    { label: "Version", cell: (gateway) => gateway.version },
    { label: "Started", class: "nowrap", cell: (gateway) => time(gateway.enrolled_at) },
  ];
  if (can("admin")) columns.push({
    label: "Actions",
    class: "act",
    cell: (gateway) => isGone(gateway) && button("Forget", () => forget(gateway, () => gateways.reload()), "small", {
      id: `forget-${gateway.gateway_id}`,
      "aria-label": `Forget ${gateway.name || gateway.gateway_id}`,
    }),
  });
  const gateways = list({
    context,
    every: AGAIN,
    caption: "Gateways",
    noun: ["gateway", "gateways"],
    lines: 1,
    rowId: (gateway) => gateway.gateway_id,
    live: false,
    // What moves with each heartbeat would make every row anew.
    read: async (query, _, signal) => steady(await get("/gateways", query, { signal })),
    columns,
    none: () => empty("No gateway is enrolled", "The one that answers you will be in a moment."),
  });
  fill(main, el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title)), gateways.node);
  await gateways.first;
}

const isGone = (gateway) => gateway.unreachable && !gateway.answering && gateway.long;

function steady(answer) {
  const items = answer.items.map(({ applied_revision, view_age_milliseconds: age, last_heartbeat, ...gateway }) => ({
    ...gateway,
    long: age >= SILENT,
    last_heartbeat: gateway.unreachable ? last_heartbeat : null,
  }));
  return { ...answer, items };
}

const name = (gateway) =>
  el("div", {},
    el("div", { class: "key-ref" }, el("span", { class: "clip" }, gateway.name), gateway.answering && el("span", { class: "tag" }, "answers you")),
    el("div", {}, el("code", { class: "muted" }, gateway.gateway_id)));

function state(gateway) {
  if (gateway.unreachable) {
    return el("div", {}, stateTag("unreachable"), el("div", { class: "muted" }, "last heard of ", ago(gateway.last_heartbeat), ", may hold sessions"));
  }
  if (gateway.behind > 0) return stateTag(`behind by ${count(gateway.behind, "change")}`);
  return stateTag("in step");
}

async function forget(gateway, reload) {
  const name = gateway.name || gateway.gateway_id;
  const done = await confirm({
    title: "Forget this gateway?",
    body: [
      el("p", {}, "Gateway ", el("strong", {}, name), " · ", el("code", {}, gateway.gateway_id), ", last heard of ", ago(gateway.last_heartbeat), "."),
      el("p", {}, "A revoke no longer waits for it. Forget it only when it has died: if it still runs, cut off from the store, it may hold sessions of keys that are revoked meanwhile, and nothing would show that."),
      el("p", {}, "Should it come back, it enrols again by itself."),
    ],
    verb: "Forget",
    work: async () => {
      await del(`/gateways/${encodeURIComponent(gateway.gateway_id)}`);
      return true;
    },
  });
  if (!done) return;
  notice("done", `Forgot the gateway ${name}.`);
  reload();
}
