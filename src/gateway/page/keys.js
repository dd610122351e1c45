// Single keys. They act outside of fields only, and can be turned off in the settings.

import { el, icon, one } from "./dom.js";
import { back, go, href } from "./router.js";
import { texts } from "./texts.js";

/** @type {Record<string, string>} */
const PLACES = { l: "/live", t: "/today", m: "/missed", s: "/statistics", p: "/phones" };
const GO_MS = 1200;

/** @type {(key: string) => boolean} */
let pageKey = () => false;
let goUntil = 0;

export function keysOn() {
  try {
    return localStorage.getItem("keys") !== "off";
  } catch {
    return true;
  }
}

/** @param {boolean} on */
export function setKeys(on) {
  try {
    localStorage.setItem("keys", on ? "on" : "off");
  } catch {
    // Without storage the choice cannot be kept.
  }
}

/** @param {typeof pageKey} listener Keys of the current page; true if it used the key. */
export function startKeys(listener) {
  pageKey = listener;
  addEventListener("keydown", onKey);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target instanceof Element ? event.target : document.body;
  if (target.closest("dialog")) return;
  const inField = target.matches("input:not([type=checkbox]), select, textarea, [contenteditable]");

  if (event.key === "Escape") {
    if (inField && target instanceof HTMLElement) target.blur();
    else leave();
    return;
  }
  if (inField || !keysOn()) return;
  if (use(event.key)) event.preventDefault();
}

/** @param {string} key */
function use(key) {
  if (Date.now() < goUntil) {
    goUntil = 0;
    const place = PLACES[key];
    if (place) {
      go(href(place));
      return true;
    }
  }
  if (key === "g") {
    goUntil = Date.now() + GO_MS;
    return true;
  }
  if (key === "?") {
    showKeys();
    return true;
  }
  if (key === "/") {
    const field = document.querySelector("#view input[type=search]");
    if (!(field instanceof HTMLElement)) return false;
    field.focus();
    return true;
  }
  if (key === "j" || key === "k") return walk(key === "j" ? 1 : -1);
  return pageKey(key);
}

/** @param {number} step */
function walk(step) {
  const links = [...document.querySelectorAll("#view tbody .who a")].filter(
    (link) => link instanceof HTMLElement,
  );
  if (!links.length) return false;
  const row = document.activeElement?.closest("tr");
  const at = links.findIndex((link) => row !== null && link.closest("tr") === row);
  links[at < 0 ? 0 : Math.max(0, Math.min(links.length - 1, at + step))]?.focus();
  return true;
}

function leave() {
  if (document.documentElement.hasAttribute("data-wall")) {
    go(href("/live"), true);
    return;
  }
  if (pageKey("Escape")) return;
  if (location.pathname.startsWith("/calls/")) back("/today");
}

export function showKeys() {
  const rows = texts.keys.rows.flatMap(([keys, text]) => [
    el(
      "dt",
      null,
      (keys ?? "")
        .split("  ")
        .map((key) => [el("kbd", null, key), " "])
        .flat(),
    ),
    el("dd", null, text),
  ]);
  const dialog = el(
    "dialog",
    { "aria-labelledby": "keys-title" },
    el(
      "header",
      null,
      el("h2", { id: "keys-title" }, texts.keys.title),
      el(
        "button",
        { class: "btn ghost icon", "data-close": true, "aria-label": texts.keys.close },
        icon("x", "i-16"),
      ),
    ),
    el(
      "div",
      { class: "pad" },
      keysOn() ? null : el("p", { class: "space" }, texts.keys.off),
      el("dl", { class: "key-list" }, rows),
    ),
  );
  openDialog(dialog);
}

/**
 * Shows a modal dialog; it is removed when it closes, and the focus returns.
 * @param {HTMLDialogElement} dialog
 */
export function openDialog(dialog) {
  const before = document.activeElement;
  one("#dialogs").replaceChildren(dialog);
  dialog.addEventListener("click", (event) => {
    const target = event.target;
    if (target === dialog || (target instanceof Element && target.closest("[data-close]"))) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  });
  dialog.showModal();
}
