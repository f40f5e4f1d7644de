// Events per hour and type, and what failed.

import { go } from "./address.js";
import { get } from "./api.js";
import { card, empty, h, hourText, NUMBER, plural, svg, wrapped } from "./dom.js";

const HOUR = 3_600_000;
const PERIODS = [
  ["day", "Last day"],
  ["week", "Last week"],
  ["month", "Last 30 days"],
];
const COLORS = ["#1f6fb2", "#e08a1e", "#3c8d5a", "#8a5aa8", "#c2528b", "#4aa3a8", "#8c8c8c"];
const HEIGHT = 240;
const MARGIN = { top: 12, right: 8, bottom: 28, left: 44 };
/** How many hours a bar has, where a bar of one hour would be too thin to see. */
const STEPS = [1, 2, 3, 6, 12, 24];
const LEAST_BAR = 3;

export function numbersView(parameters) {
  const period = PERIODS.some(([name]) => name === parameters.get("period")) ? parameters.get("period") : "day";
  let shown = null;
  let observer = null;
  return {
    title: "Numbers",
    live: 60_000,
    async load(content, signal, first) {
      const found = await get(["numbers"], [["period", period]], signal);
      if (found.text === shown && !first) return;
      shown = found.text;
      const numbers = summarize(found.body);
      const place = h("div", { class: "plot" });
      const focused = content.querySelector(".plot svg") === document.activeElement;
      content.replaceChildren(
        card("Numbers", `From ${hourText(new Date(found.body.since))} until now`, periods(period), tiles(numbers)),
        card(
          "Events per hour and type",
          null,
          numbers.total ? [place, legend(numbers), asTable(numbers)] : empty("No event was received in this time."),
        ),
        card("What failed", null, failures(found.body)),
      );
      observer?.disconnect();
      if (!numbers.total) return;
      let width = 0;
      observer = new ResizeObserver(([entry]) => {
        const now = Math.floor(entry.contentRect.width);
        if (now === width || now < 100) return;
        width = now;
        place.replaceChildren(...plot(numbers, width));
      });
      observer.observe(place);
      signal.addEventListener("abort", () => observer.disconnect());
      width = Math.floor(place.getBoundingClientRect().width);
      if (width >= 100) place.replaceChildren(...plot(numbers, width));
      if (focused) place.querySelector("svg")?.focus();
    },
  };
}

/** The counts by hour, of the types with the most events, and of all others together. */
function summarize(body) {
  const since = Date.parse(body.since);
  const count = Math.round((Date.parse(body.until) - since) / HOUR);
  const totals = new Map();
  for (const one of body.events) totals.set(one.event_type, (totals.get(one.event_type) || 0) + one.events);
  const ordered = [...totals].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  const named = ordered.length > COLORS.length ? ordered.slice(0, COLORS.length - 1) : ordered;
  const series = named.map(([type, total], index) => ({
    type,
    total,
    color: COLORS[index],
    hours: new Array(count).fill(0),
  }));
  if (named.length < ordered.length) {
    const rest = ordered.slice(named.length);
    series.push({
      type: `${rest.length} other types`,
      total: rest.reduce((sum, one) => sum + one[1], 0),
      color: COLORS.at(-1),
      hours: new Array(count).fill(0),
    });
  }
  const places = new Map(ordered.map(([type], index) => [type, Math.min(index, series.length - 1)]));
  const failed = new Array(count).fill(0);
  const all = new Array(count).fill(0);
  for (const one of body.events) {
    const hour = Math.round((Date.parse(one.hour) - since) / HOUR);
    if (hour < 0 || hour >= count) continue;
    series[places.get(one.event_type)].hours[hour] += one.events;
    failed[hour] += one.failed;
    all[hour] += one.events;
  }
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  return {
    since,
    count,
    series,
    failed,
    all,
    total: sum(all),
    failures: sum(failed),
    letters: sum(body.dead_letters.map((one) => one.dead_letters)),
    most: Math.max(...all),
  };
}

function periods(current) {
  return h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "hidden" }, "Period"),
    PERIODS.map(([name, text]) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio",
          name: "period",
          value: name,
          checked: name === current,
          onchange: () => go({ period: name }),
        }),
        h("span", {}, text),
      ),
    ),
  );
}

