//! Reading an object where it lies: BSON of JSON's types only, which has been checked.

/// A value in the bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its type in BSON.
    pub element_type: u8,
    /// Where it begins.
    pub start: usize,
    /// Where what comes after it begins.
    pub end: usize,
}

/// The type of an embedded document.
pub const DOCUMENT: u8 = 0x03;
/// The type of an array.
pub const ARRAY: u8 = 0x04;
/// The type of a string.
pub const STRING: u8 = 0x02;

/// The fields of the document, or the values of the array, that begins at `start`.
pub fn elements(bytes: &[u8], start: usize) -> impl Iterator<Item = (&[u8], Place)> {
    let mut position = start + 4;
    std::iter::from_fn(move || {
        let element_type = *bytes.get(position)?;
        if element_type == 0 {
            return None;
        }
        let name = bytes.get(position + 1..)?;
        let length = name.iter().position(|byte| *byte == 0)?;
        let begin = position + length + 2;
        let end = begin.checked_add(size(bytes, element_type, begin)?)?;
        position = end;
        Some((&name[..length], Place { element_type, start: begin, end }))
    })
}

/// The value of a field of the document that begins at `start`.
pub fn field(bytes: &[u8], start: usize, name: &str) -> Option<Place> {
    elements(bytes, start).find(|(known, _)| *known == name.as_bytes()).map(|(_, place)| place)
}

/// A string's text.
pub fn text(bytes: &[u8], place: Place) -> Option<&str> {
    if place.element_type != STRING {
        return None;
    }
    std::str::from_utf8(bytes.get(place.start + 4..place.end - 1)?).ok()
}

fn size(bytes: &[u8], element_type: u8, at: usize) -> Option<usize> {
    let length = || bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes).map(|length| length as usize);
    match element_type {
        0x01 | 0x12 => Some(8),
        STRING => length()?.checked_add(4),
        DOCUMENT | ARRAY => length(),
        0x08 => Some(1),
        0x0a => Some(0),
        0x10 => Some(4),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_where_they_lie() {
        let raw = bson::rawdoc! {"a": 1, "b": {"c": [true, "é", null]}, "d": 2.5, "e": 5_i64};
        let bytes = raw.as_bytes();
        let names: Vec<_> = elements(bytes, 0).map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [b"a", b"b", b"d", b"e"]);
        let b = field(bytes, 0, "b").unwrap();
        let c = field(bytes, b.start, "c").unwrap();
        let values: Vec<_> = elements(bytes, c.start).map(|(_, place)| place).collect();
        assert_eq!(values.len(), 3);
        assert_eq!(text(bytes, values[1]), Some("é"));
        assert_eq!(field(bytes, 0, "x"), None);
    }
}
