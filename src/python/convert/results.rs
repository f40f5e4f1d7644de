//! The results of writes. They have the API of `pymongo.results`, whose import
//! would take a quarter of a second.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::classes::class_of;
use super::errors::{invalid_operation, to_py};
use crate::driver::write::Updated;
use crate::error::{ErrorKind, Result};
use crate::python::asyncio::call::raised;
use crate::python::codec::Codec;

use crate::python::codec::Id;
use crate::python::lifecycle::once::Once;

/// The result of `insert_one`.
#[pyclass(module = "connect.eaas.mongodb", frozen)]
pub(crate) struct InsertOneResult {
    id: Id,
    made: Once<Py<PyAny>>,
    /// Whether MongoDB acknowledged the write: not with the write concern `w=0`.
    #[pyo3(get)]
    acknowledged: bool,
}

#[pymethods]
impl InsertOneResult {
    #[new]
    #[pyo3(signature = (inserted_id, acknowledged))]
    fn new(inserted_id: Py<PyAny>, acknowledged: bool) -> Self {
        Self { id: Id::Given(inserted_id), made: Once::new(), acknowledged }
    }

    /// The `_id` of the inserted document.
    #[getter]
    fn inserted_id(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // Most callers never read it, so the ObjectId is created on demand.
        Ok(self.made.get(py, || self.id.to_py(py))?.clone_ref(py))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let id = self.inserted_id(py)?.into_bound(py).repr()?.to_string();
        Ok(format!("InsertOneResult({id}, acknowledged={})", python_bool(self.acknowledged)))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let arguments = (slf.get().inserted_id(slf.py())?, slf.get().acknowledged);
        (slf.get_type(), arguments).into_pyobject(slf.py())
    }
}

/// The result of `insert_many`.
#[pyclass(module = "connect.eaas.mongodb", frozen)]
pub(crate) struct InsertManyResult {
    /// The `_id`s of the inserted documents, in the order of the documents.
    #[pyo3(get)]
    inserted_ids: Py<PyList>,
    /// Whether MongoDB acknowledged the write: not with the write concern `w=0`.
    #[pyo3(get)]
    acknowledged: bool,
}

#[pymethods]
impl InsertManyResult {
    #[new]
    #[pyo3(signature = (inserted_ids, acknowledged))]
    pub(crate) fn new(inserted_ids: Py<PyList>, acknowledged: bool) -> Self {
        Self { inserted_ids, acknowledged }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let ids = self.inserted_ids.bind(py).repr()?;
        Ok(format!("InsertManyResult({ids}, acknowledged={})", python_bool(self.acknowledged)))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (Py<PyList>, bool)) {
        let this = slf.get();
        (slf.get_type().into_any(), (this.inserted_ids.clone_ref(slf.py()), this.acknowledged))
    }
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// The error for a property of an unacknowledged write, with PyMongo's message.
fn unavailable(py: Python<'_>, property: &str) -> PyErr {
    let message = format!(
        "A value for {property} is not available when the write is unacknowledged. Check the acknowledged attribute to \
         avoid this error."
    );
    invalid_operation(py, message)
}

/// The counts and the upserted `_id` of an acknowledged update.
struct Counts {
    matched: u64,
    modified: u64,
    upserted: Option<Py<PyAny>>,
}

/// The result of an update or a replacement.
#[pyclass(module = "connect.eaas.mongodb", frozen)]
pub(crate) struct UpdateResult {
    /// `None` if MongoDB did not acknowledge the write.
    counts: Option<Counts>,
}

impl UpdateResult {
    fn counts(&self, py: Python<'_>, property: &str) -> PyResult<&Counts> {
        self.counts.as_ref().ok_or_else(|| unavailable(py, property))
    }
}

#[pymethods]
impl UpdateResult {
    /// The number of documents that matched.
    #[getter]
    fn matched_count(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.counts(py, "matched_count")?.matched)
    }

    /// The number of documents that were changed.
    #[getter]
    fn modified_count(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.counts(py, "modified_count")?.modified)
    }

    /// The `_id` of the upserted document, or `None`.
    #[getter]
    fn upserted_id(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.counts(py, "upserted_id")?.upserted.as_ref().map(|id| id.clone_ref(py)))
    }

    /// Whether MongoDB acknowledged the write: not with the write concern `w=0`.
    #[getter]
    fn acknowledged(&self) -> bool {
        self.counts.is_some()
    }

    /// Whether a document was upserted.
    #[getter]
    fn did_upsert(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.counts(py, "did_upsert")?.upserted.is_some())
    }

    /// The server's reply, or `None` if there was none.
    #[getter]
    fn raw_result<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(Counts { matched, modified, upserted }) = &self.counts else { return Ok(None) };
        let raw = PyDict::new(py);
        let counted = upserted.as_ref().is_some_and(|id| !id.is_none(py));
        raw.set_item("n", matched + u64::from(counted))?;
        if let Some(id) = upserted {
            raw.set_item("upserted", id)?;
        }
        raw.set_item("nModified", modified)?;
        raw.set_item("ok", 1.0)?;
        raw.set_item("updatedExisting", *matched > 0 && upserted.is_none())?;
        Ok(Some(raw))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let raw = self.raw_result(py)?.into_pyobject(py)?.repr()?.to_string();
        Ok(format!("UpdateResult({raw}, acknowledged={})", python_bool(self.acknowledged())))
    }
}

/// The result of a deletion.
#[pyclass(module = "connect.eaas.mongodb", frozen)]
pub(crate) struct DeleteResult {
    /// The number of documents that were deleted; `None` if MongoDB did not acknowledge the write.
    deleted: Option<u64>,
}