function tiles(numbers) {
  const tile = (text, value, isBad) =>
    h("div", { class: isBad ? "tile bad" : "tile" }, h("dt", {}, text), h("dd", {}, NUMBER.format(value)));
  return h(
    "dl",
    { class: "tiles" },
    tile("Events", numbers.total),
    tile("Most in one hour", numbers.most),
    tile("Failed", numbers.failures, numbers.failures > 0),
    tile("Dead letters", numbers.letters, numbers.letters > 0),
  );
}

function legend(numbers) {
  const item = (color, text, total) =>
    h(
      "li",
      {},
      h("span", { class: "swatch", style: `background:${color}` }),
      text,
      h("span", { class: "quiet" }, ` ${NUMBER.format(total)}`),
    );
  return h(
    "ul",
    { class: "legend", "aria-label": "Event types" },
    numbers.series.map((one) => item(one.color, wrapped(one.type), one.total)),
    numbers.failures > 0 && item("#b3261e", "of failed objects", numbers.failures),
  );
}

/** The next of 1, 2, 5, 10, 20, 50, …: the distance between the lines of the plot. */
function niceStep(most, lines) {
  const least = Math.max(1, most / lines);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

/** The plot, and the line that tells the numbers of a bar. */
function plot(numbers, width) {
  const inner = width - MARGIN.left - MARGIN.right;
  const step = STEPS.find((hours) => inner / (numbers.count / hours) >= LEAST_BAR) || STEPS.at(-1);
  const bars = Math.ceil(numbers.count / step);
  const merged = (hours) =>
    Array.from({ length: bars }, (_, bar) => hours.slice(bar * step, (bar + 1) * step).reduce((a, b) => a + b, 0));
  const series = numbers.series.map((one) => ({ ...one, bars: merged(one.hours) }));
  const failed = merged(numbers.failed);
  const all = merged(numbers.all);
  const line = niceStep(Math.max(...all), 4);
  const top = Math.ceil(Math.max(...all) / line) * line;
  const bottom = HEIGHT - MARGIN.bottom;
  const y = (value) => bottom - (value / top) * (bottom - MARGIN.top);
  const barWidth = inner / bars;
  const x = (bar) => MARGIN.left + bar * barWidth;
  const gap = barWidth > 6 ? 1 : barWidth > 4 ? 0.5 : 0;

  const unit = step === 1 ? "hour" : `${step} hours`;
  const root = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`,
    width,
    height: HEIGHT,
    tabindex: "0",
    role: "img",
    "aria-label": `Events per ${unit}: ${plural(numbers.total, "event")}, at most ${NUMBER.format(Math.max(...all))} per ${unit}. The arrow keys tell each bar.`,
  });
  for (let value = 0; value <= top; value += line) {
    root.append(
      svg("line", {
        x1: MARGIN.left,
        x2: width - MARGIN.right,
        y1: y(value),
        y2: y(value),
        class: value ? "grid" : "axis",
      }),
    );
    root.append(
      svg("text", { x: MARGIN.left - 6, y: y(value) + 4, class: "tick", "text-anchor": "end" }, NUMBER.format(value)),
    );
  }
  // A path for each type, of all its bars, and one of the failed on top of the axis.
  const below = new Array(bars).fill(0);
  for (const one of series) {
    const parts = [];
    one.bars.forEach((value, bar) => {
      if (!value) return;
      const from = y(below[bar]);
      below[bar] += value;
      parts.push(
        `M${(x(bar) + gap).toFixed(1)} ${from.toFixed(1)}V${y(below[bar]).toFixed(1)}h${(barWidth - 2 * gap).toFixed(1)}V${from.toFixed(1)}Z`,
      );
    });
    root.append(svg("path", { d: parts.join(""), fill: one.color, "data-type": one.type }));
  }
  const marks = failed.map((value, bar) =>
    value
      ? `M${(x(bar) + gap).toFixed(1)} ${bottom + 2}h${Math.max(2, barWidth - 2 * gap).toFixed(1)}v4h-${Math.max(2, barWidth - 2 * gap).toFixed(1)}Z`
      : "",
  );
  root.append(svg("path", { d: marks.join(""), fill: "#b3261e", "data-type": "failed" }));
  for (const [place, text] of ticks(numbers, width)) {
    root.append(svg("text", { x: place, y: HEIGHT - 8, class: "tick", "text-anchor": "middle" }, text));
  }
  const cursor = svg("rect", {
    class: "cursor",
    y: MARGIN.top,
    height: bottom - MARGIN.top,
    width: barWidth,
    visibility: "hidden",
  });
  root.append(cursor);

  const readout = h(
    "p",
    { class: "readout", "aria-live": "polite" },
    `Each bar is ${step === 1 ? "one hour" : unit}. Point at a bar, or use the arrow keys, for its numbers.`,
  );
  let current = null;
  const tell = (bar) => {
    current = Math.min(bars - 1, Math.max(0, bar));
    cursor.setAttribute("x", x(current));
    cursor.setAttribute("visibility", "visible");
    const parts = series
      .filter((one) => one.bars[current])
      .map((one) => `${one.type} ${NUMBER.format(one.bars[current])}`);
    const bad = failed[current] ? `, ${NUMBER.format(failed[current])} of failed objects` : "";
    readout.textContent = `${hourText(new Date(numbers.since + current * step * HOUR))}: ${plural(all[current], "event")}${bad}${parts.length ? ` – ${parts.join(", ")}` : ""}`;
  };
  root.addEventListener("pointermove", (event) => {
    const bar = Math.floor((event.clientX - root.getBoundingClientRect().left - MARGIN.left) / barWidth);
    if (bar !== current) tell(bar);
  });
  root.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: (current ?? bars - 2) + 1, ArrowLeft: (current ?? bars) - 1, Home: 0, End: bars - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    tell(moves[event.key]);
  });
  return [root, readout];
}

/** The labels of the axis: hours of a day, or days. */
function ticks(numbers, width) {
  const inner = width - MARGIN.left - MARGIN.right;
  const isDay = numbers.count <= 24;
  const format = new Intl.DateTimeFormat(
    undefined,
    isDay ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" },
  );
  const found = [];
  for (let hour = 0; hour < numbers.count; hour += 1) {
    const moment = new Date(numbers.since + hour * HOUR);
    if (isDay ? moment.getHours() % 2 === 0 : moment.getHours() === 0)
      found.push([MARGIN.left + (hour / numbers.count) * inner, format.format(moment)]);
  }
  const every = Math.ceil(found.length / Math.max(1, Math.floor(inner / 64)));
  return found
    .filter((_tick, index) => index % every === 0)
    .filter(([place]) => place > MARGIN.left + 16 && place < width - 24);
}

/** The numbers of the plot, for those who cannot see it. */
function asTable(numbers) {
  const rows = numbers.all.map((events, hour) => ({ events, hour })).filter((row) => row.events);
  const details = h("details", { class: "folded" }, h("summary", {}, "The numbers as a table"));
  details.addEventListener(
    "toggle",
    () => {
      if (details.childElementCount > 1) return;
      details.append(
        h(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers" },
          h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                h("th", { scope: "col" }, "Hour"),
                numbers.series.map((one) => h("th", { scope: "col" }, wrapped(one.type))),
                h("th", { scope: "col" }, "Failed"),
              ),
            ),
            h(
              "tbody",
              {},
              rows.map(({ hour }) =>
                h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, hourText(new Date(numbers.since + hour * HOUR))),
                  numbers.series.map((one) => h("td", {}, NUMBER.format(one.hours[hour]))),
                  h("td", {}, NUMBER.format(numbers.failed[hour])),
                ),
              ),
            ),
          ),
        ),
      );
    },
    { passive: true },
  );
  return details;
}

function failures(body) {
  if (!body.failed.length && !body.dead_letters.length) return empty("Nothing failed in this time.");
  const row = (type, what, count, href) =>
    h(
      "tr",
      {},
      h("td", {}, wrapped(type)),
      h("td", {}, what),
      h("td", { class: "count" }, h("a", { href }, NUMBER.format(count))),
    );
  const since = body.since;
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "Event type"),
        h("th", { scope: "col" }, "What"),
        h("th", { scope: "col", class: "count" }, "Number"),
      ),
    ),
    h(
      "tbody",
      {},
      body.failed.map((one) =>
        row(
          one.event_type,
          h("span", { class: "status bad" }, one.status),
          one.events,
          `#/events?${new URLSearchParams({ event_type: one.event_type, status: one.status, since })}`,
        ),
      ),
      body.dead_letters.map((one) =>
        row(
          one.event_type,
          "dead letters",
          one.dead_letters,
          `#/dead-letters?${new URLSearchParams({ ...(one.event_type ? { event_type: one.event_type } : {}), since })}`,
        ),
      ),
    ),
  );
}
