//! A School that is to be served: database, credentials, access, schema, administrator, and the route last; of a school that is served already, the route
//! before the next migration.
//!
//! Must not publish a route before everything that it leads to is there.

use super::making::{database, secret};
use super::{Decision, Plan, Refusal, Waiting, execute, known, recorded, refuse, server, tenant};
use crate::school::action::{RegistryAction, SecretAction, ServerAction};
use crate::school::desired::DesiredSchool;
use crate::school::observed::{
    AssignedSchool, CatalogFacts, DatabaseAccess, ObservedAdmin, ObservedAdminSecret, ObservedLogin, ObservedReset, ObservedResetSecret,
    ObservedTenant,
};
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
        return behind(assigned, catalog, schema.version);
    }
    route(assigned)
}

/// The database is open, and migrations are due. No file reaches a school before its server's template has been built with it: until then the school is
/// served with the schema that it has. A school that is served has a true route before each migration, which may take long or fail.
fn behind(assigned: &AssignedSchool, catalog: CatalogFacts, version: u32) -> Decision<()> {
    let served = matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Active, .. });
    match route(assigned) {
        first @ Err(Plan::Execute(_)) if served || !catalog.template => first,
        Err(obstacle) if !catalog.template => Err(obstacle),
        Ok(()) if !catalog.template => Err(Plan::Wait(Waiting::Template)),
        // Whatever keeps its administrator from a password keeps no school from its migrations.
        Ok(()) | Err(_) => execute(ServerAction::Migrate { from: version, to: version + 1 }),
    }
}

/// The school has an administrator, requests are routed to what is there now, and a request for another password of the administrator is acted on.
fn route(assigned: &AssignedSchool) -> Decision<()> {
    administrator(assigned)?;
    if assigned.tenant != (ObservedTenant::Ours { state: TenantState::Active, current: true }) {
        return execute(RegistryAction::PublishRoute(TenantState::Active));
    }
    reset(assigned.reset)
}

/// The new temporary password is in the Secret before the account has it.
fn reset(reset: ObservedReset) -> Decision<()> {
    match reset {
        ObservedReset::NotRequested => Ok(()),
        ObservedReset::Invalid => refuse(Refusal::ResetInvalid),
        ObservedReset::Unclear => refuse(Refusal::ResetUnclear),
        ObservedReset::Requested(ObservedResetSecret::Absent | ObservedResetSecret::Superseded) => {
            execute(SecretAction::IssueAdminPassword)
        }
        ObservedReset::Requested(ObservedResetSecret::Foreign) => refuse(Refusal::AdminSecretConflict),
        ObservedReset::Requested(ObservedResetSecret::Unread) => Err(Plan::Wait(Waiting::Secret)),
        ObservedReset::Requested(ObservedResetSecret::Issued) => execute(RegistryAction::ResetAdminPassword),
    }
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
