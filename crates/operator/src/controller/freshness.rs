//! Whether the watch cache has our own last write. A cache may lag behind, and a status compared with an older one looks written when it is not:
//! nobody would correct it until something else happens.
//!
//! Must decide nothing: whoever finds that the cache differs reads the object from the API server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::{Resource, ResourceExt as _};

/// The `resourceVersion` that the last reconcile of each object ended with, by uid; none after a failure, because a write whose response was lost may
/// have been applied.
#[derive(Debug, Default)]
pub struct CacheFreshness(Mutex<HashMap<String, Option<String>>>);

impl CacheFreshness {
    /// A reconcile ended well with the object in this version.
    pub fn record<K: Resource>(&self, object: &K) {
        self.versions().insert(object.uid().unwrap_or_default(), object.resource_version());
    }

    /// A reconcile failed: the version of the last write is unknown.
    pub fn invalidate<K: Resource>(&self, object: &K) {
        self.versions().insert(object.uid().unwrap_or_default(), None);
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.versions().remove(uid);
    }

    /// The object is known to be no older than our own last write to it.
    #[must_use]
    pub fn is_fresh<K: Resource>(&self, object: &K) -> bool {
        let versions = self.versions();
        versions.get(&object.uid().unwrap_or_default()).is_none_or(|last| last.is_some() && *last == object.resource_version())
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(version: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"uid": "a", "resourceVersion": version}})).unwrap()
    }

    #[test]
    fn an_object_is_trusted_when_it_is_new_to_us_or_as_we_left_it_and_never_after_a_failure() {
        let freshness = CacheFreshness::default();
        assert!(freshness.is_fresh(&object("1")));
        freshness.record(&object("2"));
        assert_eq!(["1", "2", "3"].map(|version| freshness.is_fresh(&object(version))), [false, true, false]);
        freshness.invalidate(&object("2"));
        assert!(!freshness.is_fresh(&object("2")));
        freshness.forget("a");
        assert!(freshness.is_fresh(&object("1")));
    }
}
