//! Why an encrypted connection could not be made, in words that say what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as RustlsError};

/// What does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProblem {
    /// The server's certificate is signed by nobody who is trusted.
    UnknownIssuer,
    /// The server's certificate is for other names than the URL's.
    WrongName,
    /// The server's certificate is out of date, or the clock is.
    Expired,
    /// The server's certificate cannot be used for another reason.
    Certificate,
    /// The server asks for a certificate of the client, or refuses the one it was shown.
    ClientCertificate,
    /// The answer is something else, such as HTTP without TLS.
    NotTls,
    /// The answer is not HTTP where it should be, as from a server that speaks TLS and was spoken
    /// to without.
    NotPlain,
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnknownIssuer => "its certificate is signed by nobody who is trusted here",
            Self::WrongName => "its certificate is not for the host in the URL",
            Self::Expired => "its certificate is out of date",
            Self::Certificate => "its certificate cannot be used",
            Self::ClientCertificate => "it does not take the client certificate, or asks for one",
            Self::NotTls => "its answer is not TLS",
            Self::NotPlain => "its answer is not plain HTTP",
        })
    }
}

impl TlsProblem {
    /// Whether trying again is of no use.
    pub fn is_lasting(self) -> bool {
        // The others can also be what bytes look like that were damaged on their way.
        matches!(
            self,
            Self::UnknownIssuer
                | Self::WrongName
                | Self::Expired
                | Self::Certificate
                | Self::ClientCertificate
        )
    }

    /// The problem in a chain of causes, if there is one.
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
            // An I/O error hides the error that it was made of, and gives that one's source as its
            // own.
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
            // The certificate names an authority like the one that is trusted, and was signed by
            // another.
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied,
        ) => Some(TlsProblem::ClientCertificate),
        RustlsError::InvalidMessage(_) => Some(TlsProblem::NotTls),
        _ => None,
    }
}
