//! Whether an object is what its model says. It is read as BSON, where it
//! lies; nothing is made of it but what is wrong.

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use super::moment;
use super::schema::{Kind, Model};

/// The deepest nesting that MongoDB stores.
pub const MAX_DEPTH: usize = 100;
/// The most problems that are listed.
const MOST_PROBLEMS: usize = 50;

/// Something that is wrong with an object. It holds nothing of the object's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `asset.items[2].quantity`; empty for the object itself.
    pub path: String,
    /// What.
    pub message: String,
}

/// What is wrong with an object of this model.
pub fn problems(model: &Model, document: &RawDocument) -> Vec<Problem> {
    let mut check = Check { problems: Vec::new(), path: Vec::new() };
    if model.identified {
        match document.get("id") {
            Ok(Some(RawBsonRef::String(""))) => check.add_at("id", "must not be empty"),
            Ok(Some(RawBsonRef::Null) | None) => check.add_at("id", "is missing"),
            // Anything else is found with the other fields.
            _ => {}
        }
    }
    check.object(model, document);
    check.problems
}

/// What is wrong with a JSON object of which no model is known.
pub fn problems_of_any(document: &RawDocument) -> Vec<Problem> {
    let mut check = Check { problems: Vec::new(), path: Vec::new() };
    check.any_object(document);
    check.problems
}

enum Step<'d> {
    Field(&'d str),
    Place(usize),
}

struct Check<'d> {
    problems: Vec<Problem>,
    path: Vec<Step<'d>>,
}

impl<'d> Check<'d> {
    fn add_at(&mut self, field: &'d str, message: &str) {
        self.path.push(Step::Field(field));
        self.add(message);
        self.path.pop();
    }

    #[cold]
    fn add(&mut self, message: &str) {
        if self.problems.len() == MOST_PROBLEMS {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(&shown(name)),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(&shown(name));
                }
                Step::Place(place) => path.push_str(&format!("[{place}]")),
            }
        }
        self.problems.push(Problem { path, message: message.to_owned() });
    }

    #[cold]
    fn expected(&mut self, what: &str, value: RawBsonRef<'_>) {
        self.add(&format!("expected {what}, got {}", name_of(value)));
    }

    fn object(&mut self, model: &Model, document: &'d RawDocument) {
        if self.path.len() >= MAX_DEPTH {
            return self.add("nested too deep");
        }
        let mut near = 0;
        for element in document {
            let Ok((name, value)) = element else { return self.add("cannot be read") };
            let name = name.as_str();
            self.path.push(Step::Field(name));
            match model.field(name, near) {
                Some((place, field)) => {
                    near = place + 1;
                    self.value(&field.kind, value);
                }
                None => self.any(value),
            }
            self.path.pop();
        }
    }

    fn any_object(&mut self, document: &'d RawDocument) {
        if self.path.len() >= MAX_DEPTH {
            return self.add("nested too deep");
        }
        for element in document {
            let Ok((name, value)) = element else { return self.add("cannot be read") };
            self.path.push(Step::Field(name.as_str()));
            self.any(value);
            self.path.pop();
        }
    }

    fn list(&mut self, array: &'d RawArray, mut each: impl FnMut(&mut Self, RawBsonRef<'d>)) {
        if self.path.len() >= MAX_DEPTH {
            return self.add("nested too deep");
        }
        for (place, value) in array.into_iter().enumerate() {
            let Ok(value) = value else { return self.add("cannot be read") };
            self.path.push(Step::Place(place));
            each(self, value);
            self.path.pop();
        }
    }

    fn value(&mut self, kind: &Kind, value: RawBsonRef<'d>) {
        match (kind, value) {
            (_, RawBsonRef::Null)
            | (Kind::Text, RawBsonRef::String(_))
            | (Kind::Integer, RawBsonRef::Int32(_) | RawBsonRef::Int64(_))
            | (Kind::Number, RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_))
            | (Kind::Level, RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::String(_))
            | (
                Kind::Quantity,
                RawBsonRef::String(_) | RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_),
            )
            | (Kind::Boolean, RawBsonRef::Boolean(_)) => {}
            (Kind::Integer, RawBsonRef::Double(number)) if number.fract() == 0.0 => {}
            (Kind::Moment | Kind::Date, RawBsonRef::String(text)) => {
                if !text.is_empty() && moment::parse(text).is_none() {
                    self.add("expected a date and time of ISO 8601, got a string that is none");
                }
            }
            (Kind::Object(model), RawBsonRef::Document(document)) => self.object(model, document),
            (Kind::List(kind), RawBsonRef::Array(array)) => self.list(array, |check, value| check.value(kind, value)),
            (Kind::Mapping, RawBsonRef::Document(document)) => self.any_object(document),
            (Kind::Any, value) => self.any(value),
            (Kind::Either(one, other), value) => {
                let kind = if fits(one, value) || !fits(other, value) { one } else { other };
                self.value(kind, value);
            }
            (kind, value) => self.expected(&expectation(kind), value),
        }
    }

    fn any(&mut self, value: RawBsonRef<'d>) {
        match value {
            RawBsonRef::Document(document) => self.any_object(document),
            RawBsonRef::Array(array) => self.list(array, Self::any),
            RawBsonRef::Null
            | RawBsonRef::String(_)
            | RawBsonRef::Boolean(_)
            | RawBsonRef::Int32(_)
            | RawBsonRef::Int64(_)
            | RawBsonRef::Double(_) => {}
            other => self.expected("a value of JSON", other),
        }
    }
}

