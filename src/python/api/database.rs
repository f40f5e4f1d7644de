//! The databases of both paths: what users see as `AsyncDatabase`,
//! `Database`, `AsyncDataApiDatabase` and `DataApiDatabase`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::client::ClientBase;
use super::collection::CollectionBase;
use super::driver_database::{AsyncDatabase, Database, DriverDatabaseBase};
use super::{driver_only, hash_of, no_truth, private};
use crate::config::collection_name;
use crate::python::asyncio::mode::Mode;
use crate::python::calls::target::Path;
use crate::python::convert::options;
use crate::python::convert::scope::{Overrides, Scope};

/// The methods that the databases of both paths have. Users see its subclasses.
#[pyclass(module = "connect.eaas.mongodb._native", name = "DatabaseBase", frozen, subclass)]
pub(crate) struct DatabaseBase {
    /// The client.
    pub(crate) client: Py<ClientBase>,
    /// The database's name.
    #[pyo3(get)]
    pub(crate) name: String,
    /// The options that its collections inherit.
    pub(crate) scope: Arc<Scope>,
}

impl DatabaseBase {
    /// A database of a client's, which is not a Python object yet.
    pub(crate) fn new(client: Py<ClientBase>, name: String, scope: Arc<Scope>) -> Self {
        Self { client, name, scope }
    }

    /// The object that users see, of the class for the client's path and mode.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let client = self.client.clone_ref(py);
        let client = client.get();
        let base = PyClassInitializer::from(self);
        Ok(match (&client.path, client.mode) {
            (Path::Driver(pooled), Mode::Awaited) => {
                let driver = DriverDatabaseBase { pooled: Arc::clone(pooled) };
                Py::new(py, base.add_subclass(driver).add_subclass(AsyncDatabase))?.into_any()
            }
            (Path::Driver(pooled), Mode::Blocking) => {
                let driver = DriverDatabaseBase { pooled: Arc::clone(pooled) };
                Py::new(py, base.add_subclass(driver).add_subclass(Database))?.into_any()
            }
            (Path::DataApi(_), Mode::Awaited) => Py::new(py, base.add_subclass(AsyncDataApiDatabase))?.into_any(),
            (Path::DataApi(_), Mode::Blocking) => Py::new(py, base.add_subclass(DataApiDatabase))?.into_any(),
        })
    }

    /// The name of the class that users see.
    pub(crate) fn class(&self) -> &'static str {
        self.client.get().classes().database
    }
}

#[pymethods]
impl DatabaseBase {
    /// The client of the database.
    #[getter]
    fn client(&self, py: Python<'_>) -> Py<ClientBase> {
        self.client.clone_ref(py)
    }

    /// Return a collection by its name. Options that are not given are the database's.
    #[pyo3(signature = (
        name, codec_options = None, read_preference = None, write_concern = None, read_concern = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn get_collection(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let name = options::name(name, "collection", collection_name)?;
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let scope = Arc::new(self.client.get().path.scope_with(py, &self.scope, &overrides)?);
        CollectionBase::new(self.client.clone_ref(py), &self.name, &name, scope).into_object(py)
    }

    /// Return the same database with other options.
    #[pyo3(signature = (
        codec_options = None, read_preference = None, write_concern = None, read_concern = None
    ))]
    fn with_options(
        &self,
        py: Python<'_>,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let scope = Arc::new(self.client.get().path.scope_with(py, &self.scope, &overrides)?);
        Self::new(self.client.clone_ref(py), self.name.clone(), scope).into_object(py)
    }

    #[classmethod]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        options::generic(cls, item)
    }

    /// The `CodecOptions` of what it reads and writes.
    #[getter]
    fn codec_options(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.scope.codec_options(py)
    }

    /// Which servers are read from.
    #[getter]
    fn read_preference(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.scope.read_preference(py)
    }

    /// When a write counts.
    #[getter]
    fn write_concern(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.scope.write_concern(py)
    }

    /// What a read may see.
    #[getter]
    fn read_concern(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.scope.read_concern(py)
    }

    fn __getitem__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let name = options::name(name, "collection", collection_name)?;
        let scope = Arc::clone(&self.scope);
        CollectionBase::new(self.client.clone_ref(py), &self.name, &name, scope).into_object(py)
    }

    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        if name.to_str()?.starts_with('_') {
            return Err(private(self.class(), name.to_str()?));
        }
        if let Some(member) = driver_only::<AsyncDatabase>(py, &self.client.get().path, name)? {
            return Ok(member);
        }
        self.__getitem__(py, name)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            let other = other.get();
            other.client.get().path == self.client.get().path && other.name == self.name
        })
    }

    fn __hash__(&self) -> u64 {
        hash_of((self.client.get().path.address(), &self.name))
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(no_truth(self.class()))
    }

    pub(crate) fn __repr__(&self) -> String {
        format!("{}({}, '{}')", self.class(), self.client.get().__repr__(), self.name)
    }
}

/// A database of a Data API.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = DatabaseBase)]
pub(crate) struct AsyncDataApiDatabase;

/// A database of a Data API.
#[pyclass(module = "connect.eaas.mongodb", frozen, extends = DatabaseBase)]
pub(crate) struct DataApiDatabase;
