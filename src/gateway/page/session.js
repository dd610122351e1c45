// The signed-in account, the chosen site, and names of extensions and helplines.

import { get, getOr } from "./api.js";
import { whenNamed } from "./contact-names.js";
import { parameter } from "./router.js";

/** @typedef {import("./types.js").Me} Me */
/** @typedef {import("./types.js").Person} Person */
/** @typedef {import("./types.js").Helpline} Helpline */
/** @typedef {import("./types.js").Extension} Extension */

/** @typedef {import("./types.js").Goals} Goals */

/** @type {{ me: Me | null, sites: string[], sitesRead: boolean, people: Person[], helplines: Helpline[], extensions: Extension[] }} */
export const session = { me: null, sites: [], sitesRead: false, people: [], helplines: [], extensions: [] };

/** @type {Goals} Those of the settings, once they are read. */
let usualGoals = { answer_goal_seconds: 20, desk_goal_minutes: 30, desk_escalation_minutes: 60 };
/** @type {Map<string, Goals>} */
let siteGoals = new Map();

/** Changes whenever names are read anew, so that rows are patched. */
export let namesRead = 0;

/** @type {Map<string, string>} */
let names = new Map();
/** @type {Map<string, Helpline>} */
let lines = new Map();

/** The site of the address, else the only one; empty for all sites. */
export function site() {
  const chosen = parameter("site");
  if (chosen) return chosen;
  return session.sites.length === 1 ? (session.sites[0] ?? "") : "";
}

export const siteQuery = () => ({ site: site() || null });

/** The extension of the account; where no account exists, the one of the address. */
export function ownExtension() {
  const { me } = session;
  return me?.extension ?? (me?.signed_in ? null : parameter("extension") || null);
}

/** The query of the agent's own requests: an account with one site and a phone needs none. */
export function ownQuery() {
  const { me } = session;
  const asked = new URLSearchParams();
  if (site()) asked.set("site", site());
  if (me && !me.extension && ownExtension()) asked.set("extension", ownExtension() ?? "");
  return asked.size ? `?${asked}` : "";
}

/** @param {import("./types.js").Right} right */
export const may = (right) => session.me?.may.includes(right) ?? false;

export async function readMe() {
  session.sitesRead = false;
  session.me = await get("/me", {}, { quiet: true });
  return session.me;
}

export async function readSites() {
  const answer = await getOr("/sites", {}, { sites: /** @type {string[]} */ ([]) });
  const allowed = session.me?.sites;
  session.sites = allowed
    ? answer.sites.length
      ? answer.sites.filter((name) => allowed.includes(name))
      : allowed
    : answer.sites;
  session.sitesRead = true;
}

/** The goals of a site: without one, of that which is shown. */
export const goalsOf = (of = site()) => siteGoals.get(of) ?? usualGoals;

export async function readRules() {
  const answer = await getOr("/site-rules", {}, /** @type {any} */ (null));
  if (!answer) return;
  usualGoals = answer.default;
  siteGoals = new Map(
    /** @type {import("./types.js").SiteInForce[]} */ (answer.sites).map((each) => [
      each.site,
      each.in_force,
    ]),
  );
}

/**
 * Reads one directory of a site. Directories name one site per request, so that "all sites" asks
 * each.
 * @template T
 * @param {string} path
 * @param {string} field
 * @returns {Promise<T[]>}
 */
export async function directory(path, field) {
  const chosen = site();
  const places = chosen || !session.sites.length ? [chosen] : session.sites;
  const answers = await Promise.all(
    places.map((name) => getOr(path, { site: name || null }, /** @type {any} */ ({}))),
  );
  return answers.flatMap((answer) => answer[field] ?? []);
}

export async function readPeople() {
  session.people = await directory("/people", "people");
  index();
}

export async function readDirectory() {
  const [people, helplines, extensions] = await Promise.all([
    /** @type {Promise<Person[]>} */ (directory("/people", "people")),
    /** @type {Promise<Helpline[]>} */ (directory("/helplines", "helplines")),
    /** @type {Promise<Extension[]>} */ (directory("/extensions", "extensions")),
  ]);
  Object.assign(session, { people, helplines, extensions });
  index();
}

whenNamed(() => {
  namesRead += 1;
  namesChanged();
});

let namesChanged = () => {};

/** @param {() => void} listener Called when callers have names that they had not. */
export function onNames(listener) {
  namesChanged = listener;
}

function index() {
  namesRead += 1;
  names = new Map();
  for (const { extension, name, agent } of session.extensions) {
    const shown = name ?? agent;
    if (shown) names.set(extension, shown);
  }
  for (const { extension, display_name, name } of session.people) {
    if (extension) names.set(extension, display_name ?? name);
  }
  lines = new Map(session.helplines.map((line) => [line.number, line]));
}

/**
 * The name of an extension, or an empty text.
 * @param {string | null | undefined} extension
 */
export const nameOf = (extension) => (extension ? (names.get(extension) ?? "") : "");

/**
 * Extension and name: "204 Omar Farooq".
 * @param {string | null | undefined} extension
 */
export const extensionText = (extension) => `${extension ?? ""} ${nameOf(extension)}`.trim();

/**
 * Extension and first name: "204 Omar".
 * @param {string | null | undefined} extension
 */
export const shortExtension = (extension) =>
  `${extension ?? ""} ${nameOf(extension).split(" ")[0] ?? ""}`.trim();

/** @param {string | null | undefined} number */
export const helpline = (number) => (number ? lines.get(number) : undefined);

/** @param {string} account */
export const accountName = (account) =>
  session.people.find((person) => (person.account ?? person.name) === account)?.display_name ??
  (session.me?.name === account ? session.me.display_name : null) ??
  account;
