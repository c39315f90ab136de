//! Encrypted connections: which certificates are trusted, and as whom the program shows itself.
//!
//! Certificates are always verified; there is no way to switch that off. What is wrong when they
//! are refused is in `handshake`.

use std::fmt;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::Error;

/// What is trusted and shown on `https` connections. By default the system's root certificates, and
/// nothing is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    roots: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Identity>,
}

/// A certificate with those that signed it, and its private key.
#[derive(Clone, PartialEq, Eq)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// Never shows the key.
impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({} certificates, key hidden)", self.chain.len())
    }
}

impl Tls {
    /// Trusts the certificates of this PEM text and no others, the system's included.
    ///
    /// # Errors
    /// The words for a text without a certificate, or with one that cannot sign others.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self, String> {
        let certificates = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        self.roots = Some(certificates);
        Ok(self)
    }

    /// Shows this certificate to servers that ask for one.
    ///
    /// # Errors
    /// The words for texts without a certificate or a key.
    pub fn with_identity(mut self, certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = certificates(certificate)?;
        // The parser's words could quote the text, which is a secret.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "the key file holds no private key in PEM (BEGIN PRIVATE KEY), or one that is encrypted".to_owned())?;
        self.identity = Some(Identity { chain, key: Arc::new(key) });
        self.configuration().map_err(|error| error.to_string())?;
        Ok(self)
    }

    /// Whether anything but the default was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What the HTTP client needs.
    ///
    /// # Errors
    /// [`Error::Tls`] where the machine has no root certificates, or key and certificate do not
    /// belong together.
    pub(super) fn configuration(&self) -> Result<ClientConfig, Error> {
        let failed = |error: rustls::Error| Error::Tls(error.to_string());
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
        let builder = if let Some(certificates) = &self.roots {
            let mut store = RootCertStore::empty();
            for certificate in certificates {
                store.add(certificate.clone()).map_err(failed)?;
            }
            builder.with_root_certificates(store)
        } else {
            let missing = |error| {
                Error::Tls(format!("no root certificates were found on this machine: {error}"))
            };
            builder.with_native_roots().map_err(missing)?
        };
        match &self.identity {
            Some(Identity { chain, key }) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(failed)
            }
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if found.is_empty() {
        Err("it holds no certificate in PEM (BEGIN CERTIFICATE)".to_owned())
    } else {
        Ok(found)
    }
}
