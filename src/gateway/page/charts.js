// Charts as inline SVG: values on the bars, few grid lines, the same data as a table below.

import { el, svg } from "./dom.js";
import { texts } from "./texts.js";

const BASE = 200;
const TOP = 14;
const HEIGHT = 230;

/** @param {number} value */
const round = (value) => value.toFixed(1);

/**
 * A round step for about three grid lines.
 * @param {number} most
 */
function stepOf(most) {
  const rough = Math.max(1, most / 3);
  const power = 10 ** Math.floor(Math.log10(rough));
  const nice = [1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10;
  return nice * power;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string | number} text
 * @param {string} [style]
 * @param {string} [anchor]
 */
const label = (x, y, text, style = "", anchor = "middle") =>
  svg("text", { x: round(x), y: round(y), "text-anchor": anchor, class: style || null }, String(text));

/**
 * Bars per hour: answered below, missed above, the running hour lighter.
 * @param {{ hour: number, good: number, bad: number }[]} bars
 * @param {number | null} running
 * @param {string} said
 */
export function stackedBars(bars, running, said) {
  const [left, width] = [34, 640];
  const most = Math.max(1, ...bars.map((bar) => bar.good + bar.bad));
  const step = stepOf(most);
  const top = Math.max(step, Math.ceil(most / step) * step);
  /** @param {number} value */
  const y = (value) => BASE - (value / top) * (BASE - TOP - 14);
  const slot = (width - left) / bars.length;
  const nodes = [];
  for (let value = step; value <= top; value += step) {
    nodes.push(
      svg("line", { class: "grid", x1: left, x2: width, y1: round(y(value)), y2: round(y(value)) }),
      label(26, y(value) + 4, value, "", "end"),
    );
  }
  nodes.push(svg("line", { class: "base", x1: left, x2: width, y1: BASE, y2: BASE }));
  bars.forEach(({ hour, good, bad }, index) => {
    const x = left + slot * (index + 0.18);
    const wide = slot * 0.64;
    const middle = x + wide / 2;
    if (good)
      nodes.push(
        svg("rect", {
          class: `b-talk${hour === running ? " now" : ""}`,
          x: round(x),
          y: round(y(good)),
          width: round(wide),
          height: round(BASE - y(good)),
        }),
      );
    if (bad) {
      const lower = good ? y(good) - 1.5 : BASE;
      const height = Math.max(2, lower - y(good + bad));
      nodes.push(
        svg("rect", {
          class: "b-miss",
          x: round(x),
          y: round(lower - height),
          width: round(wide),
          height: round(height),
        }),
      );
    }
    if (good + bad) nodes.push(label(middle, y(good + bad) - 7, good + bad, "val"));
    nodes.push(label(middle, 220, hour));
  });
  return svg(
    "svg",
    { class: "chart c-wide", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": said },
    nodes,
  );
}

/**
 * A histogram; bars from `goal` on are grey, the goal is dashed.
 * @param {{ label: string, value: number }[]} bars
 * @param {number | null} goal Index of the first bar beyond the goal.
 * @param {string} goalText
 * @param {string} said
 */
export function histogram(bars, goal, goalText, said) {
  const width = 420;
  const most = Math.max(1, ...bars.map((bar) => bar.value));
  const slot = width / bars.length;
  /** @param {number} value */
  const y = (value) => BASE - (value / most) * (BASE - 40);
  const nodes = bars.flatMap(({ label: text, value }, index) => {
    const x = slot * (index + 0.07);
    const middle = slot * (index + 0.5);
    return [
      svg("rect", {
        class: goal !== null && index >= goal ? "b-soft" : "b-talk",
        x: round(x),
        y: round(y(value)),
        width: round(slot * 0.86),
        height: round(BASE - y(value)),
      }),
      label(middle, y(value) - 6, value, "val"),
      label(middle, 220, text),
    ];
  });
  nodes.push(svg("line", { class: "base", x1: 0, x2: width, y1: BASE, y2: BASE }));
  if (goal !== null) {
    const x = slot * goal;
    nodes.push(
      svg("line", { class: "goal", x1: round(x), x2: round(x), y1: 8, y2: BASE }),
      label(x + 6, 20, goalText, "", "start"),
    );
  }
  return svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": said },
    nodes,
  );
}

/**
 * Weekdays by hours; the figure stands in its cell, the shade only makes it faster.
 * @param {string[]} days
 * @param {number[]} hours
 * @param {(day: number, hour: number) => number} value
 * @param {string} said
 */
export function heatMap(days, hours, value, said) {
  const [left, width, row, top] = [44, 640, 26, 20];
  const slot = (width - left) / hours.length;
  const most = Math.max(1, ...days.flatMap((_, day) => hours.map((hour) => value(day, hour))));
  const nodes = hours.map((hour, index) => label(left + slot * (index + 0.5), 12, hour));
  days.forEach((name, day) => {
    const y = top + row * day;
    nodes.push(label(left - 8, y + 17, name, "", "end"));
    hours.forEach((hour, index) => {
      const mean = value(day, hour);
      const x = left + slot * index + 1;
      nodes.push(
        svg("rect", {
          class: "b-heat",
          x: round(x),
          y: y + 1,
          width: round(slot - 2),
          height: row - 2,
          rx: 2,
          "fill-opacity": (0.06 + 0.5 * (mean / most)).toFixed(2),
        }),
      );
      if (mean >= 0.5) nodes.push(label(x + slot / 2 - 1, y + 17, Math.round(mean), "val"));
    });
  });
  return svg(
    "svg",
    {
      class: "chart c-wide",
      viewBox: `0 0 ${width} ${top + row * days.length + 4}`,
      role: "img",
      "aria-label": said,
    },
    nodes,
  );
}

/**
 * The data of a chart as a table.
 * @param {string[]} heads
 * @param {(string | number)[][]} lines
 */
export const asTable = (heads, lines) =>
  el(
    "details",
    { class: "data no-print" },
    el("summary", null, texts.stats.asTable),
    el("div", { tabindex: "0", role: "group", "aria-label": texts.stats.asTable }, miniTable(heads, lines)),
  );

/**
 * @param {string[]} heads
 * @param {(string | number)[][]} lines
 */
export const miniTable = (heads, lines) =>
  el(
    "table",
    { class: "mini" },
    el(
      "thead",
      null,
      el(
        "tr",
        null,
        heads.map((text) => el("th", { scope: "col" }, text)),
      ),
    ),
    el(
      "tbody",
      null,
      lines.map((line) =>
        el(
          "tr",
          null,
          line.map((value, index) =>
            index
              ? el("td", null, String(value))
              : el("th", { scope: "row" }, el("bdi", null, String(value))),
          ),
        ),
      ),
    ),
  );
