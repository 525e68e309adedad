//! Schools' logins that were found to work, by logging in, on servers that do not show what they store of passwords.
//!
//! Must hold no password: a fingerprint tells which one worked. Must stay bounded: a School that is gone is forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two doubts about one School that count.
const BETWEEN_DOUBTS: Duration = Duration::from_secs(30);

/// What is known of each School's login, by uid.
#[derive(Debug, Default)]
pub struct ProvenLogins(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Which password worked, and until when that counts.
    proofs: HashMap<String, (String, Instant)>,
    doubts: HashMap<String, Instant>,
}

impl ProvenLogins {
    /// The login worked with the password of this fingerprint, not long ago.
    #[must_use]
    pub fn is_proven(&self, uid: &str, fingerprint: &str, now: Instant) -> bool {
        self.known().proofs.get(uid).is_some_and(|(proven, until)| proven == fingerprint && now < *until)
    }

    /// The login works. That counts for `time`.
    pub fn record(&self, uid: &str, fingerprint: String, time: Duration, now: Instant) {
        self.known().proofs.insert(uid.to_owned(), (fingerprint, now + time));
    }

    /// Somebody was refused: what was proven does not count any more. False when that was said already, not long ago.
    pub fn doubt(&self, uid: &str, now: Instant) -> bool {
        let mut known = self.known();
        if known.doubts.get(uid).is_some_and(|last| now.saturating_duration_since(*last) < BETWEEN_DOUBTS) {
            return false;
        }
        known.proofs.remove(uid);
        known.doubts.insert(uid.to_owned(), now);
        true
    }

    /// The School is gone.
    pub fn forget(&self, uid: &str) {
        let mut known = self.known();
        known.proofs.remove(uid);
        known.doubts.remove(uid);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
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
        assert!(logins.doubt("a", now) && !logins.is_proven("a", "one", now));
        logins.record("a", "one".to_owned(), Duration::from_secs(10), now);
        assert!(!logins.doubt("a", now) && logins.is_proven("a", "one", now), "doubts have a School reconciled over and over");
        assert!(logins.doubt("a", now + BETWEEN_DOUBTS));
        logins.forget("a");
        assert!(!logins.is_proven("a", "one", now) && logins.known().doubts.is_empty());
    }
}
