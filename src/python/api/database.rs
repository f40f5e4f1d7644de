//! The databases of both paths: what users see as `AsyncDatabase`,
//! `Database`, `AsyncDataApiDatabase` and `DataApiDatabase`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::client::ClientBase;
use super::collection::CollectionBase;
use super::driver_database::{AsyncDatabase, Database, DriverDatabaseBase};
use super::{driver_only, equality, hash_of, no_truth, not_iterable, private, required_but_given};
use crate::python::asyncio::mode::Mode;
use crate::python::calls::target::Path;
use crate::python::convert::options;
use crate::python::convert::scope::{Overrides, Scope};

/// The methods that the databases of both paths have. Users see its subclasses.
#[pyclass(module = "connect.eaas.mongodb._native", name = "Database", frozen, dict, weakref, subclass)]
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

    /// A database of a client of the class `required`, for the constructors.
    pub(crate) fn of(
        client: &Bound<'_, PyAny>,
        required: &str,
        name: &Bound<'_, PyAny>,
        overrides: &Overrides<'_, '_>,
    ) -> PyResult<Self> {
        let name = options::database_name(name)?;
        let client = match client.cast::<ClientBase>() {
            Ok(client) if client.get().classes().client == required => client,
            _ => return Err(required_but_given(required, client)?),
        };
        let scope = client.get().path.scope_with(client.py(), &client.get().scope, overrides)?;
        Ok(Self::new(client.clone().unbind(), name, Arc::new(scope)))
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
        let name = options::collection_name(name)?;
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
        let name = options::collection_name(name)?;
        let scope = Arc::clone(&self.scope);
        CollectionBase::new(self.client.clone_ref(py), &self.name, &name, scope).into_object(py)
    }

    fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        let (py, database) = (slf.py(), slf.get());
        if name.to_str()?.starts_with('_') {
            return Err(private(slf, name, "collection", name.to_str()?, "database")?);
        }
        if let Some(member) = driver_only::<AsyncDatabase>(py, &database.client.get().path, name)? {
            return Ok(member);
        }
        database.__getitem__(py, name)
    }

    /// A database has no elements, although `database[name]` is a collection.
    #[classattr]
    fn __iter__(py: Python<'_>) -> Py<PyAny> {
        py.None()
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        Err(not_iterable(self.class()))
    }

    /// Raise `TypeError`: a database is not iterable, and has no collection of this name as an attribute.
    fn next(&self) -> PyResult<Py<PyAny>> {
        self.__next__()
    }

    /// It does not change, so it is its own copy.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        let _ = memo;
        slf
    }

    /// A subclass may call it with the arguments of the constructor, which has read them.
    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(&self, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) {
        let _ = (args, kwargs);
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> Py<PyAny> {
        let equal = other
            .cast::<Self>()
            .ok()
            .map(Bound::get)
            .filter(|other| other.class() == self.class())
            .map(|other| other.client.get().is_same(self.client.get()) && other.name == self.name);
        equality(other.py(), equal)
    }

    fn __hash__(&self) -> u64 {
        hash_of((self.client.get().path.identity(), &self.name))
    }

    fn __bool__(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Err(no_truth(slf, "database")?)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (py, class, database) = (slf.py(), slf.get_type(), slf.get());
        let (client, name) = (database.client.bind(py).repr()?, PyString::new(py, &database.name));
        Ok(format!("{}({client}, {})", class.name()?, name.repr()?))
    }
}

/// A database of a Data API.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DatabaseBase)]
pub(crate) struct AsyncDataApiDatabase;

#[pymethods]
impl AsyncDataApiDatabase {
    #[new]
    #[pyo3(signature = (client, name, codec_options = None))]
    fn new(
        client: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, ..Overrides::default() };
        let base = DatabaseBase::of(client, "AsyncDataApiClient", name, &overrides)?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }
}

/// A database of a Data API.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DatabaseBase)]
pub(crate) struct DataApiDatabase;

#[pymethods]
impl DataApiDatabase {
    #[new]
    #[pyo3(signature = (client, name, codec_options = None))]
    fn new(
        client: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, ..Overrides::default() };
        let base = DatabaseBase::of(client, "DataApiClient", name, &overrides)?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }
}
