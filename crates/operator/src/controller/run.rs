//! Running the operator: connect, prepare the master database, lead, watch, and stop in order. Decides nothing about Schools.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::names::{ClusterUid, ServerName};
use domain::retry::{self, Class};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::controller::{self, Controller};
use kube::runtime::{PredicateConfig, WatchStreamExt as _, reflector, watcher};
use kube::{Client, ResourceExt as _};
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
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Parts};
use super::{maintenance, school, server, watch};
use crate::crd::{DatabaseServer, School};
use crate::kubernetes::lease::{self, Contender, Held, Timing};
use crate::kubernetes::{self, client, cluster, events};
use crate::metrics;

/// The Lease that the leading operator holds.
const LEASE: &str = "dailycare-operator";
/// How long running turns may take to end after SIGTERM; Kubernetes kills after 30 s.
const GRACE: Duration = Duration::from_secs(20);
/// How long probes and Events may take to end after the last turn.
const LAST_WORDS: Duration = Duration::from_secs(4);
/// How long Schools wait at start for the first look at every server, so that none is told to be unready for that.
const FIRST_OBSERVATION: Duration = Duration::from_secs(15);

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
    /// Another operator leads now; nothing more may be started here.
    #[error("the leader Lease was lost; exiting so that only one operator works")]
    LostLease,
}

/// What the operator works with from start to end.
#[derive(Debug)]
pub struct Settings {
    /// The master database, as an admin of its server.
    pub master: Target,
    /// The API's login to the master database, if the operator is to make it.
    pub api_login: Option<Credentials>,
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
    /// Schools worked on at once for each server.
    pub concurrency: u16,
    /// How often every School is reconciled although nothing happened.
    pub resync: Duration,
    /// How long progress is awaited before a School or server counts as stalled.
    pub progress_deadline: Duration,
    /// This process's name in the Lease and in Events.
    pub instance: String,
    /// Work only while holding the Lease.
    pub leader_election: bool,
}

/// Runs until `stop`, or until the lease is lost.
///
/// # Errors
/// When it cannot start, or the lease is lost; the process must exit then.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<(), Error> {
    let (heartbeat, readiness) = (Heartbeat::default(), Readiness::default());
    let mut tasks = JoinSet::new();
    let sources = Sources { heartbeat: heartbeat.clone(), readiness: readiness.clone(), metrics: metrics::install()? };
    let listener = tokio::net::TcpListener::bind(settings.http_address).await;
    let listener = listener.map_err(|source| Error::Listen { address: settings.http_address, source })?;
    tracing::info!(address = ?listener.local_addr().ok(), "listening");
    tasks.spawn(http::serve(listener, sources, stop.child_token()));

    let client = client::client(client::config().await?)?;
    tasks.spawn(maintenance::probe_api_server(client.clone(), heartbeat.clone(), stop.child_token()));
    let Some(lease) = stand(&settings, &client, &readiness, &stop).await? else { return Ok(()) };
    readiness.enter(Phase::Starting);
    let prepared = Box::pin(prepare(&settings, &client, &stop)).await?;
    let Some((cluster, registry)) = prepared else { return Ok(()) };
    let (recorder, publisher) = events::recorder(client.clone(), &settings.instance);
    tasks.spawn(publisher.run(stop.child_token()));
    let (schools, school_writer) = reflector::store();
    let (server_objects, server_writer) = reflector::store();
    let context = Arc::new(Context::new(Parts {
        client,
        cluster,
        namespace: settings.namespace,
        registry,
        keyring: settings.keyring,
        migrations: settings.migrations,
        pooling: settings.pooling,
        lease,
        schools,
        server_objects,
        recorder,
        heartbeat,
        concurrency: settings.concurrency,
        resync: settings.resync,
        progress_deadline: settings.progress_deadline,
    }));
    for (tenant, server) in provisioning::master::tenants::occupancy(&context.registry, cluster).await? {
        context.reservations.record(tenant, server);
    }
    tasks.spawn(maintenance::run(Arc::clone(&context), stop.child_token()));
    let work = work(&context, school_writer, server_writer, &readiness, &stop);
    let outcome = tokio::select! {
        () = work => Ok(()),
        () = lost(context.lease.as_ref()) => Err(Error::LostLease),
    };
    stop.cancel();
    finish(context, tasks, &readiness).await;
    outcome
}

