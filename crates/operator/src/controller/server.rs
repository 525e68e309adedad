//! The kind `DatabaseServer`: how the engine observes, plans, executes and reports one, and how Schools learn that their server changed.
//!
//! Must not decide anything: that is `domain::server`.

mod execute;
pub mod observe;
mod status;

use std::sync::Arc;
use std::time::Duration;

use domain::condition::{Condition, Reason};
use domain::names::ServerName;
use domain::server::action::{Action, ObjectAction};
use domain::server::admissible::admissible;
use domain::server::fitness;
use domain::server::observed::{ObservedServer, Obstacle};
use domain::server::plan::{Plan, plan};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use provisioning::server::catalog::Passwords;
use tokio::time::Instant;

use self::observe::Observation;
use super::cache::Cache;
use super::context::Context;
use super::engine::Kind;
use super::error::Result;
use super::requeue::Requeue;
use super::requeue_waiting;
use super::server_cache::ServerState;
use crate::crd::server::DatabaseServerStatus;
use crate::crd::{DatabaseServer, convert};
use crate::metrics;

/// Keeps a server's object while schools are on it.
pub const FINALIZER: &str = "dailycare.io/server-in-use";

/// How often the start checks whether every server has been observed.
const POLL: Duration = Duration::from_millis(20);

/// The kind.
pub struct Servers;

impl Kind for Servers {
    type Object = DatabaseServer;
    type Status = DatabaseServerStatus;
    type Observation = Observation;
    type Observed = ObservedServer;
    type Action = Action;
    type Waiting = Obstacle;
    type Refusal = Obstacle;

    const NAME: &'static str = "DatabaseServer";
    const FINALIZER: &'static str = FINALIZER;
    // Deleting the object destroys nothing on the server, so the cache's word is enough.
    const READS_AFRESH: bool = false;

    fn cache(ctx: &Context) -> Cache<DatabaseServer> {
        ctx.server_objects.clone()
    }

    fn requeue(ctx: &Context) -> Arc<Requeue<DatabaseServer>> {
        Arc::clone(&ctx.recheck)
    }

    fn api(ctx: &Context, _: &DatabaseServer) -> Api<DatabaseServer> {
        ctx.database_servers()
    }

    async fn observe(ctx: &Context, object: DatabaseServer) -> Result<Observation> {
        Box::pin(observe::observe(ctx, object)).await
    }

    /// Before anything is planned: a server that is being deleted must take no School between that decision and its end.
    fn remember(ctx: &Context, observation: &mut Observation) {
        if remember(ctx, observation) {
            let (reason, message) = status::summary(&Self::facts(ctx, observation));
            tracing::info!(reachable = observation.contact.is_ok(), reason = reason.label(), explanation = message, "server state changed");
            requeue_schools(ctx, &observation.name);
        }
    }

    fn object(observation: &Observation) -> &DatabaseServer {
        &observation.object
    }

    fn object_mut(observation: &mut Observation) -> &mut DatabaseServer {
        &mut observation.object
    }

    fn facts(ctx: &Context, observation: &Observation) -> ObservedServer {
        observation.facts(ctx)
    }

    fn plan(_: &Observation, observed: &ObservedServer) -> Plan {
        plan(observed)
    }

    fn admissible(_: &Observation, observed: &ObservedServer, action: &Action) -> bool {
        admissible(observed, *action)
    }

