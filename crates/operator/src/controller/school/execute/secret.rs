//! Actions on a School's Secrets.
//!
//! Must never replace a password that can be used, and must never overwrite a Secret that is not ours.

use domain::school::action::SecretAction;
use kube::ResourceExt as _;
use registry::password;
use secrecy::SecretString;

use super::{assigned, assigned_mut, desired};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::school::observe::Observation;
use crate::controller::school::observe::secrets::SecretReading;
use crate::controller::school::owner_reference;
use crate::crd::convert;
use crate::kubernetes::secrets::{self, AdminContent, Creation, DesiredSecret, ObservedSecret, admin_secret};

pub(super) async fn execute(ctx: &Context, observation: &mut Observation, action: SecretAction) -> Result<()> {
    match action {
        SecretAction::WriteSecret => {
            let desired = with_password(ctx, observation, password::generate_login_password()?)?;
            let secret = create(ctx, &desired).await?;
            assigned_mut(observation)?.secret = SecretReading::Ours(Box::new(secret));
        }
        SecretAction::RepairSecret { new_password } => {
            let kept = assigned(observation)?.password().filter(|_| !new_password);
            let desired = with_password(ctx, observation, kept.map_or_else(password::generate_login_password, Ok)?)?;
            let present = assigned(observation)?.secret.ours().ok_or(Error::Overtaken("the Secret"))?;
            if let Some(secret) = secrets::apply(&ctx.client, present, &desired).await? {
                assigned_mut(observation)?.secret = SecretReading::Ours(Box::new(secret));
            }
        }
        SecretAction::WriteAdminSecret => {
            let secret = create(ctx, &admin_secret(&first_password(observation)?)).await?;
            assigned_mut(observation)?.admin_secret = SecretReading::Ours(Box::new(secret));
        }
        SecretAction::IssueAdminPassword => {
            let desired = admin_secret(&requested_password(observation)?);
            let secret = match &assigned(observation)?.admin_secret {
                SecretReading::Absent => Some(create(ctx, &desired).await?),
                SecretReading::Ours(present) => secrets::apply(&ctx.client, present, &desired).await?,
                SecretReading::Foreign | SecretReading::Failed(_) | SecretReading::NotNeeded => None,
            };
            let secret = secret.ok_or(Error::Overtaken("the administrator's Secret"))?;
            assigned_mut(observation)?.admin_secret = SecretReading::Ours(Box::new(secret));
        }
    }
    Ok(())
}

fn with_password(ctx: &Context, observation: &Observation, password: SecretString) -> Result<DesiredSecret> {
    assigned(observation)?.desired_secret(ctx, observation, password).ok_or(Error::Overtaken("the server"))
}

/// What the Secret holds for a person's request. The account may be another one by now than the first.
fn requested_password(observation: &Observation) -> Result<AdminContent> {
    let request = convert::reset_request(&observation.school).and_then(std::result::Result::ok);
    let request = request.ok_or(Error::Overtaken("the request for another password"))?;
    let email = assigned(observation)?.registry.administrator.clone().ok_or(Error::Overtaken("the administrator's account"))?;
    let first = first_password(observation)?;
    let person = if email.eq_ignore_ascii_case(&first.email) { first.person.clone() } else { email.clone() };
    Ok(AdminContent { person, email, request: Some(request), ..first })
}

fn first_password(observation: &Observation) -> Result<AdminContent> {
    let person = &desired(observation)?.admin;
    Ok(AdminContent {
        namespace: observation.school.namespace().unwrap_or_default(),
        name: assigned(observation)?.names.admin_secret.to_string(),
        owner: owner_reference(&observation.school).ok_or_else(|| Error::Bug("the School has no uid".to_owned()))?,
        person: person.name.clone(),
        email: person.email.clone(),
        password: password::generate_temporary_password()?,
        request: None,
    })
}

/// Create-only: what has the name already was written by somebody else since it was observed, and the next observation judges it.
async fn create(ctx: &Context, desired: &DesiredSecret) -> Result<ObservedSecret> {
    match secrets::create(&ctx.client, desired).await? {
        Creation::Created(secret) => Ok(*secret),
        Creation::AlreadyExists => Err(Error::Overtaken("the Secret")),
    }
}
