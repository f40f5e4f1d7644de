//! What must not be stored: the values of parameters of type `password`, and
//! what else is asked for.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::identity;
use crate::events::view::{self, ARRAY, DOCUMENT, Place, STRING};
use crate::secret::Secret;

/// The fields of a parameter of type `password` that may tell its value.
const SECRET_FIELDS: [&[u8]; 7] =
    [b"value", b"structured_value", b"value_choices", b"value_error", b"default", b"old_value", b"initial_value"];

/// What a value that is not to be stored becomes.
pub const REDACTED: &str = "***";

/// What is taken out of an object before anything of it leaves the process.
#[derive(Clone, PartialEq, Eq)]
pub struct Redaction {
    passwords: bool,
    paths: Vec<Vec<String>>,
    key: Option<Secret>,
}

impl Redaction {
    /// `passwords` takes the values of parameters of type `password` out.
    /// `paths` are more places, such as `asset.tiers.customer.tax_id`: names
    /// with dots between, `*` for any name; lists are passed through. With a
    /// `key`, a value becomes its HMAC-SHA-256, by which equal values can still
    /// be told.
    ///
    /// # Errors
    /// What is wrong with which path.
    pub fn new(passwords: bool, paths: &[String], key: Option<String>) -> Result<Self, String> {
        let mut parsed = Vec::new();
        for path in paths {
            let steps: Vec<String> = path.split('.').map(|step| step.trim().to_owned()).collect();
            if steps.iter().any(|step| step.is_empty() || step.contains(['[', ']', '\0'])) {
                let path = crate::error::excerpt(path, 80);
                return Err(format!(
                    "the path '{path}' cannot be redacted: give names with dots between, as asset.tiers.customer.tax_id"
                ));
            }
            if steps.len() == 1 && matches!(steps[0].as_str(), "id" | "*") {
                return Err("the object's id cannot be redacted: it is what the object is found by".to_owned());
            }
            parsed.push(steps);
        }
        Ok(Self { passwords, paths: parsed, key: key.filter(|key| !key.is_empty()).map(Secret::new) })
    }

    /// Whether an object may have something to take out.
    fn concerns(&self, bytes: &[u8]) -> bool {
        // A string named "type" with the value "password".
        const PASSWORD: &[u8] = b"\x02type\0\x09\0\0\0password\0";
        !self.paths.is_empty() || self.passwords && memchr::memmem::find(bytes, PASSWORD).is_some()
    }

    /// The object without what must not be stored; `None` where that is nothing.
    pub fn apply(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.concerns(bytes).then(|| self.redacted(bytes, false))
    }

    /// The same of what is left of an object that is not valid: a parameter
    /// whose type is lost may have been a password.
    pub fn apply_to_remains(&self, bytes: &[u8]) -> Vec<u8> {
        self.redacted(bytes, true)
    }

    fn redacted(&self, bytes: &[u8], remains: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let paths: Vec<&[String]> = self.paths.iter().map(Vec::as_slice).collect();
        self.document(bytes, 0, &paths, remains, &mut out);
        out
    }

    fn document(&self, bytes: &[u8], start: usize, paths: &[&[String]], remains: bool, out: &mut Vec<u8>) {
        let mark = out.len();
        out.extend_from_slice(&[0; 4]);
        let secret = self.passwords
            && match view::field(bytes, start, "type").and_then(|place| view::text(bytes, place)) {
                Some(name) => name == "password",
                None => remains,
            };
        for (name, place) in view::elements(bytes, start) {
            let mut below: Vec<&[String]> = Vec::new();
            let mut here = secret && SECRET_FIELDS.contains(&name);
            for path in paths {
                if let Some((step, rest)) = path.split_first()
                    && (step == "*" || step.as_bytes() == name)
                {
                    here |= rest.is_empty();
                    below.push(rest);
                }
            }
            self.element(bytes, name, place, here, &below, remains, out);
        }
        close(out, mark);
    }

    fn list(&self, bytes: &[u8], start: usize, paths: &[&[String]], remains: bool, out: &mut Vec<u8>) {
        let mark = out.len();
        out.extend_from_slice(&[0; 4]);
        for (name, place) in view::elements(bytes, start) {
            self.element(bytes, name, place, false, paths, remains, out);
        }
        close(out, mark);
    }

