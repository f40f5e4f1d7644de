//! Variables and arguments ► settings. Nothing here does I/O, and no message
//! here holds a value that was given.

use std::fmt;
use std::time::Duration;

use bson::Document;
use mongodb::options::{
    Acknowledgment, AuthMechanism, ConnectionString, Credential, HostInfo, ReadPreference, ServerAddress, WriteConcern,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// A variable of the extension's environment in Connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name, as read with `self.config[name]`.
    pub name: &'static str,
    /// The value that Connect gives it on the first run.
    pub initial_value: &'static str,
    /// Whether Connect keeps its value hidden.
    pub secure: bool,
    /// What to set it to, for error messages.
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
const DATA_API_ENDPOINT: Variable = Variable::plain(
    "DATA_API_ENDPOINT",
    "the Data API's base URL, up to and without /action, e.g. https://host/app/data-abc/endpoint/data/v1",
);
const API_KEY: Variable = Variable::secure("API_KEY", "a key of the Data API");
const CLUSTER: Variable = Variable::plain("CLUSTER", "the Data API's dataSource, e.g. Cluster0");
const HTTP_COLLECTION: Variable = Variable::plain("HTTP_COLLECTION", "the collection of the Data API path");
const DB_HOST: Variable =
    Variable::plain("DB_HOST", "cluster0.x.mongodb.net, host:port[,host:port], or a whole mongodb:// URI");
const DB_USER: Variable = Variable::plain("DB_USER", "the database user");
const DB_PASSWORD: Variable = Variable::secure("DB_PASSWORD", "the database user's password");
const DRIVER_COLLECTION: Variable = Variable::plain("DRIVER_COLLECTION", "the collection of the driver path");
const DB_OPTIONS: Variable =
    Variable::plain("DB_OPTIONS", "more connection string options, e.g. maxPoolSize=20&tlsCAFile=/etc/ssl/ca.pem");

/// All variables, in the order in which the README explains them.
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

/// The value of a variable, as found.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// There is no such variable.
    Absent,
    /// Its text.
    Text(String),
    /// It is no text (Connect's variables are all strings).
    NotText,
}

/// What the tutorial sets, instead of the driver's 30 s.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// PyMongo's default.
const PYMONGO_SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the driver path goes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DriverSettings {
    /// The connection string, credentials included.
    pub uri: Secret,
    /// The hosts of the connection string, for messages.
    pub hosts: String,
    /// The database that the settings name.
    pub database: Option<String>,
    /// The collection that the settings name.
    pub collection: Option<String>,
    /// How long to look for a server, where the connection string does not say.
    pub server_selection_timeout: Duration,
    /// Whether concurrent single inserts may leave as one command.
    pub coalesce: bool,
    /// The passwords in the connection string, to be kept out of messages.
    passwords: Vec<Secret>,
}

impl fmt::Debug for DriverSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverSettings")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("collection", &self.collection)
            .finish_non_exhaustive()
    }
}

/// What a connection string says of concerns, as MongoDB's documents.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// `{mode, tags, maxStalenessSeconds}`.
    pub read_preference: Document,
    /// `{w, j, wtimeout}`.
    pub write_concern: Document,
    /// The level.
    pub read_concern: Option<String>,
}

/// Where the Data API path goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataApiSettings {
    /// The base URL, without a slash at its end and without `/action`.
    pub endpoint: String,
    /// Sent as the `api-key` header.
    pub api_key: Secret,
    /// Sent as `dataSource`.
    pub data_source: String,
    /// The database that the settings name.
    pub database: Option<String>,
    /// The collection that the settings name.
    pub collection: Option<String>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a call may take, its repeats included.
    pub timeout: Duration,
    /// Whether a call that is safe to repeat is repeated.
    pub retry: bool,
    /// Whether concurrent single inserts may leave as one request.
    pub coalesce: bool,
}

/// The time that a connection of the Data API path may take, unless said otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time that a call of the Data API path may take, unless said otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything but RFC 3986's unreserved characters.
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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
                    "{} of the {path} cannot be used: {}",
                    if self.problems.len() == 1 { "a variable" } else { "some variables" },
                    self.problems.join("; "),
                ),
            )),
        }
    }
}

