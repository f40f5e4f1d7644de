//! The classes that users see. Of each class the methods that both paths and
//! both modes have are in a base class (`client`, `database`, `collection`,
//! `cursor`, `session`, `change_stream`); those of the driver path only are in
//! `driver_client`, `driver_database` and `driver_collection`.

pub(crate) mod change_stream;
pub(crate) mod client;
pub(crate) mod collection;
pub(crate) mod cursor;
pub(crate) mod database;
pub(crate) mod driver_client;
pub(crate) mod driver_collection;
pub(crate) mod driver_database;
pub(crate) mod session;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyAttributeError, PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple};

use crate::driver::DriverClient;
use crate::python::calls::CallContext;
use crate::python::calls::target::{Path, Target};
use crate::python::calls::{FindArguments, Opening};
use crate::python::convert::options::{self, Opt, Opts};
use cursor::{CursorCore, Open};

/// The options `session` and `comment`, which most methods have.
fn usual(session: Option<Py<PyAny>>, comment: Option<Py<PyAny>>) -> Opts {
    vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))]
}

/// The options `session` and `comment`, and keywords of any name.
fn usual_and(kwargs: Option<&Bound<'_, PyDict>>, session: Option<Py<PyAny>>, comment: Option<Py<PyAny>>) -> Opts {
    let mut opts = options::any(kwargs);
    opts.extend(usual(session, comment));
    opts
}

/// The cursor of a command.
fn listing(
    source: Bound<'_, PyAny>,
    target: Target<DriverClient>,
    session: Option<Py<PyAny>>,
    open: impl Fn(Python<'_>, CallContext<DriverClient>) -> PyResult<Opening> + Send + Sync + 'static,
) -> CursorCore {
    let (codec, target) = (target.codec.clone(), Arc::new(target));
    let located = Arc::clone(&target);
    let open: Open = Arc::new(move |py, _| open(py, target.context(py)?));
    CursorCore::new(source.unbind(), open, located, codec, FindArguments { session, ..FindArguments::default() })
}

fn clone_of(py: Python<'_>, session: &Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    session.as_ref().map(|session| session.clone_ref(py))
}

fn no_encryption(encrypted_fields: Option<&Py<PyAny>>) -> PyResult<()> {
    match encrypted_fields {
        None => Ok(()),
        Some(_) => Err(PyNotImplementedError::new_err(
            "encrypted_fields is not supported, since client-side encryption is not: leave it out, or use PyMongo",
        )),
    }
}

/// A method that only the driver path has.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct DriverOnly {
    name: String,
}

#[pymethods]
impl DriverOnly {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(&self, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        let _ = (args, kwargs);
        // A gateway has these in another form, which is no call of a client.
        let instead = match self.name.as_str() {
            "start_session" => ". The gateway's action transaction runs several operations in one request, all or none",
            "watch" => ". The gateway's route watch sends changes as server-sent events",
            _ => "",
        };
        Err(PyNotImplementedError::new_err(format!(
            "the Data API has no {}: use the driver path, AsyncMongoClient or MongoClient{instead}",
            self.name
        )))
    }
}

/// The object in the place of a member that only the driver path's class `D` has, for an object of the Data API path.
fn driver_only<D: PyTypeInfo>(py: Python<'_>, path: &Path, name: &Bound<'_, PyString>) -> PyResult<Option<Py<PyAny>>> {
    if matches!(path, Path::Driver(_)) || !py.get_type::<D>().hasattr(name)? {
        return Ok(None);
    }
    Ok(Some(Py::new(py, DriverOnly { name: name.to_str()?.to_owned() })?.into_any()))
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The error for an attribute with a leading underscore, which names no database and no collection.
fn private(
    object: &Bound<'_, PyAny>,
    attribute: &Bound<'_, PyString>,
    what: &str,
    name: &str,
    access: &str,
) -> PyResult<PyErr> {
    let (class, quoted) = (object.get_type(), PyString::new(object.py(), name));
    Ok(PyAttributeError::new_err(format!(
        "{} has no attribute {}. To access the {name} {what}, use {access}[{}].",
        class.name()?,
        attribute.repr()?,
        quoted.repr()?
    )))
}

fn no_truth(object: &Bound<'_, PyAny>, name: &str) -> PyResult<PyErr> {
    let class = object.get_type();
    Ok(PyNotImplementedError::new_err(format!(
        "{} objects do not implement truth value testing or bool(). Please compare with None instead: {name} is not \
         None",
        class.name()?
    )))
}

/// The error for an object in the place of one of the class `required`.
fn required_but_given(required: &str, given: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    Ok(PyTypeError::new_err(format!("{required} required but given {}", given.get_type().name()?)))
}

/// The error of iterating over an object that has no elements.
fn not_iterable(class: &str) -> PyErr {
    PyTypeError::new_err(format!("'{class}' object is not iterable"))
}

/// The result of `__eq__`; `None` if the other object is of another class.
fn equality(py: Python<'_>, equal: Option<bool>) -> Py<PyAny> {
    match equal {
        Some(equal) => PyBool::new(py, equal).to_owned().into_any().unbind(),
        None => py.NotImplemented(),
    }
}
