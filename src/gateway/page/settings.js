// Settings: the account, the password, and choices of this browser.

import { Problem, send } from "./api.js";
import * as cells from "./cells.js";
import { draw, el, hit, icon } from "./dom.js";
import { tabs } from "./forms.js";
import { keysOn, setKeys } from "./keys.js";
import { href } from "./router.js";
import { session } from "./session.js";
import { setTheme, signOut } from "./shell.js";
import { setSound, soundOn, tone } from "./sound.js";
import { texts } from "./texts.js";

/**
 * @param {HTMLElement} root
 * @returns {import("./types.js").View}
 */
export function settingsPage(root) {
  /** @type {{ text: string, good: boolean } | null} */
  let answer = null;
  const words = texts.settings;

  const storedTheme = () => {
    try {
      return localStorage.getItem("theme") ?? "system";
    } catch {
      return "system";
    }
  };

  function render() {
    const onOff = { on: words.on, off: words.off };
    draw(
      root,
      el("div", { class: "head" }, el("h1", null, words.title)),
      tabs("own"),
      el(
        "div",
        { class: "narrow" },
        accountPanel(),
        session.me?.signed_in ? passwordPanel() : null,
        el(
          "section",
          { class: "panel", "aria-labelledby": "appearance" },
          el("header", null, el("h2", { id: "appearance" }, words.appearance)),
          el(
            "div",
            { class: "pad choice" },
            el("span", null, words.theme),
            cells.segments("theme", words.theme, words.themes, storedTheme()),
          ),
        ),
        el(
          "section",
          { class: "panel", "aria-labelledby": "keyboard" },
          el(
            "header",
            null,
            el("h2", { id: "keyboard" }, words.keyboard),
            el("button", { class: "btn ghost", type: "button", "data-do": "keys" }, texts.shell.keys),
          ),
          el(
            "div",
            { class: "pad choice" },
            el("span", null, words.keys, el("span", { class: "sub wraps" }, words.keysRest)),
            cells.segments("keys", words.keys, onOff, keysOn() ? "on" : "off"),
          ),
          session.me?.extension
            ? el(
                "div",
                { class: "pad choice" },
                el("span", null, words.sound, el("span", { class: "sub wraps" }, words.soundRest)),
                cells.segments("sound", words.sound, onOff, soundOn() ? "on" : "off"),
              )
            : null,
        ),
        el(
          "section",
          { class: "panel", "aria-labelledby": "programs" },
          el("header", null, el("h2", { id: "programs" }, words.programs)),
          el(
            "div",
            { class: "pad choice" },
            el("span", null, words.api, el("span", { class: "sub wraps" }, words.apiRest)),
            el("a", { class: "btn", href: href("/api") }, texts.api.title),
          ),
        ),
      ),
    );
  }

  function accountPanel() {
    const { me } = session;
    if (!me) return null;
    /** @type {[string, string | null][]} */
    const lines = [
      [words.name, me.display_name],
      [words.signInName, me.name],
      [words.role, texts.shell.role[me.role]],
      [words.sites, me.sites === null ? words.allSites : me.sites.join(", ")],
      [words.extension, me.extension ?? words.none],
      [words.numbers, me.numbers === "full" ? words.full : words.masked],
    ];
    return el(
      "section",
      { class: "panel", "aria-labelledby": "account-head" },
      el("header", null, el("h2", { id: "account-head" }, words.account)),
      el(
        "div",
        { class: "pad stack" },
        me.signed_in ? null : el("p", { class: "soft" }, words.noAccount),
        el(
          "dl",
          { class: "kv" },
          lines.flatMap(([name, value]) =>
            value ? [el("dt", null, name), el("dd", null, el("bdi", null, value))] : [],
          ),
        ),
        el(
          "p",
          { class: "row wrap" },
          me.extension
            ? el("a", { class: "btn", href: href("/agent") }, icon("phone", "i-16"), words.agentWindow)
            : null,
          me.signed_in
            ? el("button", { class: "btn", type: "button", "data-do": "leave" }, words.signOut)
            : null,
        ),
      ),
    );
  }

  const passwordPanel = () =>
    el(
      "section",
      { class: "panel", "aria-labelledby": "password-head" },
      el("header", null, el("h2", { id: "password-head" }, words.password)),
      el(
        "form",
        { class: "pad stack" },
        el("input", {
          type: "text",
          class: "vh",
          autocomplete: "username",
          value: session.me?.name ?? "",
          tabindex: "-1",
          "aria-hidden": "true",
          readonly: true,
        }),
        field("current", words.current, "current-password"),
        field("fresh", words.fresh, "new-password"),
        answer
          ? el(
              "p",
              {
                class: answer.good ? "plain talk" : "error-text shown",
                role: answer.good ? "status" : "alert",
              },
              icon(answer.good ? "check" : "warn"),
              el("span", null, answer.text),
            )
          : null,
        el("p", null, el("button", { class: "btn primary" }, words.change)),
      ),
    );

  /** @param {string} name @param {string} label @param {string} complete */
  const field = (name, label, complete) =>
    el(
      "div",
      { class: "labelled" },
      el("label", { for: name }, label),
      el(
        "span",
        { class: "field" },
        el("input", { id: name, name, type: "password", autocomplete: complete, required: true }),
      ),
    );

  /** @param {SubmitEvent} event */
  const onSubmit = async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const data = new FormData(form);
    try {
      await send(
        "POST",
        "/me/password",
        { password: data.get("fresh"), current: data.get("current") },
        { quiet: true },
      );
      answer = { text: words.changed, good: true };
      form.reset();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      answer = {
        text: error.status === 401 || error.status === 403 ? words.wrong : texts.signIn.refused(error.detail),
        good: false,
      };
    }
    render();
  };

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const button = hit(event, "[data-seg] button");
    const name = button?.parentElement?.dataset.seg;
    if (button instanceof HTMLButtonElement) {
      if (name === "theme")
        setTheme(button.value === "light" || button.value === "dark" ? button.value : null);
      else if (name === "keys") setKeys(button.value === "on");
      else if (name === "sound") {
        setSound(button.value === "on");
        if (button.value === "on") tone();
      }
      render();
    }
    if (hit(event, "[data-do]")?.dataset.do === "leave") signOut();
  };
  root.addEventListener("submit", onSubmit);
  root.addEventListener("click", onClick);
  render();

  return {
    title: () => words.title,
    stop() {
      root.removeEventListener("submit", onSubmit);
      root.removeEventListener("click", onClick);
    },
  };
}
