import type { DataApi } from "./client.js";
import { failure, isPassing, type DataApiError } from "./error.js";
import { lines, sleep } from "./stream.js";
import type {
  BulkWriteOperation, BulkWriteResult, CallOptions, Change, CountOptions, DeleteResult, Document, Filter, FindOneAndOptions,
  FindOneOptions, FindOptions, Insertable, InsertManyOptions, InsertManyResult, InsertOneResult,
  IterateOptions, Stored, Update, UpdateResult, WatchOptions, WriteOptions,
} from "./types.js";

/** The actions: which field of the response is the result, or all of it, and the names of the arguments. */
const ACTIONS: Record<string, [string, ...string[]]> = {
  findOne: ["document", "filter"],
  find: ["documents", "filter"],
  aggregate: ["documents", "pipeline"],
  insertOne: ["", "document"],
  insertMany: ["", "documents"],
  updateOne: ["", "filter", "update"],
  updateMany: ["", "filter", "update"],
  replaceOne: ["", "filter", "replacement"],
  deleteOne: ["", "filter"],
  deleteMany: ["", "filter"],
  findOneAndUpdate: ["document", "filter", "update"],
  findOneAndReplace: ["document", "filter", "replacement"],
  findOneAndDelete: ["document", "filter"],
  countDocuments: ["count", "filter"],
  estimatedDocumentCount: ["count"],
  distinct: ["values", "key", "filter"],
  bulkWrite: ["", "operations"],
};

/** Whether a filter or a pipeline only reads. */
const isReading = (query: unknown): boolean =>
  !Array.isArray(query) || !query.some((stage) => "$out" in stage || "$merge" in stage);

/** The action and the argument of a filter or a pipeline. */
const asked = (query: unknown): [string, object] =>
  Array.isArray(query) ? ["aggregate", { pipeline: query }] : ["find", { filter: query }];

/** The actions on a collection, whose documents have the type `T`. */
export interface Collection<T extends object = Document> {
  /** Return the first matching document, or null. */
  findOne(filter?: Filter<T>, options?: FindOneOptions<T>): Promise<Stored<T> | null>;
  /** Return all matching documents. */
  find(filter?: Filter<T>, options?: FindOptions<T>): Promise<Stored<T>[]>;
  /** Run a pipeline and return its documents. */
  aggregate<R extends object = Document>(pipeline: readonly Document[], options?: CallOptions): Promise<R[]>;
  /** Insert a document. */
  insertOne(document: Insertable<T>, options?: CallOptions): Promise<InsertOneResult<T>>;
  /** Insert several documents. */
  insertMany(documents: readonly Insertable<T>[], options?: InsertManyOptions): Promise<InsertManyResult<T>>;
  /** Update the first matching document. */
  updateOne(filter: Filter<T>, update: Update<T>, options?: WriteOptions): Promise<UpdateResult<T>>;
  /** Update all matching documents. */
  updateMany(filter: Filter<T>, update: Update<T>, options?: WriteOptions): Promise<UpdateResult<T>>;
  /** Replace the first matching document. */
  replaceOne(filter: Filter<T>, replacement: Insertable<T>, options?: WriteOptions): Promise<UpdateResult<T>>;
  /** Delete the first matching document. */
  deleteOne(filter: Filter<T>, options?: CallOptions): Promise<DeleteResult>;
  /** Delete all matching documents. */
  deleteMany(filter: Filter<T>, options?: CallOptions): Promise<DeleteResult>;

  // Atlas had none of the following: `DataApi.supports(name)` tells whether a server has one.

