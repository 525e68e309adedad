//! What there is of a School, read past the operator: from the API server, the registry, and the catalogs of the servers.
//!
//! Must not ask the operator, and must not take its status for more than what it says.

use std::collections::{BTreeMap, BTreeSet};

use domain::names::{ClusterUid, TenantId};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use operator::crd::School;
use operator::kubernetes::cluster::cluster_uid;
use provisioning::server::census::{self, Census};
use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};
use testing::eventually;
use uuid::Uuid;

use crate::world::{World, conditions, log_in};

/// A staged database is made for a School that then takes it, by at most eight Schools of an operator at once; a crash may leave one of each.
const SPARES: u32 = 8;

/// Sessions of its own to everything.
pub struct Oracle {
    cluster: ClusterUid,
    client: Client,
    registry: PgConnection,
    pub servers: Vec<(&'static str, PgConnection)>,
    /// The schema version that every school should have.
    pub target: u32,
    /// How many operators work at once.
    pub operators: u32,
}

/// Everything that can be said of a School without naming it: two Schools with the same history are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Verdict, reason, and whether it speaks of the present generation; empty when the object is gone.
    pub conditions: BTreeMap<String, (String, String, bool)>,
    pub finalizers: Vec<String>,
    /// Rows of its code: state, `is_active`, `is_deleted`, versions behind, credentials kept.
    pub rows: Vec<(String, bool, bool, i64, bool)>,
    /// Accounts that may sign in.
    pub accounts: i64,
    /// Databases with its ownership comment, by versions behind.
    pub databases: Vec<u32>,
    /// Logins with its ownership comment.
    pub logins: usize,
    /// Secrets, by what follows the name, with their keys and the labels from the School's spec.
    pub secrets: BTreeMap<String, (Vec<String>, Vec<String>)>,
    /// The Secret's login enters the Secret's database and finds the school's settings.
    pub enters: bool,
}

impl Oracle {
    pub async fn of(world: &World, target: u32) -> Self {
        let servers =
            vec![("pg-18", World::superuser(&world.pg18, "postgres").await), ("pg-15", World::superuser(&world.pg15, "postgres").await)];
        let registry = World::superuser(&world.pg18, "dailycare_master").await;
        Self { cluster: cluster_uid(&world.client).await.unwrap(), client: world.client.clone(), registry, servers, target, operators: 1 }
    }

    /// Everything with an ownership comment, by server.
    pub async fn censuses(&mut self) -> Vec<(&'static str, Census)> {
        let mut all = Vec::new();
        for (name, conn) in &mut self.servers {
            all.push((*name, census::take(conn, self.cluster).await.unwrap()));
        }
        all
    }

    /// The state of the School whose name and code are `code`.
    pub async fn state(&mut self, namespace: &str, code: &str) -> State {
        State { enters: self.enters(namespace, code).await, ..self.facts(namespace, code).await }
    }

    /// Waits until a School's state is the expected one; otherwise what it was last.
    pub async fn until_state(&mut self, namespace: &str, code: &str, expected: &State) -> Result<(), State> {
        let mut last = State::default();
        let reached = eventually(async || {
            last = self.facts(namespace, code).await;
            // A login costs more than all the rest, so it is tried only when that is right.
            last.enters = expected.enters;
            if last == *expected {
                last.enters = self.enters(namespace, code).await;
            }
            (last == *expected).then_some(())
        });
        reached.await.ok_or(last)
    }

    /// All of it but whether the login enters.
    async fn facts(&mut self, namespace: &str, code: &str) -> State {
        let school = Api::<School>::namespaced(self.client.clone(), namespace).get_opt(code).await.unwrap();
        let mut state = State { secrets: self.secrets(namespace, code).await, ..State::default() };
        if let Some(school) = &school {
            state.conditions = conditions(Some(school)).into_iter().map(|condition| status_of(school, condition)).collect();
            state.finalizers = school.finalizers().to_vec();
        }
        let tenants = self.rows(code, &mut state).await;
        for (_, census) in self.censuses().await {
            let databases = census.databases.iter().filter(|(_, owner)| tenants.contains(&owner.tenant));
            state.databases.extend(databases.map(|(_, owner)| self.target.abs_diff(owner.schema)));
            state.logins += census.logins.iter().filter(|(_, owner)| tenants.contains(&owner.tenant)).count();
        }
        state
    }

    async fn rows(&mut self, code: &str, state: &mut State) -> Vec<TenantId> {
        let query = "SELECT id, state, is_active, is_deleted, coalesce(schema_version, 0)::int8, credentials IS NOT NULL AS sealed,
                (SELECT count(*) FROM registry.users WHERE tenant_id = t.id AND NOT is_deleted) AS accounts
            FROM registry.tenants t WHERE code = $1 ORDER BY created_at";
        let rows = sqlx::query(query).bind(code).fetch_all(&mut self.registry).await.unwrap();
        for row in &rows {
            let behind = i64::from(self.target) - row.get::<i64, _>(4);
            state.rows.push((row.get("state"), row.get("is_active"), row.get("is_deleted"), behind, row.get("sealed")));
            state.accounts += row.get::<i64, _>("accounts");
        }
        rows.iter().map(|row| TenantId(row.get("id"))).collect()
    }

