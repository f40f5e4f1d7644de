//! Tokens for MONGODB-OIDC from the metadata services of Azure and Google Cloud, which give a machine its identity. The
//! driver can get them too, but only with an HTTP client of its own.

use std::time::{Duration, Instant};

use bson::Document;
use futures_util::future::BoxFuture;
use mongodb::error::Error as DriverError;
use mongodb::options::Credential;
use mongodb::options::oidc::{Callback, CallbackContext, IdpServerResponse};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;

use super::error::CallbackFailed;
use crate::error::causes;
use crate::tls;

const AZURE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const GCP: &str = "http://metadata/computeMetadata/v1/instance/service-accounts/default/identity";

/// How long to wait for a token, if the driver does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A request for a token.
#[derive(Debug, Clone)]
enum MetadataService {
    Azure { resource: String, client_id: Option<String> },
    Gcp { audience: String },
}

#[derive(Deserialize)]
struct AzureToken {
    access_token: String,
    expires_in: Seconds,
}

/// Azure writes a number as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Text(String),
    Number(u64),
}

/// Replaces a credential's `ENVIRONMENT` with a callback, if it is one of a cloud.
pub(super) fn use_metadata_service(credential: &mut Credential) {
    let Some(properties) = &mut credential.mechanism_properties else { return };
    let Some(service) = MetadataService::of(properties, credential.username.as_deref()) else { return };
    // The driver accepts them only without a callback.
    properties.remove("ENVIRONMENT");
    properties.remove("TOKEN_RESOURCE");
    credential.oidc_callback = Callback::machine(move |context: CallbackContext| {
        let service = service.clone();
        let left = context.timeout.map_or(TIMEOUT, |until| until.saturating_duration_since(Instant::now()));
        let answer = async move {
            let problem = |problem| format!("no token from {}: {problem}", service.name());
            service.token(left).await.map_err(|error| DriverError::custom(CallbackFailed(problem(error))))
        };
        Box::pin(answer) as BoxFuture<'static, _>
    });
}

impl MetadataService {
    fn of(properties: &Document, user: Option<&str>) -> Option<Self> {
        let resource = properties.get_str("TOKEN_RESOURCE").ok()?.to_owned();
        match properties.get_str("ENVIRONMENT").ok()? {
            "azure" => Some(Self::Azure { resource, client_id: user.map(str::to_owned) }),
            "gcp" => Some(Self::Gcp { audience: resource }),
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Azure { .. } => "Azure's metadata service",
            Self::Gcp { .. } => "Google Cloud's metadata service",
        }
    }

    fn url(&self) -> Result<Url, String> {
        let url = match self {
            Self::Azure { resource, client_id } => {
                let id = client_id.iter().map(|id| ("client_id", id.as_str()));
                let parameters = [("api-version", "2018-02-01"), ("resource", resource.as_str())].into_iter().chain(id);
                Url::parse_with_params(AZURE, parameters)
            }
            Self::Gcp { audience } => Url::parse_with_params(GCP, [("audience", audience)]),
        };
        url.map_err(|error| error.to_string())
    }

    /// Gets a token within `timeout`.
    async fn token(&self, timeout: Duration) -> Result<IdpServerResponse, String> {
        let failed = |error: reqwest::Error| causes(&error);
        tls::install_provider();
        // The service is the machine's own: no other host may give a token.
        let client = Client::builder().redirect(Policy::none()).build().map_err(failed)?;
        let request = client.get(self.url()?).timeout(timeout);
        let request = match self {
            Self::Azure { .. } => request.header("Metadata", "true").header("Accept", "application/json"),
            Self::Gcp { .. } => request.header("Metadata-Flavor", "Google"),
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let body = response.bytes().await.map_err(failed)?;
        if status.as_u16() != 200 {
            return Err(format!("it responded with {status}"));
        }
        self.read(&body)
    }

    /// Reads a response. Errors do not contain it, since it contains the token.
    fn read(&self, body: &[u8]) -> Result<IdpServerResponse, String> {
        let (token, life) = match self {
            Self::Azure { .. } => {
                let parsed: AzureToken = serde_json::from_slice(body)
                    .map_err(|_| "its response is not JSON with access_token and expires_in".to_owned())?;
                let seconds = match parsed.expires_in {
                    Seconds::Number(seconds) => Some(seconds),
                    Seconds::Text(text) => text.parse().ok(),
                };
                let seconds = seconds.ok_or_else(|| "expires_in is not a number".to_owned())?;
                (parsed.access_token, Some(Duration::from_secs(seconds)))
            }
            Self::Gcp { .. } => {
                (String::from_utf8(body.to_vec()).map_err(|_| "its response is not text".to_owned())?, None)
            }
        };
        let token = token.trim();
        if token.is_empty() {
            return Err("its token is empty".to_owned());
        }
        Ok(IdpServerResponse::builder()
            .access_token(token)
            .expires(life.and_then(|life| Instant::now().checked_add(life)))
            .build())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn azure() -> MetadataService {
        MetadataService::Azure { resource: "api://db?".to_owned(), client_id: Some("a b".to_owned()) }
    }

    #[test]
    fn urls_contain_the_encoded_resource() {
        assert_eq!(
            azure().url().unwrap().as_str(),
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2Fdb%3F&client_id=a+b"
        );
        let gcp = MetadataService::Gcp { audience: "db&x".to_owned() };
        assert_eq!(
            gcp.url().unwrap().as_str(),
            "http://metadata/computeMetadata/v1/instance/service-accounts/default/identity?audience=db%26x"
        );
    }

    #[test]
    fn azure_writes_numbers_as_strings_or_numbers() {
        for seconds in ["\"3599\"", "3599"] {
            let body = format!(r#"{{"access_token":"secret","expires_in":{seconds},"token_type":"Bearer"}}"#);
            let token = azure().read(body.as_bytes()).unwrap();
            assert_eq!(token.access_token, "secret");
            assert!(token.expires.is_some());
        }
    }

    #[test]
    fn errors_do_not_contain_the_response() {
        for body in [
            "secret",
            r#"{"access_token":"secret"}"#,
            r#"{"access_token":"secret","expires_in":"soon"}"#,
            r#"{"access_token":" ","expires_in":1,"refresh_token":"secret"}"#,
        ] {
            assert!(!azure().read(body.as_bytes()).unwrap_err().contains("secret"), "{body}");
        }
        let gcp = MetadataService::Gcp { audience: "db".to_owned() };
        assert!(gcp.read(b"\n").is_err());
        assert_eq!(gcp.read(b"secret\n").unwrap().access_token, "secret");
    }
}
