//! The event store's part of the binding.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::config::needs_acknowledgment;
use crate::error::{ErrorKind, Result};
use crate::events::schema::Model;
use crate::events::validate::{Deviation, Problem};
use crate::events::{OTHER, format, view};
use crate::python::api::collection::CollectionBase;
use crate::python::convert::errors::{configuration_error, to_py};
use crate::python::event_models::{Payload, invalid, model_of};
use crate::python::lifecycle::once::intern;
use crate::runtime::process;
use crate::store::index::Index;
use crate::store::redaction::Redaction;
use crate::store::{self, Form, Metadata, PAYLOAD, Record, SealedId, is_installation, metrics, object_id, record};

/// The settings of an event store that apply to its records.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub(crate) struct StoreSettings {
    redaction: Redaction,
    extension_id: Option<String>,
    environment_id: Option<String>,
    backfill: Option<String>,
}

#[pymethods]
impl StoreSettings {
    #[new]
    #[pyo3(signature = (redact, redact_paths, keep_paths, redact_key = None, extension_id = None, environment_id = None))]
    fn new(
        redact: bool,
        redact_paths: Vec<String>,
        keep_paths: Vec<String>,
        redact_key: Option<String>,
        extension_id: Option<String>,
        environment_id: Option<String>,
        py: Python<'_>,
    ) -> PyResult<Self> {
        let redaction = Redaction::new(redact, &redact_paths, &keep_paths, redact_key)
            .map_err(|problem| configuration_error(py, problem))?;
        Ok(Self { redaction, extension_id, environment_id, backfill: None })
    }

    /// The same settings for the records of a backfill, which name it.
    fn for_backfill(&self, backfill: String) -> Self {
        Self {
            redaction: self.redaction.clone(),
            extension_id: self.extension_id.clone(),
            environment_id: self.environment_id.clone(),
            backfill: Some(backfill),
        }
    }

    /// A payload as JSON text, redacted as a record is, and the object's id.
    fn dead_letter(&self, event_type: &Bound<'_, PyAny>, obj: &Bound<'_, PyAny>) -> PyResult<(String, Option<String>)> {
        let model = model_of(event_type, obj).unwrap_or(&OTHER);
        let payload = Payload::new(obj, model)?;
        let event_type = event_type.extract::<String>().unwrap_or_default();
        let is_installation = is_installation(&event_type, model);
        let index = Index::new(&payload.bytes);
        let redacted = self.redaction.apply(&index, is_installation, !payload.refused.is_empty());
        let bytes = redacted.as_deref().unwrap_or(&payload.bytes);
        Ok(match payload.form {
            Form::Fields => (format::document_json(bytes), object_id(bytes).map(Cow::into_owned)),
            Form::Value => {
                let mut text = String::new();
                if let Some(place) = view::field(bytes, 0, PAYLOAD) {
                    format::write_json(&mut text, bytes, place);
                }
                (text, None)
            }
        })
    }

    /// The extension and the environment that are kept with each event.
    #[getter]
    fn context(&self) -> (Option<&str>, Option<&str>) {
        (self.extension_id.as_deref(), self.environment_id.as_deref())
    }
}

impl StoreSettings {
    /// The record of an event.
    pub(crate) fn record(
        &self,
        event_type: &Bound<'_, PyAny>,
        obj: &Bound<'_, PyAny>,
        task_id: Option<&str>,
        installation_id: Option<&str>,
    ) -> PyResult<Record> {
        let py = obj.py();
        let model = model_of(event_type, obj)?;
        let unstorable = |problems| {
            metrics::UNSTORABLE.increment();
            invalid(py, model, problems)
        };
        let payload = Payload::new(obj, model)?;
        if !payload.refused.is_empty() {
            return Err(unstorable(payload.refused));
        }
        let event_type = event_type.cast::<PyString>()?.to_str()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let metadata = Metadata {
            event_type,
            task_id,
            installation_id,
            extension_id: self.extension_id.as_deref(),
            environment_id: self.environment_id.as_deref(),
            received_at: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            receipt: process().object_id(),
            backfill: self.backfill.as_deref(),
        };
        let Payload { bytes, form, is_plain, may_deviate, .. } = &payload;
        let (form, is_plain, may_deviate) = (*form, *is_plain, *may_deviate);
        let payload = store::Payload { bytes: bytes.as_slice(), form, is_plain, model, may_deviate };
        let record = record(payload, &self.redaction, &metadata).map_err(unstorable)?;
        for deviation in metrics::count_deviations(model.name, &record.deviations) {
            log_deviation(py, model, deviation)?;
        }
        Ok(record)
    }
}

