// Live sessions as lists show them, and ending one.

import { el } from "./dom.js";
import { BASE, call } from "./api.js";
import { time } from "./format.js";
import { agentLink, gatewayName, keyCell } from "./rows.js";
import { button, confirm } from "./parts/dialog.js";
import { notice } from "./parts/notice.js";

// The columns of a list of sessions; `reload` is told when one was ended.
// `ofOne`: all are of one agent.
export function sessionColumns({ can }, reload, ofOne = false) {
  const place = (session) => el("div", {},
    el("code", { class: "nowrap", title: session.user_agent }, session.session_id),
    el("div", { class: "muted" }, gatewayName(session)));
  const agent = (session) => el("div", {},
    agentLink(session.system_id, session.hostname),
    el("div", { class: "muted" }, session.peer));
  const columns = ofOne
    ? [{ label: "Session", cell: place }, { label: "Key", cell: keyCell }, { label: "From", cell: (session) => session.peer }]
    : [{ label: "Agent", cell: agent }, { label: "Key", cell: keyCell }, { label: "Session", cell: place }];
  columns.push({ label: "Since", sort: "opened_at", first: "Descending", class: "nowrap", cell: (session) => time(session.opened_at) });
  if (can("operator")) columns.push({
    label: "Actions",
    class: "act",
    cell: (session) => button("Disconnect", () => disconnect(session, reload), "small", {
      id: `disconnect-${session.session_id}`,
      "aria-label": `Disconnect ${session.hostname || session.system_id}, session ${session.session_id}`,
    }),
  });
  return columns;
}

async function disconnect(session, reload) {
  const who = session.hostname || session.system_id;
  const words = await confirm({
    title: "Disconnect this agent?",
    body: [
      el("p", {}, "Agent ", el("strong", {}, who), ", session ", el("code", {}, session.session_id), " on ", el("strong", {}, session.gateway_name || session.gateway_id)),
      el("p", {}, "Its session ends now, wherever it lives. The agent keeps its key and may connect again within moments."),
      el("p", {}, "To keep it out, revoke its key ", el("strong", {}, session.key?.name ?? session.key_object_id), ", which disconnects every agent that uses it."),
    ],
    verb: "Disconnect",
    work: () => end(session, who),
  });
  if (!words) return;
  notice("done", words);
  reload();
}

async function end({ session_id }, who) {
  try {
    const { status } = await call("DELETE", `${BASE}/sessions/${encodeURIComponent(session_id)}`);
    return status === 202 ? `Disconnected ${who}; its stream has yet to close.` : `Disconnected ${who}.`;
  } catch (error) {
    if (error.status === 404) return `The session of ${who} had already ended.`;
    throw error;
  }
}