#[pymethods]
impl DeleteResult {
    /// The number of documents that were deleted.
    #[getter]
    fn deleted_count(&self, py: Python<'_>) -> PyResult<u64> {
        self.deleted.ok_or_else(|| unavailable(py, "deleted_count"))
    }

    /// Whether MongoDB acknowledged the write: not with the write concern `w=0`.
    #[getter]
    fn acknowledged(&self) -> bool {
        self.deleted.is_some()
    }

    /// The server's reply.
    #[getter]
    fn raw_result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let raw = PyDict::new(py);
        match self.deleted {
            Some(deleted) => {
                raw.set_item("n", deleted)?;
                raw.set_item("ok", 1.0)?;
            }
            // As with PyMongo.
            None => raw.set_item("ok", 1)?,
        }
        Ok(raw)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let raw = self.raw_result(py)?.repr()?.to_string();
        Ok(format!("DeleteResult({raw}, acknowledged={})", python_bool(self.acknowledged())))
    }
}

/// A result of PyMongo's own class, for methods whose arguments require that PyMongo is imported.
pub(crate) fn pymongo_result<'py>(
    py: Python<'py>,
    class: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Py<PyAny>> {
    Ok(py.import("pymongo.results")?.getattr(class)?.call1(arguments)?.unbind())
}

/// The result of `insert_one`.
pub(crate) fn inserted_one(py: Python<'_>, result: Result<()>, id: Id, acknowledged: bool) -> PyResult<Py<PyAny>> {
    result.map_err(|error| to_py(py, error))?;
    Ok(Bound::new(py, InsertOneResult { id, made: Once::new(), acknowledged })?.into_any().unbind())
}

/// The result of `insert_many`. Its error contains each rejected document, as PyMongo's does.
pub(crate) fn inserted_many(
    py: Python<'_>,
    result: Result<()>,
    ids: Vec<Id>,
    documents: &Bound<'_, PyList>,
    acknowledged: bool,
) -> PyResult<Py<PyAny>> {
    let ids = ids.iter().map(|id| id.to_py(py)).collect::<PyResult<Vec<_>>>()?;
    match result {
        Ok(()) => {
            let ids = PyList::new(py, ids)?.unbind();
            Ok(Bound::new(py, InsertManyResult::new(ids, acknowledged))?.into_any().unbind())
        }
        Err(error) => {
            let bulk = error.kind == ErrorKind::BulkWrite;
            let raised = to_py(py, error);
            if bulk {
                name_refused(&raised.value(py).getattr("details")?, &ids, documents)?;
            }
            Err(raised)
        }
    }
}

/// Adds each rejected document to its entry, as `op`.
fn name_refused(details: &Bound<'_, PyAny>, ids: &[Py<PyAny>], documents: &Bound<'_, PyList>) -> PyResult<()> {
    let py = details.py();
    for refused in details.call_method1("get", ("writeErrors", PyTuple::empty(py)))?.try_iter()? {
        let refused = refused?;
        let place = refused.get_item("index").and_then(|place| place.extract::<usize>());
        let Some((Some(id), Ok(document))) = place.ok().map(|place| (ids.get(place), documents.get_item(place))) else {
            continue;
        };
        let operation = PyDict::new(py);
        operation.set_item("_id", id)?;
        operation.call_method1("update", (document,))?;
        refused.set_item("op", operation)?;
    }
    Ok(())
}

/// The result of an update or a replacement.
pub(crate) fn updated(
    py: Python<'_>,
    result: Result<Updated>,
    codec: &Codec,
    acknowledged: bool,
) -> PyResult<Py<PyAny>> {
    let Updated { matched, modified, upserted } = raised(py, result)?;
    if !acknowledged {
        return Ok(Bound::new(py, UpdateResult { counts: None })?.into_any().unbind());
    }
    let upserted = upserted.map(|id| codec.decode_value(py, id)).transpose()?;
    // As in PyMongo, an upserted `_id` of `None` counts as no upsert.
    let matched = matched + u64::from(upserted.as_ref().is_some_and(|id| id.is_none(py)));
    let counts = Some(Counts { matched, modified, upserted });
    Ok(Bound::new(py, UpdateResult { counts })?.into_any().unbind())
}

/// The result of a count.
pub(crate) fn counted(py: Python<'_>, count: Result<u64>) -> PyResult<Py<PyAny>> {
    Ok(raised(py, count)?.into_pyobject(py)?.into_any().unbind())
}

/// The result of a deletion.
pub(crate) fn deleted(py: Python<'_>, result: Result<u64>, acknowledged: bool) -> PyResult<Py<PyAny>> {
    let deleted = Some(raised(py, result)?).filter(|_| acknowledged);
    Ok(Bound::new(py, DeleteResult { deleted })?.into_any().unbind())
}

/// The result of `find_one`.
pub(crate) fn found(
    py: Python<'_>,
    result: Result<Option<bson::RawDocumentBuf>>,
    codec: &Codec,
) -> PyResult<Py<PyAny>> {
    match result.map_err(|error| to_py(py, error))? {
        Some(document) => codec.decode(py, document.as_bytes()),
        None => Ok(py.None()),
    }
}

#[pymethods]
impl InsertOneResult {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.results", "InsertOneResult")
    }
}

#[pymethods]
impl InsertManyResult {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.results", "InsertManyResult")
    }
}

#[pymethods]
impl UpdateResult {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.results", "UpdateResult")
    }
}

#[pymethods]
impl DeleteResult {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.results", "DeleteResult")
    }
}
