//! What to tell about a School: conditions from what was wanted, seen and planned. Pure, so that a status never says more than was seen.

use super::action::Action;
use super::desired::{Desired, DesiredSchool};
use super::observed::{
    AssignedSchool, Assignment, DatabaseAccess, ObservedDatabase, ObservedLogin, ObservedSchool, ObservedSecret, ObservedTenant,
    SecretContent, ServerObservation, Unavailable,
};
use super::plan::{Plan, Refusal, Waiting};
use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};
use crate::placement::{Cause, Unplaced};
use crate::retry::Class;
use crate::tenant::TenantState;

/// Something that failed in this turn, told in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How it was classified.
    pub class: Class,
    /// `MigrationFailed`, `InvalidSpec`, or `ProgressingWithRetry`.
    pub reason: Reason,
    /// What failed and what to do. No secret, no counter, no time.
    pub message: String,
}

/// Conditions after a turn that ended with `plan`. `overdue`: progress has been awaited for longer than the progress deadline.
#[must_use]
pub fn report(desired: &Desired, observed: &ObservedSchool, plan: &Plan, overdue: bool) -> Vec<Condition> {
    let mut conditions = summary(desired, observed, plan, overdue);
    conditions.extend(details(desired, observed));
    conditions
}

/// Conditions after a turn in which something failed; `known` is what was wanted and seen before it, when anything was, and `was_ready` what the
/// status says of Ready so far.
#[must_use]
pub fn report_failure(
    deleting: bool,
    was_ready: bool,
    known: Option<(&Desired, &ObservedSchool)>,
    trouble: &Failure,
    overdue: bool,
) -> Vec<Condition> {
    let Failure { reason, message, .. } = trouble;
    let blocked = matches!(reason, Reason::MigrationFailed | Reason::InvalidSpec | Reason::OwnedByAnother);
    let stalled = match (blocked, overdue) {
        (true, _) => Some(*reason),
        (false, true) => Some(Reason::ProgressDeadlineExceeded),
        (false, false) => None,
    };
    let retrying = if blocked { *reason } else { Reason::ProgressingWithRetry };
    let mut conditions = vec![
        Condition::new(ConditionType::Reconciling, ConditionStatus::from(!blocked), retrying, message),
        Condition::new(
            ConditionType::Stalled,
            ConditionStatus::from(stalled.is_some()),
            stalled.unwrap_or(Reason::ProgressingWithRetry),
            message,
        ),
    ];
    // A school that was served and could not be looked at for a moment is still served as far as anyone knows.
    if blocked || overdue || deleting || !was_ready {
        let reason = if deleting { Reason::Terminating } else { stalled.unwrap_or(retrying) };
        conditions.push(Condition::new(ConditionType::Ready, ConditionStatus::False, reason, message));
    }
    if let Some((desired, observed)) = known {
        conditions.extend(details(desired, observed));
    }
    if *reason == Reason::MigrationFailed {
        conditions.retain(|condition| condition.type_ != ConditionType::SchemaReady);
        conditions.push(Condition::new(ConditionType::SchemaReady, ConditionStatus::False, Reason::MigrationFailed, message));
    }
    conditions
}

/// Ready, Reconciling, Stalled.
fn summary(desired: &Desired, observed: &ObservedSchool, plan: &Plan, overdue: bool) -> Vec<Condition> {
    let three = |ready: (ConditionStatus, Reason), reconciling: (bool, Reason), stalled: (bool, Reason), message: &str| {
        vec![
            Condition::new(ConditionType::Ready, ready.0, ready.1, message),
            Condition::new(ConditionType::Reconciling, ConditionStatus::from(reconciling.0), reconciling.1, message),
            Condition::new(ConditionType::Stalled, ConditionStatus::from(stalled.0), stalled.1, message),
        ]
    };
    match plan {
        Plan::Settled => {
            let (reason, message) = settled(desired);
            three((ConditionStatus::True, reason), (false, reason), (false, reason), message)
        }
        Plan::Execute(action) => {
            let reason = progress(desired, observed, action);
            three((ConditionStatus::False, reason), (true, reason), (false, reason), "work is in progress")
        }
        Plan::Refuse(refusal) => {
            let (reason, message) = refused(*refusal, desired, observed);
            three((ConditionStatus::False, reason), (false, reason), (true, reason), &message)
        }
        Plan::Wait(waiting) => {
            let Waited { reason, message, stalled, outage } = waited(waiting, observed);
            let stalled = stalled || overdue;
            let why_stalled = if overdue { Reason::ProgressDeadlineExceeded } else { reason };
            let ready = if matches!(desired, Desired::Deleted(_)) { Reason::Terminating } else { reason };
            let stalled = (stalled, if stalled { why_stalled } else { reason });
            three((ConditionStatus::False, ready), (!outage && !stalled.0 || overdue, reason), stalled, &message)
        }
    }
}

