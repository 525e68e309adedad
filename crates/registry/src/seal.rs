//! Sealed credentials in the registry, and the keys that open them: whoever reads the master database or its backups reads no password.
//!
//! Must not seal, and must not show, log or serialise a key. Sealing keys are the operator's alone; this module only knows the form of their
//! file, so that the API can refuse it.

pub mod key_file;
pub mod opening;

use domain::names::TenantId;
use domain::retry::Class;

use self::key_file::Line;
pub use self::opening::OpeningKeys;

/// Credentials that only a holder of the key can read, and only as this tenant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key that sealed them.
    pub key_id: String,
    /// Form (1 byte, 1), nonce (12), ciphertext, tag (16).
    pub bytes: Vec<u8>,
}

/// Why a key file or sealed credentials could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file holds no key.
    #[error("the key file holds no key")]
    NoKey,
    /// A line is not `key-id:base64 of 32 bytes`.
    #[error("line {0} of the sealing key file is not key-id:base64 of 32 bytes")]
    BadLine(usize),
    /// A line is none of an opening key file.
    #[error("line {0} of the opening key file is none that `dailycare opening-keys` prints")]
    BadOpeningLine(usize),
    /// The API was given the operator's file.
    #[error(
        "line {0} of the opening key file is a sealing key, which is the operator's alone: give the API what `dailycare opening-keys` prints of that file"
    )]
    SealingKey(usize),
    /// The operator was given the API's file.
    #[error("line {0} of the sealing key file only opens: give the operator the file of `dailycare sealing-key` that it was printed from")]
    OpeningKey(usize),
    /// Two lines have one key id.
    #[error("line {0} of the key file repeats a key id")]
    Repeated(usize),
    /// None of the keys has this id.
    #[error("the credentials were sealed with a key that the key file does not hold")]
    UnknownKey,
    /// Wrong key, wrong tenant or altered bytes: they cannot be told apart.
    #[error("the sealed credentials are not this tenant's, or were altered")]
    Refused,
    /// The cryptographic library failed, for lack of randomness or memory.
    #[error("a cryptographic operation failed")]
    Failed,
}

impl Error {
    /// How the caller goes on.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NoKey
            | Self::BadLine(_)
            | Self::BadOpeningLine(_)
            | Self::SealingKey(_)
            | Self::OpeningKey(_)
            | Self::Repeated(_)
            | Self::UnknownKey => Class::Denied,
            Self::Refused => Class::Invalid,
            Self::Failed => Class::Transient,
        }
    }
}

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// The form of sealed bytes, their first byte.
pub const FORM: u8 = 1;

/// A line of a sealing key file; none for anything else.
#[must_use]
pub fn sealing_line(text: &str) -> Option<Line> {
    key_file::line(text, KEY_BYTES)
}

/// The associated data of sealed bytes: their form and their tenant.
#[must_use]
pub fn context(tenant: TenantId) -> [u8; 17] {
    let mut context = [FORM; 17];
    context[1..].copy_from_slice(tenant.0.as_bytes());
    context
}
