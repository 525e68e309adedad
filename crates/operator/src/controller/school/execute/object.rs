//! Actions on the School object: finalizer and recorded names.
//!
//! Must carry the precondition of each write: uid and finalizers, or `resourceVersion`.

use domain::placement::Placement;
use domain::school::action::ObjectAction;
use domain::school::observed::ObservedTenant;
use domain::tenant::TenantState;
use kube::ResourceExt as _;

use super::assigned;
use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::controller::school::observe::Observation;
use crate::controller::school::{FINALIZER, placement, status};
use crate::kubernetes::object;

pub(super) async fn execute(ctx: &Context, observation: &mut Observation, action: &ObjectAction) -> Result<()> {
    match action {
        ObjectAction::AddFinalizer => {
            let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
            observation.school = object::add_finalizer(&api, &observation.school, FINALIZER).await?;
            Ok(())
        }
        ObjectAction::RecordNames(placement) => record_names(ctx, observation, placement).await,
        ObjectAction::RemoveFinalizer => remove_finalizer(ctx, observation).await,
    }
}

async fn record_names(ctx: &Context, observation: &mut Observation, placement: &Placement) -> Result<()> {
    let status = status::with_names(ctx, observation, placement)?;
    let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
    if let Some(school) = object::patch_status(&api, &observation.school, &status).await? {
        observation.school = school;
    }
    Ok(())
}

/// A retained school keeps its place.
async fn remove_finalizer(ctx: &Context, observation: &mut Observation) -> Result<()> {
    let owner = observation.owner;
    let retained = assigned(observation)
        .is_ok_and(|assigned| matches!(assigned.tenant(owner, false), ObservedTenant::Ours { state: TenantState::Retained, .. }));
    if !retained {
        placement::release(ctx, owner.id);
    }
    let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
    match object::remove_finalizer(&api, &observation.school, FINALIZER).await? {
        Some(school) => observation.school = school,
        None => observation.school.metadata.finalizers = None,
    }
    Ok(())
}
