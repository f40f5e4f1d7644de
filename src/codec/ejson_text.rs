//! Writes BSON as MongoDB Extended JSON v2
//! (<https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>),
//! or as the plain JSON of the Data API's responses.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bson::raw::{RawArray, RawBsonRef, RawDocument};
use bson::spec::ElementType;
use bson::{DateTime, RawDocumentBuf};

use super::{MAX_DEPTH, invalid_bson};
use crate::error::Result;

/// The JSON format of BSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Canonical Extended JSON, which preserves all types.
    Canonical,
    /// Relaxed Extended JSON, with JSON numbers and ISO dates where no information is lost.
    Relaxed,
    /// The Data API's `application/json`, without type wrappers.
    Plain,
}

/// 0001-01-01 and 10000-01-01, in milliseconds since 1970.
const YEAR_1: i64 = -62_135_596_800_000;
const YEAR_10000: i64 = 253_402_300_800_000;

/// Writes a document as JSON text.
///
/// # Errors
/// `InvalidBson` if the bytes are not valid BSON or nested too deeply.
pub fn write_document(out: &mut Vec<u8>, document: &RawDocument, style: Style) -> Result<()> {
    write_document_at(out, document, style, 0)
}

/// Writes one value as JSON text.
///
/// # Errors
/// As [`write_document`].
pub fn write_value(out: &mut Vec<u8>, value: RawBsonRef<'_>, style: Style) -> Result<()> {
    write_value_at(out, value, style, 0)
}

fn write_document_at(out: &mut Vec<u8>, document: &RawDocument, style: Style, depth: usize) -> Result<()> {
    write_elements(out, document.as_bytes(), false, style, depth)
}

fn write_array_at(out: &mut Vec<u8>, array: &RawArray, style: Style, depth: usize) -> Result<()> {
    write_elements(out, array.as_bytes(), true, style, depth)
}

/// Writes the bytes of a document or an array, in one pass. The frequent types are read in place; the others by the
/// bson crate.
fn write_elements(out: &mut Vec<u8>, bytes: &[u8], is_array: bool, style: Style, depth: usize) -> Result<()> {
    let depth = deeper(depth)?;
    let malformed = || invalid_bson("an element is malformed");
    let (open, close) = if is_array { (b'[', b']') } else { (b'{', b'}') };
    let mut rest = bytes.get(4..).ok_or_else(malformed)?;
    let mut separator = open;
    loop {
        let (kind, after) = rest.split_first().ok_or_else(malformed)?;
        if *kind == 0 && after.is_empty() {
            break;
        }
        out.push(std::mem::replace(&mut separator, b','));
        let end = memchr::memchr(0, after).ok_or_else(malformed)?;
        if !is_array {
            write_utf8(out, &after[..end])?;
            out.push(b':');
        }
        let kind = ElementType::from(*kind).ok_or_else(malformed)?;
        let after = &after[end + 1..];
        let (value, next) =
            value_size(kind, after).and_then(|size| after.split_at_checked(size)).ok_or_else(malformed)?;
        match kind {
            // Without its length and its NUL.
            ElementType::String => write_utf8(out, &value[4..value.len() - 1])?,
            ElementType::EmbeddedDocument => write_elements(out, value, false, style, depth)?,
            ElementType::Array => write_elements(out, value, true, style, depth)?,
            ElementType::Int32 => write_int32(out, i32::from_le_bytes(fixed(value)?), style),
            ElementType::Int64 => write_int64(out, i64::from_le_bytes(fixed(value)?), style),
            ElementType::Double => write_double(out, f64::from_le_bytes(fixed(value)?), style),
            ElementType::DateTime => {
                write_date(out, DateTime::from_millis(i64::from_le_bytes(fixed(value)?)), style);
            }
            ElementType::ObjectId => write_object_id(out, fixed(value)?, style),
            ElementType::Boolean if value == [0] => out.extend_from_slice(b"false"),
            ElementType::Boolean if value == [1] => out.extend_from_slice(b"true"),
            ElementType::Null => out.extend_from_slice(b"null"),
            _ => write_other(out, kind, value, style, depth)?,
        }
        rest = next;
    }
    if separator == open {
        out.push(open);
    }
    out.push(close);
    Ok(())
}

