//! TLS: the gateway's certificate, which can be renewed while the gateway runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;

use crate::error::Result;
use crate::gateway::config_error::config_error;
use crate::tls;

/// The `[tls]` table of the configuration. Relative paths are resolved against its folder.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gateway) struct TlsConfig {
    /// The certificate with its chain, in PEM.
    certificate: PathBuf,
    /// The private key, in PEM.
    key: PathBuf,
    /// The certificate authorities of client certificates, in PEM.
    client_ca: Option<PathBuf>,
    /// Whether clients without a certificate may connect although `client_ca` is set.
    #[serde(default)]
    client_certificate_optional: bool,
}

/// The certificate in use, and the files to reload it from.
pub struct Certificates {
    config: TlsConfig,
    folder: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl Certificates {
    /// Reads the files; relative paths are resolved against `folder`.
    ///
    /// # Errors
    /// `Configuration`, with the setting and the file that cannot be used.
    pub(in crate::gateway) fn new(config: TlsConfig, folder: PathBuf) -> Result<Self> {
        let current = ArcSwap::from(server_config(&config, &folder)?);
        Ok(Self { config, folder, current })
    }

    /// Reads the files again, for [`Certificates::replace`].
    ///
    /// # Errors
    /// As for [`Certificates::new`].
    pub(in crate::gateway) fn read(&self) -> Result<Arc<ServerConfig>> {
        server_config(&self.config, &self.folder)
    }

    /// The files.
    pub(in crate::gateway) fn files(&self) -> Vec<PathBuf> {
        let config = &self.config;
        let files = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
        files.into_iter().flatten().map(|path| self.folder.join(path)).collect()
    }

    /// Uses another configuration for the connections that follow.
    pub(in crate::gateway) fn replace(&self, config: Arc<ServerConfig>) {
        self.current.store(config);
    }

    /// The configuration for the next connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("certificate", &self.config.certificate).finish_non_exhaustive()
    }
}

fn error<T>(setting: &str, path: &Path, problem: impl fmt::Display) -> Result<T> {
    config_error(format!("tls.{setting}: {} cannot be used ({problem})", path.display()))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => error(setting, path, "it contains no certificate"),
        Err(cause) => error(setting, path, cause),
    }
}

fn server_config(config: &TlsConfig, folder: &Path) -> Result<Arc<ServerConfig>> {
    let (certificate, key) = (folder.join(&config.certificate), folder.join(&config.key));
    let chain = certificates("certificate", &certificate)?;
    let private = PrivateKeyDer::from_pem_file(&key).or_else(|cause| error("key", &key, cause))?;
    let provider = tls::provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .or_else(|cause| error("certificate", &certificate, cause))?;
    let builder = match &config.client_ca {
        Some(path) => {
            let path = folder.join(path);
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca", &path)? {
                roots.add(authority).or_else(|cause| error("client_ca", &path, cause))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if config.client_certificate_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().or_else(|cause| error("client_ca", &path, cause))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_single_cert(chain, private).or_else(|cause| error("key", &key, cause))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}
