// Parts that several pages share: status pills, parties, timers, empty states, grey bars.

import { el, hidden, icon } from "./dom.js";
import { contactName } from "./contact-names.js";
import { dayAndMonth, daysAgo, number, shortTime, weekday } from "./format.js";
import { now } from "./clock.js";
import { extensionText, helpline, nameOf, session } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Party} Party */
/** @typedef {import("./dom.js").Child} Child */

/** @type {Record<string, [tone: string, glyph: string]>} */
const LIVE = {
  initiated: ["ring", "bell"],
  ringing: ["ring", "bell"],
  answered: ["talk", "phone"],
  on_hold: ["hold", "pause"],
  transferring: ["move", "move"],
};

/** @type {Record<string, [tone: string, glyph: string]>} */
const OUTCOME = {
  answered: ["talk", "check"],
  missed: ["miss", "missed"],
  no_answer: ["idle", "x"],
  lost: ["idle", "q"],
  failed: ["idle", "q"],
  rejected: ["idle", "x"],
  busy: ["idle", "x"],
  voicemail: ["idle", "move"],
  blocked: ["idle", "x"],
  abandoned: ["idle", "x"],
  forwarded: ["idle", "move"],
};

/** @type {Record<Call["direction"], string>} */
export const DIRECTION_ICON = { inbound: "in", outbound: "out", internal: "int" };

/** @param {Call} call */
export const isLive = (call) => call.ended_at === null && call.status in LIVE;

/** @param {Call} call */
export const isRinging = (call) => call.status === "ringing" || call.status === "initiated";

/** @param {Call} call */
export const tone = (call) =>
  isLive(call) ? (LIVE[call.status]?.[0] ?? "idle") : (OUTCOME[call.outcome ?? "lost"]?.[0] ?? "idle");

/** @param {Call} call */
export const outcomeIcon = (call) => OUTCOME[call.outcome ?? "lost"]?.[1] ?? "q";

/**
 * The state of a call: a pill while it goes on, plain coloured text when it is over.
 * @param {Call} call
 */
export function status(call) {
  if (isLive(call)) {
    const [kind, glyph] = LIVE[call.status] ?? ["idle", "q"];
    return el(
      "span",
      { class: `st ${kind}${kind === "ring" ? " pulse" : ""}` },
      icon(glyph),
      texts.status[call.status],
    );
  }
  const outcome = call.outcome ?? (call.status === "failed" ? "failed" : "lost");
  const [kind, glyph] = OUTCOME[outcome] ?? ["idle", "q"];
  const words = /** @type {Record<string, string>} */ (texts.outcome);
  return el("span", { class: `plain ${kind}` }, icon(glyph), words[outcome] ?? outcome);
}

/**
 * The party that a row is about: the caller, or the called party of an outgoing call.
 * @param {Call} call
 * @returns {Party}
 */
export function partyOf(call) {
  const party =
    call.direction === "outbound" ? (call.to.number || call.to.name ? call.to : call.requested) : call.from;
  return call.direction === "internal" ? party : named(call.id, party);
}

/**
 * A party with the name of its contact.
 * @param {string} call
 * @param {Party} party
 */
export function named(call, party) {
  const name = party.number || party.e164 ? contactName(call) : null;
  return name ? { ...party, name } : party;
}

/**
 * The shown name of a party, without markup.
 * @param {Party} party
 */
export const partyName = (party) =>
  party.name || nameOf(party.number) || number(party) || texts.party.withheld;

/**
 * Name or number of a party, isolated from the direction of the surrounding text.
 * @param {Party} party
 */
export const who = (party) => el("bdi", { title: partyName(party) }, partyName(party));

/**
 * The second line of a party: its number, or why there is none.
 * @param {Party} party
 */
export function whoSub(party) {
  if (!number(party)) return el("span", { class: "muted" }, texts.party.noCallerId);
  if (!party.name && !nameOf(party.number)) return el("span", { class: "muted" }, texts.party.noName);
  return el("bdi", { class: "nowrap" }, number(party));
}

/**
 * The helpline whose members ring together for a call.
 * @param {Call} call
 */
function helplineOf(call) {
  const called = call.participants
    .filter((each) => each.role === "callee" && each.extension !== null)
    .map((each) => each.extension ?? "");
  if (call.direction !== "inbound" || new Set(called).size < 2) return undefined;
  return session.helplines
    .filter((line) => called.every((extension) => line.members.includes(extension)))
    .sort((a, b) => a.members.length - b.members.length)[0];
}

/**
 * Two lines for what a call was made to: a helpline, a person, or the outside.
 * @param {Call} call
 * @returns {[string, string]}
 */
