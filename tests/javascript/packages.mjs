// Runs calls of a published client of the Data API: `node packages.mjs PACKAGE`. It reads a call from each line, as
// `{key, collection, call, arguments}` (for some packages, the key may be other credentials), and prints what it came to: `{value}`, `{error}` or `{absent: true}`.
//
// The packages are as published. Only the host, the application's id and the key differ from what their documentation says.

import { createInterface } from "node:readline";

const { URL_ENDPOINT: endpoint, DATABASE: database } = process.env;
const dataSource = "Cluster0";

// A package that has Atlas' host in its code: the host alone is replaced.
const send = globalThis.fetch;
globalThis.fetch = (url, options) =>
  send(String(url).replace(/^https:\/\/eu-central-1\.aws\.data\.mongodb-api\.com/, new URL(endpoint).origin), options);

/** What mongodb-data-api and its fork export. */
async function chainedClient(name, apiKey, collection) {
  const module = await import(name);
  const api = module.createMongoDBDataAPI({ apiKey, urlEndpoint: endpoint });
  const target = { dataSource, database, collection };
  const chained = api.$cluster(dataSource).$database(database).$collection(collection);
  return {
    insertOne: async (document) => (await api.insertOne({ ...target, document })).insertedId,
    insertMany: async (documents) => (await api.insertMany({ ...target, documents })).insertedIds,
    findOne: async (filter) => (await chained.findOne({ filter })).document,
    find: async (filter, options) => (await api.find({ ...target, filter, ...options })).documents,
    updateOne: (filter, update, upsert) => api.updateOne({ ...target, filter, update, upsert }),
    updateMany: (filter, update, upsert) => chained.updateMany({ filter, update, upsert }),
    replaceOne: (filter, replacement, upsert) => api.replaceOne({ ...target, filter, replacement, upsert }),
    aggregate: async (pipeline) => (await api.aggregate({ ...target, pipeline })).documents,
    deleteOne: async (filter) => (await api.$$action("deleteOne", { ...target, filter })).deletedCount,
    deleteMany: async (filter) => (await api.deleteMany({ ...target, filter })).deletedCount,
  };
}

