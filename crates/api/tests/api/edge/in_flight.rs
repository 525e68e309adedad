//! What counts as a request in flight, and which request is repeated.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::edge::{Limits, Settings};
use testing::until;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::fixture::{Client, LARGE, Running, SHORT, TENANT, limits, send_request, start, start_with};

#[tokio::test]
async fn a_read_on_a_stale_route_is_repeated_once_and_a_write_never() {
    for (method, path, status, calls) in
        [("GET", "/stale", 200, 1), ("HEAD", "/stale", 200, 1), ("POST", "/stale", 503, 1), ("GET", "/always-stale", 503, 2)]
    {
        let running = start().await;
        let answer = send_request(&running, method, path, "").await;
        assert_eq!((answer.status, running.stage.calls.load(Ordering::SeqCst)), (status, calls), "{method} {path}");
    }
}

#[tokio::test]
async fn an_answer_is_in_flight_until_its_last_byte_was_taken() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // Its first byte is here, so the handler is done.
    client.0.fill_buf().await.unwrap();
    assert_eq!(send_request(&running, "GET", "/large", "").await.code(), "TOO_MANY_REQUESTS");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    until_admitted(&running).await;
}

#[tokio::test]
async fn an_answer_not_read_whole_in_time_is_given_up_even_if_it_is_read_slowly() {
    let running = start_with(Settings::default(), Limits { answer_timeout: SHORT, ..limits() }).await;
    let mut client = Client::new(&running).await;
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.0.fill_buf().await.unwrap();
    let trickle = async {
        while client.0.read(&mut [0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = until_admitted(&running) => {}
        () = trickle => {}
    }
}

/// Until the school's one place is free.
async fn until_admitted(running: &Running) {
    until("the place is given back", async || running.stage.tenants.admit(TENANT, uuid::Uuid::nil()).is_ok()).await;
}

#[tokio::test]
async fn a_read_that_is_repeated_on_a_fresh_route_is_one_request_of_its_school() {
    let running = start().await;
    let answer = send_request(&running, "GET", "/stale-place", "").await;
    assert_eq!((answer.status, running.stage.calls.load(Ordering::SeqCst)), (200, 1));
}
