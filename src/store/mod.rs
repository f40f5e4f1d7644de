//! The event store: what an event becomes as a document. Knows nothing of
//! Python, and nothing of how documents are sent.
//!
//! The object's fields are at the top level. `_id` is made of the object's id
//! and a digest of its content, so that the same content is stored once,
//! however often and by however many instances it is delivered. `_connect` holds
//! what is known of the event, and what of the object the top level cannot hold.

pub mod identity;
pub mod index;
pub mod metrics;
pub mod redaction;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bson::RawDocumentBuf;
use bson::oid::ObjectId;

use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::error::{self, Error, ErrorKind};
use crate::events::format;
use crate::events::schema::Model;
use crate::events::types::{Category, event_type};
use crate::events::validate::{self, Deviation, MAX_DEPTH, Problem};
use crate::events::view::{self, Place};
use index::{Element, Index, Name};
use redaction::Redaction;

/// The version of what `_connect` holds.
pub const SCHEMA_VERSION: i32 = 1;

/// The name of the sub-document with what is known of the event.
pub const METADATA: &str = "_connect";

/// The field of a payload that is no object, in the document that carries it here.
pub const PAYLOAD: &str = "payload";

/// The most characters of an object's id that go into the record's `_id`.
const MAX_ID: usize = 128;

/// How much deeper than in the object a value may be in `_connect`.
const METADATA_DEPTH: usize = 4;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON object: its fields are the document's.
    Fields,
    /// Any other JSON value: the document has it as the one field `payload`.
    Value,
}

/// What Connect sent, as bytes of [`format`].
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// The document.
    pub bytes: &'a [u8],
    /// What it carries.
    pub form: Form,
    /// Whether it is known to be plain BSON that nests at most 100 levels deep.
    pub is_plain: bool,
    /// The model that describes it.
    pub model: &'static Model,
    /// Whether it may deviate from the model.
    pub may_deviate: bool,
}

/// What is known of an event beside its object.
#[derive(Debug, Clone)]
pub struct Metadata<'a> {
    /// The type of the event.
    pub event_type: &'a str,
    /// The task that delivered it.
    pub task_id: Option<&'a str>,
    /// The installation that it is for.
    pub installation_id: Option<&'a str>,
    /// The extension that received it.
    pub extension_id: Option<&'a str>,
    /// The environment that the extension runs in.
    pub environment_id: Option<&'a str>,
    /// When it was received, in milliseconds since 1970.
    pub received_at: i64,
    /// What distinguishes this attempt to store it from others.
    pub receipt: ObjectId,
    /// The backfill that read the object, if it was not delivered as an event.
    pub backfill: Option<&'a str>,
}

/// An event as a document.
#[derive(Debug)]
pub struct Record {
    /// The document, as BSON. Its `_id` is complete once it is sealed.
    pub document: Vec<u8>,
    /// What completes its `_id`.
    pub seal: Seal,
    /// How the object differs from its model.
    pub deviations: Vec<Deviation>,
}

/// Completes the `_id` of a record. The digest of a record takes longer than the rest, so that it is not
/// computed in the event loop's thread, but where the record is sent.
#[derive(Debug)]
pub struct Seal {
    /// Where the `_id` is in the document.
    id: Range<usize>,
    /// Where the digest is in the document.
    digest: Range<usize>,
    /// What the digest is computed from; `None` if the `_id` is complete.
    object: Option<ObjectInRecord>,
    sealed: SealedId,
}

/// An object whose fields are in its record as they are in the object.
#[derive(Debug)]
struct ObjectInRecord {
    /// Where the fields begin.
    start: usize,
    /// How long the object is, up to the end of its fields.
    length: usize,
    /// Its elements, if they are few.
    elements: Option<Vec<Element>>,
}

impl ObjectInRecord {
    /// The length of a document before its first field.
    const HEAD: usize = 4;

