//! Bearer tokens: JWTs whose claims hold permissions.

use std::fmt;
use std::path::Path;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::config::{JwtFile, wrong};
use super::permission::{Caller, Permission};
use crate::error::Result;

/// The shortest secret of HS256 that is taken, in bytes: as many as its hash has.
const SHORTEST_SECRET: usize = 32;
/// The longest subject that is taken, in bytes.
const LONGEST_SUBJECT: usize = 200;
/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 30;

/// The keys that sign tokens, and what a token must say.
pub struct Jwt {
    keys: Vec<SigningKey>,
    validation: Validation,
    permissions_claim: String,
}

struct SigningKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Jwt {
    /// Reads the files that the configuration names; relative paths are from `folder`.
    ///
    /// # Errors
    /// `Configuration` that names the file at fault, without what is in it.
    pub fn read(file: &JwtFile, folder: &Path) -> Result<Self> {
        let mut keys = Vec::new();
        if let Some(path) = &file.secret_file {
            let secret = read(&folder.join(path), "jwt.secret_file")?;
            let secret = secret.trim_ascii();
            if secret.len() < SHORTEST_SECRET {
                return wrong(format!("jwt.secret_file: the secret has less than {SHORTEST_SECRET} bytes"));
            }
            keys.push(SigningKey { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) });
        }
        if let Some(path) = &file.public_key_file {
            let pem = read(&folder.join(path), "jwt.public_key_file")?;
            let rsa = DecodingKey::from_rsa_pem(&pem).map(|key| (Algorithm::RS256, key));
            let either = rsa.or_else(|_| DecodingKey::from_ec_pem(&pem).map(|key| (Algorithm::ES256, key)));
            let Ok((algorithm, key)) = either else {
                return wrong("jwt.public_key_file: it is no public key (RSA, or EC on P-256) in PEM");
            };
            keys.push(SigningKey { id: None, algorithm, key });
        }
        if let Some(path) = &file.jwks_file {
            let text = read(&folder.join(path), "jwt.jwks_file")?;
            let Ok(set) = serde_json::from_slice::<JwkSet>(&text) else {
                return wrong("jwt.jwks_file: it is no JSON Web Key Set");
            };
            keys.extend(set.keys.iter().filter_map(of_set));
        }
        if keys.is_empty() {
            return wrong(
                "jwt: there is no key for RS256, ES256 or HS256: give secret_file, public_key_file or jwks_file",
            );
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &file.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &file.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { keys, validation, permissions_claim: file.permissions_claim.clone() })
    }

    /// Who a token is of; for the log, why it is nobody's.
    ///
    /// # Errors
    /// A word for what is wrong with it.
    pub fn caller(&self, token: &str) -> std::result::Result<Caller, &'static str> {
        let header = decode_header(token).map_err(|_| "the token is no JWT")?;
        if header.crit.is_some() {
            return Err("the token demands something that is not known here");
        }
        // The key decides on the algorithm, not the token.
        let usable = self.keys.iter().filter(|key| {
            key.algorithm == header.alg && (key.id.is_none() || header.kid.is_none() || key.id == header.kid)
        });
        let mut problem = "no key is for the token's algorithm and key id";
        for key in usable {
            let validation = Validation { algorithms: vec![key.algorithm], ..self.validation.clone() };
            match decode::<Value>(token, &key.key, &validation) {
                Ok(token) => return self.of_claims(&token.claims),
                Err(error) => problem = described(&error),
            }
        }
        Err(problem)
    }

    fn of_claims(&self, claims: &Value) -> std::result::Result<Caller, &'static str> {
        let subject = claims.get("sub").and_then(Value::as_str).ok_or("the token's sub is no text")?;
        if subject.is_empty() || subject.len() > LONGEST_SUBJECT {
            return Err("the token's sub is empty, or too long");
        }
        // One that is a list is compared item by item, so that it could name another issuer as well.
        if claims.get("iss").is_some_and(|issuer| !issuer.is_string()) {
            return Err("the token's iss is no text");
        }
        let permissions = claims.get(&self.permissions_claim).ok_or("the token has no permissions")?;
        let permissions: Vec<Permission> =
            serde_json::from_value(permissions.clone()).map_err(|_| "the token's permissions cannot be read")?;
        Ok(Caller { name: format!("token:{subject}").into(), permissions: permissions.into() })
    }
}

fn described(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind as Kind;
    match error.kind() {
        Kind::ExpiredSignature => "the token has expired",
        Kind::ImmatureSignature => "the token is not valid yet",
        Kind::InvalidIssuer => "the token is of another issuer",
        Kind::InvalidAudience => "the token is for another audience",
        Kind::MissingRequiredClaim(_) => "the token lacks a claim: exp, sub, iss or aud",
        _ => "the token's signature does not match",
    }
}

/// A key of a set, if it is one that verifies signatures.
fn of_set(key: &Jwk) -> Option<SigningKey> {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, KeyAlgorithm, PublicKeyUse};
    if key.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    // A symmetric key has no place in a public set.
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    let said = match key.common.key_algorithm {
        Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
        Some(KeyAlgorithm::ES256) => Some(Algorithm::ES256),
        Some(_) => return None,
        None => None,
    };
    if said.is_some_and(|said| said != algorithm) {
        return None;
    }
    let verifying = DecodingKey::from_jwk(key).ok()?;
    Some(SigningKey { id: key.common.key_id.clone(), algorithm, key: verifying })
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).or_else(|error| wrong(format!("{what}: {} cannot be read ({error})", path.display())))
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwt({})", self.keys.len())
    }
}
