//! Combines the projections and sort orders of callers with the fields of their rules.

use bson::{Bson, Document, RawBsonRef, RawDocument};

use super::pipeline::fields;
use super::restriction::Restriction;
use super::unreadable_as;
use crate::error::excerpt;
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::auth::rule::FieldList;

const PARAMETER: &str = "projection";

impl Restriction<'_> {
    /// The projection of a request that shows no hidden field.
    pub(super) fn projected(&self, projection: Option<&RawDocument>) -> ApiResult<Option<Document>> {
        let given = match projection {
            Some(projection) => {
                check_metadata(RawBsonRef::Document(projection), self.hides_fields())?;
                Document::try_from(projection).map_err(unreadable_as)?
            }
            None => Document::new(),
        };
        if self.filter.is_some() && given.keys().any(|name| name.split('.').any(|part| part == "$")) {
            return Err(ApiError::not_allowed(
                "the positional operator '$' is not available to a caller with a filter in its rule, because that could \
                 find another position: use $elemMatch",
            ));
        }
        let lists = match self.fields[..] {
            [] => return Ok(projection.map(|_| given)),
            [list] => list,
            _ => {
                return Err(ApiError::not_allowed(
                    "the caller's rules for reading and for writing the collection have different fields, so that an \
                     action that does both is not available",
                ));
            }
        };
        let mut includes = None;
        for (name, value) in &given {
            let Some(shown) = flag(value) else {
                return Err(ApiError::not_allowed(format!(
                    "'{PARAMETER}' can only include or exclude whole fields for a caller with a rule on the fields: \
                     compute '{}' in aggregate",
                    excerpt(name, 64)
                )));
            };
            // `_id` is the field that may differ from the others.
            if name != "_id" && includes.replace(shown).is_some_and(|others| others != shown) {
                return Err(ApiError::invalid(format!("'{PARAMETER}' cannot both include and exclude fields")));
            }
        }
        let includes = includes.unwrap_or_else(|| given.get("_id").and_then(flag).unwrap_or(false));
        if includes {
            for name in given.keys() {
                self.check_path(name, PARAMETER)?;
            }
            return Ok(Some(given));
        }
        match lists {
            FieldList::Deny(denied) => {
                let mut all = given;
                // MongoDB rejects a field within another one.
                for path in denied {
                    if !all.iter().any(|(name, _)| is_prefix(name, &path.to_string())) {
                        let within: Vec<String> = all.keys().filter(|name| path.contains(name)).cloned().collect();
                        for name in within {
                            all.remove(&name);
                        }
                        all.insert(path.to_string(), 0);
                    }
                }
                Ok(Some(all))
            }
            FieldList::Allow(_) => {
                let mut all = lists.projection();
                for (name, value) in given {
                    if name == "_id" {
                        all.insert(name, value);
                        continue;
                    }
                    if all.keys().any(|allowed| allowed != &name && is_prefix(allowed, &name)) {
                        return Err(ApiError::not_allowed(format!(
                            "'{PARAMETER}' cannot exclude '{}' for a caller with a rule on the fields: include the \
                             fields to return",
                            excerpt(&name, 64)
                        )));
                    }
                    let hidden: Vec<String> = all.keys().filter(|allowed| is_prefix(&name, allowed)).cloned().collect();
                    for allowed in hidden {
                        all.remove(&allowed);
                    }
                }
                if all.keys().all(|name| name == "_id") {
                    let id = all.get("_id").and_then(flag).unwrap_or(true);
                    // Without any field: `{_id: 0}` alone would include all.
                    return match id {
                        true => Ok(Some(bson::doc! { "_id": 1 })),
                        false => Err(ApiError::not_allowed(format!("'{PARAMETER}' excludes all fields"))),
                    };
                }
                Ok(Some(all))
            }
        }
    }

    /// Rejects a sort order that depends on a hidden field.
    pub(super) fn check_sort(&self, sort: &RawDocument) -> ApiResult<()> {
        check_metadata(RawBsonRef::Document(sort), self.hides_fields())?;
        for (name, value) in fields(sort)? {
            match value {
                RawBsonRef::Document(_) if !self.hides_fields() => {}
                RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_) => self.check_path(name, "sort")?,
                _ => return Err(ApiError::invalid("'sort' must have 1 or -1 for each field")),
            }
        }
        Ok(())
    }
}

/// Rejects metadata other than the text score, which may contain the keys of an index.
pub(super) fn check_metadata(value: RawBsonRef<'_>, hides_fields: bool) -> ApiResult<()> {
    match value {
        RawBsonRef::Document(document) => {
            for (name, value) in fields(document)? {
                if name == "$meta" && (hides_fields || value != RawBsonRef::String("textScore")) {
                    return Err(ApiError::not_allowed("'$meta' is not available to a caller with a rule"));
                }
                check_metadata(value, hides_fields)?;
            }
            Ok(())
        }
        RawBsonRef::Array(items) => items
            .into_iter()
            .try_for_each(|item| check_metadata(item.map_err(|_| ApiError::unreadable())?, hides_fields)),
        _ => Ok(()),
    }
}

/// Whether a value of a projection includes or excludes its field.
fn flag(value: &Bson) -> Option<bool> {
    match value {
        Bson::Boolean(shown) => Some(*shown),
        Bson::Int32(number) => Some(*number != 0),
        Bson::Int64(number) => Some(*number != 0),
        Bson::Double(number) if !number.is_nan() => Some(*number != 0.0),
        _ => None,
    }
}

/// Whether `path` is the field `prefix` or a field within it.
fn is_prefix(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
