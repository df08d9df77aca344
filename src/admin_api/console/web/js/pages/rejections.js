// Rejections: why agents do not get in, and what to do about it.

import { el, fill } from "../dom.js";
import { get } from "../api.js";
import { keyField } from "../parts/key-field.js";
import { list } from "../parts/list.js";
import { empty } from "../parts/states.js";
import { REASONS, reasonTitle, refusalColumns, refusalId } from "../refusals.js";
import { withKeys } from "../rows.js";

export const title = "Rejections";

// An event tells of a new group of refusals, not of each one in it.
const AGAIN = 15_000;
const LINES = 25;

export async function show(main, context) {
  const rejections = list({
    context,
    size: LINES,
    every: AGAIN,
    caption: "Refused agents, the last refusal first",
    noun: ["group of rejections", "groups of rejections"],
    rowId: refusalId,
    fields: [
      { name: "reason", label: "Reason", options: [["", "All"], ...REASONS.map((reason) => [reason, reasonTitle(reason)])] },
      keyField(context.signal),
    ],
    live: ({ kind }) => kind === "rejected",
    read: async (query, { reason, key }, signal) =>
      withKeys(await get("/rejections", { ...query, reason, key_object_id: key }, { signal }), signal),
    columns: refusalColumns(),
    none: () => empty("Nothing was refused", "When an agent does not get in, it shows here, with the reason and what to do."),
  });
  fill(main,
    el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title)),
    el("p", { class: "muted lead" }, "Calls and connections that were refused, alike in reason, key, agent and address. Kept in the gateways' memory."),
    rejections.node);
  await rejections.first;
}
