// What is around every page: the top line, the left menu, the banners.

import { el, fill, icon } from "./dom.js";
import { wordmark } from "./sign-in.js";

const ITEMS = [
  ["keys", "Data Plane Keys"],
  ["instances", "Instances"],
  ["agents", "Agents"],
  ["sessions", "Sessions"],
  ["rejections", "Rejections"],
  ["gateways", "Gateways"],
  ["audit", "Audit"],
  ["tokens", "Tokens"],
];

const LINES = "M2 4h12M2 8h12M2 12h12";

// Builds it; `main` is where pages go, `mark` notes which of them is shown.
export function shell(app, { me, about, live }, leave, signal) {
  const main = el("main", { id: "main", tabindex: "-1" });
  const links = ITEMS.map(([name, label]) => el("a", { href: `#/${name}`, "data-page": name }, label));
  const menu = el("nav", { id: "menu", "aria-label": "Main" }, el("ul", {}, links.map((link) => el("li", {}, link))));
  const opener = el("button", {
    id: "menu-button",
    class: "button quiet square",
    type: "button",
    "aria-label": "Menu",
    "aria-controls": "menu",
    "aria-expanded": "false",
  }, icon(LINES));
  const shade = el("div", { class: "shade", "aria-hidden": "true" });
  const stream = el("span", { id: "stream", class: "stream", role: "status" });
  const header = el("header", { class: "top" },
    opener,
    el("a", { href: "#/keys", class: "home", "aria-label": "muster, Data Plane Keys" }, wordmark()),
    about?.gateway_name && el("span", { class: "where", title: "The gateway that answers" }, about.gateway_name),
    el("span", { class: "grow" }),
    stream,
    el("span", { class: "who", id: "who" }, el("span", { class: "who-name" }, me.name), el("span", { class: "tag" }, me.role)),
    el("button", { id: "sign-out", class: "button quiet", type: "button", onclick: leave }, "Sign out"));
  const skip = el("a", { class: "skip", href: "#main" }, "Skip to the page");
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  fill(app, skip, header, el("div", { class: "frame" }, menu, shade, el("div", { class: "content" }, banners(about), main)));

  const drawer = openable(opener, menu, shade, main, signal);
  showStream(stream, live, signal);
  const mark = (name) => {
    drawer.close(false);
    for (const link of links) {
      if (link.dataset.page === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  };
  return { main, mark };
}

// The menu of a phone: a button opens it, Escape, the shade and a choice close
// it. On wide windows the same menu always stands at the left.
function openable(opener, menu, shade, main, signal) {
  const isOpen = () => opener.getAttribute("aria-expanded") === "true";
  const set = (open) => {
    opener.setAttribute("aria-expanded", String(open));
    document.body.classList.toggle("menu-open", open);
    main.inert = open;
  };
  const close = (giveBack = true) => {
    if (!isOpen()) return;
    set(false);
    if (giveBack) opener.focus();
  };
  opener.addEventListener("click", () => {
    if (isOpen()) return close();
    set(true);
    (menu.querySelector("[aria-current]") ?? menu.querySelector("a")).focus();
  });
  shade.addEventListener("click", () => close());
  menu.addEventListener("click", (event) => event.target.closest("a") && close(false));
  document.addEventListener("keydown", (event) => event.key === "Escape" && close(), { signal });
  // The phone was turned.
  window.matchMedia("(min-width: 800px)").addEventListener("change", () => close(false), { signal });
  signal.addEventListener("abort", () => set(false));
  return { close };
}

const STATES = {
  connecting: ["", ""],
  live: ["Live", "Changes show by themselves."],
  lost: ["Not live: reconnecting…", "The stream of events was lost. What is shown may be old."],
};

function showStream(stream, live, signal) {
  const show = () => {
    const [text, title] = STATES[live.state];
    stream.className = `stream ${live.state}`;
    stream.title = title;
    stream.textContent = text;
  };
  live.addEventListener("state", show, { signal });
  show();
}

const LOOPBACK = /^(127\.|localhost|\[::1\])/;

// What an operator should know before all else.
function banners(about) {
  if (about?.agent_address_named !== false) return el("div", { id: "banners" });
  const address = about.agent_address;
  const reach = LOOPBACK.test(address) ? "which agents on other hosts can't reach" : "which agents elsewhere may not reach";
  return el("section", { id: "banners", "aria-label": "About this gateway" },
    el("p", { class: "banner warn", id: "no-agent-address" },
      el("strong", {}, "This gateway was started without an agent address. "),
      `Agents are told to dial ${address}, ${reach}. Start it with `,
      el("code", {}, "--agent-address HOST:PORT"),
      " (and ", el("code", {}, "--agent-listen 0.0.0.0:PORT"),
      "), where HOST is the name or address by which they reach it."));
}
