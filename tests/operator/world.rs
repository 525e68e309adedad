//! A world: an API server, two PostgreSQL servers, and an operator between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use operator::crd::{DatabaseServer, School, print};
use provisioning::master::keyring::Keyring;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use testing::{ControlPlane, Operator, OperatorOptions, Postgres, PostgresOptions, Version, eventually, kubernetes};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// Runs a test on the one runtime of this process: connections of the shared world belong to it and outlive each test.
pub fn run(test: impl Future<Output = ()>) {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
    RUNTIME.block_on(test);
}

/// The operator's namespace, as its default is.
pub const SYSTEM: &str = "dailycare-system";

/// Shorter waits than the product's, which decide only how long a test takes. A test that needs other values sets them in its [`Setup`].
const TIMING: &str = "waiting=1500,server_unfit=1000,server_grace=1000,maintenance=5000";

/// Everything a test talks to.
pub struct World {
    pub plane: ControlPlane,
    pub client: Client,
    /// PostgreSQL 18, administered by its superuser; holds the master database too. `DatabaseServer` pg-18, tiers standard and basic.
    pub pg18: Postgres,
    /// PostgreSQL 15, administered by a plain CREATEDB + CREATEROLE role. `DatabaseServer` pg-15, tier premium.
    pub pg15: Postgres,
    pub operator: Operator,
    pub options: OperatorOptions,
    pg15_admin: String,
}

/// How a world differs from the usual one.
#[derive(Default)]
pub struct Setup {
    pub pg18: PostgresOptions,
    pub pg15: PostgresOptions,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl World {
    /// The world that tests share which break nothing.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        // As many tests enter its servers at once as the machine has cores.
        let many = || PostgresOptions::default().with("max_connections", "500");
        SHARED.get_or_init(|| World::new(Setup { pg18: many(), pg15: many(), ..Setup::default() })).await
    }

    /// A world of one's own, with an operator that needs no Lease, and both servers declared.
    pub async fn new(setup: Setup) -> Self {
        let starting = async {
            tokio::join!(ControlPlane::private(), Postgres::start(Version::V18, setup.pg18), Postgres::start(Version::V15, setup.pg15))
        };
        let (plane, pg18, pg15) = Box::pin(starting).await;
        let (plane, pg18, pg15) = (plane.unwrap(), pg18.unwrap(), pg15.unwrap());
        let client = plane.client().await.unwrap();
        kubernetes::install_crds(&client, print::all()).await.unwrap();
        let pg15_admin = pg15.create_plain_admin("operator_admin").await.unwrap();
        let options = OperatorOptions {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_dailycare")),
            kubeconfig: plane.kubeconfig().to_owned(),
            master_url: format!("{}?sslmode=disable", pg18.superuser_url("dailycare_master")),
            sealing_keys: Keyring::generate_file("k1").unwrap().expose_secret().to_owned(),
            arguments: [vec!["--no-leader-election".to_owned()], setup.arguments].concat(),
            environment: [vec![("DAILYCARE_TIMING".to_owned(), TIMING.to_owned())], setup.environment].concat(),
        };
        let operator = Operator::start(&options).unwrap();
        let world = Self { plane, client, pg18, pg15, operator, options, pg15_admin };
        world.namespace(SYSTEM).await;
        world.admin_secret("pg-18-admin", "postgres", world.pg18.superuser_password()).await;
        world.admin_secret("pg-15-admin", "operator_admin", &world.pg15_admin).await;
        world.declare_server("pg-18", world.pg18.port(), &["standard", "basic"]).await;
        world.declare_server("pg-15", world.pg15.port(), &["premium"]).await;
        world
    }

    pub async fn namespace(&self, name: &str) {
        kubernetes::create_namespace(&self.client, name).await.unwrap();
    }

    /// A namespace that no other test uses.
    pub async fn fresh_namespace(&self) -> String {
        kubernetes::fresh_namespace(&self.client).await.unwrap()
    }

