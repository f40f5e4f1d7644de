//! The clients of both paths: what users see as `AsyncMongoClient`,
//! `MongoClient`, `AsyncDataApiClient` and `DataApiClient`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::collection::CollectionBase;
use super::database::DatabaseBase;
use super::driver_client::{AsyncMongoClient, DriverClientBase, MongoClient};
use super::{driver_only, equality, hash_of, not_iterable, private};
use crate::config::{
    DataApiSettings, VARIABLES, Value, collection_name, data_api_settings, database_name, driver_settings,
};
use crate::data_api::client::DataApiClient as HttpClient;
use crate::python::asyncio::call::{Call, raised};
use crate::python::asyncio::mode::{MethodName, Mode};
use crate::python::calls::target::Path;
use crate::python::convert::errors::configuration_error;
use crate::python::convert::options;
use crate::python::convert::scope::{Overrides, Scope};
use crate::python::lifecycle::once::Once;
use crate::python::lifecycle::pooled::Pooled;
use crate::python::lifecycle::shared;

/// The names of the classes of one path and one mode.
pub(crate) struct Classes {
    /// Of the client.
    pub(crate) client: &'static str,
    /// Of its databases.
    pub(crate) database: &'static str,
    /// Of their collections.
    pub(crate) collection: &'static str,
}

/// The methods that the clients of both paths have. Users see its subclasses.
#[pyclass(module = "connect.eaas.mongodb._native", name = "MongoClient", frozen, dict, weakref, subclass)]
pub(crate) struct ClientBase {
    /// Its path, with its pool.
    pub(crate) path: Path,
    /// Whether its calls, and those of its databases and collections, are awaited or block.
    pub(crate) mode: Mode,
    /// The options that its databases inherit.
    pub(crate) scope: Scope,
    /// Whether inserted documents receive their `_id`s.
    pub(crate) add_ids: bool,
}

impl ClientBase {
    /// A client that has not connected, which is not a Python object yet.
    pub(crate) fn new(path: Path) -> Self {
        Self { scope: path.scope(), mode: path.mode(), path, add_ids: false }
    }

    /// The names of the classes that users see.
    pub(crate) fn classes(&self) -> &'static Classes {
        match (&self.path, self.mode) {
            (Path::Driver(_), Mode::Awaited) => {
                &Classes { client: "AsyncMongoClient", database: "AsyncDatabase", collection: "AsyncCollection" }
            }
            (Path::Driver(_), Mode::Blocking) => {
                &Classes { client: "MongoClient", database: "Database", collection: "Collection" }
            }
            (Path::DataApi(_), Mode::Awaited) => &Classes {
                client: "AsyncDataApiClient",
                database: "AsyncDataApiDatabase",
                collection: "AsyncDataApiCollection",
            },
            (Path::DataApi(_), Mode::Blocking) => {
                &Classes { client: "DataApiClient", database: "DataApiDatabase", collection: "DataApiCollection" }
            }
        }
    }

    /// Whether another client is of the same servers.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.path == other.path || self.path.identity() == other.path.identity()
    }

    /// A method's name, for awaitables.
    pub(crate) fn method(&self, method: &'static str) -> MethodName {
        MethodName { class: self.classes().client, method }
    }

    /// The client of a public class for the values of the variables.
    fn of_variables(class: &Bound<'_, PyType>, values: &[Value]) -> PyResult<Py<PyAny>> {
        let py = class.py();
        if class.module()? != "connect.eaas.mongodb" {
            let message = format!("{} shares no client: call from_config of the class that it extends", class.name()?);
            return Err(PyTypeError::new_err(message));
        }
        let lookup = |name: &str| {
            let place = VARIABLES.iter().position(|variable| variable.name == name);
            place.and_then(|place| values.get(place).cloned()).unwrap_or(Value::Absent)
        };
        let is = |other: Bound<'_, PyType>| class.is(&other);
        if is(AsyncMongoClient::type_object(py)) || is(MongoClient::type_object(py)) {
            let settings = raised(py, driver_settings(lookup))?;
            let client = |mode| {
                let pooled = Arc::new(Pooled::new(settings, mode, true));
                let driver = DriverClientBase { pooled: Arc::clone(&pooled), described: Once::new(), connect: None };
                PyClassInitializer::from(Self::new(Path::Driver(pooled))).add_subclass(driver)
            };
            return Ok(if is(AsyncMongoClient::type_object(py)) {
                Py::new(py, client(Mode::Awaited).add_subclass(AsyncMongoClient))?.into_any()
            } else {
                Py::new(py, client(Mode::Blocking).add_subclass(MongoClient))?.into_any()
            });
        }
        let settings = raised(py, data_api_settings(lookup))?;
        let client =
            |mode| PyClassInitializer::from(Self::new(Path::from(Pooled::<HttpClient>::new(settings, mode, true))));
        Ok(if is(AsyncDataApiClient::type_object(py)) {
            Py::new(py, client(Mode::Awaited).add_subclass(AsyncDataApiClient))?.into_any()
        } else {
            Py::new(py, client(Mode::Blocking).add_subclass(DataApiClient))?.into_any()
        })
    }
}

