//! How the tenant registry cache keeps itself current. Must not hold a key, only the file's name.

use std::path::PathBuf;
use std::time::Duration;

/// How the cache keeps itself current.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Use LISTEN. Impossible through a pooler that shares sessions, where the poll alone must do.
    pub listen: bool,
    /// Time between polls while no notification comes.
    pub poll: Duration,
    /// Time that the registry has to answer a poll or a lookup.
    pub query_timeout: Duration,
    /// How long an unknown tenant is not looked up again.
    pub absence_ttl: Duration,
    /// The least time between two refetches of one tenant.
    pub refetch_interval: Duration,
    /// The file of the opening keys. It is read again when a row names a key that is not among them.
    pub key_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: true,
            poll: Duration::from_secs(10),
            query_timeout: Duration::from_secs(5),
            absence_ttl: Duration::from_secs(30),
            refetch_interval: Duration::from_secs(1),
            key_file: None,
        }
    }
}
