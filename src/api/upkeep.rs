//! What is told at intervals: ages, counts, and that the process is alive.

#[cfg(test)]
mod alerts;
pub mod sizes;

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::app::App;
use crate::telemetry::health::Heartbeat;
use crate::telemetry::metrics::api as metrics;

const PERIOD: Duration = Duration::from_secs(5);

/// Tells until `stop`. A process that cannot even do this is not alive.
pub async fn run(app: App, heartbeat: Heartbeat, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        heartbeat.beat();
        app.limits.sweep();
        tell(&app);
    }
}

fn tell(app: &App) {
    metrics::registry_age(app.directory.age());
    metrics::tenants(app.directory.len());
    for server in app.pools.usage() {
        let counts = [("open", server.open), ("idle", server.idle), ("waiting", server.waiting), ("budget", server.budget)];
        for (state, count) in counts {
            metrics::server_connections(server.server.as_str(), state, count);
        }
    }
    for (tenant, usage) in app.pools.by_tenant() {
        metrics::tenant_pool_in_use(tenant, usage.open);
    }
}