/// Whether a value is of the outer form that a kind asks for.
pub fn fits(kind: &Kind, value: RawBsonRef<'_>) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Text | Kind::Moment | Kind::Date => matches!(value, RawBsonRef::String(_)),
        Kind::Integer | Kind::Number => {
            matches!(value, RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_))
        }
        Kind::Quantity | Kind::Level => {
            matches!(value, RawBsonRef::String(_) | RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_))
        }
        Kind::Boolean => matches!(value, RawBsonRef::Boolean(_)),
        Kind::Mapping | Kind::Object(_) => matches!(value, RawBsonRef::Document(_)),
        Kind::List(_) => matches!(value, RawBsonRef::Array(_)),
        Kind::Either(one, other) => fits(one, value) || fits(other, value),
    }
}

fn expectation(kind: &Kind) -> String {
    match kind {
        Kind::Text => "a string".into(),
        Kind::Moment | Kind::Date => "a string with a date and time".into(),
        Kind::Integer => "a whole number".into(),
        Kind::Number => "a number".into(),
        Kind::Quantity => "a number, or a string".into(),
        Kind::Level => "a whole number, or a string".into(),
        Kind::Boolean => "a bool".into(),
        Kind::Any => "a value of JSON".into(),
        Kind::Mapping | Kind::Object(_) => "a dict".into(),
        Kind::List(_) => "a list".into(),
        Kind::Either(one, other) => format!("{}, or {}", expectation(one), expectation(other)),
    }
}

/// A field's name for a message.
fn shown(name: &str) -> String {
    crate::error::excerpt(name, 60)
}

/// A value's type, as Python names it.
fn name_of(value: RawBsonRef<'_>) -> &'static str {
    match value {
        RawBsonRef::Double(_) => "float",
        RawBsonRef::String(_) => "str",
        RawBsonRef::Document(_) => "dict",
        RawBsonRef::Array(_) => "list",
        RawBsonRef::Boolean(_) => "bool",
        RawBsonRef::Null => "None",
        RawBsonRef::Int32(_) | RawBsonRef::Int64(_) => "int",
        RawBsonRef::DateTime(_) => "datetime",
        RawBsonRef::ObjectId(_) => "ObjectId",
        RawBsonRef::Binary(_) => "bytes",
        RawBsonRef::RegularExpression(_) => "Regex",
        RawBsonRef::Decimal128(_) => "Decimal128",
        RawBsonRef::Timestamp(_) => "Timestamp",
        _ => "another type of BSON",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::events::asset_request::ASSET_REQUEST;

    fn wrong(document: bson::Document) -> Vec<String> {
        let raw = bson::RawDocumentBuf::try_from(&document).unwrap();
        problems(&ASSET_REQUEST, &raw).into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn every_problem_is_listed_with_its_path_and_no_value() {
        let found = wrong(bson::doc! {
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
                "created: expected a date and time of ISO 8601, got a string that is none",
                "asset.items[1].quantity: expected a number, or a string, got list",
                "asset.params: expected a list, got dict",
                "asset.tiers.customer: expected a dict, got str",
                "unknown.deep[0]: expected a value of JSON, got ObjectId",
            ]
        );
    }

    #[test]
    fn an_id_is_needed_and_null_is_allowed_elsewhere() {
        assert_eq!(wrong(bson::doc! {}), ["id: is missing"]);
        assert_eq!(wrong(bson::doc! {"id": null}), ["id: is missing"]);
        assert_eq!(wrong(bson::doc! {"id": ""}), ["id: must not be empty"]);
        assert_eq!(wrong(bson::doc! {"id": 5}), ["id: expected a string, got int"]);
        assert!(wrong(bson::doc! {"id": "x", "asset": null, "status": null, "new_field": [1, {"a": 1.5}]}).is_empty());
        assert!(wrong(bson::doc! {"id": "x", "assignee": ""}).is_empty());
        assert!(wrong(bson::doc! {"id": "x", "assignee": {"id": "UR-1"}}).is_empty());
        assert_eq!(wrong(bson::doc! {"id": "x", "assignee": 1}), ["assignee: expected a string, got int"]);
    }

    #[test]
    fn nesting_has_an_end() {
        let mut deep = bson::doc! {};
        for _ in 0..150 {
            deep = bson::doc! {"a": deep};
        }
        let found = wrong(bson::doc! {"id": "x", "a": deep});
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("nested too deep"));
    }
}
