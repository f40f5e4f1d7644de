//! The classes of PyMongo's `bson`, looked up once, when they are first needed: a document of JSON's types is inserted
//! without `bson`, whose import takes longer than that of this package.

use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::python::lifecycle::once::{Once, intern};

/// The classes of `bson` and the standard library that the codec needs.
pub(crate) struct BsonTypes {
    pub(crate) object_id: Py<PyType>,
    pub(crate) int64: Py<PyType>,
    pub(crate) datetime: Py<PyType>,
    /// The time zone of `tz_aware`.
    pub(crate) utc: Py<PyAny>,
    pub(crate) encode: Py<PyAny>,
    pub(crate) decode: Py<PyAny>,
}

static TYPES: Once<BsonTypes> = Once::new();
static MAPPING: Once<Py<PyType>> = Once::new();

impl BsonTypes {
    /// The classes; imports `bson` at the first call.
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
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
                encode: bson.getattr(intern!(py, "encode"))?.unbind(),
                decode: bson.getattr(intern!(py, "decode"))?.unbind(),
            })
        })
    }

    /// The class of all mappings.
    pub(crate) fn mapping(py: Python<'_>) -> PyResult<&'static Py<PyType>> {
        MAPPING.get(py, || {
            let class = py.import(intern!(py, "collections.abc"))?.getattr(intern!(py, "Mapping"))?;
            Ok(class.cast_into::<PyType>()?.unbind())
        })
    }

    /// An `ObjectId` of PyMongo's.
    pub(crate) fn object_id<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        self.object_id.bind(py).call1((pyo3::types::PyBytes::new(py, bytes),))
    }
}
