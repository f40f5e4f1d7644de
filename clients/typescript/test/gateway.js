// The gateway that tests call: `DATA_API_ENDPOINT` and `DATA_API_KEY`, as `connect-mongodb dev` prints them.

const { DATA_API_ENDPOINT: endpoint, DATA_API_KEY: apiKey, DATA_API_DATABASE: database = "tests" } = process.env;

/** Why tests that need a gateway are skipped, or false. */
export const skip = endpoint && apiKey ? false : "DATA_API_ENDPOINT and DATA_API_KEY name no gateway";

let number = 0;

/** The settings of a test, with a collection of its own. */
export const settings = (name) => ({ endpoint, apiKey, database, collection: `${name}_${process.pid}_${number++}` });
