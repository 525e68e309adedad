//! Records metrics at intervals, and that the process is alive.
//!
//! Must not wait for a database: the heartbeat would stop with it.

#[cfg(test)]
mod alerts;
pub mod database_sizes;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::names::TenantId;
use telemetry::health::Heartbeat;
use tenancy::pools::TenantUsage;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::app::App;
use crate::metrics;

const PERIOD: Duration = Duration::from_secs(5);

/// Records metrics and the heartbeat until `stop`. A process that cannot even do this is not alive.
pub async fn run(app: App, heartbeat: Heartbeat, stop: CancellationToken) {
    let (mut ticks, mut working) = (tokio::time::interval(PERIOD), Working::default());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        heartbeat.beat();
        app.limits.sweep();
        report(&app);
        working.report(&app.pools.by_tenant(), metrics::tenants::pool_in_use);
    }
}

fn report(app: &App) {
    metrics::registry::age(app.registry_cache.age());
    metrics::registry::tenants(app.registry_cache.len());
    for server in app.pools.usage() {
        let counts = [("open", server.open), ("idle", server.idle), ("waiting", server.waiting), ("budget", server.budget)];
        for (state, count) in counts {
            metrics::registry::server_connections(server.server.as_str(), state, count);
        }
    }
}

/// Schools that had connections last time: one that has none any more must be recorded with 0 once.
#[derive(Default)]
struct Working(HashSet<TenantId>);

impl Working {
    /// Records how many connections of each school are not idle.
    fn report(&mut self, usage: &HashMap<TenantId, TenantUsage>, set: impl Fn(TenantId, u32)) {
        let gone = self.0.iter().filter(|tenant| !usage.contains_key(tenant)).map(|&tenant| (tenant, 0));
        let working = usage.iter().map(|(&tenant, usage)| (tenant, usage.open.saturating_sub(usage.idle)));
        gone.chain(working).for_each(|(tenant, connections)| set(tenant, connections));
        self.0 = usage.keys().copied().collect();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn idle_connections_do_not_count_and_a_school_without_connections_is_reported_once() {
        let (mut working, reported) = (Working::default(), RefCell::new(Vec::new()));
        let mut report = |usage: &[(u128, u32, u32)]| {
            let usage = usage.iter().map(|&(tenant, open, idle)| (TenantId(Uuid::from_u128(tenant)), TenantUsage { open, idle })).collect();
            working.report(&usage, |tenant, connections| reported.borrow_mut().push((tenant.0.as_u128(), connections)));
            let mut reported = reported.take();
            reported.sort_unstable();
            reported
        };
        assert_eq!(report(&[(1, 3, 1), (2, 2, 2)]), [(1, 2), (2, 0)]);
        assert_eq!(report(&[(2, 1, 0)]), [(1, 0), (2, 1)]);
        assert_eq!(report(&[]), [(2, 0)]);
        assert_eq!(report(&[]), []);
    }
}
