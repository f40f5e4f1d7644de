//! Where the settings of the driver path lead, for `connect-mongodb check`, and the secrets in variables.

use mongodb::options::{ConnectionString, HostInfo, ServerAddress, Tls};
use percent_encoding::percent_decode_str;

use super::connection_string::{DriverSettings, SECRET_OPTIONS};
use super::variables::{API_KEY, DB_HOST, DB_OPTIONS, DB_PASSWORD, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The port of a host that has none.
const DEFAULT_PORT: u16 = 27017;

/// How the driver reaches MongoDB.
#[derive(Debug, Default)]
pub struct DriverRoute {
    /// The hosts and ports of the connection string. Empty if they are in an SRV record.
    pub seeds: Vec<(String, u16)>,
    /// Whether the hosts are in an SRV record.
    pub srv: bool,
    /// Whether the driver authenticates.
    pub authenticates: bool,
    /// Whether the connection string names a replica set.
    pub replica_set: bool,
    /// The TLS settings, if connections use TLS.
    pub tls: Option<TlsRoute>,
}

/// The TLS settings of a connection string.
#[derive(Debug, Default)]
pub struct TlsRoute {
    /// The file of trusted certificates, if it is not the default.
    pub authorities: Option<String>,
    /// The file of the client certificate.
    pub certificate: Option<String>,
    /// The password of the client certificate's key.
    pub password: Option<Secret>,
    /// Whether an untrusted server is rejected.
    pub strict: bool,
}

impl DriverSettings {
    /// Returns how the driver reaches MongoDB.
    ///
    /// # Errors
    /// `Configuration`, if the driver cannot parse the connection string.
    pub fn route(&self) -> Result<DriverRoute> {
        let parsed = ConnectionString::parse(self.uri.expose())
            .map_err(|_| Error::new(ErrorKind::Configuration, "the connection string is invalid"))?;
        let (seeds, srv) = match &parsed.host_info {
            HostInfo::HostIdentifiers(hosts) => (hosts.iter().filter_map(seed).collect(), false),
            HostInfo::DnsRecord(_) => (Vec::new(), true),
            _ => (Vec::new(), false),
        };
        let tls = match parsed.tls {
            Some(Tls::Enabled(options)) => {
                let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
                let password = options.tls_certificate_key_file_password;
                Some(TlsRoute {
                    authorities: options.ca_file_path.map(text),
                    certificate: options.cert_key_file_path.map(text),
                    password: password.map(|password| Secret::new(String::from_utf8_lossy(&password))),
                    strict: options.allow_invalid_certificates != Some(true),
                })
            }
            Some(Tls::Disabled) => None,
            None => srv.then(|| TlsRoute { strict: true, ..TlsRoute::default() }),
        };
        Ok(DriverRoute {
            seeds,
            srv,
            authenticates: parsed.credential.is_some(),
            replica_set: parsed.replica_set.is_some(),
            tls,
        })
    }
}

fn seed(address: &ServerAddress) -> Option<(String, u16)> {
    match address {
        ServerAddress::Tcp { host, port } => Some((host.clone(), port.unwrap_or(DEFAULT_PORT))),
        _ => None,
    }
}

/// Returns the secrets in variables, valid or not: the API key, passwords, user names, and secret options.
pub fn secrets(get: impl Fn(&str) -> Value) -> Vec<Secret> {
    let text = |name| match get(name) {
        Value::Text(text) => text,
        Value::Absent | Value::NotText => String::new(),
    };
    let host = text(DB_HOST.name);
    let options = text(DB_OPTIONS.name);
    let mut found = vec![text(API_KEY.name), text(DB_PASSWORD.name)];
    found.extend(userinfo(&host).map(str::to_owned));
    let queries = [host.split_once('?').map_or("", |(_, query)| query), options.trim().trim_start_matches(['?', '&'])];
    for (name, value) in queries.into_iter().flat_map(|query| query.split('&')).filter_map(|one| one.split_once('=')) {
        if SECRET_OPTIONS.iter().any(|secret| secret.eq_ignore_ascii_case(name)) {
            found.push(percent_decode_str(value).decode_utf8_lossy().into_owned());
        }
    }
    found.into_iter().filter(|secret| !secret.trim().is_empty()).map(Secret::new).collect()
}

/// Returns the user and the password in a URL, together and separately, even if a '/' in them is not
/// percent-encoded.
pub fn userinfo(url: &str) -> impl Iterator<Item = &str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    let found = [rest, authority].into_iter().filter_map(|text| text.rsplit_once('@').map(|(userinfo, _)| userinfo));
    found.flat_map(|userinfo| std::iter::once(userinfo).chain(userinfo.splitn(2, ':')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn route(uri: &str) -> DriverRoute {
        DriverSettings::from_uri(uri).unwrap().route().unwrap()
    }

    #[test]
    fn hosts_have_the_port_that_the_driver_uses() {
        let of = route("mongodb://A:1,[::1],b,%2Ftmp%2Fmongodb.sock/");
        assert_eq!(of.seeds, [("a".to_owned(), 1), ("::1".to_owned(), 27017), ("b".to_owned(), 27017)]);
        assert!(!of.srv && !of.authenticates && !of.replica_set && of.tls.is_none());
        let of = route("mongodb+srv://u:p@cluster0.x.y/?replicaSet=r");
        assert!(of.srv && of.authenticates && of.replica_set && of.seeds.is_empty());
        assert!(of.tls.unwrap().strict);
        assert!(route("mongodb+srv://cluster0.x.y/?tls=false").tls.is_none());
    }

    #[test]
    fn tls_is_what_the_driver_makes_of_the_options() {
        let of =
            route("mongodb://h/?tlsCAFile=%2Fa%20b.pem&TLSCertificateKeyFile=c&tlsCertificateKeyFilePassword=p%40");
        let tls = of.tls.unwrap();
        assert_eq!((tls.authorities.as_deref(), tls.certificate.as_deref()), (Some("/a b.pem"), Some("c")));
        assert_eq!(tls.password.unwrap().expose(), "p@");
        assert!(tls.strict);
        assert!(!route("mongodb://h/?ssl=true&tlsInsecure=true").tls.unwrap().strict);
        assert!(route("mongodb://h/?tls=false").tls.is_none());
    }

    #[test]
    fn secrets_of_malformed_variables_are_found() {
        let found = |variables: &[(&str, &str)]| {
            let lookup = |name: &str| {
                variables
                    .iter()
                    .find(|(given, _)| *given == name)
                    .map_or(Value::Absent, |(_, text)| Value::Text((*text).to_owned()))
            };
            secrets(lookup).iter().map(|secret| secret.expose().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(&[("DB_HOST", "h:1"), ("DB_PASSWORD", " ")]), Vec::<String>::new());
        assert_eq!(found(&[("API_KEY", "k"), ("DB_PASSWORD", "p")]), ["k", "p"]);
        let of_host = found(&[("DB_HOST", "mongodb://u:1/2@h:1/?proxyPassword=a%2Fb&appName=c")]);
        assert_eq!(of_host, ["u:1/2", "u", "1/2", "a/b"]);
        assert_eq!(found(&[("DB_HOST", "u:p@h")]), ["u:p", "u", "p", "u:p", "u", "p"]);
        let options = "?TLSCertificateKeyFilePassword=x&w=1&authMechanismProperties=AWS_SESSION_TOKEN:y";
        assert_eq!(found(&[("DB_OPTIONS", options)]), ["x", "AWS_SESSION_TOKEN:y"]);
    }
}
