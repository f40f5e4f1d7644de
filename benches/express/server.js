// The gateway's peer: the Data API as MongoDB's Express template has it, on the official driver alone
// (no Mongoose), with one client that all requests share, and the answers that the Data API gave.
//
// MONGODB_URI and API_KEY say what it serves, and to whom; WORKERS, of how many processes it is made
// (the template is one). Prints `Listening on PORT`.
'use strict';

const cluster = require('node:cluster');

const WORKERS = Number(process.env.WORKERS ?? 1);
const JSON_TYPE = 'application/json';
const EJSON_TYPE = 'application/ejson';

/** Start the workers; tell the port, which they share, when all of them listen. */
function startWorkers() {
  let listening = 0;
  cluster.on('listening', (_, address) => {
    listening += 1;
    if (listening === WORKERS) console.log(`Listening on ${address.port}`);
  });
  cluster.on('exit', () => process.exit(1));
  for (let count = 0; count < WORKERS; count += 1) cluster.fork();
}

/** Serve the actions. */
async function serve() {
  const express = require('express');
  const { BSON, MongoClient } = require('mongodb');
  const { EJSON } = BSON;

  const client = await new MongoClient(process.env.MONGODB_URI).connect();
  const key = process.env.API_KEY;

  const collectionOf = ({ database, collection }) => client.db(database).collection(collection);

  function refuse(res, status, errorCode, error) {
    res.status(status).json({ error, error_code: errorCode, link: '' });
  }

  function requireKey(req, res, next) {
    const given = req.get('api-key') ?? req.get('apiKey');
    if (given === key) next();
    else if (given === undefined) refuse(res, 400, 'InvalidParameter', 'no authentication methods were specified');
    else refuse(res, 401, 'InvalidSession', 'invalid session: error finding user for endpoint');
  }

  function requireTarget(req, res, next) {
    const missing = ['dataSource', 'database', 'collection'].find((name) => typeof req.body?.[name] !== 'string');
    if (missing !== undefined) {
      refuse(res, 400, 'MissingParameter', `'${missing}' is missing`);
      return;
    }
    if (req.is(EJSON_TYPE)) req.body = EJSON.deserialize(req.body, { relaxed: false });
    next();
  }

  function answer(req, res, status, body) {
    if (req.get('accept')?.includes(EJSON_TYPE)) {
      res.status(status).type(EJSON_TYPE).send(EJSON.stringify(body, { relaxed: false }));
    } else {
      res.status(status).json(body);
    }
  }

  const actions = express.Router();
  actions.post('/insertOne', async (req, res) => {
    const { insertedId } = await collectionOf(req.body).insertOne(req.body.document);
    answer(req, res, 201, { insertedId });
  });
  actions.post('/findOne', async (req, res) => {
    const { filter, projection } = req.body;
    answer(req, res, 200, { document: await collectionOf(req.body).findOne(filter ?? {}, { projection }) });
  });

  const app = express();
  // Express would name itself in each answer, and hash it.
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(
    '/app/:app/endpoint/data/v1/action',
    requireKey,
    express.json({ type: [JSON_TYPE, EJSON_TYPE], limit: '64mb' }),
    requireTarget,
    actions,
  );
  app.use((req, res) => refuse(res, 404, 'NotFound', 'no such action'));
  // Express tells by its four parameters that it is for errors.
  app.use((error, req, res, next) => {
    if (res.headersSent) next(error);
    else refuse(res, error.status ?? 400, 'InvalidParameter', error.message);
  });

  const server = app.listen(0, '127.0.0.1', () => {
    if (!cluster.isWorker) console.log(`Listening on ${server.address().port}`);
  });
}

if (cluster.isPrimary && WORKERS > 1) startWorkers();
else serve();
