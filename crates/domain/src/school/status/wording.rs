//! Reasons and messages of a School's conditions: what is wrong, and what a person can do.
//!
//! Must not decide whether a condition is true. No message may contain a secret, a counter or a time.

use crate::condition::{ConditionStatus, Reason};
use crate::placement::{Cause, Unplaced};
use crate::school::desired::Desired;
use crate::school::observed::{AssignedSchool, Assignment, Names, ObservedSchool, ObservedTenant, Unavailable};
use crate::school::plan::{Refusal, Waiting};
use crate::tenant::TenantState;

const RESET_INVALID: &str = "the annotation dailycare.io/reset-admin-password must have 1 to 63 letters, digits, dots, colons, hyphens, plus signs and \
     underscores; no password was changed";
const RESET_UNCLEAR: &str = "spec.adminUser.email is no active administrator of the school any more, and it has not exactly one other: use dailycare \
     school-admin reset-password --email, and remove the annotation dailycare.io/reset-admin-password; no password was changed";

/// The reason and message of a refusal.
pub(super) fn refused(refusal: Refusal, desired: &Desired, observed: &ObservedSchool) -> (Reason, String) {
    let school = if let Desired::Present(school) = desired { Some(school) } else { None };
    let names = if let Assignment::Assigned(assigned) = &observed.assignment { Some(&assigned.names) } else { None };
    let code = school.map(|school| school.code.to_string()).unwrap_or_default();
    let name = |pick: fn(&Names) -> &dyn std::fmt::Display| names.map(|names| pick(names).to_string()).unwrap_or_default();
    match refusal {
        Refusal::NameConflict => (
            Reason::NameConflict,
            format!(
                "another tenant holds the code {code}; a School that was deleted with Retain, or in a cluster that was rebuilt, keeps it with its data: \
                 see docs/running/rebuild.md. Otherwise delete this School and create it with another spec.code"
            ),
        ),
        Refusal::CodeTaken => (
            Reason::NameConflict,
            format!(
                "database {} on {} is closed and cannot be retained: the registry lost this School's row and another tenant holds the code; \
                 see the runbook, or set spec.deletionPolicy to Delete",
                name(|n| &n.database),
                name(|n| &n.server)
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
        Refusal::ResetInvalid => (Reason::AdminResetRefused, RESET_INVALID.to_owned()),
        Refusal::ResetUnclear => (Reason::AdminResetRefused, RESET_UNCLEAR.to_owned()),
        Refusal::DatabaseConflict | Refusal::LoginConflict => {
            let what = if refusal == Refusal::DatabaseConflict { "database" } else { "login" };
            let taken = if refusal == Refusal::DatabaseConflict { name(|n| &n.database) } else { name(|n| &n.login) };
            (Reason::OwnedByAnother, format!("{what} {taken} exists on {} without this School's ownership comment", name(|n| &n.server)))
        }
        Refusal::DatabaseMissing => (
            Reason::DatabaseMissing,
            format!(
                "database {} existed and is missing on {}; restore it, or bring the server back to the present; an empty one is never made in its place",
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

/// What is waited for, for the conditions.
pub(super) struct Waited {
    /// Why, in one word.
    pub(super) reason: Reason,
    /// Why, and what to do.
    pub(super) message: String,
    /// Only a person or a changed spec helps.
    pub(super) stalled: bool,
    /// A school that is served cannot be observed.
    pub(super) outage: bool,
    /// The school is served meanwhile, and nothing about it is in progress: no deadline counts.
    pub(super) patient: bool,
}

/// What to say of something that is waited for.
pub(super) fn waited(waiting: &Waiting, observed: &ObservedSchool) -> Waited {
    match waiting {
        Waiting::Placement(Unplaced { cause, message }) => Waited {
            reason: placement_reason(*cause),
            message: message.clone(),
            // The others may only be late: references may arrive before their targets.
            stalled: matches!(cause, Cause::NamespaceNotAllowed | Cause::NoCapacity),
            outage: false,
            patient: false,
        },
        Waiting::Server(unavailable) => {
            let (reason, message) = unavailable_message(*unavailable, observed);
            let stalled = *unavailable == Unavailable::IdentityMismatch;
            Waited { reason, message, stalled, outage: routed(observed), patient: false }
        }
        Waiting::Template => Waited {
            reason: Reason::AwaitingTemplate,
            message: template_message(observed),
            stalled: false,
            outage: false,
            patient: routed(observed),
        },
        Waiting::Secret => Waited {
            reason: Reason::ProgressingWithRetry,
            message: "a Secret of the School cannot be read".to_owned(),
            stalled: false,
            outage: false,
            patient: false,
        },
    }
}

/// What a server without a template of the operator's schema means for a School.
fn template_message(observed: &ObservedSchool) -> String {
    let server = if let Assignment::Assigned(assigned) = &observed.assignment { assigned.names.server.as_str() } else { "" };
    let meanwhile = if routed(observed) {
        "migrations wait for it, and the school is served with the schema that it has"
    } else {
        "the school's first database is copied from it"
    };
    format!("server {server} has no template of this operator's schema yet: {meanwhile}; see kubectl describe databaseserver {server}")
}

/// The API routes requests to the school's database.
pub(super) fn routed(observed: &ObservedSchool) -> bool {
    matches!(
        &observed.assignment,
        Assignment::Assigned(AssignedSchool { tenant: ObservedTenant::Ours { state: TenantState::Active, .. }, .. })
    )
}

/// The reason of a School that no server takes.
pub(super) fn placement_reason(cause: Cause) -> Reason {
    match cause {
        Cause::NotFound => Reason::ServerNotFound,
        Cause::NoMatchingTier => Reason::NoMatchingServer,
        Cause::NamespaceNotAllowed => Reason::NamespaceNotAllowed,
        Cause::NotSchedulable => Reason::ServerCordoned,
        Cause::NoCapacity => Reason::NoCapacity,
        Cause::NotReady => Reason::ServerNotReady,
    }
}

/// The reason and message of a server that cannot be queried.
pub(super) fn unavailable_message(unavailable: Unavailable, observed: &ObservedSchool) -> (Reason, String) {
    let server = if let Assignment::Assigned(assigned) = &observed.assignment { assigned.names.server.as_str() } else { "" };
    match unavailable {
        Unavailable::NotFound => (Reason::ServerNotFound, format!("DatabaseServer {server} does not exist; create it again")),
        Unavailable::Unreachable => {
            (Reason::DatabaseUnreachable, format!("server {server} does not answer; the School is reconciled as soon as it does"))
        }
        Unavailable::NotReady => {
            (Reason::ServerNotReady, format!("server {server} is not ready; see kubectl describe databaseserver {server}"))
        }
        Unavailable::IdentityMismatch => {
            (Reason::ServerIdentityMismatch, format!("another server answers under the address of {server}; nothing is touched"))
        }
        Unavailable::Unusable(reason) => {
            let outlook = match still_served(unavailable) {
                ConditionStatus::True if routed(observed) => ". The school is still served; only changes to it wait",
                ConditionStatus::Unknown if routed(observed) => {
                    ". The school's route stands, so it is served as far as its server answers; changes to it wait"
                }
                ConditionStatus::True | ConditionStatus::False | ConditionStatus::Unknown => "",
            };
            (reason, format!("{}; see kubectl describe databaseserver {server}{outlook}", unusable(reason, server)))
        }
    }
}

/// Whether a school with a route is served while its server cannot be queried, as far as that is known.
pub(super) fn still_served(unavailable: Unavailable) -> ConditionStatus {
    match unavailable {
        // Only the operator's own login is refused: the server answers.
        Unavailable::Unusable(Reason::AuthenticationFailed | Reason::InsufficientPrivilege) => ConditionStatus::True,
        // Nothing can be written there, or nobody can connect.
        Unavailable::Unreachable | Unavailable::Unusable(Reason::ServerReadOnly | Reason::TooManyConnections) => ConditionStatus::False,
        // The operator could not ask.
        Unavailable::NotFound | Unavailable::NotReady | Unavailable::IdentityMismatch | Unavailable::Unusable(_) => {
            ConditionStatus::Unknown
        }
    }
}

/// What keeps the operator from a server, by the server's own reason.
fn unusable(reason: Reason, server: &str) -> String {
    match reason {
        Reason::AuthenticationFailed => format!("server {server} refuses the operator's admin login"),
        Reason::InsufficientPrivilege => format!("the operator's admin login lacks a right on server {server}"),
        Reason::AdminSecretInvalid => format!("the admin Secret or CA Secret of server {server} is missing or lacks a key"),
        Reason::TlsFailed => format!("the operator and server {server} cannot agree on TLS"),
        Reason::ServerReadOnly => format!("server {server} accepts no writes"),
        Reason::TooManyConnections => format!("server {server} lets nobody else connect"),
        Reason::PoolerInBetween => format!("a connection pooler stands between the operator and server {server}"),
        _ => format!("server {server} cannot be used ({})", reason.label()),
    }
}
