// Start of the page: routes, the view of the current address, live events, errors.

import { Problem, get, onProblem } from "./api.js";
import { agentPage } from "./agent.js";
import { apiPage } from "./api-page.js";
import { callPage } from "./call.js";
import { empty, greyRows } from "./cells.js";
import { everySecond } from "./clock.js";
import { draw, el, one } from "./dom.js";
import { close, listen, open } from "./feed.js";
import { startKeys } from "./keys.js";
import { livePage } from "./live.js";
import { missedPage } from "./missed.js";
import { phonesPage } from "./phones.js";
import { go, href, onMove, parameter } from "./router.js";
import { forgetNames } from "./contact-names.js";
import {
  onNames,
  ownQuery,
  readDirectory,
  readMe,
  readRules,
  readSites,
  session,
  site,
  siteQuery,
} from "./session.js";
import { accountsPage } from "./settings-accounts.js";
import { auditPage } from "./settings-audit.js";
import { contactsPage } from "./settings-contacts.js";
import { directoryPage } from "./settings-directory.js";
import { settingsPage } from "./settings.js";
import { tokensPage } from "./settings-tokens.js";
import { sitesPage } from "./settings-sites.js";
import { webhooksPage } from "./settings-webhooks.js";
import { drawShell, onShellChange, onShellClick, setMissedCount, setProblem, tickShell } from "./shell.js";
import { signInPage } from "./sign-in.js";
import { statisticsPage } from "./statistics.js";
import { texts } from "./texts.js";
import { todayPage } from "./today.js";

/** @typedef {import("./types.js").View} View */

/** @type {Record<string, (root: HTMLElement, id: string) => View>} */
const PAGES = {
  live: livePage,
  today: todayPage,
  missed: missedPage,
  calls: callPage,
  statistics: statisticsPage,
  phones: phonesPage,
  agent: agentPage,
  settings: settingsPage,
  "settings/accounts": accountsPage,
  "settings/tokens": tokensPage,
  "settings/directory": directoryPage,
  "settings/contacts": contactsPage,
  "settings/sites": sitesPage,
  "settings/webhooks": webhooksPage,
  "settings/audit": auditPage,
  api: apiPage,
  "sign-in": signInPage,
};

const FOCUS_MS = 3000;
const SLOW_MS = 300;
const RETRY_MS = 10_000;
const root = document.documentElement;
const main = one("#main");
const place = one("#view");

/** @type {View | null} */
let view = null;
let shownAddress = "";
let shownSite = "";
let ready = false;

function signIn() {
  if (location.pathname === "/sign-in") return;
  /** @type {Record<string, string>} */
  const why = session.me ? { why: "expired" } : {};
  session.me = null;
  ready = false;
  go(href("/sign-in", { back: location.pathname + location.search, ...why }), true);
}

/** Reads the account; sites and names follow while the page is already shown. */
async function prepare() {
  if (ready) return true;
  const slow = setTimeout(() => {
    drawShell();
    draw(place, el("section", { class: "panel" }, greyRows(8)));
  }, SLOW_MS);
  try {
    await readMe();
    forgetNames();
    ready = true;
    readNames();
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) signIn();
    else {
      setProblem(error, () => show(true));
      drawShell();
      setTimeout(() => show(true), RETRY_MS);
    }
    return false;
  } finally {
    clearTimeout(slow);
  }
}

onNames(() => tell("names"));

async function readNames() {
  try {
    await readSites();
    shownSite = site();
    drawShell();
    await Promise.all([readDirectory(), readRules()]);
    tell("names");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) signIn();
  }
}

/** @param {string} type */
const tell = (type) => view?.event?.({ type, id: null, data: null });

