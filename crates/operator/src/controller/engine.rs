//! The engine: the loop observe, plan, execute, report, the same for every kind of object.
//!
//! Must not know any kind: what is different about one is in its [`Kind`]. No decision rests on an earlier reconcile, so a crash is one more state to start
//! from. Every failure is handled in [`reconcile`], where it is counted, logged and reported once.

mod control;
mod kind;
mod report;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::plan::Plan;
use domain::retry::Class;
use kube::runtime::controller;
use kube::{Resource as _, ResourceExt as _};
use telemetry::logs::chain;
use tracing::Instrument as _;

pub(super) use self::control::control;
pub(super) use self::kind::{Kind, Limit, PlanOf};
pub(super) use self::report::dated;
use super::context::Context;
use super::error::{Error, Result};
use crate::fault::{self, Moment};
use crate::kubernetes::object;
use crate::metrics;

/// Actions in one pass. The longest way, a new School, takes ten, and each pending migration one more. Then others of the same limit get their turn.
const ACTIONS: usize = 24;
/// How often in a row the same action may leave everything as it was.
const SAME_ACTION: u32 = 3;
/// The longest a pass may take, migrations and the building of a template included.
const TIME_LIMIT: Duration = Duration::from_mins(15);
/// Between two passes of an object without a concurrency limit that has more to do.
const PAUSE: Duration = Duration::from_secs(1);
/// Contention, which is somebody else being faster or holding a lock, is not worth reporting until it has happened this often in a row.
const REPORTED_AFTER: u32 = 4;

/// How a pass ended.
enum End {
    /// There is no action left; the wait before the next reconcile.
    Settled(Duration),
    /// There is more to do, but others come first, or the object now belongs to another limit.
    Continue,
    /// The object is gone.
    Gone,
}

/// One reconcile, as kube's controller calls it.
///
/// # Errors
/// Never.
pub(super) async fn reconcile<K: Kind>(object: Arc<K::Object>, ctx: Arc<Context>) -> Result<controller::Action, Infallible> {
    let span = tracing::info_span!("reconcile", kind = K::NAME, namespace = object.namespace(), name = object.name_any());
    let started = Instant::now();
    let next = passes::<K>(&ctx, K::Object::clone(&object)).instrument(span).await;
    metrics::reconciled(K::NAME, started.elapsed());
    Ok(next)
}

async fn passes<K: Kind>(ctx: &Context, mut object: K::Object) -> controller::Action {
    let uid = object.uid().unwrap_or_default();
    loop {
        let _permit = permit::<K>(ctx, &object).await;
        let mut observation = None;
        let ended = tokio::time::timeout(TIME_LIMIT, Box::pin(pass::<K>(ctx, &mut object, &mut observation))).await;
        match ended.unwrap_or(Err(Error::TimeRanOut)) {
            Ok(End::Continue) => {
                ctx.freshness.record(&object);
                if K::limit(&object) == Limit::None {
                    // Nobody else waits for this place. A pause keeps two actions that undo each other from using a whole processor.
                    return controller::Action::requeue(PAUSE);
                }
            }
            Ok(End::Settled(wait)) => {
                ctx.freshness.record(&object);
                ctx.backoff.reset(&uid);
                ctx.heartbeat.beat();
                return controller::Action::requeue(wait);
            }
            Ok(End::Gone) => {
                ctx.freshness.forget(&uid);
                ctx.backoff.reset(&uid);
                ctx.heartbeat.beat();
                K::gone(ctx, &object);
                return controller::Action::await_change();
            }
            Err(error) => return failed::<K>(ctx, &mut object, observation.as_ref(), &uid, &error).await,
        }
    }
}

async fn permit<K: Kind>(ctx: &Context, object: &K::Object) -> Option<tokio::sync::OwnedSemaphorePermit> {
    match K::limit(object) {
        Limit::None => None,
        Limit::PerServer(server) => {
            metrics::enqueued(K::NAME);
            let permit = ctx.concurrency.acquire(server.as_ref()).await;
            metrics::dequeued(K::NAME);
            permit
        }
    }
}

