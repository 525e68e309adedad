//! Follows the master database: Schools that wait for a tenant's row are reconciled when it changes, and a School whose login the API was refused at once.
//!
//! Must not decide anything from what it hears: a reconcile reads everything itself.

use std::convert::Infallible;
use std::sync::Arc;

use domain::names::TenantId;
use domain::retry;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use provisioning::master::changes::{Changes, Heard};
use telemetry::logs::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::requeue_waiting;
use crate::metrics;

/// Runs until `stop`.
pub(super) async fn follow(ctx: Arc<Context>, stop: CancellationToken) {
    let mut failures = 0_u32;
    metrics::registry_listening(false);
    while let Some(ended) = stop.run_until_cancelled(session(&ctx, &mut failures)).await {
        let Err(error) = ended;
        metrics::registry_listening(false);
        failures = failures.saturating_add(1);
        let wait = retry::wait(error.class(), failures, 0);
        tracing::info!(error = chain(&error), retry_in = ?wait, "the registry is not listened to");
        stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

/// Counts failures in a row anew once it listens.
async fn session(ctx: &Context, failures: &mut u32) -> postgres::Result<Infallible> {
    let mut changes = Changes::listen(&ctx.registry).await?;
    *failures = 0;
    metrics::registry_listening(true);
    loop {
        match changes.next().await? {
            Heard::Changed(tenant) => requeue_waiting::for_tenant(ctx, tenant),
            Heard::Refused(tenant) => doubt(ctx, tenant),
        }
    }
}

/// The login's password is not believed any more. Whoever sends this over and over must not have a School reconciled over and over.
fn doubt(ctx: &Context, tenant: TenantId) {
    let id = tenant.to_string();
    let schools = ctx.schools.state();
    let mut of_tenant =
        schools.iter().filter(|school| school.status.as_ref().and_then(|status| status.tenant_id.as_deref()) == Some(id.as_str()));
    if let Some(school) = of_tenant.next()
        && ctx.proven_logins.doubt(&school.uid().unwrap_or_default(), Instant::now())
    {
        tracing::info!(name = school.name_any(), namespace = school.namespace(), "the API says that the school's login is refused");
        ctx.requeue.one(ObjectRef::from_obj(&**school));
    }
}
