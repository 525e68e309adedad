//! The engine: the loop observe, plan, execute, report, the same for every kind of object.
//!
//! Must not know any kind: what is different about one is in its [`Kind`]. No decision rests on an earlier reconcile, so a crash is one more state to start
//! from. Every failure is handled in [`reconcile`], where it is counted, logged and reported once.

mod budget;
mod control;
mod kind;
mod permit;
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

use self::budget::Budget;
pub(super) use self::control::control;
pub(super) use self::kind::{Kind, Limit, PlanOf};
use self::permit::Permit;
pub(super) use self::report::dated;
use super::changes::Subscription;
use super::context::Context;
use super::error::{Error, Result};
use crate::fault::{self, Moment};
use crate::kubernetes::object;
use crate::metrics;

/// Actions in one pass. The longest way, a new School, takes ten, and each pending migration one more. Then others of the same limit get their turn.
const ACTIONS: usize = 24;
/// How often in a row the same action may leave everything as it was.
const SAME_ACTION: u32 = 3;
/// The longest a pass may take, migrations and the building of a template included, but not the waiting for places.
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
    /// Something else is desired meanwhile; the object is what the watch cache has now.
    Superseded,
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
    let changes = ctx.changes.subscribe(&uid);
    loop {
        let mut permit = permit::queue::<K>(ctx, &changes, &mut object).await;
        let mut observation = None;
        let mut this = Pass { ctx, changes: &changes, permit: &mut permit, budget: Budget::of(TIME_LIMIT) };
        match Box::pin(this.run::<K>(&mut object, &mut observation)).await {
            Ok(End::Superseded) => {}
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

/// What a pass works with.
struct Pass<'a> {
    ctx: &'a Context,
    changes: &'a Subscription<'a>,
    permit: &'a mut Permit,
    budget: Budget,
}

impl Pass<'_> {
    /// Observes, then executes until there is nothing to do, the pass has had its share, or something else is desired.
    async fn run<K: Kind>(&mut self, object: &mut K::Object, last: &mut Option<K::Observation>) -> Result<End> {
        let ctx = self.ctx;
        // No status is compared with one from before our own last write.
        let stale = object.meta().deletion_timestamp.is_some() || !ctx.freshness.is_fresh(object);
        if K::READS_AFRESH && stale {
            match object::fresh(&K::api(ctx, object), &object.name_any(), &object.uid().unwrap_or_default()).await? {
                Some(now) => *object = now,
                None => return Ok(End::Gone),
            }
        }
        let basis = object.clone();
        let observation = last.insert(self.budget.spend(K::observe(ctx, object.clone())).await?);
        let mut before = None;
        for _ in 0..ACTIONS {
            if let Some(end) = superseded::<K>(ctx, &basis, object, observation) {
                return Ok(end);
            }
            K::remember(ctx, observation);
            let observed = K::facts(ctx, observation);
            let next = K::plan(observation, &observed);
            if let Some(error) = K::read_error(observation, &next) {
                return Err(error);
            }
            let Plan::Execute(action) = &next else {
                return self.budget.spend(finish::<K>(ctx, object, observation, &observed, next)).await;
            };
            if !K::admissible(observation, &observed, action) {
                return Err(Error::Bug(format!("{} was planned where it must not land", K::label(action))));
            }
            before = Some(unless_repeated::<K>(before, observed, action)?);
            if !self.execute::<K>(observation, action).await? {
                continue;
            }
            let limit = K::limit(object);
            *object = K::object(observation).clone();
            if K::limit(object) != limit {
                break;
            }
        }
        Ok(End::Continue)
    }

    /// Executes one action, in the place that it needs, and observes again what it touched. False when it was not executed, or given up, because something
    /// else is desired meanwhile.
    async fn execute<K: Kind>(&mut self, observation: &mut K::Observation, action: &K::Action) -> Result<bool> {
        let (ctx, changes, own) = (self.ctx, self.changes, K::work_of(action));
        let object = K::object(observation).clone();
        if let Some(work) = own
            && !self.permit.exchange::<K>(ctx, changes, &object, work).await
        {
            return Ok(false);
        }
        let abandoned = || permit::newer::<K>(ctx, &object).is_some_and(|newer| K::is_abandoned(action, &newer));
        let executed = tokio::select! {
            executed = self.budget.spend(execute::<K>(ctx, observation, action)) => executed.map(|()| true)?,
            () = changes.until(abandoned) => {
                tracing::info!(action = K::label(action), "given up: something else is desired now");
                false
            }
        };
        if own.is_some() && executed {
            // Without a place, because something else is desired, the pass ends.
            self.permit.exchange::<K>(ctx, changes, &object, K::work(&object)).await;
        }
        Ok(executed)
    }
}

/// Something else is desired of the object than when the pass began: `object` becomes what it is now. A write of ours may have returned it already.
fn superseded<K: Kind>(ctx: &Context, basis: &K::Object, object: &mut K::Object, observation: &K::Observation) -> Option<End> {
    let ours = K::object(observation);
    // The watch cache may have an older version than our last write; then the next pass reads afresh.
    let now = permit::newer::<K>(ctx, ours).or_else(|| permit::is_later::<K>(basis, ours).then(|| ours.clone()))?;
    ctx.freshness.record(ours);
    tracing::info!("something else is desired meanwhile");
    *object = now;
    Some(End::Superseded)
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
