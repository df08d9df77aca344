// From page to page of a list.

import { el, fill, icon } from "../dom.js";
import { number } from "../format.js";

const BACK = "M10 3L5 8l5 5";
const ON = "M6 3l5 5-5 5";

// `go(-1)` and `go(1)` are asked for; update() says what is shown.
export function pager(go) {
  const step = (label, path, by) => {
    // Not `disabled`: the focus would be lost at the last page.
    const button = el("button", { class: "button square", type: "button", "aria-label": label, "aria-disabled": "true" }, icon(path));
    button.addEventListener("click", () => button.ariaDisabled !== "true" && go(by));
    return button;
  };
  const back = step("Previous page", BACK, -1);
  const on = step("Next page", ON, 1);
  const words = el("span", { class: "muted" });
  const node = el("nav", { class: "pager", "aria-label": "Pages" }, words, back, on);
  // `count` may be unknown.
  const update = ({ first, shown, count, hasBack, hasOn }) => {
    node.hidden = !hasBack && !hasOn;
    const range = `${number(first)}–${number(first + Math.max(shown - 1, 0))}`;
    fill(words, count === undefined ? "" : `${range} of ${number(count)}`);
    back.ariaDisabled = String(!hasBack);
    on.ariaDisabled = String(!hasOn);
  };
  node.hidden = true;
  return { node, update };
}
