//! What the rules of a caller make of requests.

use std::sync::Arc;

use bson::{RawDocumentBuf, doc};

use super::*;
use crate::codec::ejson::{self, Style};
use crate::gateway::arguments::{Arguments, Place};

/// The permissions of the caller `ann`.
const PERMISSIONS: &str = r#"[
    {"collection": "mine", "allow": ["read", "write"], "filter": {"owner": "%%user.id"}},
    {"collection": "fields", "allow": ["read", "write"], "fields": {"deny": ["secret", "a.b"]}},
    {"collection": "some", "allow": ["read", "write"], "fields": {"allow": ["name", "a.b"]}},
    {"collection": "schema", "allow": ["read", "write"], "schema": {
        "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": false}},
    {"collection": "group", "allow": ["read", "write"], "filter": {"group": {"$in": "%%user.groups"}}},
    {"collection": "unknown", "allow": ["read", "write"], "filter": {"$or": [{"a": 1}, {"b": "%%user.missing"}]}},
    {"collection": "two", "allow": ["read"], "filter": {"owner": "%%user.id"}},
    {"collection": "two", "allow": ["read"], "filter": {"public": true}},
    {"collection": "first", "allow": ["read"], "filter": {"owner": "%%user.id"}},
    {"collection": "first", "allow": ["read"], "filter": {"public": true}, "fields": {"deny": ["x"]}},
    {"collection": "wide", "allow": ["read"], "filter": {"owner": "%%user.id"}},
    {"collection": "w*", "allow": ["read"]},
    {"collection": "both", "allow": ["read"], "filter": {"team": 1}, "fields": {"deny": ["secret"]}},
    {"collection": "both", "allow": ["write"], "filter": {"owner": "%%user.id"}},
    {"collection": "open", "allow": ["read", "write", "out", "stats", "code"]},
    {"collection": "mine", "allow": ["stats", "code", "out"]}
]"#;

fn caller() -> Caller {
    let permissions: Vec<_> = serde_json::from_str(PERMISSIONS).unwrap();
    let user = doc! { "id": "ann", "type": "api-key", "groups": ["g1", "g2"], "none": null, "list": [[1]] };
    Caller { name: "ann".into(), permissions: permissions.into(), user: Arc::new(user) }
}

fn parsed(text: &str) -> RawDocumentBuf {
    ejson::parse_document(text.as_bytes()).unwrap()
}

fn shown(document: &RawDocument) -> String {
    let mut out = Vec::new();
    ejson::write_document(&mut out, document, Style::Relaxed).unwrap();
    String::from_utf8(out).unwrap()
}

