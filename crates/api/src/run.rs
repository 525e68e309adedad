//! From settings to a serving API, and from a stop to its end without losing a request or an audit record.
//!
//! Must not read the environment or flags: the program's `args` does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use registry::seal::{self, OpeningKeys};
use sqlx::postgres::PgPool;
use telemetry::health::{Heartbeat, Phase, Readiness};
use telemetry::http::{self, Sources};
use telemetry::logs::chain;
use telemetry::metrics::Exposition;
use tenancy::audit::{self, Audit, Writer};
use tenancy::cache::{self, Cache};
use tenancy::limits::{ExportLimits, Exports, TenantLimits};
use tenancy::pools::Pools;
use tenancy::registry_cache::{self, RegistryCache};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::app::{App, Parts};
use super::grants::PermissionCache;
use super::identity::{Identity, SetupError};
use super::router::router;
use super::settings::Settings;
use super::{edge, maintenance};

/// Between two tries to load the registry.
const RETRY: Duration = Duration::from_secs(2);

/// For connections in use at the end: requests are over by then, and only the audit's last batches are left.
const DRAIN: Duration = Duration::from_secs(3);

/// Why the API cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The opening keys' file cannot be read.
    #[error("reading the opening keys from {path} failed", path = path.display())]
    KeyFile {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The opening keys' file.
    #[error("the opening keys cannot be used")]
    Keys(#[from] seal::Error),
    /// Redis' URL.
    #[error("the cache cannot be used")]
    Cache(#[from] cache::Error),
    /// Keys and issuers of tokens.
    #[error("tokens cannot be verified")]
    Identity(#[from] SetupError),
    /// An address that cannot be listened on.
    #[error("listening on {address} failed")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A started API.
#[derive(Debug)]
pub struct Started {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where its probes and metrics are.
    pub http_address: SocketAddr,
    work: TaskTracker,
}

impl Started {
    /// Waits until everything has ended after the stop.
    pub async fn ended(self) {
        self.work.wait().await;
    }
}

/// Serves until `stop`. Returns once both addresses are listened on; `/readyz` says when the registry is loaded and requests are taken.
///
/// # Errors
/// When a setting cannot be used or an address not listened on. An unreachable master database is no error: it is retried.
pub async fn start(settings: Settings, metrics: Exposition, stop: CancellationToken) -> Result<Started, Error> {
    audit::metrics::describe();
    tenancy::maintenance::metrics::describe();
    let opening = read_opening_keys(&settings.opening_key_file).await?;
    let master = registry::open(&settings.master);
    let cache = match settings.cache.clone() {
        Some(redis) => Cache::connect(redis)?,
        None => Cache::disabled(),
    };
    let (listener, http_listener) = (listen(settings.address).await?, listen(settings.http_address).await?);
    let (address, http_address) = (local(&listener, settings.address)?, local(&http_listener, settings.http_address)?);
    let (work, readiness, heartbeat) = (TaskTracker::new(), Readiness::default(), Heartbeat::default());
    // Probes are answered to the very end, so that what happens then can be seen.
    let end = CancellationToken::new();
    work.spawn(http::serve(http_listener, Sources { heartbeat: heartbeat.clone(), readiness: readiness.clone(), metrics }, end.clone()));
    let serving = Serving { settings, opening, master, cache, listener, readiness, heartbeat, stop };
    work.spawn(async move {
        serving.run().await;
        end.cancel();
    });
    work.close();
    tracing::info!(%address, %http_address, "listening");
    Ok(Started { address, http_address, work })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(|source| Error::Listen { address, source })
}

async fn read_opening_keys(path: &Path) -> Result<OpeningKeys, Error> {
    let file = tokio::fs::read_to_string(path).await.map_err(|source| Error::KeyFile { path: path.to_owned(), source })?;
    Ok(OpeningKeys::parse(&file.into())?)
}

/// Everything that serving needs.
struct Serving {
    settings: Settings,
    opening: OpeningKeys,
    master: PgPool,
    cache: Cache,
    listener: TcpListener,
    readiness: Readiness,
    heartbeat: Heartbeat,
    stop: CancellationToken,
}

impl Serving {
    /// Loads, serves, and ends in order: requests first, then what they left to be written, then connections.
    async fn run(self) {
        let Some((app, writer)) = self.stop.run_until_cancelled(self.parts()).await else { return };
        let (background, last) = (TaskTracker::new(), CancellationToken::new());
        let stop = CancellationToken::new();
        self.spawn_background(&app, &background, &stop);
        let writing = tokio::spawn(writer.run(last.clone()));
        let routes = router(&app, &self.settings.edge);
        let limits = edge::Limits { grace: self.settings.grace, readiness: self.readiness.clone(), ..edge::Limits::default() };
        self.readiness.enter(Phase::Leading);
        tracing::info!(tenants = app.registry_cache.len(), "ready");
        edge::serve(self.listener, routes, &limits, self.stop).await;
        last.cancel();
        let _ = writing.await;
        app.pools.drain(DRAIN).await;
        stop.cancel();
        background.close();
        background.wait().await;
        tracing::info!("stopped");
    }

    /// Tries until the master database answers.
    async fn parts(&self) -> (App, Writer) {
        let settings =
            registry_cache::Settings { key_file: Some(self.settings.opening_key_file.clone()), ..registry_cache::Settings::default() };
        loop {
            let loaded = RegistryCache::load(self.master.clone(), self.opening.clone(), settings.clone()).await;
            match loaded {
                Ok(registry_cache) => match Identity::start(self.settings.identity.clone(), self.master.clone()).await {
                    Ok(identity) => return self.assemble(registry_cache, identity),
                    Err(error) => tracing::warn!(error = chain(&error), "identity is not ready; trying again"),
                },
                Err(error) => tracing::warn!(error = chain(&error), "the registry is not loaded; trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn assemble(&self, registry_cache: Arc<RegistryCache>, identity: Arc<Identity>) -> (App, Writer) {
        let pools = Pools::new(self.settings.pools.clone());
        let (audit, writer) =
            Audit::start(Arc::clone(&pools), Arc::clone(&registry_cache), self.master.clone(), audit::Settings::default());
        let limits = TenantLimits::new(self.settings.quota);
        let (cache, master) = (self.cache.clone(), self.master.clone());
        let exports = Exports::new(ExportLimits::default());
        (
            App::new(Parts {
                registry_cache,
                pools,
                cache,
                identity,
                audit,
                limits,
                exports,
                permissions: PermissionCache::default(),
                master,
            }),
            writer,
        )
    }

    fn spawn_background(&self, app: &App, background: &TaskTracker, stop: &CancellationToken) {
        let pools = Arc::clone(&app.pools);
        let closing = move |tenant, epoch| pools.close(tenant, epoch);
        background.spawn(Arc::clone(&app.registry_cache).follow(closing, stop.clone()));
        background.spawn(Arc::clone(&app.pools).reap(stop.clone()));
        background.spawn(Arc::clone(&app.identity).run(stop.clone()));
        background.spawn(maintenance::database_sizes::run(app.clone(), stop.clone()));
        background.spawn(maintenance::run(app.clone(), self.heartbeat.clone(), stop.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_takes_at_most_25_of_the_30_seconds_that_kubernetes_gives() {
        let keys = Path::new("keys");
        let target = postgres::url::Target::parse(&"postgres://a:b@c/d?sslmode=disable".to_owned().into()).unwrap();
        let grace = Settings::new(target, keys, "issuer", keys).grace;
        let parts = [grace, edge::Limits::default().drain, audit::Settings::default().drain, DRAIN];
        assert!(parts.iter().sum::<Duration>() <= Duration::from_secs(25), "{parts:?}");
    }
}
