//! The certificates of authorities: stored once, however many schools' servers are verified with them.

use std::fmt::Write as _;
use std::sync::Arc;

use domain::tenant::InactiveState;
use futures::TryStreamExt as _;
use postgres::schema::Migrations;
use postgres::session::Tls;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{Change, Publication, clear_former_authorities, publish, reserve, set_state};
use registry::tenants;
use sqlx::postgres::{PgConnection, PgPool};
use testing::Version;
use testing::master::Admin;
use uuid::Uuid;

use crate::fixtures::{Master, execute, publication, registry, reservation, tenant_ref, written};

/// As large as a provider's list of its authorities, and as incompressible.
fn bundle() -> String {
    let mut text = String::new();
    for _ in 0..108 {
        text += "-----BEGIN CERTIFICATE-----\n";
        for _ in 0..48 {
            writeln!(text, "{}", Uuid::new_v4().simple()).unwrap();
        }
        text += "-----END CERTIFICATE-----\n";
    }
    assert!(text.len() > 165_000);
    text
}

fn verified_with(n: u128, authority: &str) -> Publication {
    let mut publication = publication(n, &format!("escola-{n}"));
    publication.route.endpoint.tls = Tls::VerifyFull(authority.as_bytes().into());
    publication
}

fn keyring() -> Keyring {
    Keyring::parse(&Keyring::generate_file("k1").unwrap()).unwrap()
}

async fn published(pool: &PgPool, publication: &Publication, n: u128, keyring: &Keyring) {
    reserve(pool, &reservation(n, &format!("escola-{n}"))).await.unwrap();
    assert_eq!(publish(pool, publication, keyring).await.unwrap(), Change::Made);
}

/// Bytes of certificates in the rows of tenants, and how many lists there are beside them.
async fn stored(pool: &PgPool) -> (i64, i64) {
    let select =
        "SELECT coalesce(sum(pg_column_size(tls_ca)), 0)::bigint, (SELECT count(*) FROM registry.authorities) FROM registry.tenants";
    sqlx::query_as(select).fetch_one(pool).await.unwrap()
}

/// The authorities as the API reads them, of every tenant that has one.
async fn read(pool: &PgPool) -> Vec<Arc<[u8]>> {
    let readings: Vec<_> = tenants::after(pool, i64::MIN).try_collect().await.unwrap();
    let tls = readings.into_iter().filter_map(|reading| Some(reading.tenant?.route?.endpoint.tls));
    tls.filter_map(|tls| if let Tls::VerifyFull(pem) = tls { Some(pem) } else { None }).collect()
}

#[tokio::test]
async fn a_providers_list_of_authorities_is_stored_and_read_once_however_many_schools_are_on_its_servers() {
    let ((_master, pool), keyring) = (registry().await, keyring());
    let (rds, own) = (bundle(), bundle());
    for n in 1..=20 {
        published(&pool, &verified_with(n, &rds), n, &keyring).await;
    }
    assert_eq!(stored(&pool).await, (0, 1));
    let all = read(&pool).await;
    assert!(all.len() == 20 && all.iter().all(|pem| **pem == *rds.as_bytes() && Arc::ptr_eq(pem, &all[0])), "each school has its own copy");
    let some = [tenant_ref(3).id, tenant_ref(4).id];
    assert_eq!(tenants::these(&pool, &some).await.unwrap().len(), 2);

    let before = written(&pool, tenant_ref(1)).await;
    assert_eq!(publish(&pool, &verified_with(1, &rds), &keyring).await.unwrap(), Change::Unneeded);
    assert_eq!(written(&pool, tenant_ref(1)).await, before);
    // Another list is another route; another size of the pool is none.
    assert_eq!(publish(&pool, &verified_with(1, &own), &keyring).await.unwrap(), Change::Made);
    let moved = written(&pool, tenant_ref(1)).await;
    assert_eq!((moved.1, stored(&pool).await), (before.1 + 1, (0, 2)));
    let mut resized = verified_with(1, &own);
    resized.route.pool.size = 7;
    assert_eq!(publish(&pool, &resized, &keyring).await.unwrap(), Change::Made);
    assert_eq!(written(&pool, tenant_ref(1)).await.1, moved.1);
}

#[tokio::test]
async fn a_list_of_authorities_goes_with_the_last_school_that_refers_to_it() {
    let ((_master, pool), keyring) = (registry().await, keyring());
    let rds = bundle();
    for n in 1..=3 {
        published(&pool, &verified_with(n, &rds), n, &keyring).await;
    }
    let mut plain = verified_with(1, &rds);
    plain.route.endpoint.tls = Tls::Require;
    assert_eq!(publish(&pool, &plain, &keyring).await.unwrap(), Change::Made);
    set_state(&pool, tenant_ref(2), InactiveState::Deleted).await.unwrap();
    set_state(&pool, tenant_ref(3), InactiveState::Retained).await.unwrap();
    assert_eq!(stored(&pool).await, (0, 1), "a retained school may be served again");
    set_state(&pool, tenant_ref(3), InactiveState::Deleted).await.unwrap();
    assert_eq!(stored(&pool).await, (0, 0));
}

