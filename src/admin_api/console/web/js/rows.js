// What rows of several lists have in common: their key, their agent.

import { el } from "./dom.js";
import { endsSoon } from "./format.js";
import { keyLink, keysById, stateTag } from "./keys.js";

// A page of a list with the keys that its rows name: read in one go, for the
// rows of this page alone.
export async function withKeys(answer, signal) {
  const keys = await keysById(answer.items.map(({ key_object_id }) => key_object_id), signal);
  const items = answer.items.map((row) => ({ ...row, key: named(keys.get(row.key_object_id)) }));
  return { ...answer, items };
}

// What is shown of a key in a row: the row changes when that does.
function named(key) {
  if (!key) return null;
  const { name, status, expires_at, live_sessions } = key;
  return { name, status, expires_at, live_sessions: endsSoon(key) ? live_sessions : 0 };
}

// The key of a row of withKeys().
export function keyCell({ key_object_id: id, key }) {
  if (!id) return "–";
  const ended = key && key.status !== "valid";
  return el("span", { class: "key-ref" }, keyLink(id, key), ended && el("span", { class: "tag" }, key.status));
}

export const agentLink = (id, hostname) =>
  el("a", { href: `#/agents/${encodeURIComponent(id)}`, title: id, class: "clip" }, hostname || id);

// An agent of which no more than its id is known, by the beginning of that.
export const agentIdLink = (id) => agentLink(id, `${id.slice(0, 8)}…`);

export const instanceLink = ({ object_id, hostname }) =>
  el("a", { href: `#/instances/${encodeURIComponent(object_id)}`, class: "clip" }, hostname || object_id);

export const agentState = ({ connected }) => stateTag(connected ? "connected" : "not connected");

// NGINX's version, and NGINX Plus's release where it is one.
export const nginxVersion = ({ nginx_build: build }) =>
  el("div", {}, el("span", { class: "clip short" }, build.version || "–"), build.plus_release && el("span", { class: "tag" }, build.plus_release));

// A gateway by its name.
export const gatewayName = ({ gateway_id: id, gateway_name: name }) =>
  el("span", { title: id, class: "clip" }, name || id);

export const containerMark = (isOne) => isOne && [" ", el("span", { class: "tag" }, "container")];
