//! What is not stored: secrets that Connect sends, and what the user names.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::identity;
use super::index::{Element, Index, Name};
use crate::events::view::{self, ARRAY, DOCUMENT, NULL, Place, STRING, prefix};
use crate::redact::{REDACTED, REDACTED_DIGEST, is_redacted};
use crate::secret::Secret;

/// The fields of a parameter of type `password` that may tell its value.
const PASSWORD_FIELDS: [&[u8]; 7] =
    [b"value", b"structured_value", b"value_choices", b"value_error", b"default", b"old_value", b"initial_value"];

/// Fields that hold a secret wherever they are.
const SECRET_NAMES: [&str; 4] = ["activation_key", "params_form_url", "jwt_secret", "password"];

/// Fields of the object itself in which the default rules apply by name or by form.
const AREAS: [Name; 3] = [Name::new("headers"), Name::new("query"), Name::new("jwt_payload")];

/// What the name of an HTTP header or of a query parameter contains if its value is a secret.
const SECRET_WORDS: [&str; 8] =
    ["authorization", "cookie", "key", "token", "secret", "password", "signature", "credential"];

/// What is taken out of an object before anything of it leaves the process.
#[derive(Clone, PartialEq, Eq)]
pub struct Redaction {
    defaults: bool,
    redact: Vec<Path>,
    keep: Vec<Path>,
    key: Option<Secret>,
}

/// A path such as `asset.tiers.*.tax_id`.
type Path = Vec<Segment>;

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    /// Any number of levels.
    Levels,
    /// A name, with `*` for any characters; without regard to case.
    Name(String),
}

/// Where in an object a walk is, as far as the default rules need to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Area {
    Root,
    /// In `headers` or `query`: names tell what is secret.
    Http,
    /// In `jwt_payload`.
    Jwt,
    Other,
    /// Where `keep` says so: no default rule applies.
    Kept,
}

/// A value to replace.
struct Edit {
    /// Where the value begins.
    start: usize,
    /// What it becomes.
    text: String,
}

impl Redaction {
    /// `defaults` redacts what is documented in `docs/store.md`. `redact` are more
    /// places, such as `asset.tiers.customer.tax_id`: names with dots between, `*` for
    /// any characters of a name, `**` for any number of levels; lists are passed
    /// through. `keep` are places where no default rule applies. With a `key`, a value
    /// becomes its HMAC-SHA-256, so that equal values can still be recognized.
    ///
    /// # Errors
    /// What is wrong with which path.
    pub fn new(defaults: bool, redact: &[String], keep: &[String], key: Option<String>) -> Result<Self, String> {
        let redact = redact
            .iter()
            .map(|text| {
                let path = parse(text, "redacted")?;
                match path.as_slice() {
                    [Segment::Levels] => Err("all fields cannot be redacted".to_owned()),
                    [Segment::Name(name)] if name == "id" || name.bytes().all(|byte| byte == b'*') => {
                        Err("the object's id cannot be redacted: the object is found by it".to_owned())
                    }
                    _ => Ok(path),
                }
            })
            .collect::<Result<_, _>>()?;
        let keep = keep.iter().map(|text| parse(text, "kept")).collect::<Result<_, _>>()?;
        Ok(Self { defaults, redact, keep, key: key.filter(|key| !key.is_empty()).map(Secret::new) })
    }

    /// The object without what must not be stored; `None` where that is nothing.
    /// `is_installation`: whether it is an installation, whose `settings` are secret.
    /// `has_stand_ins`: whether values that could not be encoded were replaced; a
    /// parameter that lost its type may be a password.
    pub fn apply(&self, index: &Index<'_>, is_installation: bool, has_stand_ins: bool) -> Option<Vec<u8>> {
        if self.redact.is_empty() && (!self.defaults || !is_installation && !has_stand_ins && !may_hold_secret(index)) {
            return None;
        }
        let bytes = index.bytes;
        let has_password = has_stand_ins || index.elements().iter().any(|element| is_password_type(index, element));
        let mut walk = Walk { redaction: self, bytes, has_password, has_stand_ins, is_installation, edits: Vec::new() };
        let redact: Vec<&[Segment]> = self.redact.iter().map(Vec::as_slice).collect();
        let keep: Vec<&[Segment]> = self.keep.iter().map(Vec::as_slice).collect();
        walk.document(0, if self.defaults { Area::Root } else { Area::Kept }, &redact, &keep);
        let edits = walk.edits;
        if edits.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(bytes.len() + 64);
        write(bytes, 0, &mut edits.into_iter().peekable(), &mut out);
        Some(out)
    }

