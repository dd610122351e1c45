// Figures of the statistics page from hourly counts and from the calls themselves.

import { midnight, now } from "./clock.js";

/** @typedef {import("./types.js").Stat} Stat */
/** @typedef {import("./types.js").Call} Call */
/** @typedef {{ calls: number, answered: number, missed: number, talk: number }} Sum */

/** Bounds of the answer times in seconds. */
const ANSWER_BOUNDS = [0, 5, 10, 15, 20, 30, 60];
const TALK_BOUNDS = [0, 1, 2, 5, 10, 20];
const DAY_MS = 86_400_000;

/** @typedef {"today" | "yesterday" | "7d" | "30d" | "choose"} Period */

/**
 * @param {string} period
 * @param {string} from
 * @param {string} to
 * @returns {{ period: Period, since: Date, until: Date }}
 */
export function bounds(period, from, to) {
  const end = new Date(now());
  if (period === "yesterday") return { period, since: midnight(-1), until: midnight() };
  if (period === "7d") return { period, since: midnight(-6), until: end };
  if (period === "30d") return { period, since: midnight(-29), until: end };
  if (period === "choose") {
    const [since, last] = [localDay(from) ?? midnight(-6), localDay(to) ?? midnight()];
    last.setDate(last.getDate() + 1);
    return { period, since, until: last > since ? last : new Date(since.getTime() + DAY_MS) };
  }
  return { period: "today", since: midnight(), until: end };
}

/** @param {string} text A day as 2026-03-12. */
function localDay(text) {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  return match ? new Date(Number(match[1]), Number(match[2]) - 1, Number(match[3])) : null;
}

/** @param {Date} day */
export const dayText = (day) =>
  `${day.getFullYear()}-${String(day.getMonth() + 1).padStart(2, "0")}-${String(day.getDate()).padStart(2, "0")}`;

/**
 * @param {Stat[]} stats
 * @returns {Sum}
 */
export function sum(stats) {
  const total = { calls: 0, answered: 0, missed: 0, talk: 0 };
  for (const each of stats) {
    total.calls += each.calls;
    total.answered += each.answered;
    total.missed += each.direction === "outbound" ? Math.max(0, each.calls - each.answered) : each.missed;
    total.talk += each.talk_seconds;
  }
  return total;
}

/**
 * Counts by hour of the day, from the first to the last hour with a call, at least office hours.
 * @param {Stat[]} stats
 */
export function byHour(stats) {
  /** @type {Map<number, Stat[]>} */
  const groups = new Map();
  for (const each of stats) {
    const hour = new Date(each.hour).getHours();
    groups.set(hour, [...(groups.get(hour) ?? []), each]);
  }
  const used = [...groups.keys()];
  const first = Math.min(8, ...used);
  const last = Math.max(17, ...used);
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const hour = first + index;
    const { answered, missed } = sum(groups.get(hour) ?? []);
    return { hour, good: answered, bad: missed };
  });
}

/**
 * @param {number[]} values
 * @param {number[]} limits
 * @param {string} last Text of the open end.
 */
function histogramOf(values, limits, last) {
  return limits.map((low, index) => {
    const high = limits[index + 1] ?? Infinity;
    return {
      label: high === Infinity ? last : `${low}–${high}`,
      value: values.filter((value) => value >= low && value < high).length,
    };
  });
}

/**
 * The goal is a bound too.
 * @param {Call[]} calls
 * @param {number} goal
 */
export function answerTimes(calls, goal) {
  const limits = [...new Set([...ANSWER_BOUNDS, goal])].sort((a, b) => a - b);
  const waits = calls
    .filter((call) => call.answered_at !== null && call.ring_seconds !== null)
    .map((call) => call.ring_seconds ?? 0);
  const bars = histogramOf(waits, limits, `${limits.at(-1)}+`);
  return {
    bars: bars.at(-1)?.value ? bars : bars.slice(0, -1),
    count: waits.length,
    goalBar: limits.indexOf(goal),
    inGoal: waits.filter((wait) => wait < goal).length,
    median: median(waits),
  };
}

