//! Determines what a command makes MongoDB read, write and execute, from the command alone. Its rules
//! are independent of the gateway's, and assume the worse of two interpretations.

use bson::{RawArray, RawBsonRef, RawDocument, rawdoc};

use crate::recorder::Command;
use crate::rules;

/// An API key and its grants.
pub struct Key {
    pub name: &'static str,
    pub grants: &'static [Grant],
}

/// Rights on collections.
pub struct Grant {
    pub database: &'static str,
    /// A name, or a prefix followed by `*`.
    pub collection: &'static str,
    pub rights: &'static [&'static str],
    /// Whether the rule of the owner applies, and whether the rule of hidden fields does.
    pub rule: (bool, bool),
}

const fn grant(database: &'static str, collection: &'static str, rights: &'static [&'static str]) -> Grant {
    Grant { database, collection, rights, rule: (false, false) }
}

const fn ruled(collection: &'static str, rule: (bool, bool)) -> Grant {
    Grant { database: "mine", collection, rights: &["read", "write"], rule }
}

pub const KEYS: [Key; 7] = [
    Key { name: "out", grants: &[grant("mine", "*", &["read", "write", "out"])] },
    Key { name: "reader", grants: &[grant("mine", "*", &["read"])] },
    Key { name: "writer", grants: &[grant("mine", "*", &["read", "write"])] },
    Key { name: "narrow", grants: &[grant("mine", "a*", &["read", "write", "out"]), grant("mine", "b", &["read"])] },
    Key { name: "code", grants: &[grant("mine", "*", &["read", "code", "stats"])] },
    Key {
        name: rules::OWNER,
        grants: &[
            ruled("a", (true, true)),
            ruled("b", (true, false)),
            ruled("c", (false, false)),
            grant("mine", "*", &["out", "code", "stats"]),
        ],
    },
    Key { name: "two", grants: &[grant("mine", "*", &["read", "write", "out"]), grant("public", "*", &["read"])] },
];

impl Key {
    fn may(&self, right: &str, database: &str, collection: &str) -> Result<(), String> {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => collection.starts_with(beginning),
            None => collection == pattern,
        };
        let closed = ["admin", "config", "local"].contains(&database) || collection.starts_with("system.");
        let covers =
            |grant: &&Grant| grant.database == database && matches(grant.collection) && grant.rights.contains(&right);
        match !closed && self.grants.iter().any(|grant| covers(&grant)) {
            true => Ok(()),
            false => Err(format!("{} may not {right} in {database:?}.{collection:?}", self.name)),
        }
    }
}

/// Operators by the right that they require.
const CODE: [&str; 5] = ["$where", "$function", "$accumulator", "$_internalJsEmit", "$_internalJsReduce"];
const STATS: [&str; 13] = [
    "$collStats",
    "$indexStats",
    "$planCacheStats",
    "$listSearchIndexes",
    "$listSessions",
    "$listLocalSessions",
    "$listSampledQueries",
    "$currentOp",
    "$changeStream",
    "$changeStreamSplitLargeEvent",
    "$queryStats",
    "$querySettings",
    "$shardedDataDistribution",
];
/// Stages that name a collection, with whether they write.
const NAMING: [(&str, bool); 5] =
    [("$out", true), ("$merge", true), ("$lookup", false), ("$graphLookup", false), ("$unionWith", false)];
/// Fields of these stages that do not name a collection.
const OTHER_FIELDS: [&str; 15] = [
    "as",
    "connectFromField",
    "connectToField",
    "depthField",
    "foreignField",
    "let",
    "localField",
    "maxDepth",
    "on",
    "pipeline",
    "restrictSearchWithMatch",
    "startWith",
    "timeseries",
    "whenMatched",
    "whenNotMatched",
];
/// Stages that only process their input documents or nested pipelines.
const HARMLESS: &str = " $addFields $bucket $bucketAuto $count $densify $documents $facet $fill $geoNear $group $limit \
    $match $project $rankFusion $redact $replaceRoot $replaceWith $sample $scoreFusion $search $searchMeta $set \
    $setWindowFields $skip $sort $sortByCount $unset $unwind $vectorSearch ";

