// What makes the list, and how the whole is doing.

import { ask, dot, find, kind, make, number, percent } from "./page.js";

const EVERY_MS = 2000;
const SVG = "http://www.w3.org/2000/svg";

export async function showShares(user) {
  const parts = await ask("shares", { user });
  const bars = parts.map((part) => {
    const bar = make("span", { class: kind(part.name) });
    bar.style.flexGrow = part.value;
    return bar;
  });
  find("bar").replaceChildren(...bars);
  const rows = parts.filter((part) => part.value >= 0.005).map((part) =>
    make("li", {}, dot(part.name), part.meaning, make("span", {}, percent(part.value))));
  find("shares").replaceChildren(...rows);
}

export function watchStatus() {
  const look = async () => {
    if (document.hidden) return;
    try {
      show(await ask("status"));
    } catch {
      find("roles").replaceChildren(make("li", { class: "away" }, "serve does not answer"));
    }
  };
  look();
  setInterval(look, EVERY_MS);
}

function show(status) {
  find("roles").replaceChildren(...Object.entries(status.roles).map(([role, answers]) =>
    make("li", answers ? {} : { class: "away" }, answers ? role : `${short(role)} does not answer`)));
  const numbers = [
    ["click to list, half within", status.p50_ms, 0, " ms"],
    ["click to list, 99 % within", status.p99_ms, 0, " ms"],
    ["events a second", status.events_per_second, 1, ""],
    ["lists a second", status.lists_per_second, 1, ""],
    ["events not learnt yet", status.lag, 0, ""],
    ["people waiting for a list", status.waiting, 0, ""],
    ["events learnt", status.events, 0, ""],
  ].filter(([, value]) => value !== null).map(([name, value, digits, unit]) =>
    [name, number(value, digits) + unit]);
  if (status.events !== null) {
    numbers.push(["neural ranker", status.network ? `version ${status.network}` : "not serving"]);
  }
  if (status.stopped) numbers.push(["shards that need a person", String(status.stopped)]);
  find("numbers").replaceChildren(...numbers.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  if (!numbers.length) {
    find("numbers").append(make("p", { class: "small" },
      "No process tells its metrics here: serve.metrics_of names their addresses."));
  }
  showRecall(status.recall);
}

// An address stands for a role that never answered.
const short = (role) => (role.startsWith("http") ? new URL(role).host : role);

function showRecall(lines) {
  const words = lines.map((line) => `${line.meaning} ${percent(line.recall, 1)}`);
  const chart = find("chart");
  const most = Math.max(0.01, ...lines.flatMap((line) => line.points));
  const drawn = lines.some((line) => line.points.length > 1);
  chart.toggleAttribute("hidden", !drawn);
  find("scale").textContent = drawn ? `The latest clicks are at the right; the top is ${percent(most, 1)}.` : "";
  chart.setAttribute("aria-label", `Recall over time. Over all: ${words.join(", ")}`);
  chart.replaceChildren(base(), ...[...lines].reverse().map((line) => path(line, most)));
  find("recall").replaceChildren(...lines.map((line) =>
    make("li", {}, dot(line.source), line.meaning, make("span", {}, percent(line.recall, 1)))));
  if (!lines.length) {
    find("recall").append(make("li", { class: "small" }, "Not known here."));
  }
}

function base() {
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of [["x1", 0], ["x2", 300], ["y1", 90], ["y2", 90]]) {
    line.setAttribute(name, value);
  }
  return line;
}

function path({ source, points }, most) {
  const path = document.createElementNS(SVG, "path");
  const step = 300 / Math.max(1, points.length - 1);
  const at = points.map((recall, n) => `${(n * step).toFixed(1)},${(90 - 86 * recall / most).toFixed(1)}`);
  path.setAttribute("d", at.length ? `M${at.join("L")}` : "");
  path.setAttribute("class", kind(source));
  return path;
}
