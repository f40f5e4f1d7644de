//! The methods of the driver path's classes that the Data API's have not.

use std::sync::Arc;

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::clients::{
    AsyncCollection, AsyncDatabase, AsyncMongoClient, Collection, Database, Here, MongoClient, aggregation, query,
};
use super::codec::DEFAULT;
use super::cursor::{
    AsyncCursor, AsyncRawBatchCursor, Cursor, CursorCore, FindArguments, Open, Opening, RawBatchCursor,
};
use super::driver_calls as calls;
use super::driver_calls::{BulkArguments, Changing, CommandArguments};
use super::errors::wrong_type;
use super::flavor::{Awaited, Blocking, Flavor};
use super::mongo::At;
use super::options::{self, Form, Opt, Opts};
use super::scope::{CodecRef, Overrides};
use super::session::{AsyncClientSession, ClientSession, SessionCore};
use super::watch::{AsyncChangeStream, ChangeStream, WatchArguments, WatchCore};
use crate::config::{collection_name, database_name};
use crate::driver::command::GetMore;
use crate::driver::watch::Level;
use crate::driver::{DriverClient, Namespace};

/// The options `session` and `comment`, which most methods have.
fn usual(session: Option<Py<PyAny>>, comment: Option<Py<PyAny>>) -> Opts {
    vec![("session", Opt::Session(session)), ("comment", Opt::Value(comment))]
}

/// The same, with keywords of any name.
fn usual_and(
    kwargs: Option<&Bound<'_, PyDict>>,
    session: Option<Py<PyAny>>,
    comment: Option<Py<PyAny>>,
) -> PyResult<Opts> {
    let mut opts = options::any(kwargs)?;
    opts.extend(usual(session, comment));
    Ok(opts)
}

