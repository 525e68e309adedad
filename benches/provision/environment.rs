//! What all phases stand on: one private control plane, two durable PostgreSQL servers, and the ways into them.
//!
//! Must not measure.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::names::{ClusterUid, ServerName};
use futures::future::{try_join, try_join3};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config};
use operator::controller::server_connection::ServerConnection;
use operator::crd::{DatabaseServer, School};
use operator::kubernetes::{client, cluster};
use postgres::schema::Migrations;
use postgres::session::{Credentials, Endpoint, Tls};
use postgres::url::Target;
use provisioning::master::keyring::Keyring;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;
use testing::{ControlPlane, Postgres, PostgresOptions, Version};

use crate::Outcome;
use crate::board::Board;

/// Where the Schools are.
pub(crate) const NAMESPACE: &str = "bench";
/// Where the operator's own objects are.
pub(crate) const SYSTEM: &str = "dailycare-system";
/// The operator's login on a tenant server: what hosted PostgreSQL gives to its customers, no superuser.
const ADMIN: &str = "dailycare_admin";

/// See the module.
pub(crate) struct Environment {
    pub(crate) plane: ControlPlane,
    pub(crate) servers: [Postgres; 2],
    /// Makes and watches Schools, as a person does.
    pub(crate) person: Client,
    /// Does the floor's part, with the same settings and kind of token as the operator.
    pub(crate) client: Client,
    pub(crate) board: Board,
    pub(crate) cluster: ClusterUid,
    pub(crate) migrations: Arc<Migrations>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) master: Target,
    /// The superuser's view of each server.
    pub(crate) views: [PgPool; 2],
    /// The operator's login on each server.
    pub(crate) admins: [Credentials; 2],
    pub(crate) operator: PathBuf,
    pub(crate) operator_kubeconfig: PathBuf,
    pub(crate) files: TempDir,
}

impl Environment {
    pub(crate) async fn start(operator: Option<PathBuf>) -> Outcome<Self> {
        let operator = program(operator)?;
        let options = || PostgresOptions { fsync: true, ..PostgresOptions::default() }.with("shared_buffers", "512MB");
        let server = |version| Postgres::start(version, options());
        let (plane, newer, older) = try_join3(ControlPlane::private(), server(Version::V18), server(Version::V15)).await?;
        let servers = [newer, older];
        let operator_kubeconfig = plane.service_account(SYSTEM, "dailycare-operator").await?;
        let floor = Kubeconfig::read_from(plane.service_account(SYSTEM, "floor").await?)?;
        let floor = Config::from_custom_kubeconfig(floor, &KubeConfigOptions::default()).await?;
        let person = plane.client().await?;
        let (one, two) = try_join(servers[0].create_plain_admin(ADMIN), servers[1].create_plain_admin(ADMIN)).await?;
        let admins = [one, two].map(|password| Credentials { username: ADMIN.to_owned(), password: password.into() });
        let keys = Keyring::generate_file("k1")?;
        let url = SecretString::from(format!("{}?sslmode=disable", servers[0].superuser_url("dailycare_master")));
        let files = tempfile::tempdir()?;
        fs::write(files.path().join("keys"), keys.expose_secret())?;
        fs::write(files.path().join("master"), url.expose_secret())?;
        let view = |server: &Postgres| PgPool::connect_lazy(&server.superuser_url("postgres"));
        let environment = Self {
            views: [view(&servers[0])?, view(&servers[1])?],
            client: client::client(floor)?,
            board: Board::default(),
            cluster: cluster::cluster_uid(&person).await?,
            migrations: Arc::new(Migrations::tenant()?),
            keyring: Arc::new(Keyring::parse(&keys)?),
            master: Target::parse(&url)?,
            plane,
            servers,
            person,
            admins,
            operator,
            operator_kubeconfig,
            files,
        };
        environment.furnish().await?;
        let board = Board::watch(environment.person.clone(), NAMESPACE);
        Ok(Self { board, ..environment })
    }

    pub(crate) fn schools(&self) -> Api<School> {
        Api::namespaced(self.person.clone(), NAMESPACE)
    }

    /// A pool of the registry, opened as the operator opens its own.
    pub(crate) async fn registry(&self) -> Outcome<PgPool> {
        Ok(provisioning::master::bootstrap(&self.master, &Migrations::master()?).await?)
    }

