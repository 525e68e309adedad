//! How many Schools are reconciled at once: a limit for each server, and one for Schools without a server.
//!
//! Must not let one server take another's share: a slow or dead server uses up only its own limit, and whoever waits holds nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::names::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits.
#[derive(Debug)]
pub struct ConcurrencyLimits {
    per_server: u16,
    limits: Mutex<HashMap<Option<ServerName>, Arc<Semaphore>>>,
}

impl ConcurrencyLimits {
    /// Limits of `per_server` Schools each.
    #[must_use]
    pub fn new(per_server: u16) -> Self {
        Self { per_server, limits: Mutex::default() }
    }

    /// How many Schools of one server are reconciled at once.
    #[must_use]
    pub fn per_server(&self) -> u16 {
        self.per_server
    }

    /// Waits, first come first served, for a permit of a server. None only when the semaphore is closed, which never happens while the operator runs.
    pub async fn acquire(&self, server: Option<&ServerName>) -> Option<OwnedSemaphorePermit> {
        let limit = {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(limits.entry(server.cloned()).or_insert_with(|| Arc::new(Semaphore::new(self.per_server.into()))))
        };
        limit.acquire_owned().await.ok()
    }
}
