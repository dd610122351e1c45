// Instants, lengths and numbers as text.

import { texts } from "./texts.js";

const LOCALE = "en-GB";
const HOUR = 3600;

/** @param {number} value */
const two = (value) => String(value).padStart(2, "0");

/**
 * A running length: 0:23, 12:33, 1:02:03.
 * @param {number} milliseconds
 */
export function runningLength(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [h, m, s] = [Math.floor(seconds / HOUR), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/**
 * A finished length: 0:23, 12:33, 1:47 h.
 * @param {number | null | undefined} seconds
 */
export function length(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.round(seconds);
  if (whole < HOUR) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  return hours(whole);
}

/**
 * Hours and minutes: 0:37 h, 12:05 h.
 * @param {number} seconds
 */
export function hours(seconds) {
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)} h`;
}

/**
 * A wait: 7 s below a minute, then 1:05.
 * @param {number | null | undefined} seconds
 */
export function wait(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 59.5 ? `${Math.round(seconds)} s` : length(seconds);
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {string} name
 * @param {Intl.DateTimeFormatOptions} options
 */
function format(name, options) {
  let found = formats.get(name);
  if (!found) {
    found = new Intl.DateTimeFormat(LOCALE, options);
    formats.set(name, found);
  }
  return found;
}

/** @param {string | number | Date} instant */
export const time = (instant) =>
  format("time", { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(instant));

/** @param {string | number | Date} instant */
export const shortTime = (instant) =>
  format("short", { hour: "2-digit", minute: "2-digit" }).format(new Date(instant));

/**
 * A time with hundredths of a second, for facts.
 * @param {string} instant
 */
export function exactTime(instant) {
  const date = new Date(instant);
  return `${time(date)}.${two(Math.floor(date.getMilliseconds() / 10))}`;
}

/** @param {string | number | Date} instant */
export const dayAndMonth = (instant) =>
  format("day", { day: "numeric", month: "short" }).format(new Date(instant));

/** @param {string | number | Date} instant */
export const dayAndTime = (instant) => `${dayAndMonth(instant)}, ${time(instant)}`;

/** @param {string | number | Date} instant */
export const weekday = (instant) => format("weekday", { weekday: "long" }).format(new Date(instant));

/** @param {string | number | Date} instant */
export const longDay = (instant) =>
  format("long", { weekday: "long", day: "numeric", month: "long", year: "numeric" })
    .format(new Date(instant))
    .replace(",", "");

/** @param {string | number | Date} instant */
export const clockText = (instant) =>
  `${format("clock", { weekday: "short", day: "numeric", month: "short" }).format(new Date(instant))}, ${shortTime(instant)}`;

/**
 * Whole days between the days of two instants.
 * @param {string | number | Date} instant
 * @param {number} now
 */
export function daysAgo(instant, now) {
  const [then, today] = [new Date(instant), new Date(now)];
  then.setHours(0, 0, 0, 0);
  today.setHours(0, 0, 0, 0);
  return Math.round((today.getTime() - then.getTime()) / 86_400_000);
}

/**
 * An instant of a list: 14:32:08 today, "Tuesday" this week, else "3 Mar".
 * @param {string} instant
 * @param {number} now
 */
export function when(instant, now) {
  const days = daysAgo(instant, now);
  if (days <= 0) return time(instant);
  return days < 7
    ? `${weekday(instant)} ${shortTime(instant)}`
    : `${dayAndMonth(instant)} ${shortTime(instant)}`;
}

/**
 * Time since an instant in words: 8 s ago, 4 min ago, 2 h ago, 3 days ago.
 * @param {string} instant
 * @param {number} now
 */
export function ago(instant, now) {
  const seconds = Math.max(0, Math.round((now - Date.parse(instant)) / 1000));
  if (seconds < 60) return texts.time.secondsAgo(seconds);
  if (seconds < HOUR) return texts.time.minutesAgo(Math.floor(seconds / 60));
  if (seconds < 24 * HOUR) return texts.time.hoursAgo(Math.floor(seconds / HOUR));
  return texts.time.daysAgo(Math.floor(seconds / (24 * HOUR)));
}

/**
 * @param {number} part
 * @param {number} all
 */
export const percent = (part, all) => (all > 0 ? `${Math.round((100 * part) / all)} %` : "");

// Country codes of two digits; the others have one (1, 7) or three.
const TWO = new Set(
  "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98".split(
    " ",
  ),
);

/**
 * A number with its country code set apart: +49 3023125418, +1 303 555 0177.
 * @param {{ number: string | null, e164: string | null }} party
 */
export function number(party) {
  const { e164 } = party;
  // Phones write words such as "anonymous" for a withheld number.
  if (party.number && !/[\d•]/.test(party.number)) return null;
  if (!e164 || !/^\+\d{6,15}$/.test(e164)) return party.number;
  const digits = e164.slice(1);
  const code = /^[17]/.test(digits) ? 1 : TWO.has(digits.slice(0, 2)) ? 2 : 3;
  const rest = digits.slice(code);
  // Only the North American plan has groups of a fixed length.
  if (code === 1 && rest.length === 10) return `+1 ${rest.slice(0, 3)} ${rest.slice(3, 6)} ${rest.slice(6)}`;
  return `+${digits.slice(0, code)} ${rest}`;
}

/**
 * A cell of a CSV file. Cells that a spreadsheet would take for a formula get an apostrophe.
 * @param {string | number} value
 */
export function csvCell(value) {
  let text = String(value);
  // Spreadsheets of many languages begin a cell at a semicolon too.
  text = text.replace(/(^|[;\t\r\n])(?=[=+\-@\t\r])/g, "$1'");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
