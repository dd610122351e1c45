// Settings: contacts, the names of outside numbers.

import { address, get, send, sendCsv } from "./api.js";
import * as cells from "./cells.js";
import { forgetNames } from "./contact-names.js";
import { el, icon } from "./dom.js";
import { askFor, rowButton } from "./forms.js";
import { csvCell } from "./format.js";
import { readSites, session } from "./session.js";
import { line, place, reveal, revealPanel, settingsList, table } from "./settings-list.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").StoredContact} StoredContact */
/** @typedef {{ contacts: StoredContact[], more: boolean }} Loaded */

const SHOWN = 50;
const HEAD = "site,number,name,company,url\r\n";

/** @param {HTMLElement} root */
export const contactsPage = (root) =>
  settingsList(root, (reload) => {
    const words = texts.contacts;
    let text = "";
    let skip = 0;

    /** @param {string} [news] */
    const again = (news) => {
      forgetNames();
      reload(news);
    };

    /** @param {AbortSignal} signal @returns {Promise<Loaded>} */
    async function load(signal) {
      if (!session.sitesRead) await readSites();
      if (!place()) return { contacts: [], more: false };
      return get("/contacts", { site: place(), text, skip, limit: SHOWN }, { signal });
    }

    /** @param {StoredContact | null} contact */
    const askContact = (contact) =>
      askFor(
        {
          title: contact?.name ?? words.add,
          button: texts.forms.save,
          fields: [
            {
              name: "number",
              label: words.number,
              value: contact?.number ?? "",
              required: true,
              fixed: contact !== null,
            },
            { name: "name", label: words.name, value: contact?.name ?? "", required: true },
            { name: "company", label: words.company, value: contact?.company ?? "" },
            { name: "url", label: words.url, hint: words.urlHint, value: contact?.url ?? "" },
          ],
        },
        async (values) => {
          const row = [
            place(),
            ...["number", "name", "company", "url"].map((name) => String(values.get(name))),
          ];
          await sendCsv("/contacts", HEAD + row.map(csvCell).join(",") + "\r\n");
          // A number may have several contacts: another name is another one of them.
          if (contact && contact.name !== String(values.get("name")).trim()) await remove(contact);
          again();
        },
      );

    /** @param {StoredContact} contact */
    const remove = (contact) => {
      const query = new URLSearchParams({ site: place(), name: contact.name });
      const path = `/contacts/${encodeURIComponent(contact.number)}?${query}`;
      return send("DELETE", path, undefined, { quiet: true });
    };

    /** @param {StoredContact} contact */
    const askRemoval = (contact) =>
      askFor(
        {
          title: words.removeTitle(contact.name),
          text: words.removeText,
          fields: [],
          button: texts.forms.remove,
        },
        async () => {
          await remove(contact);
          again();
        },
      );

    /** @param {File} file */
    const askImport = (file) =>
      askFor(
        {
          title: words.import,
          text: words.importText(file.name),
          fields: [
            { name: "replace", label: words.others, options: { replace: words.replace }, checked: [] },
          ],
          button: words.import,
        },
        async (values) => {
          const query = new URLSearchParams({ site: place(), replace: String(values.has("replace")) });
          const { contacts, removed } = await sendCsv(`/contacts?${query}`, file);
          skip = 0;
          again(words.imported(contacts, removed));
        },
      );

    const masked = () => session.me?.numbers !== "full";

    /** Masked numbers cannot be changed: they are not known here. @param {StoredContact} contact */
    const actions = (contact) =>
      masked()
        ? null
        : el(
            "span",
            { class: "actions" },
            rowButton("edit", keyOf(contact), texts.forms.edit, contact.name),
            rowButton("drop", keyOf(contact), texts.forms.remove, contact.name),
          );

    /** @param {Loaded} loaded */
    const list = ({ contacts, more }) =>
      el(
        "section",
        { class: "panel", "aria-labelledby": "contacts", "data-key": "contacts" },
        el(
          "header",
          null,
          el("h2", { id: "contacts" }, words.title),
          el(
            "span",
            { class: "field" },
            el("input", {
              type: "search",
              name: "search",
              value: text,
              placeholder: words.search,
              "aria-label": words.search,
              autocomplete: "off",
              spellcheck: "false",
            }),
          ),
          el("button", { class: "btn", type: "button", "data-act": "add" }, words.add),
        ),
        contacts.length
          ? table(
              words.title,
              [
                [words.name, null],
                [words.company, null],
                [words.number, null],
                ["", "w-two-actions"],
              ],
              contacts.map((contact) =>
                line(
                  keyOf(contact),
                  el("bdi", { class: "cell" }, contact.name),
                  el("bdi", { class: "cell soft" }, contact.company),
                  el("bdi", { class: "cell nowrap" }, contact.number),
                  actions(contact),
                ),
              ),
            )
          : text
            ? cells.empty("search", words.notFound)
            : cells.empty("user", words.empty, words.emptyRest),
        skip || more
          ? el(
              "p",
              { class: "pad row" },
              el(
                "button",
                { class: "btn", type: "button", "data-act": "before", disabled: !skip },
                words.before,
              ),
              el(
                "button",
                { class: "btn", type: "button", "data-act": "after", disabled: !more },
                words.after,
              ),
            )
          : null,
      );

    return {
      section: "contacts",
      load,
      head: () =>
        place()
          ? [
              el(
                "a",
                {
                  class: "btn",
                  href: address("/contacts", { site: place(), format: "csv" }),
                  download: "contacts.csv",
                },
                icon("down", "i-16"),
                words.export,
              ),
              el(
                "label",
                { class: "btn" },
                words.import,
                el("input", { type: "file", class: "vh", name: "file", accept: ".csv,text/csv" }),
              ),
            ]
          : null,
      content: (loaded) =>
        place()
          ? [masked() && loaded.contacts.length ? revealPanel(words.masked) : null, list(loaded)]
          : el("section", { class: "panel" }, cells.empty("list", words.oneSite)),
      /** @param {string} action @param {string} key @param {Loaded} loaded */
      async act(action, key, { contacts }) {
        const contact = contacts.find((each) => keyOf(each) === key);
        if (action === "add") askContact(null);
        else if (action === "edit" && contact) askContact(contact);
        else if (action === "drop" && contact) askRemoval(contact);
        else if (action === "reveal") {
          await reveal();
          again();
        } else if (action === "before" || action === "after") {
          skip = Math.max(0, skip + (action === "after" ? SHOWN : -SHOWN));
          again();
        }
      },
      change(field) {
        if (field.type === "search") {
          text = field.value.trim();
          skip = 0;
          again();
          return;
        }
        const file = field.files?.[0];
        field.value = "";
        if (file) askImport(file);
      },
    };
  });

/** @param {StoredContact} contact */
const keyOf = (contact) => JSON.stringify([contact.number, contact.name]);