/// Reads the driver path's variables.
///
/// # Errors
/// One `Configuration` error that names every variable at fault, and no value.
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
                        read.fault(DB_PASSWORD, "is missing: DB_USER is set and needs it");
                        return None;
                    }
                    (None, Some(_)) => {
                        read.fault(DB_USER, "is missing: DB_PASSWORD is set and needs it");
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
            // Without the options it is a URI: then the options are at fault.
            Err(error) if options.is_some() && DriverSettings::from_uri(&without_options(&uri)).is_ok() => {
                read.fault(DB_OPTIONS, format_args!("cannot be used ({}): give {}", error.message, DB_OPTIONS.help));
                None
            }
            Err(error) => {
                read.fault(DB_HOST, format_args!("cannot be used ({}): give {}", error.message, DB_HOST.help));
                None
            }
        }
    });
    let settings = settings.map(|settings| DriverSettings {
        database: Some(database),
        collection: Some(collection),
        server_selection_timeout: SERVER_SELECTION_TIMEOUT,
        ..settings
    });
    // What DB_HOST decides about DB_USER is not known without it; the rest is.
    read.finish("driver path", settings)
}

/// Reads the Data API path's variables.
///
/// # Errors
/// One `Configuration` error that names every variable at fault, and no value.
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

impl DriverSettings {
    /// Settings from a connection string, as PyMongo's `MongoClient(host)` takes it:
    /// a `mongodb://` or `mongodb+srv://` URI, or `host[:port]`.
    ///
    /// # Errors
    /// `InvalidUri` or `Configuration`, with no part of the user information.
    pub fn from_uri(uri: &str) -> Result<Self> {
        Self::with_callback(uri, false)
    }

    /// The same, where there may be a callback that gets tokens for MONGODB-OIDC.
    ///
    /// # Errors
    /// As [`DriverSettings::from_uri`].
    pub fn with_callback(uri: &str, has_callback: bool) -> Result<Self> {
        let uri = if uri.contains("://") { uri.to_owned() } else { format!("mongodb://{uri}") };
        // The driver's own messages quote what they refuse, which may be a part of a password.
        let parsed = ConnectionString::parse(&uri).map_err(|_| uri_fault(&uri))?;
        let passwords = uri_passwords(&uri);
        let hosts = match &parsed.host_info {
            HostInfo::HostIdentifiers(hosts) => hosts.iter().map(shown_address).collect::<Vec<_>>().join(","),
            HostInfo::DnsRecord(name) => name.clone(),
            _ => String::from("MongoDB"),
        };
        if let Some(database) = &parsed.default_database {
            database_name(database).map_err(|problem| {
                Error::new(ErrorKind::InvalidUri, format!("the database in the connection string {problem}"))
            })?;
        }
        let unsupported = ["socketTimeoutMS", "waitQueueTimeoutMS"]
            .into_iter()
            .find(|name| uri_options(&uri).any(|(given, _)| given.eq_ignore_ascii_case(name)));
        if let Some(name) = unsupported {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("the option {name} is not supported by the driver: leave it out"),
            ));
        }
        let unconfirmed = |concern: &WriteConcern| concern.w == Some(Acknowledgment::Nodes(0));
        if parsed.write_concern.as_ref().is_some_and(unconfirmed) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "the option w=0 is not supported, since a write counts only when MongoDB confirmed it: leave it out, or use w=1",
            ));
        }
        check_oidc(parsed.credential.as_ref(), has_callback)?;
        Ok(Self {
            uri: Secret::new(uri),
            hosts,
            database: parsed.default_database,
            collection: None,
            server_selection_timeout: PYMONGO_SERVER_SELECTION_TIMEOUT,
            coalesce: true,
            passwords,
        })
    }

    /// What the connection string says of concerns and read preference.
    pub fn concerns(&self) -> Defaults {
        let Ok(parsed) = ConnectionString::parse(self.uri.expose()) else { return Defaults::default() };
        let write_concern = parsed.write_concern.as_ref().and_then(|concern| bson::serialize_to_document(concern).ok());
        let mut read_preference = Document::new();
        if let Some(preference) = &parsed.read_preference {
            let (mode, options) = match preference {
                ReadPreference::PrimaryPreferred { options } => ("primaryPreferred", options.as_ref()),
                ReadPreference::Secondary { options } => ("secondary", options.as_ref()),
                ReadPreference::SecondaryPreferred { options } => ("secondaryPreferred", options.as_ref()),
                ReadPreference::Nearest { options } => ("nearest", options.as_ref()),
                _ => ("primary", None),
            };
            read_preference.insert("mode", mode);
            if let Some(sets) = options.and_then(|options| options.tag_sets.as_ref()) {
                let sets = sets.iter().map(|set| set.iter().map(|(tag, value)| (tag.clone(), value.into())).collect());
                read_preference.insert("tags", sets.map(bson::Bson::Document).collect::<Vec<_>>());
            }
            if let Some(staleness) = options.and_then(|options| options.max_staleness) {
                read_preference.insert("maxStalenessSeconds", i64::try_from(staleness.as_secs()).unwrap_or(i64::MAX));
            }
        }
        Defaults {
            read_preference,
            write_concern: write_concern.unwrap_or_default(),
            read_concern: parsed
                .read_concern
                .and_then(|concern| bson::serialize_to_document(&concern).ok())
                .and_then(|concern| concern.get_str("level").ok().map(str::to_owned)),
        }
    }

    /// The user to log in as.
    pub fn user(&self) -> Option<String> {
        ConnectionString::parse(self.uri.expose()).ok()?.credential?.username
    }

    /// `message`, with the password blotted out where it occurs.
    pub fn without_secrets(&self, message: &str) -> String {
        hide(message, self.uri.expose(), &self.passwords)
    }
}

