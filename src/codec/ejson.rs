//! Parses MongoDB Extended JSON v2 into BSON
//! (<https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md>).
//! [`super::ejson_text`] is the opposite direction.
//!
//! [`parse_any_version`] also accepts the forms of version 1 that MongoDB's services and older drivers write.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bson::oid::ObjectId;
use bson::spec::ElementType;
use bson::{DateTime, Decimal128, RawDocumentBuf};
use serde_core::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

pub use super::ejson_text::{Style, is_wrapper, wrapper_in, write_document, write_text, write_value};
use super::invalid_bson;
use super::writer::{BsonWriter, Key, Sink};
use crate::error::{Error, ErrorKind, Result};

/// The maximum nesting depth that is parsed, as in MongoDB.
const MAX_PARSED_DEPTH: usize = 200;

/// The maximum size of the resulting BSON in bytes, which exceeds MongoDB's maximum message size.
const MAX_PARSED_SIZE: usize = 64 * 1024 * 1024;

/// The accepted type wrappers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Those of Extended JSON v2.
    Two,
    /// Those of v2, and of v1: `{"$date": 0}`, `{"$date": "…+0100"}`, `{"$binary": "…", "$type": "00"}` and
    /// `{"$uuid": "…"}` without hyphens.
    Any,
}

/// Parses a document from canonical or relaxed EJSON. Nesting is limited
/// to 200 levels, as in MongoDB, and the size of the BSON to 64 MiB.
///
/// # Errors
/// `InvalidBson` with the cause, the line and the column.
pub fn parse_document(text: &[u8]) -> Result<RawDocumentBuf> {
    parse(text, Version::Two)
}

/// As [`parse_document`], but also accepts the forms of Extended JSON v1 that v2 does not have. What v2 accepts has the
/// same result. `{"$regex": …, "$options": …}` remains a document: it is also a query operator.
///
/// # Errors
/// As [`parse_document`].
pub fn parse_any_version(text: &[u8]) -> Result<RawDocumentBuf> {
    parse(text, Version::Any)
}

fn parse(text: &[u8], version: Version) -> Result<RawDocumentBuf> {
    let mut out = BsonWriter::with_capacity(estimated_size(text));
    let mut source = serde_json::Deserializer::from_slice(text);
    // The visitors below limit the depth.
    source.disable_recursion_limit();
    Root { out: &mut out, depth: 0, version }
        .deserialize(&mut source)
        .and_then(|()| source.end())
        .map_err(|error| Error::new(ErrorKind::InvalidBson, format!("not Extended JSON: {error}")))?;
    RawDocumentBuf::from_bytes(out.buf).map_err(invalid_bson)
}

/// The size from which the elements of a text are counted, to estimate its size as BSON.
const LARGE_TEXT: usize = 64 * 1024;

/// Estimates how many bytes a text needs as BSON: the exact size or more if it is large, as that of `[1,1,1]`, whose
/// elements have names in BSON. Smaller texts are not counted.
pub fn estimated_size(text: &[u8]) -> usize {
    // The type, the name of an array's element, and a value that is longer than its text.
    const PER_ELEMENT: usize = 16;
    let mut size = text.len() + 16;
    if text.len() >= LARGE_TEXT {
        size += PER_ELEMENT * memchr::memchr3_iter(b',', b'[', b'{', text).count();
    }
    size.min(MAX_PARSED_SIZE)
}

/// A member's name, which is part of the text unless it contains an escape sequence.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> std::result::Result<Cow<'de, str>, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> std::result::Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> std::result::Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

struct Root<'w> {
    out: &'w mut BsonWriter,
    depth: usize,
    version: Version,
}

impl<'de> DeserializeSeed<'de> for Root<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> std::result::Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let mark = self.out.begin_root();
        while let Some(name) = map.next_key_seed(Name)? {
            let (key, depth, version) = (field(&name)?, self.depth, self.version);
            map.next_value_seed(Element { out: self.out, key, depth, version })?;
        }
        self.out.end(mark);
        Ok(())
    }
}

fn field<E: de::Error>(name: &str) -> std::result::Result<Key<'_>, E> {
    if name.contains('\0') { Err(E::custom("a field name contains a NUL")) } else { Ok(Key::Name(name)) }
}

struct Element<'w, 'k> {
    out: &'w mut BsonWriter,
    key: Key<'k>,
    depth: usize,
    version: Version,
}

