// Checked by the compiler alone: each `@ts-expect-error` must be an error.

import { EJSON, ObjectId } from "bson";
import { DataApi, DataApiError, type Document } from "connect-mongodb-data-api";

interface Order {
  _id: string;
  status: "open" | "closed";
  total: number;
  tags?: string[];
  at?: Date;
}

declare function same<T>(): <U>(value: [T] extends [U] ? ([U] extends [T] ? U : never) : never) => void;

const api = new DataApi({ endpoint: new URL("https://gateway.example.com"), dataSource: "Cluster0", apiKey: "key" });
const orders = api.collection<Order>("shop", "orders");

export async function reads(signal: AbortSignal): Promise<void> {
  same<Order | null>()(await orders.findOne({ _id: "a" }, { signal, projection: { status: 1 } }));
  same<Order[]>()(await orders.find({ total: { $gt: 5 }, tags: "x" }, { sort: { total: -1 }, limit: 10 }));
  same<{ count: number }[]>()(await orders.aggregate<{ count: number }>([{ $count: "count" }]));
  same<Document[]>()(await orders.aggregate([]));
  same<("open" | "closed")[]>()(await orders.distinct("status"));
  same<number>()(await orders.countDocuments({ "address.city": "Berlin", $or: [{ total: 1 }] }));
  for await (const order of orders.stream({ status: "open" })) same<Order>()(order);
  for await (const sum of orders.stream<{ n: number }>([{ $group: {} }])) same<{ n: number }>()(sum);
  for await (const order of orders.iterate({ status: "open" }, { batchSize: 100, sort: { total: 1 } })) same<Order>()(order);
  for await (const change of orders.watch({ fullDocument: "updateLookup", filter: { operationType: "insert" }, signal })) {
    same<string>()(change.id);
    same<Order | null | undefined>()(change.fullDocument);
  }
  // @ts-expect-error: not a way to look up
  orders.watch({ fullDocument: "always" });
  // @ts-expect-error: not a status
  await orders.find({ status: "lost" });
  // @ts-expect-error: not a number
  await orders.find({ total: { $gt: "5" } });
  // @ts-expect-error: neither 1 nor -1
  await orders.find({}, { sort: { total: "up" } });
}

export async function writes(): Promise<void> {
  same<string>()((await orders.insertOne({ status: "open", total: 1 })).insertedId);
  await orders.insertMany([{ _id: "b", status: "open", total: 2 }], { ordered: false });
  await orders.updateOne({ _id: "a" }, { $set: { status: "closed", "address.city": "Berlin" }, $inc: { total: 1 } }, { upsert: true });
  await orders.updateMany({}, [{ $set: { total: { $add: ["$total", 1] } } }]);
  await orders.replaceOne({ _id: "a" }, { status: "open", total: 3 });
  same<Order | null>()(await orders.findOneAndUpdate({}, { $unset: { tags: 1 } }, { returnDocument: "after" }));
  await orders.bulkWrite([
    { insertOne: { document: { status: "open", total: 1 } } },
    { updateOne: { filter: { _id: "a" }, update: { $set: { total: 2 } }, upsert: true } },
    { deleteMany: { filter: { total: { $lt: 0 } } } },
  ]);
  // @ts-expect-error: a field is missing
  await orders.insertOne({ status: "open" });
  // @ts-expect-error: not a status
  await orders.updateOne({}, { $set: { status: "lost" } });
  // @ts-expect-error: not a number
  await orders.updateOne({}, { $inc: { status: 1 } });
  // @ts-expect-error: not an operator of updates
  await orders.updateOne({}, { status: "open" });
  // @ts-expect-error: not a write
  await orders.bulkWrite([{ insertTwo: {} }]);
}

export async function others(): Promise<void> {
  const loose = api.collection("shop", "orders");
  const found = await loose.findOne({ anything: 1 });
  same<string | undefined>()(found?._id);
  const typed = new DataApi({ endpoint: "", dataSource: "", ejson: EJSON, bearer: async () => "token" });
  const people = typed.collection<{ _id: ObjectId; name: string }>("shop", "people");
  same<ObjectId>()((await people.insertOne({ name: "Ana" })).insertedId);
  await people.find({ _id: new ObjectId() });
  new DataApi({ endpoint: "", dataSource: "", ejson: JSON });
  // @ts-expect-error: without a data source
  new DataApi({ endpoint: "" });
  try {
    await people.deleteMany({});
  } catch (error) {
    if (error instanceof DataApiError) same<number | undefined>()(error.retryAfter);
  }
}
