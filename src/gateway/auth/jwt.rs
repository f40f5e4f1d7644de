//! Bearer tokens: JWTs whose claims hold permissions.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::Bson;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::jwks::RemoteKeys;
use super::logins::Provider;
use super::permission::{Caller, Permission};
use super::secret_file;
use crate::error::Result;
use crate::gateway::config_error::config_error;

/// The minimum length of an HS256 secret, in bytes: the length of its hash.
const MIN_SECRET_BYTES: usize = 32;
/// The maximum length of `sub`, in bytes.
const MAX_SUBJECT_BYTES: usize = 200;
/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 30;

/// The `[jwt]` table of the configuration. Relative paths are resolved against its folder.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct JwtConfig {
    /// The secret for HS256.
    secret_file: Option<PathBuf>,
    /// The public key for RS256 or ES256, in PEM.
    public_key_file: Option<PathBuf>,
    /// Public keys as a JSON Web Key Set.
    jwks_file: Option<PathBuf>,
    /// The URL of a JSON Web Key Set.
    pub(super) jwks_url: Option<String>,
    /// The required `iss`.
    issuer: Option<String>,
    /// The required `aud`.
    audience: Option<String>,
    /// The claim with the token's permissions.
    #[serde(default = "default_permissions_claim")]
    permissions_claim: String,
}

impl JwtConfig {
    /// The files.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.secret_file, &self.public_key_file, &self.jwks_file].into_iter().flatten()
    }
}

fn default_permissions_claim() -> String {
    "permissions".to_owned()
}

/// Verifies tokens and reads their permissions.
pub(super) struct JwtVerifier {
    keys: Vec<VerificationKey>,
    remote: Option<Arc<RemoteKeys>>,
    validation: Validation,
    permissions_claim: String,
}

/// A public key or a secret.
pub(super) struct VerificationKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    /// What tells the key from others, for sessions that began with a token of it.
    digest: String,
}

/// The digest of a key.
fn digest(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(key)[..16])
}

impl JwtVerifier {
    /// Reads the files of a configuration; relative paths are resolved against `folder`. `remote` has the keys of the
    /// configuration's URL.
    ///
    /// # Errors
    /// `Configuration`, with the file that cannot be used but without its content.
    pub(super) fn read(config: &JwtConfig, folder: &Path, remote: Option<Arc<RemoteKeys>>) -> Result<Self> {
        let mut keys = Vec::new();
        if let Some(path) = &config.secret_file {
            let secret = secret_file::read(&folder.join(path), "jwt.secret_file:")?;
            let secret = secret.trim_ascii();
            if secret.len() < MIN_SECRET_BYTES {
                return config_error(format!(
                    "jwt.secret_file: the secret must have at least {MIN_SECRET_BYTES} bytes"
                ));
            }
            let (key, digest) = (DecodingKey::from_secret(secret), digest(secret));
            keys.push(VerificationKey { id: None, algorithm: Algorithm::HS256, key, digest });
        }
        if let Some(path) = &config.public_key_file {
            let pem = read_file(&folder.join(path), "jwt.public_key_file")?;
            let rsa = DecodingKey::from_rsa_pem(&pem).map(|key| (Algorithm::RS256, key));
            let either = rsa.or_else(|_| DecodingKey::from_ec_pem(&pem).map(|key| (Algorithm::ES256, key)));
            let Ok((algorithm, key)) = either else {
                return config_error("jwt.public_key_file: the file must be a public key (RSA, or EC on P-256) in PEM");
            };
            keys.push(VerificationKey { id: None, algorithm, key, digest: digest(&pem) });
        }
        if let Some(path) = &config.jwks_file {
            let text = read_file(&folder.join(path), "jwt.jwks_file")?;
            let Ok(set) = serde_json::from_slice::<JwkSet>(&text) else {
                return config_error("jwt.jwks_file: the file must be a JSON Web Key Set");
            };
            keys.extend(set.keys.iter().filter_map(verification_key));
        }
        if keys.is_empty() && remote.is_none() {
            return config_error(
                "jwt: no key for RS256, ES256 or HS256: set secret_file, public_key_file, jwks_file or jwks_url",
            );
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &config.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { keys, remote, validation, permissions_claim: config.permissions_claim.clone() })
    }

