//! From what is wanted and what is seen, the one next step. Total and deterministic; it keeps no memory, so a crash between two steps is just another
//! state it starts from.
//!
//! Must not decide by anything but its two arguments. What may be dropped, and when, is decided here and checked by [`super::action::admissible`].

use super::action::Action;
use super::seen::{
    Access, Admin, AdminSecret, Away, Binding, Bound, Content, Database, Login, OnServer, Schema, Secret, Seen, Server, Tenant, TenantState,
};
use super::wanted::{Ask, OnDelete, Wanted};
use crate::placement::Unplaced;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Take this step, then look again.
    Act(Action),
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
    Server(Away),
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
pub fn plan(wanted: &Wanted, seen: &Seen) -> Plan {
    let ended = match wanted {
        Wanted::Gone(policy) => going(*policy, seen),
        Wanted::Kept(ask) => keeping(ask, seen),
    };
    ended.err().unwrap_or(Plan::Settled)
}

fn act<T>(action: Action) -> Step<T> {
    Err(Plan::Act(action))
}

fn refuse<T>(refusal: Refusal) -> Step<T> {
    Err(Plan::Refuse(refusal))
}

fn keeping(ask: &Ask, seen: &Seen) -> Step<()> {
    if !seen.finalizer {
        return act(Action::AddFinalizer);
    }
    let bound = match &seen.binding {
        Binding::Unbound(Ok(choice)) => return act(Action::RecordNames(choice.clone())),
        Binding::Unbound(Err(unplaced)) => return Err(Plan::Wait(Waiting::Placement(unplaced.clone()))),
        Binding::Bound(bound) => bound,
    };
    let state = tenant(bound)?;
    if ask.suspended && state == TenantState::Active {
        return act(Action::SetTenant(TenantState::Suspended)); // routes stop at once, whether or not the server answers
    }
    let here = match bound.server {
        Server::Away(away) => return Err(Plan::Wait(Waiting::Server(away))),
        Server::Here(here) => here,
    };
    secret(bound)?;
    let (schema, access) = database(state, here)?;
    login(here.login)?;
    if ask.suspended {
        suspending(bound, state, access)?; // a door can be closed whatever is behind it
        known(ask, schema)
    } else {
        known(ask, schema)?;
        serving(ask, bound, schema, access)
    }
}

/// The schema is one that this operator knows, file by file.
fn known(ask: &Ask, schema: Schema) -> Step<()> {
    if schema.version > ask.schema {
        return refuse(Refusal::AheadOfOperator);
    }
    if !schema.genuine {
        return refuse(Refusal::SchemaEdited);
    }
    Ok(())
}

/// The tenant is ours and alive.
fn tenant(bound: &Bound) -> Step<TenantState> {
    match bound.tenant {
        Tenant::Absent => act(Action::ReserveTenant),
        Tenant::OfAnother => refuse(Refusal::NameConflict),
        Tenant::Ours { state: TenantState::Retained | TenantState::Deleted, .. } => refuse(Refusal::TenantRetired),
        Tenant::Ours { state, .. } => Ok(state),
    }
}

/// The Secret is ours and complete.
fn secret(bound: &Bound) -> Step<()> {
    match bound.secret {
        Secret::Absent => act(Action::WriteSecret),
        Secret::Foreign => refuse(Refusal::SecretConflict),
        Secret::Ours(Content::Unusable) => act(Action::CompleteSecret { renew: true }),
        Secret::Ours(Content::Stale) => act(Action::CompleteSecret { renew: false }),
        Secret::Ours(Content::Current) => Ok(()),
    }
}

/// The database is ours and whole. An empty one is made only for a tenant that was never served.
fn database(state: TenantState, here: OnServer) -> Step<(Schema, Access)> {
    match here.database {
        Database::Ours { schema, access } => Ok((schema, access)),
        Database::Foreign => refuse(Refusal::DatabaseConflict),
        Database::Absent if state == TenantState::Provisioning => match here.login {
            Login::Foreign => refuse(Refusal::LoginConflict),
            Login::Matching | Login::Differing => act(Action::DropLogin),
            Login::Absent if here.spare => act(Action::ClaimDatabase),
            Login::Absent => act(Action::StageDatabase),
        },
        Database::Absent | Database::Broken => refuse(Refusal::DatabaseMissing),
    }
}

