// CSV files made in the browser, from what the page shows.

import { csvCell } from "./format.js";
import { el } from "./dom.js";

/**
 * @param {string} name
 * @param {(string | number)[][]} lines
 */
export function downloadCsv(name, lines) {
  const text = lines.map((line) => line.map(csvCell).join(",")).join("\r\n");
  const url = URL.createObjectURL(new Blob([text, "\r\n"], { type: "text/csv;charset=utf-8" }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
