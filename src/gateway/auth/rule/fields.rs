//! Field paths, and the `fields` of a rule.

use std::fmt;

use bson::{Document, RawBsonRef, RawDocument};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::error::excerpt;

/// The name of the field that all documents have, and that a rule cannot hide.
const ID: &str = "_id";

/// The path of a field, such as `a.b`. It names fields only, never an index of an array.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Parses a path.
    ///
    /// # Errors
    /// Why it is not one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('.').collect();
        if parts.iter().any(|part| part.is_empty() || part.starts_with('$') || part.contains('\0')) {
            return Err(format!("'{}' is not the path of a field", excerpt(text, 64)));
        }
        if parts.iter().any(|part| is_index(part)) {
            return Err(format!(
                "'{}' has a number, which MongoDB also reads as an index: name the field of the whole array",
                excerpt(text, 64)
            ));
        }
        Ok(Self(parts.into_iter().map(str::to_owned).collect()))
    }

    /// The path `_id`.
    pub fn id() -> Self {
        Self(vec![ID.to_owned()])
    }

    fn is_within_id(&self) -> bool {
        self.0.first().is_some_and(|name| name == ID)
    }

    /// Whether a path of a request leads to this field, to one within it, or to one that contains
    /// it. Indexes and positional operators select items of arrays, so they are skipped; they are
    /// fields too where a document has such names.
    pub fn overlaps(&self, path: &str) -> bool {
        let mut expected = self.0.iter();
        let mut next = expected.next();
        for part in path.split('.') {
            match next {
                None => return true,
                Some(name) if name == part => next = expected.next(),
                Some(_) if is_index(part) || part.starts_with('$') => {}
                Some(_) => return false,
            }
        }
        true
    }

    /// Whether a path of a request certainly leads to this field or to one within it.
    pub fn contains(&self, path: &str) -> bool {
        let mut parts = path.split('.');
        self.0.iter().all(|name| parts.next() == Some(name))
    }

    fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Finds the field in a document.
    ///
    /// # Errors
    /// An array is on the way, or is the value: MongoDB compares its items.
    pub fn find<'d>(&self, document: &'d RawDocument) -> Result<Option<RawBsonRef<'d>>, ()> {
        let mut value = RawBsonRef::Document(document);
        for name in &self.0 {
            match value {
                RawBsonRef::Document(document) => match document.get(name) {
                    Ok(Some(found)) => value = found,
                    Ok(None) => return Ok(None),
                    Err(_) => return Err(()),
                },
                RawBsonRef::Array(_) => return Err(()),
                _ => return Ok(None),
            }
        }
        if matches!(value, RawBsonRef::Array(_)) { Err(()) } else { Ok(Some(value)) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

fn is_index(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The `fields` of a rule. `_id` is always among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldList {
    /// Only these fields.
    Allow(Vec<FieldPath>),
    /// All fields but these.
    Deny(Vec<FieldPath>),
}

/// How an inserted document contains a field.
enum Part {
    /// The field itself, with all that is in it.
    Whole,
    /// A document or an array that contains fields of the list.
    Parent,
}

impl FieldList {
    /// Whether a caller may read and write everything at a path, and all that is in it.
    pub fn permits(&self, path: &str) -> bool {
        if path.split('.').any(str::is_empty) {
            return false;
        }
        if path == ID || path.starts_with("_id.") {
            return true;
        }
        match self {
            Self::Allow(paths) => paths.iter().any(|allowed| allowed.contains(path)),
            Self::Deny(paths) => !paths.iter().any(|denied| denied.overlaps(path)),
        }
    }

    /// The projection that removes what is hidden.
    pub fn projection(&self) -> Document {
        match self {
            Self::Allow(paths) if paths.is_empty() => bson::doc! { ID: 1 },
            Self::Allow(paths) => paths.iter().map(|path| (path.to_string(), 1.into())).collect(),
            Self::Deny(paths) => paths.iter().map(|path| (path.to_string(), 0.into())).collect(),
        }
    }

    /// The paths of the list.
    pub fn paths(&self) -> &[FieldPath] {
        match self {
            Self::Allow(paths) | Self::Deny(paths) => paths,
        }
    }

    /// Returns the first field of a new document that the list does not permit.
    pub fn rejected_field(&self, document: &RawDocument) -> Option<String> {
        self.rejected_within(document, "")
    }

    fn rejected_within(&self, document: &RawDocument, parent: &str) -> Option<String> {
        for field in document {
            let Ok((name, value)) = field else { return Some(parent.to_owned()) };
            let name = name.as_str();
            let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
            // Such names look like paths and operators.
            if name.is_empty() || name.contains('.') || name.starts_with('$') {
                return Some(path);
            }
            if let Some(rejected) = self.rejected_value(value, &path) {
                return Some(rejected);
            }
        }
        None
    }

    fn rejected_value(&self, value: RawBsonRef<'_>, path: &str) -> Option<String> {
        let part = match self {
            _ if self.permits(path) => Part::Whole,
            Self::Allow(paths) if paths.iter().any(|allowed| allowed.overlaps(path)) => Part::Parent,
            Self::Deny(paths) if !paths.iter().any(|denied| denied.contains(path)) => Part::Parent,
            _ => return Some(path.to_owned()),
        };
        match (part, value) {
            (Part::Whole, _) => None,
            (Part::Parent, RawBsonRef::Document(document)) if !document.is_empty() => {
                self.rejected_within(document, path)
            }
            (Part::Parent, RawBsonRef::Array(items)) if !items.is_empty() => {
                items.into_iter().find_map(|item| match item {
                    Ok(item) => self.rejected_value(item, path),
                    Err(_) => Some(path.to_owned()),
                })
            }
            // In place of the document that has the hidden fields.
            (Part::Parent, _) => Some(path.to_owned()),
        }
    }
}

impl fmt::Display for FieldList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, paths) = match self {
            Self::Allow(paths) => ("fields", paths),
            Self::Deny(paths) => ("without fields", paths),
        };
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        write!(f, "{name} {}", paths.join(","))
    }
}

