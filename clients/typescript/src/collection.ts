import type { DataApi } from "./client.js";
import { lines } from "./stream.js";
import type {
  BulkWriteOperation, BulkWriteResult, CallOptions, CountOptions, DeleteResult, Document, Filter, FindOneAndOptions,
  FindOneOptions, FindOptions, Insertable, InsertManyOptions, InsertManyResult, InsertOneResult, Stored, Update,
  UpdateResult, WriteOptions,
} from "./types.js";

/** The actions: the names of their arguments; which field of the response is the result; whether they only read. */
const ACTIONS: Record<string, [string[], string?, boolean?]> = {
  findOne: [["filter"], "document", true],
  find: [["filter"], "documents", true],
  aggregate: [["pipeline"], "documents", true],
  insertOne: [["document"]],
  insertMany: [["documents"]],
  updateOne: [["filter", "update"]],
  updateMany: [["filter", "update"]],
  replaceOne: [["filter", "replacement"]],
  deleteOne: [["filter"]],
  deleteMany: [["filter"]],
  findOneAndUpdate: [["filter", "update"], "document"],
  findOneAndReplace: [["filter", "replacement"], "document"],
  findOneAndDelete: [["filter"], "document"],
  countDocuments: [["filter"], "count", true],
  estimatedDocumentCount: [[], "count", true],
  distinct: [["key", "filter"], "values", true],
  bulkWrite: [["operations"]],
};

/** Whether a filter or a pipeline only reads. */
const isReading = (query: unknown): boolean =>
  !Array.isArray(query) || !query.some((stage) => "$out" in stage || "$merge" in stage);

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
    for (const [action, [names, result, reads]] of Object.entries(ACTIONS)) {
      (this.prototype as unknown as Document)[action] = async function (this: Collection, ...given: unknown[]) {
        const fields = Object.fromEntries(names.map((name, index) => [name, given[index]]));
        const options = given[names.length] as CallOptions | undefined;
        const response = await this.#api.action(action, { ...this.at, ...fields }, options, reads && isReading(given[0]));
        return result ? response[result] : response;
      };
    }
  }

  /** Return the documents of a filter or a pipeline as they arrive: for results of any size. */
  async *stream<R extends object = Stored<T>>(
    query: Filter<T> | readonly Document[] = {},
    options?: FindOptions<T>,
  ): AsyncGenerator<R, void, undefined> {
    const [action, field] = Array.isArray(query) ? ["aggregate", "pipeline"] : ["find", "filter"];
    const fields = { ...this.at, [field as string]: query };
    const opened = await this.#api.post(action as string, fields, options, isReading(query), "application/x-ndjson");
    for await (const line of lines(opened)) if (line) yield this.#api.parse<R>(line);
  }
}
