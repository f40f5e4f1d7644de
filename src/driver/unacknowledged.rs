//! Unacknowledged writes: those with the write concern `w: 0`.
//!
//! The driver has none: it always requests a reply, and always sends a session ID. So [`send`] sends the command with
//! the write concern in a session of the driver's own, without a transaction number, and ignores the reply. The caller
//! only learns that the command could not be sent. What MongoDB's drivers refuse with such a write is refused here.

use bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::error::{Error as DriverError, ErrorKind as DriverErrorKind, SYSTEM_OVERLOADED_ERROR};
use mongodb::options::WriteConcern;
use mongodb::{Database, ServerType};

use super::DriverClient;
use super::error::Attempt;
use super::retryable::UnsentRetry;
use super::session::Session;
use super::size::{too_large, within};
use crate::codec::{MAX_COMMAND_SIZE, MAX_DOCUMENT_SIZE};
use crate::concern::unacknowledged_repr;
use crate::error::{Error, ErrorKind, Result};

/// The wire version of MongoDB 8.0.
const MONGODB_8_0: i32 = 25;

/// Returns the error for an option that drivers refuse to send.
pub(super) fn unsupported(option: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("{option} is unsupported for unacknowledged writes."))
}

/// Returns the error for `bypassDocumentValidation` in a bulk write, which PyMongo refuses.
pub(super) fn bypass() -> Error {
    let message = "Cannot set bypass_document_validation with unacknowledged write concern";
    Error::new(ErrorKind::Operation, message)
}

/// Checks that the write has no session.
///
/// # Errors
/// `Configuration`, with PyMongo's message.
pub(super) fn check_session(session: Option<&Session>, concern: Option<&WriteConcern>) -> Result<()> {
    if session.is_none() {
        return Ok(());
    }
    let concern = concern.map(unacknowledged_repr).unwrap_or_default();
    let message = format!("Explicit sessions are incompatible with unacknowledged write concern: {concern}");
    Err(Error::new(ErrorKind::Configuration, message))
}

/// Checks the options of an update or delete statement.
///
/// # Errors
/// `Configuration`, with PyMongo's messages, and those of connecting.
pub(super) async fn check_options(client: &DriverClient, attempt: &Attempt<'_>, statement: &RawDocument) -> Result<()> {
    let has = |option: &str| statement.get(option).is_ok_and(|value| value.is_some());
    if has("collation") {
        return Err(unsupported("Collation"));
    }
    if has("arrayFilters") {
        return Err(unsupported("arrayFilters"));
    }
    if has("sort") && !supports(client, attempt, MONGODB_8_0).await? {
        let message = "Must be connected to MongoDB 8.0+ to use sort on unacknowledged update commands.";
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    Ok(())
}

/// Checks the size of a document, or of a statement. The server's error would not be seen.
///
/// # Errors
/// `DocumentTooLarge`.
pub(super) fn check_size(command: &str, document: &RawDocument, attempt: &Attempt<'_>) -> Result<()> {
    match document.as_bytes().len() {
        size if size > MAX_DOCUMENT_SIZE => Err(too_large(command, size, MAX_DOCUMENT_SIZE, attempt)),
        _ => Ok(()),
    }
}

/// Returns whether the servers that accept writes have at least this wire version.
async fn supports(client: &DriverClient, attempt: &Attempt<'_>, version: i32) -> Result<bool> {
    client.connected(attempt).await?;
    if !client.has_known_server() {
        client.reached().await?;
    }
    let topology = client.topology.borrow();
    let servers = topology.as_ref().map(mongodb::event::sdam::TopologyDescription::servers).unwrap_or_default();
    let mut writable = servers.values().filter(|server| {
        matches!(server.server_type(), ServerType::Standalone | ServerType::Mongos | ServerType::RsPrimary)
    });
    Ok(writable.all(|server| server.max_wire_version().is_none_or(|highest| highest >= version)))
}

/// Sends a command with the write concern `w: 0`. Returns `{ok: 1}`, or `{ok: 0, code}` if the server rejected it.
///
/// # Errors
/// Those of a command that could not be sent.
pub(super) async fn send(
    client: &DriverClient,
    attempt: &Attempt<'_>,
    database: &Database,
    command: RawDocumentBuf,
) -> Result<Document> {
    let command = within(command, MAX_COMMAND_SIZE, attempt)?;
    let mut retry = UnsentRetry::new(client);
    loop {
        match client.limited(false, database.run_raw_command(command.clone())).await {
            Err(error) if retry.should_resend(&error).await => {}
            Err(error) if !may_have_been_received(&error) => return Err(attempt.failed(&error)),
            Err(error) => {
                client.check_sync_after(&error).await;
                return Ok(match &*error.kind {
                    DriverErrorKind::Command(rejected) => doc! { "ok": 0, "code": rejected.code },
                    _ => doc! { "ok": 1 },
                });
            }
            Ok(_) => return Ok(doc! { "ok": 1 }),
        }
    }
}

/// Returns whether the server may have received the command, so that PyMongo, which does not wait for its reply, would
/// not report the error.
fn may_have_been_received(error: &DriverError) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
    match &*error.kind {
        DriverErrorKind::Command(_)
        | DriverErrorKind::Write(_)
        | DriverErrorKind::InvalidResponse { .. }
        | DriverErrorKind::BsonDeserialization(_) => true,
        // The driver adds the label if the connection could not be established.
        DriverErrorKind::Io(lost) => {
            matches!(lost.kind(), ConnectionAborted | ConnectionReset | UnexpectedEof)
                && !error.contains_label(SYSTEM_OVERLOADED_ERROR)
        }
        // As opposed to "Connection pool for", while the command waits for a connection.
        DriverErrorKind::ConnectionPoolCleared { message, .. } => message.starts_with("Connection to"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_what_was_sent_is_ignored() {
        let lost = |kind: io::ErrorKind| DriverError::from(io::Error::from(kind));
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
            assert!(may_have_been_received(&lost(kind)));
        }
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut] {
            assert!(!may_have_been_received(&lost(kind)));
        }
    }
}
