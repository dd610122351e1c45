// Figures, charts and tables of the statistics page.

import * as cells from "./cells.js";
import { asTable, heatMap, histogram, miniTable, stackedBars } from "./charts.js";
import { midnight, now } from "./clock.js";
import { el, svg } from "./dom.js";
import { hours, length, percent, wait } from "./format.js";
import { goalsOf, helpline, session } from "./session.js";
import * as data from "./stats-data.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Stat} Stat */

export const WEEKS = 4;
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/**
 * @param {{
 *   calls: () => Call[],
 *   chosen: () => Stat[],
 *   earlier: () => Stat[],
 *   kind: () => string,
 *   unanswered: () => string,
 *   span: () => ReturnType<typeof data.bounds>,
 *   direction: () => string,
 * }} of
 */
export function statisticsPanels(of) {
  const goal = () => goalsOf().answer_goal_seconds;

  /** @param {data.Sum} total */
  function figures(total) {
    const { period, since } = of.span();
    const single = period === "today" || period === "yesterday";
    const hour = period === "today" ? new Date(now()).getHours() : 24;
    const usual = single ? data.usual(of.earlier(), since, hour) : null;
    const days = Math.max(1, new Set(of.chosen().map((each) => new Date(each.hour).toDateString())).size);
    /** @param {string} value */
    const compare = (value) =>
      period === "today" ? texts.stats.usuallyUntil(value, `${hour}:00`) : texts.stats.usually(value);
    const times = data.answerTimes(of.calls(), goal());
    const gap = "\u00a0";
    const parts = [
      cells.figure(
        "",
        null,
        of.kind(),
        String(total.calls),
        usual
          ? compare(String(Math.round(usual.calls)))
          : single
            ? gap
            : texts.stats.perDay(String(Math.round(total.calls / days))),
      ),
      cells.figure(
        "",
        null,
        texts.stats.answered,
        percent(total.answered, total.calls),
        usual ? compare(percent(usual.rate, 1)) : texts.stats.answeredOf(total.answered, total.calls),
      ),
      cells.figure(
        "",
        null,
        of.unanswered(),
        String(total.missed),
        usual
          ? compare(String(Math.round(usual.missed)))
          : single
            ? texts.stats.ofIncoming(percent(total.missed, total.calls))
            : texts.stats.perDay(String(Math.round(total.missed / days))),
      ),
      times.count
        ? cells.figure(
            "",
            null,
            texts.stats.timeToAnswer,
            wait(times.median),
            texts.stats.within(percent(times.inGoal, times.count), goal()),
          )
        : null,
      cells.figure(
        "hide-sm",
        null,
        texts.stats.talked,
        talked(total.talk),
        total.answered ? texts.stats.perCall(length(total.talk / total.answered)) : gap,
      ),
    ].filter((part) => part !== null);
    return el(
      "dl",
      {
        class: "kpis k5 live-data",
        "data-key": "figures",
        "data-columns": parts.length === 5 ? null : parts.length,
      },
      parts,
    );
  }

  function hourPanel() {
    const bars = data.byHour(of.chosen());
    const best = bars.reduce((a, b) => (b.good + b.bad > a.good + a.bad ? b : a), {
      hour: 0,
      good: 0,
      bad: 0,
    });
    const running = of.span().period === "today" ? new Date(now()).getHours() : null;
    return panel(
      "perhour",
      texts.stats.perHour(of.kind()),
      el(
        "div",
        { class: "legend" },
        legend("b-talk", texts.stats.answered.toLowerCase()),
        legend("b-miss", of.unanswered().toLowerCase()),
      ),
      stackedBars(
        bars,
        running,
        texts.stats.perHourLabel(of.kind(), String(best.hour), best.good + best.bad, best.bad),
      ),
      asTable(
        [texts.stats.hourColumn, texts.stats.answered, of.unanswered(), texts.stats.allColumn],
        bars.map((bar) => [texts.stats.hourRange(bar.hour), bar.good, bar.bad, bar.good + bar.bad]),
      ),
    );
  }

  function answerPanel() {
    const times = data.answerTimes(of.calls(), goal());
    return panel(
      "tta",
      texts.stats.untilAnswered,
      el("span", { class: "soft sm" }, times.count ? texts.stats.inGoal(times.inGoal, times.count) : ""),
      histogram(
        times.bars,
        times.goalBar,
        texts.stats.goal(goal()),
        texts.stats.answerLabel(times.inGoal, times.count, goal()),
      ),
      asTable(
        [texts.stats.secondsColumn, texts.stats.calls],
        times.bars.map((bar) => [bar.label, bar.value]),
      ),
    );
  }

  function weekPanel() {
    const start = midnight(-7 * WEEKS).getTime();
    const { hours: columns, value } = data.week(
      of.earlier().filter((each) => Date.parse(each.hour) >= start),
      WEEKS,
    );
    let best = { day: 0, hour: columns[0] ?? 0, mean: 0 };
    DAYS.forEach((_, day) =>
      columns.forEach((hour) =>
        value(day, hour) > best.mean ? (best = { day, hour, mean: value(day, hour) }) : null,
      ),
    );
    return panel(
      "week",
      texts.stats.heat,
      el("span", { class: "soft sm" }, texts.stats.heatRest),
      heatMap(
        DAYS,
        columns,
        value,
        texts.stats.heatLabel(DAYS[best.day] ?? "", String(best.hour), best.mean.toFixed(1)),
      ),
      asTable(
        [texts.stats.dayColumn, ...columns.map(String)],
        DAYS.map((name, day) => [name, ...columns.map((hour) => value(day, hour).toFixed(1))]),
      ),
    );
  }

  function talkPanel() {
    const times = data.talkTimes(of.calls());
    return panel(
      "talk",
      texts.stats.talkTime,
      el("span", { class: "soft sm" }, times.count ? texts.stats.median(length(times.median)) : ""),
      histogram(times.bars, null, "", texts.stats.talkLabel(times.count, length(times.median))),
      asTable(
        [texts.stats.minutesColumn, texts.stats.calls],
        times.bars.map((bar) => [bar.label, bar.value]),
      ),
    );
  }

  /**
   * @param {string} id
   * @param {string} title
   * @param {HTMLElement} side
   * @param {Element} chart
   * @param {HTMLElement} table
   */
  const panel = (id, title, side, chart, table) =>
    el(
      "section",
      { class: "panel", "aria-labelledby": id, "data-key": id },
      el("header", null, el("h2", { id }, title), side),
      el("div", { class: "pad" }, chart),
      table,
    );

  /** @param {string} style @param {string} text */
  const legend = (style, text) =>
    el(
      "span",
      null,
      svg(
        "svg",
        { class: "chart swatch", width: 14, height: 12, "aria-hidden": "true" },
        svg("rect", { x: 0.75, y: 0.75, width: 12.5, height: 10.5, class: style }),
      ),
      text,
    );

  function peoplePanel() {
    const people = data.byPerson(of.calls());
    const most = Math.max(1, ...people.map((person) => person.talk));
    const columns = texts.stats.peopleColumns;
    return el(
      "section",
      { class: "panel", "aria-labelledby": "agents" },
      el(
        "header",
        null,
        el("h2", { id: "agents" }, texts.stats.people),
        el("span", { class: "soft sm" }, texts.stats.peopleRest),
      ),
      el(
        "table",
        { class: "tbl dense", role: "table", "aria-labelledby": "agents" },
        el(
          "colgroup",
          null,
          [null, "w-few", "w-bar", "w-few", "w-few", "w-answers"].map((name) => el("col", { class: name })),
        ),
        el(
          "thead",
          { role: "rowgroup" },
          el(
            "tr",
            { role: "row" },
            cells.head(columns.who),
            cells.head(columns.calls, "num", { "aria-sort": "descending" }),
            cells.head(columns.talked, "", { colspan: 2 }),
            cells.head(columns.perCall, "num"),
            cells.head(columns.answersIn, "num"),
          ),
        ),
        el(
          "tbody",
          { role: "rowgroup" },
          people.map((person) =>
            el(
              "tr",
              { role: "row", "data-key": person.extension },
              cells.cell("c1", el("span", { class: "cell" }, cells.extension(person.extension))),
              cells.cell("num c2 strong", String(person.calls)),
              cells.cell(
                "drop",
                el(
                  "span",
                  { class: "meter", "aria-hidden": "true" },
                  el("i", { "data-fill": `${Math.round((100 * person.talk) / most)}%` }),
                ),
              ),
              cells.cell(
                "num c3",
                el("span", { class: "only-sm soft" }, texts.stats.talkedShort),
                hours(person.talk),
              ),
              cells.cell("num drop", length(person.talk / person.calls)),
              cells.cell(
                "num c4",
                el("span", { class: "only-sm soft" }, texts.stats.answersShort),
                person.waits.length ? wait(data.median(person.waits)) : "",
              ),
            ),
          ),
        ),
      ),
    );
  }

  function linesPanel() {
    if (!session.helplines.length || of.direction() !== "inbound") return el("div");
    const columns = texts.stats.lineColumns;
    const lines = data.byLine(
      of.calls(),
      (number) => helpline(number)?.name ?? helpline(number)?.number ?? null,
      texts.stats.direct,
    );
    return el(
      "section",
      { class: "panel", "aria-labelledby": "lines" },
      el("header", null, el("h2", { id: "lines" }, texts.stats.helplines)),
      el(
        "div",
        { class: "pad" },
        miniTable(
          [columns.line, columns.calls, columns.answered, columns.missed, columns.rate, columns.answer],
          lines.map((line) => [
            line.name,
            line.calls,
            line.answered,
            line.missed,
            percent(line.answered, line.calls),
            line.answered ? wait(line.wait) : "",
          ]),
        ),
      ),
    );
  }

  return { figures, hourPanel, answerPanel, weekPanel, talkPanel, peoplePanel, linesPanel };
}

/** @param {number} seconds */
function talked(seconds) {
  const [figure = "", unit] = hours(seconds).split(" ");
  return [figure, " ", el("small", null, unit)];
}
