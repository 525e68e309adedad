//! What stands, asked from the sources themselves and never through the operator: the registry, the catalogs, the audit log, kubectl and psql.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::school::observed::Names;
use kube::Resource;
use kube::api::{Patch, PatchParams};
use operator::crd::{School, convert};
use postgres::session::Credentials;
use provisioning::master::keyring::Keyring;
use registry::seal::Sealed;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use testing::{self, Postgres};
use tokio::process::Command;

use crate::world::{World, log_in};

impl World {
    /// The server behind one of the world's own two `DatabaseServer`s.
    #[must_use]
    pub fn server(&self, name: &str) -> &Postgres {
        if name == "pg-15" { &self.pg15 } else { &self.pg18 }
    }

    /// A superuser's session on the server of a School.
    pub async fn beside(&self, names: &Names) -> PgConnection {
        Self::superuser(self.server(names.server.as_str()), "postgres").await
    }

    pub async fn master(&self) -> PgConnection {
        Self::superuser(&self.pg18, "dailycare_master").await
    }

    /// A tenant's row in the registry; null when there is none.
    pub async fn tenant_row(&self, names: &Names) -> Value {
        json_of(&mut self.master().await, &format!("SELECT * FROM registry.tenants WHERE id = '{}'", names.tenant)).await
    }

    /// The credentials in a tenant's row, opened with the operator's keys; null while they are not the tenant's.
    pub async fn unsealed(&self, names: &Names) -> Option<Credentials> {
        let query = sqlx::query_as("SELECT key_id, credentials FROM registry.tenants WHERE id = $1 AND key_id IS NOT NULL");
        let row: Option<(String, Vec<u8>)> = query.bind(names.tenant.0).fetch_optional(&mut self.master().await).await.unwrap();
        let keyring = Keyring::parse(&self.options.sealing_keys.as_str().into()).unwrap();
        row.and_then(|(key_id, bytes)| keyring.open(names.tenant, &Sealed { key_id, bytes }).ok())
    }

    /// The databases and roles of both servers with a tenant's ownership comment, in order.
    pub async fn owned_objects(&self, names: &Names) -> Vec<String> {
        let mut owned = Vec::new();
        for server in [&self.pg15, &self.pg18] {
            let query = format!(
                "SELECT datname::text FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE '%{tenant}%'
                 UNION SELECT rolname::text FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE '%{tenant}%' ORDER BY 1",
                tenant = names.tenant
            );
            owned.extend(list(&mut Self::superuser(server, "postgres").await, &query).await);
        }
        owned
    }

    /// The School's own login works with what its Secret says now.
    pub async fn serves(&self, namespace: &str, names: &Names) -> bool {
        match self.secret(namespace, names.secret.as_str()).await {
            Some(secret) => log_in(&secret, None).await.is_ok(),
            None => false,
        }
    }

    /// Has the operator reconcile a School now, as a person would.
    pub async fn request_reconcile(&self, namespace: &str, name: &str) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let value = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        self.merge_school(namespace, name, json!({"metadata": {"annotations": {"dailycare.io/requestedAt": value}}})).await.unwrap();
    }

    pub async fn merge_school(&self, namespace: &str, name: &str, patch: Value) -> kube::Result<School> {
        self.schools(namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// The operator's successful writes to objects of a namespace, events included, in order.
    #[must_use]
    pub fn operator_writes(&self, namespace: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.plane.audit_log()).unwrap();
        let calls = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        calls
            .filter(|call| {
                text(&call["userAgent"]).starts_with("dailycare/")
                    && call["objectRef"]["namespace"] == namespace
                    && !["get", "list", "watch"].contains(&text(&call["verb"]).as_str())
            })
            .map(|call| {
                let object = &call["objectRef"];
                format!("{} {} {} {}", text(&call["verb"]), text(&object["resource"]), text(&object["name"]), text(&object["subresource"]))
            })
            .collect()
    }

    /// kubectl's output; it must succeed.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let kubeconfig = ["--kubeconfig".as_ref(), self.plane.kubeconfig().as_os_str()];
        output(&testing::kubectl().unwrap(), kubeconfig.into_iter().chain(arguments.iter().map(AsRef::as_ref))).await
    }
}

/// psql's plain output for one query over a connection URI.
pub async fn psql(uri: &str, query: &str) -> String {
    output(&testing::psql().unwrap(), ["-XAtqc", query, uri].map(AsRef::as_ref)).await
}

async fn output<'a>(program: &Path, arguments: impl IntoIterator<Item = &'a OsStr>) -> String {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The names in a School's status.
#[must_use]
pub fn names(school: &School) -> Names {
    convert::names(school.status.as_ref()).unwrap().unwrap()
}

/// An object as it stands, every byte of it, for saying that nobody touched it.
#[must_use]
pub fn whole<K: Resource + serde::Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap()
}

pub async fn execute(conn: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(conn).await.unwrap();
}

/// The one row of a query as a JSON object; null when there is none.
pub async fn json_of(conn: &mut PgConnection, query: &str) -> Value {
    let query = format!("SELECT to_jsonb(wanted) FROM ({query}) AS wanted");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_optional(conn).await.unwrap().unwrap_or_default()
}

/// A query's one column of text.
pub async fn list(conn: &mut PgConnection, query: &str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(conn).await.unwrap()
}

/// A database's catalog row, ownership comment included; null when there is none.
pub async fn database(conn: &mut PgConnection, name: &str) -> Value {
    let stable =
        "oid, datname, datdba, datallowconn, datistemplate, datconnlimit, datacl, shobj_description(oid, 'pg_database') AS comment";
    json_of(conn, &format!("SELECT {stable} FROM pg_database WHERE datname = '{name}'")).await
}

/// A role's catalog row, password and ownership comment included; null when there is none.
pub async fn role(conn: &mut PgConnection, name: &str) -> Value {
    json_of(conn, &format!("SELECT r.*, shobj_description(oid, 'pg_authid') AS comment FROM pg_authid r WHERE rolname = '{name}'")).await
}
