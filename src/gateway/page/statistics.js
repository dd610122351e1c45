// Statistics: calls per hour, time to answer, talk time, the week, people and helplines.

import { Problem, get, isAbort } from "./api.js";
import * as cells from "./cells.js";
import { midnight, now } from "./clock.js";
import { downloadCsv } from "./csv.js";
import { draw, el, hit, icon } from "./dom.js";
import { longDay, shortTime } from "./format.js";
import { parameter, setQuery } from "./router.js";
import { may, session, site, siteQuery } from "./session.js";
import * as data from "./stats-data.js";
import { deskPanel } from "./stats-desk.js";
import { WEEKS, statisticsPanels } from "./stats-panels.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Stat} Stat */
/** @typedef {import("./types.js").View} View */

const PAGE = 200;
const PAGES = 5;
const REFRESH_MS = 60_000;

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function statisticsPage(root) {
  let abort = new AbortController();
  /** @type {Stat[]} */
  let stats = [];
  /** @type {Stat[]} */
  let before = [];
  /** @type {Call[]} */
  let calls = [];
  /** @type {import("./types.js").DeskStatistics | null} */
  let desk = null;
  let complete = true;
  let loaded = false;
  let loadedAt = 0;

  const direction = () =>
    ["outbound", "internal"].includes(parameter("calls")) ? parameter("calls") : "inbound";
  const span = () => data.bounds(parameter("period") || "today", parameter("from"), parameter("to"));

  async function load() {
    abort.abort();
    abort = new AbortController();
    const { signal } = abort;
    loadedAt = Date.now();
    const { since, until } = span();
    const range = { ...siteQuery(), since: since.toISOString(), until: until.toISOString() };
    try {
      stats = (await get("/stats", range, { signal })).stats;
      loaded = true;
      render();
      const start = midnight(-7 * WEEKS);
      const first = new Date(Math.min(start.getTime(), since.getTime() - 28 * 86_400_000));
      before = (
        await get(
          "/stats",
          { ...siteQuery(), since: first.toISOString(), until: midnight().toISOString() },
          { signal, quiet: true },
        )
      ).stats;
      render();
      await loadCalls(range, signal);
      render();
      desk = await get("/missed/statistics", range, { signal, quiet: true });
      render();
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof Problem)) throw error;
    }
  }

  /**
   * @param {Record<string, string | null>} range
   * @param {AbortSignal} signal
   */
  async function loadCalls(range, signal) {
    /** @type {Call[]} */
    const found = [];
    /** @type {string | null} */
    let cursor = null;
    for (let page = 0; page < PAGES; page += 1) {
      const answer = /** @type {import("./types.js").CallPage} */ (
        await get(
          "/calls",
          { ...range, direction: direction(), limit: PAGE, cursor },
          { signal, quiet: true },
        )
      );
      found.push(...answer.calls);
      cursor = answer.next_cursor;
      if (!cursor) break;
    }
    calls = found;
    complete = cursor === null;
  }

  const chosen = () => stats.filter((each) => each.direction === direction());
  const earlier = () => before.filter((each) => each.direction === direction());
  const kind = () =>
    direction() === "inbound"
      ? texts.stats.incoming
      : direction() === "outbound"
        ? texts.stats.outgoing
        : texts.stats.internal;
  const unanswered = () => (direction() === "outbound" ? texts.stats.unanswered : texts.stats.missed);

  const { figures, hourPanel, answerPanel, weekPanel, talkPanel, peoplePanel, linesPanel } = statisticsPanels(
    {
      calls: () => calls,
      chosen,
      earlier,
      kind,
      unanswered,
      span,
      direction,
    },
  );

  function periodText() {
    const { period, since, until } = span();
    if (period === "today") return texts.stats.until(longDay(since), shortTime(now()));
    const last = new Date(until.getTime() - 1);
    return since.toDateString() === last.toDateString()
      ? longDay(since)
      : `${longDay(since)} – ${longDay(last)}`;
  }

  function render() {
    const total = data.sum(chosen());
    draw(
      root,
      el(
        "div",
        { class: "head" },
        el("h1", null, texts.stats.title),
        el("p", null, periodText()),
        el(
          "p",
          { class: "print-only" },
          texts.today.printed(site(), longDay(now()), shortTime(now()), session.me?.display_name ?? null),
        ),
        el(
          "div",
          { class: "head-end hide-sm" },
          may("export")
            ? el(
                "button",
                { class: "btn", type: "button", "data-do": "csv" },
                icon("down", "i-16"),
                texts.today.export,
              )
            : null,
          el(
            "button",
            { class: "btn", type: "button", "data-do": "print" },
            icon("print", "i-16"),
            texts.today.print,
          ),
        ),
      ),
      filters(),
      loaded && !total.calls
        ? el(
            "section",
            { class: "panel", "data-key": "nothing" },
            cells.empty("chart", texts.stats.nothing, texts.stats.nothingRest),
          )
        : null,
      loaded ? null : el("section", { class: "panel", "data-key": "grey" }, cells.greyRows(8)),
      loaded && total.calls ? figures(total) : null,
      loaded && total.calls
        ? el("div", { class: "charts live-data", "data-key": "first" }, hourPanel(), answerPanel())
        : null,
      loaded && total.calls
        ? el("div", { class: "charts live-data", "data-key": "second" }, weekPanel(), talkPanel())
        : null,
      loaded && total.calls && calls.length
        ? el("div", { class: "charts live-data", "data-key": "third" }, peoplePanel(), linesPanel())
        : null,
      loaded && desk?.callers && direction() === "inbound" ? deskPanel(desk) : null,
      loaded && total.calls && !complete
        ? el("p", { class: "soft sm", "data-key": "sample" }, texts.stats.sample(calls.length))
        : null,
    );
  }

  function filters() {
    const { period, since, until } = span();
    return el(
      "div",
      { class: "row wrap no-print space", "data-key": "filters" },
      cells.segments("period", texts.stats.period, texts.stats.periods, period),
      period === "choose"
        ? [
            dayField("from", texts.stats.from, data.dayText(since)),
            dayField("to", texts.stats.to, data.dayText(new Date(until.getTime() - 1))),
          ]
        : null,
      cells.select(
        "calls",
        texts.stats.calls,
        { inbound: texts.stats.incoming, outbound: texts.stats.outgoing, internal: texts.stats.internal },
        direction(),
      ),
    );
  }

  /** @param {string} name @param {string} label @param {string} value */
  const dayField = (name, label, value) =>
    el(
      "label",
      { class: "field", "data-key": name },
      el("span", null, label),
      el("input", { type: "date", name, value, max: data.dayText(new Date(now())) }),
    );

  function exportCsv() {
    downloadCsv("statistics.csv", [
      ["site", "hour", "direction", "calls", "answered", "missed", "ring_seconds", "talk_seconds"],
      ...stats.map((each) => [
        each.site,
        each.hour,
        each.direction,
        each.calls,
        each.answered,
        each.missed,
        each.ring_seconds,
        each.talk_seconds,
      ]),
    ]);
  }

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const segment = hit(event, "[data-seg] button");
    if (segment instanceof HTMLButtonElement)
      setQuery({ period: segment.value === "today" ? "" : segment.value, from: "", to: "" });
    const action = hit(event, "[data-do]")?.dataset.do;
    if (action === "csv") exportCsv();
    else if (action === "print") print();
  };
  /** @param {Event} event */
  const onChange = (event) => {
    const field = event.target;
    if (field instanceof HTMLSelectElement && field.name === "calls")
      setQuery({ calls: field.value === "inbound" ? "" : field.value });
    else if (field instanceof HTMLInputElement && field.type === "date" && field.value) {
      const { since, until } = span();
      setQuery({
        from: data.dayText(since),
        to: data.dayText(new Date(until.getTime() - 1)),
        [field.name]: field.value,
      });
    }
  };
  root.addEventListener("click", onClick);
  root.addEventListener("change", onChange);
  render();
  load();

  return {
    title: () => texts.stats.title,
    query() {
      render();
      load();
    },
    event(message) {
      if (message.type === "resync" || message.type === "hello") load();
      else if (message.type === "names") render();
      else if (
        message.type === "call.ended" &&
        Date.now() - loadedAt > REFRESH_MS &&
        span().period === "today"
      )
        load();
    },
    stop() {
      abort.abort();
      root.removeEventListener("click", onClick);
      root.removeEventListener("change", onChange);
    },
  };
}
