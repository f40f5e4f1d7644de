//! The `schema` of a rule: a JSON Schema that written documents must conform to.
//!
//! The keywords are those that check one document by itself, and MongoDB's `bsonType`. An unknown
//! keyword is an error, so that none goes unchecked. A complete implementation, with `$ref` and
//! formats, would add a tenth to the size of the package.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use bson::{RawBsonRef, RawDocument};
use regex_lite::Regex;
use serde_json::{Map, Value};

use super::number::Number;
use crate::error::excerpt;

/// Keywords without an effect on validation.
const ANNOTATIONS: [&str; 9] =
    ["$comment", "$id", "$schema", "default", "deprecated", "description", "examples", "readOnly", "title"];
/// The keywords that say of a document only which fields it has and what each of them is, so that
/// a change of some fields can be checked without the rest.
const INDEPENDENT_KEYWORDS: [&str; 6] =
    ["additionalProperties", "bsonType", "patternProperties", "properties", "required", "type"];
/// How deep a schema may nest.
const MAX_DEPTH: usize = 30;
/// The names of `type`.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];
/// The names of `bsonType`.
const BSON_TYPES: [&str; 13] = [
    "array", "binData", "bool", "date", "decimal", "double", "int", "long", "null", "number", "object", "objectId",
    "string",
];

/// A JSON Schema.
#[derive(Clone)]
pub struct Schema {
    source: Value,
    root: Arc<Node>,
    /// Whether the schema relates no field to another one.
    is_independent: bool,
    /// Whether the schema says what the `_id` of a document is.
    concerns_id: bool,
}

/// A schema within a schema.
enum Node {
    /// `true` and `false`.
    Always(bool),
    Checks(Vec<Check>),
}

/// A keyword with its argument.
enum Check {
    Type(Vec<String>),
    BsonType(Vec<String>),
    Enum(Vec<Value>),
    Minimum { limit: Number, exclusive: bool },
    Maximum { limit: Number, exclusive: bool },
    Length { minimum: usize, maximum: usize, keyword: &'static str },
    Pattern(Regex),
    Items(Node),
    Required(Vec<String>),
    Properties { named: Vec<(String, Node)>, patterns: Vec<(Regex, Node)>, others: Node },
    AllOf(Vec<Node>),
    AnyOf(Vec<Node>),
    OneOf(Vec<Node>),
    Not(Node),
}

/// Where a value does not conform, and to which keyword.
struct Problem {
    path: String,
    keyword: &'static str,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn new(source: Value) -> Result<Self, String> {
        let root = Arc::new(Node::parse(&source, 0)?);
        let is_independent = source.as_object().is_some_and(|keywords| {
            keywords
                .keys()
                .all(|name| INDEPENDENT_KEYWORDS.contains(&name.as_str()) || ANNOTATIONS.contains(&name.as_str()))
        });
        let concerns_id = concerns_id(&source);
        Ok(Self { source, root, is_independent, concerns_id })
    }

    /// Whether only a document that has its `_id` can be checked: MongoDB or a filter would supply another one.
    pub fn concerns_id(&self) -> bool {
        self.concerns_id
    }

    /// Checks a document.
    ///
    /// # Errors
    /// Where it does not conform.
    pub fn check(&self, document: &RawDocument) -> Result<(), String> {
        self.root.check(RawBsonRef::Document(document), "", true).map_err(describe)
    }

    /// Checks the fields that an update sets in documents that conform.
    ///
    /// # Errors
    /// Where they do not conform; `None` if the schema does not allow to tell.
    pub fn check_changes(&self, set: &RawDocument) -> Result<(), Option<String>> {
        if !self.is_independent {
            return Err(None);
        }
        self.root.check(RawBsonRef::Document(set), "", false).map_err(|problem| Some(describe(problem)))
    }

    /// Whether an update may remove a field, as far as the schema allows to tell.
    pub fn may_remove(&self, name: &str) -> bool {
        let required = self.source.get("required").and_then(Value::as_array);
        let is_required = required.is_some_and(|names| names.iter().any(|required| required.as_str() == Some(name)));
        self.is_independent && !is_required
    }
}

// The value itself stays out of messages.
fn describe(Problem { path, keyword }: Problem) -> String {
    let place = if path.is_empty() { "the document".to_owned() } else { format!("'{}'", excerpt(&path, 128)) };
    format!("{place} does not conform to the schema of the caller's rule: '{keyword}'")
}

