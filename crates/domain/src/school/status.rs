//! What to tell about a School: conditions from what was wanted, seen and planned. Pure, so that a status never says more than was seen.

use super::action::Action;
use super::plan::{Plan, Refusal, Waiting};
use super::seen::{Access, Away, Binding, Bound, Content, Database, Login, Secret, Seen, Server, Tenant, TenantState};
use super::wanted::{Ask, Wanted};
use crate::condition::{Condition, Kind, Reason, Verdict};
use crate::placement::{Cause, Unplaced};
use crate::retry::Class;

/// Something that failed in this turn, told in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How it was classified.
    pub class: Class,
    /// `MigrationFailed`, `InvalidSpec`, or `ProgressingWithRetry`.
    pub reason: Reason,
    /// What failed and what to do. No secret, no counter, no time.
    pub message: String,
}

/// Conditions after a turn that ended with `plan`. `overdue`: progress has been awaited for longer than the progress deadline.
#[must_use]
pub fn report(wanted: &Wanted, seen: &Seen, plan: &Plan, overdue: bool) -> Vec<Condition> {
    let mut conditions = summary(wanted, seen, plan, overdue);
    conditions.extend(details(wanted, seen));
    conditions
}

/// Conditions after a turn in which something failed; `known` is what was wanted and seen before it, when anything was, and `was_ready` what the
/// status says of Ready so far.
#[must_use]
pub fn report_trouble(
    deleting: bool,
    was_ready: bool,
    known: Option<(&Wanted, &Seen)>,
    trouble: &Trouble,
    overdue: bool,
) -> Vec<Condition> {
    let Trouble { reason, message, .. } = trouble;
    let blocked = matches!(reason, Reason::MigrationFailed | Reason::InvalidSpec | Reason::OwnedByAnother);
    let stalled = match (blocked, overdue) {
        (true, _) => Some(*reason),
        (false, true) => Some(Reason::ProgressDeadlineExceeded),
        (false, false) => None,
    };
    let retrying = if blocked { *reason } else { Reason::ProgressingWithRetry };
    let mut conditions = vec![
        Condition::new(Kind::Reconciling, Verdict::from(!blocked), retrying, message),
        Condition::new(Kind::Stalled, Verdict::from(stalled.is_some()), stalled.unwrap_or(Reason::ProgressingWithRetry), message),
    ];
    // A school that was served and could not be looked at for a moment is still served as far as anyone knows.
    if blocked || overdue || deleting || !was_ready {
        let reason = if deleting { Reason::Terminating } else { stalled.unwrap_or(retrying) };
        conditions.push(Condition::new(Kind::Ready, Verdict::False, reason, message));
    }
    if let Some((wanted, seen)) = known {
        conditions.extend(details(wanted, seen));
    }
    if *reason == Reason::MigrationFailed {
        conditions.retain(|condition| condition.kind != Kind::SchemaReady);
        conditions.push(Condition::new(Kind::SchemaReady, Verdict::False, Reason::MigrationFailed, message));
    }
    conditions
}

/// Ready, Reconciling, Stalled.
fn summary(wanted: &Wanted, seen: &Seen, plan: &Plan, overdue: bool) -> Vec<Condition> {
    let three = |ready: (Verdict, Reason), reconciling: (bool, Reason), stalled: (bool, Reason), message: &str| {
        vec![
            Condition::new(Kind::Ready, ready.0, ready.1, message),
            Condition::new(Kind::Reconciling, Verdict::from(reconciling.0), reconciling.1, message),
            Condition::new(Kind::Stalled, Verdict::from(stalled.0), stalled.1, message),
        ]
    };
    match plan {
        Plan::Settled => {
            let (reason, message) = settled(wanted);
            three((Verdict::True, reason), (false, reason), (false, reason), message)
        }
        Plan::Act(action) => {
            let reason = progress(wanted, seen, action);
            three((Verdict::False, reason), (true, reason), (false, reason), "work is in progress")
        }
        Plan::Refuse(refusal) => {
            let (reason, message) = refused(*refusal, wanted, seen);
            three((Verdict::False, reason), (false, reason), (true, reason), &message)
        }
        Plan::Wait(waiting) => {
            let Waited { reason, message, stalled, outage } = waited(waiting, seen);
            let stalled = stalled || overdue;
            let why_stalled = if overdue { Reason::ProgressDeadlineExceeded } else { reason };
            let ready = if matches!(wanted, Wanted::Gone(_)) { Reason::Terminating } else { reason };
            let stalled = (stalled, if stalled { why_stalled } else { reason });
            three((Verdict::False, ready), (!outage && !stalled.0 || overdue, reason), stalled, &message)
        }
    }
}

