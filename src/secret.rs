//! A text that must not be seen: passwords, API keys, connection strings.

use std::fmt;
use std::hash::{Hash, Hasher};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// A secret text: wiped from memory when dropped, never printed. Compared in
/// constant time, so that it may be part of a key.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. What calls this must not let it reach a message.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What stands for a value that is not stored or shown.
pub const REDACTED: &str = "***";

/// What the digest of a value that is not stored begins with.
pub const REDACTED_DIGEST: &str = "hmac-sha256:";

/// Whether a text stands for a value that was redacted.
pub fn is_redacted(text: &str) -> bool {
    text == REDACTED || text.starts_with(REDACTED_DIGEST)
}
