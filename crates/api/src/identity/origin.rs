//! Where a request came from and what it asked, as the audit is told of it. Must not hold a query, a body or a token.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;

use crate::client::ClientAddress;
use crate::edge::{RequestContext, RequestId};

/// A request's origin.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its path.
    pub path: String,
    /// Its client; none only without a socket.
    pub client: Option<ClientAddress>,
    /// Its id; none only where no layer gave it one.
    pub request_id: Option<RequestId>,
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let whole = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let context = parts.extensions.get::<RequestContext>();
        let (client, request_id) = (context.map(RequestContext::client), context.map(|context| context.id().clone()));
        Ok(Self { path: whole.path().to_owned(), client, request_id })
    }
}
