// Live: calls that go on, figures of today, calls that just ended, and people.

import { get } from "./api.js";
import * as cells from "./cells.js";
import { midnight, now } from "./clock.js";
import { draw, el, icon, rows } from "./dom.js";
import { runningLength, length, time } from "./format.js";
import { liveFigures } from "./live-figures.js";
import { ENDED_SHOWN, endedPanel, liveTable, withWhom } from "./live-rows.js";
import { peoplePanel } from "./live-people.js";
import { href, setQuery } from "./router.js";
import { goalsOf, namesRead, readPeople, siteQuery, site } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").View} View */

const LEAVES_AFTER_MS = 3000;
const RANK = ["initiated", "ringing", "transferring", "on_hold", "answered"];

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function livePage(root) {
  const abort = new AbortController();
  /** @type {Map<string, Call>} */
  const calls = new Map();
  /** @type {Map<string, number>} Instants of holds and transfers, which a call does not carry. */
  const since = new Map();
  /** @type {Map<string, number>} Ended calls that are still shown, with the instant they leave. */
  const leaving = new Map();
  /** @type {Map<string, number>} */
  const revision = new Map();
  /** @type {Call[]} */
  let ended = [];
  /** @type {string[]} */
  let order = [];
  let loaded = false;
  const figures = liveFigures(abort.signal, () => render());

  const body = el("tbody", { role: "rowgroup", "data-keep": true });
  let pointed = false;
  body.addEventListener("pointerover", (event) => (pointed = event.pointerType === "mouse"));
  body.addEventListener("pointerleave", () => (pointed = false));

  /** @type {Set<Set<string>>} Of each reading under way, the calls that have changed since it began. */
  const readings = new Set();

  async function load() {
    /** @type {Set<string>} */
    const newer = new Set();
    readings.add(newer);
    try {
      const answer = /** @type {import("./types.js").CallPage} */ (
        await get("/calls/live", siteQuery(), { signal: abort.signal })
      );
      const fresh = new Set(answer.calls.map((call) => call.id));
      // The answer may be older than the events that came while it was under way.
      for (const id of [...calls.keys()]) if (!fresh.has(id) && !newer.has(id)) forget(id);
      for (const call of answer.calls) if (!newer.has(call.id)) take(call, null);
      loaded = true;
      render();
      await Promise.all([loadEnded(), figures.load(), loadPeople()]);
      render();
    } catch {
      // Problems are shown by the banner; the data of the last reading stays.
    } finally {
      readings.delete(newer);
    }
  }

  async function loadEnded() {
    const answer = await get(
      "/calls",
      { ...siteQuery(), since: midnight().toISOString(), limit: 40 },
      { signal: abort.signal },
    );
    ended = /** @type {Call[]} */ (answer.calls)
      .filter((call) => !cells.isLive(call) && call.ended_at !== null)
      .sort(byEnd);
  }

  async function loadPeople() {
    await readPeople();
  }

  /** @param {string} id */
  function forget(id) {
    calls.delete(id);
    since.delete(id);
    leaving.delete(id);
    revision.delete(id);
  }

  /**
   * @param {Call} call
   * @param {number | null} at Arrival of the event that changed the call.
   */
  function take(call, at) {
    const old = calls.get(call.id);
    const moved = old?.status !== call.status;
    if (old && JSON.stringify(old) === JSON.stringify(call)) return;
    calls.set(call.id, call);
    revision.set(call.id, (revision.get(call.id) ?? 0) + 1);
    if (!moved) return;
    if (call.status === "on_hold" || call.status === "transferring") {
      if (at !== null) since.set(call.id, at);
      else findSince(call);
    } else {
      since.delete(call.id);
    }
  }

  /**
   * The instant of a hold or transfer that began before the page was opened is that of its fact.
   * @param {Call} call
   */
  async function findSince(call) {
    try {
      const { facts } = /** @type {import("./types.js").Explanation} */ (
        await get(
          `/calls/${encodeURIComponent(call.id)}/explanation`,
          {},
          { signal: abort.signal, quiet: true },
        )
      );
      const wanted =
        call.status === "on_hold" ? ["hold"] : ["blind_transfer", "attended_transfer", "outgoing", "hold"];
      const fact = facts
        .filter((each) => wanted.includes(each.event) && each.at > (call.answered_at ?? ""))
        .at(-1);
      if (!fact || calls.get(call.id)?.status !== call.status) return;
      since.set(call.id, Date.parse(fact.at));
      revision.set(call.id, (revision.get(call.id) ?? 0) + 1);
      render();
    } catch {
      // Without its facts the row shows the total only.
    }
  }

  /** @param {Call} call */
  function inState(call) {
    if (cells.isRinging(call)) return Date.parse(call.started_at);
    if (call.status === "answered") return call.answered_at ? Date.parse(call.answered_at) : null;
    return since.get(call.id) ?? null;
  }

  /** Rows stay where they are while one of them has the focus or the pointer is on the list. */
  const held = () => body.contains(document.activeElement) || pointed;

  function sort() {
    const instant = now();
    const fixed = held();
    for (const [id, until] of leaving) {
      if (fixed || instant < until) continue;
      const call = calls.get(id);
      if (call)
        ended = [call, ...ended.filter((each) => each.id !== id)].sort(byEnd).slice(0, ENDED_SHOWN * 3);
      forget(id);
    }

    const known = order.filter((id) => calls.has(id));
    const added = [...calls.keys()].filter((id) => !known.includes(id));
    order = [...known, ...added];
    if (fixed) return;

    /** @param {Call} call */
    const rank = (call) =>
      leaving.has(call.id) ? (rankOf.get(call.id) ?? RANK.length) : RANK.indexOf(call.status);
    for (const call of calls.values())
      if (!leaving.has(call.id)) rankOf.set(call.id, RANK.indexOf(call.status));
    order.sort((a, b) => {
      const [one, two] = [/** @type {Call} */ (calls.get(a)), /** @type {Call} */ (calls.get(b))];
      return Math.max(1, rank(one)) - Math.max(1, rank(two)) || one.started_at.localeCompare(two.started_at);
    });
  }
  /** @type {Map<string, number>} */
  const rankOf = new Map();

  /** @param {Call} call */
  const isOver = (call) =>
    cells.isRinging(call) &&
    call.direction === "inbound" &&
    now() - Date.parse(call.started_at) > goalsOf(call.site).answer_goal_seconds * 1000;

  function render() {
    sort();
    const shown = order.map((id) => /** @type {Call} */ (calls.get(id)));
    const going = shown.filter((call) => !leaving.has(call.id));
    rows(
      body,
      shown,
      (call) => call.id,
      row,
      (call) => `${revision.get(call.id)} ${isOver(call)} ${leaving.has(call.id)} ${namesRead}`,
    );
    const people = peoplePanel(going);
    const wall = document.documentElement.hasAttribute("data-wall");

    draw(
      root,
      el("h1", { class: "vh" }, texts.shell.live),
      figures.draw(going, loaded),
      el(
        "div",
        { class: `split live-data${people ? "" : " alone"}` },
        el(
          "div",
          null,
          el(
            "section",
            { class: "panel", "aria-labelledby": "now", "data-key": "now" },
            el(
              "header",
              null,
              el("h2", { id: "now" }, texts.live.now),
              el("span", { class: "muted sm" }, loaded ? String(going.length) : ""),
              el(
                "button",
                { class: "btn ghost no-wall hide-sm", type: "button", "data-do": "wall" },
                icon("wall", "i-16"),
                texts.live.wallboard,
              ),
            ),
            loaded && !shown.length ? null : liveTable(),
            loaded ? null : cells.greyRows(6),
            loaded && !shown.length
              ? cells.empty(
                  "phone",
                  texts.live.empty,
                  ended[0]?.ended_at ? texts.live.emptyLast(time(ended[0].ended_at)) : texts.live.emptyRest,
                )
              : null,
          ),
          wall ? null : endedPanel(ended, loaded),
        ),
        people,
      ),
    );
    const place = root.querySelector("table.tbl");
    if (place && body.parentNode !== place) {
      place.querySelector("tbody")?.remove();
      place.append(body);
    }
  }

  /** @param {Call} call */
  function row(call) {
    const instant = now();
    const state = inState(call);
    const ringing = cells.isRinging(call);
    const going = cells.isLive(call);
    const [line, second] = cells.target(call);
    const party = cells.partyOf(call);
    const started = Date.parse(call.started_at);
    return el(
      "tr",
      { role: "row", class: going && ringing ? "ring attn" : null },
      cells.cell("c3", cells.status(call)),
      cells.cell(
        "c1",
        el("span", { class: "who" }, el("a", { href: href(`/calls/${call.id}`) }, cells.who(party))),
        el("span", { class: "sub" }, cells.whoSub(party)),
      ),
      cells.cell(
        "c4",
        el("span", { class: "cell" }, el("bdi", null, line)),
        el("span", { class: "sub hide-sm" }, second),
      ),
      cells.cell("wide", withWhom(call)),
      cells.cell(
        "num c2",
        going && state !== null
          ? el(
              "span",
              { class: `strong${ringing ? " ring tone" : ""}` },
              cells.timer(state, runningLength(instant - state)),
            )
          : null,
        going || call.total_seconds === null
          ? null
          : el("span", { class: "strong" }, length(call.total_seconds)),
        // The place of the second line is kept, so that the timer does not move when it appears.
        going && ringing
          ? el(
              "span",
              { class: "sub" },
              isOver(call) ? texts.live.over(goalsOf(call.site).answer_goal_seconds) : "\u00a0",
            )
          : null,
      ),
      cells.cell(
        "num soft drop",
        going && !ringing ? cells.timer(started, runningLength(instant - started)) : null,
      ),
    );
  }

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    if (event.target instanceof Element && event.target.closest("[data-do=wall]")) setQuery({ wall: "1" });
  };
  root.addEventListener("click", onClick);
  render();
  load();

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let refresh;

  return {
    title: () => texts.shell.live,
    query: () => render(),
    event(message) {
      if (message.type === "resync" || message.type === "hello") {
        load();
        return;
      }
      if (message.type === "desk.changed") figures.loadMissed();
      if (!message.type.startsWith("call.")) {
        render();
        return;
      }
      const { call_id: id, call } = message.data;
      for (const newer of readings) newer.add(id);
      if (!call) forget(id);
      else if (site() && call.site !== site()) return;
      else if (cells.isLive(call)) {
        leaving.delete(id);
        ended = ended.filter((each) => each.id !== id);
        take(call, now());
      } else if (calls.has(id)) {
        take(call, now());
        if (!leaving.has(id)) leaving.set(id, now() + LEAVES_AFTER_MS);
      } else if (call.ended_at) {
        ended = [call, ...ended.filter((each) => each.id !== id)].sort(byEnd).slice(0, ENDED_SHOWN * 3);
      }
      render();
      clearTimeout(refresh);
      refresh = setTimeout(() => Promise.all([loadPeople(), figures.load()]).then(render, () => {}), 700);
    },
    tick: () => render(),
    stop() {
      abort.abort();
      clearTimeout(refresh);
      root.removeEventListener("click", onClick);
    },
  };
}

/** @param {Call} a @param {Call} b */
const byEnd = (a, b) => (b.ended_at ?? "").localeCompare(a.ended_at ?? "");
