//! Servers and operators that come and go: declared, broken and compared by tests, and the program run by hand.

use std::fs;
use std::path::Path;
use std::process::Command;

use kube::ResourceExt as _;
use operator::crd::DatabaseServer;
use serde_json::{Value, json};
use testing::{Operator, Postgres};

use crate::world::{SYSTEM, World};

impl World {
    /// Waits until a server's condition says so for its present generation, and returns the server.
    pub async fn server_when(&self, name: &str, kind: &str, status: &str, reason: &str) -> DatabaseServer {
        let (api, mut found) = (self.servers(), None);
        let what = format!("server {name} says {kind}={status} {reason}");
        self.until(&what, async || {
            let server = api.get(name).await.ok();
            let says = server.as_ref().is_some_and(|server| server_says(server, kind, status, reason));
            found = server.filter(|_| says);
            says
        })
        .await;
        found.unwrap()
    }

    /// Declares a server on loopback that is administered by its superuser, and waits until schools can be placed there.
    pub async fn add_server(&self, name: &str, server: &Postgres, tiers: &[&str]) {
        self.admin_secret(&format!("{name}-admin"), "postgres", server.superuser_password()).await;
        self.declare_server(name, server.port(), tiers).await;
        self.server_when(name, "Ready", "True", "Ready").await;
    }

    /// State and schema version of the tenant that holds a code.
    pub async fn tenant(&self, code: &str) -> Option<(String, Option<i32>)> {
        let query = "SELECT state, schema_version FROM registry.tenants WHERE code = $1 AND NOT is_deleted";
        sqlx::query_as(query).bind(code).fetch_optional(&mut self.master().await).await.unwrap()
    }

    /// Stops the operator in order and starts another in its place, with more arguments than the options say.
    pub async fn replace_operator(&mut self, arguments: &[&str]) {
        self.operator.stop().await.unwrap();
        let mut options = self.options.clone();
        options.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self.operator = Operator::start(&options).unwrap();
    }

    /// The program, with the settings of this world that the operator gets, and as whom to call the API server.
    pub fn program(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let keys = self.operator.directory().join("sealing-keys-by-hand");
        fs::write(&keys, &self.options.sealing_keys).unwrap();
        let mut command = Command::new(&self.options.binary);
        command.env("KUBECONFIG", kubeconfig).env("DAILYCARE_MASTER_URL", &self.options.master_url);
        command.env("DAILYCARE_SEALING_KEY_FILE", keys).env("DAILYCARE_OPERATOR_NAMESPACE", SYSTEM);
        command.args(arguments);
        command
    }

    /// The requests that `user` has sent to the API server so far: verb and resource (with its subresource), in order, and whether it was granted.
    pub fn requests_of(&self, user: &str) -> Vec<ApiRequest> {
        let log = fs::read_to_string(self.plane.audit_log()).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events
            .filter(|event| event["user"]["username"] == user && event["stage"] == "ResponseComplete")
            .map(|event| ApiRequest::new(&event))
            .collect()
    }
}

/// One request in the audit log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiRequest {
    pub verb: String,
    /// Such as `schools/status`.
    pub resource: String,
    pub group: String,
    pub namespace: String,
    pub name: String,
    pub code: u64,
}

impl ApiRequest {
    fn new(event: &Value) -> Self {
        let object = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let subresource = object["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
        Self {
            verb: text(&event["verb"]),
            resource: text(&object["resource"]) + &subresource,
            group: text(&object["apiGroup"]),
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        }
    }
}

#[must_use]
pub fn server_says(server: &DatabaseServer, kind: &str, status: &str, reason: &str) -> bool {
    let conditions = server.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let generation = server.metadata.generation;
    conditions.iter().any(|c| c.type_ == kind && c.status == status && c.reason == reason && c.observed_generation == generation)
}

/// The message of a server's condition.
#[must_use]
pub fn server_message(server: &DatabaseServer, kind: &str) -> String {
    let conditions = server.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.into_iter().find(|c| c.type_ == kind).unwrap_or_else(|| panic!("{} has no {kind}", server.name_any())).message
}

/// Everything that the operator could make on a server: databases with owner, rights and ownership comment, and roles with attributes, ownership comment and password.
pub async fn catalog(server: &Postgres) -> Vec<String> {
    let query =
        "SELECT 'database ' || concat_ws(' ', datname, pg_get_userbyid(datdba), datacl::text, datallowconn, datistemplate, datconnlimit,
                            shobj_description(oid, 'pg_database')) FROM pg_database
        UNION ALL SELECT 'role ' || concat_ws(' ', rolname, rolcanlogin, rolconnlimit, rolconfig::text, shobj_description(oid, 'pg_authid'),
                            (SELECT md5(rolpassword) FROM pg_authid a WHERE a.oid = r.oid)) FROM pg_roles r WHERE rolname !~ '^pg_'
        UNION ALL SELECT 'member ' || concat_ws(' ', member::regrole, roleid::regrole) FROM pg_auth_members ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(&mut World::superuser(server, "postgres").await).await.unwrap()
}

/// Tenant databases and tenant logins on a server.
pub async fn tenants_on(server: &Postgres) -> (Vec<String>, Vec<String>) {
    let mut conn = World::superuser(server, "postgres").await;
    let databases = "SELECT datname::text FROM pg_database WHERE datname LIKE 'dailycare\\_tenant\\_%' ORDER BY 1";
    let logins = "SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE '%\"tenant\"%' ORDER BY 1";
    let databases = sqlx::query_scalar(databases).fetch_all(&mut conn).await.unwrap();
    (databases, sqlx::query_scalar(logins).fetch_all(&mut conn).await.unwrap())
}

/// One value from a server, read by its superuser.
pub async fn query_value<T>(server: &Postgres, database: &str, query: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(query).fetch_one(&mut World::superuser(server, database).await).await.unwrap()
}

/// Something done to a server by its superuser.
pub async fn order(server: &Postgres, database: &str, statements: &'static str) {
    sqlx::raw_sql(statements).execute(&mut World::superuser(server, database).await).await.unwrap();
}

/// A spec on loopback without TLS whose admin Secret is `<name>-admin`, changed by `changes`.
#[must_use]
pub fn server_spec(name: &str, port: u16, changes: &Value) -> Value {
    let mut spec = json!({
        "host": "127.0.0.1", "port": port, "tls": {"mode": "disable"}, "adminSecretRef": {"name": format!("{name}-admin")}, "tiers": ["standard"],
    });
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}
