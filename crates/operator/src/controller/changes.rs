//! Tells a running reconcile that something else is desired of its object. kube does not start another reconcile of an object before the running one has ended,
//! and one may wait or migrate for minutes.
//!
//! Must not say what changed: whoever listens reads the watch cache. Must stay bounded: one entry for each running reconcile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The running reconciles, by their object's uid.
#[derive(Debug, Default)]
pub struct DesiredChanges(Mutex<HashMap<String, Arc<Notify>>>);

impl DesiredChanges {
    /// Listens for changes of one object until dropped.
    #[must_use]
    pub fn subscribe(&self, uid: &str) -> Subscription<'_> {
        let notify = Arc::new(Notify::new());
        self.running().insert(uid.to_owned(), Arc::clone(&notify));
        Subscription { changes: self, uid: uid.to_owned(), notify }
    }

    /// The watch cache has another version of an object.
    pub fn object(&self, uid: &str) {
        if let Some(notify) = self.running().get(uid) {
            notify.notify_one();
        }
    }

    /// The watch cache was filled anew.
    pub fn all(&self) {
        self.running().values().for_each(|notify| notify.notify_one());
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One running reconcile.
#[derive(Debug)]
pub struct Subscription<'a> {
    changes: &'a DesiredChanges,
    uid: String,
    notify: Arc<Notify>,
}

impl Subscription<'_> {
    /// Resolves when `happened` says so, called now and after each change. A change between two calls is not lost.
    pub async fn until(&self, happened: impl Fn() -> bool) {
        while !happened() {
            self.notify.notified().await;
        }
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        let mut running = self.changes.running();
        // Of two reconciles of one object, which kube never starts, the later would still listen.
        if running.get(&self.uid).is_some_and(|notify| Arc::ptr_eq(notify, &self.notify)) {
            running.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_change_that_came_before_anybody_waited_is_noticed_and_others_are_not() {
        let changes = DesiredChanges::default();
        let (one, calls) = (changes.subscribe("a"), Cell::new(0));
        let second_time = || {
            calls.set(calls.get() + 1);
            calls.get() > 1
        };
        assert_eq!(one.until(second_time).now_or_never(), None);
        calls.set(0);
        changes.object("b");
        assert_eq!(one.until(second_time).now_or_never(), None);
        calls.set(0);
        changes.object("a");
        assert_eq!(one.until(second_time).now_or_never(), Some(()));
        calls.set(0);
        changes.all();
        assert_eq!(one.until(second_time).now_or_never(), Some(()));
        drop(one);
        assert!(changes.running().is_empty());
    }
}
