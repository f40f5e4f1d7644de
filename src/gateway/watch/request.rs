//! The request of a change stream: a query string, or a body with the same fields.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::{Bson, Document, RawArray, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use percent_encoding::percent_decode_str;

use crate::codec::ejson::{self, Style};
use crate::gateway::api_error::{ApiError, ApiResult};
use crate::gateway::response_format::style_of;

/// The longest query string.
const MAX_QUERY_BYTES: usize = 16 * 1024;

/// The fields that are text.
const TEXTS: [&str; 7] =
    ["dataSource", "database", "collection", "fullDocument", "fullDocumentBeforeChange", "format", "lastEventId"];

/// The parameters of a change stream, whose types are validated.
pub(in crate::gateway) struct WatchRequest<'r> {
    pub(in crate::gateway) data_source: &'r str,
    pub(in crate::gateway) database: &'r str,
    pub(in crate::gateway) collection: &'r str,
    /// The options of the stage `$changeStream`.
    pub(in crate::gateway) stage: Document,
    /// A condition on the events.
    pub(in crate::gateway) filter: Option<&'r RawDocument>,
    /// The stages that process each event.
    pub(in crate::gateway) pipeline: Option<&'r RawArray>,
    /// The resume token of the last event that the client has.
    pub(in crate::gateway) token: Option<Bson>,
    pub(in crate::gateway) style: Style,
}

impl<'r> WatchRequest<'r> {
    /// Reads the parameters. `last_event_id` is that of the header, which a client that connects again sends.
    pub(in crate::gateway) fn parse(request: &'r RawDocument, last_event_id: Option<&str>) -> ApiResult<Self> {
        let mut texts = [None; TEXTS.len()];
        let (mut filter, mut pipeline) = (None, None);
        for field in request {
            let (name, value) = field.map_err(|_| ApiError::unreadable())?;
            let name = name.as_str();
            let is_repeated = if let Some(index) = TEXTS.iter().position(|known| *known == name) {
                let RawBsonRef::String(text) = value else {
                    return Err(ApiError::invalid(format!("'{name}' must be a string")));
                };
                texts[index].replace(text).is_some()
            } else {
                match (name, value) {
                    ("filter", RawBsonRef::Document(given)) => filter.replace(given).is_some(),
                    ("pipeline", RawBsonRef::Array(given)) => pipeline.replace(given).is_some(),
                    ("filter", _) => return Err(ApiError::invalid("'filter' must be a document")),
                    ("pipeline", _) => return Err(ApiError::invalid("'pipeline' must be an array")),
                    _ => return Err(unknown(name)),
                }
            };
            if is_repeated {
                return Err(ApiError::invalid(format!("'{name}' is given more than once")));
            }
        }
        let [data_source, database, collection, full_document, before_change, format, id] = texts;
        let required = |name: &str, text: Option<&'r str>| text.ok_or_else(|| ApiError::missing(name));
        let data_source = required("dataSource", data_source)?;
        let (database, collection) = (required("database", database)?, required("collection", collection)?);
        let mut stage = Document::new();
        for (name, value, allowed) in [
            ("fullDocument", full_document, &["default", "updateLookup", "whenAvailable", "required"][..]),
            ("fullDocumentBeforeChange", before_change, &["off", "whenAvailable", "required"][..]),
        ] {
            match value {
                Some(value) if allowed.contains(&value) => drop(stage.insert(name, value)),
                Some(_) => return Err(ApiError::invalid(format!("'{name}' must be one of {}", allowed.join(", ")))),
                None => {}
            }
        }
        let style = style_of(format.unwrap_or("relaxed"))
            .ok_or_else(|| ApiError::invalid("'format' must be relaxed, canonical or plain"))?;
        let id = last_event_id.filter(|id| !id.is_empty()).or(id);
        let token = match id.map(token_of) {
            Some(None) => return Err(ApiError::invalid("'lastEventId' is not the id of an event")),
            token => token.flatten(),
        };
        Ok(Self { data_source, database, collection, stage, filter, pipeline, token, style })
    }
}

fn unknown(name: &str) -> ApiError {
    let name = crate::error::excerpt(name, 64);
    ApiError::invalid(format!(
        "'{name}' is not a parameter of a change stream: use {}, filter, pipeline",
        TEXTS.join(", ")
    ))
}