fn settled(wanted: &Wanted) -> (Reason, &'static str) {
    match wanted {
        Wanted::Kept(ask) if ask.suspended => (Reason::Suspended, "the school is closed, as its spec asks; its data is kept"),
        Wanted::Kept(_) => (Reason::Ready, "the school is served"),
        Wanted::Gone(_) => (Reason::Terminating, "nothing is left to do"),
    }
}

fn progress(wanted: &Wanted, seen: &Seen, action: &Action) -> Reason {
    let Wanted::Kept(_) = wanted else { return Reason::Terminating };
    let served =
        matches!(&seen.binding, Binding::Bound(Bound { tenant: Tenant::Ours { state, .. }, .. }) if *state != TenantState::Provisioning);
    match action {
        Action::Migrate { .. } => Reason::Migrating,
        _ if served => Reason::Updating,
        _ => Reason::Provisioning,
    }
}

fn refused(refusal: Refusal, wanted: &Wanted, seen: &Seen) -> (Reason, String) {
    let ask = if let Wanted::Kept(ask) = wanted { Some(ask) } else { None };
    let names = if let Binding::Bound(bound) = &seen.binding { Some(&bound.names) } else { None };
    let code = ask.map(|ask| ask.code.to_string()).unwrap_or_default();
    let name = |pick: fn(&super::seen::Names) -> &dyn std::fmt::Display| names.map(|names| pick(names).to_string()).unwrap_or_default();
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

fn waited(waiting: &Waiting, seen: &Seen) -> Waited {
    match waiting {
        Waiting::Placement(Unplaced { cause, message }) => Waited {
            reason: placement_reason(*cause),
            message: message.clone(),
            // The others may only be late: references may arrive before their targets.
            stalled: matches!(cause, Cause::NamespaceNotAllowed | Cause::NoCapacity),
            outage: false,
        },
        Waiting::Server(away) => {
            let (reason, message) = away_words(*away, seen);
            let served = matches!(&seen.binding, Binding::Bound(Bound { tenant: Tenant::Ours { state: TenantState::Active, .. }, .. }));
            Waited { reason, message, stalled: *away == Away::IdentityMismatch, outage: served }
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

fn away_words(away: Away, seen: &Seen) -> (Reason, String) {
    let server = if let Binding::Bound(bound) = &seen.binding { bound.names.server.as_str() } else { "" };
    match away {
        Away::NotFound => (Reason::ServerNotFound, format!("DatabaseServer {server} does not exist; create it again")),
        Away::Unreachable => {
            (Reason::DatabaseUnreachable, format!("server {server} does not answer; it is watched and work goes on as soon as it does"))
        }
        Away::NotReady => (Reason::ServerNotReady, format!("server {server} is not ready; see kubectl describe databaseserver {server}")),
        Away::IdentityMismatch => {
            (Reason::ServerIdentityMismatch, format!("another server answers under the address of {server}; nothing is touched"))
        }
    }
}

/// Everything but the summary.
fn details(wanted: &Wanted, seen: &Seen) -> Vec<Condition> {
    let mut conditions = Vec::with_capacity(6);
    let suspended = matches!(wanted, Wanted::Kept(ask) if ask.suspended);
    let (reason, message) =
        if suspended { (Reason::Suspended, "spec.state is Suspended") } else { (Reason::NotSuspended, "spec.state is Active") };
    conditions.push(Condition::new(Kind::Suspended, Verdict::from(suspended), reason, message));
    match &seen.binding {
        Binding::Unbound(Ok(_)) => {
            conditions.push(Condition::new(Kind::ServerAssigned, Verdict::False, Reason::Pending, "a server is being assigned"));
        }
        Binding::Unbound(Err(unplaced)) => {
            conditions.push(Condition::new(Kind::ServerAssigned, Verdict::False, placement_reason(unplaced.cause), &*unplaced.message));
        }
        Binding::Bound(bound) => {
            let message = format!("on server {}", bound.names.server);
            conditions.push(Condition::new(Kind::ServerAssigned, Verdict::True, Reason::Assigned, message));
            conditions.extend(on_server(wanted, seen, bound));
        }
    }
    conditions
}

fn on_server(wanted: &Wanted, seen: &Seen, bound: &Bound) -> [Condition; 4] {
    match bound.server {
        Server::Away(away) => {
            let (reason, message) = away_words(away, seen);
            let unknown = |kind, verdict| Condition::new(kind, verdict, reason, message.as_str());
            [
                unknown(Kind::DatabaseReady, Verdict::Unknown),
                unknown(Kind::SchemaReady, Verdict::Unknown),
                unknown(Kind::CredentialsReady, Verdict::Unknown),
                unknown(Kind::Available, Verdict::False),
            ]
        }
        Server::Here(here) => {
            let ask = if let Wanted::Kept(ask) = wanted { Some(ask.as_ref()) } else { None };
            [
                database_ready(here.database),
                schema_ready(here.database, ask),
                credentials_ready(bound.secret, here.login),
                available(bound, here.database, here.login),
            ]
        }
    }
}

fn database_ready(database: Database) -> Condition {
    let (verdict, reason, message) = match database {
        Database::Ours { access: Access::Drifted, .. } => {
            (Verdict::False, Reason::Updating, "rights or limits were changed and are being corrected")
        }
        Database::Ours { .. } => (Verdict::True, Reason::Created, "database, login and rights stand"),
        Database::Absent => (Verdict::False, Reason::Pending, "there is no database"),
        Database::Foreign => (Verdict::False, Reason::OwnedByAnother, "the database of that name is not this school's"),
        Database::Broken => (Verdict::False, Reason::DatabaseMissing, "a drop of the database was interrupted; it cannot be used"),
    };
    Condition::new(Kind::DatabaseReady, verdict, reason, message)
}

fn schema_ready(database: Database, ask: Option<&Ask>) -> Condition {
    let (verdict, reason, message) = match (database, ask) {
        (Database::Ours { schema, .. }, Some(ask)) if schema.version > ask.schema => {
            (Verdict::False, Reason::AheadOfOperator, "the schema is newer than this operator")
        }
        (Database::Ours { schema, .. }, Some(_)) if !schema.genuine => {
            (Verdict::False, Reason::SchemaEdited, "migrated by other files than this operator's")
        }
        (Database::Ours { schema, .. }, Some(ask)) if schema.version < ask.schema => {
            (Verdict::False, Reason::Migrating, "migrations are due and applied while the school is active")
        }
        (Database::Ours { .. }, _) => (Verdict::True, Reason::UpToDate, "every migration is applied"),
        (Database::Absent | Database::Foreign | Database::Broken, _) => {
            (Verdict::Unknown, Reason::Pending, "there is no database of this school")
        }
    };
    Condition::new(Kind::SchemaReady, verdict, reason, message)
}

fn credentials_ready(secret: Secret, login: Login) -> Condition {
    let (verdict, reason, message) = match (secret, login) {
        (Secret::Ours(Content::Current), Login::Matching) => (Verdict::True, Reason::Issued, "the Secret holds the login's password"),
        (Secret::Foreign, _) => (Verdict::False, Reason::SecretConflict, "the Secret of that name does not belong to this School"),
        (_, Login::Foreign) => (Verdict::False, Reason::OwnedByAnother, "the login of that name is not this school's"),
        (Secret::Absent | Secret::Ours(_), _) => (Verdict::False, Reason::Pending, "the Secret and the login do not agree yet"),
    };
    Condition::new(Kind::CredentialsReady, verdict, reason, message)
}

fn available(bound: &Bound, database: Database, login: Login) -> Condition {
    let state = if let Tenant::Ours { state, .. } = bound.tenant { Some(state) } else { None };
    let open = matches!(database, Database::Ours { access: Access::Open, .. });
    let (verdict, reason, message) = match state {
        Some(TenantState::Active) if open && login == Login::Matching => {
            (Verdict::True, Reason::Serving, "the school's login works and requests are routed")
        }
        Some(TenantState::Suspended) => (Verdict::False, Reason::Suspended, "the school is closed"),
        Some(TenantState::Active) => (Verdict::False, Reason::Updating, "the school's login cannot enter its database"),
        Some(TenantState::Provisioning | TenantState::Retained | TenantState::Deleted) | None => {
            (Verdict::False, Reason::Provisioning, "requests are not routed yet")
        }
    };
    Condition::new(Kind::Available, verdict, reason, message)
}
