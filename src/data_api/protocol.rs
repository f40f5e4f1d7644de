//! What the Data API's client and server must agree on.

use std::fmt;

use bson::{RawBsonRef, RawDocument, RawDocumentBuf};

use crate::codec::ejson::{self, Style};
use crate::driver::Namespace;
use crate::error::{Error, ErrorKind};

/// Plain or relaxed JSON.
pub const JSON: &str = "application/json";
/// Extended JSON.
pub const EJSON: &str = "application/ejson";
/// The header that carries the key. Servers also take `apiKey`.
pub const API_KEY_HEADER: &str = "api-key";

/// What the Data API can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Stores a document.
    InsertOne,
    /// Stores several documents.
    InsertMany,
    /// Finds the first document that matches.
    FindOne,
    /// Finds all documents that match.
    Find,
    /// Updates the first document that matches.
    UpdateOne,
    /// Updates all documents that match.
    UpdateMany,
    /// Replaces the first document that matches.
    ReplaceOne,
    /// Deletes the first document that matches.
    DeleteOne,
    /// Deletes all documents that match.
    DeleteMany,
    /// Runs an aggregation pipeline.
    Aggregate,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::FindOne,
        Self::Find,
        Self::InsertOne,
        Self::InsertMany,
        Self::UpdateOne,
        Self::UpdateMany,
        Self::ReplaceOne,
        Self::DeleteOne,
        Self::DeleteMany,
        Self::Aggregate,
    ];

    /// The last part of the action's path, after `/action/`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InsertOne => "insertOne",
            Self::InsertMany => "insertMany",
            Self::FindOne => "findOne",
            Self::Find => "find",
            Self::UpdateOne => "updateOne",
            Self::UpdateMany => "updateMany",
            Self::ReplaceOne => "replaceOne",
            Self::DeleteOne => "deleteOne",
            Self::DeleteMany => "deleteMany",
            Self::Aggregate => "aggregate",
        }
    }

    /// Whether it changes what is stored.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::FindOne | Self::Find | Self::Aggregate)
    }

    /// The action of that name, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The beginning of a request's body, to be followed by `"name": value}`.
pub fn request_prefix(data_source: &str, namespace: &Namespace) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for (opening, value) in [
        (r#"{"dataSource":"#, data_source),
        (r#","database":"#, namespace.database.as_str()),
        (r#","collection":"#, namespace.collection.as_str()),
    ] {
        out.extend_from_slice(opening.as_bytes());
        ejson::write_text(&mut out, value);
    }
    out.push(b',');
    out
}

/// The body of an error answer.
#[derive(Debug, Clone)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: String,
    /// Its kind, as a word.
    pub error_code: String,
    /// MongoDB's code, where the error is MongoDB's. Ours, not Atlas's.
    pub code: Option<i32>,
    /// MongoDB's error document. Ours, not Atlas's.
    pub details: Option<RawDocumentBuf>,
}

impl ErrorBody {
    /// A body with the two fields that all servers give.
    pub fn new(error_code: &str, error: impl Into<String>) -> Self {
        Self { error: error.into(), error_code: error_code.to_owned(), code: None, details: None }
    }

    /// As JSON, with the `link` that the Data API's error bodies have: here to
    /// nowhere, since there is no hosted log to link to.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = br#"{"error":"#.to_vec();
        ejson::write_text(&mut out, &self.error);
        out.extend_from_slice(br#","error_code":"#);
        ejson::write_text(&mut out, &self.error_code);
        out.extend_from_slice(br#","link":"""#);
        if let Some(code) = self.code {
            out.extend_from_slice(format!(",\"code\":{code}").as_bytes());
        }
        if let Some(details) = &self.details {
            let mark = out.len();
            out.extend_from_slice(br#","details":"#);
            if ejson::write_document(&mut out, details, Style::Relaxed).is_err() {
                out.truncate(mark);
            }
        }
        out.push(b'}');
        out
    }

    /// Reads an error body; `None` where it is none.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let document = ejson::parse_document(body).ok()?;
        let code = match document.get("code") {
            Ok(Some(RawBsonRef::Int32(code))) => Some(code),
            _ => None,
        };
        Some(Self {
            error: document.get_str("error").ok()?.to_owned(),
            error_code: document.get_str("error_code").unwrap_or_default().to_owned(),
            code,
            details: document.get_document("details").ok().map(RawDocument::to_owned),
        })
    }
}

/// The HTTP status and error body for an error of MongoDB's.
pub fn answer_for(action: Action, error: &Error) -> (u16, ErrorBody) {
    let (status, error_code) = match error.kind {
        ErrorKind::ServerSelectionTimeout | ErrorKind::AutoReconnect | ErrorKind::NotPrimary => (503, "MongoDBError"),
        ErrorKind::NetworkTimeout | ErrorKind::ExecutionTimeout => (504, "ExecutionTimeLimitExceeded"),
        ErrorKind::DocumentTooLarge => (413, "InvalidParameter"),
        ErrorKind::InvalidBson | ErrorKind::InvalidName => (400, "InvalidParameter"),
        ErrorKind::Operation if error.code == Some(18) => (500, "MongoDBError"),
        ErrorKind::Operation
        | ErrorKind::Write
        | ErrorKind::DuplicateKey
        | ErrorKind::DuplicateId
        | ErrorKind::BulkWrite
        | ErrorKind::WriteConcern
        | ErrorKind::WTimeout
        | ErrorKind::CursorNotFound => (400, "MongoDBError"),
        _ => (500, "InternalServerError"),
    };
    let body = ErrorBody {
        error: format!("{action} failed: {}", error.message),
        error_code: error_code.to_owned(),
        code: error.code,
        details: error.details.clone(),
    };
    (status, body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_come_back_as_they_went() {
        let body = ErrorBody {
            error: "E11000 \"dup\"".into(),
            error_code: "MongoDBError".into(),
            code: Some(11000),
            details: Some(bson::rawdoc! {"index": 0, "keyValue": {"_id": "x"}}),
        };
        let back = ErrorBody::parse(&body.to_json()).unwrap();
        assert_eq!((back.error, back.error_code, back.code), (body.error, body.error_code, body.code));
        assert_eq!(back.details, body.details);
        assert!(ErrorBody::parse(b"<html>").is_none());
        assert!(ErrorBody::parse(b"{}").is_none());
    }

    #[test]
    fn names_are_quoted_into_the_request() {
        let namespace = Namespace::new("d\"b", "c");
        let mut body = request_prefix("Cluster0", &namespace);
        body.extend_from_slice(br#""document":{}}"#);
        let parsed = ejson::parse_document(&body).unwrap();
        assert_eq!(parsed.get_str("database").unwrap(), "d\"b");
    }
}
