//! A School that is to be suspended: its routes stop, then its door is closed, and only then anything else is considered.
//!
//! Must not look at a Secret while there is a database: whatever is wrong with one, it is no reason to leave a school open.

use super::making::database;
use super::{Decision, Refusal, entered, execute, known, recorded, refuse, server, tenant};
use crate::school::action::{RegistryAction, ServerAction};
use crate::school::desired::DesiredSchool;
use crate::school::observed::{AssignedSchool, CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedTenant};
use crate::tenant::{InactiveState, TenantState};

/// A suspended school that never had a database gets one, closed. It is not migrated, and its credentials are put right when it is served again.
pub(super) fn suspending(school: &DesiredSchool, assigned: &AssignedSchool) -> Decision<()> {
    routes(assigned)?;
    let catalog = server(assigned)?;
    door(assigned, catalog)?;
    let state = tenant(assigned)?;
    let (schema, _) = database(state, assigned, catalog)?;
    if state != TenantState::Suspended {
        return execute(RegistryAction::SetTenantState(InactiveState::Suspended));
    }
    recorded(assigned)?;
    if assigned.tenant == (ObservedTenant::Ours { state, current: false }) {
        return execute(RegistryAction::PublishRoute(TenantState::Suspended));
    }
    known(school, schema)
}

/// Routes stop at once, even while the server does not answer.
fn routes(assigned: &AssignedSchool) -> Decision<()> {
    match assigned.tenant {
        ObservedTenant::Absent => execute(RegistryAction::ReserveTenant),
        ObservedTenant::Reassigned => refuse(Refusal::NameConflict),
        ObservedTenant::Ours { state: TenantState::Active, .. } => execute(RegistryAction::SetTenantState(InactiveState::Suspended)),
        ObservedTenant::Ours { .. } | ObservedTenant::OfAnother => Ok(()),
    }
}

/// A database is closed whatever its schema is and whatever the registry says of the tenant.
fn door(assigned: &AssignedSchool, catalog: CatalogFacts) -> Decision<()> {
    let barred = matches!(catalog.database, ObservedDatabase::Ours { access: DatabaseAccess::Barred, .. });
    if !entered(catalog.database) && !barred {
        return Ok(());
    }
    if matches!(assigned.tenant, ObservedTenant::Ours { state: TenantState::Provisioning, .. }) {
        return execute(RegistryAction::SetTenantState(InactiveState::Suspended));
    }
    execute(ServerAction::CloseDatabase)
}
