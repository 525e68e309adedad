//! Sealing of school credentials: what the operator puts into the registry, and what it derives from the same keys.
//!
//! One sealing key per line of a mounted file, the operator's alone; from each, HKDF derives one key that seals and opens, one that fingerprints and one that
//! makes the migrator's passwords. The API holds the first of these three and none of the others: see [`OpeningKeys`]. Must not show, log or serialise a key, and
//! must not seal anything without the tenant that it belongs to.
//!
//! [`OpeningKeys`]: registry::seal::OpeningKeys

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad};
use aws_lc_rs::{constant_time, hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::names::{ClusterUid, TenantId};
use postgres::session::Credentials;
use registry::seal::key_file::{self, Line};
use registry::seal::opening::{self, OpeningKey};
use registry::seal::{Error, FORM, KEY_BYTES, Sealed, context, sealing_line};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The operator's sealing keys: the first seals, all open. To rotate, put a new key first and remove the old one once nothing is sealed with it.
#[derive(Clone)]
pub struct Keyring(Arc<[Key]>);

struct Key {
    opening: OpeningKey,
    mac: hmac::Key,
    migrator: hmac::Key,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.opening.id)).finish()
    }
}

/// What keys are derived for.
const CREDENTIALS: &[u8] = b"credentials aes-256-gcm v1";
const FINGERPRINT: &[u8] = b"fingerprint hmac-sha256 v1";
const MIGRATOR: &[u8] = b"migrator password hmac-sha256 v1";

impl Keyring {
    /// Reads a key file: lines `key-id:base64(32 bytes)`; empty lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    /// The number of the line that is wrong, quoting nothing; [`Error::OpeningKey`] for a line of the API's file.
    pub fn parse(file: &SecretString) -> Result<Self, Error> {
        let keys: Option<_> = sealing_lines(file)?.iter().map(Key::of).collect();
        keys.map(Self).ok_or(Error::Failed)
    }

    /// The file of [`registry::seal::OpeningKeys`] that goes with a key file, line by line and the same each time: what the API gets.
    ///
    /// # Errors
    /// As [`Keyring::parse`].
    pub fn opening_file(sealing_keys: &SecretString) -> Result<SecretString, Error> {
        let mut file = Zeroizing::new(String::new());
        for line in sealing_lines(sealing_keys)? {
            let key = derive(&extract(&line), CREDENTIALS).ok_or(Error::Failed)?;
            file.push_str(&opening::write(&line.id, &key));
        }
        Ok(file.as_str().into())
    }

    /// A key file with one new key.
    ///
    /// # Errors
    /// [`Error::Failed`] without randomness.
    pub fn generate_file(key_id: &str) -> Result<SecretString, Error> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut()).map_err(|_| Error::Failed)?;
        let encoded = Zeroizing::new(STANDARD.encode(key.as_ref()));
        Ok(format!("{key_id}:{}\n", *encoded).into())
    }

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

    /// Sealed for this tenant, with the first key, and holding exactly these credentials: sealing again would change nothing but bytes.
    #[must_use]
    pub fn is_current(&self, tenant: TenantId, sealed: &Sealed, credentials: &Credentials) -> bool {
        self.0.first().is_some_and(|first| first.opening.id == sealed.key_id)
            && self.open(tenant, sealed).is_ok_and(|held| {
                held.username == credentials.username && equal(held.password.expose_secret(), credentials.password.expose_secret())
            })
    }

    /// What identifies a tenant's password without showing it, 32 hexadecimal characters: a catalog that holds it says whether a role's
    /// password is the one in the Secret, and is of no use to guess it.
    ///
    /// # Errors
    /// [`Error::NoKey`], which a parsed keyring never is.
    pub fn fingerprint(&self, tenant: TenantId, password: &SecretString) -> Result<String, Error> {
        self.0.first().map(|key| key.fingerprint(tenant.0, password)).ok_or(Error::NoKey)
    }

    /// A tenant's password by each of the keys, the first one's first, so that a rotation of keys changes no role.
    #[must_use]
    pub fn fingerprints(&self, tenant: TenantId, password: &SecretString) -> Vec<String> {
        self.0.iter().map(|key| key.fingerprint(tenant.0, password)).collect()
    }

    /// The migrator's password, fingerprinted by the first key, for the ownership comment of its role.
    ///
    /// # Errors
    /// [`Error::NoKey`], which a parsed keyring never is.
    pub fn migrator_fingerprint(&self, cluster: ClusterUid, password: &SecretString) -> Result<String, Error> {
        self.0.first().map(|key| key.fingerprint(cluster.0, password)).ok_or(Error::NoKey)
    }

    /// The migrator's password on one server, the same whenever it is asked for, so that nothing needs to keep it: derived from the first key, the cluster
    /// and PostgreSQL's system identifier.
    ///
    /// # Errors
    /// [`Error::NoKey`], which a parsed keyring never is.
    pub fn migrator_password(&self, cluster: ClusterUid, system_identifier: &str) -> Result<SecretString, Error> {
        let key = self.0.first().ok_or(Error::NoKey)?;
        let mut mac = hmac::Context::with_key(&key.migrator);
        mac.update(cluster.0.as_bytes());
        mac.update(system_identifier.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(mac.sign().as_ref()).into())
    }
}

