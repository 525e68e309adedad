//! The keys that open what the operator's keys sealed, and nothing more: what `dailycare api` holds.
//!
//! A line is `open:key-id:base64` of 36 bytes: the AES key that HKDF derives from the sealing key, and 4 bytes of a digest of it and its id. It has one part more
//! than a sealing key's line and another length, so that neither file passes for the other, nor does a line to which `open:` was added or from which it was taken
//! away. Must not lead back to the key it was derived from, nor to anything else that is derived from that one.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::names::TenantId;
use postgres::session::Credentials;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::key_file::{self, Line};
use super::{Error, FORM, KEY_BYTES, NONCE_BYTES, Sealed, context, sealing_line};

const PREFIX: &str = "open:";
const CHECK_BYTES: usize = 4;

/// The opening keys of a mounted file: they open sealed credentials, and no other key can be derived from them.
#[derive(Clone)]
pub struct OpeningKeys(Arc<[OpeningKey]>);

/// One key.
pub struct OpeningKey {
    /// Its name.
    pub id: String,
    /// The key, ready for use.
    pub aead: RandomizedNonceKey,
}

impl fmt::Debug for OpeningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl OpeningKeys {
    /// Reads what `Keyring::opening_file` (crate `provisioning`) wrote; empty lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    /// The number of the line that is wrong, quoting nothing; [`Error::SealingKey`] for a line of the operator's file.
    pub fn parse(file: &SecretString) -> Result<Self, Error> {
        let read = |text: &str, number| match opening_line(text) {
            Some(line) => Ok(line),
            None if sealing_line(text).is_some() => Err(Error::SealingKey(number)),
            None => Err(Error::BadOpeningLine(number)),
        };
        let lines = key_file::lines(file, read)?;
        let keys: Option<_> = lines.iter().map(|line| OpeningKey::new(&line.id, line.bytes.first_chunk()?)).collect();
        keys.map(Self).ok_or(Error::Failed)
    }

    /// Opens what was sealed for this tenant.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], or [`Error::Refused`] for another tenant's or altered bytes.
    pub fn open(&self, tenant: TenantId, sealed: &Sealed) -> Result<Credentials, Error> {
        open(self.0.iter(), tenant, sealed)
    }
}

impl OpeningKey {
    /// A key of this name; none when the cryptographic library refuses it.
    #[must_use]
    pub fn new(id: &str, key: &[u8; KEY_BYTES]) -> Option<Self> {
        Some(Self { id: id.to_owned(), aead: RandomizedNonceKey::new(&AES_256_GCM, key).ok()? })
    }
}

/// Opens with the one of the keys that sealed.
///
/// # Errors
/// As [`OpeningKeys::open`].
pub fn open<'a>(mut keys: impl Iterator<Item = &'a OpeningKey>, tenant: TenantId, sealed: &Sealed) -> Result<Credentials, Error> {
    let key = keys.find(|key| key.id == sealed.key_id).ok_or(Error::UnknownKey)?;
    let (head, text) = sealed.bytes.split_at_checked(1 + NONCE_BYTES).ok_or(Error::Refused)?;
    let Some((&FORM, nonce)) = head.split_first() else { return Err(Error::Refused) };
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Refused)?;
    let mut text = Zeroizing::new(text.to_vec());
    let text = key.aead.open_in_place(nonce, Aad::from(context(tenant)), &mut text).map_err(|_| Error::Refused)?;
    let plain = std::str::from_utf8(text).map_err(|_| Error::Refused)?;
    let (username, password) = plain.split_once('\0').ok_or(Error::Refused)?;
    Ok(Credentials { username: username.to_owned(), password: password.into() })
}

/// A line of an opening key file; none for anything else.
#[must_use]
pub fn opening_line(text: &str) -> Option<Line> {
    let line = key_file::line(text.strip_prefix(PREFIX)?, KEY_BYTES + CHECK_BYTES)?;
    let (key, said) = line.bytes.split_first_chunk()?;
    (check(&line.id, key) == said).then_some(line)
}

/// What [`opening_line`] reads.
#[must_use]
pub fn write(id: &str, key: &[u8; KEY_BYTES]) -> Zeroizing<String> {
    let bytes = Zeroizing::new([key.as_slice(), &check(id, key)].concat());
    let encoded = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
    Zeroizing::new(format!("{PREFIX}{id}:{}\n", *encoded))
}

fn check(id: &str, key: &[u8; KEY_BYTES]) -> [u8; CHECK_BYTES] {
    let mut digest = Context::new(&SHA256);
    for part in [b"dailycare opening key".as_slice(), key, id.as_bytes()] {
        digest.update(part);
    }
    digest.finish().as_ref().first_chunk().copied().unwrap_or_default()
}
