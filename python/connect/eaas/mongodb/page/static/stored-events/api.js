// Requests to the routes of `EventsPageMixin`, beside the static files.

const BASE = new URL("../../api/stored-events/", import.meta.url);

/** An error that the server explains, in the shape of Connect's API. */
export class ApiError extends Error {
  constructor(title, errors, code) {
    super(errors[0]);
    this.title = title;
    this.errors = errors;
    this.code = code;
  }
}

/** An integer that JavaScript's numbers cannot represent. */
export class BigNumber {
  constructor(text) {
    this.text = text;
  }
}

function exact(_name, value, context) {
  if (Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source) return new BigNumber(context.source);
  return value;
}

export const parse = (text) => JSON.parse(text, exact);

/**
 * Gets a resource.
 *
 * Returns `body`, its `text`, and for a list `first`, `last` and `total`. `parameters` are pairs; empty values are left out.
 */
export async function get(path, parameters = [], signal = undefined) {
  const url = new URL(path.map(encodeURIComponent).join("/"), BASE);
  for (const [name, value] of parameters)
    if (value !== "" && value !== null && value !== undefined) url.searchParams.append(name, value);
  let response;
  let text;
  try {
    response = await fetch(url, { headers: { Accept: "application/json" }, signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not respond.", ["Check the connection, and that the extension is running."], 0);
  }
  if (!response.ok) throw refusal(response, text);
  const range = /^\w+ (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("Content-Range") || "");
  try {
    return { body: parse(text), text, first: Number(range?.[1]), last: Number(range?.[2]), total: Number(range?.[3]) };
  } catch {
    throw new ApiError(
      "The response is not JSON.",
      ["The extension's web application does not have the routes of EventsPageMixin."],
      response.status,
    );
  }
}

const TITLES = {
  400: "The request cannot be read.",
  403: "You cannot see this.",
  404: "There is nothing here.",
  503: "The database does not respond.",
  504: "The database took too long.",
};

function refusal(response, text) {
  let errors;
  try {
    errors = JSON.parse(text).errors;
  } catch {
    errors = null;
  }
  if (!Array.isArray(errors) || !errors.length) errors = [`The server responded with the status ${response.status}.`];
  return new ApiError(TITLES[response.status] || "The request failed.", errors.map(String), response.status);
}
