//! The results of writes, in the shape of `pymongo.results`, whose import
//! would cost a quarter of a second.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::once::Once;

use super::codec::Id;

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
