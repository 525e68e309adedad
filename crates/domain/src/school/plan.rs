//! The School's planner: from what is desired and what was observed, the next action. Total and deterministic. It keeps no memory, so a crash between two
//! actions is just another state to start from.
//!
//! Must not decide by anything but its two arguments. What may be dropped, and when, is decided here and checked by [`super::admissible`].

use super::action::{Action, ObjectAction, RegistryAction, SecretAction, ServerAction};
use super::desired::{DeletionPolicy, Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedLogin,
    ObservedSchool, ObservedSecret, ObservedTenant, Schema, SecretContent, ServerObservation, Unavailable,
};
use crate::placement::Unplaced;
use crate::tenant::{InactiveState, TenantState};

/// What to do next about a School.
pub type Plan = crate::plan::Plan<Action, Waiting, Refusal>;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// A server that fits.
    Placement(Unplaced),
    /// The chosen server.
    Server(Unavailable),
}

/// Why the desired state is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another tenant holds the code.
    NameConflict,
    /// The registry says this tenant is retained or deleted.
    TenantRetired,
    /// A Secret of the recorded name is not ours.
    SecretConflict,
    /// The administrator's Secret of the recorded name is not ours.
    AdminSecretConflict,
    /// The administrator's e-mail address has an account with another tenant.
    EmailTaken,
    /// A database of the recorded name is not ours.
    DatabaseConflict,
    /// A login of the recorded name is not ours.
    LoginConflict,
    /// The database of a school that was served is gone: an empty one is never created in its place.
    DatabaseMissing,
    /// The database's schema is newer than this operator.
    AheadOfOperator,
    /// The database was migrated by other files than this operator's.
    SchemaEdited,
}

/// A part of the decision: `Err` ends the planning with that plan.
type Decision<T> = Result<T, Plan>;

/// The next action, or why there is none.
#[must_use]
pub fn plan(desired: &Desired, observed: &ObservedSchool) -> Plan {
    let ended = match desired {
        Desired::Deleted(policy) => deleting(*policy, observed),
        Desired::Present(school) => present(school, observed),
    };
    ended.err().unwrap_or(Plan::Settled)
}

fn execute<T>(action: impl Into<Action>) -> Decision<T> {
    Err(Plan::Execute(action.into()))
}

fn refuse<T>(refusal: Refusal) -> Decision<T> {
    Err(Plan::Refuse(refusal))
}

fn present(school: &DesiredSchool, observed: &ObservedSchool) -> Decision<()> {
    if !observed.finalizer {
        return execute(ObjectAction::AddFinalizer);
    }
    let assigned = match &observed.assignment {
        Assignment::Unassigned(Ok(placement)) => return execute(ObjectAction::RecordNames(placement.clone())),
        Assignment::Unassigned(Err(unplaced)) => return Err(Plan::Wait(Waiting::Placement(unplaced.clone()))),
        Assignment::Assigned(assigned) => assigned,
    };
    let state = tenant(assigned)?;
    if school.suspended && state == TenantState::Active {
        return execute(RegistryAction::SetTenantState(InactiveState::Suspended)); // routes stop at once, even while the server does not answer
    }
    let catalog = match assigned.server {
        ServerObservation::Unavailable(unavailable) => return Err(Plan::Wait(Waiting::Server(unavailable))),
        ServerObservation::Available(catalog) => catalog,
    };
    secret(assigned)?;
    let (schema, access) = database(state, catalog)?;
    login(catalog.login)?;
    if school.suspended {
        suspending(assigned, state, access)?; // a database can be closed whatever its schema is
        known(school, schema)
    } else {
        known(school, schema)?;
        serving(school, assigned, schema, access)
    }
}

/// The schema is one that this operator knows, file by file.
fn known(school: &DesiredSchool, schema: Schema) -> Decision<()> {
    if schema.version > school.schema {
        return refuse(Refusal::AheadOfOperator);
    }
    if !schema.genuine {
        return refuse(Refusal::SchemaEdited);
    }
    Ok(())
}

/// The tenant is ours and not retired.
fn tenant(assigned: &AssignedSchool) -> Decision<TenantState> {
    match assigned.tenant {
        ObservedTenant::Absent => execute(RegistryAction::ReserveTenant),
        ObservedTenant::OfAnother => refuse(Refusal::NameConflict),
        ObservedTenant::Ours { state: TenantState::Retained | TenantState::Deleted, .. } => refuse(Refusal::TenantRetired),
        ObservedTenant::Ours { state, .. } => Ok(state),
    }
}

/// The Secret is ours and complete.
fn secret(assigned: &AssignedSchool) -> Decision<()> {
    match assigned.secret {
        ObservedSecret::Absent => execute(SecretAction::WriteSecret),
        ObservedSecret::Foreign => refuse(Refusal::SecretConflict),
        ObservedSecret::Ours(SecretContent::Unusable) => execute(SecretAction::RepairSecret { new_password: true }),
        ObservedSecret::Ours(SecretContent::Stale) => execute(SecretAction::RepairSecret { new_password: false }),
        ObservedSecret::Ours(SecretContent::Current) => Ok(()),
    }
}

