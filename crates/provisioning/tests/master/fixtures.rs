//! A master database on a server of its own, as superuser and as the plain admin that hosted PostgreSQL gives.

use domain::names::{ClusterUid, DatabaseName, LoginName, SchoolCode, SchoolUid, ServerName, TenantId};
use domain::tenant::{Profile, TenantState};
use postgres::schema::Migrations;
use postgres::session::{Endpoint, Tls};
use provisioning::master::TenantRef;
use provisioning::master::tenants::{Publication, Reservation};
use registry::route::{PoolSettings, Route};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};
use testing::Version;
pub(crate) use testing::master::{Admin, DATABASE, EVERYWHERE, Master, execute};
use uuid::Uuid;

/// A master database on the newest server, as a plain admin.
pub(crate) async fn registry() -> (Master, PgPool) {
    Master::bootstrapped(Version::V18).await
}

/// The SQLSTATE that a statement fails with; none when it succeeds.
pub(crate) async fn refusal(conn: &mut PgConnection, sql: &'static str) -> Option<String> {
    let failed = sqlx::raw_sql(sql).execute(conn).await.err()?;
    Some(failed.as_database_error().unwrap().code().unwrap().into_owned())
}

pub(crate) const CLUSTER: ClusterUid = ClusterUid(Uuid::from_u128(0xc1));

pub(crate) fn tenant_ref(n: u128) -> TenantRef {
    let school = SchoolUid(Uuid::from_u128(n));
    TenantRef { id: TenantId::of(CLUSTER, school), school, cluster: CLUSTER }
}

pub(crate) fn profile() -> Profile {
    Profile { name: "Escola do Norte".into(), email: "geral@norte.example".into(), phone_number: Some("+351 210 000 000".into()) }
}

pub(crate) fn reservation(n: u128, code: &str) -> Reservation {
    let code = SchoolCode::parse(code).unwrap();
    let database = DatabaseName::of(&code);
    Reservation {
        tenant: tenant_ref(n),
        namespace: "schools".into(),
        name: format!("school-{n}"),
        profile: profile(),
        server: ServerName::parse("pg-1").unwrap(),
        login: LoginName::of(&database),
        database,
        code,
    }
}

pub(crate) fn publication(n: u128, code: &str) -> Publication {
    let Reservation { tenant, profile, server, database, login, .. } = reservation(n, code);
    let pool = PoolSettings { size: 100, connect_timeout_seconds: 30, command_timeout_seconds: 60, pooling: true };
    let tls = Tls::VerifyFull(b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"[..].into());
    let route = Route { server, endpoint: Endpoint { host: "pg-1.example".into(), port: 5432, tls }, database, login, pool };
    Publication {
        tenant,
        profile,
        route,
        password: Some("canary-password".into()),
        schema_version: Migrations::tenant().unwrap().target(),
        state: TenantState::Active,
    }
}

/// What changes whenever a tenant's row is written.
pub(crate) async fn written(pool: &PgPool, tenant: TenantRef) -> (String, i64, i64) {
    let query = sqlx::query("SELECT xmin::text, epoch, change_seq FROM registry.tenants WHERE id = $1").bind(tenant.id.0);
    let row = query.fetch_one(pool).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}
