//! From what is wanted and what is seen, the one next step. Total and deterministic; it keeps no memory, so a crash between two steps is just another
//! state it starts from.
//!
//! Must not decide by anything but its two arguments. What may be dropped, and when, is decided here and checked by [`super::action::admissible`].

use super::action::Action;
use super::desired::{DeletionPolicy, Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedLogin,
    ObservedSchool, ObservedSecret, ObservedTenant, Schema, SecretContent, ServerObservation, Unavailable,
};
use crate::placement::Unplaced;
use crate::tenant::TenantState;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Take this step, then look again.
    Execute(Action),
    /// Nothing can be done until something else changes, which will wake us.
    Wait(Waiting),
    /// The wish cannot be granted as things stand; a person must decide.
    Refuse(Refusal),
    /// What is wanted is what is.
    Settled,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// A server that fits.
    Placement(Unplaced),
    /// The chosen server.
    Server(Unavailable),
}

/// Why a wish is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another tenant holds the code.
    NameConflict,
    /// The registry says this tenant is retained or deleted.
    TenantRetired,
    /// A Secret of the wanted name is not ours.
    SecretConflict,
    /// The administrator's Secret of the wanted name is not ours.
    AdminSecretConflict,
    /// The administrator's e-mail address has an account with another tenant.
    EmailTaken,
    /// A database of the wanted name is not ours.
    DatabaseConflict,
    /// A login of the wanted name is not ours.
    LoginConflict,
    /// The database of a school that was served is gone: never an empty one in its place.
    DatabaseMissing,
    /// The database's schema is newer than this operator.
    AheadOfOperator,
    /// The database was migrated by other files than this operator's.
    SchemaEdited,
}

/// A decision on the way: `Err` ends the planning with that plan.
type Step<T> = Result<T, Plan>;

/// The one next step.
#[must_use]
pub fn plan(desired: &Desired, observed: &ObservedSchool) -> Plan {
    let ended = match desired {
        Desired::Deleted(policy) => deleting(*policy, observed),
        Desired::Present(school) => present(school, observed),
    };
    ended.err().unwrap_or(Plan::Settled)
}

fn act<T>(action: Action) -> Step<T> {
    Err(Plan::Execute(action))
}

fn refuse<T>(refusal: Refusal) -> Step<T> {
    Err(Plan::Refuse(refusal))
}

fn present(school: &DesiredSchool, observed: &ObservedSchool) -> Step<()> {
    if !observed.finalizer {
        return act(Action::AddFinalizer);
    }
    let assigned = match &observed.assignment {
        Assignment::Unassigned(Ok(placement)) => return act(Action::RecordNames(placement.clone())),
        Assignment::Unassigned(Err(unplaced)) => return Err(Plan::Wait(Waiting::Placement(unplaced.clone()))),
        Assignment::Assigned(assigned) => assigned,
    };
    let state = tenant(assigned)?;
    if school.suspended && state == TenantState::Active {
        return act(Action::SetTenant(TenantState::Suspended)); // routes stop at once, whether or not the server answers
    }
    let catalog = match assigned.server {
        ServerObservation::Unavailable(unavailable) => return Err(Plan::Wait(Waiting::Server(unavailable))),
        ServerObservation::Available(catalog) => catalog,
    };
    secret(assigned)?;
    let (schema, access) = database(state, catalog)?;
    login(catalog.login)?;
    if school.suspended {
        suspending(assigned, state, access)?; // a door can be closed whatever is behind it
        known(school, schema)
    } else {
        known(school, schema)?;
        serving(school, assigned, schema, access)
    }
}

/// The schema is one that this operator knows, file by file.
fn known(school: &DesiredSchool, schema: Schema) -> Step<()> {
    if schema.version > school.schema {
        return refuse(Refusal::AheadOfOperator);
    }
    if !schema.genuine {
        return refuse(Refusal::SchemaEdited);
    }
    Ok(())
}

/// The tenant is ours and alive.
fn tenant(assigned: &AssignedSchool) -> Step<TenantState> {
    match assigned.tenant {
        ObservedTenant::Absent => act(Action::ReserveTenant),
        ObservedTenant::OfAnother => refuse(Refusal::NameConflict),
        ObservedTenant::Ours { state: TenantState::Retained | TenantState::Deleted, .. } => refuse(Refusal::TenantRetired),
        ObservedTenant::Ours { state, .. } => Ok(state),
    }
}

/// The Secret is ours and complete.
fn secret(assigned: &AssignedSchool) -> Step<()> {
    match assigned.secret {
        ObservedSecret::Absent => act(Action::WriteSecret),
        ObservedSecret::Foreign => refuse(Refusal::SecretConflict),
        ObservedSecret::Ours(SecretContent::Unusable) => act(Action::CompleteSecret { renew: true }),
        ObservedSecret::Ours(SecretContent::Stale) => act(Action::CompleteSecret { renew: false }),
        ObservedSecret::Ours(SecretContent::Current) => Ok(()),
    }
}

