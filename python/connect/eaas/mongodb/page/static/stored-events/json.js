// JSON as a tree that folds, and two of them side by side.

import { BigNumber } from "./api.js";
import { announce, h } from "./dom.js";

const REDACTED = "***";

const isObject = (value) => value !== null && typeof value === "object" && !(value instanceof BigNumber);

export function scalar(value) {
  if (value instanceof BigNumber) return h("span", { class: "number" }, value.text);
  if (value === REDACTED) return h("span", { class: "redacted", title: "Redacted before it was stored" }, REDACTED);
  if (typeof value === "string") return h("span", { class: "string" }, JSON.stringify(value));
  if (value === null || typeof value === "boolean") return h("span", { class: "word" }, String(value));
  return h("span", { class: "number" }, String(value));
}

function node(name, value, depth) {
  const label =
    name === null
      ? []
      : [h("span", { class: "name" }, typeof name === "number" ? String(name) : JSON.stringify(name)), ": "];
  if (!isObject(value)) return h("div", { class: "leaf" }, label, scalar(value));
  const entries = Array.isArray(value) ? value.map((item, index) => [index, item]) : Object.entries(value);
  const [opening, closing] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (!entries.length) return h("div", { class: "leaf" }, label, opening, closing);
  const details = h(
    "details",
    {},
    h("summary", {}, label, opening, h("span", { class: "count" }, ` ${entries.length} `), closing),
  );
  // A large object is created as far as it is unfolded.
  const fill = () => {
    if (details.childElementCount === 1)
      details.append(
        h(
          "div",
          { class: "children" },
          entries.map(([key, item]) => node(key, item, depth + 1)),
        ),
      );
  };
  details.addEventListener("toggle", () => details.open && fill());
  details.fill = fill;
  if (depth < 2 && entries.length <= 40) {
    fill();
    details.open = true;
  }
  return details;
}

/** A tree of JSON, with buttons to unfold and fold all of it, and others. */
export function jsonTree(value, ...buttons) {
  const root = h("div", { class: "json" }, node(null, value, 0));
  const all = (open) => {
    const queue = [...root.querySelectorAll("details")];
    for (const details of queue) {
      if (open) {
        details.fill();
        queue.push(...details.lastElementChild.querySelectorAll(":scope > details"));
      }
      details.open = open;
    }
  };
  return h(
    "div",
    {},
    h(
      "div",
      { class: "actions top" },
      buttons,
      h("button", { type: "button", class: "button flat small", onclick: () => all(true) }, "Unfold all"),
      h("button", { type: "button", class: "button flat small", onclick: () => all(false) }, "Fold all"),
    ),
    root,
  );
}

export function copyButton(text) {
  return h(
    "button",
    {
      type: "button",
      class: "button outlined small",
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(text);
          announce("Copied.");
        } catch {
          announce("The browser does not permit copying.");
        }
      },
    },
    "Copy JSON",
  );
}

/** The names of an array's items: their ids where all have different ones, so that an inserted item moves no other. */
function keys(array) {
  const ids = array.map((item) =>
    isObject(item) && (typeof item.id === "string" || typeof item.id === "number") ? String(item.id) : null,
  );
  return ids.every((id) => id !== null) && new Set(ids).size === ids.length
    ? ids
    : array.map((_item, index) => String(index));
}

function entriesOf(value) {
  if (!Array.isArray(value)) return new Map(Object.entries(value));
  const names = keys(value);
  return new Map(value.map((item, index) => [`[${names[index]}]`, item]));
}

const same = (a, b) => (a instanceof BigNumber && b instanceof BigNumber ? a.text === b.text : Object.is(a, b));

/**
 * Compares two values, and returns the rows of the comparison: `path`, `before`, `after` and `kind`, which is `same`,
 * `changed`, `added` or `removed`. An absent value is `undefined`.
 */
export function compare(before, after, path = "", rows = []) {
  const bothAreLists = Array.isArray(before) && Array.isArray(after);
  const bothAreObjects = isObject(before) && isObject(after) && !Array.isArray(before) && !Array.isArray(after);
  if (bothAreLists || bothAreObjects) {
    const left = entriesOf(before);
    const right = entriesOf(after);
    const names = new Set([...left.keys(), ...right.keys()]);
    if (!names.size) rows.push({ path, before, after, kind: "same" });
    for (const name of names) {
      const inner = path && !name.startsWith("[") ? `${path}.${name}` : `${path}${name}`;
      compare(left.get(name), right.get(name), inner, rows);
    }
    return rows;
  }
  if (before === undefined || after === undefined) {
    rows.push({ path, before, after, kind: before === undefined ? "added" : "removed" });
  } else {
    const isSame = !isObject(before) && !isObject(after) && same(before, after);
    rows.push({ path, before, after, kind: isSame ? "same" : "changed" });
  }
  return rows;
}

const MARKS = { same: "", changed: "Changed", added: "Added", removed: "Removed" };

function side(value) {
  if (value === undefined) return h("span", { class: "quiet" }, "–");
  return isObject(value) ? h("pre", {}, stringify(value)) : scalar(value);
}

/** JSON text with two spaces; large integers are those that were stored. */
export function stringify(value) {
  // A browser that gives the source of a number when it parses has `JSON.rawJSON` too.
  return JSON.stringify(value, (_name, inner) => (inner instanceof BigNumber ? JSON.rawJSON(inner.text) : inner), 2);
}

/** The table of a comparison; only what differs, unless `isWhole`. */
export function comparison(rows, names, isWhole) {
  const shown = isWhole ? rows : rows.filter((row) => row.kind !== "same");
  return h(
    "table",
    { class: "comparison" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Field", ...names].map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h(
      "tbody",
      {},
      shown.map((row) =>
        h(
          "tr",
          { class: row.kind },
          h(
            "th",
            { scope: "row" },
            h("code", {}, row.path || "(the object)"),
            row.kind !== "same" && h("span", { class: "mark" }, MARKS[row.kind]),
          ),
          h("td", { "data-label": names[0], class: "before" }, side(row.before)),
          h("td", { "data-label": names[1], class: "after" }, side(row.after)),
        ),
      ),
    ),
  );
}
