//! The classes that users see, for both paths, awaited and not. Each path's
//! client, database and collection have the same methods, written once here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use mongodb::options::{ServerApi, ServerApiVersion};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyAttributeError, PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};

use super::awaitable::Gate;
use super::call::{Call, Insert, Startable, raised};
use super::cursor::{AsyncCursor, Cursor, CursorCore, FindArguments, Open};
use super::errors::{configuration_error, wrong_type};
use super::flavor::{Awaited, Blocking, Flavor};
use super::mongo::{At, Change, ChangeArguments, CollectionCalls, InsertManyArguments, InsertOneArguments};
use super::monitoring::heard;
use super::oidc::Oidc;
use super::options::{self, Opt, Opts};
use super::pooled::{Extras, Pooled, PooledClient};
use super::scope::{CodecRef, Overrides, Scope};
use super::shared;
use super::store::{StoreSettings, pairs, saved};
use crate::coalesce::{Coalescer, More, awaited};
use crate::config::{
    self, DataApiSettings, Defaults, DriverSettings, VARIABLES, Value, collection_name, data_api_settings,
    database_name, driver_settings,
};
use crate::data_api::client::DataApiClient as HttpClient;
use crate::driver::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind};
use crate::runtime::process;

/// What the settings of both paths have in common.
trait Settings: Clone {
    /// Reads the variables.
    fn from_values(values: &[Value]) -> crate::error::Result<Self>;
    /// The default database and collection.
    fn defaults(&self) -> (Option<&String>, Option<&String>);
    /// The arguments that a `repr` shows.
    fn shown(&self) -> String;
    /// What they say of concerns.
    fn concerns(&self) -> Defaults {
        Defaults::default()
    }
}

fn lookup(values: &[Value]) -> impl Fn(&str) -> Value + '_ {
    |name| {
        let place = VARIABLES.iter().position(|variable| variable.name == name);
        place.and_then(|place| values.get(place).cloned()).unwrap_or(Value::Absent)
    }
}

impl Settings for DriverSettings {
    fn from_values(values: &[Value]) -> crate::error::Result<Self> {
        driver_settings(lookup(values))
    }

    fn defaults(&self) -> (Option<&String>, Option<&String>) {
        (self.database.as_ref(), self.collection.as_ref())
    }

    fn shown(&self) -> String {
        let hosts: Vec<String> = self.hosts.split(',').map(|host| format!("'{host}'")).collect();
        format!("host=[{}]", hosts.join(", "))
    }

    fn concerns(&self) -> Defaults {
        Self::concerns(self)
    }
}

impl Settings for DataApiSettings {
    fn from_values(values: &[Value]) -> crate::error::Result<Self> {
        data_api_settings(lookup(values))
    }

    fn defaults(&self) -> (Option<&String>, Option<&String>) {
        (self.database.as_ref(), self.collection.as_ref())
    }

    fn shown(&self) -> String {
        format!("'{}', data_source='{}'", self.endpoint, self.data_source)
    }
}

fn delete_options(
    collation: Option<Py<PyAny>>,
    hint: Option<Py<PyAny>>,
    session: Option<Py<PyAny>>,
    let_vars: Option<Py<PyAny>>,
    comment: Option<Py<PyAny>>,
) -> Opts {
    vec![
        ("collation", Opt::Collation(collation)),
        ("hint", Opt::Index(hint)),
        ("session", Opt::Session(session)),
        ("let", Opt::Mapping(let_vars)),
        ("comment", Opt::Value(comment)),
    ]
}

/// What a call of a collection needs, before it is made.
pub struct Here<C: PooledClient> {
    pub(super) pooled: Arc<Pooled<C>>,
    pub(super) namespace: Arc<Namespace>,
    pub(super) codec: CodecRef,
    add_ids: bool,
    class: &'static str,
}

impl<C: PooledClient> Here<C> {
    /// What a call of a client or a database needs.
    pub(super) fn of(pooled: &Arc<Pooled<C>>, namespace: Namespace, scope: &Scope, class: &'static str) -> Self {
        let namespace = Arc::new(namespace);
        Self { pooled: Arc::clone(pooled), namespace, codec: scope.codec(), add_ids: false, class }
    }

    /// With the client, made if this is the process' first call.
    pub(super) fn at(&self, py: Python<'_>) -> PyResult<At<C>> {
        Ok(At {
            client: self.pooled.client(py, self.class)?,
            pooled: Arc::clone(&self.pooled),
            namespace: Arc::clone(&self.namespace),
            codec: self.codec.clone(),
            add_ids: self.add_ids,
        })
    }
}

impl<C: PooledClient> Here<C> {
    /// Makes a call, of which the client's listeners hear.
    pub(super) fn make<S: Startable>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(Python<'_>, At<C>) -> PyResult<S>,
    ) -> PyResult<S> {
        let at = self.at(py)?;
        let heard = heard(py, at.client.listener())?;
        let client = Arc::clone(&at.client);
        Ok(call(py, at)?.heard_by(heard).of_client(&*client))
    }
}

/// The cursor of a query.
pub(super) fn query<C: CollectionCalls>(
    collection: Bound<'_, PyAny>,
    here: Here<C>,
    arguments: FindArguments,
) -> CursorCore {
    let (codec, here) = (here.codec.clone(), Arc::new(here));
    let explained = Arc::clone(&here);
    let open: Open = Arc::new(move |py, arguments| C::find(py, here.at(py)?, arguments));
    CursorCore::new(collection.unbind(), open, codec, arguments)
        .explained_by(Arc::new(move |py, arguments| explained.make(py, |py, at| C::explain(py, at, arguments))))
}

