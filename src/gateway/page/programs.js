// Events of other programs in a call, from the log of its day.

import { Problem, get } from "./api.js";
import { now } from "./clock.js";
import { el } from "./dom.js";
import { exactTime } from "./format.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").ProgramEvent} ProgramEvent */

/** The log is kept for a day. */
const MINUTES = 1_440;
const FIELDS_MAX = 4;
const VALUE_CHARS_MAX = 60;

/**
 * Events of other programs; none where no log is kept.
 * @param {Call} call
 * @param {AbortSignal} signal
 * @returns {Promise<ProgramEvent[]>}
 */
export async function programEvents(call, signal) {
  const ended = call.ended_at ? Date.parse(call.ended_at) : now();
  if (ended < now() - MINUTES * 60_000) return [];
  try {
    const query = { call_id: call.id, site: call.site, minutes: MINUTES };
    const answer = await get("/call-events", query, { signal, quiet: true });
    const events = /** @type {ProgramEvent[]} */ (answer.calls[0]?.events ?? []);
    return events.filter((event) => event.event_type in texts.call.program);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [];
  }
}

/** @param {ProgramEvent} event */
function what(event) {
  const words = /** @type {Record<string, string>} */ (texts.call.program);
  return words[event.event_type] ?? event.event_type;
}

/**
 * The first simple values of what the program said.
 * @param {ProgramEvent} event
 */
function said(event) {
  const simple = Object.entries(event.data ?? {}).filter(([, value]) => Object(value) !== value);
  return simple
    .slice(0, FIELDS_MAX)
    .map(([name, value]) => `${name}: ${String(value).slice(0, VALUE_CHARS_MAX)}`)
    .join(", ");
}

/** @param {ProgramEvent} event */
const programItem = (event) =>
  el(
    "li",
    null,
    el("span", { class: "at nowrap soft" }, exactTime(event.timestamp)),
    " ",
    el("strong", null, what(event)),
    said(event) ? [" ", el("bdi", { class: "soft" }, said(event))] : null,
  );

/** @param {ProgramEvent[]} events */
export const programList = (events) =>
  events.length
    ? el("ul", { class: "programs", "aria-label": texts.call.programs }, events.map(programItem))
    : null;

/** @param {ProgramEvent[]} events */
export const programsPanel = (events) =>
  events.length
    ? el(
        "section",
        { class: "panel", "aria-labelledby": "programs" },
        el(
          "header",
          null,
          el("h2", { id: "programs" }, texts.call.programs),
          el("span", { class: "muted" }, String(events.length)),
        ),
        el("div", { class: "pad" }, programList(events)),
      )
    : null;
