//! What the gateway says of itself: OpenAPI 3.1, made of the same actions,
//! media types and error bodies that it serves.

use serde_json::{Map, Value, json};

use crate::data_api::protocol::{API_KEY_HEADER, Action, EJSON, JSON};

/// A field of a request's body: its name, whether it must be there, and its schema.
struct Field(&'static str, bool, fn() -> Value);

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn document() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

fn documents() -> Value {
    json!({ "type": "array", "minItems": 1, "items": document() })
}

fn pipeline() -> Value {
    json!({ "type": "array", "items": document() })
}

fn update() -> Value {
    json!({ "oneOf": [document(), pipeline()] })
}

fn flag() -> Value {
    json!({ "type": "boolean", "default": false })
}

fn ordered() -> Value {
    json!({ "type": "boolean", "default": true, "description": "Whether to stop at the first that is refused." })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
}

const NAMESPACE: [Field; 3] =
    [Field("dataSource", true, text), Field("database", true, text), Field("collection", true, text)];

impl Action {
    fn fields(self) -> &'static [Field] {
        match self {
            Self::FindOne => &[Field("filter", false, document), Field("projection", false, document)],
            Self::Find => &[
                Field("filter", false, document),
                Field("projection", false, document),
                Field("sort", false, document),
                Field("limit", false, count),
                Field("skip", false, count),
            ],
            Self::InsertOne => &[Field("document", true, document)],
            Self::InsertMany => &[Field("documents", true, documents), Field("ordered", false, ordered)],
            Self::UpdateOne | Self::UpdateMany => {
                &[Field("filter", true, document), Field("update", true, update), Field("upsert", false, flag)]
            }
            Self::ReplaceOne => {
                &[Field("filter", true, document), Field("replacement", true, document), Field("upsert", false, flag)]
            }
            Self::DeleteOne | Self::DeleteMany => &[Field("filter", true, document)],
            Self::Aggregate => &[Field("pipeline", true, pipeline)],
        }
    }

    fn summary(self) -> &'static str {
        match self {
            Self::FindOne => "Find the first document that matches",
            Self::Find => "Find all documents that match",
            Self::InsertOne => "Store a document",
            Self::InsertMany => "Store several documents",
            Self::UpdateOne => "Update the first document that matches",
            Self::UpdateMany => "Update all documents that match",
            Self::ReplaceOne => "Replace the first document that matches",
            Self::DeleteOne => "Delete the first document that matches",
            Self::DeleteMany => "Delete all documents that match",
            Self::Aggregate => "Run an aggregation pipeline",
        }
    }

    fn answer(self) -> (&'static str, Value) {
        let number = json!({ "type": ["integer", "object"] });
        let object = |properties: Value, required: &[&str]| json!({ "type": "object", "properties": properties, "required": required });
        match self {
            Self::FindOne => ("200", object(json!({ "document": { "type": ["object", "null"] } }), &["document"])),
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
        }
    }

    fn operation(self) -> Value {
        let fields = || NAMESPACE.iter().chain(self.fields());
        let properties: Map<String, Value> =
            fields().map(|Field(name, _, schema)| ((*name).to_owned(), schema())).collect();
        let required: Vec<&str> =
            fields().filter(|Field(_, required, _)| *required).map(|Field(name, ..)| *name).collect();
        let body = json!({ "schema": { "type": "object", "properties": properties, "required": required } });
        let (status, schema) = self.answer();
        let mut responses = Map::new();
        let content = json!({ JSON: { "schema": schema }, EJSON: { "schema": schema } });
        responses.insert(status.to_owned(), json!({ "description": "It is done.", "content": content }));
        for (status, description) in REFUSALS {
            responses.insert(status.to_owned(), refusal(description));
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

/// What may be answered instead.
const REFUSALS: [(&str, &str); 12] = [
    ("400", "The request cannot be carried out: it is malformed, or MongoDB refused it; or it has no key."),
    ("401", "The key or the token is none, or has ended."),
    ("403", "The key has no right to this."),
    ("404", "There is no such action."),
    ("405", "Actions are POSTed."),
    ("408", "The body did not come in time."),
    ("413", "The body, or a document, is larger than it may be."),
    ("415", "The Content-Type is another."),
    ("429", "Too many requests, of this key or in all: try again after Retry-After seconds."),
    ("500", "A fault of the gateway, or of its own user at MongoDB."),
    ("503", "MongoDB cannot be reached."),
    ("504", "It took longer than it may."),
];

fn refusal(description: &str) -> Value {
    json!({
        "description": description,
        "content": { JSON: { "schema": { "$ref": "#/components/schemas/Error" } } },
    })
}

/// The whole document.
pub fn description() -> Value {
    let mut paths = Map::new();
    for action in Action::ALL {
        paths.insert(format!("/action/{action}"), json!({ "post": action.operation() }));
    }
    let plain = |summary: &str, media: &str, more: Value| {
        let mut responses = json!({ "200": { "description": "So it is.", "content": { media: {} } } });
        if let (Some(responses), Some(more)) = (responses.as_object_mut(), more.as_object()) {
            responses.extend(more.clone());
        }
        json!({ "get": { "summary": summary, "tags": ["operation"], "security": [], "responses": responses } })
    };
    let unready = json!({ "503": { "description": "MongoDB cannot be reached.", "content": { JSON: {} } } });
    paths.insert("/healthz".to_owned(), plain("Whether the process serves", JSON, json!({})));
    paths.insert("/readyz".to_owned(), plain("Whether every MongoDB answers", JSON, unready));
    paths.insert("/metrics".to_owned(), plain("Metrics, for Prometheus", "application/openmetrics-text", json!({})));
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
                        "error": { "type": "string", "description": "What is wrong." },
                        "error_code": { "type": "string", "description": "Its kind, as a word." },
                        "link": { "type": "string", "description": "Empty: there is no hosted log to link to." },
                        "code": { "type": "integer", "description": "MongoDB's code, where the error is MongoDB's." },
                        "details": { "type": "object", "description": "MongoDB's error document." },
                    },
                },
            },
        },
    })
}
