//! The safety case: what must hold where an action lands, whatever planned it.
//!
//! Written apart from the planner, and must stay so: the model test uses it as its oracle, and the engine checks it before every action. Each action checks
//! the same precondition once more at its source, in SQL under a lock or by `resourceVersion` in Kubernetes.

use super::action::{Action, ObjectAction, RegistryAction, SecretAction, ServerAction};
use super::desired::{DeletionPolicy, Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedLogin,
    ObservedReset, ObservedResetSecret, ObservedSchool, ObservedSecret, ObservedTenant, SecretContent, ServerObservation,
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
        Action::Object(ObjectAction::RecordDatabase | ObjectAction::RemoveFinalizer)
        | Action::Registry(_)
        | Action::Secret(_)
        | Action::Server(_) => false,
    }
}

fn while_present(school: &DesiredSchool, assigned: &AssignedSchool, action: &Action) -> bool {
    match action {
        Action::Object(ObjectAction::AddFinalizer | ObjectAction::RecordNames(_) | ObjectAction::RemoveFinalizer) => false,
        Action::Object(ObjectAction::RecordDatabase) => !assigned.existed && catalog(assigned).and_then(access).is_some(),
        Action::Registry(action) => in_registry(school, assigned, *action),
        Action::Secret(action) => catalog(assigned).is_some_and(|catalog| on_secret(school, assigned, catalog, *action)),
        Action::Server(action) => catalog(assigned).is_some_and(|catalog| on_server(school, assigned, catalog, *action)),
    }
}

fn in_registry(school: &DesiredSchool, assigned: &AssignedSchool, action: RegistryAction) -> bool {
    let (state, catalog) = (state(assigned), catalog(assigned));
    let access = catalog.and_then(access);
    match action {
        RegistryAction::ReserveTenant => assigned.tenant == ObservedTenant::Absent,
        RegistryAction::CreateAdmin => {
            state.is_some() && access.is_some() && assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Ours)
        }
        RegistryAction::ResetAdminPassword => {
            let issued = assigned.reset == ObservedReset::Requested(ObservedResetSecret::Issued);
            !school.suspended && state == Some(TenantState::Active) && assigned.admin == ObservedAdmin::Exists && issued
        }
        RegistryAction::PublishRoute(TenantState::Active) => {
            state.is_some()
                && !school.suspended
                && assigned.existed
                && has_password(assigned)
                && catalog.is_some_and(|catalog| may_be_served(school, state, catalog))
                && access == Some(DatabaseAccess::Open)
                && catalog.is_some_and(|catalog| catalog.login == ObservedLogin::Matching)
                && assigned.admin == ObservedAdmin::Exists
        }
        RegistryAction::PublishRoute(TenantState::Suspended) => {
            school.suspended && assigned.existed && state == Some(TenantState::Suspended) && access == Some(DatabaseAccess::Closed)
        }
        RegistryAction::SetTenantState(InactiveState::Suspended) => school.suspended && is_routed(state),
        RegistryAction::PublishRoute(TenantState::Provisioning | TenantState::Retained | TenantState::Deleted)
        | RegistryAction::SetTenantState(InactiveState::Retained | InactiveState::Deleted) => false,
    }
}

/// Of a genuine schema that is not behind, or that cannot be migrated yet, or that is served already.
fn may_be_served(school: &DesiredSchool, state: Option<TenantState>, catalog: CatalogFacts) -> bool {
    let ObservedDatabase::Ours { schema, .. } = catalog.database else { return false };
    let older = schema.version < school.schema && (!catalog.template || state == Some(TenantState::Active));
    schema.genuine && (schema.version == school.schema || older)
}

/// A suspended school needs a Secret only to get its first database.
fn on_secret(school: &DesiredSchool, assigned: &AssignedSchool, catalog: CatalogFacts, action: SecretAction) -> bool {
    let ours = state(assigned).is_some() && (!school.suspended || never_existed(assigned, catalog));
    ours && match action {
        SecretAction::WriteSecret => assigned.secret == ObservedSecret::Absent,
        SecretAction::RepairSecret { new_password: false } => assigned.secret == ObservedSecret::Ours(SecretContent::Stale),
        SecretAction::RepairSecret { new_password: true } => assigned.secret == ObservedSecret::Ours(SecretContent::Unusable),
        SecretAction::IssueAdminPassword => {
            let replaceable =
                matches!(assigned.reset, ObservedReset::Requested(ObservedResetSecret::Absent | ObservedResetSecret::Superseded));
            let served = !school.suspended && state(assigned) == Some(TenantState::Active);
            served && assigned.admin == ObservedAdmin::Exists && replaceable
        }
        SecretAction::WriteAdminSecret => !school.suspended && assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Absent),
    }
}

