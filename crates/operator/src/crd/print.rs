//! The CRDs as they are installed: what the derive makes of the types, and the few things it cannot say.
//!
//! Must not hold rules: those are in `rule`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::{DatabaseServer, School};

const HEADER: &str = "# Printed by `dailycare crd`; `make crds` renews this file.\n";

/// Both CRDs as JSON, completed: the only form that is installed or tested.
#[must_use]
pub fn all() -> Vec<Value> {
    [School::crd(), DatabaseServer::crd()].iter().map(completed).collect()
}

/// Both CRDs as one stream of YAML documents with sorted keys.
///
/// # Errors
/// Never in practice: a tree of strings, numbers and lists is YAML.
pub fn all_yaml() -> Result<String, serde_yaml::Error> {
    all().iter().map(yaml).collect()
}

/// One CRD as a YAML document.
///
/// # Errors
/// As [`all_yaml`].
pub fn yaml(crd: &Value) -> Result<String, serde_yaml::Error> {
    Ok(format!("{HEADER}---\n{}", serde_yaml::to_string(crd)?))
}

fn completed(crd: &CustomResourceDefinition) -> Value {
    let mut crd = json!(crd);
    plain(&mut crd);
    let versions = crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
    for version in versions.into_iter().flatten() {
        // Until the operator has looked, a tool that waits must not take a missing status for a current one.
        version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"] = json!({"observedGeneration": -1});
    }
    crd
}

/// Takes out what would blur the meaning of absence or what the API server warns about: `nullable` (null is then the same as absent), nulls, formats for
/// unsigned numbers, which `OpenAPI` does not have, and fractions of bounds.
fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("nullable");
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.insert("format".to_owned(), json!("int64"));
            }
            for bound in ["minimum", "maximum"] {
                if let Some(number) = fields.get(bound).and_then(whole) {
                    fields.insert(bound.to_owned(), number);
                }
            }
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

/// The bounds of whole numbers, which the CRD's type holds as floating point numbers.
#[expect(clippy::cast_possible_truncation, reason = "a bound without fraction, far below 2^53")]
fn whole(bound: &Value) -> Option<Value> {
    bound.as_f64().filter(|bound| bound.fract() == 0.0).map(|bound| json!(bound as i64))
}
