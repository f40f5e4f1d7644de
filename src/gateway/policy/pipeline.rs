//! Finds what filters, updates and pipelines access: the collections that stages read and write,
//! and the operators that require a right.
//!
//! Parsing is strict. Values of a type that MongoDB does not accept, unknown fields of stages,
//! repeated fields and unknown stages are rejected. This way an unexpected form cannot hide an
//! access, and MongoDB interprets a request as this module does.

use std::collections::HashSet;

use bson::{RawArray, RawBsonRef, RawDocument};

use crate::config::{collection_name, database_name};
use crate::error::excerpt;
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::auth::permission::Right;
use crate::gateway::target::{MAX_NAMESPACE_BYTES, exceeds_namespace_limit, reject_internal};

/// Operators that run JavaScript on the server.
const CODE_OPERATORS: [&str; 5] = ["$where", "$function", "$accumulator", "$_internalJsEmit", "$_internalJsReduce"];

/// Stages with information on the server, its sessions and its collections. They access other
/// databases only from `admin`, which is not available.
const STATS_STAGES: [&str; 13] = [
    "$changeStream",
    "$changeStreamSplitLargeEvent",
    "$collStats",
    "$currentOp",
    "$indexStats",
    "$listLocalSessions",
    "$listSampledQueries",
    "$listSearchIndexes",
    "$listSessions",
    "$planCacheStats",
    "$querySettings",
    "$queryStats",
    "$shardedDataDistribution",
];

/// Stages that access only the documents of the previous stage, or their own collection.
const PLAIN_STAGES: [&str; 26] = [
    "$addFields",
    "$bucket",
    "$bucketAuto",
    "$count",
    "$densify",
    "$documents",
    "$fill",
    "$geoNear",
    "$group",
    "$limit",
    "$match",
    "$project",
    "$redact",
    "$replaceRoot",
    "$replaceWith",
    "$sample",
    "$search",
    "$searchMeta",
    "$set",
    "$setWindowFields",
    "$skip",
    "$sort",
    "$sortByCount",
    "$unset",
    "$unwind",
    "$vectorSearch",
];

/// Stages that access other collections or contain pipelines.
const CROSS_COLLECTION_STAGES: [&str; 8] =
    ["$facet", "$graphLookup", "$lookup", "$merge", "$out", "$rankFusion", "$scoreFusion", "$unionWith"];

/// The stages that MongoDB accepts in an update, and in `$merge`'s `whenMatched`.
const UPDATE_STAGES: [&str; 6] = ["$addFields", "$project", "$replaceRoot", "$replaceWith", "$set", "$unset"];

/// The stages that MongoDB accepts after `$changeStream`.
const WATCH_STAGES: [&str; 8] =
    ["$addFields", "$match", "$project", "$redact", "$replaceRoot", "$replaceWith", "$set", "$unset"];

/// The name of a collection that a stage accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NamespaceRef<'r> {
    pub(super) database: &'r str,
    pub(super) collection: &'r str,
}

/// An access that requires a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access<'r> {
    /// Reads a collection.
    Read(NamespaceRef<'r>),
    /// Writes to a collection.
    Write(NamespaceRef<'r>),
    /// Uses an operator or a stage that requires a right on the request's collection.
    Use(Right, &'r str),
}

/// The position of a pipeline, which determines the stages it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PipelineKind {
    /// The pipeline of `aggregate`, whose last stage may write.
    Aggregation,
    /// A pipeline within a stage.
    Nested,
    /// The pipeline of an update.
    Update,
    /// The stages of a change stream.
    Watch,
}

/// What a stage accesses and contains.
struct Stage<'r> {
    uses: Option<(Right, &'r str)>,
    reads: Option<NamespaceRef<'r>>,
    writes: Option<NamespaceRef<'r>>,
    pipelines: Vec<(&'r RawArray, PipelineKind)>,
    /// Expressions, queries and constants.
    values: Vec<RawBsonRef<'r>>,
}

/// Walks the parameters of a request on a collection of `database` and calls `access` for each
/// access.
pub(super) struct PipelineWalk<'w> {
    pub(super) database: &'w str,
    pub(super) access: &'w dyn Fn(Access<'_>) -> ApiResult<()>,
}