    async fn secrets(&self, namespace: &str, code: &str) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
        let ours = |secret: &Secret| secret.name_any().strip_prefix(&format!("{code}-")).map(ToOwned::to_owned);
        let labels = |secret: &Secret| secret.labels().keys().filter(|key| key.starts_with("test/")).cloned().collect();
        let list = Api::<Secret>::namespaced(self.client.clone(), namespace).list(&ListParams::default()).await.unwrap();
        let keys = |secret: &Secret| secret.data.clone().unwrap_or_default().into_keys().collect();
        list.iter().filter_map(|secret| Some((ours(secret)?, (keys(secret), labels(secret))))).collect()
    }

    async fn enters(&self, namespace: &str, code: &str) -> bool {
        let Some(secret) = secret_values(&self.client, namespace, &format!("{code}-db")).await else { return false };
        let Ok(mut conn) = log_in(&secret, None).await else { return false };
        conn.fetch_all("SELECT FROM app.settings LIMIT 1").await.is_ok_and(|rows| rows.len() == 1)
    }

    /// What must never change once it is there: identity, names, and passwords that can be used.
    pub async fn memory(&mut self, namespace: &str, code: &str) -> BTreeMap<&'static str, String> {
        let mut memory = BTreeMap::new();
        if let Some(school) = Api::<School>::namespaced(self.client.clone(), namespace).get_opt(code).await.unwrap() {
            let status = serde_json::to_value(school.status.unwrap_or_default()).unwrap();
            let paths = ["/tenantId", "/placement/serverName", "/placement/boundAt", "/database/name", "/credentials/secretName"];
            memory.extend(paths.into_iter().filter_map(|path| Some((path, status.pointer(path)?.to_string()))));
        }
        for (name, path) in [("db", "the login's password"), ("admin", "the administrator's password")] {
            let secret = secret_values(&self.client, namespace, &format!("{code}-{name}")).await;
            memory.extend(
                secret.and_then(|secret| secret.get("password").cloned()).filter(|password| password.len() >= 16).map(|it| (path, it)),
            );
        }
        let row = sqlx::query_scalar::<_, Uuid>("SELECT id FROM registry.tenants WHERE code = $1").bind(code);
        memory.extend(row.fetch_optional(&mut self.registry).await.unwrap().map(|id| ("the registry's key", id.to_string())));
        memory
    }

    /// I1 and I3 over the whole world: everything with an ownership comment belongs to a tenant that is live or kept, exactly once and where the registry
    /// says; nothing of ours is without one but a template for each server and a few spares; every Secret belongs to a School that stands.
    pub async fn assert_nothing_leaked(&mut self) {
        let query = "SELECT id, server, database_name, login FROM registry.tenants WHERE NOT is_deleted AND cluster_uid = $1";
        let rows = sqlx::query(query).bind(self.cluster.0).fetch_all(&mut self.registry).await.unwrap();
        let (mut databases, mut logins) = (BTreeSet::new(), BTreeSet::new());
        for row in &rows {
            let (id, server): (Uuid, String) = (row.get("id"), row.get("server"));
            databases.insert((id, server.clone(), row.get::<String, _>("database_name")));
            logins.insert((id, server, row.get::<String, _>("login")));
        }
        for (server, census) in self.censuses().await {
            for (name, owner) in census.databases {
                assert!(databases.remove(&(owner.tenant.0, server.to_owned(), name.clone())), "{server}: {name} belongs to no tenant");
            }
            for (name, owner) in census.logins {
                assert!(logins.remove(&(owner.tenant.0, server.to_owned(), name.clone())), "{server}: login {name} belongs to no tenant");
            }
            assert!(census.spares <= SPARES * self.operators, "{server}: {} spares", census.spares);
        }
        assert!(databases.is_empty() && logins.is_empty(), "lost: {databases:?} {logins:?}");
        self.assert_nothing_is_without_owner().await;
        self.assert_secrets_are_owned().await;
    }

    async fn assert_nothing_is_without_owner(&mut self) {
        let query = "SELECT datname::text FROM pg_database WHERE datname ~ '^(dc|dailycare_tenant)_' AND datname !~ '^dc_spare_'
            AND shobj_description(oid, 'pg_database') IS NULL";
        for (server, conn) in &mut self.servers {
            let names: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut *conn).await.unwrap();
            assert!(names.len() <= 1 && names.iter().all(|name| name.starts_with("dc_template_")), "{server}: {names:?}");
        }
    }

    async fn assert_secrets_are_owned(&self) {
        let ours = ListParams::default().labels("app.kubernetes.io/part-of=dailycare");
        let secrets = Api::<Secret>::all(self.client.clone()).list(&ours).await.unwrap();
        let schools = Api::<School>::all(self.client.clone()).list(&ListParams::default()).await.unwrap();
        let owners: BTreeSet<_> = schools.iter().filter_map(ResourceExt::uid).collect();
        for secret in secrets {
            let owned = secret.owner_references().iter().any(|owner| owners.contains(&owner.uid));
            assert!(owned, "Secret {} outlived its School", secret.name_any());
        }
    }

    /// Drops what is staged on a server, as a person may: nothing of any school is in it.
    pub async fn drop_spares(&mut self) {
        for (_, conn) in &mut self.servers {
            let names: Vec<String> = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname ~ '^dc_spare_'")
                .fetch_all(&mut *conn)
                .await
                .unwrap();
            for name in names {
                conn.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE {name}"))).await.unwrap();
            }
        }
    }
}

fn status_of(school: &School, condition: Condition) -> (String, (String, String, bool)) {
    (condition.type_, (condition.status, condition.reason, condition.observed_generation == school.metadata.generation))
}

async fn secret_values(client: &Client, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await.unwrap()?;
    Some(secret.data?.into_iter().map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect())
}
