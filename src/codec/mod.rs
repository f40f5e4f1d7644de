//! Documents as bytes: BSON and MongoDB Extended JSON (EJSON), and what turns
//! Python objects into either and back.

pub mod ejson;
pub mod writer;

/// The largest document that MongoDB stores, in bytes
/// (<https://www.mongodb.com/docs/manual/reference/limits/>).
pub const MAX_DOCUMENT_SIZE: usize = 16 * 1024 * 1024;

/// The deepest nesting that is encoded. MongoDB itself refuses documents
/// nested more than 100 levels deep.
pub const MAX_DEPTH: usize = 1_000;
