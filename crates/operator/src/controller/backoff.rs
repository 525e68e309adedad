//! How often each object has failed in a row, and how long to wait before the next try. kube's error policy does not count.
//!
//! Must not choose waits by itself: [`domain::retry`] does. Nothing here outlives the process.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::retry::{self, Class};

/// Failures in a row by object uid.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Counts a failure. Returns how many there were in a row, and the wait before the next try.
    pub fn failed(&self, uid: &str, class: Class) -> (u32, Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        (*count, retry::wait(class, *count, seed(uid)))
    }

    /// Forgets an object's failures, because a reconcile succeeded or the object is gone.
    pub fn reset(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// A duration shortened by up to a tenth, always by the same part for the same object, so that objects that were reconciled together drift apart.
#[must_use]
pub(super) fn spread(whole: Duration, uid: &str) -> Duration {
    let part = u32::try_from(seed(uid) % 1024).unwrap_or(0);
    whole.saturating_sub(whole / 10 * part / 1024)
}

/// Spreads objects: always the same for the same one.
pub(super) fn seed(uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish()
}
