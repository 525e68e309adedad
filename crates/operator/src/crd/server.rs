//! The `DatabaseServer` resource. Types and their schema only: rules live in [`rule`], meaning in [`super::convert`].
//!
//! Must not hold rules or meaning.
#![expect(unreachable_pub, reason = "the schema derive repeats each struct inside a function")]

use std::collections::BTreeMap;

use domain::server::identity::ServerIdentity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::school::Tier;
use super::{condition, rule};

/// What a `DatabaseServer` offers and how it is reached.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "dailycare.io",
    version = "v1alpha1",
    kind = "DatabaseServer",
    plural = "databaseservers",
    shortname = "dbsrv",
    category = "dailycare",
    status = "DatabaseServerStatus",
    derive = "PartialEq",
    doc = "A PostgreSQL server that holds the databases of schools.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Tiers", type_ = "string", json_path = ".spec.tiers"),
    printcolumn(name = "Schools", type_ = "integer", json_path = ".status.allocated.schools"),
    printcolumn(name = "Schedulable", type_ = "string", json_path = r#".status.conditions[?(@.type=="Schedulable")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1),
    validation = rule::server_name_length()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rule::plain_passwords())]
pub struct DatabaseServerSpec {
    /// DNS name or IP address.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rule::host())]
    pub host: String,
    /// TCP port; 5432 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i64>,
    /// How connections are protected.
    pub tls: Tls,
    /// How the server is sent passwords of logins: Verifier, if not given, or Plain, for servers that refuse SCRAM verifiers. Plain needs TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passwords: Option<Passwords>,
    /// The Secret with the admin login.
    pub admin_secret_ref: AdminSecretRef,
    /// The classes of service it offers.
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub tiers: Vec<Tier>,
    /// How much it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Whether new schools may be placed here; true if not given. Schools already here stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedulable: Option<bool>,
    /// The namespaces whose schools it takes; all if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// How the server is sent passwords of logins: Verifier, if not given, or Plain, for servers that refuse SCRAM verifiers. Plain needs TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Passwords {
    /// As SCRAM verifiers, which log nobody in.
    Verifier,
    /// As they are, over encrypted connections only.
    Plain,
    /// A word this version does not know; read, but never offered.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// How connections to a server are protected.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rule::ca_for_verification())]
pub struct Tls {
    /// What is required, in libpq's words.
    pub mode: TlsMode,
    /// The Secret with the authority's certificates, for verify-ca and verify-full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,
}

/// What is required of a connection, in libpq's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Plain text.
    Disable,
    /// Encrypted, the certificate unchecked.
    Require,
    /// Encrypted, the certificate signed by the given authority.
    VerifyCa,
    /// Encrypted, the certificate signed by the given authority for the host's name.
    #[default]
    VerifyFull,
    /// A word this version does not know; read, but never offered.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The Secret with an authority's certificates, in the operator's namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretRef {
    /// The Secret's name.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rule::object_name())]
    pub name: String,
    /// The key that holds the certificates (PEM); ca.crt if not given. Whatever else the key holds is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rule::secret_key())]
    pub key: Option<String>,
}

/// The Secret with the admin login, in the operator's namespace: keys username, password and, optionally, database (the maintenance database).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminSecretRef {
    /// The Secret's name.
    #[schemars(length(max = 63))]
    #[x_kube(validation = rule::object_name())]
    pub name: String,
}

/// How much a server takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// The most schools it holds, retained ones included; no bound if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_schools: Option<i64>,
}

/// The namespaces whose schools a server takes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rule::selector_when_selecting())]
pub struct AllowedNamespaces {
    /// All, or Selector: those whose labels match.
    pub from: NamespacesFrom,
    /// The labels a namespace must have, for Selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// How namespaces are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Every namespace.
    All,
    /// Those whose labels match the selector.
    Selector,
    /// A word this version does not know; read, but never offered.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Labels that a namespace must have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Each label with its value.
    #[schemars(schema_with = "rule::match_labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// What the operator reports of a `DatabaseServer`. Every field is optional, so that a status can be built up step by step.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseServerStatus {
    /// The generation last observed; -1 before the first reconcile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds of this server. Ready, Reconciling and Stalled are always present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "condition::schema")]
    pub conditions: Option<Vec<Condition>>,
    /// PostgreSQL's version, as the server tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub version: Option<String>,
    /// PostgreSQL's system identifier, if the server tells it; another one under the same address is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub system_identifier: Option<String>,
    /// The marker that the operator left on the server, which identifies it while it does not tell its system identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub marker: Option<String>,
    /// What is taken of its capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<Allocated>,
    /// The schema that new schools start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<ServerSchema>,
}

impl DatabaseServerStatus {
    /// Who the server is, as far as that is recorded.
    #[must_use]
    pub fn identity(&self) -> ServerIdentity {
        ServerIdentity { system: self.system_identifier.clone(), marker: self.marker.clone() }
    }

    /// The same status of a server with this identity.
    #[must_use]
    pub fn of_server(self, identity: ServerIdentity) -> Self {
        Self { system_identifier: identity.system, marker: identity.marker, ..self }
    }
}

/// What is taken of a server's capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allocated {
    /// Schools on it, retained ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schools: Option<u32>,
}

/// The schema that new schools on a server start with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerSchema {
    /// The last migration in the server's template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}