/// The cursor of a command.
fn listing(
    source: Bound<'_, PyAny>,
    here: Here<DriverClient>,
    session: Option<Py<PyAny>>,
    open: impl Fn(Python<'_>, At<DriverClient>) -> PyResult<Opening> + Send + Sync + 'static,
) -> CursorCore {
    let codec = here.codec.clone();
    let open: Open = Arc::new(move |py, _| open(py, here.at(py)?));
    CursorCore::new(source.unbind(), open, codec, FindArguments { session, ..FindArguments::default() })
}

fn clone_of(py: Python<'_>, session: &Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    session.as_ref().map(|session| session.clone_ref(py))
}

macro_rules! driver_collection {
    (
        $flavor:ident, $collection:ident = $collection_name:literal, $cursor:ident, $raw_cursor:ident,
        $change_stream:ident
    ) => {
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
                        ("skip", Form::Value),
                        ("limit", Form::Value),
                        ("maxTimeMS", Form::Value),
                        ("hint", Form::Index),
                        ("collation", Form::Collation),
                    ],
                )?;
                opts.extend(usual(session, comment));
                self.run(py, concat!($collection_name, ".count_documents"), move |py, at| {
                    calls::count_documents(py, at, filter.bind(py), &opts)
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
                if kwargs.is_some_and(|kwargs| kwargs.contains("session").unwrap_or(false)) {
                    let message = "estimated_document_count does not support sessions";
                    return Err(super::errors::configuration_error(py, message));
                }
                let mut opts = options::more(kwargs, &[("maxTimeMS", Form::Value)])?;
                opts.push(("comment", Opt::Value(comment)));
                self.run(py, concat!($collection_name, ".estimated_document_count"), move |py, at| {
                    calls::estimated_document_count(py, at, &opts)
                })
            }

            /// The values that a field has in the documents that match.
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
                let mut opts =
                    options::more(kwargs, &[("maxTimeMS", Form::Value), ("collation", Form::Collation)])?;
                opts.extend(usual(session, comment));
                opts.push(("hint", Opt::Index(hint)));
                self.run(py, concat!($collection_name, ".distinct"), move |py, at| {
                    calls::distinct(py, at, key, filter.as_ref().map(|filter| filter.bind(py)), &opts)
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
                    ("arrayFilters", Opt::List(array_filters)),
                    ("hint", Opt::Index(hint)),
                    ("let", Opt::Mapping(r#let)),
                ]);
                opts.extend(usual(session, comment));
                self.run(py, concat!($collection_name, ".find_one_and_update"), move |py, at| {
                    let change = Changing::Update(update);
                    calls::find_one_and_change(py, at, filter.bind(py), &change, return_document, max_time, &opts)
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
                    ("let", Opt::Mapping(r#let)),
                ]);
                opts.extend(usual(session, comment));
                self.run(py, concat!($collection_name, ".find_one_and_replace"), move |py, at| {
                    let change = Changing::Replace(replacement);
                    calls::find_one_and_change(py, at, filter.bind(py), &change, return_document, max_time, &opts)
                })
            }

            /// Delete the first document that matches; gives it.
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
                self.run(py, concat!($collection_name, ".find_one_and_delete"), move |py, at| {
                    let change = Changing::Delete;
                    calls::find_one_and_change(py, at, filter.bind(py), &change, false, max_time, &opts)
                })
            }

            /// Do many writes (`InsertOne`, `UpdateOne`, … of PyMongo) in few commands; gives a `BulkWriteResult`.
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
                let mut options = vec![
                    ("bypassDocumentValidation", Opt::Flag(bypass_document_validation)),
                    ("let", Opt::Mapping(r#let)),
                ];
                options.extend(usual(session, comment));
                let arguments = BulkArguments { requests, ordered, options };
                self.run(py, concat!($collection_name, ".bulk_write"), move |py, at| {
                    calls::bulk_write_collection(py, at, &arguments)
                })
            }

            /// Find all documents that match; gives a cursor of batches as the server sent them.
            #[pyo3(signature = (*args, **kwargs))]
            fn find_raw_batches(
                slf: &Bound<'_, Self>,
                args: &Bound<'_, pyo3::types::PyTuple>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<$raw_cursor> {
                let cursor = slf.call_method("find", args, kwargs)?;
                let arguments = cursor.cast::<$cursor>()?.get().arguments(slf.py());
                let core = query::<DriverClient>(slf.clone().into_any(), slf.get().here(), arguments);
                Ok($raw_cursor::new(core.of_raw_batches()))
            }

            /// Run an aggregation pipeline; gives a cursor of batches as the server sent them.
            #[pyo3(signature = (pipeline, session = None, comment = None, **kwargs))]
            fn aggregate_raw_batches(
                slf: &Bound<'_, Self>,
                pipeline: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<$raw_cursor> {
                let mut opts = options::aggregation(kwargs)?;
                opts.extend(usual(session, comment));
                let core = aggregation::<DriverClient>(slf.clone().into_any(), slf.get().here(), pipeline, opts);
                $raw_cursor::of_command(slf.py(), core.of_raw_batches())
            }

            /// What is known of each index, by its name.
            #[pyo3(signature = (session = None, comment = None))]
            fn index_information(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual(session, comment);
                self.run(py, concat!($collection_name, ".index_information"), move |py, at| {
                    calls::index_information(py, at, &opts)
                })
            }

            /// The indexes; gives a cursor, which may be awaited first.
            #[pyo3(signature = (session = None, comment = None))]
            fn list_indexes(
                slf: &Bound<'_, Self>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<$cursor> {
                let opts = usual(clone_of(slf.py(), &session), comment);
                let mut here = slf.get().here();
                here.codec = calls::sons(slf.py())?;
                let core = listing(slf.clone().into_any(), here, session, move |py, at| {
                    calls::list_indexes(py, at, &opts)
                });
                $cursor::of_command(slf.py(), core)
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
                let mut opts = calls::command_options(kwargs.as_ref().map(|kwargs| kwargs.bind(py)))?;
                opts.extend(usual(session, comment));
                self.run(py, concat!($collection_name, ".create_index"), move |py, at| {
                    let index = options::index(keys.bind(py), kwargs.as_ref().map(|kwargs| kwargs.bind(py)))?;
                    calls::create_indexes(py, at, vec![index], &opts, true)
                })
            }

            /// Make indexes of PyMongo's `IndexModel`s; gives their names.
            #[pyo3(signature = (indexes, session = None, comment = None, **kwargs))]
            fn create_indexes(
                &self,
                py: Python<'_>,
                indexes: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual_and(kwargs, session, comment)?;
                self.run(py, concat!($collection_name, ".create_indexes"), move |py, at| {
                    let indexes = calls::models(indexes.bind(py), "IndexModel", "indexes")?;
                    calls::create_indexes(py, at, indexes, &opts, false)
                })
            }

            /// Remove an index, by its name or its keys.
            #[pyo3(signature = (index_or_name, session = None, comment = None, **kwargs))]
            fn drop_index(
                &self,
                py: Python<'_>,
                index_or_name: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual_and(kwargs, session, comment)?;
                self.run(py, concat!($collection_name, ".drop_index"), move |py, at| {
                    let index = index_or_name.bind(py);
                    let name = match index.cast::<PyString>() {
                        Ok(name) => name.to_str()?.to_owned(),
                        Err(_) => options::index(index, None)?.get_str("name").unwrap_or_default().to_owned(),
                    };
                    let command = bson::doc! { "dropIndexes": at.namespace.collection.clone(), "index": name };
                    // NamespaceNotFound: there are none.
                    calls::quiet(py, at, command, &opts, Some(26))
                })
            }

            /// Remove all indexes but that of `_id`.
            #[pyo3(signature = (session = None, comment = None, **kwargs))]
            fn drop_indexes(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual_and(kwargs, session, comment)?;
                self.run(py, concat!($collection_name, ".drop_indexes"), move |py, at| {
                    let command = bson::doc! { "dropIndexes": at.namespace.collection.clone(), "index": "*" };
                    // NamespaceNotFound: there are none.
                    calls::quiet(py, at, command, &opts, Some(26))
                })
            }

            /// Make a search index of a `SearchIndexModel` or a mapping; gives its name.
            #[pyo3(signature = (model, session = None, comment = None, **kwargs))]
            fn create_search_index(
                &self,
                py: Python<'_>,
                model: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual_and(kwargs, session, comment)?;
                self.run(py, concat!($collection_name, ".create_search_index"), move |py, at| {
                    let index = calls::search_index(model.bind(py))?;
                    calls::create_search_indexes(py, at, vec![index], &opts, true)
                })
            }

            /// Make search indexes of `SearchIndexModel`s; gives their names.
            #[pyo3(signature = (models, session = None, comment = None, **kwargs))]
            fn create_search_indexes(
                &self,
                py: Python<'_>,
                models: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual_and(kwargs, session, comment)?;
                self.run(py, concat!($collection_name, ".create_search_indexes"), move |py, at| {
                    let models = calls::models(models.bind(py), "SearchIndexModel", "models")?;
                    calls::create_search_indexes(py, at, models, &opts, false)
                })
            }

            /// Remove a search index.
            #[pyo3(signature = (name, session = None, comment = None, **kwargs))]
            fn drop_search_index(
                &self,
                py: Python<'_>,
                name: String,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual_and(kwargs, session, comment)?;
                self.run(py, concat!($collection_name, ".drop_search_index"), move |py, at| {
                    let command =
                        bson::doc! { "dropSearchIndex": at.namespace.collection.clone(), "name": name };
                    calls::quiet(py, at, command, &opts, Some(26))
                })
            }

            /// Give a search index another definition.
            #[pyo3(signature = (name, definition, session = None, comment = None, **kwargs))]
            fn update_search_index(
                &self,
                py: Python<'_>,
                name: String,
                definition: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let mut opts = usual_and(kwargs, session, comment)?;
                opts.push(("definition", Opt::Value(Some(definition))));
                self.run(py, concat!($collection_name, ".update_search_index"), move |py, at| {
                    let command =
                        bson::doc! { "updateSearchIndex": at.namespace.collection.clone(), "name": name };
                    calls::quiet(py, at, command, &opts, None)
                })
            }

            /// The search indexes, or the one of that name; gives a cursor.
            #[pyo3(signature = (name = None, session = None, comment = None, **kwargs))]
            fn list_search_indexes(
                slf: &Bound<'_, Self>,
                name: Option<String>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<$cursor> {
                let py = slf.py();
                let (stage, which) = (PyDict::new(py), PyDict::new(py));
                if let Some(name) = name {
                    which.set_item("name", name)?;
                }
                stage.set_item("$listSearchIndexes", which)?;
                let mut opts = options::aggregation(kwargs)?;
                opts.extend(usual(session, comment));
                let pipeline = PyList::new(py, [stage])?.into_any().unbind();
                let core = aggregation::<DriverClient>(slf.clone().into_any(), slf.get().here(), pipeline, opts);
                $cursor::of_command(slf.py(), core)
            }

            /// Give the collection another name; gives the server's answer.
            #[pyo3(signature = (new_name, session = None, comment = None, **kwargs))]
            fn rename(
                &self,
                py: Python<'_>,
                new_name: Py<PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual_and(kwargs, session, comment)?;
                self.run(py, concat!($collection_name, ".rename"), move |py, at| {
                    calls::rename(py, at, new_name.bind(py), &opts)
                })
            }

            /// Remove the collection.
            #[pyo3(signature = (session = None, comment = None, encrypted_fields = None))]
            fn drop(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                encrypted_fields: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                no_encryption(encrypted_fields.as_ref())?;
                let opts = usual(session, comment);
                self.run(py, concat!($collection_name, ".drop"), move |py, at| {
                    let command = bson::doc! { "drop": at.namespace.collection.clone() };
                    // NamespaceNotFound: it is gone.
                    calls::quiet(py, at, command, &opts, Some(26))
                })
            }

            /// The options that the collection was made with.
            #[pyo3(signature = (session = None, comment = None))]
            fn options(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual(session, comment);
                self.run(py, concat!($collection_name, ".options"), move |py, at| {
                    calls::collection_options(py, at, &opts)
                })
            }

            /// Watch the collection; gives a change stream, which may be awaited first.
            #[pyo3(signature = (
                pipeline = None, full_document = None, resume_after = None, max_await_time_ms = None,
                batch_size = None, collation = None, start_at_operation_time = None, session = None,
                start_after = None, comment = None, full_document_before_change = None, show_expanded_events = None
            ))]
            #[allow(clippy::too_many_arguments)]
            fn watch(
                &self,
                py: Python<'_>,
                pipeline: Option<Py<PyAny>>,
                full_document: Option<String>,
                resume_after: Option<Py<PyAny>>,
                max_await_time_ms: Option<u64>,
                batch_size: Option<u32>,
                collation: Option<Py<PyAny>>,
                start_at_operation_time: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                start_after: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                full_document_before_change: Option<String>,
                show_expanded_events: Option<bool>,
            ) -> PyResult<$change_stream> {
                let arguments = WatchArguments {
                    pipeline, full_document, resume_after, max_await_time_ms, batch_size, collation,
                    start_at_operation_time, session, start_after, comment, full_document_before_change,
                    show_expanded_events,
                };
                $change_stream::opened(py, WatchCore::new(py, Level::Collection, self.here(), arguments)?)
            }
        }
    };
}

fn of_topology(py: Python<'_>, what: &str, topology: bson::Document) -> PyResult<Py<PyAny>> {
    let topology = DEFAULT.decode_value(py, bson::Bson::Document(topology))?;
    Ok(py.import("connect.eaas.mongodb.monitoring")?.getattr(what)?.call1((topology,))?.unbind())
}

fn no_encryption(encrypted_fields: Option<&Py<PyAny>>) -> PyResult<()> {
    match encrypted_fields {
        None => Ok(()),
        Some(_) => Err(PyNotImplementedError::new_err(
            "encrypted_fields is not supported, since client-side encryption is not: leave it out, or use PyMongo",
        )),
    }
}

macro_rules! driver_database {
    (
        $flavor:ident, $client:ident = $client_name:literal, $database:ident = $database_name:literal,
        $collection:ident, $cursor:ident, $session:ident, $change_stream:ident
    ) => {
        impl $client {
            fn here(&self) -> Here<DriverClient> {
                Here::of(&self.pooled, Namespace::new("admin", ""), &self.scope, $client_name)
            }

            fn run<C: super::call::Startable>(
                &self,
                py: Python<'_>,
                name: &'static str,
                call: impl FnOnce(Python<'_>, At<DriverClient>) -> PyResult<C> + Send + 'static,
            ) -> PyResult<Py<PyAny>> {
                let here = self.here();
                $flavor::run(py, name, move |py| here.make(py, call))
            }
        }

        impl $client {
            /// What `connect.eaas.mongodb.monitoring` makes of the topology, once a server has been reached.
            fn ask(&self, py: Python<'_>, name: &'static str, what: &'static str) -> PyResult<Py<PyAny>> {
                self.run(py, name, move |_, at| {
                    let client = at.client;
                    Ok(super::call::Call::new(async move { client.reached().await }, move |py, topology| {
                        of_topology(py, what, super::call::raised(py, topology)?)
                    }))
                })
            }
        }

        #[pymethods]
        impl $client {
            /// The default host.
            #[classattr]
            const HOST: &'static str = "localhost";

            /// The default port.
            #[classattr]
            const PORT: u16 = 27017;

            /// The address of the server that writes go to, `(host, port)`, or `None`.
            #[getter]
            fn address(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.ask(py, concat!($client_name, ".address"), "address")
            }

            /// The address of the primary of the replica set, or `None`.
            #[getter]
            fn primary(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.ask(py, concat!($client_name, ".primary"), "primary")
            }

            /// The addresses of the secondaries of the replica set.
            #[getter]
            fn secondaries(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.ask(py, concat!($client_name, ".secondaries"), "secondaries")
            }

            /// The addresses of the arbiters of the replica set.
            #[getter]
            fn arbiters(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.ask(py, concat!($client_name, ".arbiters"), "arbiters")
            }

            /// Whether a server takes writes.
            #[getter]
            fn is_primary(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.ask(py, concat!($client_name, ".is_primary"), "is_primary")
            }

            /// Whether the server is a router of a sharded cluster.
            #[getter]
            fn is_mongos(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.ask(py, concat!($client_name, ".is_mongos"), "is_mongos")
            }

            /// The addresses of the servers that are known now.
            #[getter]
            fn nodes(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                let client = self.pooled.client(py, $client_name)?;
                of_topology(py, "nodes", client.topology().unwrap_or_default())
            }

            /// PyMongo's description of the servers that are known now.
            #[getter]
            fn topology_description(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                let client = self.pooled.client(py, $client_name)?;
                of_topology(py, "topology_description", client.topology().unwrap_or_default())
            }

            /// The names of the databases.
            #[pyo3(signature = (session = None, comment = None))]
            fn list_database_names(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let opts = usual(session, comment);
                self.run(py, concat!($client_name, ".list_database_names"), move |py, at| {
                    calls::list_database_names(py, at, &opts)
                })
            }

            /// The databases; gives a cursor, which may be awaited first.
            #[pyo3(signature = (session = None, comment = None, **kwargs))]
            fn list_databases(
                slf: &Bound<'_, Self>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<$cursor> {
                let opts = usual_and(kwargs, clone_of(slf.py(), &session), comment)?;
                let core = listing(slf.clone().into_any(), slf.get().here(), session, move |py, at| {
                    calls::list_databases(py, at, bson::doc! { "listDatabases": 1 }, &opts)
                });
                $cursor::of_command(slf.py(), core)
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
                    Err(_) if name_or_database.cast::<PyString>().is_err() => {
                        let expected = concat!("an instance of str or a ", $database_name);
                        return Err(wrong_type("name_or_database", expected, name_or_database));
                    }
                    Err(_) => options::name(name_or_database, "database", database_name)?,
                };
                let opts = usual(session, comment);
                let here = Here::of(&self.pooled, Namespace::new(name, ""), &self.scope, $client_name);
                $flavor::run(py, concat!($client_name, ".drop_database"), move |py| {
                    here.make(py, |py, at| calls::quiet(py, at, bson::doc! { "dropDatabase": 1 }, &opts, None))
                })
            }

            /// What the server says of itself.
            #[pyo3(signature = (session = None))]
            fn server_info(&self, py: Python<'_>, session: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
                let arguments = CommandArguments { session, check: true, ..CommandArguments::default() };
                self.run(py, concat!($client_name, ".server_info"), move |py, at| {
                    calls::command(py, at, PyString::new(py, "buildinfo").as_any(), None, None, &arguments)
                })
            }

            /// Start a session; it may be awaited first.
            #[pyo3(signature = (causal_consistency = None, default_transaction_options = None, snapshot = false))]
            fn start_session(
                slf: &Bound<'_, Self>,
                causal_consistency: Option<bool>,
                default_transaction_options: Option<&Bound<'_, PyAny>>,
                snapshot: Option<bool>,
            ) -> PyResult<$session> {
                let (py, pooled) = (slf.py(), Arc::clone(&slf.get().pooled));
                pooled.client(py, $client_name)?;
                let client = slf.clone().into_any().unbind();
                let core =
                    SessionCore::new(py, client, pooled, causal_consistency, default_transaction_options, snapshot)?;
                Ok($session::new(core))
            }

            /// Do many writes to any collections in few commands (MongoDB 8.0 or later);
            /// gives a `ClientBulkWriteResult`.
            #[pyo3(signature = (
                models, session = None, ordered = true, verbose_results = false, bypass_document_validation = None,
                comment = None, r#let = None, write_concern = None
            ))]
            #[allow(clippy::too_many_arguments)]
            fn bulk_write(
                &self,
                py: Python<'_>,
                models: Py<PyAny>,
                session: Option<Py<PyAny>>,
                ordered: bool,
                verbose_results: bool,
                bypass_document_validation: Option<bool>,
                comment: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                write_concern: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let mut options = vec![
                    ("bypassDocumentValidation", Opt::Flag(bypass_document_validation)),
                    ("let", Opt::Mapping(r#let)),
                ];
                options.extend(usual(session, comment));
                let arguments = BulkArguments { requests: models, ordered, options };
                let scope = self.scope.with(py, &Overrides { write_concern, ..Overrides::default() })?;
                let namespace =
                    Namespace { concerns: Arc::clone(&scope.concerns), ..Namespace::new("admin", "bulkWrite") };
                let here = Here::of(&self.pooled, namespace, &scope, $client_name);
                $flavor::run(py, concat!($client_name, ".bulk_write"), move |py| {
                    here.make(py, |py, at| calls::bulk_write_client(py, at, &arguments, verbose_results))
                })
            }

            /// Watch all databases; gives a change stream, which may be awaited first.
            #[pyo3(signature = (
                pipeline = None, full_document = None, resume_after = None, max_await_time_ms = None,
                batch_size = None, collation = None, start_at_operation_time = None, session = None,
                start_after = None, comment = None, full_document_before_change = None, show_expanded_events = None
            ))]
            #[allow(clippy::too_many_arguments)]
            fn watch(
                &self,
                py: Python<'_>,
                pipeline: Option<Py<PyAny>>,
                full_document: Option<String>,
                resume_after: Option<Py<PyAny>>,
                max_await_time_ms: Option<u64>,
                batch_size: Option<u32>,
                collation: Option<Py<PyAny>>,
                start_at_operation_time: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                start_after: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                full_document_before_change: Option<String>,
                show_expanded_events: Option<bool>,
            ) -> PyResult<$change_stream> {
                let arguments = WatchArguments {
                    pipeline, full_document, resume_after, max_await_time_ms, batch_size, collation,
                    start_at_operation_time, session, start_after, comment, full_document_before_change,
                    show_expanded_events,
                };
                $change_stream::opened(py, WatchCore::new(py, Level::Client, self.here(), arguments)?)
            }
        }

        impl $database {
            fn here(&self, py: Python<'_>) -> Here<DriverClient> {
                self.here_of(py, String::new())
            }

            fn here_of(&self, py: Python<'_>, collection: String) -> Here<DriverClient> {
                let concerns = Arc::clone(&self.scope.concerns);
                let namespace = Namespace { concerns, ..Namespace::new(self.name.clone(), collection) };
                Here::of(&self.client.bind(py).get().pooled, namespace, &self.scope, $client_name)
            }

            fn run<C: super::call::Startable>(
                &self,
                py: Python<'_>,
                name: &'static str,
                call: impl FnOnce(Python<'_>, At<DriverClient>) -> PyResult<C> + Send + 'static,
            ) -> PyResult<Py<PyAny>> {
                let here = self.here(py);
                $flavor::run(py, name, move |py| here.make(py, call))
            }
        }

        #[pymethods]
        impl $database {
            /// The names of the collections.
            #[pyo3(signature = (session = None, filter = None, comment = None, **kwargs))]
            fn list_collection_names(
                &self,
                py: Python<'_>,
                session: Option<Py<PyAny>>,
                filter: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let mut opts = usual_and(kwargs, session, comment)?;
                opts.push(("filter", Opt::Mapping(filter)));
                self.run(py, concat!($database_name, ".list_collection_names"), move |py, at| {
                    calls::list_collection_names(py, at, &opts)
                })
            }

            /// The collections; gives a cursor, which may be awaited first.
            #[pyo3(signature = (session = None, filter = None, comment = None, **kwargs))]
            fn list_collections(
                slf: &Bound<'_, Self>,
                session: Option<Py<PyAny>>,
                filter: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<$cursor> {
                let py = slf.py();
                let mut opts = usual_and(kwargs, clone_of(py, &session), comment)?;
                opts.push(("filter", Opt::Mapping(filter)));
                let core = listing(slf.clone().into_any(), slf.get().here(py), session, move |py, at| {
                    calls::list_collections(py, at, &opts)
                });
                $cursor::of_command(slf.py(), core)
            }

            /// Make a collection; gives it.
            #[pyo3(signature = (
                name, codec_options = None, read_preference = None, write_concern = None, read_concern = None,
                session = None, check_exists = true, **kwargs
            ))]
            #[allow(clippy::too_many_arguments)]
            fn create_collection(
                &self,
                py: Python<'_>,
                name: &Bound<'_, PyAny>,
                codec_options: Option<&Bound<'_, PyAny>>,
                read_preference: Option<&Bound<'_, PyAny>>,
                write_concern: Option<&Bound<'_, PyAny>>,
                read_concern: Option<&Bound<'_, PyAny>>,
                session: Option<Py<PyAny>>,
                check_exists: Option<bool>,
                kwargs: Option<Py<PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let name = options::name(name, "collection", collection_name)?;
                let overrides = Overrides { codec_options, read_preference, write_concern, read_concern };
                let scope = Arc::new(self.scope.with(py, &overrides)?);
                if let Some(kwargs) = &kwargs {
                    no_encryption(kwargs.bind(py).get_item("encryptedFields")?.map(Bound::unbind).as_ref())?;
                }
                let collection = $collection::new(self.client.clone_ref(py), &self.name, &name, scope);
                let here = collection.here();
                let collection = Py::new(py, collection)?.into_any();
                let opts = vec![("session", Opt::Session(session))];
                let check = check_exists != Some(false);
                $flavor::run(py, concat!($database_name, ".create_collection"), move |py| {
                    let kwargs = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
                    here.make(py, |py, at| calls::create_collection(py, at, collection, check, kwargs, &opts))
                })
            }

            /// Remove a collection, by its name or itself.
            #[pyo3(signature = (name_or_collection, session = None, comment = None, encrypted_fields = None))]
            fn drop_collection(
                &self,
                py: Python<'_>,
                name_or_collection: &Bound<'_, PyAny>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                encrypted_fields: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let name = match name_or_collection.cast::<$collection>() {
                    Ok(collection) => collection.get().namespace.collection.clone(),
                    Err(_) if name_or_collection.cast::<PyString>().is_err() => {
                        return Err(wrong_type("name_or_collection", "an instance of str", name_or_collection));
                    }
                    Err(_) => options::name(name_or_collection, "collection", collection_name)?,
                };
                let scope = Arc::clone(&self.scope);
                no_encryption(encrypted_fields.as_ref())?;
                let opts = usual(session, comment);
                let collection = $collection::new(self.client.clone_ref(py), &self.name, &name, scope);
                collection.run(py, concat!($database_name, ".drop_collection"), move |py, at| {
                    let command = bson::doc! { "drop": at.namespace.collection.clone() };
                    // NamespaceNotFound: it is gone.
                    calls::answered(py, at, command, &opts, 26)
                })
            }

            /// Check a collection's data and indexes; gives the server's answer. Raises
            /// `CollectionInvalid` where something is wrong.
            #[pyo3(signature = (
                name_or_collection, scandata = false, full = false, session = None, background = None, comment = None
            ))]
            #[allow(clippy::too_many_arguments)]
            fn validate_collection(
                &self,
                py: Python<'_>,
                name_or_collection: &Bound<'_, PyAny>,
                scandata: bool,
                full: bool,
                session: Option<Py<PyAny>>,
                background: Option<bool>,
                comment: Option<Py<PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                let name = match name_or_collection.cast::<$collection>() {
                    Ok(collection) => collection.get().namespace.collection.clone(),
                    Err(_) if name_or_collection.cast::<PyString>().is_err() => {
                        let expected = concat!("an instance of str or ", stringify!($collection));
                        return Err(wrong_type("name_or_collection", expected, name_or_collection));
                    }
                    Err(_) => options::name(name_or_collection, "collection", collection_name)?,
                };
                let mut command = bson::doc! { "validate": name.clone(), "scandata": scandata, "full": full };
                if let Some(background) = background {
                    command.insert("background", background);
                }
                let opts = usual(session, comment);
                let here = self.here_of(py, name);
                $flavor::run(py, concat!($database_name, ".validate_collection"), move |py| {
                    here.make(py, |py, at| calls::validate_collection(py, at, command, &opts))
                })
            }

            /// The document that a `DBRef` is of, or `None`.
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
                    return Err(wrong_type("dbref", "an instance of bson.dbref.DBRef", dbref));
                }
                let (database, own) = (dbref.getattr("database")?, &slf.get().name);
                if !database.is_none() && !database.eq(own)? {
                    return Err(PyValueError::new_err(format!(
                        "trying to dereference a DBRef that points to another database ({database:?} not {own:?})"
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

            /// Run a command; gives the server's answer.
            #[pyo3(signature = (
                command, value = None, check = true, allowable_errors = None, read_preference = None,
                codec_options = None, session = None, comment = None, **kwargs
            ))]
            #[allow(clippy::too_many_arguments)]
            fn command(
                &self,
                py: Python<'_>,
                command: Py<PyAny>,
                value: Option<Py<PyAny>>,
                check: bool,
                allowable_errors: Option<Py<PyAny>>,
                read_preference: Option<Py<PyAny>>,
                codec_options: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<Py<PyDict>>,
            ) -> PyResult<Py<PyAny>> {
                let kwargs = with_comment(py, kwargs, comment)?;
                let arguments =
                    CommandArguments { check, allowable_errors, read_preference, codec_options, session };
                self.run(py, concat!($database_name, ".command"), move |py, at| {
                    let (value, kwargs) = (value.as_ref().map(|v| v.bind(py)), kwargs.as_ref().map(|k| k.bind(py)));
                    calls::command(py, at, command.bind(py), value, kwargs, &arguments)
                })
            }

            /// Run a command whose answer is a cursor; gives the cursor, which may be awaited first.
            #[pyo3(signature = (
                command, value = None, read_preference = None, codec_options = None, session = None, comment = None,
                max_await_time_ms = None, **kwargs
            ))]
            #[allow(clippy::too_many_arguments)]
            fn cursor_command(
                slf: &Bound<'_, Self>,
                command: Py<PyAny>,
                value: Option<Py<PyAny>>,
                read_preference: Option<Py<PyAny>>,
                codec_options: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                max_await_time_ms: Option<u64>,
                kwargs: Option<Py<PyDict>>,
            ) -> PyResult<$cursor> {
                let py = slf.py();
                let more = GetMore {
                    max_await_time: max_await_time_ms.map(std::time::Duration::from_millis),
                    comment: comment.map(|comment| options::bson_value(&DEFAULT, comment.bind(py))).transpose()?,
                    ..GetMore::default()
                };
                let mut here = slf.get().here(py);
                here.codec = match &codec_options {
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
                let core = listing(slf.clone().into_any(), here, session, move |py, at| {
                    let (value, kwargs) = (value.as_ref().map(|v| v.bind(py)), kwargs.as_ref().map(|k| k.bind(py)));
                    calls::cursor_command(py, at, command.bind(py), value, kwargs, &arguments, more.clone())
                });
                $cursor::of_command(slf.py(), core)
            }

            /// Run an aggregation pipeline that begins without a collection; gives a cursor.
            #[pyo3(signature = (pipeline, session = None, r#let = None, comment = None, **kwargs))]
            fn aggregate(
                slf: &Bound<'_, Self>,
                pipeline: Py<PyAny>,
                session: Option<Py<PyAny>>,
                r#let: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                kwargs: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<$cursor> {
                let py = slf.py();
                let mut opts = options::aggregation(kwargs)?;
                opts.extend(usual(clone_of(py, &session), comment));
                opts.push(("let", Opt::Mapping(r#let)));
                let core = listing(slf.clone().into_any(), slf.get().here(py), session, move |py, at| {
                    calls::aggregate_database(py, at, pipeline.bind(py), &opts)
                });
                $cursor::of_command(slf.py(), core)
            }

            /// Watch all collections; gives a change stream, which may be awaited first.
            #[pyo3(signature = (
                pipeline = None, full_document = None, resume_after = None, max_await_time_ms = None,
                batch_size = None, collation = None, start_at_operation_time = None, session = None,
                start_after = None, comment = None, full_document_before_change = None, show_expanded_events = None
            ))]
            #[allow(clippy::too_many_arguments)]
            fn watch(
                &self,
                py: Python<'_>,
                pipeline: Option<Py<PyAny>>,
                full_document: Option<String>,
                resume_after: Option<Py<PyAny>>,
                max_await_time_ms: Option<u64>,
                batch_size: Option<u32>,
                collation: Option<Py<PyAny>>,
                start_at_operation_time: Option<Py<PyAny>>,
                session: Option<Py<PyAny>>,
                start_after: Option<Py<PyAny>>,
                comment: Option<Py<PyAny>>,
                full_document_before_change: Option<String>,
                show_expanded_events: Option<bool>,
            ) -> PyResult<$change_stream> {
                let arguments = WatchArguments {
                    pipeline, full_document, resume_after, max_await_time_ms, batch_size, collation,
                    start_at_operation_time, session, start_after, comment, full_document_before_change,
                    show_expanded_events,
                };
                $change_stream::opened(py, WatchCore::new(py, Level::Database, self.here(py), arguments)?)
            }
        }
    };
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

driver_collection!(Awaited, AsyncCollection = "AsyncCollection", AsyncCursor, AsyncRawBatchCursor, AsyncChangeStream);
driver_database!(
    Awaited,
    AsyncMongoClient = "AsyncMongoClient",
    AsyncDatabase = "AsyncDatabase",
    AsyncCollection,
    AsyncCursor,
    AsyncClientSession,
    AsyncChangeStream
);
driver_collection!(Blocking, Collection = "Collection", Cursor, RawBatchCursor, ChangeStream);
driver_database!(
    Blocking,
    MongoClient = "MongoClient",
    Database = "Database",
    Collection,
    Cursor,
    ClientSession,
    ChangeStream
);

#[pymethods]
impl AsyncMongoClient {
    /// Connect, as far as that can be done before the first call: the DNS seed
    /// list of a `mongodb+srv://` string is resolved.
    fn aconnect(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.run(py, "AsyncMongoClient.aconnect", |_, at| {
            let client = at.client;
            Ok(super::call::Call::new(async move { client.prepare().await }, |py, ended| {
                super::call::raised(py, ended)?;
                Ok(py.None())
            }))
        })
    }

    /// Close the connections, as `close`.
    fn aclose(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(slf.call_method0("close")?.unbind())
    }
}
