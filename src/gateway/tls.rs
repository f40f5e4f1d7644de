//! TLS in front: the gateway's certificate, which may be renewed while it runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::config::{TlsFile, wrong};
use crate::error::Result;

/// The certificate in use, and where it came from.
pub struct Certificates {
    file: TlsFile,
    folder: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl Certificates {
    /// Reads the files; relative paths are from `folder`.
    ///
    /// # Errors
    /// `Configuration` that names the file at fault.
    pub fn read(file: TlsFile, folder: PathBuf) -> Result<Self> {
        let current = ArcSwap::from(server_config(&file, &folder)?);
        Ok(Self { file, folder, current })
    }

    /// Reads the files again, for [`Certificates::take_over`].
    ///
    /// # Errors
    /// As [`Certificates::read`].
    pub fn reread(&self) -> Result<Arc<ServerConfig>> {
        server_config(&self.file, &self.folder)
    }

    /// Uses what was read, for the connections to come.
    pub fn take_over(&self, read: Arc<ServerConfig>) {
        self.current.store(read);
    }

    /// For the next connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("certificate", &self.file.certificate).finish_non_exhaustive()
    }
}

fn fault<T>(name: &str, path: &Path, what: impl fmt::Display) -> Result<T> {
    wrong(format!("tls.{name}: {} cannot be used ({what})", path.display()))
}

fn certificates(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => fault(name, path, "there is no certificate in it"),
        Err(error) => fault(name, path, error),
    }
}

fn server_config(file: &TlsFile, folder: &Path) -> Result<Arc<ServerConfig>> {
    let (certificate, key) = (folder.join(&file.certificate), folder.join(&file.key));
    let chain = certificates("certificate", &certificate)?;
    let private = PrivateKeyDer::from_pem_file(&key).or_else(|error| fault("key", &key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .or_else(|error| fault("certificate", &certificate, error))?;
    let builder = match &file.client_ca {
        Some(path) => {
            let path = folder.join(path);
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca", &path)? {
                roots.add(authority).or_else(|error| fault("client_ca", &path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if file.client_certificate_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().or_else(|error| fault("client_ca", &path, error))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, private).or_else(|error| fault("key", &key, error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
