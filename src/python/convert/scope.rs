//! The options that calls inherit from a client, a database or a collection:
//! codec options, read preference, read concern and write concern.

use std::sync::Arc;

use bson::Document;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::config::ConnectionDefaults;
use crate::driver::concern::Concerns;
use crate::python::asyncio::call::raised;
use crate::python::codec::{Codec, DEFAULT, decode_document};
use crate::python::convert::errors::wrong_type;
use crate::python::convert::options::document;

/// The options that calls inherit.
#[derive(Clone)]
pub(crate) struct Scope {
    codec: Option<Arc<Codec>>,
    /// For the core.
    pub(crate) concerns: Arc<Concerns>,
    given: Arc<Given>,
    defaults: Arc<ConnectionDefaults>,
}

/// The objects that Python code passed. The connection string's options apply to the others.
#[derive(Default)]
struct Given {
    read_preference: Option<Py<PyAny>>,
    write_concern: Option<Py<PyAny>>,
    read_concern: Option<Py<PyAny>>,
}

/// The arguments of `with_options`.
#[derive(Default)]
pub(crate) struct Overrides<'a, 'py> {
    pub(crate) codec_options: Option<&'a Bound<'py, PyAny>>,
    pub(crate) read_preference: Option<&'a Bound<'py, PyAny>>,
    pub(crate) write_concern: Option<&'a Bound<'py, PyAny>>,
    pub(crate) read_concern: Option<&'a Bound<'py, PyAny>>,
}

impl Overrides<'_, '_> {
    /// The options that are given. As with PyMongo, an empty value is none.
    fn given(&self) -> PyResult<Self> {
        let mut given = Self { ..*self };
        for option in
            [&mut given.codec_options, &mut given.read_preference, &mut given.write_concern, &mut given.read_concern]
        {
            if let Some(value) = option
                && !value.is_truthy()?
            {
                *option = None;
            }
        }
        Ok(given)
    }
}

/// The codec of a call.
#[derive(Clone)]
pub(crate) struct CodecRef(Option<Arc<Codec>>);

impl CodecRef {
    /// PyMongo's default.
    pub(crate) const DEFAULT: Self = Self(None);

    /// The codec of a `CodecOptions`.
    pub(crate) fn new(options: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(Arc::new(Codec::new(options)?))))
    }
}

impl std::ops::Deref for CodecRef {
    type Target = Codec;

    fn deref(&self) -> &Codec {
        self.0.as_deref().unwrap_or(&DEFAULT)
    }
}

impl Scope {
    /// The options of a connection string.
    pub(crate) fn new(defaults: ConnectionDefaults) -> Self {
        Self { codec: None, concerns: Arc::default(), given: Arc::default(), defaults: Arc::new(defaults) }
    }

    /// The codec.
    pub(crate) fn codec(&self) -> CodecRef {
        CodecRef(self.codec.clone())
    }

