// Admin tokens. Only an admin sees them.

import { el, fill } from "../dom.js";
import { get } from "../api.js";
import { date } from "../format.js";
import { stateTag } from "../keys.js";
import { button } from "../parts/dialog.js";
import { list } from "../parts/list.js";
import { denied, empty } from "../parts/states.js";
import { addToken, revokeToken } from "../tokens.js";

export const title = "Tokens";

// No event tells of tokens.
const AGAIN = 15_000;

export async function show(main, context) {
  const { can, me } = context;
  const head = el("div", { class: "page-head" }, el("h1", { tabindex: "-1" }, title));
  fill(main, head);
  if (!can("admin")) {
    main.append(denied(`You are signed in with the token ${me.name}, whose role is ${me.role}. Only an admin sees the list of tokens.`));
    return;
  }
  head.append(el("div", { class: "actions" }, button("Add Token", () => addToken({ added: () => tokens.reload() }), "primary", { id: "add-token-button" })));
  const tokens = list({
    context,
    caption: "Admin tokens",
    noun: ["token", "tokens"],
    lines: 2,
    every: AGAIN,
    live: false,
    rowId: (token) => token.object_id,
    read: (query, _, signal) => get("/tokens", query, { signal }),
    columns: [
      { label: "Name", cell: (token) => [el("span", { class: "clip" }, token.name), token.yours && [" ", el("span", { class: "tag" }, "yours")]] },
      { label: "Role", cell: (token) => token.role },
      { label: "Status", cell: (token) => stateTag(token.status) },
      { label: "Created", class: "nowrap", cell: (token) => date(token.created_at) },
      { label: "Expires", class: "nowrap", cell: (token) => (token.expires_at ? date(token.expires_at) : "never") },
      { label: "ID", cell: (token) => el("code", {}, token.object_id) },
      {
        label: "Actions",
        class: "act",
        cell: (token) => token.status !== "revoked" && button("Revoke", () => revokeToken(token, { revoked: () => tokens.reload() }), "small", {
          id: `revoke-${token.object_id}`,
          "aria-label": `Revoke ${token.name}`,
        }),
      },
    ],
    none: () => empty("No tokens"),
  });
  main.append(tokens.node);
  await tokens.first;
}
