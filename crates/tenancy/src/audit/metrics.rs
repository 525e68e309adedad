//! The metrics of the audit.
//!
//! Must not have a tenant in a label.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use telemetry::metrics::{Kind, Metric, describe_all};

const QUEUE: &str = "dailycare_api_audit_queue";
const WRITTEN: &str = "dailycare_api_audit_written_total";
const DROPPED: &str = "dailycare_api_audit_dropped_total";
const UNRECORDED: &str = "dailycare_api_audit_unrecorded_total";
const BATCH_DURATION: &str = "dailycare_api_audit_batch_duration_seconds";

/// The audit's metrics.
pub const METRICS: [Metric; 5] = [
    Metric { name: QUEUE, kind: Kind::Gauge, labels: &[], help: "Audit records that wait to be written." },
    Metric { name: WRITTEN, kind: Kind::Counter, labels: &["sink"], help: "Audit records written from the queue: school or platform." },
    Metric {
        name: DROPPED,
        kind: Kind::Counter,
        labels: &["cause"],
        help: "Audit records lost: full (the queue), refused (by the database), stopped (the process ended first).",
    },
    Metric {
        name: UNRECORDED,
        kind: Kind::Counter,
        labels: &["cause"],
        help: "Refusals that were not recorded, being too many: of one address, of all addresses (process), of one user, of one school, or, if they belong to no school, while half the queue waits.",
    },
    Metric { name: BATCH_DURATION, kind: Kind::Histogram, labels: &["sink"], help: "How long writing one batch took, well or not." },
];

/// Why a record was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Full,
    Refused,
    Stopped,
}

/// Why a refusal was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrecorded {
    Address,
    Process,
    User,
    School,
    Queue,
}

/// Registers the metrics' descriptions with the installed recorder.
pub fn describe() {
    describe_all(&METRICS);
}

pub(super) fn queued(records: usize) {
    // Far below 2^52, where the conversion would begin to round.
    gauge!(QUEUE).set(u32::try_from(records).unwrap_or(u32::MAX));
}

pub(super) fn written(destination: &'static str, records: u64) {
    counter!(WRITTEN, "sink" => destination).increment(records);
}

pub(super) fn dropped(cause: Cause, records: u64) {
    let cause = match cause {
        Cause::Full => "full",
        Cause::Refused => "refused",
        Cause::Stopped => "stopped",
    };
    counter!(DROPPED, "cause" => cause).increment(records);
}

pub(super) fn unrecorded(cause: Unrecorded) {
    let cause = match cause {
        Unrecorded::Address => "address",
        Unrecorded::Process => "process",
        Unrecorded::User => "user",
        Unrecorded::School => "school",
        Unrecorded::Queue => "queue",
    };
    counter!(UNRECORDED, "cause" => cause).increment(1);
}

pub(super) fn batch(destination: &'static str, took: Duration) {
    histogram!(BATCH_DURATION, "sink" => destination).record(took);
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use testing::metrics::assert_exposed;

    #[test]
    fn every_metric_of_the_table_is_recorded_with_its_labels_its_type_and_its_help() {
        let recorder = PrometheusBuilder::new().set_buckets(&[1.0]).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            queued(3);
            written("school", 5);
            dropped(Cause::Full, 7);
            unrecorded(Unrecorded::Address);
            batch("platform", Duration::from_millis(3));
        });
        let text = recorder.handle().render();
        assert_exposed(&text, &METRICS);
    }
}
