//! How many Schools are worked on at once: a bounded lane for each server, and one for Schools without a server.
//!
//! A slow or dead server fills only its own lane; whoever waits for a lane holds nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::names::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics;

/// The lanes.
#[derive(Debug)]
pub struct Lanes {
    width: u16,
    lanes: Mutex<HashMap<Option<ServerName>, Arc<Semaphore>>>,
}

impl Lanes {
    /// Lanes that take `width` Schools each.
    #[must_use]
    pub fn new(width: u16) -> Self {
        Self { width, lanes: Mutex::default() }
    }

    /// How many Schools a lane takes.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Waits, first come first served, for a place in a server's lane. None only when the lanes are closed, which never happens while the operator runs.
    pub async fn enter(&self, server: Option<&ServerName>) -> Option<OwnedSemaphorePermit> {
        let lane = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lanes.entry(server.cloned()).or_insert_with(|| Arc::new(Semaphore::new(self.width.into()))))
        };
        metrics::enqueued("School");
        let place = lane.acquire_owned().await.ok();
        metrics::dequeued("School");
        place
    }
}
