// The one event stream of a window. Server-sent events are read with fetch instead of EventSource:
// the page then knows when the next attempt is, can start it at once, resumes by the number of the
// last event, and sees a 401.

import { Problem, problemOf, readDate } from "./api.js";
import { liveNow, measure, setRunning } from "./clock.js";

/** @typedef {import("./types.js").Message} Message */

const WAITS = [4, 4, 8, 15, 30];
// The server comments a quiet stream every 20 s; a stream silent for longer is dead.
const SILENCE_MS = 75_000;

/** @type {{ live: boolean, refused: boolean, lostAt: number | null, retryAt: number | null }} */
export const connection = { live: false, refused: false, lostAt: null, retryAt: null };

let path = "";
/** @type {AbortController | null} */
let current = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {string | null} */
let lastId = null;
let attempts = 0;
let lastHeard = 0;
/** @type {(message: Message) => void} */
let deliver = () => {};
/** @type {() => void} */
let changed = () => {};
/** @type {(problem: Problem) => void} */
let refused = () => {};

/** The page is being left; it may be kept for the way back. */
let left = false;
/** The instant at which the stream was given back. @type {number | null} */
let restsSince = null;

/**
 * A browser has six connections for all tabs of a server. A tab that nobody sees gives its stream back,
 * and reads what it missed when it is seen again. The window of an agent keeps it: a call brings it
 * forward.
 */
const rests = () => left || (document.hidden && !path.includes("/stream/popups"));

/** Begins a stream or gives it back, as the page is seen or not. */
function settle() {
  if (!path) return;
  if (!rests()) {
    if (!current && !timer) connect();
  } else if (current || timer) {
    restsSince ??= connection.lostAt ?? liveNow();
    stop();
  }
}

function stop() {
  clearTimeout(timer);
  timer = undefined;
  current?.abort();
  current = null;
}

document.addEventListener("visibilitychange", settle);
window.addEventListener("pagehide", () => {
  left = true;
  settle();
});
window.addEventListener("pageshow", () => {
  left = false;
  settle();
});

/** @param {{ deliver: typeof deliver, changed: typeof changed, refused: typeof refused }} listener */
export function listen(listener) {
  ({ deliver, changed, refused } = listener);
}

/**
 * Opens a stream, in place of the open one if its path differs.
 * @param {string} next
 */
export function open(next) {
  if (next === path && (current || timer || rests())) return;
  close();
  path = next;
  lastId = null;
  attempts = 0;
  connection.refused = false;
  restsSince = null;
  settle();
}

export function close() {
  path = "";
  stop();
  connection.live = false;
  connection.lostAt = null;
  connection.retryAt = null;
  setRunning(true);
}

export function retryNow() {
  if (!path || connection.live || rests()) return;
  stop();
  connect();
}

async function connect() {
  const abort = new AbortController();
  current = abort;
  timer = undefined;
  connection.retryAt = null;
  const watchdog = setInterval(() => {
    if (Date.now() - lastHeard > SILENCE_MS) abort.abort();
  }, 5000);
  lastHeard = Date.now();

  try {
    /** @type {Record<string, string>} */
    const headers = { accept: "text/event-stream" };
    if (lastId !== null) headers["last-event-id"] = lastId;
    const response = await fetch(path, {
      headers,
      signal: abort.signal,
      cache: "no-store",
      credentials: "same-origin",
    });
    if (!response.ok || !response.body) {
      const problem = await problemOf(response);
      if (problem.status >= 401 && problem.status <= 404) {
        close();
        connection.refused = true;
        refused(problem);
        return;
      }
      throw problem;
    }
    readDate(response);
    await read(response.body.getReader());
  } catch {
    // A broken stream, an unreachable server and a refused request end alike: with a new attempt.
  } finally {
    clearInterval(watchdog);
  }
  if (current === abort) lose();
}

/** @param {ReadableStreamDefaultReader<Uint8Array>} reader */
async function read(reader) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    lastHeard = Date.now();
    rest += decoder.decode(value, { stream: true });
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    for (const block of blocks) dispatch(block);
  }
}

/** @param {string} block */
function dispatch(block) {
  let type = "message";
  let id = null;
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (!line || line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") type = value;
    else if (field === "data") data.push(value);
    else if (field === "id") id = value;
  }
  if (!data.length) return;
  if (id !== null) lastId = id;

  /** @type {any} */
  let body;
  try {
    body = JSON.parse(data.join("\n"));
  } catch {
    return;
  }
  if (type === "hello") {
    if (typeof body.now === "string") measure(Date.parse(body.now), 0);
    live();
  }
  try {
    deliver({ type, id, data: body });
  } catch (error) {
    // A fault of the page does not end the stream.
    reportError(error);
  }
}

function live() {
  attempts = 0;
  restsSince = null;
  connection.live = true;
  connection.lostAt = null;
  connection.retryAt = null;
  setRunning(true);
  changed();
}

function lose() {
  current = null;
  connection.lostAt ??= restsSince ?? liveNow();
  connection.live = false;
  const seconds = WAITS[Math.min(attempts, WAITS.length - 1)] ?? 30;
  attempts += 1;
  connection.retryAt = liveNow() + seconds * 1000;
  timer = setTimeout(connect, seconds * 1000);
  setRunning(false);
  changed();
}
