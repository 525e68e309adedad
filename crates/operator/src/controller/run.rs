//! Runs the operator: connect, prepare the master database, lead, run the controllers, and stop in order.
//!
//! Must not know what a kind does; each is registered in one line of `work`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::names::ClusterUid;
use domain::retry::{self, Class};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use kube::Client;
use postgres::schema::{self, Migrations};
use postgres::session::Credentials;
use postgres::url::Target;
use provisioning::master::api_login;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::PoolDefaults;
use provisioning::scram;
use sqlx::PgPool;
use telemetry::health::{Heartbeat, Phase, Readiness};
use telemetry::http::{self, Sources};
use telemetry::logs::chain;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::context::{Context, Parts};
use super::engine::{self, Kind};
use super::maintenance;
use super::registry_changes;
use super::school::Schools;
use super::server::Servers;
use super::timing::Timing;
use crate::kubernetes::lease::{self, Contender, Held};
use crate::kubernetes::{self, client, cluster, events};
use crate::metrics;

/// The Lease that the leading operator holds.
const LEASE: &str = "dailycare-operator";
/// How long running reconciles may take to end after SIGTERM; Kubernetes kills after 30 s.
const GRACE: Duration = Duration::from_secs(20);
/// How long probes and Events may take to end after the last reconcile.
const FLUSH_TIME: Duration = Duration::from_secs(4);

