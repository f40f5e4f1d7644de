//! The methods that only the clients of the driver path have, and their constructors.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::change_stream::{ChangeStreamBase, ChangeStreamCore, WatchArguments};
use super::client::ClientBase;
use super::cursor::CursorBase;
use super::driver_database::DriverDatabaseBase;
use super::{clone_of, listing, usual, usual_and};
use crate::driver::watch::Level;
use crate::driver::{DriverClient, Namespace};
use crate::python::asyncio::call::{Call, Startable, raised};
use crate::python::asyncio::mode::Mode;
use crate::python::calls::BulkArguments;
use crate::python::calls::CallContext;
use crate::python::calls::driver_only as calls;
use crate::python::calls::driver_only::CommandArguments;
use crate::python::calls::session::{SessionBase, SessionCore};
use crate::python::calls::target::{Path, Target};
use crate::python::codec::DEFAULT;
use crate::python::convert::classes::class_of;
use crate::python::convert::client_options::{self, client_options, described};
use crate::python::convert::errors::wrong_type;
use crate::python::convert::options::Opt;
use crate::python::convert::scope::{CodecRef, Overrides};
use crate::python::lifecycle::once::Once;
use crate::python::lifecycle::pooled::Pooled;

/// The methods that only the clients of the driver path have. Users see its subclasses.
#[pyclass(
    module = "connect.eaas.mongodb._native", name = "MongoClient", frozen, subclass, extends = ClientBase
)]
pub(crate) struct DriverClientBase {
    /// The client's pool.
    pub(crate) pooled: Arc<Pooled<DriverClient>>,
    /// PyMongo's `ClientOptions`.
    pub(crate) described: Once<Py<PyAny>>,
    /// The argument `connect`, which only `options` shows.
    pub(crate) connect: Option<bool>,
}

fn mode(slf: &Bound<'_, DriverClientBase>) -> Mode {
    slf.as_super().get().mode
}

impl DriverClientBase {
    /// The target of calls of the client.
    fn target(slf: &Bound<'_, Self>) -> Target<DriverClient> {
        Self::target_of(slf, Namespace::new("admin", ""), slf.as_super().get().scope.codec())
    }

    fn target_of(slf: &Bound<'_, Self>, namespace: Namespace, codec: CodecRef) -> Target<DriverClient> {
        Target::new(&slf.get().pooled, namespace, codec, slf.as_super().get().classes().client)
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
        let base = slf.as_super().get();
        base.mode.run(slf.py(), base.method(method), move |py| target.make(py, call))
    }

    /// The client of the core.
    fn client(slf: &Bound<'_, Self>) -> PyResult<Arc<DriverClient>> {
        slf.get().pooled.client(slf.py(), slf.as_super().get().classes().client)
    }

    /// The topology that is known now; an empty one for a closed client, as with PyMongo.
    fn known_topology(slf: &Bound<'_, Self>) -> bson::Document {
        Self::client(slf).ok().and_then(|client| client.topology()).unwrap_or_default()
    }

    /// A property that `connect.eaas.mongodb.monitoring` derives from the topology, once a server has been reached.
    fn ask(slf: &Bound<'_, Self>, property: &'static str) -> PyResult<Py<PyAny>> {
        Self::run(slf, property, move |_, context| {
            let client = context.client;
            Ok(Call::new(async move { client.reached().await }, move |py, topology| {
                of_topology(py, property, raised(py, topology)?)
            }))
        })
    }
}

fn of_topology(py: Python<'_>, what: &str, topology: bson::Document) -> PyResult<Py<PyAny>> {
    let topology = DEFAULT.decode_value(py, bson::Bson::Document(topology))?;
    Ok(py.import("connect.eaas.mongodb.monitoring")?.getattr(what)?.call1((topology,))?.unbind())
}

#[pymethods]
impl DriverClientBase {
    /// The default host.
    #[classattr]
    const HOST: &'static str = "localhost";

    /// The default port.
    #[classattr]
    const PORT: u16 = 27017;

