//! What the School's status says: its conditions, and the fields that are filled in as they become known.
//!
//! Must not write the status: the engine does, and only when something in it changed.

use domain::condition::Condition;
use domain::failure::{Circumstances, Failure};
use domain::placement::Placement;
use domain::school::action::ObjectAction;
use domain::school::desired::Desired;
use domain::school::observed::{CatalogFacts, Names, ObservedDatabase, ServerObservation};
use domain::school::plan::Plan;
use domain::school::status;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use provisioning::master::users::Account;

use super::Schools;
use super::observe::{AssignedObservation, Assignment, Observation};
use crate::controller::context::Context;
use crate::controller::engine;
use crate::controller::error::{Error, Result};
use crate::crd::convert;
use crate::crd::school::{AdminUserStatus, DatabaseStatus, PlacementStatus, SchemaStatus, SchoolStatus};

/// The status that records the names chosen for a School, before anything exists under them.
///
/// # Errors
/// When the School is being deleted, or a name cannot be derived from its own.
pub(super) fn with_names(ctx: &Context, observation: &Observation, placement: &Placement) -> Result<SchoolStatus> {
    let names = names(observation, placement)?;
    let plan = Plan::Execute(ObjectAction::RecordNames(placement.clone()).into());
    let conditions = status::report(&observation.desired, &observation.facts(ctx), &plan, false);
    let recorded_placement = PlacementStatus {
        server_name: Some(placement.server.to_string()),
        tier: Some(placement.tier.into()),
        bound_at: Some(Time(Timestamp::now())),
        reason: Some(placement.reason.clone()),
    };
    let recorded = SchoolStatus { placement: Some(recorded_placement), ..convert::recorded(&names) };
    Ok(engine::dated::<Schools>(&observation.school, recorded, &conditions))
}

/// The status that records that the database exists, before a route leads to it.
pub(super) fn with_database(ctx: &Context, observation: &Observation) -> SchoolStatus {
    let plan = Plan::Execute(ObjectAction::RecordDatabase.into());
    let conditions = status::report(&observation.desired, &observation.facts(ctx), &plan, false);
    engine::dated::<Schools>(&observation.school, complete(ctx, observation), &conditions)
}

fn names(observation: &Observation, placement: &Placement) -> Result<Names> {
    let Desired::Present(school) = &observation.desired else {
        return Err(Error::Bug("names were planned for a School that is being deleted".to_owned()));
    };
    Ok(convert::derived_names(&observation.school, observation.owner.id, &school.code, placement.server.clone())?)
}

/// Conditions after a reconcile that failed.
pub(super) fn after_failure(
    ctx: &Context,
    observation: Option<&Observation>,
    failure: &Failure,
    circumstances: Circumstances,
) -> Vec<Condition> {
    let known = observation.map(|observation| (&observation.desired, observation.facts(ctx)));
    status::report_failure(failure, circumstances, known.as_ref().map(|(desired, observed)| (*desired, observed)))
}

/// The status as it is, with everything that is now known filled in.
pub(super) fn complete(ctx: &Context, observation: &Observation) -> SchoolStatus {
    let status = observation.school.status.clone().unwrap_or_default();
    match &observation.assignment {
        Assignment::Unassigned(_) => status,
        // All names or none: a status that has only some of them cannot be trusted.
        Assignment::Assigned(assigned) if status.tenant_id.is_none() => {
            fill_in(ctx, observation, assigned, convert::recorded(&assigned.names))
        }
        Assignment::Assigned(assigned) => fill_in(ctx, observation, assigned, status),
    }
}

fn fill_in(ctx: &Context, observation: &Observation, assigned: &AssignedObservation, mut status: SchoolStatus) -> SchoolStatus {
    let mut database = status.database.take().unwrap_or_default();
    if let Some(connection) = assigned.connection() {
        let (host, port) = (connection.endpoint.host.clone(), connection.endpoint.port);
        database = DatabaseStatus { name: Some(assigned.names.database.to_string()), host: Some(host), port: Some(port), ..database };
    }
    if let ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { schema, .. }, .. }) = assigned.server {
        database.created_at = database.created_at.or_else(|| Some(Time(Timestamp::now())));
        status.schema = Some(SchemaStatus { version: Some(schema.version), target: Some(ctx.migrations.target()) });
    }
    status.database = Some(database);
    if let (Account::Made, Desired::Present(school), Some(admin)) = (assigned.registry.admin, &observation.desired, &mut status.admin_user)
        && admin.email.is_none()
    {
        let (name, email) = (Some(school.admin.name.clone()), Some(school.admin.email.clone()));
        *admin = AdminUserStatus { name, email, ..admin.clone() };
    }
    if let (Some(Ok(request)), Some(admin)) = (convert::reset_request(&observation.school), &mut status.admin_user)
        && assigned.registry.admin_reset.as_deref() == Some(request.as_str())
    {
        admin.last_password_reset = Some(request.to_string());
    }
    status
}
