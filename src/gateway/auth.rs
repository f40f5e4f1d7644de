//! Who may call.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::error::{Error, ErrorKind, Result};

/// The shortest key that is taken, in characters.
const SHORTEST_KEY: usize = 8;

/// The keys that may call. Only their digests are kept, and all of them are
/// compared in constant time, so that the time taken tells nothing.
#[derive(Clone)]
pub struct ApiKeys {
    digests: Vec<[u8; 32]>,
}

impl ApiKeys {
    /// Reads keys from the text of a key file: one a line; empty lines and
    /// lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// `Configuration` where there is no key, or one that cannot be used, by its line.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| Err(Error::new(ErrorKind::Configuration, what));
        let mut digests = Vec::new();
        for (line, key) in text.lines().map(str::trim).enumerate() {
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return wrong(format!("line {}: a key has visible ASCII characters only, and no spaces", line + 1));
            }
            if key.len() < SHORTEST_KEY {
                return wrong(format!("line {}: a key has at least {SHORTEST_KEY} characters", line + 1));
            }
            digests.push(digest(key.as_bytes()));
        }
        if digests.is_empty() {
            return wrong("there is no key in it: write one a line".to_owned());
        }
        Ok(Self { digests })
    }

    /// Whether `key` is one of them.
    pub fn allow(&self, key: &[u8]) -> bool {
        let given = digest(key);
        self.digests.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&given)).into()
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.digests.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_a_line_each() {
        let keys = ApiKeys::parse("# ours\n\n  key-number-1  \r\nkey-number-2\n").unwrap();
        assert!(keys.allow(b"key-number-1"));
        assert!(keys.allow(b"key-number-2"));
        for key in ["", "key-number-3", "key-number-1 ", "# ours", "key-number-"] {
            assert!(!keys.allow(key.as_bytes()), "{key:?}");
        }
    }

    #[test]
    fn files_without_a_usable_key_are_refused_and_not_shown() {
        for text in ["", "# none\n", "short\n", "two words here\n", "kéy-number-1\n"] {
            let error = ApiKeys::parse(text).unwrap_err();
            assert!(text.trim().is_empty() || !error.message.contains(text.trim()), "{}", error.message);
        }
    }
}
