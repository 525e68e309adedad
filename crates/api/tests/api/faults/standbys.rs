//! A primary that is a standby after a switch-over.

use api_testing::{World, usual};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use testing::{Version, until};

use super::fixture::name;

#[tokio::test]
async fn writes_to_a_demoted_primary_are_503_reads_go_on_and_after_the_promotion_writes_succeed_at_once() {
    let world = World::start(Version::V18, usual).await;
    let ana = world.school("norte").await.user("SchoolAdmin").await;
    assert_eq!(name(&ana, "Rita").await.status, 201);
    let (mut platform, _api) = world.into_parts();
    platform.server.stop().await.unwrap();
    std::fs::write(platform.server.log_path().with_file_name("data").join("standby.signal"), "").unwrap();
    platform.server.start_again().await.unwrap();
    until("reads", async || ana.get("/children").await.status == 200).await;
    for _ in 0..10 {
        let refused = name(&ana, "Rui").await;
        assert_eq!((refused.status, refused.code()), (503, "DATABASE_UNAVAILABLE"), "{}", refused.body);
        assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
        assert_eq!(ana.get("/children").await.status, 200);
    }
    let mut conn = PgConnection::connect(&platform.server.superuser_url("postgres")).await.unwrap();
    conn.execute("SELECT pg_promote()").await.unwrap();
    assert_eq!(name(&ana, "Rui").await.status, 201);
    assert_eq!(ana.get("/children").await.data().as_array().unwrap().len(), 2);
}
