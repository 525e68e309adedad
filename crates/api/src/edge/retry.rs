//! A read that met a stale route is asked once more, on the fresh one, so that a school's move costs its readers no error.
//!
//! Once, and only what changes nothing.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::error::Error;

/// The answer, or the second one when the first was an error of a stale route.
pub(super) async fn retry_if_stale(request: Request, next: Next) -> Response {
    let repeatable = matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
    if !repeatable {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let again = head.clone();
    let response = next.clone().run(Request::from_parts(head, body)).await;
    match response.extensions().get::<Error>() {
        Some(error) if error.stale => next.run(Request::from_parts(again, Body::empty())).await,
        _ => response,
    }
}
