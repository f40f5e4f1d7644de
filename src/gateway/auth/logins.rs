//! Logins, as Atlas App Services had them: a user logs in by one of several providers and gets two tokens, one to send
//! with requests and one to get more of those.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bson::doc;
use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failures::PeerLimiter;
use super::permission::{Caller, Permission};
use super::rate::RateLimiter;
use super::signing_keys::{Session, TokenUse};
use super::users::{User, id_of};
use super::{AuthError, Authenticator, Credentials};
use crate::error::Result;
use crate::gateway::config_error::config_error;
use crate::gateway::server::peer::of_one_client;
use crate::secret::Secret;

/// The default lifetimes of tokens: those of Atlas.
const ACCESS_TOKEN_SECONDS: u32 = 30 * 60;
const REFRESH_TOKEN_SECONDS: u32 = 60 * 24 * 3600;
/// How often the password of a name may be wrong per minute.
const TRIES_PER_MINUTE: f64 = 10.0;
/// The caller's name of all anonymous users, which no key can have.
pub(super) const ANONYMOUS: &str = "anonymous";
/// How many anonymous users each peer may create per minute.
const ANONYMOUS_PER_MINUTE: f64 = 60.0;
/// The largest claims of a custom token, as JSON: both tokens of its session contain them, and must fit into a header.
const MAX_CLAIMS_BYTES: usize = 8 * 1024;
/// How the names of the gateway's own collections begin. No permission opens them.
pub(in crate::gateway) const OWN_COLLECTIONS: &str = "connect_mongodb_";

/// How a user logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
pub(in crate::gateway) enum Provider {
    /// With a name and a password of the key file.
    LocalUserpass,
    /// With an API key.
    ApiKey,
    /// Without credentials.
    AnonUser,
    /// With a token that `[jwt]` verifies.
    CustomToken,
}

impl Provider {
    /// All providers.
    pub(in crate::gateway) const ALL: [Self; 4] =
        [Self::LocalUserpass, Self::ApiKey, Self::AnonUser, Self::CustomToken];

    /// The name in paths and in the configuration.
    pub(in crate::gateway) fn name(self) -> &'static str {
        match self {
            Self::LocalUserpass => "local-userpass",
            Self::ApiKey => "api-key",
            Self::AnonUser => "anon-user",
            Self::CustomToken => "custom-token",
        }
    }

    /// Returns the provider of this name.
    pub(in crate::gateway) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }
}

// Only from a string: a derived implementation would also accept a table.
impl TryFrom<String> for Provider {
    type Error = &'static str;

    fn try_from(name: String) -> std::result::Result<Self, Self::Error> {
        Self::from_name(&name).ok_or("a provider must be one of local-userpass, api-key, anon-user, custom-token")
    }
}

/// The `[logins]` table of the configuration. Relative paths are resolved against its folder.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct LoginsConfig {
    providers: Vec<Provider>,
    /// The keys that sign tokens.
    pub(super) key_file: PathBuf,
    #[serde(default = "default_access_token_seconds")]
    access_token_seconds: u32,
    #[serde(default = "default_refresh_token_seconds")]
    refresh_token_seconds: u32,
    #[serde(default = "default_tries_per_minute")]
    tries_per_minute: f64,
    #[serde(default = "default_anonymous_per_minute")]
    anonymous_per_minute: f64,
    /// The permissions of anonymous users.
    #[serde(default)]
    anonymous: Vec<Permission>,
    /// The gateway's URL, for clients that ask for it.
    public_url: Option<String>,
    /// Where sessions are stored.
    sessions: Option<SessionsConfig>,
}

/// The collection of sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct SessionsConfig {
    pub(in crate::gateway) data_source: String,
    pub(in crate::gateway) database: String,
    #[serde(default = "default_collection")]
    pub(in crate::gateway) collection: String,
}

fn default_access_token_seconds() -> u32 {
    ACCESS_TOKEN_SECONDS
}

fn default_refresh_token_seconds() -> u32 {
    REFRESH_TOKEN_SECONDS
}