impl Element<'_, '_> {
    fn deeper<E: de::Error>(&self) -> std::result::Result<usize, E> {
        if self.depth >= MAX_PARSED_DEPTH {
            return Err(E::custom(format_args!("nested more than {MAX_PARSED_DEPTH} levels deep")));
        }
        Ok(self.depth + 1)
    }
}

fn within_size<E: de::Error>(out: &BsonWriter) -> std::result::Result<(), E> {
    if out.buf.len() > MAX_PARSED_SIZE {
        return Err(E::custom(format_args!("larger than {MAX_PARSED_SIZE} bytes as BSON")));
    }
    Ok(())
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> std::result::Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an Extended JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        self.out.null(self.key);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<(), E> {
        self.out.boolean(self.key, value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<(), E> {
        match i32::try_from(value) {
            Ok(value) => self.out.int32(self.key, value),
            Err(_) => self.out.int64(self.key, value),
        }
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<(), E> {
        self.out.double(self.key, value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<(), E> {
        self.out.string(self.key, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let depth = self.deeper()?;
        let mark = self.out.begin(self.key, true);
        let mut index = 0;
        let version = self.version;
        while seq.next_element_seed(Element { out: self.out, key: Key::Index(index), depth, version })?.is_some() {
            within_size(self.out)?;
            index += 1;
        }
        self.out.end(mark);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let depth = self.deeper()?;
        let version = self.version;
        let first = map.next_key_seed(Name)?;
        if let Some(name) = first.as_deref().filter(|name| is_wrapper(name)) {
            let part = |name: &str| PartSeed { depth, scope: name == "$scope", version };
            let mut members = vec![(name.to_owned(), map.next_value_seed(part(name))?)];
            while let Some(name) = map.next_key::<String>()? {
                if members.len() == MAX_MEMBERS {
                    return Err(de::Error::custom(format_args!("{} has too many sibling members", members[0].0)));
                }
                let value = map.next_value_seed(part(&name))?;
                members.push((name, value));
            }
            return wrapped(self.out, self.key, &members, version).map_err(de::Error::custom);
        }
        let mark = self.out.begin(self.key, false);
        let mut next = first;
        while let Some(name) = next {
            map.next_value_seed(Element { out: self.out, key: field(&name)?, depth, version })?;
            within_size(self.out)?;
            next = map.next_key_seed(Name)?;
        }
        self.out.end(mark);
        Ok(())
    }
}

/// The maximum number of members of a type wrapper, or of an object in one.
const MAX_MEMBERS: usize = 2;

/// The content of a type wrapper. Only strings and scopes are of variable size.
enum Part {
    Text(String),
    Whole(i64),
    /// A number with a fraction or an exponent.
    Fractional(f64),
    True,
    Object(Vec<(String, Part)>),
    /// The elements of a document, as BSON.
    Scope(Vec<u8>),
    /// Any other value, which no type wrapper contains.
    Other,
}

impl Part {
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the members of an object with exactly `count` members.
    fn members(&self, count: usize) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(members) if members.len() == count => Some(members),
            _ => None,
        }
    }

    fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct PartSeed {
    depth: usize,
    scope: bool,
    version: Version,
}

impl<'de> DeserializeSeed<'de> for PartSeed {
    type Value = Part;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> std::result::Result<Part, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PartSeed {
    type Value = Part;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the content of a type wrapper")
    }

    fn visit_unit<E>(self) -> std::result::Result<Part, E> {
        Ok(Part::Other)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Part, E> {
        Ok(if value { Part::True } else { Part::Other })
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Part, E> {
        Ok(Part::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Part, E> {
        Ok(i64::try_from(value).map_or(Part::Other, Part::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Part, E> {
        Ok(Part::Fractional(value))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Part, E> {
        Ok(Part::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Part, A::Error> {
        while seq.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Part::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Part, A::Error> {
        if self.scope {
            let mut out = BsonWriter::default();
            Root { out: &mut out, depth: self.depth, version: self.version }.visit_map(map)?;
            return Ok(Part::Scope(out.buf));
        }
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            // The deepest type wrapper is {"$dbPointer": {"$id": {"$oid": "…"}}}.
            if members.len() == MAX_MEMBERS {
                return Err(de::Error::custom("a type wrapper has too many members"));
            }
            let depth = self.depth + 1;
            if depth > MAX_PARSED_DEPTH + 2 {
                return Err(de::Error::custom("a type wrapper is nested too deeply"));
            }
            let value = map.next_value_seed(Self { depth, scope: false, ..self })?;
            members.push((name, value));
        }
        Ok(Part::Object(members))
    }
}

/// Converts a type wrapper such as `{"$oid": "…"}` to BSON.
fn wrapped(
    out: &mut BsonWriter,
    key: Key<'_>,
    members: &[(String, Part)],
    version: Version,
) -> std::result::Result<(), String> {
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let invalid = |expected: &str| format!("{} must be {expected}", names.join(" with "));
    let value = &members[0].1;
    let text = || value.as_str();
    match names.as_slice() {
        ["$oid"] => {
            let id =
                text().and_then(|hex| ObjectId::parse_str(hex).ok()).ok_or_else(|| invalid("24 hexadecimal digits"))?;
            out.object_id(key, id.bytes());
        }
        ["$symbol"] => out.typed_string(key, ElementType::Symbol, text().ok_or_else(|| invalid("a string"))?),
        ["$numberInt"] => out.int32(key, parsed(text()).ok_or_else(|| invalid("a 32-bit integer in a string"))?),
        ["$numberLong"] => out.int64(key, parsed(text()).ok_or_else(|| invalid("a 64-bit integer in a string"))?),
        ["$numberDouble"] => {
            let number = match text() {
                Some("Infinity") => f64::INFINITY,
                Some("-Infinity") => f64::NEG_INFINITY,
                Some("NaN") => f64::NAN,
                Some(text) if !text.to_ascii_lowercase().contains(['n', 'f']) => {
                    parsed(Some(text)).ok_or_else(|| invalid("a number in a string"))?
                }
                _ => return Err(invalid("a number in a string")),
            };
            out.double(key, number);
        }
        ["$numberDecimal"] => {
            let number: Decimal128 = parsed(text().filter(|text| is_decimal(text)))
                .ok_or_else(|| invalid("a decimal number in a string with at most 34 significant digits"))?;
            out.fixed(key, ElementType::Decimal128, number.bytes());
        }
        ["$binary"] => {
            let [data, subtype] = string_members(value, ["base64", "subType"])
                .ok_or_else(|| invalid("an object with base64 and subType, both strings"))?;
            let subtype = binary_subtype(subtype)
                .ok_or_else(|| invalid("an object whose subType has one or two hexadecimal digits"))?;
            out.binary(key, subtype, &BASE64.decode(data).map_err(|_| invalid("an object with valid base64"))?);
        }
        ["$binary", "$type"] if version == Version::Any => {
            let subtype = match &members[1].1 {
                Part::Text(digits) => binary_subtype(digits),
                Part::Whole(number) => u8::try_from(*number).ok(),
                _ => None,
            };
            let subtype = subtype.ok_or("$type beside $binary must be one or two hexadecimal digits in a string")?;
            let data = text().and_then(|data| BASE64.decode(data).ok());
            out.binary(key, subtype, &data.ok_or("$binary beside $type must be valid base64 in a string")?);
        }
        ["$uuid"] => {
            let accepted = |text: &str| uuid(text, version);
            let bytes = text()
                .and_then(accepted)
                .ok_or_else(|| invalid("a UUID such as 73ffd264-44b3-4c69-90e8-e7d1dfc035d4"))?;
            out.binary(key, 4, &bytes);
        }
        ["$code"] => out.typed_string(key, ElementType::JavaScriptCode, text().ok_or_else(|| invalid("a string"))?),
        ["$code", "$scope"] | ["$scope", "$code"] => {
            let (code, scope) = if names[0] == "$code" { (value, &members[1].1) } else { (&members[1].1, value) };
            let code = code.as_str().ok_or("$code must be a string")?;
            let Part::Scope(scope) = scope else { return Err("$scope must be a document".to_owned()) };
            let mark = out.begin_code_with_scope(key, code);
            out.buf.truncate(mark.1);
            out.buf.extend_from_slice(&scope[..scope.len() - 1]);
            out.end_code_with_scope(mark);
        }
        ["$timestamp"] => {
            let part = |name| value.get(name).and_then(Part::as_i64).and_then(|part| u32::try_from(part).ok());
            let (Some(time), Some(increment), Some(_)) = (part("t"), part("i"), value.members(2)) else {
                return Err(invalid("an object with t and i, both unsigned 32-bit integers"));
            };
            out.fixed(key, ElementType::Timestamp, ((u64::from(time) << 32) | u64::from(increment)).to_le_bytes());
        }
        ["$regularExpression"] => {
            let [pattern, options] = string_members(value, ["pattern", "options"])
                .filter(|parts| !parts.iter().any(|part| part.contains('\0')))
                .ok_or_else(|| invalid("an object with pattern and options, both strings without NUL"))?;
            let mut options: Vec<char> = options.chars().collect();
            options.sort_unstable();
            out.regex(key, pattern, &String::from_iter(options));
        }
        ["$dbPointer"] => {
            let id = value.get("$id").and_then(|id| id.get("$oid")).and_then(Part::as_str);
            let id = id.and_then(|hex| ObjectId::parse_str(hex).ok());
            let namespace = value.get("$ref").and_then(Part::as_str);
            let (Some(namespace), Some(id), Some(_)) = (namespace, id, value.members(2)) else {
                return Err(invalid("an object with $ref, a string, and $id, an ObjectId"));
            };
            out.db_pointer(key, namespace, id.bytes());
        }
        ["$date"] => {
            let millis = match value {
                Part::Text(iso) => {
                    let parsed = DateTime::parse_rfc3339_str(iso).ok().map(DateTime::timestamp_millis);
                    parsed.or_else(|| (version == Version::Any).then(|| date_of_version_1(iso)).flatten())
                }
                Part::Whole(millis) if version == Version::Any => Some(*millis),
                Part::Fractional(millis) if version == Version::Any => whole_millis(*millis),
                object => match object.members(1) {
                    Some([(name, Part::Text(millis))]) if name == "$numberLong" => parsed(Some(millis)),
                    _ => None,
                },
            };
            let millis = millis.ok_or_else(|| invalid("an ISO 8601 string or {\"$numberLong\": \"milliseconds\"}"))?;
            out.fixed(key, ElementType::DateTime, millis.to_le_bytes());
        }
        ["$minKey"] if value.as_i64() == Some(1) => out.empty(key, ElementType::MinKey),
        ["$maxKey"] if value.as_i64() == Some(1) => out.empty(key, ElementType::MaxKey),
        ["$minKey"] | ["$maxKey"] => return Err(invalid("1")),
        ["$undefined"] if matches!(value, Part::True) => out.empty(key, ElementType::Undefined),
        ["$undefined"] => return Err(invalid("true")),
        ["$scope"] => return Err("$scope requires $code".to_owned()),
        [first, rest @ ..] => {
            return Err(format!(
                "{first} must be the only member of its object, but there is also {}",
                rest.join(", ")
            ));
        }
        [] => return Err("an empty type wrapper".to_owned()),
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text.and_then(|text| text.parse().ok())
}

/// Returns whether `text` is a decimal number. The parser itself accepts some invalid strings.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if ["nan", "snan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
        return true;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    !(whole.is_empty() && fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// Returns the two strings of an object with exactly these two members.
fn string_members<'v>(value: &'v Part, names: [&str; 2]) -> Option<[&'v str; 2]> {
    value.members(2)?;
    Some([value.get(names[0])?.as_str()?, value.get(names[1])?.as_str()?])
}

fn binary_subtype(digits: &str) -> Option<u8> {
    (digits.len() <= 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// Parses the dates of version 1 that RFC 3339 does not have: those without seconds, or with a time zone as `+0100`.
fn date_of_version_1(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let zone = rest.find(['Z', '+', '-'])?;
    let (time, zone) = (rest.get(..zone)?, rest.get(zone..)?);
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    let zone = match (zone.len(), zone.get(..3), zone.get(3..)) {
        (5, Some(hours), Some(minutes)) => format!("{hours}:{minutes}"),
        _ => zone.to_owned(),
    };
    DateTime::parse_rfc3339_str(format!("{date}T{time}{zone}")).ok().map(DateTime::timestamp_millis)
}

/// A number of milliseconds that is written as `1.6e12`.
fn whole_millis(number: f64) -> Option<i64> {
    /// 2^53: up to this number, all integers are distinct.
    const MAX: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= MAX).then_some(number as i64)
}

fn uuid(text: &str, version: Version) -> Option<[u8; 16]> {
    let dashes = [8, 13, 18, 23];
    let bytes = text.as_bytes();
    let with_hyphens = bytes.len() == 36 && dashes.iter().all(|&index| bytes[index] == b'-');
    let without_hyphens = version == Version::Any && bytes.len() == 32;
    if !(with_hyphens || without_hyphens) {
        return None;
    }
    let digits: Vec<u8> = bytes.iter().filter(|&&b| b != b'-').copied().collect();
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (digits.len() == 32).then_some(uuid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bson::raw::{RawBsonRef, RawDocument};
    use bson::spec::BinarySubtype;
    use bson::{Binary, Bson};
    use serde_json::Value;
    use std::path::Path;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    fn json(bson: &[u8], style: Style) -> Value {
        let mut out = Vec::new();
        write_document(&mut out, RawDocument::from_bytes(bson).unwrap(), style).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    /// `{"$numberDouble": "1.0E+2"}` and `{"$numberDouble": "100.0"}` are the same number.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                if let (Some(a), Some(b)) = (a.get("$numberDouble"), b.get("$numberDouble")) {
                    let number = |v: &Value| v.as_str().unwrap().parse::<f64>().unwrap();
                    return number(a).to_bits() == number(b).to_bits() || (number(a).is_nan() && number(b).is_nan());
                }
                a.len() == b.len() && a.iter().zip(b).all(|((ka, va), (kb, vb))| ka == kb && same(va, vb))
            }
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            _ => a == b,
        }
    }

    #[test]
    fn bson_corpus() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bson-corpus");
        let mut cases = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let suite: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for case in suite["valid"].as_array().into_iter().flatten() {
                let name = format!("{}: {}", path.display(), case["description"]);
                let bson = hex(case["canonical_bson"].as_str().unwrap());
                let canonical = case["canonical_extjson"].as_str().unwrap();
                let lossy = case["lossy"].as_bool() == Some(true);
                let expected: Value = serde_json::from_str(canonical).unwrap();
                let got = json(&bson, Style::Canonical);
                assert!(same(&got, &expected), "{name}: {got} is not {expected}");
                if !lossy {
                    let parsed = parse_document(canonical.as_bytes()).unwrap();
                    assert_eq!(parsed.as_bytes(), bson, "{name}");
                    assert_eq!(parse_any_version(canonical.as_bytes()).unwrap(), parsed, "{name}");
                }
                if let Some(relaxed) = case["relaxed_extjson"].as_str() {
                    let expected: Value = serde_json::from_str(relaxed).unwrap();
                    let got = json(&bson, Style::Relaxed);
                    assert!(same(&got, &expected), "{name}: {got} is not {expected}");
                    parse_document(relaxed.as_bytes()).unwrap();
                }
                json(&bson, Style::Plain);
                cases += 1;
            }
            for case in suite["parseErrors"].as_array().into_iter().flatten() {
                // The decimal128 suites contain only the number, the others a document.
                let text = match suite["bson_type"].as_str() {
                    Some("0x13") => serde_json::json!({"d": {"$numberDecimal": case["string"]}}).to_string(),
                    _ => case["string"].as_str().unwrap().to_owned(),
                };
                let accepted = parse_document(text.as_bytes()).is_ok();
                assert!(!accepted, "{}: {} was accepted", path.display(), case["description"]);
                cases += 1;
            }
        }
        assert!(cases > 600, "only {cases} cases were found");
    }

    #[test]
    fn the_forms_of_version_1_are_accepted_where_any_version_is() {
        let date = |millis| Bson::DateTime(DateTime::from_millis(millis));
        let binary = |subtype, bytes: &[u8]| Bson::Binary(Binary { subtype, bytes: bytes.to_vec() });
        for (text, expected) in [
            (r#"{"$date": 1654589430998}"#, date(1_654_589_430_998)),
            (r#"{"$date": -1}"#, date(-1)),
            (r#"{"$date": 1654589430998.0}"#, date(1_654_589_430_998)),
            (r#"{"$date": "2022-06-07T08:10:30.998+0000"}"#, date(1_654_589_430_998)),
            (r#"{"$date": "2022-06-07T10:10+0200"}"#, date(1_654_589_400_000)),
            (r#"{"$date": "2022-06-07T08:10Z"}"#, date(1_654_589_400_000)),
            (r#"{"$binary": "AQI=", "$type": "00"}"#, binary(BinarySubtype::Generic, &[1, 2])),
            (r#"{"$binary": "AQI=", "$type": "80"}"#, binary(BinarySubtype::UserDefined(0x80), &[1, 2])),
            (r#"{"$binary": "AQI=", "$type": 5}"#, binary(BinarySubtype::Md5, &[1, 2])),
            (
                r#"{"$uuid": "73ffd26444b34c6990e8e7d1dfc035d4"}"#,
                binary(BinarySubtype::Uuid, &hex("73ffd26444b34c6990e8e7d1dfc035d4")),
            ),
        ] {
            let text = format!(r#"{{"v": {text}}}"#);
            assert!(parse_document(text.as_bytes()).is_err(), "{text}");
            let parsed = parse_any_version(text.as_bytes()).unwrap();
            assert_eq!(Bson::try_from(parsed.get("v").unwrap().unwrap()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn other_malformed_wrappers_are_rejected_in_any_version() {
        for text in [
            r#"{"$date": 1.5}"#,
            r#"{"$date": 1e300}"#,
            r#"{"$date": true}"#,
            r#"{"$date": null}"#,
            r#"{"$date": "2022-06-07"}"#,
            r#"{"$date": "2022-06-07T08:10"}"#,
            r#"{"$date": "2022-06-07T08:10:30+020"}"#,
            r#"{"$date": "2022-06-07Té+0é00"}"#,
            r#"{"$binary": "AQI=", "$type": "100"}"#,
            r#"{"$binary": "AQI=", "$type": 256}"#,
            r#"{"$binary": "AQI=", "$type": null}"#,
            r#"{"$binary": "?", "$type": "00"}"#,
            r#"{"$binary": {"base64": "AQI=", "subType": "00"}, "$type": "00"}"#,
            r#"{"$binary": "AQI="}"#,
            r#"{"$uuid": "73ffd264-44b34c6990e8e7d1dfc035d4"}"#,
            r#"{"$uuid": "73ffd26444b34c6990e8e7d1dfc035dg"}"#,
            r#"{"$numberLong": 5}"#,
            r#"{"$oid": 5}"#,
        ] {
            let text = format!(r#"{{"v": {text}}}"#);
            assert!(parse_any_version(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_json_has_no_wrappers() {
        let document = bson::rawdoc! {
            "_id": ObjectId::parse_str("6193504e1be4ab27791c8133").unwrap(),
            "at": DateTime::from_millis(1_700_000_000_123),
            "n": 1_i64,
            "d": Decimal128::from_bytes([0; 16]),
            "b": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1, 2] },
            "r": bson::Regex { pattern: bson::cstr!("^a").into(), options: bson::cstr!("i").into() },
            "t": bson::Timestamp { time: 7, increment: 9 },
        };
        let got = json(document.as_bytes(), Style::Plain);
        let expected = serde_json::json!({
            "_id": "6193504e1be4ab27791c8133",
            "at": "2023-11-14T22:13:20.123Z",
            "n": 1,
            "d": "0E-6176",
            "b": {"Subtype": 0, "Data": "AQI="},
            "r": {"Pattern": "^a", "Options": "i"},
            "t": {"T": 7, "I": 9},
        });
        assert_eq!(got, expected);
    }

    #[test]
    fn query_operators_stay_documents() {
        let text = br#"{"name": {"$regex": "^a", "$options": "i"}, "n": {"$gt": 1}, "_id": {"$in": [{"$oid": "6193504e1be4ab27791c8133"}]}}"#;
        let document = parse_document(text).unwrap();
        assert!(document.get_document("name").unwrap().get_str("$regex").is_ok());
        assert_eq!(document.get_document("n").unwrap().get_i32("$gt").unwrap(), 1);
        let ids = document.get_document("_id").unwrap().get_array("$in").unwrap();
        assert!(matches!(ids.get(0).unwrap(), Some(RawBsonRef::ObjectId(_))));
    }

    #[test]
    fn deep_nesting_is_rejected_without_stack_overflow() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse_document(text.as_bytes()).is_err());
    }

    #[test]
    fn numbers_have_the_smallest_possible_type() {
        let document = parse_document(br#"{"a": 1, "b": 2147483648, "c": 1.0, "d": 1e400000}"#);
        assert!(document.is_err());
        let document = parse_document(br#"{"a": 1, "b": 2147483648, "c": 1.0, "d": 18446744073709551615}"#).unwrap();
        assert_eq!(document.get_i32("a").unwrap(), 1);
        assert_eq!(document.get_i64("b").unwrap(), 2_147_483_648);
        assert_eq!(document.get_f64("c").unwrap(), 1.0);
        assert_eq!(document.get_f64("d").unwrap(), 18_446_744_073_709_551_615.0);
    }
}
