//! Who may call, and how often.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::config::{JwtFile, read_keys};
use super::jwt::Jwt;
use super::keys::ApiKeys;
use super::permission::Caller;
use crate::error::Result;

/// The keys and tokens that are taken, and where they are read again from.
pub struct Auth {
    keys_file: Option<PathBuf>,
    jwt_file: Option<JwtFile>,
    folder: PathBuf,
    keys: ArcSwapOption<ApiKeys>,
    jwt: ArcSwapOption<Jwt>,
}

/// What the files said.
pub struct Read {
    keys: Option<Arc<ApiKeys>>,
    jwt: Option<Arc<Jwt>>,
}

/// Why a request is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It has neither a key nor a token.
    Unsaid,
    /// Its key is none, or has ended.
    Key,
    /// Its token is none, by this reason.
    Token(&'static str),
}

impl Unknown {
    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unsaid => "no key",
            Self::Key => "a key that is none or has ended",
            Self::Token(reason) => reason,
        }
    }
}

impl Auth {
    /// Reads the key file and what signs tokens.
    ///
    /// # Errors
    /// `Configuration` that names the file at fault.
    pub fn new(keys_file: Option<PathBuf>, jwt_file: Option<JwtFile>, folder: PathBuf) -> Result<Self> {
        let auth = Self { keys_file, jwt_file, folder, keys: ArcSwapOption::empty(), jwt: ArcSwapOption::empty() };
        auth.take_over(auth.read()?);
        Ok(auth)
    }

    /// Reads the files, for [`Auth::take_over`].
    ///
    /// # Errors
    /// As [`Auth::new`].
    pub fn read(&self) -> Result<Read> {
        let keys = self.keys_file.as_deref().map(read_keys).transpose()?;
        let jwt = self.jwt_file.as_ref().map(|file| Jwt::read(file, &self.folder)).transpose()?;
        Ok(Read { keys: keys.map(Arc::new), jwt: jwt.map(Arc::new) })
    }

    /// Uses what was read, for the requests to come.
    pub fn take_over(&self, read: Read) {
        self.keys.store(read.keys);
        self.jwt.store(read.jwt);
    }

    /// Who a request is of.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub fn caller(&self, headers: &HeaderMap) -> std::result::Result<Caller, Unknown> {
        if let Some(key) = headers.get("api-key").or_else(|| headers.get("apikey")) {
            return self.keys.load().as_ref().and_then(|keys| keys.caller(key.as_bytes())).ok_or(Unknown::Key);
        }
        let Some(authorization) = headers.get(AUTHORIZATION) else { return Err(Unknown::Unsaid) };
        let bearer = authorization.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = bearer else { return Err(Unknown::Token("the Authorization is no bearer token")) };
        match self.jwt.load().as_ref() {
            Some(jwt) => jwt.caller(token).map_err(Unknown::Token),
            None => Err(Unknown::Token("tokens are not taken")),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("keys_file", &self.keys_file).finish_non_exhaustive()
    }
}

/// How often each caller may call: so many times a second, and so many at once.
pub struct Rates {
    per_second: f64,
    burst: f64,
    /// What each has left, and when it was counted.
    left: Mutex<HashMap<Arc<str>, (f64, Instant)>>,
}

/// The most callers that are counted: with tokens, names come from outside.
const MOST_COUNTED: usize = 10_000;

impl Rates {
    /// Rates of so many a second.
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, left: Mutex::default() }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// How long to wait before the next, where it is one too many.
    pub fn count(&self, caller: &Arc<str>) -> std::result::Result<(), Duration> {
        let now = Instant::now();
        let refilled = |(left, at): (f64, Instant)| {
            (now.saturating_duration_since(at).as_secs_f64().mul_add(self.per_second, left)).min(self.burst)
        };
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_COUNTED && !all.contains_key(caller) {
            // Who has all of it left again needs not be remembered.
            all.retain(|_, counted| refilled(*counted) < self.burst);
            if all.len() >= MOST_COUNTED {
                return Err(Duration::from_secs(1));
            }
        }
        let counted = all.entry(Arc::clone(caller)).or_insert((self.burst, now));
        let left = refilled(*counted);
        *counted = (left, now);
        if left < 1.0 {
            return Err(
                Duration::try_from_secs_f64((1.0 - left) / self.per_second).unwrap_or(Duration::from_secs(3600))
            );
        }
        counted.0 = left - 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_calls_too_often_waits_and_others_do_not() {
        let rates = Rates::new(0.001, 2.0);
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        assert!(rates.count(&one).is_ok() && rates.count(&one).is_ok());
        assert!(rates.count(&one).is_err_and(|wait| wait > Duration::from_secs(900)));
        assert!(rates.count(&other).is_ok());
    }

    #[test]
    fn callers_that_are_counted_have_a_bound() {
        let rates = Rates::new(0.001, 1.0);
        for number in 0..MOST_COUNTED + 10 {
            let counted = rates.count(&number.to_string().into());
            assert_eq!(counted.is_ok(), number < MOST_COUNTED);
        }
        assert_eq!(rates.left.lock().map(|left| left.len()).ok(), Some(MOST_COUNTED));
    }
}
