// Panels of one call.

import { address } from "./api.js";
import * as cells from "./cells.js";
import { now } from "./clock.js";
import { el, icon } from "./dom.js";
import { dayAndMonth, daysAgo, length, number, shortTime, time, weekday } from "./format.js";
import { lanes } from "./lanes.js";
import { href } from "./router.js";
import { extensionText, may } from "./session.js";
import { texts } from "./texts.js";
import { conclusionItem, factRow } from "./why.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Explanation} Explanation */

/** @param {Call} of @param {Explanation | null} explanation */
export const coursePanel = (of, explanation) =>
  el(
    "section",
    { class: "panel", "aria-labelledby": "course" },
    el(
      "header",
      null,
      el("h2", { id: "course" }, texts.call.course),
      el(
        "div",
        { class: "legend hide-sm" },
        Object.entries(texts.call.legend).map(([kind, text]) =>
          el("span", null, el("i", { class: `bar ${kind}` }), text),
        ),
      ),
    ),
    el("div", { class: "pad" }, lanes(of, explanation?.facts ?? null)),
  );

/** @param {Call} of @param {Explanation | null} explanation @param {boolean} explained */
export function whyPanel(of, explanation, explained) {
  if (explained && !explanation) return null;
  const sure = explanation?.confidence ?? of.confidence;
  const reason = explanation?.reason ?? of.reason;
  return el(
    "section",
    { class: "panel", "aria-labelledby": "why" },
    el(
      "header",
      null,
      el("h2", { id: "why" }, texts.call.why),
      el(
        "span",
        { class: `plain ${sure === "high" ? "talk" : "idle"}` },
        icon(sure === "high" ? "check" : "q"),
        texts.confidence[sure],
      ),
    ),
    explanation
      ? el(
          "ul",
          { class: "why pad" },
          reason ? el("li", { class: "idle" }, icon("q"), el("span", null, reason)) : null,
          explanation.conclusions.map(conclusionItem),
          explanation.conclusions.length
            ? null
            : el(
                "li",
                { class: "idle" },
                icon("clock"),
                el("span", { class: "soft" }, texts.call.noConclusion),
              ),
          of.late_events
            ? el(
                "li",
                { class: "idle" },
                icon("clock"),
                el("span", { class: "soft" }, texts.call.late(of.late_events)),
              )
            : null,
        )
      : cells.greyRows(2),
  );
}

/** @param {string} id @param {Explanation | null} explanation @param {boolean} explained */
export function eventsPanel(id, explanation, explained) {
  if (explained && !explanation)
    return el("section", { class: "panel" }, el("p", { class: "pad soft sm" }, texts.call.noFacts));
  const facts = explanation?.facts ?? [];
  return el(
    "section",
    { class: "panel", "aria-labelledby": "every" },
    el(
      "header",
      null,
      el("h2", { id: "every" }, texts.call.every),
      el("span", { class: "muted" }, explanation ? String(facts.length) : ""),
      el(
        "a",
        {
          class: "btn ghost",
          href: address(`/calls/${encodeURIComponent(id)}/explanation`),
          download: `${id}.json`,
        },
        icon("down", "i-16"),
        texts.call.json,
      ),
    ),
    el(
      "table",
      { class: "facts" },
      el(
        "thead",
        null,
        el(
          "tr",
          null,
          el("th", { scope: "col", class: "w-received" }, texts.call.columns.received),
          el("th", { scope: "col", class: "w-phone" }, texts.call.columns.phone),
          el("th", { scope: "col" }, texts.call.columns.meaning),
        ),
      ),
      el("tbody", null, facts.map(factRow)),
    ),
  );
}

/** @param {Call} of */
export function recordPanel(of) {
  const { fields } = texts.call;
  /** @param {import("./types.js").Party} party */
  const numberOf = (party) => number(party) ?? texts.party.withheld;
  const [asked, second] = cells.target(of);
  const last = of.transfer?.state === "completed" ? cells.transferTarget(of) : "";
  const reasons = /** @type {Record<string, string>} */ (texts.call.endReason);
  /** @type {[string, import("./dom.js").Child, string?][]} */
  const lines = [
    [
      of.direction === "outbound" ? fields.to : fields.from,
      el("bdi", { class: "nowrap" }, numberOf(cells.partyOf(of))),
    ],
    [
      fields.asked,
      of.direction === "outbound"
        ? null
        : el(
            "bdi",
            null,
            asked && second && asked !== of.requested.number
              ? `${asked}, ${of.requested.number ?? ""}`
              : asked,
          ),
    ],
    [
      fields.answeredBy,
      of.answered_by?.extension ? el("bdi", null, extensionText(of.answered_by.extension)) : null,
    ],
    [fields.endedWith, last ? el("bdi", null, last) : null],
    [fields.direction, texts.direction[of.direction]],
    [fields.ended, of.end_reason ? (reasons[of.end_reason] ?? of.end_reason) : null],
    [fields.site, of.site],
    [fields.id, of.id, "mono xs"],
  ];
  return el(
    "section",
    { class: "panel", "aria-labelledby": "rec" },
    el("header", null, el("h2", { id: "rec" }, texts.call.record)),
    el(
      "dl",
      { class: "kv pad" },
      lines.flatMap(([name, value, style]) =>
        value ? [el("dt", null, name), el("dd", { class: style ?? null }, value)] : [],
      ),
    ),
  );
}

