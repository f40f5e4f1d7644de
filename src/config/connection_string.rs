//! Connection strings: parsing, editing, and diagnosis without revealing a secret.

use std::fmt;
use std::time::Duration;

use bson::Document;
use mongodb::options::{AuthMechanism, ConnectionString, Credential, HostInfo, ReadPreference, ServerAddress};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::names::database_name;
use crate::concern::{Concerns, check_write_concern, is_unacknowledged};
use crate::error::{Error, ErrorKind, Result};
use crate::redact;
use crate::secret::Secret;

/// PyMongo's default.
const PYMONGO_SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What a host must be, for error messages.
pub(super) const HOST_HELP: &str = "cluster0.x.mongodb.net, host:port[,host:port], or a complete mongodb:// URI";

/// The settings of the driver path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DriverSettings {
    /// The connection string for the driver, including credentials.
    pub uri: Secret,
    /// The connection string with the options that this package implements itself.
    pub complete_uri: Secret,
    /// The hosts of the connection string, for messages.
    pub hosts: String,
    /// The default database.
    pub database: Option<String>,
    /// The default collection.
    pub collection: Option<String>,
    /// The server selection timeout, if the connection string does not set it.
    pub server_selection_timeout: Duration,
    /// Whether to merge concurrent inserts of single documents into one command.
    pub coalesce: bool,
    /// The time limits that the driver does not have.
    pub time_limits: TimeLimits,
    /// Whether the write concern of the connection string is `w=0`.
    pub(crate) unacknowledged: bool,
    /// What makes two clients equal in PyMongo.
    pub identity: ServerIdentity,
    /// The passwords in the connection string, which messages must not contain.
    passwords: Vec<Secret>,
}

/// The time limits of a connection string that this package implements itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TimeLimits {
    /// `timeoutMS`: the time of a call, including its retries.
    pub call: Option<Duration>,
    /// `socketTimeoutMS`: how long to wait for a reply.
    pub socket: Option<Duration>,
    /// `waitQueueTimeoutMS`: how long to wait for a connection of a pool whose connections are all in use.
    pub wait_queue: Option<Duration>,
}

impl TimeLimits {
    /// Returns whether no command is limited.
    pub fn is_unlimited_per_command(&self) -> bool {
        self.socket.is_none() && self.wait_queue.is_none()
    }
}

/// The options of [`TimeLimits`], in lower case and as spelled in MongoDB's documentation.
const TIME_LIMITS: [(&str, &str); 3] =
    [("timeoutms", "timeoutMS"), ("sockettimeoutms", "socketTimeoutMS"), ("waitqueuetimeoutms", "waitQueueTimeoutMS")];

/// Removes the options of [`TimeLimits`] from a connection string.
fn take_time_limits(uri: &str) -> Result<(String, TimeLimits)> {
    let (rest, given) = uri_without_options(uri, &TIME_LIMITS.map(|(name, _)| name));
    let mut limits = TimeLimits::default();
    for (name, value) in given {
        let name = name.to_lowercase();
        let millis = value.parse::<f64>().ok().filter(|millis| (0.0..1e9).contains(millis));
        let Some(millis) = millis else {
            let shown = TIME_LIMITS.into_iter().find_map(|(lower, shown)| (lower == name).then_some(shown));
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("the option {} must be a number of milliseconds below one billion", shown.unwrap_or_default()),
            ));
        };
        // 0 is no limit, as in PyMongo.
        let limit = (millis > 0.0).then(|| Duration::from_secs_f64(millis / 1000.0));
        match name.as_str() {
            "timeoutms" => limits.call = limit,
            "sockettimeoutms" => limits.socket = limit,
            _ => limits.wait_queue = limit,
        }
    }
    Ok((rest, limits))
}

