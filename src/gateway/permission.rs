//! What a caller may do, and where.

use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A thing that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Right {
    /// `findOne`, `find` and `aggregate`.
    Read,
    /// Inserts, updates, replacements and deletions.
    Write,
    /// Operators that run code on the server: `$where`, `$function`, `$accumulator`.
    Code,
    /// Stages that write: `$out` and `$merge`, into what it may also write.
    Out,
    /// Stages that tell of the server and its collections: `$collStats`, `$indexStats` and the like.
    Stats,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Code, Self::Out, Self::Stats];

    /// As it is written in a key file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Code => "code",
            Self::Out => "out",
            Self::Stats => "stats",
        }
    }

    /// The right of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }
}

// From a string alone: what is derived also takes `{"read": null}`.
impl TryFrom<String> for Right {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::from_name(&name).ok_or("a right is one of read, write, code, out, stats")
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name, in which each `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `name` is one that it stands for.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        // Without a star it is the name itself.
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(place) => rest = &rest[place + part.len()..],
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

/// Some rights, for some collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// Of which data sources.
    pub data_source: Pattern,
    /// Of which databases.
    pub database: Pattern,
    /// Of which collections.
    pub collection: Pattern,
    /// What may be done there.
    pub allow: Vec<Right>,
}

/// A permission by the names of its fields.
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
}

// What is derived also takes an array, whose items mean something by their places.
impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Named;

        impl<'de> Visitor<'de> for Named {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a permission with allow, data_source, database and collection")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map))
            }
        }

        let Fields { data_source, database, collection, allow } = source.deserialize_map(Named)?;
        Ok(Self { data_source, database, collection, allow })
    }
}

impl Permission {
    /// Reading and writing, everywhere.
    pub fn all() -> Self {
        let any = Pattern::default;
        Self { data_source: any(), database: any(), collection: any(), allow: vec![Right::Read, Right::Write] }
    }

    /// `data source/database/collection`, of which what is left out at the end is `*`.
    pub fn at(place: &str, allow: Vec<Right>) -> Option<Self> {
        let mut parts = place.split('/');
        let mut next = || parts.next().map_or_else(Pattern::default, Pattern::new);
        let permission = Self { data_source: next(), database: next(), collection: next(), allow };
        let whole = [&permission.data_source, &permission.database, &permission.collection];
        (parts.next().is_none() && whole.iter().all(|pattern| !pattern.0.is_empty())).then_some(permission)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights: Vec<&str> = self.allow.iter().map(|right| right.name()).collect();
        write!(f, "{} on {}/{}/{}", rights.join(","), self.data_source, self.database, self.collection)
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key's name, or the token's subject.
    pub name: Arc<str>,
    /// What it may do.
    pub permissions: Arc<[Permission]>,
}

impl Caller {
    /// Whether it has a right there.
    pub fn may(&self, right: Right, data_source: &str, database: &str, collection: &str) -> bool {
        self.permissions.iter().any(|permission| {
            permission.allow.contains(&right)
                && permission.data_source.matches(data_source)
                && permission.database.matches(database)
                && permission.collection.matches(collection)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
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
    fn a_permission_of_other_types_is_none() {
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
    fn a_right_is_for_its_place_only() {
        let permission = Permission::at("Cluster0/app/events_*", vec![Right::Read]).unwrap();
        let caller = Caller { name: "k".into(), permissions: [permission].into() };
        assert!(caller.may(Right::Read, "Cluster0", "app", "events_2026"));
        assert!(!caller.may(Right::Write, "Cluster0", "app", "events_2026"));
        assert!(!caller.may(Right::Read, "Cluster1", "app", "events_2026"));
        assert!(!caller.may(Right::Read, "Cluster0", "apps", "events_2026"));
        assert!(!caller.may(Right::Read, "Cluster0", "app", "users"));
        assert!(Permission::at("a/b/c/d", vec![]).is_none());
        assert!(Permission::at("a//c", vec![]).is_none());
        assert_eq!(Permission::at("a", vec![Right::Out]).unwrap().to_string(), "out on a/*/*");
    }
}
