//! Schools' logins that were found to work, by logging in, on servers that do not show what they store of passwords.
//!
//! Must hold no password: a fingerprint tells which one worked. Must stay bounded: a School that is gone is forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For each School, by uid: which password worked, and until when that counts.
#[derive(Debug, Default)]
pub struct ProvenLogins(Mutex<HashMap<String, (String, Instant)>>);

impl ProvenLogins {
    /// The login worked with the password of this fingerprint, not long ago.
    #[must_use]
    pub fn is_proven(&self, uid: &str, fingerprint: &str, now: Instant) -> bool {
        self.proven().get(uid).is_some_and(|(proven, until)| proven == fingerprint && now < *until)
    }

    /// The login works. That counts for `time`.
    pub fn record(&self, uid: &str, fingerprint: String, time: Duration, now: Instant) {
        self.proven().insert(uid.to_owned(), (fingerprint, now + time));
    }

    /// The login must be tried again: it did not work, somebody doubts it, or the School is gone.
    pub fn forget(&self, uid: &str) {
        self.proven().remove(uid);
    }

    fn proven(&self) -> MutexGuard<'_, HashMap<String, (String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_tried_again_when_its_time_is_over_or_it_has_another_password() {
        let (logins, now) = (ProvenLogins::default(), Instant::now());
        logins.record("a", "one".to_owned(), Duration::from_secs(10), now);
        assert!(logins.is_proven("a", "one", now) && !logins.is_proven("a", "two", now) && !logins.is_proven("b", "one", now));
        assert!(!logins.is_proven("a", "one", now + Duration::from_secs(10)));
        logins.forget("a");
        assert!(!logins.is_proven("a", "one", now));
    }
}
