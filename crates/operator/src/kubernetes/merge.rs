//! The difference of two JSON values as a merge patch (RFC 7396). Pure.
//!
//! Must not know what the values are.

use serde_json::{Map, Value};

/// The smallest merge patch that turns `from` into `to`; none when they are equal. Lists are replaced whole.
pub(super) fn diff(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return Some(to.clone()) };
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = to.iter().filter_map(|(key, value)| Some((key.clone(), diff(from.get(key).unwrap_or(&Value::Null), value)?)));
    let patch: Map<String, Value> = gone.chain(changed).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_need_no_patch() {
        let value = json!({"a": {"b": [1, {"c": 2}]}, "d": null});
        assert_eq!(diff(&value, &value), None);
    }

    #[test]
    fn only_what_differs_is_sent_and_what_went_is_nulled() {
        let from = json!({"same": 1, "gone": 2, "deep": {"same": 1, "changed": 1}, "list": [1, 2]});
        let to = json!({"same": 1, "new": {"x": 1}, "deep": {"same": 1, "changed": 2}, "list": [2]});
        assert_eq!(diff(&from, &to), Some(json!({"gone": null, "new": {"x": 1}, "deep": {"changed": 2}, "list": [2]})));
    }

    #[test]
    fn absent_and_null_are_the_same() {
        assert_eq!(diff(&json!({}), &json!({"a": null})), None);
    }
}
