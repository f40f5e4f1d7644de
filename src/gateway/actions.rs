//! The actions: a parsed request ► MongoDB ► the answer's body.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::Gateway;
use crate::codec::ejson::{self, Style};
use crate::codec::writer::{BsonWriter, Sink};
use crate::config::{collection_name, database_name};
use crate::cursor::Batch;
use crate::data_api::protocol::{Action, ErrorBody, answer_for};
use crate::driver::Namespace;
use crate::driver::aggregate::aggregate;
use crate::driver::bulk::{BulkOptions, insert_many};
use crate::driver::find::{Find, find, find_one};
use crate::driver::insert::{InsertOptions, insert_one};
use crate::driver::write::{Updated, delete, replace, update};
use crate::error::{Error, ErrorKind};
use crate::runtime::process;

/// MongoDB's own databases, which are not for applications.
const INTERNAL_DATABASES: [&str; 3] = ["admin", "config", "local"];

/// The most documents of one `insertMany`: what MongoDB takes in one command.
const MOST_DOCUMENTS: usize = 100_000;

pub(super) enum Answer {
    /// The whole answer.
    Whole(StatusCode, Vec<u8>),
    /// An answer that is written as its reader takes it.
    Stream(Body),
}

type Refusal = (StatusCode, ErrorBody);
type Outcome<T> = Result<T, Refusal>;

