//! What an object has that its model does not describe. Nothing is refused for it: the
//! object is kept as it is, and the differences are listed.

use super::format;
use super::moment;
use super::schema::{FieldKind, Model};
use super::types::model_of_id;
use super::view::{self, ARRAY, BIG_INTEGER, DOCUMENT, NULL, Place, STRING};
use crate::redact::is_redacted;

/// The deepest nesting that MongoDB stores
/// (<https://www.mongodb.com/docs/manual/reference/limits/>).
pub const MAX_DEPTH: usize = 100;

/// The most deviations, and the most problems, that are listed for an object.
pub const MAX_LISTED: usize = 50;

/// A value that is not what the model describes. It holds nothing of the object's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// Where: `asset.items[2].quantity`.
    pub path: String,
    /// The same without positions in lists: `asset.items[].quantity`.
    pub field: String,
    /// What the model describes: `a string`.
    pub expected: String,
    /// What is there: `int`.
    pub actual: &'static str,
}

impl Deviation {
    /// What is different, in words.
    pub fn message(&self) -> String {
        format!("expected {}, got {}", self.expected, self.actual)
    }
}

/// Why an object cannot be stored, or is not valid. It holds nothing of the object's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `asset.items[2].quantity`; empty for the object itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl From<Deviation> for Problem {
    fn from(deviation: Deviation) -> Self {
        let message = deviation.message();
        Self { path: deviation.path, message }
    }
}

/// How the object that begins at `start` differs from its model: the first 50 deviations.
/// The bytes are those of [`super::format`].
pub fn deviations(model: &Model, bytes: &[u8], start: usize) -> Vec<Deviation> {
    let mut check = Check { bytes, found: Vec::new(), path: Path::default() };
    if model.identified {
        check.id(model, start);
    }
    check.object(model, start);
    check.found
}

/// Why MongoDB cannot store the object: the first 50 problems.
pub fn unstorable(bytes: &[u8]) -> Vec<Problem> {
    let mut survey = Survey { bytes, found: Vec::new(), path: Path::default(), text_only: false };
    survey.container(0, false);
    survey.found
}

/// Whether MongoDB's fields cannot hold the object, but its JSON text can: a field name
/// begins with `$`, which the server, the Data API and drivers take for an operator or
/// another type, or holds NUL; or text is not valid Unicode.
pub fn needs_text(bytes: &[u8]) -> bool {
    let mut survey = Survey { bytes, found: Vec::new(), path: Path::default(), text_only: false };
    survey.container(0, false);
    survey.text_only
}

/// Where a walk is.
#[derive(Default)]
struct Path<'b>(Vec<Step<'b>>);

enum Step<'b> {
    Field(&'b [u8]),
    Position(usize),
}

impl Path<'_> {
    /// As text; with or without positions in lists.
    fn text(&self, positions: bool) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Field(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    let name = format::original_name(name);
                    text.push_str(&crate::error::excerpt(&String::from_utf8_lossy(&name), 60));
                }
                Step::Position(position) if positions => text.push_str(&format!("[{position}]")),
                Step::Position(_) => text.push_str("[]"),
            }
        }
        text
    }
}

struct Check<'b> {
    bytes: &'b [u8],
    found: Vec<Deviation>,
    path: Path<'b>,
}

impl<'b> Check<'b> {
    #[cold]
    fn add(&mut self, expected: String, actual: &'static str) {
        if self.found.len() < MAX_LISTED {
            let deviation = Deviation { path: self.path.text(true), field: self.path.text(false), expected, actual };
            self.found.push(deviation);
        }
    }

    /// Every object with ids of its own has one, but for a draft, and one of its own kind.
    fn id(&mut self, model: &Model, start: usize) {
        let text = |name| view::field(self.bytes, start, name).and_then(|place| view::text(self.bytes, place));
        let is_draft = text("status") == Some("draft");
        let (expected, actual) = match (view::field(self.bytes, start, "id"), text("id")) {
            (None, _) if !is_draft => ("a string".to_owned(), "nothing"),
            (Some(Place { element_type: NULL, .. }), _) if !is_draft => ("a string".to_owned(), "None"),
            (Some(_), Some("")) if !is_draft => ("a string".to_owned(), "an empty string"),
            (Some(_), Some(id)) => match model_of_id(id).filter(|other| other.name != model.name) {
                Some(other) => (format!("the id of an object of type {}", model.name), other.name),
                None => return,
            },
            // Any other value is looked at with the other fields.
            _ => return,
        };
        self.path.0.push(Step::Field(b"id"));
        self.add(expected, actual);
        self.path.0.pop();
    }

    fn object(&mut self, model: &Model, start: usize) {
        let mut near = 0;
        for (name, place) in view::elements(self.bytes, start) {
            self.path.0.push(Step::Field(name));
            match std::str::from_utf8(name).ok().and_then(|name| model.field(name, near)) {
                Some((position, field)) => {
                    near = position + 1;
                    self.value(&field.kind, place);
                }
                None => self.any(place),
            }
            self.path.0.pop();
        }
    }

