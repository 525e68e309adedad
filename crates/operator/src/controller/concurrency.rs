//! How many Schools are worked on at once: limits for each server, and for Schools without a server, one for each kind of work.
//!
//! Must not let one server take another's share, nor slow work take that of urgent work: a slow or dead server, or a fleet that is migrated, uses up only its
//! own limit. Whoever waits holds nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::names::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Databases staged at once on one server; more only compete for its disk.
const STAGED_AT_ONCE: u16 = 4;
/// Connections for whatever needs no permit, such as preparing the server.
const SPARE_CONNECTIONS: u16 = 2;

/// The kinds of work that have a limit of their own on each server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Whatever is none of the others.
    Ordinary,
    /// Taking a School out of service: it must not wait behind anything else.
    Withdrawal,
    /// Applying one migration, which may take minutes.
    Migration,
    /// Copying the template.
    Staging,
    /// Dropping a database.
    Drop,
}

/// Whose limit it is: a server's, or that of the Schools without one, for one kind of work.
type Owner = (Option<ServerName>, Work);

/// The limits.
#[derive(Debug)]
pub struct ConcurrencyLimits {
    per_server: u16,
    limits: Mutex<HashMap<Owner, Arc<Semaphore>>>,
}

impl ConcurrencyLimits {
    /// Limits of `per_server` Schools for each kind of work, and of fewer for staging.
    #[must_use]
    pub fn new(per_server: u16) -> Self {
        Self { per_server, limits: Mutex::default() }
    }

    /// The most connections that all kinds of work have open to one server at once, as its admin. Migrations log in by themselves.
    #[must_use]
    pub fn admin_connections(&self) -> u32 {
        let pooled = [Work::Ordinary, Work::Withdrawal, Work::Staging, Work::Drop];
        pooled.into_iter().map(|work| u32::from(self.limit(work))).sum::<u32>() + u32::from(SPARE_CONNECTIONS)
    }

    /// Waits, first come first served, for a permit of a server. None only when the semaphore is closed, which never happens while the operator runs.
    pub async fn acquire(&self, server: Option<&ServerName>, work: Work) -> Option<OwnedSemaphorePermit> {
        let limit = {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = || Arc::new(Semaphore::new(self.limit(work).into()));
            Arc::clone(limits.entry((server.cloned(), work)).or_insert_with(limit))
        };
        limit.acquire_owned().await.ok()
    }

    fn limit(&self, work: Work) -> u16 {
        match work {
            Work::Ordinary | Work::Withdrawal | Work::Migration | Work::Drop => self.per_server,
            Work::Staging => self.per_server.min(STAGED_AT_ONCE),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_kind_of_work_that_is_used_up_leaves_the_others_and_other_servers_alone() {
        let limits = ConcurrencyLimits::new(2);
        let (one, other) = (ServerName::parse("pg-1").unwrap(), ServerName::parse("pg-2").unwrap());
        let acquire = |server, work| limits.acquire(Some(server), work).now_or_never().flatten();
        let migrations: Vec<_> = (0..3).map(|_| acquire(&one, Work::Migration)).collect();
        assert_eq!(migrations.iter().filter(|permit| permit.is_some()).count(), 2);
        for work in [Work::Ordinary, Work::Withdrawal, Work::Staging, Work::Drop] {
            assert!(acquire(&one, work).is_some(), "{work:?} waits behind migrations");
        }
        assert!(acquire(&other, Work::Migration).is_some());
        drop(migrations);
        assert!(acquire(&one, Work::Migration).is_some());
    }
}
