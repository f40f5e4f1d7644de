//! The collections of both paths: what users see as `AsyncCollection`,
//! `Collection`, `AsyncDataApiCollection` and `DataApiCollection`.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::client::ClientBase;
use super::cursor::{CursorBase, CursorCore, Open};
use super::database::DatabaseBase;
use super::driver_collection::{AsyncCollection, Collection, DriverCollectionBase};
use super::{driver_only, equality, hash_of, no_truth, not_iterable, private, required_but_given, usual};
use crate::driver::Namespace;
use crate::python::asyncio::awaitable::Backpressure;
use crate::python::asyncio::call::Startable;
use crate::python::asyncio::mode::{MethodName, Mode};
use crate::python::calls::target::{AnyTarget, Calls, Event, Path, Target};
use crate::python::calls::{BulkArguments, Changing, FindArguments, FindOneAndArguments};
use crate::python::calls::{Change, ChangeArguments, InsertManyArguments, InsertOneArguments};
use crate::python::convert::errors::{configuration_error, wrong_type};
use crate::python::convert::options::{self, Form, Opt, Opts};
use crate::python::convert::scope::{CodecRef, Overrides, Scope};
use crate::python::event_store::StoreSettings;

/// The cursor of a query.
pub(crate) fn query(collection: Bound<'_, PyAny>, target: AnyTarget, arguments: FindArguments) -> CursorCore {
    let (codec, target) = (target.codec().clone(), Arc::new(target));
    let (explained, located) = (Arc::clone(&target), Arc::clone(&target));
    let open: Open = Arc::new(move |py, arguments| target.find(py, arguments));
    CursorCore::new(collection.unbind(), open, located, codec, arguments)
        .explained_by(Arc::new(move |py, arguments| explained.explain(py, arguments)))
}

/// The cursor of an aggregation pipeline.
pub(crate) fn aggregation(
    collection: Bound<'_, PyAny>,
    target: AnyTarget,
    pipeline: Py<PyAny>,
    options: Opts,
) -> CursorCore {
    let (codec, target) = (target.codec().clone(), Arc::new(target));
    let located = Arc::clone(&target);
    let session = options.iter().find_map(|(_, option)| match option {
        Opt::Session(session) => session.as_ref().map(|session| session.clone_ref(collection.py())),
        _ => None,
    });
    let arguments = FindArguments { session, ..FindArguments::default() };
    let open: Open = Arc::new(move |py, _| target.aggregate(py, pipeline.bind(py), &options));
    CursorCore::new(collection.unbind(), open, located, codec, arguments)
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
        ("let", Opt::Document(let_vars)),
        ("comment", Opt::Value(comment)),
    ]
}

/// The methods that the collections of both paths have. Users see its subclasses.
#[pyclass(module = "connect.eaas.mongodb._native", name = "Collection", frozen, dict, weakref, subclass)]
pub(crate) struct CollectionBase {
    /// The client.
    pub(crate) client: Py<ClientBase>,
    /// The database and the collection.
    pub(crate) namespace: Arc<Namespace>,
    scope: Arc<Scope>,
}

impl CollectionBase {
    /// A collection of a client's, which is not a Python object yet.
    pub(crate) fn new(client: Py<ClientBase>, database: &str, collection: &str, scope: Arc<Scope>) -> Self {
        let concerns = Arc::clone(&scope.concerns);
        let namespace = Namespace { concerns, ..Namespace::new(database, collection) };
        Self { client, namespace: Arc::new(namespace), scope }
    }

    /// A collection of a database of the class `required`, for the constructors.
    pub(crate) fn of(
        database: &Bound<'_, PyAny>,
        required: &str,
        name: &Bound<'_, PyAny>,
        overrides: &Overrides<'_, '_>,
    ) -> PyResult<Self> {
        let py = database.py();
        let name = options::collection_name(name)?;
        let database = match database.cast::<DatabaseBase>().map(Bound::get) {
            Ok(database) if database.class() == required => database,
            _ => return Err(required_but_given(required, database)?),
        };
        let scope = database.client.get().path.scope_with(py, &database.scope, overrides)?;
        Ok(Self::new(database.client.clone_ref(py), &database.name, &name, Arc::new(scope)))
    }

