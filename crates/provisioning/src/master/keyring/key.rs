//! One sealing key, and the keys that HKDF derives from it for each purpose.
//!
//! Must not show a key in `Debug` output or an error.

use aws_lc_rs::{hkdf, hmac};
use registry::seal::KEY_BYTES;
use registry::seal::key_file::Line;
use registry::seal::opening::OpeningKey;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The purposes. Changing one makes everything derived for it unusable.
pub(super) const CREDENTIALS: &[u8] = b"credentials aes-256-gcm v1";
pub(super) const FINGERPRINT: &[u8] = b"fingerprint hmac-sha256 v1";
pub(super) const MIGRATOR: &[u8] = b"migrator password hmac-sha256 v1";

/// What is derived from one line.
pub(super) struct Key {
    pub(super) opening: OpeningKey,
    pub(super) migrator: hmac::Key,
    fingerprint: hmac::Key,
}

impl Key {
    pub(super) fn of(line: &Line) -> Option<Self> {
        let prk = extract(line);
        let opening = OpeningKey::new(&line.id, &*derive(&prk, CREDENTIALS)?)?;
        let fingerprint = hmac::Key::new(hmac::HMAC_SHA256, derive(&prk, FINGERPRINT)?.as_ref());
        let migrator = hmac::Key::new(hmac::HMAC_SHA256, derive(&prk, MIGRATOR)?.as_ref());
        Some(Self { opening, migrator, fingerprint })
    }

    /// Of a password that belongs to `owner`: a tenant, or for the migrator's the cluster.
    pub(super) fn fingerprint(&self, owner: Uuid, password: &SecretString) -> String {
        let mut mac = hmac::Context::with_key(&self.fingerprint);
        mac.update(owner.as_bytes());
        mac.update(password.expose_secret().as_bytes());
        let tag = mac.sign();
        let half = tag.as_ref().first_chunk().copied().unwrap_or_default();
        format!("{:032x}", u128::from_be_bytes(half))
    }
}

pub(super) fn extract(line: &Line) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"dailycare sealing key").extract(&line.bytes)
}

pub(super) fn derive(prk: &hkdf::Prk, purpose: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    prk.expand(&[purpose], hkdf::HKDF_SHA256).ok()?.fill(key.as_mut()).ok()?;
    Some(key)
}
