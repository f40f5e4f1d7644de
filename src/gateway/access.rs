//! What a request would access: the collections that its pipeline reads and writes, and the
//! operators that need a right of their own.
//!
//! Each part of a request that MongoDB evaluates is parsed once, strictly: a value of a type that
//! MongoDB does not take there, a field that a stage does not have, a field that comes twice and a
//! stage that is not known are refused. So nothing is overlooked because it has an unexpected form,
//! and MongoDB reads a request as it is read here.

use std::collections::HashSet;

use axum::http::StatusCode;
use bson::{RawArray, RawBsonRef, RawDocument};

use super::http::{Refused, refused};
use super::permission::Right;
use crate::config::{collection_name, database_name};
use crate::error::excerpt;

/// MongoDB's own databases, which are not for applications.
const INTERNAL_DATABASES: [&str; 3] = ["admin", "config", "local"];

/// The most bytes of `database.collection` in MongoDB.
pub(super) const LONGEST_NAMESPACE: usize = 255;

/// Operators that run code on the server.
const RUNS_CODE: [&str; 5] = ["$where", "$function", "$accumulator", "$_internalJsEmit", "$_internalJsReduce"];

/// Stages that tell of the server, its sessions and how collections are kept. None of them
/// accesses another database than the one it is run in, except in `admin`, which is closed.
const TELLS_OF_SERVER: [&str; 13] = [
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

/// Stages that only work on the documents that come to them, or on their own collection.
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

/// Stages that access other collections or hold pipelines.
const REACHING_STAGES: [&str; 8] =
    ["$facet", "$graphLookup", "$lookup", "$merge", "$out", "$rankFusion", "$scoreFusion", "$unionWith"];

/// The stages that MongoDB takes in an update, and in `$merge`'s `whenMatched`.
const UPDATE_STAGES: [&str; 6] = ["$addFields", "$project", "$replaceRoot", "$replaceWith", "$set", "$unset"];

type Outcome<T> = Result<T, Refused>;

/// A collection that a stage names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'r> {
    pub(super) database: &'r str,
    pub(super) collection: &'r str,
}

/// Something that the caller must have a right to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access<'r> {
    /// Documents of a collection come into the answer.
    Read(Target<'r>),
    /// A collection is written to.
    Write(Target<'r>),
    /// An operator or a stage of this name, with the right that it needs where it is run.
    Use(Right, &'r str),
}

/// Where in a request a pipeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The pipeline of `aggregate`: its last stage may write.
    Whole,
    /// One within a stage.
    Nested,
    /// One that changes documents.
    Update,
}

/// A stage, and all that it asks of MongoDB.
struct Stage<'r> {
    uses: Option<(Right, &'r str)>,
    reads: Option<Target<'r>>,
    writes: Option<Target<'r>>,
    pipelines: Vec<(&'r RawArray, Kind)>,
    /// Expressions, queries and constants.
    values: Vec<RawBsonRef<'r>>,
}

/// Walks the parts of a request that runs in `database`, and calls `access` with each thing that
/// they access.
pub(super) struct Walk<'w> {
    pub(super) database: &'w str,
    pub(super) access: &'w dyn Fn(Access<'_>) -> Outcome<()>,
}

