//! The Secrets of a School: created once and never overwritten, corrected only while they are ours. A Secret's password is the source of truth.
//!
//! Must not show a value: neither in `Debug`, nor in an error, nor in a log.

mod content;
mod correction;

use std::fmt;

use domain::names::ResetRequest;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

pub use content::{AdminContent, CredentialsContent, DesiredSecret, REVISION_ANNOTATION, admin_secret, credentials_secret};

use super::{Error, FIELD_MANAGER, Result, within};

/// The outcome of a create.
#[derive(Debug)]
pub enum Creation {
    /// The Secret is there now, as asked for.
    Created(Box<ObservedSecret>),
    /// A Secret of that name is there already, ours or not; it was not touched.
    AlreadyExists,
}

/// Creates `secret`, or leaves whatever holds its name untouched.
///
/// # Errors
/// When the API server refuses or cannot be asked.
pub async fn create(client: &Client, secret: &DesiredSecret) -> Result<Creation> {
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match within("creating the Secret", secrets(client, &secret.0).create(&parameters, &secret.0)).await {
        Ok(created) => Ok(Creation::Created(Box::new(ObservedSecret(created)))),
        Err(error) if error.is_already_exists() => Ok(Creation::AlreadyExists),
        Err(error) => Err(error),
    }
}

/// The Secret of that name; none when there is none.
///
/// # Errors
/// When it cannot be read, which is not the same as its absence.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<ObservedSecret>> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    Ok(within("reading the Secret", api.get_opt(name)).await?.map(ObservedSecret))
}

/// Makes the observed Secret say what `desired` says, on condition that it is still the one observed. Fields of other owners stay. Writes nothing
/// when it matches already; returns what was written.
///
/// A merge patch and not server-side apply: apply after a create owns every field twice, so it could never remove one, and it would have to be
/// forced over a hand that edited a key.
///
/// # Errors
/// A conflict when the Secret was replaced or changed since; `Invalid` when it was made immutable or its type differs.
pub async fn apply(client: &Client, observed: &ObservedSecret, desired: &DesiredSecret) -> Result<Option<ObservedSecret>> {
    const DOING: &str = "correcting the Secret";
    let Some(mut patch) = correction::correction(&observed.0, &desired.0) else { return Ok(None) };
    let metadata = &observed.0.metadata;
    let (Some(uid), Some(version)) = (&metadata.uid, &metadata.resource_version) else {
        return Err(Error::Incomplete { doing: DOING, field: "metadata.uid or metadata.resourceVersion" });
    };
    patch["metadata"]["uid"] = Value::from(uid.as_str());
    patch["metadata"]["resourceVersion"] = Value::from(version.as_str());
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patched = within(DOING, secrets(client, &observed.0).patch(&observed.0.name_any(), &parameters, &Patch::Merge(patch))).await?;
    Ok(Some(ObservedSecret(patched)))
}

fn secrets(client: &Client, secret: &Secret) -> Api<Secret> {
    Api::namespaced(client.clone(), secret.metadata.namespace.as_deref().unwrap_or_default())
}

/// A Secret as it was read.
pub struct ObservedSecret(Secret);

impl ObservedSecret {
    /// The object with this uid controls it: it is ours to correct.
    #[must_use]
    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.0.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
    }

    /// It belonged to an earlier object of this kind and name, and Kubernetes will collect it.
    #[must_use]
    pub fn is_left_by_predecessor(&self, kind: &str, name: &str, uid: &str) -> bool {
        let left = |owner: &OwnerReference| owner.controller == Some(true) && owner.kind == kind && owner.name == name && owner.uid != uid;
        self.0.owner_references().iter().any(left)
    }

    /// The value of its `password` key; none when there is none, or an empty one, or one that is not text.
    #[must_use]
    pub fn password(&self) -> Option<SecretString> {
        self.value("password")
    }

    /// The value of one key; none when there is none, or an empty one, or one that is not text.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<SecretString> {
        let bytes = &self.0.data.as_ref()?.get(key)?.0;
        let text = std::str::from_utf8(bytes).ok()?;
        (!text.is_empty()).then(|| SecretString::from(text))
    }

    /// The fingerprint of the credentials it was written with, from [`REVISION_ANNOTATION`].
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.0.annotations().get(REVISION_ANNOTATION).map(String::as_str)
    }

    /// The request that an administrator's password was issued for, from [`ResetRequest::ANNOTATION`].
    #[must_use]
    pub fn request(&self) -> Option<&str> {
        self.0.annotations().get(ResetRequest::ANNOTATION).map(String::as_str)
    }

    /// It holds the password of the administrator with this e-mail address, issued for this request.
    #[must_use]
    pub fn is_issued_for(&self, request: &ResetRequest, email: &str) -> bool {
        let named = self.value("email").is_some_and(|named| named.expose_secret() == email);
        self.request() == Some(request.as_str()) && named && self.password().is_some()
    }

    /// Every key, label and annotation of `desired` is there, and none that this program set before is left over. Those of other owners do not count.
    #[must_use]
    pub fn matches(&self, desired: &DesiredSecret) -> bool {
        correction::correction(&self.0, &desired.0).is_none()
    }

    /// Its `metadata.uid`.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.0.metadata.uid.as_deref()
    }

    /// Its `metadata.resourceVersion`.
    #[must_use]
    pub fn resource_version(&self) -> Option<&str> {
        self.0.metadata.resource_version.as_deref()
    }
}

impl fmt::Debug for ObservedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name_any();
        f.debug_struct("SecretObserved").field("name", &name).field("resource_version", &self.resource_version()).finish_non_exhaustive()
    }
}
