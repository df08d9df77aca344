// How a key looks in a list, and what may be done with it.

import { el } from "../dom.js";
import { riskMark } from "../keys.js";
import { notice } from "../parts/notice.js";
import { deleteKey } from "./delete.js";
import { editKey } from "./edit.js";
import { revokeKey } from "./revoke.js";

export const isEnded = (key) => key.status !== "valid";

// Its name as a link, and a mark where it ends soon.
export const keyName = (key) =>
  el("span", { class: "key-ref" },
    el("a", { href: `#/keys/${encodeURIComponent(key.object_id)}` }, key.name),
    riskMark(key));

// The actions of a key that this reader may take: [{label, act, danger}].
// `changed` is told after each, `deleted` instead when the key is gone.
export function actionsOf(key, { can }, changed, deleted = changed) {
  const actions = [];
  const id = key.object_id;
  if (can("operator")) {
    actions.push({
      label: "Edit Key",
      act: () => editKey(id, {
        saved: (now) => {
          notice("done", `Saved ${now.name}.`);
          changed();
        },
      }),
    });
    if (key.status !== "revoked") actions.push({ label: "Revoke", danger: true, act: () => revokeKey(id, { revoked: changed, closed: changed }) });
  }
  if (can("admin") && isEnded(key)) {
    actions.push({
      label: "Delete",
      danger: true,
      act: async () => {
        if (await deleteKey(key)) deleted();
      },
    });
  }
  return actions;
}
