//! A master database that goes back in time under running replicas.

use api_testing::World;
use api_testing::usual;
use testing::{Version, until};

use super::fixture::{MASTER, bar, run, superuser, unbar};

#[tokio::test]
async fn after_the_master_database_was_restored_a_running_replica_says_what_the_registry_says() {
    let world = World::start(Version::V18, usual).await;
    let (mut north, south) = (world.school("norte").await, world.school("sul").await);
    let (ana, rui) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    let mut conn = superuser(&world, "postgres").await;
    run(&mut conn, &bar(MASTER)).await;
    run(&mut conn, &[format!("CREATE DATABASE backup TEMPLATE {MASTER} STRATEGY WAL_LOG")]).await;
    run(&mut conn, &unbar(MASTER)).await;
    for _ in 0..5 {
        world.platform.rotate(&mut north.school).await.unwrap();
    }
    until("the last password", async || ana.get("/children").await.status == 200).await;

    let restore = [format!("DROP DATABASE {MASTER} WITH (FORCE)"), format!("ALTER DATABASE backup RENAME TO {MASTER}")];
    run(&mut conn, &restore).await;
    // Both are changes with lower numbers than the replica knows.
    world.platform.rotate(&mut north.school).await.unwrap();
    until("the new password", async || ana.get("/children").await.status == 200).await;
    world.platform.suspend(&south.school).await.unwrap();
    until("the suspension", async || rui.get("/children").await.code() == "TENANT_SUSPENDED").await;
}
