//! PyMongo's OIDC callbacks: objects whose `fetch` gets a token for
//! MONGODB-OIDC.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::options::oidc::{Callback, CallbackContext, IdpServerResponse};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::config::DriverSettings;
use crate::driver::Authentication;
use crate::driver::error::CallbackFailed;
use crate::python::convert::errors::configuration_error;

/// The `authMechanismProperties` that a connection string cannot express.
#[derive(Default)]
pub(crate) struct Oidc {
    callback: Option<Arc<Py<PyAny>>>,
    human: bool,
    allowed_hosts: Option<Vec<String>>,
}

impl Oidc {
    /// Removes them from a client's keywords. Properties that are strings stay there.
    pub(crate) fn of(options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = options.py();
        let name = options.keys().iter().find(|name| {
            name.extract::<String>().is_ok_and(|name| name.eq_ignore_ascii_case("authMechanismProperties"))
        });
        let Some(name) = name else { return Ok(Self::default()) };
        let Some(given) = options.get_item(&name)? else { return Ok(Self::default()) };
        let Ok(given) = given.cast::<PyMapping>() else { return Ok(Self::default()) };
        let properties = PyDict::new(py);
        properties.call_method1("update", (given,))?;
        let take = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
            let value = properties.get_item(name)?;
            properties.del_item(name).ok();
            Ok(value.filter(|value| !value.is_none()))
        };
        let (machine, human) = (take("OIDC_CALLBACK")?, take("OIDC_HUMAN_CALLBACK")?);
        let allowed_hosts = match take("ALLOWED_HOSTS")? {
            Some(hosts) => Some(
                hosts
                    .extract::<Vec<String>>()
                    .map_err(|_| configuration_error(py, "ALLOWED_HOSTS must be a list of host names"))?,
            ),
            None => None,
        };
        if machine.is_some() && human.is_some() {
            return Err(configuration_error(py, "cannot set both OIDC_CALLBACK and OIDC_HUMAN_CALLBACK"));
        }
        if allowed_hosts.is_some() && human.is_none() {
            return Err(configuration_error(py, "ALLOWED_HOSTS is only valid with OIDC_HUMAN_CALLBACK"));
        }
        let is_human = human.is_some();
        let callback = machine.or(human);
        if let Some(callback) = &callback
            && !callback.getattr("fetch").is_ok_and(|fetch| fetch.is_callable())
        {
            return Err(configuration_error(py, "an OIDC callback must be a pymongo.auth_oidc.OIDCCallback"));
        }
        if callback.is_some() && properties.contains("ENVIRONMENT")? {
            return Err(configuration_error(
                py,
                "authentication with MONGODB-OIDC takes either a callback or an ENVIRONMENT, not both",
            ));
        }
        if properties.is_empty() {
            options.del_item(&name)?;
        } else {
            options.set_item(&name, properties)?;
        }
        Ok(Self { callback: callback.map(|callback| Arc::new(callback.unbind())), human: is_human, allowed_hosts })
    }

    /// Whether there is a callback.
    pub(crate) fn has_callback(&self) -> bool {
        self.callback.is_some()
    }

    /// As the driver has it: with no token yet.
    pub(crate) fn authentication(&self, settings: &DriverSettings) -> Authentication {
        let callback = self.callback.as_ref().map(|callback| {
            let (callback, user, human) = (Arc::clone(callback), settings.user().unwrap_or_default(), self.human);
            let fetch = move |context: CallbackContext| {
                let (callback, user) = (Arc::clone(&callback), user.clone());
                // A Python callback may block on the network, so it does not run on a thread of the runtime.
                let fetched = tokio::task::spawn_blocking(move || {
                    Python::try_attach(|py| {
                        fetch(callback.bind(py), &user, &context).map_err(|error| described(py, &error))
                    })
                    .unwrap_or_else(|| Err("Python is on its way out".to_owned()))
                });
                let answer = async move {
                    match fetched.await {
                        Ok(Ok(response)) => Ok(response),
                        Ok(Err(problem)) => Err(mongodb::error::Error::custom(CallbackFailed(problem))),
                        Err(_) => Err(mongodb::error::Error::custom(CallbackFailed("it did not end".to_owned()))),
                    }
                };
                Box::pin(answer) as futures_util::future::BoxFuture<'static, _>
            };
            if human { Callback::human(fetch) } else { Callback::machine(fetch) }
        });
        Authentication { oidc_callback: callback, allowed_hosts: self.allowed_hosts.clone() }
    }
}

fn described(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
    format!("the OIDC callback raised {name}: {}", error.value(py))
}

/// One call of `fetch(OIDCCallbackContext) -> OIDCCallbackResult`.
fn fetch(callback: &Bound<'_, PyAny>, user: &str, context: &CallbackContext) -> PyResult<IdpServerResponse> {
    let py = callback.py();
    let module = py.import("pymongo.auth_oidc_shared").or_else(|_| py.import("pymongo.auth_oidc"))?;
    let arguments = PyDict::new(py);
    let left = context.timeout.map_or(Duration::from_secs(60), |until| until.saturating_duration_since(Instant::now()));
    arguments.set_item("timeout_seconds", left.as_secs_f64())?;
    arguments.set_item("username", user)?;
    arguments.set_item("version", context.version)?;
    arguments.set_item("refresh_token", context.refresh_token.as_deref())?;
    if let Some(provider) = &context.idp_info {
        let info = module.getattr("OIDCIdPInfo")?;
        let info = info.call1((&provider.issuer, provider.client_id.as_deref(), provider.request_scopes.clone()))?;
        arguments.set_item("idp_info", info)?;
    }
    let context = module.getattr("OIDCCallbackContext")?.call((), Some(&arguments))?;
    let result = callback.call_method1("fetch", (context,))?;
    if !result.is_instance(&module.getattr("OIDCCallbackResult")?)? {
        return Err(pyo3::exceptions::PyValueError::new_err("Callback result must be of type OIDCCallbackResult"));
    }
    let seconds = result.getattr("expires_in_seconds")?.extract::<Option<f64>>()?;
    let life = seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    Ok(IdpServerResponse::builder()
        .access_token(result.getattr("access_token")?.extract::<String>()?)
        .expires(life.and_then(|life| Instant::now().checked_add(life)))
        .refresh_token(result.getattr("refresh_token")?.extract::<Option<String>>()?)
        .build())
}