    fn list(&mut self, start: usize, mut each: impl FnMut(&mut Self, Place)) {
        for (position, (_, place)) in view::elements(self.bytes, start).enumerate() {
            self.path.0.push(Step::Position(position));
            each(self, place);
            self.path.0.pop();
        }
    }

    fn value(&mut self, kind: &FieldKind, place: Place) {
        if place.element_type == NULL || self.is_redacted(place) {
            return;
        }
        match kind {
            FieldKind::Either(one, other) => {
                let kind = if fits(one, place.element_type) || !fits(other, place.element_type) { one } else { other };
                self.value(kind, place);
            }
            FieldKind::Any => self.any(place),
            kind if !fits(kind, place.element_type) => {
                self.add(expectation(kind), type_name(place.element_type));
            }
            FieldKind::Moment | FieldKind::Date => {
                let fits = |text: &str| text.is_empty() || moment::parse(text).is_some();
                if !view::text(self.bytes, place).is_some_and(fits) {
                    self.add(expectation(kind), "another string");
                }
            }
            FieldKind::Integer if place.element_type == 0x01 => {
                let number = self.bytes.get(place.start..place.end).and_then(|bytes| bytes.try_into().ok());
                if number.map(f64::from_le_bytes).is_none_or(|number| number.fract() != 0.0) {
                    self.add(expectation(kind), "float");
                }
            }
            FieldKind::Object(model) => self.object(model, place.start),
            FieldKind::List(kind) => self.list(place.start, |check, place| check.value(kind, place)),
            FieldKind::Mapping => self.any(place),
            _ => {}
        }
    }

    fn any(&mut self, place: Place) {
        match place.element_type {
            DOCUMENT => {
                for (name, place) in view::elements(self.bytes, place.start) {
                    self.path.0.push(Step::Field(name));
                    self.any(place);
                    self.path.0.pop();
                }
            }
            ARRAY => self.list(place.start, Self::any),
            NULL | STRING | BIG_INTEGER | 0x01 | 0x08 | 0x10 | 0x12 => {}
            other => self.add(expectation(&FieldKind::Any), type_name(other)),
        }
    }

    fn is_redacted(&self, place: Place) -> bool {
        view::text(self.bytes, place).is_some_and(is_redacted)
    }
}

/// Looks for what MongoDB's fields cannot hold.
struct Survey<'b> {
    bytes: &'b [u8],
    found: Vec<Problem>,
    path: Path<'b>,
    text_only: bool,
}

impl Survey<'_> {
    #[cold]
    fn add(&mut self, message: &str) {
        if self.found.len() < MAX_LISTED {
            self.found.push(Problem { path: self.path.text(true), message: message.to_owned() });
        }
    }

    fn container(&mut self, start: usize, array: bool) {
        if self.path.0.len() > MAX_DEPTH {
            return self.add("nested too deep: MongoDB stores up to 100 levels");
        }
        for (position, (name, place)) in view::elements(self.bytes, start).enumerate() {
            if !array {
                self.text_only |= name.first() == Some(&b'$') || name.contains(&0xc0) || !is_unicode(name);
            }
            self.path.0.push(if array { Step::Position(position) } else { Step::Field(name) });
            match place.element_type {
                DOCUMENT => self.container(place.start, false),
                ARRAY => self.container(place.start, true),
                BIG_INTEGER => self.add("an integer that needs more than 64 bits"),
                STRING => {
                    let value = self.bytes.get(place.start..place.end).unwrap_or_default();
                    self.text_only |= !is_unicode(format::string(value));
                }
                _ => {}
            }
            self.path.0.pop();
        }
    }
}

fn is_unicode(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok()
}

/// Whether a value of this type of BSON is of the outer form that a kind asks for.
pub fn fits(kind: &FieldKind, element_type: u8) -> bool {
    const INT32: u8 = 0x10;
    const INT64: u8 = 0x12;
    const DOUBLE: u8 = 0x01;
    match kind {
        FieldKind::Any => true,
        FieldKind::Text | FieldKind::Moment | FieldKind::Date => element_type == STRING,
        FieldKind::Integer | FieldKind::Number => matches!(element_type, INT32 | INT64 | DOUBLE | BIG_INTEGER),
        FieldKind::Level => matches!(element_type, STRING | INT32 | INT64 | BIG_INTEGER),
        FieldKind::Quantity => matches!(element_type, STRING | INT32 | INT64 | DOUBLE | BIG_INTEGER),
        FieldKind::Boolean => element_type == 0x08,
        FieldKind::Mapping | FieldKind::Object(_) => element_type == DOCUMENT,
        FieldKind::List(_) => element_type == ARRAY,
        FieldKind::Either(one, other) => fits(one, element_type) || fits(other, element_type),
    }
}

