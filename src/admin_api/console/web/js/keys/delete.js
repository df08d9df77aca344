// Deleting keys that were revoked or have expired: one, or those selected.

import { el } from "../dom.js";
import { del, patch } from "../api.js";
import { count } from "../format.js";
import { button, confirm, dialog } from "../parts/dialog.js";
import { notice } from "../parts/notice.js";

// What the gateway takes at once.
const AT_ONCE = 50;

export async function deleteKey(key) {
  const done = await confirm({
    title: "Delete data plane key?",
    body: [
      el("p", {}, "Key ", el("strong", {}, key.name), " · ", el("code", {}, key.object_id)),
      el("p", {}, "It is taken off this list for good, with what is known of who used it. Nothing can connect with it either way."),
    ],
    verb: "Delete",
    work: async () => {
      await del(`/data-plane-keys/${encodeURIComponent(key.object_id)}`);
      return true;
    },
  });
  if (done) notice("done", `Deleted ${key.name}.`);
  return Boolean(done);
}

// Answers whether anything was done.
export async function deleteKeys(keys) {
  const outcomes = await confirm({
    title: `Delete ${count(keys.length, "data plane key")}?`,
    body: [
      el("p", {}, "They are taken off this list for good, with what is known of who used them."),
      el("ul", { class: "names" }, keys.map((key) => el("li", {}, key.name))),
    ],
    verb: "Delete",
    work: async () => {
      const all = [];
      for (let at = 0; at < keys.length; at += AT_ONCE) {
        const rows = keys.slice(at, at + AT_ONCE).map(({ object_id }) => ({ object_id, action: "delete" }));
        all.push(...(await patch("/data-plane-keys", rows)));
      }
      return all;
    },
  });
  if (!outcomes) return false;
  const failed = outcomes.filter(({ outcome }) => outcome !== "deleted" && outcome !== "accepted");
  if (failed.length === 0) notice("done", `Deleted ${count(outcomes.length, "key")}.`);
  else showOutcomes(outcomes);
  return true;
}

function showOutcomes(outcomes) {
  const row = ({ object_id, name, outcome, failure_reason }) =>
    el("li", {}, el("strong", {}, name || object_id), `: ${outcome}`, failure_reason && ` (${failure_reason})`);
  const box = dialog({
    title: "Not all keys were deleted",
    body: el("ul", { class: "names" }, outcomes.map(row)),
    footer: button("Close", () => box.close(), "primary"),
  });
}
