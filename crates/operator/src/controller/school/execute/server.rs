//! Actions on the tenant server: the school's database and login.
//!
//! Must not touch anything whose ownership comment is not this School's: the statements compare it under a lock. Data is destroyed only after a fresh read of
//! the School.

use domain::condition::Reason;
use domain::school::action::ServerAction;
use domain::school::desired::{DeletionPolicy, Desired};
use domain::server::PasswordForm;
use kube::{Resource as _, ResourceExt as _};
use provisioning::server::claim::{Claim, Claimed, claim};
use provisioning::server::password::SentPassword;
use provisioning::server::{access, drop, migrate, stage};

use super::{assigned, desired};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::school::observe::{AssignedObservation, Observation, record_proof};
use crate::controller::server_connection::ServerConnection;
use crate::crd::convert;
use crate::kubernetes::events::{Notice, Severity};
use crate::kubernetes::object;

pub(super) async fn execute(ctx: &Context, observation: &Observation, action: ServerAction) -> Result<()> {
    let (assigned, owner) = (assigned(observation)?, observation.owner);
    let connection = assigned.connection().ok_or(Error::Overtaken("the server"))?;
    let (objects, pool) = (assigned.objects(owner), connection.pool());
    match action {
        ServerAction::StageDatabase => {
            stage::stage(pool, ctx.migrations.digest()).await?;
        }
        ServerAction::ClaimDatabase => claim_database(ctx, observation, assigned, connection).await?,
        ServerAction::RestoreLogin => access::restore_login(pool, &objects, owner.school).await?,
        ServerAction::SetPassword => {
            let password = assigned.password().ok_or(Error::Overtaken("the Secret"))?;
            let fingerprint = ctx.keyring.fingerprint(owner.id, &password)?;
            let sent = SentPassword::new(&password, form_of_passwords(assigned)?);
            access::set_password(pool, &objects, owner.school, &sent, &fingerprint).await?;
            record_proof(ctx, &observation.school, owner, &password);
            if assigned.is_published(ctx, owner, &password) {
                report_changed_password(ctx, observation);
            }
        }
        ServerAction::Migrate { from, .. } => {
            let migration = ctx.migrations.next_after(from).ok_or(Error::Overtaken("the schema"))?;
            let migrator =
                assigned.server_state.as_ref().and_then(|state| state.migrator.as_ref()).ok_or(Error::Overtaken("the server"))?;
            migrate::migrate(&connection.endpoint, migrator, &objects, &ctx.migrations, migration).await?;
        }
        ServerAction::EnsureAccess => access::open(pool, &objects, desired(observation)?.connection_limit).await?,
        ServerAction::CloseDatabase => access::close(pool, &objects).await?,
        ServerAction::DropDatabase => {
            still_to_be_dropped(ctx, observation).await?;
            drop::drop_database(pool, &objects).await?;
        }
        ServerAction::DropLogin => drop::drop_login(pool, &objects).await?,
    }
    Ok(())
}

/// How the server takes passwords.
fn form_of_passwords(assigned: &AssignedObservation) -> Result<PasswordForm> {
    Ok(assigned.server_state.as_ref().ok_or(Error::Overtaken("the server"))?.desired.passwords)
}

/// The password in the Secret was in use already, so somebody changed the login's in PostgreSQL.
fn report_changed_password(ctx: &Context, observation: &Observation) {
    let note = "the login's password was no longer the one in the Secret: somebody changed it in PostgreSQL; it was set again".to_owned();
    let notice = Notice { severity: Severity::Warning, reason: Reason::PasswordRestored.label(), action: "SetPassword", note };
    ctx.recorder.publish(&observation.school.object_ref(&()), &notice);
}

/// The API server says at this moment: the same School, still being deleted, still with the policy Delete.
async fn still_to_be_dropped(ctx: &Context, observation: &Observation) -> Result<()> {
    let school = &observation.school;
    let api = ctx.schools_in(&school.namespace().unwrap_or_default());
    let now = object::fresh(&api, &school.name_any(), &school.uid().unwrap_or_default()).await?;
    let now = now.ok_or(Error::Overtaken("the School"))?;
    match convert::desired(&now, ctx.migrations.target())? {
        Desired::Deleted(DeletionPolicy::Delete) => Ok(()),
        Desired::Deleted(DeletionPolicy::Retain) | Desired::Present(_) => Err(Error::Overtaken("the School")),
    }
}

async fn claim_database(
    ctx: &Context,
    observation: &Observation,
    assigned: &AssignedObservation,
    connection: &ServerConnection,
) -> Result<()> {
    let (owner, password) = (observation.owner, assigned.password().ok_or(Error::Overtaken("the Secret"))?);
    let request = Claim {
        objects: &assigned.objects(owner),
        school: owner.school,
        schema: ctx.migrations.target(),
        digest: ctx.migrations.digest(),
        password: &SentPassword::new(&password, form_of_passwords(assigned)?),
        fingerprint: &ctx.keyring.fingerprint(owner.id, &password)?,
        connection_limit: desired(observation)?.connection_limit,
    };
    match claim(connection.pool(), &request).await? {
        Claimed::Now => {
            record_proof(ctx, &observation.school, owner, &password);
            Ok(())
        }
        // When another School took the spare, or a response was lost, the next observation shows it.
        Claimed::NoSpare | Claimed::AlreadyThere => Ok(()),
    }
}
