//! The cluster's identity and its namespaces.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use operator::kubernetes::cluster::{cluster_uid, namespace_labels};
use serde_json::json;

use crate::fresh_namespace;

#[tokio::test]
async fn the_cluster_is_known_by_the_uid_of_kube_system() {
    let (client, _) = fresh_namespace().await;
    let namespace = Api::<Namespace>::all(client.clone()).get("kube-system").await.unwrap();
    assert_eq!(cluster_uid(&client).await.unwrap().to_string(), namespace.metadata.uid.unwrap());
}

#[tokio::test]
async fn a_namespace_that_is_not_there_has_no_labels_and_one_that_is_has_its_own() {
    let (client, name) = fresh_namespace().await;
    let patch = json!({"metadata": {"labels": {"team": "a"}}});
    Api::<Namespace>::all(client.clone()).patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    assert_eq!(namespace_labels(&client, &name).await.unwrap().unwrap()["team"], "a");
    assert_eq!(namespace_labels(&client, "nowhere").await.unwrap(), None);
}
