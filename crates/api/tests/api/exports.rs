//! Exports are large and may be read slowly: few are in memory at a time, and no school keeps another from making its own.

use api_testing::{Client, World, world};
use serde_json::json;
use tenancy::limits::ExportLimits;
use testing::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

/// An export that has begun to arrive and is not read any further.
async fn unread(world: &World, client: &Client, child: &str) -> TcpStream {
    let mut socket = TcpStream::connect(world.api.address).await.unwrap();
    let request = format!("GET /api/v1/children/{child}/export HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", client.token);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 15];
    socket.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
    socket
}

#[tokio::test]
async fn exports_that_nobody_reads_take_their_own_schools_places_while_they_last_and_no_other_schools() {
    let world = world().await;
    let ExportLimits { memory, each, school } = ExportLimits::default();
    let mut unread_of = Vec::new();
    // More than the system's buffers take; and together more exports than could be made at once.
    let rows = "INSERT INTO app.activities (child_id, kind, notes, started_at, visible_to_guardians)
        SELECT '{child}', 'observation', repeat('x', 4000), now() - n * interval '1 minute', true FROM generate_series(1, 4500) n";
    for code in ["norte", "sul", "este"] {
        let of = world.school(code).await;
        let admin = of.user("SchoolAdmin").await;
        let child = admin.post("/children", json!({ "full_name": "Inês" })).await.id();
        of.sql(&rows.replace("{child}", &child)).await;
        for _ in 0..school {
            unread_of.push(unread(&world, &admin, &child).await);
        }
        // No child's, so that there is nothing to be sent.
        let nobodys = format!("/children/{}/export", Uuid::new_v4());
        let refused = admin.get(&nobodys).await;
        assert_eq!((refused.code(), refused.headers["retry-after"].to_str().unwrap()), ("TOO_MANY_REQUESTS", "5"));
        admin.get("/children").await.data();
        if code == "este" {
            assert!(unread_of.len() > usize::try_from(memory / each).unwrap());
            unread_of.clear();
            until("the places are given back", async || admin.get(&nobodys).await.code() == "NOT_FOUND").await;
        }
    }
}
