// The sign-in page: name and password, or a link that works once and asks for a new password.

import { Problem, send } from "./api.js";
import { draw, el, icon } from "./dom.js";
import { go, parameter } from "./router.js";
import { session, site } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").View} View */

/** A path of this page only; anything else could lead to a foreign page. */
function backPath() {
  const back = parameter("back");
  return /^\/(?![/\\])/.test(back) && !back.startsWith("/sign-in") ? back : "/live";
}

/** The name of the page that one comes back to. */
function backName() {
  const name = backPath().split(/[/?#]/)[1] ?? "";
  const { live, today, missed, statistics, phones, settings, agentWindow } = texts.shell;
  /** @type {Record<string, string>} */
  const known = { live, today, missed, statistics, phones, settings, calls: today, agent: agentWindow };
  return Object.hasOwn(known, name) ? (known[name] ?? "") : "";
}

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function signInPage(root) {
  const link = new URLSearchParams(location.hash.slice(1)).get("link");
  /** @type {"form" | "link" | "choose"} */
  let step = link ? "link" : "form";
  let error = "";
  let busy = false;
  let visible = false;
  let left = false;

  const render = () => {
    draw(
      root,
      el(
        "div",
        { class: "gate" },
        el(
          "div",
          { class: "gate-box" },
          brand(),
          el("h1", null, step === "choose" ? texts.signIn.choose : texts.signIn.title),
          el(
            "p",
            { class: "soft gate-site" },
            step === "choose" ? texts.signIn.chooseRest : site() ? texts.signIn.site(site()) : "",
          ),
          step === "link"
            ? el("p", { role: "status", class: "soft" }, error ? "" : texts.signIn.linkUsing)
            : null,
          step !== "choose" ? reason() : null,
          step === "choose" ? chooseForm() : form(),
          step !== "choose" ? el("p", { class: "sm soft gate-foot" }, texts.signIn.link) : null,
        ),
      ),
    );
  };

  const reason = () => {
    const back = parameter("back") ? backName() : "";
    if (!back || error) return null;
    const expired = parameter("why") === "expired";
    return el(
      "div",
      { class: "banner hold shown", role: "status", "data-key": "reason" },
      icon("clock"),
      el(
        "span",
        null,
        expired ? texts.signIn.expired : texts.signIn.goOn,
        texts.signIn.backTo,
        el("b", null, back),
        ".",
      ),
    );
  };

  const errorText = () =>
    error
      ? el(
          "p",
          { class: "error-text", id: "sign-in-error", role: "alert" },
          icon("warn"),
          el("span", null, error),
        )
      : null;

  /** @param {string} id @param {string} label @param {string} complete */
  const passwordField = (id, label, complete) =>
    el(
      "div",
      null,
      el("label", { for: id }, label),
      el(
        "span",
        { class: `field${error ? " bad" : ""}` },
        icon("key"),
        el("input", {
          id,
          name: id,
          type: visible ? "text" : "password",
          autocomplete: complete,
          required: true,
          "aria-describedby": error ? "sign-in-error" : null,
          "aria-invalid": error ? "true" : null,
        }),
        el(
          "button",
          {
            type: "button",
            class: "btn ghost icon small",
            "data-show": true,
            "aria-label": texts.signIn.show,
            "aria-pressed": String(visible),
          },
          icon("eye", "i-16"),
        ),
      ),
      errorText(),
    );

  const form = () =>
    el(
      "form",
      { class: "stack", "data-form": "sign-in", "data-key": "form" },
      el(
        "div",
        null,
        el("label", { for: "name" }, texts.signIn.name),
        el(
          "span",
          { class: "field" },
          icon("user"),
          el("input", {
            id: "name",
            name: "name",
            autocomplete: "username",
            spellcheck: "false",
            autocapitalize: "none",
            required: true,
          }),
        ),
      ),
      passwordField("password", texts.signIn.password, "current-password"),
      el("button", { class: "btn primary", "aria-disabled": busy ? "true" : null }, texts.signIn.button),
      el("p", { class: "sm soft" }, texts.signIn.help),
    );

  const chooseForm = () =>
    el(
      "form",
      { class: "stack", "data-form": "choose", "data-key": "choose" },
      el("input", {
        type: "text",
        class: "vh",
        autocomplete: "username",
        value: session.me?.name ?? "",
        tabindex: "-1",
        "aria-hidden": "true",
        readonly: true,
      }),
      passwordField("fresh", texts.signIn.fresh, "new-password"),
      el("button", { class: "btn primary", "aria-disabled": busy ? "true" : null }, texts.signIn.save),
    );

  /** @param {unknown} problem */
  const explain = (problem) => {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 429) return texts.signIn.wait;
    if (problem.status === 0 || problem.databaseAway) return texts.signIn.away;
    if (step === "choose") return texts.signIn.refused(problem.detail);
    return step === "link" ? texts.signIn.linkGone : texts.signIn.wrong;
  };

  /** @param {() => Promise<void>} work */
  const attempt = async (work) => {
    if (busy) return;
    busy = true;
    error = "";
    render();
    try {
      await work();
    } catch (problem) {
      error = explain(problem);
      if (step === "link") step = "form";
    }
    busy = false;
    if (!left) render();
  };

  /** @param {import("./types.js").Me} me */
  const enter = (me) => {
    session.me = me;
    if (me.needs_password) step = "choose";
    else go(backPath(), true);
  };

  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    const target = /** @type {HTMLFormElement} */ (event.target);
    const data = new FormData(target);
    if (target.dataset.form === "choose") {
      attempt(async () => {
        await send("POST", "/me/password", { password: data.get("fresh") }, { quiet: true });
        go(backPath(), true);
      });
      return;
    }
    attempt(async () =>
      enter(
        await send(
          "POST",
          "/session",
          { name: data.get("name"), password: data.get("password") },
          { quiet: true },
        ),
      ),
    );
  };

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    if (event.target instanceof Element && event.target.closest("[data-show]")) {
      visible = !visible;
      render();
    }
  };

  root.addEventListener("submit", onSubmit);
  root.addEventListener("click", onClick);
  render();
  if (link) {
    // The token leaves the address before anything else can read it.
    history.replaceState(history.state, "", location.pathname + location.search);
    attempt(async () => enter(await send("POST", "/session", { link }, { quiet: true })));
  }

  return {
    title: () => texts.signIn.title,
    stop() {
      left = true;
      root.removeEventListener("submit", onSubmit);
      root.removeEventListener("click", onClick);
    },
  };
}

function brand() {
  const mark = document.querySelector("#top .brand svg")?.cloneNode(true);
  return el("div", { class: "brand" }, mark ?? null, el("span", null, "Cordboard"));
}
