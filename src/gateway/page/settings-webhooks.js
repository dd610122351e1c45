// Settings: receivers of events, and the deliveries to them.

import { Problem, get, send } from "./api.js";
import * as cells from "./cells.js";
import { el, icon } from "./dom.js";
import {
  askFor,
  dialogHead,
  reason,
  rowButton,
  showSecret,
  sitesField,
  sitesIn,
  sitesText,
} from "./forms.js";
import { dayAndTime } from "./format.js";
import { openDialog } from "./keys.js";
import { session } from "./session.js";
import { line, reveal, revealPanel, settingsList, table } from "./settings-list.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Webhook} Webhook */
/** @typedef {import("./types.js").Delivery} Delivery */

const CALL_EVENTS = [
  "started",
  "ringing",
  "ring_ended",
  "answered",
  "held",
  "resumed",
  "transfer_initiated",
  "transfer_answered",
  "transfer_failed",
  "transferred",
  "ended",
  "missed",
  "missed_retracted",
  "reopened",
  "withdrawn",
];
const EVENTS = [...CALL_EVENTS.map((name) => `call.${name}`), "desk.overdue"];

const DELIVERIES_SHOWN = 50;

/** @param {Webhook} webhook */
function state(webhook) {
  const words = texts.webhooks.states;
  if (!webhook.enabled)
    return [
      el("span", { class: "plain idle" }, icon("x"), words.off),
      webhook.disabled_reason ? el("span", { class: "sub wraps" }, webhook.disabled_reason) : null,
    ];
  if (webhook.failing_since)
    return el(
      "span",
      { class: "plain miss" },
      icon("warn"),
      words.failing(dayAndTime(webhook.failing_since)),
    );
  return el("span", { class: "plain talk" }, icon("check"), words.on);
}

