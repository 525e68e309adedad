//! A school that is suspended, moved, given a new password, or away.

use api_testing::{World, cached_in, world};
use futures::future::join_all;
use registry::refusals;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgListener;
use testing::{Redis, Version, until};

use super::fixture::{MASTER, bar, database, name, run, superuser, unavailable, unbar};

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
    assert_eq!(north.scalar::<i64>("SELECT count(*) FROM app.children").await, 6);
}

#[tokio::test]
async fn a_login_that_postgresql_refuses_is_told_to_the_operator_once_in_a_while() {
    let world = world().await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    assert_eq!(ana.get("/children").await.status, 200);
    let mut listener = PgListener::connect(&world.platform.server.superuser_url(MASTER)).await.unwrap();
    listener.listen(refusals::CHANNEL).await.unwrap();
    let mut conn = superuser(&world, "postgres").await;
    let login = &north.school.objects.login;
    let end = format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{login}'");
    run(&mut conn, &[format!("ALTER ROLE {login} PASSWORD 'changed by a colleague 1'"), end]).await;
    until("the refusal", async || ana.get("/children").await.status == 503).await;
    assert_eq!(listener.recv().await.unwrap().payload(), north.id().to_string());
    for _ in 0..5 {
        assert_eq!(ana.get("/children").await.status, 503);
    }
    run(&mut superuser(&world, MASTER).await, &[format!("NOTIFY {}, 'the end'", refusals::CHANNEL)]).await;
    assert_eq!(listener.recv().await.unwrap().payload(), "the end", "every request tells the operator");
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