fn on_server(school: &DesiredSchool, assigned: &AssignedSchool, catalog: CatalogFacts, action: ServerAction) -> bool {
    let CatalogFacts { database, login, spare, template } = catalog;
    let (state, access) = (state(assigned), access(catalog));
    let served = state.is_some() && !school.suspended;
    let made = state == Some(TenantState::Provisioning) && never_existed(assigned, catalog) && login == ObservedLogin::Absent;
    match action {
        ServerAction::StageDatabase => made && !spare && template,
        ServerAction::ClaimDatabase => made && spare && has_password(assigned),
        ServerAction::RestoreLogin => served && access.is_some() && has_password(assigned) && login == ObservedLogin::Absent,
        ServerAction::SetPassword => served && access.is_some() && has_password(assigned) && login == ObservedLogin::Differing,
        ServerAction::Migrate { from, to } => {
            served
                && template
                && to == from + 1
                && to <= school.schema
                && matches!(database, ObservedDatabase::Ours { schema, access: DatabaseAccess::Open } if schema.version == from && schema.genuine)
        }
        ServerAction::EnsureAccess => {
            served && login == ObservedLogin::Matching && access.is_some_and(|access| access != DatabaseAccess::Open)
        }
        ServerAction::CloseDatabase => {
            let closed = matches!(access, None | Some(DatabaseAccess::Closed)) && !is_entered(catalog);
            school.suspended && !closed && !is_routed(state) && is_left_to_us(assigned)
        }
        ServerAction::DropLogin | ServerAction::DropDatabase => false,
    }
}

fn while_deleting(policy: DeletionPolicy, assigned: &AssignedSchool, action: &Action) -> bool {
    let (state, catalog) = (state(assigned), catalog(assigned));
    match action {
        Action::Object(ObjectAction::RemoveFinalizer) => may_leave(policy, assigned),
        Action::Registry(RegistryAction::SetTenantState(InactiveState::Suspended)) => is_routed(state),
        Action::Registry(RegistryAction::ReserveTenant) => assigned.tenant == ObservedTenant::Absent && catalog.is_some_and(is_owned),
        Action::Registry(RegistryAction::SetTenantState(InactiveState::Deleted)) => {
            let live = state.is_some_and(|state| !matches!(state, TenantState::Active | TenantState::Deleted));
            let lost = |catalog| policy == DeletionPolicy::Delete && !is_routed(state) && has_no_database(catalog);
            live && catalog.is_some_and(|catalog| !is_owned(catalog) && (!assigned.existed || lost(catalog)))
        }
        Action::Registry(RegistryAction::SetTenantState(InactiveState::Retained)) => {
            let stopped = matches!(state, Some(TenantState::Suspended | TenantState::Retained));
            policy == DeletionPolicy::Retain
                && stopped
                && catalog.is_some_and(|catalog| !is_entered(catalog) && (is_owned(catalog) || assigned.existed))
        }
        Action::Server(ServerAction::CloseDatabase) => !is_routed(state) && is_left_to_us(assigned) && catalog.is_some_and(is_entered),
        Action::Server(ServerAction::DropDatabase) => {
            let ours = |catalog: CatalogFacts| access(catalog).is_some() || catalog.database == ObservedDatabase::Broken;
            may_drop(policy, assigned) && catalog.is_some_and(|catalog| ours(catalog) && !is_entered(catalog))
        }
        Action::Server(ServerAction::DropLogin) => {
            may_drop(policy, assigned) && catalog.is_some_and(|catalog| is_ours(catalog.login) && has_no_database(catalog))
        }
        Action::Server(
            ServerAction::StageDatabase
            | ServerAction::ClaimDatabase
            | ServerAction::RestoreLogin
            | ServerAction::SetPassword
            | ServerAction::Migrate { .. }
            | ServerAction::EnsureAccess,
        )
        | Action::Registry(RegistryAction::CreateAdmin | RegistryAction::ResetAdminPassword | RegistryAction::PublishRoute(_))
        | Action::Object(ObjectAction::AddFinalizer | ObjectAction::RecordNames(_) | ObjectAction::RecordDatabase)
        | Action::Secret(_) => false,
    }
}

