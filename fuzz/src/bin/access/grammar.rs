//! Generates requests from a grammar: nested stages that name collections, values of every BSON type
//! in every position, and duplicate, missing and unknown fields.

use std::fmt::Write as _;

use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::oracle::KEYS;
use crate::rules::OWNER;

const DATABASES: [&str; 12] =
    ["mine", "other", "public", "mine", "admin", "local", "config", "Mine", "mine.x", "", "mine\0other", "$external"];
const COLLECTIONS: [&str; 12] =
    ["a", "b", "a1", "c", "secret", "system.users", "a.b", "", "$cmd", "A", "a\0b", "system.buckets.a"];
const ACTIONS: [&str; 19] = [
    "aggregate",
    "find",
    "updateOne",
    "updateMany",
    "findOne",
    "deleteOne",
    "deleteMany",
    "replaceOne",
    "insertOne",
    "insertMany",
    "findOneAndUpdate",
    "findOneAndReplace",
    "findOneAndDelete",
    "countDocuments",
    "estimatedDocumentCount",
    "distinct",
    "bulkWrite",
    "transaction",
    "watch",
];
/// The values of the parameters of a change stream.
const WATCH_TEXTS: [(&str, &[&str]); 4] = [
    ("fullDocument", &["updateLookup", "whenAvailable", "required", "default", "x"]),
    ("fullDocumentBeforeChange", &["off", "whenAvailable", "required", "x"]),
    ("format", &["relaxed", "canonical", "plain", "x"]),
    ("lastEventId", &["EwAAAAJfZGF0YQADAAAAODIAAA", "", "x"]),
];
/// The actions of an operation of `bulkWrite`.
const BULK_ACTIONS: [&str; 6] = ["insertOne", "updateOne", "updateMany", "replaceOne", "deleteOne", "deleteMany"];
/// The maximum nesting depth of stages.
const MAX_DEPTH: u32 = 4;

