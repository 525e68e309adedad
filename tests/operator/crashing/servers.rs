//! Crashes while a server is declared and removed.

use kube::ResourceExt as _;
use kube::api::DeleteParams;
use operator::crd::DatabaseServer;
use sqlx::{AssertSqlSafe, Executor as _};
use testing::{Postgres, PostgresOptions, Version};

use super::change::{MOMENTS, REMOVAL_RUNS, SERVER_RUNS};
use super::{Fixture, databases};
use crate::world::World;

impl Fixture {
    pub(super) async fn die_while_a_server_comes_and_goes(&mut self) {
        let third = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
        self.world.admin_secret("third-admin", "postgres", third.superuser_password()).await;
        self.declare(&third).await;
        let expected = self.declared(&third).await;
        for (action, moment) in SERVER_RUNS.iter().flat_map(|action| MOMENTS.map(|moment| (*action, moment))) {
            self.remove_server().await;
            self.world.operator.kill9().await.unwrap();
            blank(&third).await;
            self.declare(&third).await;
            self.die(moment, action, &[]).await;
            assert_eq!(self.declared(&third).await, expected, "killed {moment} {action}");
        }
        for (action, moment) in REMOVAL_RUNS.iter().flat_map(|action| MOMENTS.map(|moment| (*action, moment))) {
            self.world.operator.kill9().await.unwrap();
            self.world.servers().delete("third", &DeleteParams::default()).await.unwrap();
            self.die(moment, action, &[]).await;
            self.server_is_gone().await;
            self.declare(&third).await;
            assert_eq!(self.declared(&third).await, expected, "after a removal killed {moment} {action}");
        }
        self.remove_server().await;
    }

    pub(super) async fn declare(&self, third: &Postgres) {
        self.world.declare_server("third", third.port(), &["basic"]).await;
    }

    pub(super) async fn remove_server(&self) {
        self.world.servers().delete("third", &DeleteParams::default()).await.unwrap();
        self.server_is_gone().await;
    }

    pub(super) async fn server_is_gone(&self) {
        let servers = self.world.servers();
        self.world.until("the server's object is gone", async || servers.get_opt("third").await.unwrap().is_none()).await;
    }

    /// Waits until the third server is Ready; everything of ours on it, and what its object says.
    pub(super) async fn declared(&self, third: &Postgres) -> Vec<String> {
        let servers = self.world.servers();
        let ready = async || servers.get("third").await.is_ok_and(|server| is_ready(&server));
        self.world.until("the third server is Ready", ready).await;
        let object = servers.get("third").await.unwrap();
        let mut conn = World::superuser(third, "postgres").await;
        let mut found = databases(&mut conn).await;
        let query = "SELECT rolname || ' ' || rolcanlogin || ' ' || shobj_description(oid, 'pg_authid') FROM pg_roles
                WHERE rolname IN ('tenant_owner', 'tenant_app', 'dailycare_monitor', 'dailycare_migrator')
            UNION ALL SELECT rolname || ' ' || rolcanlogin FROM pg_roles WHERE rolname = 'dailycare_identity'
            UNION ALL SELECT datname || ' ' || datacl::text FROM pg_database WHERE datname IN ('postgres', 'template1')
            UNION ALL SELECT system_identifier::text FROM pg_control_system() ORDER BY 1";
        found.extend(sqlx::query_scalar::<_, String>(query).fetch_all(&mut conn).await.unwrap());
        found.extend(object.finalizers().iter().cloned());
        found.extend(object.status.and_then(|status| status.system_identifier));
        found
    }
}

fn is_ready(server: &DatabaseServer) -> bool {
    let status = server.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True" && it.observed_generation == server.metadata.generation)
}

/// Makes a server as if it had never been declared.
async fn blank(server: &Postgres) {
    let mut conn = World::superuser(server, "postgres").await;
    for name in databases(&mut conn).await {
        conn.execute(AssertSqlSafe(format!("ALTER DATABASE {name} IS_TEMPLATE false"))).await.unwrap();
        conn.execute(AssertSqlSafe(format!("DROP DATABASE {name}"))).await.unwrap();
    }
    let roles = "DROP OWNED BY dailycare_migrator, dailycare_monitor, tenant_app, tenant_owner;
        DROP ROLE dailycare_migrator, dailycare_monitor, tenant_app, tenant_owner, dailycare_identity;
        GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC; GRANT CONNECT ON DATABASE template1 TO PUBLIC";
    conn.execute(roles).await.unwrap();
}
