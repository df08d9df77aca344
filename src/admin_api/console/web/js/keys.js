// Keys as other pages name them: by name and link, marked when they end soon.

import { el } from "./dom.js";
import { filters, get } from "./api.js";
import { risk } from "./format.js";

// Ids in one question: joined they have to fit into 1,024 characters.
const AT_ONCE = 40;

const pathOf = (id) => `#/keys/${encodeURIComponent(id)}`;

// Map of id -> key, of those that the store still has.
export async function keysById(ids, signal) {
  const wanted = [...new Set(ids)].filter(Boolean);
  const found = new Map();
  for (let at = 0; at < wanted.length; at += AT_ONCE) {
    const some = wanted.slice(at, at + AT_ONCE);
    const query = { limit: AT_ONCE, ...filters({ object_id: some }) };
    const { items } = await get("/data-plane-keys", query, { signal });
    for (const key of items) found.set(key.object_id, key);
  }
  return found;
}

// A key by its name, as a link; a key that is gone by its id alone.
export function keyLink(id, key) {
  if (!key) return el("code", { title: "This key was deleted" }, id);
  return el("span", { class: "key-ref" }, el("a", { href: pathOf(id), class: "clip" }, key.name), " ", riskMark(key));
}

// The mark of a key that ends soon; null for any other.
export function riskMark(key) {
  const words = risk(key);
  return words && el("span", { class: "tag warn" }, words);
}

const KINDS = {
  valid: "good",
  online: "good",
  connected: "good",
  "in step": "good",
  done: "good",
  ok: "good",
  done: "good",
  expired: "warn",
  offline: "warn",
  unavailable: "idle",
  revoked: "bad",
  refused: "warn",
  failed: "bad",
  unreachable: "bad",
};

// A state in a word, with a dot of its colour.
export const stateTag = (word) => el("span", { class: `dot ${KINDS[word] ?? "idle"}` }, word);
