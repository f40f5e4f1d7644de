//! Authorization: what an operation accesses, checked against the caller's permissions.

mod pipeline;

use axum::http::StatusCode;
use bson::{Document, RawBsonRef, doc};

use super::api_error::{ApiError, ApiResult};
use super::auth::permission::{Caller, Right};
use super::request::{Evaluated, Operation};
use super::target::RequestTarget;
use super::watch::WatchRequest;
use crate::data_api::protocol::Action;
use crate::driver::Namespace;
use crate::error::excerpt;
use pipeline::{Access, NamespaceRef, PipelineWalk};

/// Authorizes the operations of a caller on a collection.
pub(super) struct Policy<'a> {
    pub(super) caller: &'a Caller,
    pub(super) target: &'a RequestTarget,
}

/// An operation that the caller may run. Only [`Policy::authorize`] creates one.
pub(super) struct Authorized<'r>(Operation<'r>);

impl<'r> Authorized<'r> {
    pub(super) fn operation(&self) -> &Operation<'r> {
        &self.0
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
    /// collection is the right to follow its changes.
    pub(super) fn authorize_watch(&self, request: &WatchRequest<'_>) -> ApiResult<AuthorizedWatch> {
        let Namespace { database, collection, .. } = &*self.target.namespace;
        self.require_access(Right::Read, NamespaceRef { database, collection })?;
        let access = |access: Access<'_>| match access {
            Access::Read(namespace) => self.require_access(Right::Read, namespace),
            Access::Write(namespace) => self.require_access(Right::Write, namespace),
            Access::Use(right, operator) => self.require_operator(right, operator),
        };
        let walk = PipelineWalk { database, access: &access };
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
        let Namespace { database, collection, .. } = &*self.target.namespace;
        for right in [action.reads().then_some(Right::Read), action.writes().then_some(Right::Write)] {
            if let Some(right) = right {
                self.require_access(right, NamespaceRef { database, collection })?;
            }
        }
        Ok(())
    }

    /// Rejects operations that access anything for which the caller has no permission.
    pub(super) fn authorize<'r>(&self, operation: Operation<'r>) -> ApiResult<Authorized<'r>> {
        self.check(&operation)?;
        for (index, part) in operation.parts().iter().enumerate() {
            self.check(part).map_err(|error| error.of_operation(index))?;
        }
        Ok(Authorized(operation))
    }

    fn check(&self, operation: &Operation<'_>) -> ApiResult<()> {
        let access = |access: Access<'_>| match access {
            Access::Read(namespace) => self.require_access(Right::Read, namespace),
            Access::Write(namespace) => self.require_access(Right::Write, namespace),
            Access::Use(right, operator) => self.require_operator(right, operator),
        };
        let walk = PipelineWalk { database: &self.target.namespace.database, access: &access };
        for (_, parameter) in operation.evaluated() {
            match parameter {
                Evaluated::Aggregation(stages) => walk.aggregation(stages)?,
                Evaluated::UpdatePipeline(stages) => walk.update_pipeline(stages)?,
                Evaluated::Value(value) => walk.value(value)?,
            }
        }
        operation.check_update_operators()
    }

    fn require_operator(&self, right: Right, operator: &str) -> ApiResult<()> {
        let Namespace { database, collection, .. } = &*self.target.namespace;
        if self.caller.has(right, &self.target.data_source, database, collection) {
            return Ok(());
        }
        let operator = excerpt(operator, 64);
        Err(ApiError::not_allowed(format!("'{operator}' requires the right '{right}' on {database}.{collection}")))
    }

    fn require_access(&self, right: Right, namespace: NamespaceRef<'_>) -> ApiResult<()> {
        let NamespaceRef { database, collection } = namespace;
        if self.caller.has(right, &self.target.data_source, database, collection) {
            return Ok(());
        }
        let message = format!("the caller does not have the right '{right}' on {database}.{collection}");
        Err(ApiError::new(StatusCode::FORBIDDEN, "NoMatchingRuleFound", message))
    }
}
