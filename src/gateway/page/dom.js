// Element builder, tree patching and keyed rows. Text is set as text nodes, never as markup.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined>} Attributes */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {Element} node
 * @param {Attributes | null} attributes
 * @param {(Child | Child[])[]} children
 */
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false && child !== "") {
      node.append(child instanceof Node ? child : String(child));
    }
  }
}

/**
 * Builds an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  fill(node, attributes ?? null, children);
  return node;
}

/**
 * Builds an SVG element.
 * @param {string} tag
 * @param {Attributes | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes, ...children) {
  const node = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  fill(node, attributes ?? null, children);
  return node;
}

/**
 * An icon of the sprite in index.html.
 * @param {string} name
 * @param {string} [size]
 */
export function icon(name, size = "") {
  return svg("svg", { class: `i ${size}`.trim(), "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

/** @param {string} text */
export const hidden = (text) => el("span", { class: "vh" }, text);

/**
 * The key of a row that is patched in place.
 * @param {Node | null} node
 */
const keyOf = (node) => (node instanceof Element ? node.getAttribute("data-key") : null);

/**
 * Patches `old` until it equals `fresh`; equal nodes are left alone, so that focus, selection and
 * layout survive. Children below `data-keep` belong to another owner and are not compared.
 * @param {Node} old
 * @param {Node} fresh
 */
function morph(old, fresh) {
  if (old instanceof CharacterData && fresh instanceof CharacterData) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (!(old instanceof Element) || !(fresh instanceof Element)) return;

  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open" && name !== "style") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  control(old, fresh);
  if (fresh.hasAttribute("data-keep")) return;
  place(old);
  morphChildren(old, [...fresh.childNodes]);
}

/**
 * A control that was used no longer follows its attributes.
 * @param {Element} old
 * @param {Element} fresh
 */
function control(old, fresh) {
  if (old instanceof HTMLOptionElement) {
    const selected = fresh.hasAttribute("selected");
    if (old.selected !== selected) old.selected = selected;
  } else if (old instanceof HTMLInputElement) {
    if (old.type === "checkbox") old.checked = fresh.hasAttribute("checked");
    else if (old !== document.activeElement && fresh.hasAttribute("value"))
      old.value = fresh.getAttribute("value") ?? "";
  }
}

/**
 * @param {Element} parent
 * @param {Node[]} fresh
 */
function morphChildren(parent, fresh) {
  const wanted = new Set(fresh.map(keyOf));
  /** @type {Map<string, Element>} */
  const known = new Map();
  for (const child of [...parent.children]) {
    const key = keyOf(child);
    if (key === null) continue;
    if (wanted.has(key)) known.set(key, child);
    else child.remove();
  }

  /** @type {Node | null} */
  let at = parent.firstChild;
  for (const next of fresh) {
    const key = keyOf(next);
    /** @type {Node | null} */
    let match = null;
    if (key !== null) match = known.get(key) ?? null;
    else if (at && keyOf(at) === null && at.nodeName === next.nodeName) match = at;

    if (!match) {
      parent.insertBefore(next, at);
      placeAll(next);
    } else {
      if (match === at) at = at.nextSibling;
      else parent.insertBefore(match, at);
      morph(match, next);
    }
  }

  while (at) {
    const following = at.nextSibling;
    at.parentNode?.removeChild(at);
    at = following;
  }
}

/**
 * Sets the children of `parent`, patching what is already there.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function draw(parent, ...children) {
  const holder = el("div", null, ...children);
  morphChildren(parent, [...holder.childNodes]);
}

/** @type {WeakMap<Element, unknown>} */
const drawn = new WeakMap();

/**
 * Keeps one row per item: a row is built once, patched when its item or `version` changes, and
 * moved only if the order of `items` asks for it.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} build
 * @param {(item: T) => string} [version]
 */
export function rows(parent, items, key, build, version) {
  /** @type {Map<string, Element>} */
  const known = new Map();
  for (const child of parent.children) {
    const name = keyOf(child);
    if (name !== null) known.set(name, child);
  }

  const fresh = items.map((item) => {
    const name = key(item);
    const old = known.get(name);
    const mark = version ? version(item) : item;
    if (old && drawn.get(old) === mark) return { node: old, name };
    const node = build(item);
    node.setAttribute("data-key", name);
    if (old) {
      morph(old, node);
      drawn.set(old, mark);
      return { node: old, name };
    }
    placeAll(node);
    drawn.set(node, mark);
    return { node, name };
  });

  const wanted = new Set(fresh.map((row) => row.name));
  for (const [name, node] of known) if (!wanted.has(name)) node.remove();

  /** @type {Element | null} */
  let at = parent.firstElementChild;
  for (const { node } of fresh) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

/**
 * Positions of bars: `data-left`, `data-width` and `data-fill` become custom properties through
 * the CSSOM, because the policy of the page admits no `style` attribute.
 * @param {Element} node
 */
function place(node) {
  if (!(node instanceof HTMLElement)) return;
  for (const name of ["left", "width", "fill", "heat", "columns"]) {
    const value = node.dataset[name];
    if (value !== undefined && node.style.getPropertyValue(`--${name}`) !== value) {
      node.style.setProperty(`--${name}`, value);
    }
  }
}

/** @param {Node} node */
function placeAll(node) {
  if (!(node instanceof Element)) return;
  place(node);
  for (const child of node.querySelectorAll(
    "[data-left],[data-width],[data-fill],[data-heat],[data-columns]",
  )) {
    place(child);
  }
}

/**
 * @param {string} selector
 * @param {ParentNode} [within]
 * @returns {HTMLElement}
 */
export function one(selector, within = document) {
  const node = within.querySelector(selector);
  if (!(node instanceof HTMLElement)) throw new Error(`no element matches ${selector}`);
  return node;
}

/**
 * The element with `attribute` that contains the target of an event.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export function hit(event, selector) {
  const target = event.target instanceof Element ? event.target.closest(selector) : null;
  return target instanceof HTMLElement ? target : null;
}