/// The cursor of a pipeline.
pub(super) fn aggregation<C: CollectionCalls>(
    collection: Bound<'_, PyAny>,
    here: Here<C>,
    pipeline: Py<PyAny>,
    options: Opts,
) -> CursorCore {
    let codec = here.codec.clone();
    let session = options.iter().find_map(|(_, option)| match option {
        Opt::Session(session) => session.as_ref().map(|session| session.clone_ref(collection.py())),
        _ => None,
    });
    let arguments = FindArguments { session, ..FindArguments::default() };
    let open: Open = Arc::new(move |py, _| C::aggregate(py, here.at(py)?, pipeline.bind(py), &options));
    CursorCore::new(collection.unbind(), open, codec, arguments)
}

/// The scope with other options, as far as the path has them.
pub(super) fn scope<C: CollectionCalls>(
    py: Python<'_>,
    scope: &Scope,
    overrides: &Overrides<'_, '_>,
) -> PyResult<Scope> {
    let given = [
        ("read_preference", overrides.read_preference.is_some()),
        ("write_concern", overrides.write_concern.is_some()),
        ("read_concern", overrides.read_concern.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) if !C::HAS_CONCERNS => Err(PyNotImplementedError::new_err(format!(
            "the Data API has no {name} here: leave it out, or use AsyncMongoClient or MongoClient"
        ))),
        _ => scope.with(py, overrides),
    }
}

/// A method that only the driver path has.
#[pyclass(module = "connect.eaas.mongodb._native", frozen)]
pub struct OnlyOfTheDriver {
    name: String,
}

#[pymethods]
impl OnlyOfTheDriver {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        &self,
        args: &Bound<'_, pyo3::types::PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let _of_no_use = (args, kwargs);
        Err(PyNotImplementedError::new_err(format!(
            "the Data API has no {}: use the driver path, AsyncMongoClient or MongoClient",
            self.name
        )))
    }
}

/// What stands in for a member that only the driver path's classes have, such as `D`.
fn only_of_the_driver<C: CollectionCalls, D: PyTypeInfo>(
    py: Python<'_>,
    name: &Bound<'_, PyString>,
) -> PyResult<Option<Py<PyAny>>> {
    if C::HAS_CONCERNS || !py.get_type::<D>().hasattr(name)? {
        return Ok(None);
    }
    Ok(Some(Py::new(py, OnlyOfTheDriver { name: name.to_str()?.to_owned() })?.into_any()))
}

fn default_database(
    py: Python<'_>,
    configured: Option<&String>,
    default: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    match (configured, default) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(default)) => options::name(default, "database", database_name),
        (None, None) => Err(configuration_error(py, "No default database name defined or provided.")),
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn private(class: &str, name: &str) -> PyErr {
    PyAttributeError::new_err(format!(
        "{class} has no attribute '{name}'. To access a database or collection of that name, use ['{name}']"
    ))
}

fn no_truth(class: &str) -> PyErr {
    PyNotImplementedError::new_err(format!(
        "{class} objects do not implement truth value testing or bool(). Please compare with None instead"
    ))
}

