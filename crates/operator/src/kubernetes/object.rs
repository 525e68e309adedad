//! Finalizers, status and fresh reads of any kind. Every write carries the identity of the object that it was decided on, so that it cannot
//! fall on a successor of the same name.
//!
//! Must not know a kind, and must not retry: the engine observes again instead.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Error, FIELD_MANAGER, Result, merge, within};

/// A kind that the functions of this module work on.
pub trait Object: Resource + Clone + DeserializeOwned + Debug {}
impl<K: Resource + Clone + DeserializeOwned + Debug> Object for K {}

/// The object as it is now, read from the API server and not from a cache; none when it, the one with this uid, is gone.
///
/// # Errors
/// When it cannot be read, which is not the same as its absence.
pub async fn fresh<K: Object>(api: &Api<K>, name: &str, uid: &str) -> Result<Option<K>> {
    let found = within("reading the object afresh", api.get_opt(name)).await?;
    Ok(found.filter(|object| object.meta().uid.as_deref() == Some(uid)))
}

/// Adds `finalizer`, unless it is there already. Returns the object as the API server now holds it.
///
/// # Errors
/// A conflict when the object was replaced or its finalizers changed since `last` was read.
pub async fn add_finalizer<K: Object>(api: &Api<K>, last: &K, finalizer: &str) -> Result<K> {
    if last.finalizers().iter().any(|present| present == finalizer) {
        return Ok(last.clone());
    }
    let desired = last.finalizers().iter().map(String::as_str).chain([finalizer]).collect();
    patch_finalizers("adding the finalizer", api, last, desired).await
}

/// Removes `finalizer`. Returns the object as the API server now holds it; none when it is gone already.
///
/// # Errors
/// A conflict when the object was replaced or its finalizers changed since `last` was read.
pub async fn remove_finalizer<K: Object>(api: &Api<K>, last: &K, finalizer: &str) -> Result<Option<K>> {
    if !last.finalizers().iter().any(|present| present == finalizer) {
        return Ok(Some(last.clone()));
    }
    let desired = last.finalizers().iter().map(String::as_str).filter(|present| *present != finalizer).collect();
    match patch_finalizers("removing the finalizer", api, last, desired).await {
        Err(error) if error.is_not_found() => Ok(None),
        patched => patched.map(Some),
    }
}

/// A JSON patch, because its precondition can be narrow: the same object with the same finalizers. A change of status or labels meanwhile is no
/// reason to start again.
async fn patch_finalizers<K: Object>(doing: &'static str, api: &Api<K>, last: &K, desired: Vec<&str>) -> Result<K> {
    const PATH: &str = "/metadata/finalizers";
    let (name, uid) = identity(doing, last)?;
    let before = if last.finalizers().is_empty() { Value::Null } else { json!(last.finalizers()) };
    let change = match (last.finalizers().is_empty(), desired.is_empty()) {
        (true, _) => json!({"op": "add", "path": PATH, "value": desired}),
        (false, true) => json!({"op": "remove", "path": PATH}),
        (false, false) => json!({"op": "replace", "path": PATH, "value": desired}),
    };
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": PATH, "value": before},
        change,
    ]);
    let patch = serde_json::from_value(operations).map_err(|source| Error::call(doing, kube::Error::SerdeError(source)))?;
    within(doing, api.patch(name, &parameters(), &Patch::Json::<()>(patch))).await
}

/// Writes what differs between the status of `last` and `desired`, as one merge patch on condition that nothing changed since `last` was read.
/// Returns the object as the API server now holds it; none when nothing differed and nothing was written. The API server ignores a uid here, but no
/// two objects ever have the same `resourceVersion`.
///
/// A merge patch and not server-side apply: it is half the server's work, can carry `resourceVersion`, and needs no list of owned fields, since
/// nobody else writes our status.
///
/// # Errors
/// A conflict when the object was replaced or changed since `last` was read.
pub async fn patch_status<K>(api: &Api<K>, last: &K, desired: &K::Status) -> Result<Option<K>>
where
    K: Object + HasStatus,
    K::Status: Serialize,
{
    const DOING: &str = "writing the status";
    let (name, _) = identity(DOING, last)?;
    let version = last.resource_version().ok_or(Error::Incomplete { doing: DOING, field: "metadata.resourceVersion" })?;
    let json = |status: Option<&K::Status>| {
        let value = status.map_or(Ok(json!({})), serde_json::to_value);
        value.map_err(|source| Error::call(DOING, kube::Error::SerdeError(source)))
    };
    let Some(difference) = merge::diff(&json(last.status())?, &json(Some(desired))?) else { return Ok(None) };
    let patch = json!({"metadata": {"resourceVersion": version}, "status": difference});
    within(DOING, api.patch_status(name, &parameters(), &Patch::Merge(patch))).await.map(Some)
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// The name and uid of an object that the API server sent.
fn identity<'a, K: Resource>(doing: &'static str, object: &'a K) -> Result<(&'a str, &'a str)> {
    let name = object.meta().name.as_deref().ok_or(Error::Incomplete { doing, field: "metadata.name" })?;
    let uid = object.meta().uid.as_deref().ok_or(Error::Incomplete { doing, field: "metadata.uid" })?;
    Ok((name, uid))
}
