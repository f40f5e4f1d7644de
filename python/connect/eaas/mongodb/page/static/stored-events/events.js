// The list of events, with its filters and pages.

import { go, to } from "./address.js";
import { get } from "./api.js";
import { announce, card, empty, h, plural, status, time, wrapped } from "./dom.js";
import { pager, PAGE_SIZES } from "./pager.js";

const FILTERS = [
  ["event_type", "Event type", "asset_purchase_request_processing"],
  ["status", "Status", "pending"],
  ["product", "Product", "PRD-000-000-000"],
  ["marketplace", "Marketplace", "MP-00000"],
  ["account", "Account", "TA-0000-0000-0000"],
  ["object_id", "Object", "PR-0000-0000-0000-001"],
];
const OWNERS = [["installation", "Installation", "EIN-0000-0000-0000"]];
const TIMES = [
  ["since", "From"],
  ["until", "Until"],
];

/** A time in UTC as the value of an input, which is in the zone of the browser. */
function local(text) {
  const moment = new Date(text);
  if (Number.isNaN(moment.getTime())) return "";
  return new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The form of filters. `change` gets all values. */
export function filterForm({ filters, eventTypes, values, change }) {
  const fields = filters.map(([name, label, example]) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: `filter-${name}` }, label),
      h("input", {
        id: `filter-${name}`,
        name,
        value: values.get(name) || "",
        placeholder: example,
        autocomplete: "off",
        spellcheck: "false",
        list: name === "event_type" ? "event-types" : false,
      }),
    ),
  );
  const times = TIMES.map(([name, label]) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: `filter-${name}` }, label),
      h("input", {
        id: `filter-${name}`,
        name,
        type: "datetime-local",
        value: values.has(name) ? local(values.get(name)) : "",
      }),
    ),
  );
  const form = h(
    "form",
    {
      class: "filters",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const given = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
        for (const [name] of TIMES) if (given[name]) given[name] = new Date(given[name]).toISOString();
        change(given);
      },
    },
    h(
      "div",
      { class: "fields" },
      fields,
      times,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button solid" }, "Apply"),
        h(
          "button",
          {
            type: "button",
            class: "button flat",
            onclick: () => change(Object.fromEntries([...filters, ...TIMES].map(([name]) => [name, ""]))),
          },
          "Clear",
        ),
      ),
    ),
    eventTypes &&
      h(
        "datalist",
        { id: "event-types" },
        eventTypes.map((type) => h("option", { value: type })),
      ),
  );
  return form;
}

let areFiltersOpen = window.matchMedia("(min-width: 900px)").matches;

/** The form, folded on a narrow screen; its summary tells how many filters are set. */
export function foldedFilters(options) {
  const set = [...options.filters, ...TIMES].filter(([name]) => options.values.get(name)).length;
  const summary = h("summary", {}, set ? `Filters (${set})` : "Filters");
  const details = h("details", { class: "folded", open: areFiltersOpen }, summary, filterForm(options));
  details.addEventListener("toggle", () => {
    areFiltersOpen = details.open;
  });
  return details;
}

export function eventsView(parameters, context) {
  const filters = [...FILTERS, ...(context.owner ? OWNERS : [])];
  const names = [...filters, ...TIMES].map(([name]) => name);
  const limit = PAGE_SIZES.includes(Number(parameters.get("limit"))) ? Number(parameters.get("limit")) : PAGE_SIZES[0];
  const offset = Math.max(0, Number.parseInt(parameters.get("offset") || "0", 10) || 0);
  const asked = [...names.map((name) => [name, parameters.get(name)]), ["limit", limit], ["offset", offset]];
  const isFiltered = names.some((name) => parameters.get(name));
  const rows = new Map();
  let shown = null;

  function frame(content) {
    const form = foldedFilters({
      filters,
      eventTypes: context.event_types,
      values: parameters,
      change: (given) => go({ ...given, offset: "" }),
    });
    content.replaceChildren(card("Events", scope(context), form, h("div", { class: "results" })));
  }

  return {
    title: "Events",
    live: 5000,
    async load(content, signal, first) {
      const list = await get(["events"], asked, signal);
      if (first) frame(content);
      if (list.text === shown) return;
      const isNew = shown !== null;
      shown = list.text;
      const results = content.querySelector(".results");
      if (!list.body.length) {
        results.replaceChildren(
          isFiltered
            ? empty(
                "No event matches these filters.",
                h(
                  "button",
                  {
                    type: "button",
                    class: "button outlined",
                    onclick: () => go({ ...Object.fromEntries(names.map((name) => [name, ""])), offset: "" }),
                  },
                  "Clear filters",
                ),
              )
            : empty("No event is stored yet. Events appear here as soon as a handler with @store_event gets one."),
        );
        return;
      }
      const arrived = list.body.filter((event) => !rows.has(event.id)).length;
      if (!results.querySelector("table")) {
        const table = h("table", { class: "events" }, heading(context), h("tbody"));
        results.replaceChildren(h("div", { class: "scroll" }, table), h("div"));
      }
      arrange(
        results.querySelector("tbody"),
        list.body.map((event) => row(event, context, rows, isNew)),
      );
      results.lastElementChild.replaceWith(pager(list, limit, "events"));
      if (isNew && arrived) announce(plural(arrived, "new event"));
    },
  };
}

/** Makes `wanted` the children of an element. Those that stay are not moved, so that the focus stays where it is. */
function arrange(parent, wanted) {
  let next = parent.firstChild;
  for (const child of wanted) {
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
  while (next) {
    const last = next;
    next = next.nextSibling;
    last.remove();
  }
}

function scope(context) {
  return context.owner
    ? `All events in ${context.collection}`
    : `The events of your installation ${context.installation}`;
}

function heading(context) {
  const columns = ["Received", "Event type", "Object", "Status", "Product", "Marketplace"];
  if (context.owner) columns.push("Installation");
  return h(
    "thead",
    {},
    h(
      "tr",
      {},
      columns.map((text) => h("th", { scope: "col" }, text)),
    ),
  );
}

function row(event, context, rows, isNew) {
  const known = rows.get(event.id);
  if (known) return known;
  const path = event.object_id ? to(["objects", event.object_id], { version: event.id }) : to(["events", event.id]);
  const cell = (label, ...children) => h("td", { "data-label": label }, h("div", {}, ...children));
  const made = h(
    "tr",
    { class: isNew ? "arrived" : false },
    cell("Received", time(event.received_at)),
    cell(
      "Event type",
      wrapped(event.event_type),
      event.deviations
        ? [
            " ",
            h(
              "span",
              { class: "badge", title: "The object differs from its model" },
              plural(event.deviations, "deviation"),
            ),
          ]
        : [],
    ),
    cell("Object", h("a", { href: path }, event.object_id || event.object || "Event")),
    cell("Status", status(event.status)),
    cell("Product", event.product || "–"),
    cell("Marketplace", event.marketplace || "–"),
    context.owner && cell("Installation", event.installations.join(", ") || "–"),
  );
  rows.set(event.id, made);
  return made;
}
