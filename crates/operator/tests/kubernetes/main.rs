//! The Kubernetes adapter against a real API server, one for the whole run. Each test has a namespace of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod cluster;
mod events;
mod lease;
mod object;
mod secrets;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, CustomResourceExt as _, ResourceExt as _};
use operator::crd::{School, print};
use operator::kubernetes::client::client as product_client;
use serde_json::json;
use testing::ControlPlane;
use tokio::sync::OnceCell;

static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// The control plane of this run, which knows Schools.
async fn plane() -> &'static ControlPlane {
    PLANE
        .get_or_init(async || {
            let plane = ControlPlane::private().await.unwrap();
            let client = client_of(plane.kubeconfig()).await;
            let crds = Api::<CustomResourceDefinition>::all(client.clone());
            let name = School::crd_name();
            let crd = print::all().into_iter().find(|crd| crd["metadata"]["name"] == name).unwrap();
            crds.patch(name, &PatchParams::apply("tests"), &Patch::Apply(&crd)).await.unwrap();
            let schools = Api::<School>::all(client);
            until("the API server serves Schools", async || schools.list(&kube::api::ListParams::default()).await.is_ok()).await;
            plane
        })
        .await
}

/// The product's client, with its time-outs and without retries, as the identity of a kubeconfig.
async fn client_of(kubeconfig: &Path) -> Client {
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig).unwrap(), &KubeConfigOptions::default()).await;
    product_client(config.unwrap()).unwrap()
}

/// A client of the administrator, and a namespace that no other test uses.
async fn fresh_namespace() -> (Client, String) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("district-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let client = client_of(plane().await.kubeconfig()).await;
    let namespace = Namespace { metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() }, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    (client, name)
}

/// A School as a user would apply it, as the API server holds it.
async fn school(client: &Client, namespace: &str, name: &str) -> School {
    let school = json!({
        "apiVersion": "dailycare.io/v1alpha1", "kind": "School", "metadata": {"name": name},
        "spec": {"code": name, "displayName": "Northside High", "email": "office@northside.example",
                 "adminUser": {"name": "Ana Sousa", "email": "ana@northside.example"}},
    });
    let schools = Api::<School>::namespaced(client.clone(), namespace);
    schools.create(&PostParams::default(), &serde_json::from_value(school).unwrap()).await.unwrap()
}

/// Waits for a condition that must come true; the deadline is only for a broken machine.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let awaited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), awaited).await.unwrap_or_else(|_| panic!("{what} did not come true"));
}

/// The object's `resourceVersion`, which moves with every write.
fn version<K: kube::Resource>(object: &K) -> String {
    object.resource_version().unwrap()
}
