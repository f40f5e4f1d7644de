//! `insertOne`, `insertMany`, `updateOne`, `updateMany`, `replaceOne`, `deleteOne` and `deleteMany`.

use std::sync::Arc;

use axum::http::StatusCode;
use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument, RawDocumentBuf, doc};

use super::{ActionContext, ActionResponse, decode};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::ejson::{self, Style};
use crate::codec::writer::{BsonWriter, Sink};
use crate::driver::bulk::{BulkOptions, insert_many, inserts};
use crate::driver::insert::{InsertOptions, insert_merged, insert_one};
use crate::driver::write::{RawUpdate, Updated, delete, delete_raw, replace, update, update_raw};
use crate::error::{Error, ErrorKind};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::request::{Options, Update};
use crate::runtime::process;

/// The size from which the memory of a document matters after its client has disconnected, in bytes.
const LARGE_DOCUMENT: usize = 64 * 1024;
/// The maximum number of documents of an `insertMany`: MongoDB's limit for one command.
const MAX_DOCUMENTS: usize = 100_000;

impl ActionContext<'_> {
    pub(super) async fn insert_one(&self, document: &RawDocument, options: &Options<'_>) -> ApiResult<ActionResponse> {
        let document = within_limit(with_id(document), || "document".to_owned())?;
        let mut body = Vec::with_capacity(64);
        body.extend_from_slice(br#"{"insertedId":"#);
        write_id(&mut body, &document, self.style)?;
        body.push(b'}');
        let (client, namespace) = (self.client, &self.target.namespace);
        // Inserts with a comment, and those of a transaction, are commands of their own.
        let merged = self.comment.is_none()
            && self.is_plain(options)
            && client.settings().coalesce
            && client.acknowledges(namespace, None);
        let inserted = match merged {
            true if document.as_bytes().len() >= LARGE_DOCUMENT => {
                let (client, namespace, memory) =
                    (Arc::clone(client), Arc::clone(namespace), Arc::clone(self.reservation));
                // If the client disconnects, the insert and its memory remain.
                let inserting = tokio::spawn(async move {
                    let inserted = insert_merged(&client, &namespace, document).await;
                    drop(memory);
                    inserted
                });
                inserting.await.unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::InvalidOperation, "internal error of the gateway: please report it"))
                })
            }
            true => insert_merged(client, namespace, document).await,
            false => {
                let comment = self.command_options(options)?.remove("comment");
                let options = InsertOptions { comment, session: self.session.clone(), ..InsertOptions::default() };
                insert_one(client, namespace, document, options).await
            }
        };
        inserted.map_err(|error| self.error_response(&error))?;
        Ok(ActionResponse::Complete(StatusCode::CREATED, body))
    }

    pub(super) async fn insert_many(
        &self,
        documents: &RawArray,
        ordered: bool,
        options: &Options<'_>,
    ) -> ApiResult<ActionResponse> {
        let documents = documents_with_ids(documents)?;
        let mut body = br#"{"insertedIds":["#.to_vec();
        for (index, document) in documents.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            write_id(&mut body, document, self.style)?;
        }
        body.extend_from_slice(b"]}");
        let options = BulkOptions { ordered, more: self.command_options(options)? };
        let (client, namespace, session) = (self.client, &self.target.namespace, self.session.as_deref());
        let inserted = insert_many(client, namespace, &inserts(&documents), &options, session).await;
        inserted.map_err(|error| self.error_response(&error))?;
        Ok(ActionResponse::Complete(StatusCode::CREATED, body))
    }

    pub(super) async fn update(
        &self,
        many: bool,
        filter: &RawDocument,
        change: Update<'_>,
        upsert: bool,
        options: &Options<'_>,
    ) -> ApiResult<ActionResponse> {
        if !self.is_plain(options) {
            let (client, namespace) = (self.client, &self.target.namespace);
            let given = self.statement_options(options, upsert)?;
            let (filter, change) = (decode(filter)?, decode_update(change)?);
            let updated = update(client, namespace, many, filter, change, given, self.session.clone());
            return self.updated(Box::pin(updated).await);
        }
        let (change, comment) = (change.value(), self.comment.as_ref());
        self.send_update(RawUpdate { many, filter, change, replaces: false, upsert, comment }).await
    }

    pub(super) async fn replace(
        &self,
        filter: &RawDocument,
        replacement: &RawDocument,
        upsert: bool,
        options: &Options<'_>,
    ) -> ApiResult<ActionResponse> {
        if !self.is_plain(options) {
            let (client, namespace) = (self.client, &self.target.namespace);
            let given = self.statement_options(options, upsert)?;
            let (filter, replacement) = (decode(filter)?, replacement.to_owned());
            let updated = replace(client, namespace, filter, replacement, given, self.session.clone());
            return self.updated(Box::pin(updated).await);
        }
        let (change, comment) = (RawBsonRef::Document(replacement), self.comment.as_ref());
        self.send_update(RawUpdate { many: false, filter, change, replaces: true, upsert, comment }).await
    }

    async fn send_update(&self, call: RawUpdate<'_>) -> ApiResult<ActionResponse> {
        self.updated(update_raw(self.client, &self.target.namespace, call).await)
    }

    fn updated(&self, updated: Result<Updated, Error>) -> ApiResult<ActionResponse> {
        update_response(updated.map_err(|error| self.error_response(&error))?, self.style)
    }

    fn statement_options(&self, options: &Options<'_>, upsert: bool) -> ApiResult<Document> {
        let mut given = self.command_options(options)?;
        given.insert("upsert", upsert);
        Ok(given)
    }

    pub(super) async fn delete(
        &self,
        many: bool,
        filter: &RawDocument,
        options: &Options<'_>,
    ) -> ApiResult<ActionResponse> {
        let (client, namespace) = (self.client, &self.target.namespace);
        let deleted = match self.is_plain(options) {
            true => delete_raw(client, namespace, many, filter, self.comment.as_ref()).await,
            false => {
                let (filter, given) = (decode(filter)?, self.command_options(options)?);
                Box::pin(delete(client, namespace, many, filter, given, self.session.clone())).await
            }
        };
        let mut body = br#"{"deletedCount":"#.to_vec();
        write_count(&mut body, deleted.map_err(|error| self.error_response(&error))?, self.style)?;
        body.push(b'}');
        Ok(ActionResponse::Complete(StatusCode::OK, body))
    }
}

