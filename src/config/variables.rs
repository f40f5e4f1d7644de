//! The variables of the extension's environment in Connect, converted to settings.

use std::fmt;
use std::time::Duration;

use super::connection_string::{DriverSettings, HOST_HELP, seed_is_valid, userinfo, with_options, without_options};
use super::data_api::{CALL_TIMEOUT, CONNECT_TIMEOUT, DataApiSettings, ENDPOINT_HELP, endpoint_url, header_value};
use super::names::{collection_name, database_name};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// A variable of the extension's environment in Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name, as in `self.config[name]`.
    pub name: &'static str,
    /// The value that Connect sets on the first run.
    pub initial_value: &'static str,
    /// Whether Connect hides the value.
    pub secure: bool,
    /// What the value must be, for error messages.
    help: &'static str,
}

impl Variable {
    const fn plain(name: &'static str, help: &'static str) -> Self {
        Self { name, initial_value: "", secure: false, help }
    }

    const fn secure(name: &'static str, help: &'static str) -> Self {
        Self { name, initial_value: "", secure: true, help }
    }
}

const DB: Variable = Variable::plain("DB", "the name of the database");
const DATA_API_ENDPOINT: Variable = Variable::plain("DATA_API_ENDPOINT", ENDPOINT_HELP);
pub(super) const API_KEY: Variable = Variable::secure("API_KEY", "an API key of the Data API");
const CLUSTER: Variable = Variable::plain("CLUSTER", "the Data API's dataSource, e.g. Cluster0");
const HTTP_COLLECTION: Variable = Variable::plain("HTTP_COLLECTION", "the collection of the Data API path");
pub(super) const DB_HOST: Variable = Variable::plain("DB_HOST", HOST_HELP);
const DB_USER: Variable = Variable::plain("DB_USER", "the database user");
pub(super) const DB_PASSWORD: Variable = Variable::secure("DB_PASSWORD", "the database user's password");
const DRIVER_COLLECTION: Variable = Variable::plain("DRIVER_COLLECTION", "the collection of the driver path");
pub(super) const DB_OPTIONS: Variable = Variable::plain(
    "DB_OPTIONS",
    "additional connection string options, e.g. maxPoolSize=20&tlsCAFile=/etc/ssl/ca.pem",
);

/// All variables, in the order of the README.
pub const VARIABLES: [Variable; 10] = [
    DB,
    DATA_API_ENDPOINT,
    API_KEY,
    CLUSTER,
    HTTP_COLLECTION,
    DB_HOST,
    DB_USER,
    DB_PASSWORD,
    DRIVER_COLLECTION,
    DB_OPTIONS,
];

/// The value of a variable.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// The variable does not exist.
    Absent,
    /// A string.
    Text(String),
    /// Not a string. (Connect's variables are all strings.)
    NotText,
}

/// The default for variables, shorter than the driver's 30 s.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(5);

struct Reader<F> {
    get: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Value> Reader<F> {
    fn new(get: F) -> Self {
        Self { get, problems: Vec::new() }
    }

    fn fault(&mut self, variable: Variable, what: impl fmt::Display) {
        self.problems.push(format!("{} {what}", variable.name));
    }

    fn optional(&mut self, variable: Variable) -> Option<String> {
        match (self.get)(variable.name) {
            Value::Text(text) if !text.trim().is_empty() => Some(text),
            Value::NotText => {
                self.fault(variable, "is not a string");
                None
            }
            Value::Text(_) | Value::Absent => None,
        }
    }

    fn required(&mut self, variable: Variable) -> Option<String> {
        match (self.get)(variable.name) {
            Value::Text(text) if !text.trim().is_empty() => return Some(text),
            Value::NotText => self.fault(variable, "is not a string"),
            Value::Text(_) => self.fault(variable, format_args!("is empty: set it to {}", variable.help)),
            Value::Absent => self.fault(variable, format_args!("is missing: set it to {}", variable.help)),
        }
        None
    }

    fn required_name(&mut self, variable: Variable, check: fn(&str) -> std::result::Result<(), String>) -> String {
        let Some(name) = self.required(variable) else { return String::new() };
        let name = name.trim();
        if let Err(problem) = check(name) {
            self.fault(variable, problem);
        }
        name.to_owned()
    }

    fn finish<T>(self, path: &str, settings: Option<T>) -> Result<T> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "invalid {} of the {path}: {}",
                    if self.problems.len() == 1 { "variable" } else { "variables" },
                    self.problems.join("; "),
                ),
            )),
        }
    }
}

