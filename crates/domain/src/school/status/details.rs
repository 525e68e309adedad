//! The conditions that say what exists: server, database, schema, credentials, availability.
//!
//! Must say Unknown of what could not be observed.

use super::closing::suspended;
use super::wording::{placement_reason, routed, still_served, unavailable_message};
use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};
use crate::school::desired::{Desired, DesiredSchool};
use crate::school::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedLogin, ObservedSchool, ObservedSecret,
    ObservedTenant, SecretContent, ServerObservation,
};
use crate::tenant::TenantState;

/// Every condition except the summary.
pub(super) fn details(desired: &Desired, observed: &ObservedSchool) -> Vec<Condition> {
    let mut conditions = Vec::with_capacity(6);
    conditions.push(suspended(desired, observed));
    match &observed.assignment {
        Assignment::Unassigned(Ok(_)) => {
            conditions.push(Condition::new(
                ConditionType::ServerAssigned,
                ConditionStatus::False,
                Reason::Pending,
                "a server is being assigned",
            ));
        }
        Assignment::Unassigned(Err(unplaced)) => {
            conditions.push(Condition::new(
                ConditionType::ServerAssigned,
                ConditionStatus::False,
                placement_reason(unplaced.cause),
                &*unplaced.message,
            ));
        }
        Assignment::Assigned(assigned) => {
            let message = format!("on server {}", assigned.names.server);
            conditions.push(Condition::new(ConditionType::ServerAssigned, ConditionStatus::True, Reason::Assigned, message));
            conditions.extend(on_server(desired, observed, assigned));
        }
    }
    conditions
}

fn on_server(desired: &Desired, observed: &ObservedSchool, assigned: &AssignedSchool) -> [Condition; 4] {
    match assigned.server {
        ServerObservation::Unavailable(unavailable) => {
            let (reason, message) = unavailable_message(unavailable, observed);
            let unknown = |type_, status| Condition::new(type_, status, reason, message.as_str());
            let available = if routed(observed) { still_served(unavailable) } else { ConditionStatus::False };
            [
                unknown(ConditionType::DatabaseReady, ConditionStatus::Unknown),
                unknown(ConditionType::SchemaReady, ConditionStatus::Unknown),
                unknown(ConditionType::CredentialsReady, ConditionStatus::Unknown),
                unknown(ConditionType::Available, available),
            ]
        }
        ServerObservation::Available(catalog) => {
            let school = if let Desired::Present(school) = desired { Some(school.as_ref()) } else { None };
            [
                database_ready(catalog.database),
                schema_ready(catalog, school),
                credentials_ready(desired, assigned.secret, catalog.login),
                available(desired, assigned, catalog.database),
            ]
        }
    }
}

fn database_ready(database: ObservedDatabase) -> Condition {
    let (status, reason, message) = match database {
        ObservedDatabase::Ours { access: DatabaseAccess::Drifted, .. } => {
            (ConditionStatus::False, Reason::Updating, "rights or limits were changed and are being corrected")
        }
        ObservedDatabase::Ours { .. } => (ConditionStatus::True, Reason::Created, "database, login and rights stand"),
        ObservedDatabase::Absent => (ConditionStatus::False, Reason::Pending, "there is no database"),
        ObservedDatabase::Foreign { .. } => {
            (ConditionStatus::False, Reason::OwnedByAnother, "the database of that name is not this school's")
        }
        ObservedDatabase::Broken => {
            (ConditionStatus::False, Reason::DatabaseMissing, "a drop of the database was interrupted; it cannot be used")
        }
    };
    Condition::new(ConditionType::DatabaseReady, status, reason, message)
}

fn schema_ready(catalog: CatalogFacts, school: Option<&DesiredSchool>) -> Condition {
    let (status, reason, message) = match (catalog.database, school) {
        (ObservedDatabase::Ours { schema, .. }, Some(school)) if schema.version > school.schema => {
            (ConditionStatus::False, Reason::AheadOfOperator, "the schema is newer than this operator")
        }
        (ObservedDatabase::Ours { schema, .. }, Some(_)) if !schema.genuine => {
            (ConditionStatus::False, Reason::SchemaEdited, "migrated by other files than this operator's")
        }
        (ObservedDatabase::Ours { schema, .. }, Some(school))
            if schema.version < school.schema && !school.suspended && !catalog.template =>
        {
            (
                ConditionStatus::False,
                Reason::AwaitingTemplate,
                "migrations are due and wait for the server's template of this operator's schema",
            )
        }
        (ObservedDatabase::Ours { schema, .. }, Some(school)) if schema.version < school.schema => {
            (ConditionStatus::False, Reason::Migrating, "migrations are due and applied while the school is active")
        }
        (ObservedDatabase::Ours { .. }, _) => (ConditionStatus::True, Reason::UpToDate, "every migration is applied"),
        (ObservedDatabase::Absent | ObservedDatabase::Foreign { .. } | ObservedDatabase::Broken, _) => {
            (ConditionStatus::Unknown, Reason::Pending, "there is no database of this school")
        }
    };
    Condition::new(ConditionType::SchemaReady, status, reason, message)
}

