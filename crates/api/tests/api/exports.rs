//! Exports are large and may be read slowly: few are in memory at a time.

use api::school::privacy::export::AT_A_TIME;
use api_testing::world;
use serde_json::json;
use testing::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

#[tokio::test]
async fn exports_that_nobody_reads_take_the_places_of_others_only_while_they_last() {
    let world = world().await;
    let north = world.school("norte").await;
    let admin = north.user("SchoolAdmin").await;
    let child = admin.post("/children", json!({ "full_name": "Inês" })).await.id();
    // More than the system's buffers take.
    let rows = "INSERT INTO app.activities (child_id, kind, notes, started_at, visible_to_guardians)
        SELECT '{child}', 'observation', repeat('x', 4000), now() - n * interval '1 minute', true FROM generate_series(1, 4500) n";
    north.sql(&rows.replace("{child}", &child)).await;

    let mut unread = Vec::new();
    for _ in 0..AT_A_TIME {
        let mut socket = TcpStream::connect(world.api.address).await.unwrap();
        let request = format!("GET /api/v1/children/{child}/export HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", admin.token);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 15];
        socket.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200 OK");
        unread.push(socket);
    }
    // No child's, so that there is nothing to be sent.
    let nobodys = format!("/children/{}/export", Uuid::new_v4());
    let refused = admin.get(&nobodys).await;
    assert_eq!((refused.code(), refused.headers["retry-after"].to_str().unwrap()), ("TOO_MANY_REQUESTS", "5"));
    admin.get("/children").await.data();
    drop(unread);
    until("the places are given back", async || admin.get(&nobodys).await.code() == "NOT_FOUND").await;
}
