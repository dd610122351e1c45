// The description of the API: operations by tag, and the objects in them.

import { Problem, get, isAbort } from "./api.js";
import { greyRows } from "./cells.js";
import { draw, el, hit } from "./dom.js";
import { texts } from "./texts.js";

/** @typedef {import("./types.js").Description} Description */
/** @typedef {import("./types.js").Operation} Operation */
/** @typedef {import("./types.js").Schema} Schema */
/** @typedef {import("./types.js").View} View */
/** @typedef {(Node | string)[]} Words */

const METHODS = ["get", "post", "put", "patch", "delete"];
const REFERENCE = "#/components/schemas/";
const words = texts.api;

/**
 * @param {HTMLElement} root
 * @returns {View}
 */
export function apiPage(root) {
  const abort = new AbortController();
  /** @type {Description | null} */
  let description = null;

  async function load() {
    try {
      description = await get("/openapi.json", {}, { signal: abort.signal });
      render();
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Problem)) throw error;
    }
  }

  function render() {
    const shown = description;
    draw(
      root,
      el(
        "div",
        { class: "head" },
        el("h1", null, words.title),
        shown ? el("p", null, words.version(shown.info.version)) : null,
        el("a", { class: "btn end", href: "/api/v1/openapi.json" }, words.document),
      ),
      shown ? shown.tags.map((tag) => tagPanel(shown, tag)) : el("section", { class: "panel" }, greyRows(6)),
      shown ? objectsPanel(shown) : null,
    );
  }

  /** @param {MouseEvent} event */
  const onClick = (event) => {
    const name = hit(event, "[data-object]")?.dataset.object;
    const target = name ? document.getElementById(`object-${name}`) : null;
    if (!(target instanceof HTMLDetailsElement)) return;
    event.preventDefault();
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary")?.focus({ preventScroll: true });
  };
  root.addEventListener("click", onClick);
  render();
  load();

  return {
    title: () => words.title,
    stop() {
      abort.abort();
      root.removeEventListener("click", onClick);
    },
  };
}

/**
 * @param {Description} description
 * @param {{ name: string, description: string }} tag
 */
function tagPanel(description, tag) {
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    METHODS.flatMap((method) => {
      const operation = methods[method];
      return operation?.tags.includes(tag.name) ? [operationRow(description, method, path, operation)] : [];
    }),
  );
  return el(
    "section",
    { class: "panel", "aria-label": tag.name },
    el("header", null, el("h2", null, tag.name), el("span", { class: "muted" }, tag.description)),
    operations,
  );
}

/**
 * @param {Description} description
 * @param {string} method
 * @param {string} path
 * @param {Operation} operation
 */
function operationRow(description, method, path, operation) {
  const parameters = operation.parameters ?? [];
  const bodies = Object.entries(operation.requestBody?.content ?? {});
  return el(
    "details",
    { class: "op", id: operation.operationId },
    el(
      "summary",
      null,
      el("span", { class: "method mono" }, method.toUpperCase()),
      el("span", { class: "mono" }, path),
      el("span", { class: "soft" }, operation.summary),
    ),
    el(
      "div",
      { class: "pad stack" },
      operation.description ? el("p", null, ...prose(operation.description)) : null,
      parameters.length
        ? table(
            words.parameters,
            [words.columns.name, words.columns.type, words.columns.meaning],
            parameters.map((parameter) => [
              [el("b", { class: "mono" }, parameter.name), ` ${words.places[parameter.in]}`],
              typeOf(parameter.schema),
              prose(parameter.description ?? parameter.schema?.description),
            ]),
          )
        : null,
      bodies.map(([type, content]) =>
        el("p", null, el("b", null, words.body), " ", el("span", { class: "mono" }, type), " ", ...typeOf(content.schema)),
      ),
      table(
        words.answers,
        [words.columns.status, words.columns.type, words.columns.meaning],
        Object.entries(operation.responses).map(([status, answer]) => [
          [el("b", { class: "mono" }, status)],
          contentOf(answer.content),
          prose(answer.description),
        ]),
      ),
      el("h3", null, words.example),
      el("code", { class: "code" }, curl(description, method, path, operation)),
    ),
  );
}

/** @param {Description} description */
function objectsPanel(description) {
  return el(
    "section",
    { class: "panel", "aria-label": words.objects },
    el("header", null, el("h2", null, words.objects), el("span", { class: "muted" }, words.objectsRest)),
    Object.entries(description.components.schemas).map(([name, schema]) =>
      el(
        "details",
        { class: "op", id: `object-${name}` },
        el(
          "summary",
          null,
          el("span", { class: "mono strong" }, name),
          el("span", { class: "soft" }, ...prose(schema.description)),
        ),
        el("div", { class: "pad stack" }, objectBody(schema)),
      ),
    ),
  );
}

