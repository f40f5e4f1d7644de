//! The Python binding, and the only part that depends on Python. `api` has the
//! classes that users see; `calls` makes their calls of the core; `asyncio` runs
//! them; `convert` and `codec` convert arguments, results and documents;
//! `lifecycle` has the objects that live as long as a process.

mod api;
mod asyncio;
mod calls;
mod codec;
mod command_line;
mod convert;
mod event_models;
mod event_store;
mod gateway;
mod lifecycle;
mod monitoring;
mod oidc;
mod time_limit;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyModule, PyType, PyWeakrefReference};

use crate::config::VARIABLES;

/// The native module's exports.
// Much of the state is locked only while the GIL is held, so a free-threaded interpreter must enable its GIL.
#[pymodule(gil_used = true)]
pub mod _native {
    #[pymodule_export]
    use super::api::change_stream::{AsyncChangeStream, ChangeStream};
    #[pymodule_export]
    use super::api::client::{AsyncDataApiClient, DataApiClient};
    #[pymodule_export]
    use super::api::collection::{AsyncDataApiCollection, DataApiCollection};
    #[pymodule_export]
    use super::api::cursor::{AsyncCursor, AsyncRawBatchCursor, Cursor, RawBatchCursor};
    #[pymodule_export]
    use super::api::database::{AsyncDataApiDatabase, DataApiDatabase};
    #[pymodule_export]
    use super::api::driver_client::{AsyncMongoClient, MongoClient};
    #[pymodule_export]
    use super::api::driver_collection::{AsyncCollection, Collection};
    #[pymodule_export]
    use super::api::driver_database::{AsyncDatabase, Database};
    #[pymodule_export]
    use super::api::session::{AsyncClientSession, ClientSession};
    #[pymodule_export]
    use super::codec::{bson_decode, bson_encode, ejson_decode, ejson_encode, ejson_from_bson};
    #[pymodule_export]
    use super::command_line::{data_api_route, driver_route, is_database_name, secret_texts};
    #[pymodule_export]
    use super::convert::options::{replacement, update, write_filter};
    #[pymodule_export]
    use super::convert::results::{DeleteResult, InsertManyResult, InsertOneResult, UpdateResult};
    #[pymodule_export]
    use super::event_models::{EventModel, event_models, event_types, parse_event};
    #[pymodule_export]
    use super::event_store::{SaveResult, StoreSettings, check_acknowledged, count_dead_letter, store_metrics};
    #[pymodule_export]
    use super::gateway::{add_signing_key, add_user, list_users, remove_user, set_password};
    #[pymodule_export]
    use super::gateway::{create_key, gateway_openapi, list_keys, revoke_key, run_gateway};
    #[pymodule_export]
    use super::{before_fork, forked, variables};

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        super::name_classes(module)?;
        super::warm_up(module.py())
    }

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}

/// Makes Python's own messages name a class as those of a class in Python do: `'AsyncCollection' object is not
/// iterable`. A native class is called by its module too, until its name is set.
fn name_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for member in module.dict().values() {
        if let Ok(class) = member.cast::<PyType>() {
            class.setattr("__name__", class.name()?)?;
        }
    }
    // Errors about arguments name the class of a method, for which the bases have the public names. The classes
    // themselves have names of their own.
    let py = module.py();
    for (base, name) in [
        (py.get_type::<api::client::ClientBase>(), "ClientBase"),
        (py.get_type::<api::driver_client::DriverClientBase>(), "DriverClientBase"),
        (py.get_type::<api::database::DatabaseBase>(), "DatabaseBase"),
        (py.get_type::<api::driver_database::DriverDatabaseBase>(), "DriverDatabaseBase"),
        (py.get_type::<api::collection::CollectionBase>(), "CollectionBase"),
        (py.get_type::<api::driver_collection::DriverCollectionBase>(), "DriverCollectionBase"),
        (py.get_type::<api::cursor::CursorBase>(), "CursorBase"),
        (py.get_type::<api::cursor::AwaitedCursorBase>(), "AwaitedCursorBase"),
        (py.get_type::<api::cursor::BlockingCursorBase>(), "BlockingCursorBase"),
        (py.get_type::<api::change_stream::ChangeStreamBase>(), "ChangeStreamBase"),
        (py.get_type::<calls::session::SessionBase>(), "SessionBase"),
    ] {
        base.setattr("__name__", name)?;
        base.setattr("__qualname__", name)?;
    }
    Ok(())
}

/// Creates the objects that pyo3 would create on demand with the GIL released
/// meanwhile: the classes that are not exported, and the objects that it looks up.
fn warm_up(py: Python<'_>) -> PyResult<()> {
    codec::BsonTypes::mapping(py)?;
    py.get_type::<asyncio::bridge::LoopBridge>();
    py.get_type::<asyncio::bridge::Waiting>();
    py.get_type::<event_models::Part>();
    py.get_type::<monitoring::EventBody>();
    py.get_type::<api::DriverOnly>();
    py.get_type::<api::session::AsyncTransactionContext>();
    py.get_type::<api::session::TransactionContext>();
    py.get_type::<api::session::AsyncBoundSessionContext>();
    py.get_type::<api::session::BoundSessionContext>();
    let call = Bound::new(
        py,
        asyncio::awaitable::Awaitable::ready(asyncio::mode::MethodName { class: "", method: "" }, py.None()),
    )?;
    drop(call.cast::<PyMapping>());
    drop(PyWeakrefReference::new(&call)?);
    drop(Bound::new(py, WithDict)?);
    Ok(())
}

/// For the first object with a `__dict__`, pyo3 looks up Python's version.
#[pyclass(module = "connect.eaas.mongodb._native", dict, frozen)]
struct WithDict;

/// Import what is otherwise imported on demand. Python calls it before `fork`: a child that is forked while another
/// thread imports a module could not import it.
#[pyfunction]
#[pyo3(name = "_before_fork")]
fn before_fork(py: Python<'_>) -> PyResult<()> {
    codec::BsonTypes::get(py).map(drop)
}

/// Reset the process-wide state in a forked child. Python calls it after `fork`.
#[pyfunction]
#[pyo3(name = "_forked")]
fn forked() {
    crate::runtime::forked();
    lifecycle::exit::forked();
}

/// The list for `@variables`: the name, the initial value and the secure flag of each variable.
#[pyfunction]
fn variables(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for variable in VARIABLES {
        let entry = PyDict::new(py);
        entry.set_item("name", variable.name)?;
        entry.set_item("initial_value", variable.initial_value)?;
        entry.set_item("secure", variable.secure)?;
        list.append(entry)?;
    }
    Ok(list)
}
