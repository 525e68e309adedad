//! Serving HTTP/1.1 on a listener: bounded connections, and an end that loses no request.
//!
//! Must not speak HTTP/2: the proxy in front does, and one more parser is one more way in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use axum::{BoxError, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use telemetry::health;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection_limits::Limits;
use super::socket::{Phase, Socket};

/// What the parser holds of a connection: the largest head that `Settings` may allow, and more, so that its bounds answer first.
const BUFFER: usize = 64 * 1024;

/// Out of file descriptors, most likely: without a pause, accepting would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers on `listener` until `stop`; then says not ready, serves on for the grace, takes no more connections, and lets running requests end.
/// Returns after `grace + drain` at the latest.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, stop: CancellationToken) {
    let (tasks, slots, closing, killing) = (TaskTracker::new(), slots(limits), CancellationToken::new(), CancellationToken::new());
    let end = async {
        stop.cancelled().await;
        limits.readiness.enter(health::Phase::Stopping);
        tokio::time::sleep(limits.grace).await;
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            accepted = accept(&listener, &slots) => if let Some((slot, stream, peer)) = accepted {
                let phase = Phase::default();
                let service = Service { router: router.clone(), peer, phase: phase.clone(), stop: stop.clone() };
                let socket = Socket::new(stream, phase, limits);
                let connection = connection(socket, service, closing.clone(), killing.clone());
                tasks.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            },
        }
    }
    drop(listener);
    closing.cancel();
    tasks.close();
    if tokio::time::timeout(limits.drain, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "requests did not end in time and are cut off");
        killing.cancel();
        tasks.wait().await;
    }
}

fn slots(limits: &Limits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits.connections))
}

/// A slot first, a connection second.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(Option<OwnedSemaphorePermit>, TcpStream, SocketAddr)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    match listener.accept().await {
        Ok((stream, peer)) => Some((slot, stream, peer)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(socket: Socket, service: Service, closing: CancellationToken, killing: CancellationToken) {
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    // The socket keeps the times: the parser's own timer cannot tell an idle connection from a slow head.
    server.http1().header_read_timeout(None).max_buf_size(BUFFER);
    let connection = server.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = killing.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection failed");
    }
}

/// The router for one connection: tells requests who their peer is, and the socket what it is waiting for.
#[derive(Clone)]
struct Service {
    router: Router,
    peer: SocketAddr,
    phase: Phase,
    stop: CancellationToken,
}

impl<B> tower::Service<Request<B>> for Service
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.phase.answering();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let (answer, phase, stop) = (tower::Service::call(&mut self.router, request), self.phase.clone(), self.stop.clone());
        Box::pin(async move {
            let mut response = answer.await?;
            phase.idle();
            if stop.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        })
    }
}
