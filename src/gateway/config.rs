//! The configuration: from a TOML file, or from the flags of the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::auth::{Authenticator, JwtConfig};
use super::compatibility::Compatibility;
use super::config_error::{config_error, toml_error};
use super::data_sources::DataSourceSettings;
use super::limits::Limits;
use super::server::tls::{Certificates, TlsConfig};
use super::state::Gateway;
use crate::codec::ejson::Style;
use crate::config::DriverSettings;
use crate::error::{Result, excerpt};

/// The default of `grace_seconds`.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// The largest `limits.requests`.
const MAX_REQUESTS: usize = 1_000_000;

/// The options of a gateway.
#[derive(Debug)]
pub struct GatewayOptions {
    /// The address to listen on; port 0 selects a free port.
    pub(super) listen: SocketAddr,
    pub(super) data_sources: DataSourceSettings,
    pub(super) authenticator: Authenticator,
    pub(super) tls: Option<Certificates>,
    /// The origins that may send cross-origin requests; `*` for all.
    pub(super) cors_origins: Vec<String>,
    /// The format of responses without an `Accept` header.
    pub(super) default_style: Style,
    pub(super) compatibility: Compatibility,
    pub(super) access_log: bool,
    /// How long requests may continue after the gateway is told to stop.
    pub(super) grace: Duration,
    pub(super) limits: Limits,
}

/// The flags of the command line, for a gateway without a configuration file.
pub struct Flags<'a> {
    /// The connection string of the only data source.
    pub mongodb_uri: &'a str,
    /// The key file.
    pub keys_file: &'a Path,
    /// The address to listen on, as `host:port`.
    pub listen: &'a str,
    /// The accepted `dataSource`; `None` accepts any.
    pub data_source: Option<String>,
    /// Whether to log requests.
    pub access_log: bool,
}

/// The configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_listen")]
    listen: String,
    keys_file: Option<PathBuf>,
    #[serde(default)]
    answer: ResponseFormat,
    #[serde(default)]
    compatibility: Compatibility,
    #[serde(default = "enabled")]
    access_log: bool,
    grace_seconds: Option<f64>,
    jwt: Option<JwtConfig>,
    tls: Option<TlsConfig>,
    #[serde(default)]
    cors: CorsTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    data_sources: BTreeMap<String, DataSourceTable>,
}

fn default_listen() -> String {
    "127.0.0.1:8080".to_owned()
}

fn enabled() -> bool {
    true
}

/// The format of responses without an `Accept` header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum ResponseFormat {
    #[default]
    #[serde(rename = "application/json")]
    Json,
    #[serde(rename = "application/ejson")]
    Ejson,
}

/// A data source. One of the three fields must be set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataSourceTable {
    uri: Option<String>,
    uri_env: Option<String>,
    uri_file: Option<PathBuf>,
}

/// Cross-origin requests of browsers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CorsTable {
    #[serde(default)]
    origins: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    connections: Option<usize>,
    requests: Option<usize>,
    body_bytes: Option<usize>,
    memory_bytes: Option<usize>,
    documents: Option<u64>,
    request_seconds: Option<f64>,
    head_seconds: Option<f64>,
    body_seconds: Option<f64>,
    stalled_seconds: Option<f64>,
    requests_per_second: Option<f64>,
    burst: Option<f64>,
}

fn seconds(name: &str, value: Option<f64>, default: Duration) -> Result<Duration> {
    match value {
        None => Ok(default),
        Some(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        Some(_) => config_error(format!("{name} must be a number of seconds greater than 0 and at most 86400")),
    }
}

fn at_least<T: PartialOrd + fmt::Display>(name: &str, value: Option<T>, minimum: T, default: T) -> Result<T> {
    match value {
        None => Ok(default),
        Some(number) if number >= minimum => Ok(number),
        Some(_) => config_error(format!("{name} must be at least {minimum}")),
    }
}

impl LimitsTable {
    fn limits(self, max_connections: usize) -> Result<Limits> {
        let default = Limits::default();
        let limits = Limits {
            connections: at_least("limits.connections", self.connections, 1, max_connections)?,
            requests: at_least("limits.requests", self.requests, 1, default.requests)?,
            body_bytes: at_least("limits.body_bytes", self.body_bytes, 1024, default.body_bytes)?,
            memory_bytes: at_least("limits.memory_bytes", self.memory_bytes, 1024 * 1024, default.memory_bytes)?,
            documents: self.documents,
            request: seconds("limits.request_seconds", self.request_seconds, default.request)?,
            head: seconds("limits.head_seconds", self.head_seconds, default.head)?,
            body: seconds("limits.body_seconds", self.body_seconds, default.body)?,
            stalled: seconds("limits.stalled_seconds", self.stalled_seconds, default.stalled)?,
            requests_per_second: self.requests_per_second,
            burst: self.burst.or(self.requests_per_second).unwrap_or(1.0).max(1.0),
        };
        if limits.requests > MAX_REQUESTS {
            return config_error(format!("limits.requests must be at most {MAX_REQUESTS}"));
        }
        if limits.documents == Some(0) {
            return config_error("limits.documents must be at least 1");
        }
        if limits.requests_per_second.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return config_error("limits.requests_per_second must be greater than 0");
        }
        if limits.connections > max_connections {
            return config_error(format!(
                "limits.connections must be at most {max_connections}: 1024, or less if the process's limit of open \
                 files is lower"
            ));
        }
        Ok(limits)
    }
}

