//! The rule of a permission: which documents, which of their fields, and of which form.

pub mod condition;
pub mod fields;
mod number;
pub mod schema;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use crate::codec::ejson;
pub use condition::{Condition, Template};
pub use fields::{FieldList, FieldPath};
pub use schema::Schema;

/// What a permission's rights apply to, within its collections.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    /// The documents; `None` for all.
    pub filter: Option<Template>,
    /// The fields; `None` for all.
    pub fields: Option<FieldList>,
    /// The form of written documents; `None` for any.
    pub schema: Option<Schema>,
}

impl Rule {
    /// Whether the rule restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.filter.is_none() && self.fields.is_none() && self.schema.is_none()
    }
}

impl Rule {
    /// Creates a rule from the text of its parts: Extended JSON, paths, and JSON.
    ///
    /// # Errors
    /// What is wrong with a part.
    pub fn parse(
        filter: Option<&str>,
        allow: Option<Vec<String>>,
        deny: Option<Vec<String>>,
        schema: Option<&str>,
    ) -> Result<Self, String> {
        let fields = match (allow, deny) {
            (None, None) => None,
            (allow, deny) => Some(FieldList::new(allow, deny).map_err(|problem| format!("fields: {problem}"))?),
        };
        Ok(Self {
            filter: filter.map(parse_filter).transpose()?,
            fields,
            schema: schema.map(parse_schema).transpose()?,
        })
    }
}

fn parse_filter(text: &str) -> Result<Template, String> {
    let document = ejson::parse_document(text.as_bytes()).map_err(|_| "filter: it must be Extended JSON".to_owned())?;
    Template::parse(&document).map_err(|problem| format!("filter: {problem}"))
}

fn parse_schema(text: &str) -> Result<Schema, String> {
    let value = serde_json::from_str(text).map_err(|_| "schema: it must be JSON".to_owned())?;
    Schema::new(value).map_err(|problem| format!("schema: {problem}"))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(filter) = &self.filter {
            write!(f, " where {filter}")?;
        }
        if let Some(fields) = &self.fields {
            write!(f, " {fields}")?;
        }
        if self.schema.is_some() {
            f.write_str(" with a schema")?;
        }
        Ok(())
    }
}

/// Reads a field that is present: unlike an `Option`, it rejects `null`, which must not remove a
/// restriction.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(source: D) -> Result<Option<T>, D::Error> {
    T::deserialize(source).map(Some)
}

/// A JSON document: a table of TOML, an object of JSON, or the text of either form of JSON.
struct JsonDocument(Value);

impl<'de> Deserialize<'de> for JsonDocument {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let value = match Value::deserialize(source)? {
            Value::String(text) => {
                serde_json::from_str(&text).map_err(|_| D::Error::custom("the text must be a JSON object"))?
            }
            other => other,
        };
        match value {
            Value::Object(_) if !has_toml_date(&value) => Ok(Self(value)),
            Value::Object(_) => Err(D::Error::custom("a date must be written as { \"$date\" = \"…\" }")),
            _ => Err(D::Error::custom("it must be an object, or a string with its JSON")),
        }
    }
}

/// Whether a value contains a date of TOML, which JSON does not have.
fn has_toml_date(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.starts_with("$__toml_private") || has_toml_date(value))
        }
        Value::Array(items) => items.iter().any(has_toml_date),
        _ => false,
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let JsonDocument(value) = JsonDocument::deserialize(source)?;
        parse_filter(&value.to_string()).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let JsonDocument(value) = JsonDocument::deserialize(source)?;
        Self::new(value).map_err(|problem| D::Error::custom(format!("schema: {problem}")))
    }
}
