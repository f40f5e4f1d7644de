//! `findOne`, `find` and `aggregate`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::{ActionContext, ActionResponse, decode};
use crate::batch_stream::Batch;
use crate::codec::ejson::{self, Style};
use crate::driver::Namespace;
use crate::driver::aggregate::{aggregate, aggregate_raw};
use crate::driver::find::{Find, RawFind, find, find_one, find_one_raw, find_raw};
use crate::error::{Error, ErrorKind};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::limits::memory::{MemoryBudget, PART_BYTES, ReplyMemory};
use crate::gateway::request::{Options, Query};

impl ActionContext<'_> {
    pub(super) async fn find_one(&self, query: &Query<'_>) -> ApiResult<ActionResponse> {
        let mut memory = self.gateway.memory.for_reply(&self.target.namespace).await?;
        if self.is_plain(&query.options) {
            let found = find_one_raw(self.client, &self.target.namespace, &self.raw_find(query)).await;
            let mut found = found.map_err(|error| self.error_response(&error))?;
            let (size, largest) = found.sizes();
            memory.arrived(size, largest)?;
            let document = found.take_next().transpose().map_err(|error| self.error_response(&error))?;
            return self.document_response(document);
        }
        let query = self.decoded_find(query)?;
        let found = Box::pin(find_one(self.client, &self.target.namespace, query)).await;
        let document = found.map_err(|error| self.error_response(&error))?;
        let size = document.as_ref().map_or(0, |document| document.as_bytes().len());
        memory.arrived(size, size)?;
        self.document_response(document.as_deref())
    }

    /// The response with one document or `null`.
    pub(super) fn document_response(&self, document: Option<&RawDocument>) -> ApiResult<ActionResponse> {
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

    pub(super) async fn find(&self, query: &Query<'_>) -> ApiResult<ActionResponse> {
        let limit = self.checked_limit(query.limit)?;
        let (client, namespace) = (self.client, &self.target.namespace);
        let memory = self.gateway.memory.for_reply(namespace).await?;
        let batches = if self.is_plain(&query.options) {
            find_raw(client, namespace, &RawFind { limit, ..self.raw_find(query) }).await
        } else {
            let query = Find { limit: limit.map(i64::from), ..self.decoded_find(query)? };
            Box::pin(find(Arc::clone(client), Arc::clone(namespace), query)).await
        };
        self.documents_response(batches.map_err(|error| self.error_response(&error))?, memory).await
    }

    pub(super) async fn aggregate(&self, pipeline: &RawArray, options: &Options<'_>) -> ApiResult<ActionResponse> {
        let (client, namespace) = (self.client, &self.target.namespace);
        let memory = self.gateway.memory.for_reply(namespace).await?;
        let batches = if !writes(pipeline)? && self.is_plain(options) {
            let (comment, time) = (self.comment.as_ref(), Some(self.max_time(options)));
            aggregate_raw(client, namespace, pipeline, comment, time).await
        } else {
            let mut given = self.command_options(options)?;
            given.insert("maxTimeMS", i64::try_from(self.max_time(options).as_millis()).unwrap_or(i64::MAX));
            let pipeline = decode_pipeline(pipeline)?;
            let (client, namespace) = (Arc::clone(client), Arc::clone(namespace));
            Box::pin(aggregate(client, namespace, pipeline, given, self.session.clone())).await
        };
        self.documents_response(batches.map_err(|error| self.error_response(&error))?, memory).await
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

    /// The documents of a cursor: streamed, or in a transaction as a whole, because it can still fail. `memory` is that of
    /// the first batch.
    async fn documents_response(
        &self,
        batches: BoxStream<'static, Result<Batch, Error>>,
        memory: ReplyMemory,
    ) -> ApiResult<ActionResponse> {
        match self.session {
            None => self.stream_documents(batches, memory).await,
            Some(_) => Box::pin(self.collect_documents(batches, memory)).await,
        }
    }

    /// Collects the documents of a cursor.
    async fn collect_documents(
        &self,
        mut batches: BoxStream<'static, Result<Batch, Error>>,
        mut memory: ReplyMemory,
    ) -> ApiResult<ActionResponse> {
        let mut writer = self.documents_writer();
        let mut parts = vec![Bytes::from_static(br#"{"documents":["#)];
        while let Some(batch) = batches.next().await {
            let mut batch = batch.map_err(|error| self.error_response(&error))?;
            let (size, largest) = batch.sizes();
            memory.arrived(size, largest)?;
            let mut part = Vec::new();
            writer.write(&mut part, &mut batch, usize::MAX).map_err(|error| self.error_response(&error))?;
            drop(batch);
            parts.push(memory.hold(part)?);
            memory = self.gateway.memory.for_reply(&self.target.namespace).await?;
        }
        parts.push(Bytes::from_static(b"]}"));
        Ok(ActionResponse::Parts(parts))
    }

    fn documents_writer(&self) -> DocumentsWriter {
        DocumentsWriter { style: self.style, maximum: self.gateway.limits.documents, written: 0 }
    }

    /// Streams the documents of a cursor as fast as the client reads. `memory` is that of the first batch.
    async fn stream_documents(
        &self,
        batches: BoxStream<'static, Result<Batch, Error>>,
        memory: ReplyMemory,
    ) -> ApiResult<ActionResponse> {
        let mut documents = DocumentStream {
            batches,
            batch: None,
            budget: self.gateway.memory.clone(),
            namespace: Arc::clone(&self.target.namespace),
            batch_time: self.gateway.limits.request,
            writer: self.documents_writer(),
        };
        // An error in the first batch can still become an error response.
        let start = br#"{"documents":["#.to_vec();
        let (start, more) = match documents.batches.next().await {
            Some(batch) => {
                let batch = batch.map_err(|error| self.error_response(&error))?;
                let (size, largest) = batch.sizes();
                let mut memory = memory;
                memory.arrived(size, largest)?;
                documents.batch = Some((batch, memory));
                (documents.write_part(start).map_err(|error| self.error_response(&error))?, true)
            }
            None => (start.into(), false),
        };
        let rest = stream::unfold(more.then_some(documents), |documents| async move {
            let mut documents = documents?;
            match documents.next_part().await {
                Ok(Some(part)) => Some((Ok(part), Some(documents))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        let end = stream::once(async { Ok(Bytes::from_static(b"]}")) });
        let body = stream::once(async { Ok(start) }).chain(rest).chain(end);
        Ok(ActionResponse::Stream(Body::from_stream(body)))
    }
}

/// Writes the items of `documents`, part by part.
struct DocumentStream {
    batches: BoxStream<'static, Result<Batch, Error>>,
    /// The batch that is being written, and the memory of it and of a part of its text.
    batch: Option<(Batch, ReplyMemory)>,
    budget: MemoryBudget,
    namespace: Arc<Namespace>,
    /// How long MongoDB may take to return the next batch.
    batch_time: Duration,
    writer: DocumentsWriter,
}

impl DocumentStream {
    /// The next part of the text; `None` after the last document.
    async fn next_part(&mut self) -> Result<Option<Bytes>, Error> {
        if self.batch.is_none() {
            let batch = async {
                // The previous batch and its memory are released, so that streams do not wait for each other.
                let memory = self.budget.for_reply(&self.namespace).await;
                let memory = memory.map_err(used_up)?;
                Ok(self.batches.next().await.map(|batch| (batch, memory)))
            };
            let late = |_| Error::new(ErrorKind::ExecutionTimeout, "timed out waiting for the next batch");
            let Some((batch, mut memory)) = tokio::time::timeout(self.batch_time, batch).await.map_err(late)?? else {
                return Ok(None);
            };
            let batch = batch?;
            let (size, largest) = batch.sizes();
            memory.arrived(size, largest).map_err(used_up)?;
            self.batch = Some((batch, memory));
        }
        self.write_part(Vec::new()).map(Some)
    }

    /// Writes documents until the part is large or the batch has ended. The last part keeps the memory that it needs.
    fn write_part(&mut self, mut part: Vec<u8>) -> Result<Bytes, Error> {
        let Some((mut batch, memory)) = self.batch.take() else { return Ok(part.into()) };
        self.writer.write(&mut part, &mut batch, PART_BYTES)?;
        if !batch.is_empty() {
            self.batch = Some((batch, memory));
            return Ok(part.into());
        }
        drop(batch);
        memory.hold(part).map_err(used_up)
    }
}

/// Writes documents, separated by commas, and counts them.
struct DocumentsWriter {
    style: Style,
    /// The maximum number of documents.
    maximum: Option<u64>,
    written: u64,
}

impl DocumentsWriter {
    /// Writes the documents of a batch until `out` has this size.
    fn write(&mut self, out: &mut Vec<u8>, batch: &mut Batch, size: usize) -> Result<(), Error> {
        while out.len() < size
            && let Some(document) = batch.take_next()
        {
            if self.maximum == Some(self.written) {
                let message = format!("the response has more than {} documents: use a limit", self.written);
                return Err(Error::new(ErrorKind::InvalidBson, message));
            }
            if self.written > 0 {
                out.push(b',');
            }
            self.written += 1;
            write_document(out, document?, self.style)?;
        }
        Ok(())
    }
}

/// A response that has begun breaks off, and its log line says why.
fn used_up(error: ApiError) -> Error {
    Error::new(ErrorKind::ExecutionTimeout, error.body.error)
}

/// Writes a document of the response. Canonical EJSON cannot represent documents whose first field
/// is one of its type wrappers, such as `$oid`: a client would read another type.
fn write_document(out: &mut Vec<u8>, document: &RawDocument, style: Style) -> Result<(), Error> {
    if style == Style::Canonical
        && let Some(name) = ejson::wrapper_in(RawBsonRef::Document(document), 0)
    {
        let message = format!(
            "a document begins with the field {name}, which Extended JSON reads as another type: request \
             application/json, or read the document through the driver"
        );
        return Err(Error::new(ErrorKind::InvalidBson, message));
    }
    ejson::write_document(out, document, style)
}

/// Returns whether a pipeline writes its documents into a collection. Its stages must be documents.
fn writes(stages: &RawArray) -> ApiResult<bool> {
    let mut writes = false;
    for (index, stage) in stages.into_iter().enumerate() {
        let Ok(RawBsonRef::Document(stage)) = stage else {
            return Err(ApiError::invalid(format!("'pipeline[{index}]' must be a document")));
        };
        for field in stage {
            let (name, _) = field.map_err(|_| ApiError::unreadable())?;
            writes |= matches!(name.as_str(), "$out" | "$merge");
        }
    }
    Ok(writes)
}

fn decode_pipeline(stages: &RawArray) -> ApiResult<Vec<Document>> {
    let documents = stages.into_iter().filter_map(|stage| stage.ok()?.as_document());
    documents.map(|stage| stage.try_into().map_err(|_| ApiError::unreadable())).collect()
}