/// Carries an action out, and writes its answer in `style`.
pub(super) async fn run(
    gateway: &Arc<Gateway>,
    action: Action,
    request: &RawDocument,
    style: Style,
) -> Outcome<Answer> {
    let namespace = namespace(gateway, request)?;
    for name in ["filter", "projection", "sort", "update", "pipeline"] {
        if let Some(value) = value(request, name)? {
            forbidden(value)?;
        }
    }
    let refuse = |error: Error| {
        let (status, body) = answer_for(action, &error);
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
    };
    match action {
        Action::InsertOne => {
            let document = with_id(required_document(request, "document")?);
            let id = id_of(&document, style)?;
            insert_one(&gateway.mongodb, &namespace, document, InsertOptions::default()).await.map_err(refuse)?;
            Ok(Answer::Whole(StatusCode::CREATED, [br#"{"insertedId":"#, id.as_slice(), b"}"].concat()))
        }
        Action::InsertMany => {
            let documents = required_documents(request)?;
            let mut body = br#"{"insertedIds":["#.to_vec();
            for (place, document) in documents.iter().enumerate() {
                if place > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&id_of(document, style)?);
            }
            body.extend_from_slice(b"]}");
            // Not of Atlas's Data API, whose batches are ordered.
            let ordered = flag(request, "ordered")?.unwrap_or(true);
            let options = BulkOptions { ordered, ..BulkOptions::default() };
            insert_many(&gateway.mongodb, &namespace, documents, &options, None).await.map_err(refuse)?;
            Ok(Answer::Whole(StatusCode::CREATED, body))
        }
        Action::FindOne => {
            let query = query(request)?;
            let found = find_one(&gateway.mongodb, &namespace, query).await.map_err(refuse)?;
            let mut body = br#"{"document":"#.to_vec();
            match found {
                Some(found) => write_document(&mut body, &found, style).map_err(refuse)?,
                None => body.extend_from_slice(b"null"),
            }
            body.push(b'}');
            Ok(Answer::Whole(StatusCode::OK, body))
        }
        Action::Find => {
            let query = Find {
                sort: document(optional_document(request, "sort")?)?,
                skip: whole_number(request, "skip")?.map(u64::from),
                limit: whole_number(request, "limit")?.map(i64::from),
                ..query(request)?
            };
            let mongodb = Arc::clone(&gateway.mongodb);
            let batches = find(mongodb, Arc::new(namespace), query).await.map_err(refuse)?;
            documents(batches, style).await.map_err(refuse)
        }
        Action::UpdateOne | Action::UpdateMany => {
            let filter = document(Some(required_document(request, "filter")?))?.unwrap_or_default();
            let change = match value(request, "update")? {
                Some(RawBsonRef::Document(change)) => Bson::Document(document(Some(change))?.unwrap_or_default()),
                Some(RawBsonRef::Array(stages)) => {
                    Bson::Array(stages.try_into().map_err(|_| invalid("'update' cannot be read"))?)
                }
                Some(_) => return Err(invalid("'update' must be a document or an array")),
                None => return Err(missing("update")),
            };
            let options = doc! { "upsert": flag(request, "upsert")?.unwrap_or(false) };
            let many = action == Action::UpdateMany;
            let updated =
                update(&gateway.mongodb, &namespace, many, filter, change, options, None).await.map_err(refuse)?;
            answer_updated(updated, style)
        }
        Action::ReplaceOne => {
            let filter = document(Some(required_document(request, "filter")?))?.unwrap_or_default();
            let replacement = required_document(request, "replacement")?.to_owned();
            let options = doc! { "upsert": flag(request, "upsert")?.unwrap_or(false) };
            let updated =
                replace(&gateway.mongodb, &namespace, filter, replacement, options, None).await.map_err(refuse)?;
            answer_updated(updated, style)
        }
        Action::DeleteOne | Action::DeleteMany => {
            let filter = document(Some(required_document(request, "filter")?))?.unwrap_or_default();
            let many = action == Action::DeleteMany;
            let deleted =
                delete(&gateway.mongodb, &namespace, many, filter, Document::new(), None).await.map_err(refuse)?;
            let mut body = br#"{"deletedCount":"#.to_vec();
            write_count(&mut body, deleted, style)?;
            body.push(b'}');
            Ok(Answer::Whole(StatusCode::OK, body))
        }
        Action::Aggregate => {
            let pipeline = pipeline(request)?;
            let mongodb = Arc::clone(&gateway.mongodb);
            let batches =
                aggregate(mongodb, Arc::new(namespace), pipeline, Document::new(), None).await.map_err(refuse)?;
            documents(batches, style).await.map_err(refuse)
        }
    }
}

fn answer_updated(updated: Updated, style: Style) -> Outcome<Answer> {
    let mut body = br#"{"matchedCount":"#.to_vec();
    write_count(&mut body, updated.matched, style)?;
    body.extend_from_slice(br#","modifiedCount":"#);
    write_count(&mut body, updated.modified, style)?;
    if let Some(id) = updated.upserted {
        let holder = RawDocumentBuf::try_from(&doc! { "v": id }).map_err(|_| invalid("'_id' cannot be read"))?;
        let id = holder.get("v").ok().flatten().ok_or_else(|| invalid("'_id' cannot be read"))?;
        body.extend_from_slice(br#","upsertedId":"#);
        ejson::write_value(&mut body, id, style)
            .map_err(|error| (StatusCode::BAD_REQUEST, answer_for(Action::UpdateOne, &error).1))?;
    }
    body.push(b'}');
    Ok(Answer::Whole(StatusCode::OK, body))
}

/// A count, as the service wrote it: a number in JSON, an integer of 32 bits in EJSON.
fn write_count(out: &mut Vec<u8>, count: u64, style: Style) -> Outcome<()> {
    let count = match i32::try_from(count) {
        Ok(count) => RawBsonRef::Int32(count),
        Err(_) => RawBsonRef::Int64(i64::try_from(count).unwrap_or(i64::MAX)),
    };
    ejson::write_value(out, count, style).map_err(|_| invalid("a count cannot be written"))
}

fn flag(request: &RawDocument, name: &str) -> Outcome<Option<bool>> {
    match value(request, name)? {
        None => Ok(None),
        Some(RawBsonRef::Boolean(flag)) => Ok(Some(flag)),
        Some(_) => Err(invalid(format!("'{name}' must be a boolean"))),
    }
}

/// What runs code on the server, or writes elsewhere than the request says.
const FORBIDDEN: [&str; 5] = ["$where", "$function", "$accumulator", "$out", "$merge"];

/// Refuses what a key is not for.
fn forbidden(value: RawBsonRef<'_>) -> Outcome<()> {
    match value {
        RawBsonRef::Document(document) => document.iter().flatten().try_for_each(|(name, value)| {
            match FORBIDDEN.iter().find(|forbidden| **forbidden == name.as_str()) {
                Some(name) => {
                    let error = format!("'{name}' is not open through the Data API");
                    Err((StatusCode::FORBIDDEN, ErrorBody::new("OperationNotAllowed", error)))
                }
                None => forbidden(value),
            }
        }),
        RawBsonRef::Array(array) => array.into_iter().flatten().try_for_each(forbidden),
        _ => Ok(()),
    }
}

/// The stages of `aggregate`.
fn pipeline(request: &RawDocument) -> Outcome<Vec<Document>> {
    let stages: &RawArray = match value(request, "pipeline")? {
        Some(RawBsonRef::Array(stages)) => stages,
        Some(_) => return Err(invalid("'pipeline' must be an array")),
        None => return Err(missing("pipeline")),
    };
    let mut pipeline = Vec::new();
    for (place, stage) in stages.into_iter().enumerate() {
        let Ok(RawBsonRef::Document(stage)) = stage else {
            return Err(invalid(format!("'pipeline[{place}]' must be a document")));
        };
        pipeline.push(document(Some(stage))?.unwrap_or_default());
    }
    Ok(pipeline)
}

fn query(request: &RawDocument) -> Outcome<Find> {
    Ok(Find {
        filter: document(optional_document(request, "filter")?)?.unwrap_or_default(),
        projection: document(optional_document(request, "projection")?)?,
        ..Find::default()
    })
}

/// The answer that holds documents: written batch by batch, as its reader takes it.
async fn documents(mut batches: BoxStream<'static, Result<Batch, Error>>, style: Style) -> Result<Answer, Error> {
    // The first batch tells whether there is an answer at all.
    let mut begun = br#"{"documents":["#.to_vec();
    match batches.next().await {
        Some(batch) => write_batch(&mut begun, batch?, style, true)?,
        None => batches = stream::empty().boxed(),
    }
    let first = begun.ends_with(b"[");
    let rest = batches.scan(first, move |first, batch| {
        let mut out = Vec::new();
        let written = batch.and_then(|batch| write_batch(&mut out, batch, style, *first));
        *first &= out.is_empty();
        std::future::ready(Some(written.map(|()| out)))
    });
    let whole = stream::once(async { Ok(begun) }).chain(rest).chain(stream::once(async { Ok(b"]}".to_vec()) }));
    Ok(Answer::Stream(Body::from_stream(whole)))
}

fn write_batch(out: &mut Vec<u8>, mut batch: Batch, style: Style, mut first: bool) -> Result<(), Error> {
    while let Some(document) = batch.take_next() {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_document(out, document?, style)?;
    }
    Ok(())
}

/// Writes a document that was found. One that Extended JSON cannot tell from a
/// value of another type is refused: its reader would get something else.
fn write_document(out: &mut Vec<u8>, document: &RawDocument, style: Style) -> Result<(), Error> {
    if style == Style::Canonical
        && let Some(name) = ejson::wrapper_in(RawBsonRef::Document(document), 0)
    {
        let error = format!(
            "a document has one that begins with the field {name}, which Extended JSON cannot tell from another type: \
             ask for application/json, or read it through the driver"
        );
        return Err(Error::new(ErrorKind::InvalidBson, error));
    }
    ejson::write_document(out, document, style)
}

fn invalid(what: impl Into<String>) -> Refusal {
    (StatusCode::BAD_REQUEST, ErrorBody::new("InvalidParameter", what))
}

fn missing(name: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, ErrorBody::new("MissingParameter", format!("'{name}' is missing")))
}

fn namespace(gateway: &Gateway, request: &RawDocument) -> Outcome<Namespace> {
    let data_source = required_text(request, "dataSource")?;
    if gateway.data_source.as_ref().is_some_and(|served| *served != data_source) {
        return Err(invalid("this 'dataSource' is not served here"));
    }
    let database = required_text(request, "database")?;
    database_name(&database).map_err(|problem| invalid(format!("'database' {problem}")))?;
    if INTERNAL_DATABASES.contains(&database.as_str()) {
        let error = format!("the database '{database}' is MongoDB's own and not open through the Data API");
        return Err((StatusCode::FORBIDDEN, ErrorBody::new("InvalidParameter", error)));
    }
    let collection = required_text(request, "collection")?;
    collection_name(&collection).map_err(|problem| invalid(format!("'collection' {problem}")))?;
    Ok(Namespace::new(database, collection))
}

fn value<'r>(request: &'r RawDocument, name: &str) -> Outcome<Option<RawBsonRef<'r>>> {
    request.get(name).map_err(|_| invalid(format!("'{name}' cannot be read")))
}

fn required_text(request: &RawDocument, name: &str) -> Outcome<String> {
    match value(request, name)? {
        Some(RawBsonRef::String(text)) => Ok(text.to_owned()),
        Some(_) => Err(invalid(format!("'{name}' must be a string"))),
        None => Err(missing(name)),
    }
}

fn optional_document<'r>(request: &'r RawDocument, name: &str) -> Outcome<Option<&'r RawDocument>> {
    match value(request, name)? {
        Some(RawBsonRef::Document(document)) => Ok(Some(document)),
        Some(_) => Err(invalid(format!("'{name}' must be a document"))),
        None => Ok(None),
    }
}

