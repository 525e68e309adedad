//! What every reconcile works with: connections, settings, and small, bounded memory.
//!
//! Must hold nothing that cannot be rebuilt after a restart.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use domain::names::ClusterUid;
use kube::{Api, Client};
use postgres::schema::Migrations;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::PoolDefaults;
use sqlx::PgPool;
use telemetry::health::Heartbeat;
use tokio::sync::SetOnce;

use super::backoff::Backoff;
use super::cache::Cache;
use super::changes::DesiredChanges;
use super::concurrency::ConcurrencyLimits;
use super::freshness::CacheFreshness;
use super::proven_logins::ProvenLogins;
use super::refused_logins::RefusedLogins;
use super::requeue::Requeue;
use super::reservations::PlacementReservations;
use super::server_cache::ServerCache;
use super::timing::Timing;
use super::waiting::WaitingSchools;
use crate::crd::{DatabaseServer, School};
use crate::kubernetes::events::Recorder;
use crate::kubernetes::lease::Held;

/// What a [`Context`] is made of.
pub struct Parts {
    /// The API server.
    pub client: Client,
    /// The cluster's identity, part of every ownership comment.
    pub cluster: ClusterUid,
    /// Where the admin Secrets of servers are.
    pub namespace: String,
    /// The master database.
    pub registry: PgPool,
    /// Keys that seal credentials.
    pub keyring: Keyring,
    /// The tenant schema.
    pub migrations: Migrations,
    /// How the API is to pool a school's connections.
    pub pooling: PoolDefaults,
    /// The Lease; none where no second operator can run.
    pub lease: Option<Held>,
    /// Every School, as the watch cache has it.
    pub schools: Cache<School>,
    /// Every `DatabaseServer`, as the watch cache has it.
    pub server_objects: Cache<DatabaseServer>,
    /// Events.
    pub recorder: Recorder,
    /// The process's sign of life.
    pub heartbeat: Heartbeat,
    /// Schools reconciled at once for each server.
    pub concurrency: u16,
    /// How often every School is reconciled although nothing happened.
    pub resync: Duration,
    /// How long an object may make no progress before it counts as stalled.
    pub progress_deadline: Duration,
    /// How often objects are reconciled, and maintenance runs, without a change.
    pub timing: Timing,
}

/// Shared by all reconciles of one process: its parts, and what is remembered between reconciles.
pub struct Context {
    parts: Parts,
    /// The servers observed so far.
    pub servers: ServerCache,
    /// The places reserved on them.
    pub reservations: PlacementReservations,
    /// Set once `reservations` holds the places of Schools whose names are recorded and which the registry does not know yet. Any number of reconciles may
    /// wait for it. kube's own `Store::wait_until_ready` cannot be used for that: it wakes only the last waiter.
    pub reservations_loaded: SetOnce<()>,
    /// How many Schools are reconciled at once.
    pub concurrency: ConcurrencyLimits,
    /// The running reconciles, which learn that something else is desired of their objects.
    pub changes: DesiredChanges,
    /// Failures in a row.
    pub backoff: Backoff,
    /// Whether the watch cache has our own last writes.
    pub freshness: CacheFreshness,
    /// Schools to reconcile again.
    pub requeue: Arc<Requeue<School>>,
    /// Schools that wait or were refused.
    pub waiting: WaitingSchools,
    /// Schools' logins that were found to work.
    pub proven_logins: ProvenLogins,
    /// Admin logins that servers refused.
    pub refused_logins: RefusedLogins,
    /// Servers to observe again.
    pub recheck: Arc<Requeue<DatabaseServer>>,
}

impl Deref for Context {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Context {
    /// A context that knows no server yet and has queued nothing.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            servers: ServerCache::default(),
            reservations: PlacementReservations::default(),
            reservations_loaded: SetOnce::new(),
            concurrency: ConcurrencyLimits::new(parts.concurrency),
            changes: DesiredChanges::default(),
            backoff: Backoff::default(),
            freshness: CacheFreshness::default(),
            requeue: Arc::default(),
            waiting: WaitingSchools::default(),
            proven_logins: ProvenLogins::default(),
            refused_logins: RefusedLogins::default(),
            recheck: Arc::default(),
            parts,
        }
    }

    /// The Lease, to be released at the end.
    #[must_use]
    pub fn into_lease(self) -> Option<Held> {
        self.parts.lease
    }

    /// Schools of one namespace.
    #[must_use]
    pub fn schools_in(&self, namespace: &str) -> Api<School> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// All `DatabaseServer`s.
    #[must_use]
    pub fn database_servers(&self) -> Api<DatabaseServer> {
        Api::all(self.client.clone())
    }
}
