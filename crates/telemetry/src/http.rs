//! The small server for probes and scrapes: `/healthz`, `/readyz`, `/metrics`. Bounded in connections, time and size, because it has no login.
//!
//! Must not serve anything that needs a login.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::{Heartbeat, Readiness};
use super::metrics::Exposition;

/// Connections at a time; a kubelet and a few scrapers need a handful.
const CONNECTIONS: usize = 64;

/// From the first byte to the last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// For the request line and its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often samples of histograms are folded, so that they do not pile up when nobody scrapes.
const FOLD: Duration = Duration::from_secs(5);

/// What the endpoints tell about.
#[derive(Clone, Debug)]
pub struct Sources {
    /// For `/healthz`.
    pub heartbeat: Heartbeat,
    /// For `/readyz`.
    pub readiness: Readiness,
    /// For `/metrics`.
    pub metrics: Exposition,
}

/// Answers on `listener` until `stop`, then lets running answers end, which takes at most ten seconds.
pub async fn serve(listener: TcpListener, sources: Sources, stop: CancellationToken) {
    let (router, connections, slots) = (router(sources.clone()), TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    let mut fold = tokio::time::interval(FOLD);
    loop {
        // The slot comes first: beyond the bound, connections wait in the listener's backlog and cost us nothing.
        let accept = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) };
        tokio::select! {
            () = stop.cancelled() => break,
            _ = fold.tick() => sources.metrics.fold(),
            accepted = accept => match accepted {
                (slot, Ok((stream, _))) => {
                    let answer = answer(stream, router.clone());
                    connections.spawn(async move {
                        let _slot = slot;
                        answer.await;
                    });
                }
                (_, Err(error)) => {
                    // Out of file descriptors, most likely: without a pause this would be a busy loop.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// One request and its answer.
async fn answer(stream: TcpStream, router: Router) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(false).max_buf_size(16 * 1024);
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "probe connection failed"),
        Err(_) => tracing::debug!("probe connection took too long"),
    }
}

fn router(sources: Sources) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(metrics)).with_state(sources)
}

async fn healthz(State(sources): State<Sources>) -> impl IntoResponse {
    if sources.heartbeat.is_alive() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let seconds = sources.heartbeat.silence().as_secs();
        (StatusCode::SERVICE_UNAVAILABLE, format!("no list, watch or reconcile has succeeded for {seconds} s\n"))
    }
}

async fn readyz(State(sources): State<Sources>) -> impl IntoResponse {
    let code = if sources.readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{:?}\n", sources.readiness.phase()).to_lowercase())
}

async fn metrics(State(sources): State<Sources>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], sources.metrics.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Phase;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    struct Running {
        address: SocketAddr,
        readiness: Readiness,
        stop: CancellationToken,
        server: JoinHandle<()>,
    }

    async fn start() -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, readiness, stop) = (listener.local_addr().unwrap(), Readiness::default(), CancellationToken::new());
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || metrics::gauge!("up").set(1));
        let sources = Sources { heartbeat: Heartbeat::default(), readiness: readiness.clone(), metrics: recorder.handle().into() };
        let server = tokio::spawn(serve(listener, sources, stop.clone()));
        Running { address, readiness, stop, server }
    }

    /// Status and body.
    async fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn probes_tell_the_state_and_metrics_are_rendered() {
        let running = start().await;
        assert_eq!(get(running.address, "/healthz").await, (200, "ok\n".to_owned()));
        assert_eq!(get(running.address, "/readyz").await, (503, "starting\n".to_owned()));
        running.readiness.enter(Phase::Standby);
        assert_eq!(get(running.address, "/readyz").await, (200, "standby\n".to_owned()));
        let (status, body) = get(running.address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("up 1"), "{body}");
        assert_eq!(get(running.address, "/").await.0, 404);
    }

    #[tokio::test]
    async fn a_client_that_sends_nothing_does_not_keep_others_from_an_answer() {
        let running = start().await;
        let silent: Vec<_> = futures::future::join_all((1..CONNECTIONS).map(|_| TcpStream::connect(running.address))).await;
        assert_eq!(get(running.address, "/healthz").await.0, 200);
        drop(silent);
    }

    #[tokio::test]
    async fn a_request_larger_than_a_probe_ever_is_is_refused() {
        let running = start().await;
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        // The server may hang up while we still write.
        let _ = stream.write_all(format!("GET /{} HTTP/1.1\r\n", "a".repeat(64 * 1024)).as_bytes()).await;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert!(start.starts_with(b"HTTP/1.1 4"), "{start:?}");
    }

    #[tokio::test]
    async fn stopping_closes_the_listener_and_ends() {
        let running = start().await;
        assert_eq!(get(running.address, "/healthz").await.0, 200);
        running.stop.cancel();
        running.server.await.unwrap();
        assert!(TcpStream::connect(running.address).await.is_err());
    }
}