impl<'w> Walk<'w> {
    /// The pipeline of `aggregate`.
    pub(super) fn aggregation<'r>(&self, stages: &'r RawArray) -> Outcome<()>
    where
        'w: 'r,
    {
        self.pipeline(stages, Kind::Whole, "pipeline")
    }

    /// An update that is a pipeline.
    pub(super) fn update_pipeline<'r>(&self, stages: &'r RawArray) -> Outcome<()>
    where
        'w: 'r,
    {
        self.pipeline(stages, Kind::Update, "update")
    }

    /// A filter, a projection, an order, update operators, or what a stage computes.
    pub(super) fn value(&self, value: RawBsonRef<'_>) -> Outcome<()> {
        match value {
            RawBsonRef::Document(document) => {
                for (name, value) in fields(document)? {
                    self.operator(name)?;
                    self.value(value)?;
                }
                Ok(())
            }
            RawBsonRef::Array(array) => array.into_iter().try_for_each(|one| self.value(read(one)?)),
            RawBsonRef::JavaScriptCodeWithScope(code) => self.value(RawBsonRef::Document(code.scope)),
            _ => Ok(()),
        }
    }

    fn operator(&self, name: &str) -> Outcome<()> {
        if RUNS_CODE.contains(&name) {
            return (self.access)(Access::Use(Right::Code, name));
        }
        if TELLS_OF_SERVER.contains(&name) || name.starts_with("$_") {
            return (self.access)(Access::Use(Right::Stats, name));
        }
        if REACHING_STAGES.contains(&name) {
            return Err(invalid(format!("'{name}' is a stage of a pipeline, and cannot be used here")));
        }
        Ok(())
    }

    fn pipeline<'r>(&self, stages: &'r RawArray, kind: Kind, what: &str) -> Outcome<()>
    where
        'w: 'r,
    {
        let mut rest = stages.into_iter().enumerate().peekable();
        while let Some((place, stage)) = rest.next() {
            let RawBsonRef::Document(stage) = read(stage)? else {
                return Err(invalid(format!("'{what}[{place}]' must be a document")));
            };
            let [(name, value)] = fields(stage)?[..] else {
                return Err(invalid(format!("'{what}[{place}]' must have one field, the name of a stage")));
            };
            if kind == Kind::Update && !UPDATE_STAGES.contains(&name) {
                let name = excerpt(name, 64);
                return Err(invalid(format!("'{name}' is not a stage of an update: '{what}' takes $set and its like")));
            }
            let stage = self.stage(name, value)?;
            if stage.writes.is_some() && (kind != Kind::Whole || rest.peek().is_some()) {
                return Err(invalid(format!("'{name}' must be the last stage of the whole pipeline")));
            }
            if let Some((right, name)) = stage.uses {
                (self.access)(Access::Use(right, name))?;
            }
            if let Some(target) = stage.reads {
                (self.access)(Access::Read(target))?;
            }
            if let Some(target) = stage.writes {
                (self.access)(Access::Write(target))?;
            }
            for (pipeline, kind) in stage.pipelines {
                self.pipeline(pipeline, kind, name)?;
            }
            stage.values.into_iter().try_for_each(|value| self.value(value))?;
        }
        Ok(())
    }

    fn stage<'r>(&self, name: &'r str, value: RawBsonRef<'r>) -> Outcome<Stage<'r>>
    where
        'w: 'r,
    {
        let mut stage = Stage { uses: None, reads: None, writes: None, pipelines: Vec::new(), values: Vec::new() };
        let part = |field: &str| format!("{name}.{field}");
        match name {
            _ if PLAIN_STAGES.contains(&name) => stage.values.push(value),
            _ if TELLS_OF_SERVER.contains(&name) => {
                stage.uses = Some((Right::Stats, name));
                stage.values.push(value);
            }
            "$out" => {
                stage.uses = Some((Right::Out, name));
                stage.writes = Some(match value {
                    RawBsonRef::Document(out) => {
                        let (mut database, mut collection) = (self.database, None);
                        for (field, value) in fields(out)? {
                            match field {
                                "db" => database = text(value, &part(field))?,
                                "coll" => collection = Some(text(value, &part(field))?),
                                "timeseries" => stage.values.push(document(value, &part(field))?),
                                _ => return Err(unknown_field(name, field)),
                            }
                        }
                        target(database, collection.ok_or_else(|| lacking(name, "coll"))?, name)?
                    }
                    other => target(self.database, text_or_document(other, name)?, name)?,
                });
            }
            "$merge" => {
                stage.uses = Some((Right::Out, name));
                stage.writes = Some(match value {
                    RawBsonRef::Document(merge) => self.merge(&mut stage, merge)?,
                    other => target(self.database, text_or_document(other, name)?, name)?,
                });
            }
            "$lookup" | "$graphLookup" => {
                let RawBsonRef::Document(lookup) = value else { return Err(not(name, "a document")) };
                for (field, value) in fields(lookup)? {
                    match (name, field) {
                        (_, "from") => stage.reads = Some(self.namespace(value, &part(field))?),
                        (_, "as")
                        | ("$lookup", "localField" | "foreignField")
                        | ("$graphLookup", "connectFromField" | "connectToField" | "depthField") => {
                            text(value, &part(field))?;
                        }
                        ("$lookup", "let") | ("$graphLookup", "restrictSearchWithMatch") => {
                            stage.values.push(document(value, &part(field))?);
                        }
                        ("$lookup", "pipeline") => {
                            stage.pipelines.push((array(value, &part(field))?, Kind::Nested));
                        }
                        ("$graphLookup", "startWith" | "maxDepth") => stage.values.push(value),
                        _ => return Err(unknown_field(name, field)),
                    }
                }
                if stage.reads.is_none() {
                    own_documents(&stage, name, "from")?;
                }
            }
            "$unionWith" => match value {
                RawBsonRef::Document(union) => {
                    let (mut database, mut collection) = (None, None);
                    for (field, value) in fields(union)? {
                        match field {
                            "db" => database = Some(text(value, &part(field))?),
                            "coll" => collection = Some(text(value, &part(field))?),
                            "pipeline" => stage.pipelines.push((array(value, &part(field))?, Kind::Nested)),
                            _ => return Err(unknown_field(name, field)),
                        }
                    }
                    match (database, collection) {
                        (database, Some(collection)) => {
                            stage.reads = Some(target(database.unwrap_or(self.database), collection, name)?);
                        }
                        (Some(_), None) => return Err(lacking(name, "coll")),
                        (None, None) => own_documents(&stage, name, "coll")?,
                    }
                }
                other => stage.reads = Some(target(self.database, text_or_document(other, name)?, name)?),
            },
            "$facet" => {
                let RawBsonRef::Document(facets) = value else { return Err(not(name, "a document")) };
                for (field, value) in fields(facets)? {
                    let field = excerpt(field, 64);
                    stage.pipelines.push((array(value, &part(&field))?, Kind::Nested));
                }
            }
            "$rankFusion" | "$scoreFusion" => {
                let RawBsonRef::Document(fusion) = value else { return Err(not(name, "a document")) };
                for (field, value) in fields(fusion)? {
                    match field {
                        "input" => fusion_input(&mut stage, name, value)?,
                        "combination" | "scoreDetails" => stage.values.push(value),
                        _ => return Err(unknown_field(name, field)),
                    }
                }
            }
            _ => {
                let name = excerpt(name, 64);
                return Err(forbidden(format!("'{name}' is not a stage that the gateway knows")));
            }
        }
        Ok(stage)
    }

    fn merge<'r>(&self, stage: &mut Stage<'r>, merge: &'r RawDocument) -> Outcome<Target<'r>>
    where
        'w: 'r,
    {
        const NAME: &str = "$merge";
        let mut into = None;
        for (field, value) in fields(merge)? {
            let part = || format!("{NAME}.{field}");
            match (field, value) {
                ("into", _) => into = Some(self.namespace(value, &part())?),
                ("on", RawBsonRef::Array(names)) => {
                    for name in names {
                        text(read(name)?, "$merge.on")?;
                    }
                }
                ("on", RawBsonRef::String(_)) => {}
                ("on", _) => return Err(not(&part(), "a string or an array of strings")),
                ("let", _) => stage.values.push(document(value, &part())?),
                ("whenMatched", RawBsonRef::String(_)) => {}
                ("whenMatched", RawBsonRef::Array(stages)) => stage.pipelines.push((stages, Kind::Update)),
                ("whenMatched", _) => return Err(not(&part(), "a string or an array of stages")),
                ("whenNotMatched", _) => {
                    text(value, &part())?;
                }
                _ => return Err(unknown_field(NAME, field)),
            }
        }
        into.ok_or_else(|| lacking(NAME, "into"))
    }

    /// A collection, as a name or as `{db, coll}`.
    fn namespace<'r>(&self, value: RawBsonRef<'r>, what: &str) -> Outcome<Target<'r>>
    where
        'w: 'r,
    {
        let RawBsonRef::Document(named) = value else {
            return target(self.database, text_or_document(value, what)?, what);
        };
        let (mut database, mut collection) = (self.database, None);
        for (field, value) in fields(named)? {
            match field {
                "db" => database = text(value, &format!("{what}.db"))?,
                "coll" => collection = Some(text(value, &format!("{what}.coll"))?),
                _ => return Err(unknown_field(what, field)),
            }
        }
        target(database, collection.ok_or_else(|| lacking(what, "coll"))?, what)
    }
}

