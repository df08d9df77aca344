// Words for numbers and times. Times are in the reader's zone, with UTC on
// hover.

import { el } from "./dom.js";

const DAY = 86_400_000;
// Keys that end so soon are marked.
export const SOON_DAYS = 30;

const minute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const second = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const numbers = new Intl.NumberFormat();

// "2026-11-24T08:20:00Z" -> "2026-11-24 08:20:00 UTC"
export const utc = (iso) => `${new Date(iso).toISOString().slice(0, 19).replace("T", " ")} UTC`;

const shown = (format, iso) =>
  iso ? el("time", { datetime: iso, title: utc(iso) }, format.format(new Date(iso))) : "–";

// A <time>, to the minute; "–" where there is none.
export const time = (iso) => shown(minute, iso);
export const exactTime = (iso) => shown(second, iso);
export const date = (iso) => shown(day, iso);
export const dateText = (iso) => day.format(new Date(iso));

export const number = (n) => numbers.format(n);

// count(1, "agent") -> "1 agent"; count(2, "entry", "entries")
export const count = (n, one, many = `${one}s`) => `${numbers.format(n)} ${n === 1 ? one : many}`;

const UNITS = [
  ["day", DAY],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];

// Milliseconds as "3 days", rounded to the largest unit that fits.
export function span(milliseconds) {
  for (const [name, length] of UNITS) {
    const n = Math.round(milliseconds / length);
    if (n >= 1) return count(n, name);
  }
  return "a moment";
}

// "5 minutes ago" as a <time>, with the time itself and UTC on hover.
export function ago(iso) {
  if (!iso) return "never";
  const at = new Date(iso);
  const passed = Date.now() - at;
  const text = passed < 5000 ? "just now" : `${span(passed)} ago`;
  return el("time", { datetime: iso, title: `${second.format(at)} · ${utc(iso)}` }, text);
}

// Whole days from now until then; negative once it is past.
export const daysUntil = (iso) => Math.floor((new Date(iso) - Date.now()) / DAY);

// A valid key that ends soon.
export const endsSoon = (key) => key.status === "valid" && daysUntil(key.expires_at) < SOON_DAYS;

// What a key that ends soon puts at risk, in words; null for any other.
export function risk(key) {
  if (!endsSoon(key)) return null;
  const left = new Date(key.expires_at) - Date.now();
  const live = key.live_sessions;
  const agents = live ? `${count(live, "live agent")} at risk` : "no live agents";
  return `expires in ${span(Math.max(left, 1000))} · ${agents}`;
}
