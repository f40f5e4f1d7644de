//! The methods that only the databases of the driver path have.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::change_stream::{ChangeStreamBase, ChangeStreamCore, WatchArguments};
use super::collection::CollectionBase;
use super::cursor::CursorBase;
use super::database::DatabaseBase;
use super::driver_collection::DriverCollectionBase;
use super::{clone_of, listing, no_encryption, usual, usual_and};
use crate::driver::command::GetMore;
use crate::driver::watch::Level;
use crate::driver::{DriverClient, Namespace};
use crate::python::asyncio::call::Startable;
use crate::python::asyncio::mode::{MethodName, Mode};
use crate::python::calls::CallContext;
use crate::python::calls::driver_only as calls;
use crate::python::calls::driver_only::CommandArguments;
use crate::python::calls::target::{Path, Target};
use crate::python::codec::DEFAULT;
use crate::python::convert::classes::class_of;
use crate::python::convert::errors::wrong_type;
use crate::python::convert::options::{self, Given, Opt};
use crate::python::convert::scope::{CodecRef, Overrides};
use crate::python::lifecycle::pooled::Pooled;

/// The methods that only the databases of the driver path have. Users see its subclasses.
#[pyclass(
    module = "connect.eaas.mongodb._native", name = "Database", frozen, subclass, extends = DatabaseBase
)]
pub(crate) struct DriverDatabaseBase {
    /// The client's pool.
    pub(crate) pooled: Arc<Pooled<DriverClient>>,
}

fn mode(slf: &Bound<'_, DriverDatabaseBase>) -> Mode {
    slf.as_super().get().client.get().mode
}

/// The name of a collection, which is given by its name or by an object of the same mode.
fn collection_of(
    slf: &Bound<'_, DriverDatabaseBase>,
    name_or_collection: &Bound<'_, PyAny>,
    expected: &str,
) -> PyResult<String> {
    match name_or_collection.cast::<DriverCollectionBase>() {
        Ok(collection) if collection.as_super().get().mode() == mode(slf) => {
            Ok(collection.as_super().get().namespace.collection.clone())
        }
        _ if name_or_collection.cast::<PyString>().is_err() => {
            Err(wrong_type("name_or_collection", expected, name_or_collection))
        }
        _ => Ok(name_or_collection.extract::<String>()?),
    }
}

impl DriverDatabaseBase {
    /// The target of calls of the database.
    fn target(slf: &Bound<'_, Self>) -> Target<DriverClient> {
        Self::target_of(slf, String::new())
    }

    /// The target of calls of one of its collections.
    fn target_of(slf: &Bound<'_, Self>, collection: String) -> Target<DriverClient> {
        let base = slf.as_super().get();
        let concerns = Arc::clone(&base.scope.concerns);
        let namespace = Namespace { concerns, ..Namespace::new(base.name.clone(), collection) };
        Self::target_in(slf, &Arc::new(namespace), base.scope.codec())
    }

    fn target_in(slf: &Bound<'_, Self>, namespace: &Arc<Namespace>, codec: CodecRef) -> Target<DriverClient> {
        let class = slf.as_super().get().client.get().classes().client;
        Target::of_collection(&slf.get().pooled, Arc::clone(namespace), codec, class, false)
    }

