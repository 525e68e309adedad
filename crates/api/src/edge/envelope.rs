//! Errors as callers see them: one envelope, in the request's language, and one record in the log with the cause.
//!
//! Must not put a cause into the body: it may name hosts, databases and statements.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use telemetry::logs::chain;

use super::RequestId;
use super::measurement::Failed;
use crate::error::{Code, Error, Language, MOST_FIELDS, Problem, ProblemError, ProblemField};
use crate::metrics::requests;

/// When to ask again, where nobody knows better.
const SOON: Duration = Duration::from_secs(1);

/// `response`, in the envelope if it is an error: one of ours, or one that the framework made (no such route, no such method, a path that does not parse).
pub(super) fn enveloped(mut response: Response, language: Language, id: &RequestId) -> Response {
    let status = response.status();
    let error = match response.extensions_mut().remove::<Error>() {
        Some(error) => error,
        None if status.is_client_error() || status.is_server_error() => code_of(status).into(),
        None => return response,
    };
    log(&error);
    if error.code.is_refusal() {
        requests::refused(error.code.label());
    }
    let body = Json(problem(&error, language, id)).into_response();
    // Headers that were set beside the error, such as Allow, stay.
    let (mut head, _) = response.into_parts();
    head.status = error.code.status();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let tag = match language {
        Language::Portuguese => "pt",
        Language::English => "en",
    };
    head.headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(tag));
    // Whoever is refused for the moment is told when to come back.
    let refused_for_now = matches!(head.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    if let Some(wait) = error.retry_after.or(refused_for_now.then_some(SOON)) {
        // Whole seconds, and never less than was asked for.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        head.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if head.status == StatusCode::UNAUTHORIZED {
        head.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if head.status.is_server_error() {
        head.extensions.insert(Failed(error.code));
    }
    Response::from_parts(head, body.into_body())
}

fn problem(error: &Error, language: Language, id: &RequestId) -> Problem {
    let fields = error.fields.iter().take(MOST_FIELDS).map(|field| ProblemField {
        field: field.name().to_owned(),
        code: field.code,
        message: field.message.of(language).to_owned(),
    });
    let error = ProblemError {
        code: error.code.label(),
        message: error.code.text(language),
        fields: fields.collect(),
        request_id: id.as_str().to_owned(),
    };
    Problem { success: false, error }
}

/// The code of an answer that the framework made.
fn code_of(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::URI_TOO_LONG => Code::UriTooLong,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::TOO_MANY_REQUESTS => Code::TooManyRequests,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::HeadersTooLarge,
        status if status.is_client_error() => Code::Malformed,
        _ => Code::Internal,
    }
}

/// One record, inside the request's span, which carries its id and its tenant.
fn log(error: &Error) {
    let (code, cause) = (error.code.label(), error.cause.as_deref().map(|cause| chain(cause)));
    match error.code.status() {
        StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(code, cause, "request failed"),
        status if status.is_server_error() => tracing::warn!(code, cause, "request failed"),
        _ => tracing::debug!(code, cause, "request refused"),
    }
}