/// Removes options that have no effect here, and rejects those that the driver does not support.
fn take_unsupported(uri: &str) -> Result<String> {
    const NAMES: [&str; 3] = ["tlsallowinvalidhostnames", "tlscrlfile", "tlsdisableocspendpointcheck"];
    let is = |name: &str, value: &str| {
        uri_options(uri).any(|(given, text)| given.eq_ignore_ascii_case(name) && text.eq_ignore_ascii_case(value))
    };
    let fault = |what: &str| Err(Error::new(ErrorKind::Configuration, what));
    if is("authMechanism", "GSSAPI") {
        return fault(
            "the option authMechanism=GSSAPI is not supported: use SCRAM-SHA-256, MONGODB-X509, PLAIN, MONGODB-AWS or \
             MONGODB-OIDC",
        );
    }
    let (mut rest, removed) = uri_without_options(uri, &NAMES);
    for (name, value) in removed {
        match (name.to_lowercase().as_str(), value.as_str()) {
            ("tlscrlfile", _) => {
                return fault(
                    "the option tlsCRLFile is not supported: revoke trust with a tlsCAFile that lists only the \
                     certificates to trust",
                );
            }
            // The certificate is not verified at all.
            ("tlsallowinvalidhostnames", "true")
                if is("tlsAllowInvalidCertificates", "true") || is("tlsInsecure", "true") => {}
            ("tlsallowinvalidhostnames", "true") => {
                return fault(
                    "the option tlsAllowInvalidHostnames is not supported: use a certificate that names the host, or \
                     tlsAllowInvalidCertificates=true, which verifies neither the certificate nor the host name",
                );
            }
            // As in PyMongo, an option that demands checks demands TLS.
            (_, "false")
                if !uri_options(&rest)
                    .any(|(name, _)| ["tls", "ssl"].iter().any(|tls| name.eq_ignore_ascii_case(tls))) =>
            {
                rest = with_options(&rest, Some("tls=true"));
            }
            (_, "true" | "false") => {}
            _ => return Err(Error::new(ErrorKind::Configuration, "an option of TLS is neither true nor false")),
        }
    }
    Ok(rest)
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

/// The hosts with their ports, the replica set, the name of the SRV record and its service.
pub type ServerIdentity = (Vec<(String, Option<u16>)>, Option<String>, Option<String>, String);

fn identity(parsed: &ConnectionString) -> ServerIdentity {
    let (mut seeds, name) = match &parsed.host_info {
        HostInfo::HostIdentifiers(hosts) => (hosts.iter().map(seed).collect(), None),
        HostInfo::DnsRecord(name) => (Vec::new(), Some(name.clone())),
        _ => (Vec::new(), None),
    };
    seeds.sort();
    let service = parsed.srv_service_name.clone().unwrap_or_else(|| "mongodb".to_owned());
    (seeds, parsed.replica_set.clone(), name, service)
}

/// A host and its port; a socket has none.
fn seed(address: &ServerAddress) -> (String, Option<u16>) {
    match address {
        ServerAddress::Tcp { host, port } => (host.to_lowercase(), Some(port.unwrap_or(27017))),
        other => (other.to_string(), None),
    }
}

/// The concerns and the read preference of a connection string, as MongoDB's documents.
#[derive(Debug, Clone, Default)]
pub struct ConnectionDefaults {
    /// `{mode, tags, maxStalenessSeconds}`.
    pub read_preference: Document,
    /// `{w, j, wtimeout}`.
    pub write_concern: Document,
    /// The read concern level.
    pub read_concern: Option<String>,
}

impl DriverSettings {
    /// Creates settings from a connection string as accepted by PyMongo's `MongoClient(host)`:
    /// a `mongodb://` or `mongodb+srv://` URI, or `host[:port]`.
    ///
    /// # Errors
    /// `InvalidUri` or `Configuration`, without any part of the credentials.
    pub fn from_uri(uri: &str) -> Result<Self> {
        Self::with_callback(uri, false)
    }

    /// Creates the settings of a gateway, whose requests have no time limit of their own.
    ///
    /// # Errors
    /// As [`DriverSettings::from_uri`].
    pub fn of_gateway(uri: &str) -> Result<Self> {
        let settings = Self::from_uri(uri)?;
        match settings.time_limits.call {
            None => Ok(settings),
            Some(_) => Err(Error::new(
                ErrorKind::Configuration,
                "the option timeoutMS is not supported by the gateway: use socketTimeoutMS",
            )),
        }
    }

    /// Creates settings from a connection string. MONGODB-OIDC may use a callback if `has_callback`.
    ///
    /// # Errors
    /// As [`DriverSettings::from_uri`].
    pub fn with_callback(uri: &str, has_callback: bool) -> Result<Self> {
        let uri = if uri.contains("://") { uri.to_owned() } else { format!("mongodb://{uri}") };
        let complete_uri = Secret::new(uri.as_str());
        let (uri, time_limits) = take_time_limits(&uri)?;
        let uri = take_unsupported(&uri)?;
        // The driver's error messages quote invalid parts, which may belong to a password.
        let parsed = ConnectionString::parse(&uri).map_err(|_| uri_fault(&uri))?;
        let passwords = uri_passwords(&uri);
        let hosts = match &parsed.host_info {
            HostInfo::HostIdentifiers(hosts) => hosts.iter().map(format_address).collect::<Vec<_>>().join(","),
            HostInfo::DnsRecord(name) => name.clone(),
            _ => String::from("MongoDB"),
        };
        if let Some(database) = &parsed.default_database {
            database_name(database).map_err(|problem| {
                Error::new(ErrorKind::InvalidUri, format!("the database in the connection string {problem}"))
            })?;
        }
        if let Some(concern) = &parsed.write_concern {
            check_write_concern(concern)?;
        }
        check_oidc(parsed.credential.as_ref(), has_callback)?;
        Ok(Self {
            identity: identity(&parsed),
            uri: Secret::new(uri),
            complete_uri,
            hosts,
            database: parsed.default_database,
            collection: None,
            server_selection_timeout: PYMONGO_SERVER_SELECTION_TIMEOUT,
            coalesce: true,
            time_limits,
            unacknowledged: parsed.write_concern.as_ref().is_some_and(is_unacknowledged),
            passwords,
        })
    }

    /// Returns whether the server acknowledges writes with these concerns, outside a transaction.
    pub(crate) fn acknowledges(&self, concerns: &Concerns) -> bool {
        match &concerns.write_concern {
            Some(concern) => !is_unacknowledged(concern),
            None => !self.unacknowledged,
        }
    }

    /// Returns the settings, for a user whose writes must be acknowledged.
    ///
    /// # Errors
    /// `Configuration` if the write concern is `w=0`.
    pub fn acknowledged(self, user: &str) -> Result<Self> {
        match self.unacknowledged {
            true => Err(Error::new(ErrorKind::Configuration, needs_acknowledgment(user))),
            false => Ok(self),
        }
    }

    /// Returns the concerns and the read preference of the connection string.
    pub fn concerns(&self) -> ConnectionDefaults {
        let Ok(parsed) = ConnectionString::parse(self.uri.expose()) else { return ConnectionDefaults::default() };
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
        ConnectionDefaults {
            read_preference,
            write_concern: write_concern.unwrap_or_default(),
            read_concern: parsed
                .read_concern
                .and_then(|concern| bson::serialize_to_document(&concern).ok())
                .and_then(|concern| concern.get_str("level").ok().map(str::to_owned)),
        }
    }

    /// Returns the user name.
    pub fn user(&self) -> Option<String> {
        ConnectionString::parse(self.uri.expose()).ok()?.credential?.username
    }

    /// Returns `message` with the connection string and its passwords hidden.
    pub fn without_secrets(&self, message: &str) -> String {
        redact::hide_passwords(message, self.uri.expose(), &self.passwords)
    }
}

/// Returns the message for unacknowledged writes of a user that needs their results.
pub(crate) fn needs_acknowledgment(user: &str) -> String {
    format!("{user} needs acknowledged writes: remove the write concern w=0, or use w=1")
}

/// Checks that MONGODB-OIDC, if it is used, has a callback or an environment.
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
            "authentication with MONGODB-OIDC requires providing either a callback or a environment: set \
             OIDC_CALLBACK or ENVIRONMENT in authMechanismProperties",
        ),
        Some("azure" | "gcp" | "k8s") => Ok(()),
        Some(_) => fault("unrecognized ENVIRONMENT for MONGODB-OIDC: use azure, gcp or k8s"),
    }
}

