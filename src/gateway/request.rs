//! The typed form of a request.
//!
//! Fields that the Data API does not have are ignored and never sent to MongoDB.

use axum::body::Bytes;
use bson::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};

use super::api_error::{ApiError, ApiResult};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::ejson;
use crate::data_api::protocol::Action;

/// The memory that a field of a `bson::Document` takes: its name, its entry in the map, its value.
const BYTES_PER_ELEMENT: usize = 224;

/// The memory that each document of an `insertMany` takes beside its BSON: an allocation, a statement, its `_id` as text.
const BYTES_PER_DOCUMENT: usize = 160;

/// The fields of the Data API.
const FIELDS: [&str; 15] = [
    "dataSource",
    "database",
    "collection",
    "document",
    "documents",
    "filter",
    "limit",
    "ordered",
    "pipeline",
    "projection",
    "replacement",
    "skip",
    "sort",
    "update",
    "upsert",
];

/// Parses a request body, which is JSON or EJSON.
pub(super) fn parse_body(body: &Bytes) -> ApiResult<RawDocumentBuf> {
    ejson::parse_document(body).map_err(|error| ApiError::invalid(format!("the body is {}", error.message)))
}

/// Rejects repeated fields: of two values, a proxy in front of the gateway may read the other.
pub(super) fn reject_repeated_fields(request: &RawDocument) -> ApiResult<()> {
    let mut seen = [false; FIELDS.len()];
    for field in request {
        let (name, _) = field.map_err(|_| ApiError::invalid("the body cannot be read"))?;
        let Some(index) = FIELDS.iter().position(|known| *known == name.as_str()) else { continue };
        if std::mem::replace(&mut seen[index], true) {
            return Err(ApiError::invalid(format!("'{}' is given more than once", FIELDS[index])));
        }
    }
    Ok(())
}

