//! A request's body on its way in: bounded in size and time whatever its headers claim, and never held as a whole.
//!
//! Must not read a body that nobody asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::BoxError;
use axum::body::{Body, HttpBody as _};
use futures::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use crate::error::{Code, Error};

const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

/// How the arrival went. Extractors see only that reading failed; this tells why.
#[derive(Clone, Default)]
pub(super) struct Arrival(Arc<AtomicU8>);

impl Arrival {
    /// The bound that the body broke.
    pub(super) fn fault(&self) -> Option<Code> {
        match self.0.load(Ordering::Relaxed) {
            TOO_LARGE => Some(Code::TooLarge),
            TOO_SLOW => Some(Code::RequestTimeout),
            _ => None,
        }
    }

    fn broke(&self, bound: u8) -> BoxError {
        self.0.store(bound, Ordering::Relaxed);
        Error::new(self.fault().unwrap_or(Code::Malformed)).into()
    }
}

/// `body`, which fails after `bytes` bytes or at `deadline`.
pub(super) fn bounded(body: Body, bytes: usize, deadline: Instant, arrival: &Arrival) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let arrival = arrival.clone();
    Body::from_stream(stream::try_unfold((body.into_data_stream(), bytes, arrival), move |(mut data, left, arrival)| async move {
        match timeout_at(deadline, data.next()).await {
            Err(_) => Err(arrival.broke(TOO_SLOW)),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(Some(Ok(chunk))) => match left.checked_sub(chunk.len()) {
                Some(left) => Ok(Some((chunk, (data, left, arrival)))),
                None => Err(arrival.broke(TOO_LARGE)),
            },
        }
    }))
}
