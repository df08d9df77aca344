// Which page is shown: by what follows the # of the address. What a page shows
// (filter, order, page) is in the address, too, so that back and reload keep it.

import { el, fill } from "./dom.js";
import { failed } from "./parts/states.js";

const PAGES = [
  ["keys", () => import("./pages/keys.js"), () => import("./pages/key.js")],
  ["instances", () => import("./pages/instances.js"), () => import("./pages/instance.js")],
  ["agents", () => import("./pages/agents.js"), () => import("./pages/agent.js")],
  ["sessions", () => import("./pages/sessions.js")],
  ["rejections", () => import("./pages/rejections.js")],
  ["gateways", () => import("./pages/gateways.js")],
  ["audit", () => import("./pages/audit.js")],
  ["tokens", () => import("./pages/tokens.js")],
];

const HOME = "#/keys";

// "#/keys/key_x?status=revoked" -> {name: "keys", id: "key_x", query}
export function parse(hash) {
  const [path, query = ""] = hash.slice(1).split("?", 2);
  const [, name = "", id = null] = path.split("/");
  return { name, id: id && decodeURIComponent(id), query: new URLSearchParams(query) };
}

export class Router {
  #main;
  #shared;
  #onShown;
  #leave = new AbortController();
  #first = true;

  // `shared` goes into every page's context; `onShown` is told the page's name.
  constructor(main, shared, onShown) {
    this.#main = main;
    this.#shared = shared;
    this.#onShown = onShown;
  }

  start(signal) {
    window.addEventListener("hashchange", () => this.show(), { signal });
    signal.addEventListener("abort", () => this.#leave.abort());
    this.show();
  }

  async show() {
    if (!location.hash.startsWith("#/")) {
      history.replaceState(null, "", HOME);
    }
    const place = parse(location.hash);
    this.#leave.abort();
    this.#leave = new AbortController();
    const { signal } = this.#leave;
    const section = el("section", { class: "page" });
    const known = PAGES.find(([name]) => name === place.name);
    const load = known && (place.id === null ? known[1] : known[2]);
    this.#onShown(place.name);
    try {
      if (!load) throw new Error("There is no such page.");
      const page = await load();
      if (signal.aborted) return;
      document.title = `${page.title} · muster`;
      fill(this.#main, section);
      this.#main.scrollTop = 0;
      const context = this.#context(place, signal);
      const shown = page.show(section, context);
      this.#focus(section);
      await shown;
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      document.title = "muster";
      fill(this.#main, section);
      fill(section, el("h1", { tabindex: "-1" }, "muster"), failed(error, () => this.show()));
      this.#focus(section);
    }
  }

  // A new page is read from its heading on; the first one from the top.
  #focus(section) {
    if (!this.#first) section.querySelector("h1")?.focus({ preventScroll: true });
    this.#first = false;
    window.scrollTo(0, 0);
  }

  #context(place, signal) {
    return {
      ...this.#shared,
      id: place.id,
      query: place.query,
      signal,
      // Puts what the page shows into the address, without showing it anew.
      setQuery(fields) {
        for (const [name, value] of Object.entries(fields)) {
          if (value === null || value === undefined || value === "") place.query.delete(name);
          else place.query.set(name, value);
        }
        if (signal.aborted) return;
        const query = place.query.toString();
        const path = location.hash.split("?", 1)[0];
        history.replaceState(null, "", path + (query && `?${query}`));
      },
      go(hash) {
        location.hash = hash;
      },
      again: () => this.show(),
    };
  }
}