impl<'w> PipelineWalk<'w> {
    /// Walks the pipeline of `aggregate`.
    pub(super) fn aggregation<'r>(&self, stages: &'r RawArray) -> ApiResult<()>
    where
        'w: 'r,
    {
        self.pipeline(stages, PipelineKind::Aggregation, "pipeline")
    }

    /// Walks an update that is a pipeline.
    pub(super) fn update_pipeline<'r>(&self, stages: &'r RawArray) -> ApiResult<()>
    where
        'w: 'r,
    {
        self.pipeline(stages, PipelineKind::Update, "update")
    }

    /// Walks the stages of a change stream.
    pub(super) fn watch_pipeline<'r>(&self, stages: &'r RawArray) -> ApiResult<()>
    where
        'w: 'r,
    {
        self.pipeline(stages, PipelineKind::Watch, "pipeline")
    }

    /// Walks a filter, a projection, a sort order, update operators or an expression.
    pub(super) fn value(&self, value: RawBsonRef<'_>) -> ApiResult<()> {
        match value {
            RawBsonRef::Document(document) => {
                for (name, value) in fields(document)? {
                    self.operator(name)?;
                    self.value(value)?;
                }
                Ok(())
            }
            RawBsonRef::Array(array) => array.into_iter().try_for_each(|one| self.value(readable(one)?)),
            RawBsonRef::JavaScriptCodeWithScope(code) => self.value(RawBsonRef::Document(code.scope)),
            _ => Ok(()),
        }
    }

    fn operator(&self, name: &str) -> ApiResult<()> {
        if CODE_OPERATORS.contains(&name) {
            return (self.access)(Access::Use(Right::Code, name));
        }
        if STATS_STAGES.contains(&name) || name.starts_with("$_") {
            return (self.access)(Access::Use(Right::Stats, name));
        }
        if CROSS_COLLECTION_STAGES.contains(&name) {
            return Err(ApiError::invalid(format!("'{name}' is a pipeline stage and cannot be used here")));
        }
        Ok(())
    }

    fn pipeline<'r>(&self, stages: &'r RawArray, kind: PipelineKind, path: &str) -> ApiResult<()>
    where
        'w: 'r,
    {
        let mut rest = stages.into_iter().enumerate().peekable();
        while let Some((index, stage)) = rest.next() {
            let RawBsonRef::Document(stage) = readable(stage)? else {
                return Err(ApiError::invalid(format!("'{path}[{index}]' must be a document")));
            };
            let [(name, value)] = fields(stage)?[..] else {
                return Err(ApiError::invalid(format!("'{path}[{index}]' must have one field, the name of a stage")));
            };
            if kind == PipelineKind::Update && !UPDATE_STAGES.contains(&name) {
                let name = excerpt(name, 64);
                return Err(ApiError::invalid(format!(
                    "'{name}' is not allowed in '{path}': an update pipeline accepts $set, $unset, $project and \
                     $replaceRoot"
                )));
            }
            if kind == PipelineKind::Watch && !WATCH_STAGES.contains(&name) {
                let name = excerpt(name, 64);
                return Err(ApiError::invalid(format!(
                    "'{name}' is not allowed in a change stream, which accepts {}",
                    WATCH_STAGES.join(", ")
                )));
            }
            let stage = self.stage(name, value)?;
            if stage.writes.is_some() && (kind != PipelineKind::Aggregation || rest.peek().is_some()) {
                return Err(ApiError::invalid(format!("'{name}' must be the last stage of the whole pipeline")));
            }
            if let Some((right, name)) = stage.uses {
                (self.access)(Access::Use(right, name))?;
            }
            if let Some(namespace) = stage.reads {
                (self.access)(Access::Read(namespace))?;
            }
            if let Some(namespace) = stage.writes {
                (self.access)(Access::Write(namespace))?;
            }
            for (pipeline, kind) in stage.pipelines {
                self.pipeline(pipeline, kind, name)?;
            }
            stage.values.into_iter().try_for_each(|value| self.value(value))?;
        }
        Ok(())
    }

    fn stage<'r>(&self, name: &'r str, value: RawBsonRef<'r>) -> ApiResult<Stage<'r>>
    where
        'w: 'r,
    {
        let mut stage = Stage { uses: None, reads: None, writes: None, pipelines: Vec::new(), values: Vec::new() };
        match name {
            _ if PLAIN_STAGES.contains(&name) => stage.values.push(value),
            _ if STATS_STAGES.contains(&name) => {
                stage.uses = Some((Right::Stats, name));
                stage.values.push(value);
            }
            "$out" => {
                stage.uses = Some((Right::Out, name));
                stage.writes = Some(match value {
                    RawBsonRef::Document(out) => self.out(&mut stage, out)?,
                    other => namespace_ref(self.database, text_or_document(other, name)?, name)?,
                });
            }
            "$merge" => {
                stage.uses = Some((Right::Out, name));
                stage.writes = Some(match value {
                    RawBsonRef::Document(merge) => self.merge(&mut stage, merge)?,
                    other => namespace_ref(self.database, text_or_document(other, name)?, name)?,
                });
            }
            "$lookup" | "$graphLookup" => self.lookup(&mut stage, name, value)?,
            "$unionWith" => match value {
                RawBsonRef::Document(union) => self.union_with(&mut stage, union)?,
                other => stage.reads = Some(namespace_ref(self.database, text_or_document(other, name)?, name)?),
            },
            "$facet" => facet(&mut stage, value)?,
            "$rankFusion" | "$scoreFusion" => fusion(&mut stage, name, value)?,
            _ => {
                let name = excerpt(name, 64);
                return Err(ApiError::not_allowed(format!("'{name}' is not a supported stage")));
            }
        }
        Ok(stage)
    }

    fn out<'r>(&self, stage: &mut Stage<'r>, out: &'r RawDocument) -> ApiResult<NamespaceRef<'r>>
    where
        'w: 'r,
    {
        const NAME: &str = "$out";
        let (mut database, mut collection) = (self.database, None);
        for (field, value) in fields(out)? {
            let path = || format!("{NAME}.{field}");
            match field {
                "db" => database = text(value, &path())?,
                "coll" => collection = Some(text(value, &path())?),
                "timeseries" => stage.values.push(document(value, &path())?),
                _ => return Err(unknown_field(NAME, field)),
            }
        }
        namespace_ref(database, collection.ok_or_else(|| missing_field(NAME, "coll"))?, NAME)
    }

    /// Reads `$lookup` and `$graphLookup`.
    fn lookup<'r>(&self, stage: &mut Stage<'r>, name: &str, value: RawBsonRef<'r>) -> ApiResult<()>
    where
        'w: 'r,
    {
        let RawBsonRef::Document(lookup) = value else { return Err(wrong_type(name, "a document")) };
        for (field, value) in fields(lookup)? {
            let path = || format!("{name}.{field}");
            match (name, field) {
                (_, "from") => stage.reads = Some(self.namespace(value, &path())?),
                (_, "as")
                | ("$lookup", "localField" | "foreignField")
                | ("$graphLookup", "connectFromField" | "connectToField" | "depthField") => {
                    text(value, &path())?;
                }
                ("$lookup", "let") | ("$graphLookup", "restrictSearchWithMatch") => {
                    stage.values.push(document(value, &path())?);
                }
                ("$lookup", "pipeline") => stage.pipelines.push((array(value, &path())?, PipelineKind::Nested)),
                ("$graphLookup", "startWith" | "maxDepth") => stage.values.push(value),
                _ => return Err(unknown_field(name, field)),
            }
        }
        if stage.reads.is_none() {
            require_documents_stage(stage, name, "from")?;
        }
        Ok(())
    }

    fn union_with<'r>(&self, stage: &mut Stage<'r>, union: &'r RawDocument) -> ApiResult<()>
    where
        'w: 'r,
    {
        const NAME: &str = "$unionWith";
        let (mut database, mut collection) = (None, None);
        for (field, value) in fields(union)? {
            let path = || format!("{NAME}.{field}");
            match field {
                "db" => database = Some(text(value, &path())?),
                "coll" => collection = Some(text(value, &path())?),
                "pipeline" => stage.pipelines.push((array(value, &path())?, PipelineKind::Nested)),
                _ => return Err(unknown_field(NAME, field)),
            }
        }
        match (database, collection) {
            (database, Some(collection)) => {
                stage.reads = Some(namespace_ref(database.unwrap_or(self.database), collection, NAME)?);
                Ok(())
            }
            (Some(_), None) => Err(missing_field(NAME, "coll")),
            (None, None) => require_documents_stage(stage, NAME, "coll"),
        }
    }

    fn merge<'r>(&self, stage: &mut Stage<'r>, merge: &'r RawDocument) -> ApiResult<NamespaceRef<'r>>
    where
        'w: 'r,
    {
        const NAME: &str = "$merge";
        let mut into = None;
        for (field, value) in fields(merge)? {
            let path = || format!("{NAME}.{field}");
            match (field, value) {
                ("into", _) => into = Some(self.namespace(value, &path())?),
                ("on", RawBsonRef::Array(names)) => {
                    for name in names {
                        text(readable(name)?, "$merge.on")?;
                    }
                }
                ("on", RawBsonRef::String(_)) => {}
                ("on", _) => return Err(wrong_type(&path(), "a string or an array of strings")),
                ("let", _) => stage.values.push(document(value, &path())?),
                ("whenMatched", RawBsonRef::String(_)) => {}
                ("whenMatched", RawBsonRef::Array(stages)) => stage.pipelines.push((stages, PipelineKind::Update)),
                ("whenMatched", _) => return Err(wrong_type(&path(), "a string or an array of stages")),
                ("whenNotMatched", _) => {
                    text(value, &path())?;
                }
                _ => return Err(unknown_field(NAME, field)),
            }
        }
        into.ok_or_else(|| missing_field(NAME, "into"))
    }

    /// Reads a namespace: a collection name or `{db, coll}`.
    fn namespace<'r>(&self, value: RawBsonRef<'r>, path: &str) -> ApiResult<NamespaceRef<'r>>
    where
        'w: 'r,
    {
        let RawBsonRef::Document(named) = value else {
            return namespace_ref(self.database, text_or_document(value, path)?, path);
        };
        let (mut database, mut collection) = (self.database, None);
        for (field, value) in fields(named)? {
            match field {
                "db" => database = text(value, &format!("{path}.db"))?,
                "coll" => collection = Some(text(value, &format!("{path}.coll"))?),
                _ => return Err(unknown_field(path, field)),
            }
        }
        namespace_ref(database, collection.ok_or_else(|| missing_field(path, "coll"))?, path)
    }
}

