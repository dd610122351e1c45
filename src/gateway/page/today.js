// Today: all calls of a range, the newest first, with what happened in each.

import { Problem, address, get, isAbort } from "./api.js";
import * as cells from "./cells.js";
import { midnight, now } from "./clock.js";
import { draw, el, hidden, hit, icon, rows } from "./dom.js";
import { contactName } from "./contact-names.js";
import { longDay, percent, shortTime } from "./format.js";
import { programEvents } from "./programs.js";
import { parameter, href, setQuery } from "./router.js";
import { may, nameOf, namesRead, session, site, siteQuery } from "./session.js";
import { texts } from "./texts.js";
import { callTable, todayRows } from "./today-rows.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Explanation} Explanation */
/** @typedef {import("./types.js").View} View */

const PAGE = 50;
const LIMIT = 200;
const TYPING_MS = 300;
/** @type {Record<string, number>} */
const MINUTES = { "5m": 5, "15m": 15, "1h": 60, "4h": 240, "24h": 1440 };

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function todayPage(root) {
  let abort = new AbortController();
  /** @type {Map<string, Call>} */
  const calls = new Map();
  /** @type {Map<string, number>} */
  const revision = new Map();
  /** @type {Map<string, Call>} New calls that wait until the list is at its top. */
  const waiting = new Map();
  /** @type {Map<string, Explanation | "absent">} */
  const explained = new Map();
  /** @type {string | null} */
  let cursor = null;
  let loaded = false;
  /** @type {{ calls: number, incoming: number, answered: number } | null} */
  let day = null;
  let filterText = "";

  const opened = () => parameter("open");
  /** @type {Map<string, import("./types.js").ProgramEvent[]>} */
  const programs = new Map();
  const { row, detailRow } = todayRows(opened, explained, programs);
  const body = el("tbody", { role: "rowgroup", "data-keep": true });

  const range = () => (parameter("range") in MINUTES ? parameter("range") : "today");
  const filters = () => ({
    text: parameter("text"),
    outcome: parameter("outcome"),
    direction: parameter("direction"),
    number: parameter("line"),
  });
  const filtered = () => Object.values(filters()).some(Boolean);
  const since = () => (range() === "today" ? midnight() : new Date(now() - (MINUTES[range()] ?? 0) * 60_000));
  const request = () => ({ ...siteQuery(), since: since().toISOString(), ...filters() });

  /** @type {Set<string>} The calls that have changed since the last reading began. */
  let newer = new Set();

  async function load() {
    abort.abort();
    abort = new AbortController();
    newer = new Set();
    const { signal } = abort;
    const filter = JSON.stringify([range(), filters(), site()]);
    const same = filter === filterText;
    filterText = filter;
    try {
      const limit = same ? Math.min(LIMIT, Math.max(PAGE, calls.size)) : PAGE;
      const answer = /** @type {import("./types.js").CallPage} */ (
        await get("/calls", { ...request(), limit }, { signal })
      );
      const fresh = new Set(answer.calls.map((call) => call.id));
      const oldest = answer.next_cursor ? (answer.calls.at(-1)?.started_at ?? "") : "";
      // Older pages that were read before stay as they are.
      for (const [id, call] of calls) {
        // The answer may be older than the events that came while it was under way.
        if (!fresh.has(id) && !newer.has(id) && (!same || call.started_at >= oldest)) calls.delete(id);
      }
      if (!same || calls.size <= answer.calls.length) cursor = answer.next_cursor;
      answer.calls.filter((call) => !newer.has(call.id)).forEach(take);
      waiting.clear();
      loaded = true;
      render();
      explain();
      await loadDay(signal);
      render();
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Problem)) throw error;
    }
  }

  async function older() {
    if (!cursor) return;
    try {
      const answer = /** @type {import("./types.js").CallPage} */ (
        await get("/calls", { ...request(), limit: PAGE, cursor }, { signal: abort.signal })
      );
      answer.calls.forEach(take);
      cursor = answer.next_cursor;
      render();
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Problem)) throw error;
    }
  }

  /** @param {AbortSignal} signal */
  async function loadDay(signal) {
    const { stats } = await get(
      "/stats",
      { ...siteQuery(), since: midnight().toISOString() },
      { signal, quiet: true },
    );
    const all = /** @type {import("./types.js").Stat[]} */ (stats);
    const incoming = all.filter((each) => each.direction === "inbound");
    /** @param {import("./types.js").Stat[]} of @param {"calls" | "answered"} field */
    const sum = (of, field) => of.reduce((total, each) => total + each[field], 0);
    day = { calls: sum(all, "calls"), incoming: sum(incoming, "calls"), answered: sum(incoming, "answered") };
  }

  /** @param {Call} call */
  function take(call) {
    calls.set(call.id, call);
    revision.set(call.id, (revision.get(call.id) ?? 0) + 1);
  }

  /** @param {Call} call True if the call belongs into the list as it is filtered. */
  function fits(call) {
    const { text, outcome, direction, number } = filters();
    if (site() && call.site !== site()) return false;
    if (Date.parse(call.started_at) < since().getTime()) return false;
    if (outcome && call.outcome !== outcome) return false;
    if (direction && call.direction !== direction) return false;
    const parties = [call.from, call.to, call.requested];
    if (number && !parties.some((party) => party.number === number || party.e164 === number)) return false;
    const found = [
      ...parties.flatMap((party) => [party.number, party.e164, party.name]),
      ...call.participants.flatMap((party) => [party.extension, nameOf(party.extension)]),
      contactName(call.id),
    ];
    return !text || found.some((part) => part?.toLowerCase().includes(text.toLowerCase()));
  }

  /** Reads why the opened call became what it is. */
  async function explain() {
    const id = opened();
    if (!id || explained.has(id)) return;
    try {
      explained.set(
        id,
        await get(`/calls/${encodeURIComponent(id)}/explanation`, {}, { signal: abort.signal, quiet: true }),
      );
    } catch (error) {
      if (isAbort(error)) return;
      explained.set(id, "absent");
    }
    const call = calls.get(id);
    try {
      if (call) programs.set(id, await programEvents(call, abort.signal));
    } catch (error) {
      if (!isAbort(error)) throw error;
      return;
    }
    revision.set(id, (revision.get(id) ?? 0) + 1);
    render();
  }

  function showWaiting() {
    for (const call of waiting.values()) take(call);
    waiting.clear();
    scrollTo(0, 0);
    render();
  }

  function render() {
    const list = [...calls.values()].sort(
      (a, b) => b.started_at.localeCompare(a.started_at) || b.id.localeCompare(a.id),
    );
    const items = list.flatMap((call) =>
      call.id === opened()
        ? [
            { call, detail: false },
            { call, detail: true },
          ]
        : [{ call, detail: false }],
    );
    rows(
      body,
      items,
      ({ call, detail }) => (detail ? `${call.id} detail` : call.id),
      ({ call, detail }) => (detail ? detailRow(call) : row(call)),
      ({ call, detail }) => `${revision.get(call.id)} ${call.id === opened()} ${detail} ${namesRead}`,
    );
    const name = session.me?.display_name ?? null;

    draw(
      root,
      el(
        "div",
        { class: "head" },
        el("h1", null, texts.today.title),
        day
          ? el(
              "p",
              null,
              el("span", { class: "nowrap" }, texts.today.summary(day.calls)),
              day.incoming ? texts.today.summaryRest(percent(day.answered, day.incoming)) : null,
            )
          : null,
        el("p", { class: "print-only" }, texts.today.printed(site(), longDay(now()), shortTime(now()), name)),
        el(
          "div",
          { class: "head-end hide-sm" },
          may("export")
            ? el(
                "a",
                {
                  class: "btn",
                  href: address("/calls", { ...request(), format: "csv" }),
                  download: "calls.csv",
                },
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
      filterRow(),
      waiting.size
        ? el(
            "div",
            { class: "newer", "data-key": "newer" },
            el(
              "button",
              { class: "btn", type: "button", "data-do": "newer" },
              texts.today.newer(waiting.size),
            ),
          )
        : el("div", { class: "newer", "data-key": "newer" }),
      el(
        "section",
        { class: "panel live-data", "aria-label": texts.today.table, "data-key": "list" },
        loaded && !list.length ? nothing() : callTable(),
        loaded ? null : cells.greyRows(8),
        loaded && list.length
          ? el(
              "div",
              { class: "more" },
              el(
                "span",
                { class: "soft sm" },
                texts.today.shown(
                  list.length,
                  day && range() === "today" && !filtered() ? Math.max(day.calls, list.length) : null,
                ),
              ),
              cursor
                ? el(
                    "button",
                    { class: "btn no-print", type: "button", "data-do": "older" },
                    texts.today.older,
                  )
                : null,
            )
          : null,
      ),
    );
    const place = root.querySelector("table.tbl");
    if (place && body.parentNode !== place) {
      place.querySelector("tbody")?.remove();
      place.append(body);
    }
  }

  const filterRow = () => {
    const lines = session.helplines;
    return el(
      "div",
      { class: "row wrap no-print space", role: "search" },
      cells.segments("range", texts.today.range, texts.today.ranges, range()),
      el(
        "label",
        { class: "field grow" },
        icon("search"),
        hidden(texts.today.find),
        el("input", {
          type: "search",
          name: "text",
          placeholder: texts.today.placeholder,
          value: parameter("text"),
          autocomplete: "off",
          spellcheck: "false",
        }),
        el("kbd", { class: "hide-sm", "aria-hidden": "true" }, "/"),
      ),
      cells.select("outcome", texts.today.outcome, texts.today.outcomes, parameter("outcome")),
      cells.select("direction", texts.today.direction, texts.today.directions, parameter("direction")),
      lines.length
        ? cells.select(
            "line",
            texts.today.helpline,
            {
              "": texts.today.all,
              ...Object.fromEntries(lines.map((line) => [line.number, line.name ?? line.number])),
            },
            parameter("line"),
            "hide-md",
          )
        : null,
    );
  };

  const nothing = () =>
    filtered() || range() !== "today"
      ? cells.empty(
          "search",
          texts.today.nothing,
          texts.today.nothingRest,
          el("a", { href: href("/today") }, texts.today.drop),
        )
      : cells.empty("phone", texts.today.empty, texts.today.emptyRest);

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const segment = hit(event, "[data-seg] button");
    if (segment instanceof HTMLButtonElement)
      setQuery({ range: segment.value === "today" ? "" : segment.value });
    const expand = hit(event, "[data-open]")?.dataset.open;
    if (expand) setQuery({ open: expand === opened() ? "" : expand }, true);
    const action = hit(event, "[data-do]")?.dataset.do;
    if (action === "print") print();
    else if (action === "older") older();
    else if (action === "newer") showWaiting();
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  /** @param {Event} event */
  const onInput = (event) => {
    const field = event.target;
    if (field instanceof HTMLInputElement && field.name === "text") {
      clearTimeout(typing);
      typing = setTimeout(() => setQuery({ text: field.value.trim() }, true), TYPING_MS);
    } else if (field instanceof HTMLSelectElement) {
      setQuery({ [field.name]: field.value });
    }
  };
  const onScroll = () => {
    if (scrollY < 8 && waiting.size) showWaiting();
  };
  root.addEventListener("click", onClick);
  root.addEventListener("input", onInput);
  addEventListener("scroll", onScroll, { passive: true });
  render();
  load();

  return {
    title: () => texts.today.title,
    query() {
      if (JSON.stringify([range(), filters(), site()]) !== filterText) load();
      else explain();
      render();
    },
    event(message) {
      if (message.type === "resync" || message.type === "hello") load();
      else if (message.type === "names") render();
      if (!message.type.startsWith("call.")) return;
      const { call_id: id, call } = message.data;
      newer.add(id);
      explained.delete(id);
      if (!call) {
        calls.delete(id);
        waiting.delete(id);
      } else if (calls.has(id)) {
        // A row that no longer fits the filter stays: nothing leaves under the pointer.
        take(call);
      } else if (fits(call)) {
        if (scrollY < 8) take(call);
        else waiting.set(id, call);
        if (day && message.type === "call.started")
          day = {
            ...day,
            calls: day.calls + 1,
            incoming: day.incoming + (call.direction === "inbound" ? 1 : 0),
          };
      }
      if (id === opened()) explain();
      render();
    },
    key(key) {
      if (key !== "Escape" || !opened()) return false;
      setQuery({ open: "" }, true);
      return true;
    },
    stop() {
      abort.abort();
      clearTimeout(typing);
      root.removeEventListener("click", onClick);
      root.removeEventListener("input", onInput);
      removeEventListener("scroll", onScroll);
    },
  };
}