impl<'de> Deserialize<'de> for FieldList {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Lists {
            #[serde(default, deserialize_with = "super::present")]
            allow: Option<Vec<String>>,
            #[serde(default, deserialize_with = "super::present")]
            deny: Option<Vec<String>>,
        }

        let Lists { allow, deny } = Lists::deserialize(source)?;
        Self::new(allow, deny).map_err(|problem| D::Error::custom(format!("fields: {problem}")))
    }
}

impl FieldList {
    /// Creates a list from one of its two forms.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(allow: Option<Vec<String>>, deny: Option<Vec<String>>) -> Result<Self, String> {
        let parse = |texts: Vec<String>| {
            let mut paths = texts.iter().map(|text| FieldPath::parse(text)).collect::<Result<Vec<_>, _>>()?;
            paths.sort();
            // A path contains all paths within it.
            let mut kept: Vec<FieldPath> = Vec::new();
            for path in paths {
                if !kept.iter().any(|other| path.is_within(other)) {
                    kept.push(path);
                }
            }
            Ok::<_, String>(kept)
        };
        match (allow, deny) {
            (Some(allow), None) => {
                Ok(Self::Allow(parse(allow)?.into_iter().filter(|path| !path.is_within_id()).collect()))
            }
            (None, Some(deny)) => {
                let paths = parse(deny)?;
                if paths.iter().any(FieldPath::is_within_id) {
                    return Err("'_id' cannot be denied".to_owned());
                }
                if paths.is_empty() {
                    return Err("'deny' must not be empty".to_owned());
                }
                Ok(Self::Deny(paths))
            }
            _ => Err("set exactly one of 'allow' and 'deny'".to_owned()),
        }
    }
}
