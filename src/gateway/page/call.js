// One call: figures, its course to scale, why the record says so, every event, linked calls.

import { Problem, get, isAbort, send } from "./api.js";
import {
  begun,
  coursePanel,
  eventsPanel,
  historyPanel,
  linksPanel,
  recordPanel,
  whyPanel,
} from "./call-panels.js";
import { askNote, callerPanel } from "./caller.js";
import * as cells from "./cells.js";
import { now } from "./clock.js";
import { draw, el, hit, icon } from "./dom.js";
import { length, shortTime, time, wait } from "./format.js";
import { headline, holds } from "./lanes.js";
import { programEvents, programsPanel } from "./programs.js";
import { back, href } from "./router.js";
import { session } from "./session.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Call} Call */
/** @typedef {import("./types.js").Explanation} Explanation */
/** @typedef {import("./types.js").View} View */

const DAYS = 30;
const HISTORY = 12;
const LINKS = 6;

/**
 * @param {HTMLElement} root
 * @param {string} id
 * @returns {View}
 */
export function callPage(root, id) {
  const abort = new AbortController();
  const { signal } = abort;
  const path = `/calls/${encodeURIComponent(id)}`;
  /** @type {Call | null} */
  let call = null;
  /** @type {Explanation | null} */
  let explanation = null;
  let explained = false;
  let absent = false;
  let copied = false;
  /** @type {Map<string, Call>} */
  const linked = new Map();
  /** @type {{ calls: Call[], more: boolean } | null} */
  let history = null;
  /** @type {import("./types.js").ProgramEvent[]} */
  let programs = [];
  /** @type {import("./types.js").Caller | null} */
  let caller = null;

  async function load() {
    try {
      call = await get(path, {}, { signal });
      absent = false;
      render();
      await Promise.all([loadExplanation(), loadLinks(), loadHistory(), loadPrograms(), loadCaller()]);
      render();
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof Problem)) throw error;
      absent = error.status === 404 || error.status === 400;
      render();
    }
  }

  async function loadExplanation() {
    try {
      explanation = await get(`${path}/explanation`, {}, { signal, quiet: true });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      explanation = null;
    }
    explained = true;
  }

  async function loadPrograms() {
    if (call) programs = await programEvents(call, signal);
  }

  async function loadCaller() {
    try {
      caller = await get(`${path}/caller`, {}, { signal, quiet: true });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  async function loadLinks() {
    for (const link of call?.links.slice(0, LINKS) ?? []) {
      try {
        linked.set(
          link.call_id,
          await get(`/calls/${encodeURIComponent(link.call_id)}`, {}, { signal, quiet: true }),
        );
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
      }
    }
  }

  async function loadHistory() {
    const party = call ? cells.partyOf(call) : null;
    const asked = party?.e164 ?? (session.me?.numbers === "full" ? party?.number : null);
    if (!call || !asked || call.direction === "internal") return;
    const since = new Date(now() - DAYS * 86_400_000).toISOString();
    try {
      const answer = await get(
        "/calls",
        { site: call.site, number: asked, since, limit: HISTORY + 1 },
        { signal, quiet: true },
      );
      history = {
        calls: /** @type {Call[]} */ (answer.calls).filter((each) => each.id !== id),
        more: answer.next_cursor !== null,
      };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  }

  /** @param {"POST" | "DELETE"} method @param {string} target @param {unknown} [body] */
  async function changeLinks(method, target, body) {
    try {
      await send(method, target, body);
      call = await get(path, {}, { signal });
      await loadLinks();
    } catch (error) {
      // The shell shows the reason.
      if (!isAbort(error) && !(error instanceof Problem)) throw error;
    }
    render();
  }

  function render() {
    if (absent) {
      draw(
        root,
        el("h1", { class: "vh" }, texts.call.absent),
        el(
          "section",
          { class: "panel" },
          cells.empty(
            "q",
            texts.call.absent,
            texts.call.absentRest,
            " ",
            el("a", { href: href("/today") }, texts.call.toToday),
          ),
        ),
      );
      return;
    }
    if (!call) {
      draw(root, el("section", { class: "panel" }, cells.greyRows(8)));
      return;
    }
    draw(
      root,
      el(
        "p",
        { class: "crumb" },
        el("a", { href: href("/today") }, texts.call.today),
        el("span", { class: "muted" }, ` / ${begun(call.started_at)}`),
      ),
      headRow(call),
      figures(call),
      el(
        "div",
        { class: "split live-data" },
        el(
          "div",
          null,
          coursePanel(call, explanation),
          whyPanel(call, explanation, explained),
          programsPanel(programs),
          eventsPanel(id, explanation, explained),
        ),
        el(
          "aside",
          null,
          callerPanel(caller, hasNumber(call)),
          recordPanel(call),
          linksPanel(call, linked),
          historyPanel(call, history),
        ),
      ),
    );
  }

  /** @param {Call} of */
  const hasNumber = (of) => cells.partyOf(of).number !== null;

  /** @param {Call} of */
  function headRow(of) {
    const target = cells.transferTarget(of);
    const party = cells.partyOf(of);
    return el(
      "div",
      { class: "head" },
      el("h1", null, el("bdi", null, headline(of))),
      cells.status(of),
      target && of.transfer?.state === "completed"
        ? el("span", { class: "plain move" }, icon("move"), texts.call.handedOver(cells.transferNumber(of)))
        : null,
      target && of.transfer && ["cancelled", "failed", "abandoned"].includes(of.transfer.state)
        ? el("span", { class: "plain idle" }, icon("move"), texts.call.transferOpen(cells.transferNumber(of)))
        : null,
      el(
        "div",
        { class: "head-end" },
        party.e164 && of.direction === "inbound"
          ? el("a", { class: "btn", href: `tel:${party.e164}` }, icon("phone", "i-16"), texts.call.callBack)
          : null,
        el(
          "button",
          { class: "btn hide-sm", type: "button", "data-do": "copy" },
          icon(copied ? "check" : "copy", "i-16"),
          copied ? texts.call.copied : texts.call.copy,
        ),
      ),
    );
  }

  /** @param {Call} of */
  function figures(of) {
    const held = holds(of, explanation?.facts ?? null);
    const live = cells.isLive(of);
    const first = of.answered_by?.extension;
    const second = of.transfer?.state === "completed" ? cells.transferNumber(of) : "";
    const withWhom = !of.answered_at
      ? texts.call.withNobody
      : first && second && second !== first
        ? texts.call.withTwo(first, second)
        : first
          ? texts.call.withOne(first)
          : "\u00a0";
    const [started, answered] = [
      Date.parse(of.started_at),
      of.answered_at ? Date.parse(of.answered_at) : null,
    ];
    const parts = [
      cells.figure(
        "",
        null,
        texts.call.waited,
        live && answered === null ? cells.timer(started, "", "flow") : wait(of.ring_seconds) || "0 s",
        texts.call.from(time(of.started_at)),
      ),
      cells.figure(
        "",
        null,
        texts.call.talked,
        live && answered !== null ? cells.timer(answered, "", "flow") : length(of.talk_seconds ?? 0),
        withWhom,
      ),
      held
        ? cells.figure("", null, texts.call.held, length(held.seconds), texts.call.times(held.count))
        : null,
      cells.figure(
        "",
        null,
        texts.call.inAll,
        live ? cells.timer(started, "", "flow") : length(of.total_seconds),
        of.ended_at ? texts.call.until(time(of.ended_at)) : texts.call.stillGoing,
      ),
    ].filter((part) => part !== null);
    for (const part of parts)
      for (const node of part.querySelectorAll("[data-since]"))
        node.append(length((now() - Number(node.getAttribute("data-since"))) / 1000));
    return el(
      "dl",
      { class: "kpis k4 live-data", "data-columns": parts.length === 4 ? null : parts.length },
      parts,
    );
  }

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const button = hit(event, "[data-do]");
    const action = button?.dataset.do;
    const other = button?.dataset.call ?? "";
    if (action === "link") changeLinks("POST", `${path}/links`, { call_id: other });
    if (action === "unlink") changeLinks("DELETE", `${path}/links/${encodeURIComponent(other)}`);
    if (action === "note" && call)
      askNote(id, headline(call), (fresh) => {
        caller = fresh;
        render();
      });
    if (action !== "copy") return;
    navigator.clipboard?.writeText(location.origin + location.pathname).then(
      () => {
        copied = true;
        render();
      },
      () => {},
    );
  };
  root.addEventListener("click", onClick);
  render();
  load();

  return {
    title: () => (call ? `${headline(call)}, ${shortTime(call.started_at)}` : texts.call.course),
    event(message) {
      if (message.type === "hello" || message.type === "resync") load();
      else if (message.type.startsWith("call.") && message.data.call_id === id) load();
      else if (message.type === "connection" || message.type === "names") render();
    },
    tick() {
      if (call && cells.isLive(call)) render();
    },
    key(key) {
      if (key !== "Escape") return false;
      back("/today");
      return true;
    },
    stop() {
      abort.abort();
      root.removeEventListener("click", onClick);
    },
  };
}
