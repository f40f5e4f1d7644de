//! The event store: what an event becomes as a document. Knows nothing of
//! Python, and nothing of how documents are sent.
//!
//! The object's fields stay at the top level. `_id` is made of the object's id
//! and a digest of its content, so that the same content is stored once,
//! however often and by however many it is delivered. `_connect` holds what is
//! known of the event beside the object.

pub mod identity;
pub mod redaction;

use bson::oid::ObjectId;

use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::events::view;
use redaction::Redaction;

/// The version of what `_connect` holds.
pub const SCHEMA_VERSION: i32 = 1;

/// The name of the sub-document with what is known of the event.
pub const METADATA: &str = "_connect";

/// What is known of an event beside its object.
#[derive(Debug, Clone)]
pub struct Metadata<'a> {
    /// The type of the event.
    pub event_type: &'a str,
    /// The name of the object's model.
    pub object: &'a str,
    /// The task that brought it.
    pub task_id: Option<&'a str>,
    /// The installation that it is for.
    pub installation_id: Option<&'a str>,
    /// The extension that got it.
    pub extension_id: Option<&'a str>,
    /// The environment that the extension runs in.
    pub environment_id: Option<&'a str>,
    /// When it was received, in milliseconds since 1970.
    pub received_at: i64,
    /// What tells this attempt to store it from others.
    pub receipt: ObjectId,
}

/// An event as a document.
#[derive(Debug)]
pub struct Record {
    /// Its `_id`.
    pub id: String,
    /// The document, as BSON.
    pub document: Vec<u8>,
}

/// Makes the document of an event. `object` is BSON of JSON's types.
///
/// # Errors
/// What is wrong, with the field that it is about, if it is about one.
pub fn record(object: &[u8], redaction: &Redaction, metadata: &Metadata<'_>) -> Result<Record, (String, String)> {
    for name in ["_id", METADATA] {
        if view::field(object, 0, name).is_some() {
            return Err((name.to_owned(), "is a name that the event store gives itself".to_owned()));
        }
    }
    let redacted = redaction.apply(object);
    let object = redacted.as_deref().unwrap_or(object);
    let object_id = view::field(object, 0, "id").and_then(|place| view::text(object, place));
    let id = format!("{}:{}", object_id.unwrap_or(metadata.event_type), identity::digest(object));
    let mut out = BsonWriter::with_capacity(object.len() + 512);
    let root = out.begin_root();
    out.string(Key::Name("_id"), &id);
    out.buf.extend_from_slice(object.get(4..object.len().saturating_sub(1)).unwrap_or_default());
    let mark = out.begin(Key::Name(METADATA), false);
    out.string(Key::Name("event_type"), metadata.event_type);
    out.string(Key::Name("object"), metadata.object);
    for (name, value) in [
        ("task_id", metadata.task_id),
        ("installation_id", metadata.installation_id),
        ("extension_id", metadata.extension_id),
        ("environment_id", metadata.environment_id),
    ] {
        out.string_or_null(Key::Name(name), value);
    }
    out.string_or_null(Key::Name("product_id"), first(object, PRODUCTS));
    out.string_or_null(Key::Name("marketplace_id"), first(object, MARKETPLACES));
    let accounts = out.begin(Key::Name("account_ids"), true);
    for (place, account) in all(object, ACCOUNTS).into_iter().enumerate() {
        out.string(Key::Index(place), account);
    }
    out.end(accounts);
    out.date(Key::Name("received_at"), metadata.received_at);
    out.int32(Key::Name("schema_version"), SCHEMA_VERSION);
    out.object_id(Key::Name("receipt"), metadata.receipt.bytes());
    out.end(mark);
    out.end(root);
    if out.buf.len() > MAX_DOCUMENT_SIZE {
        let message =
            format!("is larger than MongoDB's limit: {} bytes as BSON, of {MAX_DOCUMENT_SIZE}", out.buf.len());
        return Err((String::new(), message));
    }
    Ok(Record { id, document: out.buf })
}

