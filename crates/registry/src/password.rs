//! Passwords: made from the operating system's randomness, and hashed for people's accounts.
//!
//! Must not return a password as plain text type, nor hash on more than half the machine's cores at once: each hash takes 19 MiB and 20 ms of a core.

mod check;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use check::{Checker, Verdict};

/// Why a password could not be made or hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// Longer than any password: 4 GiB is the algorithm's bound.
    #[error("hashing a password failed")]
    NotHashed,
    /// Too many wait for a hash already.
    #[error("too many passwords wait to be hashed")]
    Busy,
}

/// A login role's password: 256 random bits as 43 characters of base64url, which need no quoting anywhere.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn generate_login_password() -> Result<SecretString, Error> {
    random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes.as_ref()).into())
}

/// Crockford's base 32: no letter that can be confused with a digit or another letter, and a power of two, so that each byte's low bits choose evenly.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const GROUP: usize = 5;

/// A password that a person types once and then replaces: 125 random bits as five groups of five characters, `xxxxx-xxxxx-xxxxx-xxxxx-xxxxx`.
///
/// # Errors
/// [`Error::NoRandomness`].
pub fn generate_temporary_password() -> Result<SecretString, Error> {
    let bytes = random::<25>()?;
    let mut text = Zeroizing::new(String::with_capacity(29));
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 && i % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    Ok(text.as_str().into())
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(bytes.as_mut()).map_err(|_| Error::NoRandomness)?;
    Ok(bytes)
}

static HASH_PERMITS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)))));

/// The memory of hashes, one for each that may run at the same time. Kept, because the allocator would keep freed memory for every thread that ever
/// hashed.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// The password's Argon2id hash in PHC form, with OWASP's parameters (19 MiB, 2 passes, 1 lane) and a random salt. Waits for a permit.
///
/// # Errors
/// When there is no randomness for the salt, or the runtime shuts down.
pub async fn hash_argon2id(password: &SecretString) -> Result<String, Error> {
    let permit = Arc::clone(&HASH_PERMITS).acquire_owned().await.map_err(|_| Error::NotHashed)?;
    let password = password.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        // Held by the hash itself, because a hash that has begun goes on when its caller goes away.
        let _permit = permit;
        let salt = random::<16>()?;
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let hash = hash(password.expose_secret(), salt.as_ref(), &mut memory);
        MEMORY.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(hash.map_err(|_| Error::NotHashed)?.to_string())
    });
    hashed.await.map_err(|_| Error::NotHashed)?
}

/// OWASP's: 19 MiB, 2 passes, 1 lane.
fn params() -> argon2::password_hash::Result<Params> {
    Ok(Params::new(19 * 1024, 2, 1, None)?)
}

/// Every block is written before it is read, so what an earlier hash left in `memory` does not matter.
fn hash(password: &str, salt: &[u8], memory: &mut Vec<Block>) -> argon2::password_hash::Result<PasswordHash> {
    let (algorithm, version, params) = (Algorithm::Argon2id, Version::V0x13, params()?);
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    memory.resize(params.block_count(), Block::new());
    let named = ParamsString::try_from(&params)?;
    Argon2::new(algorithm, version, params).hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory)?;
    Ok(PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: named,
        salt: Some(Salt::new(salt)?),
        hash: Some(Output::new(&output)?),
    })
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier as _;

    use super::*;

    #[test]
    fn login_passwords_carry_256_bits_and_differ() {
        let (a, b) = (generate_login_password().unwrap(), generate_login_password().unwrap());
        assert_eq!(URL_SAFE_NO_PAD.decode(a.expose_secret()).unwrap().len(), 32);
        assert_ne!(a.expose_secret(), b.expose_secret());
    }

    #[test]
    fn temporary_passwords_are_five_groups_of_characters_that_cannot_be_confused() {
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let password = generate_temporary_password().unwrap();
            let groups: Vec<_> = password.expose_secret().split('-').collect();
            assert!(groups.len() == 5 && groups.iter().all(|group| group.len() == 5), "{groups:?}");
            drawn.extend(groups.concat().bytes());
        }
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), ALPHABET, "5,000 draws miss a character, or hold a strange one");
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_only_and_names_its_parameters() {
        // The second one in the same memory.
        hash_argon2id(&"another".into()).await.unwrap();
        let hash = hash_argon2id(&"canary".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let hash = PasswordHash::new(&hash).unwrap();
        assert!(Argon2::default().verify_password(b"canary", &hash).is_ok());
        assert!(Argon2::default().verify_password(b"canarz", &hash).is_err());
    }
}
