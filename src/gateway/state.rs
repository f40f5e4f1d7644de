//! The state that all requests share.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};

use super::auth::{AbortOnDrop, Authenticator, LoginsConfig, RateLimiter};
use super::compatibility::Compatibility;
use super::cursors::{CursorLimits, Cursors, PURPOSE, TokenKey};
use super::data_sources::{DataSourceSettings, DataSources};
use super::limits::memory::MemoryBudget;
use super::limits::{Limits, TIMEOUT_MARGIN};
use super::sessions::SessionStore;
use super::telemetry::{AccessLog, OtlpSettings, Telemetry};
use super::watch::{StreamLimits, Streams};
use crate::codec::ejson::Style;
use crate::error::{Error, ErrorKind, Result};

/// How long a result of [`Gateway::is_ready`] is valid: probes come often.
const READINESS_CACHE_TIME: Duration = Duration::from_millis(500);

/// The state of a gateway.
pub(super) struct Gateway {
    pub(super) data_sources: DataSources,
    pub(super) authenticator: Authenticator,
    /// The sessions of logins, if they are stored.
    pub(super) sessions: Option<SessionStore>,
    pub(super) rate_limiter: Option<RateLimiter<Arc<str>>>,
    /// The format of responses without an `Accept` header.
    pub(super) default_style: Style,
    pub(super) compatibility: Compatibility,
    pub(super) limits: Limits,
    /// One permit for each concurrent request.
    pub(super) request_slots: Arc<Semaphore>,
    pub(super) memory: MemoryBudget,
    pub(super) cursors: Cursors,
    pub(super) streams: Streams,
    pub(super) telemetry: Arc<Telemetry>,
    /// The task that fetches the keys of tokens.
    _fetching_keys: Option<AbortOnDrop>,
    /// When readiness was last checked, and the result.
    readiness: Mutex<Option<(Instant, bool)>>,
}

/// What a [`Gateway`] is built from.
#[derive(Debug)]
pub(super) struct GatewaySettings {
    pub(super) data_sources: DataSourceSettings,
    pub(super) authenticator: Authenticator,
    pub(super) limits: Limits,
    pub(super) cursors: CursorSettings,
    pub(super) streams: StreamLimits,
    /// The format of responses without an `Accept` header.
    pub(super) default_style: Style,
    pub(super) compatibility: Compatibility,
    pub(super) access_log: AccessLog,
    pub(super) otlp: Option<OtlpSettings>,
}

/// The settings of cursors.
#[derive(Default)]
pub(super) struct CursorSettings {
    /// The key of the tokens; `None` derives it from the key file.
    pub(super) secret: Option<TokenKey>,
    pub(super) limits: CursorLimits,
}

impl fmt::Debug for CursorSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Builds the state; must be called within a tokio runtime.
    ///
    /// # Errors
    /// `Configuration` if the log cannot be started.
    pub(super) fn new(settings: GatewaySettings) -> Result<Self> {
        let GatewaySettings { data_sources, authenticator, limits, cursors, streams, .. } = settings;
        let mut telemetry = Telemetry::new(settings.access_log, settings.otlp)?;
        telemetry.metrics.register_password_hashes(authenticator.password_hashes());
        let data_sources = DataSources::new(data_sources, &telemetry.metrics, limits.request + 2 * TIMEOUT_MARGIN);
        let sessions = authenticator.logins().and_then(LoginsConfig::sessions).and_then(|config| {
            let client = data_sources.get(&config.data_source)?;
            Some(SessionStore::new(Arc::clone(client), config, limits.request))
        });
        let telemetry = Arc::new(telemetry);
        let log = Arc::clone(&telemetry);
        let fetching_keys = authenticator.fetch_keys(move |level, message| log.log(level, message));
        let no_random_numbers = |error: std::io::Error| {
            Error::new(ErrorKind::Configuration, format!("the system has no random numbers ({error})"))
        };
        let key = match cursors.secret.or_else(|| authenticator.derived_secret(PURPOSE).map(TokenKey::new)) {
            Some(key) => key,
            None => TokenKey::random().map_err(no_random_numbers)?,
        };
        Ok(Self {
            cursors: Cursors::new(key, cursors.limits).map_err(no_random_numbers)?,
            streams: Streams::new(streams),
            data_sources,
            authenticator,
            sessions,
            rate_limiter: limits.requests_per_second.map(|rate| RateLimiter::new(rate, limits.burst)),
            default_style: settings.default_style,
            compatibility: settings.compatibility,
            request_slots: Arc::new(Semaphore::new(limits.requests)),
            memory: MemoryBudget::new(&limits),
            limits,
            telemetry,
            _fetching_keys: fetching_keys,
            readiness: Mutex::default(),
        })
    }

    /// Whether all data sources respond. The log says which do not.
    pub(super) async fn is_ready(&self) -> bool {
        let mut readiness = self.readiness.lock().await;
        if let Some((checked, ready)) = *readiness
            && checked.elapsed() < READINESS_CACHE_TIME
        {
            return ready;
        }
        let unreachable = self.data_sources.unreachable().await;
        for (name, problem) in &unreachable {
            let message = format!("not ready: the data source {name} cannot be reached: {problem}");
            self.telemetry.log("warning", &message);
        }
        *readiness = Some((Instant::now(), unreachable.is_empty()));
        unreachable.is_empty()
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("authenticator", &self.authenticator).finish_non_exhaustive()
    }
}