/// Formats an address as in a connection string.
fn format_address(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Tcp { host, port } if host.contains(':') => format!("[{host}]:{}", port.unwrap_or(27017)),
        other => other.to_string(),
    }
}

/// Everything but RFC 3986's unreserved characters.
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn userinfo(user: &str, password: &str) -> String {
    format!("{}:{}@", utf8_percent_encode(user, USERINFO), utf8_percent_encode(password, USERINFO))
}

pub(super) fn with_options(uri: &str, options: Option<&str>) -> String {
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

/// Adds options to a connection string, like the keyword arguments of a client.
pub fn uri_with_options(uri: &str, options: &[(String, String)]) -> String {
    let uri = if uri.contains("://") { uri.to_owned() } else { format!("mongodb://{uri}") };
    let query: Vec<String> =
        options.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, USERINFO))).collect();
    with_options(&uri, Some(&query.join("&")))
}

pub(super) fn without_options(uri: &str) -> String {
    uri.split_once('?').map_or(uri, |(rest, _)| rest).to_owned()
}

/// Removes the options with these lowercase names. Returns the connection string and the removed options.
pub fn uri_without_options(uri: &str, names: &[&str]) -> (String, Vec<(String, String)>) {
    let Some((head, query)) = uri.split_once('?').filter(|_| uri.contains("://")) else {
        return (uri.to_owned(), Vec::new());
    };
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for option in query.split('&') {
        match option.split_once('=') {
            Some((name, value)) if names.contains(&name.to_lowercase().as_str()) => {
                removed.push((name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()));
            }
            _ => kept.push(option),
        }
    }
    let uri = if kept.is_empty() { head.to_owned() } else { format!("{head}?{}", kept.join("&")) };
    (uri, removed)
}

