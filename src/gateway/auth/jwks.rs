//! Public keys of a URL: fetched in the background, kept while the URL cannot be reached.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::JwkSet;
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Url, redirect};
use tokio::sync::Notify;

use super::jwt::{VerificationKey, verification_key};
use crate::error::Result;
use crate::gateway::config_error::config_error;

/// How long keys are used before they are fetched again; `max-age` applies within these bounds.
const MIN_AGE: Duration = Duration::from_secs(60);
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// The same without `max-age`.
const DEFAULT_AGE: Duration = Duration::from_secs(15 * 60);
/// How often tokens with unknown keys cause a request.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);
/// How long keys stay in use after their last successful request.
const STALE_TIME: Duration = Duration::from_secs(24 * 3600);
/// The pause after the first failed request, which doubles up to [`MIN_AGE`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
const CONNECT_TIME: Duration = Duration::from_secs(5);
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The largest set, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The keys of a URL.
pub(super) struct RemoteKeys {
    url: Url,
    client: Client,
    keys: ArcSwap<Vec<VerificationKey>>,
    /// Wakes the task that fetches the keys.
    wanted: Notify,
    /// When a token with an unknown key last woke it.
    last_unknown: Mutex<Option<Instant>>,
}

impl RemoteKeys {
    /// The keys of a URL, of which none is fetched yet.
    ///
    /// # Errors
    /// `Configuration` if the URL is neither HTTPS nor on this machine.
    pub(super) fn new(url: &str) -> Result<Self> {
        let Ok(url) = Url::parse(url) else { return config_error("jwt.jwks_url must be a URL") };
        let is_local = || {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        if !(url.scheme() == "https" || url.scheme() == "http" && is_local()) {
            return config_error("jwt.jwks_url must be an https URL, or an http URL of this machine");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return config_error("jwt.jwks_url must not contain a user or a password");
        }
        crate::tls::install_provider();
        let client = Client::builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIME)
            .timeout(REQUEST_TIME)
            .redirect(redirect::Policy::none())
            .build();
        let Ok(client) = client else {
            return config_error("jwt.jwks_url: the HTTP client cannot be set up: check SSL_CERT_FILE and the proxies");
        };
        Ok(Self { url, client, keys: ArcSwap::default(), wanted: Notify::new(), last_unknown: Mutex::default() })
    }

    /// The keys that were fetched last.
    pub(super) fn keys(&self) -> Arc<Vec<VerificationKey>> {
        self.keys.load_full()
    }

    /// Fetches the keys soon, because a token names a key that is not among them. No token waits for it.
    pub(super) fn want_unknown_key(&self) {
        let mut last = self.last_unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= UNKNOWN_KEY_INTERVAL) {
            *last = Some(Instant::now());
            self.wanted.notify_one();
        }
    }

    /// Fetches the keys soon.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Fetches the keys whenever they are wanted or too old. Never ends.
    pub(super) async fn keep_fetching(&self, log: impl Fn(&'static str, &str)) {
        let mut retry = FIRST_RETRY;
        let mut fetched: Option<Instant> = None;
        let mut failed = false;
        loop {
            let pause = match self.fetch().await {
                Ok((keys, age)) => {
                    if failed || fetched.is_none() {
                        log("info", &format!("jwt.jwks_url: {} keys were fetched", keys.len()));
                    }
                    self.keys.store(Arc::new(keys));
                    (fetched, failed, retry) = (Some(Instant::now()), false, FIRST_RETRY);
                    age
                }
                Err(problem) => {
                    let is_stale = fetched.is_none_or(|fetched| fetched.elapsed() >= STALE_TIME);
                    if is_stale {
                        self.keys.store(Arc::default());
                    }
                    // A lasting problem is one line.
                    if !failed || is_stale && fetched.take().is_some() {
                        let effect = if is_stale { "no key is in use" } else { "the last keys stay in use" };
                        log("warning", &format!("jwt.jwks_url: {problem}; {effect}"));
                    }
                    failed = true;
                    let pause = retry;
                    retry = (retry * 2).min(MIN_AGE);
                    pause
                }
            };
            drop(tokio::time::timeout(pause, self.wanted.notified()).await);
        }
    }

    async fn fetch(&self) -> std::result::Result<(Vec<VerificationKey>, Duration), String> {
        let unreachable = |error: reqwest::Error| {
            let kind = if error.is_timeout() { "does not respond in time" } else { "cannot be reached" };
            format!("the server {kind}")
        };
        let mut response = self.client.get(self.url.clone()).send().await.map_err(unreachable)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the server responds with {}", response.status().as_u16()));
        }
        let header = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let age = header.and_then(max_age).map_or(DEFAULT_AGE, |age| age.clamp(MIN_AGE, MAX_AGE));
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if text.len() + part.len() > MAX_BYTES {
                return Err(format!("the response is larger than {MAX_BYTES} bytes"));
            }
            text.extend_from_slice(&part);
        }
        let Ok(set) = serde_json::from_slice::<JwkSet>(&text) else {
            return Err("the response is not a JSON Web Key Set".to_owned());
        };
        let keys: Vec<VerificationKey> = set.keys.iter().filter_map(verification_key).collect();
        match keys.is_empty() {
            true => Err("the response has no key for RS256 or ES256".to_owned()),
            false => Ok((keys, age)),
        }
    }
}

/// The `max-age` of a `Cache-Control` header; none if the response must not be cached.
fn max_age(cache_control: &str) -> Option<Duration> {
    let mut directives = cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    directives.find_map(|directive| match directive.as_str() {
        "no-store" | "no-cache" => Some(Duration::ZERO),
        other => other.strip_prefix("max-age=")?.trim_matches('"').parse().ok().map(Duration::from_secs),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_must_be_encrypted_or_local() {
        for url in
            ["https://login.example.com/keys", "http://127.0.0.1:8000/keys", "http://[::1]/", "http://localhost/"]
        {
            assert!(RemoteKeys::new(url).is_ok(), "{url}");
        }
        for url in
            ["", "keys.json", "http://login.example.com/", "http://10.0.0.1/", "ftp://localhost/", "file:///keys"]
        {
            assert!(RemoteKeys::new(url).is_err(), "{url}");
        }
        let error = RemoteKeys::new("https://ann:hunter2@login.example.com/").err().unwrap();
        assert!(!error.message.contains("hunter2"));
    }

    #[test]
    fn max_age_is_read_from_any_place() {
        for (header, expected) in [
            ("max-age=120", Some(120)),
            ("public, Max-Age=\"300\", must-revalidate", Some(300)),
            ("no-store, max-age=300", Some(0)),
            ("public", None),
            ("max-age=soon", None),
        ] {
            assert_eq!(max_age(header), expected.map(Duration::from_secs), "{header}");
        }
    }
}