fn default_database(
    py: Python<'_>,
    configured: Option<&String>,
    default: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    match (configured, default) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(default)) => options::database_name(default),
        (None, None) => Err(configuration_error(py, "No default database name defined or provided.")),
    }
}

#[pymethods]
impl ClientBase {
    /// Return the client for the extension's variables. In a process, equal
    /// values share one client, across threads and event loops.
    #[classmethod]
    fn from_config(cls: &Bound<'_, PyType>, config: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        shared::client(cls, shared::values(config)?, |values| Self::of_variables(cls, values))
    }

    /// Return a database by its name, or the default database. Options that are not given are the client's.
    #[pyo3(signature = (
        name = None, codec_options = None, read_preference = None, write_concern = None, read_concern = None
    ))]
    fn get_database(
        slf: &Bound<'_, Self>,
        name: Option<&Bound<'_, PyAny>>,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let name = match name {
            Some(name) => options::database_name(name)?,
            None => default_database(slf.py(), slf.get().path.defaults().0, None)?,
        };
        let scope = slf.get().path.scope_with(slf.py(), &slf.get().scope, &overrides)?;
        DatabaseBase::new(slf.clone().unbind(), name, Arc::new(scope)).into_object(slf.py())
    }

    /// Return the database that the connection string or the variables name, or else `default`.
    #[pyo3(signature = (
        default = None, codec_options = None, read_preference = None, write_concern = None, read_concern = None
    ))]
    fn get_default_database(
        slf: &Bound<'_, Self>,
        default: Option<&Bound<'_, PyAny>>,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let name = default_database(slf.py(), slf.get().path.defaults().0, default)?;
        let scope = slf.get().path.scope_with(slf.py(), &slf.get().scope, &overrides)?;
        DatabaseBase::new(slf.clone().unbind(), name, Arc::new(scope)).into_object(slf.py())
    }

    /// Return the collection that the variables name.
    fn get_default_collection(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (Some(database), Some(collection)) = slf.get().path.defaults() else {
            return Err(configuration_error(
                slf.py(),
                "no default collection is defined: make the client with from_config, or name the collection",
            ));
        };
        let scope = Arc::new(slf.get().scope.clone());
        CollectionBase::new(slf.clone().unbind(), database, collection, scope).into_object(slf.py())
    }

    /// Close the connections. A client from `from_config` is shared and stays
    /// open until its settings are replaced.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.mode.run_now(py, self.method("close"), self.path.close())
    }

    fn __getitem__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let name = options::database_name(name)?;
        DatabaseBase::new(slf.clone().unbind(), name, Arc::new(slf.get().scope.clone())).into_object(slf.py())
    }

    fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        if name.to_str()?.starts_with('_') {
            return Err(private(slf, name, "database", name.to_str()?, "client")?);
        }
        if let Some(member) = driver_only::<AsyncMongoClient>(slf.py(), &slf.get().path, name)? {
            return Ok(member);
        }
        Self::__getitem__(slf, name)
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

    /// A client has no elements, although `client[name]` is a database.
    #[classattr]
    fn __iter__(py: Python<'_>) -> Py<PyAny> {
        py.None()
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        Err(not_iterable(self.classes().client))
    }

    /// Raise `TypeError`: a client is not iterable, and has no database of this name as an attribute.
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

    /// Clients are equal if they are of the same servers, whatever their other options.
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> Py<PyAny> {
        let same_class = |other: &&Self| other.classes().client == self.classes().client;
        let equal = other.cast::<Self>().ok().map(Bound::get).filter(same_class).map(|other| self.is_same(other));
        equality(other.py(), equal)
    }

    fn __hash__(&self) -> u64 {
        hash_of(self.path.identity())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!("{}({})", slf.get_type().name()?, slf.get().path.shown()))
    }
}

