//! The results of writes. They have the API of `pymongo.results`, whose import
//! would take a quarter of a second.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::classes::class_of;
use super::errors::to_py;
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
    /// Whether MongoDB confirmed the write: always, since `w=0` is refused.
    #[pyo3(get)]
    acknowledged: bool,
}

impl InsertOneResult {
    pub(crate) fn confirmed(id: Id) -> Self {
        Self { id, made: Once::new(), acknowledged: true }
    }
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
    /// Whether MongoDB confirmed the write: always, since `w=0` is refused.
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

/// The result of an update or a replacement.
#[pyclass(module = "connect.eaas.mongodb", frozen)]
pub(crate) struct UpdateResult {
    /// The number of documents that matched.
    #[pyo3(get)]
    matched_count: u64,
    /// The number of documents that were changed.
    #[pyo3(get)]
    modified_count: u64,
    /// The `_id` of the upserted document, or `None`.
    #[pyo3(get)]
    upserted_id: Option<Py<PyAny>>,
    /// Whether MongoDB confirmed the write: always, since `w=0` is refused.
    #[pyo3(get)]
    acknowledged: bool,
}

impl UpdateResult {
    pub(crate) fn new(matched_count: u64, modified_count: u64, upserted_id: Option<Py<PyAny>>) -> Self {
        Self { matched_count, modified_count, upserted_id, acknowledged: true }
    }
}

#[pymethods]
impl UpdateResult {
    /// Whether a document was upserted.
    #[getter]
    fn did_upsert(&self) -> bool {
        self.upserted_id.is_some()
    }

    /// The server's reply.
    #[getter]
    fn raw_result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let raw = PyDict::new(py);
        let upserted = self.upserted_id.as_ref().is_some_and(|id| !id.is_none(py));
        raw.set_item("n", self.matched_count + u64::from(upserted))?;
        if let Some(id) = &self.upserted_id {
            raw.set_item("upserted", id)?;
        }
        raw.set_item("nModified", self.modified_count)?;
        raw.set_item("ok", 1.0)?;
        raw.set_item("updatedExisting", self.matched_count > 0 && self.upserted_id.is_none())?;
        Ok(raw)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("UpdateResult({}, acknowledged=True)", self.raw_result(py)?.repr()?))
    }
}

/// The result of a deletion.
#[pyclass(module = "connect.eaas.mongodb", frozen)]
pub(crate) struct DeleteResult {
    /// The number of documents that were deleted.
    #[pyo3(get)]
    deleted_count: u64,
    /// Whether MongoDB confirmed the write: always, since `w=0` is refused.
    #[pyo3(get)]
    acknowledged: bool,
}

impl DeleteResult {
    pub(crate) fn new(deleted_count: u64) -> Self {
        Self { deleted_count, acknowledged: true }
    }
}

#[pymethods]
impl DeleteResult {
    /// The server's reply.
    #[getter]
    fn raw_result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let raw = PyDict::new(py);
        raw.set_item("n", self.deleted_count)?;
        raw.set_item("ok", 1.0)?;
        Ok(raw)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("DeleteResult({}, acknowledged=True)", self.raw_result(py)?.repr()?))
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
pub(crate) fn inserted_one(py: Python<'_>, result: Result<()>, id: Id) -> PyResult<Py<PyAny>> {
    result.map_err(|error| to_py(py, error))?;
    Ok(Bound::new(py, InsertOneResult::confirmed(id))?.into_any().unbind())
}

/// The result of `insert_many`. Its error contains each rejected document, as PyMongo's does.
pub(crate) fn inserted_many(
    py: Python<'_>,
    result: Result<()>,
    ids: Vec<Id>,
    documents: &Bound<'_, PyList>,
) -> PyResult<Py<PyAny>> {
    let ids = ids.iter().map(|id| id.to_py(py)).collect::<PyResult<Vec<_>>>()?;
    match result {
        Ok(()) => {
            let ids = PyList::new(py, ids)?.unbind();
            Ok(Bound::new(py, InsertManyResult::new(ids, true))?.into_any().unbind())
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
pub(crate) fn updated(py: Python<'_>, result: Result<Updated>, codec: &Codec) -> PyResult<Py<PyAny>> {
    let Updated { matched, modified, upserted } = raised(py, result)?;
    let upserted = upserted.map(|id| codec.decode_value(py, id)).transpose()?;
    // As in PyMongo, an upserted `_id` of `None` counts as no upsert.
    let matched = matched + u64::from(upserted.as_ref().is_some_and(|id| id.is_none(py)));
    Ok(Bound::new(py, UpdateResult::new(matched, modified, upserted))?.into_any().unbind())
}

/// The result of a deletion.
pub(crate) fn deleted(py: Python<'_>, result: Result<u64>) -> PyResult<Py<PyAny>> {
    Ok(Bound::new(py, DeleteResult::new(raised(py, result)?))?.into_any().unbind())
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
