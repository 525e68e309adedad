//! The safety case: what must hold where an action lands, whatever planned it.
//!
//! Written apart from the planner, and must stay so: the model test uses it as its oracle, and the engine checks it before every action. Each action checks
//! the same precondition once more at its source, in SQL under a lock or by `resourceVersion` in Kubernetes.

use super::action::{Action, ObjectAction, RegistryAction, SecretAction, ServerAction};
use super::desired::{DeletionPolicy, Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedLogin,
    ObservedSchool, ObservedSecret, ObservedTenant, SecretContent, ServerObservation,
};
use crate::placement::{Placement, Unplaced};
use crate::tenant::{InactiveState, TenantState};

/// Whether `action` may land.
#[must_use]
pub fn admissible(desired: &Desired, observed: &ObservedSchool, action: &Action) -> bool {
    match (desired, &observed.assignment) {
        (Desired::Present(_), Assignment::Unassigned(placed)) => while_unassigned(observed.finalizer, placed, action),
        (Desired::Deleted(_), Assignment::Unassigned(_)) => *action == ObjectAction::RemoveFinalizer.into() && observed.finalizer,
        (Desired::Present(_), Assignment::Assigned(_)) if !observed.finalizer => *action == ObjectAction::AddFinalizer.into(),
        (Desired::Deleted(_), Assignment::Assigned(_)) if !observed.finalizer => false,
        (Desired::Present(school), Assignment::Assigned(assigned)) => while_present(school, assigned, action),
        (Desired::Deleted(policy), Assignment::Assigned(assigned)) => while_deleting(*policy, assigned, action),
    }
}

fn while_unassigned(finalizer: bool, placed: &Result<Placement, Unplaced>, action: &Action) -> bool {
    match action {
        Action::Object(ObjectAction::AddFinalizer) => !finalizer,
        Action::Object(ObjectAction::RecordNames(placement)) => finalizer && placed.as_ref() == Ok(placement),
        Action::Object(ObjectAction::RemoveFinalizer) | Action::Registry(_) | Action::Secret(_) | Action::Server(_) => false,
    }
}

fn while_present(school: &DesiredSchool, assigned: &AssignedSchool, action: &Action) -> bool {
    match action {
        Action::Object(ObjectAction::AddFinalizer | ObjectAction::RecordNames(_) | ObjectAction::RemoveFinalizer) => false,
        Action::Registry(action) => in_registry(school, assigned, *action),
        Action::Secret(action) => catalog(assigned).is_some() && on_secret(assigned, *action),
        Action::Server(action) => catalog(assigned).is_some_and(|catalog| on_server(school, assigned, catalog, *action)),
    }
}

fn in_registry(school: &DesiredSchool, assigned: &AssignedSchool, action: RegistryAction) -> bool {
    let (state, catalog) = (state(assigned), catalog(assigned));
    let database = catalog.map(|catalog| catalog.database);
    let access = database.and_then(access);
    let current = matches!(database, Some(ObservedDatabase::Ours { schema, .. }) if schema.version == school.schema && schema.genuine);
    match action {
        RegistryAction::ReserveTenant => assigned.tenant == ObservedTenant::Absent,
        RegistryAction::CreateAdmin => {
            state.is_some() && access.is_some() && assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Ours)
        }
        RegistryAction::PublishRoute(TenantState::Active) => {
            state.is_some()
                && !school.suspended
                && has_password(assigned)
                && current
                && access == Some(DatabaseAccess::Open)
                && catalog.is_some_and(|catalog| catalog.login == ObservedLogin::Matching)
                && assigned.admin == ObservedAdmin::Exists
        }
        RegistryAction::PublishRoute(TenantState::Suspended) => {
            school.suspended && has_password(assigned) && state == Some(TenantState::Suspended) && access == Some(DatabaseAccess::Closed)
        }
        RegistryAction::SetTenantState(InactiveState::Suspended) => school.suspended && state.is_some(),
        RegistryAction::PublishRoute(TenantState::Provisioning | TenantState::Retained | TenantState::Deleted)
        | RegistryAction::SetTenantState(InactiveState::Retained | InactiveState::Deleted) => false,
    }
}

fn on_secret(assigned: &AssignedSchool, action: SecretAction) -> bool {
    state(assigned).is_some()
        && match action {
            SecretAction::WriteSecret => assigned.secret == ObservedSecret::Absent,
            SecretAction::RepairSecret { new_password: false } => assigned.secret == ObservedSecret::Ours(SecretContent::Stale),
            SecretAction::RepairSecret { new_password: true } => assigned.secret == ObservedSecret::Ours(SecretContent::Unusable),
            SecretAction::WriteAdminSecret => assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Absent),
        }
}

