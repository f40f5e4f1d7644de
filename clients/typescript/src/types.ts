/** A document, or the type of one. */
export type Document = Record<string, unknown>;

/** A document that is stored: with its `_id`, a string of hexadecimal digits unless `T` says otherwise. */
export type Stored<T> = T extends { _id: unknown } ? T : T & { _id: string };

/** A document to insert. Without `_id`, it gets one. */
export type Insertable<T> = T extends { _id: unknown } ? Omit<T, "_id"> & Partial<Pick<T, "_id">> : T;

/** The type of a document's `_id`. */
export type IdOf<T> = Stored<T> extends { _id: infer Id } ? Id : string;

type Element<V> = V extends readonly (infer E)[] ? E : V;

/** Query operators for a field of type `V`. */
export interface Operators<V> {
  $eq?: V | Element<V>;
  $ne?: V | Element<V> | null;
  $gt?: V | Element<V>;
  $gte?: V | Element<V>;
  $lt?: V | Element<V>;
  $lte?: V | Element<V>;
  $in?: readonly (V | Element<V> | null)[];
  $nin?: readonly (V | Element<V> | null)[];
  $exists?: boolean;
  $not?: Document;
  $all?: readonly Element<V>[];
  $elemMatch?: Document;
  $size?: number;
  $regex?: string;
  $options?: string;
  $type?: unknown;
  $mod?: readonly [number, number];
}

/** A value to compare with, as it is, as Extended JSON (`{ $oid: … }`), or operators. */
export type Condition<V> = V | Element<V> | Operators<V> | ExtendedJson | null;

/** A value in Extended JSON that plain JSON has no type for. */
export type ExtendedJson =
  | { $oid: string }
  | { $date: string | { $numberLong: string } }
  | { $numberLong: string }
  | { $numberInt: string }
  | { $numberDouble: string }
  | { $numberDecimal: string }
  | { $binary: { base64: string; subType: string } }
  | { $uuid: string };

/** A query filter. Fields of `T` are checked; dotted names and top-level operators are open. */
export type Filter<T> = { [P in keyof Stored<T>]?: Condition<Stored<T>[P]> } & { [name: string]: unknown };

type Fields<T> = { [P in keyof T]?: T[P] | ExtendedJson } & { [name: string]: unknown };

/** An update: operators, or the stages of a pipeline. */
export type Update<T> =
  | ({
      $set?: Fields<T>;
      $setOnInsert?: Fields<T>;
      $unset?: { [P in keyof T]?: unknown } & Document;
      $inc?: { [P in keyof T]?: T[P] extends number | bigint | undefined ? T[P] | ExtendedJson : never } & Document;
    } & { [operator: `$${string}`]: unknown })
  | readonly Document[];

/** The order of documents: 1 ascending, -1 descending. */
export type Sort<T> = { [P in keyof Stored<T>]?: 1 | -1 } & { [name: string]: unknown };

/** The fields of results. */
export type Projection<T> = { [P in keyof Stored<T>]?: unknown } & { [name: string]: unknown };

/** Options of every call. */
export interface CallOptions {
  /** Ends the call. */
  signal?: AbortSignal;
  /** The time limit of the call with its repeats, in milliseconds; by default that of the client. */
  timeout?: number;
  /** Further fields of the request, such as `collation` or `hint`. */
  [field: string]: unknown;
}

export interface FindOneOptions<T> extends CallOptions {
  projection?: Projection<T>;
  sort?: Sort<T>;
}

export interface FindOptions<T> extends FindOneOptions<T> {
  limit?: number;
  skip?: number;
}

export interface WriteOptions extends CallOptions {
  /** Insert a document if none matches. */
  upsert?: boolean;
}

export interface FindOneAndOptions<T> extends FindOneOptions<T>, WriteOptions {
  /** Which document to return; `before` by default. */
  returnDocument?: "before" | "after";
}

export interface InsertOneResult<T> {
  insertedId: IdOf<T>;
}

export interface InsertManyResult<T> {
  insertedIds: IdOf<T>[];
}

export interface UpdateResult<T> {
  matchedCount: number;
  modifiedCount: number;
  /** The `_id` of the document that an upsert inserted. */
  upsertedId?: IdOf<T>;
}

export interface DeleteResult {
  deletedCount: number;
}

export interface InsertManyOptions extends CallOptions {
  /** Stop at the first error; true by default. */
  ordered?: boolean;
}

export interface CountOptions extends CallOptions {
  limit?: number;
  skip?: number;
}

/** A write of `bulkWrite`. */
export type BulkWriteOperation<T> =
  | { insertOne: { document: Insertable<T> } }
  | { updateOne: { filter: Filter<T>; update: Update<T>; upsert?: boolean; [option: string]: unknown } }
  | { updateMany: { filter: Filter<T>; update: Update<T>; upsert?: boolean; [option: string]: unknown } }
  | { replaceOne: { filter: Filter<T>; replacement: Insertable<T>; upsert?: boolean; [option: string]: unknown } }
  | { deleteOne: { filter: Filter<T>; [option: string]: unknown } }
  | { deleteMany: { filter: Filter<T>; [option: string]: unknown } };

export interface BulkWriteResult<T> {
  insertedCount: number;
  matchedCount: number;
  modifiedCount: number;
  deletedCount: number;
  upsertedCount: number;
  /** The `_id`s of inserted documents, by the index of the operation. */
  insertedIds?: Record<string, IdOf<T>>;
  /** The `_id`s of upserted documents, by the index of the operation. */
  upsertedIds?: Record<string, IdOf<T>>;
}

export interface IterateOptions<T> extends FindOptions<T> {
  /** How many documents a page has. */
  batchSize?: number;
}

export interface WatchOptions extends CallOptions {
  /** A condition on changes, such as `{ operationType: "insert" }`. */
  filter?: Document;
  /** Stages that process each change. */
  pipeline?: readonly Document[];
  /** Whether an update has the document as it is now. */
  fullDocument?: "default" | "updateLookup" | "whenAvailable" | "required";
  fullDocumentBeforeChange?: "off" | "whenAvailable" | "required";
  /** Continue after the change with this `id`. */
  lastEventId?: string;
}

/** A change of a collection. */
export interface Change<T> {
  /** Where to continue: the `lastEventId` of a later `watch`. */
  id: string;
  operationType: string;
  documentKey?: { _id: IdOf<T> };
  fullDocument?: Stored<T> | null;
  updateDescription?: { updatedFields?: Document; removedFields?: string[] };
  [field: string]: unknown;
}
