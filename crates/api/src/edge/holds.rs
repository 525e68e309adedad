//! What a request holds until its answer has been sent: its school's place among those in flight, and one among the exports.
//!
//! An answer is whole in memory until the socket has taken its last byte, however slowly it is read. So a place is given back then, not with the handler.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use domain::names::TenantId;
use futures::stream;
use tenancy::limits::{InFlight, TenantLimits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Code, Error, Result};

/// An extension of every request. Clones share it; what it holds is given back with the last of them.
#[derive(Clone, Debug, Default)]
pub struct Holds(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    in_flight: Option<InFlight>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Holds {
    /// Lets the request in as one of `tenant`'s, once: repeated on a fresh route, it is still one request.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`], with when to try again, as [`TenantLimits::admit`].
    pub fn admit(&self, limits: &TenantLimits, tenant: TenantId) -> Result<()> {
        let mut held = self.lock();
        if held.in_flight.as_ref().is_none_or(|admitted| admitted.tenant() != tenant) {
            let admitted = limits.admit(tenant);
            held.in_flight = Some(admitted.map_err(|refused| Error::new(Code::TooManyRequests).after(refused.retry_after))?);
        }
        Ok(())
    }

    /// Takes one of `places`, if the request has none yet and one is free. Whether it has one now.
    pub fn enter(&self, places: &Arc<Semaphore>) -> bool {
        let mut held = self.lock();
        held.permit = held.permit.take().or_else(|| Arc::clone(places).try_acquire_owned().ok());
        held.permit.is_some()
    }

    /// `body`, which gives back what is held when the last of its bytes is dropped. The parser may be done with a body that it has only queued, so it is the
    /// bytes that hold.
    pub(super) async fn through(self, body: Body) -> Body {
        if body.is_end_stream() || self.is_empty() {
            return body;
        }
        // One frame, as every answer is: nothing is waited for, and nothing copied.
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) => Body::from(Bytes::from_owner(Holding { bytes, _holds: self })),
            Err(error) => Body::from_stream(stream::iter([Err::<Bytes, _>(error)])),
        }
    }

    fn is_empty(&self) -> bool {
        let held = self.lock();
        held.in_flight.is_none() && held.permit.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Holding {
    bytes: Bytes,
    _holds: Holds,
}

impl AsRef<[u8]> for Holding {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