/// Why the operator ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The built-in migrations are broken.
    #[error("the master schema cannot be used")]
    Schema(#[from] schema::Error),
    /// Kubernetes cannot be reached as configured.
    #[error("Kubernetes cannot be reached")]
    Kubernetes(#[from] kubernetes::Error),
    /// The master database cannot be prepared, and trying again would not help.
    #[error("the master database cannot be prepared")]
    Registry(#[from] provisioning::master::Error),
    /// The address for probes and metrics is taken.
    #[error("listening on {address} failed")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Metrics cannot be recorded.
    #[error("metrics cannot be recorded")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// No randomness for an identity.
    #[error("no identity for the leader election could be made")]
    Identity(#[source] std::io::Error),
    /// A file or flag that says how to reach the master database cannot be used.
    #[error("the operator cannot start with these settings")]
    MasterAccess(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another operator leads now; nothing more may be started here.
    #[error("the leader Lease was lost; exiting so that only one operator works")]
    LostLease,
}

/// How the operator reaches the master database.
#[derive(Debug)]
pub struct MasterAccess {
    /// The master database, as an admin of its server.
    pub target: Target,
    /// The API's login to the master database, if the operator is to make it.
    pub api_login: Option<Credentials>,
}

/// What the operator works with from start to end.
#[derive(Debug)]
pub struct Settings {
    /// The sealing keys.
    pub keyring: Keyring,
    /// The tenant schema.
    pub migrations: Migrations,
    /// How the API is to pool a school's connections.
    pub pooling: PoolDefaults,
    /// Namespace of the admin Secrets of servers and of the Lease.
    pub namespace: String,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    pub http_address: SocketAddr,
    /// Schools reconciled at once for each server.
    pub concurrency: u16,
    /// How often every School is reconciled although nothing happened.
    pub resync: Duration,
    /// How long a School or server may make no progress before it counts as stalled.
    pub progress_deadline: Duration,
    /// How often objects are reconciled, and maintenance runs, without a change.
    pub timing: Timing,
    /// This process's name in the Lease and in Events.
    pub instance: String,
    /// Work only while holding the Lease.
    pub leader_election: bool,
}

/// Runs until `stop`, or until the lease is lost. `read_access` is called once the lease is held: a standby may have waited for days, and passwords in its
/// files may have changed meanwhile.
///
/// # Errors
/// When it cannot start, or the lease is lost; the process must exit then.
pub async fn run<E>(
    settings: Settings,
    read_access: impl AsyncFnOnce() -> Result<MasterAccess, E>,
    stop: CancellationToken,
) -> Result<(), Error>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let (heartbeat, readiness) = (Heartbeat::default(), Readiness::default());
    let mut tasks = JoinSet::new();
    let sources = Sources { heartbeat: heartbeat.clone(), readiness: readiness.clone(), metrics: metrics::install()? };
    let listener = tokio::net::TcpListener::bind(settings.http_address).await;
    let listener = listener.map_err(|source| Error::Listen { address: settings.http_address, source })?;
    tracing::info!(address = ?listener.local_addr().ok(), "listening");
    tasks.spawn(http::serve(listener, sources, stop.child_token()));

    let client = client::client(client::config().await?)?;
    tasks.spawn(maintenance::probe_api_server(client.clone(), heartbeat.clone(), settings.timing.maintenance, stop.child_token()));
    let Some(lease) = acquire_lease(&settings, &client, &readiness, &stop).await? else { return Ok(()) };
    readiness.enter(Phase::Starting);
    let access = read_access().await.map_err(|error| Error::MasterAccess(Box::new(error)))?;
    let prepared = Box::pin(prepare(&access, &client, &stop)).await?;
    let Some((cluster, registry)) = prepared else { return Ok(()) };
    let (recorder, publisher) = events::recorder(client.clone(), &settings.instance);
    tasks.spawn(publisher.run(stop.child_token()));
    let context = Arc::new(Context::new(Parts {
        client,
        cluster,
        namespace: settings.namespace,
        registry,
        keyring: settings.keyring,
        migrations: settings.migrations,
        pooling: settings.pooling,
        lease,
        schools: Cache::default(),
        server_objects: Cache::default(),
        recorder,
        heartbeat,
        concurrency: settings.concurrency,
        resync: settings.resync,
        progress_deadline: settings.progress_deadline,
        timing: settings.timing,
    }));
    let occupancy = provisioning::master::tenants::occupancy(&context.registry, cluster).await?;
    maintenance::report_odd_rows(&occupancy);
    for (tenant, server) in occupancy.places {
        context.reservations.record(tenant, server);
    }
    tasks.spawn(maintenance::run(Arc::clone(&context), stop.child_token()));
    tasks.spawn(registry_changes::follow(Arc::clone(&context), stop.child_token()));
    let work = work(&context, &readiness, &stop);
    let outcome = tokio::select! {
        () = work => Ok(()),
        () = lost(context.lease.as_ref()) => Err(Error::LostLease),
    };
    stop.cancel();
    finish(context, tasks, &readiness).await;
    outcome
}

/// Waits for the Lease. None when told to stop first; `Some(None)` where no second operator can run.
async fn acquire_lease(
    settings: &Settings,
    client: &Client,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Result<Option<Option<Held>>, Error> {
    if !settings.leader_election {
        return Ok(Some(None));
    }
    readiness.enter(Phase::Standby);
    let identity = lease::identity(&settings.instance).map_err(Error::Identity)?;
    let contender = Contender::new(client.clone(), &settings.namespace, LEASE, &identity, lease::Timing::default());
    Ok(contender.acquire(stop).await.map(Some))
}

/// The cluster's identity and the master database, retried until they are there, unless retrying cannot help.
async fn prepare(access: &MasterAccess, client: &Client, stop: &CancellationToken) -> Result<Option<(ClusterUid, PgPool)>, Error> {
    let migrations = Migrations::master()?;
    let MasterAccess { target, api_login: api } = access;
    let mut attempts = 0;
    loop {
        let tried = async {
            let cluster = cluster::cluster_uid(client).await?;
            let pool = Box::pin(provisioning::master::bootstrap(target, &migrations)).await?;
            if let Some(login) = api {
                let ensured = Box::pin(api_login::ensure(target, login, &scram::verifier(&login.password))).await?;
                tracing::info!(login = login.username, ?ensured, "the API's login");
            }
            Ok::<_, Error>((cluster, pool))
        };
        let error = match stop.run_until_cancelled(tried).await {
            None => return Ok(None),
            Some(Ok(prepared)) => return Ok(Some(prepared)),
            Some(Err(error)) => error,
        };
        let class = match &error {
            Error::Kubernetes(error) => error.class(),
            Error::Registry(error) => error.class(),
            Error::Schema(_)
            | Error::Listen { .. }
            | Error::Metrics(_)
            | Error::Identity(_)
            | Error::MasterAccess(_)
            | Error::LostLease => Class::Bug,
        };
        if matches!(class, Class::Invalid | Class::Bug) {
            return Err(error);
        }
        attempts += 1;
        let wait = retry::wait(class, attempts, 0).min(Duration::from_secs(15));
        tracing::warn!(error = chain(&error), retry_in = ?wait, "preparing failed, retrying");
        stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

/// Every controller, until told to stop and the running reconciles have ended.
async fn work(context: &Arc<Context>, readiness: &Readiness, stop: &CancellationToken) {
    metrics::leading(true);
    let (starting, mut all_started) = mpsc::channel(1);
    let start = || (Arc::clone(context), starting.clone(), stop.clone());
    // A new kind is one line here.
    let controllers = [registered::<Servers>(start()), registered::<Schools>(start())];
    drop(starting);
    let leading = async {
        // Every controller has dropped its sender.
        if all_started.recv().await.is_none() && !stop.is_cancelled() {
            readiness.enter(Phase::Leading);
        }
    };
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = futures::future::join(join_all(controllers), leading) => {}
        () = deadline => tracing::warn!("stopping although reconciles are still running"),
    }
}

fn registered<K: Kind>((context, starting, stop): (Arc<Context>, mpsc::Sender<()>, CancellationToken)) -> BoxFuture<'static, ()> {
    engine::control::<K>(context, starting, stop).boxed()
}

/// Resolves when the lease is lost; never where there is none.
async fn lost(lease: Option<&Held>) {
    match lease {
        Some(lease) => lease.lost().await,
        None => std::future::pending().await,
    }
}

/// Releases the lease after the last action, so that a successor starts at once.
async fn finish(context: Arc<Context>, mut tasks: JoinSet<()>, readiness: &Readiness) {
    readiness.enter(Phase::Stopping);
    metrics::leading(false);
    // Everything has been told to stop; Events that are queued are still sent, for a moment.
    if tokio::time::timeout(FLUSH_TIME, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tasks.shutdown().await;
    }
    // Reconciles that outlived the grace period still hold the context; then the lease runs out.
    if let Some(lease) = Arc::into_inner(context).and_then(Context::into_lease) {
        lease.release().await;
    }
}
