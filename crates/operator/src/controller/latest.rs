//! The version of each object that its last turn ended with. A cache may be behind our own writes, and a status that is compared with an older one
//! passes for written when it is not: then nobody would correct it until something else happens.
//!
//! Must decide nothing: whoever finds that the cache says something else asks the API server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::{Resource, ResourceExt as _};

/// `resourceVersion` by uid; none where a turn failed, because a write whose answer was not heard may have landed.
#[derive(Debug, Default)]
pub struct Latest(Mutex<HashMap<String, Option<String>>>);

impl Latest {
    /// A turn ended well with the object as it is here.
    pub fn note<K: Resource>(&self, object: &K) {
        self.versions().insert(object.uid().unwrap_or_default(), object.resource_version());
    }

    /// A turn failed: nothing is known of the last write.
    pub fn doubt<K: Resource>(&self, object: &K) {
        self.versions().insert(object.uid().unwrap_or_default(), None);
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.versions().remove(uid);
    }

    /// The object is known to be no older than our own last write to it.
    #[must_use]
    pub fn covers<K: Resource>(&self, object: &K) -> bool {
        let versions = self.versions();
        versions.get(&object.uid().unwrap_or_default()).is_none_or(|noted| noted.is_some() && *noted == object.resource_version())
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
        let latest = Latest::default();
        assert!(latest.covers(&object("1")));
        latest.note(&object("2"));
        assert_eq!(["1", "2", "3"].map(|version| latest.covers(&object(version))), [false, true, false]);
        latest.doubt(&object("2"));
        assert!(!latest.covers(&object("2")));
        latest.forget("a");
        assert!(latest.covers(&object("1")));
    }
}
