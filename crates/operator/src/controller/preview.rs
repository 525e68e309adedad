//! What the operator would do next about one School: observes and plans exactly as a reconcile does, and changes nothing.
//!
//! Must not reserve a place, take a lease or send an event, and neither creates nor migrates the master database.

use std::time::Duration;

use domain::condition::Condition;
use domain::school::desired::Desired;
use domain::school::observed::ObservedSchool;
use domain::school::plan::{Plan, plan};
use domain::school::status::report;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher;
use postgres::schema::Migrations;
use postgres::session::{self, Purpose};
use postgres::url::Target;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{self, PoolDefaults};
use sqlx::postgres::PgPoolOptions;
use telemetry::health::Heartbeat;

use super::cache::Cache;
use super::context::{Context, Parts};
use super::timing::Timing;
use super::{error, school, server};
use crate::crd::{DatabaseServer, School, convert};
use crate::kubernetes::{self, client, cluster, events, within};

/// Connections to the master database; observing needs no more.
const CONNECTIONS: u32 = 2;
/// The longest that connecting to the master database may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to look.
#[derive(Debug)]
pub struct Settings {
    /// The master database.
    pub master: Target,
    /// The sealing keys.
    pub keyring: Keyring,
    /// The tenant schema.
    pub migrations: Migrations,
    /// How the API is to pool a school's connections.
    pub pooling: PoolDefaults,
    /// Namespace of the admin Secrets of servers.
    pub namespace: String,
}

/// What was observed of one School, and what follows from it.
#[derive(Debug)]
pub struct Preview {
    /// What it asks for.
    pub desired: Desired,
    /// What was observed.
    pub observed: ObservedSchool,
    /// What the operator would do next.
    pub plan: Plan,
    /// The conditions that the status would show.
    pub conditions: Vec<Condition>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// Observing failed.
    #[error(transparent)]
    Observe(#[from] error::Error),
}

/// Observes one School and every server, and plans.
///
/// # Errors
/// When a source does not answer or the School does not exist.
pub async fn school(settings: Settings, namespace: &str, name: &str) -> Result<Preview, Error> {
    let ctx = context(settings).await?;
    let object = within("reading the School", ctx.schools_in(namespace).get(name)).await?;
    let servers = within("listing the DatabaseServers", ctx.database_servers().list(&ListParams::default())).await?;
    fill(&ctx, &servers.items);
    for object in servers {
        let observation = server::observe::observe(&ctx, object).await?;
        server::remember(&ctx, &observation);
    }
    load_places(&ctx, &object).await?;
    let observation = Box::pin(school::observe::observe(&ctx, object)).await?;
    let observed = observation.facts(&ctx);
    let plan = plan(&observation.desired, &observed);
    let conditions = report(&observation.desired, &observed, &plan, false);
    Ok(Preview { desired: observation.desired, observed, plan, conditions })
}

/// The places that other Schools take, where the School may still be given one: those that the registry knows, and those that are recorded in a status.
async fn load_places(ctx: &Context, object: &School) -> Result<(), Error> {
    if convert::recorded_server(object).is_none() {
        let taken = tenants::occupancy(&ctx.registry, ctx.cluster).await.map_err(error::Error::from)?;
        for (tenant, server) in taken.places {
            ctx.reservations.record(tenant, server);
        }
        let schools = within("listing the Schools", Api::<School>::all(ctx.client.clone()).list(&ListParams::default())).await?;
        school::placement::load_reservations(ctx, &schools.items);
    }
    let _ = ctx.reservations_loaded.set(());
    Ok(())
}

/// Fills the cache of servers, which nothing watches here.
fn fill(ctx: &Context, servers: &[DatabaseServer]) {
    let Some(mut cache) = ctx.server_objects.take_writer() else { return };
    cache.apply_watcher_event(&watcher::Event::Init);
    for server in servers {
        cache.apply_watcher_event(&watcher::Event::InitApply(server.clone()));
    }
    cache.apply_watcher_event(&watcher::Event::InitDone);
}

/// The operator's, but with nothing running behind it: no watch, no lease, no events.
pub(super) async fn context(settings: Settings) -> Result<Context, Error> {
    let Settings { master, keyring, migrations, pooling, namespace } = settings;
    let client = client::client(client::config().await?)?;
    let options = session::options(&master.endpoint, &master.credentials, &master.database, Purpose::Registry);
    let registry = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(options);
    Ok(Context::new(Parts {
        cluster: cluster::cluster_uid(&client).await?,
        recorder: events::recorder(client.clone(), "dailycare-plan").0,
        client,
        namespace,
        registry,
        keyring,
        migrations,
        pooling,
        lease: None,
        schools: Cache::default(),
        server_objects: Cache::default(),
        heartbeat: Heartbeat::default(),
        concurrency: 1,
        resync: Duration::MAX,
        progress_deadline: Duration::MAX,
        timing: Timing::default(),
    }))
}
