//! Who is looked at again although its object did not change: Schools of a server that came or went, Schools that wait for anything, servers under suspicion.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use kube::Resource;
use kube::runtime::reflector::{Lookup, ObjectRef};
use tokio::sync::Notify;

/// Wakes objects of one kind. Each waits at most once to be woken, so nothing here outgrows the number of objects.
pub struct Wake<K: Lookup<DynamicType = ()>> {
    woken: Mutex<HashSet<ObjectRef<K>>>,
    any: Notify,
    waiting: Mutex<HashMap<String, ObjectRef<K>>>,
}

impl<K: Lookup<DynamicType = ()>> Default for Wake<K> {
    fn default() -> Self {
        Self { woken: Mutex::default(), any: Notify::new(), waiting: Mutex::default() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + fmt::Debug + Send + Sync + 'static> Wake<K> {
    /// Looks at one object again.
    pub fn one(&self, object: ObjectRef<K>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
        self.any.notify_one();
    }

    /// Notes whether an object waits for something outside itself.
    pub fn note(&self, uid: &str, object: ObjectRef<K>, waits: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waits {
            waiting.insert(uid.to_owned(), object);
        } else {
            waiting.remove(uid);
        }
    }

    /// Looks again at every object that waits: a server changed, a place or a name became free.
    pub fn waiting(&self) {
        for object in self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values() {
            self.one(object.clone());
        }
    }

    /// The objects to look at, as a controller listens to them. Never ends.
    pub fn stream(self: &Arc<Self>) -> impl Stream<Item = ObjectRef<K>> + Send + 'static
    where
        ObjectRef<K>: Eq + Hash,
    {
        futures::stream::unfold(Arc::clone(self), |wake| async move {
            loop {
                if let Some(object) = wake.next() {
                    return Some((object, wake));
                }
                wake.any.notified().await;
            }
        })
    }

    fn next(&self) -> Option<ObjectRef<K>> {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let next = woken.iter().next().cloned()?;
        woken.take(&next)
    }
}
