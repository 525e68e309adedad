//! What surrounds a handler, over real sockets: bounds, headers, languages, the envelope, and an end that loses no request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::answer::Data;
use api::body::Json;
use api::client::ClientAddress;
use api::edge::{Holds, Limits, RequestId, Settings, TenantSlot, layered, serve};
use api::error::{Code, Error, Field, Result, Text};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Router};
use domain::names::TenantId;
use serde_json::Value;
use telemetry::health::Phase;
use tenancy::limits::{Quota, TenantLimits};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::until::until;

const SHORT: Duration = Duration::from_millis(500);
/// Longer than any test: a wait that ends for another reason ends for that reason.
const LONG: Duration = Duration::from_mins(10);
const CANARY: &str = "SELECT secret FROM canary at db.internal:5432";

/// What the handlers share with the test.
#[derive(Clone)]
struct Stage {
    begun: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
    calls: Arc<AtomicU32>,
    ended: Arc<Semaphore>,
    tenants: TenantLimits,
}

/// More than the system's buffers take.
const LARGE: usize = 32 << 20;
const TENANT: TenantId = TenantId(uuid::Uuid::nil());

struct Running {
    address: SocketAddr,
    stage: Stage,
    limits: Limits,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

fn limits() -> Limits {
    Limits { head_timeout: LONG, idle_timeout: LONG, grace: Duration::ZERO, drain: LONG, ..Limits::default() }
}

async fn start() -> Running {
    start_with(Settings::default(), limits()).await
}

async fn start_with(settings: Settings, limits: Limits) -> Running {
    let none = || Arc::new(Semaphore::new(0));
    let tenants = TenantLimits::new(Quota { in_flight: 1, ..Quota::default() });
    let stage = Stage { begun: none(), go_on: none(), calls: Arc::default(), ended: none(), tenants };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop, router) = (listener.local_addr().unwrap(), CancellationToken::new(), layered(router(stage.clone()), &settings));
    let (bounds, told) = (limits.clone(), stop.clone());
    let server = tokio::spawn(async move { serve(listener, router, &bounds, told).await });
    Running { address, stage, limits, stop, server }
}

fn router(stage: Stage) -> Router {
    Router::new()
        .route("/api/v1/ok", get(async || Data::new("ok")))
        .route("/docs", get(async || "page"))
        .route("/number/{number}", get(async |Path(number): Path<u32>| Data::new(number)))
        .route("/echo", post(async |Json(bytes): Json| Data::new(bytes.len())))
        .route("/fail/{code}", get(fail))
        .route("/fields", get(async || -> Result<()> { Err(wrong_field()) }))
        .route("/panic", get(panics))
        .route("/wait", get(wait))
        .route("/who", get(who))
        .route("/tenant/{id}", get(tenant))
        .route("/logged/{id}", get(tenant))
        .route("/large", get(large))
        .route("/stale-place", get(stale_place))
        .route("/stale", get(stale).post(stale))
        .route("/always-stale", get(async |State(stage): State<Stage>| -> Result<()> { Err(stale_route(&stage)) }))
        .with_state(stage)
}

async fn fail(Path(label): Path<String>) -> Result<()> {
    let code = Code::ALL.iter().copied().find(|code| code.label() == label).unwrap();
    Err(Error::new(code).because(std::io::Error::other(CANARY)).after(Duration::from_millis(1500)))
}

fn wrong_field() -> Error {
    let message = Text::new("é obrigatório", "is required");
    Error::invalid(vec![Field { field: "guardians.0.name".to_owned(), code: "required", message }])
}

async fn panics() {
    panic!("{CANARY}");
}

/// Says that it has begun, then waits; says that it ended however it ended.
async fn wait(State(stage): State<Stage>) -> Data<&'static str> {
    struct Ended(Arc<Semaphore>);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.add_permits(1);
        }
    }
    let _ended = Ended(stage.ended);
    stage.begun.add_permits(1);
    stage.go_on.acquire().await.unwrap().forget();
    Data::new("waited")
}

async fn who(Extension(id): Extension<RequestId>, Extension(client): Extension<ClientAddress>) -> Data<[String; 2]> {
    Data::new([id.as_str().to_owned(), client.0.to_string()])
}

async fn tenant(Extension(slot): Extension<TenantSlot>, Path(id): Path<uuid::Uuid>) -> Result<()> {
    slot.fill(TenantId(id));
    Err(Code::PoolExhausted.into())
}