fn facet<'r>(stage: &mut Stage<'r>, value: RawBsonRef<'r>) -> ApiResult<()> {
    const NAME: &str = "$facet";
    let RawBsonRef::Document(facets) = value else { return Err(wrong_type(NAME, "a document")) };
    for (field, value) in fields(facets)? {
        let path = format!("{NAME}.{}", excerpt(field, 64));
        stage.pipelines.push((array(value, &path)?, PipelineKind::Nested));
    }
    Ok(())
}

/// Reads `$rankFusion` and `$scoreFusion`.
fn fusion<'r>(stage: &mut Stage<'r>, name: &str, value: RawBsonRef<'r>) -> ApiResult<()> {
    let RawBsonRef::Document(fusion) = value else { return Err(wrong_type(name, "a document")) };
    for (field, value) in fields(fusion)? {
        match field {
            "input" => fusion_input(stage, name, value)?,
            "combination" | "scoreDetails" => stage.values.push(value),
            _ => return Err(unknown_field(name, field)),
        }
    }
    Ok(())
}

/// Reads the pipelines of `$rankFusion` and `$scoreFusion`.
fn fusion_input<'r>(stage: &mut Stage<'r>, name: &str, input: RawBsonRef<'r>) -> ApiResult<()> {
    let RawBsonRef::Document(input) = input else { return Err(wrong_type(&format!("{name}.input"), "a document")) };
    for (field, value) in fields(input)? {
        match (field, value) {
            ("pipelines", RawBsonRef::Document(pipelines)) => {
                for (pipeline, stages) in fields(pipelines)? {
                    let path = format!("{name}.input.pipelines.{}", excerpt(pipeline, 64));
                    stage.pipelines.push((array(stages, &path)?, PipelineKind::Nested));
                }
            }
            ("pipelines", _) => return Err(wrong_type(&format!("{name}.input.pipelines"), "a document")),
            ("normalization", _) => stage.values.push(value),
            _ => return Err(unknown_field(&format!("{name}.input"), field)),
        }
    }
    Ok(())
}

