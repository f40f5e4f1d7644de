//! `findOne`, `find` and `aggregate`.

use std::sync::Arc;

use axum::http::StatusCode;
use bson::{Document, RawArray, RawBsonRef, RawDocument};

use super::stream::write_document;
use super::{ActionContext, ActionResponse};
use crate::driver::aggregate::{aggregate, aggregate_raw};
use crate::driver::find::{RawFind, find_one_raw, find_raw};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::request::Query;

impl ActionContext<'_> {
    pub(super) async fn find_one(&self, query: Query<'_>) -> ApiResult<ActionResponse> {
        let found = find_one_raw(self.client, &self.target.namespace, &self.raw_find(query)).await;
        let mut found = found.map_err(|error| self.error_response(&error))?;
        let document = found.take_next().transpose().map_err(|error| self.error_response(&error))?;
        let mut body = Vec::with_capacity(64 + document.map_or(0, |document| document.as_bytes().len() * 5 / 4));
        body.extend_from_slice(br#"{"document":"#);
        match document {
            Some(document) => {
                write_document(&mut body, document, self.style).map_err(|error| self.error_response(&error))?;
            }
            None => body.extend_from_slice(b"null"),
        }
        body.push(b'}');
        Ok(ActionResponse::Complete(StatusCode::OK, body))
    }

    pub(super) async fn find(
        &self,
        query: Query<'_>,
        sort: Option<&RawDocument>,
        skip: Option<u32>,
        limit: Option<u32>,
    ) -> ApiResult<ActionResponse> {
        let query = RawFind { sort, skip, limit: self.checked_limit(limit)?, ..self.raw_find(query) };
        let batches = find_raw(self.client, &self.target.namespace, &query).await;
        self.stream_documents(batches.map_err(|error| self.error_response(&error))?).await
    }

    pub(super) async fn aggregate(&self, pipeline: &RawArray) -> ApiResult<ActionResponse> {
        let (client, namespace) = (self.client, &self.target.namespace);
        let batches = match writes(pipeline)? {
            false => {
                let (comment, time) = (self.comment.as_ref(), Some(self.max_time()));
                aggregate_raw(client, namespace, pipeline, None, comment, time).await
            }
            true => {
                let mut options = self.command_options();
                options.insert("maxTimeMS", self.max_time().as_millis() as i64);
                let pipeline = decode_pipeline(pipeline)?;
                aggregate(Arc::clone(client), Arc::clone(namespace), pipeline, options, None).await
            }
        };
        self.stream_documents(batches.map_err(|error| self.error_response(&error))?).await
    }

    pub(super) fn raw_find<'q>(&'q self, query: Query<'q>) -> RawFind<'q> {
        RawFind {
            filter: query.filter,
            projection: query.projection,
            max_time: Some(self.max_time()),
            comment: self.comment.as_ref(),
            ..RawFind::default()
        }
    }

    /// Checks the `limit` of a `find` against the configured maximum. 0 means no limit.
    fn checked_limit(&self, limit: Option<u32>) -> ApiResult<Option<u32>> {
        match (limit.filter(|limit| *limit > 0), self.gateway.limits.documents) {
            (Some(limit), Some(maximum)) if u64::from(limit) > maximum => {
                Err(ApiError::invalid(format!("'limit' must be at most {maximum}: request the rest with 'skip'")))
            }
            (limit, _) => Ok(limit),
        }
    }
}

/// Returns whether a pipeline writes its documents into a collection. Its stages must be documents, and it must end.
pub(super) fn writes(stages: &RawArray) -> ApiResult<bool> {
    let mut writes = false;
    for (index, stage) in stages.into_iter().enumerate() {
        let Ok(RawBsonRef::Document(stage)) = stage else {
            return Err(ApiError::invalid(format!("'pipeline[{index}]' must be a document")));
        };
        for field in stage {
            let (name, _) = field.map_err(|_| ApiError::unreadable())?;
            writes |= matches!(name.as_str(), "$out" | "$merge");
            if name.as_str() == "$changeStream" {
                return Err(ApiError::invalid("'$changeStream' has no end: follow changes with GET …/watch"));
            }
        }
    }
    Ok(writes)
}

fn decode_pipeline(stages: &RawArray) -> ApiResult<Vec<Document>> {
    let documents = stages.into_iter().filter_map(|stage| stage.ok()?.as_document());
    documents.map(|stage| stage.try_into().map_err(|_| ApiError::unreadable())).collect()
}
