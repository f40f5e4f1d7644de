//! Any command.

use bson::{Document, RawDocumentBuf};

use super::error::{Attempt, Attempted};
use super::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, Result};

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
