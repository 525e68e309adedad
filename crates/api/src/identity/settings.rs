//! The settings of identity, and why they may be refused.
//!
//! Must not read files or the environment: the command line does.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::external::{self, External};
use super::keys;

/// How identity is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss` of own tokens: differs between environments, so that a token of one is nothing in another.
    pub issuer: String,
    /// `aud` of own access tokens; those of impersonation have this and `/impersonation`.
    pub audience: String,
    /// Lines `key-id:base64 of 32 bytes`; the first signs, all verify.
    pub signing_key_file: PathBuf,
    /// Life of an access token: at most an hour.
    pub access_life: Duration,
    /// Another issuer whose tokens count too.
    pub external: Option<External>,
    /// Passwords that one address may try in a minute, all at once or spread.
    pub attempts_per_minute: NonZeroU32,
    /// Sessions that one address may renew or end in a minute: many more, because all of a school may share an address, and each costs one transaction.
    pub renewals_per_minute: NonZeroU32,
    /// How often one user may ask who they are in a minute.
    pub profiles_per_minute: NonZeroU32,
    /// Passwords that may wait to be hashed.
    pub hash_queue: usize,
    /// Interval of re-reading the signing key file.
    pub key_file_period: Duration,
    /// Interval of re-reading which sessions ended: how late a change is seen when notifications are cut.
    pub revocation_period: Duration,
    /// Interval of deleting expired sessions.
    pub sweep_period: Duration,
}

impl Settings {
    /// The usual values.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, signing_key_file: impl Into<PathBuf>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            signing_key_file: signing_key_file.into(),
            access_life: Duration::from_mins(15),
            external: None,
            attempts_per_minute: NonZeroU32::MIN.saturating_add(59),
            renewals_per_minute: NonZeroU32::MIN.saturating_add(599),
            profiles_per_minute: NonZeroU32::MIN.saturating_add(119),
            hash_queue: 64,
            key_file_period: Duration::from_secs(30),
            revocation_period: Duration::from_secs(10),
            sweep_period: Duration::from_mins(10),
        }
    }
}

/// Why identity cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The signing keys cannot be loaded.
    #[error("the signing keys cannot be used")]
    Keys(#[from] keys::Error),
    /// The external issuer's settings cannot be used.
    #[error("the external issuer cannot be used")]
    External(#[from] external::Error),
    /// Both issuers have one name.
    #[error("the external issuer has this API's own name")]
    SameIssuer,
    /// Access token lifetimes under a minute or over an hour.
    #[error("access tokens live between a minute and an hour")]
    AccessLife,
    /// The registry does not answer.
    #[error("reading which sessions have ended failed")]
    Registry(#[from] postgres::Error),
}