    /// The client's options, as PyMongo's `ClientOptions`.
    #[getter]
    fn options(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, base) = (slf.py(), slf.get());
        Ok(base.described.get(py, || described(py, &base.pooled.settings, base.connect))?.clone_ref(py))
    }

    /// Add to the metadata that handshakes send to the server.
    fn append_metadata(slf: &Bound<'_, Self>, driver_info: &Bound<'_, PyAny>) -> PyResult<()> {
        let client = Self::client(slf)?;
        let info = client_options::driver_info(driver_info)?;
        slf.get().pooled.append_metadata(info);
        raised(slf.py(), client.refresh_metadata())
    }

    /// What makes clients equal: the hosts, the replica set and the service of the connection string.
    fn eq_props<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (seeds, replica_set, name, service) = &slf.get().pooled.settings.identity;
        (PyTuple::new(slf.py(), seeds)?, replica_set, name, service).into_pyobject(slf.py())
    }

    /// The address of the server that writes go to, `(host, port)`, or `None`.
    #[getter]
    fn address(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask(slf, "address")
    }

    /// The address of the primary of the replica set, or `None`.
    #[getter]
    fn primary(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask(slf, "primary")
    }

    /// The addresses of the secondaries of the replica set.
    #[getter]
    fn secondaries(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask(slf, "secondaries")
    }

    /// The addresses of the arbiters of the replica set.
    #[getter]
    fn arbiters(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask(slf, "arbiters")
    }

    /// Whether a server takes writes.
    #[getter]
    fn is_primary(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask(slf, "is_primary")
    }

    /// Whether the server is a router of a sharded cluster.
    #[getter]
    fn is_mongos(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask(slf, "is_mongos")
    }

    /// The addresses of the servers that are known now.
    #[getter]
    fn nodes(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        of_topology(py, "nodes", Self::known_topology(slf))
    }

    /// PyMongo's description of the servers that are known now.
    #[getter]
    fn topology_description(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        of_topology(py, "topology_description", Self::known_topology(slf))
    }

    /// The names of the databases.
    #[pyo3(signature = (session = None, comment = None))]
    fn list_database_names(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual(session, comment);
        Self::run(slf, "list_database_names", move |py, context| calls::list_database_names(py, context, &opts))
    }

    /// List the databases, and return a cursor. An awaited cursor may be awaited first.
    #[pyo3(signature = (session = None, comment = None, **kwargs))]
    fn list_databases(
        slf: &Bound<'_, Self>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let opts = usual_and(kwargs, clone_of(slf.py(), &session), comment);
        let core = listing(slf.clone().into_any(), Self::target(slf), session, move |py, context| {
            calls::list_databases(py, context, bson::doc! { "listDatabases": 1 }, &opts)
        });
        CursorBase::of_command(slf.py(), mode(slf), core)
    }

    /// Remove a database, by its name or itself.
    #[pyo3(signature = (name_or_database, session = None, comment = None))]
    fn drop_database(
        slf: &Bound<'_, Self>,
        name_or_database: &Bound<'_, PyAny>,
        session: Option<Py<PyAny>>,
        comment: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let base = slf.as_super().get();
        let name = match name_or_database.cast::<DriverDatabaseBase>() {
            Ok(database) if database.as_super().get().client.get().mode == base.mode => {
                database.as_super().get().name.clone()
            }
            _ if name_or_database.cast::<PyString>().is_err() => {
                let expected = format!("an instance of str or a {}", base.classes().database);
                return Err(wrong_type("name_or_database", &expected, name_or_database));
            }
            _ => name_or_database.extract::<String>()?,
        };
        let opts = usual(session, comment);
        let target = Self::target_of(slf, Namespace::new(name, ""), base.scope.codec());
        Self::run_on(slf, "drop_database", target, move |py, context| {
            calls::quiet(py, context, bson::doc! { "dropDatabase": 1 }, &opts, None)
        })
    }

    /// Return the server's `buildInfo`.
    #[pyo3(signature = (session = None))]
    fn server_info(slf: &Bound<'_, Self>, session: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let arguments = CommandArguments { session, check: true, ..CommandArguments::default() };
        Self::run(slf, "server_info", move |py, context| {
            calls::command(py, context, PyString::new(py, "buildinfo").as_any(), None, None, &arguments)
        })
    }

    /// Start a session; it may be awaited first.
    #[pyo3(signature = (causal_consistency = None, default_transaction_options = None, snapshot = false))]
    fn start_session(
        slf: &Bound<'_, Self>,
        causal_consistency: Option<bool>,
        default_transaction_options: Option<&Bound<'_, PyAny>>,
        snapshot: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let (py, pooled) = (slf.py(), Arc::clone(&slf.get().pooled));
        Self::client(slf)?;
        let client = slf.clone().into_any().unbind();
        let core = SessionCore::new(py, client, pooled, causal_consistency, default_transaction_options, snapshot)?;
        SessionBase::create(py, mode(slf), core)
    }

    /// Do many writes to any collections in few commands (MongoDB 8.0 or later);
    /// returns a `ClientBulkWriteResult`.
    #[pyo3(signature = (
        models, session = None, ordered = true, verbose_results = false, bypass_document_validation = None,
        comment = None, r#let = None, write_concern = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn bulk_write(
        slf: &Bound<'_, Self>,
        models: Py<PyAny>,
        session: Option<Py<PyAny>>,
        ordered: bool,
        verbose_results: bool,
        bypass_document_validation: Option<bool>,
        comment: Option<Py<PyAny>>,
        r#let: Option<Py<PyAny>>,
        write_concern: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let mut options =
            vec![("bypassDocumentValidation", Opt::Flag(bypass_document_validation)), ("let", Opt::Mapping(r#let))];
        options.extend(usual(session, comment));
        let arguments = BulkArguments { requests: models, ordered, options };
        let scope = slf.as_super().get().scope.with(slf.py(), &Overrides { write_concern, ..Overrides::default() })?;
        let namespace = Namespace { concerns: Arc::clone(&scope.concerns), ..Namespace::new("admin", "bulkWrite") };
        let target = Self::target_of(slf, namespace, scope.codec());
        Self::run_on(slf, "bulk_write", target, move |py, context| {
            calls::bulk_write_client(py, context, &arguments, verbose_results)
        })
    }

    /// Watch all databases, and return a change stream. An awaited one may be awaited first.
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
        let core = ChangeStreamCore::new(py, Level::Client, Self::target(slf), arguments)?;
        ChangeStreamBase::create(py, mode(slf), core)
    }
}

