//! The classes of PyMongo's `bson`, looked up once.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::python::lifecycle::once::{Once, intern};

/// The classes of `bson` and the standard library that the codec needs.
pub struct BsonTypes {
    pub(super) object_id: Py<PyType>,
    pub(super) int64: Py<PyType>,
    pub(super) datetime: Py<PyType>,
    /// The time zone of `tz_aware`.
    pub(super) utc: Py<PyAny>,
    pub mapping: Py<PyType>,
    pub(super) encode: Py<PyAny>,
    pub(super) decode: Py<PyAny>,
}

static TYPES: Once<BsonTypes> = Once::new();

impl BsonTypes {
    /// The classes; imports `bson` at the first call.
    pub fn get(py: Python<'_>) -> PyResult<&'static Self> {
        TYPES.get(py, || {
            let class = |module: &str, name: &str| -> PyResult<Py<PyType>> {
                Ok(py.import(module)?.getattr(name)?.cast_into::<PyType>()?.unbind())
            };
            let bson = py.import(intern!(py, "bson"))?;
            Ok(Self {
                object_id: class("bson.objectid", "ObjectId")?,
                int64: class("bson.int64", "Int64")?,
                datetime: class("datetime", "datetime")?,
                utc: py.import(intern!(py, "bson.tz_util"))?.getattr(intern!(py, "utc"))?.unbind(),
                mapping: class("collections.abc", "Mapping")?,
                encode: bson.getattr(intern!(py, "encode"))?.unbind(),
                decode: bson.getattr(intern!(py, "decode"))?.unbind(),
            })
        })
    }

    /// An `ObjectId` of PyMongo's.
    pub fn object_id<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        self.object_id.bind(py).call1((pyo3::types::PyBytes::new(py, bytes),))
    }
}
