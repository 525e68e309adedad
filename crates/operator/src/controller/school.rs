//! The kind School: how the engine observes, plans, executes and reports one.
//!
//! Must not decide anything: that is `domain::school`.

mod execute;
pub mod observe;
mod placement;
mod status;

use std::sync::Arc;
use std::time::Duration;

use domain::condition::Condition;
use domain::failure::{Circumstances, Failure};
use domain::school::action::Action;
use domain::school::admissible::admissible;
use domain::school::observed::ObservedSchool;
use domain::school::plan::{Plan, Refusal, Waiting, plan};
use domain::school::status::report;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt as _};

use self::observe::{Assignment, Observation};
use super::backoff::spread;
use super::cache::Cache;
use super::context::Context;
use super::engine::{Kind, Limit};
use super::error::{Error, Result};
use super::requeue::Requeue;
use crate::crd::school::SchoolStatus;
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

    /// Waits, for a moment only, until every server has been observed once, so that no School is reported as waiting for its server for that reason.
    async fn before_start(ctx: &Context) {
        let _ = tokio::time::timeout(ctx.timing.first_observation, super::server::all_observed(ctx)).await;
    }

    fn listed(ctx: &Context) {
        placement::load_reservations(ctx);
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

    /// Waits for a change, for the next resync, or for the progress deadline. A School that waits or was refused is reconciled more often, because not
    /// everything in its way can be watched, such as a predecessor's Secret that Kubernetes has not removed yet.
    fn settled(ctx: &Context, observation: &Observation, plan: &Plan) -> Duration {
        let (school, uid) = (&observation.school, observation.school.uid().unwrap_or_default());
        ctx.requeue.set_waiting(&uid, ObjectRef::from_obj(school), plan.is_blocked());
        if matches!(plan, Plan::Refuse(Refusal::NameConflict)) {
            // It owns nothing, so it takes no place.
            release_place(ctx, school);
        }
        let until = if plan.is_blocked() { ctx.resync.min(ctx.progress_deadline).min(ctx.timing.waiting) } else { ctx.resync };
        spread(until, &uid)
    }

    fn gone(ctx: &Context, school: &School) {
        ctx.requeue.set_waiting(&school.uid().unwrap_or_default(), ObjectRef::from_obj(school), false);
        // A name or a place may have become free.
        ctx.requeue.all_waiting();
    }

    fn failed(ctx: &Context, school: &School, observation: Option<&Observation>, error: &Error) {
        if error.is_server_unreachable()
            && let Some(Assignment::Assigned(assigned)) = observation.map(|observation| &observation.assignment)
        {
            ctx.recheck.one(ObjectRef::new(assigned.names.server.as_str()));
            ctx.requeue.set_waiting(&school.uid().unwrap_or_default(), ObjectRef::from_obj(school), true);
        }
    }
}

fn release_place(ctx: &Context, school: &School) {
    if let Ok(Some(names)) = convert::names(school.status.as_ref()) {
        ctx.reservations.release(names.tenant);
    }
}

/// The School as the controlling owner of its Secrets.
fn owner_reference(school: &School) -> Option<OwnerReference> {
    school.controller_owner_ref(&())
}
