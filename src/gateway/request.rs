//! The typed form of a request.

use axum::body::Bytes;
use bson::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};

use super::api_error::{ApiError, ApiResult};
use super::arguments::{Arguments, Place};
pub(super) use super::arguments::{Options, Update};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::ejson;
use crate::data_api::protocol::Action;

/// The memory that a field of a `bson::Document` takes: its name, its entry in the map, its value.
const BYTES_PER_ELEMENT: usize = 224;
/// The maximum number of operations of a `bulkWrite`: MongoDB's limit for one command.
const MAX_BULK_OPERATIONS: usize = 100_000;
/// The maximum number of operations of a transaction. MongoDB recommends at most 1,000 documents.
const MAX_TRANSACTION_OPERATIONS: usize = 1000;

/// The memory that each document of an `insertMany` takes beside its BSON: an allocation, a statement, its `_id` as text.
const BYTES_PER_DOCUMENT: usize = 160;

/// Parses a request body, which is JSON or EJSON of any version, as in Atlas.
pub(super) fn parse_body(body: &Bytes) -> ApiResult<RawDocumentBuf> {
    ejson::parse_any_version(body).map_err(|error| ApiError::invalid(format!("the body is {}", error.message)))
}

/// An action with its parameters, whose types are validated.
pub(super) enum Operation<'r> {
    InsertOne {
        document: &'r RawDocument,
        options: Options<'r>,
    },
    InsertMany {
        documents: &'r RawArray,
        ordered: bool,
        options: Options<'r>,
    },
    FindOne(Query<'r>),
    Find(Query<'r>),
    Update {
        many: bool,
        filter: &'r RawDocument,
        update: Update<'r>,
        upsert: bool,
        options: Options<'r>,
    },
    ReplaceOne {
        filter: &'r RawDocument,
        replacement: &'r RawDocument,
        upsert: bool,
        options: Options<'r>,
    },
    Delete {
        many: bool,
        filter: &'r RawDocument,
        options: Options<'r>,
    },
    Aggregate {
        pipeline: &'r RawArray,
        options: Options<'r>,
    },
    FindOneAnd(FindOneAnd<'r>),
    CountDocuments {
        query: Query<'r>,
    },
    EstimatedDocumentCount {
        options: Options<'r>,
    },
    Distinct {
        key: &'r str,
        query: Query<'r>,
    },
    /// The operations are `InsertOne`, `Update`, `ReplaceOne` and `Delete`.
    BulkWrite {
        operations: Vec<Operation<'r>>,
        ordered: bool,
        options: Options<'r>,
    },
}

/// What the actions that find documents have in common.
#[derive(Clone, Default)]
pub(super) struct Query<'r> {
    pub(super) filter: Option<&'r RawDocument>,
    pub(super) projection: Option<&'r RawDocument>,
    pub(super) sort: Option<&'r RawDocument>,
    pub(super) skip: Option<u32>,
    pub(super) limit: Option<u32>,
    pub(super) options: Options<'r>,
}

/// A `findOneAndUpdate`, `findOneAndReplace` or `findOneAndDelete`.
#[derive(Clone)]
pub(super) struct FindOneAnd<'r> {
    pub(super) filter: &'r RawDocument,
    pub(super) change: Change<'r>,
    pub(super) projection: Option<&'r RawDocument>,
    pub(super) sort: Option<&'r RawDocument>,
    pub(super) upsert: bool,
    /// Whether to return the document as it is after the change.
    pub(super) new: bool,
    pub(super) options: Options<'r>,
}

