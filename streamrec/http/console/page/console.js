// The console: who it is, their list, and what a click does. docs/console.md describes the page.

import { tryIt, watchFilter } from "./filter.js";
import { showItem, watchSearch } from "./item.js";
import { showList } from "./list.js";
import { ask, find, make, number } from "./page.js";
import { showShares, watchStatus } from "./status.js";

const PATIENCE_MS = 10_000;
const MEET_MS = 5000;
const HINT = "Click an item, as this person would, and watch the list change.";
const NEW = "visitor-";
let user = "";
let people = [];
let stream = null;
let waiting = null; // the click whose list has not come yet
let timer = 0;

const open = (item) => showItem(user, item, click, open);

function start() {
  find("person").addEventListener("change", () => become(find("person").value));
  find("stranger").addEventListener("click", () => become(someoneNew()));
  find("about-close").addEventListener("click", () => find("about").close());
  addEventListener("hashchange", () => follow(named()));
  watchSearch(open);
  watchFilter(() => user, open);
  watchStatus();
  meet();
  setInterval(meet, MEET_MS);
}

// Asks who has a list now. Who has chosen nobody becomes the first of them.
async function meet() {
  try {
    people = await ask("people");
    if (!user || (!named() && user.startsWith(NEW) && people.length)) {
      follow(named() || people[0]?.user || someoneNew());
    }
    if (document.activeElement !== find("person")) introduce();
    if (stream.readyState === EventSource.CLOSED) listen();
  } catch (error) {
    if (!find("list").children.length) tell(error.message);
  }
}

function introduce() {
  const options = people.map(option);
  if (!people.some((one) => one.user === user)) {
    const text = user.startsWith(NEW) ? `${user} (new here)` : user;
    options.unshift(make("option", { value: user }, text));
  }
  find("person").replaceChildren(...options);
  find("person").value = user;
}

const named = () => new URLSearchParams(location.hash.slice(1)).get("user");
const become = (name) => { location.hash = new URLSearchParams({ user: name }); };

function someoneNew() {
  const bytes = crypto.getRandomValues(new Uint8Array(3));
  return NEW + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function option({ user: name, events, latest }) {
  const last = latest.length ? `, last ${latest[0].title}` : "";
  return make("option", { value: name }, `${name} (${number(events)} events${last})`);
}

// Follows another person's list.
function follow(name) {
  if (!name || name === user) return;
  user = name;
  introduce();
  forget();
  listen();
}

function listen() {
  stream?.close();
  stream = new EventSource(`/console/api/stream?${new URLSearchParams({ user })}`);
  stream.addEventListener("list", (event) => show(JSON.parse(event.data)));
}

function show(shown) {
  if (shown.user !== user) return;
  const clicked = waiting;
  const moved = showList(shown, clicked?.item, { click, why: open });
  find("list-head").textContent = shown.personal ? `The list of ${user}` : "The list for strangers";
  const latest = shown.latest.map((one) => one.title).join(", ");
  find("latest").textContent = latest ? `Took last: ${latest}.` : "Took nothing yet.";
  find("note").textContent = note(shown);
  if (shown.milliseconds !== null) {
    forget();
    tell(moved, shown.milliseconds);
  }
  tryIt(user, open);
  if (shown.personal || !find("shares").children.length) {
    showShares(user).catch(() => find("shares").replaceChildren());
  }
}

function note({ at, model, rows, personal }) {
  if (!rows.length) return "There is no list yet: it comes with the first events.";
  const when = new Date(at).toLocaleTimeString("en-GB");
  const version = model.split("+n")[1];
  const whose = personal ? "" : "Nobody here yet: this is what all take. ";
  const order = version ? `, ordered by version ${version} of the neural ranker` : "";
  return `${whose}Made at ${when}${order}. Scores compare within one list only; higher is better.`;
}

async function click({ item, title }) {
  if (!named()) become(user);
  forget();
  waiting = { item };
  tell(`Clicked “${title}” …`);
  timer = setTimeout(() => tell("No new list after 10 s: do learn and score run?"), PATIENCE_MS);
  const body = JSON.stringify({ user, item });
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch("/console/api/click", { method: "POST", headers, body });
    if (!answer.ok) throw new Error((await answer.json()).detail);
  } catch (error) {
    forget();
    tell(error.message);
  }
}

function forget() {
  clearTimeout(timer);
  waiting = null;
  tell(HINT);
  find("change").classList.add("quiet");
}

function tell(text, milliseconds = null) {
  find("change").classList.remove("quiet");
  find("spent").replaceChildren();
  if (milliseconds !== null) {
    find("spent").append(number(milliseconds), make("small", {}, " ms"));
  }
  find("moved").textContent = text;
}

start();