    fn digest(self, record: &[u8]) -> Option<String> {
        // Positions in the object are positions in these bytes, except that its length is not there.
        let start = self.start.checked_sub(Self::HEAD)?;
        let bytes = record.get(start..start + self.length)?;
        let index = match self.elements {
            Some(elements) => Index::of_copy(bytes, elements),
            None => Index::new(bytes),
        };
        Some(identity::digest(&index, Form::Fields))
    }
}

/// The `_id` of a record, once it is complete.
pub type SealedId = Arc<OnceLock<String>>;

impl Seal {
    /// The `_id` that the record will have.
    pub fn id(&self) -> SealedId {
        Arc::clone(&self.sealed)
    }

    /// Completes the `_id` of the record's document; returns the `_id` too.
    ///
    /// # Errors
    /// `InvalidBson` if it is the document of another record.
    pub fn complete(self, document: RawDocumentBuf) -> error::Result<(RawDocumentBuf, String)> {
        let other = || Error::new(ErrorKind::InvalidBson, "the seal of another record");
        let mut bytes = document.into_bytes();
        if let Some(object) = self.object {
            let digest = object.digest(&bytes).ok_or_else(other)?;
            let place = bytes.get_mut(self.digest).filter(|place| place.len() == digest.len()).ok_or_else(other)?;
            place.copy_from_slice(digest.as_bytes());
        }
        let id = bytes.get(self.id).and_then(|id| std::str::from_utf8(id).ok()).ok_or_else(other)?.to_owned();
        drop(self.sealed.set(id.clone()));
        Ok((RawDocumentBuf::from_bytes(bytes).map_err(|_| other())?, id))
    }
}

/// Makes the document of an event.
///
/// # Errors
/// Why MongoDB cannot store the object.
pub fn record(payload: Payload<'_>, redaction: &Redaction, metadata: &Metadata<'_>) -> Result<Record, Vec<Problem>> {
    let Payload { bytes, form, is_plain, model, may_deviate } = payload;
    if !is_plain {
        let problems = validate::unstorable(bytes);
        if !problems.is_empty() {
            return Err(problems);
        }
    }
    let mut index = Index::new(bytes);
    let redacted = redaction.apply(&index, is_installation(metadata.event_type, model), false);
    let object = redacted.as_deref().unwrap_or(bytes);
    if redacted.is_some() {
        index = Index::new(object);
    }
    // Of what is stored, so that nothing shows of what is not.
    let deviations = match form {
        Form::Fields if may_deviate => validate::deviations(model, object, 0),
        _ => Vec::new(),
    };
    let placement = Placement::of(&index, form, is_plain);
    let object_id = (form == Form::Fields).then(|| id_in(&index)).flatten();
    let mut out = BsonWriter::with_capacity(object.len() + 512);
    let root = out.begin_root();
    let is_whole = matches!(&placement, Placement::TopLevel { reserved } if reserved.is_empty());
    // The digest is computed later from fields that are in the record as they are in the object.
    let digest = if is_whole { UNKNOWN_DIGEST.to_owned() } else { identity::digest(&index, form) };
    let (id, digest_at) = record_id(object_id.as_deref(), &digest, metadata);
    out.string(Key::Name("_id"), &id);
    let id = out.buf.len() - 1 - id.len()..out.buf.len() - 1;
    let digest = id.start + digest_at..id.start + digest_at + digest.len();
    let start = out.buf.len();
    if is_whole {
        out.buf.extend_from_slice(object.get(4..object.len().saturating_sub(1)).unwrap_or_default());
    } else if let Placement::TopLevel { .. } = &placement {
        for (name, place) in view::elements(object, 0).filter(|(name, _)| !is_reserved(name)) {
            element(&mut out, object, name, place);
        }
    }
    let mark = out.begin(Key::Name(METADATA), false);
    out.string(Key::Name("event_type"), metadata.event_type);
    out.string(Key::Name("object"), model.name);
    out.string_or_null(Key::Name("object_id"), object_id.as_deref());
    out.string_or_null(Key::Name("status"), first(&index, STATUSES));
    for (name, value) in [
        ("task_id", metadata.task_id),
        ("installation_id", metadata.installation_id),
        ("extension_id", metadata.extension_id),
        ("environment_id", metadata.environment_id),
    ] {
        out.string_or_null(Key::Name(name), value);
    }
    let own_id = |own: &str| object_id.as_deref().filter(|_| model.name == own);
    out.string_or_null(Key::Name("product_id"), first(&index, PRODUCTS).or_else(|| own_id("Product")));
    out.string_or_null(Key::Name("marketplace_id"), first(&index, MARKETPLACES));
    let accounts = out.begin(Key::Name("account_ids"), true);
    for (position, account) in all(&index, ACCOUNTS).into_iter().enumerate() {
        out.string(Key::Index(position), account);
    }
    out.end(accounts);
    out.date(Key::Name("received_at"), metadata.received_at);
    out.int32(Key::Name("schema_version"), SCHEMA_VERSION);
    out.object_id(Key::Name("receipt"), metadata.receipt.bytes());
    if let Some(backfill) = metadata.backfill {
        out.string(Key::Name("backfill"), backfill);
    }
    placement.write(&mut out, object, form);
    write_deviations(&mut out, &deviations);
    out.end(mark);
    out.end(root);
    if out.buf.len() > MAX_DOCUMENT_SIZE {
        let size = out.buf.len();
        let message = format!("larger than MongoDB's limit: {size} bytes as BSON, limit {MAX_DOCUMENT_SIZE}");
        return Err(vec![Problem { path: String::new(), message }]);
    }
    let object = is_whole.then(|| {
        let length = index.bytes.len().saturating_sub(1);
        let elements = Some(index.into_elements()).filter(|elements| elements.len() <= MAX_KEPT);
        ObjectInRecord { start, length, elements }
    });
    let seal = Seal { id, digest, object, sealed: SealedId::default() };
    Ok(Record { document: out.buf, seal, deviations })
}

