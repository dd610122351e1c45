// The caller beyond his number: names of contacts, and the note of the agents about him.

import { Problem, get, send } from "./api.js";
import { el, icon } from "./dom.js";
import { askFor } from "./forms.js";
import { when } from "./format.js";
import { now } from "./clock.js";
import { may } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Contact} Contact */
/** @typedef {import("./types.js").CallerNote} CallerNote */
/** @typedef {import("./types.js").Caller} Caller */

/**
 * The company of the only contact.
 * @param {Contact[]} contacts
 */
export function callerCompany(contacts) {
  const [first] = contacts;
  return contacts.length === 1 && first?.company !== first?.name ? first?.company : null;
}

/** @param {Contact[]} contacts */
export const candidates = (contacts) =>
  contacts.length > 1 ? texts.caller.oneOf(contacts.map((contact) => contact.name)) : null;

/** @param {CallerNote} note */
export const noteSource = (note) =>
  texts.caller.noted(when(note.written_at, now()), note.written_by === "-" ? "" : note.written_by);

/**
 * Asks for the note about the caller of a call, which a colleague may have written just now.
 * @param {string} callId
 * @param {string} name
 * @param {(caller: Caller) => void} done
 */
export async function askNote(callId, name, done) {
  const caller = `/calls/${encodeURIComponent(callId)}/caller`;
  /** @type {CallerNote | null} */
  let note;
  try {
    ({ note } = await get(caller));
  } catch (error) {
    // The shell shows the reason.
    if (!(error instanceof Problem)) throw error;
    return;
  }
  askFor(
    {
      title: texts.caller.noteTitle(name),
      text: texts.caller.noteText,
      fields: [{ name: "note", label: texts.caller.note, value: note?.text ?? "", long: true }],
      button: texts.forms.save,
    },
    async (values) => {
      done(await send("PUT", `${caller}/note`, { note: String(values.get("note")) }, { quiet: true }));
    },
  );
}

/**
 * The panel of a call about its caller; nothing while nothing is known and nothing can be written.
 * @param {Caller | null} caller
 * @param {boolean} hasNumber
 */
export function callerPanel(caller, hasNumber) {
  const words = texts.caller;
  if (!caller || !hasNumber) return null;
  const { contacts, note } = caller;
  return el(
    "section",
    { class: "panel", "aria-labelledby": "caller" },
    el(
      "header",
      null,
      el("h2", { id: "caller" }, words.title),
      may("desk")
        ? el(
            "button",
            { class: "btn ghost", type: "button", "data-do": "note" },
            note ? words.edit : words.add,
          )
        : null,
    ),
    contacts.length
      ? el(
          "ul",
          { class: "hist" },
          contacts.map((contact) =>
            el(
              "li",
              { class: "idle" },
              icon("user"),
              el(
                "span",
                { class: "cell wraps" },
                el("bdi", null, contact.name),
                contact.company ? el("bdi", { class: "sub wraps" }, contact.company) : null,
                contact.url ? pageLink(contact.url) : null,
              ),
            ),
          ),
        )
      : null,
    note
      ? el(
          "div",
          { class: "pad" },
          el("p", { class: "wraps" }, el("bdi", null, note.text)),
          el("p", { class: "sub" }, noteSource(note)),
        )
      : null,
    contacts.length || note ? null : el("p", { class: "pad soft sm" }, words.nothing),
    caller.url && !contacts.some((contact) => contact.url === caller.url)
      ? el("p", { class: "pad" }, pageLink(caller.url))
      : null,
  );
}

/** @param {string} url */
export const pageLink = (url) =>
  isWebAddress(url)
    ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, texts.agent.openUrl)
    : null;

/** @param {string} url */
export const isWebAddress = (url) => /^https?:\/\//.test(url);
