//! Which tenant takes a place on which server, so that schools placed at the same moment see each other.
//!
//! Must never be the only record: it is filled from the registry and the Schools' statuses before the first placement, and a place is only held here
//! until its names are recorded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::names::{ServerName, TenantId};
use domain::placement::{self, Candidate, Placement, PlacementRequest, Unplaced};

/// The places taken.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<TenantId, ServerName>>);

impl Ledger {
    /// Takes a place on the best of `candidates`, whose counts of schools are filled in from the places taken.
    ///
    /// # Errors
    /// [`Unplaced`], when no server fits; no place is taken then.
    pub fn place(&self, tenant: TenantId, request: &PlacementRequest, mut candidates: Vec<Candidate>) -> Result<Placement, Unplaced> {
        let mut places = self.places();
        for candidate in &mut candidates {
            let others = places.iter().filter(|(other, server)| **other != tenant && **server == candidate.name).count();
            candidate.schools = u32::try_from(others).unwrap_or(u32::MAX);
        }
        let choice = placement::choose(request, &candidates)?;
        places.insert(tenant, choice.server.clone());
        Ok(choice)
    }

    /// Records where a tenant is known to be.
    pub fn put(&self, tenant: TenantId, server: ServerName) {
        self.places().insert(tenant, server);
    }

    /// Frees a tenant's place; whether there was one.
    pub fn free(&self, tenant: TenantId) -> bool {
        self.places().remove(&tenant).is_some()
    }

    /// Frees every place whose tenant `lives` does not know; whether there was one.
    pub fn keep(&self, lives: impl Fn(TenantId) -> bool) -> bool {
        let mut places = self.places();
        let before = places.len();
        places.retain(|tenant, _| lives(*tenant));
        places.len() < before
    }

    /// Places taken on a server.
    #[must_use]
    pub fn schools_on(&self, server: &ServerName) -> u32 {
        u32::try_from(self.places().values().filter(|taken| *taken == server).count()).unwrap_or(u32::MAX)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<TenantId, ServerName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use domain::tier::Tier;

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
        let ledger = Ledger::default();
        let request = PlacementRequest { tier: Tier::Standard, server: None };
        let place =
            |n| ledger.place(TenantId(Uuid::from_u128(n)), &request, vec![candidate("a"), candidate("b")]).map(|c| c.server.to_string());
        let servers: Vec<_> = (0..4).map(|n| place(n).unwrap()).collect();
        assert_eq!(servers, ["a", "b", "a", "b"]);
        assert!(place(4).is_err());
        assert_eq!(place(3).unwrap(), "b", "a tenant's own place does not stand in its way");
        assert!(ledger.free(TenantId(Uuid::from_u128(0))));
        assert_eq!(place(4).unwrap(), "a");
    }
}