/// Logs that a field deviates, the first time that it does in this process.
fn log_deviation(py: Python<'_>, model: &Model, deviation: &Deviation) -> PyResult<()> {
    let logger = py.import(intern!(py, "logging"))?.call_method1(intern!(py, "getLogger"), (LOGGER,))?;
    let message = "%s.%s: %s. The object is stored as it is";
    let arguments = (message, model.name, &deviation.field, deviation.message());
    logger.call_method1(intern!(py, "info"), arguments)?;
    Ok(())
}

/// The logger of the event store.
const LOGGER: &str = "connect.eaas.mongodb.store";

/// The event store's counters in this process: `events_stored`, `events_duplicate`,
/// `events_deviating`, `events_unstorable`, `dead_letters`, and `deviations`, a dict of
/// `(class, field)` to how often it deviated.
#[pyfunction]
pub(crate) fn store_metrics(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let counts = PyDict::new(py);
    for (name, counter) in [
        ("events_stored", &metrics::STORED),
        ("events_duplicate", &metrics::DUPLICATES),
        ("events_deviating", &metrics::DEVIATING),
        ("events_unstorable", &metrics::UNSTORABLE),
        ("dead_letters", &metrics::DEAD_LETTERS),
    ] {
        counts.set_item(name, counter.value())?;
    }
    let fields = PyDict::new(py);
    for (model, field, count) in metrics::deviations_by_field() {
        fields.set_item((model, field), count)?;
    }
    counts.set_item("deviations", fields)?;
    Ok(counts)
}

/// Count a dead letter that was written.
#[pyfunction]
#[pyo3(name = "_count_dead_letter")]
pub(crate) fn count_dead_letter() {
    metrics::DEAD_LETTERS.increment();
}

/// Raises `ConfigurationError` if the writes of a collection are unacknowledged: a store would not know what it stored.
#[pyfunction]
#[pyo3(name = "_check_acknowledged")]
pub(crate) fn check_acknowledged(collection: &Bound<'_, PyAny>) -> PyResult<()> {
    match collection.cast::<CollectionBase>().is_ok_and(|base| !base.get().is_acknowledged()) {
        true => Err(configuration_error(collection.py(), needs_acknowledgment("the event store"))),
        false => Ok(()),
    }
}

/// The result of saving an event.
#[pyclass(module = "connect.eaas.mongodb", frozen, name = "SaveResult")]
pub(crate) struct SaveResult {
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
pub(crate) fn saved(py: Python<'_>, result: Result<()>, id: &SealedId) -> PyResult<Py<PyAny>> {
    let stored = match result {
        Ok(()) => true,
        Err(error) if error.kind == ErrorKind::DuplicateId => false,
        Err(error) => return Err(to_py(py, error)),
    };
    if stored { &metrics::STORED } else { &metrics::DUPLICATES }.increment();
    // A record that was sent is sealed.
    let id = id.get().cloned().unwrap_or_default();
    Ok(Py::new(py, SaveResult { id, stored })?.into_any())
}

/// The error for an event that the Data API would interpret as Extended JSON.
pub(crate) fn wrapper_in_event(py: Python<'_>, name: &str) -> PyErr {
    let message = format!(
        "a dict in it begins with the field {name}, which the Data API takes for another type: use the driver path"
    );
    invalid(py, &OTHER, vec![Problem { path: String::new(), message }])
}

/// The events of `save_many`: pairs of an event type and an object.
pub(crate) fn pairs<'py>(events: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let wrong = || PyTypeError::new_err("events must be pairs of an event type and an object");
    events.try_iter().map_err(|_| wrong())?.map(|pair| pair?.extract().map_err(|_| wrong())).collect()
}
