//! The OpenAPI 3.1 description, built from the same actions, media types and error bodies that the
//! gateway uses.

use serde_json::{Map, Value, json};

use crate::data_api::protocol::{API_KEY_HEADER, Action, EJSON, JSON};
use crate::gateway::arguments::{self, Argument, Kind, Role};
use crate::gateway::auth::logins::Provider;
use crate::gateway::response_format::NDJSON;

impl Argument {
    fn schema(&self) -> Value {
        let document = document();
        match (self.name, self.kind) {
            ("dataSource" | "database" | "collection", _) => json!({ "type": "string", "minLength": 1 }),
            ("ordered", _) => json!({
                "type": "boolean",
                "default": true,
                "description": "Whether to stop at the first operation or document that MongoDB rejects.",
            }),
            ("cursor", _) => json!({
                "type": ["boolean", "string"],
                "default": false,
                "description": "true for the first page; for a further page the cursor of the page before, with no \
                                other field than dataSource, database and collection.",
            }),
            ("close", _) => json!({
                "type": "boolean",
                "default": false,
                "description": "Whether to close the cursor of a page instead of reading the next one.",
            }),
            ("operations", _) => json!({ "type": "array", "minItems": 1, "items": document }),
            ("documents", _) => json!({ "type": "array", "minItems": 1, "items": document }),
            (_, Kind::Text) => json!({ "type": "string" }),
            (_, Kind::Flag) => json!({ "type": "boolean", "default": false }),
            (_, Kind::Count) => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            (_, Kind::Document) => document,
            (_, Kind::Documents | Kind::Pipeline) => json!({ "type": "array", "items": document }),
            (_, Kind::Update) => json!({ "oneOf": [document, { "type": "array", "items": document }] }),
            (_, Kind::Collation) => json!({
                "type": "object",
                "properties": { "locale": { "type": "string" } },
                "required": ["locale"],
            }),
            (_, Kind::Hint) => json!({ "type": ["string", "object"] }),
            (_, Kind::ReturnDocument) => json!({ "enum": ["before", "after"] }),
            (_, Kind::Any | Kind::Cursor) => json!({}),
        }
    }
}

fn document() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

