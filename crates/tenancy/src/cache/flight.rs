//! One load for all that want the same value at the same time in this process.
//!
//! Who comes first leads; the others wait for what it shares. A leader that is dropped, because its client went away, is followed by one of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::names::TenantId;
use tokio::sync::watch;

use super::key::Place;

/// What a leader leaves to those who wait.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The value in its envelope.
    Shared(Arc<[u8]>),
    /// It has none to share: the load failed, and an error is only for who caused it.
    Unshared,
    /// It was dropped before it knew.
    Abandoned,
}

type Receiver = watch::Receiver<Outcome>;

#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Place, Receiver>>);

/// Who loads, and who waits.
pub(super) enum Role<'a> {
    Leader(Leader<'a>),
    Waiter(Waiter),
}

impl Flights {
    /// Joins the load of `place` that is under way, or leads one.
    pub(super) fn join(&self, place: &Place) -> Role<'_> {
        let mut flights = self.flights();
        // One whose leader is gone is nobody's any more, though its leader may not have taken it away yet.
        if let Some(flight) = flights.get(place).filter(|flight| flight.has_changed().is_ok()) {
            return Role::Waiter(Waiter(flight.clone()));
        }
        let (sender, receiver) = watch::channel(Outcome::Abandoned);
        flights.insert(place.clone(), receiver);
        Role::Leader(Leader { flights: self, place: place.clone(), sender })
    }

    /// Whoever wants `place` from now on does not get what is being loaded.
    pub(super) fn forget(&self, place: &Place) {
        self.flights().remove(place);
    }

    /// The same for all of a tenant's.
    pub(super) fn flush(&self, tenant: TenantId) {
        self.flights().retain(|place, _| place.tenant != tenant);
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Place, Receiver>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Leader<'a> {
    flights: &'a Flights,
    place: Place,
    sender: watch::Sender<Outcome>,
}

impl Leader<'_> {
    /// Ends the flight with a value, or without one.
    pub(super) fn share(self, bytes: Option<Arc<[u8]>>) {
        self.sender.send_replace(bytes.map_or(Outcome::Unshared, Outcome::Shared));
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.flights();
        // Not one that was begun after this one had been forgotten.
        if flights.get(&self.place).is_some_and(|flight| flight.same_channel(&self.sender.subscribe())) {
            flights.remove(&self.place);
        }
    }
}

pub(super) struct Waiter(Receiver);

impl Waiter {
    /// What the leader leaves.
    pub(super) async fn outcome(mut self) -> Outcome {
        // The sender is dropped after what it sent; without a message the first value stands.
        let _ = self.0.changed().await;
        self.0.borrow().clone()
    }
}
