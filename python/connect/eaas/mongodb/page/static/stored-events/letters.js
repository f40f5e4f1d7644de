// Dead letters: objects that cannot be stored as events, and what is wrong with them.

import { go, to } from "./address.js";
import { get, parse } from "./api.js";
import { card, empty, h, NUMBER, time, wrapped } from "./dom.js";
import { foldedFilters } from "./events.js";
import { copyButton, jsonTree } from "./json.js";
import { pager, PAGE_SIZES } from "./pager.js";

const FILTERS = [
  ["event_type", "Event type", "asset_purchase_request_processing"],
  ["object_id", "Object", "PR-0000-0000-0000-001"],
  ["task_id", "Task", "TQ-000-000-000-000"],
];
const OWNERS = [["installation", "Installation", "EIN-0000-0000-0000"]];

export function lettersView(parameters, context) {
  const filters = [...FILTERS, ...(context.owner ? OWNERS : [])];
  const names = [...filters.map(([name]) => name), "since", "until"];
  const limit = PAGE_SIZES.includes(Number(parameters.get("limit"))) ? Number(parameters.get("limit")) : PAGE_SIZES[0];
  const offset = Math.max(0, Number.parseInt(parameters.get("offset") || "0", 10) || 0);
  const asked = [...names.map((name) => [name, parameters.get(name)]), ["limit", limit], ["offset", offset]];
  let shown = null;
  return {
    title: "Dead letters",
    live: 5000,
    async load(content, signal, first) {
      const list = await get(["dead-letters"], asked, signal);
      if (first) {
        const form = foldedFilters({
          filters,
          eventTypes: context.event_types,
          values: parameters,
          change: (given) => go({ ...given, offset: "" }),
        });
        content.replaceChildren(
          card("Dead letters", "Objects that could not be stored as events", form, h("div", { class: "results" })),
        );
      }
      if (list.text === shown) return;
      shown = list.text;
      const results = content.querySelector(".results");
      if (!list.body.length) {
        results.replaceChildren(
          empty(
            names.some((name) => parameters.get(name))
              ? "No dead letter matches these filters."
              : "There are no dead letters: every object could be stored.",
          ),
        );
        return;
      }
      const focused = document.activeElement?.getAttribute("href");
      results.replaceChildren(table(list.body), pager(list, limit, "letters"));
      if (focused) results.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    },
  };
}

function table(letters) {
  const cell = (label, ...children) => h("td", { "data-label": label }, h("div", {}, ...children));
  return h(
    "table",
    { class: "events" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Received", "Event type", "Object", "Problem"].map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h(
      "tbody",
      {},
      letters.map((letter) =>
        h(
          "tr",
          {},
          cell("Received", time(letter.received_at)),
          cell("Event type", wrapped(letter.event_type)),
          cell("Object", h("a", { href: to(["dead-letters", letter.id]) }, letter.object_id || "Dead letter")),
          cell("Problem", h("span", { class: "problem" }, letter.error)),
        ),
      ),
    ),
  );
}

export function letterView(id) {
  return {
    title: "Dead letter",
    live: 0,
    async load(content, signal) {
      const letter = (await get(["dead-letters", id], [], signal)).body;
      content.replaceChildren(
        h(
          "p",
          { class: "path" },
          h("a", { href: "#/dead-letters" }, "Dead letters"),
          " / ",
          letter.object_id || letter.id,
        ),
        card(
          letter.object_id || "Dead letter",
          "This object could not be stored as an event",
          details([
            ["Event type", wrapped(letter.event_type)],
            ["Received", time(letter.received_at)],
            ["Task", letter.task],
            ["Installation", letter.installation],
            ["Environment", letter.environment],
          ]),
        ),
        card(
          "What is wrong",
          letter.error,
          h(
            "table",
            {},
            h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), h("th", { scope: "col" }, "Problem"))),
            h(
              "tbody",
              {},
              letter.errors.map((one) =>
                h("tr", {}, h("td", {}, h("code", {}, one.path || "(the object)")), h("td", {}, one.message)),
              ),
            ),
          ),
        ),
        card("Object", "As Connect sent it, with secrets redacted", text(letter)),
      );
    },
  };
}

/** The object as a tree; as text if it is not complete, or nests deeper than the browser reads. */
function text(letter) {
  if (letter.parts > 1) {
    return [
      h(
        "p",
        { class: "quiet" },
        `The first ${NUMBER.format(letter.part_characters)} characters; the letter has ${letter.parts} such parts.`,
      ),
      h("pre", { class: "raw", tabindex: "0" }, letter.data.slice(0, 100_000)),
    ];
  }
  try {
    return jsonTree(parse(letter.data), copyButton(letter.data));
  } catch {
    return h("pre", { class: "raw", tabindex: "0" }, letter.data);
  }
}

/** A list of names and values, without those that are not known. */
export function details(pairs) {
  return h(
    "dl",
    { class: "details" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== "–")
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
