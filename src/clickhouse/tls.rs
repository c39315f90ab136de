//! Certificates of encrypted connections: trusted authorities and the client's own identity.
//!
//! Certificates are always verified; that cannot be disabled.

use std::fmt;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::Error;

/// Trusted authorities and client certificate of `https` connections. The default is the system's
/// root certificates and no client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    roots: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Identity>,
}

/// A client certificate with its chain and private key.
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
    /// Trusts only the certificates of this PEM text, not the system's.
    ///
    /// # Errors
    /// A message if the text has no certificate, or one that cannot sign others.
    pub fn with_roots(mut self, pem: &[u8]) -> Result<Self, String> {
        let certificates = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        self.roots = Some(certificates);
        Ok(self)
    }

    /// Sends this certificate to servers that request one.
    ///
    /// # Errors
    /// A message if a text has no certificate or no key.
    pub fn with_identity(mut self, certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = certificates(certificate)?;
        // The parser's message could quote the text, which is a secret.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "the key file holds no private key in PEM (BEGIN PRIVATE KEY), or one that is encrypted".to_owned())?;
        self.identity = Some(Identity { chain, key: Arc::new(key) });
        self.configuration().map_err(|error| error.to_string())?;
        Ok(self)
    }

    /// Whether nothing was configured.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The configuration for the HTTP client.
    ///
    /// # Errors
    /// [`Error::Tls`] if the machine has no root certificates, or if key and certificate do not match.
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
        .map_err(|_| "a certificate in it is incomplete or not in PEM".to_owned())?;
    if found.is_empty() {
        Err("it holds no certificate in PEM (BEGIN CERTIFICATE)".to_owned())
    } else {
        Ok(found)
    }
}
