//! BSON and MongoDB Extended JSON (EJSON) as bytes.

pub mod ejson;
mod ejson_text;
pub mod writer;

use bson::{RawArray, RawBsonRef, RawDocument};

use crate::error::{Error, ErrorKind, Result};

/// The largest document that MongoDB stores, in bytes
/// (<https://www.mongodb.com/docs/manual/reference/limits/>).
pub const MAX_DOCUMENT_SIZE: usize = 16 * 1024 * 1024;

/// The maximum size of a command that is sent, as in PyMongo: that of a document, and room for the other fields.
pub const MAX_COMMAND_SIZE: usize = MAX_DOCUMENT_SIZE + 16_382;

/// The maximum nesting depth that is encoded. MongoDB itself rejects documents
/// nested more than 100 levels deep.
pub const MAX_DEPTH: usize = 1_000;

/// Checks that all elements of a document are valid BSON.
///
/// # Errors
/// `InvalidBson` if an element is malformed or nested too deeply.
pub fn check_elements(document: &RawDocument, depth: usize) -> Result<()> {
    document.iter().try_for_each(|element| check_value(element.map_err(invalid_bson)?.1, depth))
}

fn check_array(array: &RawArray, depth: usize) -> Result<()> {
    array.into_iter().try_for_each(|value| check_value(value.map_err(invalid_bson)?, depth))
}

fn check_value(value: RawBsonRef<'_>, depth: usize) -> Result<()> {
    if depth >= MAX_DEPTH {
        return Err(invalid_bson(format_args!("nested more than {MAX_DEPTH} levels deep")));
    }
    match value {
        RawBsonRef::Document(document) => check_elements(document, depth + 1),
        RawBsonRef::Array(array) => check_array(array, depth + 1),
        RawBsonRef::JavaScriptCodeWithScope(code) => check_elements(code.scope, depth + 1),
        _ => Ok(()),
    }
}

/// Returns the error for invalid BSON.
fn invalid_bson(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidBson, format!("not a BSON document: {error}"))
}
