//! Where the settings of the Data API path lead, for `connect-mongodb check`: the host, or the proxy in front of it.

use axum::http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use crate::config::{DataApiSettings, userinfo};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// How the HTTP client reaches the Data API.
#[derive(Debug)]
pub struct Route {
    /// The host and the port of the Data API.
    pub host: (String, u16),
    /// Whether the Data API uses TLS.
    pub tls: bool,
    /// The proxy, if the HTTP client uses one.
    pub proxy: Option<Proxy>,
}

/// A proxy of the environment, or of the operating system.
#[derive(Debug)]
pub struct Proxy {
    /// The host and the port.
    pub host: (String, u16),
    /// The environment variable that names it.
    pub variable: String,
}

impl Route {
    /// Returns how the HTTP client reaches the Data API: it finds a proxy in the same way.
    ///
    /// # Errors
    /// `Configuration`, if the endpoint has no host.
    pub fn of(settings: &DataApiSettings) -> Result<Self> {
        let fault = || Error::new(ErrorKind::Configuration, "the Data API's endpoint has no host");
        let url = reqwest::Url::parse(&settings.endpoint).map_err(|_| fault())?;
        let host = url.host_str().ok_or_else(fault)?;
        let destination: Uri = url.as_str().parse().map_err(|_| fault())?;
        let proxy = Matcher::from_system().intercept(&destination).and_then(|proxy| {
            let uri = proxy.uri();
            let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
            let own = format!("{}_PROXY", url.scheme().to_uppercase());
            let variable = if is_set(&own) { own } else { "ALL_PROXY".to_owned() };
            Some(Proxy { host: (without_brackets(uri.host()?), port), variable })
        });
        Ok(Self {
            host: (without_brackets(host), url.port_or_known_default().unwrap_or(443)),
            tls: url.scheme() == "https",
            proxy,
        })
    }
}

/// The environment variables of proxies, which may be in lower case too.
const PROXIES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Returns the users and passwords in the environment's proxies.
pub fn proxy_secrets() -> Vec<Secret> {
    let names = PROXIES.into_iter().flat_map(|name| [name.to_owned(), name.to_lowercase()]);
    let proxies: Vec<String> = names.filter_map(|name| std::env::var(name).ok()).collect();
    let found = proxies.iter().flat_map(|proxy| userinfo(proxy));
    found.filter(|secret| !secret.is_empty()).map(Secret::new).collect()
}

fn is_set(name: &str) -> bool {
    [name.to_owned(), name.to_lowercase()].iter().any(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()))
}

/// An IPv6 address in a URL has brackets.
fn without_brackets(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_scheme_unless_it_is_given() {
        for (endpoint, host, port, tls) in [
            ("https://H/app", "h", 443, true),
            ("http://h/app", "h", 80, false),
            ("http://[::1]:8080/app", "::1", 8080, false),
            ("https://h:80", "h", 80, true),
        ] {
            let route = Route::of(&DataApiSettings::new(endpoint, "k", "c").unwrap()).unwrap();
            assert_eq!((route.host, route.tls), ((host.to_owned(), port), tls), "{endpoint}");
        }
    }
}
