//! The error answers that all routes share: one for each status, with its headers and an example for each code.
//!
//! Must not know any route. The texts are those of the error codes.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::Ref;
use utoipa::openapi::schema::RefBuilder;

use super::JSON;
use crate::error::{Code, Language};

/// The answer with these codes, which have one status.
pub(super) fn refusal(codes: &[Code]) -> Ref {
    let status = codes.first().map_or(StatusCode::INTERNAL_SERVER_ERROR, |code| code.status());
    let labels = codes.iter().map(|code| format!("`{}`", code.label())).collect::<Vec<_>>().join(", ");
    RefBuilder::new().ref_location(format!("#/components/responses/{}", name(status))).description(Some(labels)).build()
}

/// The name of a status among the document's responses: `NotFound`.
pub(super) fn name(status: StatusCode) -> String {
    let parts = status.canonical_reason().unwrap_or("Error").split(|c: char| !c.is_alphanumeric());
    parts.flat_map(|word| word.chars().take(1).chain(word.chars().skip(1).map(|c| c.to_ascii_lowercase()))).collect()
}

/// The document's `components.responses`, by name.
pub(super) fn all() -> Map<String, Value> {
    let mut statuses: Vec<StatusCode> = Code::ALL.iter().map(|code| code.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses.into_iter().map(|status| (name(status), answer(status))).collect()
}

fn answer(status: StatusCode) -> Value {
    let codes = || Code::ALL.iter().filter(|code| code.status() == status);
    let text = codes().map(|code| format!("`{}`: {}.", code.label(), code.text(Language::English))).collect::<Vec<_>>().join(" ");
    let examples: Map<String, Value> = codes().map(|code| (code.label().to_owned(), json!({ "value": example(*code) }))).collect();
    let content = json!({ "schema": { "$ref": "#/components/schemas/Problem" }, "examples": examples });
    json!({ "description": text, "headers": headers(status), "content": { JSON: content } })
}

fn example(code: Code) -> Value {
    let mut error = json!({
        "code": code.label(),
        "message": code.text(Language::Portuguese),
        "request_id": "0199a6c2-5f3e-7d31-9c57-0d5b1f7a4e11",
    });
    if code == Code::Validation {
        error["fields"] = json!([{ "field": "full_name", "code": "required", "message": "campo obrigatório" }]);
    }
    json!({ "success": false, "error": error })
}

fn headers(status: StatusCode) -> Value {
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } });
    headers["Content-Language"] = text("Language of the message: `pt` or `en`.", true);
    match status {
        StatusCode::UNAUTHORIZED => headers["WWW-Authenticate"] = text("Authentication scheme, always `Bearer`.", true),
        StatusCode::METHOD_NOT_ALLOWED => headers["Allow"] = text("Methods that the path supports.", false),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = json!({ "type": "integer", "minimum": 1 });
            headers["Retry-After"] = json!({ "description": "Number of seconds to wait before trying again.", "schema": seconds });
        }
        _ => {}
    }
    headers
}

fn text(description: &str, required: bool) -> Value {
    json!({ "description": description, "required": required, "schema": { "type": "string" } })
}

/// The header of every answer.
pub(super) fn request_id() -> Value {
    text("Id of the request, which the API gives it. The `X-Request-Id` that a client sends is kept in the API's log beside it.", true)
}

/// The header that names a school, which must agree with the token.
pub(super) fn tenant_parameter() -> Value {
    json!({
        "name": "X-Tenant-Id",
        "in": "header",
        "description": "Id or code of the school. Optional: the token determines the school, and a different value is refused.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 63 },
    })
}
