//! From settings to a serving API, and from a stop to its end without losing a request or an audit record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::postgres::PgPool;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::grants::Recent;
use super::app::{App, Parts};
use super::audit::{self, Audit, Writer};
use super::cache::{self, Cache};
use super::directory::{self, Directory};
use super::edge::{self, Quota, TenantLimits};
use super::identity::{self, External, Identity, SetupError};
use super::pools::{self, Pools};
use super::router::router;
use super::school::privacy::export::AT_A_TIME as EXPORTS;
use super::upkeep;
use crate::config;
use crate::config::api::Api;
use crate::registry;
use crate::registry::seal::{self, OpeningKeys};
use crate::telemetry::health::{Heartbeat, Phase, Readiness};
use crate::telemetry::http::{self, Sources};
use crate::telemetry::logs::chain;

/// Between two tries to load the registry.
const RETRY: Duration = Duration::from_secs(2);

/// For connections in use at the end: requests are over by then, and only the audit's last batches are left.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the API cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error("a setting cannot be used")]
    Config(#[from] config::Error),
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
/// When a setting cannot be used or an address not listened on. That the master database does not answer is none: it is waited for.
pub async fn start(config: &Api, metrics: PrometheusHandle, stop: CancellationToken) -> Result<Started, Error> {
    audit::metrics::describe();
    let opening = OpeningKeys::parse(&config.opening_keys().await?)?;
    let master = registry::open(&config.master.target().await?);
    let cache = match config.cache.url().await? {
        Some(url) => Cache::connect(cache::Settings { ttl: config.cache.cache_ttl, ..cache::Settings::new(url) })?,
        None => Cache::off(),
    };
    let identity = identity_settings(config)?;
    let (listener, http_listener) = (listen(config.address).await?, listen(config.http_address).await?);
    let (address, http_address) = (local(&listener, config.address)?, local(&http_listener, config.http_address)?);
    let (work, readiness, heartbeat) = (TaskTracker::new(), Readiness::default(), Heartbeat::default());
    // Probes are answered to the very end, so that what happens then can be seen.
    let end = CancellationToken::new();
    work.spawn(http::serve(http_listener, Sources { heartbeat: heartbeat.clone(), readiness: readiness.clone(), metrics }, end.clone()));
    let serving = Serving { config: config.clone(), opening, master, cache, identity, listener, readiness, heartbeat, stop };
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

fn identity_settings(config: &Api) -> Result<identity::Settings, Error> {
    let tokens = &config.tokens;
    let external = match (&tokens.external_issuer, &tokens.external_jwks_url, &tokens.external_audience) {
        (Some(issuer), Some(keys), Some(audience)) => {
            Some(External { subject: tokens.external_subject, ..External::new(issuer, keys, audience) })
        }
        (None, None, None) => None,
        _ => return Err(config::Error::ExternalIssuer.into()),
    };
    let settings = identity::Settings::new(&tokens.issuer, AUDIENCE, &tokens.signing_key_file);
    Ok(identity::Settings { access_life: tokens.access_token, external, ..settings })
}

/// The audience of our own tokens.
const AUDIENCE: &str = "dailycare-api";

/// Everything that serving needs.
struct Serving {
    config: Api,
    opening: OpeningKeys,
    master: PgPool,
    cache: Cache,
    identity: identity::Settings,
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
        let edge = edge_settings(&self.config.edge);
        let routes = router(&app, &edge);
        let limits = edge::Limits {
            grace: Duration::from_secs(self.config.edge.grace_seconds),
            readiness: self.readiness.clone(),
            ..edge::Limits::default()
        };
        self.readiness.enter(Phase::Leading);
        tracing::info!(tenants = app.directory.len(), "ready");
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
        let settings = directory::Settings { key_file: Some(self.config.opening_key_file.clone()), ..directory::Settings::default() };
        loop {
            let loaded = Directory::load(self.master.clone(), self.opening.clone(), settings.clone()).await;
            match loaded {
                Ok(directory) => match Identity::start(self.identity.clone(), self.master.clone()).await {
                    Ok(identity) => return self.assemble(directory, identity),
                    Err(error) => tracing::warn!(error = chain(&error), "identity is not ready; trying again"),
                },
                Err(error) => tracing::warn!(error = chain(&error), "the registry is not loaded; trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn assemble(&self, directory: Arc<Directory>, identity: Arc<Identity>) -> (App, Writer) {
        let (connections, edge) = (&self.config.connections, &self.config.edge);
        let pools = Pools::new(pool_limits(&self.config));
        let (audit, writer) = Audit::start(Arc::clone(&pools), Arc::clone(&directory), self.master.clone(), audit::Settings::default());
        let in_flight = connections.tenant_connections.saturating_mul(4);
        let limits = TenantLimits::new(Quota { rate: edge.tenant_rate, burst: edge.tenant_burst, in_flight });
        let (cache, master) = (self.cache.clone(), self.master.clone());
        let exports = Arc::new(Semaphore::new(EXPORTS));
        (App::new(Parts { directory, pools, cache, identity, audit, limits, exports, recent: Recent::default(), master }), writer)
    }

    fn spawn_background(&self, app: &App, background: &TaskTracker, stop: &CancellationToken) {
        let pools = Arc::clone(&app.pools);
        let closing = move |tenant, epoch| pools.close(tenant, epoch);
        background.spawn(Arc::clone(&app.directory).follow(closing, stop.clone()));
        background.spawn(Arc::clone(&app.pools).reap(stop.clone()));
        background.spawn(Arc::clone(&app.identity).run(stop.clone()));
        background.spawn(upkeep::sizes::run(app.clone(), stop.clone()));
        background.spawn(upkeep::run(app.clone(), self.heartbeat.clone(), stop.clone()));
    }
}

fn pool_limits(config: &Api) -> pools::Limits {
    let (connections, edge) = (&config.connections, &config.edge);
    pools::Limits {
        server_budget: connections.server_budget,
        tenant_cap: connections.tenant_connections,
        wait: Duration::from_millis(connections.connection_wait_milliseconds),
        connect_timeout: Duration::from_millis(connections.connect_timeout_milliseconds),
        command_timeout: Duration::from_secs(edge.request_seconds),
        ..pools::Limits::default()
    }
}

fn edge_settings(edge: &config::api::Edge) -> edge::Settings {
    edge::Settings {
        cors_origins: edge.cors_origins.clone(),
        trusted_proxies: edge.trusted_proxies.clone(),
        request_timeout: Duration::from_secs(edge.request_seconds),
        strict_transport: edge.strict_transport.then_some(YEAR),
        ..edge::Settings::default()
    }
}

const YEAR: Duration = Duration::from_hours(365 * 24);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        api: Api,
    }

    fn bounds(flags: &[&str]) -> [Duration; 3] {
        let needed = ["api", "--master-url", "postgres://a:b@c/d", "--opening-key-file", "s", "--signing-key-file", "t"];
        let config = Line::parse_from(needed.iter().chain(flags)).api;
        let (pools, edge) = (pool_limits(&config), edge_settings(&config.edge));
        [pools.connect_timeout, pools.command_timeout, edge.request_timeout]
    }

    #[test]
    fn the_bounds_of_what_a_school_may_ask_for_are_flags() {
        let defaults =
            [pools::Limits::default().connect_timeout, pools::Limits::default().command_timeout, edge::Settings::default().request_timeout];
        assert_eq!(bounds(&[]), defaults);
        let (more, less) = (["--connect-timeout-milliseconds", "30000", "--request-seconds", "3700"], ["--request-seconds", "5"]);
        assert_eq!(bounds(&more), [30, 3700, 3700].map(Duration::from_secs));
        assert_eq!(bounds(&less), [3, 5, 5].map(Duration::from_secs));
    }
}
