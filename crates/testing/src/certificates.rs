//! A certificate authority and one server certificate for the loopback address, made by openssl in milliseconds.
//! For servers on this machine only: the authority's key lies beside its certificate.
//!
//! Must not be used for anything but loopback.

use std::fs;
use std::path::{Path, PathBuf};

use super::Result;
use super::command::{argv, run};
use super::error::Doing;

/// Files in PEM form.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// What a client trusts.
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What makes rustls accept the two certificates: an authority may not present itself as a server, and a server is its names.
const EXTENSIONS: &str = "\
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[req]
distinguished_name = name
[name]
";

impl Certificates {
    /// Those in `directory`, made when it has none yet.
    ///
    /// # Errors
    /// When openssl is missing or fails.
    pub(super) async fn in_directory(directory: &Path) -> Result<Self> {
        let file = |name: &str| directory.join(name);
        let certificates = Self { authority: file("ca.crt"), certificate: file("server.crt"), key: file("server.key") };
        if certificates.certificate.exists() {
            return Ok(certificates);
        }
        let (extensions, authority_key, request) = (file("openssl.cnf"), file("ca.key"), file("server.csr"));
        fs::write(&extensions, EXTENSIONS).doing(|| format!("write {}", extensions.display()))?;
        generate_key(&authority_key).await?;
        generate_key(&certificates.key).await?;
        let Self { authority, certificate, key } = &certificates;
        run(argv![
            "openssl",
            "req",
            "-x509",
            "-new",
            "-sha256",
            "-days",
            "3650",
            "-subj",
            "/CN=DailyCare test authority",
            "-config",
            extensions,
            "-extensions",
            "authority",
            "-key",
            authority_key,
            "-out",
            authority,
        ])
        .await?;
        run(argv!["openssl", "req", "-new", "-sha256", "-subj", "/CN=localhost", "-config", extensions, "-key", key, "-out", request])
            .await?;
        run(argv![
            "openssl",
            "x509",
            "-req",
            "-sha256",
            "-days",
            "3650",
            "-in",
            request,
            "-CA",
            authority,
            "-CAkey",
            authority_key,
            "-set_serial",
            "2",
            "-extfile",
            extensions,
            "-extensions",
            "server",
            "-out",
            certificate,
        ])
        .await?;
        Ok(certificates)
    }
}

/// Writes a fresh private key, readable by its owner only (which is how openssl creates it).
///
/// # Errors
/// When openssl is missing or fails.
pub(super) async fn generate_key(path: &Path) -> Result<()> {
    run(argv!["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path]).await.map(drop)
}
