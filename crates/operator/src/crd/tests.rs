//! The schemas: sound by themselves, each rule with objects on both sides of it, and the files in `crds/` up to date.
//!
//! Must not test conversions: `convert` does.

#[path = "../../tests/crd/cases.rs"]
mod cases;

use std::collections::BTreeSet;
use std::path::Path;

use cases::{Expected, Kind, merge, plain};
use kube_cel::{ErrorKind, ValidationErrors, Validator, compile_schema};
use serde_json::{Value, json};

use super::print;

fn schema(kind: Kind) -> Value {
    let crds = print::all();
    let crd = crds.iter().find(|crd| crd["spec"]["names"]["kind"] == format!("{kind:?}")).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Every schema in a tree, with its path.
fn walk<'a>(schema: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    found.push((path.to_owned(), schema));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), found);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(inner) {
            walk(inner, &format!("{path}[]"), found);
        }
    }
}

fn rules<'a>(found: &[(String, &'a Value)]) -> Vec<(String, &'a Value)> {
    found
        .iter()
        .flat_map(|(path, schema)| schema["x-kubernetes-validations"].as_array().into_iter().flatten().map(|rule| (path.clone(), rule)))
        .collect()
}

#[test]
fn every_string_list_and_map_is_bounded_and_absence_has_one_form() {
    for kind in [Kind::School, Kind::DatabaseServer] {
        let schema = schema(kind);
        let mut found = Vec::new();
        walk(&schema, "", &mut found);
        for (path, schema) in found.iter().filter(|(path, _)| path.starts_with(".spec") || path.starts_with(".status")) {
            let bounded = match schema["type"].as_str() {
                Some("string") => schema.get("maxLength").or(schema.get("enum")).is_some(),
                Some("array") => schema.get("maxItems").is_some() && schema.get("x-kubernetes-list-type").is_some(),
                Some("object") => schema.get("properties").or(schema.get("maxProperties")).is_some(),
                Some("integer") => ["int32", "int64"].contains(&schema["format"].as_str().unwrap()),
                Some("boolean") => true,
                other => panic!("{path} has type {other:?}"),
            };
            assert!(bounded, "{path} is unbounded: {schema}");
            assert!(schema.get("nullable").is_none() && schema.get("anyOf").is_none() && schema.get("oneOf").is_none(), "{path}: {schema}");
            assert_eq!(
                schema.get("default").is_some(),
                *path == ".status",
                "{path} has a default, which GitOps tools would see as a difference"
            );
            let described = schema.get("description").is_some() || path.contains("conditions") || path.ends_with("[]");
            assert!(described, "{path} has no description");
        }
        assert_eq!(schema["properties"]["status"]["default"], json!({"observedGeneration": -1}));
        assert_eq!(schema["properties"]["status"]["required"], Value::Null);
    }
}

#[test]
fn every_rule_compiles_and_says_what_to_do() {
    for kind in [Kind::School, Kind::DatabaseServer] {
        let schema = schema(kind);
        let mut found = Vec::new();
        walk(&schema, "", &mut found);
        for (path, at) in &found {
            assert_eq!(compile_schema(at).compilation_errors().len(), 0, "{path}");
        }
        for (path, rule) in rules(&found) {
            let message = rule["message"].as_str().unwrap();
            assert!(message.len() > 30 && !message.contains('\n') && !message.ends_with('.'), "{message}");
            assert!(rule["reason"].is_string(), "{path}: {rule}");
        }
    }
}

fn object(kind: Kind, change: &Value) -> Value {
    let mut object = plain(kind);
    merge(&mut object, change);
    object
}

fn judge(expected: Expected, outcome: Result<(), ValidationErrors>, what: &Value, broken: &mut BTreeSet<String>) {
    match (expected, outcome) {
        // A value out of bounds may break a rule as well; the API server tells of the bound first.
        (Expected::Taken, Ok(())) | (Expected::OutOfBounds(_), _) => {}
        (Expected::Broken(text), Err(errors)) => {
            assert!(errors.iter().all(|error| error.kind == ErrorKind::ValidationFailure), "{what}: {errors}");
            assert_eq!(errors.len(), 1, "one rule should refuse {what}: {errors}");
            assert!(errors[0].message.contains(text), "{what} was refused with another message: {errors}");
            broken.insert(errors[0].message.clone());
        }
        (expected, outcome) => panic!("{what} should be {expected:?}: {outcome:?}"),
    }
}

#[test]
fn every_rule_refuses_what_it_should_and_nothing_else() {
    let (school, server, validator) = (schema(Kind::School), schema(Kind::DatabaseServer), Validator::new());
    let mut broken = BTreeSet::new();
    for case in cases::creations() {
        let schema = if case.kind == Kind::School { &school } else { &server };
        judge(case.expected, validator.validate(schema, &object(case.kind, &case.change), None), &case.change, &mut broken);
    }
    for case in cases::updates() {
        let old = object(Kind::School, &json!({"spec": case.before, "status": case.status}));
        let mut new = old.clone();
        merge(&mut new["spec"], &case.after);
        judge(case.expected, validator.validate(&school, &new, Some(&old)), &case.after, &mut broken);
    }
    for schema in [&school, &server] {
        let mut found = Vec::new();
        walk(schema, "", &mut found);
        for (path, rule) in rules(&found) {
            let message = rule["message"].as_str().unwrap();
            assert!(broken.contains(message), "no object breaks the rule at {path}: {message}");
        }
    }
}

#[test]
fn the_files_in_crds_are_what_the_types_say() {
    for crd in print::all() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds").join(format!("{name}.yaml"));
        let expected_text = print::yaml(&crd).unwrap();
        assert!(expected_text.len() < 256 * 1024, "{name} has {} bytes, too many for the annotation of kubectl apply", expected_text.len());
        if std::env::var_os("UPDATE_CRDS").is_some_and(|flag| flag == "1") {
            std::fs::write(&path, expected_text).unwrap();
        } else {
            assert!(
                std::fs::read_to_string(&path).is_ok_and(|found| found == expected_text),
                "{} is out of date: run `make crds`",
                path.display()
            );
        }
    }
}

#[test]
fn all_yaml_holds_each_crd_once_and_reads_back_the_same() {
    let yaml = print::all_yaml().unwrap();
    let read: Vec<Value> =
        serde_yaml::Deserializer::from_str(&yaml).map(|document| serde::Deserialize::deserialize(document).unwrap()).collect();
    assert_eq!(read, print::all());
}
