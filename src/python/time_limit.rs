//! PyMongo's client-side operation timeout: `pymongo.timeout(…)`, and a client's `timeoutMS`.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::driver::time_limit::Deadline;
use crate::python::lifecycle::once::{Once, intern};

/// The context variables of `pymongo._csot`.
struct Variables {
    timeout: Py<PyAny>,
    deadline: Py<PyAny>,
}

/// When a call that starts now must end. `timeout` is the client's own, which `pymongo.timeout(…)` replaces.
pub(crate) fn deadline(py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Deadline>> {
    let own = timeout.map(|timeout| Deadline::after(timeout, timeout));
    let Some(variables) = variables(py)? else { return Ok(own) };
    let timeout = variables.timeout.bind(py).call_method0(intern!(py, "get"))?;
    if timeout.is_none() {
        return Ok(own);
    }
    let timeout = timeout.extract::<f64>()?;
    // Inside of `pymongo.timeout(0)` there is no limit.
    if timeout == 0.0 {
        return Ok(None);
    }
    let end = variables.deadline.bind(py).call_method0(intern!(py, "get"))?.extract::<f64>()?;
    let now = py.import(intern!(py, "time"))?.call_method0(intern!(py, "monotonic"))?.extract::<f64>()?;
    Ok(Some(Deadline::after(seconds(end - now), seconds(timeout))))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// The variables, if PyMongo is imported. Nobody can have set them otherwise.
fn variables(py: Python<'_>) -> PyResult<Option<&Variables>> {
    static VARIABLES: Once<Variables> = Once::new();
    static MODULES: Once<Py<PyDict>> = Once::new();
    if let Some(variables) = VARIABLES.made(py) {
        return Ok(Some(variables));
    }
    let modules = MODULES.get(py, || Ok(py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind()))?;
    let Some(module) = modules.bind(py).get_item(intern!(py, "pymongo._csot"))? else { return Ok(None) };
    // While the module is being imported, it does not have them yet.
    let (Ok(timeout), Ok(deadline)) = (module.getattr("TIMEOUT"), module.getattr("DEADLINE")) else { return Ok(None) };
    let found = || Ok(Variables { timeout: timeout.unbind(), deadline: deadline.unbind() });
    VARIABLES.get(py, found).map(Some)
}
