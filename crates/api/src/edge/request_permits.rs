//! The permits that a request holds until its answer has been sent: one of its school's requests in flight, and one of the exports.
//!
//! An answer is whole in memory until the socket has taken its last byte, however slowly the client reads. So the permits are given back then, not when the
//! handler returns. Must not decide limits: `tenancy::limits` does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::names::TenantId;
use tenancy::limits::{ExportPermit, Exports, InFlight, TenantLimits};
use uuid::Uuid;

use crate::error::{Code, Error, Result};

/// A request's permits, given back when the last clone of its `RequestContext` is dropped.
#[derive(Debug, Default)]
pub struct RequestPermits(Mutex<Permits>);

#[derive(Debug, Default)]
struct Permits {
    in_flight: Option<InFlight>,
    export: Option<ExportPermit>,
}

impl RequestPermits {
    /// Counts the request as one of `tenant`'s and of this user, once: retried on a fresh route, it is still one request.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`], with when to try again, as [`TenantLimits::admit`].
    pub fn admit(&self, limits: &TenantLimits, tenant: TenantId, user: Uuid) -> Result<()> {
        let mut held = self.lock();
        if held.in_flight.as_ref().is_none_or(|admitted| admitted.tenant() != tenant) {
            let admitted = limits.admit(tenant, user);
            held.in_flight = Some(admitted.map_err(|refused| Error::new(Code::TooManyRequests).after(refused.retry_after))?);
        }
        Ok(())
    }

    /// Takes leave to make an export for this school, if the request has none yet. Returns whether it has one now.
    pub fn begin_export(&self, exports: &Exports, school: TenantId) -> bool {
        let mut held = self.lock();
        held.export = held.export.take().or_else(|| exports.begin(school));
        held.export.is_some()
    }

    /// The export is made and has this size: it needs no more memory until it is sent.
    pub fn export_made(&self, bytes: usize) {
        if let Some(export) = &mut self.lock().export {
            export.made(bytes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let held = self.lock();
        held.in_flight.is_none() && held.export.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Permits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
