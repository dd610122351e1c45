// Statistics of the desk: how many callers waited for a call back, and how soon they were reached.

import * as cells from "./cells.js";
import { el } from "./dom.js";
import { percent } from "./format.js";
import { accountName } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").DeskStatistics} DeskStatistics */

/** @param {number | null} seconds */
const minutes = (seconds) => (seconds === null ? "" : texts.missed.minutes(Math.round(seconds / 60)));

/** @param {DeskStatistics} desk */
export function deskPanel(desk) {
  const words = texts.stats.desk;
  const gap = "\u00a0";
  const figures = [
    cells.figure(
      "",
      null,
      words.callers,
      String(desk.callers),
      desk.off_hours ? words.offHours(desk.off_hours) : gap,
    ),
    cells.figure(
      "",
      null,
      words.reached,
      percent(desk.reached, desk.callers),
      words.ofAll(desk.reached, desk.callers),
    ),
    cells.figure(
      "",
      null,
      words.inGoal,
      percent(desk.reached_in_goal, desk.reached) || gap,
      desk.reached ? words.ofReached(desk.reached_in_goal, desk.reached) : gap,
    ),
    cells.figure(
      "",
      null,
      words.usually,
      minutes(desk.median_seconds) || gap,
      desk.p90_seconds === null ? gap : words.nine(minutes(desk.p90_seconds)),
    ),
    cells.figure(
      "",
      null,
      words.waiting,
      String(desk.open + desk.assigned),
      desk.overdue ? texts.live.overdue(desk.overdue) : texts.live.noneOverdue,
    ),
  ];
  const dispositions = /** @type {Record<string, string>} */ (texts.missed.disposition);
  const byHand = [
    ...Object.entries(desk.dispositions).map(([name, count]) => [dispositions[name] ?? words.none, count]),
    ...desk.people.map(({ name, done }) => [words.by(accountName(name)), done]),
  ];
  return el(
    "section",
    { class: "panel live-data", "aria-labelledby": "desk", "data-key": "desk" },
    el(
      "header",
      null,
      el("h2", { id: "desk" }, words.title),
      el("span", { class: "soft sm" }, desk.is_complete ? words.rest : words.cut),
    ),
    el("dl", { class: "kpis k5 inner" }, figures),
    byHand.length
      ? el(
          "div",
          { class: "pad" },
          el(
            "dl",
            { class: "kv" },
            byHand.flatMap(([name, count]) => [el("dt", null, String(name)), el("dd", null, String(count))]),
          ),
        )
      : null,
  );
}
