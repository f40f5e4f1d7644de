//! Responses with documents, which are written while they arrive.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use bson::{RawBsonRef, RawDocument};
use futures_util::StreamExt as _;
use futures_util::stream;

use super::{ActionContext, ActionResponse};
use crate::batch_stream::{Batch, Batches};
use crate::codec::ejson::{self, Style};
use crate::data_api::protocol::{Action, error_response};
use crate::driver::Namespace;
use crate::error::{Error, ErrorKind};
use crate::gateway::api_error::{Aborted, ApiError, ApiResult, INCOMPLETE_RESPONSE};
use crate::gateway::limits::memory::{BatchKind, MemoryBudget, PART_BYTES, ReplyMemory};
use crate::gateway::response_format::Framing;

impl Framing {
    const fn start(self) -> &'static [u8] {
        match self {
            Self::Array => br#"{"documents":["#,
            Self::Lines => b"",
        }
    }

    const fn end(self) -> &'static [u8] {
        match self {
            Self::Array => b"]}",
            Self::Lines => b"",
        }
    }
}

impl ActionContext<'_> {
    /// The documents of a cursor: streamed, or in a transaction as a whole, because it can still fail. `memory` is that of
    /// the first batch.
    pub(super) async fn documents_response(&self, batches: Batches, memory: ReplyMemory) -> ApiResult<ActionResponse> {
        match self.session {
            None => self.stream_documents(batches, memory).await,
            Some(_) => Box::pin(self.collect_documents(batches, memory)).await,
        }
    }

    /// Collects the documents of a cursor.
    async fn collect_documents(&self, mut batches: Batches, mut memory: ReplyMemory) -> ApiResult<ActionResponse> {
        let mut writer = self.documents_writer();
        let mut parts = vec![Bytes::from_static(self.framing.start())];
        while let Some(batch) = batches.next().await {
            let mut batch = batch.map_err(|error| self.error_response(&error))?;
            let (size, largest) = batch.sizes();
            memory.arrived(size, largest).await?;
            let mut part = Vec::new();
            writer.write(&mut part, &mut batch, usize::MAX).map_err(|error| self.error_response(&error))?;
            drop(batch);
            parts.push(memory.hold(part)?);
            memory = self.gateway.memory.for_reply(&self.target.namespace, BatchKind::First).await?;
        }
        parts.push(Bytes::from_static(self.framing.end()));
        Ok(ActionResponse::Parts(parts))
    }

    fn documents_writer(&self) -> DocumentsWriter {
        DocumentsWriter::new(self.framing, self.style, self.gateway.limits.documents)
    }

    /// Streams the documents of a cursor as fast as the client reads. `memory` is that of the first batch. If it is the
    /// only one, and small, the response is complete.
    async fn stream_documents(&self, mut batches: Batches, mut memory: ReplyMemory) -> ApiResult<ActionResponse> {
        let framing = self.framing;
        let mut writer = self.documents_writer();
        // An error in the first batch can still become an error response.
        let mut start = framing.start().to_vec();
        let first = batches.next().await.transpose().map_err(|error| self.error_response(&error))?;
        let Some(mut batch) = first else {
            start.extend_from_slice(framing.end());
            return Ok(ActionResponse::Complete(StatusCode::OK, start));
        };
        let (size, largest) = batch.sizes();
        memory.arrived(size, largest).await?;
        if batch.is_last() && size <= PART_BYTES {
            writer.write(&mut start, &mut batch, usize::MAX).map_err(|error| self.error_response(&error))?;
            start.extend_from_slice(framing.end());
            return Ok(ActionResponse::Complete(StatusCode::OK, start));
        }
        let mut documents = DocumentStream {
            action: self.action,
            batches,
            batch: Some((batch, memory)),
            budget: self.gateway.memory.clone(),
            namespace: Arc::clone(&self.target.namespace),
            writer,
        };
        let start = match documents.write_part(start) {
            Ok(start) => start,
            Err(Interrupted::Failed(error)) => return Err(self.error_response(&error)),
            Err(Interrupted::Memory(error)) => return Err(error),
        };
        let rest = stream::unfold(Some(documents), |documents| async move {
            let mut documents = documents?;
            match documents.next_part().await {
                Ok(Some(part)) => Some((Ok(part), Some(documents))),
                Ok(None) => None,
                Err(interrupted) => Some((Err(documents.aborted(interrupted)), None)),
            }
        });
        let start = stream::once(async { Ok(start) });
        let body = match framing {
            Framing::Array => {
                let end = stream::once(async { Ok(Bytes::from_static(Framing::Array.end())) });
                Body::from_stream(start.chain(rest).chain(end))
            }
            Framing::Lines => Body::from_stream(start.chain(rest)),
        };
        Ok(ActionResponse::Stream(body))
    }
}