impl Node {
    fn parse(schema: &Value, depth: usize) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
        }
        match schema {
            Value::Bool(always) => Ok(Self::Always(*always)),
            Value::Object(keywords) => {
                let mut checks = Vec::new();
                for (name, argument) in keywords {
                    checks.extend(parse_keyword(keywords, name, argument, depth)?);
                }
                Ok(Self::Checks(checks))
            }
            _ => Err("a schema must be an object or a boolean".to_owned()),
        }
    }

    /// Checks a value. `whole` is false for fields that are a part of a document.
    fn check(&self, value: RawBsonRef<'_>, path: &str, whole: bool) -> Result<(), Problem> {
        match self {
            Self::Always(true) => Ok(()),
            Self::Always(false) => Err(Problem { path: path.to_owned(), keyword: "false" }),
            Self::Checks(checks) => checks.iter().try_for_each(|check| match check {
                Check::Required(_) if !whole => Ok(()),
                check => check.check(value, path),
            }),
        }
    }

    fn conforms(&self, value: RawBsonRef<'_>, path: &str) -> bool {
        self.check(value, path, true).is_ok()
    }
}

/// Whether a schema of documents says what their `_id` is.
fn concerns_id(schema: &Value) -> bool {
    let Some(keywords) = schema.as_object() else { return false };
    keywords.iter().any(|(name, argument)| match name.as_str() {
        "properties" => argument.get("_id").is_some(),
        "patternProperties" => argument
            .as_object()
            .is_some_and(|patterns| patterns.keys().any(|pattern| regex(pattern).is_ok_and(|it| it.is_match("_id")))),
        "const" | "enum" => true,
        "not" => concerns_id(argument),
        "allOf" | "anyOf" | "oneOf" => argument.as_array().is_some_and(|all| all.iter().any(concerns_id)),
        _ => false,
    })
}

fn parse_keyword(
    keywords: &Map<String, Value>,
    name: &str,
    argument: &Value,
    depth: usize,
) -> Result<Option<Check>, String> {
    let wrong = |expected: &str| format!("'{name}' must be {expected}");
    let nodes = || match argument {
        Value::Array(schemas) if !schemas.is_empty() => {
            schemas.iter().map(|schema| Node::parse(schema, depth + 1)).collect::<Result<Vec<_>, _>>()
        }
        _ => Err(wrong("an array of schemas")),
    };
    let number = || argument.as_number().and_then(Number::of_json).ok_or_else(|| wrong("a number"));
    let size = || argument.as_u64().and_then(|size| usize::try_from(size).ok()).ok_or_else(|| wrong("an integer"));
    let names = |argument: &Value| match argument {
        Value::Array(names) => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            names.ok_or_else(|| wrong("an array of strings"))
        }
        _ => Err(wrong("an array of strings")),
    };
    let types = |known: &[&str]| {
        let types = match argument {
            Value::String(one) => vec![one.clone()],
            several => names(several)?,
        };
        match types.iter().all(|name| known.contains(&name.as_str())) {
            true => Ok(types),
            false => Err(wrong(&format!("one or several of {}", known.join(", ")))),
        }
    };
    Ok(Some(match name {
        "type" => Check::Type(types(&TYPES)?),
        "bsonType" => Check::BsonType(types(&BSON_TYPES)?),
        "enum" => Check::Enum(argument.as_array().ok_or_else(|| wrong("an array"))?.clone()),
        "const" => Check::Enum(vec![argument.clone()]),
        "minimum" => Check::Minimum { limit: number()?, exclusive: false },
        "exclusiveMinimum" => Check::Minimum { limit: number()?, exclusive: true },
        "maximum" => Check::Maximum { limit: number()?, exclusive: false },
        "exclusiveMaximum" => Check::Maximum { limit: number()?, exclusive: true },
        "minLength" => Check::Length { minimum: size()?, maximum: usize::MAX, keyword: "minLength" },
        "maxLength" => Check::Length { minimum: 0, maximum: size()?, keyword: "maxLength" },
        "minItems" => Check::Length { minimum: size()?, maximum: usize::MAX, keyword: "minItems" },
        "maxItems" => Check::Length { minimum: 0, maximum: size()?, keyword: "maxItems" },
        "minProperties" => Check::Length { minimum: size()?, maximum: usize::MAX, keyword: "minProperties" },
        "maxProperties" => Check::Length { minimum: 0, maximum: size()?, keyword: "maxProperties" },
        "pattern" => Check::Pattern(regex(argument.as_str().ok_or_else(|| wrong("a string"))?)?),
        "items" => Check::Items(Node::parse(argument, depth + 1)?),
        "required" => Check::Required(names(argument)?),
        "allOf" => Check::AllOf(nodes()?),
        "anyOf" => Check::AnyOf(nodes()?),
        "oneOf" => Check::OneOf(nodes()?),
        "not" => Check::Not(Node::parse(argument, depth + 1)?),
        "properties" => return parse_properties(keywords, depth).map(Some),
        // Parsed with `properties`, if the schema has it.
        "patternProperties" | "additionalProperties" if keywords.contains_key("properties") => return Ok(None),
        "patternProperties" => return parse_properties(keywords, depth).map(Some),
        "additionalProperties" if keywords.contains_key("patternProperties") => return Ok(None),
        "additionalProperties" => return parse_properties(keywords, depth).map(Some),
        _ if ANNOTATIONS.contains(&name) => return Ok(None),
        _ => return Err(format!("the keyword '{}' is not available", excerpt(name, 64))),
    }))
}

