//! Who is looked at again although its object did not change: Schools of a server that came or went, and Schools that wait for anything.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use crate::crd::School;

/// Wakes Schools. Each waits at most once to be woken, so nothing here outgrows the number of Schools.
#[derive(Debug, Default)]
pub struct Wake {
    woken: Mutex<HashSet<ObjectRef<School>>>,
    any: Notify,
    waiting: Mutex<HashMap<String, ObjectRef<School>>>,
}

impl Wake {
    /// Looks at one School again.
    pub fn school(&self, school: ObjectRef<School>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).insert(school);
        self.any.notify_one();
    }

    /// Notes whether a School waits for something outside its object.
    pub fn note(&self, uid: &str, school: ObjectRef<School>, waits: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waits {
            waiting.insert(uid.to_owned(), school);
        } else {
            waiting.remove(uid);
        }
    }

    /// Looks again at every School that waits: a server changed, a place or a name became free.
    pub fn waiting(&self) {
        for school in self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values() {
            self.school(school.clone());
        }
    }

    /// The Schools to look at, as the controller listens to them. Never ends.
    pub fn stream(self: &Arc<Self>) -> impl Stream<Item = ObjectRef<School>> + Send + 'static {
        futures::stream::unfold(Arc::clone(self), |wake| async move {
            loop {
                if let Some(school) = wake.next() {
                    return Some((school, wake));
                }
                wake.any.notified().await;
            }
        })
    }

    fn next(&self) -> Option<ObjectRef<School>> {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let next = woken.iter().next().cloned()?;
        woken.take(&next)
    }
}
