//! Determines whether a command stays within the rules of the key `ruled`, from the command alone. As in
//! `oracle`, nothing of the gateway is used, and of two interpretations the worse one counts.
//!
//! The rules: in `mine.a` and `mine.b`, only documents whose `owner` is the key; in `mine.a`, without the
//! field `secret`.

use bson::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};

use crate::recorder::Command;

/// The name of the key, and so the owner of its documents.
pub const OWNER: &str = "ruled";
pub const FILTER: &str = r#"{"owner": "%%user.id"}"#;
pub const HIDDEN: &str = "secret";

/// Stages that must be the first of a pipeline, and read its collection.
const FIRST: [&str; 4] = ["$geoNear", "$search", "$searchMeta", "$vectorSearch"];

type Checked = Result<(), String>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Rule {
    hides: bool,
}

fn rule(database: &str, collection: &str) -> Option<Rule> {
    match (database, collection) {
        ("mine", "a") => Some(Rule { hides: true }),
        ("mine", "b") => Some(Rule { hides: false }),
        _ => None,
    }
}

fn filter() -> RawDocumentBuf {
    rawdoc! { "owner": { "$eq": OWNER } }
}

/// Operators of expressions that cannot fail.
const TOTAL: &str = " $and $cmp $cond $eq $gt $gte $ifNull $isArray $isNumber $lt $lte $ne $not $or $type $literal ";
/// Stages that read a collection by themselves, and operators that see more than the documents before them.
const UNLIMITED: &str = " $geoNear $search $searchMeta $vectorSearch $rankFusion $scoreFusion $collStats $indexStats \
    $changeStream $currentOp $planCacheStats $where $function $accumulator $meta $text $near $nearSphere ";

/// Checks a command of the key.
pub fn obeyed(command: &Command) -> Checked {
    let document = &command.document;
    let name = command.name();
    // What a cursor reads was decided when it was opened.
    if ["commitTransaction", "abortTransaction", "getMore"].contains(&name) {
        return Ok(());
    }
    let (Ok(collection), Ok(database)) = (document.get_str(name), document.get_str("$db")) else {
        return Err("the command has no collection".to_owned());
    };
    let rule = rule(database, collection);
    if let Some(rule) = rule {
        arguments(rule, document)?;
    }
    match (name, rule) {
        ("aggregate", _) => {
            let stages = document.get_array("pipeline").map_err(|error| error.to_string())?;
            if let (Some(rule), Some(filter)) = (rule, counted(stages)) {
                return query(rule, Some(filter), false);
            }
            let fallible = match_can_fail(RawBsonRef::Array(stages));
            let pipeline = Pipeline { database, fallible };
            pipeline.stages(stages, rule, true)?;
            match pipeline.is_ruled(stages) || rule.is_some() {
                true if document.get("collation").is_ok_and(|given| given.is_some()) => Err("a collation".to_owned()),
                true => pipeline.limited(stages, rule.is_some()),
                false => Ok(()),
            }
        }
        (_, None) => Ok(()),
        ("find", Some(rule)) => {
            query(rule, document.get_document("filter").ok(), false)?;
            shown(rule, document, "projection")
        }
        ("distinct", Some(rule)) => {
            let key = document.get_str("key").map_err(|error| error.to_string())?;
            if rule.hides && is_hidden(key) {
                return Err(format!("{key} is hidden"));
            }
            query(rule, document.get_document("query").ok(), false)
        }
        ("findAndModify", Some(rule)) => {
            shown(rule, document, "fields")?;
            let upserts = document.get_bool("upsert").unwrap_or(false);
            write(rule, document.get_document("query").ok(), document.get("update").ok().flatten(), upserts)
        }
        ("insert" | "update" | "delete", Some(rule)) => {
            for part in ["documents", "updates", "deletes"] {
                let Ok(statements) = document.get_array(part) else { continue };
                for one in statements.into_iter().flatten() {
                    let RawBsonRef::Document(one) = one else { return Err("a statement".to_owned()) };
                    statement(rule, part, one)?;
                }
            }
            command
                .sequences
                .iter()
                .try_for_each(|(part, all)| all.iter().try_for_each(|one| statement(rule, part, one)))
        }
        (other, Some(_)) => Err(format!("{other} of a collection with a rule")),
    }
}

