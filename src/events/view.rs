//! Reading an object in place, in the bytes of [`super::format`].

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
/// The type of a null.
pub const NULL: u8 = 0x0a;
/// The type of an integer that needs more than 64 bits, as decimal digits
/// (see [`super::format`]).
pub const BIG_INTEGER: u8 = 0x0e;

/// The fields of the document, or the values of the array, that begins at `start`.
pub fn elements(bytes: &[u8], start: usize) -> impl Iterator<Item = (&[u8], Place)> {
    let mut position = start + 4;
    std::iter::from_fn(move || {
        let element_type = *bytes.get(position)?;
        if element_type == 0 {
            return None;
        }
        let name = position + 1;
        let (_, length) = name_at(bytes, name)?;
        let begin = name + length + 1;
        let end = begin.checked_add(size(bytes, element_type, begin)?)?;
        position = end;
        Some((bytes.get(name..name + length)?, Place { element_type, start: begin, end }))
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

/// How deep the document that begins at `start` nests; 1 for a flat one.
pub fn depth(bytes: &[u8], start: usize) -> usize {
    let below = elements(bytes, start).map(|(_, place)| match place.element_type {
        DOCUMENT | ARRAY => depth(bytes, place.start),
        _ => 0,
    });
    1 + below.max().unwrap_or(0)
}

/// The first eight bytes of a name, filled with zeros, as a number: two of them compare as the names
/// do, unless both names begin with the same eight bytes.
pub const fn prefix(name: &[u8]) -> u64 {
    let (mut prefix, mut place) = (0, 0);
    while place < 8 {
        prefix = prefix << 8 | if place < name.len() { name[place] as u64 } else { 0 };
        place += 1;
    }
    prefix
}

/// The beginning of the name at this position, as [`prefix`] has it, and its length.
#[inline]
pub fn name_at(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let rest = bytes.get(at..)?;
    if let Some(word) = rest.first_chunk().copied().map(u64::from_le_bytes) {
        if let Some(length) = zero_in(word) {
            return Some(((word & ((1 << (8 * length)) - 1)).swap_bytes(), length));
        }
        let mut length = 8;
        while let Some(next) = rest.get(length..).and_then(<[u8]>::first_chunk) {
            if let Some(more) = zero_in(u64::from_le_bytes(*next)) {
                return Some((word.swap_bytes(), length + more));
            }
            length += 8;
        }
    }
    let length = memchr::memchr(0, rest)?;
    Some((prefix(&rest[..length]), length))
}

/// The position of the first byte, from the lowest, that is zero.
#[inline]
fn zero_in(word: u64) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = word.wrapping_sub(LOW) & !word & HIGH;
    (zeros != 0).then(|| zeros.trailing_zeros() as usize / 8)
}

/// How long a value of this type is that begins at `at`.
#[inline]
pub fn size(bytes: &[u8], element_type: u8, at: usize) -> Option<usize> {
    let length = || bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes).map(|length| length as usize);
    let cstring = |at: usize| bytes.get(at..)?.iter().position(|byte| *byte == 0).map(|length| length + 1);
    match element_type {
        // double, datetime, timestamp, int64
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        // string, code, symbol
        STRING | 0x0d | BIG_INTEGER => length()?.checked_add(4),
        // document, array, code with scope
        DOCUMENT | ARRAY | 0x0f => length(),
        // binary
        0x05 => length()?.checked_add(5),
        // undefined, null, max key, min key
        0x06 | NULL | 0x7f | 0xff => Some(0),
        // object id
        0x07 => Some(12),
        // boolean
        0x08 => Some(1),
        // regular expression
        0x0b => cstring(at).and_then(|pattern| Some(pattern + cstring(at + pattern)?)),
        // db pointer
        0x0c => length()?.checked_add(16),
        // int32
        0x10 => Some(4),
        // decimal128
        0x13 => Some(16),
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
        assert_eq!(depth(bytes, 0), 3);
    }

    #[test]
    fn a_value_of_any_type_is_passed_over() {
        use bson::spec::BinarySubtype;
        let values = bson::doc! {
            "date": bson::DateTime::now(),
            "id": bson::oid::ObjectId::new(),
            "binary": bson::Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2, 3] },
            "old": bson::Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2, 3] },
            "regex": bson::Regex { pattern: bson::raw::CString::try_from("a.*").unwrap(), options: bson::raw::CString::try_from("i").unwrap() },
            "code": bson::Bson::JavaScriptCode("x".into()),
            "scope": bson::JavaScriptCodeWithScope { code: "x".into(), scope: bson::doc! {"a": 1} },
            "symbol": bson::Bson::Symbol("s".into()),
            "timestamp": bson::Timestamp { time: 1, increment: 2 },
            "decimal": "1.5".parse::<bson::Decimal128>().unwrap(),
            "min": bson::Bson::MinKey,
            "max": bson::Bson::MaxKey,
            "undefined": bson::Bson::Undefined,
            "last": true,
        };
        let raw = bson::RawDocumentBuf::try_from(&values).unwrap();
        let names: Vec<_> = elements(raw.as_bytes(), 0).map(|(name, _)| name.to_vec()).collect();
        let expected: Vec<_> = values.keys().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(names, expected);
    }
}
