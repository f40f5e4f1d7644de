//! PyMongo's arguments ► the core's options.

use bson::{Bson, Document, RawBsonRef, RawDocument};
use pyo3::exceptions::{PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyMapping, PyString, PyTuple};

use super::codec::{encode, encode_value, raw_document};
use super::errors::{to_py, wrong_type};
use crate::codec::writer::BsonWriter;
use crate::error::{Error, ErrorKind};

/// Refuses a session.
pub fn no_session(session: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match session {
        None => Ok(()),
        Some(_) => Err(PyNotImplementedError::new_err("sessions are not supported yet: leave session out")),
    }
}

/// The name of a database or a collection.
pub fn name(
    value: &Bound<'_, PyAny>,
    what: &str,
    check: fn(&str) -> std::result::Result<(), String>,
) -> PyResult<String> {
    let name = value.cast::<PyString>().map_err(|_| wrong_type("name", "an instance of str", value))?.to_str()?;
    check(name).map_err(|problem| {
        let message = format!("{what} name {:?} {problem}", crate::error::excerpt(name, 100));
        to_py(value.py(), Error::new(ErrorKind::InvalidName, message))
    })?;
    Ok(name.to_owned())
}

/// A command: its name with a value, or a document; and more fields.
pub fn command(
    command: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    more: Option<&Bound<'_, PyDict>>,
) -> PyResult<Document> {
    let whole = PyDict::new(command.py());
    if command.cast::<PyString>().is_ok() {
        match value {
            Some(value) => whole.set_item(command, value)?,
            None => whole.set_item(command, 1)?,
        }
    } else if command.cast::<PyMapping>().is_ok() {
        whole.call_method1("update", (command,))?;
    } else {
        return Err(wrong_type("command", "an instance of str or a mapping", command));
    }
    if let Some(more) = more {
        whole.call_method1("update", (more,))?;
    }
    if whole.is_empty() {
        return Err(PyValueError::new_err("the command must not be empty"));
    }
    document(whole.as_any())
}

/// Any value as the driver takes it.
pub fn bson_value(value: &Bound<'_, PyAny>) -> PyResult<Bson> {
    let bytes = encode_value(value)?;
    let element = RawDocument::from_bytes(bytes.as_slice()).and_then(|document| document.get("v"));
    let wrong = || PyValueError::new_err("the value cannot be encoded");
    element.ok().flatten().and_then(|value: RawBsonRef<'_>| Bson::try_from(value).ok()).ok_or_else(wrong)
}

/// A document as the driver takes options.
pub fn document(value: &Bound<'_, PyAny>) -> PyResult<Document> {
    let mut out = BsonWriter::default();
    encode(value, &mut out)?;
    let raw = raw_document(value.py(), out.buf)?;
    Document::try_from(&raw).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Checks what PyMongo checks when a cursor is made.
pub fn find_arguments(
    py: Python<'_>,
    filter: Option<&Py<PyAny>>,
    given_projection: Option<&Py<PyAny>>,
    sort: Option<&Py<PyAny>>,
) -> PyResult<()> {
    if let Some(filter) = filter.map(|filter| filter.bind(py)).filter(|filter| filter.cast::<PyMapping>().is_err()) {
        return Err(wrong_type("filter", "a mapping", filter));
    }
    if let Some(given) = given_projection {
        projection(given.bind(py))?;
    }
    if let Some(sort) = sort {
        keys("sort", sort.bind(py))?;
    }
    Ok(())
}

/// Refuses arguments that this client does not have.
pub fn not_supported<const N: usize>(arguments: [(&str, bool); N]) -> PyResult<()> {
    match arguments.iter().find(|(_, used)| *used) {
        Some((name, _)) => Err(PyNotImplementedError::new_err(format!("{name} is not supported: leave it out"))),
        None => Ok(()),
    }
}

/// `collation`: PyMongo's `Collation`, or a mapping.
pub fn collation<'py>(collation: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if collation.cast::<PyMapping>().is_ok() {
        return Ok(collation.clone());
    }
    collation
        .getattr("document")
        .map_err(|_| wrong_type("collation", "a pymongo.collation.Collation or a mapping", collation))
}

