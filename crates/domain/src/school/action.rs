//! The steps a School can take, and for each what must hold where it lands.
//!
//! [`admissible`] is the safety case on one screen. It is written apart from the planner: the model test uses it as oracle, and each act checks the same
//! precondition again at the source (in SQL under a lock, by `resourceVersion` in Kubernetes).

use super::desired::{DeletionPolicy, Desired};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedLogin,
    ObservedSchool, ObservedSecret, ObservedTenant, SecretContent, ServerObservation,
};
use crate::placement::Placement;
use crate::tenant::TenantState;

/// One step. Together with the [`Desired`] and the names it was planned from it says everything: acting chooses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Put our finalizer on the object: before anything exists outside it.
    AddFinalizer,
    /// Record tenant id, server, database, login and Secret names in the status: before anything exists under them.
    RecordNames(Placement),
    /// Take the code in the registry; its unique index decides between two Schools.
    ReserveTenant,
    /// Create the credentials Secret with a new password, only if there is none: it is the write-ahead log of the credential.
    WriteSecret,
    /// Bring our Secret's other keys up to date; with `renew`, also replace an unusable password.
    CompleteSecret {
        /// The password cannot be used.
        renew: bool,
    },
    /// Clone the template into a spare database that belongs to no school.
    StageDatabase,
    /// In one transaction turn a spare into the school's database, with login, rights and marks.
    ClaimDatabase,
    /// Make the lost login of an existing database again, closed and without a password.
    RestoreLogin,
    /// Give the login the password that the Secret holds.
    SetPassword,
    /// Apply one migration and its mark in one transaction.
    Migrate {
        /// The version applied.
        from: u32,
        /// The next version.
        to: u32,
    },
    /// Create the administrator's Secret with a temporary password, only if there is none.
    WriteAdminSecret,
    /// Create the administrator's account with the hash of that password.
    CreateAdmin,
    /// Let the school's login in, with exactly the rights and limits asked for.
    OpenDatabase,
    /// Keep the school's login out and end its sessions.
    CloseDatabase,
    /// Write route, sealed credentials, profile and schema version to the registry, with this state.
    Publish(TenantState),
    /// Change the tenant's state in the registry and nothing else.
    SetTenant(TenantState),
    /// Bar, end all sessions, drop.
    DropDatabase,
    /// Drop the login.
    DropLogin,
    /// Let the object go.
    RemoveFinalizer,
}

impl Action {
    /// The effect's name in logs, metrics and fault points.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::AddFinalizer => "add_finalizer",
            Self::RecordNames(_) => "record_names",
            Self::ReserveTenant => "reserve_tenant",
            Self::WriteSecret => "write_secret",
            Self::CompleteSecret { .. } => "complete_secret",
            Self::StageDatabase => "stage_database",
            Self::ClaimDatabase => "claim_database",
            Self::RestoreLogin => "restore_login",
            Self::SetPassword => "set_password",
            Self::Migrate { .. } => "migrate",
            Self::WriteAdminSecret => "write_admin_secret",
            Self::CreateAdmin => "create_admin",
            Self::OpenDatabase => "open_database",
            Self::CloseDatabase => "close_database",
            Self::Publish(_) => "publish",
            Self::SetTenant(_) => "set_tenant",
            Self::DropDatabase => "drop_database",
            Self::DropLogin => "drop_login",
            Self::RemoveFinalizer => "remove_finalizer",
        }
    }

    /// Why the step is taken, for a person.
    #[must_use]
    pub fn purpose(&self) -> &'static str {
        match self {
            Self::AddFinalizer => "the object must not go before what it stands for is dealt with",
            Self::RecordNames(_) => "names are chosen once and recorded before anything exists under them",
            Self::ReserveTenant => "the registry decides who has the code",
            Self::WriteSecret => "the password must be safe before a login has it",
            Self::CompleteSecret { .. } => "the Secret does not hold what applications need",
            Self::StageDatabase => "no staged database is free",
            Self::ClaimDatabase => "a staged database is free and the password is safe",
            Self::RestoreLogin => "the login is gone and its database is not",
            Self::SetPassword => "the login has another password than the Secret",
            Self::Migrate { .. } => "the database's schema is older than this operator's",
            Self::WriteAdminSecret => "the administrator's temporary password must be safe before the account has it",
            Self::CreateAdmin => "the school has no administrator",
            Self::OpenDatabase => "the database's rights or limits are not those of an open school",
            Self::CloseDatabase => "the school's login must not enter",
            Self::Publish(_) => "the registry's row does not say what stands",
            Self::SetTenant(_) => "the registry's row is in another state than asked for",
            Self::DropDatabase => "the School is deleted, its policy is Delete, routes have stopped and the door is closed",
            Self::DropLogin => "the login's database is gone",
            Self::RemoveFinalizer => "nothing is left that the object stands for",
        }
    }

    /// The name of every effect, for the test that demands a crash before and after each.
    pub const LABELS: &'static [&'static str] = &[
        "add_finalizer",
        "record_names",
        "reserve_tenant",
        "write_secret",
        "complete_secret",
        "stage_database",
        "claim_database",
        "restore_login",
        "set_password",
        "migrate",
        "write_admin_secret",
        "create_admin",
        "open_database",
        "close_database",
        "publish",
        "set_tenant",
        "drop_database",
        "drop_login",
        "remove_finalizer",
    ];
}

