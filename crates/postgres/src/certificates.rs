//! The certificates of an authority, taken out of PEM text that people put together by hand.
//!
//! Must not let anything else through: what is returned here is given to every school, and a combined file may hold a private key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Characters in a line of PEM.
const LINE: usize = 64;

/// Why a text is no list of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none in it.
    #[error("holds no certificate (a block BEGIN CERTIFICATE)")]
    None,
    /// A block cannot be read, or is called a certificate and is none.
    #[error("holds a certificate that cannot be read: number {0}")]
    Unreadable(usize),
}

/// The certificates in `pem`, in their order and in one form. Everything else, such as private keys, parameters and remarks, is left out.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn only(pem: &[u8]) -> Result<String, Error> {
    let mut text = String::new();
    let mut authorities = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let unreadable = Error::Unreadable(index + 1);
        let certificate = certificate.map_err(|_| unreadable)?;
        // A private key under the title of a certificate is none.
        authorities.add(certificate.clone()).map_err(|_| unreadable)?;
        write(&mut text, &certificate);
    }
    if text.is_empty() { Err(Error::None) } else { Ok(text) }
}

fn write(text: &mut String, certificate: &CertificateDer<'_>) {
    let encoded = STANDARD.encode(certificate);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, others) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = others;
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of nobody: made for this test, valid for a hundred years.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBiDCCAS+gAwIBAgIUbj0X5IIo3BB4z2XQ5GLlenJiAVwwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTI3MDk0MTMxWhgPMjEy
NjExMDMwOTQxMzFaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAE15bMBwdVcW8W+Bf3Dsyh2DXh5yR28N0DWSv2drhE
1Xyf25bxRomIoG9PRHlAASh++QCB2vCFWYHMvkezHfnWgKNTMFEwHQYDVR0OBBYE
FG9EZqe7a+J05D+5BJgK5tyF53NYMB8GA1UdIwQYMBaAFG9EZqe7a+J05D+5BJgK
5tyF53NYMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgKpo1zLHI
lxgKhSGXClthyNDC8dFHA/g1IIfwLBSj3HsCICLYbhCi+eMqhZC+GEzAYXNzssf2
S1ZRBHvAjOmbQi++
-----END CERTIFICATE-----
";

    /// A block of PEM around these bytes.
    fn block(title: &str, bytes: &[u8]) -> String {
        format!("-----BEGIN {title}-----\n{}\n-----END {title}-----\n", STANDARD.encode(bytes))
    }

    #[test]
    fn a_list_of_certificates_stays_as_it_is() {
        let two = CERTIFICATE.repeat(2);
        assert_eq!(only(two.as_bytes()).unwrap(), two);
        assert_eq!(only(CERTIFICATE.replace('\n', "\r\n").as_bytes()).unwrap(), CERTIFICATE);
    }

    #[test]
    fn what_stands_beside_the_certificates_is_left_out_private_keys_first_of_all() {
        let key = b"canary of a private key";
        let titles = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PARAMETERS", "DH PARAMETERS"];
        let blocks: String = titles.iter().map(|title| block(title, key)).collect();
        for combined in [format!("{blocks}{CERTIFICATE}"), format!("# ours\n{CERTIFICATE}subject=CN=a remark\n{blocks}")] {
            assert_eq!(only(combined.as_bytes()).unwrap(), CERTIFICATE);
        }
    }

    #[test]
    fn what_is_called_a_certificate_and_is_none_is_refused_with_its_place() {
        let disguised = block("CERTIFICATE", b"\x30\x17\x02\x01\x00canary of a private key");
        assert_eq!(only(format!("{CERTIFICATE}{disguised}").as_bytes()), Err(Error::Unreadable(2)));
        let cut = CERTIFICATE.replace("-----END CERTIFICATE-----", "");
        assert_eq!(only(cut.as_bytes()), Err(Error::Unreadable(1)));
        for nothing in [String::new(), block("PRIVATE KEY", b"canary"), "some text".to_owned()] {
            assert_eq!(only(nothing.as_bytes()), Err(Error::None));
        }
    }
}