/// The database is ours and whole. An empty one is made only for a tenant that was never served.
fn database(state: TenantState, catalog: CatalogFacts) -> Step<(Schema, DatabaseAccess)> {
    match catalog.database {
        ObservedDatabase::Ours { schema, access } => Ok((schema, access)),
        ObservedDatabase::Foreign => refuse(Refusal::DatabaseConflict),
        ObservedDatabase::Absent if state == TenantState::Provisioning => match catalog.login {
            ObservedLogin::Foreign => refuse(Refusal::LoginConflict),
            ObservedLogin::Matching | ObservedLogin::Differing => act(Action::DropLogin),
            ObservedLogin::Absent if catalog.spare => act(Action::ClaimDatabase),
            ObservedLogin::Absent => act(Action::StageDatabase),
        },
        ObservedDatabase::Absent | ObservedDatabase::Broken => refuse(Refusal::DatabaseMissing),
    }
}

/// The login is ours and has the Secret's password.
fn login(login: ObservedLogin) -> Step<()> {
    match login {
        ObservedLogin::Absent => act(Action::RestoreLogin),
        ObservedLogin::Foreign => refuse(Refusal::LoginConflict),
        ObservedLogin::Differing => act(Action::SetPassword),
        ObservedLogin::Matching => Ok(()),
    }
}

/// Routes stop first, then the door closes. A suspended school is not migrated.
fn suspending(assigned: &AssignedSchool, state: TenantState, access: DatabaseAccess) -> Step<()> {
    if state != TenantState::Suspended {
        return act(Action::SetTenant(TenantState::Suspended));
    }
    if access != DatabaseAccess::Closed {
        return act(Action::CloseDatabase);
    }
    if assigned.tenant == (ObservedTenant::Ours { state, current: false }) {
        return act(Action::Publish(TenantState::Suspended));
    }
    Ok(())
}

/// The door opens, the schema follows, and routes go live last.
fn serving(school: &DesiredSchool, assigned: &AssignedSchool, schema: Schema, access: DatabaseAccess) -> Step<()> {
    if access != DatabaseAccess::Open {
        return act(Action::OpenDatabase);
    }
    if schema.version < school.schema {
        return act(Action::Migrate { from: schema.version, to: schema.version + 1 });
    }
    match assigned.admin {
        ObservedAdmin::Missing(ObservedAdminSecret::Absent) => return act(Action::WriteAdminSecret),
        ObservedAdmin::Missing(ObservedAdminSecret::Foreign) => return refuse(Refusal::AdminSecretConflict),
        ObservedAdmin::Missing(ObservedAdminSecret::Ours) => return act(Action::CreateAdmin),
        ObservedAdmin::EmailTaken => return refuse(Refusal::EmailTaken),
        ObservedAdmin::Exists => {}
    }
    if assigned.tenant != (ObservedTenant::Ours { state: TenantState::Active, current: true }) {
        return act(Action::Publish(TenantState::Active));
    }
    Ok(())
}

/// Deletion needs only recorded names and facts, never a valid spec. What is not ours is left alone; a server that is away is waited for.
fn deleting(policy: DeletionPolicy, observed: &ObservedSchool) -> Step<()> {
    if !observed.finalizer {
        return Ok(());
    }
    let Assignment::Assigned(assigned) = &observed.assignment else { return act(Action::RemoveFinalizer) };
    let state = match assigned.tenant {
        // We own nothing, or nothing any more.
        ObservedTenant::Absent | ObservedTenant::OfAnother | ObservedTenant::Ours { state: TenantState::Deleted, .. } => {
            return act(Action::RemoveFinalizer);
        }
        ObservedTenant::Ours { state, .. } => state,
    };
    if state == TenantState::Active {
        return act(Action::SetTenant(TenantState::Suspended)); // the API stops routing before anything closes
    }
    let catalog = match assigned.server {
        ServerObservation::Unavailable(unavailable) => return Err(Plan::Wait(Waiting::Server(unavailable))),
        ServerObservation::Available(catalog) => catalog,
    };
    if state == TenantState::Provisioning {
        return match catalog.database {
            ObservedDatabase::Absent => dropping(catalog), // it never had anything that could be retained
            _ => act(Action::SetTenant(TenantState::Suspended)),
        };
    }
    if matches!(catalog.database, ObservedDatabase::Ours { access: DatabaseAccess::Open | DatabaseAccess::Drifted, .. }) {
        return act(Action::CloseDatabase);
    }
    match policy {
        DeletionPolicy::Retain if state == TenantState::Retained => act(Action::RemoveFinalizer),
        DeletionPolicy::Retain => act(Action::SetTenant(TenantState::Retained)),
        DeletionPolicy::Delete => dropping(catalog),
    }
}

fn dropping(catalog: CatalogFacts) -> Step<()> {
    match (catalog.database, catalog.login) {
        (ObservedDatabase::Ours { .. } | ObservedDatabase::Broken, _) => act(Action::DropDatabase),
        (ObservedDatabase::Absent, ObservedLogin::Matching | ObservedLogin::Differing) => act(Action::DropLogin),
        (ObservedDatabase::Absent | ObservedDatabase::Foreign, _) => act(Action::SetTenant(TenantState::Deleted)),
    }
}
