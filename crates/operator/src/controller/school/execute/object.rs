//! Actions on the School object: finalizer and recorded names.
//!
//! Must carry the precondition of each write: uid and finalizers, or `resourceVersion`.

use domain::placement::Placement;
use domain::school::action::ObjectAction;
use domain::school::observed::{ObservedTenant, ServerObservation};
use domain::tenant::TenantState;
use kube::ResourceExt as _;

use super::assigned;
use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::controller::school::observe::Observation;
use crate::controller::school::{FINALIZER, placement, status};
use crate::crd::school::SchoolStatus;
use crate::kubernetes::object;

pub(super) async fn execute(ctx: &Context, observation: &mut Observation, action: &ObjectAction) -> Result<()> {
    match action {
        ObjectAction::AddFinalizer => {
            let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
            observation.school = object::add_finalizer(&api, &observation.school, FINALIZER).await?;
            Ok(())
        }
        ObjectAction::RecordNames(placement) => record_names(ctx, observation, placement).await,
        ObjectAction::RecordDatabase => {
            let status = status::with_database(ctx, observation);
            patch_status(ctx, observation, &status).await
        }
        ObjectAction::RemoveFinalizer => remove_finalizer(ctx, observation).await,
    }
}

async fn record_names(ctx: &Context, observation: &mut Observation, placement: &Placement) -> Result<()> {
    let status = status::with_names(ctx, observation, placement)?;
    patch_status(ctx, observation, &status).await
}

async fn patch_status(ctx: &Context, observation: &mut Observation, status: &SchoolStatus) -> Result<()> {
    let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
    if let Some(school) = object::patch_status(&api, &observation.school, status).await? {
        observation.school = school;
    }
    Ok(())
}

/// A retained school keeps its place. A School without a row leaves nothing on a server that answers.
async fn remove_finalizer(ctx: &Context, observation: &mut Observation) -> Result<()> {
    let owner = observation.owner;
    let (retained, rowless) = assigned(observation).map_or((false, false), |assigned| {
        let tenant = assigned.tenant(owner, false);
        let answers = matches!(assigned.server, ServerObservation::Available(_));
        let rowless = matches!(tenant, ObservedTenant::Absent | ObservedTenant::OfAnother);
        (matches!(tenant, ObservedTenant::Ours { state: TenantState::Retained, .. }), rowless && answers)
    });
    if rowless {
        super::nothing_left(observation).await?;
    }
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
