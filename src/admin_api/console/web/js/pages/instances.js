// Instances.

import { el, fill } from "../dom.js";
import { empty } from "../parts/states.js";

export const title = "Instances";

export async function show(main) {
  fill(main, el("h1", { tabindex: "-1" }, title), empty("Not here yet"));
}
