//! `findOne`, `find` and `aggregate`.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use bson::{Document, RawArray, RawBsonRef, RawDocument};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::{ActionContext, ActionResponse};
use crate::batch_stream::Batch;
use crate::codec::ejson::{self, Style};
use crate::driver::aggregate::{aggregate, aggregate_raw};
use crate::driver::find::{RawFind, find_one_raw, find_raw};
use crate::error::{Error, ErrorKind};
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
                aggregate_raw(client, namespace, pipeline, comment, time).await
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

    fn raw_find<'q>(&'q self, query: Query<'q>) -> RawFind<'q> {
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

    /// Streams the documents of a cursor, batch by batch, as fast as the client reads.
    async fn stream_documents(
        &self,
        mut batches: BoxStream<'static, Result<Batch, Error>>,
    ) -> ApiResult<ActionResponse> {
        let (style, batch_time) = (self.style, self.max_time());
        let memory = self.gateway.memory.clone();
        let mut writer = DocumentsWriter { maximum: self.gateway.limits.documents, written: 0 };
        // An error in the first batch can still become an error response.
        let mut start = br#"{"documents":["#.to_vec();
        match batches.next().await {
            Some(batch) => {
                let batch = batch.map_err(|error| self.error_response(&error))?;
                writer.write(&mut start, batch, style).map_err(|error| self.error_response(&error))?;
            }
            None => batches = stream::empty().boxed(),
        }
        let start = memory.hold(start)?;
        let rest = stream::unfold((batches, writer, memory), move |(mut batches, mut writer, memory)| async move {
            let batch = match tokio::time::timeout(batch_time, batches.next()).await {
                Ok(batch) => batch?,
                Err(_) => Err(Error::new(ErrorKind::ExecutionTimeout, "timed out waiting for the next batch")),
            };
            let mut out = Vec::new();
            let part = match batch.and_then(|batch| writer.write(&mut out, batch, style)) {
                Ok(()) => Ok(memory.hold_when_available(out).await),
                Err(error) => Err(error),
            };
            Some((part, (batches, writer, memory)))
        });
        let end = stream::once(async { Ok(Bytes::from_static(b"]}")) });
        let body = stream::once(async { Ok(start) }).chain(rest).chain(end);
        Ok(ActionResponse::Stream(Body::from_stream(body)))
    }
}

/// Writes the items of `documents` and counts them.
struct DocumentsWriter {
    maximum: Option<u64>,
    written: u64,
}

impl DocumentsWriter {
    fn write(&mut self, out: &mut Vec<u8>, mut batch: Batch, style: Style) -> Result<(), Error> {
        while let Some(document) = batch.take_next() {
            if self.maximum == Some(self.written) {
                let message = format!("the response has more than {} documents: use a limit", self.written);
                return Err(Error::new(ErrorKind::InvalidBson, message));
            }
            if self.written > 0 {
                out.push(b',');
            }
            self.written += 1;
            write_document(out, document?, style)?;
        }
        Ok(())
    }
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