/// Whether `settings` of the object are secret.
pub fn is_installation(event_type: &str, model: &Model) -> bool {
    event_type == "installation_status_change" || model.name == "Installation"
}

/// The id of an object, as text: Connect has texts, and some systems numbers.
pub fn object_id(object: &[u8]) -> Option<Cow<'_, str>> {
    id_at(object, view::field(object, 0, "id")?)
}

fn id_in<'o>(index: &Index<'o>) -> Option<Cow<'o, str>> {
    const ID: Name = Name::new("id");
    id_at(index.bytes, index.field(index.root(), &ID)?.1.place())
}

fn id_at(object: &[u8], place: Place) -> Option<Cow<'_, str>> {
    match place.element_type {
        view::STRING => view::text(object, place).filter(|text| !text.is_empty()).map(Cow::Borrowed),
        0x10 | 0x12 => {
            let mut text = String::new();
            format::write_json(&mut text, object, place);
            Some(Cow::Owned(text))
        }
        _ => None,
    }
}

/// The most elements of an object that are kept until its digest is computed. They take more memory than it does.
const MAX_KEPT: usize = 4096;

/// In place of a digest that is not computed yet.
const UNKNOWN_DIGEST: &str = "00000000000000000000000000000000";

/// The record's `_id`, and where in it the digest is.
fn record_id(object_id: Option<&str>, digest: &str, metadata: &Metadata<'_>) -> (String, usize) {
    let is_short = |id: &&str| id.len() <= MAX_ID || id.chars().nth(MAX_ID).is_none();
    let named = object_id.filter(is_short).unwrap_or(metadata.event_type);
    let id = match metadata.task_id.filter(|_| object_id.is_none() || is_occurrence(metadata.event_type)) {
        Some(task_id) => [named, ":", digest, ":", task_id].concat(),
        None => [named, ":", digest].concat(),
    };
    (id, named.len() + 1)
}

