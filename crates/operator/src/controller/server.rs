//! One server: look, plan, act, look again, tell, and let the Schools know when it came or went.

pub mod observe;
mod report;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::condition::Reason;
use domain::names::ServerName;
use domain::school::observed::Unavailable;
use domain::server::plan::{Action, ObservedServer, Obstacle, Plan, plan};
use kube::ResourceExt as _;
use kube::runtime::controller;
use kube::runtime::reflector::ObjectRef;
use provisioning::server::session_guard::SessionGuard;
use provisioning::server::{prepare, template};
use telemetry::logs::chain;
use tracing::Instrument as _;

use self::observe::{Observation, migrator_fingerprint, observe};
use super::context::Context;
use super::error::{Error, Result};
use super::server_cache::ServerState;
use crate::crd::DatabaseServer;
use crate::fault::{self, Moment};
use crate::kubernetes::object;
use crate::metrics;

/// Keeps a server's object while schools live on it.
pub const FINALIZER: &str = "dailycare.io/server-in-use";

/// How often a server that answers is asked.
const HEALTHY: Duration = Duration::from_secs(10);
/// How often one that does not answer is asked: its schools wait for the first answer.
const AWAY: Duration = Duration::from_secs(1);
/// How often one that a person must mend is asked.
const UNFIT: Duration = Duration::from_secs(5);
/// The longest a turn may take, building a template included.
const TIME_LIMIT: Duration = Duration::from_mins(15);
/// Steps in one turn; all of them are seven.
const STEPS: usize = 10;

/// One reconcile, as kube's controller calls it. Every failure is handled here, where it is counted, told and printed once.
///
/// # Errors
/// Never.
pub async fn reconcile(object: Arc<DatabaseServer>, ctx: Arc<Context>) -> Result<controller::Action, Infallible> {
    let span = tracing::info_span!("server", name = object.name_any());
    let started = Instant::now();
    let next = pass(&ctx, DatabaseServer::clone(&object)).instrument(span).await;
    metrics::reconciled("DatabaseServer", started.elapsed());
    Ok(next)
}

async fn pass(ctx: &Context, object: DatabaseServer) -> controller::Action {
    let uid = object.uid().unwrap_or_default();
    let fallback = object.clone();
    let worked = tokio::time::timeout(TIME_LIMIT, Box::pin(work(ctx, object))).await;
    match worked.unwrap_or(Err(Error::TimeRanOut)) {
        Ok((observation, planned)) => {
            ctx.backoff.reset(&uid);
            ctx.heartbeat.beat();
            settle(ctx, &observation, &planned)
        }
        Err(error) => {
            let (_, wait) = ctx.backoff.failed(&uid, error.class());
            metrics::reconcile_failed("DatabaseServer", error.class());
            tracing::warn!(error = chain(&error), class = error.class().label(), retry_in = ?wait, "reconcile failed");
            if let Err(unwritten) = report::report_failure_of(ctx, fallback, &error.failure()).await {
                tracing::info!(error = chain(&unwritten), "the status could not be written");
            }
            controller::Action::requeue(wait)
        }
    }
}

async fn work(ctx: &Context, object: DatabaseServer) -> Result<(Observation, Plan)> {
    let mut observation = observe(ctx, object).await?;
    for _ in 0..STEPS {
        // Before anything is decided: a server on its way out must take no School between that decision and its end.
        let anew = note(ctx, &observation);
        if anew {
            tracing::info!(reachable = observation.contact.is_ok(), "the server is known anew");
            requeue_schools(ctx, &observation.name);
        }
        let planned = plan(&observation.facts(ctx));
        let Plan::Execute(action) = planned else {
            report::report(ctx, &mut observation, &planned).await?;
            return Ok((observation, planned));
        };
        let object = act(ctx, &observation, action).await?;
        observation = observe(ctx, object).await?;
    }
    Err(Error::Overtaken("the server"))
}

/// Takes one step; returns the object as it is then.
async fn act(ctx: &Context, observation: &Observation, action: Action) -> Result<DatabaseServer> {
    if ctx.lease.as_ref().is_some_and(|lease| !lease.is_valid()) {
        return Err(Error::NotLeading);
    }
    fault::point(Moment::Before, action.label());
    let object = execute_action(ctx, observation, action).await?;
    fault::point(Moment::After, action.label());
    metrics::executed(action.label());
    tracing::info!(action = action.label(), "executed");
    Ok(object)
}

