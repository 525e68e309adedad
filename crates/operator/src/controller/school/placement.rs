//! Choosing a server for a School without recorded names, and the places that Schools have reserved.
//!
//! Observing reads only. [`reserve`] is the one step of a reconcile that reserves a place, so that Schools that are placed at the same moment count each
//! other.

use std::collections::BTreeMap;

use domain::condition::Reason;
use domain::names::{ServerName, TenantId};
use domain::placement::{Candidate, Cause, Placement, Unplaced};
use domain::school::desired::{Desired, DesiredSchool};
use domain::server::AllowedNamespaces;
use kube::ResourceExt as _;
use provisioning::master::{TenantRef, tenants};

use super::observe::{Assignment, Observation};
use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::crd::{School, convert};
use crate::kubernetes::cluster::namespace_labels;

/// Where a School without recorded names may go.
pub struct UnassignedObservation {
    options: Options,
    /// Where it would go with the present reservations; once reserved, where it goes.
    pub placement: Result<Placement, Unplaced>,
}

/// What there is to choose from.
enum Options {
    /// Nothing: the School is being deleted.
    Deleted,
    /// The server that the registry has for this tenant, because a status was lost.
    Registered(ServerName),
    /// These servers.
    Candidates(Vec<Candidate>),
}

/// Observes where the School may go.
///
/// # Errors
/// When the registry or the API server does not answer.
pub(super) async fn observe(ctx: &Context, school: &School, desired: &Desired, owner: TenantRef) -> Result<UnassignedObservation> {
    let options = match desired {
        Desired::Deleted(_) => Options::Deleted,
        Desired::Present(desired) => {
            if let Some(server) = registered(ctx, owner).await? {
                Options::Registered(server)
            } else {
                ctx.reservations_loaded.wait().await;
                Options::Candidates(candidates(ctx, school, desired).await?)
            }
        }
    };
    let placement = options.placement(desired, |school, candidates| ctx.reservations.preview(owner.id, &school.placement, candidates));
    Ok(UnassignedObservation { options, placement })
}

/// Reserves the School's place: the best one for a School without names, its own for one with names.
pub(super) fn reserve(ctx: &Context, observation: &mut Observation) {
    let Observation { desired, owner, assignment, .. } = observation;
    let tenant = owner.id;
    match assignment {
        Assignment::Unassigned(UnassignedObservation { options, placement }) => {
            if let Options::Registered(server) = options {
                ctx.reservations.record(tenant, server.clone());
            }
            *placement = options.placement(desired, |school, candidates| ctx.reservations.reserve(tenant, &school.placement, candidates));
        }
        Assignment::Assigned(assigned) => {
            if assigned.takes_a_place(desired, *owner) {
                ctx.reservations.record(tenant, assigned.names.server.clone());
            }
        }
    }
}

/// Releases a tenant's place, and has the Schools that wait for one reconciled again.
pub(super) fn release(ctx: &Context, tenant: TenantId) {
    if ctx.reservations.release(tenant) {
        ctx.requeue.all_waiting();
    }
}

/// Loads the places of Schools whose names are recorded, which the registry may not know yet. Once every School has been listed, and before the first
/// placement.
pub(super) fn load_reservations(ctx: &Context) {
    for school in ctx.schools.state() {
        let conditions = school.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let conflict = conditions.iter().any(|written| written.reason == Reason::NameConflict.label());
        if let (Ok(Some(names)), false) = (convert::names(school.status.as_ref()), conflict) {
            ctx.reservations.record(names.tenant, names.server);
        }
    }
    // A later listing finds it set.
    let _ = ctx.reservations_loaded.set(());
}

impl Options {
    fn placement(
        &self,
        desired: &Desired,
        choose: impl FnOnce(&DesiredSchool, &[Candidate]) -> Result<Placement, Unplaced>,
    ) -> Result<Placement, Unplaced> {
        match (self, desired) {
            (Self::Registered(server), Desired::Present(school)) => {
                let reason = "the registry has this tenant on that server".to_owned();
                Ok(Placement { server: server.clone(), tier: school.placement.tier, reason })
            }
            (Self::Candidates(candidates), Desired::Present(school)) => choose(school, candidates),
            (Self::Deleted, _) | (_, Desired::Deleted(_)) => {
                Err(Unplaced { cause: Cause::NotFound, message: "the School is being deleted and was never placed".to_owned() })
            }
        }
    }
}

async fn registered(ctx: &Context, owner: TenantRef) -> Result<Option<ServerName>> {
    let observed = tenants::observe(&ctx.registry, owner.id, None, None).await?;
    Ok(observed.row.filter(|row| row.is_of(owner)).and_then(|row| row.server))
}

async fn candidates(ctx: &Context, school: &School, desired: &DesiredSchool) -> Result<Vec<Candidate>> {
    let servers = ctx.servers.all();
    let selective = servers.iter().any(|(_, state)| state.desired.allowed != AllowedNamespaces::All);
    let namespace = school.namespace().unwrap_or_default();
    let labels = if selective { namespace_labels(&ctx.client, &namespace).await?.unwrap_or_default() } else { BTreeMap::default() };
    let requested = desired.placement.server.as_ref();
    let candidates =
        servers.into_iter().filter(|(name, _)| requested.is_none_or(|requested| requested == name)).map(|(name, state)| Candidate {
            name,
            namespace_allowed: state.desired.allowed.allows(&labels),
            tiers: state.desired.tiers,
            schedulable: state.desired.schedulable,
            ready: state.fitness.is_ok() && state.template,
            schools: 0,
            capacity: state.desired.max_schools,
        });
    Ok(candidates.collect())
}
