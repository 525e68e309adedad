//! What a kind of object brings to the engine.
//!
//! A kind is a folder with its observe, execute and status, a planner in `domain`, an implementation of [`Kind`], and one line in `run.rs`. Nothing here may
//! decide what is done: `plan` and `admissible` only call the domain. Must not know any kind.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use domain::condition::Condition;
use domain::failure::{Circumstances, Failure};
use domain::names::ServerName;
use domain::plan::Plan;
use kube::core::object::HasStatus;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::controller::cache::Cache;
use crate::controller::concurrency::Work;
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::requeue::Requeue;
use crate::crd::ConditionedStatus;

/// The plan of a kind.
pub(crate) type PlanOf<K> = Plan<<K as Kind>::Action, <K as Kind>::Waiting, <K as Kind>::Refusal>;

/// Which objects of a kind share a bound of reconciles at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// No bound: there are few of them.
    None,
    /// Those of one server, or of none yet.
    PerServer(Option<ServerName>),
}

/// A kind of object.
pub(crate) trait Kind: Send + Sync + 'static {
    /// The Kubernetes object.
    type Object: Resource<DynamicType = ()> + HasStatus<Status = Self::Status> + Clone + DeserializeOwned + Debug + Send + Sync + 'static;
    /// Its status.
    type Status: ConditionedStatus + Serialize + Clone + Default + Send + Sync;
    /// Everything that was read.
    type Observation: Send + Sync;
    /// The planner's view of it.
    type Observed: PartialEq + Send + Sync;
    /// One change to the world.
    type Action: Clone + PartialEq + Debug + Send + Sync;
    /// What is waited for.
    type Waiting: Debug + Send + Sync;
    /// Why a person must decide.
    type Refusal: Debug + Send + Sync;

    /// The kind's name in logs and metrics.
    const NAME: &'static str;
    /// Keeps an object until everything outside it is dealt with.
    const FINALIZER: &'static str;
    /// An object that is being deleted, or that the cache may have in an older version than our last write, is read from the API server first. Needs the
    /// right `get`.
    const READS_AFRESH: bool;

    /// The watch cache. Override it when other kinds read these objects.
    fn cache(_: &Context) -> Cache<Self::Object> {
        Cache::default()
    }

    /// Where others ask for a reconcile of an object. Override it when somebody does.
    fn requeue(_: &Context) -> Arc<Requeue<Self::Object>> {
        Arc::default()
    }

    /// The API that serves an object.
    fn api(ctx: &Context, object: &Self::Object) -> Api<Self::Object>;

    /// Which others an object shares its concurrency limit with.
    fn limit(_: &Self::Object) -> Limit {
        Limit::None
    }

    /// What the work on an object is, as long as no action says otherwise.
    fn work(_: &Self::Object) -> Work {
        Work::Ordinary
    }

    /// What work an action is that has a limit of its own. The reconcile gives up its other place meanwhile.
    fn work_of(_: &Self::Action) -> Option<Work> {
        None
    }

    /// A running action is given up, because `newer` is desired of its object. What the action did or did not do must be a state that is understood.
    fn is_abandoned(_: &Self::Action, _newer: &Self::Object) -> bool {
        false
    }

    /// Waits for what must be known before the first reconcile.
    fn before_start(_: &Context) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Every object has been listed.
    fn listed(_: &Context) {}

    /// Reads every source. Changes nothing.
    fn observe(ctx: &Context, object: Self::Object) -> impl Future<Output = Result<Self::Observation>> + Send;

    /// Between observing and planning: updates this process's memory, such as reservations, with what was observed.
    fn remember(_: &Context, _: &mut Self::Observation) {}

    /// The object, as last read or written.
    fn object(observation: &Self::Observation) -> &Self::Object;

    /// The object, to be replaced by what the API server returned.
    fn object_mut(observation: &mut Self::Observation) -> &mut Self::Object;

    /// The planner's view.
    fn facts(ctx: &Context, observation: &Self::Observation) -> Self::Observed;

    /// The next action, or why there is none.
    fn plan(observation: &Self::Observation, observed: &Self::Observed) -> PlanOf<Self>
    where
        Self: Sized;

    /// The error behind a plan to wait for something that could not be read.
    fn read_error(_: &mut Self::Observation, _: &PlanOf<Self>) -> Option<Error>
    where
        Self: Sized,
    {
        None
    }

    /// Whether an action may land.
    fn admissible(observation: &Self::Observation, observed: &Self::Observed, action: &Self::Action) -> bool;

    /// The action's name in logs, metrics and fault points.
    fn label(action: &Self::Action) -> &'static str;

    /// Executes one action.
    fn execute(ctx: &Context, observation: &mut Self::Observation, action: &Self::Action) -> impl Future<Output = Result<()>> + Send;

    /// Observes again what an action touched.
    fn refresh(ctx: &Context, observation: &mut Self::Observation, action: &Self::Action) -> impl Future<Output = Result<()>> + Send;

    /// Conditions after a reconcile that ended with a plan.
    fn conditions(
        ctx: &Context,
        observation: &Self::Observation,
        observed: &Self::Observed,
        plan: &PlanOf<Self>,
        overdue: bool,
    ) -> Vec<Condition>
    where
        Self: Sized;

    /// Conditions after a reconcile that failed. Override it when the kind knows more than Ready, Reconciling and Stalled.
    fn conditions_after_failure(
        _: &Context,
        _: Option<&Self::Observation>,
        failure: &Failure,
        circumstances: Circumstances,
    ) -> Vec<Condition> {
        domain::failure::report_failure(failure, circumstances)
    }

    /// The status without conditions: the present one with everything that is now known filled in.
    fn status(ctx: &Context, observation: &Self::Observation) -> Self::Status;

    /// After a reconcile that ended with a plan: the wait before the next one, if nothing happens earlier.
    fn settled(ctx: &Context, observation: &Self::Observation, plan: &PlanOf<Self>) -> Duration
    where
        Self: Sized;

    /// The object is gone.
    fn gone(_: &Context, _: &Self::Object) {}

    /// A reconcile failed and is reported.
    fn failed(_: &Context, _: &Self::Object, _: Option<&Self::Observation>, _: &Error) {}
}
