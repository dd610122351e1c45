// Parts of Live: the table, who is in a call, and calls that just ended.

import * as cells from "./cells.js";
import { el, icon } from "./dom.js";
import { length, shortTime } from "./format.js";
import { href } from "./router.js";
import { extensionText, shortExtension } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */

export const ENDED_SHOWN = 8;

export const liveTable = () =>
  el(
    "table",
    { class: "tbl", role: "table", "aria-labelledby": "now", "data-key": "table" },
    el(
      "colgroup",
      null,
      ["w-state", null, "w-for", "w-with", "w-time", "w-total"].map((name) => el("col", { class: name })),
    ),
    el(
      "thead",
      { role: "rowgroup" },
      el(
        "tr",
        { role: "row" },
        cells.head(texts.live.columns.state),
        cells.head(texts.live.columns.party),
        cells.head(texts.live.columns.for),
        cells.head(texts.live.columns.with),
        cells.head(texts.live.columns.inState, "num"),
        cells.head(texts.live.columns.total, "num"),
      ),
    ),
    el("tbody", { role: "rowgroup", "data-keep": true }),
  );

/** @param {Call} call */
export function withWhom(call) {
  if (cells.isRinging(call)) {
    const ringing =
      call.direction === "outbound"
        ? call.participants.filter((each) => each.role === "caller")
        : call.participants.filter((each) => each.outcome === "ringing" && each.role !== "caller");
    return el(
      "span",
      { class: "cell" },
      el(
        "span",
        { class: "tags" },
        ringing.map((each) => el("span", { class: "tag" }, el("bdi", null, shortExtension(each.extension)))),
      ),
    );
  }
  const owner =
    call.answered_by?.extension ?? call.participants.find((each) => each.role !== "caller")?.extension;
  const own =
    call.direction === "outbound"
      ? (call.participants.find((each) => each.role === "caller")?.extension ?? owner)
      : owner;
  const asked = call.status === "transferring" ? cells.transferTarget(call) : "";
  return [
    el(
      "span",
      { class: "cell" },
      own ? cells.extension(own) : el("span", { class: "soft" }, call.missed_extensions.join(", ")),
    ),
    asked ? el("span", { class: "sub" }, el("bdi", null, texts.party.asks(asked))) : null,
  ];
}

/** @param {Call[]} ended @param {boolean} loaded */
export function endedPanel(ended, loaded) {
  return el(
    "section",
    { class: "panel no-wall", "aria-labelledby": "ended", "data-key": "ended" },
    el(
      "header",
      null,
      el("h2", { id: "ended" }, texts.live.ended),
      el("a", { class: "sm", href: href("/today") }, texts.live.allOfToday),
    ),
    !ended.length && loaded
      ? el("p", { class: "pad soft sm" }, texts.live.nobodyEnded)
      : el("ul", { class: "hist" }, ended.slice(0, ENDED_SHOWN).map(endedRow)),
  );
}

/** @param {Call} call */
function endedRow(call) {
  const party = cells.partyOf(call);
  const [line] = cells.target(call);
  const missed = call.outcome === "missed";
  const outcomes = /** @type {Record<string, string>} */ (texts.outcome);
  const what =
    call.outcome === "answered" && call.answered_by
      ? texts.live.answeredBy(extensionText(call.answered_by.extension))
      : missed && call.missed_extensions.length
        ? texts.live.missedBy(call.missed_extensions)
        : (outcomes[call.outcome ?? "lost"] ?? "").toLowerCase();
  const long =
    call.outcome === "answered"
      ? texts.live.talked(length(call.talk_seconds))
      : call.ring_seconds !== null
        ? texts.live.rang(length(call.ring_seconds))
        : "";
  return el(
    "li",
    { class: cells.tone(call), "data-key": call.id },
    icon(cells.outcomeIcon(call)),
    el(
      "span",
      { class: "cell" },
      el("b", null, el("a", { href: href(`/calls/${call.id}`) }, el("bdi", null, cells.partyName(party)))),
      " ",
      el("span", { class: "soft" }, el("bdi", null, line), `, ${what}`),
    ),
    el(
      "span",
      { class: "soft nowrap" },
      [call.ended_at ? shortTime(call.ended_at) : "", long].filter(Boolean).join(", "),
    ),
  );
}