/// Returns the size of a value that begins with these bytes. `None` if its size cannot be valid.
fn value_size(kind: ElementType, bytes: &[u8]) -> Option<usize> {
    let length = || usize::try_from(i32::from_le_bytes(*bytes.first_chunk()?)).ok();
    let text = || length().filter(|length| *length > 0 && bytes.get(3 + length) == Some(&0)).map(|length| length + 4);
    Some(match kind {
        ElementType::Double | ElementType::DateTime | ElementType::Timestamp | ElementType::Int64 => 8,
        ElementType::String | ElementType::JavaScriptCode | ElementType::Symbol => text()?,
        ElementType::EmbeddedDocument | ElementType::Array | ElementType::JavaScriptCodeWithScope => {
            length().filter(|length| *length >= 5)?
        }
        ElementType::Binary => length()?.checked_add(5)?,
        ElementType::Undefined | ElementType::Null | ElementType::MinKey | ElementType::MaxKey => 0,
        ElementType::ObjectId => 12,
        ElementType::Boolean => 1,
        ElementType::RegularExpression => {
            let pattern = memchr::memchr(0, bytes)? + 1;
            pattern + memchr::memchr(0, &bytes[pattern..])? + 1
        }
        ElementType::DbPointer => text()?.checked_add(12)?,
        ElementType::Int32 => 4,
        ElementType::Decimal128 => 16,
    })
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N]> {
    value.try_into().map_err(invalid_bson)
}

/// Writes a value of a rare type.
fn write_other(out: &mut Vec<u8>, kind: ElementType, value: &[u8], style: Style, depth: usize) -> Result<()> {
    // A document of its own, with an empty name.
    let mut holder = Vec::with_capacity(value.len() + 7);
    let length = i32::try_from(value.len() + 7).map_err(invalid_bson)?;
    holder.extend_from_slice(&length.to_le_bytes());
    holder.extend_from_slice(&[kind as u8, 0]);
    holder.extend_from_slice(value);
    holder.push(0);
    let holder = RawDocument::from_bytes(&holder).map_err(invalid_bson)?;
    let (_, value) =
        holder.iter().next().ok_or_else(|| invalid_bson("an element is malformed"))?.map_err(invalid_bson)?;
    write_value_at(out, value, style, depth)
}

/// Writes a JSON string.
fn write_utf8(out: &mut Vec<u8>, text: &[u8]) -> Result<()> {
    let plain = |byte: u8| (b' '..0x80).contains(&byte) & (byte != b'"') & (byte != b'\\');
    if text.iter().fold(true, |all, byte| all & plain(*byte)) {
        quote(out, text);
    } else {
        write_text(out, std::str::from_utf8(text).map_err(invalid_bson)?);
    }
    Ok(())
}

/// Writes a text without characters that JSON escapes.
fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn deeper(depth: usize) -> Result<usize> {
    if depth >= MAX_DEPTH {
        return Err(invalid_bson(format_args!("nested more than {MAX_DEPTH} levels deep")));
    }
    Ok(depth + 1)
}

