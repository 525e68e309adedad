//! An issuer whose keys are served over TLS by a certificate of an authority that only its company trusts.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::identity::External;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::forged::forge::Forge;
use super::forged::{EXTERNAL, EXTERNAL_AUDIENCE};
use super::issuer::{code, ed};
use super::*;

/// What rustls wants of the two certificates.
const EXTENSIONS: &str = "\
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[req]
distinguished_name = name
[name]
";

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a server's certificate that it signed: `ca.crt`, `server.crt`, `server.key`.
fn certificates() -> TempDir {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("extensions"), EXTENSIONS).unwrap();
    for arguments in [
        "ecparam -name prime256v1 -genkey -noout -out ca.key",
        "ecparam -name prime256v1 -genkey -noout -out server.key",
        "req -x509 -new -key ca.key -days 3650 -subj /CN=Private -config extensions -extensions authority -out ca.crt",
        "req -new -key server.key -subj /CN=localhost -config extensions -out server.csr",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -set_serial 2 -days 3650 -extfile extensions -extensions server -out server.crt",
    ] {
        openssl(files.path(), arguments);
    }
    files
}

fn authority(files: &TempDir) -> Vec<u8> {
    std::fs::read(files.path().join("ca.crt")).unwrap()
}

/// Serves these keys; counts who knocks, and who was answered.
#[derive(Default)]
struct Counts {
    knocked: AtomicUsize,
    answered: AtomicUsize,
}

fn serve(files: &TempDir, keys: &Value) -> (External, Arc<Counts>) {
    let certificate = CertificateDer::from_pem_file(files.path().join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.path().join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/keys", listener.local_addr().unwrap().port());
    let (body, counts) = (keys.to_string(), Arc::new(Counts::default()));
    let counting = Arc::clone(&counts);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            counting.knocked.fetch_add(1, Ordering::SeqCst);
            if answer(client.unwrap(), Arc::clone(&config), &body).is_ok() {
                counting.answered.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (External::new(EXTERNAL, url, EXTERNAL_AUDIENCE), counts)
}

fn answer(client: TcpStream, config: Arc<ServerConfig>, body: &str) -> std::io::Result<()> {
    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), client);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        request.extend(byte);
    }
    write!(tls, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())?;
    tls.conn.send_close_notify();
    tls.flush()
}

#[tokio::test]
async fn keys_are_fetched_over_tls_from_an_issuer_with_a_private_authority_and_refused_without_it() {
    let (forge, files, strangers) = (Forge::new(), certificates(), certificates());
    let token = forge.external(&json!({}), &json!({}));
    let (external, counts) = serve(&files, &ed(&forge, "ed"));
    let site = async |authority| {
        let external = External { authority, pause: Duration::ZERO, ..external.clone() };
        Site::with(Version::V18, |settings| settings.external = Some(external)).await
    };
    for refusing in [None, Some(authority(&strangers))] {
        let before = counts.knocked.load(Ordering::SeqCst);
        assert_eq!(code(&site(refusing).await, &token).await, Some(Code::IssuerUnavailable));
        assert!(counts.knocked.load(Ordering::SeqCst) > before, "the issuer was not asked");
    }
    assert_eq!(counts.answered.load(Ordering::SeqCst), 0, "a server that nobody vouches for got a request");
    let trusting = site(Some([authority(&strangers), authority(&files)].concat())).await;
    until("the keys are known", async || code(&trusting, &token).await.is_none()).await;
}
