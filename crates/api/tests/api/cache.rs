//! What the API keeps in Redis, and when it invalidates it. `crates/tenancy` tests the cache itself.

use api_testing::{METRICS, World, cached_in};
use domain::names::TenantId;
use redis::{Client, cmd};
use serde_json::json;
use testing::{Redis, Version, until};

#[tokio::test]
async fn what_somebody_may_do_is_never_in_redis() {
    let redis = Redis::start(&[]).await.unwrap();
    let world = World::start(Version::V18, cached_in(&redis.url())).await;
    let school = world.school("norte").await;
    let (admin, teacher) = (school.user("SchoolAdmin").await, school.user("Teacher").await);
    for path in ["/settings", "/classes", "/children"] {
        assert_eq!((admin.get(path).await.status, teacher.get(path).await.status), (200, 200), "{path}");
    }
    let tenant = TenantId(school.id());
    let place = |key: &str| format!("tenant:{tenant}:{key}");
    let mut conn = Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut keys: Vec<String> = cmd("KEYS").arg("*").query_async(&mut conn).await.unwrap();
    keys.sort();
    assert_eq!(keys, ["#generation", "classes", "classes#stamp", "settings", "settings#stamp"].map(place));
}

#[tokio::test]
async fn what_a_write_outdates_is_forgotten_also_when_its_caller_hangs_up_during_the_commit() {
    let redis = Redis::start(&[]).await.unwrap();
    let world = World::start(Version::V18, cached_in(&redis.url())).await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    // Its commit waits for a lock that the test holds.
    let slow = "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END';
                GRANT EXECUTE ON FUNCTION app.slow() TO PUBLIC;
                CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON app.settings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.slow()";
    school.sql(slow).await;
    let listed = async || {
        let all = admin.get("/settings").await;
        all.data().as_array().unwrap().iter().find(|row| row["key"] == "school.locale").unwrap()["value"].clone()
    };
    assert_eq!(listed().await, "pt-PT");
    let mut lock_owner = world.platform.superuser(&school.school).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut lock_owner).await.unwrap();
    let caller = admin.clone();
    let put = tokio::spawn(async move { caller.put("/settings/school.locale", Some("*"), json!({ "value": "en" })).await });
    let waiting =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND wait_event = 'advisory')";
    until("the commit", async || school.scalar::<bool>(waiting).await).await;
    put.abort();
    let given_up = format!("dailycare_tenant_requests_total{{tenant=\"{}\",class=\"aborted\"}} 1", school.id());
    until("the end of the request", async || METRICS.render().contains(&given_up)).await;
    drop(lock_owner);
    until("the new value", async || listed().await == "en").await;
    // The transaction and the caller's departure both report it. It is recorded once, because the change is kept.
    let audited = "SELECT array_agg(success) FROM app.access_audit WHERE action = 'settings:update'";
    assert_eq!(school.scalar::<Vec<bool>>(audited).await, [true]);
}
