//! The event store: what an event becomes as a document. Knows nothing of
//! Python, and nothing of how documents are sent.
//!
//! The object's fields are at the top level. `_id` is made of the object's id
//! and a digest of its content, so that the same content is stored once,
//! however often and by however many instances it is delivered. `_connect` holds
//! what is known of the event, and what of the object the top level cannot hold.

pub mod identity;
pub mod metrics;
pub mod redaction;

use bson::oid::ObjectId;

use crate::codec::MAX_DOCUMENT_SIZE;
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::events::format;
use crate::events::schema::Model;
use crate::events::types::{Category, event_type};
use crate::events::validate::{self, Deviation, MAX_DEPTH, Problem};
use crate::events::view::{self, DOCUMENT, Place};
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
    /// Its `_id`.
    pub id: String,
    /// The document, as BSON.
    pub document: Vec<u8>,
    /// How the object differs from its model.
    pub deviations: Vec<Deviation>,
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
    let redacted = redaction.apply(bytes, is_installation(metadata.event_type, model), false);
    let object = redacted.as_deref().unwrap_or(bytes);
    // Of what is stored, so that nothing shows of what is not.
    let deviations = match form {
        Form::Fields if may_deviate => validate::deviations(model, object, 0),
        _ => Vec::new(),
    };
    let placement = Placement::of(object, form, is_plain);
    let object_id = (form == Form::Fields).then(|| object_id(object)).flatten();
    let id = record_id(object, form, object_id.as_deref(), metadata);
    let mut out = BsonWriter::with_capacity(object.len() + 512);
    let root = out.begin_root();
    out.string(Key::Name("_id"), &id);
    if let Placement::TopLevel { reserved } = &placement {
        if reserved.is_empty() {
            out.buf.extend_from_slice(object.get(4..object.len().saturating_sub(1)).unwrap_or_default());
        } else {
            for (name, place) in view::elements(object, 0).filter(|(name, _)| !is_reserved(name)) {
                element(&mut out, object, name, place);
            }
        }
    }
    let mark = out.begin(Key::Name(METADATA), false);
    out.string(Key::Name("event_type"), metadata.event_type);
    out.string(Key::Name("object"), model.name);
    out.string_or_null(Key::Name("object_id"), object_id.as_deref());
    out.string_or_null(Key::Name("status"), first(object, STATUSES));
    for (name, value) in [
        ("task_id", metadata.task_id),
        ("installation_id", metadata.installation_id),
        ("extension_id", metadata.extension_id),
        ("environment_id", metadata.environment_id),
    ] {
        out.string_or_null(Key::Name(name), value);
    }
    let own_id = |own: &str| object_id.as_deref().filter(|_| model.name == own);
    out.string_or_null(Key::Name("product_id"), first(object, PRODUCTS).or_else(|| own_id("Product")));
    out.string_or_null(Key::Name("marketplace_id"), first(object, MARKETPLACES));
    let accounts = out.begin(Key::Name("account_ids"), true);
    for (position, account) in all(object, ACCOUNTS).into_iter().enumerate() {
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
    Ok(Record { id, document: out.buf, deviations })
}

/// Whether `settings` of the object are secret.
pub fn is_installation(event_type: &str, model: &Model) -> bool {
    event_type == "installation_status_change" || model.name == "Installation"
}

/// The id of an object, as text: Connect has texts, and some systems numbers.
pub fn object_id(object: &[u8]) -> Option<String> {
    let place = view::field(object, 0, "id")?;
    match place.element_type {
        view::STRING => view::text(object, place).filter(|text| !text.is_empty()).map(str::to_owned),
        0x10 | 0x12 => {
            let mut text = String::new();
            format::write_json(&mut text, object, place);
            Some(text)
        }
        _ => None,
    }
}

/// The record's `_id`.
fn record_id(object: &[u8], form: Form, object_id: Option<&str>, metadata: &Metadata<'_>) -> String {
    let named = object_id.filter(|id| id.chars().nth(MAX_ID).is_none()).unwrap_or(metadata.event_type);
    let digest = identity::digest(object, form);
    match metadata.task_id.filter(|_| object_id.is_none() || is_occurrence(metadata.event_type)) {
        Some(task_id) => format!("{named}:{digest}:{task_id}"),
        None => format!("{named}:{digest}"),
    }
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
    fn of(object: &[u8], form: Form, is_plain: bool) -> Self {
        if !is_plain && validate::needs_text(object) {
            return Self::Text;
        }
        let reserved: Vec<(usize, Place)> = match form {
            Form::Fields => view::elements(object, 0)
                .enumerate()
                .filter(|(_, (name, _))| is_reserved(name))
                .map(|(position, (_, place))| (position, place))
                .collect(),
            Form::Value => Vec::new(),
        };
        let is_moved = form == Form::Value || !reserved.is_empty();
        if is_moved && view::depth(object, 0) + METADATA_DEPTH > MAX_DEPTH {
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

/// Where objects have what they are found by.
const STATUSES: &[&[&str]] = &[&["status"], &["state"]];
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
    &["contract", "marketplace", "id"],
    &["asset", "contract", "marketplace", "id"],
    &["account", "marketplace", "id"],
];
const ACCOUNTS: &[&[&str]] = &[
    &["asset", "tiers", "customer", "id"],
    &["asset", "tiers", "tier1", "id"],
    &["asset", "tiers", "tier2", "id"],
    &["configuration", "account", "id"],
    &["account", "id"],
    &["tiers", "customer", "id"],
    &["tiers", "tier1", "id"],
    &["tiers", "tier2", "id"],
    &["issuer", "account", "id"],
    &["receiver", "account", "id"],
    &["vendor", "id"],
    &["provider", "id"],
    &["owner", "id"],
    &["asset", "connection", "vendor", "id"],
    &["asset", "connection", "provider", "id"],
    &["configuration", "connection", "vendor", "id"],
    &["configuration", "connection", "provider", "id"],
    &["listing", "vendor", "id"],
    &["listing", "provider", "id"],
    &["listing", "contract", "owner", "id"],
    &["product", "owner", "id"],
];

fn at<'o>(object: &'o [u8], path: &[&str]) -> Option<&'o str> {
    let (last, above) = path.split_last()?;
    let mut start = 0;
    for step in above {
        let place = view::field(object, start, step)?;
        if place.element_type != DOCUMENT {
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
    use crate::events::OTHER;
    use crate::events::asset_request::ASSET_REQUEST;
    use bson::{Document, RawDocumentBuf, doc};

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
        let document = Document::try_from(&RawDocumentBuf::from_bytes(record.document).unwrap()).unwrap();
        Ok((record.id, document))
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
        let document = Document::try_from(&RawDocumentBuf::from_bytes(made.document).unwrap()).unwrap();
        assert_eq!(
            document.get_document("_connect").unwrap().get_array("payload").unwrap(),
            &[bson::Bson::Int32(1), bson::Bson::Document(doc! {"password": "***"})]
        );
        let fields = record(payload(raw.as_bytes(), Form::Fields), &redaction, &metadata()).unwrap();
        assert_ne!(made.id, fields.id);
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
