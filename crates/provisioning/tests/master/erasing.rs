//! What is personal leaves the master database with its school, and stays while the school may come back.

use domain::tenant::{InactiveState, Person, Profile};
use postgres::schema::Migrations;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{Change, Publication, Reservation, publish, reserve, set_state};
use provisioning::master::users::{create_admin, create_platform_admin, remove_platform_admin};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use testing::master::{EVERYWHERE, tables_with};

use crate::fixtures::{DATABASE, Master, publication, refusal, registry, reservation, tenant_ref};

/// Begins everything personal of the school under test, and nothing else.
const CANARY: &str = "canary";
/// The same of another school and of the platform's staff.
const NEIGHBOUR: &str = "neighbour";

/// A served school with its profile, an administrator, and accounts of each kind: in use, removed, with a session and with a remembered request.
async fn school(pool: &PgPool, n: u128, code: &str, prefix: &str) {
    let keyring = Keyring::parse(&Keyring::generate_file("k1").unwrap()).unwrap();
    let profile =
        Profile { name: format!("{prefix} school"), email: format!("{prefix}@office.example"), phone_number: Some(format!("{prefix} 21")) };
    reserve(pool, &Reservation { profile: profile.clone(), ..reservation(n, code) }).await.unwrap();
    publish(pool, &Publication { profile, ..publication(n, code) }, &keyring).await.unwrap();
    let ana = Person { name: format!("{prefix} Ana"), email: format!("{prefix}.ana@{code}.example") };
    create_admin(pool, tenant_ref(n), &ana, &format!("${prefix}$")).await.unwrap();
    let accounts = format!(
        "INSERT INTO registry.users (tenant_id, name, email, phone_number, password_hash, role)
         SELECT '{id}', '{prefix} ' || role || n, '{prefix}.' || role || n || '@{code}.example', '{prefix} 91', '${prefix}$', role
         FROM unnest(ARRAY['Teacher', 'HealthStaff', 'Guardian', 'ReadOnly']) AS role, generate_series(1, 50) AS n;
         SELECT registry.erase_accounts(ARRAY(SELECT id FROM registry.users WHERE tenant_id = '{id}' AND name LIKE '%1'));
         INSERT INTO registry.refresh_tokens (family, user_id, current, salt, expires_at, ends_at)
         SELECT gen_random_uuid(), id, sha256('a'), sha256('b'), now(), now() FROM registry.users WHERE tenant_id = '{id}' AND NOT is_deleted;
         INSERT INTO registry.account_keys (tenant_id, user_id, key, request_hash, account_id)
         SELECT tenant_id, id, '{prefix} ' || id, sha256(name::bytea), id FROM registry.users WHERE tenant_id = '{id}';",
        id = tenant_ref(n).id,
    );
    sqlx::raw_sql(AssertSqlSafe(accounts)).execute(pool).await.unwrap();
}

async fn count(pool: &PgPool, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_deleted_school_leaves_nothing_personal_in_the_whole_master_database() {
    for (version, admin) in EVERYWHERE {
        let master = Master::start(version, admin).await;
        let pool = master.bootstrap().await;
        school(&pool, 1, "norte", CANARY).await;
        school(&pool, 2, "sul", NEIGHBOUR).await;
        let root = Person { name: format!("{NEIGHBOUR} Root"), email: format!("{NEIGHBOUR}@platform.example") };
        create_platform_admin(&mut pool.acquire().await.unwrap(), &root, "$h$").await.unwrap().unwrap();
        let mut superuser = master.superuser(DATABASE).await;
        // The planner's statistics hold samples of what a table holds.
        sqlx::raw_sql("ANALYZE").execute(&mut superuser).await.unwrap();
        let rows = format!("SELECT count(*) FROM registry.users u WHERE u::text LIKE '%{NEIGHBOUR}%'");
        let neighbours = count(&pool, &rows).await;
        let before = tables_with(&mut superuser, CANARY).await;
        assert_eq!(before, ["registry.account_keys", "registry.tenants", "registry.users"]);

        assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Deleted).await.unwrap(), Change::Made);
        assert_eq!(tables_with(&mut superuser, CANARY).await, Vec::<String>::new());
        assert_eq!(count(&pool, "SELECT count(*) FROM registry.tenants WHERE code = 'norte' AND school_name = 'school-1'").await, 1);
        let accounts = format!("SELECT count(*) FROM registry.users WHERE tenant_id = '{}'", tenant_ref(1).id);
        assert_eq!(count(&pool, &accounts).await, 201, "audits name their ids");
        assert_eq!(count(&pool, &format!("{accounts} AND (is_active OR NOT is_deleted OR password_hash <> '!')")).await, 0);
        assert_eq!(count(&pool, &rows).await, neighbours, "another's account was touched");
        assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Deleted).await.unwrap(), Change::Unneeded);
    }
}