fn default_tries_per_minute() -> f64 {
    TRIES_PER_MINUTE
}

fn default_anonymous_per_minute() -> f64 {
    ANONYMOUS_PER_MINUTE
}

fn default_collection() -> String {
    format!("{OWN_COLLECTIONS}sessions")
}

impl LoginsConfig {
    /// Validates the table.
    ///
    /// # Errors
    /// `Configuration`, with the setting that is invalid.
    pub(super) fn validate(&self, has_keys_file: bool, has_jwt: bool) -> Result<()> {
        if self.providers.is_empty() {
            return config_error("logins.providers must list local-userpass, api-key, anon-user or custom-token");
        }
        for provider in &self.providers {
            let (satisfied, requirement) = match provider {
                Provider::LocalUserpass | Provider::ApiKey => (has_keys_file, "keys_file"),
                Provider::AnonUser => (!self.anonymous.is_empty(), "logins.anonymous, the permissions"),
                Provider::CustomToken => (has_jwt, "[jwt]"),
            };
            if !satisfied {
                return config_error(format!("logins.providers: {} requires {requirement}", provider.name()));
            }
        }
        if !(60..=86_400).contains(&self.access_token_seconds) {
            return config_error("logins.access_token_seconds must be from 60 to 86400");
        }
        if !(self.access_token_seconds..=34_560_000).contains(&self.refresh_token_seconds) {
            return config_error(
                "logins.refresh_token_seconds must be from logins.access_token_seconds to 34560000 (400 days)",
            );
        }
        for (name, rate) in
            [("tries_per_minute", self.tries_per_minute), ("anonymous_per_minute", self.anonymous_per_minute)]
        {
            if !(1.0..=1e6).contains(&rate) {
                return config_error(format!("logins.{name} must be from 1 to 1000000"));
            }
        }
        if self.public_url.as_ref().is_some_and(|url| !is_origin(url)) {
            return config_error("logins.public_url must be a URL like https://gateway.example.com");
        }
        if self.sessions.as_ref().is_some_and(|sessions| !sessions.collection.starts_with(OWN_COLLECTIONS)) {
            return config_error(format!(
                "logins.sessions.collection must begin with {OWN_COLLECTIONS}, because no permission opens such \
                 collections"
            ));
        }
        Ok(())
    }

    /// Whether users can log in by this provider.
    pub(in crate::gateway) fn has(&self, provider: Provider) -> bool {
        self.providers.contains(&provider)
    }

    /// Where sessions are stored.
    pub(in crate::gateway) fn sessions(&self) -> Option<&SessionsConfig> {
        self.sessions.as_ref()
    }

    /// The permissions of anonymous users.
    pub(super) fn anonymous(&self) -> Arc<[Permission]> {
        self.anonymous.clone().into()
    }

    /// The gateway's URL, for clients that ask for it.
    pub(in crate::gateway) fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// The lifetime of refresh tokens, and of sessions.
    pub(in crate::gateway) fn refresh_token_seconds(&self) -> u32 {
        self.refresh_token_seconds
    }
}

fn is_origin(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']))
}

/// The limits of logins.
pub(super) struct LoginLimits {
    /// By the name's digest.
    names: RateLimiter<[u8; 32]>,
    anonymous: PeerLimiter,
}

impl LoginLimits {
    pub(super) fn new(config: Option<&LoginsConfig>) -> Self {
        let (tries, anonymous) = config.map_or((TRIES_PER_MINUTE, ANONYMOUS_PER_MINUTE), |config| {
            (config.tries_per_minute, config.anonymous_per_minute)
        });
        Self { names: RateLimiter::per_minute(tries), anonymous: PeerLimiter::per_minute(anonymous) }
    }
}

/// What a user logs in with.
pub(in crate::gateway) enum LoginCredentials {
    Password(PasswordCredentials),
    Key(Secret),
    Anonymous,
    Token(Secret),
}

