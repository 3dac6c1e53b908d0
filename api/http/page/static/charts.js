// Drawing: elements of SVG, a chart of lines, a chart of bars around zero.

import { make } from "./dom.js";

export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** A picture with its words. `name` is read where the picture cannot be seen. */
export function figure(name, picture, ...more) {
  return make("figure", { class: "w-figure" }, make("figcaption", {}, name), picture, ...more);
}

/** Round steps that cover [low, high]: about `count` of them. */
export function ticks(low, high, count = 5) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [560, 260, 46, 14, 12, 40];
export const KINDS = 6; // of lines that can be told apart: colour and dashes

/**
 * Lines over common places. `series` are {name, values, kind}, null where there is no value; `kind` is 0, 1, ...; `places` are the words below the axis;
 * `marks` are {place, text}: what happened there. `x` names the axis; `y` has the range that must be visible.
 */
export function lineChart(name, { series, places, x = "", y = [], marks = [] }) {
  const values = [...series.flatMap((each) => each.values).filter((value) => value !== null), ...y];
  const steps = ticks(Math.min(...values), Math.max(...values));
  const [low, high] = [steps[0], steps.at(-1)];
  const across = (place) => LEFT + ((WIDTH - LEFT - RIGHT) * (places.length > 1 ? place : 0.5)) / Math.max(places.length - 1, 1);
  const down = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - value)) / (high - low);
  const grid = steps.flatMap((value) => [
    draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: down(value), y2: down(value), class: "w-grid" }),
    draw("text", { x: LEFT - 6, y: down(value) + 4, class: "w-tick w-end" }, String(value)),
  ]);
  const every = Math.ceil(places.length / 8);
  const below = places.flatMap((word, place) =>
    place % every ? [] : [draw("text", { x: across(place), y: HEIGHT - 22, class: "w-tick" }, word)]);
  const happened = marks.map(({ place, text }, number) => draw("g", { class: "w-happened" },
    draw("line", { x1: across(place), x2: across(place), y1: TOP, y2: HEIGHT - BOTTOM }),
    draw("text", { x: across(place), y: TOP + 4 }, String(number + 1)), draw("title", {}, text)));
  const lines = series.flatMap(({ name: title, values: own, kind }) => {
    const points = own.map((value, place) => (value === null ? null : [across(place), down(value), value]));
    const path = points.filter(Boolean).map(([left, top]) => `${left},${top}`).join("L"); // over gaps, too
    return [draw("path", { d: `M${path}`, class: `w-series w-kind-${kind % KINDS}` }),
      ...points.flatMap((point, place) => (point ? [[...point, place]] : [])).map(([left, top, value, place]) =>
        draw("circle", { cx: left, cy: top, r: 3.5, class: `w-dot w-kind-${kind % KINDS}` }, draw("title", {}, `${title}: ${value} (${places[place]})`)))];
  });
  const axis = draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, class: "w-tick" }, x);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name }, ...grid, ...below, ...happened, ...lines, axis);
  return figure(name, svg, legend(series), ...(marks.length ? [marksList(marks)] : []));
}

function legend(series) {
  const entries = series.map(({ name, kind }) => {
    const line = draw("svg", { viewBox: "0 0 28 10", width: 28, height: 10, "aria-hidden": "true" },
      draw("path", { d: "M0,5L28,5", class: `w-series w-kind-${kind % KINDS}` }));
    return make("li", {}, line, ` ${name}`);
  });
  return make("ul", { class: "w-key-list w-names-of-lines" }, ...entries);
}

function marksList(marks) {
  return make("ol", { class: "w-marks" }, ...marks.map(({ text }) => make("li", {}, text)));
}

/** Bars around zero, in the given order. `entries` are {value, title}. */
export function differenceChart(name, entries, more) {
  const most = Math.max(...entries.map(({ value }) => Math.abs(value)), 1e-9);
  const steps = ticks(-most, most, 4);
  const [low, high] = [steps[0], steps.at(-1)];
  const height = 200;
  const down = (value) => 8 + ((height - 16) * (high - value)) / (high - low);
  const width = (WIDTH - LEFT - RIGHT) / entries.length;
  const grid = steps.flatMap((value) => [
    draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: down(value), y2: down(value), class: value === 0 ? "w-zero" : "w-grid" }),
    draw("text", { x: LEFT - 6, y: down(value) + 4, class: "w-tick w-end" }, String(value)),
  ]);
  const bars = entries.map(({ value, title }, place) =>
    draw("rect", { x: LEFT + place * width, width: Math.max(width - (width > 4 ? 1 : 0), 0.5), y: Math.min(down(value), down(0)),
      height: Math.max(Math.abs(down(value) - down(0)), value === 0 ? 0 : 1), class: value > 0 ? "w-win" : "w-loss" }, draw("title", {}, title)));
  return figure(name, draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": name }, ...grid, ...bars), more);
}