/// Reads the driver path's variables.
///
/// # Errors
/// One `Configuration` error that names every invalid variable, but no value.
pub fn driver_settings(get: impl Fn(&str) -> Value) -> Result<DriverSettings> {
    let mut read = Reader::new(get);
    let database = read.required_name(DB, database_name);
    let collection = read.required_name(DRIVER_COLLECTION, collection_name);
    let host = read.required(DB_HOST).map(|host| host.trim().to_owned());
    let options = read.optional(DB_OPTIONS);
    let settings = host.and_then(|host| {
        let uri = match DbHost::parse(&host) {
            Ok(DbHost::Uri) => with_options(&host, options.as_deref()),
            Ok(DbHost::Srv) => {
                let (user, password) = (read.required(DB_USER), read.required(DB_PASSWORD));
                with_options(&format!("mongodb+srv://{}{host}/", userinfo(&user?, &password?)), options.as_deref())
            }
            Ok(DbHost::Seeds) => {
                let credentials = match (read.optional(DB_USER), read.optional(DB_PASSWORD)) {
                    (Some(user), Some(password)) => userinfo(&user, &password),
                    (None, None) => String::new(),
                    (Some(_), None) => {
                        read.fault(DB_PASSWORD, "is missing: it is required if DB_USER is set");
                        return None;
                    }
                    (None, Some(_)) => {
                        read.fault(DB_USER, "is missing: it is required if DB_PASSWORD is set");
                        return None;
                    }
                };
                with_options(&format!("mongodb://{credentials}{host}/"), options.as_deref())
            }
            Err(problem) => {
                read.fault(DB_HOST, problem);
                return None;
            }
        };
        match DriverSettings::from_uri(&uri) {
            Ok(settings) => Some(settings),
            // Without the options the URI is valid, so the options are invalid.
            Err(error) if options.is_some() && DriverSettings::from_uri(&without_options(&uri)).is_ok() => {
                read.fault(DB_OPTIONS, format_args!("is invalid ({}): use {}", error.message, DB_OPTIONS.help));
                None
            }
            Err(error) => {
                read.fault(DB_HOST, format_args!("is invalid ({}): use {}", error.message, DB_HOST.help));
                None
            }
        }
    });
    let settings = settings.map(|mut settings| {
        settings.database = Some(database);
        settings.collection = Some(collection);
        settings.server_selection_timeout = SERVER_SELECTION_TIMEOUT;
        settings
    });
    // Without a valid DB_HOST it is unknown whether DB_USER is required, but other problems are reported.
    read.finish("driver path", settings)
}

/// Reads the Data API path's variables.
///
/// # Errors
/// One `Configuration` error that names every invalid variable, but no value.
pub fn data_api_settings(get: impl Fn(&str) -> Value) -> Result<DataApiSettings> {
    let mut read = Reader::new(get);
    let database = read.required_name(DB, database_name);
    let endpoint = read.required(DATA_API_ENDPOINT).unwrap_or_default();
    let endpoint = match endpoint_url(&endpoint) {
        Ok(url) => url,
        Err(problem) => {
            if !endpoint.is_empty() {
                read.fault(DATA_API_ENDPOINT, problem);
            }
            String::new()
        }
    };
    let api_key = read.required(API_KEY).unwrap_or_default();
    if let Err(problem) = header_value(&api_key) {
        read.fault(API_KEY, problem);
    }
    let data_source = read.required(CLUSTER).unwrap_or_default();
    let collection = read.required_name(HTTP_COLLECTION, collection_name);
    let settings = DataApiSettings {
        endpoint,
        api_key: Secret::new(api_key.trim()),
        data_source: data_source.trim().to_owned(),
        database: Some(database),
        collection: Some(collection),
        connect_timeout: CONNECT_TIMEOUT,
        timeout: CALL_TIMEOUT,
        retry: true,
        coalesce: true,
    };
    read.finish("Data API path", Some(settings))
}

/// The forms of `DB_HOST`.
#[derive(Debug, PartialEq, Eq)]
enum DbHost {
    /// `cluster0.x.mongodb.net`: a DNS seed list.
    Srv,
    /// `host:port[,host:port]`, or a name that cannot be a DNS seed list (a single label, as in a
    /// compose file, or an IP address).
    Seeds,
    /// A complete connection string.
    Uri,
}

