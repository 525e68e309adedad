//! What lies in Redis: a value together with whose it is and since when it counts, all of which is checked on the way back.
//! Must not put any of a value into an error: it may be about a child.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::Place;

/// The two random marks that a value must repeat to count: one of its tenant, one of its key. Whoever replaces one of them makes every value
/// that was loaded under the older one worthless, also one that is stored only later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) generation: String,
    pub(super) stamp: String,
}

/// A mark that was never used before. Not a number that counts: one that Redis has lost would begin again and meet old values.
pub(super) fn fresh() -> String {
    Uuid::new_v4().simple().to_string()
}

#[derive(Serialize, Deserialize)]
struct Envelope<Text, T> {
    tenant: Uuid,
    key: Text,
    generation: Text,
    stamp: Text,
    value: T,
}

/// Why a value is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was loaded before something was forgotten or flushed.
    Old,
    /// It belongs to another tenant or key.
    Foreign,
    /// It is no envelope, or holds another type of value.
    Unreadable,
}

/// Writes an envelope; nothing when the value has no JSON form.
pub(super) fn seal<T: Serialize>(place: &Place, lease: Option<&Lease>, value: &T) -> Option<Vec<u8>> {
    let key = place.key.to_string();
    let (generation, stamp) = lease.map_or(("", ""), |lease| (&lease.generation, &lease.stamp));
    serde_json::to_vec(&Envelope { tenant: place.tenant.0, key: key.as_str(), generation, stamp, value }).ok()
}

/// Reads an envelope that this process wrote a moment ago.
pub(super) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice::<Envelope<String, T>>(bytes).ok().map(|envelope| envelope.value)
}

/// Reads an envelope that was found in `place` under `lease`.
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8], place: &Place, lease: &Lease) -> Result<T, Refusal> {
    let Envelope { tenant, key, generation, stamp, value } =
        serde_json::from_slice::<Envelope<String, T>>(bytes).map_err(|_| Refusal::Unreadable)?;
    if tenant != place.tenant.0 || key != place.key.to_string() {
        return Err(Refusal::Foreign);
    }
    if generation != lease.generation || stamp != lease.stamp {
        return Err(Refusal::Old);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Key;
    use domain::names::TenantId;

    #[test]
    fn an_envelope_opens_only_in_its_place_and_under_its_lease() {
        let place = |tenant, name| Place { tenant: TenantId(Uuid::from_u128(tenant)), key: Key::new(name) };
        let lease = Lease { generation: "g".into(), stamp: "s".into() };
        let sealed = seal(&place(1, "a"), Some(&lease), &7).unwrap();
        assert_eq!(open(&sealed, &place(1, "a"), &lease), Ok(7));
        assert_eq!(open::<i32>(&sealed, &place(2, "a"), &lease), Err(Refusal::Foreign));
        assert_eq!(open::<i32>(&sealed, &place(1, "b"), &lease), Err(Refusal::Foreign));
        assert_eq!(open::<i32>(&sealed, &place(1, "a"), &Lease { generation: "h".into(), ..lease.clone() }), Err(Refusal::Old));
        assert_eq!(open::<i32>(&sealed, &place(1, "a"), &Lease { stamp: "t".into(), ..lease.clone() }), Err(Refusal::Old));
        assert_eq!(open::<String>(&sealed, &place(1, "a"), &lease), Err(Refusal::Unreadable));
        assert_eq!(open::<i32>(&sealed[1..], &place(1, "a"), &lease), Err(Refusal::Unreadable));
    }
}