fn required_document<'r>(request: &'r RawDocument, name: &str) -> Outcome<&'r RawDocument> {
    optional_document(request, name)?.ok_or_else(|| missing(name))
}

fn required_documents(request: &RawDocument) -> Outcome<Vec<RawDocumentBuf>> {
    let array: &RawArray = match value(request, "documents")? {
        Some(RawBsonRef::Array(array)) => array,
        Some(_) => return Err(invalid("'documents' must be an array")),
        None => return Err(missing("documents")),
    };
    let mut documents = Vec::new();
    for (place, element) in array.into_iter().enumerate() {
        if place == MOST_DOCUMENTS {
            return Err(invalid(format!(
                "'documents' has more than {MOST_DOCUMENTS} documents: send several requests"
            )));
        }
        match element {
            Ok(RawBsonRef::Document(document)) => documents.push(with_id(document)),
            _ => return Err(invalid(format!("'documents[{place}]' must be a document"))),
        }
    }
    if documents.is_empty() {
        return Err(invalid("'documents' must not be empty"));
    }
    Ok(documents)
}

/// A number as JSON has it: `10`, `10.0`, or one of EJSON's.
fn whole_number(request: &RawDocument, name: &str) -> Outcome<Option<u32>> {
    let number = match value(request, name)? {
        None => return Ok(None),
        Some(RawBsonRef::Int32(number)) => u32::try_from(number).ok(),
        Some(RawBsonRef::Int64(number)) => u32::try_from(number).ok(),
        Some(RawBsonRef::Double(number)) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) => {
            Some(number as u32)
        }
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| invalid(format!("'{name}' must be a whole number from 0 to {}", u32::MAX)))
}

