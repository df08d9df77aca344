// Revoking a key: what it will disconnect, Cancel or Revoke, and then how far
// each gateway is.

import { el, fill, pause } from "../dom.js";
import { get, put } from "../api.js";
import { count, number, time } from "../format.js";
import { button, dialog } from "../parts/dialog.js";
import { announce } from "../parts/notice.js";
import { failed, loading } from "../parts/states.js";
import { stateTag } from "../keys.js";

const AGAIN = 700;

const pathOf = (id) => `/data-plane-keys/${encodeURIComponent(id)}`;

// `revoked` is told when the key is revoked, `closed` when the dialog is gone.
export async function revokeKey(id, { revoked, closed }) {
  const leaving = new AbortController();
  const box = dialog({
    title: "Revoke data plane key?",
    body: loading(),
    footer: button("Cancel", () => box.close(), "", { autofocus: true }),
    closed: () => {
      leaving.abort();
      closed?.();
    },
  });
  const { signal } = leaving;
  try {
    // Counted now: the list may be a moment old.
    const [key, agents] = await Promise.all([
      get(pathOf(id), {}, { signal }),
      get("/agents", { key_object_id: id, connected: true, limit: 0 }, { signal }),
    ]);
    ask(box, key, agents.count, { revoked, signal });
  } catch (error) {
    if (!signal.aborted) box.show({ body: failed(error) });
  }
}

function ask(box, key, agents, { revoked, signal }) {
  const live = key.live_sessions;
  const effect = live === 0 && agents === 0
    ? "No agent is connected with it now."
    : [el("strong", {}, `This disconnects ${count(agents, "agent")} with ${count(live, "live session")}`), " at once, on every gateway."];
  const error = el("p", { class: "field-error", role: "alert" });
  const revoke = async () => {
    box.work(true);
    error.textContent = "";
    try {
      await put(`${pathOf(key.object_id)}/revoke`);
    } catch (failure) {
      box.work(false);
      error.textContent = failure.message;
      return;
    }
    box.work(false);
    revoked();
    await progress(box, key, signal);
  };
  box.show({
    body: [
      el("p", {}, "Key ", el("strong", {}, key.name), " · ", el("code", {}, key.object_id)),
      el("p", {}, effect),
      el("p", {}, "A revoke is final: nothing connects with this key again. Agents that used it need another key."),
      error,
    ],
    footer: [
      button("Cancel", () => box.close(), "", { autofocus: true }),
      button("Revoke", revoke, "danger"),
    ],
  });
}

async function progress(box, key, signal) {
  const picture = el("div", { id: "revocation", class: "stack" }, loading("Waiting for the gateways…"));
  box.show({
    title: "Revoking data plane key",
    wide: true,
    body: [el("p", {}, "Key ", el("strong", {}, key.name), " is revoked."), picture],
    footer: button("Close", () => box.close(), "primary", { autofocus: true }),
  });
  const complete = await followRevocation(key.object_id, picture, signal);
  if (complete) box.show({ title: "Data plane key revoked" });
}

// Shows how far a revoke is until it is complete or the reader has left.
export async function followRevocation(id, node, signal) {
  let told = false;
  for (;;) {
    try {
      const revocation = await get(`${pathOf(id)}/revocation`, {}, { signal });
      fill(node, revocationPicture(revocation));
      if (revocation.complete) {
        if (told) announce("Complete: every gateway has ended this key's sessions");
        return true;
      }
      told = true;
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return false;
      // The next try may be luckier, but a key that is gone stays so.
      fill(node, failed(error));
      if (error.status === 404 || error.status === 403 || error.status === 401) return false;
    }
    await pause(AGAIN, signal).catch(() => {});
    if (signal.aborted) return false;
  }
}

function revocationPicture({ complete, gateways, revoked_at }) {
  const closed = gateways.reduce((sum, { sessions_closed }) => sum + sessions_closed, 0);
  const words = complete
    ? `Complete: ${count(closed, "session")} closed on ${count(gateways.length, "gateway")}.`
    : "Not complete yet.";
  return [
    el("p", { "data-test": "revocation-state" }, el("span", { class: complete ? "dot good" : "dot warn" }, words), " ", el("span", { class: "muted" }, "Revoked ", time(revoked_at), ".")),
    el("div", { class: "table" }, el("table", { role: "table" },
      el("caption", { class: "unseen" }, "What each gateway did"),
      el("thead", {}, el("tr", {}, ["Gateway", "State", "Sessions closed", "Time"].map((label, at) => el("th", { scope: "col", class: at > 1 ? "num" : null }, label)))),
      el("tbody", {}, gateways.map(gatewayRow)))),
  ];
}

function gatewayRow(gateway) {
  const open = gateway.sessions_closing;
  const state = gateway.unreachable_since && !gateway.applied
    ? [stateTag("unreachable"), el("div", { class: "muted" }, "since ", time(gateway.unreachable_since), gateway.ends_by ? [", has ended its sessions by ", time(gateway.ends_by)] : ", may hold sessions")]
    : gateway.applied
      ? open > 0 ? stateTag(`closing ${number(open)}`) : stateTag("done")
      : stateTag("not yet");
  return el("tr", {},
    el("th", { scope: "row", "data-label": "Gateway" }, gateway.name || gateway.gateway_id),
    el("td", { "data-label": "State" }, el("div", {}, state)),
    el("td", { class: "num", "data-label": "Sessions closed" }, number(gateway.sessions_closed)),
    el("td", { class: "num", "data-label": "Time" }, gateway.applied ? `${number(gateway.milliseconds)} ms` : "–"));
}
