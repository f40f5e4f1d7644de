//! Converts the core's errors to Python's exceptions.

use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{Error, ErrorKind};
use crate::python::codec::decode_document;
use crate::python::lifecycle::once::intern;

/// A class of `bson.errors`.
pub(crate) fn bson_error<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "bson.errors"))?.getattr(name)
}

/// A class of `pymongo.errors`. The module is imported with the first error,
/// because it imports PyMongo's whole client.
fn pymongo_error<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "pymongo.errors"))?.getattr(name)
}

/// The exception for an error of the core.
pub(crate) fn to_py(py: Python<'_>, error: Error) -> PyErr {
    exception(py, &error).unwrap_or_else(|failed| failed)
}

/// A `ConfigurationError`, for arguments.
pub(crate) fn configuration_error(py: Python<'_>, message: impl Into<String>) -> PyErr {
    to_py(py, Error::new(ErrorKind::Configuration, message))
}

/// An `InvalidOperation`.
pub(crate) fn invalid_operation(py: Python<'_>, message: impl Into<String>) -> PyErr {
    to_py(py, Error::new(ErrorKind::InvalidOperation, message))
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let details = match &error.details {
        Some(details) => decode_document(py, details.as_bytes())?.into_bound(py),
        None => py.None().into_bound(py),
    };
    let message = error.message.as_str();
    let (name, arguments) = match error.kind {
        ErrorKind::Configuration => ("ConfigurationError", None),
        ErrorKind::InvalidUri => ("InvalidURI", None),
        ErrorKind::InvalidName => ("InvalidName", None),
        ErrorKind::ServerSelectionTimeout => ("ServerSelectionTimeoutError", None),
        ErrorKind::AutoReconnect => ("AutoReconnect", None),
        ErrorKind::NetworkTimeout => ("NetworkTimeout", None),
        ErrorKind::WaitQueueTimeout => ("WaitQueueTimeoutError", None),
        ErrorKind::NotPrimary => ("NotPrimaryError", Some((message, details).into_pyobject(py)?)),
        ErrorKind::InvalidOperation => ("InvalidOperation", None),
        ErrorKind::DocumentTooLarge => ("DocumentTooLarge", None),
        ErrorKind::Protocol => ("ProtocolError", None),
        ErrorKind::BulkWrite => {
            let details = if details.is_none() { PyDict::new(py).into_any() } else { details };
            let raised = pymongo_error(py, "BulkWriteError")?.call1((details,))?;
            return finished(py, raised, error);
        }
        ErrorKind::NotSupported => return Ok(PyNotImplementedError::new_err(message.to_owned())),
        ErrorKind::InvalidBson => {
            return Ok(PyErr::from_value(bson_error(py, "InvalidBSON")?.call1((message,))?));
        }
        ErrorKind::DataApi { status } => {
            let class = py.import(intern!(py, "connect.eaas.mongodb.errors"))?.getattr(intern!(py, "DataApiError"))?;
            let raised = class.call1((message, status, error.error_code.as_deref(), error.code))?;
            return finished(py, raised, error);
        }
        ErrorKind::Operation => server_error("OperationFailure", py, error, details)?,
        ErrorKind::Write => server_error("WriteError", py, error, details)?,
        ErrorKind::DuplicateKey | ErrorKind::DuplicateId => server_error("DuplicateKeyError", py, error, details)?,
        ErrorKind::WriteConcern => server_error("WriteConcernError", py, error, details)?,
        ErrorKind::WTimeout => server_error("WTimeoutError", py, error, details)?,
        ErrorKind::ExecutionTimeout => server_error("ExecutionTimeout", py, error, details)?,
        ErrorKind::CursorNotFound => server_error("CursorNotFound", py, error, details)?,
    };
    let class = pymongo_error(py, name)?;
    let raised = match arguments {
        Some(arguments) => class.call1(arguments.cast_into::<pyo3::types::PyTuple>().map_err(PyErr::from)?)?,
        None => class.call1((message,))?,
    };
    finished(py, raised, error)
}

type Arguments<'py> = (&'static str, Option<Bound<'py, pyo3::types::PyTuple>>);

fn server_error<'py>(
    name: &'static str,
    py: Python<'py>,
    error: &Error,
    details: Bound<'py, PyAny>,
) -> PyResult<Arguments<'py>> {
    Ok((name, Some((error.message.as_str(), error.code, details).into_pyobject(py)?)))
}

/// Sets the attributes that PyMongo's constructors do not set. The server's error
/// document may contain user data, so it is in `details`, not in the message.
fn finished(py: Python<'_>, raised: Bound<'_, PyAny>, error: &Error) -> PyResult<PyErr> {
    raised.setattr(intern!(py, "args"), (error.message.as_str(),))?;
    raised.setattr(intern!(py, "_message"), error.message.as_str())?;
    for label in &error.labels {
        raised.call_method1(intern!(py, "_add_error_label"), (label,))?;
    }
    Ok(PyErr::from_value(raised))
}

/// The `TypeError` for an argument.
pub(crate) fn wrong_type(name: &str, expected: &str, value: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("{name} must be {expected}, not {}", value.get_type()))
}
