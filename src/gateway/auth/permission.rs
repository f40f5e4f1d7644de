//! Permissions: which rights a caller has, and for which collections.

use std::fmt;
use std::sync::Arc;

use bson::{Document, doc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::logins::Provider;
use super::rule::{self, FieldList, Rule, Schema, Template};

/// An operation that a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Right {
    /// `findOne`, `find` and `aggregate`.
    Read,
    /// Inserts, updates, replacements and deletes.
    Write,
    /// Server-side JavaScript: `$where`, `$function`, `$accumulator`.
    Code,
    /// `$out` and `$merge`, into collections for which the caller also has [`Right::Write`].
    Out,
    /// Stages with information on the server: `$collStats`, `$indexStats` and others.
    Stats,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Code, Self::Out, Self::Stats];

    /// The name of the right in a key file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Code => "code",
            Self::Out => "out",
            Self::Stats => "stats",
        }
    }

    /// Returns the right of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }
}

// Only from a string: a derived implementation would also accept `{"read": null}`.
impl TryFrom<String> for Right {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::from_name(&name).ok_or("a right must be one of read, write, code, out, stats")
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name in which each `*` matches any text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Creates a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the pattern matches `name`.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        // A pattern without a star matches only itself.
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(start) => rest = &rest[start + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new("*")
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rights for the collections that match three patterns.
#[derive(Debug, Clone, PartialEq)]
pub struct Permission {
    /// The data sources.
    pub data_source: Pattern,
    /// The databases.
    pub database: Pattern,
    /// The collections.
    pub collection: Pattern,
    /// The rights.
    pub allow: Vec<Right>,
    /// What the rights apply to; `None` for everything.
    pub rule: Option<Arc<Rule>>,
}

/// The fields of a permission.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default)]
    data_source: Pattern,
    #[serde(default)]
    database: Pattern,
    #[serde(default)]
    collection: Pattern,
    allow: Vec<Right>,
    #[serde(default, deserialize_with = "rule::present")]
    filter: Option<Template>,
    #[serde(default, deserialize_with = "rule::present")]
    fields: Option<FieldList>,
    #[serde(default, deserialize_with = "rule::present")]
    schema: Option<Schema>,
}

// Only from a map: a derived implementation would also accept an array of the fields' values.
impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a permission with allow, data_source, database and collection")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map))
            }
        }

        let Fields { data_source, database, collection, allow, filter, fields, schema } =
            source.deserialize_map(FieldsVisitor)?;
        let rule = Rule { filter, fields, schema };
        Ok(Self { data_source, database, collection, allow, rule: (!rule.is_empty()).then(|| Arc::new(rule)) })
    }
}

impl Permission {
    fn covers(&self, right: Right, data_source: &str, database: &str, collection: &str) -> bool {
        self.allow.contains(&right)
            && self.data_source.matches(data_source)
            && self.database.matches(database)
            && self.collection.matches(collection)
    }

    /// [`Right::Read`] and [`Right::Write`] for all collections.
    pub fn all() -> Self {
        let any = Pattern::default;
        Self {
            data_source: any(),
            database: any(),
            collection: any(),
            allow: vec![Right::Read, Right::Write],
            rule: None,
        }
    }

    /// Parses `DATA_SOURCE/DATABASE/COLLECTION`; parts omitted at the end are `*`. Returns `None`
    /// if the text has another form.
    pub fn parse(text: &str, allow: Vec<Right>) -> Option<Self> {
        let mut parts = text.split('/');
        let mut next = || parts.next().map_or_else(Pattern::default, Pattern::new);
        let permission = Self { data_source: next(), database: next(), collection: next(), allow, rule: None };
        let patterns = [&permission.data_source, &permission.database, &permission.collection];
        (parts.next().is_none() && patterns.iter().all(|pattern| !pattern.0.is_empty())).then_some(permission)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights: Vec<&str> = self.allow.iter().map(|right| right.name()).collect();
        write!(f, "{} on {}/{}/{}", rights.join(","), self.data_source, self.database, self.collection)?;
        match &self.rule {
            Some(rule) => rule.fmt(f),
            None => Ok(()),
        }
    }
}

/// What a caller may access with a right on a collection.
#[derive(Debug, Clone, PartialEq)]
pub enum Grant<'c> {
    /// Nothing.
    Denied,
    /// Everything.
    Unrestricted,
    /// What the rules of the matching permissions allow.
    Restricted(Vec<&'c Rule>),
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name of the key, or `token:` and the subject of the token.
    pub name: Arc<str>,
    /// The caller's permissions.
    pub permissions: Arc<[Permission]>,
    /// What is known of the caller: `id` and `type`, and the claims of a token.
    pub user: Arc<Document>,
}

