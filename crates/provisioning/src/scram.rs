//! SCRAM verifiers: what PostgreSQL stores in place of a password, computed here so that no password is ever part of a statement.
//!
//! Must not log or return the password.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// How verifiers of ours begin: with the method and its iterations.
const OURS: &str = "SCRAM-SHA-256$4096:";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// The verifier of a password, with a new random salt: `SCRAM-SHA-256$4096:<salt>$<stored key>:<server key>`. It cannot be used to log in.
#[must_use]
pub fn verifier(password: &SecretString) -> SecretString {
    scram_sha_256(password.expose_secret().as_bytes()).into()
}

/// Whether `stored`, as PostgreSQL has it, is a verifier of ours of this password; none when that cannot be told. A verifier that somebody else made may ask for
/// any number of iterations; it is not computed, because it is not ours.
#[must_use]
pub fn is_of(stored: &str, password: &SecretString) -> Option<bool> {
    let password = password.expose_secret();
    if !password.is_ascii() {
        // PostgreSQL normalises it first.
        return None;
    }
    let parts = stored.strip_prefix(OURS).and_then(|rest| rest.split_once('$'));
    let Some((salt, (stored_key, _))) = parts.and_then(|(salt, keys)| Some((salt, keys.split_once(':')?))) else { return Some(false) };
    let (Ok(salt), Ok(stored_key)) = (STANDARD.decode(salt), STANDARD.decode(stored_key)) else { return Some(false) };
    let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password.as_bytes(), salted.as_mut());
    let client_key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salted.as_ref()), b"Client Key");
    let computed = digest::digest(&digest::SHA256, client_key.as_ref());
    Some(constant_time::verify_slices_are_equal(computed.as_ref(), &stored_key).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_salted_and_does_not_hold_the_password() {
        let password = SecretString::from("correct horse");
        let (one, two) = (verifier(&password), verifier(&password));
        assert!(one.expose_secret().starts_with("SCRAM-SHA-256$4096:"));
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(!one.expose_secret().contains("correct"));
    }

    #[test]
    fn a_verifier_tells_its_password_from_others_and_what_others_stored_is_none_of_ours() {
        let password = SecretString::from("correct horse battery staple");
        let ours = verifier(&password);
        assert_eq!(is_of(ours.expose_secret(), &password), Some(true));
        assert_eq!(is_of(ours.expose_secret(), &"correct horse battery stapler".into()), Some(false));
        let costly = ours.expose_secret().replace("$4096:", "$2000000000:");
        for foreign in [costly.as_str(), "md5d41d8cd98f00b204e9800998ecf8427e", "", "SCRAM-SHA-256$4096:x", "SCRAM-SHA-256$4096:!$!:!"] {
            assert_eq!(is_of(foreign, &password), Some(false), "{foreign}");
        }
        assert_eq!(is_of(ours.expose_secret(), &"größer als sechzehn".into()), None);
    }
}
