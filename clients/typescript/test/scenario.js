// What the client does in each runtime: in Node.js, a browser and an edge runtime. It uses nothing of any of them.

/** Compare by the JSON of both. */
export function equal(actual, expected, what) {
  const [left, right] = [actual, expected].map((value) => JSON.stringify(value));
  if (left !== right) throw new Error(`${what}: ${left} instead of ${right}`);
}

/** The error that a call ends with. */
export async function failure(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("the call did not fail");
}

/** Run all of it, and return the names of what ran. */
export async function scenario({ DataApi, DataApiError }, { endpoint, apiKey, database, collection }) {
  const api = new DataApi({ endpoint, apiKey, dataSource: "Cluster0" });
  const orders = api.collection(database, collection);
  const ran = [];
  const step = async (name, run) => {
    await run();
    ran.push(name);
  };

  await step("insert", async () => {
    equal(await orders.insertOne({ _id: "a", n: 1, tags: ["x"] }), { insertedId: "a" }, "insertOne");
    const { insertedIds } = await orders.insertMany([{ _id: "b", n: 2 }, { n: 3, text: "Zoë 試験" }]);
    equal([insertedIds[0], insertedIds[1].length], ["b", 24], "insertMany");
  });
  await step("find", async () => {
    equal(await orders.findOne({ _id: "a" }), { _id: "a", n: 1, tags: ["x"] }, "findOne");
    equal(await orders.findOne({ _id: "nobody" }), null, "findOne of nothing");
    const found = await orders.find({ n: { $gte: 2 } }, { sort: { n: -1 }, projection: { _id: 0 }, limit: 5, skip: 0 });
    equal(found, [{ n: 3, text: "Zoë 試験" }, { n: 2 }], "find");
    equal((await orders.find()).length, 3, "find of all");
  });
  await step("aggregate", async () => {
    const sums = await orders.aggregate([{ $group: { _id: null, n: { $sum: "$n" } } }]);
    equal(sums, [{ _id: null, n: 6 }], "aggregate");
  });
  await step("update", async () => {
    const one = await orders.updateOne({ _id: "a" }, { $set: { done: true } });
    equal([one.matchedCount, one.modifiedCount], [1, 1], "updateOne");
    const many = await orders.updateMany({ n: { $lte: 2 } }, { $inc: { n: 10 } });
    equal([many.matchedCount, many.modifiedCount], [2, 2], "updateMany");
    const upserted = await orders.updateOne({ _id: "c" }, { $set: { n: 9 } }, { upsert: true });
    equal([upserted.matchedCount, upserted.upsertedId], [0, "c"], "upsert");
    const replaced = await orders.replaceOne({ _id: "c" }, { n: 8 });
    equal([replaced.matchedCount, replaced.modifiedCount], [1, 1], "replaceOne");
    equal(await orders.findOne({ _id: "c" }), { _id: "c", n: 8 }, "replaced");
  });
  await step("delete", async () => {
    equal(await orders.deleteOne({ _id: "c" }), { deletedCount: 1 }, "deleteOne");
    equal(await orders.deleteMany({}), { deletedCount: 3 }, "deleteMany");
  });
  await step("Extended JSON", async () => {
    const typed = new DataApi({ endpoint, apiKey, dataSource: "Cluster0", ejson: JSON }).collection(database, collection);
    const document = { _id: { $oid: "507f1f77bcf86cd799439011" }, n: { $numberLong: "9007199254740993" } };
    equal(await typed.insertOne(document), { insertedId: document._id }, "insertOne");
    equal(await typed.findOne({ _id: document._id }), document, "findOne");
    await typed.deleteMany({});
  });
  await step("errors", async () => {
    const wrong = new DataApi({ endpoint, apiKey: "wrong", dataSource: "Cluster0" }).collection(database, collection);
    const refused = await failure(() => wrong.find());
    equal([refused instanceof DataApiError, refused.name], [true, "DataApiError"], "class");
    equal([refused.status, refused.errorCode], [401, "InvalidSession"], "wrong key");
    equal(refused.message, "invalid session: error finding user for endpoint", "message");
    equal(typeof refused.requestId, "string", "the id of the request");
    await orders.insertOne({ _id: 1 });
    const twice = await failure(() => orders.insertOne({ _id: 1 }));
    equal([twice.status, twice.code], [400, 11000], "duplicate key");
    await orders.deleteMany({});
  });
  await step("abort", async () => {
    const aborting = new AbortController();
    const calling = failure(() => orders.find({}, { signal: aborting.signal }));
    aborting.abort();
    equal((await calling).name, "AbortError", "while it runs");
    equal((await failure(() => orders.find({}, { signal: aborting.signal }))).name, "AbortError", "before it begins");
  });
  await step("supports", async () => {
    equal([await api.supports("find"), await api.supports("dropDatabase")], [true, false], "supports");
  });
  if (await api.supports("countDocuments")) await step("more actions", async () => {
    await orders.insertMany([{ _id: 1, n: 1 }, { _id: 2, n: 2 }, { _id: 3, n: 2 }]);
    equal([await orders.countDocuments(), await orders.countDocuments({ n: 2 })], [3, 2], "countDocuments");
    equal(await orders.estimatedDocumentCount(), 3, "estimatedDocumentCount");
    equal((await orders.distinct("n")).sort(), [1, 2], "distinct");
    equal(await orders.distinct("n", { _id: 1 }), [1], "distinct of some");
    const before = await orders.findOneAndUpdate({ _id: 1 }, { $set: { n: 5 } });
    equal(before, { _id: 1, n: 1 }, "findOneAndUpdate");
    const after = await orders.findOneAndReplace({ _id: 1 }, { n: 6 }, { returnDocument: "after" });
    equal(after, { _id: 1, n: 6 }, "findOneAndReplace");
    equal(await orders.findOneAndDelete({ _id: 1 }), { _id: 1, n: 6 }, "findOneAndDelete");
    equal(await orders.findOneAndDelete({ _id: 1 }), null, "findOneAndDelete of nothing");
    const result = await orders.bulkWrite([
      { insertOne: { document: { _id: 4 } } },
      { updateMany: { filter: { n: 2 }, update: { $set: { n: 3 } } } },
      { deleteOne: { filter: { _id: 4 } } },
    ]);
    equal([result.insertedCount, result.modifiedCount, result.deletedCount], [1, 2, 1], "bulkWrite");
    const operation = { action: "insertOne", database, collection, document: { _id: "in a transaction" } };
    const { results } = await api.action("transaction", { operations: [operation] });
    equal(results, [{ insertedId: "in a transaction" }], "transaction");
    await orders.deleteMany({});
  });
  if (await api.supports("watch")) await step("streams", async () => {
    const numbers = Array.from({ length: 25 }, (_, n) => ({ _id: n, text: "é".repeat(n) }));
    await orders.insertMany(numbers);
    const collect = async (documents) => {
      const all = [];
      for await (const document of documents) all.push(document);
      return all;
    };
    const sort = { sort: { _id: 1 } };
    equal(await collect(orders.stream({}, sort)), numbers, "stream");
    equal(await collect(orders.stream([{ $match: { _id: 3 } }])), [numbers[3]], "stream of a pipeline");
    equal(await collect(orders.stream({ _id: "nobody" })), [], "stream of nothing");
    equal(await collect(orders.iterate({}, { ...sort, batchSize: 10 })), numbers, "iterate");
    equal(await collect(orders.iterate({}, { sort: { text: 1 }, batchSize: 7 })), numbers, "iterate by a sort");
    const last = [{ $sort: { _id: -1 } }, { $limit: 3 }];
    equal(await collect(orders.iterate(last, { batchSize: 2 })), numbers.slice(-3).reverse(), "iterate a pipeline");
    for await (const document of orders.stream({}, sort)) {
      equal(document, numbers[0], "the first of a stream");
      break;
    }
    const raw = new DataApi({ endpoint, apiKey, dataSource: "Cluster0", ejson: JSON }).collection(database, collection);
    equal((await collect(raw.stream({ _id: 1 })))[0]._id, { $numberInt: "1" }, "stream of Extended JSON");
    equal((await failure(() => collect(orders.stream({ $nothing: 1 })))).status, 400, "stream of a wrong filter");
    await orders.deleteMany({});
  });
  if (await api.supports("watch")) await step("watch", async () => {
    await orders.insertOne({ _id: 0 });
    const aborting = new AbortController();
    const changes = orders.watch({ signal: aborting.signal, filter: { operationType: "insert" } });
    let first;
    const next = changes.next().then(({ value }) => (first = value));
    // The stream is open at some time: until then, documents are inserted.
    for (let n = 1; !first; n++) {
      await orders.insertOne({ _id: n });
      await Promise.race([next, new Promise((resolve) => setTimeout(resolve, 50))]);
    }
    equal([first.operationType, typeof first.id], ["insert", "string"], "the first change");
    const waiting = failure(async () => {
      for await (const change of changes) equal(change.operationType, "insert", "another change");
    });
    aborting.abort();
    equal((await waiting).name, "AbortError", "the end");
    // It continues after the change with this id.
    await orders.updateOne({ _id: 0 }, { $set: { n: 1 } });
    for await (const change of orders.watch({ lastEventId: first.id, filter: { operationType: "update" } })) {
      equal([change.documentKey, change.updateDescription.updatedFields], [{ _id: 0 }, { n: 1 }], "the next change");
      break;
    }
    await orders.deleteMany({});
  });
  return ran;
}
