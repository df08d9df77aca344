// Refusals as lists show them: the reason in words, and what to do about it.

import { el } from "./dom.js";
import { number, time } from "./format.js";
import { agentIdLink, gatewayName, keyCell } from "./rows.js";

// The gateway's words for reasons: docs/refusals.md, which a test compares.
export const REASONS = [
  "NO_KEY",
  "NOT_A_KEY",
  "DAMAGED_KEY",
  "UNKNOWN_KEY",
  "KEY_REVOKED",
  "KEY_EXPIRED",
  "STALE_TELEMETRY_KEY",
  "TOO_MANY_AGENTS",
  "STORE_UNAVAILABLE",
  "BAD_RESOURCE_ID",
  "DRAINING",
  "TLS_CERTIFICATE_REFUSED",
  "NOT_TLS",
  "TLS_FAILED",
  "TLS_TIMEOUT",
  "TOO_MANY_CONNECTIONS",
  "TOO_MANY_CONNECTIONS_FROM_ADDRESS",
];

// "TLS_TIMEOUT" -> "TLS timeout"
export function reasonTitle(reason) {
  const words = reason.toLowerCase().replaceAll("_", " ").replace(/\btls\b/g, "TLS").replace(/\bid\b/g, "ID");
  return words[0].toUpperCase() + words.slice(1);
}

export const refusalId = (row) =>
  [row.gateway_id, row.reason, row.address, row.system_id, row.key_object_id].join(" ");

// "run `muster keys`" with the command as one.
const withCode = (text) => text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));

// The columns of a list of refusals; `ofOne`: all are of one agent.
export const refusalColumns = (ofOne = false) => [
  {
    label: "Reason",
    class: "words",
    cell: (row) => el("div", {},
      el("strong", { title: row.reason }, reasonTitle(row.reason)),
      el("div", { class: "muted" }, row.meaning)),
  },
  { label: "What to do", class: "words", cell: (row) => el("div", {}, withCode(row.cure)) },
  { label: "Key", cell: keyCell },
  {
    label: ofOne ? "From" : "Agent",
    cell: (row) => el("div", {},
      !ofOne && el("div", {}, row.system_id ? agentIdLink(row.system_id) : "Not told"),
      el("div", { class: ofOne ? null : "muted" }, row.address)),
  },
  {
    label: "Last",
    class: "reasoned",
    cell: (row) => el("div", {},
      time(row.last_at),
      row.count > 1 && el("div", { class: "muted" }, `${number(row.count)} times since `, time(row.first_at)),
      el("div", { class: "muted" }, gatewayName(row))),
  },
];
