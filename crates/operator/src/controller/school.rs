//! The kind School: how the engine observes, plans, executes and reports one.
//!
//! Must not decide anything: that is `domain::school`.

mod execute;
pub mod observe;
pub(in crate::controller) mod placement;
mod status;

use std::sync::Arc;
use std::time::Duration;

use domain::condition::{Condition, ConditionStatus, ConditionType, Reason};
use domain::failure::{Circumstances, Failure};
use domain::placement::Cause;
use domain::school::action::{Action, ServerAction};
use domain::school::admissible::admissible;
use domain::school::desired::Desired;
use domain::school::observed::ObservedSchool;
use domain::school::plan::{Plan, Refusal, Waiting, plan};
use domain::school::status::report;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as Written, OwnerReference};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt as _};

use self::observe::{Assignment, Observation};
use super::backoff::spread;
use super::cache::Cache;
use super::concurrency::Work;
use super::context::Context;
use super::engine::{Kind, Limit};
use super::error::{Error, Result};
use super::requeue::Requeue;
use super::waiting::Awaited;
use super::{conditions, maintenance, requeue_waiting};
use crate::crd::school::{SchoolStatus, State};
use crate::crd::{School, convert};

/// Keeps a School's object until everything outside it is dealt with.
pub const FINALIZER: &str = "dailycare.io/school-cleanup";

/// The kind.
pub struct Schools;

impl Kind for Schools {
    type Object = School;
    type Status = SchoolStatus;
    type Observation = Observation;
    type Observed = ObservedSchool;
    type Action = Action;
    type Waiting = Waiting;
    type Refusal = Refusal;

    const NAME: &'static str = "School";
    const FINALIZER: &'static str = FINALIZER;
    // A deletion acts on a fresh read, never on the cache.
    const READS_AFRESH: bool = true;

    fn cache(ctx: &Context) -> Cache<School> {
        ctx.schools.clone()
    }

    fn requeue(ctx: &Context) -> Arc<Requeue<School>> {
        Arc::clone(&ctx.requeue)
    }

    fn api(ctx: &Context, school: &School) -> Api<School> {
        ctx.schools_in(&school.namespace().unwrap_or_default())
    }

    fn limit(school: &School) -> Limit {
        Limit::PerServer(convert::recorded_server(school))
    }

    fn work(school: &School) -> Work {
        if is_leaving(school) { Work::Withdrawal } else { Work::Ordinary }
    }

    fn work_of(action: &Action) -> Option<Work> {
        match action {
            Action::Server(ServerAction::StageDatabase) => Some(Work::Staging),
            Action::Server(ServerAction::Migrate { .. }) => Some(Work::Migration),
            Action::Server(ServerAction::DropDatabase) => Some(Work::Drop),
            Action::Server(
                ServerAction::ClaimDatabase
                | ServerAction::RestoreLogin
                | ServerAction::SetPassword
                | ServerAction::EnsureAccess
                | ServerAction::CloseDatabase
                | ServerAction::DropLogin,
            )
            | Action::Object(_)
            | Action::Registry(_)
            | Action::Secret(_) => None,
        }
    }

    /// A migration ends like one whose operator was killed: PostgreSQL takes it back, and the School is migrated when it is active again.
    fn is_abandoned(action: &Action, newer: &School) -> bool {
        matches!(action, Action::Server(ServerAction::Migrate { .. })) && is_leaving(newer)
    }

    /// Waits, for a moment only, until every server has been observed once, so that no School is reported as waiting for its server for that reason.
    async fn before_start(ctx: &Context) {
        let _ = tokio::time::timeout(ctx.timing.first_observation, super::server::all_observed(ctx)).await;
    }

    fn listed(ctx: &Context) {
        placement::load_reservations(ctx, ctx.schools.state().iter().map(AsRef::as_ref));
    }

    async fn observe(ctx: &Context, school: School) -> Result<Observation> {
        Box::pin(observe::observe(ctx, school)).await
    }

    fn remember(ctx: &Context, observation: &mut Observation) {
        placement::reserve(ctx, observation);
    }

    fn object(observation: &Observation) -> &School {
        &observation.school
    }

    fn object_mut(observation: &mut Observation) -> &mut School {
        &mut observation.school
    }

    fn facts(ctx: &Context, observation: &Observation) -> ObservedSchool {
        observation.facts(ctx)
    }

    fn plan(observation: &Observation, observed: &ObservedSchool) -> Plan {
        plan(&observation.desired, observed)
    }

    fn read_error(observation: &mut Observation, plan: &Plan) -> Option<Error> {
        if *plan == Plan::Wait(Waiting::Secret) { observation.take_secret_error() } else { None }
    }

    fn admissible(observation: &Observation, observed: &ObservedSchool, action: &Action) -> bool {
        admissible(&observation.desired, observed, action)
    }

