//! Adds the rules of a caller to the pipelines of aggregations: a `$match` and a `$project` before the
//! first stage, wherever documents of a collection enter a pipeline.

use std::cell::Cell;

use bson::{Bson, Document, RawArray, RawBsonRef, RawDocumentBuf, doc};

use super::filter::{FilterCheck, Place};
use super::pipeline::NamespaceRef;
use super::projection::check_metadata;
use super::restriction::Restriction;
use super::unreadable_as;
use crate::error::excerpt;
use crate::gateway::api_error::{ApiError, ApiResult};

/// A `$limit` that no collection reaches.
const UNREACHABLE_LIMIT: i64 = 1 << 62;

/// Stages that read their collection themselves, so that no stage can come before them.
const SOURCE_STAGES: [&str; 9] = [
    "$documents",
    "$geoNear",
    "$indexStats",
    "$collStats",
    "$rankFusion",
    "$scoreFusion",
    "$search",
    "$searchMeta",
    "$vectorSearch",
];

/// Rewrites the pipelines of a request. Their form is already checked.
pub(super) struct PipelineRewrite<'p, 'c> {
    /// The database of the request.
    pub(super) database: &'p str,
    /// What the caller may read of a collection; `None` for all of it.
    pub(super) read: &'p dyn Fn(NamespaceRef<'_>) -> ApiResult<Option<Restriction<'c>>>,
    /// Whether the caller's writes to a collection are restricted.
    pub(super) restricts_writes: &'p dyn Fn(NamespaceRef<'_>) -> bool,
    /// Whether an expression of a `$match` can fail.
    can_fail: Cell<bool>,
}

