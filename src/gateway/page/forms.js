// Dialogs with a form, a question, or a secret that is shown once; and the tabs of the settings.

import { Problem } from "./api.js";
import { el, hit, icon, one } from "./dom.js";
import { openDialog } from "./keys.js";
import { href } from "./router.js";
import { may, session } from "./session.js";
import { texts } from "./texts.js";

/**
 * A field of a form. `options` are those of a choice, or of boxes of which any may be checked.
 * @typedef {{
 *   name: string, label: string, hint?: string, value?: string, required?: boolean,
 *   fixed?: boolean, long?: boolean, options?: Record<string, string>, checked?: string[],
 * }} Field
 */

/** @type {[section: string, right: import("./types.js").Right][]} */
const SECTIONS = [
  ["accounts", "accounts"],
  ["tokens", "accounts"],
  ["directory", "directory"],
  ["contacts", "directory"],
  ["sites", "directory"],
  ["webhooks", "webhooks"],
  ["audit", "audit"],
];

/**
 * The sections of the settings that the account may see; none where there is only its own.
 * @param {string} shown
 */
export function tabs(shown) {
  const seen = SECTIONS.filter(
    ([section, right]) => may(right) && (section !== "audit" || !session.me?.sites),
  );
  if (!seen.length) return null;
  const names = /** @type {Record<string, string>} */ (texts.sections);
  return el(
    "nav",
    { class: "tabs", "aria-label": texts.settings.title },
    ["own", ...seen.map(([section]) => section)].map((section) =>
      el(
        "a",
        {
          href: href(section === "own" ? "/settings" : `/settings/${section}`),
          "aria-current": section === shown ? "page" : null,
        },
        names[section] ?? section,
      ),
    ),
  );
}

/** @param {Problem} problem */
export const reason = (problem) =>
  problem.status === 0 ? texts.forms.unreachable : texts.forms.sorry(problem.detail);

/** @param {string} title */
export const dialogHead = (title) =>
  el(
    "header",
    null,
    el("h2", { id: "dialog-title" }, title),
    el(
      "button",
      { class: "btn ghost icon", type: "button", "data-close": true, "aria-label": texts.forms.close },
      icon("x", "i-16"),
    ),
  );

/** @param {Field} field @param {number} index */
function control(field, index) {
  if (field.checked) {
    const { checked } = field;
    return el(
      "fieldset",
      { class: "boxes" },
      el("legend", null, field.label, field.hint ? el("span", { class: "sub wraps" }, field.hint) : null),
      Object.entries(field.options ?? {}).map(([value, text]) =>
        el(
          "label",
          { class: "box" },
          el("input", { type: "checkbox", name: field.name, value, checked: checked.includes(value) }),
          text,
        ),
      ),
    );
  }
  const id = `form-${field.name}`;
  const hint = field.hint ? `${id}-hint` : null;
  return el(
    "div",
    null,
    el("label", { for: id }, field.label),
    el(
      "span",
      { class: field.long ? "field long" : "field" },
      field.options
        ? el(
            "select",
            { id, name: field.name },
            Object.entries(field.options).map(([value, text]) =>
              el("option", { value, selected: value === field.value }, text),
            ),
          )
        : field.long
          ? el(
              "textarea",
              { id, name: field.name, rows: 4, maxlength: 1000, autofocus: index === 0 },
              field.value ?? "",
            )
          : el("input", {
              id,
              name: field.name,
              value: field.value ?? "",
              required: field.required,
              autofocus: index === 0,
              readonly: field.fixed,
              autocomplete: "off",
              spellcheck: "false",
              "aria-describedby": hint,
            }),
    ),
    field.hint ? el("p", { class: "sub wraps", id: hint }, field.hint) : null,
  );
}

/**
 * Asks for values. The dialog stays open, with the reason, until `send` succeeds.
 * @param {{ title: string, text?: string, fields: Field[], button: string, danger?: boolean }} form
 * @param {(values: FormData) => Promise<unknown>} send
 */
export function askFor(form, send) {
  const failure = el("p", { class: "error-text", role: "alert" });
  const button = el("button", { class: "btn primary" }, form.button);
  const body = el(
    "form",
    { class: "pad stack" },
    form.text ? el("p", { class: "soft" }, form.text) : null,
    form.fields.map(control),
    failure,
    el(
      "p",
      { class: "row actions" },
      button,
      el("button", { class: "btn", type: "button", "data-close": true }, texts.forms.cancel),
    ),
  );
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, dialogHead(form.title), body);
  body.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await send(new FormData(body));
      dialog.close();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      failure.replaceChildren(icon("warn"), el("span", null, reason(error)));
      failure.classList.add("shown");
    }
    button.disabled = false;
  });
  openDialog(dialog);
}

/**
 * Shows a secret with a button that copies it.
 * @param {string} title
 * @param {string} text
 * @param {string} secret
 */
export function showSecret(title, text, secret) {
  const dialog = el(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    dialogHead(title),
    el(
      "div",
      { class: "pad stack" },
      el("p", { class: "soft" }, text),
      el("p", { class: "secret mono", "data-secret": true }, secret),
      el(
        "p",
        { class: "row actions" },
        el(
          "button",
          { class: "btn primary", type: "button", "data-copy": true, autofocus: true },
          texts.forms.copy,
        ),
        el("button", { class: "btn", type: "button", "data-close": true }, texts.forms.close),
      ),
    ),
  );
  dialog.addEventListener("click", async (event) => {
    const button = hit(event, "[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(secret);
      button.textContent = texts.forms.copied;
    } catch {
      // Without a clipboard the person copies what is selected now.
      getSelection()?.selectAllChildren(one("[data-secret]", dialog));
    }
  });
  openDialog(dialog);
}

/**
 * The sites of a form, as a list; none for all.
 * @param {FormData} values
 */
export const sitesIn = (values) =>
  String(values.get("sites") ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);

/** @param {string[] | null} sites */
export const sitesText = (sites) => (sites === null ? texts.forms.allSites : sites.join(", "));

/** @param {string[] | null} sites @returns {Field} */
export const sitesField = (sites) => ({
  name: "sites",
  label: texts.forms.sites,
  hint: texts.forms.sitesHint,
  value: sites?.join(", ") ?? "",
});

/** @param {string} role @returns {Field} */
export const roleField = (role) => ({
  name: "role",
  label: texts.forms.role,
  options: texts.shell.role,
  value: role,
});

/**
 * A small button of a row.
 * @param {string} action
 * @param {string} key
 * @param {string} text
 * @param {string} of
 */
export const rowButton = (action, key, text, of) =>
  el(
    "button",
    { class: "btn", type: "button", "data-act": action, "data-of": key, "aria-label": `${text}: ${of}` },
    text,
  );
