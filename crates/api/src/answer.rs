//! What a successful request is answered: `{"success": true, "data": …}`, and `next` on a page that another follows.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// One thing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// Always true.
    #[schema(examples(true))]
    pub success: bool,
    /// The thing.
    pub data: T,
}

/// Some of many things.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// Always true.
    #[schema(examples(true))]
    pub success: bool,
    /// The things, in the list's order.
    pub data: Vec<T>,
    /// The cursor of the next page, to be sent as `after`; absent on the last.
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
