//! What tests do to an API server before they begin: install CRDs, make namespaces, take another identity.
//!
//! Must not know the operator.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

use super::Result;
use super::awaiting::until;
use super::error::{Doing, Error};

/// Applies these CRDs, and returns when the API server serves them.
///
/// # Errors
/// When the API server refuses one.
pub async fn install_crds(client: &Client, crds: Vec<Value>) -> Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let mut names = Vec::new();
    for crd in crds {
        let name = crd["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        api.patch(&name, &PatchParams::apply("tests"), &Patch::Apply(crd)).await.doing(|| format!("install the CRD {name}"))?;
        names.push(name);
    }
    for name in names {
        until(&format!("{name} is served"), async || is_served(client, &api, &name).await).await;
    }
    Ok(())
}

/// Established says that it will be served soon; a list that is answered says that it is.
async fn is_served(client: &Client, api: &Api<CustomResourceDefinition>, name: &str) -> bool {
    let Ok(crd) = api.get(name).await else { return false };
    let (group, plural) = (&crd.spec.group, &crd.spec.names.plural);
    let Some(version) = crd.spec.versions.iter().find(|version| version.served).map(|version| &version.name) else { return false };
    let Ok(request) = axum::http::Request::get(format!("/apis/{group}/{version}/{plural}?limit=1")).body(Vec::new()) else { return false };
    client.request_text(request).await.is_ok()
}

/// Creates a namespace.
///
/// # Errors
/// When the API server refuses.
pub async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let namespace = Namespace { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..Namespace::default() };
    let created = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await;
    created.map(drop).doing(|| format!("create the namespace {name}"))
}

/// A new namespace that no other test of this process uses.
///
/// # Errors
/// When the API server refuses.
pub async fn fresh_namespace(client: &Client) -> Result<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("district-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    create_namespace(client, &name).await?;
    Ok(name)
}

/// How a client reaches the API server with the identity of this kubeconfig.
///
/// # Errors
/// When the file cannot be used.
pub async fn config(kubeconfig: &Path) -> Result<Config> {
    let unusable = |source| Error::Kubernetes { doing: format!("use {}", kubeconfig.display()), source };
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(error.into()))?;
    Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.map_err(|error| unusable(error.into()))
}
