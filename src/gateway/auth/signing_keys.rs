//! The gateway's own keys, which sign the tokens of logins: the file, and the tokens' form.
//!
//! A key signs from its time on, and verifies at once: instances that share the file may reload it one after the other.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bson::DateTime;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml_edit::{Datetime, Item, Table, value};

use super::keys::{parse_document, random, time, with_entry};
use super::logins::Provider;
use super::secret_file;
use crate::error::Result;
use crate::gateway::config_error::{config_error, toml_error};

/// The `iss` of the tokens.
const ISSUER: &str = "connect-mongodb-gateway";
/// The prefix of new keys' IDs.
const ID_PREFIX: &str = "gateway-";
const HEAD: &str = "\
# Keys that sign the tokens of the gateway's logins, written by `connect-mongodb gateway-key`.
# This file is secret: who can read it can log in as anybody.
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SigningKeyFile {
    #[serde(default, rename = "key")]
    keys: Vec<SigningKeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SigningKeyEntry {
    id: String,
    secret: String,
    /// From when on the key signs.
    from: Datetime,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::gateway) enum TokenUse {
    /// Sent with each request.
    Access,
    /// Exchanged for access tokens.
    Refresh,
}

/// The claims of a token of a login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    #[serde(rename = "typ")]
    token_use: TokenUse,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    pub(super) session: Session,
}

/// Who has logged in. Both tokens of a login contain it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    /// The user's ID.
    #[serde(rename = "sub")]
    pub(super) user: String,
    /// The session's ID.
    #[serde(rename = "sid")]
    pub(super) id: String,
    /// How the user has logged in.
    pub(super) provider: Provider,
    /// The version of the password or key that the user has logged in with.
    #[serde(default, rename = "ver", skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// The claims of a custom token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) claims: Option<Value>,
}

struct SigningKey {
    id: String,
    /// In seconds since 1970.
    from: i64,
    signs: EncodingKey,
    verifies: DecodingKey,
}

/// The keys of a file.
pub(super) struct SigningKeys {
    /// The latest first; never empty.
    keys: Vec<SigningKey>,
    validation: Validation,
}

fn seconds_now() -> i64 {
    DateTime::now().timestamp_millis() / 1000
}

impl SigningKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// `Configuration`, with the file's path.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        if !path.exists() {
            return config_error(format!(
                "logins.key_file: {shown} does not exist: run connect-mongodb gateway-key create --file {shown}"
            ));
        }
        match String::from_utf8(secret_file::read(path, "logins.key_file:")?) {
            Ok(text) => Self::parse(&text)
                .or_else(|cause| config_error(format!("logins.key_file: {shown} cannot be used: {}", cause.message))),
            Err(_) => config_error(format!("logins.key_file: {shown} cannot be read (it is not text)")),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let file: SigningKeyFile =
            toml_edit::de::from_str(text).map_err(|error| toml_error("the file of signing keys", text, &error))?;
        let mut keys: Vec<SigningKey> = Vec::new();
        for entry in &file.keys {
            let secret = STANDARD.decode(&entry.secret).ok().filter(|secret| secret.len() >= 32);
            let from = DateTime::parse_rfc3339_str(entry.from.to_string());
            let (Some(secret), Ok(from), false) = (secret, from, entry.id.is_empty()) else {
                return config_error("a key is invalid: write the file with connect-mongodb gateway-key");
            };
            if keys.iter().any(|key| key.id == entry.id) {
                return config_error("two keys have the same id");
            }
            keys.push(SigningKey {
                id: entry.id.clone(),
                from: from.timestamp_millis() / 1000,
                signs: EncodingKey::from_secret(&secret),
                verifies: DecodingKey::from_secret(&secret),
            });
        }
        // Of two keys with the same time, the later one in the file was added later.
        keys.reverse();
        keys.sort_by_key(|key| std::cmp::Reverse(key.from));
        if keys.is_empty() {
            return config_error("it has no key: run connect-mongodb gateway-key create");
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // Issued and verified by machines whose clocks are those of one deployment.
        validation.leeway = 5;
        validation.validate_aud = false;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Ok(Self { keys, validation })
    }

    /// Whether a token names one of these keys, so that no other key may verify it.
    pub(super) fn is_own(&self, token: &str) -> bool {
        decode_header(token).is_ok_and(|header| self.named(header.kid.as_deref()).is_some())
    }

    fn named(&self, id: Option<&str>) -> Option<&SigningKey> {
        self.keys.iter().find(|key| id == Some(&key.id))
    }

    /// Signs a token that expires after `seconds`.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub(super) fn sign(&self, token_use: TokenUse, session: &Session, seconds: u32) -> Result<String> {
        let now = seconds_now();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            token_use,
            iat: now,
            exp: now + i64::from(seconds),
            session: session.clone(),
        };
        // The first key of a file may begin in the future if clocks differ.
        let key = self.keys.iter().find(|key| key.from <= now).or(self.keys.last());
        let signed = key.and_then(|key| {
            let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
            encode(&header, &claims, &key.signs).ok()
        });
        signed.map_or_else(|| config_error("the token cannot be signed"), Ok)
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// Why the token is invalid, for the log.
    pub(super) fn verify(&self, token: &str, token_use: TokenUse) -> std::result::Result<Claims, &'static str> {
        let header = decode_header(token).map_err(|_| "the token is not a JWT")?;
        // Only HS256, whatever the token says.
        if header.alg != Algorithm::HS256 || header.crit.is_some() {
            return Err("the token has another algorithm than the gateway's");
        }
        let key = self.named(header.kid.as_deref()).ok_or("the token's signing key is unknown or was removed")?;
        let claims = decode::<Claims>(token, &key.verifies, &self.validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => "the token has expired",
                _ => "the token's signature does not match",
            })?
            .claims;
        match claims.token_use == token_use {
            true => Ok(claims),
            false if token_use == TokenUse::Access => Err("a refresh token is not an access token"),
            false => Err("an access token is not a refresh token"),
        }
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.keys.len())
    }
}