/// Checks the arguments that change what a filter means, or that tell something of hidden fields.
fn arguments(rule: Rule, document: &RawDocument) -> Checked {
    for (name, value) in document.iter().flatten() {
        match name.as_str() {
            "collation" => return Err("a collation".to_owned()),
            name @ ("hint" | "let" | "arrayFilters") if rule.hides => return Err(format!("{name} is given")),
            "sort" => hides(rule, value)?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks that the documents of a response show no hidden field.
fn shown(rule: Rule, document: &RawDocument, name: &str) -> Checked {
    if !rule.hides {
        return Ok(());
    }
    let given = document.get_document(name).ok();
    given.map_or(Ok(()), |given| hides(rule, RawBsonRef::Document(given)))?;
    projection(given)
}

/// The filter of a pipeline that only counts documents.
fn counted(stages: &RawArray) -> Option<&RawDocument> {
    let all: Vec<&RawDocument> = stages.into_iter().map(|stage| stage.ok()?.as_document()).collect::<Option<_>>()?;
    let (first, rest) = all.split_first()?;
    let (last, between) = rest.split_last()?;
    let group = rawdoc! { "$group": { "_id": 1, "n": { "$sum": 1 } } };
    let is_plain =
        |stage: &&RawDocument| stage.iter().flatten().all(|(name, _)| matches!(name.as_str(), "$skip" | "$limit"));
    (last.as_bytes() == group.as_bytes() && between.iter().all(is_plain))
        .then(|| first.get_document("$match").ok())
        .flatten()
}

/// Checks that a filter has that of the rule, and sees no hidden field.
fn query(rule: Rule, given: Option<&RawDocument>, upserts: bool) -> Checked {
    let Some(given) = given else { return Err("no filter".to_owned()) };
    if given.as_bytes() == filter().as_bytes() {
        return Ok(());
    }
    let and = given.get_array("$and").map_err(|_| "the filter is not the rule's".to_owned())?;
    let mut parts = and.into_iter().flatten();
    let (Some(RawBsonRef::Document(first)), Some(rest), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err("the filter does not have two parts".to_owned());
    };
    // A further page has the filter of the first one, and where it begins.
    if !upserts && given.iter().count() == 1 && first.get_array("$and").is_ok() && begins_page(rest) {
        return query(rule, Some(first), false);
    }
    if first.as_bytes() != filter().as_bytes() || given.iter().count() != 1 {
        return Err("the filter does not begin with the rule's".to_owned());
    }
    hides(rule, rest)?;
    limited(rest, true)?;
    if upserts && names(rest, &mut |name| name.split('.').next() == Some("owner")) {
        return Err("an upsert sets the owner".to_owned());
    }
    if can_fail(rest, false) { Err("an expression can fail".to_owned()) } else { Ok(()) }
}

/// Whether a condition is only on `_id`, and cannot fail.
fn begins_page(condition: RawBsonRef<'_>) -> bool {
    const OF_PAGES: [&str; 7] = ["$or", "_id", "$gt", "$gte", "$lt", "$type", "$in"];
    !names(condition, &mut |name| !OF_PAGES.contains(&name))
}

/// Whether a value has a field whose name matches.
fn names(value: RawBsonRef<'_>, matches: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        RawBsonRef::Document(document) => {
            document.iter().flatten().any(|(name, value)| matches(name.as_str()) || names(value, matches))
        }
        RawBsonRef::Array(items) => items.into_iter().flatten().any(|item| names(item, matches)),
        _ => false,
    }
}

/// Whether a path may lead to a hidden field: it may begin with the index of an item.
fn is_hidden(path: &str) -> bool {
    path.split('.').find(|part| part.parse::<u64>().is_err()) == Some(HIDDEN)
}

/// Checks that nothing names a hidden field, and no expression the whole document.
fn hides(rule: Rule, value: RawBsonRef<'_>) -> Checked {
    if rule.hides { names_none(value, false) } else { Ok(()) }
}

fn names_none(value: RawBsonRef<'_>, is_expression: bool) -> Checked {
    match value {
        RawBsonRef::Document(document) => document.iter().flatten().try_for_each(|(name, value)| {
            let name = name.as_str();
            match (is_expression, name) {
                (false, "$expr") => names_none(value, true),
                (false, "$and" | "$or" | "$nor") => names_none(value, false),
                (_, "$getField" | "$jsonSchema" | "$text") => Err(format!("{name} is used")),
                (true, "$literal") => Ok(()),
                (true, _) => names_none(value, true),
                (false, _) if is_hidden(name) && !is_zero(value) => Err(format!("{name} is used")),
                // What is compared with a field that is not hidden.
                (false, _) => Ok(()),
            }
        }),
        RawBsonRef::Array(items) => items.into_iter().flatten().try_for_each(|item| names_none(item, is_expression)),
        RawBsonRef::String(text) if is_expression && text.starts_with("$$") => Err(format!("{text} is used")),
        RawBsonRef::String(text) if is_expression && text.strip_prefix('$').is_some_and(is_hidden) => {
            Err(format!("{text} is used"))
        }
        _ => Ok(()),
    }
}

fn is_zero(value: RawBsonRef<'_>) -> bool {
    matches!(value, RawBsonRef::Int32(0) | RawBsonRef::Int64(0) | RawBsonRef::Boolean(false))
        || matches!(value, RawBsonRef::Double(number) if number == 0.0)
}

/// Checks that a projection shows no hidden field.
fn projection(given: Option<&RawDocument>) -> Checked {
    let Some(given) = given else { return Err("no projection".to_owned()) };
    let (mut shows, mut removes, mut other) = (0, false, 0);
    for (name, value) in given.iter().flatten() {
        let flag = match value {
            _ if is_zero(value) => false,
            RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_) | RawBsonRef::Boolean(true) => true,
            other => return Err(format!("the projection computes {other:?}")),
        };
        match (name.as_str(), flag) {
            (HIDDEN, false) => removes = true,
            ("_id", true) if given.iter().count() == 1 => shows += 1,
            ("_id", _) => {}
            (_, true) => shows += 1,
            (_, false) => other += 1,
        }
    }
    match (shows > 0, removes, other) {
        (true, false, 0) | (false, true, _) => Ok(()),
        _ => Err("the projection shows a hidden field".to_owned()),
    }
}

