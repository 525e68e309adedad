//! A stop in order: readiness, grace, drain.

use api::edge::{Limits, Settings};
use telemetry::health::Phase;
use testing::until;
use tokio::net::TcpStream;

use super::fixture::{Client, LONG, SHORT, limits, send_request, start, start_with};

#[tokio::test]
async fn stopping_lets_a_running_request_end_and_takes_no_more() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    let mut idle = Client::new(&running).await;
    idle.send("GET /api/v1/ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.header("connection"), None);
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.stage.begun.acquire().await.unwrap().forget();
    running.stop.cancel();
    assert!(idle.is_hung_up().await);
    assert_eq!(running.limits.readiness.phase(), Phase::Stopping);
    assert!(TcpStream::connect(running.address).await.is_err());
    running.stage.go_on.add_permits(1);
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    drop(client);
    running.server.await.unwrap();
}

#[tokio::test]
async fn during_the_grace_new_connections_are_served_while_readiness_says_no() {
    let running = start_with(Settings::default(), Limits { grace: LONG, ..limits() }).await;
    running.limits.readiness.enter(Phase::Leading);
    running.stop.cancel();
    until("readiness ends", async || !running.limits.readiness.is_ready()).await;
    let answer = send_request(&running, "GET", "/api/v1/ok", "").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
}

#[tokio::test]
async fn a_request_that_does_not_end_by_itself_does_not_keep_the_process() {
    let running = start_with(Settings::default(), Limits { drain: SHORT, ..limits() }).await;
    let mut client = Client::new(&running).await;
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.stage.begun.acquire().await.unwrap().forget();
    running.stop.cancel();
    running.server.await.unwrap();
    running.stage.ended.acquire().await.unwrap().forget();
    assert!(client.is_hung_up().await);
}
