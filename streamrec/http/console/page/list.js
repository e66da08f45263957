// The list: rows that glide to their new places, and what moved in words.

import { dot, find, make, number } from "./page.js";

let user = null;
let places = new Map(); // item -> place in the list before

// Shows a list; returns what moved since the one before, "" for the first of a person.
export function showList(shown, clicked, actions) {
  const before = shown.user === user ? places : null;
  const list = find("list");
  const tops = new Map([...list.children].map((row) => [row.dataset.item, row.offsetTop]));
  const focus = focused(list);
  const best = Math.max(...shown.rows.map((row) => row.score));
  const rows = shown.rows.map((row, n) => rowOf(row, n + 1, best, before, actions));
  list.replaceChildren(...rows);
  if (before) glide(rows, tops);
  if (focus) refocus(rows, focus);
  user = shown.user;
  places = new Map(shown.rows.map((row, n) => [row.item, n + 1]));
  return before ? whatMoved(shown.rows, before, clicked) : "";
}

function rowOf(row, place, best, before, { click, why }) {
  const bar = make("b");
  bar.style.width = `${100 * Math.exp(row.score - best)}%`;  // scores are logarithms
  const move = before ? moveOf(place, before.get(row.item)) : "";
  const text = make("div", {},
    make("button", { type: "button", class: "take", onclick: () => click(row) },
      make("span", { class: "title" }, row.title), move),
    make("div", { class: "why-text" }, row.reason));
  const body = make("div", { class: "body" }, ...pictureOf(row), text);
  return make("li", { class: "row", "data-item": row.item },
    make("span", { class: "rank", "aria-hidden": "true" }, String(place)),
    body,
    make("span", { class: "chip" }, dot(row.source), row.meaning),
    make("span", { class: "score" }, make("span", { class: "hidden" }, "score "),
      number(row.score, 2).replace("-", "−"), make("i", {}, bar)),
    make("button", { type: "button", class: "ask", "aria-label": `Why ${row.title}?`,
      onclick: () => why(row.item) }, "Why?"));
}

function pictureOf({ picture }) {
  if (!picture) return [];
  const image = make("img", { src: picture, alt: "", width: "44", height: "44", loading: "lazy" });
  image.addEventListener("error", () => image.remove());
  return [image];
}

function moveOf(place, was) {
  if (was === undefined) return make("span", { class: "move new" }, "new");
  if (was === place) return "";
  const up = was > place;
  return make("span", { class: `move ${up ? "up" : "down"}` },
    make("span", { "aria-hidden": "true" }, `${up ? "▲" : "▼"} ${Math.abs(was - place)}`),
    make("span", { class: "hidden" }, `${up ? "up" : "down"} ${Math.abs(was - place)}`));
}

function whatMoved(rows, before, clicked) {
  const because = (row) => {
    const past = row.because.filter((one) => one.title !== row.title);
    const told = past.find((one) => one.item === clicked) ?? past[0];
    return { weight: told ? 1 + (told.item === clicked) : 0,
      words: told ? ` because of “${told.title}”` : "" };
  };
  const moves = rows.map((row, n) => ({ row, place: n + 1, was: before.get(row.item),
    ...because(row) }));
  const fresh = moves.filter((one) => one.was === undefined);
  const risen = moves.filter((one) => one.was > one.place && one.row.item !== clicked);
  if (!fresh.length && !risen.length) return "The order of the items is as it was.";
  fresh.sort((a, b) => b.weight - a.weight || a.place - b.place);
  risen.sort((a, b) => b.weight - a.weight || (b.was - b.place) - (a.was - a.place));
  const told = [`${fresh.length || "None"} of ${rows.length} items ${fresh.length > 1 ? "are" : "is"} new`];
  if (fresh.length) {
    told.push(`“${fresh[0].row.title}” came in at ${fresh[0].place}${fresh[0].words}`);
  }
  if (risen.length) {
    const one = risen[0];
    told.push(`“${one.row.title}” rose from ${one.was} to ${one.place}${one.words}`);
  }
  return `${told.join("; ")}.`;
}

function glide(rows, tops) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const row of rows) {
    const was = tops.get(row.dataset.item);
    const from = was === undefined
      ? [{ opacity: 0, transform: "translateX(24px)" }, { opacity: 1, transform: "none" }]
      : [{ transform: `translateY(${was - row.offsetTop}px)` }, { transform: "none" }];
    if (was !== row.offsetTop) row.animate(from, { duration: 450, easing: "ease-out" });
  }
}

// Focus stays on the item, or where it was when the item is gone.
function focused(list) {
  const row = document.activeElement?.closest("#list > li");
  if (!row) return null;
  return { item: row.dataset.item, place: [...list.children].indexOf(row),
    kind: document.activeElement.className };
}

function refocus(rows, { item, place, kind }) {
  const row = rows.find((one) => one.dataset.item === item) ?? rows[Math.min(place, rows.length - 1)];
  row?.querySelector(`.${kind}`)?.focus({ preventScroll: true });
}
