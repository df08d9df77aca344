// The start: who is it, and then the console or the sign-in page.

import { el, fill } from "./dom.js";
import { get, signedOut, signOut } from "./api.js";
import { Live } from "./live.js";
import { Router } from "./router.js";
import { shell } from "./shell.js";
import { signInPage } from "./sign-in.js";
import { failed } from "./parts/states.js";

const app = document.getElementById("app");
const RANKS = ["viewer", "operator", "admin"];
// What the gateway says to who sends no token at all.
const NO_TOKEN = "no admin token";

// Ends what belongs to one signed-in stay.
let stay = new AbortController();

async function start() {
  stay.abort();
  stay = new AbortController();
  const { signal } = stay;
  signedOut.addEventListener(
    "signed-out",
    ({ detail }) => {
      const never = detail.message.startsWith(NO_TOKEN);
      askToSignIn(never ? null : detail.message);
    },
    { signal },
  );
  let me;
  try {
    me = await get("/tokens/mine");
  } catch (error) {
    if (error.status !== 401) cannotStart(error);
    return;
  }
  const about = await get("/about").catch(() => null);
  if (signal.aborted) return;
  const live = new Live();
  const can = (role) => RANKS.indexOf(me.role) >= RANKS.indexOf(role);
  const shared = { me, about, live, can };
  const { main, mark } = shell(app, shared, leave, signal);
  signal.addEventListener("abort", () => live.stop());
  live.start();
  new Router(main, shared, mark).start(signal);
}

function cannotStart(error) {
  const box = el("main", { class: "door" });
  fill(app, fill(box, el("h1", {}, "muster"), failed(error, start)));
}

// What is open belongs to somebody: dialogs go with the rest.
function closeAll() {
  for (const open of document.querySelectorAll("dialog, .menu-items, .notice")) open.remove();
}

function askToSignIn(why) {
  stay.abort();
  closeAll();
  signInPage(app, why, start);
}

async function leave() {
  try {
    await signOut();
    askToSignIn("You have signed out.");
  } catch (error) {
    askToSignIn(`Signing out failed, close the browser to be sure: ${error.message}`);
  }
}

start();
