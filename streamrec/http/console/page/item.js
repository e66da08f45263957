// One item: why it is, or is not, in the list, and what is taken after it. And the search.

import { ask, dot, find, make, number, percent, signed } from "./page.js";

const PAUSE_MS = 200;
let asked = 0; // only the latest question is answered

export function watchSearch(open) {
  let timer = 0;
  find("find").addEventListener("submit", (event) => event.preventDefault());
  find("words").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => search(find("words").value.trim(), open), PAUSE_MS);
  });
}

async function search(words, open) {
  const mine = ++asked;
  const found = words ? await ask("search", { q: words }) : [];
  if (mine !== asked) return;
  find("found-count").textContent = !words ? "" : found.length ? "" : "Nothing has these words.";
  find("found").replaceChildren(...found.map((one) => link(one, open)));
}

export async function showItem(user, item, click, open) {
  const dialog = find("about");
  find("about-title").textContent = "…";
  find("about-id").textContent = item;
  find("verdict").textContent = "Asking the sources (the first time, this takes some seconds)";
  find("reasons").replaceChildren();
  find("similar").replaceChildren();
  find("about-click").hidden = true;
  if (!dialog.open) dialog.showModal();
  find("about-title").focus();
  dialog.scrollTop = 0;
  const [why, similar] = await Promise.all([ask("explain", { user, item }), ask("similar", { item })])
    .catch((error) => [{ error }, []]);
  if (why.error) {
    find("verdict").textContent = why.error.message;
    return;
  }
  find("about-title").textContent = why.title;
  find("about-id").textContent = `Item ${item}`;
  find("verdict").textContent = verdict(why.answer);
  find("reasons").replaceChildren(...reasons(why));
  const button = find("about-click");
  button.hidden = false;
  button.textContent = `Click it as ${user}`;
  button.onclick = () => { dialog.close(); click({ item, title: why.title }); };
  find("similar").replaceChildren(...similar.map((one) => link(one, open)));
  if (!similar.length) find("similar").append(make("li", { class: "small" }, "Nothing is known yet."));
}

function verdict({ listed, rank, user, why_not: whyNot }) {
  if (listed) return `Number ${rank} of a list made now for ${user}.`;
  const place = rank === null ? "" : ` It is number ${rank} of the candidates.`;
  return `Not in a list made now for ${user}: ${whyNot}.${place}`;
}

function reasons({ parts, past, ranks }) {
  const told = [];
  if (parts.length) {
    told.push(make("h3", {}, "What speaks for it and against it"),
      make("p", { class: "small" }, "Against the mean of the candidates; the sum is its score less "
        + "theirs."), table(parts, true));
  }
  if (past.length) {
    told.push(make("h3", {}, "By what this person took"), table(past, false));
  }
  if (ranks.length) {
    const words = ranks.map((one) => `${one.meaning} ${number(Math.round(one.value))}`).join(", ");
    told.push(make("h3", {}, "Its rank in each source alone"), make("p", { class: "small" }, words));
  }
  return told;
}

function table(parts, coloured) {
  const most = Math.max(...parts.map((part) => Math.abs(part.value)));
  return make("table", { class: "parts" }, make("tbody", {}, ...parts.map((part) => {
    const bar = make("b");
    bar.style.width = `${(100 * Math.abs(part.value)) / most}%`;
    const [left, right] = [make("i"), make("i")];
    (part.value < 0 ? left : right).append(bar);
    const name = make("th", { scope: "row" });
    if (coloured) name.append(dot(part.name), " ");
    name.append(part.meaning);
    return make("tr", {}, name,
      make("td", { class: "swing", "aria-hidden": "true" }, make("span", {}, left, right)),
      make("td", {}, signed(part.value)));
  })));
}

export function link({ item, title, share }, open) {
  const text = [make("span", {}, title || item)];
  text.push(make("small", {}, share === undefined ? item : percent(share)));
  return make("li", {}, make("button", { type: "button", onclick: () => open(item) }, ...text));
}