/// The pipelines whose answers are ranked together.
fn fusion_input<'r>(stage: &mut Stage<'r>, name: &str, input: RawBsonRef<'r>) -> Outcome<()> {
    let RawBsonRef::Document(input) = input else { return Err(not(&format!("{name}.input"), "a document")) };
    for (field, value) in fields(input)? {
        match (field, value) {
            ("pipelines", RawBsonRef::Document(pipelines)) => {
                for (named, stages) in fields(pipelines)? {
                    let what = format!("{name}.input.pipelines.{}", excerpt(named, 64));
                    stage.pipelines.push((array(stages, &what)?, Kind::Nested));
                }
            }
            ("pipelines", _) => return Err(not(&format!("{name}.input.pipelines"), "a document")),
            ("normalization", _) => stage.values.push(value),
            _ => return Err(unknown_field(&format!("{name}.input"), field)),
        }
    }
    Ok(())
}

/// A stage that names no collection has documents of its own, as MongoDB demands.
fn own_documents(stage: &Stage<'_>, name: &str, field: &str) -> Outcome<()> {
    let first = match stage.pipelines.first() {
        Some((pipeline, _)) => pipeline.into_iter().next().map(read).transpose()?,
        None => None,
    };
    match first {
        Some(RawBsonRef::Document(first)) if matches!(fields(first)?[..], [("$documents", _)]) => Ok(()),
        _ => Err(lacking(name, field)),
    }
}