/// Writes the documents of a response, part by part.
struct DocumentStream {
    action: Action,
    batches: Batches,
    /// The batch that is being written, and the memory of it and of a part of its text.
    batch: Option<(Batch, ReplyMemory)>,
    budget: MemoryBudget,
    namespace: Arc<Namespace>,
    writer: DocumentsWriter,
}

/// Why a response breaks off.
enum Interrupted {
    Failed(Error),
    Memory(ApiError),
}

impl DocumentStream {
    /// The next part of the text; `None` after the last document.
    async fn next_part(&mut self) -> Result<Option<Bytes>, Interrupted> {
        if self.batch.is_none() {
            // The previous batch and its memory are released, so that streams do not wait for each other.
            let mut memory =
                self.budget.for_reply(&self.namespace, BatchKind::Later).await.map_err(Interrupted::Memory)?;
            let Some(batch) = self.batches.next().await else { return Ok(None) };
            let batch = batch.map_err(Interrupted::Failed)?;
            let (size, largest) = batch.sizes();
            memory.arrived(size, largest).await.map_err(Interrupted::Memory)?;
            self.batch = Some((batch, memory));
        }
        self.write_part(Vec::new()).map(Some)
    }

    /// Writes documents until the part is large or the batch has ended. The last part keeps the memory that it needs.
    fn write_part(&mut self, mut part: Vec<u8>) -> Result<Bytes, Interrupted> {
        let Some((mut batch, memory)) = self.batch.take() else { return Ok(part.into()) };
        self.writer.write(&mut part, &mut batch, PART_BYTES).map_err(Interrupted::Failed)?;
        if !batch.is_empty() {
            self.batch = Some((batch, memory));
            return Ok(part.into());
        }
        drop(batch);
        memory.hold(part).map_err(Interrupted::Memory)
    }

    fn aborted(&self, interrupted: Interrupted) -> Aborted {
        match interrupted {
            Interrupted::Memory(error) => Aborted::new(error.body.error_code, error.body.error),
            Interrupted::Failed(error) if self.writer.is_full() => Aborted::new(INCOMPLETE_RESPONSE, error.message),
            Interrupted::Failed(error) => Aborted::new(error_response(self.action, &error).1.error_code, error.message),
        }
    }
}

/// Writes documents, and counts them.
pub(super) struct DocumentsWriter {
    framing: Framing,
    style: Style,
    maximum: Option<u64>,
    written: u64,
}

impl DocumentsWriter {
    pub(super) fn new(framing: Framing, style: Style, maximum: Option<u64>) -> Self {
        Self { framing, style, maximum, written: 0 }
    }

    /// Whether no more documents may be written.
    fn is_full(&self) -> bool {
        self.maximum == Some(self.written)
    }

    /// Writes the documents of a batch until `out` has this size.
    fn write(&mut self, out: &mut Vec<u8>, batch: &mut Batch, size: usize) -> Result<(), Error> {
        while out.len() < size
            && let Some(document) = batch.take_next()
        {
            if self.is_full() {
                let message = format!("the response has more than {} documents: use a limit", self.written);
                return Err(Error::new(ErrorKind::InvalidBson, message));
            }
            self.write_one(out, document?)?;
        }
        Ok(())
    }

    pub(super) fn write_one(&mut self, out: &mut Vec<u8>, document: &RawDocument) -> Result<(), Error> {
        if self.framing == Framing::Array && self.written > 0 {
            out.push(b',');
        }
        self.written += 1;
        write_document(out, document, self.style)?;
        if self.framing == Framing::Lines {
            out.push(b'\n');
        }
        Ok(())
    }
}

/// Writes a document of the response. Extended JSON cannot represent documents whose first field
/// is one of its type wrappers, such as `$oid`: a client would read another type.
pub(in crate::gateway) fn write_document(out: &mut Vec<u8>, document: &RawDocument, style: Style) -> Result<(), Error> {
    if style != Style::Plain
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
