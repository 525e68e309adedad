//! What the `DatabaseServer`'s status says: its conditions, and the fields that are filled in as they become known.
//!
//! Must not write the status: the engine does, and only when something in it changed.

use std::fmt::Write as _;

use domain::condition::{Condition, ConditionStatus, ConditionType, Reason};
use domain::server::observed::{Identity, ObservedServer};
use domain::server::plan::{Plan, plan};
use domain::server::status::{self, ServerCapacity};
use provisioning::server::MONITOR;

use super::Servers;
use super::observe::{Contact, Observation};
use crate::controller::context::Context;
use crate::controller::engine;
use crate::controller::error::{Error, Result};
use crate::crd::server::{Allocated, DatabaseServerStatus, ServerSchema};

/// Databases named in a message; more would only make the status long.
const NAMED: usize = 5;

/// The status that records who the server is, before anything is created on it.
///
/// # Errors
/// When there was no answer.
pub(super) fn with_identity(observation: &Observation) -> Result<DatabaseServerStatus> {
    let contact = observation.contact.as_ref().map_err(|_| Error::Overtaken("the server"))?;
    let preparing = |type_, status| Condition::new(type_, status, Reason::Preparing, "roles and template are being made");
    let conditions = [
        preparing(ConditionType::Ready, ConditionStatus::False),
        preparing(ConditionType::Reconciling, ConditionStatus::True),
        preparing(ConditionType::Stalled, ConditionStatus::False),
    ];
    let status =
        DatabaseServerStatus { version: Some(contact.identity.version.clone()), ..observation.object.status.clone().unwrap_or_default() };
    let status = status.of_server(contact.identity.of_server.clone());
    Ok(engine::dated::<Servers>(&observation.object, status, &conditions))
}

/// Conditions after a reconcile that ended with `plan`.
pub(super) fn conditions(
    ctx: &Context,
    observation: &Observation,
    observed: &ObservedServer,
    plan: &Plan,
    overdue: bool,
) -> Vec<Condition> {
    let desired = observation.desired.as_ref();
    let schools = ctx.reservations.schools_on(&observation.name);
    let capacity = ServerCapacity {
        schedulable: desired.is_some_and(|desired| desired.schedulable),
        schools,
        capacity: desired.and_then(|desired| desired.max_schools),
    };
    let mut conditions = status::report(observed, plan, capacity, overdue);
    if let Ok(contact) = &observation.contact {
        report_who_may_enter(&mut conditions, contact);
        warn_of_open_databases(&mut conditions, &contact.open_databases, &contact.connection.admin.username);
        warn_of_stale_collations(&mut conditions, &contact.stale_collations);
    }
    conditions
}

/// What follows from an observation, for the log: the next action, or why there is none.
pub(super) fn summary(observed: &ObservedServer) -> (Reason, String) {
    match plan(observed) {
        Plan::Settled => (Reason::Ready, "schools can be placed here".to_owned()),
        Plan::Execute(action) => (Reason::Preparing, action.label().to_owned()),
        Plan::Wait(obstacle) | Plan::Refuse(obstacle) => (obstacle.reason, obstacle.message),
    }
}

/// The status as it is, with everything that is now known filled in.
pub(super) fn complete(ctx: &Context, observation: &Observation) -> DatabaseServerStatus {
    let mut status = observation.object.status.clone().unwrap_or_default();
    status.allocated = Some(Allocated { schools: Some(ctx.reservations.schools_on(&observation.name)) });
    if let Ok(contact) = &observation.contact {
        if contact.facts.identity == Identity::Same {
            let identity = status.identity().completed_by(&contact.identity.of_server);
            status = status.of_server(identity);
        }
        status.version = Some(contact.identity.version.clone());
        status.schema = contact.facts.template.then(|| ServerSchema { version: Some(ctx.migrations.target()) });
    }
    status
}

/// The schools are served, but an index may miss rows: somebody must choose when to make the indexes again.
fn warn_of_stale_collations(conditions: &mut [Condition], stale: &[String]) {
    let is_ready = |condition: &&mut Condition| condition.type_ == ConditionType::Ready && condition.status == ConditionStatus::True;
    if let (Some(ready), false) = (conditions.iter_mut().find(is_ready), stale.is_empty()) {
        let named: Vec<_> = stale.iter().take(NAMED).map(String::as_str).collect();
        let _ = write!(
            ready.message,
            "; the system sorts text otherwise than when {} databases were made ({}): REINDEX them and REFRESH COLLATION VERSION, as docs/running/upgrade.md says",
            stale.len(),
            named.join(", ")
        );
    }
}

/// Monitoring and backup roles are kept out like everybody else, unless they are members of one role.
fn report_who_may_enter(conditions: &mut [Condition], contact: &Contact) {
    let reachable = conditions.iter_mut().find(|condition| condition.type_ == ConditionType::Reachable && !contact.facts.full);
    if let (Some(reachable), true) = (reachable, contact.facts.roles && contact.facts.closed) {
        reachable.message = format!("the server answers; monitoring and backup roles may connect to its databases as members of {MONITOR}");
    }
}

/// Databases that the admin may not close stay a risk that somebody else must judge. Closing the one that the admin logs in to must not lock it out.
fn warn_of_open_databases(conditions: &mut [Condition], open: &[String], admin: &str) {
    let is_ready = |condition: &&mut Condition| condition.type_ == ConditionType::Ready && condition.status == ConditionStatus::True;
    if let (Some(ready), false) = (conditions.iter_mut().find(is_ready), open.is_empty()) {
        let named: Vec<_> = open.iter().take(NAMED).map(String::as_str).collect();
        ready.message = format!(
            "schools can be placed here; every login may connect to {}: there, as the owner, grant CONNECT to {admin} and then revoke ALL from PUBLIC",
            named.join(", ")
        );
    }
}
