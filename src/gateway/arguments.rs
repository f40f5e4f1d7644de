//! The arguments of the actions: their names and types, for the parser and for `/openapi.json`.

use bson::{Document, RawArray, RawBsonRef, RawDocument};

use super::api_error::{ApiError, ApiResult};
use crate::data_api::protocol::Action;
use crate::driver::find::check_collation;
use crate::error::excerpt;

/// The type of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A boolean.
    Flag,
    /// An integer from 0 to 2^32 - 1.
    Count,
    /// A document.
    Document,
    /// An array of documents.
    Documents,
    /// An array of stages.
    Pipeline,
    /// Update operators or stages.
    Update,
    /// A collation.
    Collation,
    /// The name of an index, or its keys.
    Hint,
    /// `before` or `after`.
    ReturnDocument,
    /// `true`, or the cursor of a page.
    Cursor,
    /// Any value.
    Any,
}

/// What an argument is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It must be present.
    Required,
    /// It may be absent.
    Optional,
    /// It may be absent, and is passed on to MongoDB as a field of the command.
    CommandOption,
    /// It may be absent, and is passed on to MongoDB as a field of the command's only statement.
    StatementOption,
}

/// An argument of an action.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) role: Role,
}

const fn required(name: &'static str, kind: Kind) -> Argument {
    Argument { name, kind, role: Role::Required }
}

const fn optional(name: &'static str, kind: Kind) -> Argument {
    Argument { name, kind, role: Role::Optional }
}

const fn command(name: &'static str, kind: Kind) -> Argument {
    Argument { name, kind, role: Role::CommandOption }
}

const fn statement(name: &'static str, kind: Kind) -> Argument {
    Argument { name, kind, role: Role::StatementOption }
}

const DATA_SOURCE: Argument = required("dataSource", Kind::Text);
const DATABASE: Argument = required("database", Kind::Text);
const COLLECTION: Argument = required("collection", Kind::Text);
const DOCUMENT: Argument = required("document", Kind::Document);
const DOCUMENTS: Argument = required("documents", Kind::Documents);
const PIPELINE: Argument = required("pipeline", Kind::Pipeline);
const KEY: Argument = required("key", Kind::Text);
const OPERATIONS: Argument = required("operations", Kind::Documents);
const FILTER: Argument = optional("filter", Kind::Document);
const REQUIRED_FILTER: Argument = required("filter", Kind::Document);
const PROJECTION: Argument = optional("projection", Kind::Document);
const SORT: Argument = optional("sort", Kind::Document);
const SKIP: Argument = optional("skip", Kind::Count);
const LIMIT: Argument = optional("limit", Kind::Count);
const UPDATE: Argument = required("update", Kind::Update);
const REPLACEMENT: Argument = required("replacement", Kind::Document);
const UPSERT: Argument = optional("upsert", Kind::Flag);
const ORDERED: Argument = optional("ordered", Kind::Flag);
const COLLATION: Argument = command("collation", Kind::Collation);
const HINT: Argument = command("hint", Kind::Hint);
const LET: Argument = command("let", Kind::Document);
const COMMENT: Argument = command("comment", Kind::Any);
const MAX_TIME: Argument = command("maxTimeMS", Kind::Count);
const ALLOW_DISK_USE: Argument = command("allowDiskUse", Kind::Flag);
const BATCH_SIZE: Argument = command("batchSize", Kind::Count);
const CURSOR: Argument = optional("cursor", Kind::Cursor);
const CLOSE: Argument = optional("close", Kind::Flag);
const ARRAY_FILTERS: Argument = command("arrayFilters", Kind::Documents);
const RETURN_NEW: Argument = optional("returnNewDocument", Kind::Flag);
const RETURN_DOCUMENT: Argument = optional("returnDocument", Kind::ReturnDocument);
const STATEMENT_SORT: Argument = statement("sort", Kind::Document);
const STATEMENT_COLLATION: Argument = statement("collation", Kind::Collation);
const STATEMENT_HINT: Argument = statement("hint", Kind::Hint);
const STATEMENT_FILTERS: Argument = statement("arrayFilters", Kind::Documents);

