//! The arguments of a client: a connection string, keywords, and which of the two an option is taken from.
//!
//! PyMongo validates them (`_common/client_options.py`), except where every option is plainly valid:
//! importing PyMongo takes a quarter of a second.

use std::sync::{Arc, Mutex};

use mongodb::options::{DriverInfo, ServerApi, ServerApiVersion};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

use crate::config::{self, DriverSettings};
use crate::python::asyncio::call::raised;
use crate::python::convert::errors::configuration_error;
use crate::python::lifecycle::pooled::ClientExtras;
use crate::python::oidc::Oidc;

/// A client's arguments, validated.
pub(crate) struct ClientOptions<'py> {
    pub(crate) settings: DriverSettings,
    pub(crate) extras: ClientExtras,
    pub(crate) codec_options: Option<Bound<'py, PyAny>>,
    pub(crate) read_preference: Option<Bound<'py, PyAny>>,
    pub(crate) write_concern: Option<Bound<'py, PyAny>>,
    /// PyMongo's `ClientOptions`, if PyMongo validated the arguments.
    pub(crate) described: Option<Bound<'py, PyAny>>,
}

/// Validates the arguments of a client.
pub(crate) fn client_options<'py>(
    host: Option<&Bound<'py, PyAny>>,
    port: Option<&Bound<'py, PyAny>>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<ClientOptions<'py>> {
    // PyMongo explains what is wrong with a connection string.
    let plain = plain_uri(host, port, keywords).and_then(|uri| DriverSettings::from_uri(&uri).ok());
    if let Some(settings) = plain {
        return Ok(ClientOptions {
            settings,
            extras: ClientExtras::default(),
            codec_options: None,
            read_preference: None,
            write_concern: None,
            described: None,
        });
    }
    validated(host, port, keywords)
}

fn validated<'py>(
    host: Option<&Bound<'py, PyAny>>,
    port: Option<&Bound<'py, PyAny>>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<ClientOptions<'py>> {
    let py = keywords.py();
    let module = py.import("connect.eaas.mongodb._common.client_options")?;
    let parsed = module.getattr("parse")?.call1((host, port, keywords))?;
    let (described, given) = (parsed.getattr("options")?, parsed.getattr("given")?);
    let get = |name: &str| -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(Some(given.call_method1("get", (name,))?).filter(|value| !value.is_none()))
    };
    let listeners = match get("event_listeners")? {
        Some(listeners) => listeners.try_iter()?.map(|listener| Ok(listener?.unbind())).collect::<PyResult<_>>()?,
        None => Vec::new(),
    };
    let server_api = get("server_api")?.map(|api| server_api(&api)).transpose()?;
    let driver = get("driver")?.map(|info| driver_info(&info)).transpose()?;
    let properties = PyDict::new(py);
    if let Some(given) = get("authMechanismProperties")? {
        properties.set_item("authMechanismProperties", given)?;
    }
    let oidc = Oidc::of(&properties)?;
    let uri = parsed.getattr("uri")?.extract::<String>()?;
    let settings = raised(py, DriverSettings::with_callback(&uri, oidc.has_callback()))?;
    let codec_options = described.getattr("codec_options")?;
    let is_default = codec_options.eq(py.import("bson.codec_options")?.getattr("DEFAULT_CODEC_OPTIONS")?)?;
    let write_concern = get("fsync")?.map(|_| described.getattr("write_concern")).transpose()?;
    Ok(ClientOptions {
        settings,
        extras: ClientExtras {
            listeners,
            server_api,
            oidc,
            metadata: Arc::new(Mutex::new(driver.into_iter().collect())),
        },
        codec_options: (!is_default).then_some(codec_options),
        read_preference: get("read_preference")?,
        write_concern,
        described: Some(described),
    })
}

/// PyMongo's `ClientOptions` for a client whose arguments PyMongo did not validate.
pub(crate) fn described(py: Python<'_>, settings: &DriverSettings, connect: Option<bool>) -> PyResult<Py<PyAny>> {
    let keywords = PyDict::new(py);
    keywords.set_item("connect", connect)?;
    let uri = settings.complete_uri.expose();
    let has_timeout = !config::uri_without_options(uri, &["serverselectiontimeoutms"]).1.is_empty();
    if !has_timeout {
        keywords.set_item("serverSelectionTimeoutMS", settings.server_selection_timeout.as_secs_f64() * 1000.0)?;
    }
    let module = py.import("connect.eaas.mongodb._common.client_options")?;
    Ok(module.getattr("parse")?.call1((uri, py.None(), keywords))?.getattr("options")?.unbind())
}

/// A `pymongo.driver_info.DriverInfo` for the driver.
pub(crate) fn driver_info(info: &Bound<'_, PyAny>) -> PyResult<DriverInfo> {
    let module = info.py().import("connect.eaas.mongodb._common.client_options")?;
    let (name, version, platform) = module.getattr("driver_info")?.call1((info,))?.extract::<Fields>()?;
    let mut info = DriverInfo::builder().name(name).build();
    info.version = version;
    info.platform = platform;
    Ok(info)
}

type Fields = (String, Option<String>, Option<String>);

