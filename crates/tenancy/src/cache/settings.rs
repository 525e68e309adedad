//! How to reach Redis, and how much a caller may wait for it.
//!
//! Must not quote the URL in an error: it holds a password.

use std::time::Duration;

use secrecy::SecretString;

use crate::circuit_breaker::BreakerSettings;

/// How to reach Redis, and what it may cost.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://` or `rediss://` (TLS) `user:password@host:port/database`.
    pub url: SecretString,
    /// The authority that must have signed the server's certificate, as PEM. Without one, the system's authorities.
    pub authority: Option<Vec<u8>>,
    /// How long a value is valid, give or take a tenth.
    pub ttl: Duration,
    /// How long one caller waits for Redis, over all its commands.
    pub timeout: Duration,
    /// How long connecting may take. It continues after its callers have stopped waiting.
    pub connect_timeout: Duration,
    /// How many callers send commands at the same time. Others wait for their turn.
    pub in_flight: usize,
    /// A larger value, with the text around it, is not stored.
    pub max_bytes: usize,
    /// When to stop sending commands.
    pub breaker: BreakerSettings,
}

impl Settings {
    /// One hour, 50 ms, 256 KiB; five failures in ten seconds stop for five.
    #[must_use]
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            authority: None,
            ttl: Duration::from_hours(1),
            timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            in_flight: 256,
            max_bytes: 256 * 1024,
            breaker: BreakerSettings { failures: 5, window: Duration::from_secs(10), pause: Duration::from_secs(5) },
        }
    }
}

/// Why settings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another scheme, or none.
    #[error("the Redis URL must start with redis:// or rediss://")]
    Scheme,
    /// The client would read a fragment as an option, such as one that turns certificate checks off.
    #[error("the Redis URL must not contain #; write a # in the password as %23")]
    Fragment,
    /// It cannot be parsed.
    #[error(
        "the Redis URL must be redis://user:password@host:port/database, with a numeric database and special characters percent-encoded"
    )]
    Malformed,
    /// An authority without TLS.
    #[error("the authority for Redis needs a URL that starts with rediss://")]
    UnusedAuthority,
    /// The authority is no certificate.
    #[error("the authority for Redis must be one or more certificates in PEM form")]
    Authority,
}
