//! Keys: those of a mounted file, which sign this API's own tokens, and the public halves that verify any token.
//!
//! A verifying key knows its one algorithm; nothing that a token says changes it. Must not show, log or serialise a private key.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use telemetry::logs::chain;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// Why a signing key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file holds no key.
    #[error("the signing key file holds no key")]
    NoKey,
    /// A line is not `key-id:base64 of 32 bytes`.
    #[error("line {0} of the signing key file is not key-id:base64 of 32 bytes")]
    BadLine(usize),
    /// Two lines have one key id.
    #[error("line {0} of the signing key file repeats a key id")]
    Repeated(usize),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// The file cannot be read.
    #[error("reading the signing key file failed")]
    Unreadable(#[source] std::io::Error),
}

/// What verifies signatures of one key by one algorithm.
pub(super) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    /// The algorithm's name in a token's header.
    pub(super) name: &'static str,
    pub(super) key: DecodingKey,
}

/// The keys of a mounted file: the first signs, all verify. To rotate: add the new key below, wait until every replica has read it, move it to the top,
/// and remove the old one once its last token has expired.
pub struct SigningKeys(Vec<SigningKey>);

struct SigningKey {
    id: String,
    pair: Ed25519KeyPair,
    verifying: VerifyingKey,
}

/// A public key in the format of RFC 8037.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PublicKey {
    /// Key type, always `OKP`.
    kty: &'static str,
    /// Elliptic curve, always `Ed25519`.
    crv: &'static str,
    /// Signature algorithm, always `EdDSA`.
    alg: &'static str,
    /// Use of the key, always `sig`.
    #[serde(rename = "use")]
    usage: &'static str,
    /// Id of the key, as in the header of a token.
    kid: String,
    /// Public key, in base64url without padding.
    x: String,
}

/// The public keys that verify this API's tokens (RFC 7517).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PublicKeys {
    /// Keys that verify tokens, in the order of the key file.
    keys: Vec<PublicKey>,
}

const EDDSA: &str = "EdDSA";
const SEED_BYTES: usize = 32;

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl SigningKeys {
    /// Reads a key file: lines `key-id:base64(32 bytes)`; empty lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    /// The number of the line that is wrong, quoting nothing.
    pub fn parse(file: &SecretString) -> Result<Self, Error> {
        let mut keys: Vec<SigningKey> = Vec::new();
        for (number, line) in (1..).zip(file.expose_secret().lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = SigningKey::parse(line).ok_or(Error::BadLine(number))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(Error::Repeated(number));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(Error::NoKey) } else { Ok(Self(keys)) }
    }

    /// A key file with one new key.
    ///
    /// # Errors
    /// [`Error::NoRandomness`].
    pub fn generate_file(key_id: &str) -> Result<SecretString, Error> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        rand::fill(seed.as_mut()).map_err(|_| Error::NoRandomness)?;
        let encoded = Zeroizing::new(STANDARD.encode(seed.as_ref()));
        Ok(format!("{key_id}:{}\n", *encoded).into())
    }

    /// A compact token of these claims, signed by the first key.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, serde_json::Error> {
        let Some(key) = self.0.first() else { return Err(serde::ser::Error::custom("no signing key")) };
        let header = serde_json::json!({ "alg": EDDSA, "typ": "at+jwt", "kid": key.id });
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?));
        let signature = key.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    pub(super) fn verifying(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.id == kid).map(|key| &key.verifying)
    }

    pub(super) fn public(&self) -> PublicKeys {
        let public = |key: &SigningKey| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            alg: EDDSA,
            usage: "sig",
            kid: key.id.clone(),
            x: URL_SAFE_NO_PAD.encode(key.pair.public_key()),
        };
        PublicKeys { keys: self.0.iter().map(public).collect() }
    }
}

impl SigningKey {
    fn parse(line: &str) -> Option<Self> {
        let (id, encoded) = line.split_once(':')?;
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let seed = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
        if id.is_empty() || id.len() > 63 || !id.bytes().all(word) || seed.len() != SEED_BYTES {
            return None;
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let key = DecodingKey::from_ed_der(pair.public_key().as_ref());
        let verifying = VerifyingKey { algorithm: Algorithm::EdDSA, name: EDDSA, key };
        Some(Self { id: id.to_owned(), pair, verifying })
    }
}

/// The mounted file, and the last usable keys that it held.
pub(super) struct KeyFile {
    path: PathBuf,
    keys: RwLock<Arc<SigningKeys>>,
    /// SHA-256 of what was read last, usable or not: a file that stays unusable is logged once.
    last_digest: Mutex<[u8; 32]>,
}

impl KeyFile {
    pub(super) async fn open(path: PathBuf) -> Result<Self, Error> {
        let (file, last_digest) = read(&path).await?;
        Ok(Self { path, keys: RwLock::new(Arc::new(SigningKeys::parse(&file)?)), last_digest: Mutex::new(last_digest) })
    }

    pub(super) fn keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again. A file that cannot be used leaves the keys as they are.
    pub(super) async fn reread(&self) {
        let (file, digest) = match read(&self.path).await {
            Ok(read) => read,
            Err(error) => return tracing::error!(error = chain(&error), "the signing keys stay as they are"),
        };
        if std::mem::replace(&mut *self.last_digest.lock().unwrap_or_else(PoisonError::into_inner), digest) == digest {
            return;
        }
        match SigningKeys::parse(&file) {
            Ok(keys) => {
                tracing::info!(?keys, "the signing keys changed");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(error) => tracing::error!(%error, "the signing key file is bad; the keys stay as they are"),
        }
    }
}

async fn read(path: &std::path::Path) -> Result<(SecretString, [u8; 32]), Error> {
    let text = tokio::fs::read_to_string(path).await.map_err(Error::Unreadable)?;
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    Ok((text.into(), sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_refused_by_line_number_and_never_quoted() {
        let good = SigningKeys::generate_file("k1").unwrap();
        let text = good.expose_secret();
        let parse = |file: String| SigningKeys::parse(&file.into()).unwrap_err().to_string();
        assert_eq!(parse("# only a comment\n".into()), "the signing key file holds no key");
        for bad in ["canary".to_owned(), format!("k:{}", STANDARD.encode([7; 31])), format!("a b:{}", text.split_once(':').unwrap().1)] {
            assert_eq!(parse(format!("\n{bad}")), "line 2 of the signing key file is not key-id:base64 of 32 bytes");
        }
        assert_eq!(parse(format!("{text}{text}")), "line 2 of the signing key file repeats a key id");
    }

    #[test]
    fn keys_show_their_ids_and_nothing_else() {
        let keys = SigningKeys::parse(&SigningKeys::generate_file("k1").unwrap()).unwrap();
        assert_eq!(format!("{keys:?}"), "[\"k1\"]");
    }

    #[tokio::test]
    async fn a_changed_file_is_taken_and_a_bad_or_missing_one_leaves_the_old_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write(SigningKeys::generate_file("old").unwrap().expose_secret());
        let file = KeyFile::open(path.clone()).await.unwrap();
        write("canary");
        file.reread().await;
        assert!(file.keys().verifying("old").is_some());
        std::fs::remove_file(&path).unwrap();
        file.reread().await;
        assert!(file.keys().verifying("old").is_some());
        write(SigningKeys::generate_file("new").unwrap().expose_secret());
        file.reread().await;
        assert!(file.keys().verifying("new").is_some() && file.keys().verifying("old").is_none());
    }
}