  /** Update the first matching document and return it, or null. */
  findOneAndUpdate(filter: Filter<T>, update: Update<T>, options?: FindOneAndOptions<T>): Promise<Stored<T> | null>;
  /** Replace the first matching document and return it, or null. */
  findOneAndReplace(
    filter: Filter<T>,
    replacement: Insertable<T>,
    options?: FindOneAndOptions<T>,
  ): Promise<Stored<T> | null>;
  /** Delete the first matching document and return it, or null. */
  findOneAndDelete(filter: Filter<T>, options?: FindOneOptions<T>): Promise<Stored<T> | null>;
  /** Count the matching documents. */
  countDocuments(filter?: Filter<T>, options?: CountOptions): Promise<number>;
  /** Return the number of documents according to the collection's metadata. */
  estimatedDocumentCount(options?: CallOptions): Promise<number>;
  /** Return the distinct values of a field in the matching documents. */
  distinct<K extends string & keyof Stored<T>>(
    key: K,
    filter?: Filter<T>,
    options?: CallOptions,
  ): Promise<Stored<T>[K][]>;
  distinct<V = unknown>(key: string, filter?: Filter<T>, options?: CallOptions): Promise<V[]>;
  /** Run several writes. */
  bulkWrite(operations: readonly BulkWriteOperation<T>[], options?: InsertManyOptions): Promise<BulkWriteResult<T>>;
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Collection<T extends object = Document> {
  readonly #api: DataApi;
  /** @internal */
  readonly at: { database: string; collection: string };

  /** @internal */
  constructor(api: DataApi, database: string, collection: string) {
    this.#api = api;
    this.at = { database, collection };
  }

  static {
    for (const [action, [result, ...names]] of Object.entries(ACTIONS)) {
      (this.prototype as unknown as Document)[action] = async function (this: Collection, ...given: unknown[]) {
        const fields = Object.fromEntries(names.map((name, index) => [name, given[index]]));
        const options = given[names.length] as CallOptions | undefined;
        // What gives documents or values only reads, but for findOneAnd….
        const reads = !!result && !action.includes("And") && isReading(given[0]);
        const response = await this.#api.action(action, { ...this.at, ...fields }, options, reads);
        return result ? response[result] : response;
      };
    }
  }

  /** Return the documents of a filter or a pipeline as they arrive in one response. */
  async *stream<R extends object = Stored<T>>(
    query: Filter<T> | readonly Document[] = {},
    options?: FindOptions<T>,
  ): AsyncGenerator<R, void, undefined> {
    const [action, fields] = asked(query);
    const opened = await this.#api.post(`action/${action}`, { ...this.at, ...fields }, options, isReading(query), true);
    for await (const line of lines(opened)) if (line) yield this.#api.parse<R>(line);
  }

  /** Return the documents of a filter or a pipeline page by page. A page that fails is read again. */
  async *iterate<R extends object = Stored<T>>(
    query: Filter<T> | readonly Document[] = {},
    options: IterateOptions<T> = {},
  ): AsyncGenerator<R, void, undefined> {
    const [action, fields] = asked(query);
    const { signal, timeout, ...more } = options;
    let page: { documents?: R[]; cursor?: string | true } = { cursor: true };
    let sent: object = { ...fields, ...more };
    while (page.cursor) {
      const { cursor } = page;
      page = await this.#api.action(action, { ...this.at, ...sent, cursor }, { signal, timeout } as CallOptions, true);
      yield* page.documents!;
      sent = {};
    }
  }

  /** Return changes of the collection as they happen, without an end. After a failure it continues where it was. */
  async *watch(options: WatchOptions = {}): AsyncGenerator<Change<T>, void, undefined> {
    let id = options.lastEventId;
    for (;;) {
      try {
        const opened = await this.#api.post("watch", this.at, { ...options, lastEventId: id }, true, true);
        let event: Record<string, string> = {};
        for await (const line of lines(opened)) {
          const [name, value] = line.split(/: ?(.*)/s);
          event[name!] = value!;
          if (line) continue;
          id = event.id ?? id;
          if (event.event) throw failure(event.data!);
          if (event.data) yield { ...this.#api.parse<Change<T>>(event.data), id: id! };
          event = {};
        }
      } catch (error) {
        // Without a position, changes could be missed.
        if (!id || !isPassing(error as DataApiError)) throw error;
      }
      await sleep(1000, options.signal);
    }
  }
}