macro_rules! path_classes {
    (
        $flavor:ident, $path:ty,
        $client:ident = $client_name:literal,
        $database:ident = $database_name:literal,
        $collection:ident = $collection_name:literal,
        $cursor:ident,
        enter = $enter:ident, exit = $exit:ident
    ) => {
        /// A client of MongoDB. Cheap to make: it connects with its first call.
        #[pyclass(module = "connect.eaas.mongodb", frozen, weakref, name = $client_name)]
        pub struct $client {
            pub(super) pooled: Arc<Pooled<$path>>,
            pub(super) scope: Scope,
            add_ids: bool,
        }

        impl $client {
            /// A client that has not connected.
            fn of(pooled: Pooled<$path>) -> Self {
                let scope = Scope::new(pooled.settings.concerns());
                Self { pooled: Arc::new(pooled), scope, add_ids: false }
            }
        }

        #[pymethods]
        impl $client {
            /// The client for the extension's variables: the same one for the same
            /// values, in this process, from any thread or event loop.
            #[classmethod]
            fn from_config(cls: &Bound<'_, PyType>, config: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
                let py = cls.py();
                shared::client(cls, shared::values(config)?, |values| {
                    let settings = raised(py, Settings::from_values(values))?;
                    let client = Self::of(Pooled::new(settings, true));
                    Ok(Py::new(py, client)?.into_any())
                })
            }

            /// The database of that name, or the default one; with other options, where they are given.
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
            ) -> PyResult<$database> {
                let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
                let name = match name {
                    Some(name) => options::name(name, "database", database_name)?,
                    None => default_database(slf.py(), slf.get().pooled.settings.defaults().0, None)?,
                };
                let scope = scope::<$path>(slf.py(), &slf.get().scope, &overrides)?;
                Ok($database { client: slf.clone().unbind(), name, scope: Arc::new(scope) })
            }

            /// The database that the connection string or the variables name, or `default`.
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
            ) -> PyResult<$database> {
                let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
                let name = default_database(slf.py(), slf.get().pooled.settings.defaults().0, default)?;
                let scope = scope::<$path>(slf.py(), &slf.get().scope, &overrides)?;
                Ok($database { client: slf.clone().unbind(), name, scope: Arc::new(scope) })
            }

            /// The collection that the variables name.
            fn get_default_collection(slf: &Bound<'_, Self>) -> PyResult<$collection> {
                let (Some(database), Some(collection)) = slf.get().pooled.settings.defaults() else {
                    return Err(configuration_error(
                        slf.py(),
                        "no default collection is defined: make the client with from_config, or name the collection",
                    ));
                };
                let scope = Arc::new(slf.get().scope.clone());
                Ok($collection::new(slf.clone().unbind(), database, collection, scope))
            }

            /// Close the connections. A client that came from `from_config` serves
            /// others too and stays open; it closes when its settings are replaced.
            fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                let name = concat!($client_name, ".close");
                $flavor::run_now(py, name, <$path as CollectionCalls>::close(&self.pooled))
            }

            fn $enter(slf: Py<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
                let name = concat!($client_name, ".", stringify!($enter));
                $flavor::run(py, name, move |_| Ok(Call::new(async { Ok(()) }, move |_, _| Ok(slf.into_any()))))
            }

            #[pyo3(signature = (exc_type = None, exc_val = None, exc_tb = None))]
            fn $exit(
                &self,
                py: Python<'_>,
                exc_type: Option<&Bound<'_, PyAny>>,
                exc_val: Option<&Bound<'_, PyAny>>,
                exc_tb: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let _whatever_happened = (exc_type, exc_val, exc_tb);
                self.close(py)
            }

            fn __getitem__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<$database> {
                let name = options::name(name, "database", database_name)?;
                Ok($database { client: slf.clone().unbind(), name, scope: Arc::new(slf.get().scope.clone()) })
            }

            fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
                if name.to_str()?.starts_with('_') {
                    return Err(private($client_name, name.to_str()?));
                }
                if let Some(refused) = only_of_the_driver::<$path, AsyncMongoClient>(slf.py(), name)? {
                    return Ok(refused);
                }
                Ok(Bound::new(slf.py(), Self::__getitem__(slf, name)?)?.into_any().unbind())
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

            fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
                other.cast::<Self>().is_ok_and(|other| Arc::ptr_eq(&other.get().pooled, &self.pooled))
            }

            fn __hash__(&self) -> u64 {
                hash_of(Arc::as_ptr(&self.pooled) as usize)
            }

            fn __repr__(&self) -> String {
                format!("{}({})", $client_name, self.pooled.settings.shown())
            }
        }

        /// A database.
        #[pyclass(module = "connect.eaas.mongodb", frozen, name = $database_name)]
        pub struct $database {
            pub(super) client: Py<$client>,
            /// The database's name.
            #[pyo3(get)]
            pub(super) name: String,
            pub(super) scope: Arc<Scope>,
        }

        #[pymethods]
        impl $database {
            /// The client that it came from.
            #[getter]
            fn client(&self, py: Python<'_>) -> Py<$client> {
                self.client.clone_ref(py)
            }

            /// The collection of that name; with other options, where they are given.
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
            ) -> PyResult<$collection> {
                let name = options::name(name, "collection", collection_name)?;
                let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
                let scope = Arc::new(scope::<$path>(py, &self.scope, &overrides)?);
                Ok($collection::new(self.client.clone_ref(py), &self.name, &name, scope))
            }

            /// The same database with other options.
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
            ) -> PyResult<Self> {
                let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
                let scope = Arc::new(scope::<$path>(py, &self.scope, &overrides)?);
                Ok(Self { client: self.client.clone_ref(py), name: self.name.clone(), scope })
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

            fn __getitem__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<$collection> {
                let name = options::name(name, "collection", collection_name)?;
                Ok($collection::new(self.client.clone_ref(py), &self.name, &name, Arc::clone(&self.scope)))
            }

            fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
                if name.to_str()?.starts_with('_') {
                    return Err(private($database_name, name.to_str()?));
                }
                if let Some(refused) = only_of_the_driver::<$path, AsyncDatabase>(py, name)? {
                    return Ok(refused);
                }
                Ok(Bound::new(py, self.__getitem__(py, name)?)?.into_any().unbind())
            }

            fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
                other.cast::<Self>().is_ok_and(|other| {
                    let other = other.get();
                    Arc::ptr_eq(&other.client.get().pooled, &self.client.get().pooled) && other.name == self.name
                })
            }

            fn __hash__(&self) -> u64 {
                hash_of((Arc::as_ptr(&self.client.get().pooled) as usize, &self.name))
            }

            fn __bool__(&self) -> PyResult<bool> {
                Err(no_truth($database_name))
            }

            fn __repr__(&self) -> String {
                format!("{}({}, '{}')", $database_name, self.client.get().__repr__(), self.name)
            }
        }

        /// A collection.
        #[pyclass(module = "connect.eaas.mongodb", frozen, name = $collection_name)]
        pub struct $collection {
            pub(super) client: Py<$client>,
            pub(super) namespace: Arc<Namespace>,
            pub(super) scope: Arc<Scope>,
        }

        impl $collection {
            pub(super) fn new(client: Py<$client>, database: &str, collection: &str, scope: Arc<Scope>) -> Self {
                let concerns = Arc::clone(&scope.concerns);
                let namespace = Namespace { concerns, ..Namespace::new(database, collection) };
                Self { client, namespace: Arc::new(namespace), scope }
            }

            /// What a call needs, once it is made.
            pub(super) fn here(&self) -> Here<$path> {
                let client = self.client.get();
                Here {
                    pooled: Arc::clone(&client.pooled),
                    namespace: Arc::clone(&self.namespace),
                    codec: self.scope.codec(),
                    add_ids: client.add_ids,
                    class: $client_name,
                }
            }

            pub(super) fn run<C: Startable>(
                &self,
                py: Python<'_>,
                name: &'static str,
                call: impl FnOnce(Python<'_>, At<$path>) -> PyResult<C> + Send + 'static,
            ) -> PyResult<Py<PyAny>> {
                let here = self.here();
                $flavor::run(py, name, move |py| here.make(py, call))
            }
        }

        #[pymethods]
        impl $collection {
            /// Insert a document; gives an `InsertOneResult`. The caller's document
            /// is not changed.
            #[pyo3(signature = (document, bypass_document_validation = None, session = None, comment = None))]
            fn insert_one(
                &self,
                py: Python<'_>,
                document: Py<PyAny>,
                bypass_document_validation: Option<bool>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let arguments = InsertOneArguments { document, bypass_document_validation, session, comment };
                let here = self.here();
                let gated = Arc::clone(&here.pooled);
                let gate: Gate = Box::new(move |py| Ok(<$path as CollectionCalls>::room(gated.client(py, $client_name)?)));
                $flavor::run_behind(py, concat!($collection_name, ".insert_one"), Some(gate), move |py| {
                    here.make(py, |py, at| <$path as CollectionCalls>::insert_one(py, at, arguments))
                })
            }

            /// Insert several documents; gives an `InsertManyResult`.
            #[pyo3(signature = (
                        documents, ordered = true, bypass_document_validation = None, session = None, comment = None
                    ))]
            fn insert_many(
                &self,
                py: Python<'_>,
                documents: Py<PyAny>,
                ordered: bool,
                bypass_document_validation: Option<bool>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let arguments =
                    InsertManyArguments { documents, ordered, bypass_document_validation, session, comment };
                self.run(py, concat!($collection_name, ".insert_many"), move |py, at| {
                    <$path as CollectionCalls>::insert_many(py, at, arguments)
                })
            }

            /// Find the first document that matches; gives it, or `None`. An argument
            /// that is no mapping is an `_id` to look for.
            #[pyo3(signature = (
                        filter = None, projection = None, skip = 0, limit = 0, no_cursor_timeout = false,
                        cursor_type = 0, sort = None, allow_partial_results = false, oplog_replay = false,
                        batch_size = 0, collation = None, hint = None, max_scan = None, max_time_ms = None,
                        max = None, min = None, return_key = None, show_record_id = None, snapshot = None,
                        comment = None, session = None, allow_disk_use = None, r#let = None
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn find_one(
                &self,
                py: Python<'_>,
                filter: Option<Py<PyAny>>,
                projection: Option<Py<PyAny>>,
                #[pyo3(from_py_with = options::count)] skip: u64,
                limit: i64,
                no_cursor_timeout: bool,
                cursor_type: i64,
                sort: Option<Py<PyAny>>,
                allow_partial_results: bool,
                oplog_replay: bool,
                #[pyo3(from_py_with = options::count)] batch_size: u64,
                collation: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                max_scan: Option<Py<PyAny>>,
                max_time_ms: Option<u64>,
                max: Option<Py<PyAny>>,
                min: Option<Py<PyAny>>,
                return_key: Option<bool>,
                show_record_id: Option<bool>,
                snapshot: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                allow_disk_use: Option<bool>,
                r#let: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                options::not_supported([
                    ("oplog_replay", oplog_replay),
                    ("max_scan", max_scan.is_some()),
                    ("snapshot", snapshot.is_some()),
                ])?;
                let arguments = FindArguments {
                    filter,
                    projection,
                    skip,
                    limit,
                    no_cursor_timeout,
                    sort,
                    allow_partial_results,
                    batch_size: u32::try_from(batch_size).unwrap_or(u32::MAX),
                    collation,
                    hint,
                    max_time_ms,
                    max,
                    min,
                    return_key,
                    show_record_id,
                    comment,
                    session,
                    allow_disk_use,
                    let_vars: r#let,
                    cursor_type,
                    max_await_time_ms: None,
                };
                self.run(py, concat!($collection_name, ".find_one"), move |py, at| {
                    <$path as CollectionCalls>::find_one(py, at, &arguments)
                })
            }

            /// Find all documents that match; gives a cursor, which asks the
            /// server once it is read.
            #[pyo3(signature = (
                        filter = None, projection = None, skip = 0, limit = 0, no_cursor_timeout = false,
                        cursor_type = 0, sort = None, allow_partial_results = false, oplog_replay = false,
                        batch_size = 0, collation = None, hint = None, max_scan = None, max_time_ms = None,
                        max = None, min = None, return_key = None, show_record_id = None, snapshot = None,
                        comment = None, session = None, allow_disk_use = None, r#let = None
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn find(
                slf: &Bound<'_, Self>,
                filter: Option<Py<PyAny>>,
                projection: Option<Py<PyAny>>,
                #[pyo3(from_py_with = options::count)] skip: u64,
                limit: i64,
                no_cursor_timeout: bool,
                cursor_type: i64,
                sort: Option<Py<PyAny>>,
                allow_partial_results: bool,
                oplog_replay: bool,
                #[pyo3(from_py_with = options::count)] batch_size: u64,
                collation: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                max_scan: Option<Py<PyAny>>,
                max_time_ms: Option<u64>,
                max: Option<Py<PyAny>>,
                min: Option<Py<PyAny>>,
                return_key: Option<bool>,
                show_record_id: Option<bool>,
                snapshot: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                allow_disk_use: Option<bool>,
                r#let: Option<Py<PyAny>>,
            ) -> PyResult<$cursor> {
                options::not_supported([
                    ("oplog_replay", oplog_replay),
                    ("max_scan", max_scan.is_some()),
                    ("snapshot", snapshot.is_some()),
                ])?;
                let py = slf.py();
                options::find_arguments(py, filter.as_ref(), projection.as_ref(), sort.as_ref())?;
                let arguments = FindArguments {
                    filter,
                    projection,
                    skip,
                    limit,
                    no_cursor_timeout,
                    sort,
                    allow_partial_results,
                    batch_size: u32::try_from(batch_size).unwrap_or(u32::MAX),
                    collation,
                    hint,
                    max_time_ms,
                    max,
                    min,
                    return_key,
                    show_record_id,
                    comment,
                    session,
                    allow_disk_use,
                    let_vars: r#let,
                    cursor_type,
                    max_await_time_ms: None,
                };
                Ok($cursor::new(query::<$path>(slf.clone().into_any(), slf.get().here(), arguments)))
            }

            /// Update the first document that matches; gives an `UpdateResult`.
            #[pyo3(signature = (
                        filter, update, upsert = false, bypass_document_validation = None, collation = None,
                        array_filters = None, hint = None, session = None, r#let = None, sort = None, comment = None
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn update_one(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                update: Py<PyAny>,
                upsert: bool,
                bypass_document_validation: Option<bool>,
                collation: Option<Py<PyAny>>,
                array_filters: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                sort: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let options = vec![
                    ("upsert", Opt::Flag(Some(upsert))),
                    ("bypassDocumentValidation", Opt::Flag(bypass_document_validation)),
                    ("collation", Opt::Collation(collation)),
                    ("arrayFilters", Opt::List(array_filters)),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Mapping(r#let)),
                    ("sort", Opt::Keys(sort)),
                    ("comment", Opt::Value(comment)),
                ];
                let arguments = ChangeArguments { filter, change: update, options };
                self.run(py, concat!($collection_name, ".update_one"), move |py, at| {
                    <$path as CollectionCalls>::change(py, at, Change::UpdateOne, &arguments)
                })
            }

            /// Update all documents that match; gives an `UpdateResult`.
            #[pyo3(signature = (
                        filter, update, upsert = false, array_filters = None, bypass_document_validation = None,
                        collation = None, hint = None, session = None, r#let = None, comment = None
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn update_many(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                update: Py<PyAny>,
                upsert: bool,
                array_filters: Option<Py<PyAny>>,
                bypass_document_validation: Option<bool>,
                collation: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let options = vec![
                    ("upsert", Opt::Flag(Some(upsert))),
                    ("bypassDocumentValidation", Opt::Flag(bypass_document_validation)),
                    ("collation", Opt::Collation(collation)),
                    ("arrayFilters", Opt::List(array_filters)),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Mapping(r#let)),
                    ("comment", Opt::Value(comment)),
                ];
                let arguments = ChangeArguments { filter, change: update, options };
                self.run(py, concat!($collection_name, ".update_many"), move |py, at| {
                    <$path as CollectionCalls>::change(py, at, Change::UpdateMany, &arguments)
                })
            }

            /// Replace the first document that matches; gives an `UpdateResult`.
            #[pyo3(signature = (
                        filter, replacement, upsert = false, bypass_document_validation = None, collation = None,
                        hint = None, session = None, r#let = None, sort = None, comment = None
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn replace_one(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                replacement: Py<PyAny>,
                upsert: bool,
                bypass_document_validation: Option<bool>,
                collation: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                sort: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let options = vec![
                    ("upsert", Opt::Flag(Some(upsert))),
                    ("bypassDocumentValidation", Opt::Flag(bypass_document_validation)),
                    ("collation", Opt::Collation(collation)),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Mapping(r#let)),
                    ("sort", Opt::Keys(sort)),
                    ("comment", Opt::Value(comment)),
                ];
                let arguments = ChangeArguments { filter, change: replacement, options };
                self.run(py, concat!($collection_name, ".replace_one"), move |py, at| {
                    <$path as CollectionCalls>::change(py, at, Change::ReplaceOne, &arguments)
                })
            }

            /// Delete the first document that matches; gives a `DeleteResult`.
            #[pyo3(signature = (filter, collation = None, hint = None, session = None, r#let = None, comment = None))]
            #[allow(clippy::too_many_arguments)]
            fn delete_one(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                collation: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let options = delete_options(collation, hint, session, r#let, comment);
                self.run(py, concat!($collection_name, ".delete_one"), move |py, at| {
                    <$path as CollectionCalls>::delete(py, at, false, filter.bind(py), &options)
                })
            }

            /// Delete all documents that match; gives a `DeleteResult`.
            #[pyo3(signature = (filter, collation = None, hint = None, session = None, r#let = None, comment = None))]
            #[allow(clippy::too_many_arguments)]
            fn delete_many(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                collation: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let options = delete_options(collation, hint, session, r#let, comment);
                self.run(py, concat!($collection_name, ".delete_many"), move |py, at| {
                    <$path as CollectionCalls>::delete(py, at, true, filter.bind(py), &options)
                })
            }

            /// Run an aggregation pipeline; gives a cursor, which may be awaited first.
            #[pyo3(signature = (pipeline, session = None, r#let = None, comment = None, **kwargs))]
            fn aggregate(
                slf: &Bound<'_, Self>,
                pipeline: Py<PyAny>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<$cursor> {
                let mut options = options::aggregation(kwargs)?;
                options.extend([
                    ("session", Opt::Session(session)),
                    ("let", Opt::Mapping(r#let)),
                    ("comment", Opt::Value(comment)),
                ]);
                $cursor::of_command(slf.py(), aggregation::<$path>(slf.clone().into_any(), slf.get().here(), pipeline, options))
            }

            /// Save an event; the event store's own way in.
            #[pyo3(signature = (settings, event_type, obj, task_id = None, installation_id = None))]
            fn _save_event(
                &self,
                py: Python<'_>,
                settings: Py<StoreSettings>,
                event_type: Py<PyAny>,
                obj: Py<PyAny>,
                task_id: Option<String>,
                installation_id: Option<String>,
            ) -> PyResult<Py<PyAny>> {
                let here = self.here();
                let gated = Arc::clone(&here.pooled);
                let gate: Gate = Box::new(move |py| Ok(<$path as CollectionCalls>::room(gated.client(py, $client_name)?)));
                $flavor::run_behind(py, "EventStore.save", Some(gate), move |py| {
                    let at = here.at(py)?;
                    let (task_id, installation_id) = (task_id.as_deref(), installation_id.as_deref());
                    let record = settings.get().record(event_type.bind(py), obj.bind(py), task_id, installation_id)?;
                    let id = record.id.clone();
                    Ok(Insert::Merged {
                        hand_over: <$path as CollectionCalls>::save(py, at, record)?,
                        finish: Box::new(move |py, result| saved(py, result, id)),
                    })
                })
            }

            /// Save events, pairs of an event type and an object; gives for each
            /// its result, or its exception.
            fn _save_events(
                &self,
                py: Python<'_>,
                settings: Py<StoreSettings>,
                events: Py<PyAny>,
            ) -> PyResult<Py<PyAny>> {
                self.run(py, "EventStore.save_many", move |py, at: At<$path>| {
                    let runtime = raised(py, process().runtime())?;
                    // What came of each, or the place of what will.
                    let mut outcomes = Vec::new();
                    let mut calls = Vec::new();
                    for (event_type, obj) in pairs(events.bind(py))? {
                        let handing = settings.get().record(&event_type, &obj, None, None).and_then(|record| {
                            let id = record.id.clone();
                            Ok((<$path as CollectionCalls>::save(py, at.clone(), record)?, id))
                        });
                        match handing {
                            Ok((handing, id)) => {
                                let (caller, ended) = awaited();
                                handing(runtime, caller, More::No);
                                calls.push(ended);
                                outcomes.push(Ok(id));
                            }
                            Err(error) => outcomes.push(Err(error)),
                        }
                    }
                    let ended = async move { Ok(futures_util::future::join_all(calls).await) };
                    Ok(Call::new(ended, move |py, results: crate::error::Result<Vec<crate::error::Result<()>>>| {
                        let mut results = results.unwrap_or_default().into_iter();
                        let list = PyList::empty(py);
                        for outcome in outcomes {
                            let lost = || Err(Error::new(ErrorKind::InvalidOperation, "the outcome was lost"));
                            let saved = outcome.and_then(|id| saved(py, results.next().unwrap_or_else(lost), id));
                            list.append(saved.unwrap_or_else(|error| error.into_value(py).into_any()))?;
                        }
                        Ok(list.into_any().unbind())
                    }))
                })
            }

            /// Wait until no insert of the client is on its way.
            fn _drain(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.run(py, "EventStore.drain", |_, at| {
                    let client = at.client;
                    let drained = async move { AsRef::<Coalescer<$path>>::as_ref(&*client).drained().await };
                    Ok(Call::new(drained, |py, _| Ok(py.None())))
                })
            }

            /// The collection's name.
            #[getter]
            fn name(&self) -> &str {
                &self.namespace.collection
            }

            /// The database's and the collection's name.
            #[getter]
            fn full_name(&self) -> String {
                self.namespace.to_string()
            }

            /// The database that it is in.
            #[getter]
            fn database(&self, py: Python<'_>) -> $database {
                let name = self.namespace.database.clone();
                $database { client: self.client.clone_ref(py), name, scope: Arc::clone(&self.scope) }
            }

            /// The same collection with other options.
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
            ) -> PyResult<Self> {
                let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
                let scope = Arc::new(scope::<$path>(py, &self.scope, &overrides)?);
                let Namespace { database, collection, .. } = &*self.namespace;
                Ok(Self::new(self.client.clone_ref(py), database, collection, scope))
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

            fn __getitem__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Self> {
                let name = name.cast::<PyString>().map_err(|_| wrong_type("name", "an instance of str", name))?;
                let full = PyString::new(py, &format!("{}.{}", self.namespace.collection, name.to_str()?));
                let collection = options::name(full.as_any(), "collection", collection_name)?;
                let scope = Arc::clone(&self.scope);
                Ok(Self::new(self.client.clone_ref(py), &self.namespace.database, &collection, scope))
            }

            fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
                if name.to_str()?.starts_with('_') {
                    return Err(private($collection_name, name.to_str()?));
                }
                if let Some(refused) = only_of_the_driver::<$path, AsyncCollection>(py, name)? {
                    return Ok(refused);
                }
                Ok(Bound::new(py, self.__getitem__(py, name)?)?.into_any().unbind())
            }

            #[pyo3(signature = (*args, **kwargs))]
            fn __call__(
                &self,
                args: &Bound<'_, pyo3::types::PyTuple>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let _of_no_method = (args, kwargs);
                let method = self.namespace.collection.rsplit('.').next().unwrap_or_default();
                Err(PyTypeError::new_err(format!(
                    "'{}' object is not callable. If you meant to call the '{method}' method, it is failing because no \
                     such method exists.",
                    $collection_name
                )))
            }

            fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
                other.cast::<Self>().is_ok_and(|other| {
                    let other = other.get();
                    Arc::ptr_eq(&other.client.get().pooled, &self.client.get().pooled)
                        && other.namespace.is_named_as(&self.namespace)
                })
            }

            fn __hash__(&self) -> u64 {
                hash_of((Arc::as_ptr(&self.client.get().pooled) as usize, self.namespace.to_string()))
            }

            fn __bool__(&self) -> PyResult<bool> {
                Err(no_truth($collection_name))
            }

            fn __repr__(&self, py: Python<'_>) -> String {
                format!("{}({}, '{}')", $collection_name, self.database(py).__repr__(), self.namespace.collection)
            }
        }
    };
}

/// A client of the driver path.
macro_rules! driver_constructor {
    ($client:ident) => {
        #[pymethods]
        impl $client {
            #[new]
            #[pyo3(signature = (
                host = None, port = None, document_class = None, tz_aware = None, connect = None, type_registry = None,
                *, coalesce = true, add_ids = false, **options
            ))]
            #[allow(clippy::too_many_arguments)]
            fn new(
                host: Option<&Bound<'_, PyAny>>,
                port: Option<u16>,
                document_class: Option<&Bound<'_, PyAny>>,
                tz_aware: Option<&Bound<'_, PyAny>>,
                connect: Option<bool>,
                type_registry: Option<&Bound<'_, PyAny>>,
                coalesce: bool,
                add_ids: bool,
                options: Option<&Bound<'_, PyDict>>,
                py: Python<'_>,
            ) -> PyResult<Self> {
                // PyMongo connects at once unless told not to; here it is always the first call.
                let _when = connect;
                let options = match options {
                    Some(options) => options.copy()?,
                    None => PyDict::new(py),
                };
                for (name, value) in
                    [("document_class", document_class), ("tz_aware", tz_aware), ("type_registry", type_registry)]
                {
                    if let Some(value) = value {
                        options.set_item(name, value)?;
                    }
                }
                let extras = extras_of(&options)?;
                let (mut settings, codec_options, read_preference) = driver_settings_of(py, host, port, &options, extras.oidc.has_callback())?;
                settings.coalesce = coalesce;
                let client = Self::of(Pooled::with_extras(settings, false, extras));
                let overrides = Overrides {
                    codec_options: codec_options.as_ref(),
                    read_preference: read_preference.as_ref(),
                    ..Overrides::default()
                };
                let scope = client.scope.with(py, &overrides)?;
                Ok(Self { scope, add_ids, ..client })
            }
        }
    };
}

