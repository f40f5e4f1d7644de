//! Authorization: what an operation accesses, checked against the caller's permissions, and narrowed
//! to what their rules allow.

mod filter;
mod pipeline;
mod projection;
mod restriction;
mod stages;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod write;

use std::cell::{Cell, RefCell};

use axum::http::StatusCode;
use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use typed_arena::Arena;

use super::api_error::{ApiError, ApiResult};
use super::auth::permission::{Caller, Grant, Right};
use super::request::{Change, Evaluated, FindOneAnd, Operation, Options, Query, Update};
use super::target::RequestTarget;
use super::watch::WatchRequest;
use crate::data_api::protocol::Action;
use crate::driver::Namespace;
use crate::error::excerpt;
use filter::{FilterCheck, Place};
use pipeline::{Access, NamespaceRef, PipelineWalk};
use restriction::Restriction;
use stages::{PipelineRewrite, check_stages_metadata};

/// Authorizes the operations of a caller on a collection.
pub(super) struct Policy<'a> {
    pub(super) caller: &'a Caller,
    pub(super) target: &'a RequestTarget,
}

/// The documents that replace those of a request.
pub(super) struct Replaced(Arena<RawDocumentBuf>);

impl Replaced {
    /// Creates an empty collection, without allocating memory.
    pub(super) fn new() -> Self {
        Self(Arena::with_capacity(0))
    }

    fn document(&self, document: &Document) -> ApiResult<&RawDocument> {
        Ok(&**self.0.alloc(RawDocumentBuf::try_from(document).map_err(unreadable_as)?))
    }

    fn array(&self, items: Vec<Bson>) -> ApiResult<&RawArray> {
        const NAME: &str = "items";
        self.document(&bson::doc! { NAME: items })?.get_array(NAME).map_err(unreadable_as)
    }
}

/// An operation that the caller may run. Only [`Policy::authorize`] creates one.
pub(super) struct Authorized<'r> {
    operation: Operation<'r>,
    is_restricted: bool,
}

impl<'r> Authorized<'r> {
    pub(super) fn operation(&self) -> &Operation<'r> {
        &self.operation
    }

    /// Whether rules restrict the operation, so that MongoDB's messages may tell more than the caller
    /// may read.
    pub(super) fn is_restricted(&self) -> bool {
        self.is_restricted
    }
}

/// A change stream that the caller may open. Only [`Policy::authorize_watch`] creates one.
pub(super) struct AuthorizedWatch {
    stage: Document,
    pipeline: Vec<Document>,
}

impl AuthorizedWatch {
    /// The options of the stage `$changeStream`.
    pub(super) fn stage(&self) -> &Document {
        &self.stage
    }

    /// The stages after `$changeStream`.
    pub(super) fn pipeline(&self) -> &[Document] {
        &self.pipeline
    }
}

// By their bytes: NaN is equal to itself.
impl PartialEq for AuthorizedWatch {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |watch: &Self| {
            let documents = std::iter::once(&watch.stage).chain(&watch.pipeline);
            documents.map(|document| document.to_vec().unwrap_or_default()).collect::<Vec<_>>()
        };
        bytes(self) == bytes(other)
    }
}

