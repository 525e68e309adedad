//! The other `DatabaseServer`s that may be for the same PostgreSQL server.
//!
//! Must not decide which of them has it: [`domain::server::holder`] does.

use domain::names::ServerName;
use domain::server::holder::{self, Claimant};
use domain::server::observed::Identity;
use kube::ResourceExt as _;

use crate::controller::context::Context;
use crate::crd::DatabaseServer;

/// The object that has the server with this identifier, if that is not this object.
pub(super) fn other_holder(
    ctx: &Context,
    object: &DatabaseServer,
    name: &ServerName,
    known: Identity,
    identifier: &str,
) -> Option<ServerName> {
    let recorded = match known {
        Identity::Unrecorded => false,
        Identity::Same => true,
        // It is for the server that it has recorded.
        Identity::Other => return None,
    };
    let own = Claimant { name: name.clone(), created: created(object), recorded };
    let objects = ctx.server_objects.state();
    holder::other_holder(&own, objects.iter().filter_map(|other| claimant(ctx, other, identifier)))
}

/// An object that has recorded the identifier, or has recorded none and was answered by this server.
fn claimant(ctx: &Context, object: &DatabaseServer, identifier: &str) -> Option<Claimant> {
    let name = ServerName::parse(&object.name_any()).ok()?;
    let recorded = object.status.as_ref().and_then(|status| status.system_identifier.as_deref());
    let answered = ctx.servers.get(&name).and_then(|state| state.identifier);
    let claimed = recorded.or(answered.as_deref())? == identifier;
    claimed.then(|| Claimant { name, created: created(object), recorded: recorded.is_some() })
}

fn created(object: &DatabaseServer) -> i64 {
    object.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |created| created.0.as_second())
}