fn expectation(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Text => "a string".into(),
        FieldKind::Moment | FieldKind::Date => "a date or a date and time in ISO 8601 format".into(),
        FieldKind::Integer => "a whole number".into(),
        FieldKind::Number => "a number".into(),
        FieldKind::Quantity => "a number or a string".into(),
        FieldKind::Level => "a whole number or a string".into(),
        FieldKind::Boolean => "a bool".into(),
        FieldKind::Any => "a JSON value".into(),
        FieldKind::Mapping | FieldKind::Object(_) => "a dict".into(),
        FieldKind::List(_) => "a list".into(),
        FieldKind::Either(one, other) => format!("{} or {}", expectation(one), expectation(other)),
    }
}

/// The name of a type of BSON, as Python has it.
fn type_name(element_type: u8) -> &'static str {
    match element_type {
        0x01 => "float",
        STRING => "str",
        DOCUMENT => "dict",
        ARRAY => "list",
        0x05 => "bytes",
        0x07 => "ObjectId",
        0x08 => "bool",
        0x09 => "datetime",
        NULL => "None",
        0x0b => "Regex",
        0x10 | 0x12 | BIG_INTEGER => "int",
        0x11 => "Timestamp",
        0x13 => "Decimal128",
        _ => "another BSON type",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::events::asset_request::ASSET_REQUEST;

    fn different(document: bson::Document) -> Vec<String> {
        let raw = bson::RawDocumentBuf::try_from(&document).unwrap();
        let found = deviations(&ASSET_REQUEST, raw.as_bytes(), 0);
        found.into_iter().map(|one| format!("{}: {}", one.path, one.message())).collect()
    }

    #[test]
    fn every_deviation_is_listed_with_its_path_and_no_value() {
        let found = different(bson::doc! {
            "id": "PR-1",
            "status": 5,
            "created": "yesterday, secret",
            "asset": {"items": [{}, {"quantity": ["secret"]}], "params": {}, "tiers": {"customer": "secret"}},
            "unknown": {"deep": [bson::oid::ObjectId::new()]},
        });
        assert_eq!(
            found,
            [
                "status: expected a string, got int",
                "created: expected a date or a date and time in ISO 8601 format, got another string",
                "asset.items[1].quantity: expected a number or a string, got list",
                "asset.params: expected a list, got dict",
                "asset.tiers.customer: expected a dict, got str",
                "unknown.deep[0]: expected a JSON value, got ObjectId",
            ]
        );
    }

    #[test]
    fn an_object_has_an_id_unless_it_is_a_draft_and_null_is_allowed() {
        assert_eq!(different(bson::doc! {}), ["id: expected a string, got nothing"]);
        assert_eq!(different(bson::doc! {"id": null}), ["id: expected a string, got None"]);
        assert_eq!(different(bson::doc! {"id": ""}), ["id: expected a string, got an empty string"]);
        assert_eq!(different(bson::doc! {"id": 5}), ["id: expected a string, got int"]);
        assert!(different(bson::doc! {"status": "draft"}).is_empty());
        assert_eq!(
            different(bson::doc! {"id": "TCR-1"}),
            ["id: expected the id of an object of type AssetRequest, got TierConfigRequest"]
        );
        assert!(different(bson::doc! {"id": "x", "asset": null, "status": null, "new": [1, {"a": 1.5}]}).is_empty());
        assert!(different(bson::doc! {"id": "x", "assignee": ""}).is_empty());
        assert!(different(bson::doc! {"id": "x", "assignee": {"id": "UR-1"}}).is_empty());
    }

    #[test]
    fn a_redacted_value_is_no_deviation() {
        assert!(different(bson::doc! {"id": "x", "asset": "***", "created": "hmac-sha256:00"}).is_empty());
    }

    #[test]
    fn a_field_without_positions_groups_deviations() {
        let raw = bson::rawdoc! {"id": "x", "asset": {"items": [{"mpn": 1}]}};
        assert_eq!(deviations(&ASSET_REQUEST, raw.as_bytes(), 0)[0].field, "asset.items[].mpn");
    }

    #[test]
    fn deep_nesting_and_big_integers_cannot_be_stored() {
        let mut deep = bson::doc! {};
        for _ in 0..150 {
            deep = bson::doc! {"a": deep};
        }
        let raw = bson::RawDocumentBuf::try_from(&deep).unwrap();
        let found = unstorable(raw.as_bytes());
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("nested too deep"));
        let raw = bson::RawDocumentBuf::try_from(&bson::doc! {"a": [bson::Bson::Symbol("1".repeat(30))]}).unwrap();
        assert_eq!(unstorable(raw.as_bytes())[0].path, "a[0]");
        assert!(unstorable(bson::rawdoc! {"a": {"b": 1}}.as_bytes()).is_empty());
    }

    #[test]
    fn operators_and_broken_text_need_the_text_form() {
        assert!(needs_text(bson::rawdoc! {"a": [{"$oid": "x"}]}.as_bytes()));
        assert!(needs_text(bson::rawdoc! {"$ref": "x"}.as_bytes()));
        assert!(!needs_text(bson::rawdoc! {"a$": "$x", "a.b": 1, "": 2}.as_bytes()));
    }
}
