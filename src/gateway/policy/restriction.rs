//! What the rules of a caller leave of a collection.

use bson::{Document, RawBsonRef, RawDocument, doc};

use super::{unavailable_collation, unreadable_as};
use crate::error::excerpt;
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::auth::permission::Right;
use crate::gateway::auth::rule::{Condition, FieldList, Rule, Schema};
use crate::gateway::request::Options;

/// The rules that apply to a caller's access to a collection, as one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Restriction<'c> {
    /// The condition of the documents; `None` for all.
    pub(super) filter: Option<Condition>,
    /// Lists of fields, each of which must permit a field.
    pub(super) fields: Vec<&'c FieldList>,
    /// The schema of written documents.
    pub(super) schema: Option<&'c Schema>,
}

impl<'c> Restriction<'c> {
    /// Combines the rules of all permissions that match: their filters by `$or`, if they agree in all
    /// else; otherwise the first rule applies.
    pub(super) fn new(right: Right, rules: &[&'c Rule], user: &Document) -> Self {
        let Some(first) = rules.first() else { return Self::default() };
        let agree = rules
            .iter()
            .all(|rule| rule.fields == first.fields && (right == Right::Read || rule.schema == first.schema));
        let rules = if agree { rules } else { &rules[..1] };
        let filter = rules.iter().all(|rule| rule.filter.is_some()).then(|| {
            let mut known: Vec<Condition> =
                rules.iter().filter_map(|rule| rule.filter.as_ref()?.expand(user)).collect();
            match known.len() {
                0 => Condition::nothing(),
                1 => known.remove(0),
                _ => Condition::Or(known),
            }
        });
        let schema = if right == Right::Read { None } else { first.schema.as_ref() };
        Self { filter, fields: first.fields.iter().collect(), schema }
    }

    /// Both restrictions together, for actions that read and write.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.filter = match (self.filter, other.filter) {
            (Some(one), Some(two)) if one == two => Some(one),
            (Some(one), Some(two)) => Some(Condition::And(vec![one, two])),
            (one, two) => one.or(two),
        };
        for list in other.fields {
            if !self.fields.contains(&list) {
                self.fields.push(list);
            }
        }
        self.schema = self.schema.or(other.schema);
        self
    }

    /// Rejects a path that leads to a hidden field.
    pub(super) fn check_path(&self, path: &str, parameter: &str) -> ApiResult<()> {
        if self.fields.iter().all(|list| list.permits(path)) {
            return Ok(());
        }
        let path = excerpt(path, 64);
        Err(ApiError::not_allowed(format!(
            "'{parameter}' uses '{path}', which is not or not only among the fields that the caller may access: name \
             only such fields"
        )))
    }

    /// The filter of a request together with that of the rules.
    pub(super) fn narrowed(&self, filter: Option<&RawDocument>) -> ApiResult<Document> {
        let filter = match filter {
            Some(filter) => Document::try_from(filter).map_err(unreadable_as)?,
            None => Document::new(),
        };
        Ok(match &self.filter {
            None => filter,
            Some(rule) if filter.is_empty() => rule.filter(),
            Some(rule) => doc! { "$and": [rule.filter(), filter] },
        })
    }

    /// Rejects arguments that would change the meaning of the rule, or that tell something of hidden
    /// fields.
    pub(super) fn check_options(&self, options: &Options<'_>) -> ApiResult<()> {
        for (name, value) in options.iter() {
            match name {
                "allowDiskUse" | "batchSize" | "comment" | "maxTimeMS" => {}
                "collation" if self.filter.is_some() => return Err(unavailable_collation()),
                "collation" => {}
                "sort" => match value {
                    RawBsonRef::Document(sort) => self.check_sort(sort)?,
                    _ => return Err(ApiError::invalid("'sort' must be a document")),
                },
                "arrayFilters" if !self.hides_fields() => self.check_conditions(value, name)?,
                // An index can leave out documents without a hidden field.
                "hint" | "let" if !self.hides_fields() => {}
                _ => {
                    return Err(ApiError::not_allowed(format!(
                        "'{name}' is not available to a caller with a rule on the fields"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether fields are hidden.
    pub(super) fn hides_fields(&self) -> bool {
        !self.fields.is_empty()
    }
}
