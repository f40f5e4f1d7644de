//! PyMongo's `CodecOptions`: how a client's documents are read and written.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping};

use super::decode::decode;
use super::encode::{self, Encoded, Id};
use super::types::BsonTypes;
use crate::codec::writer::{BsonWriter, Sink};
use crate::python::lifecycle::once::intern;
use pyo3::exceptions::PyTypeError;

/// `bson.codec_options.CodecOptions`, and which of its options this codec implements itself.
pub(crate) struct Codec {
    /// The options, or `None` for PyMongo's defaults.
    options: Option<Py<PyAny>>,
    /// Whether dates are decoded with a time zone.
    tz_aware: bool,
    /// Whether `bson` decodes whole documents: a class for documents, a time
    /// zone, decoders, or ways to decode that are not built here.
    decoded_whole: bool,
    /// Whether `bson` encodes whole documents: it has encoders for classes.
    encoded_whole: bool,
}

/// PyMongo's default options.
pub(crate) static DEFAULT: Codec = Codec { options: None, tz_aware: false, decoded_whole: false, encoded_whole: false };

impl Codec {
    /// The codec of a `CodecOptions`.
    pub(crate) fn new(options: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = options.py();
        let class = py.import(intern!(py, "bson.codec_options"))?.getattr(intern!(py, "CodecOptions"))?;
        if !options.is_instance(&class)? {
            let message = "codec_options must be an instance of bson.codec_options.CodecOptions";
            return Err(PyTypeError::new_err(message));
        }
        let registry = options.getattr("type_registry")?;
        let has = |name: &str| -> PyResult<bool> { registry.getattr(name)?.is_truthy() };
        let is_default =
            |name: &str, default: &str| -> PyResult<bool> { Ok(options.getattr(name)?.str()?.to_str()? == default) };
        let plain = options.getattr("document_class")?.is(py.get_type::<PyDict>())
            && is_default("unicode_decode_error_handler", "strict")?
            && options.getattr("tzinfo")?.is_none()
            && options.getattr("datetime_conversion")?.getattr("name")?.eq("DATETIME")?;
        Ok(Self {
            tz_aware: options.getattr("tz_aware")?.is_truthy()?,
            decoded_whole: !plain || has("_decoder_map")?,
            encoded_whole: has("_encoder_map")?,
            options: Some(options.clone().unbind()),
        })
    }

    /// The `CodecOptions`.
    pub(crate) fn options(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.options {
            Some(options) => Ok(options.clone_ref(py)),
            None => Ok(py.import(intern!(py, "bson.codec_options"))?.getattr("DEFAULT_CODEC_OPTIONS")?.unbind()),
        }
    }

    /// The options, where they are not the default.
    pub(crate) fn given(&self) -> Option<&Py<PyAny>> {
        self.options.as_ref()
    }

    /// Whether dates are decoded with a time zone.
    pub(crate) fn tz_aware(&self) -> bool {
        self.tz_aware
    }

    /// Decodes a document as `bson.decode` does with these options.
    pub(crate) fn decode(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
        if self.decoded_whole {
            return decode_by_bson(py, bytes, self.options.as_ref());
        }
        decode(py, bytes, self)
    }

    /// The document, encoded already where `bson` must do it.
    fn prepared<'py>(&self, document: &Bound<'py, PyAny>, with_id: bool) -> PyResult<Bound<'py, PyAny>> {
        let py = document.py();
        let Some(options) = self.options.as_ref().filter(|_| self.encoded_whole) else { return Ok(document.clone()) };
        let mut whole = document.clone();
        if with_id && document.cast::<PyMapping>().is_ok() && !document.contains(intern!(py, "_id"))? {
            let id = Id::Made(crate::runtime::process().object_id().bytes()).to_py(py)?;
            let copy = PyDict::new(py);
            copy.set_item(intern!(py, "_id"), id)?;
            copy.call_method1(intern!(py, "update"), (document,))?;
            whole = copy.into_any();
        }
        let keywords = PyDict::new(py);
        keywords.set_item("codec_options", options)?;
        let bytes = BsonTypes::get(py)?.encode.bind(py).call((whole,), Some(&keywords))?;
        py.import(intern!(py, "bson.raw_bson"))?.getattr("RawBSONDocument")?.call1((bytes,))
    }

    /// Encodes a document as `bson.encode` does: its `_id`, if it has one, first.
    pub(crate) fn encode_document(&self, document: &Bound<'_, PyAny>, out: &mut impl Sink) -> PyResult<()> {
        encode::encode(&self.prepared(document, false)?, self, out)
    }

    /// Encodes a document that is not stored, such as a query, with its fields in their order.
    pub(crate) fn encode(&self, document: &Bound<'_, PyAny>, out: &mut impl Sink) -> PyResult<()> {
        if !self.encoded_whole {
            return encode::encode_in_order(document, self, out);
        }
        // Inside of another, `bson` keeps the order.
        let holder = PyDict::new(document.py());
        holder.set_item(intern!(document.py(), "v"), document)?;
        let encoded = self.prepared(holder.as_any(), false)?.get_item(intern!(document.py(), "v"))?;
        encode::encode_in_order(&encoded, self, out)
    }

    /// Encodes a document for an insert: with an `_id` first, a new one if it has none.
    pub(crate) fn encode_into(&self, document: &Bound<'_, PyAny>, out: &mut impl Sink) -> PyResult<Id> {
        encode::encode_into(&self.prepared(document, true)?, self, out)
    }

    /// Encodes a document for an insert, as BSON.
    pub(crate) fn encode_for_insert(&self, document: &Bound<'_, PyAny>) -> PyResult<Encoded> {
        Encoded::for_insert(&self.prepared(document, true)?, self)
    }

    /// Encodes a document, or a list of documents.
    pub(crate) fn encode_any(&self, value: &Bound<'_, PyAny>, out: &mut impl Sink) -> PyResult<()> {
        match value.cast::<PyMapping>() {
            Ok(_) => self.encode(value, out),
            Err(_) => encode::encode_any(value, self, out),
        }
    }

    /// Encodes any value as the element `v` of a document.
    pub(crate) fn encode_value(&self, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        if !self.encoded_whole {
            return encode::encode_value(value, self);
        }
        let holder = PyDict::new(value.py());
        holder.set_item(intern!(value.py(), "v"), value)?;
        let mut out = BsonWriter::default();
        self.encode(holder.as_any(), &mut out)?;
        Ok(out.buf)
    }

    /// Decodes a value.
    pub(crate) fn decode_value(&self, py: Python<'_>, value: bson::Bson) -> PyResult<Py<PyAny>> {
        let wrong = |error: String| pyo3::exceptions::PyValueError::new_err(error);
        let document = bson::doc! { "v": value };
        let bytes = bson::serialize_to_vec(&document).map_err(|error| wrong(error.to_string()))?;
        Ok(self.decode(py, &bytes)?.bind(py).get_item("v")?.unbind())
    }
}

/// Decodes by `bson`.
pub(crate) fn decode_by_bson(py: Python<'_>, bytes: &[u8], options: Option<&Py<PyAny>>) -> PyResult<Py<PyAny>> {
    let decode = BsonTypes::get(py)?.decode.bind(py);
    let bytes = PyBytes::new(py, bytes);
    match options {
        None => Ok(decode.call1((bytes,))?.unbind()),
        Some(options) => Ok(decode.call1((bytes, options))?.unbind()),
    }
}
