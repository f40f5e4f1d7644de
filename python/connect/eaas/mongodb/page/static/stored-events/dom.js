// Elements, and what all views show: cards, states, times.

/** Creates an element: `h("a", { href: "#/" }, "text", child)`. Text is never read as HTML. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  set(element, attributes);
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Creates an element of an SVG. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(element, attributes);
  element.append(...children);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
}

/** A card of the toolkit, as a section with a heading. The toolkit's own title is no heading. */
export function card(title, subtitle, ...children) {
  return h(
    "section",
    { class: "card", "aria-label": title },
    h("ui-card", { title, subtitle: subtitle || false }, h("h2", { class: "hidden" }, title), ...children),
  );
}

export const loading = () => h("p", { class: "state" }, h("span", { class: "spinner" }), "Loading…");

export const empty = (text, ...more) => h("div", { class: "state" }, h("p", {}, text), ...more);

/** What the server says is wrong, and a button to try again. */
export function failure(error, again) {
  const lines = error.errors || [error.message];
  return h(
    "div",
    { class: "state failed", role: "alert" },
    h("p", {}, h("strong", {}, error.title || "The request failed.")),
    lines.length === 1
      ? h("p", {}, lines[0])
      : h(
          "ul",
          {},
          lines.map((line) => h("li", {}, line)),
        ),
    again && h("button", { type: "button", class: "button outlined", onclick: again }, "Try again"),
  );
}

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const HOUR = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
export const NUMBER = new Intl.NumberFormat();

export const hourText = (time) => HOUR.format(time);

/** A time in the zone of the browser; its title is in UTC. */
export function time(text) {
  if (!text) return "–";
  return h("time", { datetime: text, title: `${text} (UTC)` }, TIME.format(new Date(text)));
}

const GOOD = [
  "approved",
  "active",
  "accepted",
  "completed",
  "installed",
  "executed",
  "published",
  "processed",
  "listed",
];
const BAD = ["failed", "rejected", "invalid", "revoked", "terminated"];

export function status(text) {
  if (!text) return h("span", { class: "quiet" }, "–");
  const kind = BAD.includes(text) ? "bad" : GOOD.includes(text) ? "good" : "open";
  return h("span", { class: `status ${kind}` }, text);
}

/** A name with underscores, which may wrap at each of them. */
export function wrapped(text) {
  return (text || "–").split("_").flatMap((part, index) => (index ? ["_", h("wbr"), part] : [part]));
}

export const plural = (count, one, several = `${one}s`) => `${NUMBER.format(count)} ${count === 1 ? one : several}`;

/** Tells screen readers what has changed. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
