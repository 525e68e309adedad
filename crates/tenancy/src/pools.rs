//! Connections to schools' databases: pools for each tenant, opened on demand, under one connection budget for each server (ADR 13).
//!
//! A connection belongs to one tenant and one epoch of its route for its whole life. Must not decide who may use it: the caller has checked that.

mod budget;
mod connect;
mod connect_breaker;
mod connection;
mod context;
mod epochs;
mod error;
mod limits;
mod openings;
mod queue;
mod server;
mod session;
mod slot;
mod target;
mod usage;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::{ServerName, TenantId};
use papaya::HashMap as SharedMap;
use tokio_util::sync::CancellationToken;

pub use self::connection::Connection;
pub use self::error::Error;
pub use self::limits::Limits;
pub use self::target::Target;
pub use self::usage::{ServerUsage, TenantUsage};

use self::context::Context;
use self::epochs::EpochOrder;
use self::slot::PoolServer;

/// Every connection of this process to a school's database.
#[derive(Debug)]
pub struct Pools {
    context: Arc<Context>,
    servers: SharedMap<ServerName, Arc<PoolServer>>,
}

impl Pools {
    /// No connection yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { context: Arc::new(Context::new(limits)), servers: SharedMap::new() })
    }

    /// An idle or a new connection of exactly this tenant and epoch. Dropping the future at any point leaks nothing. An epoch newer than any before closes
    /// connections of older ones, as [`Pools::close`] does.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn connection(self: &Arc<Self>, target: &Arc<Target>) -> Result<Connection, Error> {
        match self.context.epochs.raise(target.tenant, target.epoch) {
            EpochOrder::Current => {}
            EpochOrder::Older => return Err(Error::Stale),
            EpochOrder::Newer => self.close_older(target.tenant, target.epoch),
        }
        let grant = self.server(&target.server).acquire(target).await?;
        Connection::open(grant, target).await
    }

    /// An idle connection of exactly this tenant and epoch. None when the tenant has none, or when anybody waits on that server. It opens nothing and
    /// waits for nothing. The caller must find out whether the session still answers.
    #[must_use]
    pub fn idle_connection(&self, target: &Target) -> Option<Connection> {
        if self.context.epochs.is_stale(target.tenant, target.epoch) {
            return None;
        }
        let server = self.servers.pin().get(&target.server).cloned()?;
        server.lend_idle(target).map(|(slot, session)| Connection::new(slot, session))
    }

    /// Ends a tenant's connections of epochs below this one: idle ones at once, busy ones when they are given back. Whoever waits for one, or requests one
    /// later, gets [`Error::Stale`].
    pub fn close(&self, tenant: TenantId, below_epoch: i64) {
        self.context.epochs.raise(tenant, below_epoch);
        self.close_older(tenant, below_epoch);
    }

    fn close_older(&self, tenant: TenantId, epoch: i64) {
        for server in self.servers.pin().values() {
            server.refuse_older(tenant, epoch);
        }
    }

    /// The one task that closes connections that were idle or lived too long, and forgets tenants without connections. Ends with `stop`.
    pub async fn reap(self: Arc<Self>, stop: CancellationToken) {
        let limits = &self.context.limits;
        let period = (limits.idle.min(limits.lifetime) / 4).clamp(Duration::from_millis(10), Duration::from_secs(15));
        while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            let now = Instant::now();
            for server in self.servers.pin().values() {
                server.close_expired(now);
            }
        }
    }

    /// Stops: nobody gets a connection any more, idle ones are closed, and busy ones when they are given back. Waits for that at most `timeout`.
    pub async fn drain(&self, timeout: Duration) {
        self.context.stop();
        for server in self.servers.pin().values() {
            server.shut_down();
        }
        self.context.busy.close();
        // A connection that is still busy then is closed when it is given back, or by the end of the process.
        let _ = tokio::time::timeout(timeout, self.context.busy.wait()).await;
    }

    /// Every server that a connection was ever requested on, in no order.
    #[must_use]
    pub fn usage(&self) -> Vec<ServerUsage> {
        self.servers.pin().values().map(|server| server.usage()).collect()
    }

    /// The connections of each tenant that has some.
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

    fn server(&self, name: &ServerName) -> Arc<PoolServer> {
        let servers = self.servers.pin();
        if let Some(server) = servers.get(name) {
            return Arc::clone(server);
        }
        Arc::clone(servers.get_or_insert_with(name.clone(), || Arc::new(PoolServer::new(name.clone(), Arc::clone(&self.context)))))
    }
}