fn write_value_at(out: &mut Vec<u8>, value: RawBsonRef<'_>, style: Style, depth: usize) -> Result<()> {
    let plain = style == Style::Plain;
    match value {
        RawBsonRef::Double(value) => write_double(out, value, style),
        RawBsonRef::String(text) => write_text(out, text),
        RawBsonRef::Document(document) => write_document_at(out, document, style, depth)?,
        RawBsonRef::Array(array) => write_array_at(out, array, style, depth)?,
        RawBsonRef::Binary(binary) => write_binary(out, u8::from(binary.subtype), binary.bytes, style),
        RawBsonRef::Undefined if plain => out.extend_from_slice(b"null"),
        RawBsonRef::Undefined => out.extend_from_slice(br#"{"$undefined":true}"#),
        RawBsonRef::ObjectId(id) => write_object_id(out, id.bytes(), style),
        RawBsonRef::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        RawBsonRef::DateTime(date) => write_date(out, date, style),
        RawBsonRef::Null => out.extend_from_slice(b"null"),
        RawBsonRef::RegularExpression(regex) => {
            let names = if plain {
                [r#"{"Pattern":"#, r#","Options":"#, "}"]
            } else {
                [r#"{"$regularExpression":{"pattern":"#, r#","options":"#, "}}"]
            };
            let mut options: Vec<char> = regex.options.as_str().chars().collect();
            options.sort_unstable();
            out.extend_from_slice(names[0].as_bytes());
            write_text(out, regex.pattern.as_str());
            out.extend_from_slice(names[1].as_bytes());
            write_text(out, &String::from_iter(options));
            out.extend_from_slice(names[2].as_bytes());
        }
        RawBsonRef::DbPointer(_) => write_db_pointer(out, value, style)?,
        RawBsonRef::JavaScriptCode(code) if plain => write_text(out, code),
        RawBsonRef::JavaScriptCode(code) => write_wrapped(out, "$code", code),
        RawBsonRef::Symbol(text) if plain => write_text(out, text),
        RawBsonRef::Symbol(text) => write_wrapped(out, "$symbol", text),
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            let names = if plain { [r#"{"Code":"#, r#","Scope":"#] } else { [r#"{"$code":"#, r#","$scope":"#] };
            out.extend_from_slice(names[0].as_bytes());
            write_text(out, code.code);
            out.extend_from_slice(names[1].as_bytes());
            write_document_at(out, code.scope, style, depth)?;
            out.push(b'}');
        }
        RawBsonRef::Int32(value) => write_int32(out, value, style),
        RawBsonRef::Int64(value) => write_int64(out, value, style),
        RawBsonRef::Timestamp(stamp) => {
            let names =
                if plain { [r#"{"T":"#, r#","I":"#, "}"] } else { [r#"{"$timestamp":{"t":"#, r#","i":"#, "}}"] };
            put(out, format_args!("{}{}{}{}{}", names[0], stamp.time, names[1], stamp.increment, names[2]));
        }
        RawBsonRef::Decimal128(value) if plain => write_text(out, &value.to_string()),
        RawBsonRef::Decimal128(value) => write_wrapped(out, "$numberDecimal", &value.to_string()),
        RawBsonRef::MinKey => out.extend_from_slice(br#"{"$minKey":1}"#),
        RawBsonRef::MaxKey => out.extend_from_slice(br#"{"$maxKey":1}"#),
    }
    Ok(())
}

/// Writes formatted text, which cannot fail for a `Vec`.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    drop(out.write_fmt(text));
}

/// Writes a JSON string.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\')) {
        quote(out, text.as_bytes());
    } else {
        // Writing a str to a Vec cannot fail.
        drop(serde_json::to_writer(out, text));
    }
}

fn write_wrapped(out: &mut Vec<u8>, name: &str, text: &str) {
    put(out, format_args!("{{\"{name}\":"));
    write_text(out, text);
    out.push(b'}');
}

fn write_number(out: &mut Vec<u8>, name: &str, value: i64) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.extend_from_slice(b"\"}");
}

pub(super) fn write_int32(out: &mut Vec<u8>, value: i32, style: Style) {
    match style {
        Style::Canonical => write_number(out, "$numberInt", i64::from(value)),
        Style::Relaxed | Style::Plain => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

pub(super) fn write_int64(out: &mut Vec<u8>, value: i64, style: Style) {
    match style {
        Style::Canonical => write_number(out, "$numberLong", value),
        Style::Relaxed | Style::Plain => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

pub(super) fn write_double(out: &mut Vec<u8>, value: f64, style: Style) {
    let text = if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{value:?}")
    };
    match style {
        Style::Relaxed | Style::Plain if value.is_finite() => out.extend_from_slice(text.as_bytes()),
        Style::Plain => put(out, format_args!("\"{text}\"")),
        Style::Canonical | Style::Relaxed => put(out, format_args!("{{\"$numberDouble\":\"{text}\"}}")),
    }
}

pub(super) fn write_binary(out: &mut Vec<u8>, subtype: u8, bytes: &[u8], style: Style) {
    let data = BASE64.encode(bytes);
    match style {
        Style::Plain => put(out, format_args!("{{\"Subtype\":{subtype},\"Data\":\"{data}\"}}")),
        _ => put(out, format_args!("{{\"$binary\":{{\"base64\":\"{data}\",\"subType\":\"{subtype:02x}\"}}}}")),
    }
}

pub(super) fn write_object_id(out: &mut Vec<u8>, id: [u8; 12], style: Style) {
    let mut hex = [0; 24];
    for (digits, byte) in hex.chunks_exact_mut(2).zip(id) {
        digits.copy_from_slice(&[byte >> 4, byte & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
    match style {
        Style::Plain => quote(out, &hex),
        _ => {
            out.extend_from_slice(br#"{"$oid":"#);
            quote(out, &hex);
            out.push(b'}');
        }
    }
}

fn write_date(out: &mut Vec<u8>, date: DateTime, style: Style) {
    let millis = date.timestamp_millis();
    // Relaxed EJSON uses ISO 8601 only for the years 1970 to 9999. Plain JSON uses it for all years
    // with four digits.
    let earliest = if style == Style::Plain { YEAR_1 } else { 0 };
    let iso = (style != Style::Canonical && (earliest..YEAR_10000).contains(&millis))
        .then(|| date.try_to_rfc3339_string().ok())
        .flatten();
    match (style, iso) {
        (Style::Plain, Some(iso)) => write_text(out, &iso),
        (Style::Plain, None) => put(out, format_args!("{millis}")),
        (_, Some(iso)) => write_wrapped(out, "$date", &iso),
        (_, None) => put(out, format_args!("{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}")),
    }
}

fn write_db_pointer(out: &mut Vec<u8>, value: RawBsonRef<'_>, style: Style) -> Result<()> {
    // The bson crate does not expose the fields of a DBPointer. Its bytes are a string (length, text,
    // NUL) and an ObjectId of 12 bytes.
    let mut holder = RawDocumentBuf::new();
    holder.append(bson::cstr!("p"), value);
    let bytes = holder.as_bytes();
    let body = bytes.get(7..bytes.len().saturating_sub(1)).unwrap_or_default();
    let (Some(text), Some(id)) = (
        body.get(4..body.len().saturating_sub(13)),
        body.get(body.len().saturating_sub(12)..).and_then(|id| <[u8; 12]>::try_from(id).ok()),
    ) else {
        return Err(invalid_bson("a malformed DBPointer"));
    };
    let namespace = std::str::from_utf8(text).map_err(invalid_bson)?;
    let names = if style == Style::Plain {
        [r#"{"Ref":"#, r#","Id":"#, "}"]
    } else {
        [r#"{"$dbPointer":{"$ref":"#, r#","$id":"#, "}}"]
    };
    out.extend_from_slice(names[0].as_bytes());
    write_text(out, namespace);
    out.extend_from_slice(names[1].as_bytes());
    write_object_id(out, id, style);
    out.extend_from_slice(names[2].as_bytes());
    Ok(())
}

/// Returns the first field name in a value that makes a document look like a type wrapper.
pub fn wrapper_in(value: RawBsonRef<'_>, depth: usize) -> Option<&str> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        RawBsonRef::Document(document) => document.iter().flatten().enumerate().find_map(|(index, (name, value))| {
            let name = name.as_str();
            if index == 0 && is_wrapper(name) { Some(name) } else { wrapper_in(value, depth + 1) }
        }),
        RawBsonRef::Array(array) => array.into_iter().flatten().find_map(|value| wrapper_in(value, depth + 1)),
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            code.scope.iter().flatten().find_map(|(_, value)| wrapper_in(value, depth + 1))
        }
        _ => None,
    }
}

/// Returns whether an object whose first member has this name is the Extended JSON of a value of
/// another type, not a document.
pub fn is_wrapper(name: &str) -> bool {
    matches!(
        name,
        "$oid"
            | "$symbol"
            | "$numberInt"
            | "$numberLong"
            | "$numberDouble"
            | "$numberDecimal"
            | "$binary"
            | "$uuid"
            | "$code"
            | "$scope"
            | "$timestamp"
            | "$regularExpression"
            | "$dbPointer"
            | "$date"
            | "$minKey"
            | "$maxKey"
            | "$undefined"
    )
}
