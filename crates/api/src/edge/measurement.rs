//! One request in the log and in the metrics: counted while it runs, logged and measured when it ends.
//!
//! Must not log or label a path, query or body: those hold names and ids of children.

use std::time::Instant;

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::response::Response;
use tracing::Span;
use tracing::field::Empty;

use super::trace_parent::trace_id;
use super::{RequestContext, RequestId, request_id};
use crate::error::Code;
use crate::metrics::{Class, Verb, requests, tenants};

/// The route's pattern, never the path itself.
pub(super) struct Route(Option<MatchedPath>);

impl Route {
    pub(super) fn of(head: &Parts) -> Self {
        Self(head.extensions.get::<MatchedPath>().cloned())
    }

    fn label(&self) -> &str {
        self.0.as_ref().map_or("unmatched", MatchedPath::as_str)
    }
}

/// The span of a request's log records.
pub(super) fn span(head: &Parts, route: &Route, id: &RequestId) -> Span {
    let verb = Verb::of(&head.method);
    let span = tracing::info_span!(
        "request",
        request_id = id.as_str(),
        client_request_id = Empty,
        method = verb.label(),
        route = route.label(),
        trace_id = Empty,
        tenant = Empty,
        status = Empty
    );
    if let Some(clients) = request_id::of_client(&head.headers) {
        span.record("client_request_id", clients);
    }
    if let Some(trace) = trace_id(&head.headers) {
        span.record("trace_id", trace);
    }
    span
}

/// A request between its beginning and its end. One whose client went away is dropped without an answer, and counted too.
pub(super) struct Measurement {
    since: Instant,
    route: Route,
    verb: Verb,
    context: RequestContext,
    class: Class,
}

impl Measurement {
    pub(super) fn start(route: Route, verb: Verb, context: RequestContext) -> Self {
        requests::in_flight(1.0);
        Self { since: Instant::now(), route, verb, context, class: Class::Aborted }
    }

    /// Logs the answer. The metrics follow when this is dropped.
    pub(super) fn end(mut self, response: &Response) {
        self.class = Class::of(response.status());
        let span = self.context.span();
        span.record("status", response.status().as_u16());
        let milliseconds = self.since.elapsed().as_secs_f64() * 1e3;
        span.in_scope(|| tracing::info!(milliseconds, "answered"));
        if let (Some(tenant), Some(Failed(code))) = (self.context.tenant(), response.extensions().get()) {
            tenants::error(tenant, code.label());
        }
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        requests::in_flight(-1.0);
        requests::ended(self.route.label(), self.verb, self.class, took);
        if let Some(tenant) = self.context.tenant() {
            tenants::request_ended(tenant, self.class, took);
        }
    }
}

/// What the envelope leaves on an answer whose fault is ours.
#[derive(Clone, Copy)]
pub(super) struct Failed(pub(super) Code);