/// Observes, then executes until there is nothing to do or the pass has had its share.
async fn pass<K: Kind>(ctx: &Context, object: &mut K::Object, last: &mut Option<K::Observation>) -> Result<End> {
    // No status is compared with one from before our own last write.
    let stale = object.meta().deletion_timestamp.is_some() || !ctx.freshness.is_fresh(object);
    if K::READS_AFRESH && stale {
        match object::fresh(&K::api(ctx, object), &object.name_any(), &object.uid().unwrap_or_default()).await? {
            Some(now) => *object = now,
            None => return Ok(End::Gone),
        }
    }
    let observation = last.insert(K::observe(ctx, object.clone()).await?);
    let mut before = None;
    for _ in 0..ACTIONS {
        K::remember(ctx, observation);
        let observed = K::facts(ctx, observation);
        let next = K::plan(observation, &observed);
        if let Some(error) = K::read_error(observation, &next) {
            return Err(error);
        }
        let Plan::Execute(action) = &next else {
            return finish::<K>(ctx, object, observation, &observed, next).await;
        };
        if !K::admissible(observation, &observed, action) {
            return Err(Error::Bug(format!("{} was planned where it must not land", K::label(action))));
        }
        before = Some(unless_repeated::<K>(before, observed, action)?);
        execute::<K>(ctx, observation, action).await?;
        let limit = K::limit(object);
        *object = K::object(observation).clone();
        if K::limit(object) != limit {
            break;
        }
    }
    Ok(End::Continue)
}

async fn finish<K: Kind>(
    ctx: &Context,
    object: &mut K::Object,
    observation: &mut K::Observation,
    observed: &K::Observed,
    plan: PlanOf<K>,
) -> Result<End> {
    let ours = |object: &K::Object| object.finalizers().iter().any(|present| present == K::FINALIZER);
    // Without our finalizer the object may be gone at any moment.
    if ours(K::object(observation)) {
        report::report::<K>(ctx, observation, observed, &plan).await?;
    }
    *object = K::object(observation).clone();
    let gone = object.meta().deletion_timestamp.is_some() && !ours(object);
    if gone {
        return Ok(End::Gone);
    }
    tracing::debug!(?plan, "nothing to execute");
    Ok(End::Settled(K::settled(ctx, observation, &plan)))
}

/// Executes one action and observes again what it touched.
async fn execute<K: Kind>(ctx: &Context, observation: &mut K::Observation, action: &K::Action) -> Result<()> {
    if ctx.lease.as_ref().is_some_and(|lease| !lease.is_valid()) {
        return Err(Error::NotLeading);
    }
    let label = K::label(action);
    fault::point(Moment::Before, label);
    K::execute(ctx, observation, action).await?;
    fault::point(Moment::After, label);
    metrics::executed(label);
    tracing::info!(action = label, "executed");
    K::refresh(ctx, observation, action).await
}

/// What was planned, from which facts, and how often in a row.
type Planned<K> = (<K as Kind>::Observed, <K as Kind>::Action, u32);

/// Counts how often in a row the same action was planned from the same facts. Somebody else may undo it once; after that repeating it does not help.
fn unless_repeated<K: Kind>(before: Option<Planned<K>>, observed: K::Observed, action: &K::Action) -> Result<Planned<K>> {
    match before {
        Some((then, same, times)) if then == observed && same == *action => {
            if times < SAME_ACTION {
                Ok((then, same, times + 1))
            } else {
                Err(Error::NothingChanged(K::label(action)))
            }
        }
        _ => Ok((observed, action.clone(), 1)),
    }
}

/// Counts, logs and reports a failure, and chooses the wait before the next try.
async fn failed<K: Kind>(
    ctx: &Context,
    object: &mut K::Object,
    observation: Option<&K::Observation>,
    uid: &str,
    error: &Error,
) -> controller::Action {
    let class = error.class();
    let (failures, wait) = ctx.backoff.failed(uid, class);
    ctx.freshness.invalidate(object);
    metrics::reconcile_failed(K::NAME, class);
    let text = chain(error);
    if class == Class::Contended && failures < REPORTED_AFTER {
        tracing::info!(error = text, class = class.label(), retry_in = ?wait, "reconcile failed, retrying");
        return controller::Action::requeue(wait);
    }
    tracing::warn!(error = text, class = class.label(), retry_in = ?wait, "reconcile failed");
    K::failed(ctx, object, observation, error);
    if let Err(unwritten) = report::report_failure::<K>(ctx, object, observation, &error.failure()).await {
        tracing::info!(error = chain(&unwritten), "the status could not be written");
    }
    controller::Action::requeue(wait)
}
