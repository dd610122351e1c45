// The course of a call: one line per party, to scale. Participants give the bars; facts add further
// rings, holds and consultations.

import { extension, partyName, partyOf } from "./cells.js";
import { now } from "./clock.js";
import { el } from "./dom.js";
import { length, time } from "./format.js";
import { nameOf } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Fact} Fact */
/** @typedef {import("./types.js").Participant} Participant */
/** @typedef {{ kind: "ring" | "talk" | "hold" | "move" | "miss", from: number, to: number, text: string, said: string }} Bar */
/** @typedef {{ kind: "hold" | "move", from: number, to: number }} Pause */
/** @typedef {{ extension: string | null, name: string, bars: Bar[] }} Lane */

const OVER_RING = new Set(["answered", "missed", "rejected", "hangup"]);
const LETTER_PX = 6.6;
const PADDING_PX = 18;

/** @param {string | null} instant */
const at = (instant) => (instant ? Date.parse(instant) : null);

/**
 * Spans between two kinds of facts of one phone.
 * @param {Fact[]} facts
 * @param {string | null} extension
 * @param {(fact: Fact) => boolean} begins
 * @param {(fact: Fact) => boolean} ends
 * @param {number} end
 */
function spans(facts, extension, begins, ends, end) {
  /** @type {[number, number][]} */
  const found = [];
  let from = null;
  for (const fact of facts) {
    if (fact.extension !== extension) continue;
    const instant = Date.parse(fact.at);
    if (from === null && begins(fact)) from = instant;
    else if (from !== null && ends(fact)) {
      found.push([from, instant]);
      from = null;
    }
  }
  if (from !== null && from < end) found.push([from, end]);
  return found;
}

/**
 * Spans on hold, by the phone that holds.
 * @param {Call} call
 * @param {Fact[]} facts
 * @param {number} end
 */
function holdSpans(call, facts, end) {
  return call.participants.flatMap((party) => {
    const last = Math.min(at(party.left_at) ?? end, end);
    return spans(
      facts,
      party.extension,
      (fact) => fact.event === "hold",
      (fact) => fact.event === "resume",
      last,
    )
      .map(([from, to]) => ({
        kind: /** @type {const} */ ("hold"),
        extension: party.extension,
        from,
        to: Math.min(to, last),
      }))
      .filter((span) => span.to > span.from);
  });
}

/**
 * Seconds and number of holds; null if the facts are unknown.
 * @param {Call} call
 * @param {Fact[] | null} facts
 */
export function holds(call, facts) {
  if (!facts) return null;
  const found = holdSpans(call, facts, at(call.ended_at) ?? now());
  return { count: found.length, seconds: found.reduce((sum, span) => sum + (span.to - span.from) / 1000, 0) };
}

/** @param {number} from @param {number} to */
const long = (from, to) => {
  const seconds = (to - from) / 1000;
  return seconds < 60 ? `${Math.max(0, Math.round(seconds))} s` : length(seconds);
};

/** @param {Bar["kind"]} kind @param {number} from @param {number} to @param {string} text @returns {Bar} */
const bar = (kind, from, to, text) => ({ kind, from, to, text, said: text });

/**
 * A conversation with its holds cut out.
 * @param {number} from
 * @param {number} to
 * @param {Pause[]} pauses
 */
function talk(from, to, pauses) {
  /** @type {Bar[]} */
  const bars = [];
  let begin = from;
  for (const pause of [...pauses].sort((a, b) => a.from - b.from)) {
    if (pause.from >= to || pause.to <= begin) continue;
    const first = Math.max(pause.from, begin);
    if (first > begin) bars.push(bar("talk", begin, first, texts.call.bar.talks(long(begin, first))));
    const stop = Math.min(pause.to, to);
    const said = pause.kind === "hold" ? texts.call.bar.hold : texts.call.bar.asks;
    bars.push(bar(pause.kind, first, stop, said(long(first, stop))));
    begin = stop;
  }
  if (begin < to) bars.push(bar("talk", begin, to, texts.call.bar.talks(long(begin, to))));
  return bars;
}

/**
 * @param {Call} call
 * @param {Fact[]} facts
 * @returns {Lane[]}
 */