/** @param {HTMLElement} root */
export const webhooksPage = (root) =>
  settingsList(root, (again) => {
    const words = texts.webhooks;
    const masked = () => session.me?.numbers === "masked";

    /** @param {Webhook | null} webhook @returns {import("./forms.js").Field[]} */
    const fields = (webhook) => [
      { name: "url", label: words.url, hint: words.urlHint, value: webhook?.url ?? "", required: true },
      sitesField(webhook ? webhook.sites : (session.me?.sites ?? null)),
      {
        name: "events",
        label: words.events,
        hint: words.eventsHint,
        options: Object.fromEntries(EVENTS.map((name) => [name, name])),
        checked: webhook?.events ?? [],
      },
    ];

    /** @param {FormData} values */
    const fieldsOf = (values) => ({
      url: String(values.get("url") ?? "").trim(),
      events: values.getAll("events"),
      sites: sitesIn(values),
    });

    const add = () =>
      askFor({ title: words.add, button: words.add, fields: fields(null) }, async (values) => {
        const made = await send("POST", "/webhooks", fieldsOf(values), { quiet: true });
        setTimeout(() => showSecret(words.secretTitle, words.secretText, made.secret));
        again();
      });

    /** @param {string} path */
    async function test(path) {
      try {
        const { taken, answered, error } = await send("POST", `${path}/test`, undefined, { quiet: true });
        again(taken ? words.tested.taken : words.tested.refused(error ?? words.answered(answered)));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        again(reason(error));
      }
    }

    /** @param {Webhook} webhook @param {string} path */
    async function showDeliveries(webhook, path) {
      /** @type {Delivery[]} */
      const deliveries = (await get(`${path}/deliveries`, { limit: DELIVERIES_SHOWN })).deliveries;
      const tone = { waiting: "ring", delivered: "talk", failed: "miss" };
      const dialog = el(
        "dialog",
        { class: "broad", "aria-labelledby": "dialog-title" },
        dialogHead(words.deliveriesOf(webhook.url)),
        deliveries.length
          ? el(
              "ul",
              { class: "hist" },
              deliveries.map((delivery) =>
                el(
                  "li",
                  { class: tone[delivery.state] },
                  icon(
                    delivery.state === "delivered"
                      ? "check"
                      : delivery.state === "waiting"
                        ? "clock"
                        : "warn",
                  ),
                  el(
                    "span",
                    { class: "cell" },
                    el("b", null, delivery.event),
                    el(
                      "span",
                      { class: "sub wraps" },
                      [
                        dayAndTime(delivery.created_at),
                        words.state[delivery.state],
                        words.attempts(delivery.attempts),
                        delivery.error ?? (delivery.answered ? words.answered(delivery.answered) : ""),
                      ]
                        .filter(Boolean)
                        .join(", "),
                    ),
                  ),
                  delivery.state === "waiting" || masked()
                    ? null
                    : el(
                        "button",
                        { class: "btn", type: "button", "data-repeat": delivery.message },
                        words.again,
                      ),
                ),
              ),
            )
          : cells.empty("list", words.noDeliveries),
      );
      dialog.addEventListener("click", async (event) => {
        const button = event.target instanceof Element ? event.target.closest("[data-repeat]") : null;
        if (!(button instanceof HTMLButtonElement)) return;
        button.disabled = true;
        const message = encodeURIComponent(button.dataset.repeat ?? "");
        try {
          await send("POST", `${path}/deliveries/${message}/repeat`, undefined, { quiet: true });
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          button.disabled = false;
          button.textContent = reason(error);
        }
      });
      openDialog(dialog);
    }

    /** @param {Webhook} webhook */
    const actions = (webhook) =>
      el(
        "span",
        { class: "actions" },
        rowButton("deliveries", webhook.id, words.deliveries, webhook.url),
        ...(masked()
          ? []
          : [
              rowButton("test", webhook.id, words.test, webhook.url),
              rowButton("edit", webhook.id, texts.forms.edit, webhook.url),
              rowButton("toggle", webhook.id, webhook.enabled ? words.turnOff : words.turnOn, webhook.url),
              rowButton("secret", webhook.id, words.newSecret, webhook.url),
              rowButton("remove", webhook.id, texts.forms.remove, webhook.url),
            ]),
      );

    return {
      section: "webhooks",
      load: async (signal) => /** @type {Webhook[]} */ ((await get("/webhooks", {}, { signal })).webhooks),
      head: () =>
        masked()
          ? null
          : el("button", { class: "btn primary", type: "button", "data-act": "add" }, words.add),
      content: (webhooks) => [
        masked() ? revealPanel(words.numbers) : null,
        el(
          "section",
          { class: "panel" },
          webhooks.length
            ? table(
                texts.sections.webhooks,
                [
                  [words.url, null],
                  [texts.forms.sites, "w-sites"],
                  [texts.accounts.columns.state, "w-hook-state"],
                  ["", "w-hook-actions"],
                ],
                webhooks.map((webhook) =>
                  line(
                    webhook.id,
                    [
                      el("bdi", { class: "cell wraps strong" }, webhook.url),
                      el("span", { class: "sub wraps" }, webhook.events.join(", ") || words.all),
                    ],
                    el("span", { class: "cell wraps" }, sitesText(webhook.sites)),
                    state(webhook),
                    actions(webhook),
                  ),
                ),
              )
            : cells.empty("move", words.empty, words.emptyRest),
        ),
      ],
      async act(action, key, webhooks) {
        const webhook = webhooks.find((each) => each.id === key);
        const path = `/webhooks/${encodeURIComponent(key)}`;
        if (action === "add") add();
        else if (action === "reveal") {
          await reveal();
          again();
        } else if (!webhook) return;
        else if (action === "deliveries") await showDeliveries(webhook, path);
        else if (action === "test") await test(path);
        else if (action === "toggle") {
          await send("PATCH", path, { enabled: !webhook.enabled });
          again();
        } else if (action === "secret") {
          const { secret } = await send("POST", `${path}/secret`);
          showSecret(words.secretTitle, words.secretText, secret);
        } else if (action === "edit") {
          askFor(
            { title: texts.forms.edit, button: texts.forms.save, fields: fields(webhook) },
            async (values) => {
              await send("PATCH", path, fieldsOf(values), { quiet: true });
              again();
            },
          );
        } else if (action === "remove") {
          const form = { title: words.removeTitle, text: `${webhook.url}. ${words.removeText}`, fields: [] };
          askFor({ ...form, button: texts.forms.remove }, async () => {
            await send("DELETE", path, undefined, { quiet: true });
            again();
          });
        }
      },
    };
  });
