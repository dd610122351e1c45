// The address is state: pages, filters and opened calls. Every change goes through the history.

/** @type {() => void} */
let moved = () => {};

/** @param {typeof moved} listener */
export function onMove(listener) {
  moved = listener;
  addEventListener("popstate", listener);
}

export const query = () => new URLSearchParams(location.search);

/** @param {string} name */
export const parameter = (name) => query().get(name) ?? "";

/**
 * An address within the page that keeps the chosen site.
 * @param {string} path
 * @param {Record<string, string>} [parameters]
 */
export function href(path, parameters = {}) {
  const search = new URLSearchParams(parameters);
  const site = parameter("site");
  if (site && !search.has("site")) search.set("site", site);
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * Goes to another page. The followed row is kept, so that going back gives the focus back to it.
 * @param {string} target
 * @param {boolean} [replace]
 */
export function go(target, replace = false) {
  const key = document.activeElement?.closest("[data-key]")?.getAttribute("data-key");
  if (key) history.replaceState({ ...history.state, focus: key }, "");
  if (replace) history.replaceState({ depth: depth() }, "", target);
  else history.pushState({ depth: depth() + 1 }, "", target);
  moved();
}

/** Pages of this visit before the current one. */
const depth = () => Number(history.state?.depth ?? 0);

/**
 * Goes back if the page before is one of ours, else to `fallback`.
 * @param {string} fallback
 */
export function back(fallback) {
  if (depth() > 0) history.back();
  else go(href(fallback));
}

/**
 * Changes parameters of the address of this page; an empty value removes one.
 * @param {Record<string, string>} changes
 * @param {boolean} [replace]
 */
export function setQuery(changes, replace = false) {
  const search = query();
  for (const [name, value] of Object.entries(changes)) {
    if (value) search.set(name, value);
    else search.delete(name);
  }
  const text = search.toString();
  const target = location.pathname + (text ? `?${text}` : "");
  if (target === location.pathname + location.search) return;
  if (replace) history.replaceState(history.state, "", target);
  else history.pushState({ depth: depth() + 1 }, "", target);
  moved();
}