fn parse_properties(keywords: &Map<String, Value>, depth: usize) -> Result<Check, String> {
    let object = |name: &str| match keywords.get(name) {
        None => Ok(None),
        Some(Value::Object(schemas)) => Ok(Some(schemas)),
        Some(_) => Err(format!("'{name}' must be an object")),
    };
    let (mut named, mut patterns) = (Vec::new(), Vec::new());
    for (name, schema) in object("properties")?.into_iter().flatten() {
        named.push((name.clone(), Node::parse(schema, depth + 1)?));
    }
    for (pattern, schema) in object("patternProperties")?.into_iter().flatten() {
        patterns.push((regex(pattern)?, Node::parse(schema, depth + 1)?));
    }
    let others = match keywords.get("additionalProperties") {
        Some(schema) => Node::parse(schema, depth + 1)?,
        None => Node::Always(true),
    };
    Ok(Check::Properties { named, patterns, others })
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|_| {
        format!("the pattern '{}' cannot be used: it has neither look-around nor back-references", excerpt(pattern, 64))
    })
}

impl Check {
    fn check(&self, value: RawBsonRef<'_>, path: &str) -> Result<(), Problem> {
        let require = |holds: bool, keyword: &'static str| match holds {
            true => Ok(()),
            false => Err(Problem { path: path.to_owned(), keyword }),
        };
        match self {
            Self::Type(names) => require(names.iter().any(|name| is_type(value, name)), "type"),
            Self::BsonType(names) => require(names.iter().any(|name| is_bson_type(value, name)), "bsonType"),
            Self::Enum(values) => require(values.iter().any(|allowed| equals(value, allowed)), "enum"),
            Self::Minimum { limit, exclusive } => {
                require(is_within(value, *limit, Ordering::Greater, *exclusive), "minimum")
            }
            Self::Maximum { limit, exclusive } => {
                require(is_within(value, *limit, Ordering::Less, *exclusive), "maximum")
            }
            Self::Length { minimum, maximum, keyword } => {
                let length = match (value, &keyword[3..]) {
                    (RawBsonRef::String(text), "Length") => text.chars().count(),
                    (RawBsonRef::Array(items), "Items") => items.into_iter().count(),
                    // With and without the `_id` that MongoDB creates, a document has the same number.
                    (RawBsonRef::Document(document), "Properties") => {
                        let names = document.iter().flatten().map(|(name, _)| name);
                        names.filter(|name| !is_own_id(path, name.as_str())).count()
                    }
                    _ => return Ok(()),
                };
                require((*minimum..=*maximum).contains(&length), keyword)
            }
            Self::Pattern(pattern) => match value {
                RawBsonRef::String(text) => require(pattern.is_match(text), "pattern"),
                _ => Ok(()),
            },
            Self::Items(schema) => match value {
                RawBsonRef::Array(items) => items.into_iter().enumerate().try_for_each(|(index, item)| {
                    let path = format!("{path}/{index}");
                    match item {
                        Ok(item) => schema.check(item, &path, true),
                        Err(_) => Err(Problem { path, keyword: "items" }),
                    }
                }),
                _ => Ok(()),
            },
            Self::Required(names) => match value {
                RawBsonRef::Document(document) => {
                    require(names.iter().all(|name| matches!(document.get(name), Ok(Some(_)))), "required")
                }
                _ => Ok(()),
            },
            Self::Properties { named, patterns, others } => match value {
                RawBsonRef::Document(document) => check_properties(document, path, named, patterns, others),
                _ => Ok(()),
            },
            Self::AllOf(schemas) => schemas.iter().try_for_each(|schema| schema.check(value, path, true)),
            Self::AnyOf(schemas) => require(schemas.iter().any(|schema| schema.conforms(value, path)), "anyOf"),
            Self::OneOf(schemas) => {
                require(schemas.iter().filter(|schema| schema.conforms(value, path)).count() == 1, "oneOf")
            }
            Self::Not(schema) => require(!schema.conforms(value, path), "not"),
        }
    }
}