/** @param {Schema} schema */
function objectBody(schema) {
  const parts = [schema, ...(schema.allOf ?? [])];
  const shown = parts.filter((part) => part.properties);
  if (!shown.length) return el("p", null, ...typeOf(schema));
  const others = parts.filter((part) => part.$ref).map((part) => el("p", null, words.fieldsOf, ...typeOf(part)));
  const tables = shown.map((part) =>
    table(
      "",
      [words.columns.name, words.columns.type, words.columns.meaning],
      Object.entries(part.properties ?? {}).map(([name, field]) => [
        [
          el("b", { class: "mono" }, name),
          part.additionalProperties === false && part.required?.includes(name) ? ` ${words.required}` : "",
        ],
        typeOf(field),
        prose(field.description),
      ]),
    ),
  );
  return [...others, ...tables];
}

/** @param {Record<string, { schema?: Schema }> | undefined} content */
function contentOf(content) {
  const types = Object.entries(content ?? {});
  if (!types.length) return [words.nothing];
  return types.flatMap(([type, { schema }], index) => [
    index ? words.or : "",
    el("span", { class: "mono" }, type),
    " ",
    ...(schema?.$ref ? typeOf(schema) : []),
  ]);
}

/**
 * The type of a value in words; objects are links.
 * @param {Schema | undefined} schema
 * @returns {Words}
 */
function typeOf(schema) {
  if (!schema) return [words.any];
  if (schema.$ref) {
    const name = schema.$ref.slice(REFERENCE.length);
    return [el("a", { href: `#object-${name}`, "data-object": name }, name)];
  }
  const choices = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (choices) return joined(choices.map(typeOf));
  if (schema.enum) return joined(schema.enum.map((value) => [el("span", { class: "mono" }, String(value))]));
  const types = [schema.type ?? words.any].flat();
  return joined(
    types.map((type) => {
      if (type === "array") return [words.listOf, ...typeOf(schema.items)];
      return [schema.format === "date-time" && type === "string" ? words.instant : type];
    }),
  ).concat(bounds(schema));
}

/**
 * A description; names in it stand between grave accents.
 * @param {string | undefined} text
 * @returns {Words}
 */
const prose = (text = "") =>
  text.split("`").map((part, index) => (index % 2 ? el("span", { class: "mono" }, part) : part));

/** @param {Words[]} parts */
const joined = (parts) => parts.flatMap((part, index) => (index ? [words.or, ...part] : part));

/** @param {Schema} schema */
function bounds(schema) {
  if (schema.maximum !== undefined) return [`, ${words.range(schema.minimum ?? 0, schema.maximum)}`];
  if (schema.maxLength !== undefined) return [`, ${words.length(schema.minLength ?? 0, schema.maxLength)}`];
  if (schema.maxItems !== undefined) return [`, ${words.count(schema.minItems ?? 0, schema.maxItems)}`];
  return [];
}

/**
 * @param {string} title
 * @param {string[]} columns
 * @param {Words[][]} lines
 */
const table = (title, columns, lines) =>
  el(
    "table",
    { class: "mini api" },
    title ? el("caption", null, title) : null,
    el(
      "thead",
      null,
      el(
        "tr",
        null,
        columns.map((column) => el("th", { scope: "col" }, column)),
      ),
    ),
    el(
      "tbody",
      null,
      lines.map((line) =>
        el(
          "tr",
          null,
          line.map((cell) => el("td", null, ...cell)),
        ),
      ),
    ),
  );

/**
 * A command that sends the request.
 * @param {Description} description
 * @param {string} method
 * @param {string} path
 * @param {Operation} operation
 */
function curl(description, method, path, operation) {
  const parts = ["curl"];
  if (method !== "get") parts.push("-X", method.toUpperCase());
  if (operation.security) parts.push('-H "Authorization: Bearer $TOKEN"');
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type) parts.push(`-H 'Content-Type: ${type}'`);
  if (type === "application/json") {
    const sample = sampleOf(description, content?.schema);
    parts.push(`-d '${JSON.stringify(sample)}'`);
  } else if (type) parts.push("--data-binary @FILE");
  const target = path.replaceAll(/\{(\w+)\}/g, (_, name) => String(name).toUpperCase());
  parts.push(`'${location.origin}${target}'`);
  return parts.join(" ");
}

/**
 * The smallest value of a schema.
 * @param {Description} description
 * @param {Schema | undefined} schema
 * @returns {unknown}
 */
function sampleOf(description, schema) {
  if (schema?.$ref) {
    return sampleOf(description, description.components.schemas[schema.$ref.slice(REFERENCE.length)]);
  }
  if (schema?.oneOf?.[0]) return sampleOf(description, schema.oneOf[0]);
  if (schema?.enum) return schema.enum[0];
  if (schema?.type === "array") return [sampleOf(description, schema.items)];
  if (schema?.properties) {
    const { properties } = schema;
    return Object.fromEntries(
      (schema.required ?? []).map((name) => [name, sampleOf(description, properties[name])]),
    );
  }
  return schema?.type === "string" ? "..." : null;
}
