//! Any command, and those that tell what there is.

use bson::{Document, RawDocumentBuf};
use futures_util::TryStreamExt as _;

use super::error::{Attempt, Attempted};
use super::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, Result};

/// The documents of a command whose answer is a cursor's first batch, all of
/// them: of what a collection or a database has no more than a few.
///
/// # Errors
/// As [`run_command`].
pub async fn list(client: &DriverClient, database: String, command: Document) -> Result<Vec<Document>> {
    let name = command.keys().next().cloned().unwrap_or_default();
    let namespace = Namespace { database, collection: name };
    let attempt = Attempt { doing: "run the command", namespace: &namespace, settings: client.settings() };
    let database = client.database(&namespace.database, &attempt).await?;
    let cursor = database.run_cursor_command(command).await.attempted(&attempt)?;
    cursor.try_collect().await.attempted(&attempt)
}

/// Runs a command on the primary; gives the server's answer.
///
/// # Errors
/// `Operation` where the server refused it, and those of any command.
pub async fn run_command(client: &DriverClient, database: String, command: Document) -> Result<RawDocumentBuf> {
    let name = command.keys().next().cloned().unwrap_or_default();
    let namespace = Namespace { database, collection: name };
    let attempt = Attempt { doing: "run the command", namespace: &namespace, settings: client.settings() };
    let database = client.database(&namespace.database, &attempt).await?;
    let answer = database.run_command(command).await.attempted(&attempt)?;
    RawDocumentBuf::try_from(&answer)
        .map_err(|error| Error::new(ErrorKind::Protocol, format!("the answer is no document: {error}")))
}
