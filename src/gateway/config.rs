//! The configuration: from a TOML file, or from the flags of the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::auth::{AuthSettings, Authenticator, JwtConfig, LoginsConfig, secret_file};
use super::compatibility::Compatibility;
use super::config_error::{config_error, toml_error};
use super::cursors::{CursorLimits, TokenKey};
use super::data_sources::DataSourceSettings;
use super::limits::Limits;
use super::server::listen::ListenAddress;
use super::server::peer::{ForwardedHeader, TrustedProxies};
use super::server::tls::{Certificates, TlsConfig};
use super::state::{CursorSettings, GatewaySettings};
use super::telemetry::{AccessLog, OtlpConfig, share};
use super::watch::StreamLimits;
use crate::codec::ejson::Style;
use crate::config::{DriverSettings, collection_name, database_name};
use crate::driver::Namespace;
use crate::error::{Result, excerpt};

/// The default of `grace_seconds`.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// The default of `reload_seconds`.
const DEFAULT_RELOAD: Duration = Duration::from_secs(5);
/// The default of `access_log_slow_seconds`.
const DEFAULT_SLOW: Duration = Duration::from_secs(1);
/// The default of `socket_mode`: the owner and the group can connect.
const DEFAULT_SOCKET_MODE: u32 = 0o660;
/// The largest `limits.requests`.
const MAX_REQUESTS: usize = 1_000_000;

/// The options of a gateway.
#[derive(Debug)]
pub struct GatewayOptions {
    /// The address to listen on; port 0 selects a free port.
    pub(super) listen: ListenAddress,
    /// The address of health checks and metrics, if they have one of their own.
    pub(super) admin_listen: Option<ListenAddress>,
    /// The mode of the files of Unix sockets.
    pub(super) socket_mode: u32,
    pub(super) trusted_proxies: TrustedProxies,
    /// How often to look for changed files; `None` for never.
    pub(super) reload: Option<Duration>,
    pub(super) tls: Option<Certificates>,
    /// The origins that may send cross-origin requests; `*` for all.
    pub(super) cors_origins: Vec<String>,
    /// How long requests may continue after the gateway is told to stop.
    pub(super) grace: Duration,
    /// Where instances share the rates of callers.
    pub(super) shared_rates: Option<SharedRates>,
    pub(super) gateway: GatewaySettings,
}

/// Where instances share the rates of callers.
#[derive(Debug)]
pub(super) struct SharedRates {
    pub(super) data_source: String,
    pub(super) namespace: Namespace,
}

/// The flags of the command line, for a gateway without a configuration file.
pub struct Flags<'a> {
    /// The connection string of the only data source.
    pub mongodb_uri: &'a str,
    /// The key file.
    pub keys_file: &'a Path,
    /// The address to listen on, as `host:port` or `unix:PATH`.
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
    admin_listen: Option<String>,
    socket_mode: Option<String>,
    #[serde(default)]
    trusted_proxies: Vec<String>,
    #[serde(default)]
    forwarded_header: ForwardedHeader,
    reload_seconds: Option<f64>,
    keys_file: Option<PathBuf>,
    #[serde(default)]
    answer: ResponseFormat,
    #[serde(default)]
    compatibility: Compatibility,
    #[serde(default = "enabled")]
    access_log: bool,
    access_log_sample: Option<f64>,
    access_log_slow_seconds: Option<f64>,
    grace_seconds: Option<f64>,
    jwt: Option<JwtConfig>,
    otlp: Option<OtlpConfig>,
    logins: Option<LoginsConfig>,
    tls: Option<TlsConfig>,
    #[serde(default)]
    cors: CorsTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    cursors: CursorsTable,
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
    connections_per_peer: Option<usize>,
    requests: Option<usize>,
    body_bytes: Option<usize>,
    memory_bytes: Option<usize>,
    documents: Option<u64>,
    request_seconds: Option<f64>,
    export_seconds: Option<f64>,
    head_seconds: Option<f64>,
    keep_alive_seconds: Option<f64>,
    body_seconds: Option<f64>,
    stalled_seconds: Option<f64>,
    streams: Option<usize>,
    streams_per_caller: Option<usize>,
    stream_seconds: Option<f64>,
    heartbeat_seconds: Option<f64>,
    requests_per_second: Option<f64>,
    burst: Option<f64>,
    failed_logins_per_minute: Option<f64>,
    shared: Option<SharedTable>,
}