impl Key {
    fn of(line: &Line) -> Option<Self> {
        let prk = extract(line);
        let opening = OpeningKey::new(&line.id, &*derive(&prk, CREDENTIALS)?)?;
        let mac = hmac::Key::new(hmac::HMAC_SHA256, derive(&prk, FINGERPRINT)?.as_ref());
        let migrator = hmac::Key::new(hmac::HMAC_SHA256, derive(&prk, MIGRATOR)?.as_ref());
        Some(Self { opening, mac, migrator })
    }

    /// Of a password that belongs to `owner`: a tenant, or for the migrator's the cluster.
    fn fingerprint(&self, owner: Uuid, password: &SecretString) -> String {
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(owner.as_bytes());
        mac.update(password.expose_secret().as_bytes());
        let tag = mac.sign();
        let half = tag.as_ref().first_chunk().copied().unwrap_or_default();
        format!("{:032x}", u128::from_be_bytes(half))
    }
}

/// The lines of the operator's file.
fn sealing_lines(file: &SecretString) -> Result<Vec<Line>, Error> {
    let read = |text: &str, number| match sealing_line(text) {
        Some(line) => Ok(line),
        None if opening::opening_line(text).is_some() => Err(Error::OpeningKey(number)),
        None => Err(Error::BadLine(number)),
    };
    key_file::lines(file, read)
}

fn extract(line: &Line) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"dailycare sealing key").extract(&line.bytes)
}

fn derive(prk: &hkdf::Prk, purpose: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    prk.expand(&[purpose], hkdf::HKDF_SHA256).ok()?.fill(key.as_mut()).ok()?;
    Some(key)
}

