//! Actions in the registry: the tenant's row and the administrator's account.
//!
//! Must not write to a row of another School or cluster: every statement compares the owner.

use domain::school::action::RegistryAction;
use domain::school::desired::Desired;
use domain::tenant::{InactiveState, TenantState};
use kube::ResourceExt as _;
use provisioning::master::tenants::{self, Change, Publication, Reservation, Reserved};
use provisioning::master::users;
use registry::password;

use super::{assigned, desired};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::school::observe::Observation;
use crate::controller::school::placement;
use crate::crd::convert;

pub(super) async fn execute(ctx: &Context, observation: &Observation, action: RegistryAction) -> Result<()> {
    match action {
        RegistryAction::ReserveTenant => reserve(ctx, observation).await,
        RegistryAction::CreateAdmin => {
            let password = assigned(observation)?.admin_secret.password();
            let password = password.ok_or(Error::Overtaken("the administrator's Secret"))?;
            let hash = password::hash_argon2id(&password).await?;
            users::create_admin(&ctx.registry, observation.owner, &desired(observation)?.admin, &hash).await?;
            Ok(())
        }
        RegistryAction::PublishRoute(state) => {
            let publication = assigned(observation)?.publication(ctx, observation).ok_or(Error::Overtaken("the school's route"))?;
            let publication = Publication { state, ..publication };
            if state == TenantState::Active && publication.password.is_none() {
                return Err(Error::Overtaken("the Secret"));
            }
            ours(tenants::publish(&ctx.registry, &publication, &ctx.keyring).await?)
        }
        RegistryAction::SetTenantState(state) => set_state(ctx, observation, state).await,
    }
}

async fn reserve(ctx: &Context, observation: &Observation) -> Result<()> {
    let names = &assigned(observation)?.names;
    let (code, profile) = match &observation.desired {
        Desired::Present(school) => (school.code.clone(), school.profile.clone()),
        Desired::Deleted(_) => convert::registration(&observation.school)?,
    };
    let reservation = Reservation {
        tenant: observation.owner,
        namespace: observation.school.namespace().unwrap_or_default(),
        name: observation.school.name_any(),
        code,
        profile,
        server: names.server.clone(),
        database: names.database.clone(),
        login: names.login.clone(),
    };
    if let Reserved::OfAnother(other) = tenants::reserve(&ctx.registry, &reservation).await? {
        tracing::warn!(code = %reservation.code, other = %other.tenant, "another tenant holds the code");
    }
    Ok(())
}

async fn set_state(ctx: &Context, observation: &Observation, state: InactiveState) -> Result<()> {
    if state == InactiveState::Deleted {
        super::nothing_left(observation).await?;
    }
    ours(tenants::set_state(&ctx.registry, observation.owner, state).await?)?;
    if state == InactiveState::Deleted {
        placement::release(ctx, observation.owner.id);
    }
    Ok(())
}

fn ours(change: Change) -> Result<()> {
    match change {
        Change::Made | Change::Unneeded => Ok(()),
        Change::NotOurs => Err(Error::Overtaken("the registry's row")),
    }
}
