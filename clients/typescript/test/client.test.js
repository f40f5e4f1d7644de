import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";

import { EJSON, Long, ObjectId } from "bson";

import * as client from "../dist/index.js";
import { settings, skip } from "./gateway.js";
import { failure, scenario } from "./scenario.js";

const { DataApi, DataApiError } = client;

test("all actions work in Node.js", { skip }, async () => {
  const ran = await scenario(client, settings("node"));
  for (const name of ["supports", "more actions", "streams", "watch"]) assert.ok(ran.includes(name), name);
});

test("documents keep MongoDB's types with EJSON of bson", { skip }, async () => {
  const { database, collection, ...connection } = settings("bson");
  const documents = new DataApi({ ...connection, dataSource: "Cluster0", ejson: EJSON }).collection(database, collection);
  const document = { _id: new ObjectId(), at: new Date("2026-01-02T03:04:05.678Z"), n: 5, half: 0.5 };
  assert.deepEqual(await documents.insertOne({ ...document, absent: undefined }), { insertedId: document._id });
  const found = await documents.findOne({ _id: document._id });
  assert.deepEqual({ ...found, absent: undefined }, { ...document, absent: undefined });
  await documents.updateOne({ _id: document._id }, { $set: { long: Long.fromString("9007199254740993") } });
  const raw = new DataApi({ ...connection, dataSource: "Cluster0", ejson: JSON }).collection(database, collection);
  assert.deepEqual((await raw.findOne({})).long, { $numberLong: "9007199254740993" });
  assert.deepEqual((await raw.findOne({})).n, { $numberInt: "5" });
});

test("the client has all actions that the gateway describes", { skip }, async () => {
  const { endpoint } = settings("described");
  const { paths } = await (await fetch(endpoint.replace(/\/app\/.*/, "") + "/openapi.json")).json();
  const actions = Object.keys(paths).filter((path) => path.startsWith("/action/")).map((path) => path.slice(8));
  assert.ok(actions.length >= 10);
  // A transaction is not of one collection.
  assert.deepEqual(actions.filter((action) => !(action in client.Collection.prototype)), actions.includes("transaction") ? ["transaction"] : []);
});

test("the example of the README works", { skip }, async () => {
  const { endpoint, apiKey, database, collection } = settings("readme");
  const [, example] = readFileSync(new URL("../README.md", import.meta.url), "utf8").match(/```js\n(.*?)```/s);
  const changed = Object.entries({
    '"https://gateway.example.com/app/data-abcde/endpoint/data/v1"': JSON.stringify(endpoint),
    "process.env.DATA_API_KEY": JSON.stringify(apiKey),
    '"shop", "orders"': JSON.stringify([database, collection]).slice(1, -1),
    "console.log(error.status, error.errorCode, error.code)": "seen = [paid, error.status, error.code]",
  }).reduce((text, [name, value]) => text.replace(name, value), example);
  // A module has its exports at its top level.
  const text = changed.replace("try {", "export let seen; try {");
  const path = new URL(`readme_${process.pid}.js`, import.meta.url);
  writeFileSync(path, text);
  try {
    const { seen } = await import(path);
    assert.deepEqual([seen[0][0].status, seen[0][0].total, ...seen.slice(1)], ["paid", 12, 400, 11000]);
  } finally {
    rmSync(path);
  }
});

