//! Checks the filters of callers with rules.
//!
//! MongoDB may evaluate a caller's condition before the rule's, also on documents that the rule
//! excludes. So only operators are allowed that cannot fail, because an error would tell something
//! of such a document.

use std::cell::Cell;

use bson::{RawBsonRef, RawDocument};

use super::pipeline::fields;
use super::restriction::Restriction;
use crate::error::excerpt;
use crate::gateway::api_error::{ApiError, ApiResult};

/// Operators of a field's condition, and what is within them.
const CONDITIONS: [&str; 29] = [
    "$all",
    "$and",
    "$bitsAllClear",
    "$bitsAllSet",
    "$bitsAnyClear",
    "$bitsAnySet",
    "$box",
    "$center",
    "$centerSphere",
    "$elemMatch",
    "$eq",
    "$exists",
    "$geoIntersects",
    "$geoWithin",
    "$geometry",
    "$gt",
    "$gte",
    "$in",
    "$lt",
    "$lte",
    "$mod",
    "$ne",
    "$nin",
    "$nor",
    "$not",
    "$options",
    "$or",
    "$regex",
    "$size",
];
/// More of them, whose names are not operators of queries only.
const OTHER_CONDITIONS: [&str; 5] = ["$polygon", "$type", "$ref", "$id", "$db"];

/// Operators of expressions that have a value for all arguments.
const TOTAL_EXPRESSIONS: [&str; 16] = [
    "$and",
    "$cmp",
    "$cond",
    "$eq",
    "$gt",
    "$gte",
    "$ifNull",
    "$isArray",
    "$isNumber",
    "$lt",
    "$lte",
    "$ne",
    "$not",
    "$or",
    "$type",
    "$literal",
];

/// The fields of `$text`.
const TEXT_FIELDS: [&str; 4] = ["$caseSensitive", "$diacriticSensitive", "$language", "$search"];

/// Checks filters.
pub(super) struct FilterCheck<'a, 'c> {
    pub(super) restriction: &'a Restriction<'c>,
    /// What messages call the filter.
    pub(super) parameter: &'a str,
    pub(super) place: Place<'a>,
}

/// Where a filter is.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// It is combined with the rule's filter, and sees all fields.
    WithRule,
    /// It is a `$match` after the stages of a rule, and sees what they leave. Whether an expression
    /// can fail is noted.
    Stage(&'a Cell<bool>),
}

impl FilterCheck<'_, '_> {
    /// Checks a filter.
    pub(super) fn filter(&self, filter: &RawDocument) -> ApiResult<()> {
        for (name, value) in fields(filter)? {
            match name {
                "$and" | "$or" | "$nor" => {
                    let RawBsonRef::Array(filters) = value else { return Err(self.invalid(name, "an array")) };
                    for filter in filters {
                        match filter {
                            Ok(RawBsonRef::Document(filter)) => self.filter(filter)?,
                            _ => return Err(self.invalid(name, "an array of documents")),
                        }
                    }
                }
                "$comment" => {}
                "$expr" => self.expression(value)?,
                "$jsonSchema" if !self.restriction.hides_fields() => self.condition(value)?,
                "$text" if !self.restriction.hides_fields() && matches!(self.place, Place::WithRule) => {
                    let RawBsonRef::Document(search) = value else { return Err(self.invalid(name, "a document")) };
                    if let Some((unknown, _)) =
                        fields(search)?.into_iter().find(|(name, _)| !TEXT_FIELDS.contains(name))
                    {
                        return Err(self.unavailable(unknown));
                    }
                }
                _ if name.starts_with('$') => return Err(self.unavailable(name)),
                _ => {
                    if matches!(self.place, Place::WithRule) {
                        self.restriction.check_path(name, self.parameter)?;
                    }
                    self.condition(value)?;
                }
            }
        }
        Ok(())
    }

    /// Checks the condition of a field. All that is within the field is visible.
    pub(super) fn condition(&self, value: RawBsonRef<'_>) -> ApiResult<()> {
        match value {
            RawBsonRef::Document(document) => {
                for (name, value) in fields(document)? {
                    if name.starts_with('$') && !CONDITIONS.contains(&name) && !OTHER_CONDITIONS.contains(&name) {
                        return Err(self.unavailable(name));
                    }
                    self.condition(value)?;
                }
                Ok(())
            }
            RawBsonRef::Array(items) => {
                items.into_iter().try_for_each(|item| self.condition(item.map_err(|_| ApiError::unreadable())?))
            }
            RawBsonRef::JavaScriptCodeWithScope(_) | RawBsonRef::JavaScriptCode(_) => Err(self.unavailable("$code")),
            _ => Ok(()),
        }
    }

    fn expression(&self, value: RawBsonRef<'_>) -> ApiResult<()> {
        match self.place {
            Place::WithRule if self.is_total(value)? => Ok(()),
            Place::WithRule => Err(ApiError::not_allowed(format!(
                "'{}' has an expression that is not available to a caller with a rule, because it can fail on \
                 documents that the rule excludes: use {}, or $match in aggregate",
                self.parameter,
                TOTAL_EXPRESSIONS.join(", ")
            ))),
            Place::Stage(can_fail) => {
                can_fail.set(can_fail.get() || !self.is_total(value)?);
                Ok(())
            }
        }
    }

    /// Whether an expression has a value for all documents. Rejects hidden fields.
    fn is_total(&self, value: RawBsonRef<'_>) -> ApiResult<bool> {
        match value {
            RawBsonRef::String(text) => {
                let hides = self.restriction.hides_fields() && matches!(self.place, Place::WithRule);
                match text.strip_prefix('$') {
                    // `$$ROOT` and others contain the whole document.
                    Some(variable) if variable.starts_with('$') => Ok(!hides),
                    Some(path) if hides => self.restriction.check_path(path, self.parameter).map(|()| true),
                    _ => Ok(true),
                }
            }
            RawBsonRef::Document(document) => {
                let all = fields(document)?;
                let [(name, argument)] = all[..] else { return Ok(all.is_empty()) };
                match name {
                    "$literal" => Ok(true),
                    // `{if, then, else}`
                    "$cond" => match argument {
                        RawBsonRef::Document(branches) => self.are_total(fields(branches)?.into_iter().map(|(_, v)| v)),
                        other => self.is_total(other),
                    },
                    _ if TOTAL_EXPRESSIONS.contains(&name) => self.is_total(argument),
                    _ => Ok(false),
                }
            }
            RawBsonRef::Array(items) => {
                let items = items.into_iter().collect::<Result<Vec<_>, _>>().map_err(|_| ApiError::unreadable())?;
                self.are_total(items.into_iter())
            }
            RawBsonRef::JavaScriptCodeWithScope(_) | RawBsonRef::JavaScriptCode(_) => Ok(false),
            _ => Ok(true),
        }
    }

    fn are_total<'v>(&self, mut values: impl Iterator<Item = RawBsonRef<'v>>) -> ApiResult<bool> {
        values.try_fold(true, |total, value| Ok(self.is_total(value)? && total))
    }

    fn unavailable(&self, operator: &str) -> ApiError {
        let operator = excerpt(operator, 64);
        ApiError::not_allowed(format!(
            "'{operator}' in '{}' is not available to a caller with a rule on the collection",
            self.parameter
        ))
    }

    fn invalid(&self, operator: &str, expected: &str) -> ApiError {
        ApiError::invalid(format!("'{operator}' in '{}' must be {expected}", self.parameter))
    }
}