    fn label(action: &Action) -> &'static str {
        action.label()
    }

    async fn execute(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<()> {
        execute::execute(ctx, observation, action).await
    }

    async fn refresh(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<()> {
        execute::refresh(ctx, observation, action).await
    }

    fn conditions(_: &Context, observation: &Observation, observed: &ObservedSchool, plan: &Plan, overdue: bool) -> Vec<Condition> {
        report(&observation.desired, observed, plan, overdue)
    }

    fn conditions_after_failure(
        ctx: &Context,
        observation: Option<&Observation>,
        failure: &Failure,
        circumstances: Circumstances,
    ) -> Vec<Condition> {
        status::after_failure(ctx, observation, failure, circumstances)
    }

    fn status(ctx: &Context, observation: &Observation) -> SchoolStatus {
        status::complete(ctx, observation)
    }

    /// Waits for a change, or for the next resync. A School that waits or was refused waits for what it needs, and for the progress deadline.
    fn settled(ctx: &Context, observation: &Observation, plan: &Plan) -> Duration {
        let (school, uid) = (&observation.school, observation.school.uid().unwrap_or_default());
        if matches!(plan, Plan::Refuse(Refusal::NameConflict)) {
            // It owns nothing, so it takes no place.
            release_place(ctx, school);
        }
        let Some(awaited) = awaited(observation, plan) else {
            ctx.waiting.remove(&uid);
            return spread(ctx.resync, &uid);
        };
        let times = ctx.waiting.insert(&uid, ObjectRef::from_obj(school), awaited.clone());
        let wait = awaited.wait(times, ctx.timing.waiting.min(ctx.resync), ctx.resync, &uid);
        let written = school.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let left = conditions::until_overdue(written, ctx.progress_deadline).filter(|left| !left.is_zero());
        // Times in a status are whole seconds.
        left.map_or(wait, |left| wait.min(left + Duration::from_secs(1)))
    }

    fn gone(ctx: &Context, school: &School) {
        let uid = school.uid().unwrap_or_default();
        ctx.waiting.remove(&uid);
        ctx.proven_logins.forget(&uid);
        // Its code may have become free.
        if let Some(tenant) = maintenance::tenant(ctx, school) {
            requeue_waiting::for_tenant(ctx, tenant);
        }
    }

    fn failed(ctx: &Context, school: &School, observation: Option<&Observation>, error: &Error) {
        if error.is_server_unreachable()
            && let Some(Assignment::Assigned(assigned)) = observation.map(|observation| &observation.assignment)
        {
            ctx.recheck.one(ObjectRef::new(assigned.names.server.as_str()));
            ctx.waiting.insert(&school.uid().unwrap_or_default(), ObjectRef::from_obj(school), Awaited::Server);
        }
    }
}

/// What a School waits for, if it waits or was refused.
fn awaited(observation: &Observation, plan: &Plan) -> Option<Awaited> {
    match plan {
        Plan::Execute(_) | Plan::Settled => None,
        Plan::Wait(Waiting::Placement(unplaced)) => Some(match &observation.desired {
            Desired::Present(school) if unplaced.cause == Cause::NamespaceNotAllowed => Awaited::Admission(school.placement.clone()),
            Desired::Present(school) => Awaited::Place(school.placement.clone()),
            Desired::Deleted(_) => Awaited::Unreported,
        }),
        Plan::Wait(Waiting::Server(_) | Waiting::Template) => Some(Awaited::Server),
        Plan::Refuse(Refusal::NameConflict | Refusal::CodeTaken) => Some(match &observation.assignment {
            Assignment::Assigned(assigned) => Awaited::Tenant(assigned.registry.code_taken_by().unwrap_or(observation.owner.id)),
            Assignment::Unassigned(_) => Awaited::Unreported,
        }),
        Plan::Refuse(Refusal::TenantRetired) => Some(Awaited::Tenant(observation.owner.id)),
        Plan::Refuse(Refusal::AheadOfOperator | Refusal::SchemaEdited) => Some(Awaited::Upgrade),
        Plan::Wait(Waiting::Secret)
        | Plan::Refuse(
            Refusal::SecretConflict
            | Refusal::AdminSecretConflict
            | Refusal::EmailTaken
            | Refusal::ResetInvalid
            | Refusal::ResetUnclear
            | Refusal::DatabaseConflict
            | Refusal::LoginConflict
            | Refusal::DatabaseMissing,
        ) => Some(Awaited::Unreported),
    }
}

/// The School is to be suspended or deleted, and its status does not say yet that it is.
fn is_leaving(school: &School) -> bool {
    let closed = |written: &Written| {
        written.type_ == ConditionType::Ready.label()
            && written.status == ConditionStatus::True.label()
            && written.reason == Reason::Suspended.label()
            && written.observed_generation == school.metadata.generation
    };
    let conditions = school.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    school.metadata.deletion_timestamp.is_some() || (school.spec.state == Some(State::Suspended) && !conditions.iter().any(closed))
}

fn release_place(ctx: &Context, school: &School) {
    if let Ok(Some(names)) = convert::names(school.status.as_ref()) {
        placement::release(ctx, names.tenant);
    }
}

/// The School as the controlling owner of its Secrets.
fn owner_reference(school: &School) -> Option<OwnerReference> {
    school.controller_owner_ref(&())
}