fn document(raw: Option<&RawDocument>) -> Outcome<Option<bson::Document>> {
    raw.map(|raw| raw.try_into().map_err(|_| invalid("a document cannot be read"))).transpose()
}

/// The document with an `_id`, a new one if it has none, in front.
fn with_id(document: &RawDocument) -> RawDocumentBuf {
    if matches!(document.get("_id"), Ok(Some(_))) {
        return document.to_owned();
    }
    let mut out = BsonWriter::with_capacity(document.as_bytes().len() + 24);
    let written = out.root_document(document, Some(process().object_id().bytes()));
    // The document has been read once; it is BSON.
    match written.map(|()| RawDocumentBuf::from_bytes(out.buf)) {
        Ok(Ok(with_id)) => with_id,
        _ => document.to_owned(),
    }
}

fn id_of(document: &RawDocument, style: Style) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    let id = document.get("_id").ok().flatten().ok_or_else(|| invalid("'_id' cannot be read"))?;
    ejson::write_value(&mut out, id, style)
        .map_err(|error: Error| (StatusCode::BAD_REQUEST, answer_for(Action::InsertOne, &error).1))?;
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_put_in_front_of_what_has_none() {
        let document = with_id(&bson::rawdoc! {"a": 1});
        let names: Vec<_> = document.iter().map(|element| element.unwrap().0.as_str().to_owned()).collect();
        assert_eq!(names, ["_id", "a"]);
        let given = bson::rawdoc! {"a": 1, "_id": "x"};
        assert_eq!(with_id(&given), given);
    }
}
