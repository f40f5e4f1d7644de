// Requests as MongoDB's documentation shows them for JavaScript: `node samples.mjs`. Prints the responses as JSON.

import axios from "axios";

const { URL_ENDPOINT: endpoint, API_KEY: apiKey, DATABASE: database, COLLECTION: collection } = process.env;
const target = { dataSource: "Cluster0", database, collection };
const results = {};

// axios, with the body as a string.
const data = JSON.stringify({ ...target, document: { _id: "axios", text: "Do the dishes" } });
const config = {
  method: "post",
  url: `${endpoint}/action/insertOne`,
  headers: { "Content-Type": "application/json", "Access-Control-Request-Headers": "*", "api-key": apiKey },
  data,
};
results.axios = await axios(config).then((response) => [response.status, response.data]);

// axios, with the body as an object, and Extended JSON in the response.
const headers = { "Content-Type": "application/json", "api-key": apiKey, Accept: "application/ejson" };
results.axiosObject = await axios
  .post(`${endpoint}/action/insertOne`, { ...target, document: { _id: 7, at: { $date: "2026-01-02T03:04:05Z" } } }, { headers })
  .then((response) => [response.status, response.data]);

// fetch, with Extended JSON both ways.
results.fetch = await fetch(`${endpoint}/action/find`, {
  method: "POST",
  headers: { "Content-Type": "application/ejson", Accept: "application/ejson", apiKey },
  body: JSON.stringify({ ...target, filter: { at: { $gte: { $date: "2026-01-01T00:00:00Z" } } } }),
}).then(async (response) => [response.status, await response.json()]);

// fetch, with an error.
results.refused = await fetch(`${endpoint}/action/find`, {
  method: "POST",
  headers: { "Content-Type": "application/json", "api-key": "wrong" },
  body: JSON.stringify({ ...target, filter: {} }),
}).then(async (response) => [response.status, await response.json()]);

console.log(JSON.stringify(results));