async fn large(State(stage): State<Stage>, Extension(holds): Extension<Holds>) -> Result<Vec<u8>> {
    holds.admit(&stage.tenants, TENANT)?;
    Ok(vec![b'x'; LARGE])
}

async fn stale_place(State(stage): State<Stage>, Extension(holds): Extension<Holds>) -> Result<Data<u32>> {
    holds.admit(&stage.tenants, TENANT)?;
    stale(State(stage)).await
}

fn stale_route(stage: &Stage) -> Error {
    stage.calls.fetch_add(1, Ordering::SeqCst);
    Error { stale: true, ..Error::new(Code::TenantUnavailable) }
}

async fn stale(State(stage): State<Stage>) -> Result<Data<u32>> {
    match stage.calls.load(Ordering::SeqCst) {
        0 => Err(stale_route(&stage)),
        calls => Ok(Data::new(calls)),
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn code(&self) -> String {
        let json = self.json();
        assert_eq!(json["success"], false, "{self:?}");
        assert_eq!(json["error"]["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        assert_eq!((self.header("content-type"), self.header("cache-control")), (Some("application/json"), Some("no-store")), "{self:?}");
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn new(running: &Running) -> Self {
        Self(BufReader::new(TcpStream::connect(running.address).await.unwrap()))
    }

    /// The server may hang up while we still write.
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    async fn answer_to(&mut self, method: &str) -> Answer {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "hung up after {head:?}");
            match line.trim_end() {
                "" => break,
                text => head.push(text.to_owned()),
            }
        }
        let status = head[0][9..12].parse().unwrap();
        let fields = head[1..].iter().map(|line| line.split_once(": ").unwrap());
        let headers: Vec<_> = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut answer = Answer { status, headers, body: String::new() };
        let length = if method == "HEAD" { 0 } else { answer.header("content-length").map_or(0, |text| text.parse().unwrap()) };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Whether the server hung up, and said nothing before.
    async fn is_hung_up(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }
}

/// One request of this method, with these headers (whole lines).
async fn ask(running: &Running, method: &str, path: &str, headers: &str) -> Answer {
    let mut client = Client::new(running).await;
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
    client.answer_to(method).await
}

async fn post_json(running: &Running, headers: &str, body: &str) -> Answer {
    let mut client = Client::new(running).await;
    client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}\r\n{body}")).await;
    client.answer().await
}

#[tokio::test]
async fn every_code_is_answered_in_the_envelope_in_both_languages_and_without_its_cause() {
    let running = start().await;
    for code in Code::ALL {
        for (language, tag) in [("pt", "pt"), ("de, en;q=0.3", "en")] {
            let answer = ask(&running, "GET", &format!("/fail/{}", code.label()), &format!("Accept-Language: {language}\r\n")).await;
            assert_eq!((answer.status, answer.code().as_str()), (code.status().as_u16(), code.label()));
            assert_eq!((answer.header("content-language"), answer.header("retry-after")), (Some(tag), Some("2")));
            assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401, "{answer:?}");
            let text = format!("{answer:?}");
            assert!(!text.contains("SELECT") && !text.contains("db.internal"), "{text}");
        }
    }
}

#[tokio::test]
async fn fields_that_are_wrong_are_named_in_the_requests_language() {
    let running = start().await;
    for (language, message) in [("pt-PT", "é obrigatório"), ("en", "is required")] {
        let answer = ask(&running, "GET", "/fields", &format!("Accept-Language: {language}\r\n")).await;
        let expected = serde_json::json!([{"field": "guardians.0.name", "code": "required", "message": message}]);
        assert_eq!((answer.status, &answer.json()["error"]["fields"]), (422, &expected));
    }
    assert_eq!(ask(&running, "GET", "/fail/NOT_FOUND", "").await.json()["error"].get("fields"), None);
}

#[tokio::test]
async fn what_the_framework_refuses_is_in_the_envelope_too() {
    let running = start().await;
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("DELETE", "/api/v1/ok", 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", "/api/v1/ok", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/number/seven", 400, "MALFORMED_REQUEST"),
        ("GET", "/number/%ff", 400, "MALFORMED_REQUEST"),
        ("POST", "/echo", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let answer = ask(&running, method, path, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
    }
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body_whether_it_fails_or_not() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    for (path, status) in [("/api/v1/ok", 200), ("/nowhere", 404), ("/api/v1/ok", 200)] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        // A body would be read as the next answer's head.
        assert_eq!(client.answer_to("HEAD").await.status, status);
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_says_nothing_and_harms_nobody_else() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET /api/v1/ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.code().as_str(), answer.body.contains("canary")), (500, "INTERNAL_ERROR", false));
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_clients_request_id_is_kept_when_it_is_sane_and_handlers_know_it() {
    let running = start().await;
    let answer = ask(&running, "GET", "/who", "X-Request-Id: ticket-42\r\n").await;
    assert_eq!((answer.header("x-request-id"), answer.json()["data"][0].as_str()), (Some("ticket-42"), Some("ticket-42")));
    let answer = ask(&running, "GET", "/who", "X-Request-Id: a b\"c\r\n").await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!((uuid::Uuid::parse_str(&id).unwrap().get_version_num(), answer.json()["data"][0].as_str()), (7, Some(id.as_str())));
}

#[tokio::test]
async fn forwarded_addresses_are_believed_of_configured_proxies_only() {
    let forwarded = "X-Forwarded-For: 198.51.100.7, 203.0.113.1\r\n";
    let running = start().await;
    assert_eq!(ask(&running, "GET", "/who", forwarded).await.json()["data"][1], "127.0.0.1");
    let settings = Settings { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Settings::default() };
    let running = start_with(settings, limits()).await;
    assert_eq!(ask(&running, "GET", "/who", forwarded).await.json()["data"][1], "203.0.113.1");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let settings = Settings { strict_transport: Some(Duration::from_hours(1)), ..Settings::default() };
    let running = start_with(settings, limits()).await;
    for path in ["/api/v1/ok", "/nowhere", "/panic", "/docs"] {
        let answer = ask(&running, "GET", path, "").await;
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
    assert_eq!(ask(&start().await, "GET", "/docs", "").await.header("strict-transport-security"), None);
}

#[tokio::test]
async fn only_pages_of_configured_origins_may_call() {
    let preflight = "Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: x-tenant-id\r\n";
    let settings = Settings { cors_origins: vec!["https://app.example".to_owned(), "*".to_owned()], ..Settings::default() };
    let running = start_with(settings, limits()).await;
    for (origin, allowed) in [("https://app.example", true), ("https://app.example.evil.example", false), ("null", false), ("*", false)] {
        let answer = ask(&running, "GET", "/fail/NOT_FOUND", &format!("Origin: {origin}\r\n")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let answer = ask(&running, "OPTIONS", "/api/v1/ok", &format!("Origin: {origin}\r\n{preflight}")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin));
        let headers = answer.header("access-control-allow-headers").unwrap_or_default();
        assert!(["authorization", "x-tenant-id", "if-match", "idempotency-key"].iter().all(|name| headers.contains(name)), "{answer:?}");
    }
    let exposed = ask(&running, "GET", "/api/v1/ok", "Origin: https://app.example\r\n").await;
    let told: std::collections::BTreeSet<_> = exposed.header("access-control-expose-headers").unwrap().split(',').map(str::trim).collect();
    assert_eq!(told, ["etag", "idempotent-replayed", "location", "retry-after", "x-request-id"].into(), "{exposed:?}");
    let closed = ask(&start().await, "GET", "/api/v1/ok", "Origin: https://app.example\r\n").await;
    assert_eq!(closed.header("access-control-allow-origin"), None);
}

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
    assert_eq!(ask(&running, "GET", "/api/v1/ok", &many(63)).await.status, 200);
    for headers in [many(64), format!("X-Large: {}\r\n", "a".repeat(16 * 1024))] {
        let answer = ask(&running, "GET", "/api/v1/ok", &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (431, "HEADERS_TOO_LARGE"));
    }
    for headers in [many(10_000), format!("X-Large: {}\r\n", "a".repeat(1024 * 1024))] {
        assert_eq!(ask(&running, "GET", "/api/v1/ok", &headers).await.status, 431);
    }
    let answer = ask(&running, "GET", &format!("/api/v1/ok?{}", "a".repeat(8 * 1024)), "").await;
    assert_eq!((answer.status, answer.code().as_str()), (414, "URI_TOO_LONG"));
}

#[tokio::test]
async fn headers_that_decide_are_sent_once() {
    let running = start().await;
    for name in ["X-Tenant-Id", "Authorization", "If-Match", "Idempotency-Key", "Content-Type", "Host"] {
        let answer = ask(&running, "GET", "/api/v1/ok", &format!("{name}: a\r\n{}: b\r\n", name.to_lowercase())).await;
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
    let answer = ask(&running, "GET", "/wait", "").await;
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

#[tokio::test]
async fn a_read_on_a_stale_route_is_repeated_once_and_a_write_never() {
    for (method, path, status, calls) in
        [("GET", "/stale", 200, 1), ("HEAD", "/stale", 200, 1), ("POST", "/stale", 503, 1), ("GET", "/always-stale", 503, 2)]
    {
        let running = start().await;
        let answer = ask(&running, method, path, "").await;
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
    assert_eq!(ask(&running, "GET", "/large", "").await.code(), "TOO_MANY_REQUESTS");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    until_admitted(&running).await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_whole_in_time_is_given_up_even_if_a_byte_is_read_now_and_then() {
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
    until("the place is given back", async || running.stage.tenants.admit(TENANT).is_ok()).await;
}

#[tokio::test]
async fn a_read_that_is_repeated_on_a_fresh_route_is_one_request_of_its_school() {
    let running = start().await;
    let answer = ask(&running, "GET", "/stale-place", "").await;
    assert_eq!((answer.status, running.stage.calls.load(Ordering::SeqCst)), (200, 1));
}

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
    let answer = ask(&running, "GET", "/api/v1/ok", "").await;
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

#[tokio::test]
async fn metrics_count_by_route_pattern_and_by_the_tenant_that_the_handler_named() {
    let metrics = crate::world::METRICS.clone();
    let (running, tenant) = (start().await, uuid::Uuid::new_v4());
    assert_eq!(ask(&running, "GET", &format!("/tenant/{tenant}"), "").await.status, 503);
    let expected = [
        r#"dailycare_api_requests_total{method="GET",route="/tenant/{id}",class="5xx"} 1"#.to_owned(),
        format!(r#"dailycare_tenant_requests_total{{tenant="{tenant}",class="5xx"}} 1"#),
        format!(r#"dailycare_tenant_errors_total{{tenant="{tenant}",code="POOL_EXHAUSTED"}} 1"#),
    ];
    let text = metrics.render();
    assert!(expected.iter().all(|line| text.contains(line)), "{text}");
    assert!(text.contains(r#"dailycare_api_request_duration_seconds_count{route="/tenant/{id}"} 1"#), "{text}");
    assert!(!text.contains("/tenant/0") && !text.contains(&format!("/tenant/{tenant}")), "{text}");
}

#[tokio::test]
async fn every_refusal_for_who_asked_or_for_which_school_is_counted_by_its_code_and_nothing_else_is() {
    let metrics = crate::world::METRICS.clone();
    let running = start().await;
    for code in Code::ALL {
        ask(&running, "GET", &format!("/fail/{}", code.label()), "").await;
    }
    let text = metrics.render();
    for code in Code::ALL {
        let counted = text.contains(&format!("dailycare_api_refusals_total{{code=\"{}\"}}", code.label()));
        assert_eq!(counted, matches!(code.status().as_u16(), 401 | 403) || *code == Code::InvalidTenant, "{code:?}\n{text}");
    }
}

/// A log in memory. Clones share it.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_route_tenant_and_trace_once_and_the_cause_which_the_answer_hides() {
    // While there is only one subscriber, tracing asks the thread that first meets a callsite whether it matters, which may be another test's.
    let _another = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let (running, tenant) = (start().await, uuid::Uuid::new_v4());
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    ask(&running, "GET", &format!("/logged/{tenant}?name=canary-child"), &format!("X-Request-Id: ticket\r\n{trace}")).await;
    ask(&running, "GET", "/fail/INTERNAL_ERROR", "").await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("canary-child"), "{text}");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<_> = records.iter().filter(|record| record["fields"]["message"] == "answered").collect();
    assert_eq!(answered.len(), 2, "{text}");
    for (field, value) in [
        ("route", Value::from("/logged/{id}")),
        ("tenant", tenant.to_string().into()),
        ("request_id", "ticket".into()),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ("status", 503.into()),
    ] {
        assert_eq!(answered[0]["span"][field], value, "{text}");
    }
    let failed: Vec<_> = records.iter().filter(|record| record["fields"]["cause"] == CANARY).collect();
    assert_eq!((failed.len(), failed[0]["level"].as_str()), (1, Some("ERROR")), "{text}");
}
