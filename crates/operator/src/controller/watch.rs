//! Watching objects.
//!
//! Must not let an object that cannot be read stop the others. Only what a person or pipeline changes is a reason to reconcile.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use domain::names::ResetRequest;
use futures::{Stream, StreamExt as _};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use telemetry::health::Heartbeat;

/// Set by a person or pipeline, to any new value, to have an object reconciled now.
pub(super) const REQUESTED_AT: &str = "dailycare.io/requestedAt";

/// Every object of a kind, as watch events. Objects that cannot be read are logged and left out. Fields that are never read are not kept in memory.
pub(super) fn valid<K>(client: Client, heartbeat: Heartbeat) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let events = watch(Api::<DeserializeGuard<K>>::all(client), watcher::Config::default().page_size(100)).default_backoff();
    events.filter_map(move |event| {
        if event.is_ok() {
            heartbeat.beat();
        }
        std::future::ready(readable(event))
    })
}

fn readable<K>(event: Result<Event<DeserializeGuard<K>>, watcher::Error>) -> Option<Result<Event<K>, watcher::Error>>
where
    K: Resource<DynamicType = ()>,
{
    Some(match event {
        Err(error) => {
            tracing::debug!(kind = %K::kind(&()), error = telemetry::logs::chain(&error), "the watch failed and is retried");
            Err(error)
        }
        Ok(Event::Init) => Ok(Event::Init),
        Ok(Event::InitDone) => Ok(Event::InitDone),
        Ok(Event::Apply(object)) => Ok(Event::Apply(pruned(object)?)),
        Ok(Event::InitApply(object)) => Ok(Event::InitApply(pruned(object)?)),
        Ok(Event::Delete(object)) => Ok(Event::Delete(pruned(object)?)),
    })
}

fn pruned<K: Resource<DynamicType = ()>>(guarded: DeserializeGuard<K>) -> Option<K> {
    let (namespace, name) = (guarded.namespace(), guarded.name_any());
    match guarded.0 {
        Ok(mut object) => {
            object.managed_fields_mut().clear();
            object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
            Some(object)
        }
        Err(error) => {
            tracing::warn!(kind = %K::kind(&()), namespace, name, error = error.error, "the object cannot be read and is left alone; correct it");
            None
        }
    }
}

/// A hash of what is asked of an object: its spec, its deletion, and the annotations that request something. Our own writes to status and finalizers do not
/// change it.
#[expect(clippy::unnecessary_wraps, reason = "kube's predicates may have no opinion")]
pub(super) fn requested<K: Resource>(object: &K) -> Option<u64> {
    let meta = object.meta();
    let mut hasher = DefaultHasher::new();
    meta.generation.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    for key in [REQUESTED_AT, ResetRequest::ANNOTATION] {
        meta.annotations.as_ref().and_then(|annotations| annotations.get(key)).hash(&mut hasher);
    }
    Some(hasher.finish())
}
