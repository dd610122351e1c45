// Settings: the accounts of people.

import { get, send } from "./api.js";
import * as cells from "./cells.js";
import { el, icon } from "./dom.js";
import { askFor, roleField, rowButton, showSecret, sitesField, sitesIn, sitesText } from "./forms.js";
import { session } from "./session.js";
import { line, settingsList, table } from "./settings-list.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").User} User */

/** @param {User} user */
const shown = (user) => user.display_name ?? user.name;

/** @param {User} user */
function state(user) {
  const words = texts.accounts.state;
  if (user.disabled) return el("span", { class: "plain idle" }, icon("x"), words.disabled);
  if (!user.has_password) return el("span", { class: "plain ring" }, icon("clock"), words.invited);
  return el("span", { class: "plain talk" }, icon("check"), words.active);
}

/** @param {HTMLElement} root */
export const accountsPage = (root) =>
  settingsList(root, (again) => {
    const words = texts.accounts;

    /** @param {User | null} user @returns {import("./forms.js").Field[]} */
    const fields = (user) => [
      { name: "display_name", label: words.displayName, value: user?.display_name ?? "" },
      roleField(user?.role ?? "agent"),
      { name: "extension", label: words.extension, hint: words.extensionHint, value: user?.extension ?? "" },
      sitesField(user ? user.sites : (session.me?.sites ?? null)),
    ];

    /** @param {FormData} values */
    const fieldsOf = (values) => ({
      display_name: String(values.get("display_name") ?? "").trim(),
      role: values.get("role"),
      extension: String(values.get("extension") ?? "").trim(),
      sites: sitesIn(values),
    });

    /**
     * What was changed in the form: another admin may have changed the rest meanwhile.
     * @param {User} user
     * @param {FormData} values
     */
    function changesOf(user, values) {
      const before = {
        display_name: user.display_name ?? "",
        role: user.role,
        extension: user.extension ?? "",
        sites: user.sites ?? [],
      };
      const changed = Object.entries(fieldsOf(values)).filter(
        ([name, value]) => JSON.stringify(value) !== JSON.stringify(Object(before)[name]),
      );
      return Object.fromEntries(changed);
    }

    /** @param {User[]} users */
    function add(users) {
      const isFirst = !users.length && !session.me?.signed_in;
      askFor(
        {
          title: words.add,
          text: isFirst ? words.firstText : undefined,
          button: words.add,
          fields: [
            { name: "name", label: words.name, hint: words.nameHint, required: true },
            ...fields(null).map((field) =>
              isFirst && field.name === "role" ? { ...field, value: "admin" } : field,
            ),
          ],
        },
        async (values) => {
          const name = String(values.get("name") ?? "").trim();
          const added = await send("POST", "/users", { name, ...fieldsOf(values) }, { quiet: true });
          // The dialog of the form closes first, and gives the focus back.
          setTimeout(() =>
            showSecret(words.linkTitle(shown(added)), words.firstLinkText, location.origin + added.link),
          );
          if (!isFirst) again();
        },
      );
    }

    /** @param {User} user */
    async function link(user) {
      const made = await send("POST", `/users/${encodeURIComponent(user.name)}/link`);
      showSecret(words.linkTitle(shown(user)), words.linkText, location.origin + made.link);
    }

    return {
      section: "accounts",
      load: async (signal) => /** @type {User[]} */ ((await get("/users", {}, { signal })).users),
      head: () => el("button", { class: "btn primary", type: "button", "data-act": "add" }, words.add),
      content: (users) =>
        el(
          "section",
          { class: "panel" },
          users.length
            ? table(
                texts.sections.accounts,
                [
                  [words.columns.person, null],
                  [words.columns.role, "w-role"],
                  [words.columns.sites, "w-sites"],
                  [words.columns.extension, "w-extension"],
                  [words.columns.state, "w-account-state"],
                  ["", "w-row-actions"],
                ],
                users.map((user) =>
                  line(
                    user.name,
                    [
                      el("span", { class: "who" }, el("bdi", null, shown(user))),
                      el(
                        "span",
                        { class: "sub" },
                        user.name,
                        user.name === session.me?.name ? `, ${words.you}` : "",
                      ),
                    ],
                    texts.shell.role[user.role],
                    el("span", { class: "cell wraps" }, sitesText(user.sites)),
                    user.extension ? el("span", { class: "ext" }, user.extension) : "",
                    state(user),
                    user.name === session.me?.name
                      ? ""
                      : el(
                          "span",
                          { class: "actions" },
                          rowButton("edit", user.name, texts.forms.edit, shown(user)),
                          rowButton("link", user.name, words.link, shown(user)),
                          rowButton(
                            "toggle",
                            user.name,
                            user.disabled ? words.enable : words.disable,
                            shown(user),
                          ),
                          rowButton("remove", user.name, texts.forms.remove, shown(user)),
                        ),
                  ),
                ),
              )
            : cells.empty("user", words.empty, words.emptyRest),
        ),
      async act(action, key, users) {
        const user = users.find((each) => each.name === key);
        const path = `/users/${encodeURIComponent(key)}`;
        if (action === "add") add(users);
        else if (!user) return;
        else if (action === "link") await link(user);
        else if (action === "toggle") {
          await send("PATCH", path, { disabled: !user.disabled });
          again();
        } else if (action === "edit") {
          askFor({ title: shown(user), button: texts.forms.save, fields: fields(user) }, async (values) => {
            const changes = changesOf(user, values);
            if (Object.keys(changes).length) await send("PATCH", path, changes, { quiet: true });
            again();
          });
        } else if (action === "remove") {
          const form = { title: words.removeTitle(shown(user)), text: words.removeText, fields: [] };
          askFor({ ...form, button: texts.forms.remove }, async () => {
            await send("DELETE", path, undefined, { quiet: true });
            again();
          });
        }
      },
    };
  });
