//! The actions: a parsed request ► MongoDB ► the answer's body.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::Gateway;
use super::access::{self, Access, LONGEST_NAMESPACE, Target, Walk, not_internal};
use super::http::{Refused, refused};
use super::permission::{Caller, Right};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::ejson::{self, Style};
use crate::codec::writer::{BsonWriter, Sink};
use crate::config::{collection_name, database_name};
use crate::cursor::Batch;
use crate::data_api::protocol::{Action, answer_for};
use crate::driver::aggregate::aggregate;
use crate::driver::bulk::{BulkOptions, insert_many};
use crate::driver::find::{Find, find, find_one};
use crate::driver::insert::{InsertOptions, insert_one};
use crate::driver::write::{Updated, delete, replace, update};
use crate::driver::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, excerpt};
use crate::runtime::process;

/// The most documents of one `insertMany`: what MongoDB takes in one command.
const MOST_DOCUMENTS: usize = 100_000;

pub(super) enum Answer {
    /// The whole answer.
    Whole(StatusCode, Vec<u8>),
    /// An answer that is written as its reader takes it.
    Stream(Body),
}

type Outcome<T> = Result<T, Refused>;

/// A request, once it is known whose it is.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) caller: &'a Caller,
    pub(super) action: Action,
    pub(super) style: Style,
    /// What MongoDB's log shows of it.
    pub(super) comment: Option<Bson>,
}

/// What a request is about.
pub(super) struct Place {
    pub(super) data_source: String,
    pub(super) namespace: Arc<Namespace>,
    mongodb: Arc<DriverClient>,
}

/// An update, as MongoDB takes it.
enum Change<'r> {
    Operators(&'r RawDocument),
    Pipeline(&'r RawArray),
}

/// A request whose parts are of the types that MongoDB takes.
pub(super) struct Parts<'r> {
    request: &'r RawDocument,
    filter: Option<&'r RawDocument>,
    projection: Option<&'r RawDocument>,
    sort: Option<&'r RawDocument>,
    update: Option<Change<'r>>,
    pipeline: Option<&'r RawArray>,
}

/// A request that the caller may make: the only one that [`run`] takes.
pub(super) struct Checked<'r>(Parts<'r>);

/// The fields of a request; others are not looked at and not sent.
const FIELDS: [&str; 15] = [
    "dataSource",
    "database",
    "collection",
    "document",
    "documents",
    "filter",
    "limit",
    "ordered",
    "pipeline",
    "projection",
    "replacement",
    "skip",
    "sort",
    "update",
    "upsert",
];

impl<'r> Parts<'r> {
    /// The parts of a request that its action sends and that MongoDB evaluates.
    pub(super) fn of(action: Action, request: &'r RawDocument) -> Outcome<Self> {
        let mut parts = Self { request, filter: None, projection: None, sort: None, update: None, pipeline: None };
        match action {
            Action::InsertOne | Action::InsertMany => {}
            Action::FindOne | Action::Find => {
                parts.filter = optional_document(request, "filter")?;
                parts.projection = optional_document(request, "projection")?;
                if action == Action::Find {
                    parts.sort = optional_document(request, "sort")?;
                }
            }
            Action::UpdateOne | Action::UpdateMany => {
                parts.filter = Some(required_document(request, "filter")?);
                parts.update = Some(match value(request, "update")? {
                    Some(RawBsonRef::Document(operators)) => Change::Operators(operators),
                    Some(RawBsonRef::Array(stages)) => Change::Pipeline(stages),
                    Some(_) => return Err(invalid("'update' must be a document or an array")),
                    None => return Err(missing("update")),
                });
            }
            Action::ReplaceOne | Action::DeleteOne | Action::DeleteMany => {
                parts.filter = Some(required_document(request, "filter")?);
            }
            Action::Aggregate => {
                parts.pipeline = Some(match value(request, "pipeline")? {
                    Some(RawBsonRef::Array(stages)) => stages,
                    Some(_) => return Err(invalid("'pipeline' must be an array")),
                    None => return Err(missing("pipeline")),
                });
            }
        }
        Ok(parts)
    }