fn check_properties(
    document: &RawDocument,
    path: &str,
    named: &[(String, Node)],
    patterns: &[(Regex, Node)],
    others: &Node,
) -> Result<(), Problem> {
    for field in document {
        let Ok((name, value)) = field else {
            return Err(Problem { path: path.to_owned(), keyword: "properties" });
        };
        let name = name.as_str();
        let is_own_id = is_own_id(path, name);
        let path = format!("{path}/{name}");
        let mut known = false;
        for schema in named.iter().filter(|(known, _)| known == name).map(|(_, schema)| schema) {
            known = true;
            schema.check(value, &path, true)?;
        }
        for schema in patterns.iter().filter(|(pattern, _)| pattern.is_match(name)).map(|(_, schema)| schema) {
            known = true;
            schema.check(value, &path, true)?;
        }
        // The gateway creates `_id`, as MongoDB does, so that no schema needs to name it.
        if !known && !is_own_id {
            others.check(value, &path, true).map_err(|problem| match problem.keyword {
                "false" => Problem { keyword: "additionalProperties", ..problem },
                _ => problem,
            })?;
        }
    }
    Ok(())
}

/// Whether a field is the `_id` of the whole document, and not of one within it.
fn is_own_id(path_of_document: &str, name: &str) -> bool {
    path_of_document.is_empty() && name == "_id"
}

/// Whether a value is no number, or one on this side of the limit. Numbers that cannot be compared exactly are not.
fn is_within(value: RawBsonRef<'_>, limit: Number, side: Ordering, exclusive: bool) -> bool {
    match Number::of(value) {
        Some(number) => {
            number.compare(limit).is_some_and(|order| order == side || (!exclusive && order == Ordering::Equal))
        }
        None => !is_decimal(value),
    }
}

fn is_type(value: RawBsonRef<'_>, name: &str) -> bool {
    match name {
        "array" => matches!(value, RawBsonRef::Array(_)),
        "boolean" => matches!(value, RawBsonRef::Boolean(_)),
        "integer" => match value {
            RawBsonRef::Int32(_) | RawBsonRef::Int64(_) => true,
            RawBsonRef::Double(number) => number.is_finite() && number.fract() == 0.0,
            _ => false,
        },
        "null" => matches!(value, RawBsonRef::Null),
        "number" => Number::of(value).is_some() || is_decimal(value),
        "object" => matches!(value, RawBsonRef::Document(_)),
        "string" => matches!(value, RawBsonRef::String(_)),
        _ => false,
    }
}

fn is_bson_type(value: RawBsonRef<'_>, name: &str) -> bool {
    match name {
        "array" | "null" | "object" | "string" | "number" => is_type(value, name),
        "binData" => matches!(value, RawBsonRef::Binary(_)),
        "bool" => matches!(value, RawBsonRef::Boolean(_)),
        "date" => matches!(value, RawBsonRef::DateTime(_)),
        "decimal" => is_decimal(value),
        "double" => matches!(value, RawBsonRef::Double(_)),
        "int" => matches!(value, RawBsonRef::Int32(_)),
        "long" => matches!(value, RawBsonRef::Int64(_)),
        "objectId" => matches!(value, RawBsonRef::ObjectId(_)),
        _ => false,
    }
}

fn is_decimal(value: RawBsonRef<'_>) -> bool {
    matches!(value, RawBsonRef::Decimal128(_))
}