/// The login is ours and has the Secret's password.
fn login(login: Login) -> Step<()> {
    match login {
        Login::Absent => act(Action::RestoreLogin),
        Login::Foreign => refuse(Refusal::LoginConflict),
        Login::Differing => act(Action::SetPassword),
        Login::Matching => Ok(()),
    }
}

/// Routes stop first, then the door closes. A suspended school is not migrated.
fn suspending(bound: &Bound, state: TenantState, access: Access) -> Step<()> {
    if state != TenantState::Suspended {
        return act(Action::SetTenant(TenantState::Suspended));
    }
    if access != Access::Closed {
        return act(Action::CloseDatabase);
    }
    if bound.tenant == (Tenant::Ours { state, current: false }) {
        return act(Action::Publish(TenantState::Suspended));
    }
    Ok(())
}

/// The door opens, the schema follows, and routes go live last.
fn serving(ask: &Ask, bound: &Bound, schema: Schema, access: Access) -> Step<()> {
    if access != Access::Open {
        return act(Action::OpenDatabase);
    }
    if schema.version < ask.schema {
        return act(Action::Migrate { from: schema.version, to: schema.version + 1 });
    }
    match bound.admin {
        Admin::Unmade(AdminSecret::Absent) => return act(Action::WriteAdminSecret),
        Admin::Unmade(AdminSecret::Foreign) => return refuse(Refusal::AdminSecretConflict),
        Admin::Unmade(AdminSecret::Ours) => return act(Action::CreateAdmin),
        Admin::EmailTaken => return refuse(Refusal::EmailTaken),
        Admin::Made => {}
    }
    if bound.tenant != (Tenant::Ours { state: TenantState::Active, current: true }) {
        return act(Action::Publish(TenantState::Active));
    }
    Ok(())
}

/// Deletion needs only recorded names and facts, never a valid spec. What is not ours is left alone; a server that is away is waited for.
fn going(policy: OnDelete, seen: &Seen) -> Step<()> {
    if !seen.finalizer {
        return Ok(());
    }
    let Binding::Bound(bound) = &seen.binding else { return act(Action::RemoveFinalizer) };
    let state = match bound.tenant {
        // We own nothing, or nothing any more.
        Tenant::Absent | Tenant::OfAnother | Tenant::Ours { state: TenantState::Deleted, .. } => return act(Action::RemoveFinalizer),
        Tenant::Ours { state, .. } => state,
    };
    if state == TenantState::Active {
        return act(Action::SetTenant(TenantState::Suspended)); // the API stops routing before anything closes
    }
    let here = match bound.server {
        Server::Away(away) => return Err(Plan::Wait(Waiting::Server(away))),
        Server::Here(here) => here,
    };
    if state == TenantState::Provisioning {
        return match here.database {
            Database::Absent => dropping(here), // it never had anything that could be retained
            _ => act(Action::SetTenant(TenantState::Suspended)),
        };
    }
    if matches!(here.database, Database::Ours { access: Access::Open | Access::Drifted, .. }) {
        return act(Action::CloseDatabase);
    }
    match policy {
        OnDelete::Retain if state == TenantState::Retained => act(Action::RemoveFinalizer),
        OnDelete::Retain => act(Action::SetTenant(TenantState::Retained)),
        OnDelete::Delete => dropping(here),
    }
}

fn dropping(here: OnServer) -> Step<()> {
    match (here.database, here.login) {
        (Database::Ours { .. } | Database::Broken, _) => act(Action::DropDatabase),
        (Database::Absent, Login::Matching | Login::Differing) => act(Action::DropLogin),
        (Database::Absent | Database::Foreign, _) => act(Action::SetTenant(TenantState::Deleted)),
    }
}