/// Whether two events of this type are two even if their objects are equal: each run of a schedule,
/// each action and each custom event happens by itself.
fn is_occurrence(name: &str) -> bool {
    matches!(name, "product_action_execution" | "product_custom_event_processing")
        || event_type(name).is_some_and(|known| known.category == Category::Scheduled)
}

/// Where in the record the payload is.
enum Placement {
    /// Its fields are the record's, but for those with names that the store uses itself.
    TopLevel {
        /// Those fields, each with its position.
        reserved: Vec<(usize, Place)>,
    },
    /// In `_connect.payload`, since it is no object.
    Value,
    /// In `_connect.json`, as JSON text, since fields cannot hold it.
    Text,
}

impl Placement {
    fn of(index: &Index<'_>, form: Form, is_plain: bool) -> Self {
        if !is_plain && validate::needs_text(index.bytes) {
            return Self::Text;
        }
        let reserved: Vec<(usize, Place)> = match form {
            Form::Fields => index
                .iter(index.root())
                .enumerate()
                .filter(|(_, (_, element))| is_reserved(index.name(element)))
                .map(|(position, (_, element))| (position, element.place()))
                .collect(),
            Form::Value => Vec::new(),
        };
        let is_moved = form == Form::Value || !reserved.is_empty();
        if is_moved && view::depth(index.bytes, 0) + METADATA_DEPTH > MAX_DEPTH {
            return Self::Text;
        }
        match form {
            Form::Fields => Self::TopLevel { reserved },
            Form::Value => Self::Value,
        }
    }

    fn write(&self, out: &mut BsonWriter, object: &[u8], form: Form) {
        let payload = || view::field(object, 0, PAYLOAD);
        match self {
            Self::TopLevel { reserved } if reserved.is_empty() => {}
            Self::TopLevel { reserved } => {
                let list = out.begin(Key::Name("reserved"), true);
                for (index, (position, place)) in reserved.iter().enumerate() {
                    let entry = out.begin(Key::Index(index), false);
                    let name = view::elements(object, 0).nth(*position).map_or(&b""[..], |(name, _)| name);
                    out.string(Key::Name("name"), &String::from_utf8_lossy(name));
                    out.int32(Key::Name("position"), i32::try_from(*position).unwrap_or(i32::MAX));
                    element(out, object, b"value", *place);
                    out.end(entry);
                }
                out.end(list);
            }
            Self::Value => {
                if let Some(place) = payload() {
                    element(out, object, PAYLOAD.as_bytes(), place);
                }
            }
            Self::Text => {
                let mut text = String::with_capacity(object.len());
                match form {
                    Form::Fields => text = format::document_json(object),
                    Form::Value => {
                        if let Some(place) = payload() {
                            format::write_json(&mut text, object, place);
                        }
                    }
                }
                out.string(Key::Name("json"), &text);
            }
        }
    }
}

/// Whether the store uses the name itself.
fn is_reserved(name: &[u8]) -> bool {
    name == b"_id" || name == METADATA.as_bytes()
}

/// Copies an element.
fn element(out: &mut BsonWriter, object: &[u8], name: &[u8], place: Place) {
    out.buf.push(place.element_type);
    out.buf.extend_from_slice(name);
    out.buf.push(0);
    out.buf.extend_from_slice(object.get(place.start..place.end).unwrap_or_default());
}

fn write_deviations(out: &mut BsonWriter, deviations: &[Deviation]) {
    if deviations.is_empty() {
        return;
    }
    let list = out.begin(Key::Name("deviations"), true);
    for (position, deviation) in deviations.iter().enumerate() {
        let entry = out.begin(Key::Index(position), false);
        out.string(Key::Name("path"), &deviation.path);
        out.string(Key::Name("expected"), &deviation.expected);
        out.string(Key::Name("actual"), deviation.actual);
        out.end(entry);
    }
    out.end(list);
}

macro_rules! paths {
    ($([$($name:literal),+]),+ $(,)?) => { &[$(&[$(Name::new($name)),+]),+] };
}

