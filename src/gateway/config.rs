//! The configuration file (TOML) ► what the gateway serves, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::auth::Auth;
use super::keys::ApiKeys;
use super::server::Limits;
use super::tls::Certificates;
use super::{GatewayOptions, Sources};
use crate::codec::ejson::Style;
use crate::config::DriverSettings;
use crate::error::{Error, ErrorKind, Result, excerpt};

/// A `Configuration` error.
pub(super) fn wrong<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Configuration, what))
}

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_listen")]
    listen: String,
    keys_file: Option<PathBuf>,
    #[serde(default)]
    answer: AnswerFormat,
    #[serde(default = "yes")]
    access_log: bool,
    grace_seconds: Option<f64>,
    jwt: Option<JwtFile>,
    tls: Option<TlsFile>,
    #[serde(default)]
    cors: CorsFile,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    data_sources: BTreeMap<String, SourceFile>,
}

fn default_listen() -> String {
    "127.0.0.1:8080".to_owned()
}

fn yes() -> bool {
    true
}

/// What an answer is written in where `Accept` does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum AnswerFormat {
    #[default]
    #[serde(rename = "application/json")]
    Json,
    #[serde(rename = "application/ejson")]
    Ejson,
}

/// A MongoDB, by one of three ways to say where it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    uri: Option<String>,
    uri_env: Option<String>,
    uri_file: Option<PathBuf>,
}

/// Bearer tokens.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtFile {
    /// The secret of HS256.
    pub secret_file: Option<PathBuf>,
    /// The public key of RS256 or ES256, in PEM.
    pub public_key_file: Option<PathBuf>,
    /// Public keys as a JSON Web Key Set.
    pub jwks_file: Option<PathBuf>,
    /// The `iss` that a token must have.
    pub issuer: Option<String>,
    /// The `aud` that a token must have.
    pub audience: Option<String>,
    /// The claim that holds a token's permissions.
    #[serde(default = "default_claim")]
    pub permissions_claim: String,
}

fn default_claim() -> String {
    "permissions".to_owned()
}

/// The gateway's own certificate.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// Its certificate and those that lead to the authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The authorities whose certificates clients must have, in PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether a client may come without a certificate all the same.
    #[serde(default)]
    pub client_certificate_optional: bool,
}

/// Which pages of browsers may call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CorsFile {
    #[serde(default)]
    origins: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
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

