//! One row, with its entity tag.
//!
//! Must not show a row that the permission does not reach: `NOT_FOUND`, as if it did not exist.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::filter::Id;
use super::{Resource, precondition, select};
use crate::access::Access;
use crate::answer::{ETag, tagged};
use crate::error::{Code, Result};

pub(super) async fn read<R: Resource>(access: Access<R::Read>, Id(id): Id, headers: HeaderMap) -> Result<Response> {
    let mut conn = access.connection().await?;
    let found = select::one::<R>(&mut conn, id, access.own()).await?;
    conn.finish();
    let found = found.ok_or(Code::NotFound)?;
    let tag = ETag(found.version);
    if precondition::caller_has(&headers, tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(axum::http::header::ETAG, tag.value())]).into_response());
    }
    Ok(tagged(StatusCode::OK, tag, found.record))
}
