//! What all servers' pools share: limits, known epochs, and whether the process is stopping.
//!
//! Must not know a server or a connection.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use tokio_util::task::TaskTracker;

use super::epochs::Epochs;
use super::error::Error;
use super::limits::Limits;

/// See the module.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) limits: Limits,
    pub(super) epochs: Epochs,
    stopping: AtomicBool,
    /// One token for every slot that is not idle, so that the end of the process can wait for them.
    pub(super) busy: TaskTracker,
    /// Spreads lifetimes, differently in each process.
    spread: RandomState,
}

impl Context {
    pub(super) fn new(limits: Limits) -> Self {
        let (epochs, stopping) = (Epochs::default(), AtomicBool::new(false));
        Self { limits, epochs, stopping, busy: TaskTracker::new(), spread: RandomState::new() }
    }

    /// From now on nobody gets a connection.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Refuses whoever requests, waits for or gives back a connection of a stale epoch, or while the process is stopping.
    pub(super) fn refuse_stale(&self, tenant: TenantId, epoch: i64) -> Result<(), Error> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(Error::Stopping);
        }
        if self.epochs.is_stale(tenant, epoch) { Err(Error::Stale) } else { Ok(()) }
    }

    /// The lifetime, a fifth more or less, so that connections that were opened together do not end together.
    pub(super) fn spread_lifetime(&self, opened: Instant) -> Duration {
        let percent = u32::try_from(self.spread.hash_one(opened) % 41).unwrap_or(20) + 80;
        self.limits.lifetime * percent / 100
    }
}
