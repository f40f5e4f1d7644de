//! The binding: arguments in, a call of the core, its result out. The only
//! part that knows of Python.

mod api;
mod awaitable;
mod bridge;
mod call;
mod calls;
mod codec;
mod data_api;
mod driver_calls;
mod errors;
mod events;
mod exit;
mod gateway;
mod mongo;
mod monitoring;
mod oidc;
mod once;
mod options;
mod pooled;
mod results;
mod scope;
mod shared;
mod store;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyWeakrefReference};

use crate::config::VARIABLES;

/// The native module: what it exports, and nothing else.
#[pymodule]
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
    use super::events::{EventModel, event_models, event_types, parse_event};
    #[pymodule_export]
    use super::gateway::{create_key, gateway_openapi, list_keys, revoke_key, run_gateway};
    #[pymodule_export]
    use super::results::{DeleteResult, InsertManyResult, InsertOneResult, UpdateResult};
    #[pymodule_export]
    use super::store::{SaveResult, StoreSettings, count_dead_letter, store_metrics};
    #[pymodule_export]
    use super::{forked, variables};

    // Here, and not when it is first needed: a child forked while another
    // thread imports a module could not import it.
    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        super::warm_up(module.py())
    }

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}

/// Makes what pyo3 would make when it is first needed, with the GIL released
/// meanwhile: classes that are not exported, and what it looks up.
fn warm_up(py: Python<'_>) -> PyResult<()> {
    codec::BsonTypes::get(py)?;
    py.get_type::<bridge::LoopBridge>();
    py.get_type::<bridge::Waiting>();
    py.get_type::<events::Part>();
    py.get_type::<api::DriverOnly>();
    py.get_type::<api::session::AsyncTransactionContext>();
    py.get_type::<api::session::TransactionContext>();
    let call = Bound::new(py, awaitable::Awaitable::ready(api::mode::MethodName { class: "", method: "" }, py.None()))?;
    drop(call.cast::<PyMapping>());
    drop(PyWeakrefReference::new(&call)?);
    Ok(())
}

/// Tell a forked child that it is one. Python calls it.
#[pyfunction]
#[pyo3(name = "_forked")]
fn forked() {
    crate::runtime::forked();
    exit::forked();
}

/// The list for `@variables`: of each variable its name, its initial value and
/// whether it is secure.
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
