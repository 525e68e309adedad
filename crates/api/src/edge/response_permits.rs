//! Keeps a request's permits until the socket has taken the last byte of its answer.
//!
//! Must not give a permit back earlier: the bytes of a slow client stay in memory until then.

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use futures::stream;

use super::RequestContext;

/// `body`, which gives the request's permits back when the last of its bytes is dropped. Not when the body is dropped: the HTTP parser drops a body once its
/// bytes are queued, before the socket has taken them.
pub(super) async fn hold_until_sent(context: RequestContext, body: Body) -> Body {
    if body.is_end_stream() || context.permits().is_empty() {
        return body;
    }
    // Every answer is one frame: this neither waits nor copies.
    match to_bytes(body, usize::MAX).await {
        Ok(bytes) => Body::from(Bytes::from_owner(BytesWithPermits { bytes, _context: context })),
        Err(error) => Body::from_stream(stream::iter([Err::<Bytes, _>(error)])),
    }
}

struct BytesWithPermits {
    bytes: Bytes,
    _context: RequestContext,
}

impl AsRef<[u8]> for BytesWithPermits {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