/** @param {Call[]} calls */
export function talkTimes(calls) {
  const minutes = calls
    .filter((call) => call.ended_at !== null && (call.talk_seconds ?? 0) > 0)
    .map((call) => (call.talk_seconds ?? 0) / 60);
  return {
    bars: histogramOf(minutes, TALK_BOUNDS, "20+"),
    count: minutes.length,
    median: median(minutes) * 60,
  };
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}

/**
 * Means of the days before: of the last four equal weekdays until the same full hour, or per day.
 * @param {Stat[]} stats Hourly counts of the four weeks before the period.
 * @param {Date} since
 * @param {number} untilHour
 */
export function usual(stats, since, untilHour) {
  const days = [7, 14, 21, 28].map((back) => {
    const day = new Date(since);
    day.setDate(day.getDate() - back);
    return day.toDateString();
  });
  const fitting = stats.filter((each) => {
    const hour = new Date(each.hour);
    return days.includes(hour.toDateString()) && hour.getHours() < untilHour;
  });
  const seen = new Set(fitting.map((each) => new Date(each.hour).toDateString())).size;
  if (!seen) return null;
  const total = sum(fitting);
  return {
    calls: total.calls / seen,
    missed: total.missed / seen,
    rate: total.calls ? total.answered / total.calls : 0,
    days: seen,
  };
}

/**
 * Mean calls by weekday (Monday first) and hour.
 * @param {Stat[]} stats Hourly counts of whole weeks.
 * @param {number} weeks
 */
export function week(stats, weeks) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const each of stats) {
    const hour = new Date(each.hour);
    const key = `${(hour.getDay() + 6) % 7} ${hour.getHours()}`;
    counts.set(key, (counts.get(key) ?? 0) + each.calls);
  }
  const used = stats.map((each) => new Date(each.hour).getHours());
  const first = Math.min(8, ...used);
  const last = Math.max(17, ...used);
  return {
    hours: Array.from({ length: last - first + 1 }, (_, index) => first + index),
    value: (/** @type {number} */ day, /** @type {number} */ hour) =>
      (counts.get(`${day} ${hour}`) ?? 0) / weeks,
  };
}

/**
 * Answered calls by the extension that answered, or that called.
 * @param {Call[]} calls
 */
export function byPerson(calls) {
  /** @type {Map<string, { extension: string, calls: number, talk: number, waits: number[] }>} */
  const people = new Map();
  for (const call of calls) {
    if (call.answered_at === null) continue;
    const extension =
      call.direction === "outbound"
        ? call.participants.find((party) => party.role === "caller")?.extension
        : call.answered_by?.extension;
    if (!extension) continue;
    const person = people.get(extension) ?? { extension, calls: 0, talk: 0, waits: [] };
    person.calls += 1;
    person.talk += call.talk_seconds ?? 0;
    if (call.ring_seconds !== null) person.waits.push(call.ring_seconds);
    people.set(extension, person);
  }
  return [...people.values()].sort((a, b) => b.calls - a.calls || a.extension.localeCompare(b.extension));
}

/**
 * Calls by the helpline that was asked for.
 * @param {Call[]} calls
 * @param {(number: string | null) => string | null} nameOf
 * @param {string} direct
 */
export function byLine(calls, nameOf, direct) {
  /** @type {Map<string, { name: string, calls: Call[] }>} */
  const lines = new Map();
  for (const call of calls) {
    const name = nameOf(call.requested.number) ?? direct;
    const line = lines.get(name) ?? { name, calls: [] };
    line.calls.push(call);
    lines.set(name, line);
  }
  return [...lines.values()]
    .map(({ name, calls: all }) => ({
      name,
      calls: all.length,
      answered: all.filter((call) => call.outcome === "answered").length,
      missed: all.filter((call) => call.outcome === "missed").length,
      wait: median(all.filter((call) => call.answered_at !== null).map((call) => call.ring_seconds ?? 0)),
    }))
    .sort((a, b) => Number(a.name === direct) - Number(b.name === direct) || b.calls - a.calls);
}
