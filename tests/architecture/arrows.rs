//! The arrows between crates, as docs/changing/architecture.md draws them. The compiler holds what a manifest leaves out; this holds the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every crate that is part of the product, and the crates of this workspace that it may name.
const MAY_NAME: [(&str, &[&str]); 8] = [
    ("dailycare-domain", &[]),
    ("dailycare-postgres", &["dailycare-domain"]),
    ("dailycare-registry", &["dailycare-domain", "dailycare-postgres"]),
    ("dailycare-provisioning", &["dailycare-domain", "dailycare-postgres", "dailycare-registry"]),
    ("dailycare-telemetry", &[]),
    ("dailycare-tenancy", &["dailycare-domain", "dailycare-postgres", "dailycare-registry", "dailycare-telemetry"]),
    (
        "dailycare-operator",
        &["dailycare-domain", "dailycare-postgres", "dailycare-provisioning", "dailycare-registry", "dailycare-telemetry"],
    ),
    ("dailycare-api", &["dailycare-domain", "dailycare-postgres", "dailycare-registry", "dailycare-telemetry", "dailycare-tenancy"]),
];

/// The root package, which is the program and joins the parts.
const PROGRAM: &str = "dailycare";

/// Crates for tests: no part of the product may name one outside its dev-dependencies.
const FOR_TESTS: [&str; 2] = ["dailycare-testing", "dailycare-api-testing"];

/// All that the domain may use: nothing with a clock or I/O.
const DOMAIN_USES: [&str; 3] = ["strum", "thiserror", "uuid"];

/// Kubernetes belongs to the operator, HTTP for people and their tokens to the API.
const MUST_NOT_USE: [(&str, &[&str]); 6] = [
    ("dailycare-postgres", &["axum", "kube", "k8s-openapi", "reqwest", "redis"]),
    ("dailycare-registry", &["axum", "kube", "k8s-openapi", "reqwest", "redis"]),
    ("dailycare-provisioning", &["axum", "kube", "k8s-openapi", "reqwest", "redis"]),
    ("dailycare-tenancy", &["axum", "kube", "k8s-openapi", "tower", "tower-http", "utoipa"]),
    ("dailycare-operator", &["jsonwebtoken", "redis", "reqwest", "tower-http", "utoipa", "utoipa-axum"]),
    ("dailycare-api", &["kube", "k8s-openapi"]),
];

/// The normal and build dependencies of every package of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies.filter(|one| one["kind"] != "dev").map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), names(package))).collect()
}

#[test]
fn each_crate_names_only_the_crates_that_it_may() {
    let dependencies = dependencies();
    for (package, uses) in &dependencies {
        if FOR_TESTS.contains(&package.as_str()) {
            continue;
        }
        let for_tests: Vec<_> = uses.iter().filter(|name| FOR_TESTS.contains(&name.as_str())).collect();
        assert!(for_tests.is_empty(), "{package} ships {for_tests:?}, which are for tests");
        if package == PROGRAM {
            continue;
        }
        let rule = MAY_NAME.iter().find(|(name, _)| name == package);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("{package} is new: say in MAY_NAME which crates it may name"));
        let ours: Vec<_> = uses.iter().filter(|name| name.starts_with("dailycare")).collect();
        let forbidden: Vec<_> = ours.into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(forbidden.is_empty(), "{package} must not depend on {forbidden:?}");
    }
}

/// The promise that the API holds no admin credential and no sealing key: nothing that it is built from can name `provisioning`.
#[test]
fn the_api_reaches_no_admin_credential_and_no_sealing_key() {
    let dependencies = dependencies();
    let mut reached = BTreeSet::new();
    let mut next = vec!["dailycare-api"];
    while let Some(package) = next.pop() {
        if reached.insert(package) {
            next.extend(dependencies[package].iter().map(String::as_str).filter(|name| dependencies.contains_key(*name)));
        }
    }
    for forbidden in ["dailycare-provisioning", "dailycare-operator"] {
        assert!(!reached.contains(forbidden), "dailycare-api reaches {forbidden}");
    }
}

#[test]
fn each_crate_keeps_to_its_own_kind_of_input_and_output() {
    let dependencies = dependencies();
    let domain = &dependencies["dailycare-domain"];
    let forbidden: Vec<_> = domain.iter().filter(|name| !DOMAIN_USES.contains(&name.as_str())).collect();
    assert!(forbidden.is_empty(), "the domain has no I/O and no clock, but uses {forbidden:?}");
    for (package, must_not) in MUST_NOT_USE {
        let forbidden: Vec<_> = dependencies[package].iter().filter(|name| must_not.contains(&name.as_str())).collect();
        assert!(forbidden.is_empty(), "{package} must not use {forbidden:?}");
    }
}
