//! One School: look, plan, act, look again, tell. A turn budget keeps one School from starving others; no memory is kept between turns.

mod act;
mod binding;
pub(super) use binding::note_places;
mod report;
pub mod sight;

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

use self::sight::{Sight, look};
use super::attempts::spread;
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
const SAME_STEP: u32 = 3;
/// The longest a turn may take, migrations included.
const TURN: Duration = Duration::from_mins(15);

/// Somebody else being faster, or holding a lock, is not worth telling until it has happened this often in a row.
const TOLD_AFTER: u32 = 4;

/// How often a School that waits or is refused is looked at although nothing woke it: not everything that stands in its way can be watched, such as
/// a predecessor's Secret that is still to be collected.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// How a turn ended.
enum End {
    /// Nothing to do until something changes.
    Rest(Plan),
    /// More to do: the budget is spent, or the School has just been bound and belongs in its server's lane.
    Again(Box<School>),
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
    let next = turns(&ctx, School::clone(&school), &uid).instrument(span).await;
    metrics::reconciled("School", started.elapsed());
    Ok(next)
}

async fn turns(ctx: &Context, mut school: School, uid: &str) -> controller::Action {
    loop {
        let server =
            school.status.as_ref().and_then(|status| status.placement.as_ref()).and_then(|placement| placement.server_name.as_deref());
        let server = server.and_then(|name| domain::names::ServerName::parse(name).ok());
        let _place = ctx.lanes.enter(server.as_ref()).await;
        let mut sight = None;
        let ended = tokio::time::timeout(TURN, turn(ctx, &mut school, &mut sight)).await;
        match ended.unwrap_or(Err(Error::TimeRanOut)) {
            Ok(End::Again(next)) => {
                school = *next;
                ctx.latest.note(&school);
            }
            Ok(End::Rest(plan)) => {
                ctx.latest.note(&school);
                return rest(ctx, &school, uid, &plan);
            }
            Ok(End::Gone) => {
                forget(ctx, &school, uid);
                return controller::Action::await_change();
            }
            Err(error) => return failed(ctx, &mut school, sight.as_ref(), uid, &error).await,
        }
    }
}

/// Looks, then acts until there is nothing to do or the budget is spent.
async fn turn(ctx: &Context, school: &mut School, seen_so_far: &mut Option<Sight>) -> Result<End> {
    // What is destroyed is destroyed on the API server's word of now, not on a cache's of then; and no status is compared with one from before our own.
    if school.metadata.deletion_timestamp.is_some() || !ctx.latest.covers(school) {
        let api = ctx.schools_in(&school.namespace().unwrap_or_default());
        match object::fresh(&api, &school.name_any(), &school.uid().unwrap_or_default()).await? {
            Some(now) => *school = now,
            None => return Ok(End::Gone),
        }
    }
    let sight = seen_so_far.insert(Box::pin(look(ctx, school.clone())).await?);
    let mut before = None;
    for _ in 0..STEPS {
        let seen = sight.seen(ctx);
        let next = plan(&sight.wanted, &seen);
        let Plan::Execute(action) = &next else {
            if seen.finalizer {
                report::tell(ctx, sight, &next).await?;
            }
            *school = sight.school.clone();
            return Ok(if sight.school.metadata.deletion_timestamp.is_some() && !seen.finalizer { End::Gone } else { End::Rest(next) });
        };
        if !admissible(&sight.wanted, &seen, action) {
            return Err(Error::Bug(format!("{} was planned where it must not land", action.label())));
        }
        before = Some(once_more(before, &seen, action)?);
        act::act(ctx, sight, action).await?;
        *school = sight.school.clone();
        if matches!(action, Action::RecordNames(_)) {
            break;
        }
    }
    Ok(End::Again(Box::new(sight.school.clone())))
}

/// Counts how often in a row the same step was planned from the same sight. Somebody else may undo it once; after that it is no way forward.
fn once_more(
    before: Option<(ObservedSchool, Action, u32)>,
    seen: &ObservedSchool,
    action: &Action,
) -> Result<(ObservedSchool, Action, u32)> {
    match before {
        Some((then, same, times)) if then == *seen && same == *action => {
            if times < SAME_STEP {
                Ok((then, same, times + 1))
            } else {
                Err(Error::NoEffect(action.label()))
            }
        }
        _ => Ok((seen.clone(), action.clone(), 1)),
    }
}

/// Waits for a change, for the next resync, or for the progress deadline.
fn rest(ctx: &Context, school: &School, uid: &str, plan: &Plan) -> controller::Action {
    ctx.attempts.succeeded(uid);
    ctx.heartbeat.beat();
    let waits = matches!(plan, Plan::Wait(_) | Plan::Refuse(_));
    ctx.wake.note(uid, ObjectRef::from_obj(school), waits);
    if matches!(plan, Plan::Refuse(Refusal::NameConflict)) {
        // It owns nothing, so it takes no place.
        free_place(ctx, school);
    }
    tracing::debug!(?plan, "rests");
    let until = if waits { ctx.resync.min(ctx.progress_deadline).min(LOOK_AGAIN) } else { ctx.resync };
    controller::Action::requeue(spread(until, uid))
}

fn free_place(ctx: &Context, school: &School) {
    if let Ok(Some(names)) = crate::crd::convert::names(school.status.as_ref()) {
        ctx.ledger.free(names.tenant);
    }
}

fn forget(ctx: &Context, school: &School, uid: &str) {
    ctx.attempts.succeeded(uid);
    ctx.latest.forget(uid);
    ctx.heartbeat.beat();
    ctx.wake.note(uid, ObjectRef::from_obj(school), false);
    // A name or a place may have become free.
    ctx.wake.waiting();
}

/// Counts, prints and tells a failure, and chooses the next try.
async fn failed(ctx: &Context, school: &mut School, sight: Option<&Sight>, uid: &str, error: &Error) -> controller::Action {
    let class = error.class();
    let (attempts, wait) = ctx.attempts.failed(uid, class);
    ctx.latest.doubt(school);
    metrics::reconcile_failed("School", class);
    let text = chain(error);
    if class == Class::Contended && attempts < TOLD_AFTER {
        tracing::info!(error = text, retry_in = ?wait, "looks again");
        return controller::Action::requeue(wait);
    }
    tracing::warn!(error = text, class = class.label(), retry_in = ?wait, "turn failed");
    if error.is_server_unreachable()
        && let Some(Ok(standing)) = sight.map(|sight| sight.binding.as_ref())
    {
        ctx.suspects.one(ObjectRef::new(standing.names.server.as_str()));
        ctx.wake.note(uid, ObjectRef::from_obj(school), true);
    }
    if let Err(unsaid) = report::tell_trouble(ctx, school, sight, &error.trouble()).await {
        tracing::info!(error = chain(&unsaid), "the status could not be written");
    }
    controller::Action::requeue(wait)
}

/// The School as the controlling owner of its Secrets.
fn owner_reference(school: &School) -> Option<OwnerReference> {
    school.controller_owner_ref(&())
}