impl<'p, 'c> PipelineRewrite<'p, 'c> {
    pub(super) fn new(
        database: &'p str,
        read: &'p dyn Fn(NamespaceRef<'_>) -> ApiResult<Option<Restriction<'c>>>,
        restricts_writes: &'p dyn Fn(NamespaceRef<'_>) -> bool,
    ) -> Self {
        Self { database, read, restricts_writes, can_fail: Cell::new(false) }
    }

    /// Rewrites the pipeline of `aggregate` on a collection.
    pub(super) fn aggregation(&self, collection: &str, stages: &[Bson]) -> ApiResult<Vec<Bson>> {
        let source = (self.read)(NamespaceRef { database: self.database, collection })?.unwrap_or_default();
        let rewritten = self.pipeline(stages, &source, true)?;
        // What can fail is known after the first pass, and changes its first stages.
        if self.can_fail.get() { self.pipeline(stages, &source, true) } else { Ok(rewritten) }
    }

    /// Rewrites a pipeline that reads a collection, or that continues one which does.
    fn pipeline(&self, stages: &[Bson], source: &Restriction<'c>, is_first: bool) -> ApiResult<Vec<Bson>> {
        let is_restricted = *source != Restriction::default();
        let mut out = if is_first { self.first_stages(source) } else { Vec::new() };
        for stage in stages {
            let stage = stage.as_document().and_then(|stage| stage.iter().next());
            let (name, value) = stage.ok_or_else(ApiError::unreadable)?;
            if SOURCE_STAGES.contains(&name.as_str()) && (is_restricted || name.ends_with("Fusion")) {
                return Err(ApiError::not_allowed(format!(
                    "'{name}' is not available to a caller with a rule, because it must be the first stage"
                )));
            }
            out.push(Bson::Document(self.stage(name, value, source)?));
        }
        Ok(out)
    }

    /// The stages that leave only what the caller may read.
    fn first_stages(&self, restriction: &Restriction<'c>) -> Vec<Bson> {
        let mut stages = Vec::new();
        if let Some(filter) = &restriction.filter {
            stages.push(doc! { "$match": filter.filter() }.into());
        }
        for list in &restriction.fields {
            stages.push(doc! { "$project": list.projection() }.into());
        }
        // MongoDB merges a `$match` with an earlier one and evaluates their conditions in any order, but does not move
        // it before a `$limit`.
        if !stages.is_empty() && self.can_fail.get() {
            stages.push(doc! { "$limit": UNREACHABLE_LIMIT }.into());
        }
        stages
    }

    fn stage(&self, name: &str, value: &Bson, restriction: &Restriction<'c>) -> ApiResult<Document> {
        let value = match (name, value) {
            ("$match", Bson::Document(filter)) => {
                self.check_match(filter, restriction)?;
                value.clone()
            }
            ("$facet", Bson::Document(facets)) => {
                let mut rewritten = Document::new();
                for (facet, stages) in facets {
                    let stages = stages.as_array().ok_or_else(ApiError::unreadable)?;
                    rewritten.insert(facet, self.pipeline(stages, restriction, false)?);
                }
                rewritten.into()
            }
            ("$lookup", Bson::Document(lookup)) => self.lookup(lookup)?.into(),
            ("$graphLookup", Bson::Document(lookup)) => self.graph_lookup(lookup)?.into(),
            ("$unionWith", Bson::String(collection)) => match self.source(self.database, collection)? {
                Some(source) => doc! { "coll": collection, "pipeline": self.pipeline(&[], &source, true)? }.into(),
                None => value.clone(),
            },
            ("$unionWith", Bson::Document(union)) => self.union_with(union)?.into(),
            ("$out" | "$merge", _) => {
                self.check_output(name, value)?;
                value.clone()
            }
            // Their form is checked, so that these have other forms only by mistake.
            ("$match" | "$facet" | "$lookup" | "$graphLookup" | "$unionWith", _) => {
                return Err(ApiError::invalid(format!("'{name}' must be a document")));
            }
            _ => value.clone(),
        };
        Ok(doc! { name: value })
    }

    fn check_match(&self, filter: &Document, restriction: &Restriction<'c>) -> ApiResult<()> {
        let filter = RawDocumentBuf::try_from(filter).map_err(unreadable_as)?;
        FilterCheck { restriction, parameter: "$match", place: Place::Stage(&self.can_fail) }.filter(&filter)
    }

    fn source(&self, database: &str, collection: &str) -> ApiResult<Option<Restriction<'c>>> {
        (self.read)(NamespaceRef { database, collection })
    }

    fn namespace<'d>(&'d self, value: &'d Bson) -> ApiResult<NamespaceRef<'d>> {
        match value {
            Bson::String(collection) => Ok(NamespaceRef { database: self.database, collection }),
            Bson::Document(named) => Ok(NamespaceRef {
                database: named.get_str("db").unwrap_or(self.database),
                collection: named.get_str("coll").map_err(|_| ApiError::unreadable())?,
            }),
            _ => Err(ApiError::unreadable()),
        }
    }

    /// Copies a stage that has a pipeline of its own, which reads a collection.
    fn with_pipeline(&self, stage: &Document, source: Option<&Restriction<'c>>) -> ApiResult<Document> {
        const FIELD: &str = "pipeline";
        let unrestricted = Restriction::default();
        let given = match stage.get(FIELD) {
            Some(Bson::Array(stages)) => Some(stages.as_slice()),
            Some(_) => return Err(ApiError::unreadable()),
            None => source.map(|_| &[][..]),
        };
        // Field by field: a copy of the whole stage would have the old pipeline too.
        let mut copied: Document =
            stage.iter().filter(|(name, _)| *name != FIELD).map(|(n, v)| (n.clone(), v.clone())).collect();
        if let Some(stages) = given {
            copied.insert(FIELD, self.pipeline(stages, source.unwrap_or(&unrestricted), true)?);
        }
        Ok(copied)
    }

    fn lookup(&self, lookup: &Document) -> ApiResult<Document> {
        let source = match lookup.get("from") {
            Some(from) => (self.read)(self.namespace(from)?)?,
            None => None,
        };
        if let Some(source) = &source
            && let Ok(field) = lookup.get_str("foreignField")
        {
            // MongoDB compares it before the first stage.
            source.check_path(field, "$lookup.foreignField")?;
        }
        self.with_pipeline(lookup, source.as_ref())
    }

    fn union_with(&self, union: &Document) -> ApiResult<Document> {
        let source = match union.get_str("coll") {
            Ok(collection) => self.source(union.get_str("db").unwrap_or(self.database), collection)?,
            Err(_) => None,
        };
        self.with_pipeline(union, source.as_ref())
    }

    fn graph_lookup(&self, lookup: &Document) -> ApiResult<Document> {
        const FILTER: &str = "restrictSearchWithMatch";
        let mut rewritten = lookup.clone();
        let Some(source) = lookup.get("from").map(|from| (self.read)(self.namespace(from)?)).transpose()?.flatten()
        else {
            return Ok(rewritten);
        };
        if source.hides_fields() {
            return Err(ApiError::not_allowed(
                "'$graphLookup' cannot read a collection of which the caller has a rule on the fields: use $lookup",
            ));
        }
        let given = match lookup.get(FILTER) {
            Some(Bson::Document(filter)) => Some(RawDocumentBuf::try_from(filter).map_err(unreadable_as)?),
            _ => None,
        };
        if let Some(filter) = &given {
            FilterCheck { restriction: &source, parameter: FILTER, place: Place::WithRule }.filter(filter)?;
        }
        rewritten.insert(FILTER, source.narrowed(given.as_deref())?);
        Ok(rewritten)
    }

    /// Rejects a stage that writes documents which need not meet a rule.
    fn check_output(&self, name: &str, value: &Bson) -> ApiResult<()> {
        let namespace = match value {
            Bson::Document(merge) if name == "$merge" => self.namespace(merge.get("into").unwrap_or(&Bson::Null))?,
            _ => self.namespace(value)?,
        };
        if !(self.restricts_writes)(namespace) {
            return Ok(());
        }
        let collection = excerpt(namespace.collection, 64);
        Err(ApiError::not_allowed(format!(
            "'{name}' cannot write to '{collection}', where the caller has a rule: its documents cannot be checked"
        )))
    }
}

/// Rejects metadata in the stages of a request with rules.
pub(super) fn check_stages_metadata(stages: &RawArray) -> ApiResult<()> {
    check_metadata(RawBsonRef::Array(stages), true)
}