fn equal(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use registry::seal::OpeningKeys;

    use super::*;

    const A: TenantId = TenantId(Uuid::from_u128(1));
    const B: TenantId = TenantId(Uuid::from_u128(2));

    fn credentials() -> Credentials {
        Credentials { username: "dailycare_tenant_north_a".into(), password: "canary".into() }
    }

    fn ring(files: &[&SecretString]) -> Keyring {
        Keyring::parse(&files.iter().map(|file| file.expose_secret()).collect::<String>().into()).unwrap()
    }

    fn file(id: &str) -> SecretString {
        Keyring::generate_file(id).unwrap()
    }

    fn opening(file: &SecretString) -> OpeningKeys {
        OpeningKeys::parse(&Keyring::opening_file(file).unwrap()).unwrap()
    }

    #[test]
    fn sealed_credentials_open_for_their_tenant_and_for_no_other() {
        let ring = ring(&[&file("k1")]);
        let sealed = ring.seal(A, &credentials()).unwrap();
        let opened = ring.open(A, &sealed).unwrap();
        assert_eq!((opened.username.as_str(), opened.password.expose_secret()), ("dailycare_tenant_north_a", "canary"));
        assert_eq!(ring.open(B, &sealed).unwrap_err(), Error::Refused);
        assert_ne!(ring.seal(A, &credentials()).unwrap(), sealed, "a nonce was used twice");
    }

    #[test]
    fn a_single_flipped_bit_or_missing_byte_is_refused() {
        let ring = ring(&[&file("k1")]);
        let sealed = ring.seal(A, &credentials()).unwrap();
        for bit in 0..sealed.bytes.len() * 8 {
            let mut altered = sealed.clone();
            altered.bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.open(A, &altered).unwrap_err(), Error::Refused, "bit {bit}");
        }
        for length in 0..sealed.bytes.len() {
            let cut = Sealed { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() };
            assert_eq!(ring.open(A, &cut).unwrap_err(), Error::Refused, "{length} bytes");
        }
    }

    #[test]
    fn after_a_rotation_old_seals_open_and_new_ones_use_the_first_key() {
        let (old, new) = (file("old"), file("new"));
        let sealed = ring(&[&old]).seal(A, &credentials()).unwrap();
        let rotated = ring(&[&new, &old]);
        assert!(rotated.open(A, &sealed).is_ok());
        assert!(!rotated.is_current(A, &sealed, &credentials()), "an old seal passes for current");
        let resealed = rotated.seal(A, &credentials()).unwrap();
        assert_eq!(resealed.key_id, "new");
        assert!(rotated.is_current(A, &resealed, &credentials()));
        assert_eq!(ring(&[&new]).open(A, &sealed).unwrap_err(), Error::UnknownKey);
    }

    #[test]
    fn a_key_id_does_not_open_what_another_key_of_that_id_sealed() {
        let sealed = ring(&[&file("k1")]).seal(A, &credentials()).unwrap();
        assert_eq!(ring(&[&file("k1")]).open(A, &sealed).unwrap_err(), Error::Refused);
    }

    #[test]
    fn a_fingerprint_tells_passwords_tenants_and_keys_apart_and_outlives_a_rotation() {
        let (old, new) = (file("old"), file("new"));
        let (before, after) = (ring(&[&old]), ring(&[&new, &old]));
        let password = SecretString::from("canary");
        let fingerprint = before.fingerprint(A, &password).unwrap();
        assert!(fingerprint.len() == 32 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit()), "{fingerprint}");
        assert_eq!(before.fingerprint(A, &password).unwrap(), fingerprint);
        assert_ne!(before.fingerprint(B, &password).unwrap(), fingerprint);
        assert_ne!(before.fingerprint(A, &"canarz".into()).unwrap(), fingerprint);
        assert_ne!(after.fingerprint(A, &password).unwrap(), fingerprint);
        assert!(after.fingerprints(A, &password).contains(&fingerprint));
        assert!(!after.fingerprints(A, &"canarz".into()).contains(&fingerprint));
    }

    #[test]
    fn a_key_file_is_refused_by_line_number_and_never_quoted() {
        let good = file("k1");
        let (text, short) = (good.expose_secret(), STANDARD.encode([7; 31]));
        let parse = |file: String| Keyring::parse(&file.into()).unwrap_err();
        assert_eq!(parse("# only a comment\n\n".into()), Error::NoKey);
        assert_eq!(parse(format!("{text}canary")), Error::BadLine(2));
        assert_eq!(parse(format!("k:{short}")), Error::BadLine(1));
        assert_eq!(parse(format!("a b:{}", text.split_once(':').unwrap().1)), Error::BadLine(1));
        assert_eq!(parse(format!("{text}{text}")), Error::Repeated(2));
    }

    #[test]
    fn keys_show_their_ids_and_nothing_more() {
        let file = file("k1");
        assert_eq!(format!("{:?}", ring(&[&file])), "[\"k1\"]");
        assert_eq!(format!("{:?}", opening(&file)), "[\"k1\"]");
    }

    #[test]
    fn opening_keys_open_what_any_of_the_sealing_keys_sealed_and_for_its_tenant_alone() {
        let (old, new) = (file("old"), file("new"));
        let both = SecretString::from(format!("# two keys\n\n{}{}", new.expose_secret(), old.expose_secret()));
        let keys = opening(&both);
        for sealed in [&old, &new].map(|file| ring(&[file]).seal(A, &credentials()).unwrap()) {
            let opened = keys.open(A, &sealed).unwrap();
            assert_eq!((opened.username.as_str(), opened.password.expose_secret()), ("dailycare_tenant_north_a", "canary"));
            assert_eq!(keys.open(B, &sealed).unwrap_err(), Error::Refused);
        }
        let sealed = ring(&[&old]).seal(A, &credentials()).unwrap();
        assert_eq!(opening(&new).open(A, &sealed).unwrap_err(), Error::UnknownKey);
    }

    #[test]
    fn an_opening_file_is_the_same_each_time_and_tells_nothing_else_that_is_derived() {
        let sealing = file("k1");
        let printed = Keyring::opening_file(&sealing).unwrap();
        let text = printed.expose_secret();
        assert_eq!(Keyring::opening_file(&sealing).unwrap().expose_secret(), text);
        let bytes = STANDARD.decode(text.trim().strip_prefix("open:k1:").unwrap()).unwrap();
        let line = sealing_line(sealing.expose_secret().trim()).unwrap();
        let prk = extract(&line);
        assert_eq!(bytes[..KEY_BYTES], *derive(&prk, CREDENTIALS).unwrap());
        for secret in [line.bytes.to_vec(), derive(&prk, FINGERPRINT).unwrap().to_vec(), derive(&prk, MIGRATOR).unwrap().to_vec()] {
            assert!(secret.windows(8).all(|part| bytes.windows(8).all(|other| part != other)), "the API gets more than opens");
        }
        // The best that a thief of it can do: take it for a sealing key.
        let forced = ring(&[&format!("k1:{}\n", STANDARD.encode(&bytes[..KEY_BYTES])).into()]);
        let password = |ring: &Keyring| ring.migrator_password(ClusterUid(Uuid::from_u128(3)), "7301").unwrap();
        assert_ne!(password(&forced).expose_secret(), password(&ring(&[&sealing])).expose_secret());
    }

    #[test]
    fn neither_file_passes_for_the_other_and_no_line_is_made_to_by_its_prefix() {
        let sealing = file("k1");
        let printed = Keyring::opening_file(&sealing).unwrap();
        let (master, open) = (sealing.expose_secret().trim(), printed.expose_secret().trim());
        let opening = |text: String| OpeningKeys::parse(&text.into()).unwrap_err();
        let keyring = |text: String| Keyring::parse(&text.into()).unwrap_err();
        assert_eq!(opening(format!("# ours\n{master}")), Error::SealingKey(2));
        assert_eq!(opening(format!("{open}\n{master}")), Error::SealingKey(2), "an id that is there already hid it");
        assert_eq!(opening(master.replacen("k1", "open", 1)), Error::SealingKey(1));
        assert_eq!(keyring(format!("{master}\n{open}")), Error::OpeningKey(2));
        assert_eq!(opening(format!("open:{master}")), Error::BadOpeningLine(1));
        assert_eq!(keyring(open.replacen("open:", "", 1)), Error::BadLine(1));
        assert_eq!(opening(open.replacen("k1", "k2", 1)), Error::BadOpeningLine(1), "a key went under another's id");
        assert_eq!(opening(format!("{open}\n{open}")), Error::Repeated(2));
        assert_eq!(opening("# none\n".into()), Error::NoKey);
        let told = Error::SealingKey(1).to_string() + &Error::OpeningKey(1).to_string();
        assert!(told.contains("dailycare opening-keys") && told.contains("dailycare sealing-key"), "{told}");
    }
}