impl ClientBase {
    /// A client of a Data API, once its settings are checked.
    fn of_settings(py: Python<'_>, mode: Mode, settings: DataApiSettings, add_ids: bool) -> PyResult<Self> {
        let named = |name: &Option<String>, what: &str, check: fn(&str) -> Result<(), String>| match name {
            Some(name) => check(name).map_err(|problem| configuration_error(py, format!("{what} {problem}"))),
            None => Ok(()),
        };
        named(&settings.database, "database", database_name)?;
        named(&settings.collection, "collection", collection_name)?;
        if settings.timeout.is_zero() || settings.connect_timeout.is_zero() {
            return Err(configuration_error(py, "timeoutMS and connectTimeoutMS must be more than 0"));
        }
        Ok(Self { add_ids, ..Self::new(Pooled::<HttpClient>::new(settings, mode, false).into()) })
    }
}

/// A client of a Data API. It connects with its first call.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = ClientBase)]
pub(crate) struct AsyncDataApiClient;

#[pymethods]
impl AsyncDataApiClient {
    #[new]
    #[pyo3(signature = (
        endpoint, *, api_key, data_source, database = None, collection = None, timeoutMS = 30_000,
        connectTimeoutMS = 5_000, retryWrites = true, coalesce = true, add_ids = false
    ))]
    #[allow(non_snake_case, clippy::too_many_arguments)]
    fn new(
        endpoint: &str,
        api_key: &str,
        data_source: &str,
        database: Option<String>,
        collection: Option<String>,
        timeoutMS: u64,
        connectTimeoutMS: u64,
        retryWrites: bool,
        coalesce: bool,
        add_ids: bool,
        py: Python<'_>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let settings = raised(py, DataApiSettings::new(endpoint, api_key, data_source))?;
        let settings = DataApiSettings {
            database,
            collection,
            timeout: Duration::from_millis(timeoutMS),
            connect_timeout: Duration::from_millis(connectTimeoutMS),
            retry: retryWrites,
            coalesce,
            ..settings
        };
        let client = ClientBase::of_settings(py, Mode::Awaited, settings, add_ids)?;
        Ok(PyClassInitializer::from(client).add_subclass(Self))
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (client, base) = (slf.clone().into_any().unbind(), slf.as_super().get());
        base.mode.run(slf.py(), base.method("__aenter__"), move |_| Ok(Call::returning(client)))
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __aexit__(
        slf: &Bound<'_, Self>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        slf.as_super().get().close(slf.py())
    }
}

/// A client of a Data API. It connects with its first call.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = ClientBase)]
pub(crate) struct DataApiClient;

#[pymethods]
impl DataApiClient {
    #[new]
    #[pyo3(signature = (
        endpoint, *, api_key, data_source, database = None, collection = None, timeoutMS = 30_000,
        connectTimeoutMS = 5_000, retryWrites = true, coalesce = true, add_ids = false
    ))]
    #[allow(non_snake_case, clippy::too_many_arguments)]
    fn new(
        endpoint: &str,
        api_key: &str,
        data_source: &str,
        database: Option<String>,
        collection: Option<String>,
        timeoutMS: u64,
        connectTimeoutMS: u64,
        retryWrites: bool,
        coalesce: bool,
        add_ids: bool,
        py: Python<'_>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let settings = raised(py, DataApiSettings::new(endpoint, api_key, data_source))?;
        let settings = DataApiSettings {
            database,
            collection,
            timeout: Duration::from_millis(timeoutMS),
            connect_timeout: Duration::from_millis(connectTimeoutMS),
            retry: retryWrites,
            coalesce,
            ..settings
        };
        let client = ClientBase::of_settings(py, Mode::Blocking, settings, add_ids)?;
        Ok(PyClassInitializer::from(client).add_subclass(Self))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (exc_type, exc_val, exc_tb);
        slf.as_super().get().close(slf.py())
    }
}
