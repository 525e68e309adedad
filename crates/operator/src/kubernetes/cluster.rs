//! Facts about the cluster itself: its identity and its namespaces.
//!
//! Must not write anything.

use std::collections::BTreeMap;

use domain::names::ClusterUid;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use uuid::Uuid;

use super::{Error, Result, within};

/// The cluster's identity: the uid of `kube-system`, which lives as long as the cluster does.
///
/// # Errors
/// When the namespace cannot be read.
pub async fn cluster_uid(client: &Client) -> Result<ClusterUid> {
    const DOING: &str = "reading the cluster's identity";
    let namespace = within(DOING, Api::<Namespace>::all(client.clone()).get_metadata("kube-system")).await?;
    let uid = namespace.metadata.uid.as_deref().and_then(|uid| Uuid::parse_str(uid).ok());
    uid.map(ClusterUid).ok_or(Error::Incomplete { doing: DOING, field: "metadata.uid" })
}

/// The labels of a namespace; none when there is no such namespace.
///
/// # Errors
/// When the namespace cannot be read, which is not the same as its absence.
pub async fn namespace_labels(client: &Client, namespace: &str) -> Result<Option<BTreeMap<String, String>>> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let found = within("reading the namespace's labels", namespaces.get_metadata_opt(namespace)).await?;
    Ok(found.map(|namespace| namespace.metadata.labels.unwrap_or_default()))
}