impl DataSourceTable {
    fn settings(&self, name: &str, folder: &Path) -> Result<DriverSettings> {
        let error = |problem: &str| config_error(format!("data_sources.{name}: {problem}"));
        let uri = match (&self.uri, &self.uri_env, &self.uri_file) {
            (Some(uri), None, None) => uri.clone(),
            (None, Some(variable), None) => match std::env::var(variable) {
                Ok(uri) => uri,
                Err(_) if variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                    return error(&format!("the environment variable {} is not set", excerpt(variable, 64)));
                }
                Err(_) => return error("uri_env must be the name of an environment variable"),
            },
            (None, None, Some(path)) if path.to_string_lossy().contains("://") => {
                return error("uri_file must be the path of a file");
            }
            (None, None, Some(path)) => match std::fs::read_to_string(folder.join(path)) {
                Ok(uri) => uri.trim().to_owned(),
                Err(cause) => return error(&format!("{} cannot be read ({cause})", path.display())),
            },
            _ => return error("set exactly one of uri, uri_env and uri_file"),
        };
        mongodb_settings(&uri).or_else(|cause| error(&cause.message))
    }
}

/// Returns the settings of a data source. The gateway's responses state what was written.
fn mongodb_settings(uri: &str) -> Result<DriverSettings> {
    DriverSettings::of_gateway(uri)?.acknowledged("the gateway")
}

impl GatewayOptions {
    /// Whether the gateway serves HTTPS.
    pub fn uses_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Builds the state of the gateway; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Configuration` if the log cannot be started.
    pub(super) fn into_gateway(self) -> Result<Gateway> {
        let Self { data_sources, authenticator, limits, default_style, compatibility, access_log, .. } = self;
        Gateway::new(data_sources, authenticator, limits, default_style, compatibility, access_log)
    }

    /// Reads the options from flags. `max_connections` is how many connections the process can
    /// have open.
    ///
    /// # Errors
    /// `Configuration`, with the flag or file that is invalid.
    pub fn from_flags(flags: Flags<'_>, max_connections: usize) -> Result<Self> {
        let settings = mongodb_settings(flags.mongodb_uri)?;
        let data_sources = match flags.data_source {
            Some(name) => DataSourceSettings::Named(BTreeMap::from([(name, settings)])),
            None => DataSourceSettings::Any(Box::new(settings)),
        };
        Ok(Self {
            listen: parse_address(flags.listen)?,
            data_sources,
            authenticator: Authenticator::new(Some(flags.keys_file.to_owned()), None, PathBuf::new())?,
            tls: None,
            cors_origins: Vec::new(),
            default_style: Style::Plain,
            compatibility: Compatibility::default(),
            access_log: flags.access_log,
            grace: DEFAULT_GRACE,
            limits: Limits { connections: max_connections, ..Limits::default() },
        })
    }

    /// Reads the options from a configuration file. `max_connections` is how many connections the
    /// process can have open.
    ///
    /// # Errors
    /// `Configuration`, with the setting or file that is invalid. The message has no value that may
    /// be secret.
    pub fn from_file(path: &Path, max_connections: usize) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .or_else(|error| config_error(format!("the configuration {} cannot be read ({error})", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let file: File = toml_edit::de::from_str(&text)
            .map_err(|error| toml_error(&format!("the configuration {}", path.display()), &text, &error))?;
        if file.data_sources.is_empty() {
            return config_error("the configuration has no data source: add [data_sources.Cluster0] with a uri");
        }
        if file.keys_file.is_none() && file.jwt.is_none() {
            return config_error("the configuration has no authentication: add keys_file or [jwt]");
        }
        let mut data_sources = BTreeMap::new();
        for (name, source) in &file.data_sources {
            data_sources.insert(name.clone(), source.settings(name, &folder)?);
        }
        for origin in &file.cors.origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if origin != "*" && !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
                return config_error("cors.origins must be origins like https://app.example.com, or \"*\"");
            }
        }
        let tls = file.tls.map(|tls| Certificates::new(tls, folder.clone())).transpose()?;
        Ok(Self {
            listen: parse_address(&file.listen)?,
            data_sources: DataSourceSettings::Named(data_sources),
            authenticator: Authenticator::new(file.keys_file.map(|path| folder.join(path)), file.jwt, folder)?,
            tls,
            cors_origins: file.cors.origins,
            default_style: if file.answer == ResponseFormat::Ejson { Style::Canonical } else { Style::Plain },
            compatibility: file.compatibility,
            access_log: file.access_log,
            grace: seconds("grace_seconds", file.grace_seconds, DEFAULT_GRACE)?,
            limits: file.limits.limits(max_connections)?,
        })
    }
}

/// Parses `host:port`; a host name is resolved.
fn parse_address(text: &str) -> Result<SocketAddr> {
    let parsed = || {
        let (host, port) = text.rsplit_once(':')?;
        port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
        text.to_socket_addrs().ok()?.next()
    };
    match parsed() {
        Some(address) => Ok(address),
        None => config_error("the listen address must be host:port, such as 127.0.0.1:8080"),
    }
}