    #[allow(clippy::too_many_arguments)]
    fn element(
        &self,
        bytes: &[u8],
        name: &[u8],
        place: Place,
        here: bool,
        below: &[&[String]],
        remains: bool,
        out: &mut Vec<u8>,
    ) {
        let value = bytes.get(place.start..place.end).unwrap_or_default();
        // Null, "", {} and [] hold nothing, and say that there is nothing.
        let empty =
            place.element_type == 0x0a || matches!(place.element_type, STRING | DOCUMENT | ARRAY) && value.len() == 5;
        if here && !empty {
            let text = self.replacement(bytes, place);
            out.push(STRING);
            out.extend_from_slice(name);
            out.push(0);
            out.extend_from_slice(&(text.len() as u32 + 1).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
            out.push(0);
            return;
        }
        out.push(place.element_type);
        out.extend_from_slice(name);
        out.push(0);
        match place.element_type {
            DOCUMENT => self.document(bytes, place.start, below, remains, out),
            ARRAY => self.list(bytes, place.start, below, remains, out),
            _ => out.extend_from_slice(value),
        }
    }

    fn replacement(&self, bytes: &[u8], place: Place) -> String {
        let Some(mut mac) =
            self.key.as_ref().and_then(|key| Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).ok())
        else {
            return REDACTED.to_owned();
        };
        // Of the same content in any order.
        mac.update(&identity::canonical(bytes, place));
        format!("hmac-sha256:{}", super::hex(&mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redaction({} paths)", self.paths.len())
    }
}

fn close(out: &mut Vec<u8>, mark: usize) {
    out.push(0);
    let length = (out.len() - mark) as u32;
    out[mark..mark + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bson::{Document, RawDocumentBuf, doc};

    fn redacted(redaction: &Redaction, document: &Document) -> Document {
        let raw = RawDocumentBuf::try_from(document).unwrap();
        match redaction.apply(raw.as_bytes()) {
            Some(bytes) => Document::try_from(&RawDocumentBuf::from_bytes(bytes).unwrap()).unwrap(),
            None => document.clone(),
        }
    }

    fn redaction(paths: &[&str], key: Option<&str>) -> Redaction {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        Redaction::new(true, &paths, key.map(str::to_owned)).unwrap()
    }

    #[test]
    fn passwords_are_taken_out_wherever_they_are() {
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
        let found = redacted(&redaction(&[], None), &document);
        assert!(!found.to_string().contains("hunter2"));
        assert_eq!(found.get_array("params").unwrap()[1], document.get_array("params").unwrap()[1].clone());
        assert_eq!(
            found.get_array("params").unwrap()[0].as_document().unwrap(),
            &doc! {"id": "a", "value": "***", "type": "password", "structured_value": "***"}
        );
        assert_eq!(found.get_array("params").unwrap()[2..], document.get_array("params").unwrap()[2..]);
        assert!(found.to_string().contains(r#""value": "***""#));
    }

    #[test]
    fn what_has_nothing_to_hide_is_left_alone() {
        let raw = bson::rawdoc! {"id": "PR-1", "type": "purchase", "value": "password"};
        assert!(redaction(&[], None).apply(raw.as_bytes()).is_none());
        let raw = bson::rawdoc! {"type": "password", "value": "x"};
        assert!(Redaction::new(false, &[], None).unwrap().apply(raw.as_bytes()).is_none());
    }

    #[test]
    fn paths_pass_through_lists_and_stars() {
        let document =
            doc! {"a": {"b": [{"c": "x", "d": 1}, {"c": 2}]}, "e": {"f": {"c": "x"}, "g": {"c": "y"}}, "c": 1};
        let found = redacted(&redaction(&["a.b.c", "e.*.c"], None), &document);
        assert_eq!(
            found,
            doc! {"a": {"b": [{"c": "***", "d": 1}, {"c": "***"}]}, "e": {"f": {"c": "***"}, "g": {"c": "***"}}, "c": 1}
        );
        for path in ["", "a..b", "a[0]", "id", "*"] {
            assert!(Redaction::new(true, &[path.to_owned()], None).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_left_of_a_parameter_is_taken_for_a_password() {
        let raw = bson::rawdoc! {"a": {"type": null, "value": "hunter2"}, "b": {"type": "text", "value": "seen"}};
        let left = RawDocumentBuf::from_bytes(redaction(&[], None).apply_to_remains(raw.as_bytes())).unwrap();
        assert!(!format!("{left:?}").contains("hunter2"));
        assert!(Document::try_from(&left).unwrap().to_string().contains("seen"));
    }

    #[test]
    fn with_a_key_equal_values_stay_equal() {
        let nested = |value: Document| redacted(&redaction(&[], Some("k")), &doc! {"type": "password", "value": value});
        assert_eq!(nested(doc! {"a": 1, "b": 2}), nested(doc! {"b": 2, "a": 1}));
        let document = |value: &str| doc! {"type": "password", "value": value};
        let with = |key: &str, value: &str| redacted(&redaction(&[], Some(key)), &document(value));
        assert_eq!(with("k", "a"), with("k", "a"));
        assert_ne!(with("k", "a"), with("k", "b"));
        assert_ne!(with("k", "a"), with("l", "a"));
        assert!(with("k", "a").get_str("value").unwrap().starts_with("hmac-sha256:"));
    }
}