export function target(call) {
  const asked = call.requested.number ?? call.to.number;
  if (call.direction === "outbound") return [texts.party.outside, texts.party.outgoing];
  const line = helpline(asked) ?? helplineOf(call);
  if (line) return [line.name ?? line.number, texts.party.helpline(line.number)];
  if (!asked) return [call.requested.name ?? "", ""];
  const name = nameOf(asked) || call.requested.name;
  if (!name) return [asked, ""];
  const second = call.direction === "internal" ? texts.party.internal(asked) : texts.party.direct(asked);
  return [name, second];
}

/**
 * @param {string | null | undefined} extension
 * @returns {Child[]}
 */
export const extension = (extension) => [
  el("span", { class: "ext" }, extension ?? ""),
  nameOf(extension) ? el("bdi", null, nameOf(extension)) : null,
];

/** @param {Call} call */
export function transferTarget(call) {
  const to = call.transfer?.to;
  if (!to) return "";
  const known = typeof to === "string" ? to : to.number;
  return known ? extensionText(known) : "";
}

/** @param {Call} call */
export function transferNumber(call) {
  const to = call.transfer?.to;
  return !to ? "" : typeof to === "string" ? to : (to.number ?? "");
}

/**
 * A running timer; the clock writes its text.
 * @param {number} since
 * @param {string} text
 * @param {string} [style]
 */
export const timer = (since, text, style = "") =>
  el("span", { class: `timer ${style}`.trim(), "data-since": since }, text);

/**
 * @param {string} glyph
 * @param {string} text
 */
export const tag = (glyph, text) => el("span", { class: "tag" }, icon(glyph), el("bdi", null, text));

/**
 * An empty list: what it means, and what happens next.
 * @param {string} glyph
 * @param {string} title
 * @param {...Child} rest
 */
export const empty = (glyph, title, ...rest) =>
  el("div", { class: "empty shown" }, icon(glyph), el("strong", null, title), ...rest);

/**
 * Grey bars of the size of rows that are still being read.
 * @param {number} count
 */
export const greyRows = (count) =>
  el(
    "div",
    { class: "grey", role: "status" },
    hidden(texts.state.loading),
    Array.from({ length: count }, () =>
      el(
        "div",
        { class: "grey-row", "aria-hidden": "true" },
        el("span", { class: "skel" }),
        el("span", { class: "skel" }),
        el("span", { class: "skel" }),
      ),
    ),
  );

/**
 * A labelled figure of the summary strip.
 * @param {string} kind
 * @param {string | null} glyph
 * @param {Child} label
 * @param {Child | Child[]} figure
 * @param {Child | Child[]} context
 */
export const figure = (kind, glyph, label, figure, context) =>
  el(
    "div",
    { class: kind || null },
    el("dt", null, glyph ? icon(glyph) : null, label),
    el("dd", null, figure),
    el("dd", null, context),
  );

/**
 * A column head of a table whose roles are written out.
 * @param {string} text
 * @param {string} [style]
 * @param {Record<string, string | number>} [more]
 */
export const head = (text, style = "", more = {}) =>
  el("th", { role: "columnheader", scope: "col", class: style || null, ...more }, text);

/**
 * @param {string} style
 * @param {...(Child | Child[])} children
 */
export const cell = (style, ...children) => el("td", { role: "cell", class: style || null }, ...children);

/**
 * A choice within a labelled field.
 * @param {string} name
 * @param {string} label
 * @param {Record<string, string>} options
 * @param {string} chosen
 * @param {string} [style]
 */
export const select = (name, label, options, chosen, style = "") =>
  el(
    "label",
    { class: `field ${style}`.trim() },
    el("span", null, label),
    el(
      "select",
      { name },
      Object.entries(options).map(([value, text]) =>
        el("option", { value, selected: value === chosen }, text),
      ),
    ),
  );

/**
 * A row of buttons of which one is chosen.
 * @param {string} name
 * @param {string} label
 * @param {Record<string, string>} options
 * @param {string} chosen
 */
export const segments = (name, label, options, chosen) =>
  el(
    "div",
    { class: "seg", role: "group", "aria-label": label, "data-seg": name },
    Object.entries(options).map(([value, text]) =>
      el("button", { type: "button", value, "aria-pressed": String(value === chosen) }, text),
    ),
  );

/**
 * Day and time of an instant before today.
 * @param {string} instant
 */
export const dayTime = (instant) =>
  `${daysAgo(instant, now()) < 7 ? weekday(instant) : dayAndMonth(instant)}, ${shortTime(instant)}`;
