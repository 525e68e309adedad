//! One School: look, plan, act, look again, tell. A turn budget keeps one School from starving others; no memory is kept between turns.

mod execute;
mod placement;
pub(super) use placement::load_reservations;
pub mod observe;
mod report;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::retry::Class;
use domain::school::action::{Action, admissible};
use domain::school::observed::ObservedSchool;
use domain::school::plan::{Plan, Refusal, plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::controller;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use telemetry::logs::chain;
use tracing::Instrument as _;

use self::observe::{Observation, observe};
use super::backoff::spread;
use super::context::Context;
use super::error::{Error, Result};
use crate::crd::School;
use crate::kubernetes::object;
use crate::metrics;

/// Keeps a School's object until everything outside it is dealt with.
pub const FINALIZER: &str = "dailycare.io/school-cleanup";

/// Steps in one turn; the longest way, a new School, takes ten, and each pending migration one more.
const STEPS: usize = 24;
/// How often in a row a step may be taken and leave everything as it was.
const SAME_ACTION: u32 = 3;
/// The longest a turn may take, migrations included.
const TIME_LIMIT: Duration = Duration::from_mins(15);

/// Somebody else being faster, or holding a lock, is not worth telling until it has happened this often in a row.
const REPORTED_AFTER: u32 = 4;

/// How often a School that waits or is refused is looked at although nothing woke it: not everything that stands in its way can be watched, such as
/// a predecessor's Secret that is still to be collected.
const WAITING: Duration = Duration::from_secs(15);

/// How a turn ended.
enum End {
    /// Nothing to do until something changes.
    Settled(Plan),
    /// More to do: the budget is spent, or the School has just been bound and belongs in its server's lane.
    Continue(Box<School>),
    /// The object is gone.
    Gone,
}

/// One reconcile, as kube's controller calls it. Every failure is handled here, where it is counted, told and printed once.
///
/// # Errors
/// Never.
pub async fn reconcile(school: Arc<School>, ctx: Arc<Context>) -> Result<controller::Action, Infallible> {
    let span = tracing::info_span!("school", namespace = school.namespace().unwrap_or_default(), name = school.name_any());
    let started = Instant::now();
    let uid = school.uid().unwrap_or_default();
    let next = reconcile_until_settled(&ctx, School::clone(&school), &uid).instrument(span).await;
    metrics::reconciled("School", started.elapsed());
    Ok(next)
}

async fn reconcile_until_settled(ctx: &Context, mut school: School, uid: &str) -> controller::Action {
    loop {
        let server =
            school.status.as_ref().and_then(|status| status.placement.as_ref()).and_then(|placement| placement.server_name.as_deref());
        let server = server.and_then(|name| domain::names::ServerName::parse(name).ok());
        let _place = ctx.concurrency.acquire(server.as_ref()).await;
        let mut observation = None;
        let ended = tokio::time::timeout(TIME_LIMIT, pass(ctx, &mut school, &mut observation)).await;
        match ended.unwrap_or(Err(Error::TimeRanOut)) {
            Ok(End::Continue(next)) => {
                school = *next;
                ctx.freshness.record(&school);
            }
            Ok(End::Settled(plan)) => {
                ctx.freshness.record(&school);
                return settled(ctx, &school, uid, &plan);
            }
            Ok(End::Gone) => {
                forget(ctx, &school, uid);
                return controller::Action::await_change();
            }
            Err(error) => return failed(ctx, &mut school, observation.as_ref(), uid, &error).await,
        }
    }
}

/// Looks, then acts until there is nothing to do or the budget is spent.
async fn pass(ctx: &Context, school: &mut School, last_observation: &mut Option<Observation>) -> Result<End> {
    // What is destroyed is destroyed on the API server's word of now, not on a cache's of then; and no status is compared with one from before our own.
    if school.metadata.deletion_timestamp.is_some() || !ctx.freshness.is_fresh(school) {
        let api = ctx.schools_in(&school.namespace().unwrap_or_default());
        match object::fresh(&api, &school.name_any(), &school.uid().unwrap_or_default()).await? {
            Some(now) => *school = now,
            None => return Ok(End::Gone),
        }
    }
    let observation = last_observation.insert(Box::pin(observe(ctx, school.clone())).await?);
    let mut before = None;
    for _ in 0..STEPS {
        let facts = observation.facts(ctx);
        let next = plan(&observation.wanted, &facts);
        let Plan::Execute(action) = &next else {
            if facts.finalizer {
                report::report(ctx, observation, &next).await?;
            }
            *school = observation.school.clone();
            return Ok(if observation.school.metadata.deletion_timestamp.is_some() && !facts.finalizer {
                End::Gone
            } else {
                End::Settled(next)
            });
        };
        if !admissible(&observation.wanted, &facts, action) {
            return Err(Error::Bug(format!("{} was planned where it must not land", action.label())));
        }
        before = Some(same_action(before, &facts, action)?);
        execute::execute(ctx, observation, action).await?;
        *school = observation.school.clone();
        if matches!(action, Action::RecordNames(_)) {
            break;
        }
    }
    Ok(End::Continue(Box::new(observation.school.clone())))
}

/// Counts how often in a row the same step was planned from the same sight. Somebody else may undo it once; after that it is no way forward.
fn same_action(
    before: Option<(ObservedSchool, Action, u32)>,
    facts: &ObservedSchool,
    action: &Action,
) -> Result<(ObservedSchool, Action, u32)> {
    match before {
        Some((then, same, times)) if then == *facts && same == *action => {
            if times < SAME_ACTION {
                Ok((then, same, times + 1))
            } else {
                Err(Error::NoEffect(action.label()))
            }
        }
        _ => Ok((facts.clone(), action.clone(), 1)),
    }
}

/// Waits for a change, for the next resync, or for the progress deadline.
fn settled(ctx: &Context, school: &School, uid: &str, plan: &Plan) -> controller::Action {
    ctx.backoff.reset(uid);
    ctx.heartbeat.beat();
    let waits = matches!(plan, Plan::Wait(_) | Plan::Refuse(_));
    ctx.requeue.set_waiting(uid, ObjectRef::from_obj(school), waits);
    if matches!(plan, Plan::Refuse(Refusal::NameConflict)) {
        // It owns nothing, so it takes no place.
        free_place(ctx, school);
    }
    tracing::debug!(?plan, "rests");
    let until = if waits { ctx.resync.min(ctx.progress_deadline).min(WAITING) } else { ctx.resync };
    controller::Action::requeue(spread(until, uid))
}

fn free_place(ctx: &Context, school: &School) {
    if let Ok(Some(names)) = crate::crd::convert::names(school.status.as_ref()) {
        ctx.reservations.release(names.tenant);
    }
}

fn forget(ctx: &Context, school: &School, uid: &str) {
    ctx.backoff.reset(uid);
    ctx.freshness.forget(uid);
    ctx.heartbeat.beat();
    ctx.requeue.set_waiting(uid, ObjectRef::from_obj(school), false);
    // A name or a place may have become free.
    ctx.requeue.all_waiting();
}

/// Counts, prints and tells a failure, and chooses the next try.
async fn failed(ctx: &Context, school: &mut School, observation: Option<&Observation>, uid: &str, error: &Error) -> controller::Action {
    let class = error.class();
    let (attempts, wait) = ctx.backoff.failed(uid, class);
    ctx.freshness.invalidate(school);
    metrics::reconcile_failed("School", class);
    let text = chain(error);
    if class == Class::Contended && attempts < REPORTED_AFTER {
        tracing::info!(error = text, class = class.label(), retry_in = ?wait, "reconcile failed, retrying");
        return controller::Action::requeue(wait);
    }
    tracing::warn!(error = text, class = class.label(), retry_in = ?wait, "reconcile failed");
    if error.is_server_unreachable()
        && let Some(Ok(assigned)) = observation.map(|observation| observation.binding.as_ref())
    {
        ctx.recheck.one(ObjectRef::new(assigned.names.server.as_str()));
        ctx.requeue.set_waiting(uid, ObjectRef::from_obj(school), true);
    }
    if let Err(unwritten) = report::report_failure_of(ctx, school, observation, &error.failure()).await {
        tracing::info!(error = chain(&unwritten), "the status could not be written");
    }
    controller::Action::requeue(wait)
}

/// The School as the controlling owner of its Secrets.
fn owner_reference(school: &School) -> Option<OwnerReference> {
    school.controller_owner_ref(&())
}