impl DataApiSettings {
    /// Settings from arguments.
    ///
    /// # Errors
    /// `Configuration` that names the argument at fault.
    pub fn new(endpoint: &str, api_key: &str, data_source: &str) -> Result<Self> {
        let fault = |name: &str, problem: &str| Error::new(ErrorKind::Configuration, format!("{name} {problem}"));
        if api_key.trim().is_empty() {
            return Err(fault("api_key", "is empty: give a key of the Data API"));
        }
        header_value(api_key).map_err(|problem| fault("api_key", problem))?;
        if data_source.trim().is_empty() {
            return Err(fault("data_source", "is empty: give the Data API's dataSource, e.g. Cluster0"));
        }
        Ok(Self {
            endpoint: endpoint_url(endpoint).map_err(|problem| fault("endpoint", &problem))?,
            api_key: Secret::new(api_key.trim()),
            data_source: data_source.trim().to_owned(),
            database: None,
            collection: None,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: CALL_TIMEOUT,
            retry: true,
            coalesce: true,
        })
    }

    /// The host of the endpoint, for messages.
    pub fn host(&self) -> &str {
        let rest = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }
}

/// Checks that MONGODB-OIDC, where it is asked for, has a way to a token.
fn check_oidc(credential: Option<&Credential>, has_callback: bool) -> Result<()> {
    let Some(credential) = credential.filter(|one| one.mechanism == Some(AuthMechanism::MongoDbOidc)) else {
        return Ok(());
    };
    let fault = |what: &str| Err(Error::new(ErrorKind::Configuration, what));
    let environment = credential.mechanism_properties.as_ref().and_then(|given| given.get_str("ENVIRONMENT").ok());
    if credential.password.is_some() {
        return fault("password is not supported by MONGODB-OIDC");
    }
    match environment {
        None if has_callback => Ok(()),
        None => fault(
            "authentication with MONGODB-OIDC requires providing either a callback or a environment: give \
             authMechanismProperties an OIDC_CALLBACK or an ENVIRONMENT",
        ),
        Some("azure" | "gcp" | "k8s") => Ok(()),
        Some(_) => fault("unrecognized ENVIRONMENT for MONGODB-OIDC: give azure, gcp or k8s"),
    }
}

/// As it is written in a connection string.
fn shown_address(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Tcp { host, port } if host.contains(':') => format!("[{host}]:{}", port.unwrap_or(27017)),
        other => other.to_string(),
    }
}

/// The forms of `DB_HOST`.
#[derive(Debug, PartialEq, Eq)]
enum DbHost {
    /// `cluster0.x.mongodb.net`: a DNS seed list.
    Srv,
    /// `host:port[,host:port]`; also a name that can be no DNS seed list
    /// (one label, as in a compose file, or an IP address).
    Seeds,
    /// A whole connection string.
    Uri,
}

impl DbHost {
    fn parse(host: &str) -> std::result::Result<Self, String> {
        if host.starts_with("mongodb://") || host.starts_with("mongodb+srv://") {
            return Ok(Self::Uri);
        }
        if host.contains("://") {
            return Err(format!("has a scheme that is neither mongodb:// nor mongodb+srv://: give {}", DB_HOST.help));
        }
        if host.contains('@') {
            return Err("holds credentials: put them in DB_USER and DB_PASSWORD, or give a whole mongodb:// URI".into());
        }
        if host.contains(['/', '?', '#', ' ', '\t', '\\']) {
            return Err(format!("is not a host: give {}", DB_HOST.help));
        }
        for seed in host.split(',') {
            seed_is_valid(seed)?;
        }
        let single_label = !host.contains('.');
        let address = host.parse::<std::net::IpAddr>().is_ok();
        Ok(if host.contains([':', ',', '[']) || single_label || address { Self::Seeds } else { Self::Srv })
    }
}

