//! The other `DatabaseServer`s that may be for the same PostgreSQL server.
//!
//! Must not decide which of them has it: [`domain::server::claimant`] does.

use domain::names::ServerName;
use domain::server::claimant::{self as claimants, Claimant};
use domain::server::identity::ServerIdentity;
use domain::server::observed::Identity;
use kube::ResourceExt as _;

use crate::controller::context::Context;
use crate::crd::DatabaseServer;
use crate::crd::server::DatabaseServerStatus;

/// The object that has the server with this identity, if that is not this object.
pub(super) fn earlier_claimant(
    ctx: &Context,
    object: &DatabaseServer,
    name: &ServerName,
    known: Identity,
    identity: &ServerIdentity,
) -> Option<ServerName> {
    let recorded = match known {
        Identity::Unmarked | Identity::Unrecorded => false,
        Identity::Same => true,
        // It is for the server that it has recorded.
        Identity::Other => return None,
    };
    let own = Claimant { name: name.clone(), created: created(object), recorded };
    let objects = ctx.server_objects.state();
    claimants::earlier_claimant(&own, objects.iter().filter_map(|other| claimant(ctx, other, identity)))
}

/// An object that has recorded the identity, or has recorded none and was answered by this server.
fn claimant(ctx: &Context, object: &DatabaseServer, identity: &ServerIdentity) -> Option<Claimant> {
    let name = ServerName::parse(&object.name_any()).ok()?;
    let recorded = object.status.as_ref().map(DatabaseServerStatus::identity).unwrap_or_default();
    let answered = ctx.servers.get(&name).map(|state| state.identity).unwrap_or_default();
    // What the recorded server told since counts as well: its marker may be newer than the status.
    let known = match ServerIdentity::compare(&recorded, &answered) {
        Some(Identity::Same | Identity::Unrecorded) => recorded.completed_by(&answered),
        Some(Identity::Unmarked | Identity::Other) | None => recorded.clone(),
    };
    known.is_of_the_same_server(identity).then(|| Claimant { name, created: created(object), recorded: !recorded.is_empty() })
}

fn created(object: &DatabaseServer) -> i64 {
    object.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |created| created.0.as_second())
}
