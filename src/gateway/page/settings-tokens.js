// Settings: the tokens of programs.

import { get, send } from "./api.js";
import * as cells from "./cells.js";
import { el, icon } from "./dom.js";
import { askFor, roleField, rowButton, showSecret, sitesField, sitesIn, sitesText } from "./forms.js";
import { dayAndMonth } from "./format.js";
import { session } from "./session.js";
import { line, settingsList, table } from "./settings-list.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Token} Token */

/** @param {HTMLElement} root */
export const tokensPage = (root) =>
  settingsList(root, (again) => {
    const words = texts.tokens;

    const add = () =>
      askFor(
        {
          title: words.add,
          button: words.add,
          fields: [
            { name: "name", label: words.name, hint: words.nameHint, required: true },
            roleField("integrator"),
            sitesField(session.me?.sites ?? null),
          ],
        },
        async (values) => {
          const made = await send(
            "POST",
            "/tokens",
            {
              name: String(values.get("name") ?? "").trim(),
              role: values.get("role"),
              sites: sitesIn(values),
            },
            { quiet: true },
          );
          setTimeout(() => showSecret(words.shownTitle(made.name), words.shownText, made.token));
          again();
        },
      );

    return {
      section: "tokens",
      load: async (signal) => /** @type {Token[]} */ ((await get("/tokens", {}, { signal })).tokens),
      head: () => el("button", { class: "btn primary", type: "button", "data-act": "add" }, words.add),
      content: (tokens) =>
        el(
          "section",
          { class: "panel" },
          tokens.length
            ? table(
                texts.sections.tokens,
                [
                  [words.columns.name, null],
                  [words.columns.role, "w-role"],
                  [words.columns.sites, "w-sites"],
                  [words.columns.made, "w-made"],
                  [words.columns.state, "w-token-state"],
                  ["", "w-one-action"],
                ],
                tokens.map((token) =>
                  line(
                    token.name,
                    el("span", { class: "who" }, token.name),
                    texts.shell.role[token.role],
                    el("span", { class: "cell wraps" }, sitesText(token.sites)),
                    dayAndMonth(token.created_at),
                    token.revoked_at
                      ? el(
                          "span",
                          { class: "plain idle" },
                          icon("x"),
                          words.revoked(dayAndMonth(token.revoked_at)),
                        )
                      : el("span", { class: "plain talk" }, icon("check"), words.valid),
                    token.revoked_at
                      ? ""
                      : el(
                          "span",
                          { class: "actions" },
                          rowButton("revoke", token.name, words.revoke, token.name),
                        ),
                  ),
                ),
              )
            : cells.empty("key", words.empty, words.emptyRest),
        ),
      act(action, key) {
        if (action === "add") add();
        else if (action === "revoke") {
          const form = { title: words.revokeTitle(key), text: words.revokeText, fields: [] };
          askFor({ ...form, button: words.revoke }, async () => {
            await send("DELETE", `/tokens/${encodeURIComponent(key)}`, undefined, { quiet: true });
            again();
          });
        }
      },
    };
  });
