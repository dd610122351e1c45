// One card of the agent's window. A card is patched in place when its kind changes.

import { callerCompany, candidates, noteSource, pageLink } from "./caller.js";
import * as cells from "./cells.js";
import { now } from "./clock.js";
import { el, icon } from "./dom.js";
import { connection } from "./feed.js";
import { number, runningLength, shortTime, when } from "./format.js";
import { extensionText, helpline, may, shortExtension } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Popup} Popup */
/** @typedef {import("./agent.js").Local} Local */
/** @typedef {import("./dom.js").Child} Child */

const FACTS = 4;

/** @param {Popup} popup */
export const cardCaller = (popup) => popup.caller_name ?? cells.partyName(popup.caller);

/** @param {Popup} popup */
const lineName = (popup) =>
  popup.for.name ?? helpline(popup.for.number ?? "")?.name ?? popup.for.number ?? "";

/**
 * @param {Popup} popup
 * @param {Local} state
 * @param {boolean} second A card below another one.
 */
export function card(popup, state, second) {
  if (state.lost !== null) return taken(popup, state, state.lost, false);
  if (popup.kind === "taken" || (popup.claimed_by && !popup.mine && popup.kind !== "talk"))
    return taken(popup, state, popup.claimed_by?.display_name ?? popup.claimed_by?.name ?? "", true);
  if (popup.kind === "withdrawn") return withdrawn(popup, state);
  if (popup.kind === "gone") return taken(popup, state, "", false);
  if (popup.kind === "missed") return missed(popup);
  return ringing(popup, state, second);
}

/** @param {Popup} popup @param {string} tone @param {string} label @param {...(Child | Child[])} children */
const article = (popup, tone, label, ...children) =>
  el("article", { class: `pop ${tone}`, "aria-label": label, "data-key": popup.id }, ...children);

/** @param {Popup} popup @param {string} [style] */
const caller = (popup, style = "") => [
  el("div", { class: `big ${style}`.trim() }, el("bdi", null, cardCaller(popup))),
  callerCompany(popup.contacts) ? el("div", null, el("bdi", null, callerCompany(popup.contacts))) : null,
  popup.caller.number === null && !popup.caller.e164
    ? el("div", { class: "sm soft" }, texts.agent.noHistory)
    : popup.caller.name || popup.contacts.length
      ? el("div", { class: "num" }, el("bdi", { class: "nowrap" }, number(popup.caller)))
      : null,
];

/** @param {Popup} popup @param {Local} state @param {boolean} second */
function ringing(popup, state, second) {
  const talk = popup.kind === "talk";
  const handover = popup.kind === "handover";
  const cut = !connection.live && !talk;
  const tone = cut ? "idle" : talk || popup.mine ? "talk" : handover ? "move" : "ring";
  const since = Date.parse(popup.since);
  const label = talk
    ? texts.agent.article.talk
    : handover
      ? texts.agent.article.handover
      : texts.agent.article.ring;
  const small = second && popup.kind === "ring";

  return article(
    popup,
    `${tone}${talk || cut ? "" : " hot"}`,
    label(cardCaller(popup)),
    el(
      "div",
      { class: "pop-top" },
      headline(popup, cut, second),
      cut ? null : cells.timer(since, runningLength(now() - since)),
    ),
    el("div", { class: "pop-who" }, caller(popup, small ? "small" : "")),
    cut ? null : facts(popup),
    cut ? null : links(popup),
    talk ? null : buttons(popup, state, cut, second),
    state.error
      ? el(
          "p",
          { class: "pop-note error-text shown", role: "alert" },
          icon("warn"),
          el("span", null, state.error),
        )
      : null,
    talk ? null : el("p", { class: "pop-note" }, note(popup, cut)),
  );
}