/// JSON that allows duplicate names.
enum Json {
    /// Text that is already JSON.
    Raw(&'static str),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    fn write(&self, out: &mut String) {
        match self {
            Self::Raw(text) => out.push_str(text),
            Self::Text(text) => quote(out, text),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    quote(out, name);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Generates a request: the key's index, the action and the body.
pub fn request(u: &mut Unstructured<'_>) -> Result<(usize, String, Vec<u8>)> {
    let key = u.choose_index(KEYS.len())?;
    let action = *u.choose(&ACTIONS)?;
    let mut fields = vec![("dataSource".to_owned(), text("x"))];
    if action == "transaction" {
        let count = u.int_in_range(0..=3)?;
        let mut operations = Vec::new();
        for _ in 0..count {
            let action = *u.choose(&ACTIONS)?;
            let mut operation = vec![("action".to_owned(), text(action))];
            operation.extend(namespace_fields(u)?);
            operation.extend(arguments(u, action, false)?);
            operations.push(disturbed(u, operation, "mine")?);
        }
        fields.push(("operations".to_owned(), Json::List(operations)));
    } else {
        fields.extend(namespace_fields(u)?);
        fields.extend(arguments(u, action, false)?);
    }
    let mut body = String::new();
    disturbed(u, fields, "mine")?.write(&mut body);
    Ok((key, action.to_owned(), body.into_bytes()))
}

fn namespace_fields(u: &mut Unstructured<'_>) -> Result<[(String, Json); 2]> {
    let collection = *u.choose(&["a", "a", "a", "b", "c"])?;
    Ok([
        ("database".to_owned(), own(u, "mine", &DATABASES)?),
        ("collection".to_owned(), own(u, collection, &COLLECTIONS)?),
    ])
}

/// Generates the arguments of an action, or of an operation of `bulkWrite`.
fn arguments(u: &mut Unstructured<'_>, action: &str, is_part: bool) -> Result<Vec<(String, Json)>> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: Json| fields.push((name.to_owned(), value));
    match action {
        "aggregate" => add("pipeline", pipeline(u, MAX_DEPTH)?),
        "watch" => {
            for (name, values) in WATCH_TEXTS {
                if u.ratio(1, 4)? {
                    add(name, named(u, values)?);
                }
            }
            if u.ratio(1, 2)? {
                add("filter", filter(u)?);
            }
            if u.ratio(1, 2)? {
                add("pipeline", pipeline(u, 2)?);
            }
            // It has neither options nor a comment.
            return Ok(fields);
        }
        "insertOne" => add("document", document(u)?),
        "insertMany" => add("documents", Json::List(vec![document(u)?])),
        "bulkWrite" => {
            let count = u.int_in_range(0..=3)?;
            let mut operations = Vec::new();
            for _ in 0..count {
                let action = *u.choose(&BULK_ACTIONS)?;
                let part = arguments(u, action, true)?;
                let part = disturbed(u, part, "mine")?;
                operations.push(disturbed(u, vec![(action.to_owned(), part)], "mine")?);
            }
            add("operations", Json::List(operations));
        }
        "estimatedDocumentCount" | "transaction" => {}
        _ => {
            add("filter", filter(u)?);
            match action {
                "updateOne" | "updateMany" | "findOneAndUpdate" => {
                    match u.ratio(1, 2)? {
                        true => add("update", pipeline(u, 2)?),
                        false => add("update", update(u)?),
                    }
                    if u.ratio(1, 4)? {
                        add("arrayFilters", Json::List(vec![filter(u)?]));
                    }
                }
                "replaceOne" | "findOneAndReplace" => add("replacement", document(u)?),
                "distinct" => {
                    let name = field(u)?;
                    add("key", typed(u, name)?);
                }
                _ => {}
            }
            if !is_part && (action.starts_with("find")) && u.ratio(3, 4)? {
                add("projection", named_values(u)?);
                add("sort", named_values(u)?);
            }
            if u.ratio(1, 8)? {
                add("hint", if u.ratio(1, 2)? { object([("a", expression(u, 1)?)]) } else { typed(u, "a_1")? });
            }
            if u.ratio(1, 8)? {
                add("collation", object([("locale", typed(u, "en")?)]));
            }
        }
    }
    if ["find", "aggregate"].contains(&action) && u.ratio(1, 4)? {
        let cursor = match u.int_in_range(0..=7)? {
            0 => typed(u, "secret")?,
            1 => Json::Raw("false"),
            _ => Json::Raw("true"),
        };
        add("cursor", cursor);
        if u.ratio(3, 4)? {
            add("batchSize", if u.ratio(1, 8)? { typed(u, "1")? } else { Json::Raw("1") });
        }
        if u.ratio(1, 16)? {
            add("close", if u.ratio(1, 2)? { typed(u, "true")? } else { Json::Raw("true") });
        }
    }
    if u.ratio(1, 8)? {
        add("let", object([("a", expression(u, 2)?)]));
    }
    if u.ratio(1, 8)? {
        add("comment", typed(u, "secret")?);
    }
    Ok(fields)
}

/// Generates the name of a field, of which some are those of rules.
fn field(u: &mut Unstructured<'_>) -> Result<&'static str> {
    u.choose(&["a", "a", "owner", "secret", "_id", "a.secret", "secret.x", "secret.0", "owner.x", "0.secret", ""])
        .copied()
}

/// Generates a document to store.
fn document(u: &mut Unstructured<'_>) -> Result<Json> {
    let mut fields = vec![(field(u)?.to_owned(), expression(u, 2)?)];
    if u.ratio(7, 8)? {
        fields.push(("owner".to_owned(), owner(u)?));
    }
    disturbed(u, fields, OWNER)
}

fn owner(u: &mut Unstructured<'_>) -> Result<Json> {
    if u.ratio(3, 4)? { Ok(text(OWNER)) } else { typed(u, OWNER) }
}

/// Generates update operators.
fn update(u: &mut Unstructured<'_>) -> Result<Json> {
    const OPERATORS: [&str; 12] = [
        "$set",
        "$set",
        "$setOnInsert",
        "$unset",
        "$inc",
        "$rename",
        "$push",
        "$pull",
        "$min",
        "$currentDate",
        "$x",
        "x",
    ];
    let mut operators = Vec::new();
    for _ in 0..u.int_in_range(1..=2)? {
        let operator = *u.choose(&OPERATORS)?;
        let value = match operator {
            "$rename" => text(field(u)?),
            _ if u.ratio(1, 4)? => owner(u)?,
            _ => expression(u, 2)?,
        };
        let arguments = vec![(field(u)?.to_owned(), value)];
        let arguments = disturbed(u, arguments, OWNER)?;
        operators.push((operator.to_owned(), arguments));
    }
    Ok(Json::Object(operators))
}

/// Generates a projection or a sort order.
fn named_values(u: &mut Unstructured<'_>) -> Result<Json> {
    let mut fields = Vec::new();
    for _ in 0..u.int_in_range(0..=2)? {
        let value = match u.int_in_range(0..=3)? {
            0 => Json::Raw("0"),
            1 | 2 => Json::Raw("1"),
            _ => expression(u, 2)?,
        };
        fields.push((field(u)?.to_owned(), value));
    }
    disturbed(u, fields, "secret")
}

/// Generates mostly `name` itself, so that the gateway evaluates the pipeline of most requests.
fn own(u: &mut Unstructured<'_>, name: &str, others: &[&str]) -> Result<Json> {
    if u.ratio(1, 16)? { named(u, others) } else { Ok(text(name)) }
}

/// Generates a name as a string or another value.
fn named(u: &mut Unstructured<'_>, names: &[&str]) -> Result<Json> {
    let name = *u.choose(names)?;
    typed(u, name)
}

/// Generates a value of any type that contains a name.
fn typed(u: &mut Unstructured<'_>, name: &str) -> Result<Json> {
    const ID: &str = r#"{"$oid":"6193504e1be4ab27791c8133"}"#;
    Ok(match u.int_in_range(0..=47)? {
        0 => object([("$symbol", text(name))]),
        1 => object([("$code", text(name))]),
        2 => object([("$code", text(name)), ("$scope", object([(name, text(name))]))]),
        3 => object([("$dbPointer", object([("$ref", text(name)), ("$id", Json::Raw(ID))]))]),
        4 => object([("$regularExpression", object([("pattern", text(name)), ("options", text(""))]))]),
        5 => Json::Raw(r#"{"$binary":{"base64":"b3RoZXI=","subType":"00"}}"#),
        6 => Json::Raw(ID),
        7 => Json::Raw(r#"{"$date":"2026-01-01T00:00:00Z"}"#),
        8 => Json::Raw(r#"{"$timestamp":{"t":1,"i":1}}"#),
        9 => Json::Raw(r#"{"$numberDecimal":"1"}"#),
        10 => Json::Raw(r#"{"$numberLong":"1"}"#),
        11 => Json::Raw("1"),
        12 => Json::Raw("1.5"),
        13 => Json::Raw("true"),
        14 => Json::Raw("null"),
        15 => Json::Raw(r#"{"$undefined":true}"#),
        16 => Json::Raw(r#"{"$minKey":1}"#),
        17 => Json::Raw(r#"{"$maxKey":1}"#),
        18 => Json::List(vec![text(name)]),
        19 => Json::List(vec![]),
        20 => object([]),
        21 => object([("0", text(name))]),
        22 => object([("a", text(name)), ("$symbol", text(name))]),
        23 => object([(name, text(name))]),
        24 => namespace(u)?,
        _ => text(name),
    })
}

/// Generates `{db, coll}`.
fn namespace(u: &mut Unstructured<'_>) -> Result<Json> {
    let mut fields = Vec::new();
    if u.ratio(7, 8)? {
        fields.push(("db".to_owned(), named(u, &DATABASES)?));
    }
    if u.ratio(7, 8)? {
        fields.push(("coll".to_owned(), named(u, &COLLECTIONS)?));
    }
    disturbed(u, fields, "other")
}

/// Generates a collection: its name, or `{db, coll}`.
fn collection(u: &mut Unstructured<'_>) -> Result<Json> {
    if u.ratio(1, 2)? { namespace(u) } else { named(u, &COLLECTIONS) }
}

/// Generates an object with these fields, of which one is sometimes duplicated, reordered, missing or renamed.
fn disturbed(u: &mut Unstructured<'_>, mut fields: Vec<(String, Json)>, name: &str) -> Result<Json> {
    if !fields.is_empty() && u.ratio(1, 8)? {
        let index = u.choose_index(fields.len())?;
        match u.int_in_range(0..=5)? {
            0 => drop(fields.remove(index)),
            1 => {
                let again = (fields[index].0.clone(), typed(u, name)?);
                fields.push(again);
            }
            2 => {
                let again = (fields[index].0.clone(), typed(u, name)?);
                fields.insert(0, again);
            }
            3 => fields[index].0 = fields[index].0.to_uppercase(),
            4 => {
                let unknown = *u.choose(&["db", "coll", "from", "into", "atlas", "s3", "pipeline", "$db", "x"])?;
                fields.push((unknown.to_owned(), typed(u, name)?));
            }
            _ => fields.reverse(),
        }
    }
    Ok(Json::Object(fields))
}

fn pipeline(u: &mut Unstructured<'_>, depth: u32) -> Result<Json> {
    if u.ratio(1, 32)? {
        return typed(u, "secret");
    }
    let count = u.int_in_range(0..=3)?;
    let mut stages = Vec::new();
    for _ in 0..count {
        stages.push(stage(u, depth)?);
    }
    Ok(Json::List(stages))
}

fn stage(u: &mut Unstructured<'_>, depth: u32) -> Result<Json> {
    const STAGES: [&str; 24] = [
        "$match",
        "$out",
        "$merge",
        "$lookup",
        "$unionWith",
        "$graphLookup",
        "$facet",
        "$rankFusion",
        "$scoreFusion",
        "$set",
        "$project",
        "$group",
        "$documents",
        "$limit",
        "$replaceWith",
        "$collStats",
        "$changeStream",
        "$currentOp",
        "$_internalSomething",
        "$mergeCursors",
        "$listCatalog",
        "$where",
        "$geoNear",
        "$search",
    ];
    if u.ratio(1, 32)? {
        return typed(u, "secret");
    }
    let name = *u.choose(&STAGES)?;
    let value = if depth == 0 { expression(u, 1)? } else { argument(u, name, depth - 1)? };
    disturbed(u, vec![(name.to_owned(), value)], "secret")
}

fn argument(u: &mut Unstructured<'_>, name: &str, depth: u32) -> Result<Json> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: Json| fields.push((name.to_owned(), value));
    match name {
        "$out" | "$unionWith" => {
            if u.ratio(1, 3)? {
                return named(u, &COLLECTIONS);
            }
            if u.ratio(1, 2)? {
                add("db", named(u, &DATABASES)?);
            }
            add("coll", named(u, &COLLECTIONS)?);
            match name {
                "$out" if u.ratio(1, 4)? => add("timeseries", typed(u, "a")?),
                "$unionWith" if u.ratio(1, 2)? => add("pipeline", pipeline(u, depth)?),
                _ => {}
            }
        }
        "$merge" => {
            if u.ratio(1, 4)? {
                return named(u, &COLLECTIONS);
            }
            add("into", collection(u)?);
            if u.ratio(1, 4)? {
                add("on", typed(u, "_id")?);
            }
            if u.ratio(1, 4)? {
                add("let", object([("a", expression(u, depth)?)]));
            }
            match u.int_in_range(0..=3)? {
                0 => add("whenMatched", pipeline(u, depth)?),
                1 => add("whenMatched", typed(u, "replace")?),
                _ => {}
            }
            if u.ratio(1, 4)? {
                add("whenNotMatched", typed(u, "insert")?);
            }
        }
        "$lookup" => {
            if u.ratio(7, 8)? {
                add("from", collection(u)?);
            }
            add("as", typed(u, "x")?);
            if u.ratio(1, 2)? {
                add("let", object([("a", expression(u, depth)?)]));
                add("pipeline", pipeline(u, depth)?);
            } else {
                add("localField", typed(u, "a")?);
                let name = field(u)?;
                add("foreignField", typed(u, name)?);
            }
        }
        "$graphLookup" => {
            add("from", collection(u)?);
            add("startWith", expression(u, depth)?);
            add("connectFromField", typed(u, "a")?);
            add("connectToField", typed(u, "b")?);
            add("as", typed(u, "x")?);
            if u.ratio(1, 4)? {
                add("restrictSearchWithMatch", filter(u)?);
            }
        }
        "$facet" => {
            for facet in ["a", "b"] {
                if u.ratio(3, 4)? {
                    add(facet, pipeline(u, depth)?);
                }
            }
        }
        "$rankFusion" | "$scoreFusion" => {
            let pipelines = vec![("a".to_owned(), pipeline(u, depth)?), ("b".to_owned(), pipeline(u, depth)?)];
            let pipelines = disturbed(u, pipelines, "secret")?;
            add("input", disturbed(u, vec![("pipelines".to_owned(), pipelines)], "secret")?);
        }
        "$match" => return filter(u),
        _ => return expression(u, depth.min(2)),
    }
    disturbed(u, fields, "other")
}

fn filter(u: &mut Unstructured<'_>) -> Result<Json> {
    if u.ratio(1, 32)? {
        return typed(u, "secret");
    }
    let name = match u.int_in_range(0..=9)? {
        0 => "$expr",
        1 => "$jsonSchema",
        2 => "$text",
        _ => field(u)?,
    };
    let one = object([(name, expression(u, 3)?)]);
    Ok(if u.ratio(1, 4)? { object([("$or", Json::List(vec![one]))]) } else { one })
}

/// Generates an expression or a condition, sometimes with operators that are not allowed there.
fn expression(u: &mut Unstructured<'_>, depth: u32) -> Result<Json> {
    if depth == 0 || u.ratio(1, 2)? {
        return match u.int_in_range(0..=3)? {
            0 => Ok(text(u.choose(&["$secret", "$$ROOT", "$a", "$owner", "$$CURRENT.secret"])?)),
            _ => typed(u, "secret"),
        };
    }
    const OPERATORS: [&str; 19] = [
        "$gt",
        "$add",
        "a",
        "secret",
        "$eq",
        "$elemMatch",
        "$meta",
        "$getField",
        "$where",
        "$function",
        "$accumulator",
        "$_internalJsEmit",
        "$_internalOther",
        "$literal",
        "$expr",
        "$collStats",
        "$lookup",
        "$out",
        "$unionWith",
    ];
    let name = *u.choose(&OPERATORS)?;
    let value = match name {
        "$lookup" | "$out" | "$unionWith" => argument(u, name, depth - 1)?,
        _ => expression(u, depth - 1)?,
    };
    disturbed(u, vec![(name.to_owned(), value)], "secret")
}
