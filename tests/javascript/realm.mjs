// Logs in with realm-web, as published, and calls the Data API with the session's token: `node realm.mjs`. Prints JSON.

import * as Realm from "realm-web";

const { BASE_URL: baseUrl, EMAIL: email, PASSWORD: password, DATABASE: database, COLLECTION: collection } = process.env;
const app = new Realm.App({ id: "myapp-abcde", baseUrl });
const results = {};

async function find(user) {
  const response = await fetch(`${baseUrl}/app/myapp-abcde/endpoint/data/v1/action/find`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${user.accessToken}` },
    body: JSON.stringify({ dataSource: "Cluster0", database, collection, filter: {} }),
  });
  return response.status;
}

const user = await app.logIn(Realm.Credentials.emailPassword(email, password));
results.profile = { email: user.profile.email, provider: user.providerType, state: user.state };
results.found = await find(user);
const first = user.accessToken;
// Those of the same second are the same.
await new Promise((resolve) => setTimeout(resolve, 1100));
await user.refreshAccessToken();
results.refreshed = [user.accessToken !== first, await find(user)];
const anonymous = await app.logIn(Realm.Credentials.anonymous());
results.anonymous = [anonymous.providerType, anonymous.id !== user.id];
results.refused = await app
  .logIn(Realm.Credentials.emailPassword(email, "wrong"))
  .then(() => "logged in", (error) => [error.statusCode, error.errorCode ?? null]);
await user.logOut();
results.loggedOut = user.state;
console.log(JSON.stringify(results));