/// The object may go: nothing is left, or a row says that what is left is retained.
fn may_leave(policy: DeletionPolicy, assigned: &AssignedSchool) -> bool {
    match (assigned.tenant, catalog(assigned)) {
        (ObservedTenant::Reassigned | ObservedTenant::Ours { state: TenantState::Deleted, .. }, _) => true,
        (ObservedTenant::Ours { state: TenantState::Retained, .. }, Some(catalog)) => {
            policy == DeletionPolicy::Retain && !is_entered(catalog) && (is_owned(catalog) || assigned.existed)
        }
        (ObservedTenant::Absent | ObservedTenant::OfAnother, Some(catalog)) => !is_owned(catalog),
        (ObservedTenant::Absent | ObservedTenant::OfAnother, None) => !assigned.existed,
        (ObservedTenant::Ours { .. }, _) => false,
    }
}

/// Data is to be lost, and no request is routed to it.
fn may_drop(policy: DeletionPolicy, assigned: &AssignedSchool) -> bool {
    let state = state(assigned);
    policy == DeletionPolicy::Delete && !is_routed(state) && state != Some(TenantState::Deleted) && is_left_to_us(assigned)
}

fn state(assigned: &AssignedSchool) -> Option<TenantState> {
    match assigned.tenant {
        ObservedTenant::Ours { state, .. } => Some(state),
        ObservedTenant::Absent | ObservedTenant::OfAnother | ObservedTenant::Reassigned => None,
    }
}

fn catalog(assigned: &AssignedSchool) -> Option<CatalogFacts> {
    match assigned.server {
        ServerObservation::Available(catalog) => Some(catalog),
        ServerObservation::Unavailable(_) => None,
    }
}

/// Who may connect, if the database is ours and whole.
fn access(catalog: CatalogFacts) -> Option<DatabaseAccess> {
    match catalog.database {
        ObservedDatabase::Ours { access, .. } => Some(access),
        ObservedDatabase::Absent | ObservedDatabase::Foreign { .. } | ObservedDatabase::Broken => None,
    }
}

/// The login can enter a database of the name.
fn is_entered(catalog: CatalogFacts) -> bool {
    matches!(
        catalog.database,
        ObservedDatabase::Ours { access: DatabaseAccess::Open | DatabaseAccess::Drifted, .. } | ObservedDatabase::Foreign { entered: true }
    )
}

/// Something bears our ownership comment.
fn is_owned(catalog: CatalogFacts) -> bool {
    matches!(catalog.database, ObservedDatabase::Ours { .. } | ObservedDatabase::Broken) || is_ours(catalog.login)
}

/// Nothing has the database's name.
fn has_no_database(catalog: CatalogFacts) -> bool {
    catalog.database == ObservedDatabase::Absent
}

/// There is no database, and nothing says that there was one.
fn never_existed(assigned: &AssignedSchool, catalog: CatalogFacts) -> bool {
    !assigned.existed && has_no_database(catalog) && !is_ours(catalog.login)
}

/// The row, if there is one, leaves what is on the server to this School.
fn is_left_to_us(assigned: &AssignedSchool) -> bool {
    match assigned.tenant {
        ObservedTenant::OfAnother | ObservedTenant::Ours { .. } => true,
        ObservedTenant::Absent | ObservedTenant::Reassigned => false,
    }
}

/// The API routes to the school, or will as soon as the route is published.
fn is_routed(state: Option<TenantState>) -> bool {
    matches!(state, Some(TenantState::Active | TenantState::Provisioning))
}

fn has_password(assigned: &AssignedSchool) -> bool {
    matches!(assigned.secret, ObservedSecret::Ours(SecretContent::Current | SecretContent::Stale))
}

fn is_ours(login: ObservedLogin) -> bool {
    matches!(login, ObservedLogin::Matching | ObservedLogin::Differing)
}
