// Settings: the audit log.

import { get } from "./api.js";
import * as cells from "./cells.js";
import { el } from "./dom.js";
import { dayAndTime } from "./format.js";
import { line, settingsList, table } from "./settings-list.js";
import { texts } from "./texts.js";

/** @typedef {{ at: string, who: string, action: string, object: string | null }} AuditEntry */

/** @param {HTMLElement} root */
export const auditPage = (root) =>
  settingsList(root, () => {
    const { columns, empty, emptyRest } = texts.audit;

    return {
      section: "audit",
      load: async (signal) =>
        /** @type {AuditEntry[]} */ ((await get("/audit", { limit: 200 }, { signal })).entries),
      content: (entries) =>
        el(
          "section",
          { class: "panel" },
          entries.length
            ? table(
                texts.sections.audit,
                [
                  [columns.when, "w-when"],
                  [columns.who, "w-sites"],
                  [columns.action, "w-what"],
                  [columns.object, null],
                ],
                entries.map((entry, index) =>
                  line(
                    `${entry.at}${index}`,
                    dayAndTime(entry.at),
                    el("bdi", null, entry.who),
                    entry.action.replaceAll("_", " "),
                    el("bdi", { class: "cell wraps" }, entry.object ?? ""),
                  ),
                ),
              )
            : cells.empty("list", empty, emptyRest),
        ),
      act() {},
    };
  });