/// The collection in which instances share the rates of callers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedTable {
    data_source: String,
    database: String,
    collection: String,
}

impl SharedTable {
    fn settings(self) -> Result<SharedRates> {
        if let Err(problem) = database_name(&self.database) {
            return config_error(format!("limits.shared.database {problem}"));
        }
        if let Err(problem) = collection_name(&self.collection) {
            return config_error(format!("limits.shared.collection {problem}"));
        }
        Ok(SharedRates { data_source: self.data_source, namespace: Namespace::new(self.database, self.collection) })
    }
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

/// Results in pages.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorsTable {
    seconds: Option<f64>,
    open: Option<usize>,
    per_caller: Option<usize>,
    secret_file: Option<PathBuf>,
}

impl CursorsTable {
    fn settings(self, folder: &Path) -> Result<CursorSettings> {
        /// The shortest secret, in bytes.
        const MIN_SECRET: usize = 16;
        let default = CursorLimits::default();
        let limits = CursorLimits {
            lifetime: seconds("cursors.seconds", self.seconds, default.lifetime)?,
            open: at_least("cursors.open", self.open, 0, default.open)?,
            per_caller: at_least("cursors.per_caller", self.per_caller, 0, default.per_caller)?,
        };
        let Some(path) = self.secret_file else { return Ok(CursorSettings { secret: None, limits }) };
        match secret_file::read(&folder.join(path), "cursors.secret_file")?.trim_ascii() {
            secret if secret.len() >= MIN_SECRET => {
                Ok(CursorSettings { secret: Some(TokenKey::of_secret(secret)), limits })
            }
            _ => config_error(format!("cursors.secret_file must have at least {MIN_SECRET} random bytes")),
        }
    }
}

/// Reads the mode of a file in octal digits, such as `0660`.
fn socket_mode(text: Option<&str>) -> Result<u32> {
    let Some(text) = text else { return Ok(DEFAULT_SOCKET_MODE) };
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode <= 0o777 => Ok(mode),
        _ => config_error("socket_mode must be octal digits in quotation marks, such as \"0660\""),
    }
}

impl LimitsTable {
    fn shared_rates(&mut self, data_sources: &BTreeMap<String, DriverSettings>) -> Result<Option<SharedRates>> {
        let Some(shared) = self.shared.take() else { return Ok(None) };
        if self.requests_per_second.is_none() {
            return config_error("limits.shared needs limits.requests_per_second, the rate that instances share");
        }
        if !data_sources.contains_key(&shared.data_source) {
            return config_error("limits.shared.data_source must be the name of one of the data_sources");
        }
        shared.settings().map(Some)
    }

    fn streams(&self) -> Result<StreamLimits> {
        let default = StreamLimits::default();
        Ok(StreamLimits {
            total: at_least("limits.streams", self.streams, 0, default.total)?,
            per_caller: at_least("limits.streams_per_caller", self.streams_per_caller, 0, default.per_caller)?,
            lifetime: seconds("limits.stream_seconds", self.stream_seconds, default.lifetime)?,
            heartbeat: seconds("limits.heartbeat_seconds", self.heartbeat_seconds, default.heartbeat)?,
        })
    }

