//! Which record an object is: the same content is the same record, however
//! often it is delivered, and in whatever order its fields are.

use sha2::{Digest, Sha256};

use super::Form;
use crate::events::view::{self, ARRAY, DOCUMENT};

/// The digest of an object's content, as 32 hexadecimal digits. Of two
/// objects that differ it is the same with a chance of 2^-128.
pub fn digest(bytes: &[u8], form: Form) -> String {
    let mut canonical = Vec::with_capacity(bytes.len() + 1);
    document(bytes, 0, &mut canonical);
    if form == Form::Value {
        // So that the list [1] is not the object {"payload": [1]}.
        canonical.push(0xff);
    }
    super::hex(&Sha256::digest(&canonical)[..16])
}

/// A value in a form that does not depend on the order of fields.
pub fn canonical(bytes: &[u8], place: view::Place) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(place.end - place.start + 8);
    value(bytes, place, &mut canonical);
    canonical
}

/// The fields of a document by their names, since JSON has no order of fields.
fn document(bytes: &[u8], start: usize, out: &mut Vec<u8>) {
    let mut fields: Vec<_> = view::elements(bytes, start).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    out.extend_from_slice(&(fields.len() as u32).to_le_bytes());
    for (name, place) in fields {
        out.extend_from_slice(name);
        out.push(0);
        value(bytes, place, out);
    }
}

fn value(bytes: &[u8], place: view::Place, out: &mut Vec<u8>) {
    out.push(place.element_type);
    match place.element_type {
        DOCUMENT => document(bytes, place.start, out),
        ARRAY => {
            let count = out.len();
            out.extend_from_slice(&[0; 4]);
            let mut length = 0_u32;
            for (_, place) in view::elements(bytes, place.start) {
                value(bytes, place, out);
                length += 1;
            }
            out[count..count + 4].copy_from_slice(&length.to_le_bytes());
        }
        _ => out.extend_from_slice(bytes.get(place.start..place.end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(document: &bson::RawDocumentBuf) -> String {
        digest(document.as_bytes(), Form::Fields)
    }

    #[test]
    fn order_of_fields_does_not_matter_and_all_else_does() {
        let a = bson::rawdoc! {"id": "x", "a": {"b": 1, "c": [1, 2]}};
        let b = bson::rawdoc! {"a": {"c": [1, 2], "b": 1}, "id": "x"};
        assert_eq!(of(&a), of(&b));
        assert_eq!(of(&a).len(), 32);
        for other in [
            bson::rawdoc! {"id": "x", "a": {"b": 1, "c": [2, 1]}},
            bson::rawdoc! {"id": "x", "a": {"b": "1", "c": [1, 2]}},
            bson::rawdoc! {"id": "x", "a": {"b": 1.0, "c": [1, 2]}},
            bson::rawdoc! {"id": "x", "a": {"b": 1, "c": [1, 2], "d": null}},
            bson::rawdoc! {"id": "x", "a": {"b": 1}, "c": [1, 2]},
            bson::rawdoc! {"id": "x", "a": {"b": 1, "c": [1], "": 2}},
        ] {
            assert_ne!(of(&a), of(&other));
        }
        assert_ne!(of(&a), digest(a.as_bytes(), Form::Value));
    }
}