/// A client of the Data API path.
macro_rules! data_api_constructor {
    ($client:ident) => {
        #[pymethods]
        impl $client {
            #[new]
            #[pyo3(signature = (
                                                endpoint, *, api_key, data_source, database = None, collection = None,
                                                timeoutMS = 30_000, connectTimeoutMS = 5_000, retryWrites = true, coalesce = true,
 add_ids = false
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
            ) -> PyResult<Self> {
                let mut settings = raised(py, DataApiSettings::new(endpoint, api_key, data_source))?;
                let named = |name: &Option<String>, what: &str, check: fn(&str) -> Result<(), String>| match name {
                    Some(name) => check(name).map_err(|problem| configuration_error(py, format!("{what} {problem}"))),
                    None => Ok(()),
                };
                named(&database, "database", database_name)?;
                named(&collection, "collection", collection_name)?;
                if timeoutMS == 0 || connectTimeoutMS == 0 {
                    return Err(configuration_error(py, "timeoutMS and connectTimeoutMS must be more than 0"));
                }
                settings.database = database;
                settings.collection = collection;
                settings.timeout = Duration::from_millis(timeoutMS);
                settings.connect_timeout = Duration::from_millis(connectTimeoutMS);
                settings.retry = retryWrites;
                settings.coalesce = coalesce;
                Ok(Self { add_ids, ..Self::of(Pooled::new(settings, false)) })
            }
        }
    };
}

