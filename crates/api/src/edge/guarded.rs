//! The inner half of what surrounds a handler: whatever it meets there, the caller gets an answer in time, in the envelope.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use tokio::time::{Instant, timeout_at};

use super::arriving::{Arrival, bounded};
use super::{RequestId, Settings, envelope, head, language, retry};
use crate::error::{Code, Error};

/// Holds the request to its bounds, the handler to its time, and every error to the envelope.
pub(super) async fn guarded(State(settings): State<Arc<Settings>>, request: Request, next: Next) -> Response {
    let language = language(request.headers());
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let response = match head::check(request.method(), request.uri(), request.headers(), &settings) {
        Ok(()) => answered(&settings, request, next).await,
        Err(error) => error.into_response(),
    };
    envelope::enveloped(response, language, &id)
}

async fn answered(settings: &Settings, request: Request, next: Next) -> Response {
    let (now, arrival) = (Instant::now(), Arrival::default());
    let request = request.map(|body| bounded(body, settings.body_bytes, now + settings.body_timeout, &arrival));
    let answer = AssertUnwindSafe(retry::retry_if_stale(request, next)).catch_unwind();
    let response = match timeout_at(now + settings.request_timeout, answer).await {
        Ok(Ok(response)) => response,
        // The panic's own text went to the log by the hook.
        Ok(Err(_)) => Error::new(Code::Internal).into_response(),
        Err(_) => Error::new(Code::Timeout).into_response(),
    };
    match arrival.fault() {
        Some(code) if !response.status().is_success() => Error::new(code).into_response(),
        _ => response,
    }
}
