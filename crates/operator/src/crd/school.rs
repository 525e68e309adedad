//! The `School` resource: its spec here, its status in a file of its own.
//!
//! Must hold only types and their schema: rules are in [`rule`], meaning is in [`super::convert`].
#![expect(unreachable_pub, reason = "the schema derive repeats each struct inside a function")]

mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::status::{AdminUserStatus, Binding, CredentialsStatus, DatabaseStatus, PlacementStatus, SchemaStatus, SchoolStatus};
use super::rule;

/// What a School asks for.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "dailycare.io",
    version = "v1alpha1",
    kind = "School",
    plural = "schools",
    namespaced,
    shortname = "sch",
    category = "dailycare",
    status = "SchoolStatus",
    derive = "PartialEq",
    doc = "A school with a PostgreSQL database of its own.",
    selectable = ".spec.placement.tier",
    selectable = ".spec.deletionPolicy",
    selectable = ".spec.state",
    selectable = ".status.placement.serverName",
    selectable = ".status.placement.tier",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Status", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Tier", type_ = "string", json_path = ".status.placement.tier"),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.placement.serverName"),
    printcolumn(name = "Schema", type_ = "integer", json_path = ".status.schema.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Database", type_ = "string", json_path = ".status.database.name", priority = 1),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.credentials.secretName", priority = 1),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#, priority = 1),
    validation = rule::name_length(),
    validation = rule::first_administrator(),
    validation = rule::bound_tier(),
    validation = rule::bound_server(),
    validation = rule::bound_secret(),
    validation = rule::own_secret()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rule::pinned_server(), validation = rule::kept_secret())]
pub struct SchoolSpec {
    /// The school's short name, unique in the registry; its database is named after it. Cannot be changed.
    #[schemars(length(max = 40))]
    #[x_kube(validation = rule::code_format(), validation = rule::kept_code())]
    pub code: String,
    /// The school's name as people read it.
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = rule::text())]
    pub display_name: String,
    /// The school's e-mail address.
    #[schemars(length(max = 200))]
    #[x_kube(validation = rule::email())]
    pub email: String,
    /// The school's telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    #[x_kube(validation = rule::phone_number())]
    pub phone_number: Option<String>,
    /// The first administrator, whose temporary password is put into the Secret `<name>-admin`. Set once.
    pub admin_user: AdminUser,
    /// Where the database goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Limits of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// The Secret with the database's credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What happens to the data when the School is deleted: Retain (the default) closes and keeps the database, Delete drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionPolicy")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Active (the default), or Suspended: the login is closed, its sessions are ended and the data is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "State")]
    pub state: Option<State>,
}

/// The first administrator of a school.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminUser {
    /// Full name.
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = rule::text())]
    pub name: String,
    /// E-mail address to log in with, unique over all schools.
    #[schemars(length(max = 200))]
    #[x_kube(validation = rule::email())]
    pub email: String,
}

/// Where a School's database goes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The class of service; standard if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tier")]
    pub tier: Option<Tier>,
    /// The `DatabaseServer` to use; chosen by the operator if not given. Once set, cannot be changed or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = rule::object_name())]
    pub server_name: Option<String>,
}

/// Limits of a School's database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// The most connections the school's login may hold at once; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub connection_limit: Option<i64>,
}

/// The Secret with a School's credentials.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The Secret's name; `<name>-db` if not given. Once set, cannot be changed or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = rule::object_name())]
    pub secret_name: Option<String>,
    /// Labels and annotations to put on the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,
}

/// Labels and annotations to put on a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rule::labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rule::annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// A class of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The best servers.
    Premium,
    /// The usual.
    Standard,
    /// For schools with few resources.
    Basic,
    /// A word this version does not know; read, but never offered.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What happens to the data when a School is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Close the database and keep it.
    Retain,
    /// Drop the database and its login.
    Delete,
    /// A word this version does not know; read, but never offered.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Whether a school's database is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum State {
    /// Open.
    Active,
    /// The login is closed, the data kept.
    Suspended,
    /// A word this version does not know; read, but never offered.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}
