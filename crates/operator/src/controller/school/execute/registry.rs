//! Actions in the registry: the tenant's row and the administrator's account.
//!
//! Must not write to a row of another School or cluster: every statement compares the owner.

use domain::condition::Reason;
use domain::names::SecretName;
use domain::school::action::RegistryAction;
use domain::school::desired::Desired;
use domain::tenant::{InactiveState, TenantState};
use kube::{Resource as _, ResourceExt as _};
use provisioning::master::tenants::{self, Change, Publication, Reservation, Reserved};
use provisioning::master::users::{self, RequestedReset};
use registry::password;

use super::{assigned, desired};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::school::observe::Observation;
use crate::controller::school::placement;
use crate::crd::convert;
use crate::kubernetes::events::{Notice, Severity};
use crate::kubernetes::secrets::ObservedSecret;

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
        RegistryAction::ResetAdminPassword => reset_admin_password(ctx, observation).await,
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

/// The account and the request are those that the Secret's password was issued for.
async fn reset_admin_password(ctx: &Context, observation: &Observation) -> Result<()> {
    let assigned = assigned(observation)?;
    let request = convert::reset_request(&observation.school).and_then(std::result::Result::ok);
    let (Some(request), Some(email)) = (request, &assigned.registry.administrator) else {
        return Err(Error::Overtaken("the request for another password"));
    };
    let secret = assigned.admin_secret.ours().filter(|secret| secret.is_issued_for(&request, email));
    let password = secret.and_then(ObservedSecret::password).ok_or(Error::Overtaken("the administrator's Secret"))?;
    let hash = password::hash_argon2id(&password).await?;
    let last = assigned.registry.admin_reset.as_deref();
    match users::reset_requested(&ctx.registry, observation.owner, &request, last, email, &hash).await? {
        RequestedReset::Done => report_reset(ctx, observation, &assigned.names.admin_secret),
        RequestedReset::Nobody => return Err(Error::Overtaken("the administrator's account")),
        RequestedReset::Overtaken => return Err(Error::Overtaken("the registry's row")),
    }
    Ok(())
}

fn report_reset(ctx: &Context, observation: &Observation, secret: &SecretName) {
    let note = format!(
        "the school's administrator has another temporary password, as asked; it is in Secret {secret}, and the sessions have ended"
    );
    let notice = Notice { severity: Severity::Normal, reason: Reason::AdminPasswordReset.label(), action: "ResetAdminPassword", note };
    ctx.recorder.publish(&observation.school.object_ref(&()), &notice);
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
