//! The results of writes, in the shape of `pymongo.results`, whose import
//! would cost a quarter of a second.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::codec::Id;
use super::once::Once;

/// The result of `insert_one`.
#[pyclass(module = "connect.eaas.mongodb", frozen)]
pub struct InsertOneResult {
    id: Id,
    made: Once<Py<PyAny>>,
    /// Whether MongoDB confirmed the write: always, since `w=0` is refused.
    #[pyo3(get)]
    acknowledged: bool,
}

impl InsertOneResult {
    pub(super) fn confirmed(id: Id) -> Self {
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
        // Most callers never look: an ObjectId is made for those who do.
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
pub struct InsertManyResult {
    /// The `_id`s of the inserted documents, in the order in which they were given.
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
    pub(super) fn new(inserted_ids: Py<PyList>, acknowledged: bool) -> Self {
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
pub struct UpdateResult {
    /// How many documents matched.
    #[pyo3(get)]
    matched_count: u64,
    /// How many documents were changed.
    #[pyo3(get)]
    modified_count: u64,
    /// The `_id` of the document that was inserted since none matched, or `None`.
    #[pyo3(get)]
    upserted_id: Option<Py<PyAny>>,
    /// Whether MongoDB confirmed the write: always, since `w=0` is refused.
    #[pyo3(get)]
    acknowledged: bool,
}

impl UpdateResult {
    pub(super) fn new(matched_count: u64, modified_count: u64, upserted_id: Option<Py<PyAny>>) -> Self {
        Self { matched_count, modified_count, upserted_id, acknowledged: true }
    }
}

#[pymethods]
impl UpdateResult {
    /// Whether a document was inserted since none matched.
    #[getter]
    fn did_upsert(&self) -> bool {
        self.upserted_id.is_some()
    }

    /// What the server said.
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
pub struct DeleteResult {
    /// How many documents were deleted.
    #[pyo3(get)]
    deleted_count: u64,
    /// Whether MongoDB confirmed the write: always, since `w=0` is refused.
    #[pyo3(get)]
    acknowledged: bool,
}

impl DeleteResult {
    pub(super) fn new(deleted_count: u64) -> Self {
        Self { deleted_count, acknowledged: true }
    }
}

#[pymethods]
impl DeleteResult {
    /// What the server said.
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

/// A result that is PyMongo's own: who asks for it has imported PyMongo.
pub(super) fn pymongo_result<'py>(
    py: Python<'py>,
    class: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Py<PyAny>> {
    Ok(py.import("pymongo.results")?.getattr(class)?.call1(arguments)?.unbind())
}
