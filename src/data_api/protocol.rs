//! The Data API's protocol, shared by the client and the gateway.

use std::fmt;

use bson::{RawBsonRef, RawDocument, RawDocumentBuf};

use crate::codec::ejson::{self, Style};
use crate::error::{Error, ErrorKind};
use crate::namespace::Namespace;

/// The media type of plain JSON.
pub const JSON: &str = "application/json";
/// The media type of Extended JSON.
pub const EJSON: &str = "application/ejson";
/// The header that contains the API key. Servers also accept `apiKey`.
pub const API_KEY_HEADER: &str = "api-key";

/// The error code of a cursor that leads to no further page. Only this project's gateway sends it.
pub const INVALID_CURSOR: &str = "InvalidCursor";

/// The actions of the Data API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Inserts a document.
    InsertOne,
    /// Inserts several documents.
    InsertMany,
    /// Finds the first matching document.
    FindOne,
    /// Finds all matching documents.
    Find,
    /// Updates the first matching document.
    UpdateOne,
    /// Updates all matching documents.
    UpdateMany,
    /// Replaces the first matching document.
    ReplaceOne,
    /// Deletes the first matching document.
    DeleteOne,
    /// Deletes all matching documents.
    DeleteMany,
    /// Runs an aggregation pipeline.
    Aggregate,
    /// Updates the first matching document and returns it.
    FindOneAndUpdate,
    /// Replaces the first matching document and returns it.
    FindOneAndReplace,
    /// Deletes the first matching document and returns it.
    FindOneAndDelete,
    /// Counts the matching documents.
    CountDocuments,
    /// Returns the number of documents according to the collection's metadata.
    EstimatedDocumentCount,
    /// Returns the distinct values of a field.
    Distinct,
    /// Runs several writes.
    BulkWrite,
    /// Runs several actions, all or none.
    Transaction,
}

impl Action {
    /// All actions, the ten of MongoDB's service first.
    pub const ALL: [Self; 18] = [
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
        Self::FindOneAndUpdate,
        Self::FindOneAndReplace,
        Self::FindOneAndDelete,
        Self::CountDocuments,
        Self::EstimatedDocumentCount,
        Self::Distinct,
        Self::BulkWrite,
        Self::Transaction,
    ];

    /// The actions that MongoDB's service did not have. Servers list them in `/openapi.json`.
    pub const EXTENSIONS: &'static [Self] = Self::ALL.as_slice().split_at(10).1;

    /// Returns the last segment of the action's path, after `/action/`.
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
            Self::FindOneAndUpdate => "findOneAndUpdate",
            Self::FindOneAndReplace => "findOneAndReplace",
            Self::FindOneAndDelete => "findOneAndDelete",
            Self::CountDocuments => "countDocuments",
            Self::EstimatedDocumentCount => "estimatedDocumentCount",
            Self::Distinct => "distinct",
            Self::BulkWrite => "bulkWrite",
            Self::Transaction => "transaction",
        }
    }

    /// Returns whether the action returns documents, or what is computed from them.
    pub const fn reads(self) -> bool {
        matches!(
            self,
            Self::FindOne
                | Self::Find
                | Self::Aggregate
                | Self::FindOneAndUpdate
                | Self::FindOneAndReplace
                | Self::FindOneAndDelete
                | Self::CountDocuments
                | Self::EstimatedDocumentCount
                | Self::Distinct
        )
    }

    /// Returns whether the action modifies data.
    pub const fn writes(self) -> bool {
        !matches!(
            self,
            Self::FindOne
                | Self::Find
                | Self::Aggregate
                | Self::CountDocuments
                | Self::EstimatedDocumentCount
                | Self::Distinct
        )
    }

    /// Returns the action with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the beginning of a request's body, which `"name": value}` must follow.
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

/// The body of an error response.
#[derive(Debug, Clone)]
pub struct ErrorBody {
    /// The message.
    pub error: String,
    /// The Data API's error code, a word.
    pub error_code: String,
    /// MongoDB's error code, if the error is MongoDB's. Only this project's gateway sends it.
    pub code: Option<i32>,
    /// MongoDB's error document. Only this project's gateway sends it.
    pub details: Option<RawDocumentBuf>,
    /// The index of the operation that the error is about, among the request's operations. Only this project's gateway
    /// sends it.
    pub index: Option<usize>,
}

impl ErrorBody {
    /// Creates a body with the two fields that all servers send.
    pub fn new(error_code: &str, error: impl Into<String>) -> Self {
        Self { error: error.into(), error_code: error_code.to_owned(), code: None, details: None, index: None }
    }

    /// Returns the body as JSON, with the field `link` of the Data API's error bodies. It is empty,
    /// since there is no hosted log to link to.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = br#"{"error":"#.to_vec();
        ejson::write_text(&mut out, &self.error);
        out.extend_from_slice(br#","error_code":"#);
        ejson::write_text(&mut out, &self.error_code);
        out.extend_from_slice(br#","link":"""#);
        if let Some(code) = self.code {
            out.extend_from_slice(format!(",\"code\":{code}").as_bytes());
        }
        if let Some(index) = self.index {
            out.extend_from_slice(format!(",\"index\":{index}").as_bytes());
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

    /// Parses an error body. Returns `None` if it has another form.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let document = ejson::parse_document(body).ok()?;
        let number = |name| match document.get(name) {
            Ok(Some(RawBsonRef::Int32(number))) => Some(number),
            _ => None,
        };
        Some(Self {
            error: document.get_str("error").ok()?.to_owned(),
            error_code: document.get_str("error_code").unwrap_or_default().to_owned(),
            code: number("code"),
            index: number("index").and_then(|index| usize::try_from(index).ok()),
            details: document.get_document("details").ok().map(RawDocument::to_owned),
        })
    }
}

/// Returns the HTTP status and the error body for an error of the driver path.
pub fn error_response(action: impl fmt::Display, error: &Error) -> (u16, ErrorBody) {
    let (status, error_code) = match error.kind {
        ErrorKind::ServerSelectionTimeout | ErrorKind::AutoReconnect | ErrorKind::NotPrimary => (503, "MongoDBError"),
        ErrorKind::NetworkTimeout | ErrorKind::ExecutionTimeout => (504, "ExecutionTimeLimitExceeded"),
        ErrorKind::DocumentTooLarge => (413, "InvalidParameter"),
        // Options that the driver cannot read, such as a `hint` with the field `$symbol`.
        ErrorKind::InvalidBson | ErrorKind::InvalidName | ErrorKind::Configuration => (400, "InvalidParameter"),
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
        index: None,
    };
    (status, body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_round_trip() {
        let body = ErrorBody {
            error: "E11000 \"dup\"".into(),
            error_code: "MongoDBError".into(),
            code: Some(11000),
            details: Some(bson::rawdoc! {"index": 0, "keyValue": {"_id": "x"}}),
            index: Some(3),
        };
        let back = ErrorBody::parse(&body.to_json()).unwrap();
        assert_eq!((back.error, back.error_code, back.code), (body.error, body.error_code, body.code));
        assert_eq!((back.details, back.index), (body.details, body.index));
        assert!(ErrorBody::parse(b"<html>").is_none());
        assert!(ErrorBody::parse(b"{}").is_none());
    }

    #[test]
    fn names_are_quoted_in_the_request() {
        let namespace = Namespace::new("d\"b", "c");
        let mut body = request_prefix("Cluster0", &namespace);
        body.extend_from_slice(br#""document":{}}"#);
        let parsed = ejson::parse_document(&body).unwrap();
        assert_eq!(parsed.get_str("database").unwrap(), "d\"b");
    }
}
