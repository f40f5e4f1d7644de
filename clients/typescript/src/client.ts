import { Collection } from "./collection.js";
import { DataApiError } from "./error.js";
import type { Opened } from "./stream.js";
import type { CallOptions, Document } from "./types.js";

/** Writes and reads Extended JSON: `EJSON` of the package bson, or `JSON` for documents in its notation. */
export interface Codec {
  parse(text: string): unknown;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  stringify(value: unknown, ...options: any[]): string;
}

/** Settings of a client. One of `apiKey`, `bearer`, `jwt` or `email` with `password` is who calls. */
export interface DataApiOptions {
  /** The base URL, up to and without `/action`. */
  endpoint: string | URL;
  /** The name of the data source, such as `Cluster0`. */
  dataSource: string;
  apiKey?: string;
  /** A token, or a function that returns a valid one and is asked before each try. */
  bearer?: string | (() => string | Promise<string>);
  email?: string;
  password?: string;
  jwt?: string;
  /** Further headers. */
  headers?: Record<string, string>;
  /** Send and receive Extended JSON, which keeps MongoDB's types. By default documents are plain JSON. */
  ejson?: Codec;
  /** The time limit of a call with its repeats, in milliseconds; 30,000 by default. */
  timeout?: number;
  /** How often a call is repeated where that is safe; 3 by default. */
  retries?: number;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** A request. If `repeat`, a second execution does no harm. */
interface Sent {
  method?: string;
  headers?: Record<string, string | undefined>;
  body?: string;
  repeat?: boolean | undefined;
  isStream?: boolean;
}

/** A client of the Data API. It is cheap, holds no connection of its own, and needs no closing. */
export class DataApi {
  readonly #options: DataApiOptions;
  readonly #base: string;
  #actions: Promise<string[]> | undefined;

  constructor(options: DataApiOptions) {
    this.#options = options;
    this.#base = String(options.endpoint).replace(/\/+$/, "");
  }

  /** A collection, whose documents have the type `T`. */
  collection<T extends object = Document>(database: string, name: string): Collection<T> {
    return new Collection<T>(this, database, name);
  }

  /** Whether the server has an action, such as `countDocuments`, or the route `watch`. It is asked once. */
  async supports(action: string, options?: CallOptions): Promise<boolean> {
    const url = this.#base.replace(/\/app\/[^/]+\/endpoint\/data\/\w+$/, "") + "/openapi.json";
    this.#actions ??= this.open(url, { repeat: true }, options)
      .then(async ([response]) => Object.keys(((await response.json()) as { paths: object }).paths))
      .catch((error: unknown) => {
        if ((error as DataApiError).status == 404) return [];
        this.#actions = undefined;
        throw error;
      });
    return (await this.#actions).some((path) => path.endsWith("/" + action));
  }

  /** Call an action with its fields, and return its response. With `repeat`, a second execution does no harm. */
  async action<R = Document>(name: string, fields: object, options?: CallOptions, repeat?: boolean): Promise<R> {
    const [response] = await this.post(name, fields, options, repeat);
    return this.parse<R>(await response.text());
  }

  /** @internal */
  parse<R>(text: string): R {
    try {
      return (this.#options.ejson ?? JSON).parse(text) as R;
    } catch (cause) {
      throw new DataApiError("the response is not JSON", { status: 200, errorCode: "InvalidResponse", cause });
    }
  }

  /** @internal */
  post(action: string, fields: object, options: CallOptions = {}, repeat?: boolean, accept?: string): Promise<Opened> {
    const { dataSource, ejson } = this.#options;
    const codec: Codec = ejson ?? JSON;
    const { signal, timeout, ...more } = options;
    const all = Object.entries({ dataSource, ...fields, ...more }).filter(([, value]) => value !== undefined);
    const type = `application/${ejson ? "e" : ""}json`;
    return this.open(
      `${this.#base}/action/${action}`,
      {
        method: "POST",
        headers: {
          "content-type": type,
          accept: accept ? `${accept};format=${ejson ? "canonical" : "plain"}` : type,
        },
        body: codec.stringify(Object.fromEntries(all), { relaxed: false }),
        repeat,
        isStream: !!accept,
      },
      options,
    );
  }

  /** @internal Send a request until it succeeds. Unless it is a stream, all of the response has arrived. */
  async open(url: string, { repeat, isStream, headers, ...init }: Sent, { signal, timeout }: CallOptions = {}): Promise<Opened> {
    const { apiKey, bearer, email, password, jwt, ...options } = this.#options;
    const limit = timeout ?? options.timeout ?? 30_000;
    const until = Date.now() + limit;
    const aborting = new AbortController();
    const abort = () => aborting.abort(signal?.reason);
    const timer = setTimeout(abort, limit);
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    signal?.addEventListener("abort", abort);
    try {
      for (let tries = 0; ; tries++) {
        signal?.throwIfAborted();
        const token = typeof bearer == "function" ? await bearer() : bearer;
        let error: DataApiError;
        try {
          const authorization = token && `Bearer ${token}`;
          const sent = { ...options.headers, apiKey, email, password, jwtTokenString: jwt, authorization, ...headers };
          const response = await (options.fetch ?? fetch)(url, {
            ...init,
            headers: Object.entries(sent).filter((header): header is [string, string] => header[1] !== undefined),
            signal: aborting.signal,
          });
          if (isStream && response.ok) {
            // It goes on after the time limit, and ends by its signal.
            clearTimeout(timer);
            return [response, done];
          }
          const text = await response.text();
          if (response.ok) {
            done();
            return [new Response(text), done];
          }
          error = failure(response, text);
        } catch (cause) {
          signal?.throwIfAborted();
          error = aborting.signal.aborted
            ? new DataApiError(`no response within ${limit} ms`, { status: 0, errorCode: "Timeout", cause })
            : new DataApiError(`no response: ${cause}`, { status: 0, errorCode: "NetworkError", cause });
        }
        // 100 ms, 200 ms, …, less up to a half, so that clients do not come back together.
        const wait = (error.retryAfter ?? (2 ** tries * (1 - Math.random() / 2)) / 10) * 1000;
        const isPassing =
          // The gateway rejects a request by its rate limits before it executes it.
          error.errorCode == "TooManyRequests" ||
          (repeat && (error.errorCode == "NetworkError" || [429, 502, 503, 504].includes(error.status)));
        if (!isPassing || tries >= (options.retries ?? 3) || Date.now() + wait > until) throw error;
        await new Promise<unknown>((resolve) => {
          setTimeout(resolve, wait);
          aborting.signal.addEventListener("abort", resolve);
        });
      }
    } catch (error) {
      done();
      throw error;
    }
  }
}

/** The error that a response is. */
function failure({ status, headers }: Response, text: string): DataApiError {
  let body: { error?: string; error_code?: string; code?: number; details?: unknown } = {};
  try {
    body = Object(JSON.parse(text));
  } catch {
    // A proxy's own page.
  }
  const { error, error_code: errorCode = "InvalidResponse", code, details } = body;
  const retryAfter = parseFloat(headers.get("retry-after")!);
  return new DataApiError(error ?? `the server responded with status ${status}`, {
    status,
    errorCode,
    code,
    details,
    retryAfter: retryAfter >= 0 ? retryAfter : undefined,
    requestId: headers.get("x-request-id") ?? undefined,
  });
}
