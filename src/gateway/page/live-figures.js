// The summary strip of Live. A figure that the API cannot give is left out.

import { get } from "./api.js";
import { figure, isRinging, timer } from "./cells.js";
import { midnight, now } from "./clock.js";
import { el } from "./dom.js";
import { percent, runningLength, wait } from "./format.js";
import { goalsOf, namesRead, session, siteQuery } from "./session.js";
import { groups } from "./live-people.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */

const SAMPLE = 200;

/**
 * @param {AbortSignal} signal
 * @param {() => void} changed
 */
export function liveFigures(signal, changed) {
  /** @type {{ open: number, overdue: number } | null} */
  let desk = null;
  /** @type {{ calls: number, answered: number } | null} */
  let today = null;
  /** @type {{ median: number, nine: number, count: number, all: boolean } | null} */
  let answer = null;

  let known = false;

  async function loadMissed() {
    try {
      const { missed } = await get("/missed", { ...siteQuery(), status: "open" }, { signal, quiet: true });
      const callers = /** @type {import("./types.js").Missed[]} */ (missed).filter(
        (each) => each.from.number !== null,
      );
      desk = {
        open: missed.length,
        overdue: callers.filter((each) => Date.parse(each.due_at) < now()).length,
      };
    } catch {
      desk = null;
    }
    changed();
  }

  async function loadToday() {
    const { stats } = await get(
      "/stats",
      { ...siteQuery(), since: midnight().toISOString() },
      { signal, quiet: true },
    );
    const incoming = /** @type {import("./types.js").Stat[]} */ (stats).filter(
      (each) => each.direction === "inbound",
    );
    today = {
      calls: incoming.reduce((sum, each) => sum + each.calls, 0),
      answered: incoming.reduce((sum, each) => sum + each.answered, 0),
    };
  }

  async function loadAnswer() {
    const query = {
      ...siteQuery(),
      since: midnight().toISOString(),
      direction: "inbound",
      outcome: "answered",
      limit: SAMPLE,
    };
    const { calls, next_cursor } = await get("/calls", query, { signal, quiet: true });
    const waits = /** @type {Call[]} */ (calls).map((call) => call.ring_seconds ?? 0).sort((a, b) => a - b);
    answer = waits.length
      ? {
          median: waits[Math.floor((waits.length - 1) / 2)] ?? 0,
          nine: waits[Math.ceil(0.9 * waits.length) - 1] ?? 0,
          count: waits.length,
          all: next_cursor === null,
        }
      : null;
  }

  return {
    loadMissed,
    async load() {
      await Promise.allSettled([loadMissed(), loadToday(), loadAnswer()]);
      known = true;
    },

    /**
     * @param {Call[]} calls
     * @param {boolean} loaded
     */
    draw(calls, loaded) {
      const ringing = calls.filter(isRinging);
      const talking = calls.filter((call) => call.status === "answered").length;
      const other = calls.length - ringing.length - talking;
      const oldest = Math.min(...ringing.map((call) => Date.parse(call.started_at)));
      const people = session.people;
      const available = people.filter((person) => person.state === "available").length;
      const lonely = groups().find(
        (group) => group.line && !group.people.some((person) => person.state === "available"),
      );
      const grey = el("span", { class: "skel tall" });
      /** @param {string} kind @param {string} glyph @param {string} label */
      const waiting = (kind, glyph, label) =>
        known ? null : figure(kind, glyph, label, grey.cloneNode(), "\u00a0");

      const parts = [
        figure(
          "ring",
          "bell",
          texts.live.ringing,
          loaded ? String(ringing.length) : grey,
          ringing.length
            ? [
                timer(oldest, runningLength(now() - oldest), "flow"),
                texts.live.longest,
                el(
                  "span",
                  { class: "hide-sm" },
                  texts.live.longestGoal(runningLength(goalsOf().answer_goal_seconds * 1000)),
                ),
              ]
            : loaded
              ? texts.live.nobodyWaits
              : "\u00a0",
        ),
        figure(
          "talk",
          "phone",
          texts.live.talking,
          loaded ? String(talking) : grey.cloneNode(),
          loaded
            ? [
                el("span", { class: "hide-sm" }, texts.live.onHold(other)),
                el("span", { class: "only-sm" }, texts.live.onHoldShort(other)),
              ]
            : "\u00a0",
        ),
        people.length
          ? figure(
              "idle",
              "user",
              texts.live.available,
              [String(available), " ", el("small", null, texts.live.of(people.length))],
              lonely
                ? texts.live.nobodyIn(lonely.name)
                : session.helplines.length
                  ? texts.live.everyLine
                  : "\u00a0",
            )
          : namesRead
            ? null
            : figure("idle", "user", texts.live.available, grey.cloneNode(), "\u00a0"),
        desk
          ? figure(
              "miss",
              "missed",
              texts.live.toCallBack,
              String(desk.open),
              desk.overdue
                ? el("span", { class: "tone" }, texts.live.overdue(desk.overdue))
                : texts.live.noneOverdue,
            )
          : waiting("miss", "missed", texts.live.toCallBack),
        today?.calls
          ? figure(
              "talk",
              "check",
              el(
                "span",
                null,
                texts.live.answered,
                el("span", { class: "hide-sm" }, texts.live.answeredToday),
              ),
              percent(today.answered, today.calls),
              [
                texts.live.incoming(today.answered, today.calls),
                el("span", { class: "hide-sm" }, texts.live.incomingRest),
              ],
            )
          : waiting("talk", "check", texts.live.answered),
        answer
          ? figure(
              "idle",
              "clock",
              el(
                "span",
                null,
                el("span", { class: "hide-sm" }, texts.live.timeToAnswer),
                el("span", { class: "only-sm" }, texts.live.answerIn),
              ),
              wait(answer.median),
              [
                answer.all ? texts.live.median : texts.live.medianOf(answer.count),
                el("span", { class: "hide-sm" }, texts.live.nine(wait(answer.nine))),
              ],
            )
          : waiting("idle", "clock", texts.live.answerIn),
      ].filter((part) => part !== null);

      return el(
        "dl",
        {
          class: "kpis live-data",
          "data-key": "figures",
          "data-columns": parts.length < 6 ? parts.length : null,
        },
        parts,
      );
    },
  };
}
