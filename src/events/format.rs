//! The bytes that an object is kept as: BSON, with three extensions, so that
//! every JSON object has a form.
//!
//! - A string or a name may hold a lone surrogate, as Python's `json` reads
//!   `"\ud800"`: three bytes, as UTF-8 would have it if it allowed surrogates.
//! - A name may hold NUL, as the two bytes `C0 80`.
//! - An integer that needs more than 64 bits is an element of type
//!   [`BIG_INTEGER`](super::view::BIG_INTEGER) with its decimal digits.
//!
//! None of them may reach MongoDB: an object with one of the first two is stored as
//! JSON text, one with the third cannot be stored. Objects without them are plain BSON.

use std::borrow::Cow;
use std::fmt::Write as _;

use bson::RawDocument;

use super::view::{self, ARRAY, BIG_INTEGER, DOCUMENT, NULL, Place, STRING};
use crate::codec::ejson;

/// A NUL in a name.
const NUL: [u8; 2] = [0xc0, 0x80];

/// A name as it is kept. `name` is UTF-8, lone surrogates included.
pub fn name(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&0) {
        return Cow::Borrowed(name);
    }
    let mut kept = Vec::with_capacity(name.len() + 4);
    for byte in name {
        match byte {
            0 => kept.extend_from_slice(&NUL),
            byte => kept.push(*byte),
        }
    }
    Cow::Owned(kept)
}

/// A kept name as UTF-8, lone surrogates included.
pub fn original_name(kept: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(NUL[0], kept).is_none() {
        return Cow::Borrowed(kept);
    }
    let mut name = Vec::with_capacity(kept.len());
    let mut rest = kept;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == NUL[0] && after.first() == Some(&NUL[1]) {
            name.push(0);
            rest = &after[1..];
        } else {
            name.push(*byte);
        }
    }
    Cow::Owned(name)
}

/// Writes a value as JSON text, as Python's `json` reads it back. A value of a type
/// that JSON lacks is written as relaxed Extended JSON, such as `{"$oid": "…"}`.
pub fn write_json(out: &mut String, bytes: &[u8], place: Place) {
    let value = bytes.get(place.start..place.end).unwrap_or_default();
    match place.element_type {
        DOCUMENT => {
            out.push('{');
            for (position, (name, place)) in view::elements(bytes, place.start).enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                write_text(out, &original_name(name));
                out.push_str(": ");
                write_json(out, bytes, place);
            }
            out.push('}');
        }
        ARRAY => {
            out.push('[');
            for (position, (_, place)) in view::elements(bytes, place.start).enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                write_json(out, bytes, place);
            }
            out.push(']');
        }
        STRING => write_text(out, string(value)),
        BIG_INTEGER => out.push_str(std::str::from_utf8(string(value)).unwrap_or("null")),
        0x01 => {
            let number = value.try_into().map_or(f64::NAN, f64::from_le_bytes);
            // As Python's `json` writes what JSON has no number for.
            if number.is_nan() {
                out.push_str("NaN");
            } else if number.is_infinite() {
                out.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
            } else {
                // Always with a point or an exponent, so that it is read as a float.
                let _ = write!(out, "{number:?}");
            }
        }
        0x08 => out.push_str(if value == [1] { "true" } else { "false" }),
        0x10 => {
            let _ = write!(out, "{}", value.try_into().map_or(0, i32::from_le_bytes));
        }
        0x12 => {
            let _ = write!(out, "{}", value.try_into().map_or(0, i64::from_le_bytes));
        }
        NULL => out.push_str("null"),
        element_type => write_extended(out, element_type, value),
    }
}

/// The whole of a document as JSON text.
pub fn document_json(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 4);
    write_json(&mut out, bytes, Place { element_type: DOCUMENT, start: 0, end: bytes.len() });
    out
}

/// A string's text, without its length and the NUL at its end.
pub fn string(value: &[u8]) -> &[u8] {
    value.get(4..value.len().saturating_sub(1)).unwrap_or_default()
}

fn write_text(out: &mut String, text: &[u8]) {
    out.push('"');
    let mut rest = text;
    while !rest.is_empty() {
        let (valid, broken) = match std::str::from_utf8(rest) {
            Ok(valid) => (valid, &[][..]),
            Err(error) => {
                let (valid, broken) = rest.split_at(error.valid_up_to());
                (std::str::from_utf8(valid).unwrap_or_default(), broken)
            }
        };
        for character in valid.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                control if u32::from(control) < 0x20 => {
                    let _ = write!(out, "\\u{:04x}", u32::from(control));
                }
                other => out.push(other),
            }
        }
        // What is left begins with a surrogate.
        rest = match broken {
            [first @ 0xed, second, third, after @ ..] => {
                let unit = u32::from(first & 0x0f) << 12 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                let _ = write!(out, "\\u{unit:04x}");
                after
            }
            [_, after @ ..] => {
                out.push('\u{fffd}');
                after
            }
            [] => &[],
        };
    }
    out.push('"');
}

/// Writes a value that JSON has no type for.
fn write_extended(out: &mut String, element_type: u8, value: &[u8]) {
    let mut document = Vec::with_capacity(value.len() + 8);
    document.extend_from_slice(&(value.len() as u32 + 8).to_le_bytes());
    document.extend_from_slice(&[element_type, b'v', 0]);
    document.extend_from_slice(value);
    document.push(0);
    let mut text = Vec::new();
    let written = RawDocument::from_bytes(&document)
        .ok()
        .and_then(|document| document.get("v").ok().flatten())
        .and_then(|value| ejson::write_value(&mut text, value, ejson::Style::Relaxed).ok());
    match (written, std::str::from_utf8(&text)) {
        (Some(()), Ok(text)) => out.push_str(text),
        _ => out.push_str("null"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_with_nul_come_back() {
        for text in ["", "a", "a\0b", "\0\0", "é\0"] {
            let kept = name(text.as_bytes());
            assert!(!kept.contains(&0));
            assert_eq!(&*original_name(&kept), text.as_bytes());
        }
    }

    #[test]
    fn json_is_what_python_reads_back() {
        let raw = bson::rawdoc! {
            "a": [1, 5_000_000_000_i64, 1.0, 1e300, f64::INFINITY, true, null, "é\"\\\n\u{1}"],
            "b": {"c": {}}, "d": bson::oid::ObjectId::from_bytes([1; 12]),
        };
        assert_eq!(
            document_json(raw.as_bytes()),
            "{\"a\": [1, 5000000000, 1.0, 1e300, Infinity, true, null, \"é\\\"\\\\\\n\\u0001\"], \
             \"b\": {\"c\": {}}, \"d\": {\"$oid\":\"010101010101010101010101\"}}"
        );
    }

    #[test]
    fn lone_surrogates_are_escaped() {
        let mut out = String::new();
        write_text(&mut out, b"a\xed\xa0\x80b\xed\xb0\x80");
        assert_eq!(out, r#""a\ud800b\udc00""#);
    }
}
