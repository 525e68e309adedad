//! The Kubernetes adapter against a real API server, one for the whole run. Each test has a namespace of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod cluster;
mod events;
mod lease;
mod object;
mod secrets;

use std::path::Path;

use kube::api::PostParams;
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use operator::crd::{School, print};
use operator::kubernetes::client::client as product_client;
use serde_json::json;
use testing::ControlPlane;
use testing::kubernetes::{self, install_crds};
use tokio::sync::OnceCell;

static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// The control plane of this run, which knows Schools.
async fn plane() -> &'static ControlPlane {
    PLANE
        .get_or_init(async || {
            let plane = ControlPlane::private().await.unwrap();
            let client = client_of(plane.kubeconfig()).await;
            let crds = print::all().into_iter().filter(|crd| crd["metadata"]["name"] == School::crd_name()).collect();
            install_crds(&client, crds).await.unwrap();
            plane
        })
        .await
}

/// The product's client, with its time-outs and without retries, as the identity of a kubeconfig.
async fn client_of(kubeconfig: &Path) -> Client {
    product_client(kubernetes::config(kubeconfig).await.unwrap()).unwrap()
}

/// A client of the administrator, and a namespace that no other test uses.
async fn fresh_namespace() -> (Client, String) {
    let client = client_of(plane().await.kubeconfig()).await;
    let name = kubernetes::fresh_namespace(&client).await.unwrap();
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

/// The object's `resourceVersion`, which moves with every write.
fn version<K: kube::Resource>(object: &K) -> String {
    object.resource_version().unwrap()
}