/// A collection that there can be, and that is open to callers.
fn target<'r>(database: &'r str, collection: &'r str, what: &str) -> Outcome<Target<'r>> {
    database_name(database).map_err(|problem| invalid(format!("the database of '{what}' {problem}")))?;
    collection_name(collection).map_err(|problem| invalid(format!("the collection of '{what}' {problem}")))?;
    if database.len() + 1 + collection.len() > LONGEST_NAMESPACE {
        return Err(invalid(format!("the namespace of '{what}' is longer than {LONGEST_NAMESPACE} bytes")));
    }
    not_internal(database, collection)?;
    Ok(Target { database, collection })
}

/// Refuses what is MongoDB's own.
pub(super) fn not_internal(database: &str, collection: &str) -> Outcome<()> {
    if collection.starts_with("system.") {
        return Err(forbidden(format!("the collection '{collection}' is MongoDB's own and not open here")));
    }
    if INTERNAL_DATABASES.contains(&database) {
        let error = format!("the database '{database}' is MongoDB's own and not open through the Data API");
        return Err(refused(StatusCode::FORBIDDEN, "InvalidParameter", error));
    }
    Ok(())
}

/// The fields of a document, each of which comes once: of two of a name, servers and drivers
/// choose differently.
fn fields(document: &RawDocument) -> Outcome<Vec<(&str, RawBsonRef<'_>)>> {
    const FEW: usize = 16;
    let mut all: Vec<(&str, RawBsonRef<'_>)> = Vec::new();
    let mut names = HashSet::new();
    for field in document {
        let (name, value) = field.map_err(|_| unreadable())?;
        let name = name.as_str();
        let again = if all.len() < FEW {
            all.iter().any(|(other, _)| *other == name)
        } else {
            if names.is_empty() {
                names.extend(all.iter().map(|(name, _)| *name));
            }
            !names.insert(name)
        };
        if again {
            return Err(invalid(format!("a document has the field '{}' more than once", excerpt(name, 64))));
        }
        all.push((name, value));
    }
    Ok(all)
}

/// How many fields and items a value has, itself included.
pub(super) fn elements(value: RawBsonRef<'_>) -> Outcome<usize> {
    let mut count = 1;
    match value {
        RawBsonRef::Document(document) => {
            for field in document {
                count += elements(field.map_err(|_| unreadable())?.1)?;
            }
        }
        RawBsonRef::Array(array) => {
            for item in array {
                count += elements(read(item)?)?;
            }
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => count += elements(RawBsonRef::Document(code.scope))?,
        _ => {}
    }
    Ok(count)
}

fn read<'r>(value: Result<RawBsonRef<'r>, impl Sized>) -> Outcome<RawBsonRef<'r>> {
    value.map_err(|_| unreadable())
}

