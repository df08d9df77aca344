// Making elements. Text only ever becomes text: nothing here parses HTML.

// el("a", {href: "#/keys", class: "link", onclick: f}, "Keys", child, …)
// A property whose value is null, undefined or false is left out; true is the
// empty attribute; a function is a listener. Children may be nested lists.
export function el(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

const SVG = "http://www.w3.org/2000/svg";

// An icon of 16 by 16, drawn by one path, which says nothing to a screen reader.
export function icon(path, props = {}) {
  const svg = document.createElementNS(SVG, "svg");
  filled(svg, { viewBox: "0 0 16 16", width: "16", height: "16", class: "icon", "aria-hidden": "true", ...props }, []);
  svg.append(filled(document.createElementNS(SVG, "path"), { d: path }, []));
  return svg;
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, value);
  }
  append(node, children);
  return node;
}

// Appends nested lists of nodes and texts; leaves out null, undefined and false.
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child);
  }
  return node;
}

// Replaces all that is in a node.
export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

let ids = 0;

// An id that is nowhere else on the page.
export function freshId(of) {
  ids += 1;
  return `${of}-${ids}`;
}

// A function that runs `work` once it was not called for so many milliseconds.
export function debounced(work, milliseconds, signal) {
  let timer;
  signal?.addEventListener("abort", () => clearTimeout(timer));
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => signal?.aborted || work(...args), milliseconds);
  };
}

// Runs `work` again and again, each time so many milliseconds after the last,
// while somebody looks at the page.
export function repeated(work, milliseconds, signal) {
  let timer;
  const next = () => (timer = setTimeout(run, milliseconds));
  const run = async () => {
    if (document.visibilityState === "visible") await work();
    if (!signal.aborted) next();
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  next();
}

// Waits; rejects when the page is left.
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
