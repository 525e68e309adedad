//! Headers: of callers behind proxies, of security, of other origins, and those that may not be sent twice.

use std::time::Duration;

use api::edge::Settings;

use super::fixture::{limits, post_json, send_request, start, start_with};

#[tokio::test]
async fn forwarded_addresses_are_believed_of_configured_proxies_only() {
    let forwarded = "X-Forwarded-For: 198.51.100.7, 203.0.113.1\r\n";
    let running = start().await;
    assert_eq!(send_request(&running, "GET", "/who", forwarded).await.json()["data"][1], "127.0.0.1");
    let settings = Settings { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Settings::default() };
    let running = start_with(settings, limits()).await;
    assert_eq!(send_request(&running, "GET", "/who", forwarded).await.json()["data"][1], "203.0.113.1");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let settings = Settings { strict_transport: Some(Duration::from_hours(1)), ..Settings::default() };
    let running = start_with(settings, limits()).await;
    for path in ["/api/v1/ok", "/nowhere", "/panic", "/docs"] {
        let answer = send_request(&running, "GET", path, "").await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", "max-age=3600; includeSubDomains"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("permissions-policy").is_some(), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("script-src") == (path == "/docs"), "{path} {policy}");
        assert_eq!(answer.header("cache-control"), (path != "/docs").then_some("no-store"), "{path}");
    }
    assert_eq!(send_request(&start().await, "GET", "/docs", "").await.header("strict-transport-security"), None);
}

#[tokio::test]
async fn only_pages_of_configured_origins_may_call() {
    let preflight = "Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: x-tenant-id\r\n";
    let settings = Settings { cors_origins: vec!["https://app.example".to_owned(), "*".to_owned()], ..Settings::default() };
    let running = start_with(settings, limits()).await;
    for (origin, allowed) in [("https://app.example", true), ("https://app.example.evil.example", false), ("null", false), ("*", false)] {
        let answer = send_request(&running, "GET", "/fail/NOT_FOUND", &format!("Origin: {origin}\r\n")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let answer = send_request(&running, "OPTIONS", "/api/v1/ok", &format!("Origin: {origin}\r\n{preflight}")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin));
        let headers = answer.header("access-control-allow-headers").unwrap_or_default();
        assert!(["authorization", "x-tenant-id", "if-match", "idempotency-key"].iter().all(|name| headers.contains(name)), "{answer:?}");
    }
    let exposed = send_request(&running, "GET", "/api/v1/ok", "Origin: https://app.example\r\n").await;
    let headers: std::collections::BTreeSet<_> =
        exposed.header("access-control-expose-headers").unwrap().split(',').map(str::trim).collect();
    assert_eq!(headers, ["etag", "idempotent-replayed", "location", "retry-after", "x-request-id"].into(), "{exposed:?}");
    let closed = send_request(&start().await, "GET", "/api/v1/ok", "Origin: https://app.example\r\n").await;
    assert_eq!(closed.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn headers_that_decide_are_sent_once() {
    let running = start().await;
    for name in ["X-Tenant-Id", "Authorization", "If-Match", "Idempotency-Key", "Content-Type", "Host"] {
        let answer = send_request(&running, "GET", "/api/v1/ok", &format!("{name}: a\r\n{}: b\r\n", name.to_lowercase())).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "MALFORMED_REQUEST"), "{name}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_unread() {
    let running = start().await;
    for encoding in ["gzip", "br", "deflate, gzip", "zstd"] {
        let answer = post_json(&running, &format!("Content-Encoding: {encoding}\r\nContent-Length: 1000\r\n"), "").await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "UNSUPPORTED_ENCODING"));
    }
    assert_eq!(post_json(&running, "Content-Encoding: identity\r\nContent-Length: 2\r\n", "{}").await.status, 200);
}
