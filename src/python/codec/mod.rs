//! Python objects ► BSON and EJSON bytes in one walk, and back.

mod decode;
mod encode;
mod lenient;
mod options;
mod types;

pub(crate) use decode::{decode_document, decode_json};
pub(crate) use encode::{Encoded, Id, encode_event};
pub(crate) use lenient::{encode_leniently, unicode};
pub(crate) use options::{Codec, DEFAULT};
pub(crate) use types::BsonTypes;

use bson::RawDocumentBuf;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::codec::ejson::{self, Style};
use crate::codec::writer::{BsonWriter, EjsonWriter};
use crate::python::convert::errors::to_py;

/// A raw document, which the core's calls take.
pub(crate) fn raw_document(py: Python<'_>, bytes: Vec<u8>) -> PyResult<RawDocumentBuf> {
    RawDocumentBuf::from_bytes(bytes).map_err(|error| {
        to_py(
            py,
            crate::error::Error::new(crate::error::ErrorKind::InvalidBson, format!("not a BSON document: {error}")),
        )
    })
}

/// Encode a document as BSON, as `bson.encode` does.
#[pyfunction]
#[pyo3(signature = (document, /))]
pub(crate) fn bson_encode<'py>(document: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = BsonWriter::with_capacity(4096);
    DEFAULT.encode_document(document, &mut out)?;
    Ok(PyBytes::new(document.py(), &out.buf))
}

/// Decode a BSON document, as `bson.decode` does.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn bson_decode(py: Python<'_>, data: &[u8]) -> PyResult<Py<PyAny>> {
    decode_document(py, data)
}

/// Encode a document as canonical Extended JSON.
#[pyfunction]
#[pyo3(signature = (document, /))]
pub(crate) fn ejson_encode<'py>(document: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = EjsonWriter { buf: Vec::with_capacity(8192) };
    DEFAULT.encode_document(document, &mut out)?;
    Ok(PyBytes::new(document.py(), &out.buf))
}

/// Decode a document from Extended JSON, canonical or relaxed.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn ejson_decode(py: Python<'_>, data: &[u8]) -> PyResult<Py<PyAny>> {
    let document = ejson::parse_document(data).map_err(|error| to_py(py, error))?;
    decode_document(py, document.as_bytes())
}

/// Write a BSON document as relaxed Extended JSON, for people to read.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn ejson_from_bson<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    let document = raw_document(py, data.to_vec())?;
    ejson::write_document(&mut out, &document, Style::Relaxed).map_err(|error| to_py(py, error))?;
    Ok(PyBytes::new(py, &out))
}