fn text<'r>(value: RawBsonRef<'r>, what: &str) -> Outcome<&'r str> {
    match value {
        RawBsonRef::String(text) => Ok(text),
        _ => Err(not(what, "a string")),
    }
}

/// The text of what could also have been a document.
fn text_or_document<'r>(value: RawBsonRef<'r>, what: &str) -> Outcome<&'r str> {
    text(value, what).map_err(|_| not(what, "a string or a document"))
}

fn document<'r>(value: RawBsonRef<'r>, what: &str) -> Outcome<RawBsonRef<'r>> {
    match value {
        RawBsonRef::Document(_) => Ok(value),
        _ => Err(not(what, "a document")),
    }
}

fn array<'r>(value: RawBsonRef<'r>, what: &str) -> Outcome<&'r RawArray> {
    match value {
        RawBsonRef::Array(array) => Ok(array),
        _ => Err(not(what, "an array of stages")),
    }
}

fn not(what: &str, expected: &str) -> Refused {
    invalid(format!("'{what}' must be {expected}"))
}

fn lacking(what: &str, field: &str) -> Refused {
    invalid(format!("'{what}' must have the field '{field}'"))
}

fn unknown_field(what: &str, field: &str) -> Refused {
    invalid(format!("'{what}' has no field '{}'", excerpt(field, 64)))
}

fn unreadable() -> Refused {
    invalid("a document cannot be read")
}

fn invalid(error: impl Into<String>) -> Refused {
    refused(StatusCode::BAD_REQUEST, "InvalidParameter", error)
}

fn forbidden(error: String) -> Refused {
    refused(StatusCode::FORBIDDEN, "OperationNotAllowed", error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::codec::ejson;
    use std::cell::RefCell;

    /// What a pipeline accesses, or the status and the words by which it is refused.
    fn accessed(stages: &str) -> Result<Vec<String>, (u16, String)> {
        let request = ejson::parse_document(format!(r#"{{"pipeline": {stages}}}"#).as_bytes()).unwrap();
        let seen = RefCell::new(Vec::new());
        let access = |access: Access<'_>| {
            seen.borrow_mut().push(match access {
                Access::Read(target) => format!("read {}.{}", target.database, target.collection),
                Access::Write(target) => format!("write {}.{}", target.database, target.collection),
                Access::Use(right, name) => format!("{right} {name}"),
            });
            Ok(())
        };
        let walk = Walk { database: "app", access: &access };
        let outcome = walk.aggregation(request.get_array("pipeline").unwrap());
        outcome.map_err(|refused| (refused.status.as_u16(), refused.body.error))?;
        Ok(seen.into_inner())
    }

    #[test]
    fn every_collection_that_a_pipeline_names_is_accessed() {
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
    fn what_cannot_be_parsed_is_refused_with_its_place() {
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
            (r#"[{"$set": {"a": {"$lookup": {}}}}]"#, "'$lookup' is a stage of a pipeline, and cannot be used here"),
            (r#"[{"$facet": {"a": [{"$out": "b"}]}}]"#, "'$out' must be the last stage of the whole pipeline"),
        ];
        for (stages, words) in cases {
            assert_eq!(accessed(stages).unwrap_err(), (400, words.to_owned()), "{stages}");
        }
    }

    #[test]
    fn a_field_that_comes_twice_is_found_among_many() {
        let many: String = (0..100).map(|number| format!(r#""f{number}": 1, "#)).collect();
        assert!(accessed(&format!(r#"[{{"$set": {{{many}"g": 1}}}}]"#)).is_ok());
        for again in [3, 15, 16, 17, 99] {
            assert!(accessed(&format!(r#"[{{"$set": {{{many}"f{again}": 1}}}}]"#)).is_err(), "{again}");
        }
    }

    #[test]
    fn a_stage_that_is_not_known_is_forbidden() {
        for name in ["$mergeCursors", "$_internalX", "$Out", "$where", "", "out"] {
            assert_eq!(accessed(&format!(r#"[{{"{name}": {{}}}}]"#)).unwrap_err().0, 403, "{name}");
        }
    }
}
