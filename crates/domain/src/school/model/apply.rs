//! What the world becomes when an action lands.
//!
//! Must say of each action what the tests of that action hold the real servers to.

use super::*;

/// What the world becomes when `action` lands. A claim is one transaction: database and login appear together.
pub(super) fn apply(observed: &ObservedSchool, action: &Action) -> ObservedSchool {
    let mut next = observed.clone();
    match (action, &mut next.assignment) {
        (Action::Object(ObjectAction::AddFinalizer), _) => next.finalizer = true,
        (Action::Object(ObjectAction::RemoveFinalizer), _) => next.finalizer = false,
        (Action::Object(ObjectAction::RecordNames(_)), assignment) => *assignment = Assignment::Assigned(fresh()),
        (Action::Object(ObjectAction::RecordDatabase), Assignment::Assigned(assigned)) => assigned.existed = true,
        (Action::Registry(action), Assignment::Assigned(assigned)) => apply_in_registry(assigned, *action),
        (Action::Secret(action), Assignment::Assigned(assigned)) => apply_on_secret(assigned, *action),
        (Action::Server(action), Assignment::Assigned(assigned)) => {
            if let ServerObservation::Available(catalog) = &mut assigned.server {
                apply_on_server(catalog, *action);
            }
            if matches!(action, ServerAction::Migrate { .. }) {
                outdate(assigned);
            }
        }
        (
            Action::Object(ObjectAction::RecordDatabase) | Action::Registry(_) | Action::Secret(_) | Action::Server(_),
            Assignment::Unassigned(_),
        ) => {}
    }
    next
}

/// Just assigned: nothing exists under the names, and the server answers.
pub(super) fn fresh() -> AssignedSchool {
    AssignedSchool {
        names: names(),
        existed: false,
        routed: false,
        tenant: ObservedTenant::Absent,
        secret: ObservedSecret::Absent,
        admin: ObservedAdmin::Missing(ObservedAdminSecret::Absent),
        reset: ObservedReset::NotRequested,
        server: ServerObservation::Available(CatalogFacts {
            database: ObservedDatabase::Absent,
            login: ObservedLogin::Absent,
            spare: false,
            template: true,
        }),
    }
}

fn apply_in_registry(assigned: &mut AssignedSchool, action: RegistryAction) {
    match action {
        RegistryAction::ReserveTenant => assigned.tenant = ObservedTenant::Ours { state: TenantState::Provisioning, current: false },
        RegistryAction::SetTenantState(state) => {
            if let ObservedTenant::Ours { current, .. } = assigned.tenant {
                assigned.tenant = ObservedTenant::Ours { state: state.into(), current };
            }
        }
        RegistryAction::PublishRoute(state) => {
            assigned.tenant = ObservedTenant::Ours { state, current: true };
            assigned.routed = matches!(assigned.server, ServerObservation::Available(catalog) if catalog.login == ObservedLogin::Matching);
        }
        RegistryAction::CreateAdmin => assigned.admin = ObservedAdmin::Exists,
        RegistryAction::ResetAdminPassword => assigned.reset = ObservedReset::NotRequested,
    }
}

fn apply_on_secret(assigned: &mut AssignedSchool, action: SecretAction) {
    match action {
        SecretAction::WriteSecret | SecretAction::RepairSecret { new_password: true } => {
            assigned.secret = ObservedSecret::Ours(SecretContent::Current);
            outdate(assigned);
            if let ServerObservation::Available(catalog) = &mut assigned.server
                && catalog.login == ObservedLogin::Matching
            {
                catalog.login = ObservedLogin::Differing;
            }
        }
        SecretAction::RepairSecret { new_password: false } => assigned.secret = ObservedSecret::Ours(SecretContent::Current),
        SecretAction::IssueAdminPassword => assigned.reset = ObservedReset::Requested(ObservedResetSecret::Issued),
        SecretAction::WriteAdminSecret => assigned.admin = ObservedAdmin::Missing(ObservedAdminSecret::Ours),
    }
}

/// The registry's row no longer says what is there.
fn outdate(assigned: &mut AssignedSchool) {
    if let ObservedTenant::Ours { state, .. } = assigned.tenant {
        assigned.tenant = ObservedTenant::Ours { state, current: false };
    }
}

fn apply_on_server(catalog: &mut CatalogFacts, action: ServerAction) {
    match action {
        ServerAction::StageDatabase => catalog.spare = true,
        ServerAction::ClaimDatabase => {
            *catalog = CatalogFacts {
                spare: false,
                template: catalog.template,
                database: ObservedDatabase::Ours { schema: Schema { version: 2, genuine: true }, access: DatabaseAccess::Open },
                login: ObservedLogin::Matching,
            };
        }
        ServerAction::RestoreLogin => catalog.login = ObservedLogin::Differing,
        ServerAction::SetPassword => catalog.login = ObservedLogin::Matching,
        ServerAction::DropDatabase => catalog.database = ObservedDatabase::Absent,
        ServerAction::DropLogin => catalog.login = ObservedLogin::Absent,
        ServerAction::Migrate { to, .. } => {
            if let ObservedDatabase::Ours { schema, .. } = &mut catalog.database {
                schema.version = to;
            }
        }
        ServerAction::EnsureAccess => set_access(catalog, DatabaseAccess::Open),
        ServerAction::CloseDatabase => set_access(catalog, DatabaseAccess::Closed),
    }
}

fn set_access(catalog: &mut CatalogFacts, now: DatabaseAccess) {
    match &mut catalog.database {
        ObservedDatabase::Ours { access, .. } => *access = now,
        ObservedDatabase::Foreign { entered } => *entered = false,
        ObservedDatabase::Absent | ObservedDatabase::Broken => {}
    }
}