/// Decodes an update.
pub(super) fn decode_update(update: Update<'_>) -> ApiResult<Bson> {
    Bson::try_from(update.value()).map_err(|_| ApiError::unreadable())
}

fn update_response(updated: Updated, style: Style) -> ApiResult<ActionResponse> {
    let mut body = br#"{"matchedCount":"#.to_vec();
    write_count(&mut body, updated.matched, style)?;
    body.extend_from_slice(br#","modifiedCount":"#);
    write_count(&mut body, updated.modified, style)?;
    if let Some(id) = updated.upserted {
        body.extend_from_slice(br#","upsertedId":"#);
        write_bson(&mut body, id, style)?;
    }
    body.push(b'}');
    Ok(ActionResponse::Complete(StatusCode::OK, body))
}

/// Writes a value that is not encoded yet.
pub(super) fn write_bson(out: &mut Vec<u8>, value: Bson, style: Style) -> ApiResult<()> {
    let holder = RawDocumentBuf::try_from(&doc! { "v": value }).map_err(|_| unreadable_id())?;
    let value = holder.get("v").ok().flatten().ok_or_else(unreadable_id)?;
    ejson::write_value(out, value, style).map_err(|error| ApiError::invalid(error.message))
}

/// Writes a count as Atlas did: a number in JSON, a 32-bit integer in EJSON.
pub(super) fn write_count(out: &mut Vec<u8>, count: u64, style: Style) -> ApiResult<()> {
    let count = match i32::try_from(count) {
        Ok(count) => RawBsonRef::Int32(count),
        Err(_) => RawBsonRef::Int64(i64::try_from(count).unwrap_or(i64::MAX)),
    };
    ejson::write_value(out, count, style).map_err(|_| ApiError::invalid("a count cannot be written"))
}

fn documents_with_ids(array: &RawArray) -> ApiResult<Vec<RawDocumentBuf>> {
    let mut documents = Vec::new();
    for (index, element) in array.into_iter().enumerate() {
        if index == MAX_DOCUMENTS {
            return Err(ApiError::invalid(format!(
                "'documents' has more than {MAX_DOCUMENTS} documents: send several requests"
            )));
        }
        match element {
            Ok(RawBsonRef::Document(document)) => {
                documents.push(within_limit(with_id(document), || format!("documents[{index}]"))?);
            }
            _ => return Err(ApiError::invalid(format!("'documents[{index}]' must be a document"))),
        }
    }
    if documents.is_empty() {
        return Err(ApiError::invalid("'documents' must not be empty"));
    }
    Ok(documents)
}

/// Rejects a document that MongoDB does not store.
pub(super) fn within_limit(document: RawDocumentBuf, name: impl FnOnce() -> String) -> ApiResult<RawDocumentBuf> {
    if document.as_bytes().len() <= MAX_DOCUMENT_SIZE {
        return Ok(document);
    }
    Err(ApiError::too_large(format!("'{}' is larger than {MAX_DOCUMENT_SIZE} bytes", name())))
}

/// Returns the document with an `_id`. If it has none, a new one is inserted as the first field.
pub(super) fn with_id(document: &RawDocument) -> RawDocumentBuf {
    if matches!(document.get("_id"), Ok(Some(_))) {
        return document.to_owned();
    }
    let mut out = BsonWriter::with_capacity(document.as_bytes().len() + 24);
    let written = out.root_document(document, Some(process().object_id().bytes()));
    // The parser has already validated the document.
    match written.map(|()| RawDocumentBuf::from_bytes(out.buf)) {
        Ok(Ok(with_id)) => with_id,
        _ => document.to_owned(),
    }
}

pub(super) fn write_id(out: &mut Vec<u8>, document: &RawDocument, style: Style) -> ApiResult<()> {
    let id = document.get("_id").ok().flatten().ok_or_else(unreadable_id)?;
    ejson::write_value(out, id, style).map_err(|error| ApiError::invalid(error.message))
}

fn unreadable_id() -> ApiError {
    ApiError::invalid("'_id' cannot be read")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_id_is_inserted_as_the_first_field() {
        let document = with_id(&bson::rawdoc! {"a": 1});
        let names: Vec<_> = document.iter().map(|element| element.unwrap().0.as_str().to_owned()).collect();
        assert_eq!(names, ["_id", "a"]);
        let given = bson::rawdoc! {"a": 1, "_id": "x"};
        assert_eq!(with_id(&given), given);
    }
}
