// Head, navigation, banners, account menu and foot.

import { send } from "./api.js";
import { clockText, time } from "./format.js";
import { liveNow } from "./clock.js";
import { draw, el, hidden, icon, one } from "./dom.js";
import { connection, retryNow } from "./feed.js";
import { showKeys } from "./keys.js";
import { go, href, setQuery } from "./router.js";
import { session, site } from "./session.js";
import { texts } from "./texts.js";

const PAGES = /** @type {const} */ ([
  ["/live", "live", "live"],
  ["/today", "today", "list"],
  ["/missed", "missed", "missed"],
  ["/statistics", "statistics", "chart"],
  ["/phones", "phones", "desk"],
]);

const root = document.documentElement;

/** @type {{ missed: number | null, databaseAway: boolean, failure: string | null, retry: () => void }} */
const shown = { missed: null, databaseAway: false, failure: null, retry: () => {} };

/** Colours and timers follow `data-state` of the root. */
function paintState() {
  const state = connection.lostAt !== null ? "offline" : shown.databaseAway ? "error" : "";
  if (state) root.dataset.state = state;
  else delete root.dataset.state;
}

/** @param {string} path */
function drawNav(path) {
  draw(
    one("#nav"),
    PAGES.map(([address, name, glyph]) => {
      const current = path === address || (address === "/today" && path.startsWith("/calls/"));
      const count =
        name === "missed"
          ? el(
              "span",
              { class: "count", "data-key": "count", hidden: shown.missed === null || shown.missed === 0 },
              String(Math.min(shown.missed ?? 0, 999)),
              hidden(texts.shell.open),
            )
          : null;
      return el(
        "a",
        { href: href(address), "aria-current": current ? "page" : null, "data-key": name },
        icon(glyph),
        texts.shell[name],
        count,
      );
    }),
  );
}

function drawSite() {
  const places = session.sites;
  const all = session.me?.sites === null && places.length > 1;
  if (places.length <= 1) {
    draw(
      one("#site"),
      places.length
        ? el("span", { class: "field plain-field" }, hidden(texts.shell.site), el("b", null, places[0]))
        : null,
    );
    return;
  }
  const chosen = site();
  draw(
    one("#site"),
    el(
      "label",
      { class: "field plain-field" },
      hidden(texts.shell.site),
      el(
        "select",
        { id: "site-choice" },
        places.map((name) => el("option", { value: name, selected: name === chosen }, name)),
        all ? el("option", { value: "", selected: !chosen }, texts.shell.allSites) : null,
      ),
    ),
  );
}

function drawEnd() {
  const { me } = session;
  const name = me ? (me.display_name ?? me.name ?? texts.shell.noAccount) : "";
  draw(
    one("#top-end"),
    el(
      "span",
      { class: "conn", role: "status" },
      el("span", { class: "on-text", hidden: !connection.live }, icon("dot"), texts.shell.onLive),
      el("span", { class: "off-text" }, icon("off"), texts.shell.notLive),
    ),
    el("span", { class: "conn no-left hide-sm" }, el("span", { class: "clock" }, clockText(liveNow()))),
    el(
      "button",
      { class: "btn ghost icon", type: "button", "data-do": "theme", "aria-label": texts.shell.theme },
      icon("sun", "i-16"),
    ),
    el(
      "button",
      { class: "btn ghost no-wall", type: "button", popovertarget: "account" },
      icon("user", "i-16"),
      el("bdi", { class: "hide-md" }, name),
      hidden(texts.shell.account),
    ),
    el(
      "div",
      { class: "menu", id: "account", popover: "auto" },
      el(
        "p",
        null,
        el("b", null, el("bdi", null, name)),
        me ? texts.shell.role[me.role] : null,
        me?.numbers === "masked" ? el("span", { class: "sub" }, texts.shell.masked) : null,
      ),
      me?.extension || me?.role === "agent"
        ? el("a", { href: href("/agent") }, icon("phone", "i-16"), texts.shell.agentWindow)
        : null,
      el("a", { href: href("/settings") }, icon("user", "i-16"), texts.shell.settings),
      el("button", { type: "button", "data-do": "keys" }, icon("q", "i-16"), texts.shell.keys),
      me?.signed_in
        ? el("button", { type: "button", "data-do": "sign-out" }, icon("key", "i-16"), texts.shell.signOut)
        : null,
    ),
  );
}

