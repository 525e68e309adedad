//! What must change in a Secret so that it says what is wanted, without touching what others put there. Pure.
//!
//! Must not read or write Kubernetes.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Map, Value, json};

use crate::kubernetes::{FIELD_MANAGER, merge};

/// The maps that we share with other writers, as JSON pointers, and how `managedFields` writes the way to them.
const SHARED: [(&str, &str); 3] =
    [("/data", "/f:data"), ("/metadata/labels", "/f:metadata/f:labels"), ("/metadata/annotations", "/f:metadata/f:annotations")];

/// A merge patch from `observed` to `desired`; none when nothing of ours differs. Keys that we set once and no longer want are removed; which
/// those are is read from `managedFields`, so nothing needs to be remembered.
pub(super) fn correction(observed: &Secret, desired: &Secret) -> Option<Value> {
    let owned = |path| owned_keys(observed, path);
    let (before, after) = (json!(observed), json!(desired));
    let [data, labels, annotations] = SHARED.map(|(path, managed)| {
        let (before, after) = (map_at(&before, path), map_at(&after, path));
        let ours = owned(managed);
        let before = before.into_iter().filter(|(key, _)| after.contains_key(key) || ours.contains(key.as_str())).collect();
        (Value::Object(before), Value::Object(after))
    });
    let from = json!({"type": before["type"], "data": data.0, "metadata": {"labels": labels.0, "annotations": annotations.0}});
    let to = json!({"type": after["type"], "data": data.1, "metadata": {"labels": labels.1, "annotations": annotations.1}});
    merge::diff(&from, &to)
}

fn map_at(secret: &Value, path: &str) -> Map<String, Value> {
    secret.pointer(path).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The keys under `path` that this program set last.
fn owned_keys<'a>(secret: &'a Secret, path: &str) -> BTreeSet<&'a str> {
    let entries = secret.metadata.managed_fields.iter().flatten().filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    let maps = entries.filter_map(|entry| entry.fields_v1.as_ref()?.0.pointer(path)?.as_object());
    maps.flat_map(Map::keys).filter_map(|key| key.strip_prefix("f:")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: Value) -> Secret {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_others_added_does_not_count_and_what_we_set_does() {
        let desired = secret(json!({"type": "Opaque", "metadata": {"labels": {"a": "1"}}, "data": {"k": "djE="}}));
        let observed = json!({"type": "Opaque", "metadata": {"labels": {"a": "1", "x": "9"}, "annotations": {"y": "9"}}, "data": {"k": "djE=", "z": "djk="}});
        assert_eq!(correction(&secret(observed.clone()), &desired), None);
        let mut edited = observed;
        edited["data"]["k"] = json!("djI=");
        assert_eq!(correction(&secret(edited), &desired), Some(json!({"data": {"k": "djE="}})));
    }

    #[test]
    fn a_key_that_we_set_and_no_longer_want_is_removed() {
        let managed =
            json!([{"manager": FIELD_MANAGER, "operation": "Update", "fieldsV1": {"f:data": {".": {}, "f:certificates": {}, "f:k": {}}}}]);
        let observed =
            secret(json!({"metadata": {"managedFields": managed}, "data": {"k": "djE=", "certificates": "djE=", "theirs": "djE="}}));
        let desired = secret(json!({"data": {"k": "djE="}}));
        assert_eq!(correction(&observed, &desired), Some(json!({"data": {"certificates": null}})));
    }
}
