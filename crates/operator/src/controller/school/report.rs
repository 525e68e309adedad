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

use super::sight::{Sight, Standing};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::{conditions, news};
use crate::crd::school::{AdminUserStatus, DatabaseStatus, PlacementStatus, SchemaStatus, SchoolStatus};
use crate::crd::{School, convert};
use crate::kubernetes::object;

/// The status that records the names chosen for a School, before anything exists under them.
///
/// # Errors
/// When the School is being deleted, or a name derived from its own is none.
pub(super) fn with_names(ctx: &Context, sight: &Sight, choice: &Placement) -> Result<SchoolStatus> {
    let names = names(sight, choice)?;
    let plan = Plan::Execute(Action::RecordNames(choice.clone()));
    let conditions = status::report(&sight.wanted, &sight.seen(ctx), &plan, false);
    let placement = PlacementStatus {
        server_name: Some(choice.server.to_string()),
        tier: Some(choice.tier.into()),
        bound_at: Some(Time(Timestamp::now())),
        reason: Some(choice.reason.clone()),
    };
    let recorded = SchoolStatus { placement: Some(placement), ..convert::recorded(&names) };
    Ok(dated(&sight.school, recorded, &conditions))
}

fn names(sight: &Sight, choice: &Placement) -> Result<Names> {
    let Desired::Present(ask) = &sight.wanted else {
        return Err(Error::Bug("names were planned for a School that is being deleted".to_owned()));
    };
    Ok(convert::derived_names(&sight.school, sight.owner.id, &ask.code, choice.server.clone())?)
}

/// Tells how a turn ended.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn tell(ctx: &Context, sight: &mut Sight, plan: &Plan) -> Result<()> {
    let overdue = conditions::overdue(written(&sight.school), ctx.progress_deadline);
    let conditions = status::report(&sight.wanted, &sight.seen(ctx), plan, overdue);
    let status = sight.complete(ctx);
    write(ctx, &mut sight.school, status, &conditions).await
}

/// Tells that a turn failed. `known` is what was seen of the School before, when anything was.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn tell_trouble(ctx: &Context, school: &mut School, known: Option<&Sight>, trouble: &Failure) -> Result<()> {
    let overdue = conditions::overdue(written(school), ctx.progress_deadline);
    let deleting = school.meta().deletion_timestamp.is_some();
    let seen = known.map(|sight| (sight, sight.seen(ctx)));
    let known_facts = seen.as_ref().map(|(sight, seen)| (&sight.wanted, seen));
    let conditions = status::report_failure(deleting, conditions::was_ready(written(school)), known_facts, trouble, overdue);
    let status = known.map_or_else(|| school.status.clone().unwrap_or_default(), |sight| sight.complete(ctx));
    write(ctx, school, status, &conditions).await
}

async fn write(ctx: &Context, school: &mut School, status: SchoolStatus, conditions: &[Condition]) -> Result<()> {
    let status = dated(school, status, conditions);
    let before = written(school).to_vec();
    let api = ctx.schools_in(&school.namespace().unwrap_or_default());
    if let Some(written) = object::patch_status(&api, school, &status).await? {
        *school = written;
        news::tell(&ctx.recorder, &school.object_ref(&()), &before, conditions);
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

impl Sight {
    /// The status as it stands, with everything that is now known filled in.
    fn complete(&self, ctx: &Context) -> SchoolStatus {
        let status = self.school.status.clone().unwrap_or_default();
        match &self.binding {
            Err(_) => status,
            // All names or none: a status that holds only some of them cannot be trusted.
            Ok(standing) if status.tenant_id.is_none() => standing.complete(ctx, &self.wanted, convert::recorded(&standing.names)),
            Ok(standing) => standing.complete(ctx, &self.wanted, status),
        }
    }
}

impl Standing {
    fn complete(&self, ctx: &Context, wanted: &Desired, mut status: SchoolStatus) -> SchoolStatus {
        if let Some(reach) = self.reach() {
            let name = Some(self.names.database.to_string());
            status.database = Some(DatabaseStatus { name, host: Some(reach.endpoint.host.clone()), port: Some(reach.endpoint.port) });
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
