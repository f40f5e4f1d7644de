import { Collection } from "./collection.js";
import { DataApiError, failure, isPassing } from "./error.js";
import { after, sleep, type Opened } from "./stream.js";
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
  isStream?: boolean | undefined;
}

/** The fields of an object that have a value. */
const defined = (object: object): [string, unknown][] =>
  Object.entries(object).filter(([, value]) => value !== undefined);

/** A client of the Data API. It is cheap, holds no connection of its own, and needs no closing. */
export class DataApi {
  readonly #options: DataApiOptions;
  readonly #base: string;
  #paths: string[] | undefined;

  constructor(options: DataApiOptions) {
    this.#options = options;
    this.#base = String(options.endpoint).replace(/\/+$/, "");
  }

  /** A collection, whose documents have the type `T`. */
  collection<T extends object = Document>(database: string, name: string): Collection<T> {
    return new Collection<T>(this, database, name);
  }

  /** Whether the server has an action, such as `countDocuments`, or the route `watch`. Its first answer is kept. */
  async supports(action: string, options?: CallOptions): Promise<boolean> {
    // Until then each call asks, so that no call ends by another one's signal or time limit.
    if (!this.#paths) {
      const url = this.#base.replace(/\/app\/[^/]+\/endpoint\/data\/\w+$/, "") + "/openapi.json";
      let described: { paths?: object } | null = null;
      try {
        const [response] = await this.open(url, { repeat: true }, options);
        described = this.parse(await response.text(), JSON);
      } catch (error) {
        if ((error as DataApiError).status != 404) throw error;
      }
      this.#paths = Object.keys(described?.paths ?? {});
    }
    return this.#paths.some((path) => path.endsWith("/" + action));
  }

  /** Call an action with its fields, and return its response. With `repeat`, a second execution does no harm. */
  async action<R = Document>(name: string, fields: object, options?: CallOptions, repeat?: boolean): Promise<R> {
    const [response] = await this.post(`action/${name}`, fields, options, repeat);
    return this.parse<R>(await response.text());
  }

  /** @internal */
  parse<R>(text: string, codec: Codec = this.#options.ejson ?? JSON): R {
    try {
      return codec.parse(text) as R;
    } catch (cause) {
      throw new DataApiError("the response is not JSON", 200, "InvalidResponse", { cause });
    }
  }

  /** @internal */
  post(path: string, fields: object, options: CallOptions = {}, repeat?: boolean, isStream?: boolean): Promise<Opened> {
    const { dataSource, ejson } = this.#options;
    const codec: Codec = ejson ?? JSON;
    const { signal, timeout, ...more } = options;
    const type = `application/${ejson ? "e" : ""}json`;
    const format = ejson ? "canonical" : "plain";
    const body = defined({ dataSource, ...fields, ...more, format: path == "watch" ? format : undefined });
    return this.open(
      `${this.#base}/${path}`,
      {
        method: "POST",
        headers: {
          "content-type": type,
          accept: isStream ? "text/event-stream,application/x-ndjson;format=" + format : type,
        },
        body: codec.stringify(Object.fromEntries(body), { relaxed: false }),
        repeat,
        isStream,
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
    const abort = () =>
      aborting.abort(signal?.reason ?? new DataApiError(`no response within ${limit} ms`, 0, "Timeout", {}));
    const [timer, done] = after(limit, signal, abort);
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
            headers: defined(sent) as [string, string][],
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
          error = failure(text, response);
        } catch (cause) {
          aborting.signal.throwIfAborted();
          error = new DataApiError(`no response: ${cause}`, 0, "NetworkError", { cause });
        }
        // 100 ms, 200 ms, …, less up to a half, so that clients do not come back together.
        const wait = (error.retryAfter ?? (2 ** tries * (1 - Math.random() / 2)) / 10) * 1000;
        // The gateway rejects a request by its limits before it executes it.
        const isSafe = error.errorCode == "TooManyRequests" || (repeat && isPassing(error));
        if (!isSafe || tries >= (options.retries ?? 3) || Date.now() + wait > until) throw error;
        await sleep(wait, aborting.signal);
      }
    } catch (error) {
      done();
      throw error;
    }
  }
}