fn credentials_ready(desired: &Desired, secret: ObservedSecret, login: ObservedLogin) -> Condition {
    let (status, reason, message) = match (secret, login, desired) {
        (ObservedSecret::Unread, _, Desired::Deleted(_)) => {
            (ConditionStatus::Unknown, Reason::Terminating, "the Secret goes with the School and is not read")
        }
        (ObservedSecret::Unread, _, Desired::Present(_)) => {
            (ConditionStatus::Unknown, Reason::ProgressingWithRetry, "the Secret could not be read")
        }
        (ObservedSecret::Ours(SecretContent::Current), ObservedLogin::Matching, _) => {
            (ConditionStatus::True, Reason::Issued, "the Secret holds the login's password")
        }
        (ObservedSecret::Foreign, _, _) => {
            (ConditionStatus::False, Reason::SecretConflict, "the Secret of that name does not belong to this School")
        }
        (_, ObservedLogin::Foreign, _) => (ConditionStatus::False, Reason::OwnedByAnother, "the login of that name is not this school's"),
        (ObservedSecret::Absent | ObservedSecret::Ours(_), _, Desired::Present(school)) if school.suspended => {
            (ConditionStatus::False, Reason::Pending, "Secret and login do not agree; they are put right when the school is active")
        }
        (ObservedSecret::Absent | ObservedSecret::Ours(_), _, _) => {
            (ConditionStatus::False, Reason::Pending, "the Secret and the login do not agree yet")
        }
    };
    Condition::new(ConditionType::CredentialsReady, status, reason, message)
}

/// Whether requests that are routed now reach the database, whatever the Secret says.
fn available(desired: &Desired, assigned: &AssignedSchool, database: ObservedDatabase) -> Condition {
    let retired = if matches!(desired, Desired::Deleted(_)) { Reason::Terminating } else { Reason::TenantRetired };
    let (status, reason, message) = match assigned.tenant {
        ObservedTenant::Ours { state: TenantState::Active, .. } => reached(assigned.routed, database),
        ObservedTenant::Ours { state: TenantState::Suspended, .. } => {
            (ConditionStatus::False, Reason::Suspended, "requests are refused: the tenant is suspended")
        }
        ObservedTenant::Ours { state: TenantState::Retained | TenantState::Deleted, .. } => {
            (ConditionStatus::False, retired, "requests are refused: the tenant is retained or deleted")
        }
        ObservedTenant::Ours { state: TenantState::Provisioning, .. } | ObservedTenant::Absent => {
            (ConditionStatus::False, Reason::Provisioning, "requests are not routed yet")
        }
        ObservedTenant::OfAnother | ObservedTenant::Reassigned => {
            (ConditionStatus::False, Reason::NameConflict, "the registry has no row of this School")
        }
    };
    Condition::new(ConditionType::Available, status, reason, message)
}

fn reached(same_password: bool, database: ObservedDatabase) -> (ConditionStatus, Reason, &'static str) {
    match database {
        ObservedDatabase::Ours { access: DatabaseAccess::Open, .. } if same_password => {
            (ConditionStatus::True, Reason::Serving, "requests are routed, and the login has the password that they use")
        }
        ObservedDatabase::Ours { access: DatabaseAccess::Open, .. } => {
            (ConditionStatus::False, Reason::Updating, "the login has another password than routed requests use")
        }
        ObservedDatabase::Ours { access: DatabaseAccess::Drifted, .. } => {
            (ConditionStatus::Unknown, Reason::Updating, "rights or limits were changed, so requests may fail")
        }
        ObservedDatabase::Foreign { .. } => {
            (ConditionStatus::Unknown, Reason::OwnedByAnother, "requests are routed to a database that is not known to be this school's")
        }
        ObservedDatabase::Ours { access: DatabaseAccess::Closed | DatabaseAccess::Barred, .. }
        | ObservedDatabase::Absent
        | ObservedDatabase::Broken => (ConditionStatus::False, Reason::Updating, "the school's login cannot enter its database"),
    }
}