    /// The parts by their names.
    fn values(&self) -> impl Iterator<Item = (&'static str, RawBsonRef<'r>)> {
        let document = |document: Option<&'r RawDocument>| document.map(RawBsonRef::Document);
        let update = self.update.as_ref().map(|update| match update {
            Change::Operators(operators) => RawBsonRef::Document(operators),
            Change::Pipeline(stages) => RawBsonRef::Array(stages),
        });
        let parts = [
            ("filter", document(self.filter)),
            ("projection", document(self.projection)),
            ("sort", document(self.sort)),
            ("update", update),
            ("pipeline", self.pipeline.map(RawBsonRef::Array)),
        ];
        parts.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)))
    }

    /// The memory that these parts take once they are read.
    pub(super) fn memory(&self) -> Outcome<usize> {
        // What a field of a `Document` takes: its name, its place in the map, and its value.
        const ELEMENT: usize = 224;
        let mut elements = 0;
        for (name, value) in self.values() {
            let size = match value {
                RawBsonRef::Document(document) => document.as_bytes().len(),
                RawBsonRef::Array(array) => array.as_bytes().len(),
                _ => 0,
            };
            if size > MAX_DOCUMENT_SIZE {
                let error = format!("'{name}' is larger than {MAX_DOCUMENT_SIZE} bytes");
                return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "InvalidParameter", error));
            }
            elements += access::elements(value)?;
        }
        Ok(elements * ELEMENT)
    }

    fn filter(&self) -> Outcome<Document> {
        Ok(document(self.filter)?.unwrap_or_default())
    }
}

/// Carries an action out, and writes its answer.
pub(super) async fn run(call: &Call<'_>, place: &Place, Checked(parts): &Checked<'_>) -> Outcome<Answer> {
    let Place { namespace, mongodb, .. } = place;
    let request = parts.request;
    let (action, style) = (call.action, call.style);
    let refuse = |error: Error| call.refuse(place, &error);
    match action {
        Action::InsertOne => {
            let document = with_id(required_document(request, "document")?);
            let id = id_of(&document, style)?;
            let options = InsertOptions { comment: call.comment.clone(), ..InsertOptions::default() };
            insert_one(mongodb, namespace, document, options).await.map_err(refuse)?;
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
            let options = BulkOptions { ordered, more: call.options() };
            insert_many(mongodb, namespace, documents, &options, None).await.map_err(refuse)?;
            Ok(Answer::Whole(StatusCode::CREATED, body))
        }
        Action::FindOne => {
            let query = call.query(parts)?;
            let found = find_one(mongodb, namespace, query).await.map_err(refuse)?;
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
                sort: document(parts.sort)?,
                skip: whole_number(request, "skip")?.map(u64::from),
                limit: call.limit(whole_number(request, "limit")?)?,
                ..call.query(parts)?
            };
            let batches = find(Arc::clone(mongodb), Arc::clone(namespace), query).await.map_err(refuse)?;
            call.documents(place, batches).await
        }
        Action::UpdateOne | Action::UpdateMany => {
            let filter = parts.filter()?;
            let change = match parts.update.as_ref().ok_or_else(|| missing("update"))? {
                Change::Operators(operators) => Bson::Document(document(Some(operators))?.unwrap_or_default()),
                Change::Pipeline(stages) => {
                    Bson::Array((*stages).try_into().map_err(|_| invalid("'update' cannot be read"))?)
                }
            };
            let mut options = doc! { "upsert": flag(request, "upsert")?.unwrap_or(false) };
            options.extend(call.options());
            let many = action == Action::UpdateMany;
            let updated = update(mongodb, namespace, many, filter, change, options, None).await.map_err(refuse)?;
            answer_updated(updated, style)
        }
        Action::ReplaceOne => {
            let filter = parts.filter()?;
            let replacement = required_document(request, "replacement")?.to_owned();
            let mut names = replacement.iter().map(|field| field.map(|(name, _)| name.as_str().starts_with('$')));
            if names.any(|operator| operator.unwrap_or(true)) {
                return Err(invalid("'replacement' must not have update operators, such as $set: use updateOne"));
            }
            let mut options = doc! { "upsert": flag(request, "upsert")?.unwrap_or(false) };
            options.extend(call.options());
            let updated = replace(mongodb, namespace, filter, replacement, options, None).await.map_err(refuse)?;
            answer_updated(updated, style)
        }
        Action::DeleteOne | Action::DeleteMany => {
            let filter = parts.filter()?;
            let many = action == Action::DeleteMany;
            let deleted = delete(mongodb, namespace, many, filter, call.options(), None).await.map_err(refuse)?;
            let mut body = br#"{"deletedCount":"#.to_vec();
            write_count(&mut body, deleted, style)?;
            body.push(b'}');
            Ok(Answer::Whole(StatusCode::OK, body))
        }
        Action::Aggregate => {
            let pipeline = pipeline(parts.pipeline.ok_or_else(|| missing("pipeline"))?)?;
            let mut options = call.options();
            options.insert("maxTimeMS", call.max_time().as_millis() as i64);
            let batches =
                aggregate(Arc::clone(mongodb), Arc::clone(namespace), pipeline, options, None).await.map_err(refuse)?;
            call.documents(place, batches).await
        }
    }
}