/// Where the objects have the id of what they are about, by which they are found again.
const PRODUCTS: &[&[&str]] = &[
    &["asset", "product", "id"],
    &["configuration", "product", "id"],
    &["product", "id"],
    &["listing", "product", "id"],
];
const MARKETPLACES: &[&[&str]] = &[
    &["marketplace", "id"],
    &["asset", "marketplace", "id"],
    &["configuration", "marketplace", "id"],
    &["listing", "contract", "marketplace", "id"],
];
const ACCOUNTS: &[&[&str]] = &[
    &["asset", "tiers", "customer", "id"],
    &["asset", "tiers", "tier1", "id"],
    &["asset", "tiers", "tier2", "id"],
    &["configuration", "account", "id"],
    &["account", "id"],
    &["tiers", "tier1", "id"],
    &["tiers", "tier2", "id"],
    &["issuer", "account", "id"],
    &["receiver", "account", "id"],
];

fn at<'o>(object: &'o [u8], path: &[&str]) -> Option<&'o str> {
    let (last, above) = path.split_last()?;
    let mut start = 0;
    for step in above {
        let place = view::field(object, start, step)?;
        if place.element_type != view::DOCUMENT {
            return None;
        }
        start = place.start;
    }
    view::text(object, view::field(object, start, last)?).filter(|text| !text.is_empty())
}

fn first<'o>(object: &'o [u8], paths: &[&[&str]]) -> Option<&'o str> {
    paths.iter().find_map(|path| at(object, path))
}

fn all<'o>(object: &'o [u8], paths: &[&[&str]]) -> Vec<&'o str> {
    let mut found = Vec::new();
    for text in paths.iter().filter_map(|path| at(object, path)) {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// As hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn metadata() -> Metadata<'static> {
        Metadata {
            event_type: "asset_purchase_request_processing",
            object: "AssetRequest",
            task_id: Some("TQ-1"),
            installation_id: None,
            extension_id: None,
            environment_id: Some("ENV-1"),
            received_at: 1_600_000_000_000,
            receipt: ObjectId::new(),
        }
    }

    #[test]
    fn a_record_has_the_object_at_the_top_and_the_rest_in_one_place() {
        let redaction = Redaction::new(true, &[], None).unwrap();
        let object = bson::rawdoc! {"id": "PR-1", "asset": {"id": "AS-1"}};
        let first = record(object.as_bytes(), &redaction, &metadata()).unwrap();
        let document = bson::RawDocumentBuf::from_bytes(first.document).unwrap();
        let names: Vec<_> = document.iter().map(|element| element.unwrap().0.as_str().to_owned()).collect();
        assert_eq!(names, ["_id", "id", "asset", "_connect"]);
        assert_eq!(document.get_str("_id").unwrap(), first.id);
        assert!(first.id.starts_with("PR-1:"));
        let connect = document.get_document("_connect").unwrap();
        assert_eq!(connect.get_str("task_id").unwrap(), "TQ-1");
        assert_eq!(connect.get_datetime("received_at").unwrap().timestamp_millis(), 1_600_000_000_000);
        let again = record(object.as_bytes(), &redaction, &metadata()).unwrap();
        assert_eq!(first.id, again.id);
        let changed = bson::rawdoc! {"id": "PR-1", "asset": {"id": "AS-2"}};
        assert_ne!(first.id, record(changed.as_bytes(), &redaction, &metadata()).unwrap().id);
    }

    #[test]
    fn the_stores_own_names_and_what_is_too_large_are_refused() {
        let redaction = Redaction::new(true, &[], None).unwrap();
        for name in ["_id", "_connect"] {
            let object = bson::RawDocumentBuf::try_from(&bson::doc! {name: 1}).unwrap();
            assert_eq!(record(object.as_bytes(), &redaction, &metadata()).unwrap_err().0, name);
        }
        let large = bson::rawdoc! {"id": "x", "text": "x".repeat(MAX_DOCUMENT_SIZE - 200)};
        assert!(record(large.as_bytes(), &redaction, &metadata()).unwrap_err().1.contains("larger"));
    }
}
