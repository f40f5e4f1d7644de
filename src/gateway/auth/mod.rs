//! Authentication: which caller an API key or a bearer token belongs to, and how often it may call.

mod jwt;
pub mod keys;
pub mod permission;
mod rate;
pub mod rule;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::error::Result;
pub(super) use jwt::JwtConfig;
use jwt::JwtVerifier;
use keys::ApiKeys;
use permission::Caller;
pub(super) use rate::RateLimiter;

/// Authenticates requests by API key or bearer token. Its files can be reloaded at run time.
pub struct Authenticator {
    keys_file: Option<PathBuf>,
    jwt_config: Option<JwtConfig>,
    folder: PathBuf,
    keys: ArcSwapOption<ApiKeys>,
    jwt: ArcSwapOption<JwtVerifier>,
}

/// The keys that [`Authenticator::read`] has read.
pub(super) struct Credentials {
    keys: Option<Arc<ApiKeys>>,
    jwt: Option<Arc<JwtVerifier>>,
}

/// Why a request is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthError {
    /// The request has neither a key nor a token.
    NoCredentials,
    /// The key is unknown or has expired.
    InvalidKey,
    /// The token is invalid, for this reason.
    InvalidToken(&'static str),
}

impl AuthError {
    /// The reason, for the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoCredentials => "no key",
            Self::InvalidKey => "unknown or expired key",
            Self::InvalidToken(reason) => reason,
        }
    }
}

impl Authenticator {
    /// Reads the key file and the keys of tokens. Relative paths of `jwt_config` are resolved
    /// against `folder`.
    ///
    /// # Errors
    /// `Configuration`, with the file that cannot be used.
    pub(super) fn new(keys_file: Option<PathBuf>, jwt_config: Option<JwtConfig>, folder: PathBuf) -> Result<Self> {
        let authenticator =
            Self { keys_file, jwt_config, folder, keys: ArcSwapOption::empty(), jwt: ArcSwapOption::empty() };
        authenticator.replace(authenticator.read()?);
        Ok(authenticator)
    }

    /// Reads the files again, for [`Authenticator::replace`].
    ///
    /// # Errors
    /// As for [`Authenticator::new`].
    pub(super) fn read(&self) -> Result<Credentials> {
        let keys = self.keys_file.as_deref().map(ApiKeys::read).transpose()?;
        let jwt = self.jwt_config.as_ref().map(|config| JwtVerifier::read(config, &self.folder)).transpose()?;
        Ok(Credentials { keys: keys.map(Arc::new), jwt: jwt.map(Arc::new) })
    }

    /// The files.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let jwt = self.jwt_config.iter().flat_map(JwtConfig::files).map(|file| self.folder.join(file));
        self.keys_file.iter().cloned().chain(jwt).collect()
    }

    /// Uses other credentials for the requests that follow.
    pub(super) fn replace(&self, credentials: Credentials) {
        self.keys.store(credentials.keys);
        self.jwt.store(credentials.jwt);
    }

    /// Returns the caller of a request. An API key takes precedence over a token.
    ///
    /// # Errors
    /// Why the request is not authenticated.
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> std::result::Result<Caller, AuthError> {
        if let Some(key) = headers.get("api-key").or_else(|| headers.get("apikey")) {
            return self.keys.load().as_ref().and_then(|keys| keys.caller(key.as_bytes())).ok_or(AuthError::InvalidKey);
        }
        let Some(authorization) = headers.get(AUTHORIZATION) else { return Err(AuthError::NoCredentials) };
        let bearer = authorization.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = bearer else {
            return Err(AuthError::InvalidToken("the Authorization header has no bearer token"));
        };
        match self.jwt.load().as_ref() {
            Some(jwt) => jwt.caller(token).map_err(AuthError::InvalidToken),
            None => Err(AuthError::InvalidToken("bearer tokens are not configured")),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys_file", &self.keys_file).finish_non_exhaustive()
    }
}
