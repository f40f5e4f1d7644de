//! Responses with documents, which are written while they arrive.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use bson::{RawBsonRef, RawDocument};
use futures_util::StreamExt as _;
use futures_util::stream;

use super::{ActionContext, ActionResponse};
use crate::batch_stream::{Batch, Batches};
use crate::codec::ejson::{self, Style};
use crate::data_api::protocol::error_response;
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::api_error::{Aborted, ApiResult, INCOMPLETE_RESPONSE};
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
    /// The documents of a cursor: streamed, or in a transaction as a whole, because it can still fail.
    pub(super) async fn documents_response(&self, batches: Batches) -> ApiResult<ActionResponse> {
        match self.session {
            None => self.stream_documents(batches).await,
            Some(_) => Box::pin(self.collect_documents(batches)).await,
        }
    }

    /// Collects the documents of a cursor.
    async fn collect_documents(&self, mut batches: Batches) -> ApiResult<ActionResponse> {
        let mut writer = DocumentsWriter::new(Framing::Array, self.style, self.gateway.limits.documents);
        let mut parts = vec![Bytes::from_static(Framing::Array.start())];
        while let Some(batch) = batches.next().await {
            let mut part = Vec::new();
            batch.and_then(|batch| writer.write(&mut part, batch)).map_err(|error| self.error_response(&error))?;
            parts.push(self.gateway.memory.hold(part)?);
        }
        parts.push(Bytes::from_static(Framing::Array.end()));
        Ok(ActionResponse::Parts(parts))
    }

    /// Streams the documents of a cursor, batch by batch, as fast as the client reads. If the first batch is the only
    /// one, the response is complete.
    async fn stream_documents(&self, mut batches: Batches) -> ApiResult<ActionResponse> {
        let (action, framing, memory) = (self.action, self.framing, self.gateway.memory.clone());
        let mut writer = DocumentsWriter::new(framing, self.style, self.gateway.limits.documents);
        // An error in the first batch can still become an error response.
        let mut start = framing.start().to_vec();
        let mut is_last = true;
        if let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| self.error_response(&error))?;
            is_last = batch.is_last();
            writer.write(&mut start, batch).map_err(|error| self.error_response(&error))?;
        }
        if is_last {
            start.extend_from_slice(framing.end());
            return Ok(ActionResponse::Complete(StatusCode::OK, start));
        }
        let start = memory.hold(start)?;
        let rest = stream::unfold(Some((batches, writer, memory)), move |state| async move {
            let (mut batches, mut writer, memory) = state?;
            let batch = batches.next().await?;
            let mut out = Vec::new();
            match batch.and_then(|batch| writer.write(&mut out, batch)) {
                Ok(()) => Some((Ok(memory.hold_when_available(out).await), Some((batches, writer, memory)))),
                Err(error) => {
                    let error_code = match writer.is_full() {
                        true => INCOMPLETE_RESPONSE.to_owned(),
                        false => error_response(action, &error).1.error_code,
                    };
                    Some((Err(Aborted::new(error_code, error.message)), None))
                }
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

    fn write(&mut self, out: &mut Vec<u8>, mut batch: Batch) -> Result<()> {
        while let Some(document) = batch.take_next() {
            if self.is_full() {
                let message = format!("the response has more than {} documents: use a limit", self.written);
                return Err(Error::new(ErrorKind::InvalidBson, message));
            }
            self.write_one(out, document?)?;
        }
        Ok(())
    }

    pub(super) fn write_one(&mut self, out: &mut Vec<u8>, document: &RawDocument) -> Result<()> {
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
pub(in crate::gateway) fn write_document(out: &mut Vec<u8>, document: &RawDocument, style: Style) -> Result<()> {
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
