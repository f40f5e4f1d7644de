//! The classes of PyMongo's `bson`, looked up once, when they are first needed: a document of JSON's types is inserted
//! without `bson`, whose import takes longer than that of this package.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};

use crate::python::lifecycle::once::{Once, intern};

/// The classes of `bson` and the standard library that the codec needs.
pub(crate) struct BsonTypes {
    pub(crate) object_id: Py<PyType>,
    /// Whether an `ObjectId` is its 12 bytes in this one attribute.
    object_id_is_plain: bool,
    pub(crate) int64: Py<PyType>,
    pub(crate) datetime: Py<PyType>,
    /// Whether a `datetime` is created from the bytes that its pickles hold.
    datetime_has_state: bool,
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
            let object_id = class("bson.objectid", "ObjectId")?;
            let datetime = class("datetime", "datetime")?;
            Ok(Self {
                object_id_is_plain: object_id_is_plain(object_id.bind(py)).unwrap_or(false),
                object_id,
                int64: class("bson.int64", "Int64")?,
                datetime_has_state: datetime_has_state(datetime.bind(py)).unwrap_or(false),
                datetime,
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
        let bytes = PyBytes::new(py, bytes);
        match self.object_id_is_plain {
            true => plain_object_id(self.object_id.bind(py), &bytes),
            false => self.object_id.bind(py).call1((bytes,)),
        }
    }

    /// A `datetime` in UTC, with the time zone of `tz_aware` or with none.
    pub(crate) fn datetime<'py>(&self, py: Python<'py>, moment: Moment, aware: bool) -> PyResult<Bound<'py, PyAny>> {
        let datetime = self.datetime.bind(py);
        if self.datetime_has_state {
            let state = PyBytes::new(py, &moment.state());
            return if aware { datetime.call1((state, &self.utc)) } else { datetime.call1((state,)) };
        }
        let Moment { year, month, day, hour, minute, second, micros } = moment;
        if aware {
            return datetime.call1((year, month, day, hour, minute, second, micros, &self.utc));
        }
        datetime.call1((year, month, day, hour, minute, second, micros))
    }
}

/// A date and a time.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) micros: u32,
}

impl Moment {
    /// As `datetime.__reduce__` has it. Pickles hold this, so that Python continues to read it.
    fn state(self) -> [u8; 10] {
        let [high, low] = self.year.to_be_bytes();
        let [_, micros @ ..] = self.micros.to_be_bytes();
        let Self { month, day, hour, minute, second, .. } = self;
        [high, low, month, day, hour, minute, second, micros[0], micros[1], micros[2]]
    }
}

/// An `ObjectId` without its `__init__`, which is written in Python.
fn plain_object_id<'py>(class: &Bound<'py, PyType>, bytes: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    // SAFETY: this is what `object.__new__` does. The class is a heap type that inherits it.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0))? };
    made.setattr(intern!(py, "_ObjectId__id"), bytes)?;
    Ok(made)
}

/// Whether `plain_object_id` gives what `ObjectId` does, with this version of PyMongo.
fn object_id_is_plain(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let inherits_new = class.getattr("__new__")?.is(py.import("builtins")?.getattr("object")?.getattr("__new__")?);
    if !inherits_new || !class.getattr("__slots__")?.eq(("__id",))? {
        return Ok(false);
    }
    let bytes = PyBytes::new(py, b"an object id");
    let (made, expected) = (plain_object_id(class, &bytes)?, class.call1((&bytes,))?);
    Ok(made.eq(&expected)? && made.getattr("binary")?.eq(&bytes)? && made.hash()? == expected.hash()?)
}

/// Whether this Python creates a `datetime` from the bytes of a pickle.
fn datetime_has_state(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let moment = Moment { year: 2023, month: 12, day: 31, hour: 23, minute: 58, second: 59, micros: 987_654 };
    let expected = class.call1((2023, 12, 31, 23, 58, 59, 987_654))?;
    class.call1((PyBytes::new(py, &moment.state()),))?.eq(expected)
}
