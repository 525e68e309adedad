//! The watch cache of one kind: every object as last watched, and the writer that its controller takes when it starts.
//!
//! Must be written by one controller only.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, Lookup, Store};

/// The objects of one kind. Clones share them.
pub struct Cache<K: Lookup<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    writer: Arc<Mutex<Option<Writer<K>>>>,
}

impl<K> Default for Cache<K>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    fn default() -> Self {
        let (store, writer) = reflector::store();
        Self { store, writer: Arc::new(Mutex::new(Some(writer))) }
    }
}

impl<K> Clone for Cache<K>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), writer: Arc::clone(&self.writer) }
    }
}

impl<K> Deref for Cache<K>
where
    K: Lookup<DynamicType = ()> + Clone + Debug + 'static,
{
    type Target = Store<K>;

    fn deref(&self) -> &Store<K> {
        &self.store
    }
}

impl<K> Cache<K>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    /// The store, for a controller.
    pub(super) fn clone_store(&self) -> Store<K> {
        self.store.clone()
    }

    /// The writer, for the one controller that takes it first.
    pub(super) fn take_writer(&self) -> Option<Writer<K>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
