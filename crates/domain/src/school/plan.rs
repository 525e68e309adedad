//! The School's planner: from what is desired and what was observed, the next action. Total and deterministic. It keeps no memory, so a crash between two
//! actions is just another state to start from.
//!
//! Must not decide by anything but its two arguments. What may be dropped, and when, is decided here and checked by [`super::admissible`].

mod deleting;
mod making;
mod serving;
mod suspending;

use self::deleting::deleting;
use self::serving::serving;
use self::suspending::suspending;
use super::action::{Action, ObjectAction, RegistryAction};
use super::desired::{Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedSchool, ObservedTenant, Schema, ServerObservation,
    Unavailable,
};
use crate::placement::Unplaced;
use crate::tenant::TenantState;

/// What to do next about a School.
pub type Plan = crate::plan::Plan<Action, Waiting, Refusal>;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// A server that fits.
    Placement(Unplaced),
    /// The chosen server.
    Server(Unavailable),
    /// The server's template of the operator's schema.
    Template,
    /// A Secret that could not be read.
    Secret,
}

/// Why the desired state is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another tenant holds the code.
    NameConflict,
    /// What a deletion should retain has lost its row, and another tenant holds the code.
    CodeTaken,
    /// The registry says this tenant is retained or deleted.
    TenantRetired,
    /// A Secret of the recorded name is not ours.
    SecretConflict,
    /// The administrator's Secret of the recorded name is not ours.
    AdminSecretConflict,
    /// The administrator's e-mail address has an account with another tenant.
    EmailTaken,
    /// The request for another password of the administrator cannot be told from another request.
    ResetInvalid,
    /// It is unclear whose password a request is about.
    ResetUnclear,
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
    match &observed.assignment {
        Assignment::Unassigned(Ok(placement)) => execute(ObjectAction::RecordNames(placement.clone())),
        Assignment::Unassigned(Err(unplaced)) => Err(Plan::Wait(Waiting::Placement(unplaced.clone()))),
        Assignment::Assigned(assigned) if school.suspended => suspending(school, assigned),
        Assignment::Assigned(assigned) => serving(school, assigned),
    }
}

/// The row is ours, and the tenant is not retired.
fn tenant(assigned: &AssignedSchool) -> Decision<TenantState> {
    match assigned.tenant {
        ObservedTenant::Absent => execute(RegistryAction::ReserveTenant),
        ObservedTenant::OfAnother | ObservedTenant::Reassigned => refuse(Refusal::NameConflict),
        ObservedTenant::Ours { state: TenantState::Retained | TenantState::Deleted, .. } => refuse(Refusal::TenantRetired),
        ObservedTenant::Ours { state, .. } => Ok(state),
    }
}

/// The server answers.
fn server(assigned: &AssignedSchool) -> Decision<CatalogFacts> {
    match assigned.server {
        ServerObservation::Unavailable(unavailable) => Err(Plan::Wait(Waiting::Server(unavailable))),
        ServerObservation::Available(catalog) => Ok(catalog),
    }
}

/// The school's login may enter, or has a session.
fn entered(database: ObservedDatabase) -> bool {
    match database {
        ObservedDatabase::Ours { access, .. } => matches!(access, DatabaseAccess::Open | DatabaseAccess::Drifted),
        ObservedDatabase::Foreign { entered } => entered,
        ObservedDatabase::Absent | ObservedDatabase::Broken => false,
    }
}

/// The status says that the database exists.
fn recorded(assigned: &AssignedSchool) -> Decision<()> {
    if assigned.existed { Ok(()) } else { execute(ObjectAction::RecordDatabase) }
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