/// Splits a connection string into the authority (credentials and hosts) and the rest.
fn split_authority(uri: &str) -> (&str, &str) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// The options whose values are secret.
pub(super) const SECRET_OPTIONS: [&str; 3] =
    ["authMechanismProperties", "proxyPassword", "tlsCertificateKeyFilePassword"];

/// Returns the secrets in a connection string, percent-encoded.
fn uri_passwords(uri: &str) -> Vec<Secret> {
    let user = split_authority(uri).0.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    let is_secret = |name: &str| SECRET_OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(name));
    let options = uri_options(uri).filter(|(name, _)| is_secret(name));
    user.into_iter().chain(options).map(|(_, value)| value).filter(|value| !value.is_empty()).map(Secret::new).collect()
}

/// The options of a connection string as spelled in MongoDB's documentation. Error messages contain
/// no other option names.
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

/// Returns why a connection string is invalid. The message contains no part of it except known option names.
fn uri_fault(uri: &str) -> Error {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidUri, format!("the connection string {what}"));
    let (authority, rest) = split_authority(uri);
    if !(uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://")) {
        return invalid("has a scheme that is neither mongodb:// nor mongodb+srv://");
    }
    if rest.contains('@') && !authority.contains('@') {
        return invalid("has an '@' after a '/' or '?': in a user name or password, write '/' as %2F and '?' as %3F");
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
            "has a port or several hosts, which mongodb+srv:// does not allow: use the name of the SRV record only",
        );
    }
    if hosts.split(',').any(|host| !host.ends_with(".sock") && seed_is_valid(host).is_err()) {
        return invalid("has an invalid host or a port that is not a number from 1 to 65535");
    }
    let option_error = |what: String| Error::new(ErrorKind::Configuration, what);
    let base = uri.split_once('?').map_or(uri, |(base, _)| base);
    let options: Vec<_> = uri_options(uri).collect();
    let known = |name: &str| URI_OPTIONS.into_iter().find(|known| known.eq_ignore_ascii_case(name));
    if options.iter().any(|(name, _)| known(name).is_none()) {
        return option_error("the connection string has an option that MongoDB does not know".to_owned());
    }
    // Find the option without which the connection string is valid.
    for (index, (name, _)) in options.iter().enumerate() {
        let others = options.iter().enumerate().filter(|(other, _)| *other != index);
        let others: Vec<String> = others.map(|(_, (name, value))| format!("{name}={value}")).collect();
        if let (Some(name), Ok(_)) = (known(name), ConnectionString::parse(format!("{base}?{}", others.join("&")))) {
            return option_error(format!(
                "the option {name} has an invalid value, or one that conflicts with other options"
            ));
        }
    }
    if ConnectionString::parse(base).is_ok() {
        let names: Vec<_> = options.iter().filter_map(|(name, _)| known(name)).collect();
        return option_error(format!("some of the options {} have invalid values", names.join(", ")));
    }
    invalid("has an invalid database name")
}

