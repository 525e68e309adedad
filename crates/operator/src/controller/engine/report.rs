//! Reporting: writes an object's status, only when something in it changed, and an Event when that is news.
//!
//! Must not decide what a status says: that is the kind's.

use domain::condition::Condition;
use domain::failure::{Circumstances, Failure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as Written;
use kube::Resource as _;
use kube::core::object::HasStatus as _;

use super::{Kind, PlanOf};
use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::controller::{conditions, events};
use crate::crd::ConditionedStatus as _;
use crate::kubernetes::object;

/// Reports how a reconcile ended.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn report<K: Kind>(
    ctx: &Context,
    observation: &mut K::Observation,
    observed: &K::Observed,
    plan: &PlanOf<K>,
) -> Result<()> {
    let overdue = conditions::overdue(written::<K>(K::object(observation)), ctx.progress_deadline);
    let conditions = K::conditions(ctx, observation, observed, plan, overdue);
    let status = K::status(ctx, observation);
    write::<K>(ctx, K::object_mut(observation), status, &conditions).await
}

/// Reports that a reconcile failed. `observation` is what was observed before, if anything was.
///
/// # Errors
/// When the status cannot be written.
pub(super) async fn report_failure<K: Kind>(
    ctx: &Context,
    object: &mut K::Object,
    observation: Option<&K::Observation>,
    failure: &Failure,
) -> Result<()> {
    let before = written::<K>(object);
    let circumstances = Circumstances {
        deleting: object.meta().deletion_timestamp.is_some(),
        was_ready: conditions::was_ready(before),
        overdue: conditions::overdue(before, ctx.progress_deadline),
    };
    let conditions = K::conditions_after_failure(ctx, observation, failure, circumstances);
    let status = observation.map_or_else(|| object.status().cloned().unwrap_or_default(), |observation| K::status(ctx, observation));
    write::<K>(ctx, object, status, &conditions).await
}

/// A status with conditions, their times, and the generation that it speaks about.
pub(in crate::controller) fn dated<K: Kind>(object: &K::Object, mut status: K::Status, conditions: &[Condition]) -> K::Status {
    let generation = object.meta().generation.unwrap_or_default();
    status.set_conditions(generation, conditions::merge(written::<K>(object), conditions, generation));
    status
}

async fn write<K: Kind>(ctx: &Context, object: &mut K::Object, status: K::Status, conditions: &[Condition]) -> Result<()> {
    let status = dated::<K>(object, status, conditions);
    let before = written::<K>(object).to_vec();
    if let Some(patched) = object::patch_status(&K::api(ctx, object), object, &status).await? {
        *object = patched;
        events::publish(&ctx.recorder, &object.object_ref(&()), &before, conditions);
    }
    Ok(())
}

fn written<K: Kind>(object: &K::Object) -> &[Written] {
    object.status().and_then(|status| status.conditions()).unwrap_or_default()
}