fn server_api(api: &Bound<'_, PyAny>) -> PyResult<ServerApi> {
    let version = api.getattr("version")?.extract::<String>()?;
    let version = version
        .parse::<ServerApiVersion>()
        .map_err(|_| configuration_error(api.py(), "server_api must be an instance of pymongo.server_api.ServerApi"))?;
    let mut server_api = ServerApi::builder().version(version).build();
    server_api.strict = api.getattr("strict")?.extract()?;
    server_api.deprecation_errors = api.getattr("deprecation_errors")?.extract()?;
    Ok(server_api)
}

/// Which values of an option are plainly valid. PyMongo validates any other.
#[derive(Clone, Copy)]
enum Plain {
    Flag,
    /// A positive number.
    Number,
    /// A text of at most 128 bytes.
    Text,
    OneOf(&'static [&'static str]),
}

/// The options without effect on each other.
const PLAIN: [(&str, Plain); 21] = [
    ("appname", Plain::Text),
    ("authmechanism", Plain::OneOf(&["SCRAM-SHA-1", "SCRAM-SHA-256"])),
    ("authsource", Plain::Text),
    ("connecttimeoutms", Plain::Number),
    ("journal", Plain::Flag),
    ("localthresholdms", Plain::Number),
    ("maxconnecting", Plain::Number),
    ("maxidletimems", Plain::Number),
    ("maxpoolsize", Plain::Number),
    ("readconcernlevel", Plain::Text),
    ("readpreference", Plain::OneOf(&["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"])),
    ("replicaset", Plain::Text),
    ("retryreads", Plain::Flag),
    ("retrywrites", Plain::Flag),
    ("serverselectiontimeoutms", Plain::Number),
    ("sockettimeoutms", Plain::Number),
    ("timeoutms", Plain::Number),
    ("tls", Plain::Flag),
    ("w", Plain::OneOf(&["1", "2", "3", "majority"])),
    ("waitqueuetimeoutms", Plain::Number),
    ("wtimeoutms", Plain::Number),
];

impl Plain {
    /// Whether the value of a keyword has the type that PyMongo expects.
    fn is_of_type(self, value: &Bound<'_, PyAny>) -> bool {
        let (is_flag, is_number) = (value.is_instance_of::<PyBool>(), value.is_instance_of::<PyInt>());
        match self {
            Self::Flag => is_flag,
            Self::Number => is_number && !is_flag,
            Self::Text => value.is_instance_of::<PyString>(),
            Self::OneOf(_) => value.is_instance_of::<PyString>() || (is_number && !is_flag),
        }
    }

    fn allows(self, value: &str) -> bool {
        match self {
            Self::Flag => matches!(value, "true" | "false"),
            Self::Number => {
                (1..=9).contains(&value.len())
                    && value.bytes().all(|byte| byte.is_ascii_digit())
                    && !value.starts_with('0')
            }
            Self::Text => (1..=128).contains(&value.len()),
            Self::OneOf(values) => values.contains(&value),
        }
    }
}

/// Returns the option of this name.
fn plain(name: &str) -> Option<Plain> {
    PLAIN.iter().find(|(known, _)| *known == name).map(|(_, plain)| *plain)
}

/// Returns the connection string, if every option is plainly valid and given once.
fn plain_uri(
    host: Option<&Bound<'_, PyAny>>,
    port: Option<&Bound<'_, PyAny>>,
    keywords: &Bound<'_, PyDict>,
) -> Option<String> {
    let host = match host.filter(|host| !host.is_none()) {
        None => "localhost".to_owned(),
        Some(host) => host.cast::<PyString>().ok()?.to_str().ok()?.to_owned(),
    };
    if port.is_some_and(|port| !port.is_none()) {
        return None;
    }
    let rest = host.split_once("://").map_or(host.as_str(), |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    // A user without a password needs a mechanism.
    if authority.rsplit_once('@').is_some_and(|(user, _)| user.split_once(':').is_none_or(|(_, word)| word.is_empty()))
    {
        return None;
    }
    let mut names = Vec::new();
    let mut note = |name: &str, value: &str| {
        let name = name.to_lowercase();
        let is_plain = plain(&name)?.allows(value) && !names.contains(&name);
        names.push(name);
        is_plain.then_some(())
    };
    for option in host.split_once('?').map_or("", |(_, query)| query).split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=')?;
        if value.contains(['%', '+', ';', '=']) {
            return None;
        }
        note(name, value)?;
    }
    let mut options = Vec::new();
    for (name, value) in keywords {
        let name = name.extract::<String>().ok()?;
        if value.is_none() && matches!(name.as_str(), "document_class" | "tz_aware" | "connect" | "type_registry") {
            continue;
        }
        if name == "connect" && value.is_instance_of::<PyBool>() {
            continue;
        }
        if !plain(&name.to_lowercase())?.is_of_type(&value) {
            return None;
        }
        let value = match value.cast::<PyBool>() {
            Ok(flag) => flag.is_true().to_string(),
            Err(_) => value.str().ok()?.to_str().ok()?.to_owned(),
        };
        note(&name, &value)?;
        options.push((name, value));
    }
    Some(config::uri_with_options(&host, &options))
}
