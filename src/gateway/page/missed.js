// Missed: the next caller to call back, and the colleague who does it already.

import { Problem, get, isAbort, send } from "./api.js";
import * as cells from "./cells.js";
import { midnight, now } from "./clock.js";
import { downloadCsv } from "./csv.js";
import { draw, el, hidden, hit, icon, rows } from "./dom.js";
import { askFor, reason } from "./forms.js";
import { missedRows } from "./missed-rows.js";
import { entryDialog } from "./missed-dialog.js";
import { href, parameter } from "./router.js";
import { goalsOf, may, session, site, siteQuery } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Missed} Missed */
/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").View} View */
/** @typedef {{ status: Missed["status"], assigned_to?: string | null, note?: string | null, disposition?: string | null }} Change */

const CLOSING_MS = 10_000;
const LIST_MAX = 200;
const REFRESH_SECONDS = 60;
const SOON_MS = 500;
const DONE_SHOWN = 3;
const TABS = /** @type {const} */ (["open", "closed", "assigned", "done"]);

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function missedPage(root) {
  const abort = new AbortController();
  const { signal } = abort;
  /** @type {Missed[]} */
  let entries = [];
  /** @type {Missed[]} Callers who were reached or are done, as they were read last. */
  let reached = [];
  let loaded = false;
  let seconds = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let soon;
  /** @type {Set<string>} */
  const chosen = new Set();
  /** @type {Map<string, number>} Rows that were closed a moment ago, with the instant they leave. */
  const closing = new Map();
  /** @type {Map<string, string>} Why an action on a row failed. */
  const failed = new Map();
  /** @type {Map<string, Call>} Calls that go on, to see who talks to a caller now. */
  const live = new Map();
  const { since, version, row, assignedItem, doneItem } = missedRows({
    chosen,
    closing,
    failed,
    live,
  });
  const body = el("tbody", { role: "rowgroup", "data-keep": true });

  const tab = () => (["closed", "assigned", "done"].includes(parameter("tab")) ? parameter("tab") : "open");

  /**
   * Each in a list of its own: callers who were reached displace none who waits. Those are read again
   * when a caller does not wait any more.
   * @param {boolean} withDone
   */
  async function load(withDone) {
    try {
      const waiting = await get("/missed", { ...siteQuery(), limit: LIST_MAX }, { signal });
      for (const entry of waiting.missed) entry.read_at = waiting.read_at;
      const before = new Map(entries.map((entry) => [entry.call_id, entry.status]));
      const waits = new Set(waiting.missed.map((/** @type {Missed} */ entry) => entry.call_id));
      const isWhole = waiting.missed.length < LIST_MAX;
      const isGone = isWhole && entries.some((entry) => entry.status !== "done" && !waits.has(entry.call_id));
      if (withDone || isGone) {
        const query = { ...siteQuery(), status: "done", limit: LIST_MAX };
        const done = await get("/missed", query, { signal });
        for (const entry of done.missed) entry.read_at = done.read_at;
        reached = done.missed;
      }
      entries = [...waiting.missed, ...reached.filter((entry) => !waits.has(entry.call_id))];
      for (const entry of entries) {
        if (before.get(entry.call_id) === "open" && entry.status === "done")
          closing.set(entry.call_id, now() + CLOSING_MS);
        if (entry.status === "open") closing.delete(entry.call_id);
      }
      loaded = true;
      render();
      const going = await get("/calls/live", siteQuery(), { signal, quiet: true });
      live.clear();
      for (const call of going.calls) live.set(call.id, call);
      render();
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Problem)) throw error;
    }
  }

  /** Calls end in swarms; one reading is enough for all of them. */
  function loadSoon() {
    soon ??= setTimeout(() => {
      soon = undefined;
      load(false);
    }, SOON_MS);
  }

  /** @param {Missed[]} list @param {Change} change @param {boolean} [takesOver] */
  async function act(list, change, takesOver = false) {
    if (!list.length || !may("desk")) return;
    const first = list[0]?.call_id ?? "";
    focusNext(list.map((entry) => entry.call_id));
    for (const entry of list) failed.delete(entry.call_id);
    try {
      await send("POST", "/missed", {
        call_ids: list.flatMap((entry) => entry.call_ids ?? [entry.call_id]),
        // A person who takes over knows that another one has changed it.
        read_at: takesOver ? null : (list.map((entry) => entry.read_at ?? "").sort()[0] ?? null),
        take_over: takesOver,
        ...change,
      });
      for (const entry of list) {
        if (entry.status === "open" && change.status === "done")
          closing.set(entry.call_id, now() + CLOSING_MS);
        Object.assign(entry, change);
        chosen.delete(entry.call_id);
      }
    } catch (error) {
      // A dialog shows why.
      if (!(error instanceof Problem) || takesOver) throw error;
      if (error.code === "taken") askTakeOver(error, () => act(list, change, true));
      failed.set(
        first,
        error.status === 409 ? error.detail || texts.missed.taken : error.detail || texts.state.databaseRest,
      );
    }
    render();
    load(true);
  }

  /** @param {Problem} problem @param {() => Promise<void>} takeOver */
  function askTakeOver(problem, takeOver) {
    const { title, text, button } = texts.missed.takeOver;
    askFor({ title, text: `${reason(problem)} ${text}`, fields: [], button }, takeOver);
  }

  /**
   * The focus goes on to the row after the last changed one.
   * @param {string[]} ids
   */
  function focusNext(ids) {
    const row = document.activeElement?.closest("tr[data-key]");
    if (!row || !ids.includes(row.getAttribute("data-key") ?? "")) return;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    const link = next?.querySelector(".who a");
    if (link instanceof HTMLElement) link.focus();
  }

  /** @param {Missed} entry */
  const assignMe = (entry) => act([entry], { status: "assigned", assigned_to: session.me?.name ?? null });

  function openRows() {
    for (const [id, until] of closing)
      if (now() > until && !body.contains(document.activeElement)) closing.delete(id);
    return entries
      .filter((entry) => entry.status === "open" || closing.has(entry.call_id))
      .filter((entry) => tab() !== "closed" || entry.off_hours)
      .sort((a, b) => since(a) - since(b));
  }

  const doneToday = () =>
    entries
      .filter(
        (entry) =>
          entry.status === "done" &&
          (tab() === "done" || !closing.has(entry.call_id)) &&
          Date.parse(entry.changed_at ?? entry.missed_at) >= midnight().getTime(),
      )
      .sort((a, b) => (b.changed_at ?? "").localeCompare(a.changed_at ?? ""));

  function render() {
    const open = openRows();
    const assigned = entries.filter((entry) => entry.status === "assigned");
    const done = doneToday();
    const waiting = entries.filter((entry) => entry.status === "open");
    const closed = waiting.filter((entry) => entry.off_hours).length;
    const counts = {
      open: waiting.length,
      closed,
      assigned: assigned.length,
      done: done.length,
    };
    const shown = tab();
    rows(body, open, (entry) => entry.call_id, row, version);

    draw(
      root,
      el(
        "div",
        { class: "head" },
        el("h1", null, texts.missed.title),
        el("p", null, texts.missed.goal(goalsOf().desk_goal_minutes)),
        may("export")
          ? el(
              "div",
              { class: "head-end hide-sm" },
              el(
                "button",
                { class: "btn", type: "button", "data-do": "csv" },
                icon("down", "i-16"),
                texts.missed.export,
              ),
            )
          : null,
      ),
      el(
        "nav",
        { class: "tabs", "aria-label": texts.missed.tabs },
        TABS.filter((name) => name !== "closed" || closed || shown === "closed").map((name) =>
          el(
            "a",
            {
              href: href("/missed", name === "open" ? {} : { tab: name }),
              "aria-current": name === shown ? "page" : null,
            },
            texts.missed[name],
            " ",
            el("span", { class: "n" }, loaded ? String(counts[name]) : ""),
          ),
        ),
      ),
      shown === "open" || shown === "closed" ? openPanel(open) : null,
      shown !== "done" && shown !== "closed" && (assigned.length || shown === "assigned")
        ? listPanel("assigned", assigned, assignedItem)
        : null,
      shown !== "assigned" && shown !== "closed" && (done.length || shown === "done")
        ? listPanel("done", shown === "done" ? done : done.slice(0, DONE_SHOWN), doneItem, done.length)
        : null,
    );
    const place = root.querySelector("table.tbl");
    if (place && body.parentNode !== place) {
      place.querySelector("tbody")?.remove();
      place.append(body);
    }
  }

  /** @param {Missed[]} open */
  function openPanel(open) {
    const bulk = [...chosen].filter((id) => open.some((entry) => entry.call_id === id)).length;
    const desk = may("desk");
    const { columns } = texts.missed;
    return el(
      "section",
      { class: "panel live-data", "aria-labelledby": "open", "data-key": "open" },
      el(
        "div",
        { class: "panel-head" },
        el("h2", { id: "open", class: "sm" }, texts.missed.longest),
        desk
          ? el(
              "span",
              { class: "row end hide-sm" },
              bulk ? el("span", { class: "sm soft", role: "status" }, texts.missed.chosen(bulk)) : null,
              session.me?.name
                ? el(
                    "button",
                    { class: "btn", type: "button", "data-do": "assign-all", disabled: !bulk },
                    texts.missed.assignMe,
                  )
                : null,
              el(
                "button",
                { class: "btn", type: "button", "data-do": "done-all", disabled: !bulk },
                texts.missed.doneButton,
              ),
            )
          : null,
      ),
      loaded && !open.length ? cells.empty("check", texts.missed.empty, texts.missed.emptyRest) : null,
      loaded ? null : cells.greyRows(5),
      loaded && open.length
        ? el(
            "table",
            { class: "tbl", role: "table", "aria-labelledby": "open", "data-key": "table" },
            el(
              "colgroup",
              null,
              ["w-check", "w-goal", null, "w-want", "w-missed", "w-actions"].map((name) =>
                el("col", { class: name }),
              ),
            ),
            el(
              "thead",
              { role: "rowgroup" },
              el(
                "tr",
                { role: "row" },
                el(
                  "th",
                  { role: "columnheader", scope: "col" },
                  desk
                    ? el("input", {
                        type: "checkbox",
                        "data-all": true,
                        "aria-label": texts.missed.chooseAll,
                        checked: bulk > 0 && bulk === open.length,
                      })
                    : hidden(texts.missed.chooseAll),
                ),
                cells.head(columns.goal, "", { "aria-sort": "ascending" }),
                cells.head(columns.caller),
                cells.head(columns.wanted),
                cells.head(columns.missed),
                el("th", { role: "columnheader", scope: "col" }, hidden(columns.actions)),
              ),
            ),
            el("tbody", { role: "rowgroup", "data-keep": true }),
          )
        : null,
    );
  }

  /**
   * @param {"assigned" | "done"} name
   * @param {Missed[]} list
   * @param {(entry: Missed) => HTMLElement} item
   * @param {number} [all]
   */
  function listPanel(name, list, item, all = list.length) {
    const nothing =
      name === "assigned"
        ? cells.empty("user", texts.missed.emptyAssigned, texts.missed.emptyAssignedRest)
        : cells.empty("check", texts.missed.emptyDone, texts.missed.emptyDoneRest);
    return el(
      "section",
      { class: "panel live-data", "aria-labelledby": name, "data-key": name },
      el(
        "header",
        null,
        el("h2", { id: name }, texts.missed[name]),
        el("span", { class: "muted sm" }, String(all)),
        all > list.length
          ? el("a", { class: "sm", href: href("/missed", { tab: name }) }, texts.missed.all)
          : null,
      ),
      loaded && !list.length ? nothing : el("ul", { class: "hist" }, list.map(item)),
    );
  }

  const chosenEntries = () => entries.filter((entry) => chosen.has(entry.call_id) && entry.status === "open");

  function exportCsv() {
    const { columns } = texts.missed;
    downloadCsv("missed.csv", [
      [
        columns.missed,
        columns.caller,
        "number",
        columns.wanted,
        "calls",
        "status",
        "assigned_to",
        "disposition",
        "note",
      ],
      ...entries.map((entry) => [
        entry.missed_at,
        cells.named(entry.call_id, entry.from).name ?? "",
        entry.from.e164 ?? entry.from.number ?? "",
        entry.missed_extensions.join(" "),
        entry.calls,
        entry.status,
        entry.assigned_to ?? "",
        entry.disposition ?? "",
        entry.note ?? "",
      ]),
    ]);
  }

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const target = hit(event, "[data-do]");
    const entry = entries.find((each) => each.call_id === target?.dataset.id);
    const action = target?.dataset.do;
    if (action === "csv") exportCsv();
    else if (action === "assign-all")
      act(chosenEntries(), { status: "assigned", assigned_to: session.me?.name ?? null });
    else if (action === "done-all") act(chosenEntries(), { status: "done", disposition: "not_needed" });
    else if (!entry) return;
    else if (action === "call" && session.me?.name && may("desk")) assignMe(entry);
    else if (action === "take") assignMe(entry);
    else if (action === "undo") act([entry], { status: "open", disposition: null, assigned_to: null });
    else if (action === "more") entryDialog(entry, (change) => act([entry], change));
  };
  /** @param {Event} event */
  const onChange = (event) => {
    const box = event.target;
    if (!(box instanceof HTMLInputElement) || box.type !== "checkbox") return;
    const ids = box.dataset.choose ? [box.dataset.choose] : openRows().map((entry) => entry.call_id);
    for (const id of ids) box.checked ? chosen.add(id) : chosen.delete(id);
    render();
  };
  root.addEventListener("click", onClick);
  root.addEventListener("change", onChange);
  render();
  load(true);

  return {
    title: () => texts.missed.title,
    query: render,
    event(message) {
      if (message.type === "resync" || message.type === "hello") load(true);
      else if (message.type === "names") render();
      else if (["desk.changed", "call.missed", "call.missed_retracted", "call.ended"].includes(message.type))
        loadSoon();
      if (!message.type.startsWith("call.") || !message.data?.call_id) return;
      const { call_id: id, call } = message.data;
      if (call && cells.isLive(call) && (!site() || call.site === site())) live.set(id, call);
      else live.delete(id);
      render();
    },
    tick() {
      seconds += 1;
      // Corrections of records may be no events.
      if (seconds % REFRESH_SECONDS === 0 && !document.hidden) load(tab() === "done");
      else render();
    },
    key(key) {
      const id = document.activeElement?.closest("tr[data-key]")?.getAttribute("data-key");
      const entry = entries.find((each) => each.call_id === id);
      if (!entry || !may("desk")) return false;
      if (key === "x") {
        if (chosen.has(entry.call_id)) chosen.delete(entry.call_id);
        else chosen.add(entry.call_id);
        render();
      } else if (key === "a" && session.me?.name) assignMe(entry);
      else if (key === "d") act([entry], { status: "done", disposition: "reached" });
      else return false;
      return true;
    },
    stop() {
      abort.abort();
      clearTimeout(soon);
      root.removeEventListener("click", onClick);
      root.removeEventListener("change", onChange);
    },
  };
}