#[tokio::test]
async fn a_retained_school_keeps_its_accounts_because_it_may_come_back() {
    let (master, pool) = registry().await;
    school(&pool, 1, "norte", CANARY).await;
    let rows = "SELECT count(*) FROM registry.users WHERE NOT is_deleted AND is_active AND password_hash = '$canary$'";
    let before = count(&pool, rows).await;
    for state in [InactiveState::Suspended, InactiveState::Retained] {
        set_state(&pool, tenant_ref(1), state).await.unwrap();
        assert_eq!(count(&pool, rows).await, before);
    }
    // As the runbook drops a retained school by hand.
    let by_hand =
        "SELECT registry.delete_tenant(id, school_uid, cluster_uid) FROM registry.tenants WHERE code = 'norte' AND state = 'retained'";
    assert!(sqlx::query_scalar::<_, bool>(by_hand).fetch_one(&pool).await.unwrap());
    assert_eq!(tables_with(&mut master.superuser(DATABASE).await, CANARY).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_account_made_while_its_school_is_deleted_is_refused_or_erased() {
    let (master, pool) = registry().await;
    school(&pool, 1, "norte", CANARY).await;
    let insert = "INSERT INTO registry.users (tenant_id, name, email, password_hash, role)
        SELECT id, 'canary', 'canary@late.example', 'x', 'Teacher' FROM registry.tenants";
    // Made before the deletion and committed while it runs: the deletion waits for it.
    let mut making = pool.begin().await.unwrap();
    sqlx::raw_sql(insert).execute(&mut *making).await.unwrap();
    let deleting = tokio::spawn({
        let pool = pool.clone();
        async move { set_state(&pool, tenant_ref(1), InactiveState::Deleted).await.unwrap() }
    });
    let mut superuser = master.superuser(DATABASE).await;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut superuser).await.unwrap() {
        tokio::task::yield_now().await;
    }
    making.commit().await.unwrap();
    assert_eq!(deleting.await.unwrap(), Change::Made);
    assert_eq!(tables_with(&mut superuser, CANARY).await, Vec::<String>::new());
    // Made after it.
    assert_eq!(refusal(&mut superuser, insert).await.as_deref(), Some("23503"));
}

#[tokio::test]
async fn what_was_deleted_and_removed_before_the_erasure_was_written_is_erased_by_its_migration() {
    let master = Master::start(testing::Version::V18, testing::master::Admin::Superuser).await;
    let mut conn = master.superuser("postgres").await;
    let roles = "CREATE ROLE dailycare_operator; CREATE ROLE dailycare_api; ALTER DATABASE postgres OWNER TO dailycare_operator; SET ROLE dailycare_operator";
    sqlx::raw_sql(roles).execute(&mut conn).await.unwrap();
    let list = Migrations::master().unwrap();
    while let Some(next) = list.next_after(list.applied(&mut conn).await.unwrap()) {
        if next.name == "erasing" {
            let rows = "
                INSERT INTO registry.tenants (name, code, email, phone_number, state, is_deleted, school_uid)
                VALUES ('canary', 'norte', 'canary@x', 'canary', 'deleted', true, gen_random_uuid());
                INSERT INTO registry.tenants (name, code, email) VALUES ('neighbour', 'sul', 'neighbour@x');
                INSERT INTO registry.users (tenant_id, name, email, password_hash, role, is_deleted)
                SELECT id, CASE WHEN is_deleted THEN 'canary' ELSE 'neighbour' END, 'canary' || gone || code || '@x', 'canary', 'Teacher', gone
                FROM registry.tenants, unnest(ARRAY[true, is_deleted]) AS gone;
                INSERT INTO registry.users (name, email, password_hash, role, is_deleted) VALUES ('Root', 'canary@x', 'canary', 'PlatformAdmin', true);
                UPDATE registry.users SET email = 'neighbour@x', password_hash = 'neighbour' WHERE name = 'neighbour' AND NOT is_deleted;
                UPDATE registry.users SET email = id || '@removed.invalid', password_hash = '!' WHERE name = 'neighbour' AND is_deleted;";
            sqlx::raw_sql("RESET ROLE; ANALYZE; SET ROLE dailycare_operator").execute(&mut conn).await.unwrap();
            sqlx::raw_sql(rows).execute(&mut conn).await.unwrap();
            sqlx::raw_sql("RESET ROLE; ANALYZE; SET ROLE dailycare_operator").execute(&mut conn).await.unwrap();
        }
        list.apply(&mut conn, next, None).await.unwrap();
    }
    sqlx::raw_sql("RESET ROLE").execute(&mut conn).await.unwrap();
    assert_eq!(tables_with(&mut conn, CANARY).await, Vec::<String>::new());
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM registry.users WHERE name IN ('neighbour', 'Root')").fetch_one(&mut conn).await.unwrap();
    assert_eq!(kept, 3);
}

#[tokio::test]
async fn a_removed_member_of_the_platforms_staff_leaves_a_name_and_no_address() {
    let (master, pool) = registry().await;
    let root = Person { name: "Root".into(), email: "canary@platform.example".into() };
    let mut conn = pool.acquire().await.unwrap();
    create_platform_admin(&mut conn, &root, "$canary$").await.unwrap().unwrap();
    assert!(remove_platform_admin(&mut conn, "CANARY@platform.example").await.unwrap().is_some());
    assert!(remove_platform_admin(&mut conn, "canary@platform.example").await.unwrap().is_none());
    assert_eq!(tables_with(&mut master.superuser(DATABASE).await, CANARY).await, Vec::<String>::new());
    assert_eq!(count(&pool, "SELECT count(*) FROM registry.users WHERE name = 'Root' AND is_deleted AND NOT is_active").await, 1);
    assert_eq!(count(&pool, "SELECT count(*) FROM registry.access_audit WHERE action = 'platform:remove_admin'").await, 1);
}