/** @param {boolean} [again] Starts the view anew even if the address is the same. */
async function show(again = false) {
  const [, name = "", id = ""] = location.pathname.split("/");
  if (!name) {
    go(href("/live", Object.fromEntries(new URLSearchParams(location.search))), true);
    return;
  }

  root.dataset.page = name;
  root.toggleAttribute("data-wall", name === "live" && parameter("wall") !== "");
  const signing = name === "sign-in";
  if (!signing && !(await prepare())) return;
  if (signing) {
    close();
    ready = false;
  }

  const address = location.pathname;
  if (view && address === shownAddress && !again && site() === shownSite) {
    drawShell();
    view.query?.();
    return;
  }
  const first = view === null;
  view?.stop?.();
  view = null;
  place.replaceChildren();
  setProblem(null, () => show(true));
  shownAddress = address;
  shownSite = site();
  drawShell();

  const start = PAGES[id && name !== "calls" ? `${name}/${id}` : name];
  if (!start) {
    notFound();
    return;
  }
  view = start(place, decodeURIComponent(id));
  showTitle();
  if (history.state?.focus) giveFocusBack(history.state.focus);
  else {
    if (!first) main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  if (!signing) {
    open(name === "agent" ? `/api/v1/stream/popups${ownQuery()}` : "/api/v1/stream");
    if (name !== "agent") countMissed();
  }
}

/**
 * Focuses the row that was followed, as soon as it is drawn again.
 * @param {string} key
 */
function giveFocusBack(key) {
  const attempt = () => {
    const link = place.querySelector(`[data-key="${CSS.escape(key)}"] a`);
    if (!(link instanceof HTMLElement)) return;
    observer.disconnect();
    link.focus();
  };
  const observer = new MutationObserver(attempt);
  observer.observe(place, { childList: true, subtree: true });
  setTimeout(() => observer.disconnect(), FOCUS_MS);
  attempt();
}

function notFound() {
  document.title = texts.title(texts.state.notFound);
  draw(
    place,
    el("h1", { class: "vh" }, texts.state.notFound),
    el(
      "section",
      { class: "panel" },
      empty(
        "q",
        texts.state.notFound,
        el("p", null, texts.state.notFoundRest, " ", el("a", { href: href("/live") }, texts.state.toLive)),
      ),
    ),
  );
}

/** The page says who may see it, never an empty table. */
function noRight() {
  const name =
    root.dataset.page === "today" || root.dataset.page === "calls" ? "live" : (root.dataset.page ?? "live");
  const reasons = /** @type {Record<string, string>} */ (texts.state.noRightRest);
  view?.stop?.();
  view = null;
  draw(
    place,
    el("h1", { class: "vh" }, texts.state.noRight),
    el("section", { class: "panel" }, empty("key", texts.state.noRight, reasons[name] ?? "")),
  );
}

function showTitle() {
  const title = view ? texts.title(view.title()) : null;
  if (title && document.title !== title) document.title = title;
}

let counting = false;

/** The count in the navigation: callers that are open. */
async function countMissed() {
  if (counting) return;
  counting = true;
  try {
    const { missed } = await get("/missed", { ...siteQuery(), status: "open", limit: 200 }, { quiet: true });
    setMissedCount(missed.length);
  } catch {
    // The count is an extra; the page itself reports what is wrong.
    setMissedCount(null);
  }
  counting = false;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let countTimer;

/** @param {import("./types.js").Message} message */
function deliver(message) {
  view?.event?.(message);
  showTitle();
  if (
    ["desk.changed", "call.missed", "call.missed_retracted", "resync", "hello"].includes(message.type) &&
    root.dataset.page !== "agent"
  ) {
    clearTimeout(countTimer);
    countTimer = setTimeout(countMissed, 300);
  }
}

/** @param {MouseEvent} event */
function onClick(event) {
  onShellClick(event);
  if (
    event.defaultPrevented ||
    event.button !== 0 ||
    event.ctrlKey ||
    event.metaKey ||
    event.shiftKey ||
    event.altKey
  )
    return;
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
  if (link.getAttribute("href") === "#main") {
    event.preventDefault();
    main.focus();
    return;
  }
  if (link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

/** Whether the last request found the database away, and when it is asked again. */
let away = false;
let askAgainAt = 0;

onProblem((problem, reading) => {
  if (problem?.status === 401) {
    signIn();
    return;
  }
  if (problem?.status === 403 && reading) {
    noRight();
    return;
  }
  setProblem(problem, () => tell("resync"));
  if (problem?.databaseAway) askAgainAt = Date.now() + RETRY_MS;
  if (away && !problem) readNames();
  away = problem?.databaseAway ?? false;
});
onMove(() => void show());
listen({
  deliver,
  changed: () => {
    drawShell();
    tell("connection");
  },
  refused: (problem) => {
    if (problem.status === 401) signIn();
    else drawShell();
    tell("connection");
  },
});
startKeys((key) => view?.key?.(key) ?? false);
addEventListener("click", onClick);
addEventListener("change", onShellChange);
everySecond(() => {
  tickShell();
  showTitle();
  view?.tick?.();
  if (away && Date.now() > askAgainAt) {
    askAgainAt = Date.now() + RETRY_MS;
    tell("resync");
  }
});
show();
