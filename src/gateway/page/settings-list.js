// A section of the settings: a list that is read, shown, and read again after each change.

import { Problem, isAbort, send } from "./api.js";
import * as cells from "./cells.js";
import { draw, el, hidden, hit, icon } from "./dom.js";
import { tabs } from "./forms.js";
import { session, site } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {import("./types.js").View} View */

/**
 * @template T
 * @typedef {{
 *   section: keyof typeof texts.sections,
 *   load: (signal: AbortSignal) => Promise<T>,
 *   content: (loaded: T) => Child | Child[],
 *   head?: () => Child | Child[],
 *   act: (action: string, key: string, loaded: T) => void | Promise<void>,
 *   change?: (field: HTMLInputElement) => void,
 * }} Section
 */

/**
 * @template T
 * @param {HTMLElement} root
 * @param {(again: (news?: string) => void) => Section<T>} make
 * @returns {View}
 */
export function settingsList(root, make) {
  const abort = new AbortController();
  /** @type {T | null} */
  let loaded = null;
  let news = "";

  function render() {
    draw(
      root,
      el(
        "div",
        { class: "head" },
        el("h1", null, texts.sections[section.section]),
        section.head && loaded !== null ? el("div", { class: "head-end" }, section.head()) : null,
      ),
      tabs(section.section),
      el(
        "div",
        { role: "status", "data-key": "news" },
        news ? el("p", { class: "banner hold shown" }, icon("dot"), el("span", null, news)) : null,
      ),
      loaded === null ? el("section", { class: "panel" }, cells.greyRows(4)) : section.content(loaded),
    );
  }

  async function load() {
    try {
      loaded = await section.load(abort.signal);
      render();
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Problem)) throw error;
    }
  }

  const section = make((text = "") => {
    news = text;
    render();
    load();
  });

  /** @param {MouseEvent} event */
  const onClick = async (event) => {
    const target = hit(event, "[data-act]");
    if (!target || loaded === null) return;
    try {
      await section.act(target.dataset.act ?? "", target.dataset.of ?? "", loaded);
    } catch (error) {
      // The shell shows the reason.
      if (!(error instanceof Problem)) throw error;
    }
  };
  /** @param {Event} event */
  const onChange = (event) => {
    if (event.target instanceof HTMLInputElement) section.change?.(event.target);
  };
  root.addEventListener("click", onClick);
  root.addEventListener("change", onChange);
  render();
  load();

  return {
    title: () => texts.sections[section.section],
    event(message) {
      if (message.type === "names" || message.type === "resync") load();
    },
    stop() {
      abort.abort();
      root.removeEventListener("click", onClick);
      root.removeEventListener("change", onChange);
    },
  };
}

/** The site whose entries are changed; `default` where nothing has reported yet. */
export const place = () => site() || (session.sites.length || session.me?.sites ? "" : "default");

/**
 * Asks whether numbers shall be shown to a role that sees them masked.
 * @param {string} title
 */
export const revealPanel = (title) =>
  el(
    "p",
    { class: "banner hold shown", "data-key": "reveal" },
    icon("eye"),
    el("span", null, el("strong", null, title), ` ${texts.forms.numbersRest}`),
    el("button", { class: "btn end", type: "button", "data-act": "reveal" }, texts.forms.reveal),
  );

/** Shows numbers for a time; the audit log keeps it. */
export async function reveal() {
  await send("POST", "/me/reveal");
  if (session.me) session.me.numbers = "full";
}

/**
 * A table of the settings; a narrow screen shows each row as a card.
 * @param {string} label
 * @param {[text: string, column: string | null][]} columns
 * @param {HTMLElement[]} lines
 */
export const table = (label, columns, lines) =>
  el(
    "table",
    { class: "tbl", role: "table", "aria-label": label },
    el(
      "colgroup",
      null,
      columns.map(([, column]) => el("col", { class: column })),
    ),
    el(
      "thead",
      { role: "rowgroup" },
      el(
        "tr",
        { role: "row" },
        columns.map(([text]) =>
          text
            ? cells.head(text)
            : el("th", { role: "columnheader", scope: "col" }, hidden(texts.forms.actions)),
        ),
      ),
    ),
    el("tbody", { role: "rowgroup" }, lines),
  );

/**
 * @param {string} key
 * @param {(Child | Child[])[]} parts
 */
export const line = (key, ...parts) =>
  el(
    "tr",
    { role: "row", "data-key": key },
    parts.map((part, index) => {
      const isLast = index === parts.length - 1;
      return cells.cell(!part ? "drop" : isLast || index > 3 ? "wide" : `c${index + 1}`, part);
    }),
  );
