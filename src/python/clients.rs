//! The classes that users see, for both paths, awaited and not. Each path's
//! client, database and collection have the same methods, written once here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use pyo3::exceptions::{PyAttributeError, PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};
use std::time::Duration;

use super::awaitable::Gate;
use super::call::{Call, Insert, Startable, raised};
use super::codec::{decode_document, encode, raw_document};
use super::cursor::{AsyncCursor, Cursor, CursorCore, FindArguments, Open};
use super::errors::{configuration_error, to_py, wrong_type};
use super::flavor::{Awaited, Blocking, Flavor};
use super::mongo::{
    Change, ChangeArguments, CollectionCalls, InsertManyArguments, InsertOneArguments, bson_to_py, found,
};
use super::options::{self, Opt, Opts};
use super::pooled::Pooled;
use super::shared;
use super::store::{StoreSettings, pairs, saved};
use crate::coalesce::{Coalescer, More, awaited};
use crate::codec::writer::BsonWriter;
use crate::config::{
    self, DataApiSettings, DriverSettings, VARIABLES, Value, collection_name, data_api_settings, database_name,
    driver_settings,
};
use crate::cursor::{Batch, Fetching};
use crate::data_api::client::DataApiClient as HttpClient;
use crate::driver::aggregate;
use crate::driver::command::{list, run_command};
use crate::driver::write::{Then, find_one_and};
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
        ("let", Opt::Value(let_vars)),
        ("comment", Opt::Value(comment)),
    ]
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
            pooled: Arc<Pooled<$path>>,
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
                    let client = Self { pooled: Arc::new(Pooled::new(settings, true)) };
                    Ok(Py::new(py, client)?.into_any())
                })
            }

            /// The database of that name.
            #[pyo3(signature = (name = None))]
            fn get_database(slf: &Bound<'_, Self>, name: Option<&Bound<'_, PyAny>>) -> PyResult<$database> {
                match name.filter(|name| !name.is_none()) {
                    Some(name) => Self::__getitem__(slf, name),
                    None => Self::get_default_database(slf),
                }
            }

            /// The database that the connection string or the variables name.
            fn get_default_database(slf: &Bound<'_, Self>) -> PyResult<$database> {
                let Some(name) = slf.get().pooled.settings.defaults().0 else {
                    return Err(configuration_error(slf.py(), "No default database name defined or provided."));
                };
                Ok($database { client: slf.clone().unbind(), name: name.clone() })
            }

            /// The collection that the variables name.
            fn get_default_collection(slf: &Bound<'_, Self>) -> PyResult<$collection> {
                let (Some(database), Some(collection)) = slf.get().pooled.settings.defaults() else {
                    return Err(configuration_error(
                        slf.py(),
                        "no default collection is defined: make the client with from_config, or name the collection",
                    ));
                };
                let namespace = Namespace { database: database.clone(), collection: collection.clone() };
                Ok($collection::new(slf.clone().unbind(), namespace))
            }

            /// Close the connections. A client that came from `from_config` serves
            /// others too and stays open; it closes when its settings are replaced.
            fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                let pooled = Arc::clone(&self.pooled);
                let name = concat!($client_name, ".close");
                $flavor::run(py, name, move |_| Ok(<$path as CollectionCalls>::close(&pooled)))
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
                Ok($database { client: slf.clone().unbind(), name })
            }

            fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<$database> {
                if name.to_str()?.starts_with('_') {
                    return Err(private($client_name, name.to_str()?));
                }
                Self::__getitem__(slf, name)
            }

            fn __repr__(&self) -> String {
                format!("{}({})", $client_name, self.pooled.settings.shown())
            }
        }

        /// A database.
        #[pyclass(module = "connect.eaas.mongodb", frozen, name = $database_name)]
        pub struct $database {
            client: Py<$client>,
            /// The database's name.
            #[pyo3(get)]
            name: String,
        }

        #[pymethods]
        impl $database {
            /// The client that it came from.
            #[getter]
            fn client(&self, py: Python<'_>) -> Py<$client> {
                self.client.clone_ref(py)
            }

            /// The collection of that name.
            #[pyo3(signature = (name))]
            fn get_collection(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<$collection> {
                self.__getitem__(py, name)
            }

            fn __getitem__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<$collection> {
                let collection = options::name(name, "collection", collection_name)?;
                let namespace = Namespace { database: self.name.clone(), collection };
                Ok($collection::new(self.client.clone_ref(py), namespace))
            }

            fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<$collection> {
                if name.to_str()?.starts_with('_') {
                    return Err(private($database_name, name.to_str()?));
                }
                self.__getitem__(py, name)
            }

            fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
                other.cast::<Self>().is_ok_and(|other| {
                    let other = other.get();
                    other.client.is(&self.client) && other.name == self.name
                })
            }

            fn __hash__(&self) -> u64 {
                hash_of((self.client.as_ptr() as usize, &self.name))
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
            client: Py<$client>,
            namespace: Arc<Namespace>,
        }

        impl $collection {
            fn new(client: Py<$client>, namespace: Namespace) -> Self {
                Self { client, namespace: Arc::new(namespace) }
            }

            fn run<C: Startable>(
                &self,
                py: Python<'_>,
                name: &'static str,
                call: impl FnOnce(Python<'_>, Arc<$path>, Arc<Namespace>) -> PyResult<C> + Send + 'static,
            ) -> PyResult<Py<PyAny>> {
                let pooled = Arc::clone(&self.client.get().pooled);
                let namespace = Arc::clone(&self.namespace);
                $flavor::run(py, name, move |py| call(py, pooled.client(py, $client_name)?, namespace))
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
                let pooled = Arc::clone(&self.client.get().pooled);
                let gated = Arc::clone(&pooled);
                let gate: Gate = Box::new(move |py| Ok(<$path as CollectionCalls>::room(gated.client(py, $client_name)?)));
                let namespace = Arc::clone(&self.namespace);
                $flavor::run_behind(py, concat!($collection_name, ".insert_one"), Some(gate), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    <$path as CollectionCalls>::insert_one(py, client, namespace, arguments)
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
                self.run(py, concat!($collection_name, ".insert_many"), move |py, client, namespace| {
                    <$path as CollectionCalls>::insert_many(py, client, namespace, arguments)
                })
            }

            /// Find the first document that matches; gives it, or `None`.
            #[pyo3(signature = (
                        filter = None, projection = None, skip = 0, *,
                        sort = None, hint = None, max_time_ms = None, comment = None, session = None,
                        collation = None, r#let = None
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn find_one(
                &self,
                py: Python<'_>,
                filter: Option<Py<PyAny>>,
                projection: Option<Py<PyAny>>,
                skip: u64,
                sort: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                max_time_ms: Option<u64>,
                comment: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                collation: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let arguments = FindArguments {
                    filter,
                    projection,
                    skip,
                    sort,
                    hint,
                    max_time_ms,
                    comment,
                    session,
                    collation,
                    let_vars: r#let,
                    ..FindArguments::default()
                };
                self.run(py, concat!($collection_name, ".find_one"), move |py, client, namespace| {
                    <$path as CollectionCalls>::find_one(py, client, namespace, &arguments)
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
                skip: u64,
                limit: i64,
                no_cursor_timeout: bool,
                cursor_type: i64,
                sort: Option<Py<PyAny>>,
                allow_partial_results: bool,
                oplog_replay: bool,
                batch_size: u32,
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
                    ("cursor_type", cursor_type != 0),
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
                    batch_size,
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
                };
                let collection = slf.get();
                let pooled = Arc::clone(&collection.client.get().pooled);
                let namespace = Arc::clone(&collection.namespace);
                let open: Open = Arc::new(move |py, arguments| {
                    let client = pooled.client(py, $client_name)?;
                    <$path as CollectionCalls>::find(py, client, Arc::clone(&namespace), arguments)
                });
                Ok($cursor::new(CursorCore::new(slf.clone().unbind().into_any(), open, arguments)))
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
                    ("arrayFilters", Opt::Value(array_filters)),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Value(r#let)),
                    ("sort", Opt::Keys(sort)),
                    ("comment", Opt::Value(comment)),
                ];
                let arguments = ChangeArguments { filter, change: update, options };
                self.run(py, concat!($collection_name, ".update_one"), move |py, client, namespace| {
                    <$path as CollectionCalls>::change(py, client, namespace, Change::UpdateOne, &arguments)
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
                    ("arrayFilters", Opt::Value(array_filters)),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Value(r#let)),
                    ("comment", Opt::Value(comment)),
                ];
                let arguments = ChangeArguments { filter, change: update, options };
                self.run(py, concat!($collection_name, ".update_many"), move |py, client, namespace| {
                    <$path as CollectionCalls>::change(py, client, namespace, Change::UpdateMany, &arguments)
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
                    ("let", Opt::Value(r#let)),
                    ("sort", Opt::Keys(sort)),
                    ("comment", Opt::Value(comment)),
                ];
                let arguments = ChangeArguments { filter, change: replacement, options };
                self.run(py, concat!($collection_name, ".replace_one"), move |py, client, namespace| {
                    <$path as CollectionCalls>::change(py, client, namespace, Change::ReplaceOne, &arguments)
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
                self.run(py, concat!($collection_name, ".delete_one"), move |py, client, namespace| {
                    <$path as CollectionCalls>::delete(py, client, namespace, false, filter.bind(py), &options)
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
                self.run(py, concat!($collection_name, ".delete_many"), move |py, client, namespace| {
                    <$path as CollectionCalls>::delete(py, client, namespace, true, filter.bind(py), &options)
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
                let mut options = options::more(
                    kwargs,
                    &[
                        ("allowDiskUse", options::Form::Value),
                        ("batchSize", options::Form::Value),
                        ("bypassDocumentValidation", options::Form::Value),
                        ("bypass_document_validation", options::Form::Named("bypassDocumentValidation")),
                        ("collation", options::Form::Collation),
                        ("hint", options::Form::Index),
                        ("maxTimeMS", options::Form::Value),
                    ],
                )?;
                options.extend([
                    ("session", Opt::Session(session)),
                    ("let", Opt::Value(r#let)),
                    ("comment", Opt::Value(comment)),
                ]);
                let collection = slf.get();
                let pooled = Arc::clone(&collection.client.get().pooled);
                let namespace = Arc::clone(&collection.namespace);
                let open: Open = Arc::new(move |py, _| {
                    let client = pooled.client(py, $client_name)?;
                    let namespace = Arc::clone(&namespace);
                    <$path as CollectionCalls>::aggregate(py, client, namespace, pipeline.bind(py), &options)
                });
                Ok($cursor::new(CursorCore::new(slf.clone().unbind().into_any(), open, FindArguments::default())))
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
                let pooled = Arc::clone(&self.client.get().pooled);
                let gated = Arc::clone(&pooled);
                let gate: Gate = Box::new(move |py| Ok(<$path as CollectionCalls>::room(gated.client(py, $client_name)?)));
                let namespace = Arc::clone(&self.namespace);
                $flavor::run_behind(py, "EventStore.save", Some(gate), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    let (task_id, installation_id) = (task_id.as_deref(), installation_id.as_deref());
                    let record = settings.get().record(event_type.bind(py), obj.bind(py), task_id, installation_id)?;
                    let id = record.id.clone();
                    Ok(Insert::Merged {
                        hand_over: <$path as CollectionCalls>::save(py, client, namespace, record)?,
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
                self.run(py, "EventStore.save_many", move |py, client, namespace| {
                    let runtime = raised(py, process().runtime())?;
                    // What came of each, or the place of what will.
                    let mut outcomes = Vec::new();
                    let mut calls = Vec::new();
                    for (event_type, obj) in pairs(events.bind(py))? {
                        let handing = settings.get().record(&event_type, &obj, None, None).and_then(|record| {
                            let id = record.id.clone();
                            let namespace = Arc::clone(&namespace);
                            Ok((<$path as CollectionCalls>::save(py, Arc::clone(&client), namespace, record)?, id))
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
                self.run(py, "EventStore.drain", |_, client, _| {
                    let drained = async move {
                        AsRef::<Coalescer<$path>>::as_ref(&*client).drained().await;
                        Ok(())
                    };
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
                $database { client: self.client.clone_ref(py), name: self.namespace.database.clone() }
            }

            fn __getitem__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Self> {
                let name = name.cast::<PyString>().map_err(|_| wrong_type("name", "an instance of str", name))?;
                let full = PyString::new(py, &format!("{}.{}", self.namespace.collection, name.to_str()?));
                let collection = options::name(full.as_any(), "collection", collection_name)?;
                let namespace = Namespace { database: self.namespace.database.clone(), collection };
                Ok(Self::new(self.client.clone_ref(py), namespace))
            }

            fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Self> {
                if name.to_str()?.starts_with('_') {
                    return Err(private($collection_name, name.to_str()?));
                }
                self.__getitem__(py, name)
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
                    other.client.is(&self.client) && other.namespace == self.namespace
                })
            }

            fn __hash__(&self) -> u64 {
                hash_of((self.client.as_ptr() as usize, &*self.namespace))
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
            #[pyo3(signature = (host = None, port = None, *, coalesce = true, **options))]
            fn new(
                host: Option<&Bound<'_, PyAny>>,
                port: Option<u16>,
                coalesce: bool,
                options: Option<&Bound<'_, PyDict>>,
                py: Python<'_>,
            ) -> PyResult<Self> {
                let mut settings = driver_settings_of(py, host, port, options)?;
                settings.coalesce = coalesce;
                Ok(Self { pooled: Arc::new(Pooled::new(settings, false)) })
            }
        }
    };
}

/// What a collection of the driver path has beyond the other's.
macro_rules! driver_collection {
    ($flavor:ident, $collection:ident = $collection_name:literal, $cursor:ident) => {
        #[pymethods]
        impl $collection {
            /// How many documents match.
            #[pyo3(signature = (filter, session = None, comment = None, **kwargs))]
            fn count_documents(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let mut opts = options::more(
                    kwargs,
                    &[
                        ("skip", options::Form::Value),
                        ("limit", options::Form::Value),
                        ("maxTimeMS", options::Form::Named("maxTimeMS")),
                        ("hint", options::Form::Index),
                        ("collation", options::Form::Collation),
                    ],
                )?;
                opts.extend([("session", Opt::Session(session)), ("comment", Opt::Value(comment))]);
                self.run(py, concat!($collection_name, ".count_documents"), move |py, client, namespace| {
                    let filter = options::document(&options::write_filter(filter.bind(py))?)?;
                    let given = options::given(py, &opts)?;
                    let counting = async move { aggregate::count(&client, &namespace, filter, given).await };
                    Ok(Call::new(counting, |py, count| Ok(raised(py, count)?.into_pyobject(py)?.into_any().unbind())))
                })
            }

            /// How many documents there are, as the collection's metadata say.
            #[pyo3(signature = (comment = None, **kwargs))]
            fn estimated_document_count(
                &self,
                py: Python<'_>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let mut opts = options::more(kwargs, &[("maxTimeMS", options::Form::Value)])?;
                opts.push(("comment", Opt::Value(comment)));
                self.run(py, concat!($collection_name, ".estimated_document_count"), move |py, client, namespace| {
                    let given = options::given(py, &opts)?;
                    let counting = async move { aggregate::estimated_count(&client, &namespace, given).await };
                    Ok(Call::new(counting, |py, count| Ok(raised(py, count)?.into_pyobject(py)?.into_any().unbind())))
                })
            }

            /// The values that a field has in the documents that match.
            #[pyo3(signature = (key, filter = None, session = None, comment = None, hint = None, **kwargs))]
            #[allow(clippy::too_many_arguments)]
            fn distinct(
                &self,
                py: Python<'_>,
                key: String,
                filter: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let mut opts = options::more(
                    kwargs,
                    &[("maxTimeMS", options::Form::Value), ("collation", options::Form::Collation)],
                )?;
                opts.extend([
                    ("session", Opt::Session(session)),
                    ("comment", Opt::Value(comment)),
                    ("hint", Opt::Index(hint)),
                ]);
                self.run(py, concat!($collection_name, ".distinct"), move |py, client, namespace| {
                    let filter = match &filter {
                        Some(filter) => options::document(&options::write_filter(filter.bind(py))?)?,
                        None => bson::Document::new(),
                    };
                    let given = options::given(py, &opts)?;
                    let finding =
                        async move { aggregate::distinct(&client, &namespace, &key, filter, given).await };
                    Ok(Call::new(finding, |py, values| bson_to_py(py, bson::Bson::Array(raised(py, values)?))))
                })
            }

            /// Update the first document that matches; gives it as it was, or as it is then.
            #[pyo3(signature = (
                        filter, update, projection = None, sort = None, upsert = false, return_document = false,
                        array_filters = None, hint = None, session = None, r#let = None, comment = None, **kwargs
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn find_one_and_update(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                update: Py<PyAny>,
                projection: Option<Py<PyAny>>,
                sort: Option<Py<PyAny>>,
                upsert: bool,
                return_document: bool,
                array_filters: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let (mut opts, max_time) = options::find_and_modify(kwargs)?;
                opts.extend([
                    ("projection", Opt::Projection(projection)),
                    ("sort", Opt::Keys(sort)),
                    ("upsert", Opt::Flag(Some(upsert))),
                    ("arrayFilters", Opt::Value(array_filters)),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Value(r#let)),
                    ("comment", Opt::Value(comment)),
                ]);
                self.run(py, concat!($collection_name, ".find_one_and_update"), move |py, client, namespace| {
                    let filter = options::document(&options::write_filter(filter.bind(py))?)?;
                    let then = Then::Update(options::bson_value(&options::update(update.bind(py))?)?);
                    let given = options::given(py, &opts)?;
                    let changing = async move {
                        find_one_and(&client, &namespace, filter, then, return_document, max_time, given).await
                    };
                    Ok(Call::new(changing, found))
                })
            }

            /// Replace the first document that matches; gives it as it was, or as it is then.
            #[pyo3(signature = (
                        filter, replacement, projection = None, sort = None, upsert = false, return_document = false,
                        hint = None, session = None, r#let = None, comment = None, **kwargs
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn find_one_and_replace(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                replacement: Py<PyAny>,
                projection: Option<Py<PyAny>>,
                sort: Option<Py<PyAny>>,
                upsert: bool,
                return_document: bool,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let (mut opts, max_time) = options::find_and_modify(kwargs)?;
                opts.extend([
                    ("projection", Opt::Projection(projection)),
                    ("sort", Opt::Keys(sort)),
                    ("upsert", Opt::Flag(Some(upsert))),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Value(r#let)),
                    ("comment", Opt::Value(comment)),
                ]);
                self.run(py, concat!($collection_name, ".find_one_and_replace"), move |py, client, namespace| {
                    let filter = options::document(&options::write_filter(filter.bind(py))?)?;
                    let mut out = BsonWriter::default();
                    encode(&options::replacement(replacement.bind(py))?, &mut out)?;
                    let then = Then::Replace(raw_document(py, out.buf)?);
                    let given = options::given(py, &opts)?;
                    let changing = async move {
                        find_one_and(&client, &namespace, filter, then, return_document, max_time, given).await
                    };
                    Ok(Call::new(changing, found))
                })
            }

            /// Delete the first document that matches; gives it.
            #[pyo3(signature = (
                        filter, projection = None, sort = None, hint = None, session = None, r#let = None,
                        comment = None, **kwargs
                    ))]
            #[allow(clippy::too_many_arguments)]
            fn find_one_and_delete(
                &self,
                py: Python<'_>,
                filter: Py<PyAny>,
                projection: Option<Py<PyAny>>,
                sort: Option<Py<PyAny>>,
                hint: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let (mut opts, max_time) = options::find_and_modify(kwargs)?;
                opts.extend([
                    ("projection", Opt::Projection(projection)),
                    ("sort", Opt::Keys(sort)),
                    ("hint", Opt::Index(hint)),
                    ("session", Opt::Session(session)),
                    ("let", Opt::Value(r#let)),
                    ("comment", Opt::Value(comment)),
                ]);
                self.run(py, concat!($collection_name, ".find_one_and_delete"), move |py, client, namespace| {
                    let filter = options::document(&options::write_filter(filter.bind(py))?)?;
                    let given = options::given(py, &opts)?;
                    let changing = async move {
                        find_one_and(&client, &namespace, filter, Then::Delete, false, max_time, given).await
                    };
                    Ok(Call::new(changing, found))
                })
            }

            /// What is known of each index, by its name.
            #[pyo3(signature = (session = None, comment = None))]
            fn index_information(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                self.run(py, concat!($collection_name, ".index_information"), move |py, client, namespace| {
                    let more = options::given(py, &opts)?;
                    let listing = async move { indexes(&client, &namespace, more).await };
                    Ok(Call::new(listing, |py, indexes: crate::error::Result<Vec<bson::Document>>| {
                        let information = PyDict::new(py);
                        for mut index in raised(py, indexes)? {
                            let name = index.remove("name").unwrap_or_default();
                            let keys = index.remove("key").unwrap_or_default();
                            index.remove("ns");
                            let index = bson_to_py(py, bson::Bson::Document(index))?.into_bound(py);
                            let keys = bson_to_py(py, keys)?.into_bound(py).call_method0("items")?;
                            index.set_item("key", PyList::empty(py))?;
                            index.get_item("key")?.call_method1("extend", (keys,))?;
                            information.set_item(bson_to_py(py, name)?, index)?;
                        }
                        Ok(information.into_any().unbind())
                    }))
                })
            }

            /// The indexes; gives a cursor, which may be awaited first.
            #[pyo3(signature = (session = None, comment = None))]
            fn list_indexes(
                slf: &Bound<'_, Self>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<$cursor> {
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                let collection = slf.get();
                let pooled = Arc::clone(&collection.client.get().pooled);
                let namespace = Arc::clone(&collection.namespace);
                let open: Open = Arc::new(move |py, _| {
                    let client = pooled.client(py, "the client")?;
                    let (namespace, more) = (Arc::clone(&namespace), options::given(py, &opts)?);
                    let listing = async move { documents(indexes(&client, &namespace, more).await?) };
                    Ok(Box::new(move |runtime: &_| Fetching::start(runtime, listing)))
                });
                Ok($cursor::new(CursorCore::new(slf.clone().unbind().into_any(), open, FindArguments::default())))
            }

            /// Remove an index, by its name or its keys.
            #[pyo3(signature = (index_or_name, session = None, comment = None))]
            fn drop_index(
                &self,
                py: Python<'_>,
                index_or_name: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                self.run(py, concat!($collection_name, ".drop_index"), move |py, client, namespace| {
                    let index = index_or_name.bind(py);
                    let name = match index.cast::<PyString>() {
                        Ok(name) => name.to_str()?.to_owned(),
                        Err(_) => options::index(index, None)?.get_str("name").unwrap_or_default().to_owned(),
                    };
                    let command = bson::doc! { "dropIndexes": namespace.collection.clone(), "index": name };
                    quiet(py, client, namespace, command, &opts, None)
                })
            }

            /// Remove all indexes but that of `_id`.
            #[pyo3(signature = (session = None, comment = None))]
            fn drop_indexes(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                self.run(py, concat!($collection_name, ".drop_indexes"), move |py, client, namespace| {
                    let command = bson::doc! { "dropIndexes": namespace.collection.clone(), "index": "*" };
                    // NamespaceNotFound: there are none.
                    quiet(py, client, namespace, command, &opts, Some(26))
                })
            }

            /// Remove the collection.
            #[pyo3(signature = (session = None, comment = None))]
            fn drop(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                self.run(py, concat!($collection_name, ".drop"), move |py, client, namespace| {
                    let command = bson::doc! { "drop": namespace.collection.clone() };
                    // NamespaceNotFound: it is gone.
                    quiet(py, client, namespace, command, &opts, Some(26))
                })
            }

            /// Make an index; gives its name.
            #[pyo3(signature = (keys, session = None, comment = None, **kwargs))]
            fn create_index(
                &self,
                py: Python<'_>,
                keys: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<Py<PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                self.run(py, concat!($collection_name, ".create_index"), move |py, client, namespace| {
                    let kwargs = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
                    let index = options::index(keys.bind(py), kwargs)?;
                    let name = index.get_str("name").unwrap_or_default().to_owned();
                    let mut command =
                        bson::doc! { "createIndexes": namespace.collection.clone(), "indexes": [index] };
                    command.extend(options::given(py, &opts)?);
                    let running = async move { run_command(&client, namespace.database.clone(), command).await };
                    Ok(Call::new(running, move |py, ended| {
                        raised(py, ended)?;
                        Ok(PyString::new(py, &name).into_any().unbind())
                    }))
                })
            }
        }
    };
}

/// A command of which only its failure is of interest, and not this one.
fn quiet(
    py: Python<'_>,
    client: Arc<DriverClient>,
    namespace: Arc<Namespace>,
    mut command: bson::Document,
    opts: &Opts,
    expected: Option<i32>,
) -> PyResult<Call<()>> {
    command.extend(options::given(py, opts)?);
    let running = async move {
        match run_command(&client, namespace.database.clone(), command).await {
            Err(error) if expected.is_some() && error.code == expected => Ok(()),
            ended => ended.map(drop),
        }
    };
    Ok(Call::new(running, |py, ended| {
        raised(py, ended)?;
        Ok(py.None())
    }))
}

/// The indexes of a collection; none where there is no such collection.
async fn indexes(
    client: &DriverClient,
    namespace: &Namespace,
    more: bson::Document,
) -> crate::error::Result<Vec<bson::Document>> {
    let mut command = bson::doc! { "listIndexes": namespace.collection.clone() };
    command.extend(more);
    match list(client, namespace.database.clone(), command).await {
        Err(error) if error.code == Some(26) => Ok(Vec::new()),
        indexes => indexes,
    }
}

fn documents(documents: Vec<bson::Document>) -> crate::error::Result<BoxStream<'static, crate::error::Result<Batch>>> {
    let batch = Batch::of_documents(documents)?;
    Ok(stream::once(async { Ok(batch) }).boxed())
}

/// What a database of the driver path has beyond the other's.
macro_rules! driver_database {
    (
        $flavor:ident, $client:ident = $client_name:literal, $database:ident = $database_name:literal,
        $collection:ident
    ) => {
        #[pymethods]
        impl $client {
            /// The names of the databases.
            #[pyo3(signature = (session = None, comment = None))]
            fn list_database_names(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                let pooled = Arc::clone(&self.pooled);
                $flavor::run(py, concat!($client_name, ".list_database_names"), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    let mut command = bson::doc! { "listDatabases": 1, "nameOnly": true };
                    command.extend(options::given(py, &opts)?);
                    let listing = async move { run_command(&client, "admin".to_owned(), command).await };
                    Ok(Call::new(listing, |py, answer: crate::error::Result<bson::RawDocumentBuf>| {
                        let answer = decode_document(py, raised(py, answer)?.as_bytes())?.into_bound(py);
                        let names = PyList::empty(py);
                        for database in answer.get_item("databases")?.try_iter()? {
                            names.append(database?.get_item("name")?)?;
                        }
                        Ok(names.into_any().unbind())
                    }))
                })
            }

            /// Remove a database, by its name or itself.
            #[pyo3(signature = (name_or_database, session = None, comment = None))]
            fn drop_database(
                &self,
                py: Python<'_>,
                name_or_database: &Bound<'_, PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let name = match name_or_database.cast::<$database>() {
                    Ok(database) => database.get().name.clone(),
                    Err(_) => options::name(name_or_database, "database", database_name)?,
                };
                let opts = vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))];
                let pooled = Arc::clone(&self.pooled);
                $flavor::run(py, concat!($client_name, ".drop_database"), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    let namespace = Arc::new(Namespace { database: name, collection: String::new() });
                    quiet(py, client, namespace, bson::doc! { "dropDatabase": 1 }, &opts, None)
                })
            }

            /// What the server says of itself.
            #[pyo3(signature = (session = None))]
            fn server_info(&self, py: Python<'_>, session: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
                let pooled = Arc::clone(&self.pooled);
                $flavor::run(py, concat!($client_name, ".server_info"), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    options::given(py, &vec![("session", Opt::Session(session))])?;
                    let command = bson::doc! { "buildinfo": 1 };
                    let running = async move { run_command(&client, "admin".to_owned(), command).await };
                    Ok(Call::new(running, |py, answer: crate::error::Result<bson::RawDocumentBuf>| {
                        decode_document(py, raised(py, answer)?.as_bytes())
                    }))
                })
            }
        }

        #[pymethods]
        impl $database {
            /// The names of the collections.
            #[pyo3(signature = (session = None, filter = None, comment = None))]
            fn list_collection_names(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                filter: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = vec![
                    ("session", Opt::Session(session)),
                    ("filter", Opt::Value(filter)),
                    ("comment", Opt::Value(comment)),
                ];
                let pooled = Arc::clone(&self.client.get().pooled);
                let name = self.name.clone();
                $flavor::run(py, concat!($database_name, ".list_collection_names"), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    let mut command = bson::doc! { "listCollections": 1 };
                    command.extend(options::given(py, &opts)?);
                    let listing = async move { list(&client, name, command).await };
                    Ok(Call::new(listing, |py, collections: crate::error::Result<Vec<bson::Document>>| {
                        let names = raised(py, collections)?;
                        let names: Vec<&str> = names.iter().filter_map(|one| one.get_str("name").ok()).collect();
                        Ok(PyList::new(py, names)?.into_any().unbind())
                    }))
                })
            }

            /// Make a collection; gives it.
            #[pyo3(signature = (name, *, session = None, check_exists = true, **kwargs))]
            fn create_collection(
                slf: &Bound<'_, Self>,
                name: &Bound<'_, PyAny>,
                session: Option<Py<PyAny>>,
                check_exists: Option<bool>,
                kwargs: Option<Py<PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let py = slf.py();
                let name = options::name(name, "collection", collection_name)?;
                let database = slf.get();
                let pooled = Arc::clone(&database.client.get().pooled);
                let namespace = Namespace { database: database.name.clone(), collection: name.clone() };
                let collection = $collection::new(database.client.clone_ref(py), namespace);
                let database = database.name.clone();
                $flavor::run(py, concat!($database_name, ".create_collection"), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    let kwargs = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
                    let opts = vec![("session", Opt::Session(session))];
                    options::given(py, &opts)?;
                    let mut command = bson::doc! { "create": name.clone() };
                    if let Some(kwargs) = kwargs {
                        command.extend(options::document(kwargs.as_any())?);
                    }
                    let text = format!("collection {name} already exists");
                    let creating = async move {
                        if check_exists != Some(false) {
                            let filter = bson::doc! { "name": name };
                            let known = bson::doc! { "listCollections": 1, "nameOnly": true, "filter": filter };
                            if !list(&client, database.clone(), known).await?.is_empty() {
                                return Ok(false);
                            }
                        }
                        run_command(&client, database, command).await.map(|_| true)
                    };
                    Ok(Call::new(creating, move |py, created| match raised(py, created)? {
                        true => Ok(Py::new(py, collection)?.into_any()),
                        false => {
                            let class = py.import("pymongo.errors")?.getattr("CollectionInvalid")?;
                            Err(PyErr::from_value(class.call1((text,))?))
                        }
                    }))
                })
            }

            /// Remove a collection, by its name or itself.
            #[pyo3(signature = (name_or_collection, session = None, comment = None))]
            fn drop_collection(
                &self,
                py: Python<'_>,
                name_or_collection: &Bound<'_, PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let name = match name_or_collection.cast::<$collection>() {
                    Ok(collection) => collection.get().namespace.collection.clone(),
                    Err(_) => options::name(name_or_collection, "collection", collection_name)?,
                };
                let namespace = Namespace { database: self.name.clone(), collection: name };
                $collection::new(self.client.clone_ref(py), namespace).drop(py, session, comment)
            }

            /// Run a command; gives the server's answer.
            #[pyo3(signature = (command, value = None, **kwargs))]
            fn command(
                &self,
                py: Python<'_>,
                command: Py<PyAny>,
                value: Option<Py<PyAny>>,
                kwargs: Option<Py<PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let pooled = Arc::clone(&self.client.get().pooled);
                let name = self.name.clone();
                $flavor::run(py, concat!($database_name, ".command"), move |py| {
                    let client = pooled.client(py, $client_name)?;
                    let kwargs = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
                    let command = options::command(command.bind(py), value.as_ref().map(|v| v.bind(py)), kwargs)?;
                    let running = async move { run_command(&client, name, command).await };
                    Ok(Call::new(running, |py, answer: crate::error::Result<bson::RawDocumentBuf>| {
                        decode_document(py, raised(py, answer)?.as_bytes())
                    }))
                })
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
                                                timeoutMS = 30_000, connectTimeoutMS = 5_000, retryWrites = true, coalesce = true
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
                Ok(Self { pooled: Arc::new(Pooled::new(settings, false)) })
            }
        }
    };
}

/// `MongoClient(host, port, **options)`, as PyMongo reads them.
fn driver_settings_of(
    py: Python<'_>,
    host: Option<&Bound<'_, PyAny>>,
    port: Option<u16>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<DriverSettings> {
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
    let mut options = match options {
        Some(options) => {
            for name in ["document_class", "tz_aware", "tzinfo", "type_registry", "event_listeners", "server_api"] {
                if options.get_item(name)?.is_some_and(|value| value.is_truthy().unwrap_or(true)) {
                    return Err(PyNotImplementedError::new_err(format!("{name} is not supported yet: leave it out")));
                }
                options.del_item(name).ok();
            }
            // PyMongo connects at once unless told not to; here it is always the first call.
            options.del_item("connect").ok();
            options::uri_options(options)?
        }
        None => Vec::new(),
    };
    let mut taken = |name: &str| {
        let place = options.iter().position(|(option, _)| option == name)?;
        Some(options.remove(place).1)
    };
    if let Some(user) = taken("username") {
        uri = config::uri_with_credentials(&uri, &user, taken("password").as_deref());
    }
    DriverSettings::from_uri(&config::uri_with_options(&uri, &options)).map_err(|error| to_py(py, error))
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
driver_collection!(Awaited, AsyncCollection = "AsyncCollection", AsyncCursor);
driver_database!(Awaited, AsyncMongoClient = "AsyncMongoClient", AsyncDatabase = "AsyncDatabase", AsyncCollection);

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
driver_collection!(Blocking, Collection = "Collection", Cursor);
driver_database!(Blocking, MongoClient = "MongoClient", Database = "Database", Collection);

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