/// Where objects have what they are found by.
const STATUSES: &[&[Name]] = paths![["status"], ["state"]];
const PRODUCTS: &[&[Name]] = paths![
    ["asset", "product", "id"],
    ["configuration", "product", "id"],
    ["product", "id"],
    ["listing", "product", "id"],
];
const MARKETPLACES: &[&[Name]] = paths![
    ["marketplace", "id"],
    ["asset", "marketplace", "id"],
    ["configuration", "marketplace", "id"],
    ["listing", "contract", "marketplace", "id"],
    ["contract", "marketplace", "id"],
    ["asset", "contract", "marketplace", "id"],
    ["account", "marketplace", "id"],
];
const ACCOUNTS: &[&[Name]] = paths![
    ["asset", "tiers", "customer", "id"],
    ["asset", "tiers", "tier1", "id"],
    ["asset", "tiers", "tier2", "id"],
    ["configuration", "account", "id"],
    ["account", "id"],
    ["tiers", "customer", "id"],
    ["tiers", "tier1", "id"],
    ["tiers", "tier2", "id"],
    ["issuer", "account", "id"],
    ["receiver", "account", "id"],
    ["vendor", "id"],
    ["provider", "id"],
    ["owner", "id"],
    ["asset", "connection", "vendor", "id"],
    ["asset", "connection", "provider", "id"],
    ["configuration", "connection", "vendor", "id"],
    ["configuration", "connection", "provider", "id"],
    ["listing", "vendor", "id"],
    ["listing", "provider", "id"],
    ["listing", "contract", "owner", "id"],
    ["product", "owner", "id"],
];

fn first<'o>(index: &Index<'o>, paths: &[&[Name]]) -> Option<&'o str> {
    paths.iter().find_map(|path| index.text(path))
}

