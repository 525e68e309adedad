//! What is told at intervals: ages, counts, and that the process is alive.

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
    for (tenant, open) in app.pools.open_by_tenant() {
        metrics::tenant_pool_in_use(tenant, open);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::api::{audit, cache};
    use crate::telemetry::metrics::api as metrics;

    #[test]
    fn every_alert_has_a_page_of_the_same_form_and_asks_for_metrics_that_there_are() {
        let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook");
        let index = std::fs::read_to_string(runbook.join("README.md")).unwrap();
        let known: Vec<&str> =
            metrics::METRICS.iter().chain(&audit::metrics::METRICS).chain(&cache::metrics::METRICS).map(|metric| metric.name).collect();
        let mut pages = 0;
        for entry in std::fs::read_dir(runbook.join("api")).unwrap() {
            let path = entry.unwrap().path();
            let (alert, page) = (path.file_stem().unwrap().to_str().unwrap(), std::fs::read_to_string(&path).unwrap());
            assert!(page.starts_with(&format!("# {alert}\n")), "{alert} has another title");
            for part in ["**Alert**", "**Affected.**", "**See**", "**Do**", "**Then, by itself.**", "**Do not**"] {
                assert!(page.contains(&format!("\n{part}")), "{alert} lacks {part}");
            }
            assert!(index.contains(&format!("\n| [{alert}](api/{alert}.md) |")), "README.md does not list {alert}");
            let expression = page.split("```").nth(1).unwrap();
            let mut named = expression
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .filter(|word| word.starts_with("dailycare_"))
                .peekable();
            assert!(named.peek().is_some(), "{alert} asks for nothing");
            named.for_each(|name| assert!(known.contains(&name.trim_end_matches("_bucket")), "{alert} asks for {name}"));
            pages += 1;
        }
        assert!(pages >= 9, "{pages} pages");
    }
}
