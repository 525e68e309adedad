//! A School that is being deleted: its routes stop, what bears its ownership comment is closed, and then retained or dropped.
//!
//! Must not need a valid spec or a Secret, and must not leave anything of ours behind without a row that says so. What is not ours is left alone.

use super::{Decision, Refusal, entered, execute, refuse, server};
use crate::school::action::{ObjectAction, RegistryAction, ServerAction};
use crate::school::desired::DeletionPolicy;
use crate::school::observed::{
    AssignedSchool, Assignment, CatalogFacts, ObservedDatabase, ObservedLogin, ObservedSchool, ObservedTenant, ServerObservation,
};
use crate::tenant::{InactiveState, TenantState};

/// A server that does not answer is waited for, unless nothing was ever made on it.
pub(super) fn deleting(policy: DeletionPolicy, observed: &ObservedSchool) -> Decision<()> {
    if !observed.finalizer {
        return Ok(());
    }
    let Assignment::Assigned(assigned) = &observed.assignment else { return execute(ObjectAction::RemoveFinalizer) };
    routes(assigned)?;
    let catalog = server(assigned)?;
    row(assigned, catalog)?;
    if entered(catalog.database) {
        return execute(ServerAction::CloseDatabase);
    }
    match policy {
        DeletionPolicy::Retain => retaining(assigned.tenant),
        DeletionPolicy::Delete => dropping(catalog),
    }
}

/// The API stops routing before the database is closed.
fn routes(assigned: &AssignedSchool) -> Decision<()> {
    let nothing_made = !assigned.existed && matches!(assigned.server, ServerObservation::Unavailable(_));
    match assigned.tenant {
        // It was given to another School, or was dropped.
        ObservedTenant::Reassigned | ObservedTenant::Ours { state: TenantState::Deleted, .. } => execute(ObjectAction::RemoveFinalizer),
        ObservedTenant::Ours { state: TenantState::Active, .. } => execute(RegistryAction::SetTenantState(InactiveState::Suspended)),
        // Nothing is made without a row, and no database was ever recorded.
        ObservedTenant::Absent | ObservedTenant::OfAnother if nothing_made => execute(ObjectAction::RemoveFinalizer),
        ObservedTenant::Absent | ObservedTenant::OfAnother | ObservedTenant::Ours { .. } => Ok(()),
    }
}

/// What is ours has a row, which says what becomes of it, unless another tenant took the code. What never existed is neither retained nor dropped.
fn row(assigned: &AssignedSchool, catalog: CatalogFacts) -> Decision<()> {
    match assigned.tenant {
        ObservedTenant::Absent if owned(catalog) => execute(RegistryAction::ReserveTenant),
        ObservedTenant::Absent | ObservedTenant::OfAnother | ObservedTenant::Reassigned if !owned(catalog) => {
            execute(ObjectAction::RemoveFinalizer)
        }
        ObservedTenant::Ours { .. } if !owned(catalog) && !assigned.existed => {
            execute(RegistryAction::SetTenantState(InactiveState::Deleted))
        }
        ObservedTenant::Ours { state: TenantState::Provisioning, .. } => execute(RegistryAction::SetTenantState(InactiveState::Suspended)),
        ObservedTenant::Absent | ObservedTenant::OfAnother | ObservedTenant::Reassigned | ObservedTenant::Ours { .. } => Ok(()),
    }
}

/// Something bears our ownership comment.
fn owned(catalog: CatalogFacts) -> bool {
    matches!(catalog.database, ObservedDatabase::Ours { .. } | ObservedDatabase::Broken)
        || matches!(catalog.login, ObservedLogin::Matching | ObservedLogin::Differing)
}

/// The database is closed.
fn retaining(tenant: ObservedTenant) -> Decision<()> {
    match tenant {
        ObservedTenant::Ours { state: TenantState::Retained, .. } => execute(ObjectAction::RemoveFinalizer),
        ObservedTenant::Ours { .. } => execute(RegistryAction::SetTenantState(InactiveState::Retained)),
        ObservedTenant::Absent | ObservedTenant::OfAnother | ObservedTenant::Reassigned => refuse(Refusal::CodeTaken),
    }
}

/// The database is closed. One of the name without our ownership comment may be the school's, which lost its comment: a person decides.
fn dropping(catalog: CatalogFacts) -> Decision<()> {
    match (catalog.database, catalog.login) {
        (ObservedDatabase::Ours { .. } | ObservedDatabase::Broken, _) => execute(ServerAction::DropDatabase),
        (ObservedDatabase::Foreign { .. }, _) => refuse(Refusal::DatabaseConflict),
        (ObservedDatabase::Absent, ObservedLogin::Matching | ObservedLogin::Differing) => execute(ServerAction::DropLogin),
        (ObservedDatabase::Absent, ObservedLogin::Absent | ObservedLogin::Foreign) => {
            execute(RegistryAction::SetTenantState(InactiveState::Deleted))
        }
    }
}
