//! The API's faults of the project's catalogue (F100–F125) over HTTP; `docs/faults.md` says which tests show the others.

use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use testing::{Redis, Version};
use tokio::time::timeout;
use uuid::Uuid;

use crate::until::until;
use crate::world::{Answer, Client, PASSWORD, School, World, cached_in, connections, usual, world};

const LONG: Duration = Duration::from_mins(1);
const MASTER: &str = "dailycare_master";

async fn superuser(world: &World, database: &str) -> PgConnection {
    PgConnection::connect(&world.platform.server.superuser_url(database)).await.unwrap()
}

/// Runs statements one by one, as some may not share a transaction.
async fn run(conn: &mut PgConnection, statements: &[String]) {
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *conn).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Nobody may enter the database from now on, and nobody is in it.
fn bar(database: &str) -> [String; 2] {
    [
        format!("ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'"),
    ]
}

fn unbar(database: &str) -> [String; 1] {
    [format!("ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS true")]
}

fn database(school: &School) -> String {
    school.school.objects.database.to_string()
}

/// A 503 that says when to come back, and nothing about where.
fn unavailable(world: &World, school: &School, answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    tells_nothing(world, school, answer);
}

/// No SQL, host, port, database, login or secret.
fn tells_nothing(world: &World, school: &School, answer: &Answer) {
    let text = answer.body.to_string().to_lowercase();
    let (database, login, port) = (database(school), school.school.objects.login.to_string(), world.platform.server.port().to_string());
    for word in [
        "select",
        "insert",
        "sqlx",
        "postgres",
        "sqlstate",
        "relation",
        "password",
        "127.0.0.1",
        MASTER,
        "api_login",
        PASSWORD,
        &database,
        &login,
        &port,
    ] {
        // A request's id is random hexadecimal digits, which may hold a port's.
        assert!(
            !answer.body["error"]["message"].to_string().to_lowercase().contains(word) && (*word == port || !text.contains(word)),
            "{word}: {text}"
        );
    }
}

async fn name(conn: &Client, child: &str) -> Answer {
    conn.post("/children", json!({ "full_name": child })).await
}

#[tokio::test]
async fn a_header_that_names_another_school_is_refused_and_recorded_with_the_platform() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let ana = north.user("SchoolAdmin").await;
    assert_eq!(ana.header("x-tenant-id", "sul").get("/children").await.code(), "TENANT_MISMATCH");
    let mut master = superuser(&world, MASTER).await;
    let count = "SELECT count(*) FROM registry.access_audit WHERE user_id = $1 AND action = 'children:read' AND NOT success";
    until("the record", async || sqlx::query_scalar::<_, i64>(count).bind(ana.user).fetch_one(&mut master).await.unwrap() == 1).await;
    for school in [&north, &south] {
        assert_eq!(
            school.ask::<i64>("SELECT count(*) FROM app.access_audit WHERE NOT success").await,
            0,
            "no school learns that others were named"
        );
    }
}

#[tokio::test]
async fn who_has_no_token_leaves_a_few_records_however_often_they_ask() {
    const OFTEN: i64 = 60;
    let world = world().await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    let nobody = Client::with_token(world.api.address, "x", Uuid::nil());
    for _ in 0..OFTEN {
        assert_eq!(nobody.get("/children").await.code(), "UNAUTHENTICATED");
    }
    assert_eq!(ana.header("x-tenant-id", "sul").get("/children").await.code(), "TENANT_MISMATCH");
    let mut master = superuser(&world, MASTER).await;
    let mut told = async |action: &'static str| {
        let count = "SELECT count(*) FROM registry.access_audit WHERE action = $1 AND NOT success";
        sqlx::query_scalar::<_, i64>(count).bind(action).fetch_one(&mut master).await.unwrap()
    };
    // Asked last, so written last.
    until("the refusal of a user", async || told("children:read").await == 1).await;
    assert!((1..OFTEN).contains(&told("auth:verify").await), "as many rows as somebody cares to ask for");
    let metrics = reqwest::get(format!("http://{}/metrics", world.api.http_address)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"dailycare_api_audit_unrecorded_total{reason="address"}"#), "{metrics}");
}