/** The page of the caller, and the note about him. @param {Popup} popup */
function links(popup) {
  const page = popup.url ? pageLink(popup.url) : null;
  const writes = may("desk") && (popup.caller.number !== null || popup.caller.e164 !== null);
  if (!page && !writes) return null;
  return el(
    "p",
    { class: "pop-note row wrap" },
    page,
    writes
      ? el(
          "button",
          { class: "btn ghost", type: "button", "data-do": "note", "data-id": popup.id },
          popup.note ? texts.caller.edit : texts.caller.add,
        )
      : null,
  );
}

/** @param {Popup} popup @param {boolean} cut */
function note(popup, cut) {
  if (cut) return texts.agent.offlineNote;
  if (popup.at_phone === false) return texts.agent.elsewhereNote;
  return popup.mine ? texts.agent.yoursNote : texts.agent.takeNote;
}

/** @param {Popup} popup @param {boolean} cut @param {boolean} second */
function headline(popup, cut, second) {
  if (cut) return el("span", { class: "plain idle" }, icon("q"), texts.agent.unknown);
  if (popup.kind === "talk" || popup.mine)
    return el(
      "span",
      { class: "plain talk" },
      icon("phone"),
      popup.kind === "talk" ? texts.agent.talking : texts.agent.taken,
    );
  if (popup.kind === "handover") {
    const by = popup.handed_over_by;
    const name = by
      ? by.name
        ? `${by.extension ?? ""} ${by.name}`.trim()
        : extensionText(by.extension)
      : "";
    return el(
      "span",
      { class: "plain move" },
      icon("move"),
      el("span", null, texts.agent.handedOver, el("b", null, el("bdi", null, name))),
    );
  }
  const helplineCall = popup.for.kind === "helpline";
  const text = second
    ? texts.agent.second(lineName(popup))
    : helplineCall
      ? texts.agent.ringingFor(lineName(popup))
      : texts.agent.ringingYou;
  return el("span", { class: "plain ring pulse" }, icon("bell"), el("bdi", null, text));
}

/** @param {import("./types.js").Earlier} call */
const earlierText = (call) =>
  texts.agent.earlier(when(call.started_at, now()), call.outcome === "missed", call.extension);

/** The note, who it may be, trouble, then history, then who else rings; at most four lines. @param {Popup} popup */
function facts(popup) {
  const trouble = popup.history.filter((call) => call.outcome === "missed").map(earlierText);
  const rest = popup.history.filter((call) => call.outcome !== "missed").map(earlierText);
  const shows = popup.kind === "handover" && popup.handed_over_by?.extension;
  const [before, after] = texts.agent.phoneShows;
  const several = candidates(popup.contacts);
  const items = [
    popup.note
      ? el(
          "li",
          null,
          icon("list"),
          el("span", { title: noteSource(popup.note) }, el("bdi", null, popup.note.text)),
        )
      : null,
    several ? el("li", null, icon("user"), el("span", null, el("bdi", null, several))) : null,
    shows
      ? el(
          "li",
          null,
          icon("phone"),
          el("span", null, before, el("b", null, popup.handed_over_by?.extension ?? ""), after),
        )
      : null,
    ...trouble.map((text) =>
      el("li", { class: "miss" }, icon("warn"), el("span", null, el("bdi", null, text))),
    ),
    ...rest.slice(0, 1).map((text) => el("li", null, icon("user"), el("span", null, el("bdi", null, text)))),
    popup.also_ringing.length
      ? el(
          "li",
          null,
          icon("bell"),
          el("span", null, texts.agent.alsoRings(popup.also_ringing.map(shortExtension))),
        )
      : null,
    ...rest.slice(1).map((text) => el("li", null, icon("clock"), el("span", null, el("bdi", null, text)))),
  ].filter((item) => item !== null);
  return items.length ? el("ul", { class: "pop-facts" }, items.slice(0, FACTS)) : null;
}

