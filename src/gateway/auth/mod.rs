//! Authentication: which caller the credentials of a request belong to, and how often it may call.

mod failures;
mod jwks;
mod jwt;
pub mod keys;
pub(super) mod logins;
mod passwords;
pub mod permission;
mod rate;
pub mod rule;
pub(super) mod secret_file;
mod shared_rate;
pub mod signing_keys;
pub mod users;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use argon2::password_hash::phc::PasswordHash;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use tokio::task::AbortHandle;

use crate::error::Result;
use failures::PeerLimiter;
use jwks::RemoteKeys;
pub(super) use jwt::JwtConfig;
use jwt::JwtVerifier;
use keys::{ApiKeys, KeyHasher};
pub(super) use logins::LoginsConfig;
use logins::{LoginLimits, PasswordCredentials, Provider};
use passwords::PasswordVerifier;
use permission::{Caller, Permission};
use prometheus_client::metrics::counter::Counter;
pub(super) use rate::RateLimiter;
pub(super) use shared_rate::SharedRate;
use signing_keys::{SigningKeys, TokenUse};
use users::Users;

use crate::secret::Secret;

/// The settings of authentication.
pub(super) struct AuthSettings {
    /// The key file.
    pub(super) keys_file: Option<PathBuf>,
    /// The `[jwt]` table.
    pub(super) jwt: Option<JwtConfig>,
    /// The `[logins]` table.
    pub(super) logins: Option<LoginsConfig>,
    /// The folder that relative paths are resolved against.
    pub(super) folder: PathBuf,
    /// How often each peer may fail.
    pub(super) failed_logins_per_minute: f64,
}

/// Authenticates requests. Its files can be reloaded at run time.
pub struct Authenticator {
    settings: AuthSettings,
    failures: PeerLimiter,
    login_limits: LoginLimits,
    passwords: PasswordVerifier,
    /// The hash of unknown users.
    stand_in: PasswordHash,
    /// Makes digests of names and passwords that mean nothing outside of this process.
    digest: KeyHasher,
    anonymous_permissions: Arc<[Permission]>,
    /// The keys of `jwt.jwks_url`.
    remote_keys: Option<Arc<RemoteKeys>>,
    credentials: ArcSwap<Credentials>,
}

/// The keys and users that [`Authenticator::read`] has read.
#[derive(Default)]
pub(super) struct Credentials {
    keys: Option<ApiKeys>,
    users: Users,
    jwt: Option<JwtVerifier>,
    signing_keys: Option<SigningKeys>,
}

/// The credentials of a request, as far as they can be verified at once.
enum Presented {
    Caller(Caller),
    Password(PasswordCredentials),
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
    /// The user is unknown or disabled, or the password is wrong.
    InvalidPassword,
    /// One of two headers that belong together is absent.
    MissingHeader(&'static str),
    /// A header is given more than once, or is not text.
    InvalidHeader(&'static str),
    /// The credentials are invalid, and the peer has failed too often. It may try again after this time.
    TooManyFailures(Duration),
    /// There were too many logins for this name, or of anonymous users by this peer. It may try again after this time.
    TooManyTries(Duration),
    /// Too many passwords are being verified.
    Busy,
}

impl AuthError {
    /// The reason, for the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoCredentials => "no key",
            Self::InvalidKey => "unknown or expired key",
            Self::InvalidToken(reason) => reason,
            Self::InvalidPassword => "unknown or disabled user, or wrong password",
            Self::MissingHeader(_) => "incomplete credentials",
            Self::InvalidHeader(_) => "ambiguous credentials",
            Self::TooManyFailures(_) => "too many failed authentications",
            Self::TooManyTries(_) => "too many logins",
            Self::Busy => "too many passwords to verify",
        }
    }
}

impl Authenticator {
    /// Reads the key file and the keys of tokens.
    ///
    /// # Errors
    /// `Configuration`, with the file that cannot be used.
    pub(super) fn new(settings: AuthSettings) -> Result<Self> {
        if let Some(logins) = &settings.logins {
            logins.validate(settings.keys_file.is_some(), settings.jwt.is_some())?;
        }
        let authenticator = Self {
            failures: PeerLimiter::per_minute(settings.failed_logins_per_minute),
            login_limits: LoginLimits::new(settings.logins.as_ref()),
            passwords: PasswordVerifier::new(),
            stand_in: passwords::stand_in()?,
            digest: KeyHasher::random()?,
            anonymous_permissions: settings.logins.as_ref().map_or_else(Arc::default, LoginsConfig::anonymous),
            remote_keys: match settings.jwt.as_ref().and_then(|jwt| jwt.jwks_url.as_deref()) {
                Some(url) => Some(Arc::new(RemoteKeys::new(url)?)),
                None => None,
            },
            credentials: ArcSwap::default(),
            settings,
        };
        authenticator.credentials.store(Arc::new(authenticator.read()?));
        Ok(authenticator)
    }

    /// Reads the files again, for [`Authenticator::replace`].
    ///
    /// # Errors
    /// As for [`Authenticator::new`].
    pub(super) fn read(&self) -> Result<Credentials> {
        let AuthSettings { keys_file, jwt, logins, folder, .. } = &self.settings;
        let (keys, users) = keys_file.as_deref().map(ApiKeys::read).transpose()?.unzip();
        Ok(Credentials {
            keys,
            users: users.unwrap_or_default(),
            jwt: jwt.as_ref().map(|config| JwtVerifier::read(config, folder, self.remote_keys.clone())).transpose()?,
            signing_keys: logins
                .as_ref()
                .map(|logins| SigningKeys::read(&folder.join(&logins.key_file)))
                .transpose()?,
        })
    }

