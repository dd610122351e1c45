// The agent's window: popups of calls that ring, are handed over or were missed.

import { Problem, get, isAbort, send } from "./api.js";
import * as cells from "./cells.js";
import { midnight, now } from "./clock.js";
import { draw, el, hit, icon } from "./dom.js";
import { time } from "./format.js";
import { connection } from "./feed.js";
import { dayPanel, idle, lastCalls } from "./agent-day.js";
import { card, cardCaller } from "./agent-card.js";
import { askNote, isWebAddress } from "./caller.js";
import { href } from "./router.js";
import { helpline, nameOf, ownExtension, ownQuery, session, siteQuery } from "./session.js";
import { retryText } from "./shell.js";
import { soundOn, tone } from "./sound.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Popup} Popup */
/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").View} View */
/** @typedef {{ taking: boolean, lost: string | null, error: string | null, closesAt: number | null }} Local */

const CARDS = 3;
/** A call that was missed in a gap may have begun so long before it. */
const LONGEST_RING_MS = 60_000;
/** @type {Record<string, number>} */
const CLOSES_AFTER_MS = { taken: 4000, withdrawn: 8000, gone: 4000 };
const ORDER = ["talk", "handover", "ring", "missed", "withdrawn", "taken", "gone"];

/** The window with the page of a caller. @type {Window | null} */
let callerPage = null;

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function agentPage(root) {
  const abort = new AbortController();
  const { signal } = abort;
  /** @type {Map<string, Popup>} */
  const popups = new Map();
  /** @type {Map<string, Local>} */
  const local = new Map();
  /** @type {Set<string>} Kind and id of cards that the agent has closed. */
  const dismissed = new Set();
  /** @type {Set<string>} Calls whose page was opened. */
  const opened = new Set();
  /** @type {Set<string>} Calls that were answered at the own phone while the window was open. */
  const answered = new Set();
  /** @type {Call[]} */
  let mine = [];
  /** @type {number | null} */
  let toCallBack = null;
  let loaded = false;
  let paused = false;
  /** The own phone takes no calls. */
  let dnd = false;
  /** When the stream was lost that has just come back. @type {number | null} */
  let gapSince = null;
  /** When the page of a caller opens. @type {"click" | "answer" | "ring"} */
  let pageOpens = "click";
  let blocked = false;
  const own = ownExtension();

  async function load() {
    if (!own) return;
    try {
      const query = { ...siteQuery(), extension: own, limit: 200 };
      mine = (await get("/calls", { ...query, since: midnight().toISOString() }, { signal, quiet: true }))
        .calls;
      showMissed();
      toCallBack = (await get("/missed", { ...siteQuery(), status: "open" }, { signal, quiet: true })).missed
        .length;
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof Problem)) throw error;
    }
    render();
  }

  /** Calls that were missed while nothing was heard get their cards, as if they had been seen. */
  function showMissed() {
    if (gapSince === null) return;
    const since = gapSince - LONGEST_RING_MS;
    gapSince = null;
    for (const call of mine) {
      const isOwn = call.outcome === "missed" && call.missed_extensions.includes(own ?? "");
      if (!isOwn || Date.parse(call.started_at) < since || popups.has(call.id)) continue;
      popups.set(call.id, missedPopup(call));
    }
  }

  /** @param {Call} call @returns {Popup} */
  const missedPopup = (call) => ({
    id: call.id,
    call_id: call.id,
    kind: "missed",
    since: call.ended_at ?? call.started_at,
    caller: cells.partyOf(call),
    for: { kind: "extension", number: own, name: null },
    claimed_by: null,
    mine: false,
    at_phone: true,
    handed_over_by: null,
    also_ringing: [],
    caller_name: null,
    contacts: [],
    note: null,
    url: null,
    history: [],
  });

  /** @param {Popup} popup */
  const mark = (popup) => `${popup.id} ${popup.kind} ${popup.at_phone}`;

  /** @param {Popup} popup */
  function take(popup) {
    const old = popups.get(popup.id);
    popups.set(popup.id, popup);
    const state = localOf(popup.id);
    if (old?.kind !== popup.kind) {
      const after = CLOSES_AFTER_MS[popup.kind];
      Object.assign(state, {
        taking: false,
        lost: null,
        error: null,
        closesAt: after ? now() + after : null,
      });
    }
    if (popup.mine) state.taking = false;
    // Who took it has given it back.
    if (!popup.claimed_by && state.lost !== null) Object.assign(state, { lost: null, closesAt: null });
    if (loaded && old && old.kind !== "talk" && popup.kind === "talk") answered.add(popup.id);
    const isRinging = popup.kind === "ring" || popup.kind === "handover";
    if (loaded && isRinging && (!old || (popup.at_phone && !old.at_phone))) announce();
    if (loaded && opensPage(popup)) openPage(popup);
  }

  /**
   * Whether the page of a caller is to open now: it rings at the own phone, or was answered there. The
   * address may come later than that.
   * @param {Popup} popup
   */
  function opensPage(popup) {
    if (!popup.at_phone || !popup.url || pageOpens === "click") return false;
    if (opened.has(popup.id)) return false;
    if (pageOpens === "answer") return popup.kind === "talk" && answered.has(popup.id);
    return popup.kind === "ring" || popup.kind === "handover";
  }

  /** One window for all callers, so that none is left open for each call. @param {Popup} popup */
  function openPage(popup) {
    if (!isWebAddress(popup.url ?? "")) return;
    opened.add(popup.id);
    // Without an opener a browser refuses to show the next caller in it.
    if (!callerPage || callerPage.closed) callerPage = window.open(popup.url ?? "");
    else callerPage.location.href = popup.url ?? "";
    blocked = callerPage === null;
  }

  /** @param {string} id @returns {(caller: import("./types.js").Caller) => void} */
  const update = (id) => (caller) => {
    const current = popups.get(id);
    if (current) popups.set(id, { ...current, note: caller.note });
    render();
  };

  async function pause() {
    if (!connection.live) return;
    try {
      const body = { state: paused ? "available" : "paused" };
      const answer = await send("PUT", `/me/state${ownQuery()}`, body);
      paused = answer.state === "paused";
    } catch (error) {
      // The banner of the page names the problem.
      if (!(error instanceof Problem)) throw error;
    }
    render();
  }

  /** The window comes forward for a new ring, never while the agent types. */
  function announce() {
    if (soundOn()) tone();
    const typing = document.activeElement instanceof HTMLInputElement;
    if (!typing) window.focus();
  }

  /** @param {string} id */
  function localOf(id) {
    let state = local.get(id);
    if (!state) {
      state = { taking: false, lost: null, error: null, closesAt: null };
      local.set(id, state);
    }
    return state;
  }

  function shown() {
    const instant = now();
    for (const [id, popup] of popups) {
      const state = localOf(id);
      if (state.closesAt !== null && instant > state.closesAt) {
        // A call that a colleague takes still rings, and may come back.
        if (["ring", "handover"].includes(popup.kind)) Object.assign(state, { lost: null, closesAt: null });
        else popups.delete(id);
      }
    }
    return [...popups.values()]
      .filter((popup) => !dismissed.has(mark(popup)))
      .sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || a.since.localeCompare(b.since));
  }

  /** @param {Popup | undefined} popup */
  async function claim(popup) {
    if (!popup || !connection.live) return;
    const state = localOf(popup.id);
    if (state.taking || popup.claimed_by) return;
    Object.assign(state, { taking: true, error: null });
    render();
    try {
      await send("POST", `/popups/${encodeURIComponent(popup.call_id)}/claim${ownQuery()}`, undefined, {
        quiet: true,
      });
      const current = popups.get(popup.id);
      if (current && session.me?.name)
        popups.set(popup.id, {
          ...current,
          mine: true,
          claimed_by: { name: session.me.name, display_name: session.me.display_name },
        });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 409)
        Object.assign(state, {
          lost: error.detail || texts.agent.lostNobody,
          closesAt: now() + (CLOSES_AFTER_MS.taken ?? 0),
        });
      else state.error = error.detail || texts.signIn.away;
    }
    state.taking = false;
    render();
  }

  /** @param {Popup} popup */
  async function release(popup) {
    try {
      await send("POST", `/popups/${encodeURIComponent(popup.call_id)}/release${ownQuery()}`, undefined, {
        quiet: true,
      });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      localOf(popup.id).error = error.detail || texts.signIn.away;
    }
    render();
  }

  /** @param {Popup | undefined} popup */
  function dismiss(popup) {
    if (!popup) return;
    dismissed.add(mark(popup));
    if (popup.mine && popup.kind !== "talk") release(popup);
    render();
  }

  const lineNames = () => {
    const person = session.people.find(
      (each) => each.name === session.me?.name || (own !== null && each.extension === own),
    );
    return (person?.helplines ?? []).map((number) => helpline(number)?.name ?? number);
  };

  function render() {
    const { me } = session;
    const name = me?.display_name ?? me?.name ?? nameOf(own);
    if (!own || connection.refused) {
      draw(
        root,
        el(
          "div",
          { class: "frames one" },
          el(
            "section",
            { class: "win", "aria-label": texts.agent.title },
            el("h1", { class: "vh" }, texts.agent.title),
            el(
              "div",
              { class: "win-body" },
              el(
                "div",
                { class: "panel" },
                cells.empty("key", texts.state.noRight, texts.state.noRightRest.agent),
              ),
            ),
            foot(0),
          ),
        ),
      );
      return;
    }
    const list = shown();
    const visible = list.slice(0, CARDS);
    const more = list.slice(CARDS).filter((popup) => popup.kind === "ring").length;
    const lines = lineNames();
    const lost = connection.lostAt;

    draw(
      root,
      el(
        "div",
        { class: "frames one" },
        el(
          "section",
          { class: "win", "aria-label": texts.agent.title },
          el("h1", { class: "vh" }, texts.agent.heading(name)),
          el(
            "header",
            null,
            el(
              "span",
              { class: "me" },
              el("b", null, el("bdi", null, name)),
              el("span", { class: "xs soft" }, [own, ...lines].join(", ")),
            ),
            el(
              "button",
              { class: "btn ghost", type: "button", "data-do": "pause", "aria-pressed": String(paused) },
              icon("pause", "i-16"),
              paused ? texts.agent.resume : texts.agent.pause,
            ),
            el(
              "a",
              { class: "btn ghost icon", href: href("/settings"), "aria-label": texts.settings.title },
              icon("user", "i-16"),
            ),
          ),
          el(
            "div",
            { class: "win-body" },
            lost !== null
              ? el(
                  "div",
                  { class: "banner miss shown flat", "data-key": "offline" },
                  icon("off"),
                  el(
                    "span",
                    null,
                    el("b", { role: "status" }, texts.agent.offline(time(lost))),
                    ` ${texts.agent.offlineRest} `,
                    el("span", null, retryText(connection.retryAt)),
                  ),
                )
              : null,
            blocked
              ? el(
                  "p",
                  { class: "banner hold shown flat", "data-key": "blocked", role: "status" },
                  icon("warn"),
                  el("span", null, texts.agent.blocked),
                )
              : null,
            paused || dnd
              ? el(
                  "p",
                  { class: "plain idle", "data-key": "paused", role: "status" },
                  icon(paused ? "pause" : "off"),
                  el("span", null, paused ? texts.agent.paused : texts.agent.dnd),
                )
              : null,
            el(
              "div",
              { class: "cards", "aria-live": "assertive", "aria-relevant": "additions", "data-key": "cards" },
              visible.map((popup, index) => card(popup, localOf(popup.id), index > 0)),
            ),
            more ? el("p", { class: "sm soft", "data-key": "more" }, texts.agent.moreRing(more)) : null,
            loaded && !list.length ? idle(lines, own) : null,
            lastCalls(mine, own),
            dayPanel(mine, own, toCallBack),
          ),
          foot(toCallBack ?? 0),
        ),
      ),
    );
  }

  /** @param {number} count */
  const foot = (count) =>
    el(
      "footer",
      null,
      connection.live
        ? el(
            "span",
            { class: "plain talk", role: "status" },
            icon("dot"),
            el("span", null, texts.shell.onLive),
          )
        : el(
            "span",
            { class: "plain miss", role: "status" },
            icon("off"),
            el("span", null, texts.shell.notLive),
          ),
      count ? el("span", null, texts.agent.toCallBack(count)) : null,
      el("a", { href: href("/live") }, texts.agent.back),
    );

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const button = hit(event, "[data-do]");
    const popup = popups.get(button?.dataset.id ?? "");
    const action = button?.dataset.do;
    if (action === "claim") claim(popup);
    else if (action === "release" && popup) release(popup);
    else if (action === "dismiss") dismiss(popup);
    else if (action === "note" && popup) askNote(popup.call_id, cardCaller(popup), update(popup.id));
    else if (action === "pause") pause();
  };
  root.addEventListener("click", onClick);
  render();
  load();

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let refresh;
  const open = () =>
    shown().find(
      (popup) =>
        (popup.kind === "ring" || popup.kind === "handover") &&
        !popup.claimed_by &&
        localOf(popup.id).lost === null,
    );

  return {
    title() {
      const ringing = open();
      return ringing ? texts.agent.ringTitle(cardCaller(ringing)) : texts.agent.title;
    },
    event(message) {
      if (message.type === "connection" && connection.lostAt !== null) gapSince ??= connection.lostAt;
      if (message.type === "hello") {
        const list = /** @type {Popup[]} */ (message.data.popups ?? []);
        const fresh = new Set(list.map((popup) => popup.id));
        for (const [id, popup] of popups)
          if (!fresh.has(id) && localOf(id).closesAt === null && popup.kind !== "missed") popups.delete(id);
        list.forEach(take);
        loaded = true;
        paused = message.data.state === "paused";
        dnd = message.data.dnd ?? false;
        pageOpens = message.data.page_opens ?? "click";
        // Calls may have ended, or been missed, while nothing was heard.
        load();
      } else if (message.type === "popup") {
        take(message.data);
        clearTimeout(refresh);
        refresh = setTimeout(load, 1500);
      } else if (message.type === "state") {
        paused = message.data.state === "paused";
        dnd = message.data.dnd;
      }
      render();
    },
    tick: render,
    key(key) {
      if (key === "t") claim(open());
      else if (key === "n") dismiss(open());
      else if (key === "c") {
        const link = root.querySelector("a[data-call]");
        if (!(link instanceof HTMLAnchorElement)) return false;
        link.click();
      } else return false;
      return true;
    },
    stop() {
      abort.abort();
      clearTimeout(refresh);
      root.removeEventListener("click", onClick);
    },
  };
}
