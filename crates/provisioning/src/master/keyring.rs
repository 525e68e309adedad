//! The operator's sealing keys: reading and making their file, and the opening file that goes with it.
//!
//! The file holds one sealing key per line and is the operator's alone. From each, HKDF derives one key that seals and opens, one for fingerprints and one for
//! the migrator's passwords. The API holds only the first of these three: see [`OpeningKeys`]. Must not show, log or serialise a key.
//!
//! [`OpeningKeys`]: registry::seal::OpeningKeys

mod key;
mod passwords;
mod sealing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use registry::seal::key_file::{self, Line};
use registry::seal::{Error, KEY_BYTES, opening, sealing_line};
use secrecy::SecretString;
use zeroize::Zeroizing;

use self::key::{CREDENTIALS, Key, derive, extract};

/// The operator's sealing keys: the first seals, all open. To rotate, put a new key first and remove the old one once nothing is sealed with it.
#[derive(Clone)]
pub struct Keyring(Arc<[Key]>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.opening.id)).finish()
    }
}

impl Keyring {
    /// Reads a key file: lines `key-id:base64(32 bytes)`; ignores empty lines and lines that start with `#`.
    ///
    /// # Errors
    /// The number of the line that is wrong, quoting nothing; [`Error::OpeningKey`] for a line of the API's file.
    pub fn parse(file: &SecretString) -> Result<Self, Error> {
        let keys: Option<_> = sealing_lines(file)?.iter().map(Key::of).collect();
        keys.map(Self).ok_or(Error::Failed)
    }

    /// The API's file of [`OpeningKeys`](registry::seal::OpeningKeys) for a sealing key file, line by line, the same on every call.
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
