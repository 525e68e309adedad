//! The operator's metrics: their names, what they mean, and the only code that records them, so that labels stay few and the same everywhere.
//!
//! No label may hold a school's name, a message or anything else that grows with use. Must not take a label from a message or a School.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::retry::Class;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusRecorder};
use telemetry::metrics::{Exposition, Kind, Metric, describe_all};

const RECONCILE_DURATION: &str = "dailycare_operator_reconcile_duration_seconds";
const RECONCILE_ERRORS: &str = "dailycare_operator_reconcile_errors_total";
const QUEUE_DEPTH: &str = "dailycare_operator_queue_depth";
const ACTIONS: &str = "dailycare_operator_actions_total";
const LEADER: &str = "dailycare_operator_leader";
const BUILD_INFO: &str = "dailycare_operator_build_info";
const SCHOOLS: &str = "dailycare_operator_schools";
const SERVER_UP: &str = "dailycare_operator_server_up";
const SERVER_SCHOOLS: &str = "dailycare_operator_server_schools";
const LOG_RECORDS_LOST: &str = "dailycare_operator_log_records_lost_total";
const REGISTRY_LISTENING: &str = "dailycare_operator_registry_listening";
const ODD_ROWS: &str = "dailycare_operator_registry_odd_rows";

/// Every metric there is.
pub const METRICS: [Metric; 12] = [
    Metric { name: RECONCILE_DURATION, kind: Kind::Histogram, labels: &["kind"], help: "How long one reconcile of one object took." },
    Metric { name: RECONCILE_ERRORS, kind: Kind::Counter, labels: &["kind", "class"], help: "Reconciles that failed, by class of error." },
    Metric { name: QUEUE_DEPTH, kind: Kind::Gauge, labels: &["kind"], help: "Objects that wait to be reconciled." },
    Metric { name: ACTIONS, kind: Kind::Counter, labels: &["action"], help: "Actions executed." },
    Metric { name: LEADER, kind: Kind::Gauge, labels: &[], help: "1 while this process leads." },
    Metric { name: BUILD_INFO, kind: Kind::Gauge, labels: &["version"], help: "Always 1; the label says which version runs." },
    Metric { name: SCHOOLS, kind: Kind::Gauge, labels: &["ready", "tier", "server"], help: "Schools." },
    Metric { name: SERVER_UP, kind: Kind::Gauge, labels: &["server"], help: "1 while the tenant server answers." },
    Metric { name: SERVER_SCHOOLS, kind: Kind::Gauge, labels: &["server", "state"], help: "Tenant databases on the server." },
    Metric {
        name: REGISTRY_LISTENING,
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while this process leads and hears of changes in the registry, 0 while it leads and does not.",
    },
    Metric { name: ODD_ROWS, kind: Kind::Gauge, labels: &[], help: "Rows of the registry that name no possible server and count nowhere." },
    Metric {
        name: LOG_RECORDS_LOST,
        kind: Kind::Counter,
        labels: &[],
        help: "Log records that were lost because what reads the log was too slow or stuck.",
    },
];

/// Seconds. A new School takes tens of milliseconds, a migration minutes.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Records metrics from now on, for the whole process. The handle renders them.
///
/// # Errors
/// When something else in the process records already.
pub fn install() -> Result<Exposition, BuildError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe();
    Ok(Exposition::from(handle).refreshed_by(|| log_records_lost(telemetry::logs::lost())))
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder())
}