/// A name and a password.
pub(in crate::gateway) struct PasswordCredentials {
    pub(in crate::gateway) name: String,
    pub(in crate::gateway) password: Secret,
}

/// A session, and who it belongs to.
pub(in crate::gateway) struct LoggedIn {
    session: Session,
    pub(in crate::gateway) caller: Caller,
}

impl LoggedIn {
    fn new(provider: Provider, caller: Caller, version: Option<String>, claims: Option<Value>) -> Self {
        let session = Session { user: id_of(&caller), id: ObjectId::new().to_hex(), provider, version, claims };
        Self { session, caller }
    }

    /// The session's ID.
    pub(in crate::gateway) fn session_id(&self) -> &str {
        &self.session.id
    }

    /// The user's ID.
    pub(in crate::gateway) fn user_id(&self) -> &str {
        &self.session.user
    }

    /// How the user has logged in.
    pub(in crate::gateway) fn provider(&self) -> Provider {
        self.session.provider
    }
}

impl Authenticator {
    /// The `[logins]` table, if the configuration has one.
    pub(in crate::gateway) fn logins(&self) -> Option<&LoginsConfig> {
        self.settings.logins.as_ref()
    }

    /// Logs a user in.
    ///
    /// # Errors
    /// Why the user cannot log in.
    pub(in crate::gateway) async fn log_in(
        &self,
        given: LoginCredentials,
        peer: IpAddr,
    ) -> std::result::Result<LoggedIn, AuthError> {
        let credentials = self.credentials.load_full();
        match given {
            LoginCredentials::Password(given) => {
                let user = self.verify_password(&credentials, given, peer).await?;
                let version = user.version.clone();
                Ok(LoggedIn::new(Provider::LocalUserpass, user.caller.clone(), Some(version), None))
            }
            LoginCredentials::Key(key) => {
                let found = credentials.keys.as_ref().and_then(|keys| keys.caller_and_version(key.expose().as_bytes()));
                let (caller, version) = found.ok_or_else(|| self.failed(AuthError::InvalidKey, peer))?;
                Ok(LoggedIn::new(Provider::ApiKey, caller, Some(version), None))
            }
            LoginCredentials::Anonymous => {
                self.login_limits.anonymous.count(peer).map_err(AuthError::TooManyTries)?;
                let caller = self.anonymous(&ObjectId::new().to_hex());
                Ok(LoggedIn::new(Provider::AnonUser, caller, None, None))
            }
            LoginCredentials::Token(token) => {
                let verified = credentials.jwt.as_ref().ok_or("custom tokens are not configured").and_then(|jwt| {
                    let (claims, version) = jwt.claims(token.expose())?;
                    Ok((jwt.caller_from_claims(&claims)?, claims, version))
                });
                let (caller, claims, version) =
                    verified.map_err(|reason| self.failed(AuthError::InvalidToken(reason), peer))?;
                if claims.to_string().len() > MAX_CLAIMS_BYTES {
                    return Err(self.failed(AuthError::InvalidToken("the token's claims are too large"), peer));
                }
                Ok(LoggedIn::new(Provider::CustomToken, caller, Some(version), Some(claims)))
            }
        }
    }

    /// Returns the session of a token of a login.
    ///
    /// # Errors
    /// Why the token is invalid for this use.
    pub(in crate::gateway) fn session_of(
        &self,
        token: &str,
        token_use: TokenUse,
        peer: IpAddr,
    ) -> std::result::Result<LoggedIn, AuthError> {
        self.session(&self.credentials.load(), token, token_use)
            .map_err(|reason| self.failed(AuthError::InvalidToken(reason), peer))
    }

