// Settings: names of people and helplines, by hand or as a file.

import { address, get, send, sendCsv } from "./api.js";
import * as cells from "./cells.js";
import { el, icon } from "./dom.js";
import { askFor, rowButton } from "./forms.js";
import { csvCell } from "./format.js";
import { readDirectory, readSites, session } from "./session.js";
import { line, place, settingsList, table } from "./settings-list.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Person} Person */
/** @typedef {import("./types.js").Helpline} Helpline */
/** @typedef {{ people: Person[], helplines: Helpline[], heard: string[] }} Loaded */

const HEAD = "kind,site,number,name,members\r\n";

/** @param {HTMLElement} root */
export const directoryPage = (root) =>
  settingsList(root, (again) => {
    const words = texts.directory;

    /** @param {AbortSignal} signal @returns {Promise<Loaded>} */
    async function load(signal) {
      if (!session.sitesRead) await readSites();
      if (!place()) return { people: [], helplines: [], heard: [] };
      const query = { site: place() };
      const [{ people }, { helplines }, { extensions }] = await Promise.all([
        get("/people", query, { signal }),
        get("/helplines", query, { signal }),
        get("/extensions", query, { signal }),
      ]);
      const named = new Set(people.map((/** @type {Person} */ person) => person.extension));
      const heard = extensions
        .map((/** @type {import("./types.js").Extension} */ each) => each.extension)
        .filter((/** @type {string} */ extension) => !named.has(extension));
      return { people, helplines, heard };
    }

    /** @param {string} kind @param {string[]} row */
    async function store(kind, row) {
      await sendCsv("/directory", HEAD + [kind, place(), ...row].map(csvCell).join(",") + "\r\n");
      again();
      readDirectory();
    }

    /** @param {Person | null} person @param {string} [extension] */
    const askPerson = (person, extension) =>
      askFor(
        {
          title: person?.display_name ?? words.addPerson,
          button: texts.forms.save,
          fields: [
            {
              name: "number",
              label: words.number,
              value: person?.extension ?? extension ?? "",
              required: true,
              fixed: person !== null,
            },
            { name: "name", label: words.name, value: person?.display_name ?? "", required: true },
          ],
        },
        (values) => store("person", [String(values.get("number")), String(values.get("name")), ""]),
      );

    /** @param {Helpline | null} helpline */
    const askHelpline = (helpline) =>
      askFor(
        {
          title: helpline?.name ?? words.addHelpline,
          button: texts.forms.save,
          fields: [
            {
              name: "number",
              label: words.lineNumber,
              value: helpline?.number ?? "",
              required: true,
              fixed: helpline !== null,
            },
            { name: "name", label: words.name, value: helpline?.name ?? "", required: true },
            {
              name: "members",
              label: words.members,
              hint: words.membersHint,
              value: helpline?.members.join(" ") ?? "",
            },
          ],
        },
        (values) =>
          store("helpline", [
            String(values.get("number")),
            String(values.get("name")),
            String(values.get("members")),
          ]),
      );

    /** @param {string} path @param {string} name */
    const askRemoval = (path, name) =>
      askFor(
        { title: words.removeTitle(name), text: words.removeText, fields: [], button: texts.forms.remove },
        async () => {
          const query = new URLSearchParams({ site: place() });
          await send("DELETE", `${path}?${query}`, undefined, { quiet: true });
          again();
          readDirectory();
        },
      );

    /** @param {Person[]} people */
    const peoplePanel = (people) =>
      el(
        "section",
        { class: "panel", "aria-labelledby": "people", "data-key": "people" },
        el(
          "header",
          null,
          el("h2", { id: "people" }, words.people),
          el("button", { class: "btn", type: "button", "data-act": "add-person" }, words.addPerson),
        ),
        people.length
          ? table(
              words.people,
              [
                [words.number, "w-extension"],
                [words.name, null],
                ["", "w-two-actions"],
              ],
              people.map((person) =>
                line(
                  person.extension ?? "",
                  el("span", { class: "ext" }, person.extension),
                  el("bdi", { class: "cell" }, person.display_name),
                  el(
                    "span",
                    { class: "actions" },
                    rowButton(
                      "edit-person",
                      person.extension ?? "",
                      texts.forms.edit,
                      person.display_name ?? "",
                    ),
                    rowButton(
                      "drop-person",
                      person.extension ?? "",
                      texts.forms.remove,
                      person.display_name ?? "",
                    ),
                  ),
                ),
              ),
            )
          : cells.empty("user", words.emptyPeople, words.emptyRest),
      );

    /** @param {Helpline[]} helplines */
    const helplinesPanel = (helplines) =>
      el(
        "section",
        { class: "panel", "aria-labelledby": "helplines", "data-key": "helplines" },
        el(
          "header",
          null,
          el("h2", { id: "helplines" }, words.helplines),
          el("button", { class: "btn", type: "button", "data-act": "add-helpline" }, words.addHelpline),
        ),
        helplines.length
          ? table(
              words.helplines,
              [
                [words.lineNumber, "w-extension"],
                [words.name, null],
                [words.members, null],
                ["", "w-two-actions"],
              ],
              helplines.map((helpline) =>
                line(
                  helpline.number,
                  el("span", { class: "ext" }, helpline.number),
                  el("bdi", { class: "cell" }, helpline.name),
                  el("span", { class: "cell wraps soft" }, helpline.members.join(" ") || words.nobody),
                  el(
                    "span",
                    { class: "actions" },
                    rowButton("edit-helpline", helpline.number, texts.forms.edit, helpline.name ?? ""),
                    rowButton("drop-helpline", helpline.number, texts.forms.remove, helpline.name ?? ""),
                  ),
                ),
              ),
            )
          : cells.empty("phone", words.emptyHelplines, words.emptyRest),
      );

    /** @param {string[]} heard */
    const heardPanel = (heard) =>
      el(
        "section",
        { class: "panel", "aria-labelledby": "heard", "data-key": "heard" },
        el("header", null, el("h2", { id: "heard" }, words.heard)),
        el("p", { class: "pad soft sm" }, words.heardRest),
        el(
          "ul",
          { class: "hist" },
          heard.map((extension) =>
            el(
              "li",
              { class: "idle", "data-key": extension },
              icon("phone"),
              el("span", { class: "cell" }, el("span", { class: "ext" }, extension)),
              rowButton("name", extension, words.nameIt, extension),
            ),
          ),
        ),
      );

    return {
      section: "directory",
      load,
      head: () =>
        place()
          ? [
              el(
                "a",
                { class: "btn", href: address("/directory", { site: place() }), download: "directory.csv" },
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
      content: ({ people, helplines, heard }) =>
        place()
          ? [peoplePanel(people), helplinesPanel(helplines), heard.length ? heardPanel(heard) : null]
          : el("section", { class: "panel" }, cells.empty("list", words.oneSite)),
      /** @param {string} action @param {string} key @param {Loaded} loaded */
      act(action, key, { people, helplines }) {
        const person = people.find((each) => each.extension === key);
        const helpline = helplines.find((each) => each.number === key);
        if (action === "add-person") askPerson(null);
        else if (action === "name") askPerson(null, key);
        else if (action === "add-helpline") askHelpline(null);
        else if (action === "edit-person" && person) askPerson(person);
        else if (action === "edit-helpline" && helpline) askHelpline(helpline);
        else if (action === "drop-person")
          askRemoval(`/people/${encodeURIComponent(key)}`, person?.display_name ?? key);
        else if (action === "drop-helpline")
          askRemoval(`/helplines/${encodeURIComponent(key)}`, helpline?.name ?? key);
      },
      change(field) {
        const file = field.files?.[0];
        field.value = "";
        if (!file) return;
        askFor({ title: words.import, text: file.name, fields: [], button: words.import }, async () => {
          const { entries } = await sendCsv("/directory", file);
          again(words.imported(entries));
          readDirectory();
        });
      },
    };
  });
