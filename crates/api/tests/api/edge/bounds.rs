//! Bounds of size and time on heads, bodies, handlers and connections.

use api::edge::{Limits, Settings};
use tokio::io::AsyncWriteExt as _;

use super::fixture::{Client, SHORT, limits, post_json, send_request, start, start_with};

#[tokio::test]
async fn a_body_may_be_one_mebibyte_and_no_more_however_it_is_sent() {
    let running = start().await;
    let (full, over) = ("x".repeat(1024 * 1024), "x".repeat(1024 * 1024 + 1));
    let announced = |body: &str| format!("Content-Length: {}\r\n", body.len());
    let chunked = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(post_json(&running, &announced(&full), &full).await.json()["data"], 1024 * 1024);
    assert_eq!(post_json(&running, "Transfer-Encoding: chunked\r\n", &chunked(&full)).await.json()["data"], 1024 * 1024);
    for answer in [
        post_json(&running, &announced(&over), &over).await,
        post_json(&running, "Transfer-Encoding: chunked\r\n", &chunked(&over)).await,
        post_json(&running, "Content-Length: 1073741824\r\n", "").await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    }
}

#[tokio::test]
async fn of_a_body_without_end_little_more_than_the_limit_is_taken() {
    let running = start().await;
    for path in ["/echo", "/nowhere"] {
        let mut client = Client::new(&running).await;
        let head = "HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("POST {path} {head}")).await;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let mut taken = 0_usize;
        while taken < 1024 * 1024 * 1024 && client.0.write_all(chunk.as_bytes()).await.is_ok() {
            taken += chunk.len();
        }
        assert!(taken < 64 * 1024 * 1024, "{path}: {taken}");
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let running = start().await;
    let many = |count: usize| (0..count).map(|i| format!("X-{i}: a\r\n")).collect::<Vec<_>>().concat();
    // Host is one of the 64.
    assert_eq!(send_request(&running, "GET", "/api/v1/ok", &many(63)).await.status, 200);
    for headers in [many(64), format!("X-Large: {}\r\n", "a".repeat(16 * 1024))] {
        let answer = send_request(&running, "GET", "/api/v1/ok", &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (431, "HEADERS_TOO_LARGE"));
    }
    for headers in [many(10_000), format!("X-Large: {}\r\n", "a".repeat(1024 * 1024))] {
        assert_eq!(send_request(&running, "GET", "/api/v1/ok", &headers).await.status, 431);
    }
    let answer = send_request(&running, "GET", &format!("/api/v1/ok?{}", "a".repeat(8 * 1024)), "").await;
    assert_eq!((answer.status, answer.code().as_str()), (414, "URI_TOO_LONG"));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_408() {
    let running = start_with(Settings::default(), Limits { head_timeout: SHORT, ..limits() }).await;
    let mut slow = Client::new(&running).await;
    slow.send("GET /api/v1/ok HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    assert_eq!(slow.answer().await.status, 408);
    assert!(slow.is_hung_up().await);
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed() {
    let running = start_with(Settings::default(), Limits { idle_timeout: SHORT, ..limits() }).await;
    let mut idle = Client::new(&running).await;
    idle.send("GET /api/v1/ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    assert!(idle.is_hung_up().await);
    assert!(Client::new(&running).await.is_hung_up().await);
}

#[tokio::test]
async fn a_request_that_takes_longer_than_a_connection_may_idle_is_answered_all_the_same() {
    let limits = Limits { idle_timeout: SHORT, head_timeout: SHORT, ..limits() };
    let running = start_with(Settings::default(), limits).await;
    let mut client = Client::new(&running).await;
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.stage.begun.acquire().await.unwrap().forget();
    // Another connection opened later idles out first: more time has passed for ours than it may idle.
    assert!(Client::new(&running).await.is_hung_up().await);
    running.stage.go_on.add_permits(1);
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_answered_408() {
    let running = start_with(Settings { body_timeout: SHORT, ..Settings::default() }, limits()).await;
    let answer = post_json(&running, "Content-Length: 10\r\n", "{").await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQUEST_TIMEOUT"));
}

#[tokio::test]
async fn a_handler_that_does_not_end_in_time_is_given_up() {
    let running = start_with(Settings { request_timeout: SHORT, ..Settings::default() }, limits()).await;
    let answer = send_request(&running, "GET", "/wait", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "TIMEOUT"));
    running.stage.ended.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn a_handler_whose_client_goes_away_is_dropped() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.stage.begun.acquire().await.unwrap().forget();
    drop(client);
    running.stage.ended.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn requests_sent_without_waiting_are_answered_in_order() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    client.send((0..50).map(|n| format!("GET /number/{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect::<Vec<_>>().concat()).await;
    for n in 0..50 {
        assert_eq!(client.answer().await.json()["data"], n);
    }
}

#[tokio::test]
async fn beyond_the_bound_connections_wait_until_one_ends() {
    let running = start_with(Settings::default(), Limits { connections: 1, ..limits() }).await;
    let mut first = Client::new(&running).await;
    first.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.stage.begun.acquire().await.unwrap().forget();
    let mut second = Client::new(&running).await;
    second.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    running.stage.go_on.add_permits(1);
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(running.stage.begun.available_permits(), 0);
    drop(first);
    running.stage.go_on.add_permits(1);
    assert_eq!(second.answer().await.status, 200);
}