/// Requires `$documents` in a stage without a collection, as MongoDB does.
fn require_documents_stage(stage: &Stage<'_>, name: &str, field: &str) -> ApiResult<()> {
    let first = match stage.pipelines.first() {
        Some((pipeline, _)) => pipeline.into_iter().next().map(readable).transpose()?,
        None => None,
    };
    match first {
        Some(RawBsonRef::Document(first)) if matches!(fields(first)?[..], [("$documents", _)]) => Ok(()),
        _ => Err(missing_field(name, field)),
    }
}

/// Validates the names of a collection.
fn namespace_ref<'r>(database: &'r str, collection: &'r str, path: &str) -> ApiResult<NamespaceRef<'r>> {
    database_name(database).map_err(|problem| ApiError::invalid(format!("the database of '{path}' {problem}")))?;
    collection_name(collection)
        .map_err(|problem| ApiError::invalid(format!("the collection of '{path}' {problem}")))?;
    if exceeds_namespace_limit(database, collection) {
        return Err(ApiError::invalid(format!("the namespace of '{path}' is longer than {MAX_NAMESPACE_BYTES} bytes")));
    }
    reject_internal(database, collection)?;
    Ok(NamespaceRef { database, collection })
}

/// Returns the fields of a document. Rejects repeated fields, which servers and drivers read
/// differently.
pub(super) fn fields(document: &RawDocument) -> ApiResult<Vec<(&str, RawBsonRef<'_>)>> {
    /// Up to this many fields, a linear search is faster than a set.
    const LINEAR_SEARCH: usize = 16;
    let mut all: Vec<(&str, RawBsonRef<'_>)> = Vec::new();
    let mut names = HashSet::new();
    for field in document {
        let (name, value) = field.map_err(|_| ApiError::unreadable())?;
        let name = name.as_str();
        let repeated = if all.len() < LINEAR_SEARCH {
            all.iter().any(|(other, _)| *other == name)
        } else {
            if names.is_empty() {
                names.extend(all.iter().map(|(name, _)| *name));
            }
            !names.insert(name)
        };
        if repeated {
            return Err(ApiError::invalid(format!("a document has the field '{}' more than once", excerpt(name, 64))));
        }
        all.push((name, value));
    }
    Ok(all)
}

fn readable<'r>(value: Result<RawBsonRef<'r>, impl Sized>) -> ApiResult<RawBsonRef<'r>> {
    value.map_err(|_| ApiError::unreadable())
}