/// What of a client's keywords is no setting.
fn extras_of(options: &Bound<'_, PyDict>) -> PyResult<Extras> {
    let py = options.py();
    let taken = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        let value = options.get_item(name)?;
        options.del_item(name).ok();
        Ok(value.filter(|value| !value.is_none()))
    };
    let listeners = match taken("event_listeners")? {
        Some(listeners) => {
            py.import("connect.eaas.mongodb.monitoring")?.getattr("check_listeners")?.call1((listeners,))?.extract()?
        }
        None => Vec::new(),
    };
    let server_api = match taken("server_api")? {
        Some(api) => {
            let version = api.getattr("version")?.extract::<String>()?;
            let version = version.parse::<ServerApiVersion>().map_err(|_| {
                configuration_error(py, "server_api must be an instance of pymongo.server_api.ServerApi")
            })?;
            let mut server_api = ServerApi::builder().version(version).build();
            server_api.strict = api.getattr("strict")?.extract()?;
            server_api.deprecation_errors = api.getattr("deprecation_errors")?.extract()?;
            Some(server_api)
        }
        None => None,
    };
    Ok(Extras { listeners, server_api, oidc: Oidc::of(options)? })
}

/// The options of documents' types, in PyMongo's names for them as keywords.
const CODEC_OPTIONS: [&str; 7] = [
    "document_class",
    "tz_aware",
    "tzinfo",
    "type_registry",
    "uuidrepresentation",
    "unicode_decode_error_handler",
    "datetime_conversion",
];