    /// Pools of the servers, opened as the operator opens its own.
    pub(crate) fn connections(&self) -> Outcome<[(ServerName, Arc<ServerConnection>); 2]> {
        let connection = |index: usize| -> Outcome<_> {
            let endpoint = Endpoint { host: self.servers[index].host().to_owned(), port: self.servers[index].port(), tls: Tls::Disable };
            let connection = ServerConnection::new(endpoint, self.admins[index].clone(), "postgres".to_owned(), 8);
            Ok((ServerName::parse(NAMES[index])?, Arc::new(connection)))
        };
        Ok([connection(0)?, connection(1)?])
    }

    /// Both servers write out what earlier phases left dirty, so that no phase pays for another's.
    pub(crate) async fn checkpoint(&self) -> Outcome {
        let checkpoint = |view| sqlx::raw_sql("CHECKPOINT").execute(view);
        try_join(checkpoint(&self.views[0]), checkpoint(&self.views[1])).await?;
        Ok(())
    }

    /// Connections opened and transactions ended on both servers so far, this program's own views left out.
    pub(crate) async fn counters(&self) -> Outcome<(i64, i64)> {
        let (mut sessions, mut transactions) = (0, 0);
        for view in &self.views {
            let query = "SELECT sum(sessions)::int8, sum(xact_commit + xact_rollback)::int8 FROM pg_stat_database";
            let (more_sessions, more_transactions): (i64, i64) = sqlx::query_as(query).fetch_one(view).await?;
            sessions += more_sessions;
            transactions += more_transactions;
        }
        Ok((sessions, transactions))
    }

    /// Copies the logs to where they outlive this program.
    pub(crate) fn keep(&self, folder: &Path) -> Outcome {
        fs::create_dir_all(folder)?;
        fs::copy(self.plane.audit_log(), folder.join("audit.log"))?;
        fs::copy(self.files.path().join("operator.log"), folder.join("operator.log"))?;
        Ok(())
    }

    async fn furnish(&self) -> Outcome {
        let apply = PatchParams::apply("bench").force();
        let definitions = Api::<CustomResourceDefinition>::all(self.person.clone());
        for definition in operator::crd::print::all() {
            let name = definition["metadata"]["name"].as_str().ok_or("a CRD has no name")?.to_owned();
            definitions.patch(&name, &apply, &Patch::Apply(&definition)).await?;
            await_condition(definitions.clone(), &name, conditions::is_crd_established()).await?;
        }
        let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let creating = PostParams::default();
        let namespace = Namespace { metadata: named(NAMESPACE), ..Namespace::default() };
        Api::<Namespace>::all(self.person.clone()).create(&creating, &namespace).await?;
        let subject = |name: &str| Subject {
            kind: "ServiceAccount".to_owned(),
            name: name.to_owned(),
            namespace: Some(SYSTEM.to_owned()),
            ..Subject::default()
        };
        let binding = ClusterRoleBinding {
            metadata: named("bench"),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: "cluster-admin".to_owned(),
            },
            subjects: Some(["dailycare-operator", "floor"].map(subject).to_vec()),
        };
        Api::<ClusterRoleBinding>::all(self.person.clone()).create(&creating, &binding).await?;
        for (index, name) in NAMES.into_iter().enumerate() {
            let Credentials { username, password } = &self.admins[index];
            let secret: Secret = serde_json::from_value(json!({
                "metadata": {"name": name}, "stringData": {"username": username, "password": password.expose_secret()}
            }))?;
            Api::<Secret>::namespaced(self.person.clone(), SYSTEM).create(&creating, &secret).await?;
            let server: DatabaseServer = serde_json::from_value(json!({
                "apiVersion": "dailycare.io/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name},
                "spec": {
                    "host": self.servers[index].host(), "port": self.servers[index].port(), "tls": {"mode": "disable"},
                    "adminSecretRef": {"name": name}, "tiers": ["standard"], "capacity": {"maxSchools": 1000}
                }
            }))?;
            Api::<DatabaseServer>::all(self.person.clone()).create(&creating, &server).await?;
        }
        Ok(())
    }
}

/// The `DatabaseServer`s, in the order of the servers.
pub(crate) const NAMES: [&str; 2] = ["pg18", "pg15"];

fn program(given: Option<PathBuf>) -> Outcome<PathBuf> {
    let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.parent()?.join("dailycare")) };
    let program = given.or_else(beside).ok_or("give --operator")?;
    if program.exists() { Ok(program) } else { Err(format!("{} is missing: run cargo build --release", program.display()).into()) }
}