impl Call<'_> {
    /// What the request is about, if that is served and open.
    pub(super) fn place(&self, request: &RawDocument) -> Outcome<Place> {
        each_once(request)?;
        let data_source = required_text(request, "dataSource")?;
        let Some(mongodb) = self.gateway.clients.named(&data_source) else {
            return Err(invalid("this 'dataSource' is not served here"));
        };
        let database = required_text(request, "database")?;
        database_name(&database).map_err(|problem| invalid(format!("'database' {problem}")))?;
        let collection = required_text(request, "collection")?;
        collection_name(&collection).map_err(|problem| invalid(format!("'collection' {problem}")))?;
        // As MongoDB has it, and so that what is logged has a bound.
        if data_source.len() > 128 || database.len() + 1 + collection.len() > LONGEST_NAMESPACE {
            return Err(invalid(format!("a namespace has at most {LONGEST_NAMESPACE} bytes, and a 'dataSource' 128")));
        }
        not_internal(&database, &collection)?;
        Ok(Place {
            data_source,
            namespace: Arc::new(Namespace::new(database, collection)),
            mongodb: Arc::clone(mongodb),
        })
    }

    /// Refuses a request in a collection that is not the caller's.
    pub(super) fn admit(&self, place: &Place) -> Outcome<()> {
        let right = if self.action.writes() { Right::Write } else { Right::Read };
        let Namespace { database, collection, .. } = &*place.namespace;
        self.allowed(right, place, Target { database, collection })
    }

    /// Refuses what the caller may not do.
    pub(super) fn check<'r>(&self, place: &Place, parts: Parts<'r>) -> Outcome<Checked<'r>> {
        let access = |access: Access<'_>| match access {
            Access::Read(target) => self.allowed(Right::Read, place, target),
            Access::Write(target) => self.allowed(Right::Write, place, target),
            Access::Use(right, name) => self.needs(right, place, name),
        };
        let walk = Walk { database: &place.namespace.database, access: &access };
        for (name, value) in parts.values() {
            match value {
                RawBsonRef::Array(stages) if name == "pipeline" => walk.aggregation(stages)?,
                RawBsonRef::Array(stages) => walk.update_pipeline(stages)?,
                other => walk.value(other)?,
            }
        }
        if let Some(Change::Operators(operators)) = parts.update {
            let mut names = operators.iter().map(|field| field.map(|(name, _)| name.as_str().starts_with('$')));
            if operators.is_empty() || !names.all(|operator| operator.unwrap_or(false)) {
                return Err(invalid("'update' must have update operators, such as $set, and nothing else"));
            }
        }
        Ok(Checked(parts))
    }

    fn needs(&self, right: Right, place: &Place, name: &str) -> Outcome<()> {
        let Namespace { database, collection, .. } = &*place.namespace;
        if self.caller.may(right, &place.data_source, database, collection) {
            return Ok(());
        }
        let name = excerpt(name, 64);
        let error = format!("'{name}' needs the right to {right} in {database}.{collection}");
        Err(refused(StatusCode::FORBIDDEN, "OperationNotAllowed", error))
    }

    fn allowed(&self, right: Right, place: &Place, target: Target<'_>) -> Outcome<()> {
        let Target { database, collection } = target;
        if self.caller.may(right, &place.data_source, database, collection) {
            return Ok(());
        }
        let error = format!("this key has no right to {right} in {database}.{collection}");
        Err(refused(StatusCode::FORBIDDEN, "NoMatchingRuleFound", error))
    }

    fn refuse(&self, place: &Place, error: &Error) -> Refused {
        let (status, mut body) = answer_for(self.action, error);
        // Where MongoDB is, is for the log alone.
        match error.kind {
            ErrorKind::ServerSelectionTimeout | ErrorKind::AutoReconnect | ErrorKind::NetworkTimeout => {
                self.gateway.observer.say_seldom("warning", &body.error);
                body.error = format!("{} failed: MongoDB cannot be reached: try again later", self.action);
            }
            _ => body.error = body.error.replace(&format!(" at {}", place.mongodb.settings().hosts), ""),
        }
        if let Some(details) = &mut body.details
            && let Ok(mut shown) = Document::try_from(&*details)
        {
            for hidden in ["$clusterTime", "operationTime", "electionId", "opTime"] {
                shown.remove(hidden);
            }
            body.details = RawDocumentBuf::try_from(&shown).ok();
        }
        Refused::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
    }

    /// How long MongoDB may work on it.
    fn max_time(&self) -> Duration {
        self.gateway.limits.request
    }

    /// Options that all commands have.
    fn options(&self) -> Document {
        self.comment.clone().map_or_else(Document::new, |comment| doc! { "comment": comment })
    }

    fn query(&self, parts: &Parts<'_>) -> Outcome<Find> {
        Ok(Find {
            filter: parts.filter()?,
            projection: document(parts.projection)?,
            max_time: Some(self.max_time()),
            comment: self.comment.clone(),
            ..Find::default()
        })
    }

    /// The `limit` of a `find`, within the most that there may be.
    fn limit(&self, asked: Option<u32>) -> Outcome<Option<i64>> {
        match (asked.filter(|limit| *limit > 0), self.gateway.limits.documents) {
            (Some(asked), Some(most)) if u64::from(asked) > most => {
                Err(invalid(format!("'limit' is more than {most}: ask for the rest with 'skip'")))
            }
            (asked, _) => Ok(asked.map(i64::from)),
        }
    }

    /// The answer that holds documents: written batch by batch, as its reader takes it.
    async fn documents(&self, place: &Place, mut batches: BoxStream<'static, Result<Batch, Error>>) -> Outcome<Answer> {
        let (style, patience) = (self.style, self.max_time());
        let room = self.gateway.room.clone();
        let mut count = Count { most: self.gateway.limits.documents, documents: 0 };
        // The first batch tells whether there is an answer at all.
        let mut begun = br#"{"documents":["#.to_vec();
        match batches.next().await {
            Some(batch) => {
                let batch = batch.map_err(|error| self.refuse(place, &error))?;
                count.write(&mut begun, batch, style).map_err(|error| self.refuse(place, &error))?;
            }
            None => batches = stream::empty().boxed(),
        }
        let begun = room.hold(begun)?;
        let rest = stream::unfold((batches, count, room), move |(mut batches, mut count, room)| async move {
            let batch = match tokio::time::timeout(patience, batches.next()).await {
                Ok(batch) => batch?,
                Err(_) => Err(Error::new(ErrorKind::ExecutionTimeout, "the next documents took too long")),
            };
            let mut out = Vec::new();
            let part = match batch.and_then(|batch| count.write(&mut out, batch, style)) {
                Ok(()) => Ok(room.held(out).await),
                Err(error) => Err(error),
            };
            Some((part, (batches, count, room)))
        });
        let end = stream::once(async { Ok(Bytes::from_static(b"]}")) });
        let whole = stream::once(async { Ok(begun) }).chain(rest).chain(end);
        Ok(Answer::Stream(Body::from_stream(whole)))
    }
}

