// Conclusions and facts of an explanation as sentences.

import { el, icon } from "./dom.js";
import { exactTime } from "./format.js";
import { nameOf } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Fact} Fact */

/** @param {string} text */
const sentence = (text) => {
  const trimmed = text.trim();
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.?!]$/.test(begun) ? begun : `${begun}.`;
};

/**
 * A conclusion in two parts: what is so, and why.
 * @param {string} text
 * @returns {string[]}
 */
export function conclusion(text) {
  const colon = text.indexOf(": ");
  const whole = sentence(text.replace(/(\d+\.\d)\d+ s\b/g, "$1 s").replace(/\b(\d+)\.0 s\b/g, "$1 s"));
  if (colon < 0) return [whole];
  const cut = whole.indexOf(": ");
  return [whole.slice(0, cut), whole.slice(cut + 2)];
}

/** @param {string} text */
function look(text) {
  if (/hand|transfer|belongs/i.test(text)) return ["move", "move"];
  if (/miss/i.test(text)) return /did not|retracted/i.test(text) ? ["hold", "bell"] : ["miss", "missed"];
  if (/answer|owner|picked/i.test(text)) return ["talk", "phone"];
  return ["idle", "bell"];
}

/** @param {string} text */
export function conclusionItem(text) {
  const [tone, glyph] = look(text);
  const [what = "", why] = conclusion(text);
  return el(
    "li",
    { class: tone ?? "idle" },
    icon(glyph ?? "bell"),
    el("span", null, why ? [el("strong", null, `${what}:`), ` ${why}`] : what),
  );
}

/** @param {Fact} fact */
export function factRow(fact) {
  const words = /** @type {Record<string, string>} */ (texts.call.event);
  const word = words[fact.event] ?? fact.event.replaceAll("_", " ");
  const remote = fact.remote && fact.event !== "incoming" && nameOf(fact.remote) ? ` ${fact.remote}` : "";
  return el(
    "tr",
    null,
    el("td", { class: "at nowrap soft" }, exactTime(fact.at)),
    el(
      "td",
      { class: "nowrap full" },
      el("span", { class: "ext" }, fact.extension ?? fact.mac ?? ""),
      word,
      remote,
    ),
    el("td", { class: "full" }, sentence(fact.meaning), el("span", { class: "rule" }, fact.rule)),
  );
}