/// The settings, the codec options and the read preference of a client, where the latter are given.
type ClientOptions<'py> = (DriverSettings, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

/// `MongoClient(host, port, **options)`, as PyMongo reads them.
fn driver_settings_of<'py>(
    py: Python<'py>,
    host: Option<&Bound<'py, PyAny>>,
    port: Option<u16>,
    options: &Bound<'py, PyDict>,
    has_callback: bool,
) -> PyResult<ClientOptions<'py>> {
    let mut uri = match host.filter(|host| !host.is_none()) {
        None => "localhost".to_owned(),
        Some(host) => match host.cast::<PyString>() {
            Ok(host) => host.to_str()?.to_owned(),
            Err(_) => host
                .extract::<Vec<String>>()
                .map(|hosts| hosts.join(","))
                .map_err(|_| wrong_type("host", "a str or a list of str", host))?,
        },
    };
    if let (Some(port), false) = (port, uri.contains("://")) {
        let seeds: Vec<String> = uri
            .split(',')
            .map(|seed| if seed.contains(':') { seed.to_owned() } else { format!("{seed}:{port}") })
            .collect();
        uri = seeds.join(",");
    }
    for name in ["auto_encryption_opts", "server_selector", "authOIDCAllowedHosts"] {
        if options.get_item(name)?.is_some_and(|value| !value.is_none()) {
            return Err(PyNotImplementedError::new_err(format!(
                "{name} is not supported: leave it out, or use PyMongo"
            )));
        }
        options.del_item(name).ok();
    }
    let read_preference = options.get_item("read_preference")?.filter(|preference| !preference.is_none());
    options.del_item("read_preference").ok();
    let codec = PyDict::new(py);
    let (without, of_codec) = config::uri_without_options(&uri, &CODEC_OPTIONS);
    uri = without;
    for (name, value) in of_codec {
        codec.set_item(name.to_lowercase(), value)?;
    }
    for name in options.keys() {
        let text = name.extract::<String>()?;
        if CODEC_OPTIONS.contains(&text.to_lowercase().as_str()) {
            if let Some(value) = options.get_item(&name)?.filter(|value| !value.is_none()) {
                codec.set_item(text.to_lowercase(), value)?;
            }
            options.del_item(&name)?;
        }
    }
    let mut options = options::uri_options(options)?;
    let mut taken = |name: &str| {
        let place = options.iter().position(|(option, _)| option == name)?;
        Some(options.remove(place).1)
    };
    if let Some(user) = taken("username") {
        uri = config::uri_with_credentials(&uri, &user, taken("password").as_deref());
    }
    let settings = DriverSettings::with_callback(&config::uri_with_options(&uri, &options), has_callback);
    Ok((raised(py, settings)?, codec_options(&codec)?, read_preference))
}

