//! TLS in front of a PostgreSQL server that has none: as hosts do that end TLS in a proxy of their own.
//!
//! Must carry nothing that is not encrypted: a client that does not ask for TLS is turned away.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Result;
use super::certificates::Certificates;
use super::error::{Doing, Error};

/// What a client sends that asks for TLS: its length and a number in place of a version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A running front. It ends when it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    port: u16,
    authority: PathBuf,
    serving: JoinHandle<()>,
    _directory: TempDir,
}

impl TlsFront {
    /// Listens on loopback, with a certificate for `127.0.0.1` and `localhost`, and leads to the server at `port` there.
    ///
    /// # Errors
    /// When there is no port or certificate.
    pub async fn start(port: u16) -> Result<Self> {
        let directory = tempfile::tempdir().doing(|| "make a directory for certificates".into())?;
        let certificates = Certificates::in_directory(directory.path()).await?;
        let acceptor = TlsAcceptor::from(Arc::new(config(&certificates)?));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.doing(|| "listen".into())?;
        let own = listener.local_addr().doing(|| "listen".into())?.port();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // Whoever is cut off notices.
                tokio::spawn(async move { drop(carry(client, acceptor, port).await) });
            }
        });
        Ok(Self { port: own, authority: certificates.authority, serving, _directory: directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that clients must trust, in PEM form.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        &self.authority
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn carry(mut client: TcpStream, acceptor: TlsAcceptor, port: u16) -> std::io::Result<()> {
    let mut request = [0; SSL_REQUEST.len()];
    client.read_exact(&mut request).await?;
    if request != SSL_REQUEST {
        return Ok(());
    }
    client.write_all(b"S").await?;
    let mut encrypted = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    copy_bidirectional(&mut encrypted, &mut server).await.map(drop)
}

fn config(certificates: &Certificates) -> Result<ServerConfig> {
    let read = |path: &Path| fs::read(path).doing(|| format!("read {}", path.display()));
    let (chain, key) = (read(&certificates.certificate)?, read(&certificates.key)?);
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>().map_err(Error::product)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(Error::product)?;
    let versions = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let unsigned = versions.with_safe_default_protocol_versions().map_err(Error::product)?.with_no_client_auth();
    unsigned.with_single_cert(chain, key).map_err(Error::product)
}