    /// The files.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let AuthSettings { keys_file, jwt, logins, folder, .. } = &self.settings;
        let jwt = jwt.iter().flat_map(JwtConfig::files).map(|file| folder.join(file));
        let signing_keys = logins.iter().map(|logins| folder.join(&logins.key_file));
        keys_file.iter().cloned().chain(jwt).chain(signing_keys).collect()
    }

    /// Uses other credentials for the requests that follow, and fetches the keys of a URL again.
    pub(super) fn replace(&self, credentials: Credentials) {
        self.credentials.store(Arc::new(credentials));
        if let Some(remote) = &self.remote_keys {
            remote.want();
        }
    }

    /// Derives a secret for a purpose from the salt of the key file, which the instances of a gateway share. `None`
    /// without a key file.
    pub(super) fn derived_secret(&self, purpose: &[u8]) -> Option<[u8; 32]> {
        self.credentials.load().keys.as_ref().map(|keys| keys.derived_secret(purpose))
    }

    /// Fetches the keys of `jwt.jwks_url` from now on, in a task of the current runtime. `log` writes to the log.
    pub(super) fn fetch_keys(&self, log: impl Fn(&'static str, &str) + Send + Sync + 'static) -> Option<AbortOnDrop> {
        let remote = Arc::clone(self.remote_keys.as_ref()?);
        let fetching = tokio::spawn(async move { remote.keep_fetching(log).await });
        Some(AbortOnDrop(fetching.abort_handle()))
    }

    /// Counts the password hashes that are computed.
    pub(super) fn password_hashes(&self) -> &Counter {
        self.passwords.hashes()
    }

    /// Returns the caller of a request of `peer`. As in Atlas, a bearer token takes precedence over the other
    /// credentials. Valid keys and tokens are accepted however often the peer has failed: clients can share an address.
    ///
    /// # Errors
    /// Why the request is not authenticated.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> std::result::Result<Caller, AuthError> {
        match self.presented(headers) {
            Ok(Presented::Caller(caller)) => Ok(caller),
            Ok(Presented::Password(given)) => {
                let credentials = self.credentials.load_full();
                // Boxed, because few requests need it.
                let verified = Box::pin(self.verify_password(&credentials, given, peer)).await;
                verified.map(|user| user.caller.clone())
            }
            Err(error @ (AuthError::InvalidKey | AuthError::InvalidToken(_))) => Err(self.failed(error, peer)),
            Err(error) => Err(error),
        }
    }

    /// Counts a failed authentication.
    fn failed(&self, error: AuthError, peer: IpAddr) -> AuthError {
        self.failures.count(peer).map_or_else(AuthError::TooManyFailures, |()| error)
    }

    fn presented(&self, headers: &HeaderMap) -> std::result::Result<Presented, AuthError> {
        let credentials = self.credentials.load();
        let authorization = text(headers, AUTHORIZATION.as_str())?;
        if let Some(token) = authorization.and_then(bearer_token) {
            let caller = match &credentials.signing_keys {
                Some(keys) if keys.is_own(token) => {
                    self.session(&credentials, token, TokenUse::Access).map(|session| session.caller)
                }
                _ => custom_caller(&credentials, token),
            };
            return caller.map(Presented::Caller).map_err(AuthError::InvalidToken);
        }
        if let Some(key) = text(headers, "api-key")?.or(text(headers, "apikey")?) {
            let caller = credentials.keys.as_ref().and_then(|keys| keys.caller(key.as_bytes()));
            return caller.map(Presented::Caller).ok_or(AuthError::InvalidKey);
        }
        match (text(headers, "email")?, text(headers, "password")?) {
            (Some(_), Some(_)) if !self.logins().is_some_and(|logins| logins.has(Provider::LocalUserpass)) => {
                return Err(AuthError::InvalidToken("logins by email and password are not configured"));
            }
            (Some(name), Some(password)) => {
                let password = Secret::new(password);
                return Ok(Presented::Password(PasswordCredentials { name: name.to_owned(), password }));
            }
            (Some(_), None) => return Err(AuthError::MissingHeader("password")),
            (None, Some(_)) => return Err(AuthError::MissingHeader("email")),
            (None, None) => {}
        }
        if let Some(token) = text(headers, "jwttokenstring")? {
            return custom_caller(&credentials, token).map(Presented::Caller).map_err(AuthError::InvalidToken);
        }
        match authorization {
            Some(_) => Err(AuthError::InvalidToken("the Authorization header has no bearer token")),
            None => Err(AuthError::NoCredentials),
        }
    }
}

/// Ends a task when it is dropped.
pub(super) struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The caller of a token that `[jwt]` verifies.
fn custom_caller(credentials: &Credentials, token: &str) -> std::result::Result<Caller, &'static str> {
    credentials.jwt.as_ref().ok_or("bearer tokens are not configured")?.caller(token)
}

/// The text of a header with a credential.
fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> std::result::Result<Option<&'h str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| AuthError::InvalidHeader(name))
        }
        (Some(_), Some(_)) => Err(AuthError::InvalidHeader(name)),
    }
}

/// The token of an `Authorization` header with the scheme `Bearer`; empty if the scheme stands alone.
pub(in crate::gateway) fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(char::is_whitespace).unwrap_or((authorization, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys_file", &self.settings.keys_file).finish_non_exhaustive()
    }
}
