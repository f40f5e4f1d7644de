//! The OpenAPI 3.1 description, built from the same actions, media types and error bodies that the
//! gateway uses.

use serde_json::{Map, Value, json};

use crate::data_api::protocol::{API_KEY_HEADER, Action, EJSON, JSON};
use crate::gateway::arguments::{self, Argument, Kind, Role};

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
            (_, Kind::Any) => json!({}),
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
                ("200", object(json!({ "documents": { "type": "array", "items": document() } }), &["documents"]))
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
        let content = json!({ JSON: { "schema": schema }, EJSON: { "schema": schema } });
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

/// The description as JSON.
pub fn description() -> Value {
    let mut paths = Map::new();
    for action in Action::ALL {
        paths.insert(format!("/action/{action}"), json!({ "post": action.operation() }));
    }
    let plain = |summary: &str, media: &str, more: Value| {
        let mut responses = json!({ "200": { "description": "OK", "content": { media: {} } } });
        if let (Some(responses), Some(more)) = (responses.as_object_mut(), more.as_object()) {
            responses.extend(more.clone());
        }
        json!({ "get": { "summary": summary, "tags": ["operation"], "security": [], "responses": responses } })
    };
    let not_ready = json!({ "503": { "description": "MongoDB cannot be reached.", "content": { JSON: {} } } });
    paths.insert("/healthz".to_owned(), plain("Liveness: the process serves requests.", JSON, json!({})));
    paths.insert("/readyz".to_owned(), plain("Readiness: all data sources respond.", JSON, not_ready));
    paths.insert("/metrics".to_owned(), plain("Metrics for Prometheus.", "application/openmetrics-text", json!({})));
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
        "security": [{ "key": [] }, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": API_KEY_HEADER },
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
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