/// The `CodecOptions` of a client's keywords; `None` where there are none.
fn codec_options<'py>(given: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = given.py();
    if given.is_empty() {
        return Ok(None);
    }
    // PyMongo's own checks, and its names for representations and conversions.
    let validate = py.import("pymongo.common")?.getattr("validate")?;
    let checked = PyDict::new(py);
    for (name, value) in given {
        let value = validate.call1((&name, value))?.get_item(1)?;
        let name = name.extract::<String>()?;
        checked.set_item(if name == "uuidrepresentation" { "uuid_representation" } else { &name }, value)?;
    }
    let class = py.import("bson.codec_options")?.getattr("CodecOptions")?;
    Ok(Some(class.call((), Some(&checked))?))
}

path_classes!(
    Awaited,
    DriverClient,
    AsyncMongoClient = "AsyncMongoClient",
    AsyncDatabase = "AsyncDatabase",
    AsyncCollection = "AsyncCollection",
    AsyncCursor,
    enter = __aenter__,
    exit = __aexit__
);
driver_constructor!(AsyncMongoClient);

path_classes!(
    Blocking,
    DriverClient,
    MongoClient = "MongoClient",
    Database = "Database",
    Collection = "Collection",
    Cursor,
    enter = __enter__,
    exit = __exit__
);
driver_constructor!(MongoClient);

path_classes!(
    Awaited,
    HttpClient,
    AsyncDataApiClient = "AsyncDataApiClient",
    AsyncDataApiDatabase = "AsyncDataApiDatabase",
    AsyncDataApiCollection = "AsyncDataApiCollection",
    AsyncCursor,
    enter = __aenter__,
    exit = __aexit__
);
data_api_constructor!(AsyncDataApiClient);

path_classes!(
    Blocking,
    HttpClient,
    DataApiClient = "DataApiClient",
    DataApiDatabase = "DataApiDatabase",
    DataApiCollection = "DataApiCollection",
    Cursor,
    enter = __enter__,
    exit = __exit__
);
data_api_constructor!(DataApiClient);