    fn limits(self, max_connections: usize) -> Result<Limits> {
        let default = Limits::default();
        let connections =
            at_least("limits.connections", self.connections, 1, default.connections.min(max_connections))?;
        let per_peer = (connections / 2).max(1);
        let limits = Limits {
            connections,
            connections_per_peer: at_least("limits.connections_per_peer", self.connections_per_peer, 1, per_peer)?,
            requests: at_least("limits.requests", self.requests, 1, default.requests)?,
            body_bytes: at_least("limits.body_bytes", self.body_bytes, 1024, default.body_bytes)?,
            memory_bytes: at_least("limits.memory_bytes", self.memory_bytes, 1024 * 1024, default.memory_bytes)?,
            documents: self.documents,
            request: seconds("limits.request_seconds", self.request_seconds, default.request)?,
            export: seconds("limits.export_seconds", self.export_seconds, default.export)?,
            head: seconds("limits.head_seconds", self.head_seconds, default.head)?,
            keep_alive: seconds("limits.keep_alive_seconds", self.keep_alive_seconds, default.keep_alive)?,
            body: seconds("limits.body_seconds", self.body_seconds, default.body)?,
            stalled: seconds("limits.stalled_seconds", self.stalled_seconds, default.stalled)?,
            requests_per_second: self.requests_per_second,
            burst: self.burst.or(self.requests_per_second).unwrap_or(1.0).max(1.0),
            failed_logins_per_minute: self.failed_logins_per_minute.unwrap_or(default.failed_logins_per_minute),
        };
        if !(limits.failed_logins_per_minute >= 1.0 && limits.failed_logins_per_minute <= 1e6) {
            return config_error("limits.failed_logins_per_minute must be from 1 to 1000000");
        }
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
                "limits.connections must be at most {max_connections}, because of the process's limit of open files \
                 (ulimit -n, LimitNOFILE)"
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
        let limits = LimitsTable::default().limits(max_connections)?;
        let authenticator = Authenticator::new(AuthSettings {
            keys_file: Some(flags.keys_file.to_owned()),
            jwt: None,
            logins: None,
            folder: PathBuf::new(),
            failed_logins_per_minute: limits.failed_logins_per_minute,
        })?;
        Ok(Self {
            listen: ListenAddress::parse("listen", flags.listen, Path::new(""))?,
            admin_listen: None,
            socket_mode: DEFAULT_SOCKET_MODE,
            trusted_proxies: TrustedProxies::default(),
            reload: Some(DEFAULT_RELOAD),
            tls: None,
            cors_origins: Vec::new(),
            grace: DEFAULT_GRACE,
            shared_rates: None,
            gateway: GatewaySettings {
                data_sources,
                authenticator,
                limits,
                cursors: CursorSettings::default(),
                streams: StreamLimits::default(),
                default_style: Style::Plain,
                compatibility: Compatibility::default(),
                access_log: AccessLog { enabled: flags.access_log, sample: 1.0, slow: DEFAULT_SLOW },
                otlp: None,
            },
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
        let mut file: File = toml_edit::de::from_str(&text)
            .map_err(|error| toml_error(&format!("the configuration {}", path.display()), &text, &error))?;
        if file.data_sources.is_empty() {
            return config_error("the configuration has no data source: add [data_sources.Cluster0] with a uri");
        }
        if file.keys_file.is_none() && file.jwt.is_none() && file.logins.is_none() {
            return config_error("the configuration has no authentication: add keys_file, [jwt] or [logins]");
        }
        if let Some(sessions) = file.logins.as_ref().and_then(LoginsConfig::sessions)
            && !file.data_sources.contains_key(&sessions.data_source)
        {
            return config_error("logins.sessions.data_source must be the name of a data source");
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
        let shared_rates = file.limits.shared_rates(&data_sources)?;
        let (cursors, streams) = (file.cursors.settings(&folder)?, file.limits.streams()?);
        let limits = file.limits.limits(max_connections)?;
        let authenticator = Authenticator::new(AuthSettings {
            keys_file: file.keys_file.map(|path| folder.join(path)),
            jwt: file.jwt,
            logins: file.logins,
            folder: folder.clone(),
            failed_logins_per_minute: limits.failed_logins_per_minute,
        })?;
        let tls = file.tls.map(|tls| Certificates::new(tls, folder.clone())).transpose()?;
        Ok(Self {
            listen: ListenAddress::parse("listen", &file.listen, &folder)?,
            admin_listen: file
                .admin_listen
                .map(|address| ListenAddress::parse("admin_listen", &address, &folder))
                .transpose()?,
            socket_mode: socket_mode(file.socket_mode.as_deref())?,
            trusted_proxies: TrustedProxies::new(&file.trusted_proxies, file.forwarded_header)?,
            reload: match file.reload_seconds {
                Some(0.0) => None,
                interval => Some(seconds("reload_seconds", interval, DEFAULT_RELOAD)?),
            },
            tls,
            cors_origins: file.cors.origins,
            grace: seconds("grace_seconds", file.grace_seconds, DEFAULT_GRACE)?,
            shared_rates,
            gateway: GatewaySettings {
                data_sources: DataSourceSettings::Named(data_sources),
                authenticator,
                limits,
                cursors,
                streams,
                default_style: if file.answer == ResponseFormat::Ejson { Style::Canonical } else { Style::Plain },
                compatibility: file.compatibility,
                access_log: AccessLog {
                    enabled: file.access_log,
                    sample: share("access_log_sample", file.access_log_sample)?,
                    slow: seconds("access_log_slow_seconds", file.access_log_slow_seconds, DEFAULT_SLOW)?,
                },
                otlp: file.otlp.map(OtlpConfig::settings).transpose()?,
            },
        })
    }
}
