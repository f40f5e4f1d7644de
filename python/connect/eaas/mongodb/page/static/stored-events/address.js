// The part of the address after `#`: which view is shown, with which parameters.

/** The address after `#`: the parts of the path, and the parameters. */
export function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decodeURIComponent),
    parameters: new URLSearchParams(query || ""),
  };
}

/** Changes parameters of the address, which shows the view again. Empty ones are removed. */
export function go(changes, { path = address().path, replace = false } = {}) {
  const { parameters } = address();
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) parameters.delete(name);
    else parameters.set(name, value);
  }
  const query = parameters.toString();
  const hash = `#/${path.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
  if (hash === location.hash) window.dispatchEvent(new Event("hashchange"));
  else if (replace) location.replace(hash);
  else location.hash = hash;
}

/** The address of a view. */
export function to(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}