export function course(call, facts) {
  const start = Date.parse(call.started_at);
  const end = Math.max(at(call.ended_at) ?? now(), start + 1000);
  const held = holdSpans(call, facts, end);
  const target = call.participants.find((party) => party.role === "transfer_target");
  const owner = call.participants.find((party) => party.extension === call.answered_by?.extension);
  const handed = target?.answered_at && owner ? (at(owner.left_at) ?? end) : null;

  /**
   * Holds and consultations of one phone.
   * @param {Participant} party
   * @returns {Pause[]}
   */
  const pausesOf = (party) => {
    const left = Math.min(at(party.left_at) ?? end, end);
    if (party === target) return handed === null ? [] : [{ kind: "move", from: start, to: handed }];
    const own = held.filter((span) => span.extension === party.extension);
    if (party !== owner || !target) return own;
    const consults = spans(
      facts,
      party.extension,
      (fact) => fact.rule === "consult_began",
      (fact) => fact.event === "resume",
      left,
    );
    const [begin] = consults.map(([from]) => from);
    return [
      ...own.flatMap((span) =>
        begin === undefined || span.from >= begin ? [] : [{ ...span, to: Math.min(span.to, begin) }],
      ),
      ...consults.map(([from, to]) => ({ kind: /** @type {const} */ ("move"), from, to })),
    ];
  };

  /** @type {Lane[]} */
  const lanes = [];
  const answered = at(call.answered_at);
  const ownCaller = call.participants.some((party) => party.role === "caller");
  if (!ownCaller) {
    const bars = [bar("ring", start, answered ?? end, texts.call.bar.waits(long(start, answered ?? end)))];
    if (answered !== null) bars.push(...talk(answered, end, held));
    lanes.push({ extension: null, name: texts.call.caller, bars });
  }

  for (const party of call.participants) {
    const left = Math.min(at(party.left_at) ?? end, end);
    const answer = at(party.answered_at);
    /** @type {Bar[]} */
    const bars = [];
    if (party.role === "caller") {
      const connected = answered ?? left;
      if (connected > start)
        bars.push(bar("ring", start, connected, texts.call.bar.waits(long(start, connected))));
    } else {
      bars.push(...rings(party, facts, answer ?? left, left));
    }
    if (party.outcome === "rejected") bars.push(bar("miss", left, left, texts.call.bar.refused));

    const talkFrom = party.role === "caller" ? answered : answer;
    if (talkFrom !== null && talkFrom < left) {
      bars.push(...talk(talkFrom, left, pausesOf(party)));
    }
    lanes.push({ extension: party.extension, name: nameOf(party.extension), bars });
  }

  if (call.direction === "outbound" && answered !== null) {
    lanes.push({
      extension: null,
      name: texts.call.called,
      bars: [
        bar("ring", start, answered, texts.call.bar.rang(long(start, answered))),
        ...talk(answered, end, held),
      ],
    });
  }
  return lanes;
}

/**
 * @param {Participant} party
 * @param {Fact[]} facts
 * @param {number} until
 * @param {number} left
 */
function rings(party, facts, until, left) {
  const seen = spans(
    facts,
    party.extension,
    (fact) => fact.event === "incoming",
    (fact) => OVER_RING.has(fact.event),
    left,
  );
  const first = at(party.rang_at);
  /** @type {[number, number][]} */
  const found = seen.length > 1 ? seen : first !== null ? [[first, until]] : [];
  return found.map(([from, to]) =>
    bar(
      "ring",
      from,
      to,
      party.outcome === "ringing" ? texts.call.bar.rings : texts.call.bar.rang(long(from, to)),
    ),
  );
}

/** Width of a lane, for texts that shall fit into their bar. */
function laneWidth() {
  const wide = innerWidth >= 992;
  return wide ? Math.min(innerWidth, 1440) - (innerWidth > 1200 ? 640 : 290) : innerWidth - 70;
}

/**
 * @param {Call} call
 * @param {Fact[] | null} facts
 */
export function lanes(call, facts) {
  const parties = course(call, facts ?? []);
  const start = Date.parse(call.started_at);
  const end = Math.max(at(call.ended_at) ?? now(), start + 1000);
  const width = laneWidth();
  /** @param {number} instant */
  const percent = (instant) => Math.max(0, Math.min(100, (100 * (instant - start)) / (end - start)));
  const said = parties.map((lane) =>
    texts.call.lane(
      laneTitle(lane),
      lane.bars.map((each) => each.said),
    ),
  );

  return el(
    "div",
    { class: "lanes", role: "img", "aria-label": said.join(" ") },
    axis(call, parties, start, end),
    parties.flatMap((lane) => [
      el(
        "div",
        { class: "lane-name" },
        lane.extension === null
          ? el("span", { class: "strong" }, lane.name)
          : el("span", null, extension(lane.extension)),
      ),
      el(
        "div",
        { class: "lane" },
        lane.bars.map((each) => {
          const left = percent(each.from);
          const size = percent(each.to) - left;
          if (each.kind === "miss")
            return el(
              "span",
              { class: "bar miss", "data-left": `${Math.min(left, 92).toFixed(2)}%`, title: each.text },
              each.text,
            );
          const fits = (size / 100) * width > each.text.length * LETTER_PX + PADDING_PX;
          const label = each.kind === "talk" ? each.text : el("b", null, each.text);
          return el(
            "span",
            {
              class: `bar ${each.kind}${fits ? "" : " thin"}`,
              "data-left": `${left.toFixed(2)}%`,
              "data-width": `${size.toFixed(2)}%`,
              title: each.text,
            },
            fits ? label : null,
          );
        }),
      ),
    ]),
  );
}

/** @param {Lane} lane */
const laneTitle = (lane) => `${lane.extension ?? ""} ${lane.name}`.trim();

/**
 * @param {Call} call
 * @param {Lane[]} parties
 * @param {number} start
 * @param {number} end
 */
function axis(call, parties, start, end) {
  const short = end - start < 90_000;
  /** @param {number} instant */
  const label = (instant) => (short ? `+${Math.round((instant - start) / 1000)} s` : time(instant));
  const marks = [
    ...new Set(parties.flatMap((lane) => lane.bars.flatMap((each) => [each.from, each.to]))),
  ].sort((a, b) => a - b);
  const room = innerWidth < 992 ? 24 : 13;
  /** @type {[string, number][]} */
  const shown = [[time(start), 0]];
  for (const mark of marks) {
    const place = (100 * (mark - start)) / (end - start);
    const last = shown.at(-1)?.[1] ?? 0;
    if (place > last + room && place < 100 - room) shown.push([label(mark), place]);
  }
  shown.push([call.ended_at ? (short ? label(end) : time(end)) : texts.call.stillGoing, 100]);
  return el(
    "div",
    { class: "axis" },
    shown.map(([text, place]) => el("span", { "data-left": `${place.toFixed(2)}%` }, text)),
  );
}

/** @param {Call} call */
export const headline = (call) => partyName(partyOf(call));
