// What all parts of the page need: elements, numbers, questions to the server.

export const find = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const percent = (share, digits = 0) => `${number(100 * share, digits)} %`;

export const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value), 2)}`;

export async function ask(path, parameters = {}) {
  const answer = await fetch(`/console/api/${path}?${new URLSearchParams(parameters)}`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail);
  return body;
}

export const dot = (source) => make("span", { class: `dot ${kind(source)}`, "aria-hidden": "true" });

// the class that has a source's colour; sources from outside share one
const KINDS = new Set(["similarity", "successors", "cosine", "factors", "content", "repeats",
  "segment", "popularity", "popularity_short", "popularity_medium", "popularity_long", "network",
  "neural", "facts", "rules", "blend"]);
export const kind = (source) => (KINDS.has(source) ? source : "other");