impl Action {
    fn summary(self) -> &'static str {
        match self {
            Self::FindOne => "Returns the first matching document.",
            Self::Find => "Returns all matching documents.",
            Self::InsertOne => "Inserts a document.",
            Self::InsertMany => "Inserts several documents.",
            Self::UpdateOne => "Updates the first matching document.",
            Self::UpdateMany => "Updates all matching documents.",
            Self::ReplaceOne => "Replaces the first matching document.",
            Self::DeleteOne => "Deletes the first matching document.",
            Self::DeleteMany => "Deletes all matching documents.",
            Self::Aggregate => "Runs an aggregation pipeline.",
            Self::FindOneAndUpdate => "Updates the first matching document and returns it.",
            Self::FindOneAndReplace => "Replaces the first matching document and returns it.",
            Self::FindOneAndDelete => "Deletes the first matching document and returns it.",
            Self::CountDocuments => "Counts the matching documents.",
            Self::EstimatedDocumentCount => "Returns the number of documents according to the collection's metadata.",
            Self::Distinct => "Returns the distinct values of a field.",
            Self::BulkWrite => "Runs several writes on a collection.",
            Self::Transaction => "Runs several actions, all or none.",
        }
    }

    fn response(self) -> (&'static str, Value) {
        let number = json!({ "type": ["integer", "object"] });
        let object = |properties: Value, required: &[&str]| json!({ "type": "object", "properties": properties, "required": required });
        match self {
            Self::FindOne | Self::FindOneAndUpdate | Self::FindOneAndReplace | Self::FindOneAndDelete => {
                ("200", object(json!({ "document": { "type": ["object", "null"] } }), &["document"]))
            }
            Self::Find | Self::Aggregate => {
                let cursor = json!({
                    "type": ["string", "null"],
                    "description": "With a cursor: the text that leads to the next page; null after the last page.",
                });
                let documents = json!({ "type": "array", "items": document() });
                ("200", object(json!({ "documents": documents, "cursor": cursor }), &["documents"]))
            }
            Self::InsertOne => ("201", object(json!({ "insertedId": {} }), &["insertedId"])),
            Self::InsertMany => ("201", object(json!({ "insertedIds": { "type": "array" } }), &["insertedIds"])),
            Self::UpdateOne | Self::UpdateMany | Self::ReplaceOne => (
                "200",
                object(
                    json!({ "matchedCount": number, "modifiedCount": number, "upsertedId": {} }),
                    &["matchedCount", "modifiedCount"],
                ),
            ),
            Self::DeleteOne | Self::DeleteMany => ("200", object(json!({ "deletedCount": number }), &["deletedCount"])),
            Self::CountDocuments | Self::EstimatedDocumentCount => {
                ("200", object(json!({ "count": number }), &["count"]))
            }
            Self::Distinct => ("200", object(json!({ "values": { "type": "array" } }), &["values"])),
            Self::BulkWrite => {
                let counts = ["insertedCount", "matchedCount", "modifiedCount", "deletedCount", "upsertedCount"];
                let mut properties: Map<String, Value> =
                    counts.iter().map(|name| ((*name).to_owned(), number.clone())).collect();
                for name in ["insertedIds", "upsertedIds"] {
                    let description = "The _id of each document, by the index of its operation.";
                    properties.insert(name.to_owned(), json!({ "type": "object", "description": description }));
                }
                let required: Vec<&str> = counts.into_iter().chain(["insertedIds", "upsertedIds"]).collect();
                ("200", object(properties.into(), &required))
            }
            Self::Transaction => {
                let results =
                    json!({ "type": "array", "items": document(), "description": "The response of each operation." });
                ("200", object(json!({ "results": results }), &["results"]))
            }
        }
    }

    fn operation(self) -> Value {
        let arguments = arguments::of_action(self);
        let properties: Map<String, Value> =
            arguments.iter().map(|argument| (argument.name.to_owned(), argument.schema())).collect();
        let required: Vec<&str> =
            arguments.iter().filter(|argument| argument.role == Role::Required).map(|argument| argument.name).collect();
        let body = json!({ "schema": { "type": "object", "properties": properties, "required": required } });
        let (status, schema) = self.response();
        let mut responses = Map::new();
        let mut content = json!({ JSON: { "schema": schema }, EJSON: { "schema": schema } });
        if matches!(self, Self::Find | Self::Aggregate) {
            let description = "A document per line, as relaxed Extended JSON unless the media type has the parameter \
                               format: relaxed, canonical or plain.";
            content[NDJSON] = json!({ "schema": { "type": "string", "description": description } });
        }
        responses.insert(status.to_owned(), json!({ "description": "The action succeeded.", "content": content }));
        for (status, description) in ERRORS {
            responses.insert(status.to_owned(), error_response(description));
        }
        json!({
            "operationId": self.name(),
            "summary": self.summary(),
            "tags": ["actions"],
            "requestBody": { "required": true, "content": { JSON: body, EJSON: body } },
            "responses": responses,
        })
    }
}

/// The error responses of an action.
const ERRORS: [(&str, &str); 12] = [
    ("400", "The request is malformed, has no credentials, or was rejected by MongoDB."),
    ("401", "The key or token is invalid or expired."),
    ("403", "The caller has no permission for the operation."),
    ("404", "The action does not exist."),
    ("405", "The method is not POST."),
    ("408", "The request body did not arrive in time."),
    ("413", "The body or a document exceeds the size limit."),
    ("415", "The Content-Type is neither JSON nor EJSON."),
    ("429", "A rate or concurrency limit is reached. Retry after the seconds in Retry-After."),
    ("500", "The gateway failed, or MongoDB rejected its credentials."),
    ("503", "MongoDB cannot be reached."),
    ("504", "The operation timed out."),
];