    /// The session of a token, whose user still exists and has not changed its password or key.
    pub(super) fn session(
        &self,
        credentials: &Credentials,
        token: &str,
        token_use: TokenUse,
    ) -> std::result::Result<LoggedIn, &'static str> {
        let keys = credentials.signing_keys.as_ref().ok_or("logins are not configured")?;
        let session = keys.verify(token, token_use)?.session;
        if !self.logins().is_some_and(|logins| logins.has(session.provider)) {
            return Err("logins by the session's provider are not configured");
        }
        let version = session.version.as_deref().unwrap_or_default();
        let caller = match session.provider {
            Provider::LocalUserpass => {
                credentials.users.of_version(&session.user, version).map(|user| user.caller.clone())
            }
            Provider::ApiKey => {
                credentials.keys.as_ref().and_then(|keys| keys.caller_of_version(&session.user, version))
            }
            Provider::AnonUser => Some(self.anonymous(&session.user)),
            Provider::CustomToken => match (&credentials.jwt, &session.claims) {
                (Some(jwt), Some(claims)) if jwt.has_version(version) => Some(jwt.caller_from_claims(claims)?),
                _ => None,
            },
        };
        let caller = caller.ok_or("the session's user no longer exists, is disabled or has another password or key")?;
        Ok(LoggedIn { session, caller })
    }

    /// An access token of a session.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub(in crate::gateway) fn access_token(&self, of: &LoggedIn) -> Result<String> {
        self.sign(
            of,
            TokenUse::Access,
            self.logins().map_or(ACCESS_TOKEN_SECONDS, |logins| logins.access_token_seconds),
        )
    }

    /// The refresh token of a session.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub(in crate::gateway) fn refresh_token(&self, of: &LoggedIn) -> Result<String> {
        self.sign(of, TokenUse::Refresh, self.logins().map_or(0, LoginsConfig::refresh_token_seconds))
    }

    fn sign(&self, of: &LoggedIn, token_use: TokenUse, seconds: u32) -> Result<String> {
        match &self.credentials.load().signing_keys {
            Some(keys) => keys.sign(token_use, &of.session, seconds),
            None => config_error("logins are not configured"),
        }
    }

    fn anonymous(&self, id: &str) -> Caller {
        let permissions = self.anonymous_permissions.clone();
        let user = doc! { "id": id, "type": Provider::AnonUser.name(), "data": {}, "custom_data": {} };
        Caller { name: ANONYMOUS.into(), permissions, user: Arc::new(user) }
    }

    /// Returns the user with this name and password.
    ///
    /// An unknown name takes the same steps as a known one. Attempts are counted before the password is verified, and
    /// taken back if it is right: attempts at the same time cannot exceed a limit.
    pub(super) async fn verify_password(
        &self,
        credentials: &Credentials,
        given: PasswordCredentials,
        peer: IpAddr,
    ) -> std::result::Result<Arc<User>, AuthError> {
        let PasswordCredentials { name, password } = given;
        // Even a right password is rejected then, or the limit would not stop a guesser.
        self.failures.count(peer).map_err(AuthError::TooManyFailures)?;
        let user = credentials.users.named(&name);
        let address = of_one_client(peer).to_string();
        // With the address: others who know no password must not learn one from what is remembered.
        let digest = self.digest.hash_all(&[address.as_bytes(), name.as_bytes(), password.expose().as_bytes()]);
        if let Some(user) = user.filter(|user| !user.disabled && credentials.users.verified.contains(&digest)) {
            self.failures.take_back(peer);
            return Ok(Arc::clone(user));
        }
        let tried = self.digest.hash_all(&[name.as_bytes()]);
        self.login_limits.names.count(&tried).map_err(AuthError::TooManyTries)?;
        let hash = user.map_or_else(|| self.stand_in.clone(), |user| user.hash.clone());
        let verified = self.passwords.verify(password, hash).await;
        let take_back = || {
            self.failures.take_back(peer);
            self.login_limits.names.take_back(&tried);
        };
        match (verified, user) {
            (Ok(true), Some(user)) if !user.disabled => {
                take_back();
                credentials.users.verified.insert(digest);
                Ok(Arc::clone(user))
            }
            (Ok(_), _) => Err(AuthError::InvalidPassword),
            (Err(super::passwords::Busy), _) => {
                take_back();
                Err(AuthError::Busy)
            }
        }
    }
}