fn all<'o>(index: &Index<'o>, paths: &[&[Name]]) -> Vec<&'o str> {
    let mut found = Vec::new();
    for text in paths.iter().filter_map(|path| index.text(path)) {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// As hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::events::OTHER;
    use crate::events::asset_request::ASSET_REQUEST;
    use bson::{Document, doc};

    fn metadata() -> Metadata<'static> {
        Metadata {
            event_type: "asset_purchase_request_processing",
            task_id: Some("TQ-1"),
            installation_id: None,
            extension_id: None,
            environment_id: Some("ENV-1"),
            received_at: 1_600_000_000_000,
            receipt: ObjectId::new(),
            backfill: None,
        }
    }

    fn payload(bytes: &[u8], form: Form) -> Payload<'_> {
        let model = if form == Form::Fields { &ASSET_REQUEST } else { &OTHER };
        Payload { bytes, form, is_plain: false, model, may_deviate: true }
    }

    fn recorded(object: &Document, metadata: &Metadata<'_>) -> Result<(String, Document), Vec<Problem>> {
        let redaction = Redaction::new(true, &[], &[], None).unwrap();
        let object = RawDocumentBuf::try_from(object).unwrap();
        let record = record(payload(object.as_bytes(), Form::Fields), &redaction, metadata)?;
        Ok(sealed(record))
    }

    fn sealed(record: Record) -> (String, Document) {
        let id = record.seal.id();
        let (document, sealed) = record.seal.complete(RawDocumentBuf::from_bytes(record.document).unwrap()).unwrap();
        assert_eq!(id.get(), Some(&sealed));
        (sealed, Document::try_from(&document).unwrap())
    }

    #[test]
    fn a_record_has_the_object_at_the_top_and_the_rest_in_one_place() {
        let (id, document) = recorded(&doc! {"id": "PR-1", "asset": {"id": "AS-1"}}, &metadata()).unwrap();
        assert_eq!(document.keys().collect::<Vec<_>>(), ["_id", "id", "asset", "_connect"]);
        assert_eq!(document.get_str("_id").unwrap(), id);
        assert!(id.starts_with("PR-1:"));
        let connect = document.get_document("_connect").unwrap();
        assert_eq!(connect.get_str("task_id").unwrap(), "TQ-1");
        assert_eq!(connect.get_str("object_id").unwrap(), "PR-1");
        assert_eq!(connect.get_datetime("received_at").unwrap().timestamp_millis(), 1_600_000_000_000);
        assert!(!connect.contains_key("deviations"));
        let (again, _) = recorded(&doc! {"id": "PR-1", "asset": {"id": "AS-1"}}, &metadata()).unwrap();
        assert_eq!(id, again);
        let (other, _) = recorded(&doc! {"id": "PR-1", "asset": {"id": "AS-2"}}, &metadata()).unwrap();
        assert_ne!(id, other);
    }

    #[test]
    fn the_digest_is_that_of_the_object_wherever_its_fields_are() {
        let whole = doc! {"id": "PR-1", "b": [1, {"c": "x"}], "a": {"d": null}};
        let large = doc! {"id": "PR-1", "list": (0..MAX_KEPT as i32).collect::<Vec<_>>(), "b": "x"};
        let beside = doc! {"id": "PR-1", "b": 1, "_id": 2};
        for object in [whole, large, beside] {
            let raw = RawDocumentBuf::try_from(&object).unwrap();
            let digest = identity::digest(&Index::new(raw.as_bytes()), Form::Fields);
            let (id, document) = recorded(&object, &metadata()).unwrap();
            assert_eq!(id, format!("PR-1:{digest}"));
            assert_eq!(document.get_str("_id").unwrap(), id);
            let scheduled = Metadata { event_type: "scheduled_execution", ..metadata() };
            let (id, document) = recorded(&object, &scheduled).unwrap();
            assert_eq!(id, format!("PR-1:{digest}:TQ-1"));
            assert_eq!(document.get_str("_id").unwrap(), id);
        }
    }

    #[test]
    fn a_seal_is_not_another_records() {
        let redaction = Redaction::new(true, &[], &[], None).unwrap();
        let raw = bson::rawdoc! {"id": "PR-1"};
        let made = record(payload(raw.as_bytes(), Form::Fields), &redaction, &metadata()).unwrap();
        assert!(made.seal.complete(raw).is_err());
    }

    #[test]
    fn deviations_are_listed_and_the_object_is_stored_as_it_is() {
        let (_, document) = recorded(&doc! {"id": 7, "asset": {"external_id": [1]}}, &metadata()).unwrap();
        assert_eq!(document.get_document("asset").unwrap(), &doc! {"external_id": [1]});
        let connect = document.get_document("_connect").unwrap();
        assert_eq!(connect.get_str("object_id").unwrap(), "7");
        assert_eq!(
            connect.get_array("deviations").unwrap()[0].as_document().unwrap(),
            &doc! {"path": "id", "expected": "a string", "actual": "int"}
        );
    }

    #[test]
    fn fields_with_the_stores_own_names_are_kept_beside() {
        let object = doc! {"id": "PR-1", "_id": {"a": 1}, "b": 2, "_connect": "x"};
        let (id, document) = recorded(&object, &metadata()).unwrap();
        assert_eq!(document.get_str("_id").unwrap(), id);
        assert_eq!(document.keys().collect::<Vec<_>>(), ["_id", "id", "b", "_connect"]);
        let reserved = document.get_document("_connect").unwrap().get_array("reserved").unwrap();
        assert_eq!(reserved[0].as_document().unwrap(), &doc! {"name": "_id", "position": 1, "value": {"a": 1}});
        assert_eq!(reserved[1].as_document().unwrap(), &doc! {"name": "_connect", "position": 3, "value": "x"});
    }

    #[test]
    fn what_fields_cannot_hold_is_stored_as_text() {
        let (_, document) = recorded(&doc! {"id": "PR-1", "a": {"$oid": "x"}}, &metadata()).unwrap();
        assert_eq!(document.keys().collect::<Vec<_>>(), ["_id", "_connect"]);
        let connect = document.get_document("_connect").unwrap();
        assert_eq!(connect.get_str("json").unwrap(), r#"{"id": "PR-1", "a": {"$oid": "x"}}"#);
        assert_eq!(connect.get_str("object_id").unwrap(), "PR-1");
    }

    #[test]
    fn a_payload_that_is_no_object_is_stored_beside() {
        let redaction = Redaction::new(true, &[], &[], None).unwrap();
        let raw = bson::rawdoc! {"payload": [1, {"password": "s"}]};
        let made = record(payload(raw.as_bytes(), Form::Value), &redaction, &metadata()).unwrap();
        let (id, document) = sealed(made);
        assert_eq!(
            document.get_document("_connect").unwrap().get_array("payload").unwrap(),
            &[bson::Bson::Int32(1), bson::Bson::Document(doc! {"password": "***"})]
        );
        let fields = record(payload(raw.as_bytes(), Form::Fields), &redaction, &metadata()).unwrap();
        assert_ne!(id, sealed(fields).0);
    }

    #[test]
    fn occurrences_are_events_of_their_own() {
        let of = |event_type, task_id, object: &Document| {
            recorded(object, &Metadata { event_type, task_id: Some(task_id), ..metadata() }).unwrap().0
        };
        let schedule = doc! {"id": "EFS-1", "method": "run"};
        for name in ["scheduled_execution", "product_action_execution", "product_custom_event_processing"] {
            assert_ne!(of(name, "TQ-1", &schedule), of(name, "TQ-2", &schedule));
            assert_eq!(of(name, "TQ-1", &schedule), of(name, "TQ-1", &schedule));
        }
        let request = "asset_purchase_request_processing";
        assert_eq!(of(request, "TQ-1", &schedule), of(request, "TQ-2", &schedule));
        // Without an id, equal content is not known to be the same object.
        let draft = doc! {"status": "draft"};
        assert_ne!(of(request, "TQ-1", &draft), of(request, "TQ-2", &draft));
        assert!(of(request, "TQ-1", &draft).starts_with("asset_purchase_request_processing:"));
    }

    #[test]
    fn an_object_of_a_backfill_is_the_record_of_its_event() {
        let object = doc! {"id": "PR-1", "status": "pending"};
        let (delivered, document) = recorded(&object, &metadata()).unwrap();
        assert!(!document.get_document("_connect").unwrap().contains_key("backfill"));
        let backfill = Metadata { task_id: None, backfill: Some("BF-1"), ..metadata() };
        let (filled, document) = recorded(&object, &backfill).unwrap();
        assert_eq!(filled, delivered);
        assert_eq!(document.get_document("_connect").unwrap().get_str("backfill").unwrap(), "BF-1");
    }

    #[test]
    fn a_state_is_a_status_and_accounts_are_found_wherever_they_are() {
        let object = doc! {
            "id": "LSTR-1", "state": "deploying", "vendor": {"id": "VA-1"}, "provider": {"id": "PA-1"},
            "contract": {"marketplace": {"id": "MP-1"}}, "owner": {"id": "VA-1"},
        };
        let (_, document) = recorded(&object, &metadata()).unwrap();
        let connect = document.get_document("_connect").unwrap();
        assert_eq!(connect.get_str("status").unwrap(), "deploying");
        assert_eq!(connect.get_str("marketplace_id").unwrap(), "MP-1");
        assert_eq!(connect.get_array("account_ids").unwrap(), &[bson::Bson::from("VA-1"), bson::Bson::from("PA-1")]);
    }

    #[test]
    fn what_is_too_large_or_too_deep_cannot_be_stored() {
        let large = doc! {"id": "x", "text": "x".repeat(MAX_DOCUMENT_SIZE - 200)};
        assert!(recorded(&large, &metadata()).unwrap_err()[0].message.contains("larger"));
        let mut deep = doc! {};
        for _ in 0..101 {
            deep = doc! {"a": deep};
        }
        assert!(recorded(&deep, &metadata()).unwrap_err()[0].message.contains("nested too deep"));
    }
}
