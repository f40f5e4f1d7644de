//! `from_config`: one shared client for equal settings.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType, PyWeakrefMethods, PyWeakrefReference};

use crate::config::{VARIABLES, Value};
use crate::python::convert::errors::wrong_type;

/// How long the client of an alternating setting is kept unused.
const KEPT: Duration = Duration::from_secs(60);

/// The values of all variables, in their order.
pub(crate) type Values = Vec<Value>;

struct Entry {
    class: Py<PyType>,
    values: Values,
    client: Option<Py<PyAny>>,
    weak: Py<PyWeakrefReference>,
    last_asked: Instant,
    newest: bool,
    /// Whether it was requested again after other settings: several settings
    /// alternate then, and this one was not replaced.
    one_of_several: bool,
}

// Locked only while the GIL is held, so that a forked child never inherits a
// locked mutex.
static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The values of the variables that `config` has.
pub(crate) fn values(config: &Bound<'_, PyAny>) -> PyResult<Values> {
    let text = |value: Option<Bound<'_, PyAny>>| -> PyResult<Value> {
        Ok(match value {
            None => Value::Absent,
            Some(value) if value.is_none() => Value::Absent,
            Some(value) => match value.cast::<PyString>() {
                Ok(text) => Value::Text(text.to_str()?.to_owned()),
                Err(_) => Value::NotText,
            },
        })
    };
    if let Ok(config) = config.cast::<PyDict>() {
        return VARIABLES.iter().map(|variable| text(config.get_item(variable.name)?)).collect();
    }
    if !config.hasattr("__getitem__")? || config.cast::<PyString>().is_ok() {
        return Err(wrong_type("config", "a mapping of the extension's variables, as self.config is", config));
    }
    VARIABLES
        .iter()
        .map(|variable| match config.get_item(variable.name) {
            Ok(value) => text(Some(value)),
            Err(error) if error.is_instance_of::<PyKeyError>(config.py()) => Ok(Value::Absent),
            Err(error) => Err(error),
        })
        .collect()
}

/// The client of `class` for `values`: the existing one, or a new one.
///
/// The newest settings keep their client. Replaced settings keep theirs only
/// while it is referenced elsewhere. If replaced settings are requested again,
/// several settings alternate: each then keeps its client until it has not
/// been requested for [`KEPT`].
pub(crate) fn client(
    class: &Bound<'_, PyType>,
    values: Values,
    make: impl FnOnce(&Values) -> PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    if let Some(client) = known(class, &values) {
        return Ok(client);
    }
    let py = class.py();
    let client = make(&values)?;
    let weak = PyWeakrefReference::new(client.bind(py))?.unbind();
    // Another thread may have created it meanwhile.
    if let Some(client) = known(class, &values) {
        return Ok(client);
    }
    let now = Instant::now();
    let dropped;
    {
        let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
        // An entry of equal settings means that they are requested again.
        let back = entries.iter().any(|entry| entry.class.is(class) && entry.values == values);
        let forgotten: Vec<Entry> =
            entries.extract_if(.., |entry| entry.class.is(class) && entry.values == values).collect();
        if back {
            for entry in entries.iter_mut().filter(|entry| entry.class.is(class) && entry.newest) {
                entry.one_of_several = true;
            }
        }
        entries.push(Entry {
            class: class.clone().unbind(),
            values,
            client: Some(client.clone_ref(py)),
            weak,
            last_asked: now,
            newest: false,
            one_of_several: back,
        });
        let newest = entries.len() - 1;
        dropped = (forgotten, make_newest(&mut entries, newest, now));
    }
    // Outside the lock, because this may close clients and run Python code.
    drop(dropped);
    Ok(client)
}

fn known(class: &Bound<'_, PyType>, values: &Values) -> Option<Py<PyAny>> {
    let now = Instant::now();
    let (client, dropped);
    {
        let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
        let place = entries.iter().position(|entry| entry.class.is(class) && entry.values == *values)?;
        let alone = entries.len() == 1;
        let entry = &mut entries[place];
        let found = match &entry.client {
            Some(client) => client.clone_ref(class.py()),
            None => entry.weak.bind(class.py()).upgrade()?.unbind(),
        };
        entry.client.get_or_insert_with(|| found.clone_ref(class.py()));
        entry.last_asked = now;
        if entry.newest && alone {
            return Some(found);
        }
        if !entry.newest {
            entry.one_of_several = true;
            for other in entries.iter_mut().filter(|other| other.class.is(class) && other.newest) {
                other.one_of_several = true;
            }
        }
        client = found;
        dropped = make_newest(&mut entries, place, now);
    }
    drop(dropped);
    Some(client)
}

/// Marks an entry as the newest of its class; returns the clients and entries to drop.
fn make_newest(entries: &mut Vec<Entry>, place: usize, now: Instant) -> (Vec<Py<PyAny>>, Vec<Entry>) {
    let class = entries[place].class.as_ptr();
    for (other, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| entry.class.as_ptr() == class) {
        entry.newest = other == place;
    }
    let idle = |entry: &Entry| now.duration_since(entry.last_asked) > KEPT;
    let mut let_go = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !entry.newest) {
        if !entry.one_of_several || idle(entry) {
            entry.one_of_several = false;
            let_go.extend(entry.client.take());
        }
    }
    // Entries of settings that have not been requested again.
    let traces = entries.extract_if(.., |entry| !entry.newest && entry.client.is_none() && idle(entry)).collect();
    (let_go, traces)
}
