export { DataApi, type Codec, type DataApiOptions } from "./client.js";
export { Collection } from "./collection.js";
export { DataApiError } from "./error.js";
export type * from "./types.js";
