//! `aggregate`, `count_documents`, `estimated_document_count` and `distinct`.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, empty};
use mongodb::options::{AggregateOptions, CountOptions, DistinctOptions, EstimatedDocumentCountOptions};

use super::bulk::raw;
use super::error::{Attempt, Attempted};
use super::reply_check::CursorCheck;
use super::retryable::UnsentRetry;
use super::session::{Session, batches, opened, send};
use super::time_limit::max_time;
use super::write::options;
use super::{DriverClient, Namespace, unacknowledged};
use crate::batch_stream::Batch;
use crate::concern::write_concern_document;
use crate::error::{Error, ErrorKind, Result};

/// Returns `maxTimeMS`, which not all of the driver's option types deserialize.
fn given_max_time(given: &Document) -> Option<Duration> {
    let millis = match given.get("maxTimeMS")? {
        Bson::Int32(millis) => u64::try_from(*millis).ok(),
        Bson::Int64(millis) => u64::try_from(*millis).ok(),
        _ => None,
    };
    millis.map(Duration::from_millis)
}

/// Returns the documents of a pipeline in batches.
///
/// # Errors
/// Those of any command.
pub async fn aggregate(
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    pipeline: Vec<Document>,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<BoxStream<'static, Result<Batch>>> {
    const DOING: &str = "aggregate in";
    let attempt = Attempt { doing: DOING, namespace: &namespace, settings: client.settings() };
    let limit = given_max_time(&given);
    let writes = pipeline.iter().any(|stage| stage.contains_key("$out") || stage.contains_key("$merge"));
    if writes && !client.acknowledges(&namespace, session.as_deref()) {
        send_unacknowledged(&client, &attempt, pipeline, given, session.as_deref()).await?;
        return Ok(empty().boxed());
    }
    let mut given = options::<AggregateOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection_in(&namespace, &attempt, session.as_deref()).await?;
    let action = || {
        let mut given = given.clone();
        given.max_time = max_time(given.max_time);
        collection.aggregate(pipeline.clone()).with_options(given)
    };
    let retry = match writes {
        true => UnsentRetry::new(&client),
        false => UnsentRetry::of_read(&client, session.as_deref()),
    };
    let source = opened!(session, &client, &attempt, retry, action());
    let cursor = CursorCheck::of_collection(&namespace);
    Ok(batches(Arc::clone(&client), Arc::clone(&namespace), DOING, source, cursor))
}

/// Runs a pipeline that writes, without the server's acknowledgment.
async fn send_unacknowledged(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    pipeline: Vec<Document>,
    given: Document,
    session: Option<&Session>,
) -> Result<()> {
    let namespace = attempt.namespace;
    let connected = client.connected(attempt).await?;
    let concern = connected.write_concern_of(namespace);
    unacknowledged::check_session(session, concern)?;
    if given.contains_key("collation") {
        return Err(unacknowledged::unsupported("Collation"));
    }
    let mut command = doc! { "aggregate": &namespace.collection, "pipeline": pipeline, "cursor": {} };
    command.extend(given.into_iter().filter(|(name, _)| !["batchSize", "maxAwaitTimeMS"].contains(&name.as_str())));
    if let Some(concern) = &namespace.concerns.read_concern {
        let unreadable = |error: bson::error::Error| Error::new(ErrorKind::InvalidBson, error.to_string());
        command.insert("readConcern", bson::serialize_to_document(concern).map_err(unreadable)?);
    }
    command.extend(concern.and_then(write_concern_document).map(|concern| ("writeConcern".to_owned(), concern.into())));
    let database = connected.client.database(&namespace.database);
    unacknowledged::send(client, attempt, &database, raw(&command)?).await.map(drop)
}

/// Returns the number of matching documents.
///
/// # Errors
/// Those of any command.
pub async fn count(
    client: &DriverClient,
    namespace: &Namespace,
    filter: Document,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<u64> {
    let attempt = Attempt { doing: "count in", namespace, settings: client.settings() };
    let limit = given_max_time(&given);
    let mut given = options::<CountOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    let action = || {
        let mut given = given.clone();
        given.max_time = max_time(given.max_time);
        collection.count_documents(filter.clone()).with_options(given)
    };
    let retry = UnsentRetry::of_read(client, session.as_deref());
    send!(session, client, &attempt, retry, action()).attempted(&attempt)
}

/// Returns the number of documents according to the collection's metadata.
///
/// # Errors
/// Those of any command.
pub async fn estimated_count(client: &DriverClient, namespace: &Namespace, given: Document) -> Result<u64> {
    let attempt = Attempt { doing: "count in", namespace, settings: client.settings() };
    let limit = given_max_time(&given);
    let mut given = options::<EstimatedDocumentCountOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection(namespace, &attempt).await?;
    let mut retry = UnsentRetry::of_read(client, None);
    loop {
        given.max_time = max_time(limit.or(given.max_time));
        match client.limited(false, collection.estimated_document_count().with_options(given.clone())).await {
            Err(error) if retry.should_resend(&error).await => {}
            counted => return counted.attempted(&attempt),
        }
    }
}

/// Returns the distinct values of a field in the matching documents.
///
/// # Errors
/// Those of any command.
pub async fn distinct(
    client: &DriverClient,
    namespace: &Namespace,
    field: &str,
    filter: Document,
    given: Document,
    session: Option<Arc<Session>>,
) -> Result<Vec<Bson>> {
    let attempt = Attempt { doing: "find in", namespace, settings: client.settings() };
    let limit = given_max_time(&given);
    let mut given = options::<DistinctOptions>(given)?;
    given.max_time = limit.or(given.max_time);
    let collection = client.collection_in(namespace, &attempt, session.as_deref()).await?;
    let action = || {
        let mut given = given.clone();
        given.max_time = max_time(given.max_time);
        collection.distinct(field, filter.clone()).with_options(given)
    };
    let retry = UnsentRetry::of_read(client, session.as_deref());
    send!(session, client, &attempt, retry, action()).attempted(&attempt)
}
