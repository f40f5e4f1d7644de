//! The methods that only the collections of the driver path have.

use std::sync::Arc;

use pyo3::exceptions::{PyDeprecationWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use super::change_stream::{ChangeStreamBase, ChangeStreamCore, WatchArguments};
use super::collection::{CollectionBase, aggregation, query};
use super::cursor::CursorBase;
use super::{clone_of, listing, no_encryption, usual, usual_and};
use crate::driver::DriverClient;
use crate::driver::watch::Level;
use crate::python::asyncio::call::Startable;
use crate::python::asyncio::mode::Mode;
use crate::python::calls::CallContext;
use crate::python::calls::driver_only as calls;
use crate::python::calls::target::{Path, Target};
use crate::python::convert::classes::class_of;
use crate::python::convert::options::{self, Opt};
use crate::python::convert::scope::Overrides;
use crate::python::lifecycle::pooled::Pooled;

/// The methods that only the collections of the driver path have. Users see its subclasses.
#[pyclass(
    module = "connect.eaas.mongodb._native", name = "Collection", frozen, subclass, extends = CollectionBase
)]
pub(crate) struct DriverCollectionBase {
    /// The client's pool.
    pub(crate) pooled: Arc<Pooled<DriverClient>>,
}

fn mode(slf: &Bound<'_, DriverCollectionBase>) -> Mode {
    slf.as_super().get().mode()
}

impl DriverCollectionBase {
    /// The target of its calls.
    fn target(slf: &Bound<'_, Self>) -> Target<DriverClient> {
        let base = slf.as_super().get();
        let client = base.client.get();
        let (namespace, class) = (Arc::clone(&base.namespace), client.classes().client);
        Target::of_collection(&slf.get().pooled, namespace, base.codec(), class, client.add_ids)
    }

    fn run<S: Startable>(
        slf: &Bound<'_, Self>,
        method: &'static str,
        call: impl FnOnce(Python<'_>, CallContext<DriverClient>) -> PyResult<S> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let (base, target) = (slf.as_super().get(), Self::target(slf));
        base.mode().run(slf.py(), base.method(method), move |py| target.make(py, call))
    }
}

#[pymethods]
impl DriverCollectionBase {
    /// Return a cursor over the raw batches of all documents that match.
    #[pyo3(signature = (*args, **kwargs))]
    fn find_raw_batches(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let cursor = slf.call_method("find", args, kwargs)?;
        let arguments = cursor.cast::<CursorBase>()?.get().arguments(slf.py());
        let core = query(slf.clone().into_any(), slf.as_super().get().target(), arguments);
        CursorBase::create(slf.py(), mode(slf), core.of_raw_batches())
    }

    /// Run an aggregation pipeline, and return a cursor over its raw batches.
    #[pyo3(signature = (pipeline, session = None, comment = None, **kwargs))]
    fn aggregate_raw_batches(
        slf: &Bound<'_, Self>,
        pipeline: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let mut opts = options::aggregation(kwargs, slf.as_super().get().client.get().classes().database)?;
        opts.extend(usual(session, comment));
        let core = aggregation(slf.clone().into_any(), slf.as_super().get().target(), pipeline, opts);
        CursorBase::of_command(slf.py(), mode(slf), core.of_raw_batches())
    }

    /// Return the options of each index, by its name.
    #[pyo3(signature = (session = None, comment = None))]
    fn index_information(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual(session, comment);
        Self::run(slf, "index_information", move |py, context| calls::index_information(py, context, &opts))
    }

    /// List the indexes, and return a cursor. An awaited cursor may be awaited first.
    #[pyo3(signature = (session = None, comment = None))]
    fn list_indexes(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual(clone_of(slf.py(), &session), comment);
        let mut target = Self::target(slf);
        target.codec = calls::sons(slf.py())?;
        let core = listing(slf.clone().into_any(), target, session, move |py, context| {
            calls::list_indexes(py, context, &opts)
        });
        CursorBase::of_command(slf.py(), mode(slf), core)
    }

    /// Create an index, and return its name.
    #[pyo3(signature = (keys, session = None, comment = None, **kwargs))]
    fn create_index(
        slf: &Bound<'_, Self>,
        keys: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let mut opts = calls::command_options(kwargs.as_ref().map(|kwargs| kwargs.bind(py)))?;
        opts.extend(usual(session, comment));
        Self::run(slf, "create_index", move |py, context| {
            let index = options::index(keys.bind(py), kwargs.as_ref().map(|kwargs| kwargs.bind(py)))?;
            calls::create_indexes(py, context, vec![index], &opts, true)
        })
    }