fn settled(desired: &Desired) -> (Reason, &'static str) {
    match desired {
        Desired::Present(school) if school.suspended => (Reason::Suspended, "the school is closed, as its spec asks; its data is kept"),
        Desired::Present(_) => (Reason::Ready, "the school is served"),
        Desired::Deleted(_) => (Reason::Terminating, "nothing is left to do"),
    }
}

fn progress(desired: &Desired, observed: &ObservedSchool, action: &Action) -> Reason {
    let Desired::Present(_) = desired else { return Reason::Terminating };
    let served = matches!(&observed.assignment, Assignment::Assigned(AssignedSchool { tenant: ObservedTenant::Ours { state, .. }, .. }) if *state != TenantState::Provisioning);
    match action {
        Action::Migrate { .. } => Reason::Migrating,
        _ if served => Reason::Updating,
        _ => Reason::Provisioning,
    }
}

fn refused(refusal: Refusal, desired: &Desired, observed: &ObservedSchool) -> (Reason, String) {
    let school = if let Desired::Present(school) = desired { Some(school) } else { None };
    let names = if let Assignment::Assigned(assigned) = &observed.assignment { Some(&assigned.names) } else { None };
    let code = school.map(|school| school.code.to_string()).unwrap_or_default();
    let name = |pick: fn(&super::observed::Names) -> &dyn std::fmt::Display| names.map(|names| pick(names).to_string()).unwrap_or_default();
    match refusal {
        Refusal::NameConflict => (
            Reason::NameConflict,
            format!(
                "another tenant, perhaps a retained one, holds the code {code}; delete this School and create it with another spec.code"
            ),
        ),
        Refusal::TenantRetired => (
            Reason::TenantRetired,
            "the registry says this tenant was retained or deleted; see the runbook before doing anything".to_owned(),
        ),
        Refusal::SecretConflict | Refusal::AdminSecretConflict => {
            let secret = if refusal == Refusal::SecretConflict { name(|names| &names.secret) } else { name(|names| &names.admin_secret) };
            (Reason::SecretConflict, format!("Secret {secret} exists and does not belong to this School; rename or delete it"))
        }
        Refusal::EmailTaken => (
            Reason::EmailTaken,
            "an account of another school has the administrator's e-mail address; change spec.adminUser.email".to_owned(),
        ),
        Refusal::DatabaseConflict => (
            Reason::OwnedByAnother,
            format!("database {} exists on {} and is not this school's", name(|n| &n.database), name(|n| &n.server)),
        ),
        Refusal::LoginConflict => {
            (Reason::OwnedByAnother, format!("login {} exists on {} and is not this school's", name(|n| &n.login), name(|n| &n.server)))
        }
        Refusal::DatabaseMissing => (
            Reason::DatabaseMissing,
            format!(
                "database {} is missing on {}; restore it from a backup, an empty one is never made in its place",
                name(|n| &n.database),
                name(|n| &n.server)
            ),
        ),
        Refusal::AheadOfOperator => (
            Reason::AheadOfOperator,
            "the database's schema is newer than this operator; run the operator version that migrated it".to_owned(),
        ),
        Refusal::SchemaEdited => (
            Reason::SchemaEdited,
            "the database was migrated by files that differ from this operator's; released migrations must not be edited".to_owned(),
        ),
    }
}

struct Waited {
    reason: Reason,
    message: String,
    stalled: bool,
    outage: bool,
}

fn waited(waiting: &Waiting, observed: &ObservedSchool) -> Waited {
    match waiting {
        Waiting::Placement(Unplaced { cause, message }) => Waited {
            reason: placement_reason(*cause),
            message: message.clone(),
            // The others may only be late: references may arrive before their targets.
            stalled: matches!(cause, Cause::NamespaceNotAllowed | Cause::NoCapacity),
            outage: false,
        },
        Waiting::Server(unavailable) => {
            let (reason, message) = unavailable_message(*unavailable, observed);
            let served = matches!(
                &observed.assignment,
                Assignment::Assigned(AssignedSchool { tenant: ObservedTenant::Ours { state: TenantState::Active, .. }, .. })
            );
            Waited { reason, message, stalled: *unavailable == Unavailable::IdentityMismatch, outage: served }
        }
    }
}

fn placement_reason(cause: Cause) -> Reason {
    match cause {
        Cause::NotFound => Reason::ServerNotFound,
        Cause::NoMatchingTier => Reason::NoMatchingServer,
        Cause::NamespaceNotAllowed => Reason::NamespaceNotAllowed,
        Cause::NotSchedulable => Reason::ServerCordoned,
        Cause::NoCapacity => Reason::NoCapacity,
        Cause::NotReady => Reason::ServerNotReady,
    }
}

fn unavailable_message(unavailable: Unavailable, observed: &ObservedSchool) -> (Reason, String) {
    let server = if let Assignment::Assigned(assigned) = &observed.assignment { assigned.names.server.as_str() } else { "" };
    match unavailable {
        Unavailable::NotFound => (Reason::ServerNotFound, format!("DatabaseServer {server} does not exist; create it again")),
        Unavailable::Unreachable => {
            (Reason::DatabaseUnreachable, format!("server {server} does not answer; it is watched and work goes on as soon as it does"))
        }
        Unavailable::NotReady => {
            (Reason::ServerNotReady, format!("server {server} is not ready; see kubectl describe databaseserver {server}"))
        }
        Unavailable::IdentityMismatch => {
            (Reason::ServerIdentityMismatch, format!("another server answers under the address of {server}; nothing is touched"))
        }
    }
}