/// What a cursor's `sort` takes: a field's name with its direction, or what [`keys`] takes.
pub fn sort<'py>(
    keys_or_name: &Bound<'py, PyAny>,
    direction: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match direction {
        None => keys("sort", keys_or_name),
        Some(direction) => {
            let name = keys_or_name.cast::<PyString>().map_err(|_| {
                PyTypeError::new_err("a direction comes with a field's name only: give pairs of names and directions")
            })?;
            let sort = PyDict::new(name.py());
            sort.set_item(name, direction)?;
            Ok(sort.into_any())
        }
    }
}

/// `filter` of `find_one`: a query, or the `_id` to look for.
pub fn filter<'py>(py: Python<'py>, filter: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    match filter {
        None => Ok(PyDict::new(py).into_any()),
        Some(filter) if filter.cast::<PyMapping>().is_ok() => Ok(filter.clone()),
        Some(id) => {
            let filter = PyDict::new(py);
            filter.set_item("_id", id)?;
            Ok(filter.into_any())
        }
    }
}

/// `projection`: a document, or a list of the names to include; nothing where it is empty, as with PyMongo.
pub fn projection<'py>(projection: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if projection.cast::<PyMapping>().is_ok() {
        return Ok(Some(projection.clone()).filter(|projection| !projection.is_empty().unwrap_or(false)));
    }
    if projection.cast::<PyString>().is_ok() {
        return Err(wrong_type("projection", "a list of field names or a mapping", projection));
    }
    let names = PyDict::new(projection.py());
    for name in
        projection.try_iter().map_err(|_| wrong_type("projection", "a list of field names or a mapping", projection))?
    {
        let name = name?;
        name.cast::<PyString>().map_err(|_| wrong_type("each name in projection", "an instance of str", &name))?;
        names.set_item(name, 1)?;
    }
    Ok((!names.is_empty()).then(|| names.into_any()))
}

/// `sort` or an index's keys: a name, a mapping, or a list of names or of
/// (name, direction) pairs.
pub fn keys<'py>(argument: &str, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = keys.py();
    let ordered = PyDict::new(py);
    if keys.cast::<PyString>().is_ok() {
        ordered.set_item(keys, 1)?;
        return Ok(ordered.into_any());
    }
    if keys.cast::<PyMapping>().is_ok() {
        return Ok(keys.clone());
    }
    let wrong = || wrong_type(argument, "a field name, a mapping, or a list of (name, direction) pairs", keys);
    if keys.cast::<PyList>().is_err() && keys.cast::<PyTuple>().is_err() {
        return Err(wrong());
    }
    for key in keys.try_iter()? {
        let key = key?;
        if key.cast::<PyString>().is_ok() {
            ordered.set_item(key, 1)?;
        } else {
            let (name, direction) = key.extract::<(Bound<'py, PyString>, Bound<'py, PyAny>)>().map_err(|_| wrong())?;
            ordered.set_item(name, direction)?;
        }
    }
    if ordered.is_empty() {
        return Err(PyValueError::new_err(format!("{argument} must not be empty")));
    }
    Ok(ordered.into_any())
}

/// Keyword options of a client as connection string options.
pub fn uri_options(options: &Bound<'_, PyDict>) -> PyResult<Vec<(String, String)>> {
    let mut query = Vec::new();
    for (name, value) in options {
        let name = name.extract::<String>()?;
        if value.is_none() {
            continue;
        }
        let text = if let Ok(flag) = value.cast::<PyBool>() {
            flag.is_true().to_string()
        } else if value.cast::<PyList>().is_ok() || value.cast::<PyTuple>().is_ok() {
            let parts: Vec<String> =
                value.try_iter()?.map(|part| Ok(part?.str()?.to_string())).collect::<PyResult<_>>()?;
            parts.join(",")
        } else if value.cast::<PyMapping>().is_ok() {
            let pairs = PyDict::new(value.py());
            pairs.call_method1("update", (&value,))?;
            let parts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            parts.join(",")
        } else if value.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "{name} must be a number, a text or a bool, as in a connection string"
            )));
        } else {
            value.str()?.to_string()
        };
        query.push((name, text));
    }
    Ok(query)
}