const PACKAGES = {
  "mongodb-data-api": (apiKey, collection) => chainedClient("mongodb-data-api", apiKey, collection),

  "@alexdicy/mongodb-data-api": (apiKey, collection) => chainedClient("@alexdicy/mongodb-data-api", apiKey, collection),

  "@taskless/mongo-data-api": async (apiKey, collection) => {
    const { MongoClient } = await import("@taskless/mongo-data-api");
    const auth = typeof apiKey == "string" ? { apiKey } : apiKey;
    const client = new MongoClient({ endpoint: new URL(endpoint), dataSource, auth });
    const documents = client.db(database).collection(collection);
    const given = ({ data, error }) => {
      if (error) throw error;
      return data;
    };
    return {
      insertOne: async (document) => given(await documents.insertOne(document)).insertedId,
      insertMany: async (many) => given(await documents.insertMany("a name", many)).insertedIds,
      findOne: async (filter) => given(await documents.findOne(filter)),
      find: async (filter, options) => given(await documents.find(filter, options)),
      updateOne: async (filter, update, upsert) => given(await documents.updateOne(filter, update, { upsert })),
      updateMany: async (filter, update, upsert) => given(await documents.updateMany(filter, update, { upsert })),
      replaceOne: async (filter, document, upsert) => given(await documents.replaceOne(filter, document, { upsert })),
      aggregate: async (pipeline) => given(await documents.aggregate(pipeline)),
      deleteOne: async (filter) => given(await documents.deleteOne(filter)).deletedCount,
      deleteMany: async (filter) => given(await documents.deleteMany(filter)).deletedCount,
    };
  },

  "mongodb-atlas-data-api": async (apiKey, collection) => {
    const { AtlasApi } = await import("mongodb-atlas-data-api");
    const auth = typeof apiKey == "string" ? { type: "apiKey", apiKey } : apiKey;
    const api = new AtlasApi({ basePath: endpoint, auth, dataSource, database, collection });
    return {
      insertOne: async (document) => (await api.insertOne({ insertOneRequestBody: { document } })).insertedId,
      insertMany: async (documents) => (await api.insertMany({ insertManyRequestBody: { documents } })).insertedIds,
      findOne: async (filter) => (await api.findOne({ findOneRequestBody: { filter } })).document,
      find: async (filter, options) => (await api.find({ findManyRequestBody: { filter, ...options } })).documents,
      updateOne: (filter, update, upsert) => api.updateOne({ updateRequestBody: { filter, update, upsert } }),
      updateMany: (filter, update, upsert) => api.updateMany({ updateRequestBody: { filter, update, upsert } }),
      aggregate: async (pipeline) => (await api.aggregate({ aggregateRequestBody: { pipeline } })).documents,
      deleteOne: async (filter) => (await api.deleteOne({ deleteRequestBody: { filter } })).deletedCount,
      deleteMany: async (filter) => (await api.deleteMany({ deleteRequestBody: { filter } })).deletedCount,
    };
  },

  "mongo-atlas-client": async (apiKey, collection) => {
    const { Client, ConnectionData } = await import("mongo-atlas-client");
    const connection = new ConnectionData({ dataSource, database, apikey: apiKey, atlasEndPoint: endpoint });
    const request = async (url, body, headers, stringify) => {
      const response = await fetch(url, { method: "POST", body: stringify(body), headers });
      const text = await response.text();
      if (!response.ok) failed = `${response.status} ${text}`;
      return text;
    };
    let failed = "";
    const client = new Client(connection, request, (message) => (failed = message));
    const given = async (result) => {
      failed = "";
      const value = await result();
      if (failed) throw new Error(failed);
      return value;
    };
    return {
      insertOne: async (document) => (await given(() => client.insertOne(collection, document))).insertedId,
      insertMany: async (documents) => (await given(() => client.insertMany(collection, documents))).insertedIds,
      findOne: async (filter) => (await given(() => client.findOne(collection, filter))).document,
      find: async (filter, options) => (await given(() => client.find(collection, filter, options))).documents,
      updateOne: (filter, update, upsert) => given(() => client.updateOne(collection, filter, update, upsert)),
      updateMany: (filter, update, upsert) => given(() => client.updateMany(collection, filter, update, upsert)),
      replaceOne: (filter, document, upsert) => given(() => client.replaceOne(collection, filter, document, upsert)),
      aggregate: async (pipeline) => (await given(() => client.aggregate(collection, pipeline))).documents,
      deleteOne: async (filter) => (await given(() => client.deleteOne(collection, filter))).deletedCount,
      deleteMany: async (filter) => (await given(() => client.deleteMany(collection, filter))).deletedCount,
    };
  },

  "@gmmurray/mongodb-atlas-data-api": async (apiKey, collection) => {
    const module = await import("@gmmurray/mongodb-atlas-data-api");
    const Client = module.default.default;
    const api = new Client({
      apiKey,
      dataApiUrlEndpoint: endpoint,
      defaultDataSource: dataSource,
      defaultDatabase: database,
    });
    const given = ({ data, error }) => {
      if (error) throw new Error(error);
      return data;
    };
    return {
      insertOne: async (document) => given(await api.insertOneDocument({ collection, document })).insertedId,
      insertMany: async (documents) => given(await api.insertManyDocuments({ collection, documents })).insertedIds,
      findOne: async (filter) => given(await api.findOneDocument({ collection, filter })).document,
      find: async (filter, { limit, ...options }) =>
        given(await api.findDocuments({ collection, filter, ...options, pageSize: limit, pageNumber: 1 })).documents,
      updateOne: async (filter, update, upsert) =>
        given(await api.updateOneDocument({ collection, filter, update, upsert })),
      updateMany: async (filter, update, upsert) =>
        given(await api.updateManyDocuments({ collection, filter, update, upsert })),
      replaceOne: async (filter, replacement, upsert) =>
        given(await api.replaceOneDocument({ collection, filter, replacement, upsert })),
      aggregate: async (pipeline) => given(await api.aggregateDocuments({ collection, pipeline })).documents,
      deleteOne: async (filter) => given(await api.deleteOneDocument({ collection, filter })).deletedCount,
      deleteMany: async (filter) => given(await api.deleteManyDocuments({ collection, filter })).deletedCount,
    };
  },

  "mongodb-atlas-data-api-sdk": async (apiKey, collection) => {
    const { default: Client } = await import("mongodb-atlas-data-api-sdk");
    const api = new Client({ apiKey, apiUrl: endpoint, dbCluster: dataSource, dbName: database, quiet: true });
    return {
      insertOne: async (document) => (await api.insertOne({ collection, document })).insertedId,
      insertMany: async (documents) => (await api.insertMany({ collection, documents })).insertedIds,
      findOne: async (filter) => (await api.findOne({ collection, filter })).document,
      find: async (filter, options) => (await api.find({ collection, filter, ...options })).documents,
      updateOne: (filter, update, upsert) => api.updateOne({ collection, filter, update, upsert }),
      updateMany: (filter, update, upsert) => api.updateMany({ collection, filter, update, upsert }),
      replaceOne: (filter, replacement, upsert) => api.replaceOne({ collection, filter, replacement, upsert }),
      aggregate: async (pipeline) => (await api.aggregate({ collection, pipeline })).documents,
      deleteOne: async (filter) => (await api.deleteOne({ collection, filter })).deletedCount,
      deleteMany: async (filter) => (await api.deleteMany({ collection, filter })).deletedCount,
    };
  },

  "mongo-http": async (apiKey, collection) => {
    const { initClient } = (await import("mongo-http")).default;
    const client = initClient({ appId: "data-abcde", appRegion: "eu-central-1", apiKey });
    const documents = client.database({ databaseName: database }).collection(collection);
    const given = ({ isSuccess, error, ...rest }) => {
      if (!isSuccess) throw new Error(error);
      return rest;
    };
    return {
      insertOne: async (document) => given(await documents.insertOne(document)).insertedId,
      insertMany: async (many) => given(await documents.insertMany(many)).insertedIds,
      findOne: async (filter) => given(await documents.findOne({ filter })).document,
      find: async (filter, options) => given(await documents.find({ filter, ...options })).documents,
      updateOne: async (filter, update, upsert) => given(await documents.updateOne({ filter, update, upsert })),
      updateMany: async (filter, update, upsert) => given(await documents.updateMany({ filter, update, upsert })),
      replaceOne: async (filter, replacement, upsert) =>
        given(await documents.replaceOne({ filter, replacement, upsert })),
      aggregate: async (pipeline) => given(await documents.aggregate({ pipeline })).documents,
      deleteOne: async (filter) => given(await documents.deleteOne({ filter })).deletedCount,
      deleteMany: async (filter) => given(await documents.deleteMany({ filter })).deletedCount,
    };
  },
};

// Clients write what they do to the console: the results alone go to standard output.
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);

for await (const line of createInterface({ input: process.stdin })) {
  const { key, collection, call, arguments: given } = JSON.parse(line);
  let result;
  try {
    const client = await PACKAGES[process.argv[2]](key, collection);
    result = call in client ? { value: (await client[call](...given)) ?? null } : { absent: true };
  } catch (error) {
    result = { error: String(error?.message ?? error) };
  }
  write(`${JSON.stringify(result)}\n`);
}