#[tokio::test]
async fn a_school_is_named_by_its_token_and_by_one_canonical_header_at_most() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let ana = north.user("SchoolAdmin").await;
    let id = north.id().to_string();
    assert_eq!(ana.anonymous().header("x-tenant-id", &id).get("/children").await.code(), "UNAUTHENTICATED", "a header alone is nobody");
    let twice = ana.header("x-tenant-id", &id);
    assert_eq!(twice.header("x-tenant-id", &id).get("/children").await.status, 400);
    assert_eq!(twice.header("x-tenant-id", &south.id().to_string()).get("/children").await.status, 400);
    let encoded = format!("%{:02x}{}", id.as_bytes()[0], &id[1..]);
    let malformed = [format!("{id},{id}"), format!("{id}, sul"), "NORTE".into(), "nor te".into(), encoded, String::new()];
    for value in malformed {
        let answer = ana.header("x-tenant-id", &value).get("/children").await;
        assert_eq!((answer.status, answer.code()), (400, "INVALID_TENANT"), "{value:?}");
    }
    let south_id = south.id().to_string();
    for name in ["x-forwarded-tenant", "x-forwarded-tenant-id", "x-forwarded-host", "forwarded", "x-original-tenant-id"] {
        assert_eq!(ana.header(name, &south_id).get("/children").await.status, 200, "{name} is nobody's word");
    }
}

#[tokio::test]
async fn an_unknown_school_and_a_malformed_one_are_told_the_same() {
    let world = world().await;
    let north = world.school("norte").await;
    let signer = crate::torture::tokens::Signer::new(&world.signing_keys());
    let ana = north.user("SchoolAdmin").await;
    let stranger = Client::with_token(world.api.address, &signer.token(ana.user, Some(Uuid::from_u128(9)), "SchoolAdmin"), ana.user);
    let (unknown, malformed) = (stranger.get("/children").await, ana.header("x-tenant-id", "%").get("/children").await);
    let told = |answer: &Answer| {
        let mut body = answer.body.clone();
        body["error"]["request_id"].take();
        (answer.status, body)
    };
    assert_eq!(told(&unknown), told(&malformed));
    assert_eq!(unknown.body["error"]["message"], "Tenant inválido ou não encontrado", "the seed's words");
}

#[tokio::test]
async fn a_suspended_school_is_refused_on_connections_that_were_open_before() {
    let redis = Redis::start(&[]).await.unwrap();
    let world = World::start(Version::V18, cached_in(&redis.url())).await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    assert!(join_all((0..8).map(|_| ana.get("/children"))).await.iter().all(|answer| answer.status == 200));
    world.platform.suspend(&north.school).await.unwrap();
    until("the refusal", async || ana.get("/children").await.status == 403).await;
    let answers = join_all((0..20).map(|_| ana.get("/children"))).await;
    assert!(answers.iter().all(|answer| answer.code() == "TENANT_SUSPENDED"));
    let mut conn = superuser(&world, "postgres").await;
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", north.school.objects.login);
    until("the end of its sessions", async || {
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(sessions.clone())).fetch_one(&mut conn).await.unwrap() == 0
    })
    .await;
    world.platform.resume(&north.school).await.unwrap();
    until("the school's return", async || ana.get("/children").await.status == 200).await;
}

