//! Connections to schools' databases: lazy pools for each tenant, under one budget for each server.
//!
//! A connection belongs to one tenant and one epoch of its route for its whole life. Must not decide who may use it: that is the extractor's.

mod breaker;
mod connection;
mod epochs;
mod error;
mod ledger;
mod limits;
mod open;
mod place;
mod queue;
mod server;
mod target;

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use papaya::HashMap as SharedMap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use connection::Connection;
pub use error::Error;
pub use limits::Limits;
pub use target::Target;

use domain::names::{ServerName, TenantId};
use epochs::{Epochs, Seen};
use server::{Entry, Granted, Server};

/// Every connection of this process to a school's database.
#[derive(Debug)]
pub struct Pools {
    shared: Arc<Shared>,
    servers: SharedMap<ServerName, Arc<Server>>,
}

/// What all servers have in common.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    epochs: Epochs,
    stopping: AtomicBool,
    // One token for every place that is not idle.
    busy: TaskTracker,
    // Spreads lifetimes, differently in each process.
    spread: RandomState,
}

/// One server, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUsage {
    /// The server.
    pub server: ServerName,
    /// Its connections, from the moment one begins to open until it is closed; never above `budget`.
    pub open: u32,
    /// Those of them that wait for a request.
    pub idle: u32,
    /// Requests that wait for a connection.
    pub waiting: u32,
    /// The most connections.
    pub budget: u32,
}

/// One tenant's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantUsage {
    /// From the moment one begins to open until it is closed.
    pub open: u32,
    /// Those of them that wait for a request.
    pub idle: u32,
}

impl Pools {
    /// No connection yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let (epochs, stopping) = (Epochs::default(), AtomicBool::new(false));
        let shared = Shared { limits, epochs, stopping, busy: TaskTracker::new(), spread: RandomState::new() };
        Arc::new(Self { shared: Arc::new(shared), servers: SharedMap::new() })
    }

    /// An idle or a new connection of exactly this tenant and epoch. Dropping the future at any point leaks nothing. A newer epoch than any before closes
    /// the older ones, as [`Pools::close`] does.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn connection(self: &Arc<Self>, target: &Arc<Target>) -> Result<Connection, Error> {
        match self.shared.epochs.raise(target.tenant, target.epoch) {
            Seen::Current => {}
            Seen::Older => return Err(Error::Stale),
            Seen::Newer => self.close_older(target.tenant, target.epoch),
        }
        let granted = match self.server(&target.server).enter(target)? {
            Entry::Session(connection) => Granted::Session(connection),
            Entry::Waiting(waiting) => waiting.granted().await?,
        };
        match granted {
            Granted::Place(place) => open::open(place, target).await,
            Granted::Session(connection) if connection.epoch() != Some(target.epoch) => Err(Error::Stale),
            Granted::Session(connection) => connection.ready(target).await,
        }
    }

    /// A connection that the tenant has and does not use, of exactly this epoch; none when there is none, or somebody on that server waits for one. It
    /// opens nothing and waits for nothing, and whether the session still answers is the caller's to find out.
    #[must_use]
    pub fn idle(&self, target: &Target) -> Option<Connection> {
        if self.shared.epochs.is_stale(target.tenant, target.epoch) {
            return None;
        }
        let server = self.servers.pin().get(&target.server).cloned()?;
        server.idle(target)
    }

    /// Ends a tenant's connections of epochs below this one: idle ones at once, busy ones when they are given back. Whoever waits for or later asks for one
    /// gets [`Error::Stale`].
    pub fn close(&self, tenant: TenantId, below_epoch: i64) {
        self.shared.epochs.raise(tenant, below_epoch);
        self.close_older(tenant, below_epoch);
    }

    fn close_older(&self, tenant: TenantId, epoch: i64) {
        for server in self.servers.pin().values() {
            server.close_older(tenant, epoch);
        }
    }

    /// The one task that closes what was idle or lived too long, and forgets tenants that have nothing open. Ends with `stop`.
    pub async fn reap(self: Arc<Self>, stop: CancellationToken) {
        let limits = &self.shared.limits;
        let period = (limits.idle.min(limits.lifetime) / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
        while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            let now = Instant::now();
            for server in self.servers.pin().values() {
                server.reap(now);
            }
        }
    }

    /// Stops: nobody gets a connection any more, idle ones are closed, and busy ones when they are given back, for which it waits as long as `patience`.
    pub async fn drain(&self, patience: Duration) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for server in self.servers.pin().values() {
            server.stop();
        }
        self.shared.busy.close();
        // What is still busy then is closed when it comes back, or by the end of the process.
        let _ = tokio::time::timeout(patience, self.shared.busy.wait()).await;
    }

    /// Every server that was ever asked for, in no order.
    #[must_use]
    pub fn usage(&self) -> Vec<ServerUsage> {
        self.servers.pin().values().map(|server| server.usage()).collect()
    }

    /// Each tenant's connections; tenants without one are left out.
    #[must_use]
    pub fn by_tenant(&self) -> HashMap<TenantId, TenantUsage> {
        let mut all: HashMap<_, TenantUsage> = HashMap::new();
        for server in self.servers.pin().values() {
            for (tenant, usage) in server.by_tenant() {
                let sum = all.entry(tenant).or_default();
                (sum.open, sum.idle) = (sum.open + usage.open, sum.idle + usage.idle);
            }
        }
        all
    }

    fn server(&self, name: &ServerName) -> Arc<Server> {
        let servers = self.servers.pin();
        if let Some(server) = servers.get(name) {
            return Arc::clone(server);
        }
        Arc::clone(servers.get_or_insert_with(name.clone(), || Arc::new(Server::new(name.clone(), Arc::clone(&self.shared)))))
    }
}