    fn replacement(&self, bytes: &[u8], place: Place) -> String {
        let Some(mut mac) =
            self.key.as_ref().and_then(|key| Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).ok())
        else {
            return REDACTED.to_owned();
        };
        // The same for the same content in any order.
        mac.update(&identity::canonical(bytes, place));
        format!("{REDACTED_DIGEST}{}", super::hex(&mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({} paths)", self.redact.len())
    }
}

fn parse(text: &str, what: &str) -> Result<Path, String> {
    let segments: Vec<&str> = text.split('.').map(str::trim).collect();
    if segments.iter().any(|segment| segment.is_empty() || segment.contains(['[', ']', '\0'])) {
        let path = crate::error::excerpt(text, 80);
        return Err(format!(
            "the path '{path}' cannot be {what}: give names with dots between, such as asset.tiers.customer.tax_id"
        ));
    }
    let segment = |segment: &str| match segment {
        "**" => Segment::Levels,
        name => Segment::Name(name.to_ascii_lowercase()),
    };
    Ok(segments.into_iter().map(segment).collect())
}

/// Whether the default rules may find a secret in an object that is no installation.
fn may_hold_secret(index: &Index<'_>) -> bool {
    AREAS.iter().any(|name| index.field(index.root(), name).is_some())
        || index.elements().iter().any(|element| match element.name_length() {
            4 => is_password_type(index, element),
            8 | 10 | 14 | 15 => {
                const CASE: u64 = u64::from_be_bytes([0x20; 8]);
                const NAMES: [u64; SECRET_NAMES.len()] = {
                    let (mut names, mut place) = ([0; SECRET_NAMES.len()], 0);
                    while place < names.len() {
                        assert!(matches!(SECRET_NAMES[place].len(), 8 | 10 | 14 | 15));
                        names[place] = prefix(SECRET_NAMES[place].as_bytes()) | CASE;
                        place += 1;
                    }
                    names
                };
                NAMES.contains(&(element.prefix | CASE)) && !is_empty(element.place())
            }
            _ => false,
        })
}

/// Whether it is a string named `type` with the value `password`.
fn is_password_type(index: &Index<'_>, element: &Element) -> bool {
    const TYPE: u64 = prefix(b"type");
    element.prefix == TYPE && view::text(index.bytes, element.place()) == Some("password")
}

/// Null, "", {} and [] hold nothing, and show that there is nothing.
fn is_empty(place: Place) -> bool {
    place.element_type == NULL
        || matches!(place.element_type, STRING | DOCUMENT | ARRAY) && place.end - place.start == 5
}

/// Finds what to replace.
struct Walk<'a> {
    redaction: &'a Redaction,
    bytes: &'a [u8],
    has_password: bool,
    has_stand_ins: bool,
    is_installation: bool,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    fn document(&mut self, start: usize, area: Area, redact: &[&[Segment]], keep: &[&[Segment]]) {
        let bytes = self.bytes;
        let is_password = self.has_password
            && view::field(bytes, start, "type")
                .and_then(|place| view::text(bytes, place))
                .is_some_and(|name| name == "password" || self.has_stand_ins && name.starts_with('<'));
        // A header as an object of its own: {"name": "Authorization", "value": "…"}.
        let is_secret_pair = area == Area::Http
            && [&b"name"[..], b"key"].into_iter().any(|name| {
                self.is_secret_word_at(
                    view::elements(bytes, start).find(|(known, _)| *known == name).map(|(_, place)| place),
                )
            });
        for (name, place) in view::elements(bytes, start) {
            let (named, redact) = step(redact, name);
            let (kept, keep) = step(keep, name);
            let area = if kept || area == Area::Kept { Area::Kept } else { area };
            let secret = match area {
                Area::Kept => false,
                _ if is_password && PASSWORD_FIELDS.contains(&name) => true,
                Area::Http if is_secret_pair => name == b"value",
                Area::Http if is_secret_word(name) => true,
                Area::Jwt if name == b"signature" => true,
                Area::Root if self.is_installation && name == b"settings" => true,
                _ => SECRET_NAMES.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes())),
            };
            if named || secret {
                self.redact(place);
                continue;
            }
            let below = match (area, name) {
                (Area::Kept, _) => Area::Kept,
                (Area::Root, b"headers" | b"query") => Area::Http,
                (Area::Root, b"jwt_payload") => Area::Jwt,
                (Area::Http, _) => Area::Http,
                _ => Area::Other,
            };
            self.value(place, below, &redact, &keep);
        }
    }

    fn value(&mut self, place: Place, area: Area, redact: &[&[Segment]], keep: &[&[Segment]]) {
        match place.element_type {
            DOCUMENT => self.document(place.start, area, redact, keep),
            ARRAY => {
                let items: Vec<Place> = view::elements(self.bytes, place.start).map(|(_, place)| place).collect();
                // A header as a pair: ["Authorization", "…"].
                if let ([name, value], Area::Http) = (items.as_slice(), area)
                    && self.is_secret_word_at(Some(*name))
                {
                    return self.redact(*value);
                }
                for place in items {
                    self.value(place, area, redact, keep);
                }
            }
            STRING => {
                let text = view::text(self.bytes, place).unwrap_or_default();
                let edited = match area {
                    Area::Http => without_secret_parameters(text),
                    Area::Jwt => without_signature(text),
                    _ => None,
                };
                if let Some(text) = edited {
                    self.edits.push(Edit { start: place.start, text });
                }
            }
            _ => {}
        }
    }
}

