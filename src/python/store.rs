//! The event store's own part of the binding: an event in, whether it is stored out.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::codec::{decode_json, encode_event};
use super::errors::{configuration_error, to_py};
use super::events::{EventModel, invalid, model_of, parsed, without_what_json_lacks};
use crate::error::{ErrorKind, Result};
use crate::events::OTHER;
use crate::events::validate::Problem;
use crate::events::view::DOCUMENT;
use crate::runtime::process;
use crate::store::redaction::Redaction;
use crate::store::{Metadata, Record, record};

/// What an event store does to what it stores.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub struct StoreSettings {
    redaction: Redaction,
    extension_id: Option<String>,
    environment_id: Option<String>,
}

#[pymethods]
impl StoreSettings {
    #[new]
    #[pyo3(signature = (redact, redact_paths, redact_key = None, extension_id = None, environment_id = None))]
    fn new(
        redact: bool,
        redact_paths: Vec<String>,
        redact_key: Option<String>,
        extension_id: Option<String>,
        environment_id: Option<String>,
        py: Python<'_>,
    ) -> PyResult<Self> {
        let redaction =
            Redaction::new(redact, &redact_paths, redact_key).map_err(|problem| configuration_error(py, problem))?;
        Ok(Self { redaction, extension_id, environment_id })
    }

    /// What is left of an object that is no valid event: what JSON has, without
    /// what must not be stored. `None` where it is no `dict`.
    fn remains(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let obj = match obj.cast::<EventModel>() {
            Ok(model) => model.call_method0("to_dict")?,
            Err(_) => obj.clone(),
        };
        let rest = without_what_json_lacks(&obj)?;
        let Ok(rest) = rest.cast::<PyDict>() else { return Ok(py.None()) };
        let (bytes, _) = encode_event(rest, &OTHER)?;
        decode_json(py, DOCUMENT, &self.redaction.apply_to_remains(&bytes))
    }
}

impl StoreSettings {
    /// The record of an event.
    pub fn record(
        &self,
        event_type: &Bound<'_, PyAny>,
        obj: &Bound<'_, PyAny>,
        task_id: Option<&str>,
        installation_id: Option<&str>,
    ) -> PyResult<Record> {
        let py = obj.py();
        let model = model_of(event_type, obj)?;
        let bytes = parsed(obj, model, true)?;
        let event_type = event_type.cast::<PyString>()?.to_str()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let metadata = Metadata {
            event_type,
            object: model.name,
            task_id,
            installation_id,
            extension_id: self.extension_id.as_deref(),
            environment_id: self.environment_id.as_deref(),
            received_at: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            receipt: process().object_id(),
        };
        record(&bytes, &self.redaction, &metadata)
            .map_err(|(path, message)| invalid(py, model, vec![Problem { path, message }]))
    }
}

/// What came of saving an event.
#[pyclass(module = "connect.eaas.mongodb", frozen, name = "SaveResult")]
pub struct SaveResult {
    /// The record's `_id`: the object's id and a digest of its content.
    #[pyo3(get)]
    id: String,
    /// Whether this call stored it.
    #[pyo3(get)]
    stored: bool,
}

#[pymethods]
impl SaveResult {
    /// Whether the same content was stored already.
    #[getter]
    fn duplicate(&self) -> bool {
        !self.stored
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            let other = other.get();
            (&other.id, other.stored) == (&self.id, self.stored)
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let outcome = if self.stored { "stored" } else { "duplicate" };
        Ok(format!("SaveResult(id={}, {outcome}=True)", PyString::new(py, &self.id).repr()?))
    }
}

/// The result of `save`: a duplicate of the same content is no error.
pub fn saved(py: Python<'_>, result: Result<()>, id: String) -> PyResult<Py<PyAny>> {
    let stored = match result {
        Ok(()) => true,
        Err(error) if error.kind == ErrorKind::DuplicateId => false,
        Err(error) => return Err(to_py(py, error)),
    };
    Ok(Py::new(py, SaveResult { id, stored })?.into_any())
}

/// The error for an event that the Data API would take for something else.
pub fn wrapper_in_event(py: Python<'_>, name: &str) -> PyErr {
    let message = format!(
        "a dict in it begins with the field {name}, which the Data API takes for another type: use the driver path"
    );
    invalid(py, &OTHER, vec![Problem { path: String::new(), message }])
}

/// The events of `save_many`: pairs of an event type and an object.
pub fn pairs<'py>(events: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let wrong = || PyTypeError::new_err("events must be pairs of an event type and an object");
    events.try_iter().map_err(|_| wrong())?.map(|pair| pair?.extract().map_err(|_| wrong())).collect()
}