/// The arguments of a client's constructor.
struct Arguments<'a, 'py> {
    host: Option<&'a Bound<'py, PyAny>>,
    port: Option<&'a Bound<'py, PyAny>>,
    document_class: Option<&'a Bound<'py, PyAny>>,
    tz_aware: Option<&'a Bound<'py, PyAny>>,
    connect: Option<&'a Bound<'py, PyAny>>,
    type_registry: Option<&'a Bound<'py, PyAny>>,
    coalesce: bool,
    add_ids: bool,
    options: Option<&'a Bound<'py, PyDict>>,
}

impl DriverClientBase {
    /// A client that has not connected, which is not a Python object yet.
    fn new(py: Python<'_>, mode: Mode, arguments: &Arguments<'_, '_>) -> PyResult<PyClassInitializer<Self>> {
        let keywords = match arguments.options {
            Some(options) => options.copy()?,
            None => PyDict::new(py),
        };
        for (name, value) in [
            ("document_class", arguments.document_class),
            ("tz_aware", arguments.tz_aware),
            ("connect", arguments.connect),
            ("type_registry", arguments.type_registry),
        ] {
            if let Some(value) = value {
                keywords.set_item(name, value)?;
            }
        }
        let options = client_options(arguments.host, arguments.port, &keywords)?;
        let mut settings = options.settings;
        settings.coalesce = arguments.coalesce;
        let pooled = Arc::new(Pooled::with_extras(settings, mode, false, options.extras));
        let client = ClientBase::new(Path::Driver(Arc::clone(&pooled)));
        let overrides = Overrides {
            codec_options: options.codec_options.as_ref(),
            read_preference: options.read_preference.as_ref(),
            write_concern: options.write_concern.as_ref(),
            read_concern: None,
        };
        let scope = client.scope.with(py, &overrides)?;
        let base = ClientBase { scope, add_ids: arguments.add_ids, ..client };
        let described = Once::new();
        if let Some(options) = options.described {
            described.get(py, || Ok(options.unbind()))?;
        }
        let connect = arguments.connect.and_then(|connect| connect.extract::<bool>().ok());
        Ok(PyClassInitializer::from(base).add_subclass(Self { pooled, described, connect }))
    }
}