    /// A scope with some options replaced.
    pub(crate) fn with(&self, py: Python<'_>, overrides: &Overrides<'_, '_>) -> PyResult<Self> {
        let overrides = overrides.given()?;
        let codec = match overrides.codec_options {
            Some(options) => Some(Arc::new(Codec::new(options)?)),
            None => self.codec.clone(),
        };
        let either = |new: Option<&Bound<'_, PyAny>>, old: &Option<Py<PyAny>>| match new {
            Some(new) => Some(new.clone().unbind()),
            None => old.as_ref().map(|old| old.clone_ref(py)),
        };
        let checked = |value: Option<&Bound<'_, PyAny>>, name: &str, module: &str, class: &str| match value {
            Some(value) if !value.is_instance(&py.import(module)?.getattr(class)?)? => {
                Err(wrong_type(name, &format!("an instance of {module}.{class}"), value))
            }
            _ => Ok(()),
        };
        checked(overrides.write_concern, "write_concern", "pymongo.write_concern", "WriteConcern")?;
        checked(overrides.read_concern, "read_concern", "pymongo.read_concern", "ReadConcern")?;
        if let Some(preference) = overrides.read_preference
            && !preference.hasattr("document")?
        {
            return Err(PyTypeError::new_err(format!(
                "{} is not valid for read_preference. See pymongo.read_preferences for valid options.",
                preference.repr()?
            )));
        }
        if overrides.read_preference.is_none() && overrides.write_concern.is_none() && overrides.read_concern.is_none()
        {
            return Ok(Self { codec, ..self.clone() });
        }
        let given = Given {
            read_preference: either(overrides.read_preference, &self.given.read_preference),
            write_concern: either(overrides.write_concern, &self.given.write_concern),
            read_concern: either(overrides.read_concern, &self.given.read_concern),
        };
        let concerns = Arc::new(concerns(
            py,
            given.read_concern.as_ref(),
            given.write_concern.as_ref(),
            given.read_preference.as_ref(),
        )?);
        Ok(Self { codec, concerns, given: Arc::new(given), defaults: Arc::clone(&self.defaults) })
    }

    /// `codec_options`.
    pub(crate) fn codec_options(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.codec().options(py)
    }

    /// `read_preference`.
    pub(crate) fn read_preference(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(given) = &self.given.read_preference {
            return Ok(given.clone_ref(py));
        }
        let module = py.import("pymongo.read_preferences")?;
        let default = &self.defaults.read_preference;
        let mode = default.get_str("mode").unwrap_or("primary");
        let modes = module.getattr("_MONGOS_MODES")?;
        let number = modes.call_method1("index", (mode,))?;
        let tags = match default.get_array("tags") {
            Ok(tags) => {
                let holder = py_document(py, &bson::doc! { "tags": tags.clone() })?;
                Some(holder.bind(py).get_item("tags")?)
            }
            Err(_) => None,
        };
        let staleness = default.get_i64("maxStalenessSeconds").unwrap_or(-1);
        if mode == "primary" {
            return Ok(module.getattr("ReadPreference")?.getattr("PRIMARY")?.unbind());
        }
        Ok(module.getattr("make_read_preference")?.call1((number, tags, staleness))?.unbind())
    }

    /// `write_concern`.
    pub(crate) fn write_concern(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(given) = &self.given.write_concern {
            return Ok(given.clone_ref(py));
        }
        let class = py.import("pymongo.write_concern")?.getattr("WriteConcern")?;
        let keywords = py_document(py, &self.defaults.write_concern)?;
        Ok(class.call((), Some(keywords.bind(py).cast::<PyDict>()?))?.unbind())
    }

    /// `read_concern`.
    pub(crate) fn read_concern(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(given) = &self.given.read_concern {
            return Ok(given.clone_ref(py));
        }
        let class = py.import("pymongo.read_concern")?.getattr("ReadConcern")?;
        Ok(class.call1((self.defaults.read_concern.as_deref(),))?.unbind())
    }
}

fn py_document(py: Python<'_>, document: &Document) -> PyResult<Py<PyAny>> {
    let bytes = bson::serialize_to_vec(document).map_err(|error| PyTypeError::new_err(error.to_string()))?;
    decode_document(py, &bytes)
}

/// Converts PyMongo's objects to the core's concerns.
pub(crate) fn concerns(
    py: Python<'_>,
    read_concern: Option<&Py<PyAny>>,
    write_concern: Option<&Py<PyAny>>,
    read_preference: Option<&Py<PyAny>>,
) -> PyResult<Concerns> {
    let of = |object: Option<&Py<PyAny>>| -> PyResult<Option<Document>> {
        match object {
            Some(object) => Ok(Some(document(&DEFAULT, &object.bind(py).getattr("document")?)?)),
            None => Ok(None),
        }
    };
    let concerns =
        Concerns::new(of(read_concern)?.as_ref(), of(write_concern)?.as_ref(), of(read_preference)?.as_ref());
    raised(py, concerns)
}