impl Policy<'_> {
    /// Rejects change streams that access anything for which the caller has no permission. The right to read the
    /// collection is the right to follow its changes, unless a rule restricts it: a change tells of documents as they
    /// were before, and a deletion tells nothing that a rule could be checked with.
    pub(super) fn authorize_watch(&self, request: &WatchRequest<'_>) -> ApiResult<AuthorizedWatch> {
        if self.require_access(Right::Read, self.own())? {
            return Err(ApiError::not_allowed(
                "a change stream is not available on a collection with a rule: request the documents with find",
            ));
        }
        let access = |access: Access<'_>| match access {
            Access::Read(namespace) => self.require_access(Right::Read, namespace).map(drop),
            Access::Write(namespace) => self.require_access(Right::Write, namespace).map(drop),
            Access::Use(right, operator) => self.require_operator(right, operator),
        };
        let walk = PipelineWalk { database: &self.target.namespace.database, access: &access };
        let mut pipeline = Vec::new();
        if let Some(filter) = request.filter {
            walk.value(RawBsonRef::Document(filter))?;
            let filter = Document::try_from(filter).map_err(|_| ApiError::unreadable())?;
            pipeline.push(doc! { "$match": filter });
        }
        if let Some(stages) = request.pipeline {
            walk.watch_pipeline(stages)?;
            for stage in stages {
                let stage = stage.ok().and_then(RawBsonRef::as_document).ok_or_else(ApiError::unreadable)?;
                pipeline.push(Document::try_from(stage).map_err(|_| ApiError::unreadable())?);
            }
        }
        Ok(AuthorizedWatch { stage: request.stage.clone(), pipeline })
    }

    /// Rejects actions on collections for which the caller has no permission.
    pub(super) fn check_target(&self, action: Action) -> ApiResult<()> {
        for (right, required) in [(Right::Read, action.reads()), (Right::Write, action.writes())] {
            if required {
                self.require_access(right, self.own())?;
            }
        }
        Ok(())
    }

    /// Rejects operations that access anything for which the caller has no permission, and narrows
    /// the others to what the caller's rules allow. What that changes is kept in `replaced`.
    pub(super) fn authorize<'r>(&self, operation: Operation<'r>, replaced: &'r Replaced) -> ApiResult<Authorized<'r>> {
        let mut is_restricted = self.check(&operation)?;
        for (index, part) in operation.parts().iter().enumerate() {
            is_restricted |= self.check(part).map_err(|error| error.of_operation(index))?;
        }
        let operation = if is_restricted { self.narrow(operation, replaced)? } else { operation };
        Ok(Authorized { operation, is_restricted })
    }

    /// Checks what an operation accesses. Returns whether rules restrict it.
    fn check(&self, operation: &Operation<'_>) -> ApiResult<bool> {
        let has_rules = self.caller.has_rules();
        let restricted = Cell::new(has_rules && self.is_restricted(operation));
        let powerful = RefCell::new(None);
        let access = |access: Access<'_>| match access {
            Access::Read(namespace) => {
                let is_restricted = self.require_access(Right::Read, namespace)?;
                restricted.set(restricted.get() || is_restricted);
                Ok(())
            }
            Access::Write(namespace) => {
                let is_restricted = self.require_access(Right::Write, namespace)?;
                restricted.set(restricted.get() || is_restricted);
                Ok(())
            }
            Access::Use(right, operator) => {
                if has_rules && matches!(right, Right::Code | Right::Stats) {
                    powerful.replace(Some(excerpt(operator, 64)));
                }
                self.require_operator(right, operator)
            }
        };
        let walk = PipelineWalk { database: &self.target.namespace.database, access: &access };
        for (_, parameter) in operation.evaluated() {
            match parameter {
                Evaluated::Aggregation(stages) => walk.aggregation(stages)?,
                Evaluated::UpdatePipeline(stages) => walk.update_pipeline(stages)?,
                Evaluated::Value(value) => walk.value(value)?,
            }
        }
        operation.check_update_operators()?;
        match powerful.take() {
            Some(operator) if restricted.get() => Err(ApiError::not_allowed(format!(
                "'{operator}' is not available in a request on a collection with a rule"
            ))),
            _ => Ok(restricted.get()),
        }
    }

    /// The collection of the request.
    fn own(&self) -> NamespaceRef<'_> {
        let Namespace { database, collection, .. } = &*self.target.namespace;
        NamespaceRef { database, collection }
    }

    /// Whether rules restrict what an operation does to the collection of the request.
    fn is_restricted(&self, operation: &Operation<'_>) -> bool {
        let rights: &[Right] = match operation {
            Operation::FindOne(_)
            | Operation::Find(_)
            | Operation::Aggregate { .. }
            | Operation::CountDocuments { .. }
            | Operation::EstimatedDocumentCount { .. }
            | Operation::Distinct { .. } => &[Right::Read],
            Operation::InsertOne { .. }
            | Operation::InsertMany { .. }
            | Operation::Update { .. }
            | Operation::ReplaceOne { .. }
            | Operation::Delete { .. }
            | Operation::BulkWrite { .. } => &[Right::Write],
            Operation::FindOneAnd(_) => &[Right::Read, Right::Write],
        };
        rights.iter().any(|right| matches!(self.grant(*right, self.own()), Grant::Restricted(_)))
    }

    fn grant(&self, right: Right, namespace: NamespaceRef<'_>) -> Grant<'_> {
        self.caller.grant(right, &self.target.data_source, namespace.database, namespace.collection)
    }

    /// What the caller's rules leave of a collection; `None` for all of it.
    fn restriction(&self, right: Right, namespace: NamespaceRef<'_>) -> ApiResult<Option<Restriction<'_>>> {
        match self.grant(right, namespace) {
            Grant::Denied => Err(access_denied(right, namespace)),
            Grant::Unrestricted => Ok(None),
            Grant::Restricted(rules) => Ok(Some(Restriction::new(right, &rules, &self.caller.user))),
        }
    }

    /// Narrows an operation to what the caller's rules allow.
    fn narrow<'r>(&self, operation: Operation<'r>, replaced: &'r Replaced) -> ApiResult<Operation<'r>> {
        let own = |right| self.restriction(right, self.own()).map(Option::unwrap_or_default);
        Ok(match operation {
            Operation::InsertOne { .. }
            | Operation::InsertMany { .. }
            | Operation::Update { .. }
            | Operation::ReplaceOne { .. }
            | Operation::Delete { .. }
            | Operation::BulkWrite { .. } => narrow_write(&own(Right::Write)?, operation, replaced)?,
            Operation::FindOne(query) => Operation::FindOne(narrowed_query(&own(Right::Read)?, query, replaced)?),
            Operation::Find(query) => Operation::Find(narrowed_query(&own(Right::Read)?, query, replaced)?),
            Operation::CountDocuments { query } => {
                let query = narrowed_query(&own(Right::Read)?, query, replaced)?;
                Operation::CountDocuments { query: Query { projection: None, ..query } }
            }
            Operation::EstimatedDocumentCount { options } => {
                let restriction = own(Right::Read)?;
                restriction.check_options(&options)?;
                if restriction.filter.is_some() {
                    return Err(ApiError::not_allowed(
                        "estimatedDocumentCount counts all documents, and the caller has a rule on the collection: use \
                         countDocuments",
                    ));
                }
                Operation::EstimatedDocumentCount { options }
            }
            Operation::Distinct { key, query } => {
                let restriction = own(Right::Read)?;
                restriction.check_path(key, "key")?;
                let query = narrowed_query(&restriction, query, replaced)?;
                Operation::Distinct { key, query: Query { projection: None, ..query } }
            }
            Operation::FindOneAnd(call) => Operation::FindOneAnd(self.narrow_find_one_and(call, replaced)?),
            Operation::Aggregate { pipeline, options } => {
                let pipeline = self.narrow_aggregation(pipeline, &options, replaced)?;
                Operation::Aggregate { pipeline, options }
            }
        })
    }

    /// Narrows a `findOneAnd…`, which must keep to the rules of both rights.
    fn narrow_find_one_and<'r>(&self, call: FindOneAnd<'r>, replaced: &'r Replaced) -> ApiResult<FindOneAnd<'r>> {
        let FindOneAnd { filter, change, projection, sort, upsert, new, options } = call;
        let read = self.restriction(Right::Read, self.own())?.unwrap_or_default();
        let write = self.restriction(Right::Write, self.own())?.unwrap_or_default();
        let projection = read.projected(projection)?.map(|shown| replaced.document(&shown)).transpose()?;
        let both = read.and(write);
        both.check_options(&options)?;
        sort.map_or(Ok(()), |sort| both.check_sort(sort))?;
        let change = match change {
            Change::Update(update) => Change::Update(narrowed_update(&both, filter, update, upsert, replaced)?),
            Change::Replace(replacement) => {
                both.check_replacement(replacement)?;
                Change::Replace(replacement)
            }
            Change::Delete => Change::Delete,
        };
        let filter = narrowed_filter(&both, filter, replaced)?;
        Ok(FindOneAnd { filter, change, projection, sort, upsert, new, options })
    }

    fn narrow_aggregation<'r>(
        &self,
        pipeline: &'r RawArray,
        options: &Options<'_>,
        replaced: &'r Replaced,
    ) -> ApiResult<&'r RawArray> {
        if options.get("collation").is_some() {
            return Err(unavailable_collation());
        }
        self.restriction(Right::Read, self.own())?.unwrap_or_default().check_options(options)?;
        check_stages_metadata(pipeline)?;
        let read = |namespace: NamespaceRef<'_>| self.restriction(Right::Read, namespace);
        let restricts_writes =
            |namespace: NamespaceRef<'_>| !matches!(self.grant(Right::Write, namespace), Grant::Unrestricted);
        let NamespaceRef { database, collection } = self.own();
        let stages = pipeline
            .into_iter()
            .map(|stage| Bson::try_from(stage.map_err(|_| ApiError::unreadable())?).map_err(unreadable_as))
            .collect::<ApiResult<Vec<_>>>()?;
        let rewrite = PipelineRewrite::new(database, &read, &restricts_writes);
        replaced.array(rewrite.aggregation(collection, &stages)?)
    }

    fn require_operator(&self, right: Right, operator: &str) -> ApiResult<()> {
        let Namespace { database, collection, .. } = &*self.target.namespace;
        if self.caller.has(right, &self.target.data_source, database, collection) {
            return Ok(());
        }
        let operator = excerpt(operator, 64);
        Err(ApiError::not_allowed(format!("'{operator}' requires the right '{right}' on {database}.{collection}")))
    }

    /// Rejects an access for which the caller has no permission. Returns whether rules restrict it.
    fn require_access(&self, right: Right, namespace: NamespaceRef<'_>) -> ApiResult<bool> {
        match self.grant(right, namespace) {
            Grant::Denied => Err(access_denied(right, namespace)),
            Grant::Unrestricted => Ok(false),
            Grant::Restricted(_) => Ok(true),
        }
    }
}

