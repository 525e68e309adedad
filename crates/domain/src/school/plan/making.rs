//! Making a school's database, once, and never again in the place of a lost one.
//!
//! Must not decide from the registry alone that a database never existed: the row may be lost together with it.

use super::{Decision, Plan, Refusal, Waiting, execute, refuse};
use crate::school::action::{SecretAction, ServerAction};
use crate::school::observed::{
    AssignedSchool, CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedLogin, ObservedSecret, Schema, SecretContent,
};
use crate::tenant::TenantState;

/// The database is ours and whole. One that never existed is made.
pub(super) fn database(state: TenantState, assigned: &AssignedSchool, catalog: CatalogFacts) -> Decision<(Schema, DatabaseAccess)> {
    match catalog.database {
        ObservedDatabase::Ours { schema, access } => Ok((schema, access)),
        ObservedDatabase::Foreign { .. } => refuse(Refusal::DatabaseConflict),
        ObservedDatabase::Absent if state == TenantState::Provisioning && !assigned.existed => make(assigned, catalog),
        ObservedDatabase::Absent | ObservedDatabase::Broken => refuse(Refusal::DatabaseMissing),
    }
}

/// The password is stored before a login has it. A claim makes database and login together, so a login of ours without its database says that one existed.
fn make<T>(assigned: &AssignedSchool, catalog: CatalogFacts) -> Decision<T> {
    match catalog.login {
        ObservedLogin::Foreign => return refuse(Refusal::LoginConflict),
        ObservedLogin::Matching | ObservedLogin::Differing => return refuse(Refusal::DatabaseMissing),
        ObservedLogin::Absent => {}
    }
    if !catalog.spare && !catalog.template {
        return Err(Plan::Wait(Waiting::Template));
    }
    secret(assigned)?;
    execute(if catalog.spare { ServerAction::ClaimDatabase } else { ServerAction::StageDatabase })
}

/// The Secret is ours and complete.
pub(super) fn secret(assigned: &AssignedSchool) -> Decision<()> {
    match assigned.secret {
        ObservedSecret::Absent => execute(SecretAction::WriteSecret),
        ObservedSecret::Foreign => refuse(Refusal::SecretConflict),
        ObservedSecret::Unread => Err(Plan::Wait(Waiting::Secret)),
        ObservedSecret::Ours(SecretContent::Unusable) => execute(SecretAction::RepairSecret { new_password: true }),
        ObservedSecret::Ours(SecretContent::Stale) => execute(SecretAction::RepairSecret { new_password: false }),
        ObservedSecret::Ours(SecretContent::Current) => Ok(()),
    }
}