/** The banner of a lost connection or database; nothing while all is well. */
function drawBanners() {
  paintState();
  if (root.dataset.page === "agent" || root.dataset.page === "sign-in") {
    draw(one("#banners"));
    return;
  }
  const { lostAt, retryAt } = connection;
  const lost = lostAt !== null;
  const database = !lost && shown.databaseAway;
  const failure = !lost && !database ? shown.failure : null;
  draw(
    one("#banners"),
    lost
      ? el(
          "div",
          { class: "banner miss shown", "data-key": "offline" },
          icon("off"),
          el(
            "span",
            null,
            el("strong", { role: "status" }, texts.state.lost(time(lostAt))),
            ` ${texts.state.lostRest} `,
            el("span", null, retryText(retryAt)),
          ),
          el("button", { class: "btn end", type: "button", "data-do": "retry-feed" }, texts.state.tryNow),
        )
      : null,
    database
      ? el(
          "div",
          { class: "banner miss shown", role: "alert", "data-key": "database" },
          icon("warn"),
          el("span", null, el("strong", null, texts.state.database), ` ${texts.state.databaseRest}`),
          el("button", { class: "btn end", type: "button", "data-do": "retry-page" }, texts.state.tryAgain),
        )
      : null,
    failure !== null
      ? el(
          "div",
          { class: "banner miss shown", role: "alert", "data-key": "failure" },
          icon("warn"),
          el("span", null, failure),
          el("button", { class: "btn end", type: "button", "data-do": "retry-page" }, texts.state.tryAgain),
        )
      : null,
  );
}

/** @param {number | null} retryAt */
export function retryText(retryAt) {
  const seconds = retryAt === null ? 0 : Math.ceil((retryAt - liveNow()) / 1000);
  return seconds > 0 ? texts.state.retryIn(seconds) : texts.state.retrying;
}

/**
 * @param {import("./api.js").Problem | null} problem
 * @param {() => void} retry
 */
export function setProblem(problem, retry) {
  shown.databaseAway = problem?.databaseAway ?? false;
  const known = problem === null || problem.databaseAway || [401, 403, 404, 409].includes(problem.status);
  shown.failure = known
    ? null
    : problem.status === 0
      ? texts.signIn.away
      : texts.state.failed(problem.detail);
  shown.retry = retry;
  drawBanners();
}

/** @param {number | null} count */
export function setMissedCount(count) {
  if (shown.missed === count) return;
  shown.missed = count;
  drawNav(location.pathname);
}

export function drawShell() {
  const bare = root.dataset.page === "sign-in" || root.dataset.page === "agent";
  one("#top").hidden = bare;
  one("#foot").hidden = bare;
  one("#main").className = bare ? "bare" : "page";
  if (!bare) {
    drawNav(location.pathname);
    drawSite();
    drawEnd();
    draw(one("#foot"), el("span", null, texts.shell.footSite(site() || null)));
  }
  drawBanners();
}

function toggleTheme() {
  setTheme(root.dataset.theme === "dark" ? "light" : "dark");
}

/** @param {"light" | "dark" | null} theme */
export function setTheme(theme) {
  try {
    if (theme) localStorage.setItem("theme", theme);
    else localStorage.removeItem("theme");
  } catch {
    // Without storage the choice holds until the page is left.
    if (theme) root.dataset.theme = theme;
    return;
  }
  dispatchEvent(new Event("cordboard:theme"));
}

export async function signOut() {
  try {
    await send("DELETE", "/session", undefined, { quiet: true });
  } catch {
    // A session that the server does not know any more is as good as closed.
  }
  session.me = null;
  go("/sign-in");
}

/** @param {MouseEvent} event */
export function onShellClick(event) {
  const target = event.target instanceof Element ? event.target.closest("[data-do]") : null;
  const name = target?.getAttribute("data-do");
  if (name === "theme") toggleTheme();
  else if (name === "keys") showKeys();
  else if (name === "sign-out") signOut();
  else if (name === "retry-feed") retryNow();
  else if (name === "retry-page") shown.retry();
  if (
    target?.closest("#account") ||
    (event.target instanceof Element && event.target.closest("#account a"))
  ) {
    document.getElementById("account")?.hidePopover();
  }
}

/** @param {Event} event */
export function onShellChange(event) {
  const choice = event.target;
  if (choice instanceof HTMLSelectElement && choice.id === "site-choice") {
    setQuery({ site: choice.value }, false);
  }
}

/** The clock of the head, once per second; its text changes once per minute. */
export function tickShell() {
  const clock = document.querySelector(".conn .clock");
  const text = clockText(liveNow());
  if (clock && clock.textContent !== text) clock.textContent = text;
  if (connection.lostAt !== null) drawBanners();
}
