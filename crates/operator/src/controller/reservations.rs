//! Which tenant takes a place on which server, so that schools that are placed at the same moment count each other.
//!
//! Must never be the only record: it is filled from the registry and the Schools' statuses before the first placement, and a place is held only here
//! no longer than until its names are recorded. Must count as places come and go: placing a School costs no more when there are many.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::names::{ServerName, TenantId};
use domain::placement::{self, Candidate, Placement, PlacementRequest, Unplaced};

/// The reserved places.
#[derive(Debug, Default)]
pub struct PlacementReservations(Mutex<Places>);

/// Each tenant's place, and how many there are on each server.
#[derive(Debug, Default)]
struct Places {
    servers: HashMap<TenantId, ServerName>,
    counts: HashMap<ServerName, u32>,
    /// Servers whose objects go: a School that observed them before must not be placed there.
    closed: HashSet<ServerName>,
}

impl Places {
    fn insert(&mut self, tenant: TenantId, server: ServerName) {
        if self.servers.get(&tenant) == Some(&server) {
            return;
        }
        self.remove(tenant);
        *self.counts.entry(server.clone()).or_default() += 1;
        self.servers.insert(tenant, server);
    }

    fn remove(&mut self, tenant: TenantId) -> Option<ServerName> {
        let server = self.servers.remove(&tenant)?;
        if let Some(count) = self.counts.get_mut(&server) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&server);
            }
        }
        Some(server)
    }

    fn on(&self, server: &ServerName) -> u32 {
        self.counts.get(server).copied().unwrap_or_default()
    }

    /// A tenant's own place does not stand in its way.
    fn choose(&self, tenant: TenantId, request: &PlacementRequest, candidates: &[Candidate]) -> Result<Placement, Unplaced> {
        let own = self.servers.get(&tenant);
        let others = |server: &ServerName| self.on(server).saturating_sub(u32::from(own == Some(server)));
        let counted: Vec<_> = candidates
            .iter()
            .filter(|candidate| !self.closed.contains(&candidate.name))
            .map(|candidate| Candidate { schools: others(&candidate.name), ..candidate.clone() })
            .collect();
        placement::choose(request, &counted)
    }
}

impl PlacementReservations {
    /// The best of `candidates` for a tenant, whose counts of schools are filled in from the reserved places. Reserves nothing.
    ///
    /// # Errors
    /// [`Unplaced`], when no server fits.
    pub fn preview(&self, tenant: TenantId, request: &PlacementRequest, candidates: &[Candidate]) -> Result<Placement, Unplaced> {
        self.places().choose(tenant, request, candidates)
    }

    /// Reserves a place on the best of `candidates`.
    ///
    /// # Errors
    /// [`Unplaced`], when no server fits; nothing is reserved then.
    pub fn reserve(&self, tenant: TenantId, request: &PlacementRequest, candidates: &[Candidate]) -> Result<Placement, Unplaced> {
        let mut places = self.places();
        let placement = places.choose(tenant, request, candidates)?;
        places.insert(tenant, placement.server.clone());
        Ok(placement)
    }

    /// Records where a tenant is known to be.
    pub fn record(&self, tenant: TenantId, server: ServerName) {
        self.places().insert(tenant, server);
    }

    /// Takes a server out of every placement until [`PlacementReservations::reopen`]. False, and nothing is done, when a place on it is reserved.
    pub fn close(&self, server: &ServerName) -> bool {
        let mut places = self.places();
        let free = places.on(server) == 0;
        if free {
            places.closed.insert(server.clone());
        }
        free
    }

    /// Schools may be placed on this server again: there is an object of this name that stays.
    pub fn reopen(&self, server: &ServerName) {
        self.places().closed.remove(server);
    }

    /// Releases a tenant's place. Returns the server on which there was one.
    pub fn release(&self, tenant: TenantId) -> Option<ServerName> {
        self.places().remove(tenant)
    }

    /// Releases every place whose tenant does not satisfy `keep`. Returns the server of each.
    pub fn retain(&self, keep: impl Fn(TenantId) -> bool) -> Vec<ServerName> {
        let mut places = self.places();
        let gone: Vec<_> = places.servers.keys().copied().filter(|tenant| !keep(*tenant)).collect();
        gone.into_iter().filter_map(|tenant| places.remove(tenant)).collect()
    }

    /// Places reserved on a server.
    #[must_use]
    pub fn schools_on(&self, server: &ServerName) -> u32 {
        self.places().on(server)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            explanation: None,
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
        assert_eq!(reservations.release(TenantId(Uuid::from_u128(0))), ServerName::parse("a").ok());
        assert_eq!(place(4).unwrap(), "a");
    }

    #[test]
    fn the_counts_of_servers_follow_every_place_that_is_taken_moved_or_released() {
        let reservations = PlacementReservations::default();
        let (a, b) = (ServerName::parse("a").unwrap(), ServerName::parse("b").unwrap());
        let tenant = |n| TenantId(Uuid::from_u128(n));
        for n in 0..10 {
            reservations.record(tenant(n), a.clone());
            reservations.record(tenant(n), a.clone());
        }
        reservations.record(tenant(0), b.clone());
        assert_eq!((reservations.schools_on(&a), reservations.schools_on(&b)), (9, 1));
        assert_eq!(reservations.release(tenant(0)), Some(b.clone()));
        assert_eq!(reservations.release(tenant(0)), None);
        assert_eq!(reservations.retain(|one| one.0.as_u128() < 4).len(), 6);
        assert_eq!((reservations.schools_on(&a), reservations.schools_on(&b)), (3, 0));
    }

    #[test]
    fn a_server_whose_object_goes_takes_no_school_that_observed_it_before() {
        let (reservations, server) = (PlacementReservations::default(), ServerName::parse("a").unwrap());
        let request = PlacementRequest { tier: Tier::Standard, server: None };
        let place = |n| reservations.reserve(TenantId(Uuid::from_u128(n)), &request, &[candidate("a")]);
        assert!(place(0).is_ok());
        assert!(!reservations.close(&server), "it holds a school");
        assert!(place(1).is_ok(), "and takes more");
        assert!((0..2).all(|n| reservations.release(TenantId(Uuid::from_u128(n))).is_some()));
        assert!(reservations.close(&server));
        assert!(place(2).is_err());
        reservations.reopen(&server);
        assert!(place(2).is_ok());
    }
}
