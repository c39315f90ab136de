//! Why a TLS handshake failed, in words that say what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as RustlsError};

/// What is wrong with a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProblem {
    /// The server's certificate is not signed by a trusted authority.
    UnknownIssuer,
    /// The server's certificate is for another host.
    WrongName,
    /// The server's certificate has expired, or the clock is wrong.
    Expired,
    /// The server's certificate is invalid for another reason.
    Certificate,
    /// The server requires a client certificate, or rejects the one that was sent.
    ClientCertificate,
    /// The response is not TLS, for example plain HTTP.
    NotTls,
    /// The response is not plain HTTP, for example because the port is for TLS.
    NotPlain,
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnknownIssuer => "its certificate is not signed by a trusted authority",
            Self::WrongName => "its certificate is not for the host in the URL",
            Self::Expired => "its certificate has expired or is not yet valid",
            Self::Certificate => "its certificate is invalid",
            Self::ClientCertificate => {
                "it requires a client certificate, or rejects the one that was sent"
            }
            Self::NotTls => "its response is not TLS",
            Self::NotPlain => "its response is not plain HTTP",
        })
    }
}

impl TlsProblem {
    /// Whether another attempt would fail as well.
    pub fn is_lasting(self) -> bool {
        // The others can also be caused by damaged bytes.
        matches!(
            self,
            Self::UnknownIssuer
                | Self::WrongName
                | Self::Expired
                | Self::Certificate
                | Self::ClientCertificate
        )
    }

    /// The handshake problem in a chain of causes, if any.
    pub(super) fn of(error: &(dyn StdError + 'static), encrypted: bool) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<RustlsError>() {
                return of_rustls(error);
            }
            if !encrypted
                && error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
            {
                return Some(Self::NotPlain);
            }
            // An I/O error skips the error that it wraps, and returns that one's source.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }
}

fn of_rustls(error: &RustlsError) -> Option<TlsProblem> {
    match error {
        RustlsError::InvalidCertificate(error) => Some(match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsProblem::WrongName,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::Expired,
            _ => TlsProblem::Certificate,
        }),
        RustlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            // The certificate names a trusted authority but was signed by another.
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => Some(TlsProblem::ClientCertificate),
        RustlsError::InvalidMessage(_) => Some(TlsProblem::NotTls),
        _ => None,
    }
}
