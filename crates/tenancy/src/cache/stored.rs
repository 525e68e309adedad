//! A value as Redis holds it: with its tenant, its key and the versions it was loaded under, all of which are checked when it is read.
//!
//! Must not put any part of a value into an error: it may be about a child.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::TenantKey;

/// The two random versions that a valid value repeats: `generation` of its tenant, `stamp` of its key. Replacing either one makes every value that was
/// loaded under it invalid, also one that is stored only later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) generation: String,
    pub(super) stamp: String,
}

/// A version that was never used before. Not a counter: one that Redis lost would start again and match old values.
pub(super) fn new_version() -> String {
    Uuid::new_v4().simple().to_string()
}

#[derive(Serialize, Deserialize)]
struct Stored<Text, T> {
    tenant: Uuid,
    key: Text,
    generation: Text,
    stamp: Text,
    value: T,
}

/// What stored bytes are to the reader of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded<T> {
    /// Its value.
    Valid(T),
    /// A value that was invalidated.
    Invalidated,
    /// Another tenant's or key's value, another type, or no value at all.
    Rejected,
}

/// Encodes a value. Nothing when it has no JSON form.
pub(super) fn encode<T: Serialize>(key: &TenantKey, versions: Option<&Versions>, value: &T) -> Option<Vec<u8>> {
    let text = key.key.to_string();
    let (generation, stamp) = versions.map_or(("", ""), |versions| (&versions.generation, &versions.stamp));
    serde_json::to_vec(&Stored { tenant: key.tenant.0, key: text.as_str(), generation, stamp, value }).ok()
}

/// Decodes what this process encoded a moment ago.
pub(super) fn decode_own<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice::<Stored<String, T>>(bytes).ok().map(|stored| stored.value)
}

/// Decodes what Redis returned for `key` while it has these versions.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], key: &TenantKey, versions: &Versions) -> Decoded<T> {
    match serde_json::from_slice::<Stored<String, T>>(bytes) {
        Ok(stored) if stored.tenant != key.tenant.0 || stored.key != key.key.to_string() => Decoded::Rejected,
        Ok(stored) if stored.generation != versions.generation || stored.stamp != versions.stamp => Decoded::Invalidated,
        Ok(stored) => Decoded::Valid(stored.value),
        Err(_) => Decoded::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Key;
    use domain::names::TenantId;

    #[test]
    fn a_value_is_valid_only_for_its_key_and_under_its_versions() {
        let key = |tenant, name| TenantKey { tenant: TenantId(Uuid::from_u128(tenant)), key: Key::new(name) };
        let versions = Versions { generation: "g".into(), stamp: "s".into() };
        let bytes = encode(&key(1, "a"), Some(&versions), &7).unwrap();
        assert_eq!(decode(&bytes, &key(1, "a"), &versions), Decoded::Valid(7));
        assert_eq!(decode_own(&bytes), Some(7));
        assert_eq!(decode::<i32>(&bytes, &key(2, "a"), &versions), Decoded::Rejected);
        assert_eq!(decode::<i32>(&bytes, &key(1, "b"), &versions), Decoded::Rejected);
        assert_eq!(decode::<i32>(&bytes, &key(1, "a"), &Versions { generation: "h".into(), ..versions.clone() }), Decoded::Invalidated);
        assert_eq!(decode::<i32>(&bytes, &key(1, "a"), &Versions { stamp: "t".into(), ..versions.clone() }), Decoded::Invalidated);
        assert_eq!(decode::<String>(&bytes, &key(1, "a"), &versions), Decoded::Rejected);
        assert_eq!(decode::<i32>(&bytes[1..], &key(1, "a"), &versions), Decoded::Rejected);
    }
}