async fn execute_action(ctx: &Context, observation: &Observation, action: Action) -> Result<DatabaseServer> {
    let api = ctx.database_servers();
    match action {
        Action::AddFinalizer => return Ok(object::add_finalizer(&api, &observation.object, FINALIZER).await?),
        Action::RemoveFinalizer => {
            // Schools whose names are recorded and that the registry does not know yet live here too.
            ctx.reservations_loaded.wait().await;
            if observation.facts(ctx).in_use {
                return Err(Error::Overtaken("the schools on the server"));
            }
            let mut gone = observation.object.clone();
            gone.metadata.finalizers = None;
            return Ok(object::remove_finalizer(&api, &observation.object, FINALIZER).await?.unwrap_or(gone));
        }
        Action::RecordIdentity => {
            let status = report::with_identity(observation)?;
            return Ok(object::patch_status(&api, &observation.object, &status).await?.unwrap_or_else(|| observation.object.clone()));
        }
        Action::PrepareRoles | Action::CloseMaintenance | Action::BuildTemplate | Action::DropStale => {}
    }
    let answer = observation.contact.as_ref().map_err(|_| Error::Overtaken("the server"))?;
    let (connection, digest) = (&answer.connection, ctx.migrations.digest());
    match action {
        Action::BuildTemplate => template::build(&connection.pool, &connection.endpoint, &answer.migrator, &ctx.migrations).await?,
        Action::DropStale => template::drop_stale(&connection.pool, digest).await?,
        _ => {
            let conn = SessionGuard::acquire(&connection.pool, "connecting to the server").await;
            let mut conn = conn.map_err(provisioning::server::Error::from)?;
            if action == Action::CloseMaintenance {
                prepare::close_maintenance_databases(&mut conn).await?;
            } else {
                let fingerprint = migrator_fingerprint(ctx, &answer.migrator)?;
                let wanted = prepare::DesiredRoles { cluster: ctx.cluster, password: &answer.migrator.password, fingerprint: &fingerprint };
                prepare::prepare_roles(&mut conn, &wanted).await?;
            }
            conn.release();
        }
    }
    Ok(observation.object.clone())
}

/// Notes what is known now, wakes the Schools that it matters to, and chooses the next look.
fn settle(ctx: &Context, observation: &Observation, planned: &Plan) -> controller::Action {
    if observation.object.metadata.deletion_timestamp.is_some() && *planned == Plan::Settled {
        ctx.servers.remove(&observation.name);
        metrics::server_up(observation.name.as_str(), false);
        requeue_schools(ctx, &observation.name);
        return controller::Action::await_change();
    }
    metrics::server_up(observation.name.as_str(), observation.contact.is_ok());
    controller::Action::requeue(match (planned, &observation.contact) {
        (Plan::Settled, _) => HEALTHY,
        (_, Err(_)) => AWAY,
        _ => UNFIT,
    })
}

/// Notes what is known now; whether that is anything new to Schools.
pub fn note(ctx: &Context, observation: &Observation) -> bool {
    let facts = observation.facts(ctx);
    let answered = observation.contact.as_ref().ok();
    // Being deleted does not close a server for the schools that still live on it.
    let state = match plan(&ObservedServer { deleting: false, finalizer: true, ..facts.clone() }) {
        // A template is needed by new schools only.
        Plan::Settled | Plan::Execute(Action::BuildTemplate | Action::DropStale) => Ok(()),
        Plan::Wait(_) if answered.is_none() => Err(Unavailable::Unreachable),
        Plan::Refuse(Obstacle { reason: Reason::ServerIdentityMismatch, .. }) => Err(Unavailable::IdentityMismatch),
        Plan::Execute(_) | Plan::Wait(_) | Plan::Refuse(_) => Err(Unavailable::NotReady),
    };
    let mut spec = observation.spec.clone();
    spec.schedulable &= !facts.deleting;
    let (connection, migrator) = (answered.map(|answer| Arc::clone(&answer.connection)), answered.map(|answer| answer.migrator.clone()));
    let template = answered.is_some_and(|answer| answer.facts.template);
    ctx.servers.put(&observation.name, ServerState { desired: spec, connection, migrator, fitness: state, template })
}

/// Every School on this server, and every one that waits for anything.
fn requeue_schools(ctx: &Context, name: &ServerName) {
    for school in ctx.schools.state() {
        let server =
            school.status.as_ref().and_then(|status| status.placement.as_ref()).and_then(|placement| placement.server_name.as_deref());
        if server == Some(name.as_str()) {
            ctx.requeue.one(ObjectRef::from_obj(&*school));
        }
    }
    ctx.requeue.all_waiting();
}