/// Whether a `$match` can fail, which MongoDB may evaluate earlier than the stages before it.
fn match_can_fail(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Document(document) => document.iter().flatten().any(|(name, value)| {
            let is_match = matches!(name.as_str(), "$match" | "restrictSearchWithMatch");
            (is_match && can_fail(value, false)) || match_can_fail(value)
        }),
        RawBsonRef::Array(items) => items.into_iter().flatten().any(match_can_fail),
        _ => false,
    }
}

/// Whether an `$expr` can fail.
fn can_fail(value: RawBsonRef<'_>, within: bool) -> bool {
    match value {
        RawBsonRef::Document(document) => document.iter().flatten().any(|(name, value)| {
            let name = name.as_str();
            match (within, name) {
                (false, _) => can_fail(value, name == "$expr"),
                (true, "$literal") => false,
                (true, "if" | "then" | "else") => can_fail(value, true),
                (true, _) => !TOTAL.contains(&format!(" {name} ")) || can_fail(value, true),
            }
        }),
        RawBsonRef::Array(items) => items.into_iter().flatten().any(|item| can_fail(item, within)),
        _ => false,
    }
}

/// Checks that there is no operator that sees more than the documents before it.
fn limited(value: RawBsonRef<'_>, is_query: bool) -> Checked {
    let mut found = None;
    names(value, &mut |name| {
        let is_unlimited = UNLIMITED.contains(&format!(" {name} ")) || name.starts_with("$_");
        // The words of a document, in a query that hides no field.
        let is_unlimited = is_unlimited && !(is_query && name == "$text");
        if is_unlimited {
            found = Some(name.to_owned());
        }
        is_unlimited
    });
    found.map_or(Ok(()), |name| Err(format!("{name} with a rule")))
}

struct Pipeline<'a> {
    database: &'a str,
    fallible: bool,
}