#[tokio::test]
async fn schools_that_lose_and_gain_one_list_at_the_same_time_never_miss_it() {
    let ((_master, pool), keyring) = (registry().await, keyring());
    let (one, other) = (bundle(), bundle());
    for n in 1..=4 {
        published(&pool, &verified_with(n, &one), n, &keyring).await;
    }
    for round in 0..10 {
        let writes = (1..=4).map(|n| {
            let publication = verified_with(n, if (round + n) % 2 == 0 { &one } else { &other });
            let (pool, keyring) = (&pool, &keyring);
            async move { publish(pool, &publication, keyring).await.unwrap() }
        });
        futures::future::join_all(writes).await;
        assert_eq!((stored(&pool).await, read(&pool).await.len()), ((0, 2), 4));
    }
}

/// What an API of the former release reads.
async fn former(conn: &mut PgConnection) -> Vec<Option<String>> {
    sqlx::query_scalar("SELECT t.tls_ca FROM registry.tenants t ORDER BY t.code").fetch_all(conn).await.unwrap()
}

#[tokio::test]
async fn beside_an_api_of_the_former_release_rows_keep_their_certificates_for_a_day_and_then_lose_them() {
    let master = Master::start(Version::V15, Admin::Superuser).await;
    let mut conn = master.superuser("postgres").await;
    let roles = "CREATE ROLE dailycare_operator; CREATE ROLE dailycare_api; ALTER DATABASE postgres OWNER TO dailycare_operator; SET ROLE dailycare_operator";
    sqlx::raw_sql(roles).execute(&mut conn).await.unwrap();
    let (list, rds, row) = (Migrations::master().unwrap(), bundle(), tenant_ref(1));
    while let Some(next) = list.next_after(list.applied(&mut conn).await.unwrap()) {
        if next.name == "authorities" {
            let insert = "
                INSERT INTO registry.tenants (id, school_uid, cluster_uid, name, code, email, server, host, port, tls_mode, tls_ca, database_name, login)
                VALUES ($1, $2, $3, 'Escola', 'escola-1', 'x@escola.example', 'pg-1', 'pg-1.example', 5432, 'verify-full', $4, 'escola_1', 'escola_1')";
            let query = sqlx::query(insert).bind(row.id.0).bind(row.school.0).bind(row.cluster.0).bind(&rds);
            query.execute(&mut conn).await.unwrap();
        }
        list.apply(&mut conn, next, None).await.unwrap();
    }
    let pool =
        PgPool::connect(&format!("{}?options=-csearch_path%3Dpg_catalog,registry,pg_temp", master.address("postgres"))).await.unwrap();
    let epoch = written(&pool, row).await.1;
    assert_eq!((epoch, read(&pool).await.len()), (0, 1), "filing what is there is no new route");
    // The former release's operator writes the column too, and compares it.
    let update = "UPDATE registry.tenants SET tls_ca = $1 || $1 WHERE id = $2";
    sqlx::query(update).bind(&rds).bind(row.id.0).execute(&mut conn).await.unwrap();
    assert_eq!((former(&mut conn).await, read(&pool).await[0].len()), (vec![Some(rds.repeat(2))], rds.len() * 2));
    let keyring = keyring();
    published(&pool, &verified_with(2, &rds), 2, &keyring).await;
    assert_eq!(former(&mut conn).await, [Some(rds.repeat(2)), Some(rds.clone())]);
    assert_eq!(publish(&pool, &verified_with(2, &rds), &keyring).await.unwrap(), Change::Unneeded);
    assert_eq!(clear_former_authorities(&pool).await.unwrap(), 0);

    let (first, second) = (written(&pool, row).await.1, written(&pool, tenant_ref(2)).await.1);
    execute(
        &mut conn,
        "CREATE OR REPLACE FUNCTION registry.keeps_former_authorities() RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false'",
    )
    .await;
    assert_eq!(clear_former_authorities(&pool).await.unwrap(), 2);
    assert_eq!((clear_former_authorities(&pool).await.unwrap(), former(&mut conn).await), (0, vec![None, None]));
    assert_eq!((written(&pool, row).await.1, written(&pool, tenant_ref(2)).await.1), (first, second), "connections are closed for nothing");
    assert_eq!((read(&pool).await.len(), stored(&pool).await), (2, (0, 2)));
    assert_eq!(publish(&pool, &verified_with(2, &rds), &keyring).await.unwrap(), Change::Unneeded);

    // Before an API of the former release comes back: the statements of docs/changing/schema.md.
    let docs = include_str!("../../../../docs/changing/schema.md");
    let statements = docs.split("```sql\n").find(|block| block.starts_with("CREATE OR REPLACE FUNCTION registry.keeps_former")).unwrap();
    sqlx::raw_sql(statements.split("```").next().unwrap()).execute(&mut conn).await.unwrap();
    assert_eq!(former(&mut conn).await, [Some(rds.repeat(2)), Some(rds.clone())]);
    assert_eq!(clear_former_authorities(&pool).await.unwrap(), 0);
}
