//! A server with handlers that fail, wait, panic or answer at length, and a client that writes its own bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::answer::Data;
use api::body::Json;
use api::edge::{Limits, RequestContext, Settings, layered, serve};
use api::error::{Code, Error, Field, Result, Text};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use domain::names::TenantId;
use serde_json::Value;
use tenancy::limits::{Quota, TenantLimits};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SHORT: Duration = Duration::from_millis(500);
/// Longer than any test: a wait that ends for another reason ends for that reason.
pub(crate) const LONG: Duration = Duration::from_mins(10);
pub(crate) const CANARY: &str = "SELECT secret FROM canary at db.internal:5432";

/// What the handlers share with the test.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) begun: Arc<Semaphore>,
    pub(crate) go_on: Arc<Semaphore>,
    pub(crate) calls: Arc<AtomicU32>,
    pub(crate) ended: Arc<Semaphore>,
    pub(crate) tenants: TenantLimits,
}

/// More than the system's buffers take.
pub(crate) const LARGE: usize = 32 << 20;
pub(crate) const TENANT: TenantId = TenantId(uuid::Uuid::nil());

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stage: Stage,
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<()>,
}

pub(crate) fn limits() -> Limits {
    Limits { head_timeout: LONG, idle_timeout: LONG, grace: Duration::ZERO, drain: LONG, ..Limits::default() }
}

pub(crate) async fn start() -> Running {
    start_with(Settings::default(), limits()).await
}

pub(crate) async fn start_with(settings: Settings, limits: Limits) -> Running {
    let none = || Arc::new(Semaphore::new(0));
    let tenants = TenantLimits::new(Quota { in_flight: 1, ..Quota::default() });
    let stage = Stage { begun: none(), go_on: none(), calls: Arc::default(), ended: none(), tenants };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop, router) =
        (listener.local_addr().unwrap(), CancellationToken::new(), layered(router(stage.clone()), &settings, None));
    let (bounds, stopping) = (limits.clone(), stop.clone());
    let server = tokio::spawn(async move { serve(listener, router, &bounds, stopping).await });
    Running { address, stage, limits, stop, server }
}

pub(crate) fn router(stage: Stage) -> Router {
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

pub(crate) async fn fail(Path(label): Path<String>) -> Result<()> {
    let code = Code::ALL.iter().copied().find(|code| code.label() == label).unwrap();
    Err(Error::new(code).because(std::io::Error::other(CANARY)).after(Duration::from_millis(1500)))
}

pub(crate) fn wrong_field() -> Error {
    let message = Text::new("é obrigatório", "is required");
    Error::invalid(vec![Field { field: "guardians.0.name".to_owned(), code: "required", message }])
}

pub(crate) async fn panics() {
    panic!("{CANARY}");
}

/// Says that it has begun, then waits; says that it ended however it ended.
pub(crate) async fn wait(State(stage): State<Stage>) -> Data<&'static str> {
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

pub(crate) async fn who(context: RequestContext) -> Data<[String; 2]> {
    Data::new([context.id().as_str().to_owned(), context.client().0.to_string()])
}

pub(crate) async fn tenant(context: RequestContext, Path(id): Path<uuid::Uuid>) -> Result<()> {
    context.set_tenant(TenantId(id));
    Err(Code::PoolExhausted.into())
}

pub(crate) async fn large(State(stage): State<Stage>, context: RequestContext) -> Result<Vec<u8>> {
    context.permits().admit(&stage.tenants, TENANT, uuid::Uuid::nil())?;
    Ok(vec![b'x'; LARGE])
}

pub(crate) async fn stale_place(State(stage): State<Stage>, context: RequestContext) -> Result<Data<u32>> {
    context.permits().admit(&stage.tenants, TENANT, uuid::Uuid::nil())?;
    stale(State(stage)).await
}

pub(crate) fn stale_route(stage: &Stage) -> Error {
    stage.calls.fetch_add(1, Ordering::SeqCst);
    Error { stale: true, ..Error::new(Code::TenantUnavailable) }
}

pub(crate) async fn stale(State(stage): State<Stage>) -> Result<Data<u32>> {
    match stage.calls.load(Ordering::SeqCst) {
        0 => Err(stale_route(&stage)),
        calls => Ok(Data::new(calls)),
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        let json = self.json();
        assert_eq!(json["success"], false, "{self:?}");
        assert_eq!(json["error"]["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        assert_eq!((self.header("content-type"), self.header("cache-control")), (Some("application/json"), Some("no-store")), "{self:?}");
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    pub(crate) async fn new(running: &Running) -> Self {
        Self(BufReader::new(TcpStream::connect(running.address).await.unwrap()))
    }

    /// The server may hang up while we still write.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    pub(crate) async fn answer_to(&mut self, method: &str) -> Answer {
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
    pub(crate) async fn is_hung_up(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }
}

/// One request of this method, with these headers (whole lines).
pub(crate) async fn send_request(running: &Running, method: &str, path: &str, headers: &str) -> Answer {
    let mut client = Client::new(running).await;
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
    client.answer_to(method).await
}

pub(crate) async fn post_json(running: &Running, headers: &str, body: &str) -> Answer {
    let mut client = Client::new(running).await;
    client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}\r\n{body}")).await;
    client.answer().await
}