fn access_denied(right: Right, NamespaceRef { database, collection }: NamespaceRef<'_>) -> ApiError {
    let message = format!("the caller does not have the right '{right}' on {database}.{collection}");
    ApiError::new(StatusCode::FORBIDDEN, "NoMatchingRuleFound", message)
}

/// Narrows a write, or the writes of a `bulkWrite`.
fn narrow_write<'r>(
    restriction: &Restriction<'_>,
    operation: Operation<'r>,
    replaced: &'r Replaced,
) -> ApiResult<Operation<'r>> {
    restriction.check_options(operation.options())?;
    Ok(match operation {
        Operation::InsertOne { document, options } => {
            restriction.check_document(document)?;
            Operation::InsertOne { document, options }
        }
        Operation::InsertMany { documents, ordered, options } => {
            for document in documents {
                match document {
                    Ok(RawBsonRef::Document(document)) => restriction.check_document(document)?,
                    _ => return Err(ApiError::invalid("'documents' must contain only documents")),
                }
            }
            Operation::InsertMany { documents, ordered, options }
        }
        Operation::Update { many, filter, update, upsert, options } => {
            let update = narrowed_update(restriction, filter, update, upsert, replaced)?;
            let filter = narrowed_filter(restriction, filter, replaced)?;
            Operation::Update { many, filter, update, upsert, options }
        }
        Operation::ReplaceOne { filter, replacement, upsert, options } => {
            restriction.check_replacement(replacement)?;
            let filter = narrowed_filter(restriction, filter, replaced)?;
            Operation::ReplaceOne { filter, replacement, upsert, options }
        }
        Operation::Delete { many, filter, options } => {
            Operation::Delete { many, filter: narrowed_filter(restriction, filter, replaced)?, options }
        }
        Operation::BulkWrite { operations, ordered, options } => {
            let narrowed = operations.into_iter().enumerate().map(|(index, operation)| {
                narrow_write(restriction, operation, replaced).map_err(|error| error.of_operation(index))
            });
            Operation::BulkWrite { operations: narrowed.collect::<ApiResult<_>>()?, ordered, options }
        }
        // The parser accepts no other operation in a `bulkWrite`.
        Operation::FindOne(_)
        | Operation::Find(_)
        | Operation::CountDocuments { .. }
        | Operation::EstimatedDocumentCount { .. }
        | Operation::Distinct { .. }
        | Operation::FindOneAnd(_)
        | Operation::Aggregate { .. } => return Err(ApiError::invalid("the operation is not a write")),
    })
}

