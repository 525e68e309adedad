//! A private control plane is a real one: it stores, refuses, records and controls.

use std::collections::BTreeMap;
use std::fs;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use testing::{ControlPlane, Lifetime, until};

use crate::runs;

fn config_map(name: &str) -> ConfigMap {
    let data = BTreeMap::from([("colour".to_owned(), "green".to_owned())]);
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, data: Some(data), ..ConfigMap::default() }
}

async fn client(kubeconfig: Kubeconfig) -> Client {
    Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_private_control_plane_stores_objects_refuses_strangers_and_lets_rbac_decide() {
    let plane = ControlPlane::private().await.unwrap();
    let config_maps = Api::<ConfigMap>::default_namespaced(plane.client().await.unwrap());
    config_maps.create(&PostParams::default(), &config_map("lunch")).await.unwrap();
    assert_eq!(config_maps.get("lunch").await.unwrap().data.unwrap()["colour"], "green");

    let mut stranger = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    stranger.auth_infos[0].auth_info.as_mut().unwrap().token = Some("0123456789abcdef".to_owned().into());
    let refused = Api::<ConfigMap>::default_namespaced(client(stranger).await).get("lunch").await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 401), "{refused:?}");

    let path = plane.service_account("kitchen", "cook").await.unwrap();
    let cook = client(Kubeconfig::read_from(path).unwrap()).await;
    let refused = Api::<ConfigMap>::namespaced(cook, "default").get("lunch").await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused:?}");
    assert!(refused.to_string().contains("system:serviceaccount:kitchen:cook"), "{refused}");

    let log = fs::read_to_string(plane.audit_log()).unwrap();
    let events = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let created = events.filter(|event| event["verb"] == "create" && event["objectRef"]["name"] == "lunch");
    assert_eq!(created.map(|event| event["user"]["username"].clone()).collect::<Vec<_>>(), ["admin"]);
}

#[tokio::test]
async fn its_controllers_delete_a_namespace_with_what_is_in_it() {
    let plane = ControlPlane::private().await.unwrap();
    let client = plane.client().await.unwrap();
    let namespaces = Api::<Namespace>::all(client.clone());
    let namespace = Namespace { metadata: ObjectMeta { name: Some("annex".into()), ..ObjectMeta::default() }, ..Namespace::default() };
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    Api::<ConfigMap>::namespaced(client, "annex").create(&PostParams::default(), &config_map("supper")).await.unwrap();
    namespaces.delete("annex", &DeleteParams::default()).await.unwrap();
    until("the namespace is gone", async || namespaces.get_opt("annex").await.unwrap().is_none()).await;
}

#[tokio::test]
async fn a_detached_control_plane_is_found_again_and_keeps_its_objects_over_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(directory.path(), Lifetime::Detached).await.unwrap();
    let pids = plane.pids();
    let create = config_map("recess");
    Api::<ConfigMap>::default_namespaced(plane.client().await.unwrap()).create(&PostParams::default(), &create).await.unwrap();
    let kubeconfig = fs::read(plane.kubeconfig()).unwrap();
    drop(plane);

    let plane = ControlPlane::start(directory.path(), Lifetime::Detached).await.unwrap();
    assert_eq!(plane.pids(), pids);
    assert!(ControlPlane::stop_detached(directory.path()).await.unwrap());
    assert!(!pids.into_iter().any(runs));
    assert!(!ControlPlane::stop_detached(directory.path()).await.unwrap());

    let mut plane = ControlPlane::start(directory.path(), Lifetime::Detached).await.unwrap();
    assert_eq!(fs::read(plane.kubeconfig()).unwrap(), kubeconfig);
    let found = Api::<ConfigMap>::default_namespaced(plane.client().await.unwrap()).get("recess").await;
    plane.stop().await.unwrap();
    assert_eq!(found.unwrap().data.unwrap()["colour"], "green");
}
