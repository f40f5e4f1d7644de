//! Where the elements of an object are. One walk over its bytes finds them; redaction, the digest
//! and the fields of the metadata then need no walk of their own.

use crate::events::view::{self, ARRAY, DOCUMENT, Place, name_at, prefix};

/// A field of a document, or a value of an array.
#[derive(Debug, Clone, Copy)]
pub struct Element {
    /// The beginning of its name, as [`prefix`] has it.
    pub prefix: u64,
    name: u32,
    name_length: u32,
    start: u32,
    end: u32,
    /// The position in the index of what comes after it and after what it contains.
    next: u32,
    /// Its type in BSON.
    pub element_type: u8,
}

impl Element {
    /// The length of its name in bytes.
    pub fn name_length(&self) -> usize {
        self.name_length as usize
    }

    /// Its value.
    pub fn place(&self) -> Place {
        Place { element_type: self.element_type, start: self.start as usize, end: self.end as usize }
    }
}

/// A name that is looked up.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    text: &'static str,
    prefix: u64,
}

impl Name {
    /// The name of this text.
    pub const fn new(text: &'static str) -> Self {
        Self { text, prefix: prefix(text.as_bytes()) }
    }
}

/// The fields of a document, or the values of an array.
#[derive(Debug, Clone, Copy)]
pub struct Children {
    place: usize,
    end: usize,
}

/// The elements of a document, each before what it contains.
pub struct Index<'b> {
    /// The bytes of the object.
    pub bytes: &'b [u8],
    elements: Vec<Element>,
}

impl<'b> Index<'b> {
    /// The elements of the document that is these bytes.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self::within(bytes, 0)
    }

    /// The elements of the document, or of the array, that begins at `start`.
    pub fn within(bytes: &'b [u8], start: usize) -> Self {
        // No element of an object that is stored is beyond this: the object would be too large.
        let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
        let mut elements = Vec::with_capacity((bytes.len().saturating_sub(start) / 20).clamp(8, 1 << 16));
        add(bytes, start + 4, &mut elements);
        Self { bytes, elements }
    }

    /// The index of the same elements in a copy of the bytes.
    pub fn of_copy(bytes: &'b [u8], elements: Vec<Element>) -> Self {
        Self { bytes, elements }
    }

    /// The elements without the bytes.
    pub fn into_elements(self) -> Vec<Element> {
        self.elements
    }

    /// All elements, each before what it contains.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The elements of the document itself.
    pub fn root(&self) -> Children {
        Children { place: 0, end: self.elements.len() }
    }

    /// What a document or an array contains.
    pub fn children(&self, place: usize, element: &Element) -> Children {
        Children { place: place + 1, end: element.next as usize }
    }

    /// The elements, each with its position in the index.
    pub fn iter(&self, children: Children) -> impl Iterator<Item = (usize, &Element)> {
        let Children { mut place, end } = children;
        std::iter::from_fn(move || {
            if place >= end {
                return None;
            }
            let element = self.elements.get(place)?;
            let found = (place, element);
            place = element.next as usize;
            Some(found)
        })
    }

    /// The name of an element.
    pub fn name(&self, element: &Element) -> &'b [u8] {
        let start = element.name as usize;
        self.bytes.get(start..start + element.name_length()).unwrap_or_default()
    }

    /// The field of this name.
    pub fn field(&self, children: Children, name: &Name) -> Option<(usize, &Element)> {
        self.iter(children).find(|(_, element)| {
            element.prefix == name.prefix
                && element.name_length() == name.text.len()
                && (name.text.len() <= 8 || self.name(element) == name.text.as_bytes())
        })
    }

    /// The text at a path, if there is one that is not empty.
    pub fn text(&self, path: &[Name]) -> Option<&'b str> {
        let (last, above) = path.split_last()?;
        let mut children = self.root();
        for step in above {
            let (place, element) = self.field(children, step)?;
            if element.element_type != DOCUMENT {
                return None;
            }
            children = self.children(place, element);
        }
        let (_, element) = self.field(children, last)?;
        view::text(self.bytes, element.place()).filter(|text| !text.is_empty())
    }
}

fn add(bytes: &[u8], mut position: usize, elements: &mut Vec<Element>) {
    while let Some(element_type) = bytes.get(position).copied().filter(|element_type| *element_type != 0) {
        let name = position + 1;
        let Some((prefix, length)) = name_at(bytes, name) else { return };
        let start = name + length + 1;
        let Some(end) = view::size(bytes, element_type, start).and_then(|size| start.checked_add(size)) else { return };
        if end > bytes.len() {
            return;
        }
        let place = elements.len();
        elements.push(Element {
            prefix,
            name: name as u32,
            name_length: length as u32,
            start: start as u32,
            end: end as u32,
            next: place as u32 + 1,
            element_type,
        });
        if matches!(element_type, DOCUMENT | ARRAY) {
            add(bytes, start + 4, elements);
            elements[place].next = elements.len() as u32;
        }
        position = end;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_the_elements_that_a_walk_finds() {
        fn walk(bytes: &[u8], start: usize, found: &mut Vec<(Vec<u8>, Place)>) {
            for (name, place) in view::elements(bytes, start) {
                found.push((name.to_vec(), place));
                if matches!(place.element_type, DOCUMENT | ARRAY) {
                    walk(bytes, place.start, found);
                }
            }
        }
        let raw = bson::rawdoc! {
            "": 1, "a": {"1234567": true, "12345678": [1.5, {"123456789": null}], "é": {}}, "0123456789abcdef": "x",
            "0123456789abcdefg": [], "z": bson::oid::ObjectId::from_bytes([0; 12]),
        };
        let mut expected = Vec::new();
        walk(raw.as_bytes(), 0, &mut expected);
        let index = Index::new(raw.as_bytes());
        let found: Vec<_> =
            index.elements().iter().map(|element| (index.name(element).to_vec(), element.place())).collect();
        assert_eq!(found, expected);
        for element in index.elements() {
            assert_eq!(element.prefix, prefix(index.name(element)));
        }
        let names: Vec<_> = index.iter(index.root()).map(|(_, element)| index.name(element)).collect();
        assert_eq!(names, [&b""[..], b"a", b"0123456789abcdef", b"0123456789abcdefg", b"z"]);
    }

    #[test]
    fn texts_are_found_by_their_path() {
        let raw =
            bson::rawdoc! {"asset": {"external_id": "x", "external_uid": "y", "no": 1, "empty": ""}, "list": ["x"]};
        let index = Index::new(raw.as_bytes());
        let at = |path: &[&'static str]| index.text(&path.iter().map(|name| Name::new(name)).collect::<Vec<_>>());
        assert_eq!(at(&["asset", "external_id"]), Some("x"));
        assert_eq!(at(&["asset", "external_uid"]), Some("y"));
        for path in [&["asset"][..], &["asset", "no"], &["asset", "empty"], &["asset", "external"], &["list", "0"], &[]]
        {
            assert_eq!(at(path), None, "{path:?}");
        }
    }

    #[test]
    fn damaged_bytes_end_the_index() {
        let raw = bson::rawdoc! {"a": "text", "b": {"c": [1, 2]}};
        for length in 0..raw.as_bytes().len() {
            let index = Index::new(&raw.as_bytes()[..length]);
            assert!(index.elements().iter().all(|element| element.place().end <= length));
        }
    }
}
