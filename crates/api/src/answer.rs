//! What a successful request is answered: `{"success": true, "data": …}`, and `next` on a page that another follows.
//!
//! Must not hold errors: `error` does.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Answer with one result.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// Always true for a successful request.
    #[schema(examples(true))]
    pub success: bool,
    /// Result of the request.
    pub data: T,
}

/// Answer with one page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// Always true for a successful request.
    #[schema(examples(true))]
    pub success: bool,
    /// Records of this page, in the order of the list.
    pub data: Vec<T>,
    /// Cursor of the next page, for the parameter `after`; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

impl<T> Data<T> {
    /// One thing.
    #[must_use]
    pub const fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

impl<T> Page<T> {
    /// Things, and the cursor of the page that follows.
    #[must_use]
    pub const fn new(data: Vec<T>, next: Option<String>) -> Self {
        Self { success: true, data, next }
    }
}

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// A row's version as an entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag(pub i64);

impl ETag {
    /// The tag's text, quotes included.
    #[must_use]
    pub fn text(self) -> String {
        format!("\"{}\"", self.0)
    }

    /// The header's value.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        // Digits and quotes are always a header value.
        HeaderValue::from_str(&self.text()).unwrap_or(HeaderValue::from_static("\"0\""))
    }
}

/// A thing with its entity tag.
pub fn tagged<T: Serialize>(status: StatusCode, tag: ETag, data: T) -> Response {
    (status, [(header::ETAG, tag.value())], Json(Data::new(data))).into_response()
}