fn on_server(school: &DesiredSchool, assigned: &AssignedSchool, catalog: CatalogFacts, action: ServerAction) -> bool {
    let CatalogFacts { database, login, spare } = catalog;
    let (state, access) = (state(assigned), access(database));
    let (ours, provisioning) = (state.is_some(), state == Some(TenantState::Provisioning));
    match action {
        ServerAction::StageDatabase => provisioning && database == ObservedDatabase::Absent && !spare,
        ServerAction::ClaimDatabase => {
            provisioning && database == ObservedDatabase::Absent && spare && has_password(assigned) && login == ObservedLogin::Absent
        }
        ServerAction::RestoreLogin => ours && access.is_some() && has_password(assigned) && login == ObservedLogin::Absent,
        ServerAction::SetPassword => ours && access.is_some() && has_password(assigned) && login == ObservedLogin::Differing,
        ServerAction::Migrate { from, to } => {
            ours && !school.suspended
                && to == from + 1
                && to <= school.schema
                && matches!(database, ObservedDatabase::Ours { schema, access: DatabaseAccess::Open } if schema.version == from && schema.genuine)
        }
        ServerAction::EnsureAccess => {
            ours && !school.suspended && login == ObservedLogin::Matching && access.is_some_and(|access| access != DatabaseAccess::Open)
        }
        ServerAction::CloseDatabase => {
            school.suspended && state == Some(TenantState::Suspended) && access.is_some_and(|access| access != DatabaseAccess::Closed)
        }
        // A login of ours whose database was never created: only before the school was ever served.
        ServerAction::DropLogin => provisioning && database == ObservedDatabase::Absent && is_ours(login),
        ServerAction::DropDatabase => false,
    }
}

fn while_deleting(policy: DeletionPolicy, assigned: &AssignedSchool, action: &Action) -> bool {
    let Some(state) = state(assigned) else { return *action == ObjectAction::RemoveFinalizer.into() };
    let routed = matches!(state, TenantState::Active | TenantState::Provisioning);
    if *action == RegistryAction::SetTenantState(InactiveState::Suspended).into() {
        return routed;
    }
    if state == TenantState::Deleted {
        return *action == ObjectAction::RemoveFinalizer.into();
    }
    let Some(CatalogFacts { database, login, .. }) = catalog(assigned) else { return false };
    let (retain, delete) = (policy == DeletionPolicy::Retain, policy == DeletionPolicy::Delete);
    let entered = matches!(database, ObservedDatabase::Ours { access: DatabaseAccess::Open | DatabaseAccess::Drifted, .. });
    let ours = matches!(database, ObservedDatabase::Ours { .. } | ObservedDatabase::Broken);
    let login_left = is_ours(login) && database == ObservedDatabase::Absent;
    // Never served and without a database: nothing is lost, whatever the policy.
    let nothing_to_lose = state == TenantState::Provisioning && database == ObservedDatabase::Absent;
    match action {
        Action::Server(ServerAction::DropLogin) => login_left && (nothing_to_lose || delete && !routed),
        Action::Server(ServerAction::CloseDatabase) => entered && !routed,
        Action::Server(ServerAction::DropDatabase) => delete && ours && !entered && !routed,
        Action::Registry(RegistryAction::SetTenantState(InactiveState::Deleted)) => {
            !login_left && (nothing_to_lose || delete && !ours && !routed)
        }
        Action::Registry(RegistryAction::SetTenantState(InactiveState::Retained)) => retain && !entered && !routed,
        Action::Object(ObjectAction::RemoveFinalizer) => retain && state == TenantState::Retained && !entered,
        Action::Server(
            ServerAction::StageDatabase
            | ServerAction::ClaimDatabase
            | ServerAction::RestoreLogin
            | ServerAction::SetPassword
            | ServerAction::Migrate { .. }
            | ServerAction::EnsureAccess,
        )
        | Action::Registry(
            RegistryAction::ReserveTenant
            | RegistryAction::CreateAdmin
            | RegistryAction::PublishRoute(_)
            | RegistryAction::SetTenantState(InactiveState::Suspended),
        )
        | Action::Object(ObjectAction::AddFinalizer | ObjectAction::RecordNames(_))
        | Action::Secret(_) => false,
    }
}

fn state(assigned: &AssignedSchool) -> Option<TenantState> {
    match assigned.tenant {
        ObservedTenant::Ours { state, .. } => Some(state),
        ObservedTenant::Absent | ObservedTenant::OfAnother => None,
    }
}

fn catalog(assigned: &AssignedSchool) -> Option<CatalogFacts> {
    match assigned.server {
        ServerObservation::Available(catalog) => Some(catalog),
        ServerObservation::Unavailable(_) => None,
    }
}

/// Who may connect, if the database is ours and whole.
fn access(database: ObservedDatabase) -> Option<DatabaseAccess> {
    match database {
        ObservedDatabase::Ours { access, .. } => Some(access),
        ObservedDatabase::Absent | ObservedDatabase::Foreign | ObservedDatabase::Broken => None,
    }
}

fn has_password(assigned: &AssignedSchool) -> bool {
    matches!(assigned.secret, ObservedSecret::Ours(SecretContent::Current | SecretContent::Stale))
}

fn is_ours(login: ObservedLogin) -> bool {
    matches!(login, ObservedLogin::Matching | ObservedLogin::Differing)
}
