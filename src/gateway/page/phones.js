// Phones: which one is silent, and the extensions that reported.

import { Problem, get, isAbort } from "./api.js";
import * as cells from "./cells.js";
import { now } from "./clock.js";
import { draw, el, hidden, icon, rows } from "./dom.js";
import { ago, dayAndMonth } from "./format.js";
import { href, parameter, setQuery } from "./router.js";
import { directory, nameOf, namesRead, session, siteQuery } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Device} Device */
/** @typedef {import("./types.js").View} View */

const SILENT_MS = 86_400_000;
const REFRESH_SECONDS = 60;
const TYPING_MS = 200;

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function phonesPage(root) {
  const abort = new AbortController();
  const { signal } = abort;
  /** @type {Device[]} */
  let devices = [];
  let loaded = false;
  let seconds = 0;
  const body = el("tbody", { role: "rowgroup", "data-keep": true });

  async function load() {
    try {
      // The first reading reports what is wrong; the directories of all sites follow quietly.
      await get("/devices", siteQuery(), { signal });
      devices = await directory("/devices", "devices");
      loaded = true;
      render();
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Problem)) throw error;
    }
  }

  /** @param {Device} device */
  const isSilent = (device) => !device.last_seen || now() - Date.parse(device.last_seen) > SILENT_MS;
  function shown() {
    const text = parameter("text").toLowerCase();
    const wanted = plain(text);
    return devices
      .filter((device) => parameter("tab") !== "attention" || isSilent(device))
      .filter((device) => {
        const { extension, model, firmware } = device;
        const shown = [extension, nameOf(extension), model, firmware].join(" ");
        return (
          !text || shown.toLowerCase().includes(text) || (wanted !== "" && plain(device.mac).includes(wanted))
        );
      })
      .sort(
        (a, b) =>
          Number(isSilent(b)) - Number(isSilent(a)) ||
          Number(!a.extension) - Number(!b.extension) ||
          (a.extension ?? "").localeCompare(b.extension ?? "", "en", { numeric: true }) ||
          a.mac.localeCompare(b.mac),
      );
  }

  function render() {
    const list = shown();
    const silent = devices.filter(isSilent).length;
    const tab = parameter("tab") === "attention" ? "attention" : "all";
    rows(
      body,
      list,
      (device) => device.mac,
      row,
      (device) => `${namesRead} ${JSON.stringify(device)} ${ago(device.last_seen ?? "", now())}`,
    );
    draw(
      root,
      el(
        "div",
        { class: "head" },
        el("h1", null, texts.phones.title),
        loaded ? el("p", null, texts.phones.summary(devices.length, devices.length - silent)) : null,
      ),
      el(
        "nav",
        { class: "tabs", "aria-label": texts.phones.tabs },
        /** @type {const} */ ([
          ["all", devices.length],
          ["attention", silent],
        ]).map(([name, count]) =>
          el(
            "a",
            {
              href: href("/phones", name === "all" ? {} : { tab: name }),
              "aria-current": name === tab ? "page" : null,
            },
            texts.phones[name],
            " ",
            el("span", { class: "n" }, loaded ? String(count) : ""),
          ),
        ),
      ),
      el("div", { class: "split" }, fleetPanel(list), session.extensions.length ? extensionsPanel() : null),
    );
    const place = root.querySelector("table.tbl");
    if (place && body.parentNode !== place) {
      place.querySelector("tbody")?.remove();
      place.append(body);
    }
  }

  /** @param {Device[]} list */
  function fleetPanel(list) {
    const { columns } = texts.phones;
    const filtered = parameter("text") !== "" || parameter("tab") !== "";
    return el(
      "section",
      { class: "panel live-data", "aria-labelledby": "fleet", "data-key": "fleet" },
      el(
        "div",
        { class: "panel-head" },
        el("h2", { id: "fleet", class: "sm hide-sm" }, texts.phones.first),
        el(
          "label",
          { class: "field grow end" },
          icon("search"),
          hidden(texts.phones.find),
          el("input", {
            type: "search",
            name: "text",
            placeholder: texts.phones.placeholder,
            value: parameter("text"),
            autocomplete: "off",
            spellcheck: "false",
          }),
          el("kbd", { class: "hide-sm", "aria-hidden": "true" }, "/"),
        ),
      ),
      loaded && !list.length
        ? filtered && devices.length
          ? cells.empty("search", texts.phones.nothing, el("a", { href: href("/phones") }, texts.phones.drop))
          : cells.empty("desk", texts.phones.empty, texts.phones.emptyRest)
        : null,
      loaded ? null : cells.greyRows(8),
      loaded && list.length
        ? el(
            "table",
            { class: "tbl", role: "table", "aria-labelledby": "fleet", "data-key": "table" },
            el(
              "colgroup",
              null,
              ["w-phone-state", "w-phone-name", "w-phone-last", null].map((name) =>
                el("col", { class: name }),
              ),
            ),
            el(
              "thead",
              { role: "rowgroup" },
              el(
                "tr",
                { role: "row" },
                cells.head(columns.state),
                cells.head(columns.phone),
                cells.head(columns.last),
                cells.head(columns.what),
              ),
            ),
            el("tbody", { role: "rowgroup", "data-keep": true }),
          )
        : null,
    );
  }

  /** @param {Device} device */
  function row(device) {
    const silent = isSilent(device);
    const { extension } = device;
    const about = [device.model, device.firmware].filter(Boolean).join(" ");
    const since = device.last_seen ? ago(device.last_seen, now()) : texts.phones.never;
    const why = silent
      ? device.last_seen
        ? texts.phones.silentWhy(since)
        : texts.phones.neverWhy
      : device.dnd_since
        ? texts.phones.dnd(ago(device.dnd_since, now()))
        : "";
    return el(
      "tr",
      { role: "row", class: silent ? "miss attn" : null },
      cells.cell(
        "c3",
        el(
          "span",
          { class: `plain ${silent ? "miss" : "talk"}` },
          icon(silent ? "warn" : "check"),
          silent ? texts.phones.silent : texts.phones.reports,
        ),
      ),
      cells.cell(
        "c1",
        el(
          "span",
          { class: `who${extension ? "" : " mono"}` },
          extension ? cells.extension(extension) : spelled(device.mac),
        ),
        el(
          "span",
          { class: `sub${extension ? " mono" : ""}` },
          extension ? spelled(device.mac) : texts.phones.noExtension,
        ),
        about ? el("bdi", { class: "sub" }, about) : null,
      ),
      cells.cell("c2", el("span", { class: "cell" }, since)),
      cells.cell(why ? "wide" : "drop", el("span", { class: "cell wraps" }, why)),
    );
  }

  const extensionsPanel = () =>
    el(
      "aside",
      null,
      el(
        "section",
        { class: "panel", "aria-labelledby": "extensions" },
        el(
          "header",
          null,
          el("h2", { id: "extensions" }, texts.phones.extensions),
          el("span", { class: "muted sm" }, String(session.extensions.length)),
        ),
        el(
          "ul",
          { class: "hist" },
          [...session.extensions]
            .sort((a, b) => a.extension.localeCompare(b.extension, "en", { numeric: true }))
            .map((each) =>
              el(
                "li",
                { class: "idle", "data-key": each.extension },
                icon("phone"),
                el(
                  "span",
                  { class: "cell" },
                  el("span", { class: "ext" }, each.extension),
                  el(
                    "bdi",
                    { class: nameOf(each.extension) ? null : "muted" },
                    nameOf(each.extension) || texts.phones.noName,
                  ),
                ),
                el(
                  "span",
                  { class: "soft xs" },
                  each.first_report ? texts.phones.since(dayAndMonth(each.first_report)) : "",
                ),
              ),
            ),
        ),
      ),
    );

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  /** @param {Event} event */
  const onInput = (event) => {
    const field = event.target;
    if (!(field instanceof HTMLInputElement) || field.name !== "text") return;
    clearTimeout(typing);
    typing = setTimeout(() => setQuery({ text: field.value.trim() }, true), TYPING_MS);
  };
  root.addEventListener("input", onInput);
  render();
  load();

  return {
    title: () => texts.phones.title,
    query: render,
    event(message) {
      if (message.type === "resync" || message.type === "hello") load();
      else if (message.type === "names") render();
    },
    tick() {
      seconds += 1;
      if (seconds % REFRESH_SECONDS === 0) load();
    },
    stop() {
      abort.abort();
      clearTimeout(typing);
      root.removeEventListener("input", onInput);
    },
  };
}

/** @param {string} mac */
const plain = (mac) => mac.toLowerCase().replace(/[^0-9a-f]/g, "");

/** @param {string} mac */
const spelled = (mac) => plain(mac).match(/../g)?.join(":") ?? mac;