/** A server that answers requests in turn with `[status, body, headers]`, or breaks the connection for null. */
async function answering(answers, run) {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push(request);
    request.bodyText = "";
    request.on("data", (data) => (request.bodyText += data));
    const answer = answers[Math.min(seen.length, answers.length) - 1];
    if (answer === "silence") return;
    if (!answer) return request.socket.destroy();
    const [status, body, headers] = answer;
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const endpoint = `http://127.0.0.1:${server.address().port}/app/data-abcde/endpoint/data/v1/`;
    await run(new DataApi({ endpoint, apiKey: "key", dataSource: "Cluster0" }).collection("shop", "orders"), seen, endpoint);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const FOUND = [200, { documents: [{ _id: "1" }] }];
const BUSY = [429, { error: "busy", error_code: "TooManyRequests", link: "" }, { "retry-after": "0" }];
const AWAY = [503, { error: "MongoDB cannot be reached", error_code: "ServerError", link: "" }, { "retry-after": "0" }];

test("reads are repeated after errors that may pass", async () => {
  for (const passing of [BUSY, AWAY, [502, "<html>"], [504, { error: "late" }], null]) {
    await answering([passing, passing, FOUND], async (orders, seen) => {
      assert.deepEqual(await orders.find(), [{ _id: "1" }]);
      assert.equal(seen.length, 3);
    });
  }
});

test("reads are repeated three times", async () => {
  await answering([AWAY], async (orders, seen) => {
    const error = await failure(() => orders.find());
    assert.equal(error.status, 503);
    assert.equal(error.retryAfter, 0);
    assert.equal(seen.length, 4);
  });
});

test("writes are repeated only where they were rejected by a limit", async () => {
  const writes = [
    (orders) => orders.insertOne({}),
    (orders) => orders.updateOne({}, { $inc: { n: 1 } }),
    (orders) => orders.deleteMany({}),
    (orders) => orders.aggregate([{ $match: {} }, { $out: "copy" }]),
    (orders) => orders.aggregate([{ $merge: { into: "copy" } }]),
    (orders) => orders.findOneAndUpdate({}, { $inc: { n: 1 } }),
    (orders) => orders.bulkWrite([]),
  ];
  for (const write of writes) {
    for (const passing of [AWAY, null, [429, "a proxy's limit"]]) {
      await answering([passing, FOUND], async (orders, seen) => {
        assert.ok((await failure(() => write(orders))) instanceof DataApiError);
        assert.equal(seen.length, 1);
      });
    }
    await answering([BUSY, FOUND], async (orders, seen) => {
      await write(orders);
      assert.equal(seen.length, 2);
    });
  }
});

test("errors that do not pass are not repeated", async () => {
  for (const [status, code] of [[400, "InvalidParameter"], [401, "InvalidSession"], [403, "NoMatchingRuleFound"]]) {
    await answering([[status, { error: "no", error_code: code, code: 9, details: { a: 1 } }]], async (orders, seen) => {
      const error = await failure(() => orders.findOne());
      assert.deepEqual([error.status, error.errorCode, error.message, error.code], [status, code, "no", 9]);
      assert.deepEqual(error.details, { a: 1 });
      assert.equal(seen.length, 1);
    });
  }
});

test("a wait beyond the time limit is not begun", async () => {
  await answering([[503, {}, { "retry-after": "3600" }]], async (orders, seen) => {
    assert.equal((await failure(() => orders.find())).retryAfter, 3600);
    assert.equal(seen.length, 1);
  });
});

test("a call ends at its time limit", async () => {
  await answering(["silence"], async (orders) => {
    const error = await failure(() => orders.find({}, { timeout: 50 }));
    assert.deepEqual([error.status, error.errorCode], [0, "Timeout"]);
    const reason = new Error("enough");
    const aborting = new AbortController();
    setTimeout(() => aborting.abort(reason), 20);
    assert.equal(await failure(() => orders.find({}, { signal: aborting.signal })), reason);
  });
});

test("what is not the Data API is named", async () => {
  await answering([[200, "<html>"]], async (orders) => {
    assert.equal((await failure(() => orders.find())).errorCode, "InvalidResponse");
  });
  await answering([[404, "<html>"]], async (orders) => {
    const error = await failure(() => orders.find());
    assert.deepEqual([error.status, error.message], [404, "the server responded with status 404"]);
  });
});

test("a server that describes nothing has no more actions", async () => {
  await answering([[404, "nothing"]], async (orders, seen, endpoint) => {
    const api = new DataApi({ endpoint, apiKey: "key", dataSource: "Cluster0" });
    assert.deepEqual([await api.supports("countDocuments"), await api.supports("watch")], [false, false]);
    assert.deepEqual(seen.map((request) => request.url), ["/openapi.json"]);
  });
});

const DESCRIBED = [200, { paths: { "/action/find": {}, "/watch": {} } }];

test("a call of supports ends no other one", async () => {
  await answering(["silence", DESCRIBED], async (orders, seen, endpoint) => {
    const api = new DataApi({ endpoint, apiKey: "key", dataSource: "Cluster0" });
    const aborting = new AbortController();
    const aborted = failure(() => api.supports("watch", { signal: aborting.signal }));
    while (!seen.length) await new Promise(setImmediate);
    const other = api.supports("watch");
    aborting.abort("enough");
    assert.deepEqual([await aborted, await other], ["enough", true]);
    assert.deepEqual([await api.supports("find"), await api.supports("distinct")], [true, false]);
    assert.equal(seen.length, 2);
  });
});

test("supports keeps no failure", async () => {
  await answering([[200, "<html>"], [403, {}], DESCRIBED], async (orders, seen, endpoint) => {
    const api = new DataApi({ endpoint, apiKey: "key", dataSource: "Cluster0" });
    const errors = [await failure(() => api.supports("watch")), await failure(() => api.supports("watch"))];
    assert.ok(errors.every((error) => error instanceof DataApiError));
    assert.deepEqual(errors.map((error) => error.status), [200, 403]);
    assert.equal(await api.supports("watch"), true);
  });
  for (const described of [{}, null]) {
    await answering([[200, JSON.stringify(described)]], async (orders, seen, endpoint) => {
      assert.equal(await new DataApi({ endpoint, dataSource: "Cluster0" }).supports("watch"), false);
    });
  }
});

test("who calls is sent as Atlas had it", async () => {
  for (const [given, name, value] of [
    [{ apiKey: "key" }, "apikey", "key"],
    [{ bearer: "token" }, "authorization", "Bearer token"],
    [{ bearer: async () => "fresh" }, "authorization", "Bearer fresh"],
    [{ jwt: "e.y.z" }, "jwttokenstring", "e.y.z"],
    [{ email: "a@example.com", password: "secret" }, "password", "secret"],
    [{ headers: { "x-request-id": "mine" } }, "x-request-id", "mine"],
  ]) {
    await answering([FOUND], async (orders, seen, endpoint) => {
      await new DataApi({ endpoint, dataSource: "Cluster0", ...given }).collection("shop", "orders").find();
      assert.equal(seen[0].headers[name], value);
      assert.equal(seen[0].url, "/app/data-abcde/endpoint/data/v1/action/find");
    });
  }
});

test("errors hold no secret", async () => {
  const api = new DataApi({ endpoint: "http://127.0.0.1:1", dataSource: "Cluster0", apiKey: "top-secret", retries: 0 });
  const error = await failure(() => api.collection("shop", "orders").find());
  assert.equal(error.errorCode, "NetworkError");
  assert.ok(!`${error.stack}${JSON.stringify(error)}${JSON.stringify(api)}`.includes("top-secret"));
});

const EVENTS = { "content-type": "text/event-stream" };

test("changes go on after a stream that ended, and after a server that was away", async () => {
  const first = "retry: 1000\nid: a\n\n: heartbeat\n\nid: b\ndata: {\"operationType\":\"insert\"}\n\n";
  const second = "id: c\n\nid: d\ndata: {\"operationType\":\"delete\"}\n\n";
  await answering([[200, first, EVENTS], null, AWAY, [200, second, EVENTS], "silence"], async (orders, seen) => {
    const changes = [];
    const { signal } = new AbortController();
    for await (const change of orders.watch({ filter: { n: 1 }, signal })) {
      // That of the open stream.
      assert.equal(getEventListeners(signal, "abort").length, 1);
      if (changes.push(change) == 2) break;
    }
    assert.equal(getEventListeners(signal, "abort").length, 0);
    assert.deepEqual(changes, [{ operationType: "insert", id: "b" }, { operationType: "delete", id: "d" }]);
    assert.equal(seen[0].url, "/app/data-abcde/endpoint/data/v1/watch");
    assert.equal(seen[0].headers.accept.split(",")[0], "text/event-stream");
    const sent = seen.map((request) => JSON.parse(request.bodyText));
    const target = { dataSource: "Cluster0", database: "shop", collection: "orders", filter: { n: 1 }, format: "plain" };
    assert.deepEqual(sent.map(({ lastEventId, ...rest }) => rest), sent.map(() => target));
    assert.deepEqual(sent.map(({ lastEventId }) => lastEventId), [undefined, "b", "b", "b"]);
  });
});

test("an error that ends a stream of changes is raised", async () => {
  const body = 'event: error\ndata: {"error":"the caller may not read it","error_code":"OperationNotAllowed"}\n\n';
  await answering([[200, body, EVENTS]], async (orders, seen) => {
    const error = await failure(() => orders.watch().next());
    assert.deepEqual([error.errorCode, error.message], ["OperationNotAllowed", "the caller may not read it"]);
    assert.equal(seen.length, 1);
  });
  await answering([[403, { error: "no", error_code: "NoMatchingRuleFound" }]], async (orders) => {
    assert.equal((await failure(() => orders.watch({ lastEventId: "a" }).next())).status, 403);
  });
});

test("a stream of documents that breaks off is an error", async () => {
  const server = createServer((request, response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write('{"_id":1}\n{"_i', () => request.socket.destroy());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${server.address().port}`;
  const seen = [];
  const error = await failure(async () => {
    const orders = new DataApi({ endpoint, dataSource: "Cluster0", apiKey: "key" }).collection("shop", "orders");
    for await (const order of orders.stream()) seen.push(order);
  });
  assert.deepEqual([error.errorCode, seen], ["NetworkError", [{ _id: 1 }]]);
  server.close();
});

test("pages are read to the last one", async () => {
  const pages = [[200, { documents: [1, 2], cursor: "x" }], AWAY, [200, { documents: [], cursor: "y" }], [200, { documents: [3] }]];
  await answering(pages, async (orders, seen) => {
    const found = [];
    for await (const order of orders.iterate({ n: 1 }, { sort: { n: 1 }, batchSize: 2 })) found.push(order);
    assert.deepEqual(found, [1, 2, 3]);
    const target = { dataSource: "Cluster0", database: "shop", collection: "orders" };
    assert.deepEqual(seen.map((request) => JSON.parse(request.bodyText)), [
      { ...target, filter: { n: 1 }, sort: { n: 1 }, batchSize: 2, cursor: true },
      { ...target, cursor: "x" },
      { ...target, cursor: "x" },
      { ...target, cursor: "y" },
    ]);
  });
});