/// An action with its parameters, whose types are validated.
pub(super) enum Operation<'r> {
    InsertOne { document: &'r RawDocument },
    InsertMany { documents: &'r RawArray, ordered: bool },
    FindOne(Query<'r>),
    Find { query: Query<'r>, sort: Option<&'r RawDocument>, skip: Option<u32>, limit: Option<u32> },
    Update { many: bool, filter: &'r RawDocument, update: Update<'r>, upsert: bool },
    ReplaceOne { filter: &'r RawDocument, replacement: &'r RawDocument, upsert: bool },
    Delete { many: bool, filter: &'r RawDocument },
    Aggregate { pipeline: &'r RawArray },
}

/// What the two find actions have in common.
#[derive(Clone, Copy)]
pub(super) struct Query<'r> {
    pub(super) filter: Option<&'r RawDocument>,
    pub(super) projection: Option<&'r RawDocument>,
}

/// The two forms of an update.
#[derive(Clone, Copy)]
pub(super) enum Update<'r> {
    Operators(&'r RawDocument),
    Pipeline(&'r RawArray),
}

/// A parameter that MongoDB evaluates, so that it can contain operators.
#[derive(Clone, Copy)]
pub(super) enum Evaluated<'r> {
    /// A filter, a projection, a sort order or update operators.
    Document(&'r RawDocument),
    /// The pipeline of `aggregate`.
    Aggregation(&'r RawArray),
    /// The pipeline of an update.
    UpdatePipeline(&'r RawArray),
}

impl<'r> Operation<'r> {
    /// Reads the parameters of an action.
    pub(super) fn parse(action: Action, request: &'r RawDocument) -> ApiResult<Self> {
        let upsert = || Ok(optional_flag(request, "upsert")?.unwrap_or(false));
        let query = || {
            Ok(Query {
                filter: optional_document(request, "filter")?,
                projection: optional_document(request, "projection")?,
            })
        };
        Ok(match action {
            Action::InsertOne => Self::InsertOne { document: required_document(request, "document")? },
            Action::InsertMany => Self::InsertMany {
                documents: required_array(request, "documents")?,
                // An extension of this gateway. Atlas's batches are ordered.
                ordered: optional_flag(request, "ordered")?.unwrap_or(true),
            },
            Action::FindOne => Self::FindOne(query()?),
            Action::Find => Self::Find {
                query: query()?,
                sort: optional_document(request, "sort")?,
                skip: optional_integer(request, "skip")?,
                limit: optional_integer(request, "limit")?,
            },
            Action::UpdateOne | Action::UpdateMany => Self::Update {
                many: action == Action::UpdateMany,
                filter: required_document(request, "filter")?,
                update: match value(request, "update")? {
                    Some(RawBsonRef::Document(operators)) => Update::Operators(operators),
                    Some(RawBsonRef::Array(stages)) => Update::Pipeline(stages),
                    Some(_) => return Err(ApiError::invalid("'update' must be a document or an array")),
                    None => return Err(ApiError::missing("update")),
                },
                upsert: upsert()?,
            },
            Action::ReplaceOne => Self::ReplaceOne {
                filter: required_document(request, "filter")?,
                replacement: required_document(request, "replacement")?,
                upsert: upsert()?,
            },
            Action::DeleteOne | Action::DeleteMany => {
                let filter = required_document(request, "filter")?;
                Self::Delete { many: action == Action::DeleteMany, filter }
            }
            Action::Aggregate => Self::Aggregate { pipeline: required_array(request, "pipeline")? },
        })
    }

    /// The parameters that MongoDB evaluates, with their names.
    pub(super) fn evaluated(&self) -> impl Iterator<Item = (&'static str, Evaluated<'r>)> {
        let document = |name, document: Option<&'r RawDocument>| Some((name, Evaluated::Document(document?)));
        let parameters = match *self {
            Self::InsertOne { .. } | Self::InsertMany { .. } => [None, None, None],
            Self::FindOne(Query { filter, projection }) => {
                [document("filter", filter), document("projection", projection), None]
            }
            Self::Find { query: Query { filter, projection }, sort, .. } => {
                [document("filter", filter), document("projection", projection), document("sort", sort)]
            }
            Self::Update { filter, update, .. } => {
                let update = match update {
                    Update::Operators(operators) => Evaluated::Document(operators),
                    Update::Pipeline(stages) => Evaluated::UpdatePipeline(stages),
                };
                [document("filter", Some(filter)), Some(("update", update)), None]
            }
            Self::ReplaceOne { filter, .. } | Self::Delete { filter, .. } => {
                [document("filter", Some(filter)), None, None]
            }
            Self::Aggregate { pipeline } => [Some(("pipeline", Evaluated::Aggregation(pipeline))), None, None],
        };
        parameters.into_iter().flatten()
    }

    /// The memory that the evaluated parameters take in decoded form, and documents beside their BSON, in bytes.
    pub(super) fn memory(&self) -> ApiResult<usize> {
        let mut elements = 0;
        for (name, parameter) in self.evaluated() {
            let (size, value) = match parameter {
                Evaluated::Document(document) => (document.as_bytes().len(), RawBsonRef::Document(document)),
                Evaluated::Aggregation(stages) | Evaluated::UpdatePipeline(stages) => {
                    (stages.as_bytes().len(), RawBsonRef::Array(stages))
                }
            };
            if size > MAX_DOCUMENT_SIZE {
                return Err(ApiError::too_large(format!("'{name}' is larger than {MAX_DOCUMENT_SIZE} bytes")));
            }
            elements += count_elements(value)?;
        }
        let documents = match self {
            Self::InsertMany { documents, .. } => documents.into_iter().count(),
            _ => 0,
        };
        Ok(elements * BYTES_PER_ELEMENT + documents * BYTES_PER_DOCUMENT)
    }

    /// Checks what tells an update from a replacement: the operators.
    pub(super) fn check_update_operators(&self) -> ApiResult<()> {
        match self {
            Self::Update { update: Update::Operators(operators), .. } => {
                let mut names = operators.iter().map(|field| field.map(|(name, _)| name.as_str().starts_with('$')));
                if operators.is_empty() || !names.all(|is_operator| is_operator.unwrap_or(false)) {
                    return Err(ApiError::invalid("'update' must contain only update operators, such as $set"));
                }
                Ok(())
            }
            Self::ReplaceOne { replacement, .. } => {
                let mut names = replacement.iter().map(|field| field.map(|(name, _)| name.as_str().starts_with('$')));
                if names.any(|is_operator| is_operator.unwrap_or(true)) {
                    return Err(ApiError::invalid(
                        "'replacement' must not contain update operators, such as $set: use updateOne",
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Counts the fields and items of a value, including itself.
fn count_elements(value: RawBsonRef<'_>) -> ApiResult<usize> {
    let mut count = 1;
    match value {
        RawBsonRef::Document(document) => {
            for field in document {
                count += count_elements(field.map_err(|_| ApiError::unreadable())?.1)?;
            }
        }
        RawBsonRef::Array(array) => {
            for item in array {
                count += count_elements(item.map_err(|_| ApiError::unreadable())?)?;
            }
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => count += count_elements(RawBsonRef::Document(code.scope))?,
        _ => {}
    }
    Ok(count)
}

fn value<'r>(request: &'r RawDocument, name: &str) -> ApiResult<Option<RawBsonRef<'r>>> {
    request.get(name).map_err(|_| ApiError::invalid(format!("'{name}' cannot be read")))
}

/// Reads a string that must be present.
pub(super) fn required_string(request: &RawDocument, name: &str) -> ApiResult<String> {
    match value(request, name)? {
        Some(RawBsonRef::String(text)) => Ok(text.to_owned()),
        Some(_) => Err(ApiError::invalid(format!("'{name}' must be a string"))),
        None => Err(ApiError::missing(name)),
    }
}

fn optional_document<'r>(request: &'r RawDocument, name: &str) -> ApiResult<Option<&'r RawDocument>> {
    match value(request, name)? {
        Some(RawBsonRef::Document(document)) => Ok(Some(document)),
        Some(_) => Err(ApiError::invalid(format!("'{name}' must be a document"))),
        None => Ok(None),
    }
}

fn required_document<'r>(request: &'r RawDocument, name: &str) -> ApiResult<&'r RawDocument> {
    optional_document(request, name)?.ok_or_else(|| ApiError::missing(name))
}

fn required_array<'r>(request: &'r RawDocument, name: &str) -> ApiResult<&'r RawArray> {
    match value(request, name)? {
        Some(RawBsonRef::Array(array)) => Ok(array),
        Some(_) => Err(ApiError::invalid(format!("'{name}' must be an array"))),
        None => Err(ApiError::missing(name)),
    }
}

fn optional_flag(request: &RawDocument, name: &str) -> ApiResult<Option<bool>> {
    match value(request, name)? {
        None => Ok(None),
        Some(RawBsonRef::Boolean(flag)) => Ok(Some(flag)),
        Some(_) => Err(ApiError::invalid(format!("'{name}' must be a boolean"))),
    }
}

/// Reads an integer, which JSON may also write as `10.0`.
fn optional_integer(request: &RawDocument, name: &str) -> ApiResult<Option<u32>> {
    let number = match value(request, name)? {
        None => return Ok(None),
        Some(RawBsonRef::Int32(number)) => u32::try_from(number).ok(),
        Some(RawBsonRef::Int64(number)) => u32::try_from(number).ok(),
        Some(RawBsonRef::Double(number)) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => {
            Some(number as u32)
        }
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| ApiError::invalid(format!("'{name}' must be an integer from 0 to {}", u32::MAX)))
}
