// Names of contacts by call. Lists ask for a name as they draw a row; names are read together, and
// rows are patched when they arrive.

import { get } from "./api.js";

const AT_ONCE = 100;
const KEPT = 5000;
const FIRST_MS = 50;
const EVERY_MS = 1000;

/** @type {Map<string, string | null>} */
const names = new Map();
/** @type {Set<string>} */
const wanted = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let arrived = () => {};

/** @param {() => void} listener Called when further names are known. */
export function whenNamed(listener) {
  arrived = listener;
}

/**
 * The name of the caller of a call; nothing while it is not known.
 * @param {string} call
 */
export function contactName(call) {
  const name = names.get(call);
  if (name === undefined) {
    wanted.add(call);
    timer ??= setTimeout(read, FIRST_MS);
  }
  return name ?? null;
}

/** Contacts were changed, or another account reads them. */
export function forgetNames() {
  names.clear();
}

async function read() {
  const calls = [...wanted].slice(0, AT_ONCE);
  try {
    const found = (await get("/caller-names", { calls: calls.join(",") }, { quiet: true })).names;
    if (names.size > KEPT) names.clear();
    for (const call of calls) names.set(call, found[call] ?? null);
    if (Object.keys(found).length) arrived();
  } catch {
    // Numbers are shown instead; the next row that is drawn asks again.
  }
  for (const call of calls) wanted.delete(call);
  timer = wanted.size ? setTimeout(read, EVERY_MS) : undefined;
}
