// A filter that is tried: what it takes out of the list, and what comes in instead.

import { ask, find, make, number } from "./page.js";
import { link } from "./item.js";

const PAUSE_MS = 400;
let asked = 0; // only the latest question is answered
let timer = 0;

export function watchFilter(of, open) {
  find("filter").addEventListener("submit", (event) => { event.preventDefault(); tryIt(of(), open); });
  find("rule").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => tryIt(of(), open), PAUSE_MS);
  });
}

// Asks what the filter does to the list of a user, and marks what it removes.
export async function tryIt(user, open) {
  const rule = find("rule").value.trim(), mine = ++asked;
  clearTimeout(timer);
  if (!rule) {
    tell("", [], []);
    return;
  }
  const found = await ask("filter", { user, filter: rule }).catch((error) => ({ error }));
  if (mine !== asked) return;
  find("rule").setAttribute("aria-invalid", String(Boolean(found.error)));
  if (found.error) tell(found.error.message, [], []);
  else tell(words(found), found.removed, found.added, open);
}

function words({ passing, of, length, removed }) {
  const all = `${number(passing)} of ${number(of)} items pass.`;
  if (!removed.length) return `${all} Nothing in this list is removed.`;
  return `${all} It removes ${number(removed.length)} of the list's ${number(length)}.`;
}

function tell(text, removed, added, open) {
  find("filtered").textContent = text;
  const part = (name, items) => (items.length
    ? [make("h3", {}, name), make("ul", { class: "found" }, ...items.map((one) => link(one, open)))]
    : []);
  find("out-and-in").replaceChildren(...part("Removed", removed), ...part("Come in instead", added));
  const gone = new Set(removed.map((one) => one.item));
  for (const row of find("list").children) row.classList.toggle("removed", gone.has(row.dataset.item));
}