/// What must hold where `action` lands.
#[must_use]
pub fn admissible(desired: &Desired, observed: &ObservedSchool, action: &Action) -> bool {
    match (desired, &observed.assignment) {
        (Desired::Present(_), Assignment::Unassigned(placed)) => match action {
            Action::AddFinalizer => !observed.finalizer,
            Action::RecordNames(placement) => observed.finalizer && placed.as_ref() == Ok(placement),
            _ => false,
        },
        (Desired::Deleted(_), Assignment::Unassigned(_)) => *action == Action::RemoveFinalizer && observed.finalizer,
        (Desired::Present(_), Assignment::Assigned(_)) if *action == Action::AddFinalizer => !observed.finalizer,
        (_, Assignment::Assigned(_)) if !observed.finalizer => false,
        (Desired::Present(school), Assignment::Assigned(assigned)) => {
            let catalog = on_server(assigned);
            match action {
                Action::ReserveTenant => assigned.tenant == ObservedTenant::Absent,
                Action::SetTenant(TenantState::Suspended) => school.suspended && state(assigned).is_some(),
                _ => catalog.is_some_and(|catalog| admissible_while_kept(school.suspended, school.schema, assigned, catalog, action)),
            }
        }
        (Desired::Deleted(policy), Assignment::Assigned(assigned)) => admissible_while_going(*policy, assigned, action),
    }
}