/// What is wrong with a TOML text, without a value of it.
pub(super) fn toml_fault(what: &str, text: &str, error: &toml_edit::de::Error) -> Error {
    let line = error.span().map(|span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
    let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
    // Serde quotes the values that it does not like.
    let mut message = error.message().to_owned();
    if let (Some(first), Some(last)) = (message.find('"'), message.rfind('"')) {
        message.replace_range(first..=last, "\"…\"");
    }
    if let Some((variant, expected)) = message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`')) {
        message = format!("unknown value of {} characters{expected}", variant.chars().count());
    }
    Error::new(ErrorKind::Configuration, format!("{what} cannot be used{line}: {}", excerpt(&message, 300)))
}

fn seconds(name: &str, given: Option<f64>, default: Duration) -> Result<Duration> {
    match given {
        None => Ok(default),
        Some(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        Some(_) => wrong(format!("{name} must be a number of seconds, more than 0 and at most 86400")),
    }
}

fn at_least<T: PartialOrd + fmt::Display>(name: &str, given: Option<T>, least: T, default: T) -> Result<T> {
    match given {
        None => Ok(default),
        Some(number) if number >= least => Ok(number),
        Some(_) => wrong(format!("{name} must be at least {least}")),
    }
}

impl LimitsFile {
    fn limits(self, most_connections: usize) -> Result<Limits> {
        let default = Limits::default();
        let limits = Limits {
            connections: at_least("limits.connections", self.connections, 1, most_connections)?,
            requests: at_least("limits.requests", self.requests, 1, default.requests)?,
            body_bytes: at_least("limits.body_bytes", self.body_bytes, 1024, default.body_bytes)?,
            bytes_in_all: at_least("limits.memory_bytes", self.memory_bytes, 1024 * 1024, default.bytes_in_all)?,
            documents: self.documents,
            request: seconds("limits.request_seconds", self.request_seconds, default.request)?,
            head: seconds("limits.head_seconds", self.head_seconds, default.head)?,
            body: seconds("limits.body_seconds", self.body_seconds, default.body)?,
            stalled: seconds("limits.stalled_seconds", self.stalled_seconds, default.stalled)?,
            per_second: self.requests_per_second,
            burst: self.burst.or(self.requests_per_second).unwrap_or(1.0).max(1.0),
        };
        const MOST_REQUESTS: usize = 1_000_000;
        if limits.requests > MOST_REQUESTS {
            return wrong(format!("limits.requests must be at most {MOST_REQUESTS}"));
        }
        if limits.documents == Some(0) {
            return wrong("limits.documents must be at least 1");
        }
        if limits.per_second.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return wrong("limits.requests_per_second must be more than 0");
        }
        if limits.connections > most_connections {
            return wrong(format!(
                "limits.connections is more than this process may have open: {most_connections}, of at most 1024 and \
                 what the limit of open files leaves"
            ));
        }
        Ok(limits)
    }
}

impl SourceFile {
    fn settings(&self, name: &str, folder: &Path) -> Result<DriverSettings> {
        let fault = |what: &str| wrong(format!("data_sources.{name}: {what}"));
        let uri = match (&self.uri, &self.uri_env, &self.uri_file) {
            (Some(uri), None, None) => uri.clone(),
            (None, Some(variable), None) => match std::env::var(variable) {
                Ok(uri) => uri,
                Err(_) if variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                    return fault(&format!("the variable {} is not set", excerpt(variable, 64)));
                }
                Err(_) => return fault("uri_env must be the name of a variable"),
            },
            (None, None, Some(path)) if path.to_string_lossy().contains("://") => {
                return fault("uri_file must be the path of a file");
            }
            (None, None, Some(path)) => match std::fs::read_to_string(folder.join(path)) {
                Ok(uri) => uri.trim().to_owned(),
                Err(error) => return fault(&format!("{} cannot be read ({error})", path.display())),
            },
            _ => return fault("give one of uri, uri_env and uri_file"),
        };
        DriverSettings::from_uri(&uri).or_else(|error| fault(&error.message))
    }
}

/// The settings as the command line gives them, without a file.
pub struct Flags<'a> {
    /// The MongoDB to serve.
    pub mongodb_uri: &'a str,
    /// The file of its keys.
    pub keys_file: &'a Path,
    /// `host:port`.
    pub listen: &'a str,
    /// The only `dataSource` to serve.
    pub data_source: Option<String>,
    /// Whether to log requests.
    pub access_log: bool,
}

impl GatewayOptions {
    /// Of a few flags; `most_connections` is what the process can have open.
    ///
    /// # Errors
    /// `Configuration` that names what is wrong.
    pub fn from_flags(flags: Flags<'_>, most_connections: usize) -> Result<Self> {
        let settings = DriverSettings::from_uri(flags.mongodb_uri)?;
        let sources = match flags.data_source {
            Some(name) => Sources::Named(BTreeMap::from([(name, settings)])),
            None => Sources::Any(Box::new(settings)),
        };
        Ok(Self {
            listen: address(flags.listen)?,
            sources,
            auth: Auth::new(Some(flags.keys_file.to_owned()), None, PathBuf::new())?,
            tls: None,
            origins: Vec::new(),
            style: Style::Plain,
            access_log: flags.access_log,
            grace: GRACE,
            limits: Limits { connections: most_connections, ..Limits::default() },
        })
    }

    /// Of a configuration file.
    ///
    /// # Errors
    /// `Configuration` that names what is wrong, without a value that may be secret.
    pub fn from_file(path: &Path, most_connections: usize) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .or_else(|error| wrong(format!("the configuration {} cannot be read ({error})", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let file: File = toml_edit::de::from_str(&text)
            .map_err(|error| toml_fault(&format!("the configuration {}", path.display()), &text, &error))?;
        if file.data_sources.is_empty() {
            return wrong("the configuration has no data source: add [data_sources.Cluster0] with its uri");
        }
        if file.keys_file.is_none() && file.jwt.is_none() {
            return wrong("the configuration lets nobody in: add keys_file, or [jwt]");
        }
        let mut sources = BTreeMap::new();
        for (name, source) in &file.data_sources {
            sources.insert(name.clone(), source.settings(name, &folder)?);
        }
        for origin in &file.cors.origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if origin != "*" && !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
                return wrong("cors.origins must be origins like https://app.example.com, or \"*\"");
            }
        }
        let tls = file.tls.map(|tls| Certificates::read(tls, folder.clone())).transpose()?;
        Ok(Self {
            listen: address(&file.listen)?,
            sources: Sources::Named(sources),
            auth: Auth::new(file.keys_file.map(|path| folder.join(path)), file.jwt, folder)?,
            tls,
            origins: file.cors.origins,
            style: if file.answer == AnswerFormat::Ejson { Style::Canonical } else { Style::Plain },
            access_log: file.access_log,
            grace: seconds("grace_seconds", file.grace_seconds, GRACE)?,
            limits: file.limits.limits(most_connections)?,
        })
    }
}

/// How long calls under way may go on after the gateway is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Reads a key file.
pub(super) fn read_keys(path: &Path) -> Result<ApiKeys> {
    let fault = |what: &str| wrong(format!("the key file {} {what}", path.display()));
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => ApiKeys::parse(&text).or_else(|error| fault(&format!("cannot be used: {}", error.message))),
            Err(_) => fault("cannot be read (it is not text)"),
        },
        Err(error) => fault(&format!("cannot be read ({error})")),
    }
}

/// `host:port`, where the host may be a name that resolves here.
fn address(text: &str) -> Result<SocketAddr> {
    let parsed = || {
        let (host, port) = text.rsplit_once(':')?;
        port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
        text.to_socket_addrs().ok()?.next()
    };
    match parsed() {
        Some(address) => Ok(address),
        None => wrong("the address to listen on must be host:port, e.g. 127.0.0.1:8080"),
    }
}