/// Reads a query string into the form of a body. `filter` and `pipeline` are Extended JSON.
pub(in crate::gateway) fn parse_query(query: &str) -> ApiResult<RawDocumentBuf> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(ApiError::too_large(format!(
            "the query string is larger than {MAX_QUERY_BYTES} bytes: send the parameters as the body of a POST"
        )));
    }
    let mut request = Document::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        let value = match name.as_str() {
            "filter" => json(&value, "filter", "a document")?,
            "pipeline" => json(&value, "pipeline", "an array")?,
            _ => Bson::String(value),
        };
        if request.insert(name.clone(), value).is_some() {
            let name = crate::error::excerpt(&name, 64);
            return Err(ApiError::invalid(format!("'{name}' is given more than once")));
        }
    }
    RawDocumentBuf::try_from(&request).map_err(|_| ApiError::invalid("the query string cannot be read"))
}

fn decoded(text: &str) -> ApiResult<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(Into::into).map_err(|_| ApiError::invalid("the query string is not UTF-8"))
}

/// Parses a parameter that is Extended JSON.
fn json(text: &str, name: &str, what: &str) -> ApiResult<Bson> {
    let invalid = || ApiError::invalid(format!("'{name}' must be {what} as Extended JSON, percent-encoded"));
    // A text that is more than a value would give the document more fields.
    let parsed = ejson::parse_document(format!("{{\"value\":{text}}}").as_bytes()).map_err(|_| invalid())?;
    if parsed.iter().count() != 1 {
        return Err(invalid());
    }
    parsed.get("value").ok().flatten().and_then(|value| Bson::try_from(value).ok()).ok_or_else(invalid)
}

/// The id of an event: its resume token as text that a header can have.
pub(super) fn id_of(token: &Bson) -> Option<String> {
    let document = RawDocumentBuf::try_from(&doc! { "t": token }).ok()?;
    Some(URL_SAFE_NO_PAD.encode(document.as_bytes()))
}

fn token_of(id: &str) -> Option<Bson> {
    let document = RawDocumentBuf::from_bytes(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
    let mut document = Document::try_from(&document).ok()?;
    match document.remove("t") {
        Some(Bson::Document(token)) if document.is_empty() => Some(Bson::Document(token)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_has_the_fields_of_a_body() {
        let request =
            parse_query("database=a+b&filter=%7B%22n%22:%20%7B%22$numberLong%22:%20%225%22%7D%7D&pipeline=[]");
        let request = Document::try_from(&request.ok().unwrap()).unwrap();
        assert_eq!(request, doc! { "database": "a b", "filter": { "n": 5_i64 }, "pipeline": [] });
        let rejected = ["a=%ff", "filter={}&filter={}", "filter={", "filter={},\"b\":{}", "filter=1}", "pipeline="];
        for query in rejected {
            assert!(parse_query(query).is_err(), "{query}");
        }
        assert!(parse_query(&"x".repeat(MAX_QUERY_BYTES + 1)).is_err());
    }

    #[test]
    fn the_id_of_an_event_is_its_token() {
        let token = Bson::Document(
            doc! { "_data": "82", "_typeBits": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1] } },
        );
        let id = id_of(&token).unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(token_of(&id), Some(token));
        for other in ["", "x", "AAAA", "!", &URL_SAFE_NO_PAD.encode(bson::rawdoc! { "t": 1 }.as_bytes())] {
            assert_eq!(token_of(other), None, "{other}");
        }
    }

    #[test]
    fn parameters_of_other_types_and_names_are_rejected() {
        let whole = |more: &RawDocument| {
            let mut request = bson::rawdoc! { "dataSource": "a", "database": "b", "collection": "c" };
            more.iter().flatten().for_each(|(name, value)| request.append(name, value.to_owned()));
            request
        };
        assert!(WatchRequest::parse(&whole(&bson::rawdoc! {}), None).is_ok());
        assert!(WatchRequest::parse(&bson::rawdoc! { "database": "b", "collection": "c" }, None).is_err());
        let rejected = [
            bson::rawdoc! { "filter": [] },
            bson::rawdoc! { "pipeline": {} },
            bson::rawdoc! { "fullDocument": "always" },
            bson::rawdoc! { "fullDocumentBeforeChange": true },
            bson::rawdoc! { "format": "xml" },
            bson::rawdoc! { "lastEventId": "1" },
            bson::rawdoc! { "resumeAfter": {} },
        ];
        for request in rejected {
            assert!(WatchRequest::parse(&whole(&request), None).is_err(), "{request:?}");
        }
        let request = whole(&bson::rawdoc! { "fullDocument": "updateLookup", "lastEventId": "invalid" });
        let id = id_of(&Bson::Document(doc! { "_data": "82" })).unwrap();
        let parsed = WatchRequest::parse(&request, Some(&id)).ok().unwrap();
        assert_eq!(parsed.token, Some(Bson::Document(doc! { "_data": "82" })));
    }
}
