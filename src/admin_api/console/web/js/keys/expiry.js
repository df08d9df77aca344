// The day on which a key expires, as a reader picks it: in his own zone, to the
// last second of that day.

import { el } from "../dom.js";

export const RULE = "If you don't set a date, the key expires one year from today. The longest duration for a key is one year.";

const padded = (n, width = 2) => String(n).padStart(width, "0");

const dayOf = (date) => `${padded(date.getFullYear(), 4)}-${padded(date.getMonth() + 1)}-${padded(date.getDate())}`;

// The reader's day of a time.
export const dayAt = (iso) => dayOf(new Date(iso));

// From today to the same day a year on (29 February: the 28th).
export function bounds(now = new Date()) {
  const last = new Date(now.getFullYear() + 1, now.getMonth(), now.getDate());
  if (last.getMonth() !== now.getMonth()) last.setDate(0);
  return { min: dayOf(now), max: dayOf(last) };
}

// "2027-03-01" -> its last second in the reader's zone, as UTC.
export function lastSecond(day) {
  const [year, month, date] = day.split("-").map(Number);
  const next = new Date(year, month - 1, date + 1);
  return new Date(next.getTime() - 1000).toISOString().replace(".000Z", "Z");
}

// A date field that offers nothing that the gateway would refuse.
export const dayField = (props) => el("input", { type: "date", ...bounds(), ...props });

// Why a picked day is refused; null where it is not.
export function dayFault(field) {
  const { valid, rangeOverflow, rangeUnderflow } = field.validity;
  if (valid) return null;
  if (rangeOverflow) return "The longest duration for a key is one year: pick an earlier day.";
  if (rangeUnderflow) return "That day is over: pick today or a later day.";
  return "That is no date.";
}