impl Walk<'_> {
    /// Replaces a value, unless there is nothing in it or it was replaced before.
    fn redact(&mut self, place: Place) {
        if !is_empty(place) && !view::text(self.bytes, place).is_some_and(is_redacted) {
            let text = self.redaction.replacement(self.bytes, place);
            self.edits.push(Edit { start: place.start, text });
        }
    }

    fn is_secret_word_at(&self, place: Option<Place>) -> bool {
        place.and_then(|place| view::text(self.bytes, place)).is_some_and(|text| is_secret_word(text.as_bytes()))
    }
}

/// Whether a path ends at a field of this name, and what is left of the paths below it.
fn step<'p>(paths: &[&'p [Segment]], name: &[u8]) -> (bool, Vec<&'p [Segment]>) {
    let mut below = Vec::new();
    let mut ends = false;
    for path in paths {
        let mut rest = *path;
        while let Some((first, after)) = rest.split_first() {
            match first {
                Segment::Levels => {
                    // Any number of levels, or none.
                    below.push(rest);
                    ends |= after.is_empty();
                    rest = after;
                }
                Segment::Name(pattern) => {
                    if matches(pattern.as_bytes(), name) {
                        ends |= after.is_empty();
                        below.push(after);
                    }
                    break;
                }
            }
        }
    }
    below.retain(|path| !path.is_empty());
    (ends, below)
}

/// Whether a name is of the pattern: `*` is any characters, and case does not matter.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|byte| *byte == b'*') else {
        return pattern.eq_ignore_ascii_case(name);
    };
    let (head, tail) = (&pattern[..star], &pattern[star + 1..]);
    let Some(rest) = name.get(head.len()..).filter(|_| name[..head.len()].eq_ignore_ascii_case(head)) else {
        return false;
    };
    (0..=rest.len()).any(|skipped| matches(tail, &rest[skipped..]))
}

/// Whether a header or a query parameter of this name holds a secret.
fn is_secret_word(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A query string without the values of parameters that hold secrets; `None` where there are none.
fn without_secret_parameters(text: &str) -> Option<String> {
    let mut edited = false;
    let parts: Vec<String> = text
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret_word(name.as_bytes()) => {
                edited = true;
                format!("{name}={REDACTED}")
            }
            _ => part.to_owned(),
        })
        .collect();
    edited.then(|| parts.join("&"))
}

/// A JSON Web Token in its compact form without its signature, with which it could be used
/// again; `None` where it is no such token.
fn without_signature(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    let base64 = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
    };
    match parts.as_slice() {
        [header, payload, signature] if [header, payload, signature].into_iter().all(base64) => {
            Some(format!("{header}.{payload}.{REDACTED}"))
        }
        _ => None,
    }
}

