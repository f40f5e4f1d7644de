//! The size limits of documents, commands and messages.
//!
//! A server rejects documents of more than 16 MiB itself. It can only do so if it receives them, so a command may be
//! larger than a document by the size of its other fields, and a bulk write sends a statement that is too large as a
//! command of its own. Larger commands are rejected before they are sent: the driver would close the connection.

use bson::{RawDocument, RawDocumentBuf};

use super::error::Attempt;
use crate::error::{Error, ErrorKind, Result};

/// The maximum size of a command that fits into a message, if the server rejects what is too large. All servers have a
/// `maxMessageSizeBytes` of 48 000 000, of which headers and the fields that the driver adds take at most 1 000.
pub(super) const MAX_SENT_SIZE: usize = 48_000_000 - 1_000;

/// Returns the error for a command, or for the document of an insert, that is larger than `limit`.
pub(super) fn too_large(command: &str, size: usize, limit: usize, attempt: &Attempt<'_>) -> Error {
    // PyMongo's messages, and where it happened.
    let message = match command {
        "insert" => format!(
            "BSON document too large ({size} bytes) - the connected server supports BSON document sizes up to {limit} \
             bytes ({attempt}); split it, or store large files in GridFS"
        ),
        _ => format!("{command} command document too large ({size} bytes, {attempt})"),
    };
    Error::new(ErrorKind::DocumentTooLarge, message)
}

fn name(command: &RawDocument) -> &str {
    command.iter().next().and_then(std::result::Result::ok).map_or("", |(name, _)| name.as_str())
}

/// Returns the command.
///
/// # Errors
/// `DocumentTooLarge` if it is larger than `limit`.
pub(super) fn within(command: RawDocumentBuf, limit: usize, attempt: &Attempt<'_>) -> Result<RawDocumentBuf> {
    match command.as_bytes().len() {
        size if size > limit => Err(too_large(name(&command), size, limit, attempt)),
        _ => Ok(command),
    }
}