/// Everything but the summary.
fn details(desired: &Desired, observed: &ObservedSchool) -> Vec<Condition> {
    let mut conditions = Vec::with_capacity(6);
    let suspended = matches!(desired, Desired::Present(school) if school.suspended);
    let (reason, message) =
        if suspended { (Reason::Suspended, "spec.state is Suspended") } else { (Reason::NotSuspended, "spec.state is Active") };
    conditions.push(Condition::new(ConditionType::Suspended, ConditionStatus::from(suspended), reason, message));
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
            [
                unknown(ConditionType::DatabaseReady, ConditionStatus::Unknown),
                unknown(ConditionType::SchemaReady, ConditionStatus::Unknown),
                unknown(ConditionType::CredentialsReady, ConditionStatus::Unknown),
                unknown(ConditionType::Available, ConditionStatus::False),
            ]
        }
        ServerObservation::Available(catalog) => {
            let school = if let Desired::Present(school) = desired { Some(school.as_ref()) } else { None };
            [
                database_ready(catalog.database),
                schema_ready(catalog.database, school),
                credentials_ready(assigned.secret, catalog.login),
                available(assigned, catalog.database, catalog.login),
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
        ObservedDatabase::Foreign => (ConditionStatus::False, Reason::OwnedByAnother, "the database of that name is not this school's"),
        ObservedDatabase::Broken => {
            (ConditionStatus::False, Reason::DatabaseMissing, "a drop of the database was interrupted; it cannot be used")
        }
    };
    Condition::new(ConditionType::DatabaseReady, status, reason, message)
}

fn schema_ready(database: ObservedDatabase, school: Option<&DesiredSchool>) -> Condition {
    let (status, reason, message) = match (database, school) {
        (ObservedDatabase::Ours { schema, .. }, Some(school)) if schema.version > school.schema => {
            (ConditionStatus::False, Reason::AheadOfOperator, "the schema is newer than this operator")
        }
        (ObservedDatabase::Ours { schema, .. }, Some(_)) if !schema.genuine => {
            (ConditionStatus::False, Reason::SchemaEdited, "migrated by other files than this operator's")
        }
        (ObservedDatabase::Ours { schema, .. }, Some(school)) if schema.version < school.schema => {
            (ConditionStatus::False, Reason::Migrating, "migrations are due and applied while the school is active")
        }
        (ObservedDatabase::Ours { .. }, _) => (ConditionStatus::True, Reason::UpToDate, "every migration is applied"),
        (ObservedDatabase::Absent | ObservedDatabase::Foreign | ObservedDatabase::Broken, _) => {
            (ConditionStatus::Unknown, Reason::Pending, "there is no database of this school")
        }
    };
    Condition::new(ConditionType::SchemaReady, status, reason, message)
}

fn credentials_ready(secret: ObservedSecret, login: ObservedLogin) -> Condition {
    let (status, reason, message) = match (secret, login) {
        (ObservedSecret::Ours(SecretContent::Current), ObservedLogin::Matching) => {
            (ConditionStatus::True, Reason::Issued, "the Secret holds the login's password")
        }
        (ObservedSecret::Foreign, _) => {
            (ConditionStatus::False, Reason::SecretConflict, "the Secret of that name does not belong to this School")
        }
        (_, ObservedLogin::Foreign) => (ConditionStatus::False, Reason::OwnedByAnother, "the login of that name is not this school's"),
        (ObservedSecret::Absent | ObservedSecret::Ours(_), _) => {
            (ConditionStatus::False, Reason::Pending, "the Secret and the login do not agree yet")
        }
    };
    Condition::new(ConditionType::CredentialsReady, status, reason, message)
}

fn available(assigned: &AssignedSchool, database: ObservedDatabase, login: ObservedLogin) -> Condition {
    let state = if let ObservedTenant::Ours { state, .. } = assigned.tenant { Some(state) } else { None };
    let open = matches!(database, ObservedDatabase::Ours { access: DatabaseAccess::Open, .. });
    let (status, reason, message) = match state {
        Some(TenantState::Active) if open && login == ObservedLogin::Matching => {
            (ConditionStatus::True, Reason::Serving, "the school's login works and requests are routed")
        }
        Some(TenantState::Suspended) => (ConditionStatus::False, Reason::Suspended, "the school is closed"),
        Some(TenantState::Active) => (ConditionStatus::False, Reason::Updating, "the school's login cannot enter its database"),
        Some(TenantState::Provisioning | TenantState::Retained | TenantState::Deleted) | None => {
            (ConditionStatus::False, Reason::Provisioning, "requests are not routed yet")
        }
    };
    Condition::new(ConditionType::Available, status, reason, message)
}
