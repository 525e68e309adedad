//! A School that is to be served: database, credentials, access, schema, administrator, and the route last.
//!
//! Must not publish a route before everything that it leads to is there.

use super::making::{database, secret};
use super::{Decision, Plan, Refusal, Waiting, execute, known, recorded, refuse, server, tenant};
use crate::school::action::{RegistryAction, SecretAction, ServerAction};
use crate::school::desired::DesiredSchool;
use crate::school::observed::{AssignedSchool, DatabaseAccess, ObservedAdmin, ObservedAdminSecret, ObservedLogin, ObservedTenant};
use crate::tenant::TenantState;

pub(super) fn serving(school: &DesiredSchool, assigned: &AssignedSchool) -> Decision<()> {
    let state = tenant(assigned)?;
    let catalog = server(assigned)?;
    let (schema, access) = database(state, assigned, catalog)?;
    recorded(assigned)?;
    secret(assigned)?;
    login(catalog.login)?;
    known(school, schema)?;
    if access != DatabaseAccess::Open {
        return execute(ServerAction::EnsureAccess);
    }
    if schema.version < school.schema {
        return execute(ServerAction::Migrate { from: schema.version, to: schema.version + 1 });
    }
    administrator(assigned)?;
    if assigned.tenant != (ObservedTenant::Ours { state: TenantState::Active, current: true }) {
        return execute(RegistryAction::PublishRoute(TenantState::Active));
    }
    Ok(())
}

/// The login is ours and has the Secret's password.
fn login(login: ObservedLogin) -> Decision<()> {
    match login {
        ObservedLogin::Absent => execute(ServerAction::RestoreLogin),
        ObservedLogin::Foreign => refuse(Refusal::LoginConflict),
        ObservedLogin::Differing => execute(ServerAction::SetPassword),
        ObservedLogin::Matching => Ok(()),
    }
}

/// The school has an administrator, whose temporary password is in a Secret before the account has it.
fn administrator(assigned: &AssignedSchool) -> Decision<()> {
    match assigned.admin {
        ObservedAdmin::Missing(ObservedAdminSecret::Absent) => execute(SecretAction::WriteAdminSecret),
        ObservedAdmin::Missing(ObservedAdminSecret::Foreign) => refuse(Refusal::AdminSecretConflict),
        ObservedAdmin::Missing(ObservedAdminSecret::Unread) => Err(Plan::Wait(Waiting::Secret)),
        ObservedAdmin::Missing(ObservedAdminSecret::Ours) => execute(RegistryAction::CreateAdmin),
        ObservedAdmin::EmailTaken => refuse(Refusal::EmailTaken),
        ObservedAdmin::Exists => Ok(()),
    }
}