/// The documents that an answer has so far.
struct Count {
    most: Option<u64>,
    documents: u64,
}

impl Count {
    fn write(&mut self, out: &mut Vec<u8>, mut batch: Batch, style: Style) -> Result<(), Error> {
        while let Some(document) = batch.take_next() {
            if self.most == Some(self.documents) {
                let error = format!("the answer has more than {} documents: ask with a limit", self.documents);
                return Err(Error::new(ErrorKind::InvalidBson, error));
            }
            if self.documents > 0 {
                out.push(b',');
            }
            self.documents += 1;
            write_document(out, document?, style)?;
        }
        Ok(())
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
        ejson::write_value(&mut body, id, style).map_err(|error| invalid(error.message))?;
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

/// The stages of `aggregate`.
fn pipeline(stages: &RawArray) -> Outcome<Vec<Document>> {
    let mut pipeline = Vec::new();
    for (place, stage) in stages.into_iter().enumerate() {
        let Ok(RawBsonRef::Document(stage)) = stage else {
            return Err(invalid(format!("'pipeline[{place}]' must be a document")));
        };
        pipeline.push(document(Some(stage))?.unwrap_or_default());
    }
    Ok(pipeline)
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

fn invalid(what: impl Into<String>) -> Refused {
    refused(StatusCode::BAD_REQUEST, "InvalidParameter", what)
}

fn missing(name: &str) -> Refused {
    refused(StatusCode::BAD_REQUEST, "MissingParameter", format!("'{name}' is missing"))
}

/// Refuses a request that has a field twice: of the two, a server in front may read the other.
fn each_once(request: &RawDocument) -> Outcome<()> {
    let mut seen = [false; FIELDS.len()];
    for field in request {
        let (name, _) = field.map_err(|_| invalid("the body cannot be read"))?;
        let Some(place) = FIELDS.iter().position(|known| *known == name.as_str()) else { continue };
        if std::mem::replace(&mut seen[place], true) {
            return Err(invalid(format!("'{}' is given more than once", FIELDS[place])));
        }
    }
    Ok(())
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
    ejson::write_value(&mut out, id, style).map_err(|error: Error| invalid(error.message))?;
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
