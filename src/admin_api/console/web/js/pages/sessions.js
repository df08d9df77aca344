// Live sessions of all gateways.

import { el, fill } from "../dom.js";
import { get } from "../api.js";
import { keyField } from "../parts/key-field.js";
import { list } from "../parts/list.js";
import { empty, loading } from "../parts/states.js";
import { withKeys } from "../rows.js";
import { sessionColumns } from "../sessions.js";

export const title = "Sessions";

const GATEWAYS = 100;
const KINDS = ["session_opened", "session_closed", "key_edited", "key_revoked", "key_deleted", "key_expired"];

export async function show(main, context) {
  const { signal, query } = context;
  const place = el("div", {}, loading());
  fill(main, el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title)), place);
  const gateway = await gatewayField(query.get("gateway"), signal);
  const sessions = list({
    context,
    caption: "Live sessions",
    noun: ["session", "sessions"],
    rowId: (session) => session.session_id,
    fields: [
      { name: "search", label: "Host, address or ID", placeholder: "Part of it" },
      ...gateway,
      keyField(signal),
    ],
    sort: { field: "opened_at", dir: "Descending" },
    live: ({ kind }) => KINDS.includes(kind),
    read: async (page, { search, gateway: gateway_id, key }, signal) =>
      withKeys(await get("/sessions", { ...page, search, gateway_id, key_object_id: key }, { signal }), signal),
    columns: sessionColumns(context, () => sessions.reload()),
    none: () => empty("No session is live", "An agent that connects has one as long as it stays."),
  });
  fill(place, sessions.node);
  await sessions.first;
}

// A choice of gateways, where there is one to make.
async function gatewayField(chosen, signal) {
  const answer = await get("/gateways", { limit: GATEWAYS }, { signal }).catch(() => ({ items: [] }));
  const all = answer.items.map(({ gateway_id, name }) => [gateway_id, name || gateway_id]);
  if (chosen && !all.some(([id]) => id === chosen)) all.push([chosen, chosen]);
  if (all.length < 2 && !chosen) return [];
  return [{ name: "gateway", label: "Gateway", options: [["", "All"], ...all] }];
}