impl Caller {
    /// The caller of an API key.
    pub fn of_key(name: &str, permissions: Arc<[Permission]>) -> Self {
        Self { name: name.into(), permissions, user: Arc::new(doc! { "id": name, "type": Provider::ApiKey.name() }) }
    }

    /// Whether a permission allows this, for some documents at least.
    pub fn has(&self, right: Right, data_source: &str, database: &str, collection: &str) -> bool {
        self.permissions.iter().any(|permission| permission.covers(right, data_source, database, collection))
    }

    /// Whether a permission has a rule.
    pub fn has_rules(&self) -> bool {
        self.permissions.iter().any(|permission| permission.rule.is_some())
    }

    /// What the caller may access with a right.
    pub fn grant(&self, right: Right, data_source: &str, database: &str, collection: &str) -> Grant<'_> {
        let mut rules = Vec::new();
        let mut denied = true;
        for permission in &*self.permissions {
            if !permission.covers(right, data_source, database, collection) {
                continue;
            }
            denied = false;
            match &permission.rule {
                // A schema restricts writes only.
                Some(rule) if right != Right::Read || rule.filter.is_some() || rule.fields.is_some() => {
                    rules.push(&**rule);
                }
                _ => return Grant::Unrestricted,
            }
        }
        if denied { Grant::Denied } else { Grant::Restricted(rules) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_text() {
        let matching = [("*", ""), ("*", "a.b"), ("a", "a"), ("a*", "a"), ("a*", "abc"), ("*c", "abc"), ("a*c", "ac")];
        for (pattern, name) in matching.into_iter().chain([("a*b*c", "aXbYbZc"), ("**", "x"), ("*b*", "abc")]) {
            assert!(Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
        let others = [("", "a"), ("a", "ab"), ("a*", "b"), ("*c", "cb"), ("a*a", "a"), ("ab*bc", "abc"), ("a", "A")];
        for (pattern, name) in others.into_iter().chain([("a*b*c", "acb"), ("a?c", "abc"), ("[a]", "a")]) {
            assert!(!Pattern::new(pattern).matches(name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_permission_with_values_of_other_types_is_rejected() {
        let read = |text: &str| serde_json::from_str::<Permission>(text);
        assert_eq!(read(r#"{"allow": ["read"]}"#).unwrap().to_string(), "read on */*/*");
        for field in ["data_source", "database", "collection"] {
            for value in ["null", "1", "true", r#"["app"]"#, r#"{"$symbol": "app"}"#, "{}"] {
                assert!(read(&format!(r#"{{"{field}": {value}, "allow": ["read"]}}"#)).is_err(), "{field} {value}");
            }
            let twice = format!(r#"{{"{field}": "app", "{field}": "*", "allow": ["read"]}}"#);
            assert!(read(&twice).is_err(), "{twice}");
        }
        for allow in ["null", "1", r#""read""#, r#"{"read": null}"#, r#"[{"read": null}]"#, "[0]", r#"["Read"]"#] {
            assert!(read(&format!(r#"{{"allow": {allow}}}"#)).is_err(), "{allow}");
        }
        for whole in ["null", "{}", "[]", r#"["*", "*", "*", ["read"]]"#, r#"{"allow": [], "databases": "app"}"#] {
            assert!(read(whole).is_err(), "{whole}");
        }
    }

    #[test]
    fn a_right_applies_to_matching_collections_only() {
        let permission = Permission::parse("Cluster0/app/events_*", vec![Right::Read]).unwrap();
        let caller = Caller::of_key("k", [permission].into());
        assert!(caller.has(Right::Read, "Cluster0", "app", "events_2026"));
        assert!(!caller.has(Right::Write, "Cluster0", "app", "events_2026"));
        assert!(!caller.has(Right::Read, "Cluster1", "app", "events_2026"));
        assert!(!caller.has(Right::Read, "Cluster0", "apps", "events_2026"));
        assert!(!caller.has(Right::Read, "Cluster0", "app", "users"));
        assert!(Permission::parse("a/b/c/d", vec![]).is_none());
        assert!(Permission::parse("a//c", vec![]).is_none());
        assert_eq!(Permission::parse("a", vec![Right::Out]).unwrap().to_string(), "out on a/*/*");
    }
}