fn narrowed_query<'r>(restriction: &Restriction<'_>, query: Query<'r>, replaced: &'r Replaced) -> ApiResult<Query<'r>> {
    let Query { filter, projection, sort, skip, limit, options } = query;
    if let Some(filter) = filter {
        check_filter(restriction, filter)?;
    }
    sort.map_or(Ok(()), |sort| restriction.check_sort(sort))?;
    restriction.check_options(&options)?;
    let projection = restriction.projected(projection)?.map(|shown| replaced.document(&shown)).transpose()?;
    let filter = Some(replaced.document(&restriction.narrowed(filter)?)?);
    Ok(Query { filter, projection, sort, skip, limit, options })
}

fn narrowed_update<'r>(
    restriction: &Restriction<'_>,
    filter: &RawDocument,
    update: Update<'r>,
    upsert: bool,
    replaced: &'r Replaced,
) -> ApiResult<Update<'r>> {
    Ok(match restriction.check_update(filter, update, upsert)? {
        Some(completed) => Update::Operators(replaced.document(&completed)?),
        None => update,
    })
}

fn narrowed_filter<'r>(
    restriction: &Restriction<'_>,
    filter: &RawDocument,
    replaced: &'r Replaced,
) -> ApiResult<&'r RawDocument> {
    check_filter(restriction, filter)?;
    replaced.document(&restriction.narrowed(Some(filter))?)
}

fn check_filter(restriction: &Restriction<'_>, filter: &RawDocument) -> ApiResult<()> {
    FilterCheck { restriction, parameter: "filter", place: Place::WithRule }.filter(filter)
}

fn unavailable_collation() -> ApiError {
    ApiError::not_allowed(
        "'collation' is not available to a caller with a rule, because it would apply to the filter of the rule too",
    )
}

/// An error of a document that was valid BSON before.
fn unreadable_as(_: impl Sized) -> ApiError {
    ApiError::unreadable()
}
