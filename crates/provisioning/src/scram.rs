//! SCRAM verifiers: what PostgreSQL stores in place of a password, computed here so that no password is ever part of a statement.
//!
//! Must not log or return the password.

use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret as _, SecretString};

/// The verifier of a password, with a new random salt: `SCRAM-SHA-256$4096:<salt>$<stored key>:<server key>`. It cannot be used to log in.
#[must_use]
pub fn verifier(password: &SecretString) -> SecretString {
    scram_sha_256(password.expose_secret().as_bytes()).into()
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
}
