//! Authorization: what an operation accesses, checked against the caller's permissions.

mod pipeline;

use axum::http::StatusCode;

use super::api_error::{ApiError, ApiResult};
use super::auth::permission::{Caller, Right};
use super::request::{Evaluated, Operation};
use super::target::RequestTarget;
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

impl Policy<'_> {
    /// Rejects actions on collections for which the caller has no permission.
    pub(super) fn check_target(&self, action: Action) -> ApiResult<()> {
        let Namespace { database, collection, .. } = &*self.target.namespace;
        for (right, required) in [(Right::Read, action.reads()), (Right::Write, action.writes())] {
            if required {
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
