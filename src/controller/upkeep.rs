//! What must go on although nothing happens: proof that the API server still answers us, and the count of Schools for the metrics.

use std::sync::Arc;
use std::time::Duration;

use kube::api::ListParams;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::chain;
use crate::crd::School;
use crate::domain::condition::{Kind, Verdict};
use crate::domain::school::wanted::Tier;
use crate::kubernetes::within;
use crate::telemetry::metrics::{self, Census, Group};

const EVERY: Duration = Duration::from_secs(30);

/// Until `stop`.
pub(super) async fn run(context: Arc<Context>, stop: CancellationToken) {
    let census = Census::default();
    let mut ticks = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        // A list of one, not from a cache: watches can die silently, and with no object there is nothing else to hear.
        match within("listing one DatabaseServer", context.database_servers().list_metadata(&ListParams::default().limit(1))).await {
            Ok(_) => context.heartbeat.beat(),
            Err(error) => tracing::info!(error = chain(&error), "the API server does not answer"),
        }
        census.take(context.schools.state().iter().map(|school| group(school)));
        for (name, _) in context.servers.all() {
            metrics::server_schools(name.as_str(), "allocated", context.ledger.schools_on(&name));
        }
    }
}

fn group(school: &School) -> Group {
    let status = school.status.as_ref();
    let placement = status.and_then(|status| status.placement.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let tier = match placement.and_then(|placement| placement.tier) {
        Some(crate::crd::school::Tier::Premium) => Tier::Premium.label(),
        Some(crate::crd::school::Tier::Basic) => Tier::Basic.label(),
        Some(crate::crd::school::Tier::Standard) => Tier::Standard.label(),
        Some(crate::crd::school::Tier::Unknown) | None => "",
    };
    Group {
        ready: conditions.iter().any(|written| written.type_ == Kind::Ready.label() && written.status == Verdict::True.label()),
        tier,
        server: placement.and_then(|placement| placement.server_name.clone()).unwrap_or_default(),
    }
}
