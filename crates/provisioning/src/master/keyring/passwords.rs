//! Fingerprints of schools' passwords, and the migrator's passwords, both derived from the sealing keys.
//!
//! Must not keep a password, nor anything that it derives.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::names::{ClusterUid, TenantId};
use registry::seal::Error;
use secrecy::SecretString;

use super::Keyring;

/// Characters in a fingerprint.
const FINGERPRINT_LENGTH: usize = 32;

impl Keyring {
    /// Identifies a tenant's password without showing it, in 32 hexadecimal characters: a catalog that holds it tells whether a role's password is the one in
    /// the Secret, and does not help to guess it.
    ///
    /// # Errors
    /// [`Error::NoKey`]; a parsed keyring always has a key.
    pub fn fingerprint(&self, tenant: TenantId, password: &SecretString) -> Result<String, Error> {
        self.0.first().map(|key| key.fingerprint(tenant.0, password)).ok_or(Error::NoKey)
    }

    /// The text has the form of a fingerprint.
    #[must_use]
    pub fn is_fingerprint(text: &str) -> bool {
        text.len() == FINGERPRINT_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The fingerprints of a tenant's password by each of the keys, the first key's first, so that a rotation of keys changes no role.
    #[must_use]
    pub fn fingerprints(&self, tenant: TenantId, password: &SecretString) -> Vec<String> {
        self.0.iter().map(|key| key.fingerprint(tenant.0, password)).collect()
    }

    /// What identifies the migrator's password without showing it, for the ownership comment of its role.
    ///
    /// # Errors
    /// [`Error::NoKey`], which a parsed keyring never is.
    pub fn migrator_fingerprint(&self, cluster: ClusterUid, password: &SecretString) -> Result<String, Error> {
        self.0.first().map(|key| key.fingerprint(cluster.0, password)).ok_or(Error::NoKey)
    }

    /// The migrator's password on one server. It is the same on every call, so that nothing needs to store it: it is derived from the first key, the cluster
    /// and PostgreSQL's system identifier.
    ///
    /// # Errors
    /// [`Error::NoKey`]; a parsed keyring always has a key.
    pub fn migrator_password(&self, cluster: ClusterUid, system_identifier: &str) -> Result<SecretString, Error> {
        let key = self.0.first().ok_or(Error::NoKey)?;
        let mut mac = hmac::Context::with_key(&key.migrator);
        mac.update(cluster.0.as_bytes());
        mac.update(system_identifier.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(mac.sign().as_ref()).into())
    }
}