pub(super) fn seed_is_valid(seed: &str) -> std::result::Result<(), String> {
    let (name, port) = match seed.strip_prefix('[') {
        Some(rest) => {
            let (address, port) =
                rest.split_once(']').ok_or("has a [ without a ] in a host: write an IPv6 address as [::1]:27017")?;
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| "has brackets around something other than an IPv6 address".to_owned())?;
            ("v6", port.strip_prefix(':').or((!port.is_empty()).then_some("?")))
        }
        None => match seed.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (seed, None),
        },
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return Err(format!("has a host that is empty or has invalid characters: use {HOST_HELP}"));
    }
    match port {
        Some(port) if port.parse::<u16>().map_or(true, |number| number == 0) => {
            Err("has a port that is not a number from 1 to 65535".into())
        }
        _ => Ok(()),
    }
}

fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|after| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_contain_only_the_names_of_known_options() {
        for (uri, says) in [
            ("mongodb://u:hunter2?x@h:1/", "%3F"),
            ("mongodb://u:1234/hunter2@h:1/", "%2F"),
            ("mongodb://u:p@hunter2@h:1/", "%40"),
            ("mongodb://u:p:hunter2@h:1/", "%3A"),
            ("mongodb://u:%hunter2@h:1/", "%25"),
            ("mongodb://h/?hunter2", "option that MongoDB does not know"),
            ("mongodb://h/?hunter2=1", "option that MongoDB does not know"),
            ("mongodb://h/?authMechanism=hunter2", "authMechanism has an invalid value"),
            ("mongodb://h/?MAXPOOLSIZE=hunter2", "maxPoolSize has an invalid value"),
            ("mongodb://u:p@h/?authMechanism=MONGODB-OIDC&authMechanismProperties=hunter2", "authMechanismProperties"),
            ("mongodb://h/?tlsInsecure=true&tlsAllowInvalidCertificates=true&appName=hunter2", "tlsInsecure has"),
            ("mongodb://h/?minPoolSize=hunter2&maxPoolSize=hunter2&w=1", "minPoolSize, maxPoolSize, w"),
            ("mongodb://h:hunter2/", "port"),
            ("mongodb://h:99999/hunter2", "invalid host"),
            ("mongodb+srv://hunter2:1/", "mongodb+srv://"),
            ("mongodb://", "no host"),
            ("hunter2://x", "scheme"),
            ("mongodb://h/?socketTimeoutMS=hunter2", "socketTimeoutMS must be a number"),
            ("mongodb://h/?TIMEOUTMS=-1&appName=hunter2", "timeoutMS must be a number"),
            ("mongodb://h/?tlsAllowInvalidHostnames=true&appName=hunter2", "tlsAllowInvalidHostnames"),
            ("mongodb://h/?tlsCRLFile=hunter2", "tlsCRLFile"),
        ] {
            let error = DriverSettings::from_uri(uri).unwrap_err();
            assert!(error.message.contains(says), "{uri}: {}", error.message);
            assert!(!error.message.contains("hunter2"), "{uri}: {}", error.message);
        }
    }
}
