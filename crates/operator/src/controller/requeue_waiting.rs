//! Has Schools that wait reconciled again when something happened that some of them wait for.
//!
//! Must choose a bounded number of them: see [`super::waiting`].

use domain::names::{ServerName, TenantId};
use domain::placement::PlacementRequest;

use super::context::Context;
use super::waiting::{AT_ONCE, Awaited};

/// Something of this server changed, or `places` of its places are free: Schools that may go there are reconciled, some more than there are places.
pub(super) fn for_places(ctx: &Context, server: &ServerName, places: usize) {
    let may_go = |awaited: &Awaited| awaited.request().is_some_and(|request| request.server.as_ref().is_none_or(|named| named == server));
    requeue(ctx, places.saturating_add(AT_ONCE), may_go);
}

/// A place on this server is free, or may be: some Schools that it fits are reconciled.
pub(super) fn for_a_place(ctx: &Context, server: &ServerName) {
    let Some(state) = ctx.servers.get(server).filter(|state| state.desired.schedulable) else { return };
    let fits = |request: &PlacementRequest| {
        request.server.as_ref().is_none_or(|named| named == server) && state.desired.tiers.contains(&request.tier)
    };
    requeue(ctx, AT_ONCE, |awaited| awaited.request().is_some_and(fits));
}

/// A tenant's row changed, or its School is gone: Schools that wait for that are reconciled.
pub(super) fn for_tenant(ctx: &Context, tenant: TenantId) {
    requeue(ctx, AT_ONCE, |awaited| *awaited == Awaited::Tenant(tenant));
}

fn requeue(ctx: &Context, most: usize, concerned: impl Fn(&Awaited) -> bool) {
    for school in ctx.waiting.first(most, concerned) {
        ctx.requeue.one(school);
    }
}