/// Returns the arguments of an action.
pub(super) const fn of_action(action: Action) -> &'static [Argument] {
    match action {
        Action::FindOne => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            FILTER,
            PROJECTION,
            SORT,
            SKIP,
            COLLATION,
            HINT,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::Find => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            FILTER,
            PROJECTION,
            SORT,
            LIMIT,
            SKIP,
            COLLATION,
            HINT,
            LET,
            COMMENT,
            MAX_TIME,
            ALLOW_DISK_USE,
            BATCH_SIZE,
            CURSOR,
            CLOSE,
        ],
        Action::InsertOne => &[DATA_SOURCE, DATABASE, COLLECTION, DOCUMENT, COMMENT],
        Action::InsertMany => &[DATA_SOURCE, DATABASE, COLLECTION, DOCUMENTS, ORDERED, COMMENT],
        Action::UpdateOne => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            REQUIRED_FILTER,
            UPDATE,
            UPSERT,
            STATEMENT_SORT,
            STATEMENT_COLLATION,
            STATEMENT_HINT,
            STATEMENT_FILTERS,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::UpdateMany => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            REQUIRED_FILTER,
            UPDATE,
            UPSERT,
            STATEMENT_COLLATION,
            STATEMENT_HINT,
            STATEMENT_FILTERS,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::ReplaceOne => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            REQUIRED_FILTER,
            REPLACEMENT,
            UPSERT,
            STATEMENT_SORT,
            STATEMENT_COLLATION,
            STATEMENT_HINT,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::DeleteOne | Action::DeleteMany => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            REQUIRED_FILTER,
            STATEMENT_COLLATION,
            STATEMENT_HINT,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::Aggregate => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            PIPELINE,
            COLLATION,
            HINT,
            LET,
            COMMENT,
            MAX_TIME,
            ALLOW_DISK_USE,
            BATCH_SIZE,
            CURSOR,
            CLOSE,
        ],
        Action::FindOneAndUpdate => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            REQUIRED_FILTER,
            UPDATE,
            PROJECTION,
            SORT,
            UPSERT,
            RETURN_NEW,
            RETURN_DOCUMENT,
            ARRAY_FILTERS,
            COLLATION,
            HINT,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::FindOneAndReplace => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            REQUIRED_FILTER,
            REPLACEMENT,
            PROJECTION,
            SORT,
            UPSERT,
            RETURN_NEW,
            RETURN_DOCUMENT,
            COLLATION,
            HINT,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::FindOneAndDelete => &[
            DATA_SOURCE,
            DATABASE,
            COLLECTION,
            REQUIRED_FILTER,
            PROJECTION,
            SORT,
            COLLATION,
            HINT,
            LET,
            COMMENT,
            MAX_TIME,
        ],
        Action::CountDocuments => {
            &[DATA_SOURCE, DATABASE, COLLECTION, FILTER, SKIP, LIMIT, COLLATION, HINT, COMMENT, MAX_TIME]
        }
        Action::EstimatedDocumentCount => &[DATA_SOURCE, DATABASE, COLLECTION, COMMENT, MAX_TIME],
        Action::Distinct => &[DATA_SOURCE, DATABASE, COLLECTION, KEY, FILTER, COLLATION, HINT, COMMENT, MAX_TIME],
        Action::BulkWrite => &[DATA_SOURCE, DATABASE, COLLECTION, OPERATIONS, ORDERED, LET, COMMENT],
        Action::Transaction => &[DATA_SOURCE, OPERATIONS, COMMENT],
    }
}

/// Where a document with arguments is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The body of a request.
    Body,
    /// An operation of `bulkWrite`, which has neither a namespace nor options of its command.
    BulkWrite,
    /// An operation of `transaction`, which has no `dataSource` and names its action.
    Transaction,
}

impl Place {
    fn has(self, argument: &Argument) -> bool {
        match self {
            Self::Body => true,
            Self::BulkWrite => {
                argument.role != Role::CommandOption
                    && !matches!(argument.name, "dataSource" | "database" | "collection")
            }
            Self::Transaction => !matches!(argument.name, "dataSource" | "maxTimeMS" | "comment" | "cursor" | "close"),
        }
    }
}

/// Arguments that MongoDB or its drivers have and the gateway does not, and the reason.
const UNAVAILABLE: [(&str, &str); 9] = [
    ("bypassDocumentValidation", "no right of the gateway allows it"),
    ("explain", "run it through a driver"),
    ("max", "use a filter"),
    ("min", "use a filter"),
    ("readConcern", "set readConcernLevel in the URI of the data source"),
    ("readPreference", "set it in the URI of the data source"),
    ("returnKey", "use a projection"),
    ("session", "use the action 'transaction'"),
    ("writeConcern", "set w, journal and wtimeoutMS in the URI of the data source"),
];

/// The arguments of a request. Their types are checked when they are read. If an argument may be absent, `null` means
/// that it is: clients in Python send `None`.
pub(super) struct Arguments<'r> {
    place: Place,
    known: &'static [Argument],
    values: Vec<(&'static Argument, RawBsonRef<'r>)>,
    /// The first argument that the action does not have.
    unknown: Option<&'r str>,
}

