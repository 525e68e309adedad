//! The operator's metrics: their names, what they mean, and the only code that records them, so that labels stay few and the same everywhere.
//!
//! No label may hold a school's name, a message or anything else that grows with use.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::retry::Class;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use telemetry::metrics::{Kind, Metric, describe_all};

const RECONCILE_DURATION: &str = "school_operator_reconcile_duration_seconds";
const RECONCILE_ERRORS: &str = "school_operator_reconcile_errors_total";
const QUEUE_DEPTH: &str = "school_operator_queue_depth";
const EFFECTS: &str = "school_operator_effects_total";
const LEADER: &str = "school_operator_leader";
const BUILD_INFO: &str = "school_operator_build_info";
const SCHOOLS: &str = "schools";
const SERVER_UP: &str = "database_server_up";
const SERVER_SCHOOLS: &str = "database_server_schools";

/// Every metric there is.
pub const METRICS: [Metric; 9] = [
    Metric { name: RECONCILE_DURATION, kind: Kind::Histogram, labels: &["kind"], help: "How long one reconcile of one object took." },
    Metric { name: RECONCILE_ERRORS, kind: Kind::Counter, labels: &["kind", "reason"], help: "Reconciles that failed, by class of error." },
    Metric { name: QUEUE_DEPTH, kind: Kind::Gauge, labels: &["kind"], help: "Objects that wait to be reconciled." },
    Metric { name: EFFECTS, kind: Kind::Counter, labels: &["effect"], help: "Effects carried out, by name of the action." },
    Metric { name: LEADER, kind: Kind::Gauge, labels: &[], help: "1 while this process leads." },
    Metric { name: BUILD_INFO, kind: Kind::Gauge, labels: &["version"], help: "Always 1; its labels tell what runs." },
    Metric { name: SCHOOLS, kind: Kind::Gauge, labels: &["ready", "tier", "server"], help: "Schools." },
    Metric { name: SERVER_UP, kind: Kind::Gauge, labels: &["server"], help: "1 while the database server answers." },
    Metric { name: SERVER_SCHOOLS, kind: Kind::Gauge, labels: &["server", "state"], help: "Tenant databases on the server." },
];

/// Seconds; a School from nothing takes tens of milliseconds, a migration minutes.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Records metrics from now on, for the whole process. The handle renders them.
///
/// # Errors
/// When something else in the process records already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe();
    Ok(handle)
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder())
}

fn describe() {
    describe_all(&METRICS);
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// One reconcile of an object of `kind` ended, well or not.
pub fn reconciled(kind: &'static str, took: Duration) {
    histogram!(RECONCILE_DURATION, "kind" => kind).record(took);
}

/// One reconcile of an object of `kind` failed.
pub fn reconcile_failed(kind: &'static str, class: Class) {
    counter!(RECONCILE_ERRORS, "kind" => kind, "reason" => class.label()).increment(1);
}

/// One more object of `kind` waits.
pub fn enqueued(kind: &'static str) {
    gauge!(QUEUE_DEPTH, "kind" => kind).increment(1);
}

/// One of them waits no longer.
pub fn dequeued(kind: &'static str) {
    gauge!(QUEUE_DEPTH, "kind" => kind).decrement(1);
}

/// An effect was carried out.
pub fn effect(name: &'static str) {
    counter!(EFFECTS, "effect" => name).increment(1);
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

/// The count of Schools, which remembers what it said, because a group that nobody is left in must be told to be empty.
#[derive(Debug, Default)]
pub struct Census(Mutex<BTreeMap<Group, u32>>);

impl Census {
    /// Says how many Schools there are, by group.
    pub fn take(&self, schools: impl IntoIterator<Item = Group>) {
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
            effect("ClaimDatabase");
            leading(true);
            server_up("pg-1", true);
            server_schools("pg-1", "active", 7);
            Census::default().take([Group { ready: true, tier: "basic", server: "pg-1".to_owned() }]);
        });
        assert_exposed(&text, &METRICS);
    }

    #[test]
    fn a_group_that_nobody_is_left_in_is_told_to_be_empty() {
        let group = |ready| Group { ready, tier: "basic", server: "pg-1".to_owned() };
        let census = Census::default();
        let text = rendered(|| {
            census.take([group(false), group(false)]);
            census.take([group(true), group(true)]);
        });
        assert!(text.contains(r#"schools{ready="false",tier="basic",server="pg-1"} 0"#), "{text}");
        assert!(text.contains(r#"schools{ready="true",tier="basic",server="pg-1"} 2"#), "{text}");
    }
}
