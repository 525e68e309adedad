//! The permits that a request holds until its answer has been sent: one of its school's requests in flight, and one of the exports.
//!
//! An answer is whole in memory until the socket has taken its last byte, however slowly the client reads. So the permits are given back then, not when the
//! handler returns. Must not decide limits: `tenancy::limits` does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::names::TenantId;
use tenancy::limits::{InFlight, TenantLimits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Code, Error, Result};

/// A request's permits, given back when the last clone of its `RequestContext` is dropped.
#[derive(Debug, Default)]
pub struct RequestPermits(Mutex<Permits>);

#[derive(Debug, Default)]
struct Permits {
    in_flight: Option<InFlight>,
    export: Option<OwnedSemaphorePermit>,
}

impl RequestPermits {
    /// Counts the request as one of `tenant`'s, once: retried on a fresh route, it is still one request.
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

    /// Takes a permit of `semaphore`, if the request has none yet and one is free. Returns whether it has one now.
    pub fn acquire(&self, semaphore: &Arc<Semaphore>) -> bool {
        let mut held = self.lock();
        held.export = held.export.take().or_else(|| Arc::clone(semaphore).try_acquire_owned().ok());
        held.export.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        let held = self.lock();
        held.in_flight.is_none() && held.export.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Permits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
