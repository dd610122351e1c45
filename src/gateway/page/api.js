// Requests to the API: JSON, problem details, and the way to the sign-in page.

import { measure } from "./clock.js";

const BASE = "/api/v1";

/** An answer that is an error, or no answer at all (status 0). */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} detail
   */
  constructor(status, code, detail) {
    super(detail || code || `status ${status}`);
    this.status = status;
    this.code = code;
    this.detail = detail;
  }

  get databaseAway() {
    return this.status === 503 || this.status === 502 || this.status === 504;
  }
}

/** @type {(problem: Problem | null, reading: boolean) => void} */
let report = () => {};

/**
 * Receives each problem, whether it was met reading, and null after each request that succeeded.
 * @param {(problem: Problem | null, reading: boolean) => void} listener
 */
export function onProblem(listener) {
  report = listener;
}

/**
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [query]
 */
export function address(path, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return BASE + path + (text ? `?${text}` : "");
}

/** @param {Response} response */
export async function problemOf(response) {
  /** @type {any} */
  let body = {};
  try {
    body = await response.json();
  } catch {
    // An error of a proxy may have no JSON body; the status is enough.
  }
  return new Problem(response.status, String(body.code ?? ""), String(body.detail ?? body.message ?? ""));
}

/** @param {Response} response */
export function readDate(response) {
  const date = response.headers.get("date");
  if (date) measure(Date.parse(date), 1000);
}

/**
 * @param {string} url
 * @param {RequestInit} init
 * @param {boolean} quiet
 */
async function request(url, init, quiet) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, { ...init, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "");
  }
  readDate(response);
  if (!response.ok) {
    const problem = await problemOf(response);
    if (!quiet) report(problem, init.method === undefined);
    throw problem;
  }
  if (!quiet) report(null, true);
  return response.status === 204 ? null : response.json();
}

/**
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [query]
 * @param {{ signal?: AbortSignal, quiet?: boolean }} [options]
 * @returns {Promise<any>}
 */
export const get = (path, query, options = {}) =>
  request(
    address(path, query),
    { headers: { accept: "application/json" }, signal: options.signal },
    options.quiet ?? false,
  );

/** @type {Set<string>} Resources that this server does not have; they are not asked for again. */
const absentPaths = new Set();

/**
 * Reads a resource that older servers do not have.
 * @template T
 * @param {string} path
 * @param {Record<string, string | null | undefined>} query
 * @param {T} absent
 * @returns {Promise<T>}
 */
export async function getOr(path, query, absent) {
  if (absentPaths.has(path)) return absent;
  try {
    return await get(path, query, { quiet: true });
  } catch (error) {
    if (error instanceof Problem && error.status === 404) absentPaths.add(path);
    if (error instanceof Problem && error.status !== 401) return absent;
    throw error;
  }
}

/**
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {{ quiet?: boolean }} [options]
 * @returns {Promise<any>}
 */
export const send = (method, path, body, options = {}) =>
  request(
    BASE + path,
    body === undefined
      ? { method }
      : { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) },
    options.quiet ?? false,
  );

/**
 * @param {string} path
 * @param {string | Blob} csv
 * @returns {Promise<any>}
 */
export const sendCsv = (path, csv) =>
  request(BASE + path, { method: "POST", headers: { "content-type": "text/csv" }, body: csv }, true);

/**
 * True if the request was given up by the page itself.
 * @param {unknown} error
 */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";