/// What a request becomes, or the message of its rejection.
fn narrowed(action: Action, collection: &str, parameters: &str) -> Result<String, String> {
    let request = parsed(&format!(r#"{{"database": "app", "collection": "{collection}", {parameters}}}"#));
    let target = RequestTarget {
        data_source: "x".into(),
        namespace: Arc::new(Namespace::new("app".to_owned(), collection.to_owned())),
    };
    let caller = caller();
    let policy = Policy { caller: &caller, target: &target };
    let replaced = Replaced::new();
    let arguments = Arguments::read(action, Place::Body, &request).map_err(|error| error.body.error)?;
    let operation = Operation::parse(action, &arguments).map_err(|error| error.body.error)?;
    let authorized = policy.authorize(operation, &replaced).map_err(|error| error.body.error)?;
    Ok(described(authorized.operation()))
}

fn described(operation: &Operation<'_>) -> String {
    match operation {
        Operation::FindOne(query)
        | Operation::Find(query)
        | Operation::CountDocuments { query }
        | Operation::Distinct { query, .. } => {
            let projection = query.projection.map_or(String::new(), |projection| format!(" {}", shown(projection)));
            format!("{}{projection}", query.filter.map_or("{}".to_owned(), shown))
        }
        Operation::Aggregate { pipeline, .. } => {
            let mut holder = RawDocumentBuf::new();
            holder.append(bson::cstr!("p"), (*pipeline).to_owned());
            shown(&holder)
        }
        Operation::Update { filter, update: Update::Operators(operators), .. } => {
            format!("{} {}", shown(filter), shown(operators))
        }
        Operation::Update { filter, .. } | Operation::ReplaceOne { filter, .. } | Operation::Delete { filter, .. } => {
            shown(filter)
        }
        Operation::FindOneAnd(FindOneAnd { filter, projection, change, .. }) => {
            let projection = projection.map_or(String::new(), |projection| format!(" {}", shown(projection)));
            match change {
                Change::Update(Update::Operators(operators)) => {
                    format!("{} {}{projection}", shown(filter), shown(operators))
                }
                _ => format!("{}{projection}", shown(filter)),
            }
        }
        Operation::BulkWrite { operations, .. } => operations.iter().map(described).collect::<Vec<_>>().join(" "),
        Operation::InsertOne { .. } | Operation::InsertMany { .. } | Operation::EstimatedDocumentCount { .. } => {
            "unchanged".to_owned()
        }
    }
}

/// The JSON of what a request becomes, without spaces.
fn compact(text: &str) -> String {
    text.replace(' ', "")
}

#[test]
fn finds_have_the_filter_and_the_projection_of_the_rule() {
    let own = r#"{"owner":{"$eq":"ann"}}"#;
    let cases = [
        ("mine", r#""filter": {}"#, own.to_owned()),
        ("mine", r#""skip": 1"#, own.to_owned()),
        ("mine", r#""filter": {"$or": [{"a": 1}]}"#, format!(r#"{{"$and":[{own},{{"$or":[{{"a":1}}]}}]}}"#)),
        ("mine", r#""filter": {"owner": "bob"}"#, format!(r#"{{"$and":[{own},{{"owner":"bob"}}]}}"#)),
        ("group", r#""filter": {}"#, r#"{"group":{"$in":["g1","g2"]}}"#.to_owned()),
        ("unknown", r#""filter": {}"#, r#"{"_id":{"$in":[]}}"#.to_owned()),
        ("two", r#""filter": {}"#, format!(r#"{{"$or":[{own},{{"public":{{"$eq":true}}}}]}}"#)),
        ("first", r#""filter": {}"#, own.to_owned()),
        ("wide", r#""filter": {"a": 1}"#, r#"{"a":1}"#.to_owned()),
        ("fields", r#""filter": {"a.c": 1}"#, r#"{"a.c":1}{"a.b":0,"secret":0}"#.to_owned()),
        ("fields", r#""projection": {"x": 1}"#, r#"{}{"x":1}"#.to_owned()),
        ("fields", r#""projection": {"x": 0, "a": 0}"#, r#"{}{"x":0,"a":0,"secret":0}"#.to_owned()),
        ("fields", r#""projection": {"a.b.c": 0}"#, r#"{}{"a.b":0,"secret":0}"#.to_owned()),
        ("fields", r#""projection": {"_id": 0}"#, r#"{}{"_id":0,"a.b":0,"secret":0}"#.to_owned()),
        ("some", r#""filter": {}"#, r#"{}{"a.b":1,"name":1}"#.to_owned()),
        ("some", r#""projection": {"_id": 0}"#, r#"{}{"a.b":1,"name":1,"_id":0}"#.to_owned()),
        ("some", r#""projection": {"a": 0, "z": 0}"#, r#"{}{"name":1}"#.to_owned()),
        ("some", r#""projection": {"a.b.c": 1}"#, r#"{}{"a.b.c":1}"#.to_owned()),
    ];
    for (collection, parameters, expected) in cases {
        let result = narrowed(Action::Find, collection, parameters).unwrap();
        assert_eq!(compact(&result), expected, "{collection} {parameters}");
    }
}

#[test]
fn finds_that_could_show_hidden_fields_are_rejected() {
    let cases = [
        ("fields", r#""filter": {"secret": 1}"#),
        ("fields", r#""filter": {"secret.x": 1}"#),
        ("fields", r#""filter": {"secret.0": 1}"#),
        ("fields", r#""filter": {"a": {"b": 1}}"#),
        ("fields", r#""filter": {"a": {"$elemMatch": {"b": 1}}}"#),
        ("fields", r#""filter": {"a.0.b": 1}"#),
        ("fields", r#""filter": {"a.0": 1}"#),
        ("fields", r#""filter": {"$or": [{"x": 1}, {"$and": [{"secret": 1}]}]}"#),
        ("fields", r#""filter": {"$expr": {"$eq": ["$secret", 1]}}"#),
        ("fields", r#""filter": {"$expr": {"$eq": ["$$ROOT.secret", 1]}}"#),
        ("fields", r#""filter": {"$expr": {"$eq": ["$$CURRENT", 1]}}"#),
        ("fields", r#""filter": {"$expr": {"$getField": "secret"}}"#),
        ("fields", r#""filter": {"$jsonSchema": {"required": ["secret"]}}"#),
        ("fields", r#""filter": {"$text": {"$search": "x"}}"#),
        ("fields", r#""sort": {"secret": 1}"#),
        ("fields", r#""sort": {"a": -1}"#),
        ("fields", r#""sort": {"x": {"$meta": "textScore"}}"#),
        ("fields", r#""projection": {"secret": 1}"#),
        ("fields", r#""projection": {"a": 1}"#),
        ("fields", r#""projection": {"x": "$secret"}"#),
        ("fields", r#""projection": {"x": {"$meta": "indexKey"}}"#),
        ("fields", r#""projection": {"x": {"$slice": 1}}"#),
        ("fields", r#""projection": {"x": 1, "y": 0}"#),
        ("some", r#""filter": {"a": 1}"#),
        ("some", r#""filter": {"b": 1}"#),
        ("some", r#""filter": {"a.0.b": 1}"#),
        ("some", r#""filter": {"names": 1}"#),
        ("some", r#""projection": {"name.x": 0}"#),
        ("some", r#""projection": {"name": 0, "a": 0, "_id": 0}"#),
        ("mine", r#""filter": {"$where": "1"}"#),
        ("mine", r#""filter": {"$jsonSchema": {"$meta": "indexKey"}}"#),
        ("mine", r#""filter": {"$text": {"$meta": "indexKey"}}"#),
        ("mine", r#""filter": {"$expr": {"$divide": [1, "$x"]}}"#),
        ("mine", r#""filter": {"$expr": {"$function": {}}}"#),
        ("mine", r#""filter": {"a": {"$near": [1, 2]}}"#),
        ("mine", r#""filter": {"$unknown": 1}"#),
        ("mine", r#""filter": {"a": {"$unknown": 1}}"#),
        ("mine", r#""projection": {"x": {"$meta": "recordId"}}"#),
    ];
    for (collection, parameters) in cases {
        assert!(narrowed(Action::Find, collection, parameters).is_err(), "{collection} {parameters}");
    }
}

#[test]
fn each_pipeline_begins_with_the_rule() {
    let own = r#"{"$match":{"owner":{"$eq":"ann"}}}"#;
    let limit = r#"{"$limit":4611686018427387904}"#;
    let cases = [
        ("mine", r#"[{"$limit": 1}]"#, format!(r#"[{own},{{"$limit":1}}]"#)),
        ("fields", r#"[]"#, r#"[{"$project":{"a.b":0,"secret":0}}]"#.to_owned()),
        ("some", r#"[]"#, r#"[{"$project":{"a.b":1,"name":1}}]"#.to_owned()),
        (
            "mine",
            r#"[{"$match": {"$expr": {"$divide": [1, "$x"]}}}]"#,
            format!(r#"[{own},{limit},{{"$match":{{"$expr":{{"$divide":[1,"$x"]}}}}}}]"#),
        ),
        ("open", r#"[{"$unionWith": "mine"}]"#, format!(r#"[{{"$unionWith":{{"coll":"mine","pipeline":[{own}]}}}}]"#)),
        (
            "open",
            r#"[{"$lookup": {"from": "mine", "as": "x", "localField": "a", "foreignField": "b"}}]"#,
            format!(
                r#"[{{"$lookup":{{"from":"mine","as":"x","localField":"a","foreignField":"b","pipeline":[{own}]}}}}]"#
            ),
        ),
        (
            "open",
            r#"[{"$facet": {"f": [{"$lookup": {"from": "mine", "as": "x", "pipeline": [{"$unionWith": "mine"}]}}]}}]"#,
            format!(
                r#"[{{"$facet":{{"f":[{{"$lookup":{{"from":"mine","as":"x","pipeline":[{own},{{"$unionWith":{{"coll":"mine","pipeline":[{own}]}}}}]}}}}]}}}}]"#
            ),
        ),
        (
            "open",
            r#"[{"$graphLookup": {"from": "mine", "startWith": 1, "connectFromField": "a", "connectToField": "b", "as": "x", "restrictSearchWithMatch": {"a": 1}}}]"#,
            r#"[{"$graphLookup":{"from":"mine","startWith":1,"connectFromField":"a","connectToField":"b","as":"x","restrictSearchWithMatch":{"$and":[{"owner":{"$eq":"ann"}},{"a":1}]}}}]"#
                .to_owned(),
        ),
        (
            "open",
            r#"[{"$lookup": {"from": "unknown", "as": "x", "pipeline": []}}]"#,
            r#"[{"$lookup":{"from":"unknown","as":"x","pipeline":[{"$match":{"_id":{"$in":[]}}}]}}]"#.to_owned(),
        ),
    ];
    for (collection, pipeline, expected) in cases {
        let result = narrowed(Action::Aggregate, collection, &format!(r#""pipeline": {pipeline}"#)).unwrap();
        assert_eq!(compact(&result), format!(r#"{{"p":{expected}}}"#), "{collection} {pipeline}");
    }
}

#[test]
fn pipelines_that_could_avoid_the_rule_are_rejected() {
    let cases = [
        ("mine", r#"[{"$geoNear": {"near": [1, 2], "distanceField": "d"}}]"#),
        ("mine", r#"[{"$search": {}}]"#),
        ("mine", r#"[{"$collStats": {}}]"#),
        ("mine", r#"[{"$changeStream": {}}]"#),
        ("mine", r#"[{"$group": {"_id": {"$function": {}}}}]"#),
        ("mine", r#"[{"$rankFusion": {"input": {"pipelines": {"a": []}}}}]"#),
        ("mine", r#"[{"$facet": {"a": [{"$geoNear": {}}]}}]"#),
        ("mine", r#"[{"$project": {"x": {"$meta": "indexKey"}}}]"#),
        ("mine", r#"[{"$match": {"$text": {"$search": "x"}}}]"#),
        ("fields", r#"[{"$match": {"$jsonSchema": {"required": ["secret"]}}}]"#),
        ("open", r#"[{"$out": "mine"}]"#),
        ("open", r#"[{"$merge": {"into": {"db": "app", "coll": "mine"}}}]"#),
        ("mine", r#"[{"$out": "schema"}]"#),
        ("open", r#"[{"$lookup": {"from": "fields", "as": "x", "localField": "a", "foreignField": "secret"}}]"#),
        (
            "open",
            r#"[{"$graphLookup": {"from": "fields", "startWith": 1, "connectFromField": "a", "connectToField": "secret", "as": "x"}}]"#,
        ),
        (
            "open",
            r#"[{"$graphLookup": {"from": "mine", "startWith": 1, "connectFromField": "a", "connectToField": "b", "as": "x", "restrictSearchWithMatch": {"$expr": {"$toInt": "$x"}}}}]"#,
        ),
        ("open", r#"[{"$unionWith": {"coll": "mine", "pipeline": [{"$collStats": {}}]}}]"#),
    ];
    for (collection, pipeline) in cases {
        let result = narrowed(Action::Aggregate, collection, &format!(r#""pipeline": {pipeline}"#));
        assert!(result.is_err(), "{collection} {pipeline}: {result:?}");
    }
    // Without a rule, all of them are a matter of rights.
    assert!(narrowed(Action::Aggregate, "open", r#""pipeline": [{"$collStats": {}}]"#).is_ok());
}

#[test]
fn only_documents_that_meet_the_rule_are_inserted() {
    let cases = [
        ("mine", r#"{"owner": "ann"}"#, true),
        ("mine", r#"{"owner": "bob"}"#, false),
        ("mine", r#"{}"#, false),
        ("mine", r#"{"owner": ["ann"]}"#, false),
        ("mine", r#"{"owner": ["ann", "bob"]}"#, false),
        ("mine", r#"{"owner": {"$symbol": "ann"}}"#, false),
        ("mine", r#"{"owner": "ann", "owner": "bob"}"#, false),
        ("mine", r#"{"owner": "ann", "x": {"a": 1, "a": 2}}"#, false),
        ("group", r#"{"group": "g2"}"#, true),
        ("group", r#"{"group": "g3"}"#, false),
        ("unknown", r#"{"a": 1}"#, false),
        ("fields", r#"{"a": {"c": 1}, "x": [{"y": 1}]}"#, true),
        ("fields", r#"{"secret": null}"#, false),
        ("fields", r#"{"a": {"b": 1}}"#, false),
        ("fields", r#"{"a": [{"b": 1}]}"#, false),
        ("fields", r#"{"a": 1}"#, false),
        ("fields", r#"{"a.b": 1}"#, false),
        ("some", r#"{"name": {"any": 1}, "a": {"b": 1}}"#, true),
        ("some", r#"{"a": {"c": 1}}"#, false),
        ("some", r#"{"a": {}}"#, false),
        ("some", r#"{"other": 1}"#, false),
        ("schema", r#"{"n": 1}"#, true),
        ("schema", r#"{"_id": 1, "n": 1}"#, true),
        ("schema", r#"{"n": "1"}"#, false),
        ("schema", r#"{"n": 1, "m": 1}"#, false),
        ("schema", r#"{}"#, false),
    ];
    for (collection, document, accepted) in cases {
        let one = narrowed(Action::InsertOne, collection, &format!(r#""document": {document}"#));
        assert_eq!(one.is_ok(), accepted, "{collection} {document}: {one:?}");
        let many = narrowed(Action::InsertMany, collection, &format!(r#""documents": [{document}]"#));
        assert_eq!(many.is_ok(), accepted, "{collection} {document}: {many:?}");
        let replacement = format!(r#""filter": {{}}, "upsert": true, "replacement": {document}"#);
        let replaced = narrowed(Action::ReplaceOne, collection, &replacement);
        assert_eq!(replaced.is_ok(), accepted && !["fields", "some"].contains(&collection), "{collection} {document}");
    }
}

#[test]
fn updates_keep_documents_within_the_rule() {
    let cases = [
        ("mine", r#"{"$set": {"a": 1}}"#, true),
        ("mine", r#"{"$set": {"owner": "ann", "a": 1}}"#, true),
        ("mine", r#"{"$set": {"owner": "bob"}}"#, false),
        ("mine", r#"{"$set": {"owner.x": 1}}"#, false),
        ("mine", r#"{"$unset": {"owner": ""}}"#, false),
        ("mine", r#"{"$rename": {"owner": "x"}}"#, false),
        ("mine", r#"{"$rename": {"x": "owner"}}"#, false),
        ("mine", r#"{"$push": {"owner": "bob"}}"#, false),
        ("mine", r#"{"$min": {"owner": "ann"}}"#, false),
        ("mine", r#"{"$currentDate": {"owner": true}}"#, false),
        ("mine", r#"{"$unknown": {"a": 1}}"#, false),
        ("mine", r#"{"$pull": {"a": {"$where": "1"}}}"#, false),
        ("mine", r#"[{"$set": {"a": "$owner"}}]"#, true),
        ("mine", r#"[{"$set": {"owner": "ann"}}]"#, false),
        ("mine", r#"[{"$unset": ["a", "owner"]}]"#, false),
        ("mine", r#"[{"$replaceWith": "$$ROOT"}]"#, false),
        ("mine", r#"[{"$project": {"a": 1}}]"#, false),
        ("fields", r#"{"$set": {"x": 1, "a.c": 1}}"#, true),
        ("fields", r#"{"$set": {"a": 1}}"#, false),
        ("fields", r#"{"$set": {"a.b.c": 1}}"#, false),
        ("fields", r#"{"$set": {"a.0.b": 1}}"#, false),
        ("fields", r#"{"$set": {"a.$[].b": 1}}"#, false),
        ("fields", r#"{"$set": {"a.$[]": 1}}"#, false),
        ("fields", r#"{"$rename": {"secret": "x"}}"#, false),
        ("fields", r#"{"$rename": {"x": "secret"}}"#, false),
        ("fields", r#"{"$pull": {"a": {"b": 1}}}"#, false),
        ("fields", r#"[{"$set": {"x": "$secret"}}]"#, false),
        ("some", r#"{"$set": {"name": 1, "a.b": 1, "name.x": 1}}"#, true),
        ("some", r#"{"$set": {"a": {"b": 1}}}"#, false),
        ("mine", r#"{"$set": {"tags.$": 1}}"#, false),
        ("mine", r#"{"$set": {"tags.$[]": 1}}"#, true),
        ("schema", r#"{"$set": {"n": 2}}"#, true),
        ("schema", r#"{"$set": {"n": "2"}}"#, false),
        ("schema", r#"{"$set": {"m": 2}}"#, false),
        ("schema", r#"{"$set": {"n.x": 2}}"#, false),
        ("schema", r#"{"$unset": {"n": ""}}"#, false),
        ("schema", r#"{"$unset": {"m": ""}}"#, true),
        ("schema", r#"{"$inc": {"n": 2}}"#, false),
        ("schema", r#"{"$rename": {"n": "m"}}"#, false),
        ("schema", r#"[{"$set": {"n": 1}}]"#, false),
    ];
    for (collection, update, accepted) in cases {
        let result = narrowed(Action::UpdateMany, collection, &format!(r#""filter": {{}}, "update": {update}"#));
        assert_eq!(result.is_ok(), accepted, "{collection} {update}: {result:?}");
    }
}

#[test]
fn upserts_supply_what_the_rule_requires() {
    let upsert = |collection: &str, filter: &str, update: &str| {
        let parameters = format!(r#""filter": {filter}, "update": {update}, "upsert": true"#);
        narrowed(Action::UpdateOne, collection, &parameters)
    };
    let completed = upsert("mine", r#"{"k": 1}"#, r#"{"$set": {"a": 1}}"#).unwrap();
    assert_eq!(
        compact(&completed),
        r#"{"$and":[{"owner":{"$eq":"ann"}},{"k":1}]}{"$set":{"a":1},"$setOnInsert":{"owner":"ann"}}"#
    );
    let given = upsert("mine", r#"{"k": 1}"#, r#"{"$set": {"owner": "ann"}}"#).unwrap();
    assert!(!given.contains("$setOnInsert"), "{given}");
    let rejected = [
        ("mine", r#"{"owner": "bob"}"#, r#"{"$set": {"a": 1}}"#),
        ("mine", r#"{"$and": [{"$or": [{"owner": "bob"}]}]}"#, r#"{"$set": {"a": 1}}"#),
        ("mine", r#"{}"#, r#"[{"$set": {"a": 1}}]"#),
        ("mine", r#"{}"#, r#"{"$setOnInsert": {"owner": "bob"}}"#),
        ("group", r#"{}"#, r#"{"$set": {"a": 1}}"#),
        ("unknown", r#"{}"#, r#"{"$set": {"a": 1}}"#),
        ("schema", r#"{}"#, r#"{"$set": {"n": 1}}"#),
        ("fields", r#"{"secret": 1}"#, r#"{"$set": {"x": 1}}"#),
    ];
    for (collection, filter, update) in rejected {
        assert!(upsert(collection, filter, update).is_err(), "{collection} {filter} {update}");
    }
    assert!(upsert("fields", r#"{"y": 1}"#, r#"{"$set": {"x": 1}}"#).is_ok());
}

#[test]
fn what_the_caller_does_not_have_admits_nothing() {
    let read = |filter: &str| {
        let permission: crate::gateway::auth::permission::Permission =
            serde_json::from_str(&format!(r#"{{"allow": ["read"], "filter": {filter}}}"#)).unwrap();
        let rule = permission.rule.unwrap();
        rule.filter.as_ref().unwrap().expand(&caller().user).map(|condition| condition.filter().to_string())
    };
    for missing in ["%%user.missing", "%%user.none", "%%user.groups", "%%user.list", "%%user.id.x"] {
        assert!(read(&format!(r#"{{"a": "{missing}"}}"#)).is_none(), "{missing}");
        assert!(read(&format!(r#"{{"a": {{"$ne": "{missing}"}}}}"#)).is_none(), "{missing}");
        assert!(read(&format!(r#"{{"$nor": [{{"a": "{missing}"}}]}}"#)).is_none(), "{missing}");
    }
    assert!(read(r#"{"a": {"$in": "%%user.list"}}"#).is_none());
    assert_eq!(read(r#"{"a": {"$in": ["x", "%%user.id"]}}"#).unwrap(), r#"{ "a": { "$in": ["x", "ann"] } }"#);
}

#[test]
fn a_rule_that_cannot_be_checked_is_an_error() {
    let invalid = [
        r#""filter": null"#,
        r#""filter": {}"#,
        r#""filter": []"#,
        r#""filter": {"a": "%%user"}"#,
        r#""filter": {"a": "%%user."}"#,
        r#""filter": {"a": "%%root.id"}"#,
        r#""filter": {"a": {"b": 1}}"#,
        r#""filter": {"a": [1]}"#,
        r#""filter": {"a": {"$regex": "x"}}"#,
        r#""filter": {"a": {"$gt": null}}"#,
        r#""filter": {"$where": "1"}"#,
        r#""filter": {"$expr": true}"#,
        r#""filter": {"$and": []}"#,
        r#""filter": {"$or": [{}]}"#,
        r#""filter": {"a.0": 1}"#,
        r#""filter": {"a..b": 1}"#,
        r#""filter": {"": 1}"#,
        r#""filter": "not json""#,
        r#""fields": null"#,
        r#""fields": {}"#,
        r#""fields": []"#,
        r#""fields": {"allow": ["a"], "deny": ["b"]}"#,
        r#""fields": {"allow": null}"#,
        r#""fields": {"deny": []}"#,
        r#""fields": {"deny": ["_id"]}"#,
        r#""fields": {"deny": ["a.0.b"]}"#,
        r#""fields": {"deny": ["$a"]}"#,
        r#""fields": {"deny": "a"}"#,
        r#""fields": {"hide": ["a"]}"#,
        r#""schema": null"#,
        r#""schema": true"#,
        r#""schema": {"type": "date"}"#,
        r##""schema": {"$ref": "#/x"}"##,
        r#""schema": {"format": "email"}"#,
        r#""schema": {"properties": {"a": {"pattern": "("}}}"#,
        r#""rule": {}"#,
    ];
    for rule in invalid {
        let text = format!(r#"{{"allow": ["read"], {rule}}}"#);
        let read = serde_json::from_str::<crate::gateway::auth::permission::Permission>(&text);
        assert!(read.is_err(), "{rule}");
    }
}

#[test]
fn counts_and_distinct_have_the_filter_of_the_rule() {
    let own = r#"{"owner":{"$eq":"ann"}}"#;
    assert_eq!(compact(&narrowed(Action::CountDocuments, "mine", r#""filter": {}"#).unwrap()), own);
    assert_eq!(compact(&narrowed(Action::Distinct, "mine", r#""key": "a", "filter": {}"#).unwrap()), own);
    assert!(narrowed(Action::EstimatedDocumentCount, "mine", r#""comment": 1"#).is_err());
    assert!(narrowed(Action::EstimatedDocumentCount, "fields", r#""comment": 1"#).is_ok());
    for key in ["secret", "a", "a.b", "a.0.b", "secret.0"] {
        assert!(narrowed(Action::Distinct, "fields", &format!(r#""key": "{key}""#)).is_err(), "{key}");
    }
    assert!(narrowed(Action::Distinct, "fields", r#""key": "a.c""#).is_ok());
    assert!(narrowed(Action::CountDocuments, "fields", r#""filter": {"secret": 1}"#).is_err());
}

#[test]
fn a_find_one_and_keeps_to_both_rules() {
    let found = narrowed(Action::FindOneAndUpdate, "both", r#""filter": {}, "update": {"$set": {"a": 1}}"#).unwrap();
    let filter = r#"{"$and":[{"team":{"$eq":1}},{"owner":{"$eq":"ann"}}]}"#;
    assert_eq!(compact(&found), format!(r#"{filter}{{"$set":{{"a":1}}}}{{"secret":0}}"#));
    let found = narrowed(Action::FindOneAndDelete, "both", r#""filter": {}"#).unwrap();
    assert_eq!(compact(&found), format!(r#"{filter}{{"secret":0}}"#));
    for (action, parameters) in [
        (Action::FindOneAndUpdate, r#""filter": {}, "update": {"$set": {"team": 2}}"#),
        (Action::FindOneAndUpdate, r#""filter": {}, "update": {"$set": {"owner": "bob"}}"#),
        (Action::FindOneAndUpdate, r#""filter": {}, "update": {"$set": {"secret": 1}}"#),
        (Action::FindOneAndUpdate, r#""filter": {}, "sort": {"secret": 1}, "update": {"$set": {"a": 1}}"#),
        (Action::FindOneAndUpdate, r#""filter": {"secret": 1}, "update": {"$set": {"a": 1}}"#),
        (Action::FindOneAndReplace, r#""filter": {}, "replacement": {"team": 1, "owner": "ann"}"#),
        (Action::FindOneAndDelete, r#""filter": {}, "projection": {"secret": 1}"#),
    ] {
        assert!(narrowed(action, "both", parameters).is_err(), "{parameters}");
    }
    let replaced = narrowed(Action::FindOneAndReplace, "mine", r#""filter": {}, "replacement": {"owner": "bob"}"#);
    assert!(replaced.is_err());
}

#[test]
fn each_operation_of_a_bulk_write_is_checked() {
    let bulk = |operation: &str| {
        narrowed(
            Action::BulkWrite,
            "mine",
            &format!(r#""operations": [{{"deleteOne": {{"filter": {{}}}}}}, {operation}]"#),
        )
    };
    let own = r#"{"owner":{"$eq":"ann"}}"#;
    assert_eq!(compact(&bulk(r#"{"deleteMany": {"filter": {}}}"#).unwrap()), format!("{own}{own}"));
    for operation in [
        r#"{"insertOne": {"document": {"owner": "bob"}}}"#,
        r#"{"updateOne": {"filter": {}, "update": {"$set": {"owner": "bob"}}}}"#,
        r#"{"updateOne": {"filter": {}, "update": {"$set": {"a": 1}}, "collation": {"locale": "en"}}}"#,
        r#"{"replaceOne": {"filter": {}, "replacement": {}}}"#,
        r#"{"deleteMany": {"filter": {"$where": "1"}}}"#,
    ] {
        assert!(bulk(operation).unwrap_err().starts_with("operations[1]: "), "{operation}");
    }
}

#[test]
fn arguments_that_change_the_meaning_of_a_rule_are_rejected() {
    let collation = r#""collation": {"locale": "en", "strength": 1}"#;
    for (action, collection, parameters) in [
        (Action::Find, "mine", collation.to_owned()),
        (Action::FindOne, "unknown", collation.to_owned()),
        (Action::CountDocuments, "two", collation.to_owned()),
        (Action::Distinct, "mine", format!(r#""key": "a", {collation}"#)),
        (Action::DeleteMany, "mine", format!(r#""filter": {{}}, {collation}"#)),
        (Action::Aggregate, "mine", format!(r#""pipeline": [], {collation}"#)),
        (Action::Aggregate, "open", format!(r#""pipeline": [{{"$unionWith": "mine"}}], {collation}"#)),
        (Action::Find, "fields", r#""hint": "secret_1""#.to_owned()),
        (Action::Find, "fields", r#""let": {"x": "$secret"}"#.to_owned()),
        (
            Action::UpdateOne,
            "fields",
            r#""filter": {}, "update": {"$set": {"x.$[i]": 1}}, "arrayFilters": [{"i.secret": 1}]"#.to_owned(),
        ),
        (
            Action::UpdateOne,
            "mine",
            r#""filter": {}, "update": {"$set": {"x.$[i]": 1}}, "arrayFilters": [{"$expr": {"$toInt": "$i"}}]"#
                .to_owned(),
        ),
        (
            Action::UpdateOne,
            "fields",
            r#""filter": {}, "update": {"$set": {"x": 1}}, "sort": {"secret": 1}"#.to_owned(),
        ),
    ] {
        assert!(narrowed(action, collection, &parameters).is_err(), "{collection} {parameters}");
    }
    assert!(narrowed(Action::Find, "fields", collation).is_ok());
    assert!(narrowed(Action::Find, "mine", r#""hint": "a_1", "maxTimeMS": 5, "comment": 1"#).is_ok());
}
