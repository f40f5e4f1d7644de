//! Which record an object is: the same content is the same record, however
//! often it is delivered, and in whatever order its fields are.

use sha2::{Digest, Sha256};

use super::Form;
use super::index::{Children, Element, Index};
use crate::events::view::{ARRAY, DOCUMENT, Place};

/// The digest of an object's content, as 32 hexadecimal digits. Of two
/// objects that differ it is the same with a chance of 2^-128.
pub fn digest(index: &Index<'_>, form: Form) -> String {
    let mut canonical = Canonical::new(index, index.bytes.len());
    canonical.document(index.root());
    if form == Form::Value {
        // So that the list [1] is not the object {"payload": [1]}.
        canonical.bytes(&[0xff]);
    }
    super::hex(&Sha256::digest(canonical.written())[..16])
}

/// A value in a form that does not depend on the order of fields.
pub fn canonical(bytes: &[u8], place: Place) -> Vec<u8> {
    let mut element_type = vec![place.element_type];
    if !matches!(place.element_type, DOCUMENT | ARRAY) {
        element_type.extend_from_slice(bytes.get(place.start..place.end).unwrap_or_default());
        return element_type;
    }
    let index = Index::within(bytes, place.start);
    let mut canonical = Canonical::new(&index, place.end - place.start);
    canonical.bytes(&element_type);
    match place.element_type {
        DOCUMENT => canonical.document(index.root()),
        _ => canonical.array(index.root()),
    }
    canonical.buffer.truncate(canonical.length);
    canonical.buffer
}

/// Writes the canonical form: each document as the number of its fields and, in the order of their
/// names, since JSON has no order of fields, each field's name, NUL, type and value; each array as the
/// number of its values and each value's type and value.
struct Canonical<'i, 'b> {
    index: &'i Index<'b>,
    buffer: Vec<u8>,
    length: usize,
    /// The fields of the documents that are being written, in the order of their names.
    fields: Vec<(u64, usize)>,
}

impl<'i, 'b> Canonical<'i, 'b> {
    /// `size`: that of the BSON, which is no shorter.
    fn new(index: &'i Index<'b>, size: usize) -> Self {
        Self { index, buffer: vec![0; size + WIDTH], length: 0, fields: Vec::with_capacity(64) }
    }

    fn written(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if end > self.buffer.len() {
            self.buffer.resize(end + WIDTH, 0);
        }
        self.buffer[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Copies a part of the object. Most are short: a copy of a fixed length, beyond their end, takes less time
    /// than one of the right length.
    #[inline]
    fn copy(&mut self, start: usize, end: usize) {
        let source = self.index.bytes;
        if end - start <= WIDTH
            && let Some(source) = source.get(start..).and_then(<[u8]>::first_chunk::<WIDTH>)
            && let Some(target) = self.buffer.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut::<WIDTH>)
        {
            *target = *source;
            self.length += end - start;
        } else {
            self.bytes(source.get(start..end).unwrap_or_default());
        }
    }

    fn document(&mut self, children: Children) {
        let index = self.index;
        let first = self.fields.len();
        self.fields.extend(index.iter(children).map(|(place, element)| (element.prefix, place)));
        let end = self.fields.len();
        self.fields[first..].sort_unstable_by(|one, other| {
            let name = |place: usize| index.elements().get(place).map(|element| index.name(element));
            one.0.cmp(&other.0).then_with(|| name(one.1).cmp(&name(other.1)))
        });
        self.bytes(&((end - first) as u32).to_le_bytes());
        for at in first..end {
            let place = self.fields[at].1;
            let element = &index.elements()[place];
            let Place { start, .. } = element.place();
            // With the NUL that ends it.
            self.copy(start - element.name_length() - 1, start);
            self.value(place, element);
        }
        self.fields.truncate(first);
    }

    fn array(&mut self, children: Children) {
        let index = self.index;
        self.bytes(&(index.iter(children).count() as u32).to_le_bytes());
        for (place, element) in index.iter(children) {
            self.value(place, element);
        }
    }

    #[inline]
    fn value(&mut self, place: usize, element: &Element) {
        self.bytes(&[element.element_type]);
        match element.element_type {
            DOCUMENT => self.document(self.index.children(place, element)),
            ARRAY => self.array(self.index.children(place, element)),
            _ => {
                let Place { start, end, .. } = element.place();
                self.copy(start, end);
            }
        }
    }
}

/// The length of a copy of fixed length.
const WIDTH: usize = 32;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::events::view;

    fn of(document: &bson::RawDocumentBuf) -> String {
        digest(&Index::new(document.as_bytes()), Form::Fields)
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
        assert_ne!(of(&a), digest(&Index::new(a.as_bytes()), Form::Value));
    }

    /// Users have records with these: another version of this package must find the same.
    #[test]
    fn digests_never_change() {
        let object = bson::rawdoc! {
            "id": "PR-1", "type": "purchase",
            "asset": {
                "id": "AS-1", "external_uid": "u", "external_id": "e",
                "params": [{"id": "a", "value": ""}, [1, 2.5, true, null]],
            },
            "n": 5_000_000_000_i64, "aaaaaaaab": 1, "aaaaaaaaa": 2, "é": {},
        };
        assert_eq!(of(&object), "6e13ed6a4839c96bb5f67b4d8e90adfb");
        let list = bson::rawdoc! {"payload": [1, {"b": 1, "a": 2}]};
        assert_eq!(digest(&Index::new(list.as_bytes()), Form::Value), "2780f49c263da482c5c806af23d23898");
        let sample: bson::Document =
            serde_json::from_str(include_str!("../../demo/samples/asset-purchase-request.json")).unwrap();
        let sample = bson::RawDocumentBuf::try_from(&sample).unwrap();
        assert_eq!(of(&sample), "4894527075e04d03aa5b022107d1164e");
    }

    #[test]
    fn the_canonical_form_is_the_same_wherever_a_value_is() {
        let raw = bson::rawdoc! {"a": {"c": [1, {"e": "x".repeat(100), "d": 1}], "b": null}, "t": "text"};
        let place = |name: &str| view::field(raw.as_bytes(), 0, name).unwrap();
        let other = bson::rawdoc! {"x": "x", "a": {"b": null, "c": [1, {"d": 1, "e": "x".repeat(100)}]}, "t": "text"};
        for name in ["a", "t"] {
            let there = view::field(other.as_bytes(), 0, name).unwrap();
            assert_eq!(canonical(raw.as_bytes(), place(name)), canonical(other.as_bytes(), there), "{name}");
        }
        let mut expected = vec![ARRAY, 2, 0, 0, 0, 0x10, 1, 0, 0, 0, DOCUMENT, 2, 0, 0, 0];
        expected.extend_from_slice(b"d\0\x10\x01\0\0\0e\0\x02\x65\0\0\0");
        expected.extend_from_slice("x".repeat(100).as_bytes());
        expected.push(0);
        let c = view::field(raw.as_bytes(), place("a").start, "c").unwrap();
        assert_eq!(canonical(raw.as_bytes(), c), expected);
    }
}
