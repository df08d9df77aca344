// Tabs: arrow keys go from one to the next.

import { el, freshId } from "../dom.js";

// all: [{label, show: panel => void}]; a panel is filled when its tab is first
// chosen.
export function tabs(label, all) {
  const group = freshId("tabs");
  const panels = all.map((_, at) => el("div", { id: `${group}-panel-${at}`, role: "tabpanel", "aria-labelledby": `${group}-tab-${at}`, tabindex: "0", hidden: true, class: "tab-panel" }));
  const filled = new Set();
  const choose = (chosen, focus) => {
    heads.forEach((head, at) => {
      const is = at === chosen;
      head.ariaSelected = String(is);
      head.tabIndex = is ? 0 : -1;
      panels[at].hidden = !is;
    });
    if (!filled.has(chosen)) {
      filled.add(chosen);
      all[chosen].show(panels[chosen]);
    }
    if (focus) heads[chosen].focus();
  };
  const heads = all.map((tab, at) => {
    const head = el("button", { id: `${group}-tab-${at}`, type: "button", role: "tab", class: "tab", "aria-controls": `${group}-panel-${at}` }, tab.label);
    head.addEventListener("click", () => choose(at));
    head.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose((to + all.length) % all.length, true);
    });
    return head;
  });
  const node = el("div", { class: "tabs" }, el("div", { role: "tablist", "aria-label": label, class: "tab-list" }, heads), panels);
  choose(0);
  return node;
}