fn admissible_while_kept(suspended: bool, target: u32, assigned: &AssignedSchool, catalog: CatalogFacts, action: &Action) -> bool {
    let CatalogFacts { database, login, spare } = catalog;
    let ours = state(assigned).is_some();
    let provisioning = state(assigned) == Some(TenantState::Provisioning);
    let password = matches!(assigned.secret, ObservedSecret::Ours(SecretContent::Current | SecretContent::Stale));
    let standing = matches!(database, ObservedDatabase::Ours { .. });
    let current = matches!(database, ObservedDatabase::Ours { schema, .. } if schema.version == target && schema.genuine);
    let access = if let ObservedDatabase::Ours { access, .. } = database { Some(access) } else { None };
    match action {
        Action::WriteSecret => ours && assigned.secret == ObservedSecret::Absent,
        Action::CompleteSecret { renew: false } => ours && assigned.secret == ObservedSecret::Ours(SecretContent::Stale),
        Action::CompleteSecret { renew: true } => ours && assigned.secret == ObservedSecret::Ours(SecretContent::Unusable),
        Action::StageDatabase => provisioning && database == ObservedDatabase::Absent && !spare,
        Action::ClaimDatabase => {
            provisioning && database == ObservedDatabase::Absent && spare && password && login == ObservedLogin::Absent
        }
        Action::RestoreLogin => ours && standing && password && login == ObservedLogin::Absent,
        Action::SetPassword => ours && standing && password && login == ObservedLogin::Differing,
        Action::Migrate { from, to } => {
            ours && !suspended
                && *to == from + 1
                && *to <= target
                && matches!(database, ObservedDatabase::Ours { schema, access: DatabaseAccess::Open } if schema.version == *from && schema.genuine)
        }
        Action::WriteAdminSecret => ours && assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Absent),
        Action::CreateAdmin => ours && standing && assigned.admin == ObservedAdmin::Missing(ObservedAdminSecret::Ours),
        Action::OpenDatabase => {
            ours && !suspended && login == ObservedLogin::Matching && access.is_some_and(|access| access != DatabaseAccess::Open)
        }
        Action::CloseDatabase => {
            suspended && state(assigned) == Some(TenantState::Suspended) && access.is_some_and(|access| access != DatabaseAccess::Closed)
        }
        Action::Publish(TenantState::Active) => {
            ours && !suspended
                && password
                && current
                && access == Some(DatabaseAccess::Open)
                && login == ObservedLogin::Matching
                && assigned.admin == ObservedAdmin::Exists
        }
        Action::Publish(TenantState::Suspended) => {
            suspended && password && state(assigned) == Some(TenantState::Suspended) && access == Some(DatabaseAccess::Closed)
        }
        // A login of ours whose database never came to be: only before the school was ever served.
        Action::DropLogin => {
            provisioning && database == ObservedDatabase::Absent && matches!(login, ObservedLogin::Matching | ObservedLogin::Differing)
        }
        _ => false,
    }
}

fn admissible_while_going(policy: DeletionPolicy, assigned: &AssignedSchool, action: &Action) -> bool {
    let Some(state) = state(assigned) else { return *action == Action::RemoveFinalizer };
    let routed = matches!(state, TenantState::Active | TenantState::Provisioning);
    if *action == Action::SetTenant(TenantState::Suspended) {
        return routed;
    }
    if state == TenantState::Deleted {
        return *action == Action::RemoveFinalizer;
    }
    let Some(CatalogFacts { database, login, .. }) = on_server(assigned) else { return false };
    let entered = matches!(database, ObservedDatabase::Ours { access: DatabaseAccess::Open | DatabaseAccess::Drifted, .. });
    let ours = matches!(database, ObservedDatabase::Ours { .. } | ObservedDatabase::Broken);
    let login_left = matches!(login, ObservedLogin::Matching | ObservedLogin::Differing) && database == ObservedDatabase::Absent;
    // Never served and without a database: nothing is lost, whatever the policy.
    let stillborn = state == TenantState::Provisioning && database == ObservedDatabase::Absent;
    match action {
        Action::DropLogin if stillborn => return login_left,
        Action::SetTenant(TenantState::Deleted) if stillborn => return !login_left,
        _ => {}
    }
    match (action, policy) {
        (Action::CloseDatabase, _) => entered && !routed,
        (Action::DropDatabase, DeletionPolicy::Delete) => ours && !entered && !routed,
        (Action::DropLogin, DeletionPolicy::Delete) => login_left && !routed,
        (Action::SetTenant(TenantState::Retained), DeletionPolicy::Retain) => !entered && !routed,
        (Action::SetTenant(TenantState::Deleted), DeletionPolicy::Delete) => !ours && !login_left && !routed,
        (Action::RemoveFinalizer, DeletionPolicy::Retain) => state == TenantState::Retained && !entered,
        _ => false,
    }
}

fn state(assigned: &AssignedSchool) -> Option<TenantState> {
    match assigned.tenant {
        ObservedTenant::Ours { state, .. } => Some(state),
        ObservedTenant::Absent | ObservedTenant::OfAnother => None,
    }
}

fn on_server(assigned: &AssignedSchool) -> Option<CatalogFacts> {
    match assigned.server {
        ServerObservation::Available(catalog) => Some(catalog),
        ServerObservation::Unavailable(_) => None,
    }
}
