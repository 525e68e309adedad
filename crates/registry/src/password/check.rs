//! Checking a password against what an account has: Argon2id, or bcrypt from older systems.
//!
//! Must compute one hash for every check, whether the account exists or not: a missing account costs the same as one with a hash of ours, so that neither the
//! answer nor its time reveals which it is. An older hash costs what its own form and parameters need, bcrypt several times as much: until the login that
//! replaces it, a caller that measures time can tell that such an account exists. The queue is bounded: a check beyond it fails immediately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use super::{Error, HASH_PERMITS, MEMORY, hash_argon2id, params};

/// The result of checking a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not its password, or there is no account.
    Wrong,
    /// The account's password.
    Right,
    /// The account's password, stored in an old form: hash it again.
    NeedsRehash,
}

/// Checks and hashes for people who wait for the answer.
#[derive(Debug)]
pub struct Checker {
    queue: Arc<Semaphore>,
    done: Arc<AtomicU64>,
}

/// Cheaper bcrypt hashes are refused: such a hash has been guessable since long ago. Dearer ones would let one login hold a core for seconds.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 10..=14;
/// All that bcrypt reads.
const BCRYPT_BYTES: usize = 72;
/// Argon2id of other systems is verified up to this: KiB of memory, passes, lanes.
const ARGON2_MOST: (u32, u32, u32) = (64 * 1024, 10, 4);

impl Checker {
    /// At most `waiting` checks at once, including those that are running.
    #[must_use]
    pub fn new(waiting: usize) -> Self {
        Self { queue: Arc::new(Semaphore::new(waiting)), done: Arc::default() }
    }

    /// How many hashes have been made since the start.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Whether `password` is the one that `stored` was made of; none for an account that is not there. One hash in either case, of the stored one's cost or ours.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait already.
    pub async fn verify(&self, password: &SecretString, stored: Option<&str>) -> Result<Verdict, Error> {
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| Error::Busy)?;
        let permit = Arc::clone(&HASH_PERMITS).acquire_owned().await.map_err(|_| Error::NotHashed)?;
        let (password, stored, done) = (password.clone(), Stored::parse(stored, password), Arc::clone(&self.done));
        let checked = tokio::task::spawn_blocking(move || {
            let _held = (place, permit);
            done.fetch_add(1, Ordering::Relaxed);
            stored.verify(password.expose_secret())
        });
        checked.await.map_err(|_| Error::NotHashed)?
    }

    /// The password's hash, as [`hash_argon2id`].
    ///
    /// # Errors
    /// [`Error::Busy`] when too many wait already.
    pub async fn hash(&self, password: &SecretString) -> Result<String, Error> {
        let _place = self.queue.try_acquire().map_err(|_| Error::Busy)?;
        self.done.fetch_add(1, Ordering::Relaxed);
        hash_argon2id(password).await
    }
}

enum Stored {
    Argon2id {
        params: Params,
        salt: Vec<u8>,
        output: Vec<u8>,
        current: bool,
    },
    Bcrypt(String),
    /// No account, or a hash that no password fits: the same work for nothing.
    Nothing,
}

impl Stored {
    fn parse(stored: Option<&str>, password: &SecretString) -> Self {
        let Some(stored) = stored else { return Self::Nothing };
        if let Some(cost) = bcrypt_cost(stored) {
            let fits =
                BCRYPT_COST.contains(&cost) && password.expose_secret().len() <= BCRYPT_BYTES && !password.expose_secret().contains('\0');
            return if fits { Self::Bcrypt(stored.to_owned()) } else { Self::Nothing };
        }
        Self::parse_argon2id(stored).unwrap_or(Self::Nothing)
    }

    fn parse_argon2id(stored: &str) -> Option<Self> {
        let hash = PasswordHash::new(stored).ok()?;
        let is_argon2id = hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(Version::V0x13.into());
        let (named, salt, output) = (Params::try_from(&hash).ok()?, hash.salt?, hash.hash?);
        let (memory, passes, lanes) = ARGON2_MOST;
        let bounded = named.m_cost() <= memory && named.t_cost() <= passes && named.p_cost() <= lanes && output.as_bytes().len() >= 16;
        let ours = params().ok()?;
        let current = (named.m_cost(), named.t_cost(), named.p_cost()) == (ours.m_cost(), ours.t_cost(), ours.p_cost());
        let read = Self::Argon2id { params: named, salt: salt.as_ref().to_vec(), output: output.as_bytes().to_vec(), current };
        (is_argon2id && bounded).then_some(read)
    }

