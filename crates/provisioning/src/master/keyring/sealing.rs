//! Sealing schools' credentials for the registry, and opening them. Must not seal anything without the tenant that it belongs to.

use aws_lc_rs::aead::{AES_256_GCM, Aad};
use aws_lc_rs::constant_time;
use domain::names::TenantId;
use postgres::session::Credentials;
use registry::seal::{Error, FORM, Sealed, context, opening};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::Keyring;

impl Keyring {
    /// Seals credentials for one tenant, differently each time.
    ///
    /// # Errors
    /// [`Error::Failed`] without randomness.
    pub fn seal(&self, tenant: TenantId, credentials: &Credentials) -> Result<Sealed, Error> {
        let key = self.0.first().ok_or(Error::NoKey)?;
        let password = credentials.password.expose_secret();
        // Room for the tag too, so that growing does not leave a copy of the plain text behind.
        let mut text = Zeroizing::new(Vec::with_capacity(credentials.username.len() + 1 + password.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(credentials.username.as_bytes());
        text.push(0);
        text.extend_from_slice(password.as_bytes());
        let nonce = key.opening.aead.seal_in_place_append_tag(Aad::from(context(tenant)), &mut *text).map_err(|_| Error::Failed)?;
        let bytes = [&[FORM][..], nonce.as_ref().as_slice(), text.as_slice()].concat();
        Ok(Sealed { key_id: key.opening.id.clone(), bytes })
    }

    /// Opens what was sealed for this tenant.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], or [`Error::Refused`] for another tenant's or altered bytes.
    pub fn open(&self, tenant: TenantId, sealed: &Sealed) -> Result<Credentials, Error> {
        opening::open(self.0.iter().map(|key| &key.opening), tenant, sealed)
    }

    /// Sealed for this tenant, with the first key, and holding exactly these credentials: sealing again would change only the bytes.
    #[must_use]
    pub fn is_current(&self, tenant: TenantId, sealed: &Sealed, credentials: &Credentials) -> bool {
        self.0.first().is_some_and(|first| first.opening.id == sealed.key_id) && self.contains(tenant, sealed, credentials)
    }

    /// Sealed for this tenant, with any of the keys, and containing exactly these credentials.
    #[must_use]
    pub fn contains(&self, tenant: TenantId, sealed: &Sealed, credentials: &Credentials) -> bool {
        self.open(tenant, sealed).is_ok_and(|opened| {
            opened.username == credentials.username && equal(opened.password.expose_secret(), credentials.password.expose_secret())
        })
    }
}

fn equal(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}