    fn label(action: &Action) -> &'static str {
        action.label()
    }

    async fn execute(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<()> {
        execute::execute(ctx, observation, *action).await
    }

    async fn refresh(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<()> {
        match action {
            // The server is of no interest any more.
            Action::Object(ObjectAction::RemoveFinalizer) => {}
            Action::Object(ObjectAction::AddFinalizer | ObjectAction::RecordIdentity) | Action::Server(_) => {
                *observation = Self::observe(ctx, observation.object.clone()).await?;
            }
        }
        Ok(())
    }

    fn conditions(ctx: &Context, observation: &Observation, observed: &ObservedServer, plan: &Plan, overdue: bool) -> Vec<Condition> {
        status::conditions(ctx, observation, observed, plan, overdue)
    }

    fn status(ctx: &Context, observation: &Observation) -> DatabaseServerStatus {
        status::complete(ctx, observation)
    }

    fn settled(ctx: &Context, observation: &Observation, plan: &Plan) -> Duration {
        metrics::server_up(observation.name.as_str(), observation.contact.is_ok());
        match (plan, &observation.contact) {
            (Plan::Settled, _) => ctx.timing.server_ready,
            // Schools wait for its first answer. Every other obstacle needs a person.
            (_, Err(Obstacle { reason: Reason::DatabaseUnreachable | Reason::TooManyConnections, .. })) => ctx.timing.server_unavailable,
            (_, Err(_) | Ok(_)) => ctx.timing.server_unfit,
        }
    }

    fn gone(ctx: &Context, object: &DatabaseServer) {
        if let Ok(name) = ServerName::parse(&object.name_any()) {
            ctx.servers.remove(&name);
            ctx.refused_logins.forget(&name);
            metrics::server_up(name.as_str(), false);
            requeue_schools(ctx, &name);
        }
    }
}

/// Puts what is known now into the server cache. True when that is new to Schools.
pub(super) fn remember(ctx: &Context, observation: &Observation) -> bool {
    let observed = observation.facts(ctx);
    // It is being deleted, and no School is on it.
    let Some(desired) = &observation.desired else { return false };
    if !observed.deleting {
        ctx.reservations.reopen(&observation.name);
    }
    let mut desired = desired.clone();
    desired.schedulable &= !observed.deleting;
    let contact = observation.contact.as_ref().ok();
    let connection = match &observation.contact {
        Ok(contact) => Some(Arc::clone(&contact.connection)),
        // Its held sessions are what can still make room, also when the one to observe it was lost or slow.
        Err(obstacle) if obstacle.reason == Reason::TooManyConnections => ctx.servers.held(&observation.name),
        Err(_) => None,
    };
    if let Some(connection) = &connection {
        connection.set_full(contact.is_none_or(|contact| contact.facts.full));
    }
    let state = ServerState {
        desired,
        connection,
        migrator: contact.map(|contact| contact.migrator.clone()),
        // Being deleted does not close a server for the schools that are still on it.
        fitness: fitness::for_its_schools(&observed),
        placeable: fitness::for_new_schools(&observed),
        prepared: contact.is_some_and(|contact| contact.facts.roles),
        template: contact.is_some_and(|contact| contact.facts.template),
        identity: contact.map(|contact| contact.identity.of_server.clone()).unwrap_or_default(),
        passwords: match contact {
            Some(contact) if contact.identity.rights.superuser => Passwords::Readable,
            Some(_) | None => Passwords::Hidden,
        },
    };
    ctx.servers.put(&observation.name, state, ctx.timing.server_grace, Instant::now())
}

/// Resolves when every server has been observed once.
pub(super) async fn all_observed(ctx: &Context) {
    if ctx.server_objects.wait_until_ready().await.is_err() {
        return;
    }
    let unknown = |server: &DatabaseServer| ServerName::parse(&server.name_any()).is_ok_and(|name| ctx.servers.get(&name).is_none());
    while ctx.server_objects.state().iter().any(|server| unknown(server)) {
        tokio::time::sleep(POLL).await;
    }
}

/// Requeues every School on this server, and of those that wait for a place as many as it has room for.
fn requeue_schools(ctx: &Context, name: &ServerName) {
    for school in ctx.schools.state() {
        if convert::recorded_server(&school).as_ref() == Some(name) {
            ctx.requeue.one(ObjectRef::from_obj(&*school));
        }
    }
    let free = ctx.servers.get(name).map(|state| match state.desired.max_schools {
        Some(most) => most.saturating_sub(ctx.reservations.schools_on(name)),
        None => u32::MAX,
    });
    requeue_waiting::for_places(ctx, name, free.unwrap_or_default().try_into().unwrap_or(usize::MAX));
}