fn seed_is_valid(seed: &str) -> std::result::Result<(), String> {
    let (name, port) = match seed.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest
                .split_once(']')
                .ok_or("has a [ without its ] in a host: an IPv6 address is written [::1]:27017")?;
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| "has something in brackets that is no IPv6 address".to_owned())?;
            ("v6", port.strip_prefix(':').or((!port.is_empty()).then_some("?")))
        }
        None => match seed.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (seed, None),
        },
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return Err(format!("has a host that is empty or has characters no host name has: give {}", DB_HOST.help));
    }
    match port {
        Some(port) if port.parse::<u16>().map_or(true, |number| number == 0) => {
            Err("has a port that is not a number from 1 to 65535".into())
        }
        _ => Ok(()),
    }
}

fn userinfo(user: &str, password: &str) -> String {
    format!("{}:{}@", utf8_percent_encode(user, USERINFO), utf8_percent_encode(password, USERINFO))
}

fn with_options(uri: &str, options: Option<&str>) -> String {
    match options.map(|options| options.trim().trim_start_matches(['?', '&'])) {
        None | Some("") => uri.to_owned(),
        Some(options) => match uri.split_once('?') {
            Some(_) => format!("{uri}&{options}"),
            None => {
                let after_scheme = uri.split_once("://").map_or(uri, |(_, rest)| rest);
                let slash = if after_scheme.contains('/') { "" } else { "/" };
                format!("{uri}{slash}?{options}")
            }
        },
    }
}

/// Adds options to a connection string, as keyword arguments of a client do.
pub fn uri_with_options(uri: &str, options: &[(String, String)]) -> String {
    let uri = if uri.contains("://") { uri.to_owned() } else { format!("mongodb://{uri}") };
    let query: Vec<String> =
        options.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, USERINFO))).collect();
    with_options(&uri, Some(&query.join("&")))
}

/// Adds credentials to a connection string, as the arguments `username` and `password` do.
pub fn uri_with_credentials(uri: &str, user: &str, password: Option<&str>) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("mongodb", uri));
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let credentials = match password {
        Some(password) => userinfo(user, password),
        None => format!("{}@", utf8_percent_encode(user, USERINFO)),
    };
    format!("{scheme}://{credentials}{hosts}{tail}")
}

fn without_options(uri: &str) -> String {
    uri.split_once('?').map_or(uri, |(rest, _)| rest).to_owned()
}

/// The part of a connection string before the path and the options, and the rest.
fn split_authority(uri: &str) -> (&str, &str) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// What is secret in a connection string, as it is written there.
fn uri_passwords(uri: &str) -> Vec<Secret> {
    let user = split_authority(uri).0.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    let secret = ["authMechanismProperties", "proxyPassword", "tlsCertificateKeyFilePassword"];
    let options = uri_options(uri).filter(|(name, _)| secret.iter().any(|known| known.eq_ignore_ascii_case(name)));
    user.into_iter().chain(options).map(|(_, value)| value).filter(|value| !value.is_empty()).map(Secret::new).collect()
}

/// The options of a connection string, as the MongoDB documentation spells
/// them: the only names that a message repeats.
const URI_OPTIONS: [&str; 45] = [
    "appName",
    "authMechanism",
    "authMechanismProperties",
    "authSource",
    "compressors",
    "connectTimeoutMS",
    "directConnection",
    "heartbeatFrequencyMS",
    "journal",
    "loadBalanced",
    "localThresholdMS",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "maxStalenessSeconds",
    "minPoolSize",
    "proxyHost",
    "proxyPassword",
    "proxyPort",
    "proxyUsername",
    "readConcernLevel",
    "readPreference",
    "readPreferenceTags",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "serverSelectionTryOnce",
    "socketTimeoutMS",
    "srvMaxHosts",
    "srvServiceName",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsAllowInvalidHostnames",
    "tlsCAFile",
    "tlsCertificateKeyFile",
    "tlsInsecure",
    "uuidRepresentation",
    "w",
    "waitQueueTimeoutMS",
    "wTimeoutMS",
    "tlsCertificateKeyFilePassword",
    "zlibCompressionLevel",
];