/// The stages of a change stream.
const AFTER_CHANGES: [&str; 8] =
    ["$addFields", "$match", "$project", "$redact", "$replaceRoot", "$replaceWith", "$set", "$unset"];

/// The fields of `findAndModify`.
const FIND_AND_MODIFY: [&str; 9] =
    ["findAndModify", "query", "update", "new", "remove", "sort", "upsert", "fields", "arrayFilters"];

/// The context in which an expression is evaluated.
struct Within<'a> {
    key: &'a Key,
    database: &'a str,
    collection: &'a str,
}

/// Checks that a key permits everything that a command does.
pub fn covered(command: &Command, key: &Key) -> Result<(), String> {
    let document = &command.document;
    if matches!(command.name(), "commitTransaction" | "abortTransaction") {
        return Ok(());
    }
    let database = document.get_str("$db").map_err(|_| "the command's $db is not a string".to_owned())?;
    if command.name() == "getMore" {
        let collection = document.get_str("collection").map_err(|error| error.to_string())?;
        return key.may("read", database, collection);
    }
    let Some(Ok((name, RawBsonRef::String(collection)))) = document.iter().next() else {
        return Err("the command's collection is not a string".to_owned());
    };
    let within = Within { key, database, collection };
    let known = |part: &str, known: &[&str]| {
        let common = ["$db", "lsid", "comment", "maxTimeMS", "txnNumber", "$clusterTime", "readConcern"];
        let common = [&common[..], &["startTransaction", "autocommit", "collation", "hint", "let"]].concat();
        match known.contains(&part) || common.contains(&part) {
            true => Ok(()),
            false => Err(format!("the command has the field {part:?}")),
        }
    };
    let (right, parts): (_, &[&str]) = match name.as_str() {
        "findAndModify" => {
            key.may("read", database, collection)?;
            ("write", &FIND_AND_MODIFY)
        }
        "count" => ("read", &["count"]),
        "distinct" => ("read", &["distinct", "key", "query"]),
        "find" => ("read", &["find", "filter", "projection", "sort", "skip", "limit", "singleBatch", "batchSize"]),
        "aggregate" => ("read", &["aggregate", "pipeline", "cursor"]),
        "insert" => ("write", &["insert", "documents", "ordered"]),
        "update" => ("write", &["update", "updates", "ordered"]),
        "delete" => ("write", &["delete", "deletes", "ordered"]),
        other => return Err(format!("the command is {other:?}")),
    };
    key.may(right, database, collection)?;
    for element in document {
        let (part, value) = element.map_err(|error| error.to_string())?;
        known(part.as_str(), parts)?;
        match value {
            RawBsonRef::Array(stages) if part.as_str() == "pipeline" && is_watch(command) => within.watch(stages)?,
            value => within.part(part.as_str(), value)?,
        }
    }
    for (part, documents) in &command.sequences {
        known(part, parts)?;
        documents.iter().try_for_each(|one| within.statement(part, one))?;
    }
    Ok(())
}

/// Whether a command opens a change stream.
pub fn is_watch(command: &Command) -> bool {
    let stages = command.document.get_array("pipeline").ok();
    let first = stages.and_then(|stages| stages.into_iter().next()?.ok()?.as_document());
    first.is_some_and(|stage| stage.get("$changeStream").is_ok_and(|stage| stage.is_some()))
}