/// What a [`FindOneAnd`] does with the document.
#[derive(Clone, Copy)]
pub(super) enum Change<'r> {
    Update(Update<'r>),
    Replace(&'r RawDocument),
    Delete,
}

/// A parameter that MongoDB evaluates, so that it can contain operators.
#[derive(Clone, Copy)]
pub(super) enum Evaluated<'r> {
    /// A filter, a projection, a sort order, update operators, array filters or variables.
    Value(RawBsonRef<'r>),
    /// The pipeline of `aggregate`.
    Aggregation(&'r RawArray),
    /// The pipeline of an update.
    UpdatePipeline(&'r RawArray),
}

impl<'r> From<Update<'r>> for Evaluated<'r> {
    fn from(update: Update<'r>) -> Self {
        match update {
            Update::Operators(operators) => Self::Value(RawBsonRef::Document(operators)),
            Update::Pipeline(stages) => Self::UpdatePipeline(stages),
        }
    }
}

impl<'r> Operation<'r> {
    /// Reads the parameters of an action.
    pub(super) fn parse(action: Action, arguments: &Arguments<'r>) -> ApiResult<Self> {
        let options = arguments.options()?;
        let filter = || arguments.document("filter");
        let upsert = || arguments.flag("upsert", false);
        let query = |options| {
            ApiResult::Ok(Query {
                filter: arguments.optional_document("filter")?,
                projection: arguments.optional_document("projection")?,
                sort: arguments.optional_document("sort")?,
                skip: arguments.count("skip")?,
                limit: arguments.count("limit")?,
                options,
            })
        };
        let find_one_and = |change, options| {
            ApiResult::Ok(Self::FindOneAnd(FindOneAnd {
                filter: filter()?,
                change,
                projection: arguments.optional_document("projection")?,
                sort: arguments.optional_document("sort")?,
                upsert: upsert()?,
                new: arguments.returns_new()?,
                options,
            }))
        };
        Ok(match action {
            Action::InsertOne => Self::InsertOne { document: arguments.document("document")?, options },
            Action::InsertMany => Self::InsertMany {
                documents: arguments.array("documents")?,
                // Atlas's batches were ordered.
                ordered: arguments.flag("ordered", true)?,
                options,
            },
            Action::FindOne => Self::FindOne(query(options)?),
            Action::Find => Self::Find(query(options)?),
            Action::UpdateOne | Action::UpdateMany => Self::Update {
                many: action == Action::UpdateMany,
                filter: filter()?,
                update: arguments.update()?,
                upsert: upsert()?,
                options,
            },
            Action::ReplaceOne => Self::ReplaceOne {
                filter: filter()?,
                replacement: arguments.document("replacement")?,
                upsert: upsert()?,
                options,
            },
            Action::DeleteOne | Action::DeleteMany => {
                Self::Delete { many: action == Action::DeleteMany, filter: filter()?, options }
            }
            Action::Aggregate => Self::Aggregate { pipeline: arguments.array("pipeline")?, options },
            Action::FindOneAndUpdate => find_one_and(Change::Update(arguments.update()?), options)?,
            Action::FindOneAndReplace => find_one_and(Change::Replace(arguments.document("replacement")?), options)?,
            Action::FindOneAndDelete => find_one_and(Change::Delete, options)?,
            Action::CountDocuments => Self::CountDocuments { query: query(options)? },
            Action::EstimatedDocumentCount => Self::EstimatedDocumentCount { options },
            Action::Distinct => Self::Distinct { key: arguments.text("key")?, query: query(options)? },
            Action::BulkWrite => Self::BulkWrite {
                operations: bulk_operations(arguments.array("operations")?)?,
                ordered: arguments.flag("ordered", true)?,
                options,
            },
            Action::Transaction => return Err(ApiError::invalid("a transaction cannot contain a transaction")),
        })
    }

    /// The parameters that MongoDB evaluates, with their names. Those of a `bulkWrite` are those of its operations.
    pub(super) fn evaluated(&self) -> impl Iterator<Item = (&'static str, Evaluated<'r>)> {
        let document =
            |name, document: Option<&'r RawDocument>| Some((name, Evaluated::Value(RawBsonRef::Document(document?))));
        let none = [None, None, None, None];
        let query = |query: &Query<'r>| {
            [
                document("filter", query.filter),
                document("projection", query.projection),
                document("sort", query.sort),
                None,
            ]
        };
        let parameters = match self {
            Self::InsertOne { .. }
            | Self::InsertMany { .. }
            | Self::EstimatedDocumentCount { .. }
            | Self::BulkWrite { .. } => none,
            Self::FindOne(found) | Self::Find(found) => query(found),
            Self::CountDocuments { query: counted } => query(counted),
            Self::Distinct { query: found, .. } => query(found),
            Self::Update { filter, update, .. } => {
                [document("filter", Some(*filter)), Some(("update", (*update).into())), None, None]
            }
            Self::ReplaceOne { filter, .. } | Self::Delete { filter, .. } => {
                [document("filter", Some(*filter)), None, None, None]
            }
            Self::Aggregate { pipeline, .. } => {
                [Some(("pipeline", Evaluated::Aggregation(pipeline))), None, None, None]
            }
            Self::FindOneAnd(FindOneAnd { filter, change, projection, sort, .. }) => {
                let change = match change {
                    Change::Update(update) => Some(("update", (*update).into())),
                    Change::Replace(_) | Change::Delete => None,
                };
                [
                    document("filter", Some(*filter)),
                    document("projection", *projection),
                    document("sort", *sort),
                    change,
                ]
            }
        };
        let options = self.options().evaluated().map(|(name, value)| (name, Evaluated::Value(value)));
        parameters.into_iter().flatten().chain(options.collect::<Vec<_>>())
    }

    /// The arguments that are passed on to MongoDB as they are.
    pub(super) fn options(&self) -> &Options<'r> {
        match self {
            Self::InsertOne { options, .. }
            | Self::InsertMany { options, .. }
            | Self::Update { options, .. }
            | Self::ReplaceOne { options, .. }
            | Self::Delete { options, .. }
            | Self::Aggregate { options, .. }
            | Self::EstimatedDocumentCount { options }
            | Self::BulkWrite { options, .. } => options,
            Self::FindOne(query) | Self::Find(query) => &query.options,
            Self::CountDocuments { query } | Self::Distinct { query, .. } => &query.options,
            Self::FindOneAnd(call) => &call.options,
        }
    }

    /// The operations of a `bulkWrite`.
    pub(super) fn parts(&self) -> &[Self] {
        match self {
            Self::BulkWrite { operations, .. } => operations,
            _ => &[],
        }
    }

    /// The memory that the evaluated parameters take in decoded form, and documents beside their BSON, in bytes.
    pub(super) fn memory(&self) -> ApiResult<usize> {
        let mut elements = 0;
        for (name, parameter) in self.evaluated() {
            let value = match parameter {
                Evaluated::Value(value) => value,
                Evaluated::Aggregation(stages) | Evaluated::UpdatePipeline(stages) => RawBsonRef::Array(stages),
            };
            let size = match value {
                RawBsonRef::Document(document) => document.as_bytes().len(),
                RawBsonRef::Array(array) => array.as_bytes().len(),
                _ => 0,
            };
            if size > MAX_DOCUMENT_SIZE {
                return Err(ApiError::too_large(format!("'{name}' is larger than {MAX_DOCUMENT_SIZE} bytes")));
            }
            elements += count_elements(value)?;
        }
        if let Some(comment) = self.options().get("comment") {
            elements += count_elements(comment)?;
        }
        let parts = self.parts().iter().map(Self::memory).sum::<ApiResult<usize>>()?;
        let beside_bson = match self {
            Self::InsertMany { documents, .. } => documents.into_iter().count() * BYTES_PER_DOCUMENT,
            Self::BulkWrite { operations, .. } => operations.len() * (BYTES_PER_DOCUMENT + size_of::<Self>()),
            _ => 0,
        };
        Ok(elements * BYTES_PER_ELEMENT + beside_bson + parts)
    }

    /// Checks what tells an update from a replacement: the operators.
    pub(super) fn check_update_operators(&self) -> ApiResult<()> {
        match self {
            Self::Update { update: Update::Operators(operators), .. }
            | Self::FindOneAnd(FindOneAnd { change: Change::Update(Update::Operators(operators)), .. }) => {
                let mut names = operators.iter().map(|field| field.map(|(name, _)| name.as_str().starts_with('$')));
                if operators.is_empty() || !names.all(|is_operator| is_operator.unwrap_or(false)) {
                    return Err(ApiError::invalid("'update' must contain only update operators, such as $set"));
                }
                Ok(())
            }
            Self::ReplaceOne { replacement, .. }
            | Self::FindOneAnd(FindOneAnd { change: Change::Replace(replacement), .. }) => {
                let mut names = replacement.iter().map(|field| field.map(|(name, _)| name.as_str().starts_with('$')));
                if names.any(|is_operator| is_operator.unwrap_or(true)) {
                    return Err(ApiError::invalid(
                        "'replacement' must not contain update operators, such as $set: use an update",
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The actions that an operation of `bulkWrite` can be.
const BULK_ACTIONS: [Action; 6] = [
    Action::InsertOne,
    Action::UpdateOne,
    Action::UpdateMany,
    Action::ReplaceOne,
    Action::DeleteOne,
    Action::DeleteMany,
];

/// Reads the operations of a `bulkWrite`: `[{"insertOne": {"document": …}}, …]`, as in mongosh.
fn bulk_operations(operations: &RawArray) -> ApiResult<Vec<Operation<'_>>> {
    let parse = |operation| {
        let mut fields = required_item(operation)?.iter();
        let (Some(Ok((name, arguments))), None) = (fields.next(), fields.next()) else {
            return Err(ApiError::invalid("an operation must have one field, the name of its action"));
        };
        let Some(action) = BULK_ACTIONS.into_iter().find(|action| action.name() == name.as_str()) else {
            let names = BULK_ACTIONS.map(Action::name).join(", ");
            return Err(ApiError::invalid(format!("the action of an operation must be one of {names}")));
        };
        let RawBsonRef::Document(arguments) = arguments else {
            return Err(ApiError::invalid(format!("'{action}' must be a document")));
        };
        let arguments = Arguments::read(action, Place::BulkWrite, arguments)?;
        arguments.reject_unknown()?;
        Operation::parse(action, &arguments)
    };
    items(operations, MAX_BULK_OPERATIONS, parse)
}

/// Reads the operations of a transaction: `[{"action": "insertOne", "database": …, …}, …]`. `parse` reads one.
pub(super) fn transaction_operations<'r, T>(
    operations: &'r RawArray,
    mut parse: impl FnMut(Action, Arguments<'r>) -> ApiResult<T>,
) -> ApiResult<Vec<T>> {
    items(operations, MAX_TRANSACTION_OPERATIONS, |operation| {
        let operation = required_item(operation)?;
        let action = match operation.get("action") {
            Ok(Some(RawBsonRef::String(name))) => Action::from_name(name),
            Ok(Some(_)) => return Err(ApiError::invalid("'action' must be a string")),
            _ => return Err(ApiError::missing("action")),
        };
        match action {
            Some(Action::Transaction) => Err(ApiError::invalid("a transaction cannot contain a transaction")),
            // MongoDB does not run it in a transaction.
            Some(Action::EstimatedDocumentCount) => {
                Err(ApiError::invalid("estimatedDocumentCount cannot be part of a transaction: use countDocuments"))
            }
            Some(action) => parse(action, Arguments::read(action, Place::Transaction, operation)?),
            None => Err(ApiError::invalid("the Data API has no such 'action'")),
        }
    })
}

/// Reads the items of `operations`. An error names the item.
fn items<'r, T>(
    operations: &'r RawArray,
    maximum: usize,
    mut parse: impl FnMut(RawBsonRef<'r>) -> ApiResult<T>,
) -> ApiResult<Vec<T>> {
    let mut all = Vec::new();
    for (index, operation) in operations.into_iter().enumerate() {
        if index == maximum {
            return Err(ApiError::invalid(format!("'operations' has more than {maximum} operations")));
        }
        let operation = operation.map_err(|_| ApiError::unreadable())?;
        all.push(parse(operation).map_err(|error| error.of_operation(index))?);
    }
    match all.is_empty() {
        true => Err(ApiError::invalid("'operations' must not be empty")),
        false => Ok(all),
    }
}

fn required_item(operation: RawBsonRef<'_>) -> ApiResult<&RawDocument> {
    match operation {
        RawBsonRef::Document(operation) => Ok(operation),
        _ => Err(ApiError::invalid("an operation must be a document")),
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