/// Writes the document or array that begins at `start`, with the values of `edits`, which are in
/// the order of the bytes.
fn write(bytes: &[u8], start: usize, edits: &mut std::iter::Peekable<impl Iterator<Item = Edit>>, out: &mut Vec<u8>) {
    let mark = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, place) in view::elements(bytes, start) {
        let edit = edits.next_if(|edit| edit.start == place.start);
        out.push(if edit.is_some() { STRING } else { place.element_type });
        out.extend_from_slice(name);
        out.push(0);
        match edit {
            Some(Edit { text, .. }) => {
                out.extend_from_slice(&(text.len() as u32 + 1).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            None => {
                let has_edits = edits.peek().is_some_and(|edit| edit.start < place.end);
                if has_edits && matches!(place.element_type, DOCUMENT | ARRAY) {
                    write(bytes, place.start, edits, out);
                } else {
                    out.extend_from_slice(bytes.get(place.start..place.end).unwrap_or_default());
                }
            }
        }
    }
    out.push(0);
    let length = (out.len() - mark) as u32;
    out[mark..mark + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bson::{Document, RawDocumentBuf, doc};

    fn redacted_as(redaction: &Redaction, document: &Document, is_installation: bool) -> Document {
        let raw = RawDocumentBuf::try_from(document).unwrap();
        match redaction.apply(&Index::new(raw.as_bytes()), is_installation, false) {
            Some(bytes) => Document::try_from(&RawDocumentBuf::from_bytes(bytes).unwrap()).unwrap(),
            None => document.clone(),
        }
    }

    fn redacted(redaction: &Redaction, document: &Document) -> Document {
        redacted_as(redaction, document, false)
    }

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn redaction(redact: &[&str], keep: &[&str], key: Option<&str>) -> Redaction {
        Redaction::new(true, &paths(redact), &paths(keep), key.map(str::to_owned)).unwrap()
    }

    #[test]
    fn passwords_are_redacted_wherever_they_are() {
        let document = doc! {
            "id": "PR-1",
            "params": [
                {"id": "a", "value": "hunter2", "type": "password", "structured_value": {"x": "hunter2"}},
                {"id": "b", "type": "text", "value": "seen"},
                {"type": "password", "value": null},
                {"type": "password", "value": ""},
            ],
            "deep": {"new": [[{"type": "password", "value": 5, "value_choices": ["hunter2"]}]]},
        };
        let found = redacted(&redaction(&[], &[], None), &document);
        assert!(!found.to_string().contains("hunter2"));
        assert_eq!(found.get_array("params").unwrap()[1], document.get_array("params").unwrap()[1].clone());
        assert_eq!(
            found.get_array("params").unwrap()[0].as_document().unwrap(),
            &doc! {"id": "a", "value": "***", "type": "password", "structured_value": "***"}
        );
        assert_eq!(found.get_array("params").unwrap()[2..], document.get_array("params").unwrap()[2..]);
        assert_eq!(
            found.get_document("deep").unwrap(),
            &doc! {"new": [[{"type": "password", "value": "***", "value_choices": "***"}]]}
        );
    }

    #[test]
    fn secrets_that_connect_sends_are_redacted_by_default() {
        let document = doc! {
            "activation_key": "s", "params_form_url": "s", "password": "s",
            "asset": {"activation_key": "s", "name": "seen"},
            "customer_ui_settings": {"action": {"jwt_secret": "s", "label": "seen"}},
            "headers": {"Authorization": "s", "cookie": ["s"], "X-Api-Key": "s", "Host": "seen", "x-csrf-Token": "s"},
            "query": {"token": "s", "page": "seen"},
            "jwt_payload": {"sub": "seen", "signature": "s"},
            "settings": {"open": "seen"},
        };
        assert_eq!(
            redacted(&redaction(&[], &[], None), &document),
            doc! {
                "activation_key": "***", "params_form_url": "***", "password": "***",
                "asset": {"activation_key": "***", "name": "seen"},
                "customer_ui_settings": {"action": {"jwt_secret": "***", "label": "seen"}},
                "headers": {
                    "Authorization": "***", "cookie": "***", "X-Api-Key": "***", "Host": "seen", "x-csrf-Token": "***"
                },
                "query": {"token": "***", "page": "seen"},
                "jwt_payload": {"sub": "seen", "signature": "***"},
                "settings": {"open": "seen"},
            }
        );
        let installation = doc! {"id": "EIN-1", "settings": {"api_key": "s"}};
        assert_eq!(
            redacted_as(&redaction(&[], &[], None), &installation, true),
            doc! {"id": "EIN-1", "settings": "***"}
        );
    }

    #[test]
    fn a_parameter_that_lost_its_type_may_be_a_password() {
        let raw = bson::rawdoc! {"a": {"type": "<object>", "value": "s"}, "b": {"type": "text", "value": "seen"}};
        let bytes = redaction(&[], &[], None).apply(&Index::new(raw.as_bytes()), false, true).unwrap();
        assert_eq!(
            Document::try_from(&RawDocumentBuf::from_bytes(bytes).unwrap()).unwrap(),
            doc! {"a": {"type": "<object>", "value": "***"}, "b": {"type": "text", "value": "seen"}}
        );
    }

    #[test]
    fn what_is_redacted_stays_as_it_is() {
        let redaction = redaction(&["a"], &[], Some("k"));
        let once = redacted(&redaction, &doc! {"a": 1, "password": "s"});
        assert_eq!(redacted(&redaction, &once), once);
    }

    #[test]
    fn headers_may_be_a_list() {
        let document = doc! {"headers": [["Cookie", "s"], ["Host", "seen"], {"name": "x-token", "value": "s"}]};
        assert_eq!(
            redacted(&redaction(&[], &[], None), &document),
            doc! {"headers": [["Cookie", "***"], ["Host", "seen"], {"name": "x-token", "value": "***"}]}
        );
    }

    #[test]
    fn secrets_in_a_text_are_redacted_and_the_rest_is_kept() {
        let document = doc! {"query": "page=1&token=s&x=2", "jwt_payload": "aGVhZA.cGF5.c2ln", "headers": "a=b"};
        assert_eq!(
            redacted(&redaction(&[], &[], None), &document),
            doc! {"query": "page=1&token=***&x=2", "jwt_payload": "aGVhZA.cGF5.***", "headers": "a=b"}
        );
    }

    #[test]
    fn keep_switches_default_rules_off_and_not_the_users() {
        let document = doc! {
            "password": "seen", "headers": {"x-key": "seen", "cookie": "s"}, "a": {"password": "s"},
            "params": [{"type": "password", "value": "seen"}],
        };
        let redaction = redaction(&["headers.cookie"], &["password", "headers", "params.value"], None);
        assert_eq!(
            redacted(&redaction, &document),
            doc! {
                "password": "seen", "headers": {"x-key": "seen", "cookie": "***"}, "a": {"password": "***"},
                "params": [{"type": "password", "value": "seen"}],
            }
        );
    }

    #[test]
    fn an_object_without_secrets_is_not_copied() {
        let raw = bson::rawdoc! {"id": "PR-1", "type": "purchase", "value": "password", "activation_key": ""};
        assert!(redaction(&[], &[], None).apply(&Index::new(raw.as_bytes()), false, false).is_none());
        let raw = bson::rawdoc! {"type": "password", "value": "x"};
        assert!(
            Redaction::new(false, &[], &[], None).unwrap().apply(&Index::new(raw.as_bytes()), false, false).is_none()
        );
    }

    #[test]
    fn paths_pass_through_lists_stars_and_levels() {
        let document =
            doc! {"a": {"b": [{"c": "x", "d": 1}, {"c": 2}]}, "e": {"f": {"c": "x"}, "g": {"c": "y"}}, "c": 1};
        let found = redacted(&redaction(&["a.b.c", "E.*.C"], &[], None), &document);
        assert_eq!(
            found,
            doc! {"a": {"b": [{"c": "***", "d": 1}, {"c": "***"}]}, "e": {"f": {"c": "***"}, "g": {"c": "***"}}, "c": 1}
        );
        let found = redacted(&redaction(&["**.c"], &[], None), &document);
        assert_eq!(found.to_string().matches("***").count(), 5);
        assert_eq!(found.get_str("c").unwrap(), "***");
        for path in ["", "a..b", "a[0]", "id", "*", "**"] {
            assert!(Redaction::new(true, &[path.to_owned()], &[], None).is_err(), "{path}");
        }
        assert!(Redaction::new(true, &[], &["a[0]".to_owned()], None).is_err());
    }

    #[test]
    fn names_are_matched_by_patterns() {
        assert!(matches(b"*key*", b"X-Api-KEY"));
        assert!(matches(b"a*b*c", b"axxbyyc"));
        assert!(!matches(b"a*b", b"axxc"));
        assert!(!matches(b"abc", b"ab"));
        assert!(!matches(b"abc*", b"ab"));
    }

    #[test]
    fn with_a_key_equal_values_stay_equal() {
        let nested =
            |value: Document| redacted(&redaction(&[], &[], Some("k")), &doc! {"type": "password", "value": value});
        assert_eq!(nested(doc! {"a": 1, "b": 2}), nested(doc! {"b": 2, "a": 1}));
        let document = |value: &str| doc! {"type": "password", "value": value};
        let with = |key: &str, value: &str| redacted(&redaction(&[], &[], Some(key)), &document(value));
        assert_eq!(with("k", "a"), with("k", "a"));
        assert_ne!(with("k", "a"), with("k", "b"));
        assert_ne!(with("k", "a"), with("l", "a"));
        assert!(with("k", "a").get_str("value").unwrap().starts_with("hmac-sha256:"));
    }
}