    fn run<S: Startable>(
        slf: &Bound<'_, Self>,
        method: &'static str,
        call: impl FnOnce(Python<'_>, CallContext<DriverClient>) -> PyResult<S> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        Self::run_on(slf, method, Self::target(slf), call)
    }

    fn run_on<S: Startable>(
        slf: &Bound<'_, Self>,
        method: &'static str,
        target: Target<DriverClient>,
        call: impl FnOnce(Python<'_>, CallContext<DriverClient>) -> PyResult<S> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let name = MethodName { class: slf.as_super().get().class(), method };
        mode(slf).run(slf.py(), name, move |py| target.make(py, call))
    }
}

fn with_comment(
    py: Python<'_>,
    kwargs: Option<Py<PyDict>>,
    comment: Option<Py<PyAny>>,
) -> PyResult<Option<Py<PyDict>>> {
    let Some(comment) = comment else { return Ok(kwargs) };
    let whole = PyDict::new(py);
    if let Some(kwargs) = kwargs {
        whole.call_method1("update", (kwargs,))?;
    }
    whole.set_item("comment", comment)?;
    Ok(Some(whole.unbind()))
}

#[pymethods]
impl DriverDatabaseBase {
    /// Return the names of the collections.
    #[pyo3(signature = (session = None, filter = None, comment = None, **kwargs))]
    fn list_collection_names(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        filter: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let mut opts = usual_and(kwargs, session, comment);
        opts.push(("filter", Opt::Mapping(filter)));
        Self::run(slf, "list_collection_names", move |py, context| calls::list_collection_names(py, context, &opts))
    }

    /// List the collections, and return a cursor. An awaited cursor may be awaited first.
    #[pyo3(signature = (session = None, filter = None, comment = None, **kwargs))]
    fn list_collections(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        filter: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let mut opts = usual_and(kwargs, clone_of(py, &session), comment);
        opts.push(("filter", Opt::Value(filter)));
        let core = listing(slf.clone().into_any(), Self::target(slf), session, move |py, context| {
            calls::list_collections(py, context, &opts)
        });
        CursorBase::of_command(slf.py(), mode(slf), core)
    }

    /// Create a collection, and return it.
    #[pyo3(signature = (
        name, codec_options = None, read_preference = None, write_concern = None, read_concern = None,
        session = None, check_exists = true, **kwargs
    ))]
    #[allow(clippy::too_many_arguments)]
    fn create_collection(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
        session: Option<Py<PyAny>>,
        check_exists: Option<bool>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let name = options::collection_name(name)?;
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let base = slf.as_super().get();
        let scope = Arc::new(base.scope.with(py, &overrides)?);
        if let Some(kwargs) = &kwargs {
            no_encryption(kwargs.bind(py).get_item("encryptedFields")?.map(Bound::unbind).as_ref())?;
        }
        let collection = CollectionBase::new(base.client.clone_ref(py), &base.name, &name, scope);
        let target = Self::target_in(slf, &collection.namespace, collection.codec());
        let collection = collection.into_object(py)?;
        let opts = vec![("session", Opt::Session(session))];
        let check = check_exists != Some(false);
        Self::run_on(slf, "create_collection", target, move |py, context| {
            let kwargs = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
            calls::create_collection(py, context, collection, check, kwargs, &opts)
        })
    }

    /// Drop a collection, given by its name or as an object.
    #[pyo3(signature = (name_or_collection, session = None, comment = None, encrypted_fields = None))]
    fn drop_collection(
        slf: &Bound<'_, Self>,
        name_or_collection: &Bound<'_, PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        encrypted_fields: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let name = collection_of(slf, name_or_collection, "an instance of str")?;
        no_encryption(encrypted_fields.as_ref())?;
        let opts = usual(session, comment);
        Self::run_on(slf, "drop_collection", Self::target_of(slf, name), move |py, context| {
            let command = bson::doc! { "drop": context.namespace.collection.clone() };
            // NamespaceNotFound: the collection does not exist.
            calls::answered(py, context, command, &opts, 26)
        })
    }

    /// Check a collection's data and indexes, and return the server's reply.
    /// Raises `CollectionInvalid` if they are damaged.
    #[pyo3(signature = (
        name_or_collection, scandata = false, full = false, session = None, background = None, comment = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn validate_collection(
        slf: &Bound<'_, Self>,
        name_or_collection: &Bound<'_, PyAny>,
        scandata: bool,
        full: bool,
        session: Option<Py<PyAny>>,
        background: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let class = slf.as_super().get().client.get().classes().collection;
        let name = collection_of(slf, name_or_collection, &format!("an instance of str or {class}"))?;
        let command = bson::doc! { "validate": name.clone(), "scandata": scandata, "full": full };
        let mut opts = usual(session, comment);
        opts.push(("background", Opt::Value(background)));
        Self::run_on(slf, "validate_collection", Self::target_of(slf, name), move |py, context| {
            calls::validate_collection(py, context, command, &opts)
        })
    }

    /// Return the document that a `DBRef` refers to, or `None`.
    #[pyo3(signature = (dbref, session = None, comment = None, **kwargs))]
    fn dereference(
        slf: &Bound<'_, Self>,
        dbref: &Bound<'_, PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if !dbref.is_instance(&py.import("bson.dbref")?.getattr("DBRef")?)? {
            return Err(PyTypeError::new_err(format!("cannot dereference a {}", dbref.get_type())));
        }
        let (database, own) = (dbref.getattr("database")?, &slf.as_super().get().name);
        if !database.is_none() && !database.eq(own)? {
            return Err(PyValueError::new_err(format!(
                "trying to dereference a DBRef that points to another database ({} not {})",
                database.repr()?,
                PyString::new(py, own).repr()?
            )));
        }
        let filter = PyDict::new(py);
        filter.set_item("_id", dbref.getattr("id")?)?;
        let keywords = match kwargs {
            Some(kwargs) => kwargs.copy()?,
            None => PyDict::new(py),
        };
        keywords.set_item("session", session)?;
        keywords.set_item("comment", comment)?;
        let collection = slf.get_item(dbref.getattr("collection")?)?;
        Ok(collection.call_method("find_one", (filter,), Some(&keywords))?.unbind())
    }

    /// Run a command, and return the server's reply.
    #[pyo3(signature = (
        command, value = Given::default(), check = true, allowable_errors = None, read_preference = None,
        codec_options = None, session = None, comment = None, **kwargs
    ), text_signature = "($self, command, value=1, check=True, allowable_errors=None, read_preference=None, \
        codec_options=None, session=None, comment=None, **kwargs)")]
    #[allow(clippy::too_many_arguments)]
    fn command(
        slf: &Bound<'_, Self>,
        command: Py<PyAny>,
        value: Given,
        check: bool,
        allowable_errors: Option<Py<PyAny>>,
        read_preference: Option<Py<PyAny>>,
        codec_options: Option<Py<PyAny>>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let kwargs = with_comment(py, kwargs, comment)?;
        let arguments = CommandArguments { check, allowable_errors, read_preference, codec_options, session };
        let value = value.value();
        Self::run(slf, "command", move |py, context| {
            let (value, kwargs) = (value.as_ref().map(|v| v.bind(py)), kwargs.as_ref().map(|k| k.bind(py)));
            calls::command(py, context, command.bind(py), value, kwargs, &arguments)
        })
    }

    /// Run a command that replies with a cursor, and return the cursor. An awaited cursor may be awaited first.
    #[pyo3(signature = (
        command, value = Given::default(), read_preference = None, codec_options = None, session = None,
        comment = None, max_await_time_ms = None, **kwargs
    ), text_signature = "($self, command, value=1, read_preference=None, codec_options=None, session=None, \
        comment=None, max_await_time_ms=None, **kwargs)")]
    #[allow(clippy::too_many_arguments)]
    fn cursor_command(
        slf: &Bound<'_, Self>,
        command: Py<PyAny>,
        value: Given,
        read_preference: Option<Py<PyAny>>,
        codec_options: Option<Py<PyAny>>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        max_await_time_ms: Option<u64>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, value) = (slf.py(), value.value());
        let more = GetMore {
            max_await_time: max_await_time_ms.map(Duration::from_millis),
            comment: comment.map(|comment| options::bson_value(&DEFAULT, comment.bind(py))).transpose()?,
            ..GetMore::default()
        };
        let mut target = Self::target(slf);
        target.codec = match &codec_options {
            Some(options) => CodecRef::new(options.bind(py))?,
            None => CodecRef::DEFAULT,
        };
        let arguments = CommandArguments {
            check: true,
            allowable_errors: None,
            read_preference,
            codec_options,
            session: clone_of(py, &session),
        };
        let core = listing(slf.clone().into_any(), target, session, move |py, context| {
            let (value, kwargs) = (value.as_ref().map(|v| v.bind(py)), kwargs.as_ref().map(|k| k.bind(py)));
            calls::cursor_command(py, context, command.bind(py), value, kwargs, &arguments, more.clone())
        });
        CursorBase::of_command(slf.py(), mode(slf), core)
    }

    /// Run an aggregation pipeline that reads no collection at first, and return a cursor.
    #[pyo3(signature = (pipeline, session = None, r#let = None, comment = None, **kwargs))]
    fn aggregate(
        slf: &Bound<'_, Self>,
        pipeline: Py<PyAny>,
        session: Option<Py<PyAny>>,
        r#let: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let mut opts = options::aggregation(kwargs, slf.as_super().get().class())?;
        opts.extend(usual(clone_of(py, &session), comment));
        opts.push(("let", Opt::Mapping(r#let)));
        let core = listing(slf.clone().into_any(), Self::target(slf), session, move |py, context| {
            calls::aggregate_database(py, context, pipeline.bind(py), &opts)
        });
        CursorBase::of_command(slf.py(), mode(slf), core)
    }

    /// Watch all collections, and return a change stream. An awaited one may be awaited first.
    #[pyo3(signature = (
        pipeline = None, full_document = None, resume_after = None, max_await_time_ms = None,
        batch_size = None, collation = None, start_at_operation_time = None, session = None,
        start_after = None, comment = None, full_document_before_change = None, show_expanded_events = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn watch(
        slf: &Bound<'_, Self>,
        pipeline: Option<Py<PyAny>>,
        full_document: Option<String>,
        resume_after: Option<Py<PyAny>>,
        max_await_time_ms: Option<u64>,
        batch_size: Option<Py<PyAny>>,
        collation: Option<Py<PyAny>>,
        start_at_operation_time: Option<Py<PyAny>>,
        session: Option<Py<PyAny>>,
        start_after: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        full_document_before_change: Option<String>,
        show_expanded_events: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let arguments = WatchArguments {
            pipeline,
            full_document,
            resume_after,
            max_await_time_ms,
            batch_size,
            collation,
            start_at_operation_time,
            session,
            start_after,
            comment,
            full_document_before_change,
            show_expanded_events,
        };
        let core = ChangeStreamCore::new(py, Level::Database, Self::target(slf), arguments)?;
        ChangeStreamBase::create(py, mode(slf), core)
    }
}

impl DriverDatabaseBase {
    /// The part of a database that only the driver path has.
    fn above(base: DatabaseBase) -> PyResult<PyClassInitializer<Self>> {
        let Path::Driver(pooled) = &base.client.get().path else {
            return Err(PyTypeError::new_err("a database of the driver path required"));
        };
        let driver = Self { pooled: Arc::clone(pooled) };
        Ok(PyClassInitializer::from(base).add_subclass(driver))
    }
}

/// A database.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DriverDatabaseBase)]
pub(crate) struct AsyncDatabase;

#[pymethods]
impl AsyncDatabase {
    #[new]
    #[pyo3(signature = (
        client, name, codec_options = None, read_preference = None, write_concern = None, read_concern = None
    ))]
    fn new(
        client: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let base = DatabaseBase::of(client, "AsyncMongoClient", name, &overrides)?;
        Ok(DriverDatabaseBase::above(base)?.add_subclass(Self))
    }
}

/// A database.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DriverDatabaseBase)]
pub(crate) struct Database;

#[pymethods]
impl Database {
    #[new]
    #[pyo3(signature = (
        client, name, codec_options = None, read_preference = None, write_concern = None, read_concern = None
    ))]
    fn new(
        client: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let base = DatabaseBase::of(client, "MongoClient", name, &overrides)?;
        Ok(DriverDatabaseBase::above(base)?.add_subclass(Self))
    }
}

#[pymethods]
impl AsyncDatabase {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.asynchronous.database", "AsyncDatabase")
    }
}

#[pymethods]
impl Database {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.synchronous.database", "Database")
    }
}
