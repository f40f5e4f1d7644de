// The pages of a list.

import { go } from "./address.js";
import { h, NUMBER } from "./dom.js";

export const PAGE_SIZES = [10, 25, 50, 100];

/** The buttons below a list, whose `Content-Range` tells where it is. */
export function pager(list, limit, what) {
  const offset = list.first;
  const last = Math.floor((list.total - 1) / limit) * limit;
  const button = (text, label, target, isPossible) =>
    h(
      "button",
      {
        type: "button",
        class: "button outlined small",
        "aria-label": label,
        disabled: !isPossible,
        onclick: () => go({ offset: target || "" }),
      },
      text,
    );
  const sizes = h(
    "select",
    { id: `${what}-limit`, onchange: (event) => go({ limit: event.target.value, offset: "" }) },
    PAGE_SIZES.map((size) => h("option", { value: size, selected: size === limit }, size)),
  );
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    h("label", { for: `${what}-limit` }, "Rows "),
    sizes,
    h(
      "span",
      { class: "range" },
      `${NUMBER.format(offset + 1)}–${NUMBER.format(list.last + 1)} of ${NUMBER.format(list.total)}`,
    ),
    button("«", "First page", 0, offset > 0),
    button("‹", "Previous page", Math.max(0, offset - limit), offset > 0),
    button("›", "Next page", offset + limit, list.last + 1 < list.total),
    button("»", "Last page", last, list.last + 1 < list.total),
  );
}
