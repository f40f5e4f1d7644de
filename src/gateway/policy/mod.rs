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
use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use typed_arena::Arena;

use super::api_error::{ApiError, ApiResult};
use super::auth::permission::{Caller, Grant, Right};
use super::request::{Evaluated, Operation, Query, Update};
use super::target::RequestTarget;
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

impl Policy<'_> {
    /// Rejects actions on collections for which the caller has no permission.
    pub(super) fn check_target(&self, action: Action) -> ApiResult<()> {
        let right = if action.writes() { Right::Write } else { Right::Read };
        self.require_access(right, self.own()).map(|_| ())
    }

    /// Rejects operations that access anything for which the caller has no permission, and narrows
    /// the others to what the caller's rules allow. What that changes is kept in `replaced`.
    pub(super) fn authorize<'r>(&self, operation: Operation<'r>, replaced: &'r Replaced) -> ApiResult<Authorized<'r>> {
        let has_rules = self.caller.has_rules();
        let restricted = Cell::new(has_rules && self.is_restricted(&operation));
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
                Evaluated::Document(document) => walk.value(RawBsonRef::Document(document))?,
            }
        }
        operation.check_update_operators()?;
        if !restricted.get() {
            return Ok(Authorized { operation, is_restricted: false });
        }
        if let Some(operator) = powerful.take() {
            return Err(ApiError::not_allowed(format!(
                "'{operator}' is not available in a request on a collection with a rule"
            )));
        }
        Ok(Authorized { operation: self.narrow(operation, replaced)?, is_restricted: true })
    }

    /// The collection of the request.
    fn own(&self) -> NamespaceRef<'_> {
        let Namespace { database, collection, .. } = &*self.target.namespace;
        NamespaceRef { database, collection }
    }

    /// Whether rules restrict what an operation does to the collection of the request.
    fn is_restricted(&self, operation: &Operation<'_>) -> bool {
        let right = match operation {
            Operation::FindOne(_) | Operation::Find { .. } | Operation::Aggregate { .. } => Right::Read,
            Operation::InsertOne { .. }
            | Operation::InsertMany { .. }
            | Operation::Update { .. }
            | Operation::ReplaceOne { .. }
            | Operation::Delete { .. } => Right::Write,
        };
        matches!(self.grant(right, self.own()), Grant::Restricted(_))
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
            Operation::InsertOne { document } => {
                own(Right::Write)?.check_document(document)?;
                Operation::InsertOne { document }
            }
            Operation::InsertMany { documents, ordered } => {
                let restriction = own(Right::Write)?;
                for document in documents {
                    match document {
                        Ok(RawBsonRef::Document(document)) => restriction.check_document(document)?,
                        _ => return Err(ApiError::invalid("'documents' must contain only documents")),
                    }
                }
                Operation::InsertMany { documents, ordered }
            }
            Operation::FindOne(query) => Operation::FindOne(narrowed_query(&own(Right::Read)?, query, replaced)?),
            Operation::Find { query, sort, skip, limit } => {
                let restriction = own(Right::Read)?;
                sort.map_or(Ok(()), |sort| restriction.check_sort(sort))?;
                Operation::Find { query: narrowed_query(&restriction, query, replaced)?, sort, skip, limit }
            }
            Operation::Update { many, filter, update, upsert } => {
                let restriction = own(Right::Write)?;
                let narrowed = narrowed_filter(&restriction, filter, replaced)?;
                let update = match restriction.check_update(filter, update, upsert)? {
                    Some(completed) => Update::Operators(replaced.document(&completed)?),
                    None => update,
                };
                Operation::Update { many, filter: narrowed, update, upsert }
            }
            Operation::ReplaceOne { filter, replacement, upsert } => {
                let restriction = own(Right::Write)?;
                restriction.check_replacement(replacement)?;
                Operation::ReplaceOne { filter: narrowed_filter(&restriction, filter, replaced)?, replacement, upsert }
            }
            Operation::Delete { many, filter } => {
                Operation::Delete { many, filter: narrowed_filter(&own(Right::Write)?, filter, replaced)? }
            }
            Operation::Aggregate { pipeline } => {
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
                Operation::Aggregate { pipeline: replaced.array(rewrite.aggregation(collection, &stages)?)? }
            }
        })
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

fn narrowed_query<'r>(restriction: &Restriction<'_>, query: Query<'r>, replaced: &'r Replaced) -> ApiResult<Query<'r>> {
    let Query { filter, projection } = query;
    if let Some(filter) = filter {
        check_filter(restriction, filter)?;
    }
    let projection = match restriction.projected(projection)? {
        Some(projection) => Some(replaced.document(&projection)?),
        None => None,
    };
    Ok(Query { filter: Some(replaced.document(&restriction.narrowed(filter)?)?), projection })
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

/// An error of a document that was valid BSON before.
fn unreadable_as(_: impl Sized) -> ApiError {
    ApiError::unreadable()
}