    /// Create indexes from PyMongo's `IndexModel`s, and return their names.
    #[pyo3(signature = (indexes, session = None, comment = None, **kwargs))]
    fn create_indexes(
        slf: &Bound<'_, Self>,
        indexes: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, session, comment);
        Self::run(slf, "create_indexes", move |py, context| {
            let indexes = calls::models(options::list("indexes", indexes.bind(py))?.as_any(), "IndexModel")?;
            calls::create_indexes(py, context, indexes, &opts, false)
        })
    }

    /// Drop an index, by its name or its keys.
    #[pyo3(signature = (index_or_name, session = None, comment = None, **kwargs))]
    fn drop_index(
        slf: &Bound<'_, Self>,
        index_or_name: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, session, comment);
        Self::run(slf, "drop_index", move |py, context| {
            let name = options::index_or_name(index_or_name.bind(py))?;
            let command = bson::doc! { "dropIndexes": context.namespace.collection.clone(), "index": name };
            // NamespaceNotFound: the collection has no indexes.
            calls::quiet(py, context, command, &opts, Some(26))
        })
    }

    /// Drop all indexes except that of `_id`.
    #[pyo3(signature = (session = None, comment = None, **kwargs))]
    fn drop_indexes(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, session, comment);
        Self::run(slf, "drop_indexes", move |py, context| {
            let command = bson::doc! { "dropIndexes": context.namespace.collection.clone(), "index": "*" };
            // NamespaceNotFound: the collection has no indexes.
            calls::quiet(py, context, command, &opts, Some(26))
        })
    }

    /// Create a search index from a `SearchIndexModel` or a mapping, and return its name.
    #[pyo3(signature = (model, session = None, comment = None, **kwargs))]
    fn create_search_index(
        slf: &Bound<'_, Self>,
        model: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, session, comment);
        Self::run(slf, "create_search_index", move |py, context| {
            let index = calls::search_index(model.bind(py))?;
            calls::create_search_indexes(py, context, vec![index], &opts, true)
        })
    }

    /// Create search indexes from `SearchIndexModel`s, and return their names.
    #[pyo3(signature = (models, session = None, comment = None, **kwargs))]
    fn create_search_indexes(
        slf: &Bound<'_, Self>,
        models: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, session, comment);
        Self::run(slf, "create_search_indexes", move |py, context| {
            let models = calls::models(models.bind(py), "SearchIndexModel")?;
            calls::create_search_indexes(py, context, models, &opts, false)
        })
    }

    /// Drop a search index.
    #[pyo3(signature = (name, session = None, comment = None, **kwargs))]
    fn drop_search_index(
        slf: &Bound<'_, Self>,
        name: String,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, session, comment);
        Self::run(slf, "drop_search_index", move |py, context| {
            let command = bson::doc! { "dropSearchIndex": context.namespace.collection.clone(), "name": name };
            calls::search_index_command(py, context, command, &opts, Some(26))
        })
    }

    /// Replace the definition of a search index.
    #[pyo3(signature = (name, definition, session = None, comment = None, **kwargs))]
    fn update_search_index(
        slf: &Bound<'_, Self>,
        name: String,
        definition: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let mut opts = usual_and(kwargs, session, comment);
        opts.push(("definition", Opt::Value(Some(definition))));
        Self::run(slf, "update_search_index", move |py, context| {
            let command = bson::doc! { "updateSearchIndex": context.namespace.collection.clone(), "name": name };
            calls::search_index_command(py, context, command, &opts, None)
        })
    }

    /// List the search indexes, or the one of that name, and return a cursor.
    #[pyo3(signature = (name = None, session = None, comment = None, **kwargs))]
    fn list_search_indexes(
        slf: &Bound<'_, Self>,
        name: Option<String>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let (stage, which) = (PyDict::new(py), PyDict::new(py));
        if let Some(name) = name {
            which.set_item("name", name)?;
        }
        stage.set_item("$listSearchIndexes", which)?;
        let mut opts = options::aggregation(kwargs, slf.as_super().get().client.get().classes().database)?;
        opts.extend(usual(session, comment));
        let pipeline = PyList::new(py, [stage])?.into_any().unbind();
        let core = aggregation(slf.clone().into_any(), slf.as_super().get().target(), pipeline, opts);
        CursorBase::of_command(slf.py(), mode(slf), core)
    }

    /// Rename the collection, and return the server's reply.
    #[pyo3(signature = (new_name, session = None, comment = None, **kwargs))]
    fn rename(
        slf: &Bound<'_, Self>,
        new_name: Py<PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, session, comment);
        Self::run(slf, "rename", move |py, context| calls::rename(py, context, new_name.bind(py), &opts))
    }

    /// Drop the collection.
    #[pyo3(signature = (session = None, comment = None, encrypted_fields = None))]
    fn drop(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        encrypted_fields: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        no_encryption(encrypted_fields.as_ref())?;
        let opts = usual(session, comment);
        Self::run(slf, "drop", move |py, context| {
            let command = bson::doc! { "drop": context.namespace.collection.clone() };
            // NamespaceNotFound: the collection does not exist.
            calls::quiet(py, context, command, &opts, Some(26))
        })
    }

    /// Return the options that the collection was created with.
    #[pyo3(signature = (session = None, comment = None))]
    fn options(slf: &Bound<'_, Self>, session: Option<Py<PyAny>>, comment: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let opts = usual(session, comment);
        Self::run(slf, "options", move |py, context| calls::collection_options(py, context, &opts))
    }

    /// Watch the collection, and return a change stream. An awaited one may be awaited first.
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
        let core = ChangeStreamCore::new(py, Level::Collection, Self::target(slf), arguments)?;
        ChangeStreamBase::create(py, mode(slf), core)
    }
}

