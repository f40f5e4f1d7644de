//! The output of the encoders: one pass over a document drives a [`Sink`], which writes either BSON
//! or EJSON.

use std::io::Write as _;

use bson::RawBsonRef;
use bson::raw::RawDocument;
use bson::spec::ElementType;

use super::ejson_text::{self, Style};
use super::invalid_bson;
use crate::error::Result;

/// The key of an element: a field name or an array index.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// A field name without NUL.
    Name(&'a str),
    /// An array index.
    Index(usize),
}

/// Receives a document's elements in order.
pub trait Sink {
    /// The value that [`Sink::begin`] returns and [`Sink::end`] expects.
    type Mark;
    /// Whether only JSON values are allowed.
    const JSON: bool = false;

    /// Begins the top-level document.
    fn begin_root(&mut self) -> Self::Mark;
    /// Begins a top-level array.
    fn begin_list(&mut self) -> Self::Mark {
        self.begin_root()
    }
    /// Begins an embedded document or an array.
    fn begin(&mut self, key: Key<'_>, array: bool) -> Self::Mark;
    /// Ends the document or array of `begin`, `begin_root` or `begin_list`.
    fn end(&mut self, mark: Self::Mark);

    /// Writes a null.
    fn null(&mut self, key: Key<'_>);
    /// Writes a boolean.
    fn boolean(&mut self, key: Key<'_>, value: bool);
    /// Writes a 32-bit integer.
    fn int32(&mut self, key: Key<'_>, value: i32);
    /// Writes a 64-bit integer.
    fn int64(&mut self, key: Key<'_>, value: i64);
    /// Writes a double.
    fn double(&mut self, key: Key<'_>, value: f64);
    /// Writes a string.
    fn string(&mut self, key: Key<'_>, value: &str);
    /// Writes binary data of subtype 0.
    fn bytes(&mut self, key: Key<'_>, value: &[u8]);
    /// Writes an `ObjectId`.
    fn object_id(&mut self, key: Key<'_>, value: [u8; 12]);
    /// Writes a value that is already BSON.
    ///
    /// # Errors
    /// `InvalidBson` if the bytes are not valid.
    fn value(&mut self, key: Key<'_>, value: RawBsonRef<'_>, encoded: &[u8]) -> Result<()>;
    /// Writes a top-level document that is already BSON, preceded by an `_id` if one is given.
    ///
    /// # Errors
    /// `InvalidBson` if the bytes are not valid.
    fn root_document(&mut self, document: &RawDocument, id: Option<[u8; 12]>) -> Result<()>;
    /// Returns whether a document that begins with a field of this name would be parsed as a type
    /// wrapper.
    fn is_wrapper(&self, _name: &str) -> bool {
        false
    }

    /// Returns the name of such a field in a value that is already BSON.
    fn wrapper_in<'v>(&self, _value: RawBsonRef<'v>) -> Option<&'v str> {
        None
    }
}

/// Appends bytes that are usually few, as names and texts are. A call of `memcpy` costs more than such a copy.
#[inline(always)]
fn append(buf: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len();
    buf.reserve(length);
    // SAFETY: `reserve` has made room for `length` bytes behind the Vec's last one, which is not part of `bytes`.
    // Each branch reads and writes only within these `length` bytes, and together its two copies write all of them.
    unsafe {
        let (from, to) = (bytes.as_ptr(), buf.as_mut_ptr().add(buf.len()));
        match length {
            8..=16 => {
                let (first, last) = (from.cast::<[u8; 8]>().read(), from.add(length - 8).cast::<[u8; 8]>().read());
                to.cast::<[u8; 8]>().write(first);
                to.add(length - 8).cast::<[u8; 8]>().write(last);
            }
            17..=32 => {
                let (first, last) = (from.cast::<[u8; 16]>().read(), from.add(length - 16).cast::<[u8; 16]>().read());
                to.cast::<[u8; 16]>().write(first);
                to.add(length - 16).cast::<[u8; 16]>().write(last);
            }
            4..=7 => {
                let (first, last) = (from.cast::<[u8; 4]>().read(), from.add(length - 4).cast::<[u8; 4]>().read());
                to.cast::<[u8; 4]>().write(first);
                to.add(length - 4).cast::<[u8; 4]>().write(last);
            }
            2..=3 => {
                let (first, last) = (from.cast::<[u8; 2]>().read(), from.add(length - 2).cast::<[u8; 2]>().read());
                to.cast::<[u8; 2]>().write(first);
                to.add(length - 2).cast::<[u8; 2]>().write(last);
            }
            0 => {}
            1 => to.write(from.read()),
            _ => from.copy_to_nonoverlapping(to, length),
        }
        buf.set_len(buf.len() + length);
    }
}

/// Writes BSON.
#[derive(Default)]
pub struct BsonWriter {
    /// The output.
    pub buf: Vec<u8>,
}

impl BsonWriter {
    /// Creates a writer with a capacity in bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buf: Vec::with_capacity(capacity) }
    }

    fn key(&mut self, element_type: u8, key: Key<'_>) {
        match key {
            Key::Name(name) => {
                self.buf.reserve(name.len() + 16);
                self.buf.push(element_type);
                append(&mut self.buf, name.as_bytes());
            }
            // Writing to a Vec cannot fail.
            Key::Index(index) => {
                self.buf.push(element_type);
                match index {
                    0..=9 => self.buf.push(b'0' + index as u8),
                    _ => drop(write!(self.buf, "{index}")),
                }
            }
        }
        self.buf.push(0);
    }

    fn length(&mut self, length: usize) {
        self.buf.extend_from_slice(&(length as u32).to_le_bytes());
    }

    #[inline]
    fn cstring(&mut self, text: &str) {
        append(&mut self.buf, text.as_bytes());
        self.buf.push(0);
    }

    fn text(&mut self, text: &str) {
        self.buf.reserve(text.len() + 5);
        self.length(text.len() + 1);
        self.cstring(text);
    }

    pub(super) fn typed_string(&mut self, key: Key<'_>, element_type: ElementType, text: &str) {
        self.key(element_type as u8, key);
        self.text(text);
    }

    pub(super) fn empty(&mut self, key: Key<'_>, element_type: ElementType) {
        self.key(element_type as u8, key);
    }

    pub(super) fn fixed<const N: usize>(&mut self, key: Key<'_>, element_type: ElementType, bytes: [u8; N]) {
        self.key(element_type as u8, key);
        self.buf.extend_from_slice(&bytes);
    }

    /// Writes a string or a null.
    pub fn string_or_null(&mut self, key: Key<'_>, value: Option<&str>) {
        match value {
            Some(value) => self.string(key, value),
            None => self.null(key),
        }
    }

    /// Writes a date in milliseconds since 1970.
    pub fn date(&mut self, key: Key<'_>, millis: i64) {
        self.fixed(key, ElementType::DateTime, millis.to_le_bytes());
    }

    pub(super) fn binary(&mut self, key: Key<'_>, subtype: u8, bytes: &[u8]) {
        self.key(ElementType::Binary as u8, key);
        if subtype == 2 {
            // The obsolete subtype 2 contains the length twice.
            self.length(bytes.len() + 4);
            self.buf.push(2);
            self.length(bytes.len());
        } else {
            self.length(bytes.len());
            self.buf.push(subtype);
        }
        self.buf.extend_from_slice(bytes);
    }

    pub(super) fn regex(&mut self, key: Key<'_>, pattern: &str, options: &str) {
        self.key(ElementType::RegularExpression as u8, key);
        self.cstring(pattern);
        self.cstring(options);
    }

    pub(super) fn db_pointer(&mut self, key: Key<'_>, namespace: &str, id: [u8; 12]) {
        self.key(ElementType::DbPointer as u8, key);
        self.text(namespace);
        self.buf.extend_from_slice(&id);
    }

    pub(super) fn begin_code_with_scope(&mut self, key: Key<'_>, code: &str) -> (usize, usize) {
        self.key(ElementType::JavaScriptCodeWithScope as u8, key);
        let mark = self.buf.len();
        self.length(0);
        self.text(code);
        (mark, self.begin_root())
    }

    pub(super) fn end_code_with_scope(&mut self, (mark, scope): (usize, usize)) {
        self.end(scope);
        self.set_length(mark);
    }

    /// Begins an embedded document whose bytes, from its length on, are written next.
    pub fn embedded(&mut self, key: Key<'_>) {
        self.key(ElementType::EmbeddedDocument as u8, key);
    }

    /// Writes the elements of a document without its length and terminator.
    ///
    /// # Errors
    /// `InvalidBson` if the document is too short.
    pub fn elements(&mut self, document: &RawDocument) -> Result<()> {
        let bytes = document.as_bytes();
        let elements = bytes.get(4..bytes.len().saturating_sub(1)).ok_or_else(|| invalid_bson("too short"))?;
        self.buf.extend_from_slice(elements);
        Ok(())
    }

    fn set_length(&mut self, mark: usize) {
        let length = (self.buf.len() - mark) as u32;
        self.buf[mark..mark + 4].copy_from_slice(&length.to_le_bytes());
    }
}

impl Sink for BsonWriter {
    type Mark = usize;

    fn begin_root(&mut self) -> usize {
        let mark = self.buf.len();
        self.length(0);
        mark
    }

    fn begin(&mut self, key: Key<'_>, array: bool) -> usize {
        self.key(if array { ElementType::Array } else { ElementType::EmbeddedDocument } as u8, key);
        self.begin_root()
    }

    fn end(&mut self, mark: usize) {
        self.buf.push(0);
        self.set_length(mark);
    }

    fn null(&mut self, key: Key<'_>) {
        self.empty(key, ElementType::Null);
    }

    fn boolean(&mut self, key: Key<'_>, value: bool) {
        self.fixed(key, ElementType::Boolean, [u8::from(value)]);
    }

    fn int32(&mut self, key: Key<'_>, value: i32) {
        self.fixed(key, ElementType::Int32, value.to_le_bytes());
    }

    fn int64(&mut self, key: Key<'_>, value: i64) {
        self.fixed(key, ElementType::Int64, value.to_le_bytes());
    }

    fn double(&mut self, key: Key<'_>, value: f64) {
        self.fixed(key, ElementType::Double, value.to_le_bytes());
    }

    fn string(&mut self, key: Key<'_>, value: &str) {
        let Key::Name(name) = key else { return self.typed_string(key, ElementType::String, value) };
        // Strings are the most frequent values: reserve memory only once.
        self.buf.reserve(name.len() + value.len() + 7);
        self.buf.push(ElementType::String as u8);
        self.cstring(name);
        self.length(value.len() + 1);
        self.cstring(value);
    }

    fn bytes(&mut self, key: Key<'_>, value: &[u8]) {
        self.binary(key, 0, value);
    }

    fn object_id(&mut self, key: Key<'_>, value: [u8; 12]) {
        self.fixed(key, ElementType::ObjectId, value);
    }

    fn value(&mut self, key: Key<'_>, value: RawBsonRef<'_>, encoded: &[u8]) -> Result<()> {
        self.key(value.element_type() as u8, key);
        self.buf.extend_from_slice(encoded);
        Ok(())
    }

    fn root_document(&mut self, document: &RawDocument, id: Option<[u8; 12]>) -> Result<()> {
        let mark = self.begin_root();
        if let Some(id) = id {
            self.object_id(Key::Name("_id"), id);
        }
        self.elements(document)?;
        self.end(mark);
        Ok(())
    }
}

/// Writes canonical EJSON.
#[derive(Default)]
pub struct EjsonWriter {
    /// The output.
    pub buf: Vec<u8>,
}

impl EjsonWriter {
    /// Writes a comma if necessary, and the name of a field.
    fn key(&mut self, key: Key<'_>) {
        // A value never ends with an opening bracket, so the last byte shows whether this is the first element.
        if !matches!(self.buf.last(), Some(b'{' | b'[') | None) {
            self.buf.push(b',');
        }
        if let Key::Name(name) = key {
            ejson_text::write_text(&mut self.buf, name);
            // `write_text` has reserved memory for it.
            self.buf.push(b':');
        }
    }
}

impl Sink for EjsonWriter {
    type Mark = u8;

    fn begin_root(&mut self) -> u8 {
        self.buf.push(b'{');
        b'}'
    }

    fn begin_list(&mut self) -> u8 {
        self.buf.push(b'[');
        b']'
    }

    fn begin(&mut self, key: Key<'_>, array: bool) -> u8 {
        self.key(key);
        let (open, close) = if array { (b'[', b']') } else { (b'{', b'}') };
        self.buf.push(open);
        close
    }

    fn end(&mut self, close: u8) {
        self.buf.push(close);
    }

    fn null(&mut self, key: Key<'_>) {
        self.key(key);
        self.buf.extend_from_slice(b"null");
    }

    fn boolean(&mut self, key: Key<'_>, value: bool) {
        self.key(key);
        self.buf.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn int32(&mut self, key: Key<'_>, value: i32) {
        self.key(key);
        ejson_text::write_int32(&mut self.buf, value, Style::Canonical);
    }

    fn int64(&mut self, key: Key<'_>, value: i64) {
        self.key(key);
        ejson_text::write_int64(&mut self.buf, value, Style::Canonical);
    }

    fn double(&mut self, key: Key<'_>, value: f64) {
        self.key(key);
        ejson_text::write_double(&mut self.buf, value, Style::Canonical);
    }

    fn string(&mut self, key: Key<'_>, value: &str) {
        self.key(key);
        ejson_text::write_text(&mut self.buf, value);
    }

    fn bytes(&mut self, key: Key<'_>, value: &[u8]) {
        self.key(key);
        ejson_text::write_binary(&mut self.buf, 0, value, Style::Canonical);
    }

    fn object_id(&mut self, key: Key<'_>, value: [u8; 12]) {
        self.key(key);
        ejson_text::write_object_id(&mut self.buf, value, Style::Canonical);
    }

    fn is_wrapper(&self, name: &str) -> bool {
        self.buf.last() == Some(&b'{') && ejson_text::is_wrapper(name)
    }

    fn wrapper_in<'v>(&self, value: RawBsonRef<'v>) -> Option<&'v str> {
        ejson_text::wrapper_in(value, 0)
    }

    fn value(&mut self, key: Key<'_>, value: RawBsonRef<'_>, _encoded: &[u8]) -> Result<()> {
        self.key(key);
        ejson_text::write_value(&mut self.buf, value, Style::Canonical)
    }

    fn root_document(&mut self, document: &RawDocument, id: Option<[u8; 12]>) -> Result<()> {
        let mark = self.begin_root();
        if let Some(id) = id {
            self.object_id(Key::Name("_id"), id);
        }
        for element in document {
            let (name, value) = element.map_err(invalid_bson)?;
            self.value(Key::Name(name.as_str()), value, &[])?;
        }
        self.end(mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_are_the_same_at_every_length() {
        let given: Vec<u8> = (0..100).collect();
        for length in 0..given.len() {
            let mut buf = vec![255; 3];
            append(&mut buf, &given[..length]);
            append(&mut buf, b"end");
            assert_eq!(buf, [&[255; 3], &given[..length], b"end"].concat());
        }
    }
}
