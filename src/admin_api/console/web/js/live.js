// The stream of events: what happens on all gateways, as it happens.
//
// Pages do not show what an event says; they read again what they show. So a
// lost stream costs nothing but freshness: when it is back, all is read again.

import { BASE, call } from "./api.js";

// The gateway says something at least every 15 s.
const SILENCE = 40_000;
const OPEN_WITHIN = 10_000;
const RETRY = [1000, 2000, 5000, 10_000, 15_000];
// From an event to reading again, and between two reads.
const SETTLE = 250;
const BETWEEN = 2000;
// Later than any event: only those to come.
const FROM_NOW = Number.MAX_SAFE_INTEGER;

export class Live extends EventTarget {
  #source = null;
  #timer;
  #tries = 0;
  #last = FROM_NOW;
  #closed = false;
  // "connecting", "live" or "lost"
  state = "connecting";

  start() {
    window.addEventListener("online", () => this.#retry(0));
    window.addEventListener("offline", () => this.#lost());
    this.#open();
  }

  stop() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#source?.close();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    if (this.#closed) return;
    const source = new EventSource(`${BASE}/events?since_id=${this.#last}`);
    this.#source = source;
    this.#watch(OPEN_WITHIN);
    source.addEventListener("open", () => {
      this.#tries = 0;
      this.#watch(SILENCE);
      const healed = this.state === "lost";
      this.#become("live");
      if (healed) this.dispatchEvent(new Event("healed"));
    });
    source.addEventListener("alive", () => this.#watch(SILENCE));
    source.addEventListener("missed", () => this.dispatchEvent(new Event("healed")));
    source.addEventListener("message", (message) => {
      this.#watch(SILENCE);
      const happened = JSON.parse(message.data);
      this.#last = happened.id;
      this.dispatchEvent(new CustomEvent("happened", { detail: happened }));
    });
    source.addEventListener("error", () => this.#lost());
  }

  // Whoever is silent for so long is lost.
  #watch(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(), milliseconds);
  }

  #lost() {
    this.#source?.close();
    if (this.#closed) return;
    this.#become("lost");
    this.#retry(RETRY[Math.min(this.#tries, RETRY.length - 1)]);
    this.#tries += 1;
  }

  #retry(milliseconds) {
    if (this.#closed || this.state !== "lost") return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      // An event source does not say why it is refused; this call does, and a
      // token that opens no more leads to the sign-in page.
      try {
        await call("GET", `${BASE}/tokens/mine`);
        this.#open();
      } catch {
        this.#lost();
      }
    }, milliseconds);
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  // Runs `reload` after events that `wanted` takes (all, if it is left out) and
  // when the stream has healed; not more often than every 2 s, and one at a
  // time. Ends with `signal`.
  follow(reload, signal, wanted = () => true) {
    let timer;
    let running = false;
    let again = false;
    let lastEnd = 0;
    const run = async () => {
      timer = undefined;
      if (running) return void (again = true);
      running = true;
      try {
        await reload();
      } finally {
        running = false;
        lastEnd = Date.now();
        if (again && !signal.aborted) soon();
        again = false;
      }
    };
    const soon = () => {
      const wait = Math.max(SETTLE, lastEnd + BETWEEN - Date.now());
      timer ??= setTimeout(run, wait);
    };
    this.addEventListener("happened", (event) => wanted(event.detail) && soon(), { signal });
    this.addEventListener("healed", soon, { signal });
    signal.addEventListener("abort", () => clearTimeout(timer));
  }
}