/// Waits for the Lease. None when told to stop first; a lease of none where no second operator can run.
async fn stand(
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
    let contender = Contender::new(client.clone(), &settings.namespace, LEASE, &identity, Timing::default());
    Ok(contender.acquire(stop).await.map(Some))
}

/// The cluster's identity and the master database, tried until they are there; trying ends at once where it cannot help.
async fn prepare(settings: &Settings, client: &Client, stop: &CancellationToken) -> Result<Option<(ClusterUid, PgPool)>, Error> {
    let migrations = Migrations::master()?;
    let (target, api) = (&settings.master, &settings.api_login);
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
            _ => Class::Bug,
        };
        if matches!(class, Class::Invalid | Class::Bug) {
            return Err(error);
        }
        attempts += 1;
        let wait = retry::wait(class, attempts, 0).min(Duration::from_secs(15));
        tracing::warn!(error = chain(&error), retry_in = ?wait, "not ready to work yet");
        stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

/// Both controllers, until told to stop and the running turns have ended.
async fn work(
    context: &Arc<Context>,
    schools: reflector::store::Writer<School>,
    servers: reflector::store::Writer<DatabaseServer>,
    readiness: &Readiness,
    stop: &CancellationToken,
) {
    metrics::leading(true);
    let watched = watch::valid(context.client.clone(), context.heartbeat.clone());
    let touched = watched.reflect(servers).applied_objects().predicate_filter(watch::asked, PredicateConfig::default());
    let servers = Controller::for_stream(touched, context.server_objects.clone())
        .reconcile_on(context.recheck.stream())
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(server::reconcile, |_, error: &std::convert::Infallible, _| match *error {}, Arc::clone(context))
        .for_each(|outcome| {
            let _: () = log("DatabaseServer", outcome);
            std::future::ready(())
        });
    let schools = async {
        wait_for_servers(context, stop).await;
        readiness.enter(Phase::Leading);
        let watched = watch::valid(context.client.clone(), context.heartbeat.clone()).reflect(schools);
        let noting = Arc::clone(context);
        let listed = move |event: &watcher::Event<School>| {
            if matches!(event, watcher::Event::InitDone) {
                school::load_reservations(&noting);
            }
        };
        let touched = watched.inspect_ok(listed).applied_objects().predicate_filter(watch::asked, PredicateConfig::default());
        Controller::for_stream(touched, context.schools.clone())
            .reconcile_on(context.requeue.stream())
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(school::reconcile, |_, error: &std::convert::Infallible, _| match *error {}, Arc::clone(context))
            .for_each(|outcome| {
                let _: () = log("School", outcome);
                std::future::ready(())
            })
            .await;
    };
    let deadline = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = futures::future::join(servers, schools) => {}
        () = deadline => tracing::warn!("stopping although turns are still running"),
    }
}

/// Waits, for a moment only, until every server there is has been looked at once.
async fn wait_for_servers(context: &Context, stop: &CancellationToken) {
    let looked_at = async {
        if context.server_objects.wait_until_ready().await.is_err() {
            return;
        }
        let unknown =
            |server: &DatabaseServer| ServerName::parse(&server.name_any()).is_ok_and(|name| context.servers.get(&name).is_none());
        while context.server_objects.state().iter().any(|server| unknown(server)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    stop.run_until_cancelled(tokio::time::timeout(FIRST_OBSERVATION, looked_at)).await;
}

/// What kube's controller could not even hand to a turn.
fn log<K, E: std::error::Error + 'static>(kind: &str, outcome: Result<(K, controller::Action), E>) {
    if let Err(error) = outcome {
        tracing::debug!(kind, error = chain(&error), "not reconciled");
    }
}

/// Resolves when the lease is lost; never where there is none.
async fn lost(lease: Option<&Held>) {
    match lease {
        Some(lease) => lease.lost().await,
        None => std::future::pending().await,
    }
}

/// Gives the lease back after the last effect, so that a successor starts at once.
async fn finish(context: Arc<Context>, mut tasks: JoinSet<()>, readiness: &Readiness) {
    readiness.enter(Phase::Stopping);
    metrics::leading(false);
    // Everything has been told to stop; Events that are queued are still sent, for a moment.
    if tokio::time::timeout(LAST_WORDS, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tasks.shutdown().await;
    }
    // Turns that outlived the grace period still hold the context; then the lease simply runs out.
    if let Some(lease) = Arc::into_inner(context).and_then(Context::into_lease) {
        lease.release().await;
    }
}