    /// Returns the caller of a token.
    ///
    /// # Errors
    /// Why the token is invalid, for the log.
    pub(super) fn caller(&self, token: &str) -> std::result::Result<Caller, &'static str> {
        self.caller_from_claims(&self.claims(token)?.0)
    }

    /// Verifies a token. Returns its claims, and the version of the key that has signed it.
    ///
    /// # Errors
    /// Why the token is invalid, for the log.
    pub(super) fn claims(&self, token: &str) -> std::result::Result<(Value, String), &'static str> {
        let header = decode_header(token).map_err(|_| "the token is not a JWT")?;
        if header.crit.is_some() {
            return Err("the token has an unsupported critical header");
        }
        // The key determines the algorithm, never the token.
        let is_usable = |key: &&VerificationKey| {
            key.algorithm == header.alg && (key.id.is_none() || header.kid.is_none() || key.id == header.kid)
        };
        let fetched = self.remote.as_ref().map(|remote| remote.keys());
        let all = self.keys.iter().chain(fetched.iter().flat_map(|keys| keys.iter()));
        let mut problem = "no key matches the token's algorithm and key ID";
        let mut known = false;
        for key in all.filter(is_usable) {
            known = true;
            let validation = Validation { algorithms: vec![key.algorithm], ..self.validation.clone() };
            match decode::<Value>(token, &key.key, &validation) {
                Ok(token) => return Ok((token.claims, key.digest.clone())),
                Err(error) => problem = describe(&error),
            }
        }
        if !known && let Some(remote) = &self.remote {
            remote.want_unknown_key();
        }
        Err(problem)
    }

    /// Whether a key of this version still verifies tokens.
    pub(super) fn has_version(&self, version: &str) -> bool {
        let fetched = self.remote.as_ref().map(|remote| remote.keys());
        let mut all = self.keys.iter().chain(fetched.iter().flat_map(|keys| keys.iter()));
        all.any(|key| key.digest == version)
    }

    /// Returns the caller of the claims of a verified token.
    ///
    /// # Errors
    /// Why the claims are invalid, for the log.
    pub(super) fn caller_from_claims(&self, claims: &Value) -> std::result::Result<Caller, &'static str> {
        let subject = claims.get("sub").and_then(Value::as_str).ok_or("the token's sub is not a string")?;
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err("the token's sub is empty or too long");
        }
        // A list would be compared item by item, so it could name other issuers as well.
        if claims.get("iss").is_some_and(|issuer| !issuer.is_string()) {
            return Err("the token's iss is not a string");
        }
        let permissions = claims.get(&self.permissions_claim).ok_or("the token has no permissions")?;
        let permissions: Vec<Permission> =
            serde_json::from_value(permissions.clone()).map_err(|_| "the token's permissions are invalid")?;
        let Bson::Document(mut user) = bson_of_claims(claims) else { return Err("the token's claims cannot be read") };
        user.insert("id", subject);
        user.insert("type", Provider::CustomToken.name());
        Ok(Caller {
            name: format!("token:{subject}").into(),
            permissions: permissions.into(),
            user: std::sync::Arc::new(user),
        })
    }
}

/// The value of a claim. An object is a document, even one that Extended JSON would read as another type.
fn bson_of_claims(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32),
            None => number.as_f64().map_or(Bson::Null, Bson::Double),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => items.iter().map(bson_of_claims).collect(),
        Value::Object(fields) => {
            Bson::Document(fields.iter().map(|(name, value)| (name.clone(), bson_of_claims(value))).collect())
        }
    }
}

fn describe(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token has another issuer",
        ErrorKind::InvalidAudience => "the token has another audience",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a required claim: exp, sub, iss or aud",
        _ => "the token's signature does not match",
    }
}

/// Converts a key of a set; `None` if it cannot verify signatures.
pub(super) fn verification_key(key: &Jwk) -> Option<VerificationKey> {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, KeyAlgorithm, PublicKeyUse};
    if key.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    // A symmetric key in a public set would not be secret.
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    let declared = match key.common.key_algorithm {
        Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
        Some(KeyAlgorithm::ES256) => Some(Algorithm::ES256),
        Some(_) => return None,
        None => None,
    };
    if declared.is_some_and(|declared| declared != algorithm) {
        return None;
    }
    let decoding_key = DecodingKey::from_jwk(key).ok()?;
    let digest = digest(&serde_json::to_vec(&key.algorithm).ok()?);
    Some(VerificationKey { id: key.common.key_id.clone(), algorithm, key: decoding_key, digest })
}

fn read_file(path: &Path, setting: &str) -> Result<Vec<u8>> {
    std::fs::read(path).or_else(|error| config_error(format!("{setting}: {} cannot be read ({error})", path.display())))
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwtVerifier({})", self.keys.len())
    }
}