fn uri_options(uri: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = split_authority(uri).1.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter(|option| !option.is_empty()).map(|option| option.split_once('=').unwrap_or((option, "")))
}

/// A connection string without some of its options, and what these were: `names` are lowercase.
pub fn uri_without_options(uri: &str, names: &[&str]) -> (String, Vec<(String, String)>) {
    let Some((head, query)) = uri.split_once('?').filter(|_| uri.contains("://")) else {
        return (uri.to_owned(), Vec::new());
    };
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    for option in query.split('&') {
        match option.split_once('=') {
            Some((name, value)) if names.contains(&name.to_lowercase().as_str()) => {
                taken.push((name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()));
            }
            _ => kept.push(option),
        }
    }
    let uri = if kept.is_empty() { head.to_owned() } else { format!("{head}?{}", kept.join("&")) };
    (uri, taken)
}

/// Why a connection string cannot be used, without a word of it but the names of known options.
fn uri_fault(uri: &str) -> Error {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidUri, format!("the connection string {what}"));
    let (authority, rest) = split_authority(uri);
    if !(uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://")) {
        return invalid("has a scheme that is neither mongodb:// nor mongodb+srv://");
    }
    if rest.contains('@') && !authority.contains('@') {
        return invalid(
            "has an '@' after a '/' or '?': within a user name or password write '/' as %2F and '?' as %3F",
        );
    }
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(['@', '[', ']']) || user.matches(':').count() > 1 || !is_percent_encoded(user) {
        return invalid(
            "has a user name or password with characters that must be percent-encoded: ':' as %3A, '@' as %40, '%' as %25",
        );
    }
    if hosts.is_empty() {
        return invalid("has no host");
    }
    let srv = uri.starts_with("mongodb+srv://");
    if srv && hosts.contains([',', ':']) {
        return invalid(
            "has a port or several hosts, which mongodb+srv:// cannot have: give the name of the SRV record only",
        );
    }
    if hosts.split(',').any(|host| !host.ends_with(".sock") && seed_is_valid(host).is_err()) {
        return invalid("has a host or a port that cannot be one");
    }
    let of_options = |what: String| Error::new(ErrorKind::Configuration, what);
    let base = uri.split_once('?').map_or(uri, |(base, _)| base);
    let options: Vec<_> = uri_options(uri).collect();
    let known = |name: &str| URI_OPTIONS.into_iter().find(|known| known.eq_ignore_ascii_case(name));
    if options.iter().any(|(name, _)| known(name).is_none()) {
        return of_options("the connection string has an option that MongoDB does not know".to_owned());
    }
    // The option without which it could be used.
    for (place, (name, _)) in options.iter().enumerate() {
        let others = options.iter().enumerate().filter(|(other, _)| *other != place);
        let others: Vec<String> = others.map(|(_, (name, value))| format!("{name}={value}")).collect();
        if let (Some(name), Ok(_)) = (known(name), ConnectionString::parse(format!("{base}?{}", others.join("&")))) {
            return of_options(format!(
                "the option {name} has a value that it cannot take, or that does not go with the other options"
            ));
        }
    }
    if ConnectionString::parse(base).is_ok() {
        let names: Vec<_> = options.iter().filter_map(|(name, _)| known(name)).collect();
        return of_options(format!("some of the options {} have values that they cannot take", names.join(", ")));
    }
    invalid("has a database's name that cannot be one")
}

fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|after| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

/// Blots the passwords out, as they are written in the URI and as they are decoded, and the URI itself.
fn hide(message: &str, uri: &str, passwords: &[Secret]) -> String {
    let mut hidden = message.replace(uri, "mongodb://***");
    for password in passwords {
        let written = password.expose();
        let decoded = percent_decode_str(written).decode_utf8_lossy();
        hidden = hidden.replace(written, "***").replace(decoded.as_ref(), "***");
    }
    hidden
}

fn endpoint_url(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    let url =
        reqwest::Url::parse(text).map_err(|error| format!("is no URL ({error}): give {}", DATA_API_ENDPOINT.help))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("is not an http:// or https:// URL: give {}", DATA_API_ENDPOINT.help));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials: the key goes into API_KEY".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has a query or a fragment: give {}", DATA_API_ENDPOINT.help));
    }
    let base = text.trim_end_matches('/');
    if base.ends_with("/action") || base.contains("/action/") {
        return Err(format!("goes past the base URL: give {}", DATA_API_ENDPOINT.help));
    }
    Ok(base.to_owned())
}

