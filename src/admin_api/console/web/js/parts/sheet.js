// The page of one thing: its heading, its facts, and lists of what belongs to
// it. Read again when something happens to it.

import { el, fill } from "../dom.js";
import { empty, failed, loading } from "./states.js";

// crumb: [address, label] of the list it is in. noun, gone: words for one that is
//   not there. read(signal) answers the thing; name(thing) and marks(thing) head
//   it; facts(thing): [[name, node], …]; parts(thing): sections below, made once.
// actions(thing, load): buttons. wanted: which events are about it.
export async function sheet(main, context, { crumb, noun, gone, read, name, marks, facts, parts, actions, wanted }) {
  const { id, signal, live } = context;
  const head = el("div", {}, heading(crumb, id));
  const body = el("div", {}, loading());
  const below = el("div", {});
  let version;
  let made = false;

  const load = async () => {
    let thing;
    try {
      thing = await read(signal);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      const none = error.status === 404;
      version = undefined;
      below.hidden = true;
      fill(head, heading(crumb, none ? "Not found" : id));
      fill(body, none ? empty(`There is no such ${noun}`, gone) : failed(error, load));
      return;
    }
    below.hidden = false;
    document.title = `${name(thing)} · muster`;
    if (!made) fill(below, parts(thing));
    made = true;
    const now = JSON.stringify(thing);
    if (now === version) return;
    version = now;
    const had = [head, body].some((node) => node.contains(document.activeElement)) && document.activeElement.id;
    fill(head, heading(crumb, name(thing), marks(thing), actions?.(thing, load)));
    fill(body, factList(facts(thing).filter(Boolean)));
    if (had) document.getElementById(had)?.focus();
  };

  fill(main, head, body, below);
  await load();
  if (!signal.aborted) live.follow(load, signal, wanted);
}

const heading = ([address, label], name, marks, actions) =>
  el("div", {},
    el("p", { class: "crumb" }, el("a", { href: address, id: "crumb" }, label)),
    el("div", { class: "page-head" },
      el("h1", { tabindex: "-1", id: "sheet-name", class: "clip" }, name),
      marks,
      actions && actions.length > 0 && el("div", { class: "actions" }, actions)));

const factList = (facts) =>
  el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

export const part = (name, ...what) => el("section", { class: "part", "aria-label": name }, el("h2", {}, name), what);