impl Within<'_> {
    /// Checks the pipeline of a change stream. Whoever may read the collection may follow its changes, and only those.
    fn watch(&self, stages: &RawArray) -> Result<(), String> {
        let mut stages = stages.into_iter().flatten();
        let Some(RawBsonRef::Document(first)) = stages.next() else { return Err("no $changeStream".to_owned()) };
        let [Some(Ok((_, RawBsonRef::Document(options)))), None] = [first.iter().next(), first.iter().nth(1)] else {
            return Err("$changeStream has another form".to_owned());
        };
        for (name, value) in options.iter().flatten() {
            let is_known = match name.as_str() {
                "fullDocument" | "fullDocumentBeforeChange" => value.as_str().is_some(),
                "resumeAfter" | "startAfter" => value.as_document().is_some(),
                _ => false,
            };
            if !is_known {
                return Err(format!("$changeStream has the option {name}"));
            }
        }
        stages.try_for_each(|stage| {
            let RawBsonRef::Document(document) = stage else { return Err("a stage is not a document".to_owned()) };
            let names: Vec<_> = document.iter().flatten().map(|(name, _)| name.as_str()).collect();
            let [name] = names[..] else { return Err("a stage does not have exactly one field".to_owned()) };
            match AFTER_CHANGES.contains(&name) {
                true => self.any(stage),
                false => Err(format!("{name} in a change stream")),
            }
        })
    }

    fn part(&self, part: &str, value: RawBsonRef<'_>) -> Result<(), String> {
        match (part, value) {
            (
                "filter" | "projection" | "sort" | "query" | "fields" | "let" | "hint" | "collation" | "arrayFilters",
                value,
            ) => self.any(value),
            ("update", RawBsonRef::Document(update)) => self.update(update),
            ("update", RawBsonRef::String(_)) => Ok(()),
            ("pipeline" | "update", value) => self.stages(value),
            ("updates" | "deletes" | "documents", RawBsonRef::Array(statements)) => {
                statements.into_iter().try_for_each(|one| match one.map_err(|error| error.to_string())? {
                    RawBsonRef::Document(one) => self.statement(part, one),
                    other => Err(format!("a statement is {other:?}")),
                })
            }
            _ => Ok(()),
        }
    }

    /// Checks a document to insert, an update or a delete.
    fn statement(&self, part: &str, statement: &RawDocument) -> Result<(), String> {
        if part == "documents" {
            return Ok(());
        }
        for element in statement {
            match element.map_err(|error| error.to_string())? {
                (name, value) if name.as_str() == "q" => self.any(value)?,
                (name, RawBsonRef::Document(update)) if name.as_str() == "u" => self.update(update)?,
                (name, stages) if name.as_str() == "u" => self.stages(stages)?,
                (name, value) if ["hint", "collation", "arrayFilters", "sort"].contains(&name.as_str()) => {
                    self.any(value)?;
                }
                (name, _) if ["multi", "upsert", "limit"].contains(&name.as_str()) => {}
                (name, _) => return Err(format!("a statement has the field {name:?}")),
            }
        }
        Ok(())
    }

    /// Checks update operators. A replacement has no operators and is not evaluated.
    fn update(&self, update: &RawDocument) -> Result<(), String> {
        match update.iter().flatten().any(|(name, _)| name.as_str().starts_with('$')) {
            true => self.any(RawBsonRef::Document(update)),
            false => Ok(()),
        }
    }

    /// Checks a pipeline: an array of documents, each with one known stage.
    fn stages(&self, value: RawBsonRef<'_>) -> Result<(), String> {
        let RawBsonRef::Array(stages) = value else { return Err(format!("a pipeline is {value:?}")) };
        for stage in stages {
            let RawBsonRef::Document(stage) = stage.map_err(|error| error.to_string())? else {
                return Err("a stage is not a document".to_owned());
            };
            let mut names = stage.iter().flatten().map(|(name, _)| name.as_str());
            let (Some(name), None) = (names.next(), names.next()) else {
                return Err("a stage does not have exactly one field".to_owned());
            };
            let naming = NAMING.iter().any(|(naming, _)| *naming == name);
            if !naming && !STATS.contains(&name) && !HARMLESS.contains(&format!(" {name} ")) {
                return Err(format!("unknown stage: {name:?}"));
            }
            self.any(RawBsonRef::Document(stage))?;
        }
        Ok(())
    }

    /// Checks a document of pipelines.
    fn pipelines(&self, value: RawBsonRef<'_>) -> Result<(), String> {
        let RawBsonRef::Document(pipelines) = value else { return Err(format!("pipelines are {value:?}")) };
        pipelines.iter().flatten().try_for_each(|(_, stages)| self.stages(stages))
    }

    /// Checks any expression, at any depth.
    fn any(&self, value: RawBsonRef<'_>) -> Result<(), String> {
        match value {
            RawBsonRef::Document(document) => {
                let mut before: Vec<&str> = Vec::new();
                for element in document {
                    let (name, value) = element.map_err(|error| error.to_string())?;
                    let name = name.as_str();
                    if before.contains(&name) {
                        return Err(format!("{name:?} is duplicated"));
                    }
                    before.push(name);
                    self.operator(name, value)?;
                    self.any(value)?;
                }
                Ok(())
            }
            RawBsonRef::Array(array) => {
                array.into_iter().try_for_each(|one| self.any(one.map_err(|error| error.to_string())?))
            }
            RawBsonRef::JavaScriptCodeWithScope(code) => self.any(RawBsonRef::Document(code.scope)),
            _ => Ok(()),
        }
    }

    fn operator(&self, name: &str, value: RawBsonRef<'_>) -> Result<(), String> {
        if CODE.contains(&name) {
            self.key.may("code", self.database, self.collection)?;
        } else if STATS.contains(&name) || name.starts_with("$_") {
            self.key.may("stats", self.database, self.collection)?;
        }
        match (name, value) {
            ("$facet", pipelines) => self.pipelines(pipelines)?,
            ("$rankFusion" | "$scoreFusion", RawBsonRef::Document(fusion)) => {
                for (_, input) in fusion.iter().flatten().filter(|(name, _)| name.as_str() == "input") {
                    let RawBsonRef::Document(input) = input else { return Err(format!("{name} of {input:?}")) };
                    for (_, pipelines) in input.iter().flatten().filter(|(name, _)| name.as_str() == "pipelines") {
                        self.pipelines(pipelines)?;
                    }
                }
            }
            ("$rankFusion" | "$scoreFusion", other) => return Err(format!("{name} of {other:?}")),
            _ => {}
        }
        let Some((_, writes)) = NAMING.iter().find(|(naming, _)| *naming == name) else { return Ok(()) };
        if *writes {
            self.key.may("out", self.database, self.collection)?;
        }
        let mut names = Names::default();
        match value {
            RawBsonRef::Document(stage) => {
                for (field, value) in stage.iter().flatten() {
                    match (field.as_str(), value) {
                        ("pipeline", stages) => self.stages(stages)?,
                        ("whenMatched", RawBsonRef::Array(_)) => self.stages(value)?,
                        (field, _) if OTHER_FIELDS.contains(&field) => {}
                        (field, value) => names.add(field, value)?,
                    }
                }
            }
            other => names.add("coll", other)?,
        }
        let databases = if names.databases.is_empty() { vec![self.database] } else { names.databases };
        let right = if *writes { "write" } else { "read" };
        if names.collections.is_empty() && (*writes || databases != [self.database]) {
            return Err(format!("{name} names no collection"));
        }
        for database in databases {
            for collection in &names.collections {
                let usable = |name: &str| !name.is_empty() && !name.contains(['\0', '$']);
                if !usable(database) || database.contains('.') || !usable(collection) {
                    return Err(format!("{name} names {database:?}.{collection:?}"));
                }
                self.key.may(right, database, collection)?;
            }
        }
        Ok(())
    }
}