impl DbHost {
    fn parse(host: &str) -> std::result::Result<Self, String> {
        if host.starts_with("mongodb://") || host.starts_with("mongodb+srv://") {
            return Ok(Self::Uri);
        }
        if host.contains("://") {
            return Err(format!("has a scheme that is neither mongodb:// nor mongodb+srv://: use {}", DB_HOST.help));
        }
        if host.contains('@') {
            return Err("contains credentials: set DB_USER and DB_PASSWORD, or use a complete mongodb:// URI".into());
        }
        if host.contains(['/', '?', '#', ' ', '\t', '\\']) {
            return Err(format!("is not a host: use {}", DB_HOST.help));
        }
        for seed in host.split(',') {
            seed_is_valid(seed)?;
        }
        let single_label = !host.contains('.');
        let address = host.parse::<std::net::IpAddr>().is_ok();
        Ok(if host.contains([':', ',', '[']) || single_label || address { Self::Seeds } else { Self::Srv })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn from<'a>(pairs: &[(&'a str, &'a str)]) -> impl Fn(&str) -> Value + use<'a> {
        let map: HashMap<String, String> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        move |name| map.get(name).map_or(Value::Absent, |text| Value::Text(text.clone()))
    }

    fn driver(host: &str, more: &[(&str, &str)]) -> Result<DriverSettings> {
        let mut pairs = vec![("DB", "events"), ("DRIVER_COLLECTION", "requests"), ("DB_HOST", host)];
        pairs.extend_from_slice(more);
        driver_settings(from(&pairs))
    }

    #[test]
    fn a_bare_host_is_a_dns_seed_list_with_encoded_credentials() {
        let more = [("DB_USER", "us/er@x"), ("DB_PASSWORD", "p:@ss %ü")];
        let settings = driver("cluster0.x.mongodb.net", &more).unwrap();
        assert_eq!(settings.uri.expose(), "mongodb+srv://us%2Fer%40x:p%3A%40ss%20%25%C3%BC@cluster0.x.mongodb.net/");
        assert_eq!(settings.hosts, "cluster0.x.mongodb.net");
        assert_eq!(settings.server_selection_timeout, Duration::from_secs(5));
    }

    #[test]
    fn hosts_with_ports_are_seeds() {
        assert_eq!(driver("h1:1,h2:2", &[]).unwrap().uri.expose(), "mongodb://h1:1,h2:2/");
        assert_eq!(driver("mongo", &[]).unwrap().uri.expose(), "mongodb://mongo/");
        assert_eq!(driver("10.0.0.7", &[]).unwrap().uri.expose(), "mongodb://10.0.0.7/");
        assert_eq!(driver("[::1]:27017", &[]).unwrap().uri.expose(), "mongodb://[::1]:27017/");
        let settings =
            driver("h:1", &[("DB_USER", "u"), ("DB_PASSWORD", "p"), ("DB_OPTIONS", "?maxPoolSize=5")]).unwrap();
        assert_eq!(settings.uri.expose(), "mongodb://u:p@h:1/?maxPoolSize=5");
    }

    #[test]
    fn a_complete_uri_is_not_changed() {
        let uri = "mongodb://u:p@h:1/admin?w=1";
        let settings = driver(uri, &[("DB_USER", "other"), ("DB_PASSWORD", "other")]).unwrap();
        assert_eq!(settings.uri.expose(), uri);
        assert_eq!(settings.database.as_deref(), Some("events"));
        let settings = driver("mongodb://h:1", &[("DB_OPTIONS", "w=1")]).unwrap();
        assert_eq!(settings.uri.expose(), "mongodb://h:1/?w=1");
    }

    #[test]
    fn every_invalid_variable_is_named() {
        let error = driver_settings(|name| match name {
            "DB" => Value::NotText,
            "DB_HOST" => Value::Text("a.b.c".into()),
            "DB_USER" => Value::Text(" ".into()),
            _ => Value::Absent,
        })
        .unwrap_err();
        for name in ["DB is not a string", "DRIVER_COLLECTION is missing", "DB_USER is empty"] {
            assert!(error.message.contains(name), "{}", error.message);
        }
        let error = data_api_settings(|_| Value::Absent).unwrap_err();
        for name in ["DB ", "DATA_API_ENDPOINT ", "API_KEY ", "CLUSTER ", "HTTP_COLLECTION "] {
            assert!(error.message.contains(name), "{}", error.message);
        }
    }

    #[test]
    fn malformed_hosts_are_rejected_without_revealing_secrets() {
        for host in [
            "h:0",
            "h:99999",
            "h:port",
            "h:1,,h:2",
            "http://h",
            "user:hunter2@h:1",
            "h/db",
            "h h",
            "[::1",
            "[::1]x",
            "mongodb://u:hunter2@",
            "mongodb://u:hun%ZZter2@h:1",
            "mongodb+srv://u:hunter2@h.x.y:1",
            "mongodb://u:hunter2@h:1/a.b",
        ] {
            let error = driver(host, &[]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Configuration);
            assert!(error.message.contains("DB_HOST"), "{}", error.message);
            assert!(!error.message.contains("hunter2"), "{}", error.message);
            assert!(!error.message.contains("ZZter2"), "{}", error.message);
        }
        let error = driver("h:1", &[("DB_OPTIONS", "maxPoolSize=many")]).unwrap_err();
        assert!(error.message.contains("DB_OPTIONS"), "{}", error.message);
        let error = driver("u:hunter2@h://x", &[]).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let settings = driver("mongodb://u:hunter2@h:1", &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let settings = DataApiSettings::new("http://h", "hunter2", "c").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
