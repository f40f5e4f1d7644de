//! The cryptography of TLS: AWS-LC, for all connections. The credentials of MONGODB-AWS need it, and a second library
//! would make the wheel larger.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Returns AWS-LC as rustls takes it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes AWS-LC the provider of this process, which HTTP clients use. A second installation has no effect, and neither
/// has one after another user of rustls has installed a provider.
pub(crate) fn install_provider() {
    drop(aws_lc_rs::default_provider().install_default());
}