impl Pipeline<'_> {
    fn namespace<'v>(&'v self, value: RawBsonRef<'v>) -> (&'v str, &'v str) {
        match value {
            RawBsonRef::Document(named) => {
                let collection = named.get_str("coll").or_else(|_| named.get_str("from")).unwrap_or_default();
                (named.get_str("db").unwrap_or(self.database), collection)
            }
            RawBsonRef::String(collection) => (self.database, collection),
            _ => (self.database, ""),
        }
    }

    fn source<'v>(&'v self, stage: &str, value: RawBsonRef<'v>) -> Option<Rule> {
        let named = match (stage, value) {
            ("$lookup" | "$graphLookup", RawBsonRef::Document(lookup)) => lookup.get("from").ok().flatten()?,
            ("$merge", RawBsonRef::Document(merge)) => merge.get("into").ok().flatten()?,
            ("$unionWith" | "$out" | "$merge", value) => value,
            _ => return None,
        };
        let (database, collection) = self.namespace(named);
        rule(database, collection)
    }

    /// Whether a pipeline reads or writes a collection with a rule.
    fn is_ruled(&self, stages: &RawArray) -> bool {
        fn any(pipeline: &Pipeline<'_>, value: RawBsonRef<'_>) -> bool {
            match value {
                RawBsonRef::Document(document) => document
                    .iter()
                    .flatten()
                    .any(|(name, value)| pipeline.source(name.as_str(), value).is_some() || any(pipeline, value)),
                RawBsonRef::Array(items) => items.into_iter().flatten().any(|item| any(pipeline, item)),
                _ => false,
            }
        }
        any(self, RawBsonRef::Array(stages))
    }

    /// Checks that no stage sees more than the documents before it, except for stages that are the first of a collection
    /// without a rule: MongoDB accepts them only there, and they see that collection.
    fn limited(&self, stages: &RawArray, is_ruled: bool) -> Checked {
        for stage in stages.into_iter().flatten() {
            let Some(Ok((name, value))) = stage.as_document().and_then(|stage| stage.iter().next()) else {
                return Err("a stage".to_owned());
            };
            match (name.as_str(), value) {
                (name, _) if !is_ruled && FIRST.contains(&name) => {}
                ("$facet", RawBsonRef::Document(facets)) => {
                    for stages in facets.iter().flatten().filter_map(|(_, stages)| stages.as_array()) {
                        self.limited(stages, is_ruled)?;
                    }
                }
                (name @ ("$lookup" | "$unionWith"), RawBsonRef::Document(join)) => {
                    for (field, part) in join.iter().flatten() {
                        match part {
                            RawBsonRef::Array(stages) if field.as_str() == "pipeline" => {
                                self.limited(stages, self.source(name, value).is_some())?;
                            }
                            part => limited(part, false)?,
                        }
                    }
                }
                _ => limited(stage, false)?,
            }
        }
        Ok(())
    }

    /// Checks a pipeline, which reads a collection if it `begins` there.
    fn stages(&self, stages: &RawArray, source: Option<Rule>, begins: bool) -> Checked {
        let all: Vec<&RawDocument> = stages.into_iter().flatten().filter_map(|stage| stage.as_document()).collect();
        if let (Some(rule), true) = (source, begins) {
            let mut expected = vec![rawdoc! { "$match": filter() }];
            if rule.hides {
                expected.push(rawdoc! { "$project": { "secret": 0 } });
            }
            let begins = expected.iter().zip(&all).filter(|(one, two)| one.as_bytes() == two.as_bytes()).count();
            if begins < expected.len() {
                return Err("a pipeline does not begin with the rule".to_owned());
            }
            let barrier = all.get(begins).and_then(|stage| stage.get_i64("$limit").ok());
            if self.fallible && barrier.is_none_or(|limit| limit < 1 << 40) {
                return Err("an expression that can fail is not kept from other documents".to_owned());
            }
        }
        for stage in all {
            for (name, value) in stage.iter().flatten() {
                self.stage(name.as_str(), value)?;
            }
        }
        Ok(())
    }

    fn stage(&self, name: &str, value: RawBsonRef<'_>) -> Checked {
        let source = self.source(name, value);
        match (name, value) {
            ("$facet", RawBsonRef::Document(facets)) => facets.iter().flatten().try_for_each(|(_, stages)| {
                stages.as_array().map_or(Ok(()), |stages| self.stages(stages, None, false))
            }),
            ("$lookup" | "$unionWith", RawBsonRef::Document(stage)) => {
                if source.is_some_and(|rule| rule.hides) && stage.get_str("foreignField").is_ok_and(is_hidden) {
                    return Err("a hidden field is joined".to_owned());
                }
                match stage.get_array("pipeline") {
                    Ok(stages) => self.stages(stages, source, true),
                    Err(_) if source.is_none() => Ok(()),
                    Err(_) => Err(format!("{name} without the rule")),
                }
            }
            ("$unionWith", _) if source.is_some() => Err("$unionWith without the rule".to_owned()),
            ("$graphLookup", RawBsonRef::Document(stage)) => match source {
                None => Ok(()),
                Some(rule) if rule.hides => Err("$graphLookup of hidden fields".to_owned()),
                Some(rule) => query(rule, stage.get_document("restrictSearchWithMatch").ok(), false),
            },
            ("$out" | "$merge", _) if source.is_some() => Err(format!("{name} into a collection with a rule")),
            _ => Ok(()),
        }
    }
}

