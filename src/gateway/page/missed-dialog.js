// The dialog of one missed caller: assign it, mark it as done, note something.

import { named, partyName } from "./cells.js";
import { shortTime } from "./format.js";
import { el, hit, icon } from "./dom.js";
import { openDialog } from "./keys.js";
import { session } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Missed} Missed */

/**
 * @param {Missed} entry
 * @param {(change: { status: Missed["status"], assigned_to?: string | null, note?: string | null, disposition?: string | null }) => void} act
 */
export function entryDialog(entry, act) {
  const words = texts.missed.dialog;
  const me = session.me?.name ?? null;
  /** @type {Map<string, string>} */
  const people = new Map();
  if (me) people.set(me, session.me?.display_name ?? me);
  for (const person of session.people) {
    // Without accounts a name is all that there is.
    const account = person.account ?? (me ? null : person.name);
    if (account) people.set(account, person.display_name ?? account);
  }
  if (entry.assigned_to && !people.has(entry.assigned_to)) people.set(entry.assigned_to, entry.assigned_to);
  const assigned = entry.assigned_to ?? me;

  const dialog = el(
    "dialog",
    { "aria-labelledby": "entry-title" },
    el(
      "header",
      null,
      el(
        "div",
        null,
        el("h2", { id: "entry-title" }, el("bdi", null, partyName(named(entry.call_id, entry.from)))),
        el("p", { class: "sub" }, words.missedAt(shortTime(entry.missed_at))),
      ),
      el(
        "button",
        { class: "btn ghost icon", type: "button", "data-close": true, "aria-label": words.close },
        icon("x", "i-16"),
      ),
    ),
    el(
      "div",
      { class: "pad stack" },
      el(
        "div",
        null,
        el("label", { for: "entry-note" }, words.note),
        el(
          "span",
          { class: "field" },
          el("input", {
            id: "entry-note",
            maxlength: 500,
            placeholder: words.noteHint,
            value: entry.note ?? "",
          }),
        ),
      ),
      people.size
        ? el(
            "div",
            null,
            el("label", { for: "entry-person" }, words.person),
            el(
              "div",
              { class: "row" },
              el(
                "span",
                { class: "field" },
                el(
                  "select",
                  { id: "entry-person" },
                  [...people].map(([name, shown]) =>
                    el("option", { value: name, selected: name === assigned }, shown),
                  ),
                ),
              ),
              el("button", { class: "btn", type: "button", "data-act": "assigned" }, words.assign),
            ),
          )
        : null,
      el(
        "div",
        null,
        el("label", { for: "entry-result" }, words.result),
        el(
          "div",
          { class: "row" },
          el(
            "span",
            { class: "field" },
            el(
              "select",
              { id: "entry-result" },
              Object.entries(texts.missed.disposition).map(([value, text]) =>
                el("option", { value, selected: value === entry.disposition }, text),
              ),
            ),
          ),
          el("button", { class: "btn primary", type: "button", "data-act": "done" }, words.done),
        ),
      ),
      entry.status === "open"
        ? null
        : el(
            "p",
            null,
            el("button", { class: "btn ghost", type: "button", "data-act": "open" }, words.reopen),
          ),
    ),
  );

  /** @param {string} id */
  const value = (id) => {
    const field = dialog.querySelector(`#${id}`);
    return field instanceof HTMLInputElement || field instanceof HTMLSelectElement ? field.value : "";
  };

  const noteBefore = value("entry-note");

  dialog.addEventListener("click", (event) => {
    const action = hit(event, "[data-act]")?.dataset.act;
    if (!action) return;
    // A note that was not changed may be shown with masked numbers. An empty one is removed.
    const written = value("entry-note");
    const note = written === noteBefore ? {} : { note: written.trim() };
    dialog.close();
    if (action === "assigned") act({ status: "assigned", assigned_to: value("entry-person"), ...note });
    else if (action === "done") act({ status: "done", disposition: value("entry-result"), ...note });
    else act({ status: "open", assigned_to: null, disposition: null, ...note });
  });
  openDialog(dialog);
}