/// All possible names of databases and collections in a stage.
#[derive(Default)]
struct Names<'a> {
    databases: Vec<&'a str>,
    collections: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn add(&mut self, field: &str, value: RawBsonRef<'a>) -> Result<(), String> {
        match (field, value) {
            ("db", RawBsonRef::String(name)) => self.databases.push(name),
            ("coll" | "from" | "into", RawBsonRef::String(name)) => self.collections.push(name),
            ("from" | "into", RawBsonRef::Document(namespace)) => {
                namespace.iter().flatten().try_for_each(|(field, value)| match field.as_str() {
                    field @ ("db" | "coll") => self.add(field, value),
                    other => Err(format!("a namespace with {other:?}")),
                })?;
            }
            (field, other) => return Err(format!("{field:?} is {other:?}")),
        }
        Ok(())
    }
}

/// Checks that the oracle rejects commands that the key does not permit.
pub fn self_check() {
    let symbol = || RawBsonRef::Symbol("other");
    let mut hidden = rawdoc! {};
    hidden.append(bson::cstr!("db"), symbol());
    hidden.append(bson::cstr!("coll"), "a");
    let stages = [
        rawdoc! { "$out": hidden.clone() },
        rawdoc! { "$merge": { "into": hidden } },
        rawdoc! { "$out": { "db": "other", "coll": "a" } },
        rawdoc! { "$out": { "db": "mine", "coll": "a", "db": "other" } },
        rawdoc! { "$out": "system.users" },
        rawdoc! { "$facet": { "x": [{ "$unionWith": { "db": "other", "coll": "a" } }] } },
        rawdoc! { "$lookup": { "from": "a", "as": "x", "pipeline": [{ "$lookup": { "from": { "db": "other", "coll": "a" } } }] } },
        rawdoc! { "$match": { "a": { "$where": "1" } } },
        rawdoc! { "$group": { "_id": 1, "x": { "$accumulator": {} } } },
        rawdoc! { "$collStats": {} },
        rawdoc! { "$someOther": "a" },
        rawdoc! { "$match": {}, "$out": "a" },
        rawdoc! { "$merge": "a\0" },
    ];
    for stage in stages {
        let shown = format!("{stage:?}");
        let document = rawdoc! { "aggregate": "a", "pipeline": [stage], "cursor": {}, "$db": "mine" };
        assert!(covered(&Command { document, sequences: Vec::new() }, &KEYS[0]).is_err(), "{shown}");
    }
    let watches = [
        vec![rawdoc! { "$changeStream": { "allChangesForCluster": true } }],
        vec![rawdoc! { "$changeStream": {} }, rawdoc! { "$lookup": { "from": "b", "as": "x" } }],
        vec![rawdoc! { "$changeStream": {} }, rawdoc! { "$match": { "$where": "1" } }],
        vec![rawdoc! { "$changeStream": {}, "$match": {} }],
        vec![rawdoc! { "$match": {} }, rawdoc! { "$changeStream": {} }],
    ];
    for stages in watches {
        let shown = format!("{stages:?}");
        let pipeline = bson::RawArrayBuf::from_iter(stages);
        let document = rawdoc! { "aggregate": "a", "pipeline": pipeline, "cursor": {}, "$db": "mine" };
        assert!(covered(&Command { document, sequences: Vec::new() }, &KEYS[0]).is_err(), "{shown}");
    }
    let document = rawdoc! { "aggregate": "a", "pipeline": [{ "$changeStream": {} }], "cursor": {}, "$db": "mine" };
    assert!(covered(&Command { document: document.clone(), sequences: Vec::new() }, &KEYS[0]).is_ok());
    let mut elsewhere = rawdoc! { "aggregate": "a", "pipeline": [{ "$changeStream": {} }], "cursor": {} };
    elsewhere.append(bson::cstr!("$db"), "other");
    assert!(covered(&Command { document: elsewhere, sequences: Vec::new() }, &KEYS[0]).is_err());
    let hidden = rawdoc! { "a": { "$where": "1" } };
    for document in [
        rawdoc! { "getMore": 7_i64, "collection": "a", "$db": "other" },
        rawdoc! { "findAndModify": "a", "query": hidden.clone(), "remove": true, "$db": "mine" },
        rawdoc! { "findAndModify": "a", "query": {}, "update": [{ "$unionWith": "b" }, { "$where": 1 }], "$db": "mine" },
        rawdoc! { "find": "a", "let": hidden.clone(), "$db": "mine" },
        rawdoc! { "distinct": "a", "key": "b", "query": hidden.clone(), "$db": "mine" },
        rawdoc! { "count": "a", "query": {}, "$db": "mine" },
        rawdoc! { "update": "a", "updates": [{ "q": {}, "u": {}, "arrayFilters": [hidden] }], "$db": "mine" },
        rawdoc! { "update": "a", "updates": [{ "q": {}, "u": {}, "c": {} }], "$db": "mine" },
        rawdoc! { "drop": "a", "$db": "mine" },
    ] {
        let shown = format!("{document:?}");
        assert!(covered(&Command { document, sequences: Vec::new() }, &KEYS[0]).is_err(), "{shown}");
    }
}
