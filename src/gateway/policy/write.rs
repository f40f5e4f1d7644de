//! Checks what callers with rules write: the documents, and what updates make of documents.

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf};

use super::filter::{FilterCheck, Place};
use super::pipeline::fields;
use super::restriction::Restriction;
use super::unreadable_as;
use crate::error::excerpt;
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::auth::rule::condition::Truth;
use crate::gateway::auth::rule::{Condition, FieldPath, Schema};
use crate::gateway::request::Update;

const PARAMETER: &str = "update";

/// The update operators whose effect is limited to the fields that they name.
const UPDATE_OPERATORS: [&str; 15] = [
    "$addToSet",
    "$bit",
    "$currentDate",
    "$inc",
    "$max",
    "$min",
    "$mul",
    "$pop",
    "$pull",
    "$pullAll",
    "$push",
    "$rename",
    "$set",
    "$setOnInsert",
    "$unset",
];

impl Restriction<'_> {
    /// Whether the rule's filter depends on a field, or on one that contains it or is within it.
    fn depends_on(&self, path: &str) -> bool {
        let mut depends = false;
        if let Some(filter) = &self.filter {
            filter.paths(&mut |used| depends |= used.overlaps(path));
        }
        depends
    }

    /// Checks a document that is about to be stored.
    pub(super) fn check_document(&self, document: &RawDocument) -> ApiResult<()> {
        check_names(document)?;
        for list in &self.fields {
            if let Some(path) = list.rejected_field(document) {
                return Err(ApiError::not_allowed(format!(
                    "the caller may not write the field '{}'",
                    excerpt(&path, 64)
                )));
            }
        }
        if let Some(filter) = &self.filter {
            // MongoDB or the request's filter supplies a missing `_id`.
            let known = !self.depends_on("_id") || matches!(document.get("_id"), Ok(Some(_)));
            if !known || filter.holds(document) != Truth::True {
                return Err(ApiError::not_allowed(
                    "the document does not meet the filter of the caller's rule, or its fields have values that the \
                     gateway cannot compare, such as arrays",
                ));
            }
        }
        if self.schema.is_some_and(Schema::concerns_id) && !matches!(document.get("_id"), Ok(Some(_))) {
            return Err(nonconforming(
                "the document must have an '_id', because the schema of the caller's rule names it",
            ));
        }
        match self.schema.map_or(Ok(()), |schema| schema.check(document)) {
            Ok(()) => Ok(()),
            Err(problem) => Err(nonconforming(&problem)),
        }
    }

    /// Checks the replacement of a document.
    pub(super) fn check_replacement(&self, replacement: &RawDocument) -> ApiResult<()> {
        if self.hides_fields() {
            return Err(ApiError::not_allowed(
                "a replacement is not available to a caller with a rule on the fields, because it removes the hidden \
                 fields: use updateOne with $set",
            ));
        }
        self.check_document(replacement)
    }

    /// Checks an update. Returns what replaces it, if it is an upsert that must set fields of the
    /// rule's filter.
    pub(super) fn check_update(
        &self,
        filter: &RawDocument,
        update: Update<'_>,
        upsert: bool,
    ) -> ApiResult<Option<Document>> {
        match update {
            Update::Pipeline(stages) => {
                if upsert {
                    return Err(self.upsert_unavailable("with a pipeline"));
                }
                if self.hides_fields() || self.schema.is_some() {
                    return Err(ApiError::not_allowed(
                        "an update pipeline is not available to a caller with a rule on the fields or with a schema: \
                         use update operators",
                    ));
                }
                for stage in stages {
                    match stage {
                        Ok(RawBsonRef::Document(stage)) => self.check_update_stage(stage)?,
                        _ => return Err(ApiError::unreadable()),
                    }
                }
                Ok(None)
            }
            Update::Operators(operators) => {
                self.check_operators(operators)?;
                if upsert { self.completed_upsert(filter, operators) } else { Ok(None) }
            }
        }
    }

    fn check_update_stage(&self, stage: &RawDocument) -> ApiResult<()> {
        for (name, value) in fields(stage)? {
            match (name, value) {
                ("$set" | "$addFields", RawBsonRef::Document(set)) => {
                    for (path, _) in fields(set)? {
                        self.check_written_path(path)?;
                    }
                }
                ("$unset", RawBsonRef::String(path)) => self.check_written_path(path)?,
                ("$unset", RawBsonRef::Array(paths)) => {
                    for path in paths {
                        match path {
                            Ok(RawBsonRef::String(path)) => self.check_written_path(path)?,
                            _ => return Err(ApiError::invalid("'$unset' must have the names of fields")),
                        }
                    }
                }
                _ => {
                    let name = excerpt(name, 64);
                    return Err(ApiError::not_allowed(format!(
                        "'{name}' is not available in an update to a caller with a rule: use $set and $unset"
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_operators(&self, operators: &RawDocument) -> ApiResult<()> {
        let mut set = RawDocumentBuf::new();
        let required = self.filter.as_ref().and_then(Condition::equalities).unwrap_or_default();
        for (operator, arguments) in fields(operators)? {
            if !UPDATE_OPERATORS.contains(&operator) {
                let operator = excerpt(operator, 64);
                return Err(ApiError::not_allowed(format!("'{operator}' is not available to a caller with a rule")));
            }
            let RawBsonRef::Document(arguments) = arguments else {
                return Err(ApiError::invalid(format!("'{operator}' must be a document")));
            };
            for field in arguments {
                let (name, value) = field.map_err(|_| ApiError::unreadable())?;
                let path = name.as_str();
                let sets = matches!(operator, "$set" | "$setOnInsert");
                if !(sets && self.keeps(&required, path, value)?) {
                    self.check_written_path(path)?;
                }
                match (operator, value) {
                    ("$rename", RawBsonRef::String(target)) => self.check_written_path(target)?,
                    ("$rename", _) => return Err(ApiError::invalid("'$rename' must have strings")),
                    ("$pull", _) => self.check_conditions(value, "$pull")?,
                    _ => {}
                }
                if self.schema.is_some() {
                    self.check_schema_allows(operator, path)?;
                    if sets {
                        check_value_names(value)?;
                        set.append(name, value);
                    }
                }
            }
        }
        match self.schema.map_or(Ok(()), |schema| schema.check_changes(&set)) {
            Ok(()) => Ok(()),
            Err(Some(problem)) => Err(nonconforming(&problem)),
            Err(None) => Err(ApiError::not_allowed(
                "an update is not available to a caller with this schema, because it relates fields to each other: use \
                 replaceOne",
            )),
        }
    }

    /// Checks conditions on the items of arrays.
    pub(super) fn check_conditions(&self, value: RawBsonRef<'_>, parameter: &str) -> ApiResult<()> {
        FilterCheck { restriction: self, parameter, place: Place::WithRule }.condition(value)
    }

    /// Whether a value for a field is the one that the rule requires.
    fn keeps(&self, required: &[(&FieldPath, &Bson)], path: &str, value: RawBsonRef<'_>) -> ApiResult<bool> {
        let Some((_, constant)) = required.iter().find(|(field, _)| field.to_string() == path) else {
            return Ok(false);
        };
        let permitted = self.fields.iter().all(|list| list.permits(path));
        Ok(permitted && Bson::try_from(value).map_err(unreadable_as)? == **constant)
    }

    fn check_written_path(&self, path: &str) -> ApiResult<()> {
        if self.filter.is_some() && path.split('.').any(|name| name == "$") {
            return Err(ApiError::not_allowed(format!(
                "'{}' is not available to a caller with a filter in its rule, because that could find another position: \
                 use arrayFilters",
                excerpt(path, 64)
            )));
        }
        if path.split('.').any(str::is_empty) || path.starts_with('$') {
            return Err(ApiError::invalid(format!("'{}' is not the path of a field", excerpt(path, 64))));
        }
        self.check_path(path, PARAMETER)?;
        if self.depends_on(path) {
            return Err(ApiError::not_allowed(format!(
                "'{PARAMETER}' would change '{}', on which the filter of the caller's rule depends",
                excerpt(path, 64)
            )));
        }
        Ok(())
    }

    /// Rejects what an update could do to a field that the schema cannot be applied to.
    fn check_schema_allows(&self, operator: &str, path: &str) -> ApiResult<()> {
        let whole = !path.contains('.');
        let allowed = match operator {
            "$set" | "$setOnInsert" => whole,
            "$unset" => whole && self.schema.is_none_or(|schema| schema.may_remove(path)),
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        Err(ApiError::not_allowed(format!(
            "'{operator}' of '{}' is not available to a caller with a schema: use $set of whole fields of the document, \
             $unset of optional ones, or replaceOne",
            excerpt(path, 64)
        )))
    }

    /// Completes an upsert, so that a document that it inserts meets the rule's filter.
    fn completed_upsert(&self, filter: &RawDocument, operators: &RawDocument) -> ApiResult<Option<Document>> {
        if self.schema.is_some() {
            return Err(self.upsert_unavailable("with update operators, and a schema,"));
        }
        let Some(rule) = &self.filter else { return Ok(None) };
        let Some(equalities) = rule.equalities() else {
            return Err(self.upsert_unavailable("with a filter of the rule other than equality"));
        };
        self.check_upsert_filter(filter)?;
        let mut update = Document::try_from(operators).map_err(unreadable_as)?;
        for (path, value) in equalities {
            let path = path.to_string();
            let given = ["$set", "$setOnInsert"]
                .iter()
                .any(|operator| update.get_document(operator).is_ok_and(|set| set.contains_key(&path)));
            if given {
                continue;
            }
            match update.get_document_mut("$setOnInsert") {
                Ok(set) => drop(set.insert(path, value.clone())),
                Err(_) => drop(update.insert("$setOnInsert", bson::doc! { path: value.clone() })),
            }
        }
        Ok(Some(update))
    }

    /// Rejects an upsert whose filter sets a field of the rule's filter.
    fn check_upsert_filter(&self, filter: &RawDocument) -> ApiResult<()> {
        for (name, value) in fields(filter)? {
            match value {
                RawBsonRef::Array(filters) if matches!(name, "$and" | "$or" | "$nor") => {
                    for filter in filters {
                        if let Ok(RawBsonRef::Document(filter)) = filter {
                            self.check_upsert_filter(filter)?;
                        }
                    }
                }
                _ if !name.starts_with('$') && self.depends_on(name) => {
                    return Err(ApiError::not_allowed(format!(
                        "'filter' of an upsert must not use '{}', which the caller's rule supplies",
                        excerpt(name, 64)
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn upsert_unavailable(&self, how: &str) -> ApiError {
        ApiError::not_allowed(format!(
            "an upsert {how} is not available to a caller with a rule: update and insert in separate requests"
        ))
    }
}

fn nonconforming(problem: &str) -> ApiError {
    ApiError::new(axum::http::StatusCode::BAD_REQUEST, "SchemaValidationFailedWrite", problem)
}

/// Rejects repeated names in a document, of which a reader may use either value.
fn check_names(document: &RawDocument) -> ApiResult<()> {
    for (_, value) in fields(document)? {
        check_value_names(value)?;
    }
    Ok(())
}

fn check_value_names(value: RawBsonRef<'_>) -> ApiResult<()> {
    match value {
        RawBsonRef::Document(document) => check_names(document),
        RawBsonRef::Array(items) => {
            items.into_iter().try_for_each(|item| check_value_names(item.map_err(|_| ApiError::unreadable())?))
        }
        _ => Ok(()),
    }
}