fn owned(document: &RawDocument) -> Checked {
    let owners: Vec<_> = document.iter().flatten().filter(|(name, _)| name.as_str() == "owner").collect();
    match owners[..] {
        [(_, RawBsonRef::String(OWNER))] => Ok(()),
        _ => Err("a document of another owner is written".to_owned()),
    }
}

fn statement(rule: Rule, part: &str, statement: &RawDocument) -> Checked {
    if part == "documents" {
        owned(statement)?;
        return match rule.hides && statement.iter().flatten().any(|(name, _)| name.as_str() == HIDDEN) {
            true => Err("a hidden field is inserted".to_owned()),
            false => Ok(()),
        };
    }
    arguments(rule, statement)?;
    let upserts = statement.get_bool("upsert").unwrap_or(false);
    write(rule, statement.get_document("q").ok(), statement.get("u").ok().flatten(), upserts)
}

/// Checks an update, or a delete without an update.
fn write(rule: Rule, filter: Option<&RawDocument>, update: Option<RawBsonRef<'_>>, upserts: bool) -> Checked {
    match update {
        None => query(rule, filter, false),
        Some(RawBsonRef::Array(stages)) if !rule.hides && !upserts => {
            query(rule, filter, false)?;
            stages.into_iter().flatten().try_for_each(update_stage)
        }
        Some(RawBsonRef::Document(update)) => {
            let operators = update.iter().flatten().any(|(name, _)| name.as_str().starts_with('$'));
            query(rule, filter, upserts && operators)?;
            match operators {
                false if rule.hides => Err("a replacement removes hidden fields".to_owned()),
                false => owned(update),
                true => update_operators(rule, update, upserts),
            }
        }
        _ => Err("an update".to_owned()),
    }
}

fn update_stage(stage: RawBsonRef<'_>) -> Checked {
    let is_owner = |path: &str| path.split('.').next() == Some("owner");
    let Some(Ok((name, value))) = stage.as_document().and_then(|stage| stage.iter().next()) else {
        return Err("an update's stage".to_owned());
    };
    let changed = match (name.as_str(), value) {
        ("$set" | "$addFields", RawBsonRef::Document(set)) => {
            set.iter().flatten().any(|(path, _)| is_owner(path.as_str()))
        }
        ("$unset", RawBsonRef::String(path)) => is_owner(path),
        ("$unset", RawBsonRef::Array(paths)) => {
            paths.into_iter().flatten().any(|path| path.as_str().is_none_or(is_owner))
        }
        _ => true,
    };
    if changed { Err("a stage may change the owner".to_owned()) } else { Ok(()) }
}

fn update_operators(rule: Rule, update: &RawDocument, upserts: bool) -> Checked {
    let mut supplied = false;
    for (operator, arguments) in update.iter().flatten() {
        let Some(arguments) = arguments.as_document() else { return Err("an update operator".to_owned()) };
        for (path, value) in arguments.iter().flatten() {
            let (operator, path) = (operator.as_str(), path.as_str());
            let target = if operator == "$rename" { value.as_str().unwrap_or("owner") } else { path };
            for path in [path, target] {
                if rule.hides && is_hidden(path) {
                    return Err("a hidden field is changed".to_owned());
                }
                if path.split('.').next() == Some("owner") {
                    let keeps = matches!(operator, "$set" | "$setOnInsert") && path == "owner";
                    if !keeps || value != RawBsonRef::String(OWNER) {
                        return Err("the owner is changed".to_owned());
                    }
                    supplied = true;
                }
            }
        }
    }
    if upserts && !supplied { Err("an upsert without the owner".to_owned()) } else { Ok(()) }
}

