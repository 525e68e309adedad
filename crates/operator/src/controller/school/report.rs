//! Telling: the status of one School, written only when something in it changes, and an Event when that is news.

use domain::condition::Condition;
use domain::placement::Placement;
use domain::school::action::Action;
use domain::school::desired::Desired;
use domain::school::observed::{CatalogFacts, Names, ObservedDatabase, ServerObservation};
use domain::school::plan::Plan;
use domain::school::status::{self, Failure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use provisioning::master::users::Account;

use super::observe::{AssignedObservation, Observation};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::{conditions, events};
use crate::crd::school::{AdminUserStatus, DatabaseStatus, PlacementStatus, SchemaStatus, SchoolStatus};
use crate::crd::{School, convert};
use crate::kubernetes::object;

/// The status that records the names chosen for a School, before anything exists under them.
///
/// # Errors
/// When the School is being deleted, or a name derived from its own is none.
pub(super) fn with_names(ctx: &Context, observation: &Observation, choice: &Placement) -> Result<SchoolStatus> {
    let names = names(observation, choice)?;
    let plan = Plan::Execute(Action::RecordNames(choice.clone()));
    let conditions = status::report(&observation.wanted, &observation.facts(ctx), &plan, false);
    let placement = PlacementStatus {
        server_name: Some(choice.server.to_string()),
        tier: Some(choice.tier.into()),
        bound_at: Some(Time(Timestamp::now())),
        reason: Some(choice.reason.clone()),
    };
    let recorded = SchoolStatus { placement: Some(placement), ..convert::recorded(&names) };
    Ok(dated(&observation.school, recorded, &conditions))
}

fn names(observation: &Observation, choice: &Placement) -> Result<Names> {
    let Desired::Present(ask) = &observation.wanted else {
        return Err(Error::Bug("names were planned for a School that is being deleted".to_owned()));
    };
    Ok(convert::derived_names(&observation.school, observation.owner.id, &ask.code, choice.server.clone())?)
}

/// Tells how a turn ended.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn report(ctx: &Context, observation: &mut Observation, plan: &Plan) -> Result<()> {
    let overdue = conditions::overdue(written(&observation.school), ctx.progress_deadline);
    let conditions = status::report(&observation.wanted, &observation.facts(ctx), plan, overdue);
    let status = observation.complete(ctx);
    write(ctx, &mut observation.school, status, &conditions).await
}

/// Tells that a turn failed. `known` is what was seen of the School before, when anything was.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn report_failure_of(ctx: &Context, school: &mut School, known: Option<&Observation>, failure: &Failure) -> Result<()> {
    let overdue = conditions::overdue(written(school), ctx.progress_deadline);
    let deleting = school.meta().deletion_timestamp.is_some();
    let facts = known.map(|observation| (observation, observation.facts(ctx)));
    let known_facts = facts.as_ref().map(|(observation, facts)| (&observation.wanted, facts));
    let conditions = status::report_failure(deleting, conditions::was_ready(written(school)), known_facts, failure, overdue);
    let status = known.map_or_else(|| school.status.clone().unwrap_or_default(), |observation| observation.complete(ctx));
    write(ctx, school, status, &conditions).await
}

async fn write(ctx: &Context, school: &mut School, status: SchoolStatus, conditions: &[Condition]) -> Result<()> {
    let status = dated(school, status, conditions);
    let before = written(school).to_vec();
    let api = ctx.schools_in(&school.namespace().unwrap_or_default());
    if let Some(written) = object::patch_status(&api, school, &status).await? {
        *school = written;
        events::publish(&ctx.recorder, &school.object_ref(&()), &before, conditions);
    }
    Ok(())
}

fn written(school: &School) -> &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition] {
    school.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// The status with conditions, and with the generation that it speaks about.
fn dated(school: &School, status: SchoolStatus, told: &[Condition]) -> SchoolStatus {
    let generation = school.metadata.generation.unwrap_or_default();
    SchoolStatus {
        observed_generation: Some(generation),
        conditions: Some(conditions::merge(written(school), told, generation)),
        operator_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..status
    }
}

impl Observation {
    /// The status as it stands, with everything that is now known filled in.
    fn complete(&self, ctx: &Context) -> SchoolStatus {
        let status = self.school.status.clone().unwrap_or_default();
        match &self.binding {
            Err(_) => status,
            // All names or none: a status that holds only some of them cannot be trusted.
            Ok(assigned) if status.tenant_id.is_none() => assigned.complete(ctx, &self.wanted, convert::recorded(&assigned.names)),
            Ok(assigned) => assigned.complete(ctx, &self.wanted, status),
        }
    }
}

impl AssignedObservation {
    fn complete(&self, ctx: &Context, wanted: &Desired, mut status: SchoolStatus) -> SchoolStatus {
        if let Some(connection) = self.connection() {
            let name = Some(self.names.database.to_string());
            status.database =
                Some(DatabaseStatus { name, host: Some(connection.endpoint.host.clone()), port: Some(connection.endpoint.port) });
        }
        if let ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { schema, .. }, .. }) = self.server {
            status.schema = Some(SchemaStatus { version: Some(schema.version), target: Some(ctx.migrations.target()) });
        }
        if let (Account::Made, Desired::Present(ask), Some(admin)) = (self.registry.admin, wanted, &mut status.admin_user)
            && admin.email.is_none()
        {
            let secret_name = admin.secret_name.take();
            *admin = AdminUserStatus { name: Some(ask.admin.name.clone()), email: Some(ask.admin.email.clone()), secret_name };
        }
        status
    }
}