    fn verify(self, password: &str) -> Result<Verdict, Error> {
        match self {
            Self::Argon2id { params, salt, output, current } => {
                let equal = argon2id_is(params, password, &salt, &output)?;
                Ok(if !equal {
                    Verdict::Wrong
                } else if current {
                    Verdict::Right
                } else {
                    Verdict::NeedsRehash
                })
            }
            Self::Bcrypt(hash) => Ok(if bcrypt::verify(password, &hash).unwrap_or(false) { Verdict::NeedsRehash } else { Verdict::Wrong }),
            Self::Nothing => argon2id_is(params().map_err(|_| Error::NotHashed)?, password, &[0; 16], &[0; 32]).map(|_| Verdict::Wrong),
        }
    }
}

/// The cost of a bcrypt hash; none when it is not one. `$2x$` marks hashes of a broken implementation.
fn bcrypt_cost(stored: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|version| stored.strip_prefix(version))?;
    rest.get(..2)?.parse().ok()
}

fn argon2id_is(params: Params, password: &str, salt: &[u8], expected: &[u8]) -> Result<bool, Error> {
    let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
    memory.resize(params.block_count(), Block::new());
    let mut output = vec![0; expected.len()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hashed = argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut memory);
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    hashed.map_err(|_| Error::NotHashed)?;
    Ok(constant_time::verify_slices_are_equal(&output, expected).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn verdict(password: &str, stored: Option<&str>) -> Verdict {
        Checker::new(1).verify(&password.into(), stored).await.unwrap()
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_alone() {
        let hash = hash_argon2id(&"canary".into()).await.unwrap();
        assert_eq!(verdict("canary", Some(&hash)).await, Verdict::Right);
        for (password, stored) in
            [("canarz", Some(hash.as_str())), ("", Some(&hash)), ("canary", None), ("canary", Some("")), ("canary", Some("canary"))]
        {
            assert_eq!(verdict(password, stored).await, Verdict::Wrong, "{password} {stored:?}");
        }
    }

    #[tokio::test]
    async fn bcrypt_of_every_version_is_verified_and_needs_a_rehash() {
        let parts = bcrypt::hash_with_result("canary", 10).unwrap();
        for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
            let hash = parts.format_for_version(version);
            assert_eq!(verdict("canary", Some(&hash)).await, Verdict::NeedsRehash, "{hash}");
            assert_eq!(verdict("canarz", Some(&hash)).await, Verdict::Wrong, "{hash}");
        }
        let broken = parts.format_for_version(bcrypt::Version::TwoX);
        assert_eq!(verdict("canary", Some(&broken)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn bcrypt_that_is_cheap_or_would_cut_the_password_off_is_refused() {
        let cheap = bcrypt::hash("canary", 4).unwrap();
        assert_eq!(verdict("canary", Some(&cheap)).await, Verdict::Wrong);
        let long = "a".repeat(72);
        let hash = bcrypt::hash(&long, 10).unwrap();
        assert_eq!(verdict(&long, Some(&hash)).await, Verdict::NeedsRehash);
        assert_eq!(verdict(&format!("{long}b"), Some(&hash)).await, Verdict::Wrong, "72 bytes of 73 were enough");
    }

    #[tokio::test]
    async fn a_foreign_argon2id_needs_a_rehash_and_a_boundless_one_is_never_computed() {
        let make = |memory, passes| {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory, passes, 1, None).unwrap());
            argon2::PasswordHasher::hash_password_with_salt(&argon2, b"canary", &[7; 16]).unwrap().to_string()
        };
        assert_eq!(verdict("canary", Some(&make(8 * 1024, 1))).await, Verdict::NeedsRehash);
        let boundless = make(8 * 1024, 1).replace("m=8192", "m=4194304");
        assert_eq!(verdict("canary", Some(&boundless)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn every_check_costs_one_hash_and_one_too_many_is_refused() {
        let checker = Checker::new(1);
        for stored in [None, Some("garbage")] {
            checker.verify(&"canary".into(), stored).await.unwrap();
        }
        assert_eq!(checker.hashes(), 2);
        let none = Checker::new(0);
        assert_eq!(none.verify(&"canary".into(), None).await, Err(Error::Busy));
        assert_eq!(none.hash(&"canary".into()).await, Err(Error::Busy));
        assert_eq!(none.hashes(), 0);
    }
}