/// Adds a key to the text of a file, which may be empty, that signs from `from` on. Keys whose successor began to sign
/// before `expired` are removed, since their tokens have expired. Returns the new text.
///
/// # Errors
/// `Configuration` if the text is not a file of signing keys, or a time is invalid.
pub fn add(text: &str, from: &str, expired: &str) -> Result<String> {
    let text = if text.trim().is_empty() { HEAD } else { text };
    toml_edit::de::from_str::<SigningKeyFile>(text)
        .map_err(|error| toml_error("the file of signing keys", text, &error))?;
    let mut entry = Table::new();
    entry["id"] = value(format!("{ID_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<9>()?)));
    entry["secret"] = value(STANDARD.encode(random::<32>()?));
    entry["from"] = value(time(from)?);
    let mut document = parse_document(&with_entry(text, "key", entry)?)?;
    if let Some(keys) = document.get_mut("key").and_then(Item::as_array_of_tables_mut) {
        let began = |key: &Table| key.get("from").and_then(Item::as_datetime).map(ToString::to_string);
        let successors: Vec<String> = keys.iter().filter_map(began).filter(|from| from.as_str() < expired).collect();
        if let Some(latest) = successors.into_iter().max() {
            keys.retain(|key| began(key).is_none_or(|from| from >= latest));
        }
    }
    let text = document.to_string();
    SigningKeys::parse(&text)?;
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session { user: "5f".repeat(12), id: "s".to_owned(), provider: Provider::AnonUser, version: None, claims: None }
    }

    #[test]
    fn a_new_key_verifies_at_once_and_signs_later() {
        let first = add("", "2020-01-01T00:00:00Z", "2019-01-01T00:00:00Z").unwrap();
        let both = add(&first, "2999-01-01T00:00:00Z", "2019-01-01T00:00:00Z").unwrap();
        let (old, new) = (SigningKeys::parse(&first).unwrap(), SigningKeys::parse(&both).unwrap());
        let token = new.sign(TokenUse::Access, &session(), 60).unwrap();
        assert_eq!(old.verify(&token, TokenUse::Access).unwrap().session.user, session().user);
        let soon = add(&first, "2020-01-02T00:00:00Z", "2019-01-01T00:00:00Z").unwrap();
        let soon = SigningKeys::parse(&soon).unwrap();
        let token = soon.sign(TokenUse::Refresh, &session(), 60).unwrap();
        assert!(old.verify(&token, TokenUse::Refresh).is_err() && soon.verify(&token, TokenUse::Refresh).is_ok());
        // The key before the last one has expired with its tokens.
        let later = add(&both.replace("2999", "2021"), "2022-01-01T00:00:00Z", "2021-06-01T00:00:00Z").unwrap();
        assert_eq!(SigningKeys::parse(&later).unwrap().keys.len(), 2);
    }

    #[test]
    fn a_token_has_one_use_and_one_key() {
        let keys = SigningKeys::parse(&add("", "2020-01-01T00:00:00Z", "").unwrap()).unwrap();
        let others = SigningKeys::parse(&add("", "2020-01-01T00:00:00Z", "").unwrap()).unwrap();
        let access = keys.sign(TokenUse::Access, &session(), 60).unwrap();
        let refresh = keys.sign(TokenUse::Refresh, &session(), 60).unwrap();
        assert!(keys.is_own(&access) && !others.is_own(&access) && !keys.is_own("a.b.c"));
        assert!(keys.verify(&access, TokenUse::Access).is_ok() && keys.verify(&refresh, TokenUse::Refresh).is_ok());
        assert!(keys.verify(&access, TokenUse::Refresh).is_err() && keys.verify(&refresh, TokenUse::Access).is_err());
        assert!(others.verify(&access, TokenUse::Access).is_err());
        assert!(keys.verify(&format!("{access}x"), TokenUse::Access).is_err());
    }

    #[test]
    fn invalid_files_are_rejected_without_quoting_their_content() {
        let text = add("", "2020-01-01T00:00:00Z", "").unwrap();
        for (from, to) in [
            ("secret = \"", "secret = \"hunter2 "),
            ("from = ", "frum = "),
            ("2020-01-01T00:00:00Z", "2020-01-01"),
            ("[[key]]", "[key]"),
        ] {
            let error = SigningKeys::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
        assert!(SigningKeys::parse("").is_err());
    }
}