impl DriverCollectionBase {
    /// The part of a collection that only the driver path has.
    fn above(base: CollectionBase) -> PyResult<PyClassInitializer<Self>> {
        let Path::Driver(pooled) = &base.client.get().path else {
            return Err(PyTypeError::new_err("a collection of the driver path required"));
        };
        let driver = Self { pooled: Arc::clone(pooled) };
        Ok(PyClassInitializer::from(base).add_subclass(driver))
    }
}

/// A collection.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DriverCollectionBase)]
pub(crate) struct AsyncCollection;

#[pymethods]
impl AsyncCollection {
    #[new]
    #[classmethod]
    #[pyo3(signature = (
        database, name, create = false, codec_options = None, read_preference = None, write_concern = None,
        read_concern = None, session = None, **kwargs
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        cls: &Bound<'_, PyType>,
        database: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = options::truth)] create: bool,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
        session: Option<&Bound<'_, PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let base = CollectionBase::of(database, "AsyncDatabase", name, &overrides)?;
        let _ = session;
        // Other keywords of a subclass are for its `__init__`.
        if create || (kwargs.is_some() && cls.is(cls.py().get_type::<Self>())) {
            let message = "AsyncCollection does not support the `create` or `kwargs` arguments.";
            return Err(PyValueError::new_err(message));
        }
        Ok(DriverCollectionBase::above(base)?.add_subclass(Self))
    }
}

/// A collection.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DriverCollectionBase)]
pub(crate) struct Collection;

#[pymethods]
impl Collection {
    #[new]
    #[classmethod]
    #[pyo3(signature = (
        database, name, create = false, codec_options = None, read_preference = None, write_concern = None,
        read_concern = None, session = None, **kwargs
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        cls: &Bound<'_, PyType>,
        database: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = options::truth)] create: bool,
        codec_options: Option<&Bound<'_, PyAny>>,
        read_preference: Option<&Bound<'_, PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
        read_concern: Option<&Bound<'_, PyAny>>,
        session: Option<&Bound<'_, PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
        let base = CollectionBase::of(database, "Database", name, &overrides)?;
        // Other keywords of a subclass are for its `__init__`.
        let kwargs = kwargs.filter(|_| cls.is(cls.py().get_type::<Self>()));
        if create || kwargs.is_some() {
            create_now(database, name, &overrides, session, kwargs)?;
        }
        Ok(DriverCollectionBase::above(base)?.add_subclass(Self))
    }
}

/// Creates a collection on the server, as PyMongo's deprecated `create` does.
fn create_now(
    database: &Bound<'_, PyAny>,
    name: &Bound<'_, PyAny>,
    overrides: &Overrides<'_, '_>,
    session: Option<&Bound<'_, PyAny>>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let py = database.py();
    let message =
        c"The `create` and `kwargs` arguments to Collection are deprecated and will be removed in PyMongo 5.0";
    PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)?;
    let keywords = match kwargs {
        Some(kwargs) => kwargs.copy()?,
        None => PyDict::new(py),
    };
    for (option, value) in [
        ("codec_options", overrides.codec_options),
        ("read_preference", overrides.read_preference),
        ("write_concern", overrides.write_concern),
        ("read_concern", overrides.read_concern),
        ("session", session),
    ] {
        keywords.set_item(option, value)?;
    }
    keywords.set_item("check_exists", false)?;
    database.call_method("create_collection", (name,), Some(&keywords)).map(drop)
}

#[pymethods]
impl AsyncCollection {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.asynchronous.collection", "AsyncCollection")
    }
}

#[pymethods]
impl Collection {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.synchronous.collection", "Collection")
    }
}
