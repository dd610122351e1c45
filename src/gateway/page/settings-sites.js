// Settings: goals and opening hours of sites.

import { Problem, get, send } from "./api.js";
import { el, icon } from "./dom.js";
import { askFor, rowButton } from "./forms.js";
import { readRules } from "./session.js";
import { line, settingsList, table } from "./settings-list.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").SiteInForce} SiteInForce */
/** @typedef {import("./types.js").Opening} Opening */
/** @typedef {{ sites: SiteInForce[], default: import("./types.js").Goals }} Loaded */

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** @param {string} day */
const dayName = (day) => texts.sites.days[DAYS.indexOf(day)] ?? day;

/**
 * Days as people write them: runs of three and more days as a range.
 * @param {string[]} days
 */
function daysText(days) {
  const indexes = days.map((day) => DAYS.indexOf(day)).sort((a, b) => a - b);
  /** @type {number[][]} */
  const runs = [];
  for (const index of indexes) {
    const run = runs.at(-1);
    if (run && (run.at(-1) ?? 0) + 1 === index) run.push(index);
    else runs.push([index]);
  }
  return runs
    .map((run) => run.map((index) => dayName(DAYS[index] ?? "")))
    .map((names) => (names.length > 2 ? `${names[0]}-${names.at(-1)}` : names.join(", ")))
    .join(", ");
}

/** @param {Opening} opening */
const openingText = (opening) => `${daysText(opening.days)} ${opening.from}-${opening.to}`;

/**
 * The day that a person means: the beginning of its name.
 * @param {string} text
 */
function dayIndex(text) {
  const name = text.trim().toLowerCase();
  const found = DAYS.findIndex(
    (day, index) => name.startsWith(day) || name === (texts.sites.days[index] ?? day).toLowerCase(),
  );
  if (found < 0) throw new Problem(400, "bad_hours", texts.sites.wrongDay(text.trim()));
  return found;
}

/**
 * Lines such as `Mon-Fri 08:00-12:00, 13:00-18:00`.
 * @param {string} text
 * @returns {Opening[]}
 */
export function openingsIn(text) {
  return text
    .split("\n")
    .map((each) => each.trim())
    .filter(Boolean)
    .flatMap((each) => {
      const begin = each.search(/\d/);
      const times = begin < 0 ? [] : each.slice(begin).split(",");
      const days = each
        .slice(0, Math.max(begin, 0))
        .split(",")
        .filter((part) => part.trim())
        .flatMap((part) => {
          const [first = "", last] = part.split(/[-–]/);
          const from = dayIndex(first);
          const to = last === undefined ? from : dayIndex(last);
          // From Saturday to Monday goes over Sunday.
          const count = (to - from + 7) % 7;
          return Array.from({ length: count + 1 }, (_, step) => DAYS[(from + step) % 7] ?? "");
        });
      return times.map((time) => {
        const found = /^(\d{1,2}):(\d\d)\s*[-–]\s*(\d{1,2}):(\d\d)$/.exec(time.trim());
        if (!found || !days.length) throw new Problem(400, "bad_hours", texts.sites.wrongLine(each));
        const [, fromHour = "", fromMinute = "", toHour = "", toMinute = ""] = found;
        return {
          days: [...new Set(days)],
          from: `${fromHour.padStart(2, "0")}:${fromMinute}`,
          to: `${toHour.padStart(2, "0")}:${toMinute}`,
        };
      });
    });
}

/** @param {HTMLElement} root */
export const sitesPage = (root) =>
  settingsList(root, (reload) => {
    const words = texts.sites;

    const again = () => {
      readRules();
      reload();
    };

    /** @param {SiteInForce} site @param {Loaded["default"]} usual */
    const edit = ({ site, rules }, usual) =>
      askFor(
        {
          title: words.editTitle(site),
          button: texts.forms.save,
          fields: [
            {
              name: "answer",
              label: words.answer,
              hint: words.usual(usual.answer_goal_seconds),
              value: String(rules.answer_goal_seconds ?? ""),
            },
            {
              name: "desk",
              label: words.desk,
              hint: words.usual(usual.desk_goal_minutes),
              value: String(rules.desk_goal_minutes ?? ""),
            },
            {
              name: "escalation",
              label: words.escalation,
              hint: words.usual(usual.desk_escalation_minutes),
              value: String(rules.desk_escalation_minutes ?? ""),
            },
            {
              name: "hours",
              label: words.hours,
              hint: words.hoursHint,
              value: rules.hours.map(openingText).join("\n"),
              long: true,
            },
            {
              name: "zone",
              label: words.zone,
              hint: words.zoneHint,
              value: rules.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
            },
          ],
        },
        async (values) => {
          /** @param {string} name */
          const written = (name) => String(values.get(name) ?? "").trim();
          /** @param {string} name */
          const goal = (name) => {
            const value = written(name);
            if (value && !/^\d{1,5}$/.test(value))
              throw new Problem(400, "bad_goal", words.wrongNumber(value));
            return value ? Number(value) : null;
          };
          const hours = openingsIn(written("hours"));
          await send(
            "PUT",
            `/site-rules/${encodeURIComponent(site)}`,
            {
              answer_goal_seconds: goal("answer"),
              desk_goal_minutes: goal("desk"),
              desk_escalation_minutes: goal("escalation"),
              time_zone: hours.length ? written("zone") || null : null,
              hours,
            },
            { quiet: true },
          );
          again();
        },
      );

    /** @param {SiteInForce} site */
    const hoursCell = ({ rules, is_open }) =>
      rules.hours.length
        ? [
            el(
              "span",
              { class: `plain ${is_open ? "talk" : "idle"}` },
              icon(is_open ? "check" : "clock"),
              is_open ? words.open : words.closed,
            ),
            el("span", { class: "sub wraps" }, `${rules.hours.map(openingText).join("; ")}`),
            el("span", { class: "sub wraps" }, rules.time_zone ?? ""),
          ]
        : el("span", { class: "cell soft" }, words.always);

    return {
      section: "sites",
      load: async (signal) => /** @type {Loaded} */ (await get("/site-rules", {}, { signal })),
      content: ({ sites }) => [
        el("p", { class: "soft space" }, words.text),
        el(
          "section",
          { class: "panel" },
          table(
            texts.sections.sites,
            [
              [words.site, null],
              [words.goals, null],
              [words.hours, null],
              ["", "w-site-actions"],
            ],
            sites.map((each) =>
              line(
                each.site,
                el("bdi", { class: "cell strong" }, each.site),
                [
                  el("span", { class: "cell" }, words.answerIn(each.in_force.answer_goal_seconds)),
                  el("span", { class: "sub wraps" }, words.backIn(each.in_force.desk_goal_minutes)),
                  el(
                    "span",
                    { class: "sub wraps" },
                    words.escalatedIn(each.in_force.desk_escalation_minutes),
                  ),
                ],
                hoursCell(each),
                el("span", { class: "actions" }, rowButton("edit", each.site, texts.forms.edit, each.site)),
              ),
            ),
          ),
        ),
      ],
      act(action, key, { sites, default: usual }) {
        const site = sites.find((each) => each.site === key);
        if (action === "edit" && site) edit(site, usual);
      },
    };
  });
