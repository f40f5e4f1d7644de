//! `findOne`, `find` and `aggregate`.

use std::sync::Arc;

use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument};

use super::stream::write_document;
use super::{ActionContext, ActionResponse, decode};
use crate::batch_stream::Batches;
use crate::driver::aggregate::{aggregate, aggregate_raw};
use crate::driver::find::{Find, RawFind, find, find_one, find_one_raw, find_raw};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::limits::memory::BatchKind;
use crate::gateway::request::{Options, Query};

impl ActionContext<'_> {
    pub(super) async fn find_one(&self, query: &Query<'_>) -> ApiResult<ActionResponse> {
        let mut memory = self.gateway.memory.for_reply(&self.target.namespace, BatchKind::First).await?;
        if self.is_plain(&query.options) {
            let found = find_one_raw(self.client, &self.target.namespace, &self.raw_find(query)).await;
            let mut found = found.map_err(|error| self.error_response(&error))?;
            let (size, largest) = found.sizes();
            memory.arrived(size, largest).await?;
            let document = found.take_next().transpose().map_err(|error| self.error_response(&error))?;
            return Ok(ActionResponse::Held(memory.hold(self.document_body(document)?)?));
        }
        let query = self.decoded_find(query)?;
        let found = Box::pin(find_one(self.client, &self.target.namespace, query)).await;
        let document = found.map_err(|error| self.error_response(&error))?;
        let size = document.as_ref().map_or(0, |document| document.as_bytes().len());
        memory.arrived(size, size).await?;
        Ok(ActionResponse::Held(memory.hold(self.document_body(document.as_deref())?)?))
    }

    /// The body with one document or `null`.
    pub(super) fn document_body(&self, document: Option<&RawDocument>) -> ApiResult<Vec<u8>> {
        let mut body = Vec::with_capacity(64 + document.map_or(0, |document| document.as_bytes().len() * 5 / 4));
        body.extend_from_slice(br#"{"document":"#);
        match document {
            Some(document) => {
                write_document(&mut body, document, self.style).map_err(|error| self.error_response(&error))?;
            }
            None => body.extend_from_slice(b"null"),
        }
        body.push(b'}');
        Ok(body)
    }

    pub(super) async fn find(&self, query: &Query<'_>) -> ApiResult<ActionResponse> {
        let limit = self.checked_limit(query.limit)?;
        let memory = self.gateway.memory.for_reply(&self.target.namespace, BatchKind::First).await?;
        self.documents_response(self.open_find(query, limit, None).await?, memory).await
    }

    /// Runs a query. `batch_size` is that of its pages, if it has pages.
    pub(super) async fn open_find(
        &self,
        query: &Query<'_>,
        limit: Option<u32>,
        batch_size: Option<u32>,
    ) -> ApiResult<Batches> {
        let (client, namespace) = (self.client, &self.target.namespace);
        let batches = if self.is_plain(&query.options) || (batch_size.is_some() && query.options.has_only("batchSize"))
        {
            find_raw(client, namespace, &RawFind { limit, batch_size, ..self.raw_find(query) }).await
        } else {
            let mut query = Find { limit: limit.map(i64::from), ..self.decoded_find(query)? };
            query.batch_size = batch_size.or(query.batch_size);
            Box::pin(find(Arc::clone(client), Arc::clone(namespace), query)).await
        };
        batches.map_err(|error| self.error_response(&error))
    }

    pub(super) async fn aggregate(&self, pipeline: &RawArray, options: &Options<'_>) -> ApiResult<ActionResponse> {
        let memory = self.gateway.memory.for_reply(&self.target.namespace, BatchKind::First).await?;
        self.documents_response(self.open_aggregate(pipeline, options, None).await?, memory).await
    }

    /// Runs a pipeline. `batch_size` is that of its pages, if it has pages.
    pub(super) async fn open_aggregate(
        &self,
        pipeline: &RawArray,
        options: &Options<'_>,
        batch_size: Option<u32>,
    ) -> ApiResult<Batches> {
        let (client, namespace) = (self.client, &self.target.namespace);
        let writes = writes(pipeline)?;
        if writes && batch_size.is_some() {
            return Err(ApiError::invalid("a pipeline with $out or $merge has no documents: leave out 'cursor'"));
        }
        let is_plain = self.is_plain(options) || (batch_size.is_some() && options.has_only("batchSize"));
        let batches = if !writes && is_plain {
            let (comment, time) = (self.comment.as_ref(), Some(self.max_time(options)));
            aggregate_raw(client, namespace, pipeline, batch_size, comment, time).await
        } else {
            let mut given = self.reading_options(options)?;
            given.extend(batch_size.map(|size| ("batchSize".to_owned(), Bson::Int64(size.into()))));
            let pipeline = decode_pipeline(pipeline)?;
            let (client, namespace) = (Arc::clone(client), Arc::clone(namespace));
            Box::pin(aggregate(client, namespace, pipeline, given, self.session.clone())).await
        };
        batches.map_err(|error| self.error_response(&error))
    }

    fn raw_find<'q>(&'q self, query: &'q Query<'_>) -> RawFind<'q> {
        RawFind {
            filter: query.filter,
            projection: query.projection,
            sort: query.sort,
            skip: query.skip,
            max_time: Some(self.max_time(&query.options)),
            comment: self.comment.as_ref(),
            ..RawFind::default()
        }
    }

    /// A query with options, or in a session. Its limit is not set.
    fn decoded_find(&self, query: &Query<'_>) -> ApiResult<Find> {
        let mut given = self.command_options(&query.options)?;
        let mut document = |name: &str| match given.remove(name) {
            Some(Bson::Document(document)) => Some(document),
            _ => None,
        };
        let (collation, let_vars) = (document("collation"), document("let"));
        let decoded = |document: Option<&RawDocument>| document.map(decode).transpose();
        Ok(Find {
            filter: decoded(query.filter)?.unwrap_or_default(),
            projection: decoded(query.projection)?,
            sort: decoded(query.sort)?,
            skip: query.skip.map(u64::from),
            batch_size: given.get_i64("batchSize").ok().and_then(|size| u32::try_from(size).ok()),
            max_time: Some(self.max_time(&query.options)),
            comment: given.remove("comment"),
            hint: given.remove("hint"),
            allow_disk_use: given.get_bool("allowDiskUse").ok(),
            collation,
            let_vars,
            session: self.session.clone(),
            ..Find::default()
        })
    }

    /// Checks the `limit` of a `find` against the configured maximum. 0 means no limit.
    fn checked_limit(&self, limit: Option<u32>) -> ApiResult<Option<u32>> {
        let compatibility = self.gateway.compatibility;
        let maximum = [self.gateway.limits.documents, compatibility.max_limit()].into_iter().flatten().min();
        match (limit.filter(|limit| *limit > 0).or(compatibility.default_limit()), maximum) {
            (Some(given), Some(maximum)) if u64::from(given) > maximum => match limit {
                // The default is never larger than the maximum.
                None | Some(0) => Ok(u32::try_from(maximum).ok()),
                Some(_) => {
                    Err(ApiError::invalid(format!("'limit' must be at most {maximum}: request the rest with 'skip'")))
                }
            },
            (limit, _) => Ok(limit),
        }
    }
}

/// Returns whether a pipeline writes its documents into a collection. Its stages must be documents, and it must end.
fn writes(stages: &RawArray) -> ApiResult<bool> {
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
