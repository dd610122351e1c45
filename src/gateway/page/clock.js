// The page's only clock: the server's time, one interval for all timers.

import { runningLength } from "./format.js";

let offset = 0;
let measured = false;
/** @type {number | null} Instant at which the timers were stopped. */
let stopped = null;
/** @type {Set<() => void>} */
const listeners = new Set();

/** The server's time in milliseconds; stands still while the page is not live. */
export const now = () => stopped ?? Date.now() + offset;

/** The server's time, whether the page is live or not. */
export const liveNow = () => Date.now() + offset;

/**
 * Takes an instant of the server. An HTTP date has a resolution of one second, so a smaller
 * difference changes nothing.
 * @param {number} instant
 * @param {number} resolution
 */
export function measure(instant, resolution) {
  if (!Number.isFinite(instant)) return;
  const candidate = instant + resolution / 2 - Date.now();
  if (!measured || Math.abs(candidate - offset) > resolution) {
    offset = candidate;
    measured = true;
  }
}

/** @param {boolean} live */
export function setRunning(live) {
  if (live) stopped = null;
  else stopped ??= liveNow();
}

/** Midnight of the server's day in the browser's time zone. */
export function midnight(days = 0) {
  const day = new Date(now());
  day.setHours(0, 0, 0, 0);
  day.setDate(day.getDate() + days);
  return day;
}

/**
 * Calls `listener` once per second.
 * @param {() => void} listener
 */
export function everySecond(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

let second = 0;

/** Writes a timer only if its text changes. */
export function tick() {
  const instant = now();
  for (const node of document.querySelectorAll("[data-since]")) {
    const text = node.firstChild;
    if (!(text instanceof Text)) continue;
    const shown = runningLength(instant - Number(node.getAttribute("data-since")));
    if (text.data !== shown) text.data = shown;
  }

  const current = Math.floor(liveNow() / 1000);
  if (current !== second) {
    second = current;
    for (const listener of listeners) listener();
  }
}

setInterval(tick, 250);