fn describe() {
    describe_all(&METRICS);
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// This process, which leads, hears of changes in the registry, or does not.
pub fn registry_listening(listens: bool) {
    gauge!(REGISTRY_LISTENING).set(f64::from(u8::from(listens)));
}

/// One reconcile of an object of `kind` ended, well or not.
pub fn reconciled(kind: &'static str, took: Duration) {
    histogram!(RECONCILE_DURATION, "kind" => kind).record(took);
}

/// One reconcile of an object of `kind` failed.
pub fn reconcile_failed(kind: &'static str, class: Class) {
    counter!(RECONCILE_ERRORS, "kind" => kind, "class" => class.label()).increment(1);
}

/// One more object of `kind` waits.
pub fn enqueued(kind: &'static str) {
    gauge!(QUEUE_DEPTH, "kind" => kind).increment(1);
}

/// One object fewer of `kind` waits.
pub fn dequeued(kind: &'static str) {
    gauge!(QUEUE_DEPTH, "kind" => kind).decrement(1);
}

/// An action was executed.
pub fn executed(action: &'static str) {
    counter!(ACTIONS, "action" => action).increment(1);
}

/// Whether this process leads.
pub fn leading(yes: bool) {
    gauge!(LEADER).set(u8::from(yes));
}

/// Whether a server answers.
pub fn server_up(server: &str, yes: bool) {
    gauge!(SERVER_UP, "server" => server.to_owned()).set(u8::from(yes));
}

/// Tenant databases on a server in one state.
pub fn server_schools(server: &str, state: &'static str, count: u32) {
    gauge!(SERVER_SCHOOLS, "server" => server.to_owned(), "state" => state).set(count);
}

/// Log records that were lost since the start.
fn log_records_lost(count: u64) {
    counter!(LOG_RECORDS_LOST).absolute(count);
}

/// Rows of the registry that count nowhere.
pub fn odd_rows(count: usize) {
    gauge!(ODD_ROWS).set(u32::try_from(count).unwrap_or(u32::MAX));
}

/// Schools that have the same labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// They are ready.
    pub ready: bool,
    /// Their tier.
    pub tier: &'static str,
    /// Their server; empty before they are placed.
    pub server: String,
}

/// The count of Schools. Remembers the groups it has recorded, because a group that became empty must be recorded as 0.
#[derive(Debug, Default)]
pub struct SchoolCounts(Mutex<BTreeMap<Group, u32>>);

impl SchoolCounts {
    /// Records how many Schools there are, by group.
    pub fn record(&self, schools: impl IntoIterator<Item = Group>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.values_mut().for_each(|count| *count = 0);
        for group in schools {
            *counts.entry(group).or_default() += 1;
        }
        for (Group { ready, tier, server }, count) in &*counts {
            gauge!(SCHOOLS, "ready" => ready.to_string(), "tier" => *tier, "server" => server.clone()).set(*count);
        }
        counts.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod alerts;

#[cfg(test)]
mod tests {
    use testing::metrics::assert_exposed;

    use super::*;

    fn rendered(record: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe();
            record();
        });
        recorder.handle().render()
    }

    #[test]
    fn every_metric_of_the_table_is_recorded_with_its_labels_its_type_and_its_help() {
        let text = rendered(|| {
            reconciled("School", Duration::from_millis(3));
            reconcile_failed("School", Class::Denied);
            enqueued("School");
            executed("claim_database");
            leading(true);
            server_up("pg-1", true);
            server_schools("pg-1", "active", 7);
            log_records_lost(2);
            odd_rows(1);
            registry_listening(true);
            SchoolCounts::default().record([Group { ready: true, tier: "basic", server: "pg-1".to_owned() }]);
        });
        assert_exposed(&text, &METRICS);
    }

    #[test]
    fn a_group_that_became_empty_is_recorded_as_zero() {
        let group = |ready| Group { ready, tier: "basic", server: "pg-1".to_owned() };
        let counts = SchoolCounts::default();
        let text = rendered(|| {
            counts.record([group(false), group(false)]);
            counts.record([group(true), group(true)]);
        });
        assert!(text.contains(r#"dailycare_operator_schools{ready="false",tier="basic",server="pg-1"} 0"#), "{text}");
        assert!(text.contains(r#"dailycare_operator_schools{ready="true",tier="basic",server="pg-1"} 2"#), "{text}");
    }
}
