//! `from_config`: one client for one setting.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType, PyWeakrefMethods, PyWeakrefReference};

use super::errors::wrong_type;
use crate::config::{VARIABLES, Value};

/// How long one of several settings in turns is kept without being asked for.
const KEPT: Duration = Duration::from_secs(60);

/// The values of all variables, in their order.
pub type Values = Vec<Value>;

struct Entry {
    class: Py<PyType>,
    values: Values,
    client: Option<Py<PyAny>>,
    weak: Py<PyWeakrefReference>,
    last_asked: Instant,
    newest: bool,
    /// Whether it was asked for again after another: then it is not a setting
    /// that has been changed, but one of several.
    one_of_several: bool,
}

// Locked with the GIL held and not released, so that a forked child never
// inherits it locked.
static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The values of the variables that `config` has.
pub fn values(config: &Bound<'_, PyAny>) -> PyResult<Values> {
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

/// The client of `class` for `values`: the one that is there, or a new one.
///
/// The newest settings keep their client. Settings that were replaced keep
/// theirs only as long as somebody uses it; if they are asked for again, they
/// are one of several in use, and keep it while they are asked for.
pub fn client(
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
    // Another thread may have been faster.
    if let Some(client) = known(class, &values) {
        return Ok(client);
    }
    let now = Instant::now();
    let dropped;
    {
        let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
        // What is left of the same settings tells that they are back.
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
    // Outside the lock: this may close clients, and run Python code.
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

/// Marks an entry as the newest of its class, and gives what others let go of.
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
    // The traces of settings that have not come back.
    let traces = entries.extract_if(.., |entry| !entry.newest && entry.client.is_none() && idle(entry)).collect();
    (let_go, traces)
}
