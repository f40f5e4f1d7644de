// An object: its history as a time line, two versions side by side, and each version as JSON.

import { go, to } from "./address.js";
import { get } from "./api.js";
import { card, h, plural, status, time, wrapped } from "./dom.js";
import { compare, comparison, copyButton, jsonTree, stringify } from "./json.js";
import { details } from "./letters.js";

const HISTORY_LIMIT = 100;

/** The records that were loaded, by id: a record never changes. */
const records = new Map();

async function record(id, signal) {
  if (!records.has(id)) {
    if (records.size > 50) records.clear();
    records.set(id, (await get(["events", id], [], signal)).body);
  }
  return records.get(id);
}

export function objectView(objectId, parameters) {
  let history = [];
  let total = 0;
  let shown = null;
  /** The version that is shown, also when newer ones arrive. */
  let current = null;

  /** Loads the next older versions; tells whether there were any. */
  async function more(signal) {
    const list = await get(
      ["objects", objectId],
      [
        ["limit", HISTORY_LIMIT],
        ["offset", history.length],
      ],
      signal,
    );
    history = [...history, ...list.body];
    total = list.total;
    return list.body.length > 0;
  }

  return {
    title: objectId,
    live: 5000,
    async load(content, signal, first) {
      if (first) {
        // A link may name a version that is older than the first hundred.
        const isLoaded = () =>
          !parameters.has("version") || history.some((one) => one.id === parameters.get("version"));
        while ((await more(signal)) && history.length < total && !isLoaded());
      } else {
        const list = await get(["objects", objectId], [["limit", HISTORY_LIMIT]], signal);
        if (list.text === shown) return;
        const known = new Set(history.map((one) => one.id));
        const arrived = list.body.filter((one) => !known.has(one.id));
        shown = list.text;
        total = list.total;
        if (!arrived.length) return;
        history = [...arrived, ...history];
        content.querySelector(".timeline")?.replaceWith(timeline());
        return;
      }
      current = history.find((one) => one.id === parameters.get("version")) || history[0];
      const before =
        history.find((one) => one.id === parameters.get("with")) || history[history.indexOf(current) + 1] || null;
      const [after, other] = await Promise.all([record(current.id, signal), before && record(before.id, signal)]);
      content.replaceChildren(
        h("p", { class: "path" }, h("a", { href: "#/events" }, "Events"), " / ", objectId),
        h(
          "div",
          { class: "columns" },
          card(objectId, `${current.object || "Object"}, ${plural(total, "version")}`, timeline()),
          h("div", { class: "main" }, parts(after, other)),
        ),
      );
      content.querySelector(".timeline [aria-current]").scrollIntoView({ block: "nearest" });
    },
  };

  function timeline() {
    return h(
      "ol",
      { class: "timeline", "aria-label": "Versions, the newest first" },
      history.map((one) =>
        h(
          "li",
          {},
          h(
            "a",
            {
              href: to(["objects", objectId], { version: one.id }),
              "aria-current": one.id === current.id ? "true" : false,
            },
            h("span", { class: "line" }, time(one.received_at), " ", status(one.status)),
            h("span", { class: "quiet" }, wrapped(one.event_type)),
          ),
        ),
      ),
      history.length < total &&
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", class: "button flat small", onclick: older },
            `Show older versions (${total - history.length})`,
          ),
        ),
    );
  }

  async function older(event) {
    event.target.disabled = true;
    try {
      await more();
      document.querySelector(".timeline")?.replaceWith(timeline());
    } catch (error) {
      event.target.disabled = false;
      event.target.textContent = error.title || "Try again";
    }
  }

  function parts(after, before) {
    return [versionCard(after), before ? changes(after, before) : onlyVersion(), rawCard(after)];
  }

  function onlyVersion() {
    const text =
      history.length > 1
        ? "This is the oldest version: choose another to compare it with."
        : "There is no other version to compare it with.";
    return card("Changes", null, history.length > 1 && chooser(null), h("p", { class: "quiet" }, text));
  }

  function chooser(other) {
    return h(
      "div",
      { class: "field" },
      h("label", { for: "compare-with" }, "Compare with the version of"),
      h(
        "select",
        { id: "compare-with", onchange: (event) => go({ version: current.id, with: event.target.value }) },
        other === null && h("option", { value: "" }, "–"),
        history
          .filter((one) => one.id !== current.id)
          .map((one) =>
            h(
              "option",
              { value: one.id, selected: one.id === other?.id },
              `${time(one.received_at).textContent} ${one.status || ""}`,
            ),
          ),
      ),
    );
  }

  function changes(after, before) {
    const rows = compare(before.document, after.document);
    const differing = rows.filter((row) => row.kind !== "same").length;
    const names = [time(before.received_at).textContent, time(after.received_at).textContent];
    const holder = h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison" },
      comparison(rows, names, false),
    );
    const whole = h("input", {
      type: "checkbox",
      id: "whole",
      onchange: () => holder.replaceChildren(comparison(rows, names, whole.checked)),
    });
    return card(
      "Changes",
      `${plural(differing, "field")} of ${rows.length} ${differing === 1 ? "differs" : "differ"}`,
      h(
        "div",
        { class: "actions spread" },
        chooser(before),
        h("label", { class: "check", for: "whole" }, whole, " Show the fields that are the same"),
      ),
      differing || whole.checked
        ? holder
        : [h("p", { class: "quiet" }, "The objects are the same, or differ in redacted values only."), holder],
    );
  }
}

/** A record by its id, such as one of an object without an id. */
export function recordView(id) {
  return {
    title: "Event",
    live: 0,
    async load(content, signal) {
      const found = await record(id, signal);
      content.replaceChildren(
        h("p", { class: "path" }, h("a", { href: "#/events" }, "Events"), " / ", found.id),
        versionCard(found),
        rawCard(found),
      );
    },
  };
}

function versionCard(found) {
  const deviations = found.deviations.length
    ? [
        h("h3", {}, plural(found.deviations.length, "deviation"), " from the model"),
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["Field", "Expected", "Actual"].map((text) => h("th", { scope: "col" }, text)),
            ),
          ),
          h(
            "tbody",
            {},
            found.deviations.map((one) =>
              h("tr", {}, h("td", {}, h("code", {}, one.path)), h("td", {}, one.expected), h("td", {}, one.actual)),
            ),
          ),
        ),
      ]
    : [];
  return card(
    "Event",
    found.id,
    details([
      ["Event type", wrapped(found.event_type)],
      ["Received", time(found.received_at)],
      ["Status", found.status && status(found.status)],
      ["Product", found.product],
      ["Marketplace", found.marketplace],
      ["Accounts", found.accounts.join(", ")],
      ["Installation", found.installations.join(", ")],
      ["Environment", found.environment],
      ["Task", found.task],
    ]),
    deviations,
  );
}

function rawCard(found) {
  return card(
    "JSON",
    "The object as it is stored, with secrets redacted",
    jsonTree(found.document, copyButton(stringify(found.document))),
  );
}
