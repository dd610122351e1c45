// Rows of the desk: one caller who waits, one that a colleague has taken over, one that is done.

import * as cells from "./cells.js";
import { midnight, now } from "./clock.js";
import { el, icon } from "./dom.js";
import { number, runningLength, shortTime, wait } from "./format.js";
import { href } from "./router.js";
import { accountName, extensionText, may, namesRead, session, shortExtension } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Missed} Missed */
/** @typedef {import("./types.js").Call} Call */

/**
 * @param {{
 *   chosen: Set<string>,
 *   closing: Map<string, number>,
 *   failed: Map<string, string>,
 *   live: Map<string, Call>,
 * }} desk
 */
export function missedRows(desk) {
  /** @param {Missed} entry */
  const since = (entry) => Date.parse(entry.first_missed_at ?? entry.missed_at);

  /** @param {Missed} entry */
  const due = (entry) => Date.parse(entry.due_at);

  /** @param {Missed} entry */
  const withheld = (entry) => entry.from.number === null && entry.from.e164 === null;

  /** @param {Missed} entry */
  const caller = (entry) => cells.named(entry.call_id, entry.from);

  /** @param {Missed} entry A call that goes on with the caller of this row. */
  function talking(entry) {
    if (withheld(entry)) return null;
    for (const call of desk.live.values()) {
      const party = cells.partyOf(call);
      if (
        call.direction !== "internal" &&
        (party.e164 ?? party.number) === (entry.from.e164 ?? entry.from.number)
      )
        return call;
    }
    return null;
  }

  /** @param {Missed} entry */
  function version(entry) {
    const call = talking(entry);
    return [
      namesRead,
      JSON.stringify(entry),
      Math.floor((now() - since(entry)) / 60_000),
      desk.chosen.has(entry.call_id),
      desk.closing.has(entry.call_id),
      desk.failed.get(entry.call_id),
      call?.id,
      call?.status,
    ].join(" ");
  }

  /** @param {Missed} entry */
  function row(entry) {
    const closed = entry.status !== "open";
    const left = (due(entry) - now()) / 60_000;
    const goal = (due(entry) - since(entry)) / 60_000;
    const over = left < 0 && !withheld(entry);
    const tone = closed
      ? "talk"
      : withheld(entry)
        ? "idle"
        : over
          ? "miss"
          : left < goal / 3
            ? "ring"
            : "hold";
    const who = cells.partyName(caller(entry));
    const wanted =
      entry.missed_extensions.length === 1
        ? extensionText(entry.missed_extensions[0])
        : entry.missed_extensions.map(shortExtension).join(", ");
    const minutes = texts.missed.minutes(Math.floor(Math.abs(left)));
    return el(
      "tr",
      { role: "row", class: tone === "miss" ? "miss attn" : tone },
      cells.cell(
        "drop",
        may("desk")
          ? el("input", {
              type: "checkbox",
              "data-choose": entry.call_id,
              checked: desk.chosen.has(entry.call_id),
              "aria-label": texts.missed.choose(who),
            })
          : null,
      ),
      cells.cell(
        "c3",
        el(
          "span",
          { class: `sla ${tone}` },
          el(
            "span",
            { class: `plain ${tone}` },
            icon(closed ? "check" : over ? "warn" : "clock"),
            closed
              ? texts.missed.isDone
              : withheld(entry)
                ? texts.missed.noGoal
                : over
                  ? texts.missed.over(minutes)
                  : texts.missed.left(minutes),
          ),
          withheld(entry) || closed
            ? null
            : el(
                "span",
                { class: "meter", "aria-hidden": "true" },
                el("i", { "data-fill": `${Math.min(100, Math.round(100 * (1 - left / goal)))}%` }),
              ),
        ),
      ),
      cells.cell(
        "c1",
        el(
          "span",
          { class: "who" },
          el("a", { href: href(`/calls/${entry.call_id}`) }, cells.who(caller(entry))),
        ),
        el("span", { class: "sub" }, cells.whoSub(caller(entry))),
      ),
      cells.cell(
        "wide",
        el("span", { class: "cell" }, el("bdi", null, wanted)),
        el(
          "span",
          { class: "sub" },
          [
            entry.cause === "transfer_failed" ? texts.missed.transferFailed : "",
            entry.off_hours ? texts.missed.whileClosed : "",
            entry.calls > 1 ? texts.missed.times(entry.calls) : "",
            entry.waited_seconds !== null ? texts.missed.rang(wait(entry.waited_seconds)) : "",
            entry.note,
          ]
            .filter(Boolean)
            .join(", "),
        ),
      ),
      cells.cell(
        "c2 nowrap soft",
        at(entry.missed_at),
        entry.calls > 1 && entry.first_missed_at
          ? el("span", { class: "sub hide-sm" }, texts.missed.firstAt(shortTime(entry.first_missed_at)))
          : null,
      ),
      cells.cell("wide", el("div", { class: "actions" }, actions(entry, over))),
    );
  }

  /** @param {Missed} entry @param {boolean} over */
  function actions(entry, over) {
    const call = talking(entry);
    const allowed = may("desk");
    if (entry.status === "done") {
      const by = entry.reached_by
        ? texts.missed.reached(
            extensionText(entry.reached_by.extension),
            shortTime(entry.reached_by.started_at),
          )
        : entry.changed_by
          ? texts.missed.doneBy(accountName(entry.changed_by))
          : texts.missed.isDone;
      return [
        el(
          "span",
          { class: "plain talk grow", role: "status" },
          icon("check"),
          el("span", { class: "cell" }, el("bdi", null, by)),
        ),
        allowed ? button("undo", entry, texts.missed.undo) : null,
      ];
    }
    const more = allowed
      ? el(
          "button",
          {
            class: "btn icon ghost",
            type: "button",
            "data-do": "more",
            "data-id": entry.call_id,
            "aria-label": texts.missed.more(cells.partyName(caller(entry))),
          },
          icon("more", "i-16"),
        )
      : null;
    const problem = desk.failed.get(entry.call_id);
    if (problem)
      return [
        el(
          "span",
          { class: "plain miss grow", role: "alert" },
          icon("warn"),
          el("span", { class: "wraps" }, problem),
        ),
        more,
      ];
    if (call) {
      const own =
        call.direction === "outbound"
          ? call.participants.find((party) => party.role === "caller")?.extension
          : call.answered_by?.extension;
      const began = Date.parse(call.answered_at ?? call.started_at);
      const text = call.answered_at
        ? texts.missed.talks(shortExtension(own))
        : call.direction === "outbound"
          ? texts.missed.calling(shortExtension(own))
          : texts.missed.callsAgain;
      return [
        el(
          "span",
          { class: "plain talk grow" },
          icon("phone"),
          el(
            "span",
            { class: "cell" },
            el("bdi", null, text),
            " ",
            cells.timer(began, runningLength(now() - began)),
          ),
        ),
        more,
      ];
    }
    if (withheld(entry)) return [el("span", { class: "plain idle grow" }, texts.missed.cannot), more];
    if (entry.from.e164)
      return [
        el(
          "a",
          {
            class: `btn${over ? " primary" : ""}`,
            href: `tel:${entry.from.e164}`,
            "data-do": "call",
            "data-id": entry.call_id,
          },
          icon("phone"),
          texts.missed.callBack,
        ),
        more,
      ];
    return [allowed && session.me?.name ? button("take", entry, texts.missed.take) : null, more];
  }

  /** @param {string} action @param {Missed} entry @param {string} text */
  const button = (action, entry, text) =>
    el("button", { class: "btn", type: "button", "data-do": action, "data-id": entry.call_id }, text);

  /** @param {Missed} entry */
  const details = (entry) =>
    [
      caller(entry).name ? number(entry.from) : null,
      entry.missed_extensions.length ? texts.party.rang(entry.missed_extensions) : null,
      at(entry.missed_at),
    ]
      .filter(Boolean)
      .join(", ");

  /** @param {Missed} entry */
  const name = (entry) =>
    el(
      "b",
      null,
      el("a", { href: href(`/calls/${entry.call_id}`) }, el("bdi", null, cells.partyName(caller(entry)))),
    );

  /**
   * Caller, details, the state of the entry and its note.
   * @param {Missed} entry
   * @param {string} state
   */
  const summary = (entry, state) =>
    el(
      "span",
      { class: "cell" },
      name(entry),
      " ",
      el(
        "span",
        { class: "soft" },
        el("bdi", null, details(entry)),
        ". ",
        el("bdi", null, state),
        el("bdi", null, entry.note ? `, ${entry.note}` : ""),
      ),
    );

  /** @param {Missed} entry */
  function assignedItem(entry) {
    const call = talking(entry);
    const mine = entry.assigned_to !== null && entry.assigned_to === session.me?.name;
    const began = call ? Date.parse(call.answered_at ?? call.started_at) : 0;
    return el(
      "li",
      { class: "move", "data-key": entry.call_id },
      icon("user"),
      summary(entry, texts.missed.with(entry.assigned_to ? accountName(entry.assigned_to) : "")),
      call
        ? el("span", { class: "nowrap talk tone" }, cells.timer(began, runningLength(now() - began)))
        : may("desk")
          ? el(
              "span",
              { class: "row" },
              mine || !session.me?.name ? null : button("take", entry, texts.missed.take),
              el(
                "button",
                {
                  class: "btn icon ghost",
                  type: "button",
                  "data-do": "more",
                  "data-id": entry.call_id,
                  "aria-label": texts.missed.more(cells.partyName(caller(entry))),
                },
                icon("more", "i-16"),
              ),
            )
          : null,
    );
  }

  /** @param {Missed} entry */
  function doneItem(entry) {
    const by = entry.reached_by
      ? texts.missed.reached(
          extensionText(entry.reached_by.extension),
          shortTime(entry.changed_at ?? entry.missed_at),
        )
      : entry.disposition
        ? texts.missed.disposition[entry.disposition]
        : texts.missed.isDone;
    const right =
      entry.reached_by && !entry.changed_by
        ? texts.missed.withdrawn
        : entry.changed_by
          ? accountName(entry.changed_by)
          : "";
    return el(
      "li",
      { class: "talk", "data-key": entry.call_id },
      icon("check"),
      summary(entry, by),
      el("span", { class: "soft nowrap hide-sm" }, right),
    );
  }

  /** @param {string} instant */
  const at = (instant) =>
    Date.parse(instant) >= midnight().getTime() ? shortTime(instant) : cells.dayTime(instant);

  return { since, version, row, assignedItem, doneItem };
}