    /// Creates or replaces an admin Secret in the operator's namespace.
    pub async fn admin_secret(&self, name: &str, username: &str, password: &str) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"username": username, "password": password}});
        let api = Api::<Secret>::namespaced(self.client.clone(), SYSTEM);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.unwrap();
    }

    /// Declares a server on loopback whose admin Secret is `<name>-admin`.
    pub async fn declare_server(&self, name: &str, port: u16, tiers: &[&str]) {
        let spec = json!({"host": "127.0.0.1", "port": port, "tls": {"mode": "disable"}, "adminSecretRef": {"name": format!("{name}-admin")}, "tiers": tiers});
        self.apply_server(name, spec).await;
    }

    pub async fn apply_server(&self, name: &str, spec: Value) {
        let server = json!({"apiVersion": "dailycare.io/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name}, "spec": spec});
        self.servers().patch(name, &PatchParams::apply("test").force(), &Patch::Apply(server)).await.unwrap();
    }

    #[must_use]
    pub fn servers(&self) -> Api<DatabaseServer> {
        Api::all(self.client.clone())
    }

    #[must_use]
    pub fn schools(&self, namespace: &str) -> Api<School> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Applies a School whose name is its code, as a GitOps tool would; `spec` overrides the usual one.
    pub async fn apply_school(&self, namespace: &str, code: &str, spec: Value) -> School {
        self.try_apply_school(namespace, code, code, spec).await.unwrap()
    }

    pub async fn try_apply_school(&self, namespace: &str, name: &str, code: &str, spec: Value) -> kube::Result<School> {
        let mut whole = json!({
            "code": code, "displayName": format!("School {code}"), "email": format!("office@{code}.example"),
            "adminUser": {"name": "Ana Sousa", "email": format!("ana@{name}.{namespace}.example")},
        });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let school = json!({"apiVersion": "dailycare.io/v1alpha1", "kind": "School", "metadata": {"name": name}, "spec": whole});
        self.schools(namespace).patch(name, &PatchParams::apply("test").force(), &Patch::Apply(school)).await
    }

    /// Waits until a School's condition says so for its present generation, and returns the School.
    pub async fn school_when(&self, namespace: &str, name: &str, kind: &str, status: &str, reason: &str) -> School {
        let api = self.schools(namespace);
        let mut last = None;
        let found = eventually(async || {
            let school = api.get_opt(name).await.unwrap_or_default();
            let found = school.clone().filter(|school| says(school, kind, status, reason));
            last = school.or(last.take());
            found
        });
        let found = found.await;
        found.unwrap_or_else(|| {
            let last = conditions(last.as_ref());
            panic!("{namespace}/{name} never said {kind}={status} {reason}; it said: {last:#?}\noperator:\n{}", self.log_tail())
        })
    }

    pub async fn ready(&self, namespace: &str, name: &str) -> School {
        self.school_when(namespace, name, "Ready", "True", "Ready").await
    }

    /// Asks for deletion and waits until the object is gone.
    pub async fn delete_school(&self, namespace: &str, name: &str) {
        let api = self.schools(namespace);
        api.delete(name, &DeleteParams::default()).await.unwrap();
        self.until(&format!("{namespace}/{name} is gone"), async || api.get_opt(name).await.unwrap().is_none()).await;
    }

    /// Waits for something that must come true; when it does not, says how the operator's log ends.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let came_true = eventually(async || condition().await.then_some(())).await;
        assert!(came_true.is_some(), "{what}: did not come true\noperator:\n{}", self.log_tail());
    }

    /// A Secret's values as text.
    pub async fn secret(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let secret = Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(name).await.unwrap()?;
        Some(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect())
    }

    /// A Secret's object.
    pub async fn secret_object(&self, namespace: &str, name: &str) -> Option<Secret> {
        Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(name).await.unwrap()
    }

    /// A superuser's session.
    pub async fn superuser(server: &Postgres, database: &str) -> PgConnection {
        PgConnection::connect(&server.superuser_url(database)).await.unwrap()
    }

    /// Another operator with this world's settings and more environment, in place of the one that has ended.
    pub fn start_operator(&mut self, environment: &[(&str, &str)]) {
        let mut options = self.options.clone();
        options.environment.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.operator = Operator::start(&options).unwrap();
    }

    /// The end of what the operator said.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.operator.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// The condition stands like this, and speaks of the present generation.
#[must_use]
pub fn says(school: &School, kind: &str, status: &str, reason: &str) -> bool {
    conditions(Some(school))
        .iter()
        .any(|c| c.type_ == kind && c.status == status && c.reason == reason && c.observed_generation == school.metadata.generation)
}

#[must_use]
pub fn conditions(school: Option<&School>) -> Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    school.and_then(|school| school.status.as_ref()?.conditions.clone()).unwrap_or_default()
}

/// Logs in with a Secret's own values, to its own database or another. Without the product's time limit, so that an error is the server's own.
pub async fn log_in(secret: &BTreeMap<String, String>, database: Option<&str>) -> sqlx::Result<PgConnection> {
    let options = PgConnectOptions::new_without_pgpass().host(&secret["host"]).port(secret["port"].parse().unwrap());
    let options = options.username(&secret["username"]).password(&secret["password"]).ssl_mode(PgSslMode::Prefer);
    PgConnection::connect_with(&options.database(database.unwrap_or(&secret["database"]))).await
}

/// The SQLSTATE of a refused login.
#[must_use]
pub fn sqlstate(refused: &sqlx::Error) -> Option<String> {
    Some(refused.as_database_error()?.code()?.into_owned())
}