/** @param {Popup} popup @param {Local} state @param {boolean} cut @param {boolean} second */
function buttons(popup, state, cut, second) {
  const size = second ? "" : " big";
  if (popup.mine)
    return el(
      "div",
      { class: "pop-act" },
      el(
        "button",
        { class: `btn${size}`, type: "button", "data-do": "release", "data-id": popup.id, disabled: cut },
        texts.agent.release,
      ),
    );
  return el(
    "div",
    { class: "pop-act" },
    el(
      "button",
      {
        class: `btn${second || cut ? "" : " primary"}${size} take`,
        type: "button",
        "data-do": "claim",
        "data-id": popup.id,
        disabled: cut,
        "aria-disabled": state.taking ? "true" : null,
      },
      state.taking ? texts.agent.taking : texts.agent.take,
      second || cut || state.taking ? null : el("kbd", { class: "on-primary", "aria-hidden": "true" }, "T"),
    ),
    el(
      "button",
      { class: `btn${size} not-me`, type: "button", "data-do": "dismiss", "data-id": popup.id },
      cut ? texts.agent.close : texts.agent.notMe,
    ),
  );
}

/** @param {Popup} popup */
function missed(popup) {
  const text = popup.for.kind === "helpline" ? texts.agent.missedFor(lineName(popup)) : texts.agent.missedYou;
  return article(
    popup,
    "miss",
    texts.agent.article.missed(cardCaller(popup)),
    el(
      "div",
      { class: "pop-top" },
      el("span", { class: "plain miss" }, icon("missed"), el("bdi", null, text)),
      el("span", { class: "soft sm" }, shortTime(popup.since)),
    ),
    el(
      "div",
      { class: "pop-who" },
      caller(popup, "middle"),
      popup.history.map((call) => el("div", { class: "sm soft" }, el("bdi", null, earlierText(call)))),
    ),
    el(
      "div",
      { class: "pop-act" },
      popup.caller.e164
        ? el(
            "a",
            { class: "btn primary grow", href: `tel:${popup.caller.e164}`, "data-call": true },
            icon("phone"),
            texts.agent.callBack,
          )
        : null,
      el(
        "button",
        { class: "btn", type: "button", "data-do": "dismiss", "data-id": popup.id },
        texts.agent.leave,
      ),
    ),
  );
}

/** @param {Local} state */
const closes = (state) => {
  const seconds = state.closesAt === null ? 0 : Math.ceil((state.closesAt - now()) / 1000);
  return el("span", { class: "soft xs nowrap" }, seconds > 0 ? texts.agent.closesIn(seconds) : "");
};

/** @param {Popup} popup @param {Local} state */
const withdrawn = (popup, state) =>
  article(
    popup,
    "idle",
    texts.agent.article.withdrawn,
    el(
      "div",
      { class: "pop-top" },
      el("span", { class: "plain talk" }, icon("check"), texts.agent.withdrawn),
      closes(state),
    ),
    el(
      "div",
      { class: "pop-who" },
      el("div", { class: "big small gone" }, el("bdi", null, cardCaller(popup))),
      popup.history.map((call) => el("div", { class: "sm soft" }, el("bdi", null, earlierText(call)))),
    ),
  );

/**
 * A call that a colleague took, or that is over.
 * @param {Popup} popup
 * @param {Local} state
 * @param {string} text
 * @param {boolean} isName
 */
function taken(popup, state, text, isName) {
  const gone = popup.kind === "gone" && !text;
  /** @type {Child[]} */
  const said = gone
    ? [texts.agent.gone, ": "]
    : isName
      ? [el("b", null, el("bdi", null, text)), texts.agent.took]
      : [el("bdi", null, text), ": "];
  return article(
    popup,
    "idle",
    gone ? texts.agent.article.gone : texts.agent.article.taken,
    el(
      "div",
      { class: "pop-top slim" },
      el(
        "span",
        { class: "row sm" },
        icon(gone ? "x" : "check"),
        el("span", null, said, el("span", { class: "gone" }, el("bdi", null, cardCaller(popup)))),
      ),
      closes(state),
    ),
  );
}