    /// The object that users see, of the class for the client's path and mode.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let client = self.client.clone_ref(py);
        let client = client.get();
        let base = PyClassInitializer::from(self);
        Ok(match (&client.path, client.mode) {
            (Path::Driver(pooled), Mode::Awaited) => {
                let driver = DriverCollectionBase { pooled: Arc::clone(pooled) };
                Py::new(py, base.add_subclass(driver).add_subclass(AsyncCollection))?.into_any()
            }
            (Path::Driver(pooled), Mode::Blocking) => {
                let driver = DriverCollectionBase { pooled: Arc::clone(pooled) };
                Py::new(py, base.add_subclass(driver).add_subclass(Collection))?.into_any()
            }
            (Path::DataApi(_), Mode::Awaited) => Py::new(py, base.add_subclass(AsyncDataApiCollection))?.into_any(),
            (Path::DataApi(_), Mode::Blocking) => Py::new(py, base.add_subclass(DataApiCollection))?.into_any(),
        })
    }

    /// The name of the class that users see.
    pub(crate) fn class(&self) -> &'static str {
        self.client.get().classes().collection
    }

    /// Whether calls are awaited or block.
    pub(crate) fn mode(&self) -> Mode {
        self.client.get().mode
    }

    /// A method's name, for awaitables.
    pub(crate) fn method(&self, method: &'static str) -> MethodName {
        MethodName { class: self.class(), method }
    }

    /// The target of its calls.
    pub(crate) fn target(&self) -> AnyTarget {
        let client = self.client.get();
        let (namespace, codec, class) = (Arc::clone(&self.namespace), self.scope.codec(), client.classes().client);
        match &client.path {
            Path::Driver(pooled) => {
                AnyTarget::Driver(Target::of_collection(pooled, namespace, codec, class, client.add_ids))
            }
            Path::DataApi(pooled) => {
                AnyTarget::DataApi(Target::of_collection(pooled, namespace, codec, class, client.add_ids))
            }
        }
    }

    /// Whether MongoDB acknowledges its writes.
    pub(crate) fn is_acknowledged(&self) -> bool {
        match &self.client.get().path {
            Path::Driver(pooled) => pooled.settings.acknowledges(&self.namespace.concerns),
            Path::DataApi(_) => true,
        }
    }

    /// How its documents are read and written.
    pub(crate) fn codec(&self) -> CodecRef {
        self.scope.codec()
    }

    /// The condition that an insert waits for before its document is encoded.
    fn backpressure(&self) -> Backpressure {
        let client = self.client.get();
        let (path, class) = (client.path.clone(), client.classes().client);
        Box::new(move |py| path.backpressure(py, class))
    }

    fn run<S: Startable>(
        &self,
        py: Python<'_>,
        method: &'static str,
        call: impl FnOnce(Python<'_>, &dyn Calls) -> PyResult<S> + Send + 'static,
    ) -> PyResult<Py<PyAny>> {
        let target = self.target();
        self.mode().run(py, self.method(method), move |py| call(py, &*target))
    }

    fn database_base(&self, py: Python<'_>) -> DatabaseBase {
        DatabaseBase::new(self.client.clone_ref(py), self.namespace.database.clone(), Arc::clone(&self.scope))
    }
}

