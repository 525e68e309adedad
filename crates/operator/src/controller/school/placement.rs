//! Choosing where a School without recorded names goes. Takes a place in the ledger, so that Schools placed at the same moment see each other.

use std::collections::BTreeMap;

use domain::condition::Reason;
use domain::names::ServerName;
use domain::placement::{Candidate, Cause, Placement, Unplaced};
use domain::school::desired::{Desired, DesiredSchool};
use domain::server::AllowedNamespaces;
use kube::ResourceExt as _;
use provisioning::master::{TenantRef, tenants};

use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::crd::{School, convert};
use crate::kubernetes::cluster::namespace_labels;

/// Where the School goes, or why nowhere. A tenant that the registry knows already, because a status was lost, goes where it is.
///
/// # Errors
/// When the registry or the API server does not answer.
pub(super) async fn choose(ctx: &Context, school: &School, wanted: &Desired, owner: TenantRef) -> Result<Result<Placement, Unplaced>> {
    let Desired::Present(ask) = wanted else {
        return Ok(Err(Unplaced { cause: Cause::NotFound, message: "the School is being deleted and was never placed".to_owned() }));
    };
    if let Some(server) = registered(ctx, owner).await? {
        ctx.reservations.record(owner.id, server.clone());
        return Ok(Ok(Placement { server, tier: ask.placement.tier, reason: "the registry knows this tenant there".to_owned() }));
    }
    ctx.reservations_loaded.wait().await;
    let candidates = candidates(ctx, school, ask).await?;
    Ok(ctx.reservations.reserve(owner.id, &ask.placement, &candidates))
}

/// Once every School has been listed, and before the first placement: those that were bound when the operator last stopped, and that the registry does
/// not know yet, have their places too.
pub(in crate::controller) fn load_reservations(ctx: &Context) {
    for school in ctx.schools.state() {
        let conditions = school.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let lost = conditions.iter().any(|written| written.reason == Reason::NameConflict.label());
        if let (Ok(Some(names)), false) = (convert::names(school.status.as_ref()), lost) {
            ctx.reservations.record(names.tenant, names.server);
        }
    }
    // A later listing finds it set.
    let _ = ctx.reservations_loaded.set(());
}

async fn registered(ctx: &Context, owner: TenantRef) -> Result<Option<ServerName>> {
    let observed = tenants::observe(&ctx.registry, owner.id, None, None).await?;
    Ok(observed.row.filter(|row| row.is_of(owner)).and_then(|row| row.server))
}

async fn candidates(ctx: &Context, school: &School, ask: &DesiredSchool) -> Result<Vec<Candidate>> {
    let servers = ctx.servers.all();
    let selective = servers.iter().any(|(_, known)| known.desired.allowed != AllowedNamespaces::All);
    let namespace = school.namespace().unwrap_or_default();
    let labels = if selective { namespace_labels(&ctx.client, &namespace).await?.unwrap_or_default() } else { BTreeMap::default() };
    let wanted = ask.placement.server.as_ref();
    let candidates = servers.into_iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name)).map(|(name, known)| Candidate {
        name,
        namespace_allowed: known.desired.allowed.allows(&labels),
        tiers: known.desired.tiers,
        schedulable: known.desired.schedulable,
        ready: known.fitness.is_ok() && known.template,
        schools: 0,
        capacity: known.desired.max_schools,
    });
    Ok(candidates.collect())
}
