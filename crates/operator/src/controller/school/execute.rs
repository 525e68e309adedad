//! Executing an action on a School, and observing again what it touched.
//!
//! Must choose nothing but randomness. Every action checks its precondition where it lands: in SQL under a lock, by uid and `resourceVersion` in Kubernetes.

mod object;
mod registry;
mod secret;
mod server;

use domain::school::action::{Action, SecretAction};
use domain::school::desired::{Desired, DesiredSchool};
use provisioning::server::drop;

use super::observe::{AssignedObservation, Assignment, Observation};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};

/// Executes one action.
///
/// # Errors
/// When it failed or its precondition no longer held; whatever happened, the next observation shows it.
pub(super) async fn execute(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<()> {
    match action {
        Action::Object(action) => object::execute(ctx, observation, action).await,
        Action::Registry(action) => registry::execute(ctx, observation, *action).await,
        Action::Secret(action) => secret::execute(ctx, observation, *action).await,
        Action::Server(action) => server::execute(ctx, observation, *action).await,
    }
}

/// Observes again what an action touched. The response to a write of an object or Secret is that observation already.
///
/// # Errors
/// When a source does not answer.
pub(super) async fn refresh(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<()> {
    match action {
        Action::Object(_) | Action::Secret(SecretAction::WriteAdminSecret | SecretAction::IssueAdminPassword) => Ok(()),
        Action::Registry(_) => observation.refresh_registry(ctx).await,
        // A new password makes the catalogs say something else about the login.
        Action::Secret(SecretAction::WriteSecret | SecretAction::RepairSecret { .. }) | Action::Server(_) => {
            observation.refresh_server(ctx).await
        }
    }
}

/// Nothing on the server bears the School's ownership comment, and no claim that was sent for it can still land: not even one by an operator that has ended.
async fn nothing_left(observation: &Observation) -> Result<()> {
    let assigned = assigned(observation)?;
    let connection = assigned.connection().ok_or(Error::Overtaken("the server"))?;
    if drop::nothing_left(connection.pool(), &assigned.objects(observation.owner)).await? {
        Ok(())
    } else {
        Err(Error::Overtaken("the database"))
    }
}

fn assigned(observation: &Observation) -> Result<&AssignedObservation> {
    match &observation.assignment {
        Assignment::Assigned(assigned) => Ok(assigned),
        Assignment::Unassigned(_) => Err(Error::Bug("an action needs names that are not recorded".to_owned())),
    }
}

fn assigned_mut(observation: &mut Observation) -> Result<&mut AssignedObservation> {
    match &mut observation.assignment {
        Assignment::Assigned(assigned) => Ok(assigned),
        Assignment::Unassigned(_) => Err(Error::Bug("an action needs names that are not recorded".to_owned())),
    }
}

fn desired(observation: &Observation) -> Result<&DesiredSchool> {
    match &observation.desired {
        Desired::Present(school) => Ok(school),
        Desired::Deleted(_) => Err(Error::Bug("an action for a present School was planned for one that is being deleted".to_owned())),
    }
}