impl<'r> Arguments<'r> {
    /// Reads the arguments of an action. Rejects repeated ones: of two values, a proxy in front of the gateway may
    /// read the other.
    pub(super) fn read(action: Action, place: Place, request: &'r RawDocument) -> ApiResult<Self> {
        let known = of_action(action);
        let mut arguments = Self { place, known, values: Vec::with_capacity(known.len()), unknown: None };
        let mut seen = 0_u32;
        for field in request {
            let (name, value) = field.map_err(|_| ApiError::invalid("the body cannot be read"))?;
            let name = name.as_str();
            let found = known.iter().enumerate().find(|(_, known)| known.name == name && place.has(known));
            let Some((index, argument)) = found else {
                if !(place == Place::Transaction && name == "action") {
                    arguments.unknown.get_or_insert(name);
                }
                continue;
            };
            if seen & (1 << index) != 0 {
                return Err(ApiError::invalid(format!("'{name}' is given more than once")));
            }
            seen |= 1 << index;
            if value != RawBsonRef::Null || argument.role == Role::Required {
                arguments.values.push((argument, value));
            }
        }
        Ok(arguments)
    }

    /// Rejects an argument that the action does not have.
    pub(super) fn reject_unknown(&self) -> ApiResult<()> {
        let Some(name) = self.unknown else { return Ok(()) };
        let shown = excerpt(name, 64);
        if let Some((_, reason)) = UNAVAILABLE.iter().find(|(unavailable, _)| *unavailable == name) {
            return Err(ApiError::invalid(format!("'{shown}' is not available: {reason}")));
        }
        let known = self.known.iter().filter(|known| self.place.has(known)).map(|known| known.name);
        let similarity =
            |known: &str| strsim::normalized_damerau_levenshtein(&shown.to_lowercase(), &known.to_lowercase());
        let nearest = known.map(|known| (similarity(known), known)).max_by(|(a, _), (b, _)| a.total_cmp(b));
        let hint = match nearest {
            Some((similarity, nearest)) if similarity >= 0.5 => format!(": did you mean '{nearest}'?"),
            _ => String::new(),
        };
        Err(ApiError::invalid(format!("'{shown}' is not an argument of this action{hint}")))
    }

    /// Returns what the request says of pages.
    pub(super) fn cursor(&self) -> Option<RawBsonRef<'r>> {
        self.value("cursor")
    }

    fn value(&self, name: &str) -> Option<RawBsonRef<'r>> {
        self.values.iter().find(|(argument, _)| argument.name == name).map(|(_, value)| *value)
    }

    /// Returns a string that must be present.
    pub(super) fn text(&self, name: &str) -> ApiResult<&'r str> {
        match self.value(name) {
            Some(RawBsonRef::String(text)) => Ok(text),
            Some(_) => Err(wrong_type(name, "a string")),
            None => Err(ApiError::missing(name)),
        }
    }

    /// Returns a document that may be absent.
    pub(super) fn optional_document(&self, name: &str) -> ApiResult<Option<&'r RawDocument>> {
        self.value(name).map(|value| document(name, value)).transpose()
    }

    /// Returns a document that must be present.
    pub(super) fn document(&self, name: &str) -> ApiResult<&'r RawDocument> {
        self.optional_document(name)?.ok_or_else(|| ApiError::missing(name))
    }

    /// Returns an array that must be present.
    pub(super) fn array(&self, name: &str) -> ApiResult<&'r RawArray> {
        match self.value(name) {
            Some(RawBsonRef::Array(array)) => Ok(array),
            Some(_) => Err(wrong_type(name, "an array")),
            None => Err(ApiError::missing(name)),
        }
    }

    /// Returns a boolean.
    pub(super) fn flag(&self, name: &str, default: bool) -> ApiResult<bool> {
        self.value(name).map_or(Ok(default), |value| flag(name, value))
    }

    /// Returns an integer, which JSON may also write as `10.0`.
    pub(super) fn count(&self, name: &str) -> ApiResult<Option<u32>> {
        self.value(name).map(|value| count(name, value)).transpose()
    }

    /// Returns the update of an action that has one.
    pub(super) fn update(&self) -> ApiResult<Update<'r>> {
        match self.value("update") {
            Some(RawBsonRef::Document(operators)) => Ok(Update::Operators(operators)),
            Some(RawBsonRef::Array(stages)) => Ok(Update::Pipeline(stages)),
            Some(_) => Err(wrong_type("update", "a document or an array")),
            None => Err(ApiError::missing("update")),
        }
    }

    /// Returns whether a document is wanted as it is after the change.
    pub(super) fn returns_new(&self) -> ApiResult<bool> {
        let named = match self.value("returnDocument") {
            None => None,
            Some(RawBsonRef::String("after")) => Some(true),
            Some(RawBsonRef::String("before")) => Some(false),
            Some(_) => return Err(wrong_type("returnDocument", "\"before\" or \"after\"")),
        };
        let new = self.flag("returnNewDocument", named.unwrap_or(false))?;
        match named {
            Some(named) if named != new => {
                Err(ApiError::invalid("'returnNewDocument' and 'returnDocument' contradict each other: use one"))
            }
            _ => Ok(new),
        }
    }

    /// Returns the arguments that are passed on to MongoDB as they are.
    pub(super) fn options(&self) -> ApiResult<Options<'r>> {
        let mut options = Options::default();
        for (argument, value) in &self.values {
            if matches!(argument.role, Role::CommandOption | Role::StatementOption) {
                check_option(argument, *value)?;
                options.0.push((argument, *value));
            }
        }
        Ok(options)
    }
}

