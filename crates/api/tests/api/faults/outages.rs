//! The master database and Redis are down.

use api_testing::{PASSWORD, World, cached_in, usual, world};
use serde_json::json;
use testing::{Redis, Version, until};
use tokio::time::timeout;

use super::fixture::{LONG, MASTER, bar, name, run, superuser, unavailable, unbar};

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
