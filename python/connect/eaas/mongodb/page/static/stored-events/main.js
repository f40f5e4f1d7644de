// The frame of the page: which view the address names, live refresh, and the host.

import createApp, { Card } from "./connect-ui-toolkit.js";
import { address } from "./address.js";
import { get } from "./api.js";
import { announce, failure, h, loading } from "./dom.js";
import { eventsView } from "./events.js";
import { lettersView, letterView } from "./letters.js";
import { numbersView } from "./numbers.js";
import { objectView, recordView } from "./object.js";

const TICK_MILLISECONDS = 1000;

const content = document.getElementById("content");
const live = document.getElementById("live");
const updated = document.getElementById("updated");

/** The view that is shown, and when its data was loaded. `load` loads it; `live` is after how many milliseconds again. */
let view = null;
let context = null;

function make(path, parameters) {
  const [name, ...rest] = path;
  const id = rest.join("/");
  if (name === "objects" && id) return objectView(id, parameters);
  if (name === "events" && id) return recordView(id);
  if (name === "events") return eventsView(parameters, context);
  if (name === "numbers") return numbersView(parameters);
  if (name === "dead-letters" && id) return letterView(id);
  if (name === "dead-letters") return lettersView(parameters, context);
  return null;
}

async function show() {
  const { path, parameters } = address();
  view?.controller.abort();
  view = null;
  const next = make(path, parameters);
  if (next === null) {
    location.replace("#/events");
    return;
  }
  const controller = new AbortController();
  view = { ...next, key: path.join("/"), controller };
  for (const link of document.querySelectorAll("#views a")) {
    const current = link.getAttribute("href") === `#/${path[0] === "objects" ? "events" : path[0]}`;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${next.title} – Stored events`;
  // A view that gets other parameters stays until the new data is there, and so does the focus.
  const isSame = content.dataset.key === view.key;
  const focused = isSame ? selectorOf(document.activeElement) : null;
  if (!isSame) {
    content.replaceChildren(loading());
    if (content.dataset.key !== undefined) content.focus({ preventScroll: true });
    content.dataset.key = view.key;
  }
  content.setAttribute("aria-busy", "true");
  await refresh({ first: true });
  if (view?.controller !== controller) return;
  content.setAttribute("aria-busy", "false");
  if (focused && document.activeElement === document.body)
    content.querySelector(focused)?.focus({ preventScroll: true });
}

/** A selector that finds an element of the view again after the view was made anew. */
function selectorOf(element) {
  if (!content.contains(element)) return null;
  for (const name of ["id", "aria-label", "href", "value"]) {
    const value = element.getAttribute(name);
    if (value) return `${element.localName}[${name}="${CSS.escape(value)}"]`;
  }
  return null;
}

/** Loads the data of the view. A failure replaces the view when it is opened, and is noted while it is open. */
async function refresh({ first = false } = {}) {
  const current = view;
  if (current === null) return;
  current.refreshed = Date.now();
  try {
    await current.load(content, current.controller.signal, first);
    if (view !== current) return;
    updated.textContent = `Updated ${new Date().toLocaleTimeString()}`;
    updated.classList.remove("bad");
  } catch (error) {
    if (error.name === "AbortError" || view !== current) return;
    if (first) {
      content.replaceChildren(failure(error, () => show()));
      delete content.dataset.key;
    } else {
      updated.textContent = error.title || "The refresh failed.";
      updated.classList.add("bad");
    }
    if (!error.errors) console.error(error);
  }
}

let polling = Promise.resolve();

function isLive() {
  return live.getAttribute("aria-pressed") === "true" && document.visibilityState === "visible";
}

/** One refresh at a time, and none while the page is in the background. */
function poll({ atOnce = false } = {}) {
  polling = polling.then(() => {
    if (!isLive() || !view?.live) return undefined;
    return atOnce || Date.now() - view.refreshed >= view.live ? refresh() : undefined;
  });
}

function notices() {
  const found = [];
  if (context.path === "data_api") {
    found.push(
      "Events are read through the Data API, which cannot tell whether the indexes exist. Create them once on the driver path, with ensure_indexes().",
    );
  }
  if (context.missing_indexes?.length) {
    found.push(
      `Indexes are missing, so lists of many events take long: ${context.missing_indexes.join(", ")}. Call ensure_indexes(), or open_store() in on_startup.`,
    );
  }
  document.getElementById("notices").replaceChildren(...found.map((text) => h("p", { class: "notice" }, text)));
}

function start() {
  const isInside = window.top !== window;
  // This defines the elements too. Outside of Connect, its messages reach nobody but this page, which ignores them.
  const host = createApp({ "ui-card": Card }, { disableAutoResizing: true });
  if (isInside) {
    document.documentElement.classList.add("inside");
    host.then((app) => {
      const report = () => app.emit("$size", { width: document.body.scrollWidth, height: document.body.scrollHeight });
      new ResizeObserver(report).observe(document.body);
      report();
    });
  }
  document.getElementById("skip").addEventListener("click", () => content.focus());
  live.addEventListener("click", () => {
    const pressed = live.getAttribute("aria-pressed") !== "true";
    live.setAttribute("aria-pressed", String(pressed));
    announce(pressed ? "The page refreshes itself." : "The page no longer refreshes itself.");
    if (pressed) poll({ atOnce: true });
  });
  document.addEventListener("visibilitychange", () => poll());
  setInterval(() => poll(), TICK_MILLISECONDS);
  window.addEventListener("hashchange", show);
}

/** Who the caller is decides what the views offer; the server decides what they get. */
async function open() {
  try {
    context = (await get(["context"])).body;
  } catch (error) {
    content.replaceChildren(failure(error, open));
    return;
  }
  notices();
  await show();
}

start();
open();
