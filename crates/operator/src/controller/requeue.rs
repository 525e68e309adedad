//! Objects to reconcile again although they did not change: Schools whose server changed, Schools for which something happened that they waited for, servers
//! that somebody had trouble with.
//!
//! Must stay bounded: each object is queued at most once.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};
use tokio::sync::Notify;

/// Requeues objects of one kind.
pub struct Requeue<K: Lookup<DynamicType = ()>> {
    queued: Mutex<HashSet<ObjectRef<K>>>,
    any: Notify,
}

impl<K: Lookup<DynamicType = ()>> Default for Requeue<K> {
    fn default() -> Self {
        Self { queued: Mutex::default(), any: Notify::new() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + fmt::Debug + Send + Sync + 'static> Requeue<K> {
    /// Has one object reconciled again.
    pub fn one(&self, object: ObjectRef<K>) {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
        self.any.notify_one();
    }

    /// The queued objects, as a controller listens to them. Never ends.
    pub fn stream(self: &Arc<Self>) -> impl Stream<Item = ObjectRef<K>> + Send + 'static
    where
        ObjectRef<K>: Eq + Hash,
    {
        futures::stream::unfold(Arc::clone(self), |requeue| async move {
            loop {
                if let Some(object) = requeue.next() {
                    return Some((object, requeue));
                }
                requeue.any.notified().await;
            }
        })
    }

    fn next(&self) -> Option<ObjectRef<K>> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let next = queued.iter().next().cloned()?;
        queued.take(&next)
    }
}
