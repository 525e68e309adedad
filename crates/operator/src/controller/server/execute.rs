//! Executing an action on a server. The server is observed again afterwards.
//!
//! Must not touch what exists already without our ownership comment: the statements check it.

use domain::server::action::{Action, ObjectAction, ServerAction};
use kube::Resource as _;
use provisioning::server::session_guard::SessionGuard;
use provisioning::server::{MONITOR, marker, prepare, template};

use super::observe::{Contact, Observation};
use super::{FINALIZER, status};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::crd::DatabaseServer;
use crate::kubernetes::events::{Notice, Severity};
use crate::kubernetes::object;

pub(super) async fn execute(ctx: &Context, observation: &mut Observation, action: Action) -> Result<()> {
    match action {
        Action::Object(action) => on_object(ctx, observation, action).await,
        Action::Server(action) => {
            let contact = observation.contact.as_ref().map_err(|_| Error::Overtaken("the server"))?;
            on_server(ctx, observation, contact, action).await
        }
    }
}

async fn on_object(ctx: &Context, observation: &mut Observation, action: ObjectAction) -> Result<()> {
    let api = ctx.database_servers();
    match action {
        ObjectAction::AddFinalizer => observation.object = object::add_finalizer(&api, &observation.object, FINALIZER).await?,
        ObjectAction::RecordIdentity => {
            let status = status::with_identity(observation)?;
            if let Some(object) = object::patch_status(&api, &observation.object, &status).await? {
                observation.object = object;
            }
        }
        ObjectAction::RemoveFinalizer => {
            // Schools whose names are recorded and that the registry does not know yet are on this server too.
            ctx.reservations_loaded.wait().await;
            // From here on no School is placed there, whatever it observed before.
            if !ctx.reservations.close(&observation.name) {
                return Err(Error::Overtaken("the schools on the server"));
            }
            match object::remove_finalizer(&api, &observation.object, FINALIZER).await? {
                Some(object) => observation.object = object,
                None => observation.object.metadata.finalizers = None,
            }
        }
    }
    Ok(())
}

async fn on_server(ctx: &Context, observation: &Observation, contact: &Contact, action: ServerAction) -> Result<()> {
    let connection = &contact.connection;
    match action {
        ServerAction::WriteMarker => marker::write(connection.pool()).await?,
        ServerAction::PrepareRoles => {
            let fingerprint = ctx.keyring.migrator_fingerprint(ctx.cluster, &contact.migrator.password)?;
            let form = observation.desired.as_ref().ok_or(Error::Overtaken("the server"))?.passwords;
            let password = &contact.migrator.password;
            let desired = prepare::DesiredRoles { cluster: ctx.cluster, password, fingerprint: &fingerprint };
            prepare::prepare_roles(connection.pool(), &desired, form).await?;
        }
        ServerAction::CloseMaintenance => {
            let mut conn = session(contact).await?;
            let closing = prepare::close_maintenance_databases(&mut conn).await?;
            conn.release();
            report_closed(ctx, &observation.object, &closing.closed);
        }
        ServerAction::BuildTemplate => {
            template::build(connection.pool(), &connection.endpoint, &contact.migrator, &ctx.migrations).await?;
        }
        ServerAction::DropStale => template::drop_stale(connection.pool(), ctx.migrations.digest()).await?,
    }
    Ok(())
}

/// Monitoring and backup roles may have been let in as everybody was, and must hear why they are not any more.
fn report_closed(ctx: &Context, object: &DatabaseServer, closed: &[String]) {
    if !closed.is_empty() {
        let note = format!(
            "every login could connect to {}; now only members of {MONITOR} can, and roles that have CONNECT there. Grant {MONITOR} to monitoring and backup roles",
            closed.join(", ")
        );
        let notice = Notice { severity: Severity::Normal, reason: "MaintenanceClosed", action: "CloseMaintenance", note };
        ctx.recorder.publish(&object.object_ref(&()), &notice);
    }
}

async fn session(contact: &Contact) -> Result<SessionGuard> {
    Ok(SessionGuard::acquire(contact.connection.pool(), "connecting to the server").await.map_err(provisioning::server::Error::from)?)
}
