//! Telling: the status of one server, written only when something in it changes, and an Event when that is news.

use domain::condition::{Condition, ConditionStatus, ConditionType, Reason};
use domain::school::status::{Failure, report_failure};
use domain::server::plan::Plan;
use domain::server::status::{self, ServerCapacity};
use kube::Resource as _;

use super::observe::Observation;
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::{conditions, events};
use crate::crd::DatabaseServer;
use crate::crd::server::{Allocated, DatabaseServerStatus, ServerSchema};
use crate::kubernetes::object;

/// The status that records who the server is, before anything is made on it.
///
/// # Errors
/// When there was no answer.
pub(super) fn with_identity(observation: &Observation) -> Result<DatabaseServerStatus> {
    let answer = observation.contact.as_ref().map_err(|_| Error::Overtaken("the server"))?;
    let preparing = [
        Condition::new(ConditionType::Ready, ConditionStatus::False, Reason::Preparing, "roles and template are being made"),
        Condition::new(ConditionType::Reconciling, ConditionStatus::True, Reason::Preparing, "roles and template are being made"),
        Condition::new(ConditionType::Stalled, ConditionStatus::False, Reason::Preparing, "roles and template are being made"),
    ];
    let status = DatabaseServerStatus {
        system_identifier: Some(answer.identity.system_identifier.clone()),
        version: Some(answer.identity.version.clone()),
        ..observation.object.status.clone().unwrap_or_default()
    };
    Ok(dated(&observation.object, status, &preparing))
}

/// Tells how a turn ended.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn report(ctx: &Context, observation: &mut Observation, planned: &Plan) -> Result<()> {
    let facts = observation.facts(ctx);
    if facts.deleting && !facts.finalizer {
        return Ok(());
    }
    let schools = ctx.reservations.schools_on(&observation.name);
    let room = ServerCapacity { schedulable: observation.spec.schedulable, schools, capacity: observation.spec.max_schools };
    let overdue = conditions::overdue(written(&observation.object), ctx.progress_deadline);
    let mut told = status::report(&facts, planned, room, overdue);
    let mut status = observation.object.status.clone().unwrap_or_default();
    status.allocated = Some(Allocated { schools: Some(schools) });
    if let Ok(answer) = &observation.contact {
        status.version = Some(answer.identity.version.clone());
        status.schema = answer.facts.template.then(|| ServerSchema { version: Some(ctx.migrations.target()) });
        warn_of_open_databases(&mut told, &answer.open_databases, &answer.connection.admin.username);
    }
    write(ctx, &mut observation.object, status, &told).await
}

/// Tells that a turn failed.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn report_failure_of(ctx: &Context, mut object: DatabaseServer, failure: &Failure) -> Result<()> {
    let overdue = conditions::overdue(written(&object), ctx.progress_deadline);
    let (deleting, was_ready) = (object.meta().deletion_timestamp.is_some(), conditions::was_ready(written(&object)));
    let mut told = report_failure(deleting, was_ready, None, failure, overdue);
    // A server has no schema of its own to be ready.
    told.retain(|condition| condition.type_ != ConditionType::SchemaReady);
    let status = object.status.clone().unwrap_or_default();
    write(ctx, &mut object, status, &told).await
}

/// Databases that are not ours to close stay a risk that somebody else must judge. Closing the one that the admin logs in to must not lock it out.
fn warn_of_open_databases(told: &mut [Condition], open: &[String], admin: &str) {
    if let (Some(ready), false) = (
        told.iter_mut().find(|condition| condition.type_ == ConditionType::Ready && condition.status == ConditionStatus::True),
        open.is_empty(),
    ) {
        let named: Vec<_> = open.iter().take(5).map(String::as_str).collect();
        ready.message = format!(
            "schools can be placed here; every login may connect to {}: there, as the owner, grant CONNECT to {admin} and then revoke ALL from PUBLIC",
            named.join(", ")
        );
    }
}

async fn write(ctx: &Context, object: &mut DatabaseServer, status: DatabaseServerStatus, told: &[Condition]) -> Result<()> {
    let status = dated(object, status, told);
    let before = written(object).to_vec();
    if let Some(patched) = object::patch_status(&ctx.database_servers(), object, &status).await? {
        *object = patched;
        events::publish(&ctx.recorder, &object.object_ref(&()), &before, told);
    }
    Ok(())
}

fn written(object: &DatabaseServer) -> &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition] {
    object.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn dated(object: &DatabaseServer, status: DatabaseServerStatus, told: &[Condition]) -> DatabaseServerStatus {
    let generation = object.metadata.generation.unwrap_or_default();
    let conditions = conditions::merge(written(object), told, generation);
    DatabaseServerStatus { observed_generation: Some(generation), conditions: Some(conditions), ..status }
}