fn equals(value: RawBsonRef<'_>, constant: &Value) -> bool {
    match (value, constant) {
        (RawBsonRef::Null, Value::Null) => true,
        (RawBsonRef::Boolean(value), Value::Bool(constant)) => value == *constant,
        (RawBsonRef::String(value), Value::String(constant)) => value == constant,
        (_, Value::Number(constant)) => {
            let numbers = Number::of(value).zip(Number::of_json(constant));
            numbers.is_some_and(|(value, constant)| value.compare(constant) == Some(Ordering::Equal))
        }
        (RawBsonRef::Array(items), Value::Array(constants)) => {
            let items: Vec<_> = items.into_iter().flatten().collect();
            items.len() == constants.len() && items.into_iter().zip(constants).all(|(item, c)| equals(item, c))
        }
        (RawBsonRef::Document(document), Value::Object(constants)) => {
            document.iter().count() == constants.len()
                && document
                    .iter()
                    .flatten()
                    .all(|(name, value)| constants.get(name.as_str()).is_some_and(|constant| equals(value, constant)))
        }
        _ => false,
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.source)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::new(serde_json::from_str(text).unwrap()).unwrap()
    }

    fn conforms(schema: &Schema, document: bson::Document) -> bool {
        schema.check(RawDocument::from_bytes(&bson::serialize_to_vec(&document).unwrap()).unwrap()).is_ok()
    }

    #[test]
    fn a_schema_that_says_what_the_id_is_needs_it() {
        for text in [
            r#"{"properties": {"_id": {}}}"#,
            r#"{"patternProperties": {"^_": {"type": "integer"}}}"#,
            r#"{"allOf": [{"not": {"properties": {"_id": {"type": "string"}}}}]}"#,
            r#"{"enum": [{"n": 1}]}"#,
        ] {
            assert!(schema(text).concerns_id(), "{text}");
        }
        let within =
            r#"{"properties": {"n": {"properties": {"_id": {}}}}, "additionalProperties": false, "maxProperties": 1}"#;
        assert!(!schema(within).concerns_id());
        assert!(conforms(&schema(within), bson::doc! { "_id": 1, "n": 1 }));
        assert!(!conforms(&schema(r#"{"maxProperties": 1}"#), bson::doc! { "_id": 1, "n": 1, "m": 1 }));
    }

    #[test]
    fn the_id_of_an_embedded_document_is_a_field_like_others() {
        let closed = r#"{"properties": {"a": {}}, "additionalProperties": false}"#;
        for meta in [closed.to_owned(), format!(r#"{{"anyOf": [{closed}]}}"#), format!(r#"{{"oneOf": [{closed}]}}"#)] {
            let schema = schema(&format!(r#"{{"properties": {{"meta": {meta}}}}}"#));
            assert!(conforms(&schema, bson::doc! { "meta": { "a": 1 } }), "{meta}");
            assert!(!conforms(&schema, bson::doc! { "meta": { "_id": 1 } }), "{meta}");
        }
        let open = schema(r#"{"properties": {"k": {"not": {"additionalProperties": false}}}}"#);
        assert!(conforms(&open, bson::doc! { "k": { "_id": 1 } }));
        let whole = schema(&format!(r#"{{"anyOf": [{closed}]}}"#));
        assert!(conforms(&whole, bson::doc! { "_id": 1, "a": 1 }));
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let exact = 1_i64 << 53;
        let n = |keyword: &str| schema(&format!(r#"{{"properties": {{"n": {{"{keyword}": {exact}}}}}}}"#));
        assert!(conforms(&n("maximum"), bson::doc! { "n": exact }));
        assert!(!conforms(&n("maximum"), bson::doc! { "n": exact + 1 }));
        assert!(!conforms(&n("exclusiveMinimum"), bson::doc! { "n": exact }));
        assert!(conforms(&n("exclusiveMinimum"), bson::doc! { "n": exact + 1 }));
        assert!(conforms(&n("const"), bson::doc! { "n": exact as f64 }));
        let odd = schema(&format!(r#"{{"properties": {{"n": {{"enum": [{}]}}}}}}"#, exact + 1));
        assert!(!conforms(&odd, bson::doc! { "n": exact as f64 }));
        assert!(!conforms(&n("maximum"), bson::doc! { "n": f64::NAN }));
        assert!(conforms(&n("maximum"), bson::doc! { "n": "text" }));
    }
}
