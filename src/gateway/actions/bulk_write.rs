//! `bulkWrite`.

use axum::http::StatusCode;
use bson::{Bson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::write::{with_id, within_limit, write_bson, write_count, write_id};
use super::{ActionContext, ActionResponse};
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::driver::bulk::{BulkOptions, BulkResult, StatementKind, Statements, bulk_write};
use crate::error::Result;
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::request::{Operation, Options};

impl ActionContext<'_> {
    pub(super) async fn bulk_write(
        &self,
        operations: &[Operation<'_>],
        ordered: bool,
        options: &Options<'_>,
    ) -> ApiResult<ActionResponse> {
        let mut statements = Statements::with_capacity(operations.len());
        let mut ids = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            self.add_statement(&mut statements, &mut ids, index, operation)
                .map_err(|error| error.of_operation(index))?;
        }
        let options = BulkOptions { ordered, more: self.command_options(options)? };
        let (client, namespace, session) = (self.client, &self.target.namespace, self.session.as_deref());
        let statements = statements.get().map_err(|error| self.error_response(&error))?;
        let written = bulk_write(client, namespace, &statements, &options, session).await;
        let written = written.map_err(|error| self.error_response(&error))?;
        Ok(ActionResponse::Complete(StatusCode::OK, self.bulk_response(written, &ids)?))
    }

    /// Encodes an operation as a statement, and an insert's `_id` as a field of `insertedIds`.
    fn add_statement(
        &self,
        statements: &mut Statements,
        ids: &mut Vec<u8>,
        index: usize,
        operation: &Operation<'_>,
    ) -> ApiResult<()> {
        let added = match operation {
            Operation::InsertOne { document, .. } => {
                let document = within_limit(with_id(document), || "document".to_owned())?;
                ids.extend_from_slice(if ids.is_empty() { b"" } else { b"," });
                ids.extend_from_slice(format!("\"{index}\":").as_bytes());
                write_id(ids, &document, self.style)?;
                statements.push(StatementKind::Insert, true, |out| out.root_document(&document, None))
            }
            Operation::Update { many, filter, update, upsert, options } => {
                let options = encoded_options(options)?;
                let update = update.value();
                statements.push(StatementKind::Update, !many, |out| {
                    write_update(out, filter, update, (*many, *upsert), &options)
                })
            }
            Operation::ReplaceOne { filter, replacement, upsert, options } => {
                let options = encoded_options(options)?;
                let replacement = RawBsonRef::Document(replacement);
                statements.push(StatementKind::Update, true, |out| {
                    write_update(out, filter, replacement, (false, *upsert), &options)
                })
            }
            Operation::Delete { many, filter, options } => {
                let options = encoded_options(options)?;
                statements.push(StatementKind::Delete, !many, |out| {
                    let root = out.begin_root();
                    out.value(Key::Name("q"), RawBsonRef::Document(filter), filter.as_bytes())?;
                    out.int32(Key::Name("limit"), i32::from(!many));
                    out.elements(&options)?;
                    out.end(root);
                    Ok(())
                })
            }
            // The parser accepts no other.
            _ => return Err(ApiError::invalid("the operation is not a write")),
        };
        added.map_err(|error| self.error_response(&error))
    }

    /// The result, as mongosh shows it.
    fn bulk_response(&self, written: BulkResult, ids: &[u8]) -> ApiResult<Vec<u8>> {
        let mut body = b"{".to_vec();
        let upserted = i64::try_from(written.upserted.len()).unwrap_or(i64::MAX);
        for (name, count) in [
            ("insertedCount", written.inserted),
            ("matchedCount", written.matched),
            ("modifiedCount", written.modified),
            ("deletedCount", written.removed),
            ("upsertedCount", upserted),
        ] {
            body.extend_from_slice(format!("\"{name}\":").as_bytes());
            write_count(&mut body, u64::try_from(count).unwrap_or(0), self.style)?;
            body.push(b',');
        }
        body.extend_from_slice(br#""insertedIds":{"#);
        body.extend_from_slice(ids);
        body.extend_from_slice(br#"},"upsertedIds":{"#);
        for (position, mut upserted) in written.upserted.into_iter().enumerate() {
            let index = upserted.get_i32("index").unwrap_or_default();
            body.extend_from_slice(if position == 0 { b"" } else { b"," });
            body.extend_from_slice(format!("\"{index}\":").as_bytes());
            write_bson(&mut body, upserted.remove("_id").unwrap_or(Bson::Null), self.style)?;
        }
        body.extend_from_slice(b"}}");
        Ok(body)
    }
}

fn encoded_options(options: &Options<'_>) -> ApiResult<RawDocumentBuf> {
    if options.is_empty() {
        return Ok(RawDocumentBuf::new());
    }
    let mut document = bson::Document::new();
    for (name, value) in options.iter() {
        document.insert(name, Bson::try_from(value).map_err(|_| ApiError::unreadable())?);
    }
    RawDocumentBuf::try_from(&document).map_err(|_| ApiError::unreadable())
}

fn write_update(
    out: &mut BsonWriter,
    filter: &RawDocument,
    change: RawBsonRef<'_>,
    (many, upsert): (bool, bool),
    options: &RawDocument,
) -> Result<()> {
    let bytes = match change {
        RawBsonRef::Array(stages) => stages.as_bytes(),
        RawBsonRef::Document(document) => document.as_bytes(),
        _ => &[],
    };
    let root = out.begin_root();
    out.value(Key::Name("q"), RawBsonRef::Document(filter), filter.as_bytes())?;
    out.value(Key::Name("u"), change, bytes)?;
    out.boolean(Key::Name("multi"), many);
    out.boolean(Key::Name("upsert"), upsert);
    out.elements(options)?;
    out.end(root);
    Ok(())
}
