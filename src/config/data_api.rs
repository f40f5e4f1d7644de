//! Settings of the Data API path.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// What an endpoint must be, for error messages.
pub(super) const ENDPOINT_HELP: &str =
    "the Data API's base URL without /action, e.g. https://host/app/data-abc/endpoint/data/v1";

/// The settings of the Data API path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataApiSettings {
    /// The base URL, without a trailing slash and without `/action`.
    pub endpoint: String,
    /// Sent as the `api-key` header.
    pub api_key: Secret,
    /// Sent as `dataSource`.
    pub data_source: String,
    /// The default database.
    pub database: Option<String>,
    /// The default collection.
    pub collection: Option<String>,
    /// The timeout of establishing a connection.
    pub connect_timeout: Duration,
    /// The timeout of a call, including retries.
    pub timeout: Duration,
    /// Whether to retry calls if that is safe.
    pub retry: bool,
    /// Whether to merge concurrent inserts of single documents into one request.
    pub coalesce: bool,
}

/// The default timeout of establishing a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The default timeout of a call, including retries.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl DataApiSettings {
    /// Creates settings from arguments.
    ///
    /// # Errors
    /// `Configuration`, which names the invalid argument.
    pub fn new(endpoint: &str, api_key: &str, data_source: &str) -> Result<Self> {
        let fault = |name: &str, problem: &str| Error::new(ErrorKind::Configuration, format!("{name} {problem}"));
        if api_key.trim().is_empty() {
            return Err(fault("api_key", "is empty: set it to an API key of the Data API"));
        }
        header_value(api_key).map_err(|problem| fault("api_key", problem))?;
        if data_source.trim().is_empty() {
            return Err(fault("data_source", "is empty: set it to the Data API's dataSource, e.g. Cluster0"));
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

    /// Returns the host of the endpoint, for messages.
    pub fn host(&self) -> &str {
        let rest = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }
}

pub(super) fn endpoint_url(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    let url = reqwest::Url::parse(text).map_err(|error| format!("is not a URL ({error}): use {ENDPOINT_HELP}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("is not an http:// or https:// URL: use {ENDPOINT_HELP}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains credentials: set API_KEY instead".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has a query or a fragment: use {ENDPOINT_HELP}"));
    }
    let base = text.trim_end_matches('/');
    if base.ends_with("/action") || base.contains("/action/") {
        return Err(format!("is not the base URL: use {ENDPOINT_HELP}"));
    }
    Ok(base.to_owned())
}

pub(super) fn header_value(key: &str) -> std::result::Result<(), &'static str> {
    if key.trim().bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        Ok(())
    } else {
        Err("has characters that are not allowed in an HTTP header: copy the key again")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_validated() {
        let ok = |url: &str| endpoint_url(url).unwrap();
        assert_eq!(ok("https://h/app/x/endpoint/data/v1/"), "https://h/app/x/endpoint/data/v1");
        for url in ["h", "ftp://h", "https://u:p@h", "https://h/action", "https://h/action/insertOne", "https://h?x=1"]
        {
            assert!(endpoint_url(url).is_err(), "{url}");
        }
    }
}
