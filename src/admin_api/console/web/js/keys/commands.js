// How an agent is set up for a key: ready commands for a host, a container and
// Kubernetes, as the gateway writes them.

import { el, fill } from "../dom.js";
import { get } from "../api.js";
import { textBox } from "../parts/secret.js";
import { empty, failed, loading } from "../parts/states.js";
import { tabs } from "../parts/tabs.js";

const PLACES = [
  ["host", "Host", "Run this as root on the agent's host; then put the key into the key file that it names."],
  ["docker", "Container", "Put the key into the key file that it names, then run this."],
  ["kubernetes", "Kubernetes", "Make the secret from the key as it says, then apply this."],
];

export function commands() {
  const show = (place, hint) => async (panel) => {
    fill(panel, loading());
    try {
      const { text, file_name } = await get("/agent-config", { for: place });
      fill(panel, el("p", { class: "hint lead" }, hint), textBox({ label: `commands for ${place}`, text, fileName: file_name }));
    } catch (error) {
      if (error.status === 404) fill(panel, el("p", { class: "muted" }, "This gateway offers no commands; run ", el("code", {}, `muster agent-config --for ${place}`), " beside it."));
      // An address that this kind of agent can't reach: the words say what to do.
      else if (error.status === 409) fill(panel, empty("Not as this gateway was started", el("p", {}, error.message)));
      else fill(panel, failed(error, () => show(place, hint)(panel)));
    }
  };
  return tabs("Set up an agent", PLACES.map(([place, label, hint]) => ({ label, show: show(place, hint) })));
}
