//! The request edge: one tower service around every handler.
//!
//! In order: request id, client's address, span and measurement; CORS; bounds of head and body, deadline, panics, the audit record, the retry on a fresh
//! route, and the envelope of errors; security headers. Must not know any route or school.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody as _};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tenancy::audit::Audit;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service, ServiceExt as _};
use tower_http::cors::{Cors, CorsLayer};
use tracing::Instrument as _;

use super::audit_on_drop::AuditOnDrop;
use super::body_bounds::{Arrival, bounded};
use super::measurement::{self, Measurement, Route};
use super::proxy_warning::ProxyWarning;
use super::response_permits::hold_until_sent;
use super::security_headers::SecurityHeaders;
use super::{RequestContext, RequestId, Settings, cors, envelope, head_bounds, language, request_id};
use crate::client::ClientAddress;
use crate::error::{Code, Error};
use crate::metrics::Verb;

type BoxFuture = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Puts the edge around services.
#[derive(Clone)]
pub(super) struct EdgeLayer {
    shared: Arc<Shared>,
    cors: Option<CorsLayer>,
}

struct Shared {
    settings: Settings,
    strict_transport: Option<HeaderValue>,
    audit: Option<Audit>,
    proxy_warning: ProxyWarning,
}

impl EdgeLayer {
    pub(super) fn new(settings: &Settings, audit: Option<Audit>) -> Self {
        let strict_transport = SecurityHeaders::strict_transport(settings);
        let cors = cors::layer(settings);
        Self {
            shared: Arc::new(Shared { settings: settings.clone(), strict_transport, audit, proxy_warning: ProxyWarning::default() }),
            cors,
        }
    }
}

impl<S: Handler> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        let guard = Guard { shared: Arc::clone(&self.shared), inner };
        let inner = match &self.cors {
            Some(cors) => Inner::Cors(Box::new(cors.layer(guard))),
            None => Inner::Plain(guard),
        };
        Edge(Arc::new(inner))
    }
}

/// What the edge can be put around.
pub(super) trait Handler:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static> Handler for S {}

/// The edge around one service. The router clones it for every request, so it is one pointer.
pub(super) struct Edge<S>(Arc<Inner<S>>);

impl<S> Clone for Edge<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

enum Inner<S> {
    Plain(Guard<S>),
    /// CORS is between both halves: its answers have ids and security headers, and errors of the inner half have CORS headers.
    Cors(Box<Cors<Guard<S>>>),
}

impl<S: Handler> Service<Request> for Edge<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> BoxFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

impl<S: Handler> Inner<S> {
    fn shared(&self) -> &Shared {
        match self {
            Self::Plain(guard) => &guard.shared,
            Self::Cors(cors) => &cors.get_ref().shared,
        }
    }

    /// The outer half: names the request, measures it, and finishes its answer.
    async fn answer(&self, request: Request) -> Response {
        let shared = self.shared();
        let (mut head, body) = request.into_parts();
        shared.proxy_warning.check(&head, &shared.settings.trusted_proxies);
        let (id, client) = (RequestId::default(), ClientAddress::of(&head, &shared.settings.trusted_proxies));
        let (route, verb, headers) = (Route::of(&head), Verb::of(&head.method), SecurityHeaders::of(head.uri.path()));
        let span = measurement::span(&head, &route, &id);
        let context = RequestContext::new(id, client, head.uri.clone(), span.clone());
        head.extensions.insert(context.clone());
        let measurement = Measurement::start(route, verb, context.clone());

        let mut response = match self {
            Self::Plain(guard) => guard.answer(head, body, &context).instrument(span).await,
            Self::Cors(cors) => match Cors::clone(cors).oneshot(Request::from_parts(head, body)).instrument(span).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };

        headers.set(response.headers_mut(), shared.strict_transport.as_ref());
        if let Some(value) = context.id().value() {
            response.headers_mut().insert(request_id::HEADER, value);
        }
        measurement.end(&response);
        let (head, body) = response.into_parts();
        Response::from_parts(head, hold_until_sent(context, body).await)
    }
}

/// The inner half: whatever a handler does, the caller gets an answer in time, in the envelope.
#[derive(Clone)]
struct Guard<S> {
    shared: Arc<Shared>,
    inner: S,
}

/// For CORS, which calls a service.
impl<S: Handler> Service<Request> for Guard<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> BoxFuture {
        let guard = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            Ok(match head.extensions.get::<RequestContext>().cloned() {
                Some(context) => guard.answer(head, body, &context).await,
                None => Error::new(Code::Internal).into_response(),
            })
        })
    }
}

impl<S: Handler> Guard<S> {
    async fn answer(&self, head: Parts, body: Body, context: &RequestContext) -> Response {
        let language = language(&head.headers);
        let response = match head_bounds::check(&head.method, &head.uri, &head.headers, &self.shared.settings) {
            Ok(()) => self.answer_in_time(head, body, context).await,
            Err(error) => error.into_response(),
        };
        envelope::enveloped(response, language, context.id())
    }

    async fn answer_in_time(&self, head: Parts, body: Body, context: &RequestContext) -> Response {
        let (now, arrival, settings) = (Instant::now(), Arrival::default(), &self.shared.settings);
        let retryable = matches!(head.method, Method::GET | Method::HEAD) && body.is_end_stream();
        let body = bounded(body, settings.body_bytes_of(head.uri.path()), now + settings.body_timeout, &arrival);
        let answer =
            async { if retryable { self.answer_or_retry(head, body, context).await } else { self.attempt(head, body, context).await } };
        let response = match timeout_at(now + settings.request_timeout, AssertUnwindSafe(answer).catch_unwind()).await {
            Ok(Ok(response)) => response,
            // The panic hook has logged the panic's own text.
            Ok(Err(_)) => Error::new(Code::Internal).into_response(),
            Err(_) => Error::new(Code::Timeout).into_response(),
        };
        match arrival.fault() {
            Some(code) if !response.status().is_success() => Error::new(code).into_response(),
            _ => response,
        }
    }

    /// A read that met a stale route is done again, once, on the fresh one, so that moving a school costs its readers no error.
    async fn answer_or_retry(&self, head: Parts, body: Body, context: &RequestContext) -> Response {
        let again = head.clone();
        let response = self.attempt(head, body, context).await;
        match response.extensions().get::<Error>() {
            Some(error) if error.stale => {
                context.audit().begin_attempt();
                self.attempt(again, Body::empty(), context).await
            }
            _ => response,
        }
    }

    async fn attempt(&self, head: Parts, body: Body, context: &RequestContext) -> Response {
        let audit = AuditOnDrop::new(self.shared.audit.as_ref(), context);
        let mut request = Request::from_parts(head, body);
        // `bounded` keeps the bound: the framework's own would answer differently.
        DefaultBodyLimit::disable().apply(&mut request);
        let response = match self.inner.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        audit.end(response.status().is_success() || response.status().is_redirection());
        response
    }
}