/// Checks that commands outside of the rules are found.
pub fn self_check() {
    let own = || rawdoc! { "$match": filter() };
    let show = || rawdoc! { "$project": { "secret": 0 } };
    let aggregate = |collection: &str, stages: Vec<RawDocumentBuf>| {
        rawdoc! { "aggregate": collection, "pipeline": bson::RawArrayBuf::from_iter(stages), "$db": "mine" }
    };
    let rejected = [
        aggregate("a", vec![rawdoc! { "$changeStream": {} }]),
        aggregate("b", vec![rawdoc! { "$changeStream": {} }]),
        rawdoc! { "find": "b", "filter": {}, "$db": "mine" },
        rawdoc! { "find": "b", "filter": { "$or": [filter(), {}] }, "$db": "mine" },
        rawdoc! { "find": "a", "filter": filter(), "$db": "mine" },
        rawdoc! { "find": "b", "filter": { "$and": [{ "$and": [{ "a": 1 }, filter()] }, { "_id": 1 }] }, "$db": "mine" },
        rawdoc! { "find": "b", "filter": { "$and": [{ "$and": [filter(), {}] }, { "a": 1 }] }, "$db": "mine" },
        rawdoc! { "find": "a", "filter": { "$and": [filter(), { "secret": 1 }] }, "projection": { "secret": 0 }, "$db": "mine" },
        rawdoc! { "find": "b", "filter": { "$and": [filter(), { "$expr": { "$add": ["$a", 1] } }] }, "$db": "mine" },
        aggregate("b", vec![]),
        aggregate("a", vec![own()]),
        aggregate("a", vec![own(), show(), rawdoc! { "$match": { "$expr": { "$add": [1] } } }]),
        aggregate("c", vec![rawdoc! { "$unionWith": "b" }]),
        aggregate(
            "c",
            vec![rawdoc! { "$lookup": {
                "from": "a", "as": "x", "localField": "a", "foreignField": "secret", "pipeline": [own(), show()],
            } }],
        ),
        aggregate("c", vec![rawdoc! { "$facet": { "x": [{ "$lookup": { "from": "b", "as": "x" } }] } }]),
        aggregate("c", vec![rawdoc! { "$merge": { "into": "b" } }]),
        aggregate("b", vec![own(), rawdoc! { "$collStats": {} }]),
        rawdoc! { "insert": "b", "documents": [{ "owner": "other" }], "$db": "mine" },
        rawdoc! { "update": "b", "updates": [{ "q": filter(), "u": { "$unset": { "owner": 1 } } }], "$db": "mine" },
        rawdoc! { "update": "b", "updates": [{ "q": filter(), "u": { "$set": { "x": 1 } }, "upsert": true }], "$db": "mine" },
        rawdoc! { "update": "a", "updates": [{ "q": filter(), "u": { "owner": OWNER } }], "$db": "mine" },
        rawdoc! { "delete": "b", "deletes": [{ "q": {}, "limit": 0 }], "$db": "mine" },
        rawdoc! { "delete": "b", "deletes": [{ "q": filter(), "collation": {}, "limit": 0 }], "$db": "mine" },
        rawdoc! { "count": "b", "$db": "mine" },
        rawdoc! { "distinct": "a", "key": "secret", "query": filter(), "$db": "mine" },
        rawdoc! { "distinct": "b", "key": "secret", "$db": "mine" },
        rawdoc! { "findAndModify": "a", "query": filter(), "remove": true, "$db": "mine" },
        rawdoc! { "findAndModify": "b", "query": filter(), "update": { "$set": { "owner": 1 } }, "$db": "mine" },
    ];
    for document in rejected {
        let shown = format!("{document:?}");
        assert!(obeyed(&Command { document, sequences: Vec::new() }).is_err(), "{shown}");
    }
    for document in [aggregate("a", vec![own(), show()]), aggregate("c", vec![])] {
        let shown = format!("{document:?}");
        assert_eq!(obeyed(&Command { document, sequences: Vec::new() }), Ok(()), "{shown}");
    }
}