fn check_option(argument: &Argument, value: RawBsonRef<'_>) -> ApiResult<()> {
    let Argument { name, kind, .. } = *argument;
    match (kind, value) {
        (Kind::Any, _) | (Kind::Hint, RawBsonRef::String(_) | RawBsonRef::Document(_)) => Ok(()),
        (Kind::Hint, _) => Err(wrong_type(name, "the name of an index or a document with its keys")),
        (Kind::Flag, _) => flag(name, value).map(drop),
        (Kind::Count, _) => count(name, value).map(drop),
        (Kind::Collation, _) => {
            let collation = Document::try_from(document(name, value)?).map_err(|_| ApiError::unreadable())?;
            check_collation(collation).map_err(|error| ApiError::invalid(format!("'{name}': {}", error.message)))
        }
        (Kind::Documents, RawBsonRef::Array(items)) => items.into_iter().enumerate().try_for_each(|(index, item)| {
            match item.map_err(|_| ApiError::unreadable())? {
                RawBsonRef::Document(_) => Ok(()),
                _ => Err(wrong_type(&format!("{name}[{index}]"), "a document")),
            }
        }),
        (Kind::Documents, _) => Err(wrong_type(name, "an array of documents")),
        _ => document(name, value).map(drop),
    }
}

fn wrong_type(name: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("'{name}' must be {expected}"))
}

fn document<'r>(name: &str, value: RawBsonRef<'r>) -> ApiResult<&'r RawDocument> {
    match value {
        RawBsonRef::Document(document) => Ok(document),
        _ => Err(wrong_type(name, "a document")),
    }
}

fn flag(name: &str, value: RawBsonRef<'_>) -> ApiResult<bool> {
    match value {
        RawBsonRef::Boolean(flag) => Ok(flag),
        _ => Err(wrong_type(name, "a boolean")),
    }
}

/// Reads a number of documents or milliseconds.
pub(super) fn count(name: &str, value: RawBsonRef<'_>) -> ApiResult<u32> {
    let number = match value {
        RawBsonRef::Int32(number) => u32::try_from(number).ok(),
        RawBsonRef::Int64(number) => u32::try_from(number).ok(),
        RawBsonRef::Double(number) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => {
            Some(number as u32)
        }
        _ => None,
    };
    number.ok_or_else(|| wrong_type(name, &format!("an integer from 0 to {}", u32::MAX)))
}

/// The two forms of an update.
#[derive(Clone, Copy)]
pub(super) enum Update<'r> {
    Operators(&'r RawDocument),
    Pipeline(&'r RawArray),
}

impl<'r> Update<'r> {
    /// The document or the array.
    pub(super) fn value(self) -> RawBsonRef<'r> {
        match self {
            Self::Operators(operators) => RawBsonRef::Document(operators),
            Self::Pipeline(stages) => RawBsonRef::Array(stages),
        }
    }
}

/// Arguments that are passed on to MongoDB as they are. Their types are validated.
#[derive(Clone, Default)]
pub(super) struct Options<'r>(Vec<(&'static Argument, RawBsonRef<'r>)>);

impl<'r> Options<'r> {
    /// Whether there is none, as in most requests.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is no other.
    pub(super) fn has_only(&self, name: &str) -> bool {
        self.0.iter().all(|(argument, _)| argument.name == name)
    }

    /// Returns an option.
    pub(super) fn get(&self, name: &str) -> Option<RawBsonRef<'r>> {
        self.0.iter().find(|(argument, _)| argument.name == name).map(|(_, value)| *value)
    }

    /// Returns an option that is an integer.
    pub(super) fn count(&self, name: &str) -> Option<u32> {
        self.get(name).and_then(|value| count(name, value).ok())
    }

    /// Returns the options with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, RawBsonRef<'r>)> {
        self.0.iter().map(|(argument, value)| (argument.name, *value))
    }

    /// Returns the options that MongoDB evaluates: all documents and arrays but the comment.
    pub(super) fn evaluated(&self) -> impl Iterator<Item = (&'static str, RawBsonRef<'r>)> {
        let is_container = |value: &RawBsonRef<'_>| matches!(value, RawBsonRef::Document(_) | RawBsonRef::Array(_));
        self.iter().filter(move |(name, value)| *name != "comment" && is_container(value))
    }
}
