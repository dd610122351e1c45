// Rows of Today: one call, and what happened in it.

import * as cells from "./cells.js";
import { now } from "./clock.js";
import { el, hidden, icon } from "./dom.js";
import { length, runningLength, when } from "./format.js";
import { lanes } from "./lanes.js";
import { programList } from "./programs.js";
import { href } from "./router.js";
import { may, shortExtension } from "./session.js";
import { texts } from "./texts.js";
import { conclusion } from "./why.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Explanation} Explanation */

/**
 * @param {() => string} opened
 * @param {Map<string, Explanation | "absent">} explained
 * @param {Map<string, import("./types.js").ProgramEvent[]>} programs
 */
export function todayRows(opened, explained, programs) {
  /** @param {Call} call */
  function row(call) {
    const began = when(call.started_at, now());
    const isOpen = opened() === call.id;
    const party = cells.partyOf(call);
    const [line, second] = cells.target(call);
    const way = cells.DIRECTION_ICON[call.direction];
    const live = cells.isLive(call);
    const ringing = live && cells.isRinging(call);
    const started = Date.parse(call.started_at);
    const answered = call.answered_at ? Date.parse(call.answered_at) : null;
    const waited = length(call.ring_seconds);
    return el(
      "tr",
      { role: "row", class: isOpen ? "open" : null },
      cells.cell(
        "c2 nowrap",
        el(
          "span",
          { class: "row began" },
          el(
            "span",
            { class: "hide-sm" },
            el(
              "button",
              {
                class: "expand",
                type: "button",
                "data-open": call.id,
                "aria-expanded": String(isOpen),
                "aria-controls": isOpen ? `d-${call.id}` : null,
                "aria-label": texts.today.expand(began),
              },
              icon("chev", "i-16"),
            ),
          ),
          el("span", { class: "only-sm soft" }, icon(way)),
          began,
        ),
      ),
      cells.cell("drop soft", icon(way, "i-16"), hidden(texts.direction[call.direction])),
      cells.cell(
        "c1",
        el("span", { class: "who" }, el("a", { href: href(`/calls/${call.id}`) }, cells.who(party))),
        el("span", { class: "sub" }, cells.whoSub(party)),
      ),
      cells.cell(
        "drop",
        el("span", { class: "cell" }, el("bdi", null, line)),
        el("span", { class: "sub" }, second),
      ),
      cells.cell("c3", cells.status(call)),
      cells.cell("wide", withWhom(call)),
      ringing
        ? cells.cell("num c4 strong ring tone", cells.timer(started, runningLength(now() - started)))
        : cells.cell("num soft drop", call.outcome === "lost" ? "" : waited),
      ringing
        ? cells.cell("num drop")
        : live && answered !== null
          ? cells.cell("num c4", cells.timer(answered, runningLength(now() - answered), "strong"))
          : cells.cell(
              "num c4",
              call.talk_seconds
                ? length(call.talk_seconds)
                : waited && call.outcome !== "lost"
                  ? el("span", { class: "only-sm soft" }, texts.today.waited(waited))
                  : null,
            ),
    );
  }

  /** @param {Call} call */
  function withWhom(call) {
    const own =
      call.direction === "outbound"
        ? call.participants.find((each) => each.role === "caller")?.extension
        : call.answered_by?.extension;
    const rang = call.participants
      .filter((each) => each.role !== "caller")
      .map((each) => each.extension ?? "");
    let main;
    if (own) main = el("span", { class: "cell" }, cells.extension(own));
    else if (call.outcome === "lost")
      main = el(
        "span",
        { class: "cell soft" },
        [rang.join(", "), texts.party.onlyEnd].filter(Boolean).join(", "),
      );
    else if (rang.length === 1)
      main = el("span", { class: "cell soft" }, el("bdi", null, shortExtension(rang[0])));
    else
      main = el(
        "span",
        { class: "cell soft" },
        call.outcome === "missed"
          ? texts.party.rang(call.missed_extensions.length ? call.missed_extensions : rang)
          : rang.join(", "),
      );
    const tags = remarks(call);
    return [main, tags.length ? el("span", { class: "tags" }, tags) : null];
  }

  /** @param {Call} call */
  function detailRow(call) {
    const found = explained.get(call.id);
    const facts = found && found !== "absent" ? found : null;
    return el(
      "tr",
      { role: "row", class: "detail", id: `d-${call.id}` },
      el(
        "td",
        { role: "cell", colspan: 8 },
        el(
          "div",
          { class: "pad detail-pad" },
          lanes(call, facts?.facts ?? null),
          facts
            ? el(
                "p",
                { class: "why-text" },
                el(
                  "strong",
                  null,
                  call.outcome === "missed" ? texts.today.why.missed : texts.today.why.other,
                ),
                " ",
                facts.conclusions.map((each) => conclusion(each).join(": ")).join(" "),
              )
            : found === "absent"
              ? el("p", { class: "why-text soft" }, texts.today.noCourse)
              : el("p", { class: "why-text" }, el("span", { class: "skel" })),
          programList(programs.get(call.id) ?? []),
          el(
            "p",
            { class: "row wrap why-actions" },
            call.outcome === "missed" && may("desk")
              ? el("a", { class: "btn", href: href("/missed") }, texts.today.desk)
              : null,
            el("a", { class: "btn ghost", href: href(`/calls/${call.id}`) }, texts.today.events),
          ),
        ),
      ),
    );
  }

  return { row, detailRow };
}

export const callTable = () => {
  const { columns } = texts.today;
  return el(
    "table",
    { class: "tbl", role: "table", "aria-label": texts.today.table, "data-key": "table" },
    el(
      "colgroup",
      null,
      ["w-began", "w-way", null, "c-for", "w-outcome", "c-who", "w-waited", "w-talked"].map((name) =>
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
          { role: "columnheader", scope: "col", "aria-sort": "descending" },
          el("span", { class: "began-head" }, columns.began),
        ),
        el("th", { role: "columnheader", scope: "col" }, hidden(columns.direction)),
        cells.head(columns.party),
        cells.head(columns.for),
        cells.head(columns.outcome),
        cells.head(columns.who),
        cells.head(columns.waited, "num"),
        cells.head(columns.talked, "num"),
      ),
    ),
    el("tbody", { role: "rowgroup", "data-keep": true }),
  );
};

/** @param {Call} call */
function remarks(call) {
  const tags = [];
  const target = cells.transferNumber(call);
  if (target && call.status === "transferring") tags.push(cells.tag("move", texts.party.asks(target)));
  else if (target && call.transfer?.state === "completed")
    tags.push(cells.tag("move", texts.tag.handedOver(target)));
  if (call.origin === "click_to_call") tags.push(cells.tag("phone", texts.tag.clickToCall));
  if (call.pickup) tags.push(cells.tag("phone", texts.tag.pickedUp));
  if (call.joins.some((join) => join.kind === "rering")) tags.push(cells.tag("bell", texts.tag.secondRound));
  if (call.links.some((link) => link.kind === "callback")) tags.push(cells.tag("out", texts.tag.callBack));
  if (call.links.some((link) => link.kind === "repeat"))
    tags.push(cells.tag("repeat", texts.tag.calledAgain));
  return tags;
}