/// A client of MongoDB. It connects with its first call.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DriverClientBase)]
pub(crate) struct AsyncMongoClient;

#[pymethods]
impl AsyncMongoClient {
    #[new]
    #[pyo3(signature = (
        host = None, port = None, document_class = None, tz_aware = None, connect = None, type_registry = None,
        *, coalesce = true, add_ids = false, **options
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        host: Option<&Bound<'_, PyAny>>,
        port: Option<&Bound<'_, PyAny>>,
        document_class: Option<&Bound<'_, PyAny>>,
        tz_aware: Option<&Bound<'_, PyAny>>,
        connect: Option<&Bound<'_, PyAny>>,
        type_registry: Option<&Bound<'_, PyAny>>,
        coalesce: bool,
        add_ids: bool,
        options: Option<&Bound<'_, PyDict>>,
        py: Python<'_>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let arguments =
            Arguments { host, port, document_class, tz_aware, connect, type_registry, coalesce, add_ids, options };
        Ok(DriverClientBase::new(py, Mode::Awaited, &arguments)?.add_subclass(Self))
    }

    /// Connect, as far as that is possible before the first call: the DNS seed
    /// list of a `mongodb+srv://` string is resolved.
    fn aconnect(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        DriverClientBase::run(slf.as_super(), "aconnect", |_, context| {
            let client = context.client;
            Ok(Call::new(async move { client.prepare().await }, |py, ended| {
                raised(py, ended)?;
                Ok(py.None())
            }))
        })
    }

    /// Close the connections, as `close`.
    fn aclose(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.as_super().as_super().get().close(slf.py())
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (client, base) = (slf.clone().into_any().unbind(), slf.as_super().as_super().get());
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
        slf.as_super().as_super().get().close(slf.py())
    }
}

/// A client of MongoDB. It connects with its first call.
#[pyclass(module = "connect.eaas.mongodb", frozen, subclass, extends = DriverClientBase)]
pub(crate) struct MongoClient;

#[pymethods]
impl MongoClient {
    #[new]
    #[pyo3(signature = (
        host = None, port = None, document_class = None, tz_aware = None, connect = None, type_registry = None,
        *, coalesce = true, add_ids = false, **options
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        host: Option<&Bound<'_, PyAny>>,
        port: Option<&Bound<'_, PyAny>>,
        document_class: Option<&Bound<'_, PyAny>>,
        tz_aware: Option<&Bound<'_, PyAny>>,
        connect: Option<&Bound<'_, PyAny>>,
        type_registry: Option<&Bound<'_, PyAny>>,
        coalesce: bool,
        add_ids: bool,
        options: Option<&Bound<'_, PyDict>>,
        py: Python<'_>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let arguments =
            Arguments { host, port, document_class, tz_aware, connect, type_registry, coalesce, add_ids, options };
        Ok(DriverClientBase::new(py, Mode::Blocking, &arguments)?.add_subclass(Self))
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
        slf.as_super().as_super().get().close(slf.py())
    }
}

#[pymethods]
impl AsyncMongoClient {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.asynchronous.mongo_client", "AsyncMongoClient")
    }
}

#[pymethods]
impl MongoClient {
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, &slf.py().get_type::<Self>(), "pymongo.synchronous.mongo_client", "MongoClient")
    }
}
