//! Certificates for a server.

use std::fmt;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ServeError;

/// How a server proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    SelfSigned,
    Pem { certificates: String, key: String },
}

impl Tls {
    /// With a certificate that the server makes when it starts, for `localhost`, 127.0.0.1 and ::1. Clients trust it by
    /// [`Server::certificate_pem`](super::Server::certificate_pem), or do not look at it.
    pub fn self_signed() -> Self {
        Self(Kind::SelfSigned)
    }

    /// With this chain of certificates, the server's own first, and its private key, both in PEM.
    pub fn pem(certificates: impl Into<String>, key: impl Into<String>) -> Self {
        Self(Kind::Pem { certificates: certificates.into(), key: key.into() })
    }

    /// The certificates in PEM and what speaks TLS with them.
    pub(super) fn acceptor(&self) -> Result<(String, TlsAcceptor), ServeError> {
        match &self.0 {
            Kind::SelfSigned => {
                let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
                let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).map_err(no_tls)?;
                acceptor(cert.pem(), &signing_key.serialize_pem())
            }
            Kind::Pem { certificates, key } => acceptor(certificates.clone(), key),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::SelfSigned => "Tls::self_signed()",
            Kind::Pem { .. } => "Tls::pem(..)",
        })
    }
}

fn acceptor(certificates: String, key: &str) -> Result<(String, TlsAcceptor), ServeError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(certificates.as_bytes()).collect::<Result<_, _>>().map_err(no_tls)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(no_tls)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(no_tls)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(no_tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((certificates, TlsAcceptor::from(Arc::new(config))))
}

fn no_tls(error: impl std::error::Error + Send + Sync + 'static) -> ServeError {
    ServeError::Tls(Box::new(error))
}
