// The quiet parts of the agent's window: no call, the last calls, the day.

import * as cells from "./cells.js";
import { el, icon } from "./dom.js";
import { hours, length, shortTime, wait } from "./format.js";
import { href } from "./router.js";
import { median } from "./stats-data.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */

const LAST_CALLS = 6;

/** @param {string[]} lines @param {string} own */
export const idle = (lines, own) =>
  el(
    "div",
    { class: "pop idle calm", "data-key": "idle" },
    icon("phone"),
    el("p", { class: "strong" }, texts.agent.empty),
    el("p", { class: "sm soft" }, texts.agent.emptyRest([...lines, own])),
  );

/** @param {Call[]} mine @param {string} own */
export function lastCalls(mine, own) {
  const list = mine.filter((call) => !cells.isLive(call)).slice(0, LAST_CALLS);
  if (!list.length) return null;
  return el(
    "section",
    { class: "panel", "aria-labelledby": "last", "data-key": "last" },
    el("h2", { class: "hist-title", id: "last" }, texts.agent.lastCalls),
    el(
      "ul",
      { class: "hist" },
      list.map((call) =>
        el(
          "li",
          { class: cells.tone(call), "data-key": call.id },
          icon(call.outcome === "missed" ? "missed" : cells.DIRECTION_ICON[call.direction]),
          el(
            "span",
            { class: "cell" },
            el(
              "bdi",
              null,
              cells.partyName(
                call.direction === "internal" &&
                  call.participants.some((party) => party.role === "caller" && party.extension === own)
                  ? call.to
                  : cells.partyOf(call),
              ),
            ),
          ),
          el(
            "span",
            { class: "soft nowrap" },
            [shortTime(call.started_at), call.talk_seconds ? length(call.talk_seconds) : ""]
              .filter(Boolean)
              .join(", "),
          ),
        ),
      ),
    ),
  );
}

/** @param {Call[]} mine @param {string} own @param {number | null} toCallBack */
export function dayPanel(mine, own, toCallBack) {
  const answered = mine.filter(
    (call) => call.answered_by?.extension === own && call.direction !== "outbound",
  );
  const fields = texts.agent.dayFields;
  const waits = answered.map((call) => call.ring_seconds ?? 0);
  return el(
    "section",
    { class: "panel", "aria-labelledby": "day", "data-key": "day" },
    el("h2", { class: "hist-title", id: "day" }, texts.agent.day),
    el(
      "dl",
      { class: "kv pad" },
      el("dt", null, fields.answered),
      el("dd", null, String(answered.length)),
      el("dt", null, fields.talked),
      el("dd", null, hours(answered.reduce((sum, call) => sum + (call.talk_seconds ?? 0), 0))),
      waits.length ? [el("dt", null, fields.answeredIn), el("dd", null, wait(median(waits)))] : null,
      toCallBack !== null
        ? [
            el("dt", null, fields.toCallBack),
            el("dd", null, el("a", { href: href("/missed") }, String(toCallBack))),
          ]
        : null,
    ),
  );
}
