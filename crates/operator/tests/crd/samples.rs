//! The samples that users start from: taken by the API server, understood by the operator, and fit for each other.

use std::fs;
use std::path::{Path, PathBuf};

use domain::placement::{Candidate, choose};
use domain::school::desired::Desired;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, ResourceExt as _};
use operator::crd::{DatabaseServer, School, convert};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{client, object};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/samples")
}

fn documents(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// Every object of the samples, in the order of the kustomization.
fn samples() -> Vec<Value> {
    let kustomization = documents("kustomization.yaml").remove(0);
    let files: Vec<_> = kustomization["resources"].as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned()).collect();
    let mut found: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.retain(|file| file != "kustomization.yaml");
    found.sort();
    assert_eq!(found, files, "every file of the directory, in order, belongs to the kustomization");
    files.iter().flat_map(|file| documents(file)).collect()
}

fn of_kind<T: DeserializeOwned>(kind: &str) -> Vec<T> {
    samples().into_iter().filter(|sample| sample["kind"] == kind).map(|sample| serde_json::from_value(sample).unwrap()).collect()
}

#[tokio::test]
async fn the_samples_are_taken_in_their_order() {
    let client = client().await;
    for sample in samples() {
        let text = |pointer: &str| sample.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("/apiVersion").rsplit_once('/').unwrap_or(("", text("/apiVersion")));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
        let api: Api<DynamicObject> = match text("/metadata/namespace") {
            "" => Api::all_with(client.clone(), &resource),
            namespace => Api::namespaced_with(client.clone(), namespace, &resource),
        };
        let strict = PostParams { field_manager: Some("tests".into()), ..PostParams::default() };
        let created = api.create(&strict, &object(&sample)).await.unwrap_or_else(|error| panic!("{sample}: {error}"));
        if let Some(spec) = sample.get("spec") {
            assert_eq!(created.data["spec"], *spec, "the API server dropped or added something");
        }
    }
}

#[test]
fn every_sample_school_finds_a_server_among_the_samples() {
    let servers: Vec<DatabaseServer> = of_kind("DatabaseServer");
    let candidates: Vec<_> = servers
        .iter()
        .map(|server| {
            let spec = convert::spec(server).unwrap();
            convert::secrets(server).unwrap();
            Candidate {
                name: domain::names::ServerName::parse(&server.name_any()).unwrap(),
                tiers: spec.tiers,
                schedulable: spec.schedulable,
                ready: true,
                explanation: None,
                namespace_allowed: spec.allowed.allows(&std::collections::BTreeMap::new()),
                schools: 0,
                capacity: spec.max_schools,
            }
        })
        .collect();
    let schools: Vec<School> = of_kind("School");
    assert_eq!((servers.len(), schools.len()), (2, 3));
    for school in schools {
        let Desired::Present(desired) = convert::desired(&school, 1).unwrap() else { panic!("{} is gone", school.name_any()) };
        choose(&desired.placement, &candidates).unwrap_or_else(|unplaced| panic!("{}: {}", school.name_any(), unplaced.message));
    }
}