/** @param {Call} of @param {Map<string, Call>} linked */
export const linksPanel = (of, linked) =>
  el(
    "section",
    { class: "panel", "aria-labelledby": "links" },
    el(
      "header",
      null,
      el("h2", { id: "links" }, texts.call.linked),
      el("span", { class: "muted" }, of.links.length ? String(of.links.length) : ""),
    ),
    of.links.length ? null : el("p", { class: "pad soft sm" }, texts.call.noLinks),
    of.links.map((link) => {
      const other = linked.get(link.call_id);
      return el(
        "div",
        { class: "linkcard" },
        cells.tag(
          link.kind === "transfer" ? "move" : link.kind === "callback" ? "out" : "repeat",
          texts.call.link[link.kind],
        ),
        " ",
        el(
          "a",
          { href: href(`/calls/${link.call_id}`) },
          other ? begun(other.started_at) : texts.call.openLink,
        ),
        other ? el("span", { class: "sub" }, outcomeLine(other)) : null,
        el(
          "span",
          { class: "xs soft" },
          link.kind === "by_hand"
            ? capital(link.reason ?? "")
            : `${link.reason ? capital(link.reason) : texts.call.linkWhy[link.kind]} ${texts.sure[link.confidence]}`,
        ),
        may("desk")
          ? el(
              "button",
              { class: "btn ghost sm", type: "button", "data-do": "unlink", "data-call": link.call_id },
              texts.call.unlink,
            )
          : null,
      );
    }),
  );

/** @param {Call} of @param {{ calls: Call[], more: boolean } | null} history */
export function historyPanel(of, history) {
  if (!history) return null;
  return el(
    "section",
    { class: "panel", "aria-labelledby": "hist" },
    el(
      "header",
      null,
      el("h2", { id: "hist" }, texts.call.history),
      el("span", { class: "muted" }, texts.call.historyOf(history.calls.length + 1, history.more)),
    ),
    history.calls.length
      ? el(
          "ul",
          { class: "hist" },
          history.calls.map((each) =>
            el(
              "li",
              { class: cells.tone(each), "data-key": each.id },
              icon(each.outcome === "missed" ? "missed" : cells.DIRECTION_ICON[each.direction]),
              el("a", { class: "cell", href: href(`/calls/${each.id}`) }, outcomeLine(each)),
              el("span", { class: "soft" }, begun(each.started_at)),
              may("desk") && !of.links.some(({ call_id }) => call_id === each.id)
                ? el(
                    "button",
                    {
                      class: "btn ghost sm",
                      type: "button",
                      "aria-label": texts.call.linkWith(begun(each.started_at)),
                      "data-do": "link",
                      "data-call": each.id,
                    },
                    texts.call.linkIt,
                  )
                : null,
            ),
          ),
        )
      : el("p", { class: "pad soft sm" }, texts.call.noHistory),
  );
}

/** @param {string} text */
const capital = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.]$/.test(text) ? "" : "."}`;

/** @param {string} instant */
export function begun(instant) {
  const days = daysAgo(instant, now());
  if (days <= 0) return time(instant);
  return `${days < 7 ? weekday(instant) : dayAndMonth(instant)}, ${shortTime(instant)}`;
}

/** @param {Call} call */
function outcomeLine(call) {
  const words = /** @type {Record<string, string>} */ (texts.outcome);
  const word = cells.isLive(call) ? texts.status[call.status] : (words[call.outcome ?? "lost"] ?? "");
  if (call.outcome !== "answered") return [word, cells.target(call)[0]].filter(Boolean).join(", ");
  return [extensionText(call.answered_by?.extension) || word, length(call.talk_seconds)]
    .filter(Boolean)
    .join(", ");
}
