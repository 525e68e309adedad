//! The places that Schools have reserved on servers.
//!
//! Observing reserves nothing. [`reserve`] is the one step of a reconcile that does, so that Schools that are placed at the same moment count each other.
//! Must not choose a server: `domain::placement` does.

use domain::condition::Reason;
use domain::names::TenantId;

use super::observe::{Assignment, Observation};
use crate::controller::context::Context;
use crate::controller::requeue_waiting;
use crate::crd::{School, convert};

/// Reserves the School's place: the best one for a School without names, its own for one with names.
pub(super) fn reserve(ctx: &Context, observation: &mut Observation) {
    let Observation { desired, owner, assignment, .. } = observation;
    let tenant = owner.id;
    match assignment {
        Assignment::Unassigned(unassigned) => {
            if let Some(server) = unassigned.registered() {
                ctx.reservations.record(tenant, server.clone());
            }
            unassigned.choose_again(desired, |school, candidates| ctx.reservations.reserve(tenant, &school.placement, candidates));
        }
        Assignment::Assigned(assigned) => {
            if assigned.takes_a_place(desired, *owner) {
                ctx.reservations.record(tenant, assigned.names.server.clone());
            }
        }
    }
}

/// Releases a tenant's place, and has some of the Schools that wait for one reconciled again.
pub(super) fn release(ctx: &Context, tenant: TenantId) {
    if let Some(server) = ctx.reservations.release(tenant) {
        requeue_waiting::for_a_place(ctx, &server);
    }
}

/// Loads the places of Schools whose names are recorded, which the registry may not know yet. Once every School has been listed, and before the first
/// placement.
pub(in crate::controller) fn load_reservations<'a>(ctx: &Context, schools: impl IntoIterator<Item = &'a School>) {
    for school in schools {
        let conditions = school.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let conflict = conditions.iter().any(|written| written.reason == Reason::NameConflict.label());
        if let (Ok(Some(names)), false) = (convert::names(school.status.as_ref()), conflict) {
            ctx.reservations.record(names.tenant, names.server);
        }
    }
    // A later listing finds it set.
    let _ = ctx.reservations_loaded.set(());
}