#[pymethods]
impl CollectionBase {
    /// Insert a document, and return an `InsertOneResult`. The caller's document
    /// is not changed, unless the client has `add_ids=True`.
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
        let target = self.target();
        let name = self.method("insert_one");
        self.mode().run_behind(py, name, Some(self.backpressure()), move |py| target.insert_one(py, arguments))
    }

    /// Insert several documents, and return an `InsertManyResult`.
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
        let arguments = InsertManyArguments { documents, ordered, bypass_document_validation, session, comment };
        self.run(py, "insert_many", move |py, target| target.insert_many(py, arguments))
    }

    /// Return the first document that matches, or `None`. A `filter` that is
    /// not a mapping is the `_id` to look for.
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
        #[pyo3(from_py_with = options::skip)] skip: u64,
        #[pyo3(from_py_with = options::limit)] limit: i64,
        #[pyo3(from_py_with = options::no_cursor_timeout)] no_cursor_timeout: bool,
        cursor_type: i64,
        sort: Option<Py<PyAny>>,
        #[pyo3(from_py_with = options::allow_partial_results)] allow_partial_results: bool,
        #[pyo3(from_py_with = options::oplog_replay)] oplog_replay: bool,
        #[pyo3(from_py_with = options::batch_size)] batch_size: u64,
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
        #[pyo3(from_py_with = options::allow_disk_use)] allow_disk_use: Option<bool>,
        r#let: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        options::not_supported([
            ("oplog_replay", oplog_replay),
            ("max_scan", max_scan.is_some()),
            ("snapshot", snapshot.is_some()),
        ])?;
        let mut arguments = FindArguments {
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
            exhaust: false,
            max_await_time_ms: None,
        };
        self.run(py, "find_one", move |py, target| {
            arguments.filter = arguments.filter.map(|filter| options::filter(py, filter)).transpose()?;
            arguments.check_one(py)?;
            target.find_one(py, &arguments)
        })
    }

    /// Return a cursor over all documents that match. The query is sent when
    /// the cursor is first read.
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
        #[pyo3(from_py_with = options::skip)] skip: u64,
        #[pyo3(from_py_with = options::limit)] limit: i64,
        #[pyo3(from_py_with = options::no_cursor_timeout)] no_cursor_timeout: bool,
        cursor_type: i64,
        sort: Option<Py<PyAny>>,
        #[pyo3(from_py_with = options::allow_partial_results)] allow_partial_results: bool,
        #[pyo3(from_py_with = options::oplog_replay)] oplog_replay: bool,
        #[pyo3(from_py_with = options::batch_size)] batch_size: u64,
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
        #[pyo3(from_py_with = options::allow_disk_use)] allow_disk_use: Option<bool>,
        r#let: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        options::not_supported([
            ("oplog_replay", oplog_replay),
            ("max_scan", max_scan.is_some()),
            ("snapshot", snapshot.is_some()),
        ])?;
        let py = slf.py();
        let mut arguments = FindArguments {
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
            exhaust: false,
            max_await_time_ms: None,
        };
        arguments.check(py)?;
        let core = query(slf.clone().into_any(), slf.get().target(), arguments);
        CursorBase::create(py, slf.get().mode(), core)
    }

    /// Update the first document that matches, and return an `UpdateResult`.
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
        #[pyo3(from_py_with = options::upsert)] upsert: bool,
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
            ("sort", Opt::Mapping(sort)),
            ("comment", Opt::Value(comment)),
        ];
        let arguments = ChangeArguments { filter, change: update, options };
        self.run(py, "update_one", move |py, target| target.change(py, Change::UpdateOne, &arguments))
    }

    /// Update all documents that match, and return an `UpdateResult`.
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
        #[pyo3(from_py_with = options::upsert)] upsert: bool,
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
        self.run(py, "update_many", move |py, target| target.change(py, Change::UpdateMany, &arguments))
    }

    /// Replace the first document that matches, and return an `UpdateResult`.
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
        #[pyo3(from_py_with = options::upsert)] upsert: bool,
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
            ("sort", Opt::Mapping(sort)),
            ("comment", Opt::Value(comment)),
        ];
        let arguments = ChangeArguments { filter, change: replacement, options };
        self.run(py, "replace_one", move |py, target| target.change(py, Change::ReplaceOne, &arguments))
    }

    /// Delete the first document that matches, and return a `DeleteResult`.
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
        self.run(py, "delete_one", move |py, target| target.delete(py, false, filter.bind(py), &options))
    }

    /// Delete all documents that match, and return a `DeleteResult`.
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
        self.run(py, "delete_many", move |py, target| target.delete(py, true, filter.bind(py), &options))
    }

    /// Run an aggregation pipeline, and return a cursor. An awaited cursor may be awaited first.
    #[pyo3(signature = (pipeline, session = None, r#let = None, comment = None, **kwargs))]
    fn aggregate(
        slf: &Bound<'_, Self>,
        pipeline: Py<PyAny>,
        session: Option<Py<PyAny>>,
        r#let: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let mut options = options::aggregation(kwargs, slf.get().client.get().classes().database)?;
        options.extend([
            ("session", Opt::Session(session)),
            ("let", Opt::Mapping(r#let)),
            ("comment", Opt::Value(comment)),
        ]);
        let core = aggregation(slf.clone().into_any(), slf.get().target(), pipeline, options);
        CursorBase::of_command(slf.py(), slf.get().mode(), core)
    }

    /// Return the number of documents that match.
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
                ("skip", Form::Value),
                ("limit", Form::Value),
                ("maxTimeMS", Form::Value),
                ("hint", Form::Index),
                ("collation", Form::Collation),
            ],
        )?;
        opts.extend(usual(session, comment));
        self.run(py, "count_documents", move |py, target| target.count_documents(py, filter.bind(py), &opts))
    }

    /// Return the number of documents according to the collection's metadata.
    #[pyo3(signature = (comment = None, **kwargs))]
    fn estimated_document_count(
        &self,
        py: Python<'_>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        if kwargs.is_some_and(|kwargs| kwargs.contains("session").unwrap_or(false)) {
            let message = "estimated_document_count does not support sessions";
            return Err(configuration_error(py, message));
        }
        let mut opts = options::more(kwargs, &[("maxTimeMS", Form::Value)])?;
        opts.push(("comment", Opt::Value(comment)));
        self.run(py, "estimated_document_count", move |py, target| target.estimated_document_count(py, &opts))
    }

    /// Return the distinct values of a field among the documents that match.
    #[pyo3(signature = (key, filter = None, session = None, comment = None, hint = None, **kwargs))]
    #[allow(clippy::too_many_arguments)]
    fn distinct(
        &self,
        py: Python<'_>,
        key: Bound<'_, PyAny>,
        filter: Option<Py<PyAny>>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        hint: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let Ok(key) = key.extract::<String>() else {
            return Err(wrong_type("key", "an instance of str", &key));
        };
        let mut filter = filter;
        if let Some(query) = kwargs.map(|kwargs| kwargs.get_item("query")).transpose()?.flatten() {
            if filter.is_some() {
                return Err(configuration_error(py, "can't pass both filter and query"));
            }
            filter = Some(query.unbind());
            kwargs.map(|kwargs| kwargs.del_item("query")).transpose()?;
        }
        let mut opts = options::more(kwargs, &[("maxTimeMS", Form::Value), ("collation", Form::Collation)])?;
        opts.extend(usual(session, comment));
        opts.push(("hint", Opt::Index(hint)));
        self.run(py, "distinct", move |py, target| {
            target.distinct(py, key, filter.as_ref().map(|filter| filter.bind(py)), &opts)
        })
    }

    /// Update the first document that matches, and return it as it was before or after the update.
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
        #[pyo3(from_py_with = options::upsert)] upsert: bool,
        #[pyo3(from_py_with = options::return_document)] return_document: bool,
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
            ("arrayFilters", Opt::List(array_filters)),
            ("hint", Opt::Index(hint)),
            ("let", Opt::Mapping(r#let)),
        ]);
        opts.extend(usual(session, comment));
        let (changing, after) = (Changing::Update(update), return_document);
        let arguments = FindOneAndArguments { filter, changing, after, max_time, options: opts };
        self.run(py, "find_one_and_update", move |py, target| target.find_one_and(py, &arguments))
    }

    /// Replace the first document that matches, and return the old or the new document.
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
        #[pyo3(from_py_with = options::upsert)] upsert: bool,
        #[pyo3(from_py_with = options::return_document)] return_document: bool,
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
            ("let", Opt::Mapping(r#let)),
        ]);
        opts.extend(usual(session, comment));
        let (changing, after) = (Changing::Replace(replacement), return_document);
        let arguments = FindOneAndArguments { filter, changing, after, max_time, options: opts };
        self.run(py, "find_one_and_replace", move |py, target| target.find_one_and(py, &arguments))
    }

    /// Delete the first document that matches, and return it.
    #[pyo3(signature = (
        filter, projection = None, sort = None, hint = None, session = None, r#let = None, comment = None,
        **kwargs
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
            ("let", Opt::Mapping(r#let)),
        ]);
        opts.extend(usual(session, comment));
        let (changing, after) = (Changing::Delete, false);
        let arguments = FindOneAndArguments { filter, changing, after, max_time, options: opts };
        self.run(py, "find_one_and_delete", move |py, target| target.find_one_and(py, &arguments))
    }

    /// Run many writes (PyMongo's `InsertOne`, `UpdateOne`, …) in few commands, and return a `BulkWriteResult`.
    #[pyo3(signature = (
        requests, ordered = true, bypass_document_validation = None, session = None, comment = None,
        r#let = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn bulk_write(
        &self,
        py: Python<'_>,
        requests: Py<PyAny>,
        ordered: bool,
        bypass_document_validation: Option<bool>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        r#let: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let mut options =
            vec![("bypassDocumentValidation", Opt::Flag(bypass_document_validation)), ("let", Opt::Mapping(r#let))];
        options.extend(usual(session, comment));
        let arguments = BulkArguments { requests, ordered, options };
        self.run(py, "bulk_write", move |py, target| target.bulk_write(py, &arguments))
    }

    /// Save an event. For the event store only.
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
        let target = self.target();
        let name = MethodName { class: "EventStore", method: "save" };
        self.mode().run_behind(py, name, Some(self.backpressure()), move |py| {
            let (event_type, obj) = (event_type.bind(py), obj.bind(py));
            let (task_id, installation_id) = (task_id.as_deref(), installation_id.as_deref());
            target.save_event(py, settings.get(), &Event { event_type, obj, task_id, installation_id })
        })
    }

    /// Save events, which are pairs of an event type and an object. Returns the
    /// result or the exception of each. For the event store only.
    fn _save_events(&self, py: Python<'_>, settings: Py<StoreSettings>, events: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let target = self.target();
        self.mode().run(py, MethodName { class: "EventStore", method: "save_many" }, move |py| {
            target.save_events(py, settings.get(), events.bind(py))
        })
    }

    /// Wait until none of the client's inserts is in flight. For the event store only.
    fn _drain(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let target = self.target();
        self.mode().run(py, MethodName { class: "EventStore", method: "drain" }, move |py| target.drain(py))
    }

    /// The collection's name.
    #[getter]
    fn name(&self) -> &str {
        &self.namespace.collection
    }

    /// The names of the database and the collection, joined by a dot.
    #[getter]
    fn full_name(&self) -> String {
        self.namespace.to_string()
    }

    /// The database of the collection.
    #[getter]
    fn database(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.database_base(py).into_object(py)
    }

    /// Return the same collection with other options.
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
        let Namespace { database, collection, .. } = &*self.namespace;
        Self::new(self.client.clone_ref(py), database, collection, scope).into_object(py)
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
        let full = PyString::new(py, &format!("{}.{}", self.namespace.collection, name.str()?));
        let collection = options::collection_name(full.as_any())?;
        let scope = Arc::clone(&self.scope);
        Self::new(self.client.clone_ref(py), &self.namespace.database, &collection, scope).into_object(py)
    }

    fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        let (py, collection) = (slf.py(), slf.get());
        if name.to_str()?.starts_with('_') {
            let full = format!("{}.{name}", collection.namespace.collection);
            return Err(private(slf, name, "collection", &full, "database")?);
        }
        if let Some(member) = driver_only::<AsyncCollection>(py, &collection.client.get().path, name)? {
            return Ok(member);
        }
        collection.__getitem__(py, name)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = (args, kwargs);
        let (class, collection) = (slf.get_type(), slf.get());
        let class = class.name()?;
        let (owner, method) = match collection.namespace.collection.rsplit_once('.') {
            Some((_, method)) => (format!("a '{class}'"), method),
            None => {
                let database = collection.client.get().classes().database;
                let article = if database.starts_with('A') { "an" } else { "a" };
                (format!("{article} '{database}'"), collection.name())
            }
        };
        Err(PyTypeError::new_err(format!(
            "'{class}' object is not callable. If you meant to call the '{method}' method on {owner} object it is \
             failing because no such method exists."
        )))
    }

    /// A collection has no elements, although `collection[name]` is a collection.
    #[classattr]
    fn __iter__(py: Python<'_>) -> Py<PyAny> {
        py.None()
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        Err(not_iterable(self.class()))
    }

    /// Raise `TypeError`: a collection is not iterable, and has no collection of this name as an attribute.
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
        let equal =
            other.cast::<Self>().ok().map(Bound::get).filter(|other| other.class() == self.class()).map(|other| {
                other.client.get().is_same(self.client.get()) && other.namespace.is_named_as(&self.namespace)
            });
        equality(other.py(), equal)
    }

    fn __hash__(&self) -> u64 {
        hash_of((self.client.get().path.identity(), self.namespace.to_string()))
    }

    fn __bool__(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Err(no_truth(slf, "collection")?)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (py, class, collection) = (slf.py(), slf.get_type(), slf.get());
        let database = collection.database(py)?;
        let name = PyString::new(py, collection.name());
        Ok(format!("{}({}, {})", class.name()?, database.bind(py).repr()?, name.repr()?))
    }
}

/// A collection of a Data API.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = CollectionBase)]
pub(crate) struct AsyncDataApiCollection;

#[pymethods]
impl AsyncDataApiCollection {
    #[new]
    #[pyo3(signature = (database, name, codec_options = None))]
    fn new(
        database: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, ..Overrides::default() };
        let base = CollectionBase::of(database, "AsyncDataApiDatabase", name, &overrides)?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }
}

/// A collection of a Data API.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = CollectionBase)]
pub(crate) struct DataApiCollection;

#[pymethods]
impl DataApiCollection {
    #[new]
    #[pyo3(signature = (database, name, codec_options = None))]
    fn new(
        database: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        codec_options: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let overrides = Overrides { codec_options, ..Overrides::default() };
        let base = CollectionBase::of(database, "DataApiDatabase", name, &overrides)?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }
}
