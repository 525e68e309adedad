//! Which tenant takes a place on which server, so that schools that are placed at the same moment count each other.
//!
//! Must never be the only record: it is filled from the registry and the Schools' statuses before the first placement, and a place is held only here
//! no longer than until its names are recorded.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::names::{ServerName, TenantId};
use domain::placement::{self, Candidate, Placement, PlacementRequest, Unplaced};

/// The reserved places.
#[derive(Debug, Default)]
pub struct PlacementReservations(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    /// By tenant.
    taken: HashMap<TenantId, ServerName>,
    /// Servers whose objects go: a School that observed them before must not be placed there.
    closed: HashSet<ServerName>,
}

impl PlacementReservations {
    /// The best of `candidates` for a tenant, whose counts of schools are filled in from the reserved places. Reserves nothing.
    ///
    /// # Errors
    /// [`Unplaced`], when no server fits.
    pub fn preview(&self, tenant: TenantId, request: &PlacementRequest, candidates: &[Candidate]) -> Result<Placement, Unplaced> {
        choose(&self.places(), tenant, request, candidates)
    }

    /// Reserves a place on the best of `candidates`.
    ///
    /// # Errors
    /// [`Unplaced`], when no server fits; nothing is reserved then.
    pub fn reserve(&self, tenant: TenantId, request: &PlacementRequest, candidates: &[Candidate]) -> Result<Placement, Unplaced> {
        let mut places = self.places();
        let placement = choose(&places, tenant, request, candidates)?;
        places.taken.insert(tenant, placement.server.clone());
        Ok(placement)
    }

    /// Records where a tenant is known to be.
    pub fn record(&self, tenant: TenantId, server: ServerName) {
        self.places().taken.insert(tenant, server);
    }

    /// Takes a server out of every placement until [`PlacementReservations::reopen`]. False, and nothing is done, when a place on it is reserved.
    pub fn close(&self, server: &ServerName) -> bool {
        let mut places = self.places();
        let free = places.taken.values().all(|taken| taken != server);
        if free {
            places.closed.insert(server.clone());
        }
        free
    }

    /// Schools may be placed on this server again: there is an object of this name that stays.
    pub fn reopen(&self, server: &ServerName) {
        self.places().closed.remove(server);
    }

    /// Releases a tenant's place. True when there was one.
    pub fn release(&self, tenant: TenantId) -> bool {
        self.places().taken.remove(&tenant).is_some()
    }

    /// Releases every place whose tenant does not satisfy `keep`. True when there was one.
    pub fn retain(&self, keep: impl Fn(TenantId) -> bool) -> bool {
        let mut places = self.places();
        let before = places.taken.len();
        places.taken.retain(|tenant, _| keep(*tenant));
        places.taken.len() < before
    }

    /// Places reserved on a server.
    #[must_use]
    pub fn schools_on(&self, server: &ServerName) -> u32 {
        u32::try_from(self.places().taken.values().filter(|taken| *taken == server).count()).unwrap_or(u32::MAX)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tenant's own place does not stand in its way.
fn choose(places: &Places, tenant: TenantId, request: &PlacementRequest, candidates: &[Candidate]) -> Result<Placement, Unplaced> {
    let counted: Vec<_> = candidates
        .iter()
        .filter(|candidate| !places.closed.contains(&candidate.name))
        .map(|candidate| {
            let others = places.taken.iter().filter(|(other, server)| **other != tenant && **server == candidate.name).count();
            Candidate { schools: u32::try_from(others).unwrap_or(u32::MAX), ..candidate.clone() }
        })
        .collect();
    placement::choose(request, &counted)
}

#[cfg(test)]
mod tests {
    use domain::tier::Tier;
    use uuid::Uuid;

    use super::*;

    fn candidate(name: &str) -> Candidate {
        let name = ServerName::parse(name).unwrap();
        Candidate {
            name,
            tiers: vec![Tier::Standard],
            schedulable: true,
            ready: true,
            namespace_allowed: true,
            schools: 0,
            capacity: Some(2),
        }
    }

    #[test]
    fn schools_placed_at_the_same_moment_share_the_servers_and_never_exceed_their_capacity() {
        let reservations = PlacementReservations::default();
        let request = PlacementRequest { tier: Tier::Standard, server: None };
        let place = |n| {
            reservations.reserve(TenantId(Uuid::from_u128(n)), &request, &[candidate("a"), candidate("b")]).map(|c| c.server.to_string())
        };
        let servers: Vec<_> = (0..4).map(|n| place(n).unwrap()).collect();
        assert_eq!(servers, ["a", "b", "a", "b"]);
        assert!(place(4).is_err());
        assert_eq!(place(3).unwrap(), "b", "a tenant's own place does not stand in its way");
        assert!(reservations.release(TenantId(Uuid::from_u128(0))));
        assert_eq!(place(4).unwrap(), "a");
    }

    #[test]
    fn a_server_whose_object_goes_takes_no_school_that_observed_it_before() {
        let (reservations, server) = (PlacementReservations::default(), ServerName::parse("a").unwrap());
        let request = PlacementRequest { tier: Tier::Standard, server: None };
        let place = |n| reservations.reserve(TenantId(Uuid::from_u128(n)), &request, &[candidate("a")]);
        assert!(place(0).is_ok());
        assert!(!reservations.close(&server), "it holds a school");
        assert!(place(1).is_ok(), "and takes more");
        assert!(reservations.release(TenantId(Uuid::from_u128(0))) && reservations.release(TenantId(Uuid::from_u128(1))));
        assert!(reservations.close(&server));
        assert!(place(2).is_err());
        reservations.reopen(&server);
        assert!(place(2).is_ok());
    }
}