#[tokio::test]
async fn a_rotated_password_costs_no_caller_an_error() {
    let world = world().await;
    let mut north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    let child = name(&ana, "Rita").await.id();
    for _ in 0..5 {
        let (rotated, answers) = tokio::join!(world.platform.rotate(&mut north.school), join_all((0..8).map(|_| ana.get("/children"))));
        rotated.unwrap();
        for answer in answers.into_iter().chain([ana.get(&format!("/children/{child}")).await]) {
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        assert_eq!(name(&ana, "Rui").await.status, 201);
    }
    assert_eq!(north.ask::<i64>("SELECT count(*) FROM app.children").await, 6);
}

#[tokio::test]
async fn a_school_that_moved_unannounced_is_found_by_the_request_that_its_old_place_refuses() {
    let world = world().await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    let child = name(&ana, "Rita").await.id();
    let (mut conn, mut master) = (superuser(&world, "postgres").await, superuser(&world, MASTER).await);
    let old = database(&north);
    run(&mut master, &["ALTER TABLE registry.tenants DISABLE TRIGGER tenants_announce_change".into()]).await;
    run(&mut conn, &bar(&old)).await;
    run(&mut conn, &[format!("ALTER DATABASE \"{old}\" RENAME TO moved")]).await;
    run(&mut conn, &unbar("moved")).await;
    run(&mut master, &[format!("UPDATE registry.tenants SET database_name = 'moved' WHERE id = '{}'", north.id())]).await;
    let answer = ana.get(&format!("/children/{child}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(name(&ana, "Rui").await.status, 201);
}

#[tokio::test]
async fn a_school_whose_database_is_away_is_503_alone_and_readiness_stays() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (ana, rui) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    assert_eq!((ana.get("/children").await.status, rui.get("/children").await.status), (200, 200));
    let mut conn = superuser(&world, "postgres").await;
    run(&mut conn, &bar(&database(&north))).await;
    for _ in 0..20 {
        unavailable(&world, &north, &ana.get("/children").await);
        unavailable(&world, &north, &name(&ana, "Rita").await);
        assert_eq!(rui.get("/children").await.status, 200);
    }
    let ready = reqwest::get(format!("http://{}/readyz", world.api.http_address)).await.unwrap();
    assert!(ready.status().is_success());
    run(&mut conn, &unbar(&database(&north))).await;
    until("the school's return", async || ana.get("/children").await.status == 200).await;
}

#[tokio::test]
async fn a_noisy_school_is_told_to_wait_and_no_other_waits_for_it() {
    let world = World::start(Version::V18, |settings| {
        connections(settings, 2);
        settings.pools.wait = Duration::from_millis(250);
    })
    .await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (ana, rui) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    assert_eq!((ana.get("/children").await.status, rui.get("/children").await.status), (200, 200));
    let mut lock = world.platform.superuser(&north.school).await.unwrap();
    run(&mut lock, &["BEGIN".into(), "LOCK TABLE app.children".into()]).await;
    let noise: Vec<_> = (0..60)
        .map(|_| {
            tokio::spawn({
                let ana = ana.clone();
                async move { ana.get("/children").await }
            })
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(rui.get("/children").await.status, 200);
    }
    until("the refusals", async || noise.iter().filter(|asked| asked.is_finished()).count() >= 58).await;
    run(&mut lock, &["COMMIT".into()]).await;
    let answers: Vec<Answer> = join_all(noise).await.into_iter().map(Result::unwrap).collect();
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((1..=2).contains(&served), "{served} had its two connections");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(matches!(answer.code(), "TOO_MANY_REQUESTS" | "POOL_EXHAUSTED"), "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
        tells_nothing(&world, &north, answer);
    }
}

#[tokio::test]
async fn a_school_that_asks_faster_than_its_rate_is_told_when_to_come_back_and_no_other_is() {
    let world = World::start(Version::V18, |settings| {
        settings.quota.rate = NonZeroU32::MIN;
        settings.quota.burst = NonZeroU32::new(5).unwrap();
    })
    .await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (ana, rui) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    // However slow the machine, fifty requests are faster than one a second.
    let mut refused = None;
    for _ in 0..50 {
        let answer = ana.get("/settings").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), "TOO_MANY_REQUESTS");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(rui.get("/settings").await.status, 200);
    until("a place", async || ana.get("/settings").await.status == 200).await;
}

#[tokio::test]
async fn no_text_of_a_caller_is_ever_sql() {
    let world = world().await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    let child = name(&ana, "Rita").await;
    let corpus = [
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        ";",
        "--",
        "/*",
        "' OR '1'='1",
        "' OR 1=1 --",
        "1; DROP TABLE app.children",
        "'; DROP TABLE app.children; --",
        "') OR ('1'='1",
        "' UNION SELECT null, null --",
        "1 AND 1=1",
        "' AND pg_sleep(9) --",
        "'||(SELECT current_user)||'",
        "$1",
        "$$",
        "$tag$",
        "%27",
        "%",
        "_",
        "\u{0}",
        "\u{feff}",
        "ʼ",
        "＇",
        "\u{202e}",
        ":*",
        "a:*",
        "a & b",
        "!a",
        "(a",
        "a <-> b",
        "{}",
        "{user}",
        "NULL",
        "E'\\x27'",
        "U&'\\0027'",
        "x\r\nSET-COOKIE: a",
        "\u{1F600}",
    ];
    for text in corpus {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for path in [
            "/children?name=",
            "/children?class_id=",
            "/children?guardian_id=",
            "/children?after=",
            "/children?limit=",
            "/children?",
            "/children/",
        ] {
            let answer = ana.get(&format!("{path}{encoded}")).await;
            assert!(answer.status < 500, "{path}{text:?}: {}", answer.body);
            assert!(answer.status != 200 || path != "/children/", "{text:?}");
        }
        for (field, most) in [("full_name", 201), ("notes", 201), ("nationality", 422), ("birth_date", 422), ("id", 422)] {
            let answer = ana.post("/children", json!({ "full_name": "Inês", field: text })).await;
            assert!(answer.status == 422 || answer.status == most, "{field} {text:?}: {}", answer.body);
            if answer.status == 201 {
                assert_eq!(answer.data()[field], text, "kept as it was sent");
                assert_eq!(ana.delete(&format!("/children/{}", answer.id()), "*").await.status, 204);
            }
        }
    }
    assert_eq!(ana.get("/children").await.data().as_array().unwrap().len(), 1);
    assert_eq!(ana.get(&format!("/children/{}", child.id())).await.data(), child.data());
}

#[tokio::test]
async fn a_client_that_goes_away_in_its_transaction_leaves_nothing_behind() {
    let world = World::start(Version::V18, |settings| connections(settings, 1)).await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    assert_eq!(ana.get("/children").await.status, 200);
    let mut lock = world.platform.superuser(&north.school).await.unwrap();
    run(&mut lock, &["BEGIN".into(), "LOCK TABLE app.access_audit IN EXCLUSIVE MODE".into()]).await;
    // The child is written, and its record waits for the lock.
    let asking = tokio::spawn({
        let ana = ana.clone();
        async move { ana.post_keyed("/children", "k-1", json!({ "full_name": "Rita" })).await }
    });
    let mut conn = superuser(&world, "postgres").await;
    let waits = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock' AND backend_xid IS NOT NULL)",
        north.school.objects.login
    );
    until("the transaction", async || sqlx::query_scalar::<_, bool>(AssertSqlSafe(waits.clone())).fetch_one(&mut conn).await.unwrap())
        .await;
    asking.abort();
    let _ = asking.await;
    run(&mut lock, &["COMMIT".into()]).await;
    until("a free connection", async || ana.get("/children").await.status == 200).await;
    assert_eq!(north.ask::<i64>("SELECT count(*) FROM app.children").await, 0);
    let again = ana.post_keyed("/children", "k-1", json!({ "full_name": "Rita" })).await;
    assert_eq!((again.status, north.ask::<i64>("SELECT count(*) FROM app.children").await), (201, 1));
}

#[tokio::test]
async fn without_the_master_database_schools_are_served_nobody_logs_in_and_who_starts_waits() {
    let world = world().await;
    let north = world.school("norte").await;
    let (email, _) = north.account("SchoolAdmin").await;
    let ana = north.user("SchoolAdmin").await;
    assert_eq!(ana.get("/children").await.status, 200);
    let mut conn = superuser(&world, "postgres").await;
    run(&mut conn, &bar(MASTER)).await;
    let late = world.replica(usual);
    let log_in = async || ana.anonymous().post("/auth/login", json!({ "email": email, "password": PASSWORD })).await;
    let meanwhile = async {
        for _ in 0..10 {
            assert_eq!((ana.get("/children").await.status, name(&ana, "Rita").await.status), (200, 201));
        }
        unavailable(&world, &north, &log_in().await);
    };
    tokio::pin!(late);
    tokio::select! {
        _ = &mut late => panic!("ready without a registry"),
        () = meanwhile => {}
    }
    run(&mut conn, &unbar(MASTER)).await;
    let replica = timeout(LONG, late).await.unwrap();
    assert_eq!(ana.at(&replica).get("/children").await.data().as_array().unwrap().len(), 10);
    until("logins", async || log_in().await.status == 200).await;
}

#[tokio::test]
async fn redis_may_freeze_die_or_be_emptied_and_no_caller_sees_it() {
    let mut redis = Redis::start(&[]).await.unwrap();
    let world = World::start(Version::V18, cached_in(&redis.url())).await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let served = async || {
        // Somebody new each time, whom no memory of the process knows.
        let reader = south.user("ReadOnly").await;
        assert_eq!((reader.get("/children").await.status, name(&reader, "Rita").await.code()), (200, "FORBIDDEN"));
    };
    served().await;
    redis.pause().unwrap();
    served().await;
    world.platform.suspend(&north.school).await.unwrap();
    served().await;
    redis.resume().unwrap();
    redis.kill().await.unwrap();
    served().await;
    redis.start_again().await.unwrap();
    served().await;
}