/// The database is ours and whole. An empty one is created only for a tenant that was never served.
fn database(state: TenantState, catalog: CatalogFacts) -> Decision<(Schema, DatabaseAccess)> {
    match catalog.database {
        ObservedDatabase::Ours { schema, access } => Ok((schema, access)),
        ObservedDatabase::Foreign => refuse(Refusal::DatabaseConflict),
        ObservedDatabase::Absent if state == TenantState::Provisioning => match catalog.login {
            ObservedLogin::Foreign => refuse(Refusal::LoginConflict),
            ObservedLogin::Matching | ObservedLogin::Differing => execute(ServerAction::DropLogin),
            ObservedLogin::Absent if catalog.spare => execute(ServerAction::ClaimDatabase),
            ObservedLogin::Absent => execute(ServerAction::StageDatabase),
        },
        ObservedDatabase::Absent | ObservedDatabase::Broken => refuse(Refusal::DatabaseMissing),
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

/// Routes stop first, then the database is closed. A suspended school is not migrated.
fn suspending(assigned: &AssignedSchool, state: TenantState, access: DatabaseAccess) -> Decision<()> {
    if state != TenantState::Suspended {
        return execute(RegistryAction::SetTenantState(InactiveState::Suspended));
    }
    if access != DatabaseAccess::Closed {
        return execute(ServerAction::CloseDatabase);
    }
    if assigned.tenant == (ObservedTenant::Ours { state, current: false }) {
        return execute(RegistryAction::PublishRoute(TenantState::Suspended));
    }
    Ok(())
}

/// Access first, then the schema; routes last.
fn serving(school: &DesiredSchool, assigned: &AssignedSchool, schema: Schema, access: DatabaseAccess) -> Decision<()> {
    if access != DatabaseAccess::Open {
        return execute(ServerAction::EnsureAccess);
    }
    if schema.version < school.schema {
        return execute(ServerAction::Migrate { from: schema.version, to: schema.version + 1 });
    }
    match assigned.admin {
        ObservedAdmin::Missing(ObservedAdminSecret::Absent) => return execute(SecretAction::WriteAdminSecret),
        ObservedAdmin::Missing(ObservedAdminSecret::Foreign) => return refuse(Refusal::AdminSecretConflict),
        ObservedAdmin::Missing(ObservedAdminSecret::Ours) => return execute(RegistryAction::CreateAdmin),
        ObservedAdmin::EmailTaken => return refuse(Refusal::EmailTaken),
        ObservedAdmin::Exists => {}
    }
    if assigned.tenant != (ObservedTenant::Ours { state: TenantState::Active, current: true }) {
        return execute(RegistryAction::PublishRoute(TenantState::Active));
    }
    Ok(())
}

/// Deletion needs only recorded names and facts, never a valid spec. What is not ours is left alone. A server that does not answer is waited for.
fn deleting(policy: DeletionPolicy, observed: &ObservedSchool) -> Decision<()> {
    if !observed.finalizer {
        return Ok(());
    }
    let Assignment::Assigned(assigned) = &observed.assignment else { return execute(ObjectAction::RemoveFinalizer) };
    let state = match assigned.tenant {
        // We own nothing, or no longer anything.
        ObservedTenant::Absent | ObservedTenant::OfAnother | ObservedTenant::Ours { state: TenantState::Deleted, .. } => {
            return execute(ObjectAction::RemoveFinalizer);
        }
        ObservedTenant::Ours { state, .. } => state,
    };
    if state == TenantState::Active {
        return execute(RegistryAction::SetTenantState(InactiveState::Suspended)); // the API stops routing before the database is closed
    }
    let catalog = match assigned.server {
        ServerObservation::Unavailable(unavailable) => return Err(Plan::Wait(Waiting::Server(unavailable))),
        ServerObservation::Available(catalog) => catalog,
    };
    if state == TenantState::Provisioning {
        return match catalog.database {
            ObservedDatabase::Absent => dropping(catalog), // there is nothing that could be retained
            ObservedDatabase::Ours { .. } | ObservedDatabase::Foreign | ObservedDatabase::Broken => {
                execute(RegistryAction::SetTenantState(InactiveState::Suspended))
            }
        };
    }
    if matches!(catalog.database, ObservedDatabase::Ours { access: DatabaseAccess::Open | DatabaseAccess::Drifted, .. }) {
        return execute(ServerAction::CloseDatabase);
    }
    match policy {
        DeletionPolicy::Retain if state == TenantState::Retained => execute(ObjectAction::RemoveFinalizer),
        DeletionPolicy::Retain => execute(RegistryAction::SetTenantState(InactiveState::Retained)),
        DeletionPolicy::Delete => dropping(catalog),
    }
}

fn dropping(catalog: CatalogFacts) -> Decision<()> {
    match (catalog.database, catalog.login) {
        (ObservedDatabase::Ours { .. } | ObservedDatabase::Broken, _) => execute(ServerAction::DropDatabase),
        (ObservedDatabase::Absent, ObservedLogin::Matching | ObservedLogin::Differing) => execute(ServerAction::DropLogin),
        (ObservedDatabase::Absent | ObservedDatabase::Foreign, _) => execute(RegistryAction::SetTenantState(InactiveState::Deleted)),
    }
}