fn text<'r>(value: RawBsonRef<'r>, path: &str) -> ApiResult<&'r str> {
    match value {
        RawBsonRef::String(text) => Ok(text),
        _ => Err(wrong_type(path, "a string")),
    }
}

/// Reads a string where a document would also be valid.
fn text_or_document<'r>(value: RawBsonRef<'r>, path: &str) -> ApiResult<&'r str> {
    text(value, path).map_err(|_| wrong_type(path, "a string or a document"))
}

fn document<'r>(value: RawBsonRef<'r>, path: &str) -> ApiResult<RawBsonRef<'r>> {
    match value {
        RawBsonRef::Document(_) => Ok(value),
        _ => Err(wrong_type(path, "a document")),
    }
}

fn array<'r>(value: RawBsonRef<'r>, path: &str) -> ApiResult<&'r RawArray> {
    match value {
        RawBsonRef::Array(array) => Ok(array),
        _ => Err(wrong_type(path, "an array of stages")),
    }
}

fn wrong_type(path: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("'{path}' must be {expected}"))
}

fn missing_field(path: &str, field: &str) -> ApiError {
    ApiError::invalid(format!("'{path}' must have the field '{field}'"))
}

fn unknown_field(path: &str, field: &str) -> ApiError {
    ApiError::invalid(format!("'{path}' has no field '{}'", excerpt(field, 64)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::codec::ejson;
    use std::cell::RefCell;

    /// What a pipeline accesses, or the status and the message of its rejection.
    fn accessed(stages: &str) -> Result<Vec<String>, (u16, String)> {
        let request = ejson::parse_document(format!(r#"{{"pipeline": {stages}}}"#).as_bytes()).unwrap();
        let seen = RefCell::new(Vec::new());
        let access = |access: Access<'_>| {
            seen.borrow_mut().push(match access {
                Access::Read(namespace) => format!("read {}.{}", namespace.database, namespace.collection),
                Access::Write(namespace) => format!("write {}.{}", namespace.database, namespace.collection),
                Access::Use(right, name) => format!("{right} {name}"),
            });
            Ok(())
        };
        let walk = PipelineWalk { database: "app", access: &access };
        let result = walk.aggregation(request.get_array("pipeline").unwrap());
        result.map_err(|error| (error.status.as_u16(), error.body.error))?;
        Ok(seen.into_inner())
    }

    #[test]
    fn all_collections_of_a_pipeline_are_found() {
        let cases: [(&str, &[&str]); 12] = [
            ("[]", &[]),
            (r#"[{"$match": {"from": "x", "into": "y"}}, {"$limit": 1}]"#, &[]),
            (r#"[{"$out": "b"}]"#, &["out $out", "write app.b"]),
            (r#"[{"$out": {"db": "x", "coll": "b", "timeseries": {"timeField": "t"}}}]"#, &["out $out", "write x.b"]),
            (r#"[{"$merge": {"into": {"db": "x", "coll": "b"}, "on": ["a"]}}]"#, &["out $merge", "write x.b"]),
            (r#"[{"$lookup": {"from": "b", "localField": "a", "foreignField": "b", "as": "c"}}]"#, &["read app.b"]),
            (r#"[{"$lookup": {"pipeline": [{"$documents": []}, {"$unionWith": "b"}], "as": "c"}}]"#, &["read app.b"]),
            (
                r#"[{"$unionWith": {"db": "x", "coll": "b", "pipeline": [{"$unionWith": "c"}]}}]"#,
                &["read x.b", "read app.c"],
            ),
            (
                r#"[{"$facet": {"a": [{"$collStats": {}}], "b": [{"$unionWith": "c"}]}}]"#,
                &["stats $collStats", "read app.c"],
            ),
            (r#"[{"$rankFusion": {"input": {"pipelines": {"a": [{"$unionWith": "c"}]}}}}]"#, &["read app.c"]),
            (
                r#"[{"$set": {"a": {"$function": {}, "b": {"$_internalX": 1}}}}]"#,
                &["code $function", "stats $_internalX"],
            ),
            (r#"[{"$match": {"a": {"$code": "x", "$scope": {"$where": 1}}}}]"#, &["code $where"]),
        ];
        for (stages, expected) in cases {
            assert_eq!(accessed(stages).unwrap(), expected, "{stages}");
        }
    }

    #[test]
    fn invalid_stages_are_rejected_with_their_path() {
        let cases = [
            (r#"[{"$out": {"db": {"$symbol": "x"}, "coll": "b"}}]"#, "'$out.db' must be a string"),
            (r#"[{"$merge": {"into": {"db": null, "coll": "b"}}}]"#, "'$merge.into.db' must be a string"),
            (r#"[{"$merge": {"into": 1}}]"#, "'$merge.into' must be a string or a document"),
            (r#"[{"$merge": {"on": "a"}}]"#, "'$merge' must have the field 'into'"),
            (r#"[{"$lookup": {"from": {"db": "x"}, "as": "a"}}]"#, "'$lookup.from' must have the field 'coll'"),
            (r#"[{"$lookup": {"as": "a", "pipeline": [{"$match": {}}]}}]"#, "'$lookup' must have the field 'from'"),
            (r#"[{"$facet": {"a": {"0": {}}}}]"#, "'$facet.a' must be an array of stages"),
            (r#"[{"$facet": {"a": [1]}}]"#, "'$facet[0]' must be a document"),
            (r#"[{"$match": {}, "$out": "b"}]"#, "'pipeline[0]' must have one field, the name of a stage"),
            (r#"[{"$out": {"coll": "b", "s3": {}}}]"#, "'$out' has no field 's3'"),
            (r#"[{"$unionWith": {"coll": "b", "coll": "c"}}]"#, "a document has the field 'coll' more than once"),
            (
                r#"[{"$unionWith": {"db": "a.b", "coll": "c"}}]"#,
                "the database of '$unionWith' has '.', which a database's name may not have",
            ),
            (r#"[{"$set": {"a": {"$lookup": {}}}}]"#, "'$lookup' is a pipeline stage and cannot be used here"),
            (r#"[{"$facet": {"a": [{"$out": "b"}]}}]"#, "'$out' must be the last stage of the whole pipeline"),
        ];
        for (stages, message) in cases {
            assert_eq!(accessed(stages).unwrap_err(), (400, message.to_owned()), "{stages}");
        }
    }

    #[test]
    fn a_repeated_field_is_found_among_many() {
        let many: String = (0..100).map(|number| format!(r#""f{number}": 1, "#)).collect();
        assert!(accessed(&format!(r#"[{{"$set": {{{many}"g": 1}}}}]"#)).is_ok());
        for repeated in [3, 15, 16, 17, 99] {
            assert!(accessed(&format!(r#"[{{"$set": {{{many}"f{repeated}": 1}}}}]"#)).is_err(), "{repeated}");
        }
    }

    #[test]
    fn an_unknown_stage_is_forbidden() {
        for name in ["$mergeCursors", "$_internalX", "$Out", "$where", "", "out"] {
            assert_eq!(accessed(&format!(r#"[{{"{name}": {{}}}}]"#)).unwrap_err().0, 403, "{name}");
        }
    }
}
