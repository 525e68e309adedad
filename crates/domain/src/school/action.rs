//! The steps a School can take, and for each what must hold where it lands.
//!
//! [`admissible`] is the safety case on one screen. It is written apart from the planner: the model test uses it as oracle, and each act checks the same
//! precondition again at the source (in SQL under a lock, by `resourceVersion` in Kubernetes).

use super::seen::{
    Access, Admin, AdminSecret, Binding, Bound, Content, Database, Login, OnServer, Secret, Seen, Server, Tenant, TenantState,
};
use super::wanted::{OnDelete, Wanted};
use crate::placement::Choice;

/// One step. Together with the [`Wanted`] and the names it was planned from it says everything: acting chooses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Put our finalizer on the object: before anything exists outside it.
    AddFinalizer,
    /// Record tenant id, server, database, login and Secret names in the status: before anything exists under them.
    RecordNames(Choice),
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
pub fn admissible(wanted: &Wanted, seen: &Seen, action: &Action) -> bool {
    match (wanted, &seen.binding) {
        (Wanted::Kept(_), Binding::Unbound(placed)) => match action {
            Action::AddFinalizer => !seen.finalizer,
            Action::RecordNames(choice) => seen.finalizer && placed.as_ref() == Ok(choice),
            _ => false,
        },
        (Wanted::Gone(_), Binding::Unbound(_)) => *action == Action::RemoveFinalizer && seen.finalizer,
        (Wanted::Kept(_), Binding::Bound(_)) if *action == Action::AddFinalizer => !seen.finalizer,
        (_, Binding::Bound(_)) if !seen.finalizer => false,
        (Wanted::Kept(ask), Binding::Bound(bound)) => {
            let here = on_server(bound);
            match action {
                Action::ReserveTenant => bound.tenant == Tenant::Absent,
                Action::SetTenant(TenantState::Suspended) => ask.suspended && state(bound).is_some(),
                _ => here.is_some_and(|here| admissible_while_kept(ask.suspended, ask.schema, bound, here, action)),
            }
        }
        (Wanted::Gone(policy), Binding::Bound(bound)) => admissible_while_going(*policy, bound, action),
    }
}

fn admissible_while_kept(suspended: bool, target: u32, bound: &Bound, here: OnServer, action: &Action) -> bool {
    let OnServer { database, login, spare } = here;
    let ours = state(bound).is_some();
    let provisioning = state(bound) == Some(TenantState::Provisioning);
    let password = matches!(bound.secret, Secret::Ours(Content::Current | Content::Stale));
    let standing = matches!(database, Database::Ours { .. });
    let current = matches!(database, Database::Ours { schema, .. } if schema.version == target && schema.genuine);
    let access = if let Database::Ours { access, .. } = database { Some(access) } else { None };
    match action {
        Action::WriteSecret => ours && bound.secret == Secret::Absent,
        Action::CompleteSecret { renew: false } => ours && bound.secret == Secret::Ours(Content::Stale),
        Action::CompleteSecret { renew: true } => ours && bound.secret == Secret::Ours(Content::Unusable),
        Action::StageDatabase => provisioning && database == Database::Absent && !spare,
        Action::ClaimDatabase => provisioning && database == Database::Absent && spare && password && login == Login::Absent,
        Action::RestoreLogin => ours && standing && password && login == Login::Absent,
        Action::SetPassword => ours && standing && password && login == Login::Differing,
        Action::Migrate { from, to } => {
            ours && !suspended
                && *to == from + 1
                && *to <= target
                && matches!(database, Database::Ours { schema, access: Access::Open } if schema.version == *from && schema.genuine)
        }
        Action::WriteAdminSecret => ours && bound.admin == Admin::Unmade(AdminSecret::Absent),
        Action::CreateAdmin => ours && standing && bound.admin == Admin::Unmade(AdminSecret::Ours),
        Action::OpenDatabase => ours && !suspended && login == Login::Matching && access.is_some_and(|access| access != Access::Open),
        Action::CloseDatabase => {
            suspended && state(bound) == Some(TenantState::Suspended) && access.is_some_and(|access| access != Access::Closed)
        }
        Action::Publish(TenantState::Active) => {
            ours && !suspended
                && password
                && current
                && access == Some(Access::Open)
                && login == Login::Matching
                && bound.admin == Admin::Made
        }
        Action::Publish(TenantState::Suspended) => {
            suspended && password && state(bound) == Some(TenantState::Suspended) && access == Some(Access::Closed)
        }
        // A login of ours whose database never came to be: only before the school was ever served.
        Action::DropLogin => provisioning && database == Database::Absent && matches!(login, Login::Matching | Login::Differing),
        _ => false,
    }
}

fn admissible_while_going(policy: OnDelete, bound: &Bound, action: &Action) -> bool {
    let Some(state) = state(bound) else { return *action == Action::RemoveFinalizer };
    let routed = matches!(state, TenantState::Active | TenantState::Provisioning);
    if *action == Action::SetTenant(TenantState::Suspended) {
        return routed;
    }
    if state == TenantState::Deleted {
        return *action == Action::RemoveFinalizer;
    }
    let Some(OnServer { database, login, .. }) = on_server(bound) else { return false };
    let entered = matches!(database, Database::Ours { access: Access::Open | Access::Drifted, .. });
    let ours = matches!(database, Database::Ours { .. } | Database::Broken);
    let login_left = matches!(login, Login::Matching | Login::Differing) && database == Database::Absent;
    // Never served and without a database: nothing is lost, whatever the policy.
    let stillborn = state == TenantState::Provisioning && database == Database::Absent;
    match action {
        Action::DropLogin if stillborn => return login_left,
        Action::SetTenant(TenantState::Deleted) if stillborn => return !login_left,
        _ => {}
    }
    match (action, policy) {
        (Action::CloseDatabase, _) => entered && !routed,
        (Action::DropDatabase, OnDelete::Delete) => ours && !entered && !routed,
        (Action::DropLogin, OnDelete::Delete) => login_left && !routed,
        (Action::SetTenant(TenantState::Retained), OnDelete::Retain) => !entered && !routed,
        (Action::SetTenant(TenantState::Deleted), OnDelete::Delete) => !ours && !login_left && !routed,
        (Action::RemoveFinalizer, OnDelete::Retain) => state == TenantState::Retained && !entered,
        _ => false,
    }
}

fn state(bound: &Bound) -> Option<TenantState> {
    match bound.tenant {
        Tenant::Ours { state, .. } => Some(state),
        Tenant::Absent | Tenant::OfAnother => None,
    }
}

fn on_server(bound: &Bound) -> Option<OnServer> {
    match bound.server {
        Server::Here(here) => Some(here),
        Server::Away(_) => None,
    }
}