fn error_response(description: &str) -> Value {
    json!({
        "description": description,
        "content": { JSON: { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn pipeline() -> Value {
    json!({ "type": "array", "items": document() })
}

/// The parameters of a change stream.
fn watch_parameters() -> [(&'static str, bool, Value, &'static str); 9] {
    let names = |names: &[&str]| json!({ "type": "string", "enum": names });
    [
        ("dataSource", true, text(), "The data source."),
        ("database", true, text(), "The database."),
        ("collection", true, text(), "The collection."),
        (
            "fullDocument",
            false,
            names(&["default", "updateLookup", "whenAvailable", "required"]),
            "Whether updates have the whole document.",
        ),
        (
            "fullDocumentBeforeChange",
            false,
            names(&["off", "whenAvailable", "required"]),
            "Whether changes have the document before.",
        ),
        ("filter", false, document(), "A condition on the changes, as Extended JSON."),
        ("pipeline", false, pipeline(), "The stages that process each change, as Extended JSON."),
        ("format", false, names(&["relaxed", "canonical", "plain"]), "How values are written."),
        ("lastEventId", false, text(), "The id of the event to continue after, unless Last-Event-ID has one."),
    ]
}

fn watch() -> Value {
    let mut parameters = Vec::new();
    let mut properties = Map::new();
    for (name, required, schema, description) in watch_parameters() {
        let value = match name {
            "filter" | "pipeline" => json!({ "content": { JSON: { "schema": schema } } }),
            _ => json!({ "schema": schema }),
        };
        let mut parameter = json!({ "name": name, "in": "query", "required": required, "description": description });
        if let (Some(parameter), Some(value)) = (parameter.as_object_mut(), value.as_object()) {
            parameter.extend(value.clone());
        }
        parameters.push(parameter);
        properties.insert(name.to_owned(), schema);
    }
    parameters.push(json!({
        "name": "Last-Event-ID", "in": "header", "required": false, "schema": text(),
        "description": "The id of the event to continue after.",
    }));
    let mut responses = Map::new();
    let stream = json!({ "text/event-stream": { "schema": { "type": "string" } } });
    responses.insert("200".to_owned(), json!({ "description": "The changes, as they happen.", "content": stream }));
    let more = [
        ("406", "The client does not accept text/event-stream."),
        ("410", "MongoDB no longer has the changes after the event."),
    ];
    for (status, description) in ERRORS.into_iter().chain(more).filter(|(status, _)| *status != "404") {
        responses.insert(status.to_owned(), error_response(description));
    }
    let operation = |id: &str| {
        json!({
            "operationId": id,
            "summary": "Follows the changes of a collection, as server-sent events.",
            "tags": ["changes"],
            "responses": responses,
        })
    };
    let (mut get, mut post) = (operation("watch"), operation("watchWithBody"));
    get["parameters"] = Value::Array(parameters);
    let body = json!({
        "type": "object", "properties": properties, "required": ["dataSource", "database", "collection"],
        "additionalProperties": false,
    });
    post["requestBody"] = json!({ "required": true, "content": { JSON: { "schema": body } } });
    json!({ "get": get, "post": post })
}

/// The paths of logins, which a gateway has if its configuration has `[logins]`.
fn login_paths() -> [(&'static str, Value); 4] {
    let object = |names: &[&str]| {
        let properties: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
        json!({ "type": "object", "properties": properties, "required": names })
    };
    let operation = |summary: &str, status: &str, schema: Option<Value>, errors: &[(&str, &str)]| {
        let content = schema.map_or_else(|| json!({}), |schema| json!({ JSON: { "schema": schema } }));
        let mut responses = Map::new();
        responses.insert(status.to_owned(), json!({ "description": "OK", "content": content }));
        let absent = ("404", "The configuration does not have [logins], the provider, or logins.public_url.");
        let limited = ("429", "Too many attempts. Retry after the seconds in Retry-After.");
        for (status, description) in errors.iter().chain([&absent, &limited]) {
            responses.insert((*status).to_owned(), error_response(description));
        }
        json!({ "summary": summary, "tags": ["logins"], "responses": responses })
    };
    let with = |mut operation: Value, name: &str, value: Value| {
        operation[name] = value;
        operation
    };
    let parameter =
        |name: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "schema": schema });
    let app = || parameter("app", json!({ "type": "string" }));
    let malformed = ("400", "The request is malformed, or has no credentials.");
    let invalid = ("401", "The credentials are invalid or have expired.");
    let unavailable = ("503", "The gateway's sessions cannot be read or written.");
    let bearer = || json!([{ "token": [] }]);

    let tokens = object(&["access_token", "refresh_token", "user_id", "device_id"]);
    let log_in = operation("Logs a user in.", "200", Some(tokens), &[malformed, invalid, unavailable]);
    let bodies = [object(&["username", "password"]), object(&["key"]), object(&["token"]), object(&[])];
    let log_in = with(log_in, "requestBody", json!({ "content": { JSON: { "schema": { "anyOf": bodies } } } }));
    let providers: Vec<&str> = Provider::ALL.iter().map(|provider| provider.name()).collect();
    let provider = parameter("provider", json!({ "enum": providers }));
    let log_in = with(with(log_in, "parameters", json!([app(), provider])), "security", json!([]));

    let errors = [malformed, invalid, unavailable];
    let refresh =
        operation("Returns an access token for a refresh token.", "201", Some(object(&["access_token"])), &errors);
    let not_stored = ("501", "The configuration does not have logins.sessions.");
    let revoke =
        operation("Ends the session of a refresh token.", "204", None, &[malformed, invalid, not_stored, unavailable]);
    let session = json!({ "post": with(refresh, "security", bearer()), "delete": with(revoke, "security", bearer()) });

    let user = json!({ "type": "object", "required": ["user_id", "identities", "type", "data", "custom_data"] });
    let profile = operation("Returns the user of an access token.", "200", Some(user), &[malformed, invalid]);
    let place = object(&["deployment_model", "location", "hostname", "ws_hostname"]);
    let location = operation("Returns the gateway's URL.", "200", Some(place), &[]);
    let location = with(with(location, "parameters", json!([app()])), "security", json!([]));
    [
        ("/api/client/v2.0/app/{app}/auth/providers/{provider}/login", json!({ "post": log_in })),
        ("/api/client/v2.0/auth/session", session),
        ("/api/client/v2.0/auth/profile", json!({ "get": with(profile, "security", bearer()) })),
        ("/api/client/v2.0/app/{app}/location", json!({ "get": location })),
    ]
}

/// The description as JSON.
pub fn description() -> Value {
    let mut paths = Map::new();
    for action in Action::ALL {
        paths.insert(format!("/action/{action}"), json!({ "post": action.operation() }));
    }
    paths.insert("/watch".to_owned(), watch());
    for (path, mut item) in login_paths() {
        // Not below the prefixes of actions.
        item["servers"] = json!([{ "url": "/" }]);
        paths.insert(path.to_owned(), item);
    }
    let plain = |summary: &str, media: &str, more: Value| {
        let mut responses = json!({ "200": { "description": "OK", "content": { media: {} } } });
        if let (Some(responses), Some(more)) = (responses.as_object_mut(), more.as_object()) {
            responses.extend(more.clone());
        }
        json!({ "get": { "summary": summary, "tags": ["operation"], "security": [], "responses": responses } })
    };
    let not_ready = json!({ "503": { "description": "MongoDB cannot be reached.", "content": { JSON: {} } } });
    paths.insert(
        "/healthz".to_owned(),
        plain("Liveness: the process serves requests. On admin_listen if it is set.", JSON, json!({})),
    );
    paths.insert(
        "/readyz".to_owned(),
        plain("Readiness: all data sources respond. On admin_listen if it is set.", JSON, not_ready),
    );
    paths.insert(
        "/metrics".to_owned(),
        plain("Metrics for Prometheus. On admin_listen if it is set.", "application/openmetrics-text", json!({})),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "MongoDB Data API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The Data API v1, served by connect-mongodb gateway. Bodies are JSON or Extended JSON.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [
            { "url": "/app/{app}/endpoint/data/v1", "variables": { "app": { "default": "data" } } },
            { "url": "/" },
        ],
        "security": [{ "token": [] }, { "key": [] }, { "email": [], "password": [] }, { "customToken": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": API_KEY_HEADER },
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "email": { "type": "apiKey", "in": "header", "name": "email" },
                "password": { "type": "apiKey", "in": "header", "name": "password" },
                "customToken": { "type": "apiKey", "in": "header", "name": "jwtTokenString" },
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error", "error_code", "link"],
                    "properties": {
                        "error": { "type": "string", "description": "The error message." },
                        "error_code": { "type": "string", "description": "The kind of error." },
                        "link": { "type": "string", "description": "Always empty: there is no hosted log." },
                        "code": { "type": "integer", "description": "MongoDB's error code, if the error is MongoDB's." },
                        "details": { "type": "object", "description": "MongoDB's error document." },
                        "index": { "type": "integer", "description": "The index of the operation that the error is about." },
                    },
                },
            },
        },
    })
}
