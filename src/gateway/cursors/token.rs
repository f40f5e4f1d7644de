//! The tokens of cursors: encrypted and authenticated with AES-256-GCM, by a key that instances share.
//!
//! Each token has a key of its own, derived from 24 random bytes at its beginning, so that the number of tokens is not
//! limited by that of nonces.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a key is derived for.
pub(in crate::gateway) const PURPOSE: &[u8] = b"connect-mongodb gateway: cursors, 1";

/// The bytes from which a token's key is derived.
const SALT_BYTES: usize = 24;

/// The key of all tokens.
pub(in crate::gateway) struct TokenKey([u8; 32]);

impl TokenKey {
    /// A key that is already derived for [`PURPOSE`].
    pub(in crate::gateway) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Derives a key from a secret.
    pub(in crate::gateway) fn of_secret(secret: &[u8]) -> Self {
        Self(derived(secret, PURPOSE))
    }

    /// A key that only this process has.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(in crate::gateway) fn random() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(std::io::Error::other)?;
        Ok(Self(key))
    }

    fn cipher(&self, salt: &[u8]) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &derived(&self.0, salt)).ok().map(LessSafeKey::new)
    }

    /// Encrypts the content of a token. `None` if the system has no random numbers.
    pub(super) fn seal(&self, content: &[u8]) -> Option<String> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).ok()?;
        let mut sealed = content.to_vec();
        self.cipher(&salt)?.seal_in_place_append_tag(nonce(), Aad::from(PURPOSE), &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&salt[..], &sealed].concat()))
    }

    /// Decrypts a token. `None` if another key made it, or if it was changed.
    pub(super) fn open(&self, token: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (salt, sealed) = bytes.split_at_mut_checked(SALT_BYTES)?;
        Some(self.cipher(salt)?.open_in_place(nonce(), Aad::from(PURPOSE), sealed).ok()?.to_vec())
    }
}

/// Always the same: each token has a key of its own.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn derived(key: &[u8], purpose: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(hmac) => hmac.chain_update(purpose).finalize().into_bytes().into(),
        // HMAC accepts a key of any length.
        Err(_) => [0; 32],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_opened_by_its_key_only_and_unchanged_only() {
        let key = TokenKey::of_secret(b"secret");
        let token = key.seal(b"content").unwrap();
        assert_eq!(key.open(&token).as_deref(), Some(&b"content"[..]));
        assert_ne!(key.seal(b"content").unwrap(), token);
        assert_eq!(TokenKey::of_secret(b"other").open(&token), None);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert_eq!(key.open(&URL_SAFE_NO_PAD.encode(&changed)), None, "{index}");
            assert_eq!(key.open(&URL_SAFE_NO_PAD.encode(&bytes[..index])), None, "{index}");
        }
        for other in ["", "a", "no base64!", "ä"] {
            assert_eq!(key.open(other), None, "{other}");
        }
    }
}