fn header_value(key: &str) -> std::result::Result<(), &'static str> {
    if key.trim().bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        Ok(())
    } else {
        Err("has characters that no HTTP header can carry: copy the key again")
    }
}

/// Whether MongoDB allows `name` for a database.
///
/// # Errors
/// What is wrong with it, to be put after the name of what held it.
pub fn database_name(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() {
        return Err("is empty".into());
    }
    if name.len() > 63 {
        return Err("is longer than the 63 bytes that a database's name may have".into());
    }
    // https://www.mongodb.com/docs/manual/reference/limits/#naming-restrictions
    match name.chars().find(|c| matches!(c, ' ' | '.' | '$' | '/' | '\\' | '\0' | '"')) {
        Some(c) => Err(format!("has {c:?}, which a database's name may not have")),
        None => Ok(()),
    }
}

/// Whether MongoDB allows `name` for a collection.
///
/// # Errors
/// What is wrong with it, to be put after the name of what held it.
pub fn collection_name(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() {
        return Err("is empty".into());
    }
    if name.contains('\0') {
        return Err("has a NUL, which a collection's name may not have".into());
    }
    if name.contains('$') && !name.starts_with("oplog.$main") {
        return Err("has '$', which a collection's name may not have".into());
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err("starts or ends with '.', or has '..'".into());
    }
    Ok(())
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
    fn a_whole_uri_is_taken_as_it_is() {
        let uri = "mongodb://u:p@h:1/admin?w=1";
        let settings = driver(uri, &[("DB_USER", "other"), ("DB_PASSWORD", "other")]).unwrap();
        assert_eq!(settings.uri.expose(), uri);
        assert_eq!(settings.database.as_deref(), Some("events"));
        let settings = driver("mongodb://h:1", &[("DB_OPTIONS", "w=1")]).unwrap();
        assert_eq!(settings.uri.expose(), "mongodb://h:1/?w=1");
    }

    #[test]
    fn every_variable_at_fault_is_named() {
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
    fn malformed_hosts_are_refused_without_showing_a_secret() {
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
    }

    #[test]
    fn no_part_of_a_connection_string_shows_but_the_names_of_known_options() {
        for (uri, says) in [
            ("mongodb://u:hunter2?x@h:1/", "%3F"),
            ("mongodb://u:1234/hunter2@h:1/", "%2F"),
            ("mongodb://u:p@hunter2@h:1/", "%40"),
            ("mongodb://u:p:hunter2@h:1/", "%3A"),
            ("mongodb://u:%hunter2@h:1/", "%25"),
            ("mongodb://h/?hunter2", "option that MongoDB does not know"),
            ("mongodb://h/?hunter2=1", "option that MongoDB does not know"),
            ("mongodb://h/?authMechanism=hunter2", "authMechanism has a value"),
            ("mongodb://h/?MAXPOOLSIZE=hunter2", "maxPoolSize has a value"),
            ("mongodb://u:p@h/?authMechanism=MONGODB-OIDC&authMechanismProperties=hunter2", "authMechanismProperties"),
            ("mongodb://h/?tlsInsecure=true&tlsAllowInvalidCertificates=true&appName=hunter2", "tlsInsecure has"),
            ("mongodb://h/?minPoolSize=hunter2&maxPoolSize=hunter2&w=1", "minPoolSize, maxPoolSize, w"),
            ("mongodb://h:hunter2/", "port"),
            ("mongodb://h:99999/hunter2", "host or a port"),
            ("mongodb+srv://hunter2:1/", "mongodb+srv://"),
            ("mongodb://", "no host"),
            ("hunter2://x", "scheme"),
            ("mongodb://h/?socketTimeoutMS=5", "socketTimeoutMS is not supported"),
        ] {
            let error = DriverSettings::from_uri(uri).unwrap_err();
            assert!(error.message.contains(says), "{uri}: {}", error.message);
            assert!(!error.message.contains("hunter2"), "{uri}: {}", error.message);
        }
        let error = driver("u:hunter2@h://x", &[]).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }

    #[test]
    fn endpoints_are_checked() {
        let ok = |url: &str| endpoint_url(url).unwrap();
        assert_eq!(ok("https://h/app/x/endpoint/data/v1/"), "https://h/app/x/endpoint/data/v1");
        for url in ["h", "ftp://h", "https://u:p@h", "https://h/action", "https://h/action/insertOne", "https://h?x=1"]
        {
            assert!(endpoint_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn settings_print_no_secret() {
        let settings = driver("mongodb://u:hunter2@h:1", &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let settings = DataApiSettings::new("http://h", "hunter2", "c").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
