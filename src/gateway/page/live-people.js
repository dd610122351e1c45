// People beside the live calls, sorted by extension within their helpline.

import { greyRows, timer, transferNumber } from "./cells.js";
import { now } from "./clock.js";
import { el, icon } from "./dom.js";
import { runningLength, shortTime } from "./format.js";
import { helpline, namesRead, session } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Person} Person */
/** @typedef {import("./types.js").Call} Call */

/** @type {Record<string, [tone: string, glyph: string]>} */
const LOOK = {
  available: ["talk", "check"],
  ringing: ["ring pulse", "ringdot"],
  talking: ["talk", "phone"],
  holding: ["hold", "pause"],
  transferring: ["move", "move"],
  asked: ["move", "phone"],
  dnd: ["idle", "dnd"],
  paused: ["idle", "pause"],
  offline: ["idle", "gone"],
};

/** @returns {{ line: string, name: string, people: Person[] }[]} */
export function groups() {
  /** @type {Map<string, Person[]>} */
  const found = new Map(session.helplines.map((line) => [line.number, []]));
  /** @type {Person[]} */
  const others = [];
  for (const person of session.people) {
    const line = person.helplines.find((number) => found.has(number));
    if (line === undefined) others.push(person);
    else found.get(line)?.push(person);
  }
  const all = [...found].map(([line, people]) => ({ line, name: helpline(line)?.name ?? line, people }));
  all.push({ line: "", name: texts.live.others, people: others });
  for (const group of all)
    group.people.sort((a, b) =>
      (a.extension ?? "").localeCompare(b.extension ?? "", "en", { numeric: true }),
    );
  return all.filter((group) => group.people.length);
}

/** @param {Call[]} calls */
export function peoplePanel(calls) {
  const { people } = session;
  if (!namesRead) return el("aside", { class: "panel people", "data-key": "people" }, greyRows(8));
  if (!people.length) return null;
  const moving = calls.filter((call) => call.status === "transferring");

  /** @param {Person} person */
  const state = (person) => {
    if (moving.some((call) => call.answered_by?.extension === person.extension)) return "transferring";
    if (person.state === "talking" && moving.some((call) => transferNumber(call) === person.extension))
      return "asked";
    return person.state;
  };

  return el(
    "aside",
    { class: "panel people", "aria-labelledby": "people", "data-key": "people" },
    el(
      "header",
      null,
      el("h2", { id: "people" }, texts.live.people),
      el("span", { class: "muted sm" }, String(people.length)),
    ),
    groups().flatMap((group) => [
      el(
        "h3",
        { "data-key": `head ${group.line}` },
        el("span", null, el("bdi", null, group.name)),
        el(
          "span",
          null,
          texts.live.availableOf(
            group.people.filter((person) => person.state === "available").length,
            group.people.length,
          ),
        ),
      ),
      el(
        "ul",
        { "data-key": `list ${group.line}` },
        group.people.map((person) => item(person, state(person))),
      ),
    ]),
  );
}

/**
 * @param {Person} person
 * @param {string} state
 */
function item(person, state) {
  const [tone, glyph] = LOOK[state] ?? ["idle", "q"];
  const name = person.display_name ?? person.name;
  const words = /** @type {Record<string, any>} */ (texts.live.person);
  const since = person.since ? Date.parse(person.since) : null;
  const runs = since !== null && !["available", "dnd", "paused", "offline"].includes(state);
  const word =
    state === "paused" && person.reason
      ? texts.live.person.pausedFor(person.reason)
      : state === "offline" && person.since
        ? texts.live.person.lastSeen(shortTime(person.since))
        : words[state];
  return el(
    "li",
    { class: tone, "data-key": person.name },
    icon(glyph),
    el("span", { class: "ext" }, person.extension ?? ""),
    el("bdi", { class: "name", title: name }, name),
    el(
      "span",
      { class: "state" },
      word,
      runs ? " " : null,
      runs ? timer(since, runningLength(now() - since)) : null,
    ),
  );
}
