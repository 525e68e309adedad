//! The outer half of what surrounds a handler: who asks, under which id, and what the log and the metrics are told of it.
//!
//! Neither is told a path, a query or a body: those hold names and ids of children.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use domain::names::TenantId;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{RequestId, RequestPermits, Settings, headers, request_id};
use crate::client::ClientAddress;
use crate::error::Code;
use crate::metrics::{self as metrics, Class, Verb};

/// Where the resolution of the tenant leaves it for the log and the metrics: an extension of every request. Clones share it.
#[derive(Clone, Debug)]
pub struct TenantSlot(Arc<(OnceLock<TenantId>, Span)>);

impl TenantSlot {
    /// Says whose request it is. The first word counts.
    pub fn fill(&self, tenant: TenantId) {
        let (slot, span) = &*self.0;
        if slot.set(tenant).is_ok() {
            span.record("tenant", tracing::field::display(tenant));
        }
    }
}

/// Names the request, and tells of it when it ends, one way or the other.
pub(super) async fn observed(State(settings): State<Arc<Settings>>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let (id, client) = (RequestId::of(&head.headers), ClientAddress::of(&head, &settings.trusted_proxies));
    let (route, verb) = (head.extensions.get::<MatchedPath>().cloned(), Verb::of(&head.method));
    let route = Route(route);
    let span = tracing::info_span!(
        "request",
        request_id = id.as_str(),
        method = verb.label(),
        route = route.label(),
        trace_id = Empty,
        tenant = Empty,
        status = Empty
    );
    if let Some(trace) = trace_id(&head.headers) {
        span.record("trace_id", trace);
    }
    let slot = TenantSlot(Arc::new((OnceLock::new(), span.clone())));
    head.extensions.insert(id.clone());
    head.extensions.insert(client);
    head.extensions.insert(slot.clone());
    let permits = RequestPermits::default();
    head.extensions.insert(permits.clone());
    let path = head.uri.path().to_owned();
    let mut running = Running::start(route, verb, slot);

    let mut response = next.run(Request::from_parts(head, body)).instrument(span.clone()).await;

    headers::secure(response.headers_mut(), &path, &settings);
    if let Some(value) = id.value() {
        response.headers_mut().insert(request_id::HEADER, value);
    }
    span.record("status", response.status().as_u16());
    span.in_scope(|| running.end(&response));
    let (head, body) = response.into_parts();
    Response::from_parts(head, permits.hold_until_sent(body).await)
}

/// The route's pattern, never the path itself.
struct Route(Option<MatchedPath>);

impl Route {
    fn label(&self) -> &str {
        self.0.as_ref().map_or("unmatched", MatchedPath::as_str)
    }
}

/// A request between its beginning and its end. One whose client went away is dropped without an answer, and counted too.
struct Running {
    since: Instant,
    route: Route,
    verb: Verb,
    slot: TenantSlot,
    class: Class,
}

impl Running {
    fn start(route: Route, verb: Verb, slot: TenantSlot) -> Self {
        metrics::in_flight(1.0);
        Self { since: Instant::now(), route, verb, slot, class: Class::Aborted }
    }

    fn end(&mut self, response: &Response) {
        self.class = Class::of(response.status());
        let milliseconds = self.since.elapsed().as_secs_f64() * 1e3;
        tracing::info!(milliseconds, "answered");
        if let (Some(tenant), Some(Failed(code))) = (self.slot.0.0.get(), response.extensions().get()) {
            metrics::tenant_error(*tenant, code.label());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        metrics::in_flight(-1.0);
        metrics::answered(self.route.label(), self.verb, self.class, took);
        if let Some(tenant) = self.slot.0.0.get() {
            metrics::tenant_request(*tenant, self.class, took);
        }
    }
}

/// What the envelope leaves on an answer whose fault is ours.
#[derive(Clone, Copy)]
pub(super) struct Failed(pub(super) Code);

/// The trace that the caller's request belongs to, by W3C Trace Context.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    // Later versions may append parts; the first has four.
    let ended = version != "00" || parts.next().is_none();
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    (whole && ended && !zero(trace) && !zero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_names_a_trace() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, valid) in [
            (format!("00-{trace}-00f067aa0ba902b7-01"), true),
            (format!("01-{trace}-00f067aa0ba902b7-01-more"), true),
            (format!("00-{trace}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{trace}-00f067aa0ba902b7-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()), false),
            (format!("00-{trace}-00f067aa0ba902b7"), false),
            (String::new(), false),
        ] {
            let headers = [(axum::http::HeaderName::from_static("traceparent"), text.parse().unwrap())].into_iter().collect();
            assert_eq!(trace_id(&headers), valid.then_some(trace), "{text}");
        }
    }
}
