//! What every reconcile works with. Holds connections and small, bounded memory; no decision is taken from it that could not be taken anew after a restart.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use domain::names::ClusterUid;
use kube::runtime::reflector::Store;
use kube::{Api, Client};
use postgres::schema::Migrations;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::PoolDefaults;
use sqlx::PgPool;
use telemetry::health::Heartbeat;
use tokio::sync::SetOnce;

use super::attempts::Attempts;
use super::lanes::Lanes;
use super::latest::Latest;
use super::ledger::Ledger;
use super::servers::Servers;
use super::wake::Wake;
use crate::crd::{DatabaseServer, School};
use crate::kubernetes::events::Recorder;
use crate::kubernetes::lease::Held;

/// What a [`Context`] is made of.
pub struct Parts {
    /// The API server.
    pub client: Client,
    /// The cluster's identity, part of every mark.
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
    /// Every School, as last watched.
    pub schools: Store<School>,
    /// Every `DatabaseServer`, as last watched.
    pub server_objects: Store<DatabaseServer>,
    /// Events.
    pub recorder: Recorder,
    /// The sign of life.
    pub heartbeat: Heartbeat,
    /// Schools worked on at once for each server.
    pub concurrency: u16,
    /// How often a School is looked at although nothing happened.
    pub resync: Duration,
    /// How long progress is awaited before it counts as stalled.
    pub progress_deadline: Duration,
}

/// Shared by all reconciles of one process: its parts, and what is remembered between turns.
pub struct Context {
    parts: Parts,
    /// The servers looked at.
    pub servers: Servers,
    /// The places taken on them.
    pub ledger: Ledger,
    /// Set once the ledger holds the places of Schools whose names are recorded and which the registry does not know yet. Any number of turns may wait
    /// for it, which kube's own `Store::wait_until_ready` does not bear: it wakes only the last of those who wait.
    pub places_known: SetOnce<()>,
    /// How many Schools are worked on at once.
    pub lanes: Lanes,
    /// Failures in a row.
    pub attempts: Attempts,
    /// How the last turn left each School.
    pub latest: Latest,
    /// Schools to look at again.
    pub wake: Arc<Wake<School>>,
    /// Servers to look at again.
    pub suspects: Arc<Wake<DatabaseServer>>,
}

impl Deref for Context {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Context {
    /// A context that knows no server yet and has woken nobody.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            servers: Servers::default(),
            ledger: Ledger::default(),
            places_known: SetOnce::new(),
            lanes: Lanes::new(parts.concurrency),
            attempts: Attempts::default(),
            latest: Latest::default(),
            wake: Arc::default(),
            suspects: Arc::default(),
            parts,
        }
    }

    /// The Lease, to be given up at the end.
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
