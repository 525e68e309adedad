//! Causes of a failed TLS handshake, in words for a person.
//!
//! Must not quote what the other side sent.

use rustls::{CertificateError, Error};

/// The cause; none where the words would say no more than that it failed.
pub(super) fn cause(error: &Error) -> Option<&'static str> {
    match error {
        Error::InvalidCertificate(error) => Some(certificate(error)),
        Error::PeerIncompatible(_) => Some("the server and the operator have no TLS version or cipher in common"),
        Error::NoCertificatesPresented => Some("the server sent no certificate"),
        Error::AlertReceived(_) => {
            Some("the server ended the TLS handshake; its log says why, and it may ask for a client certificate, which is not supported")
        }
        _ => None,
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the server's certificate, or its authority's, has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate, or its authority's, is not valid yet"
        }
        CertificateError::UnknownIssuer => "the server's certificate is signed by an authority that the CA Secret does not hold",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is not for the name in spec.host: that must be among its subjectAltNames"
        }
        CertificateError::BadEncoding => "the server's certificate cannot be read",
        CertificateError::BadSignature => "the server's certificate, or its proof that it has the key, has a wrong signature",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers: its extendedKeyUsage must have serverAuth"
        }
        CertificateError::Other(error) => match error.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "the server's certificate is an authority's own (basicConstraints CA:TRUE), as a self-signed one made by `openssl req -x509` is: let that \
                 authority sign a certificate for the server"
            }
            Some(webpki::Error::EndEntityUsedAsCa) => {
                "the CA Secret holds a server's certificate (basicConstraints CA:FALSE) in place of its authority's"
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "the server's certificate is of X.509 version 1, as `openssl x509 -req` makes it without extensions: sign one of version 3 with a subjectAltName"
            }
            _ => "the server's certificate does not verify",
        },
        _ => "the server's certificate does not verify",
    }
}
