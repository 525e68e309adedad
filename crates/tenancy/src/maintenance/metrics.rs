//! The metric of the daily maintenance.
//!
//! Must not have a tenant in a label.

use metrics::gauge;
use telemetry::metrics::{Kind, Metric, describe_all};

const WITHOUT_TIME_ZONE: &str = "dailycare_api_tenants_without_time_zone";

/// The maintenance's metrics.
pub const METRICS: [Metric; 1] = [Metric {
    name: WITHOUT_TIME_ZONE,
    kind: Kind::Gauge,
    labels: &[],
    help: "Schools whose server does not know the time zone that they chose, as last asked by this process: once a day, and only of schools that send requests. Their \
           days go on in Europe/Lisbon.",
}];

/// Registers the metrics' descriptions with the installed recorder.
pub fn describe() {
    describe_all(&METRICS);
}

pub(super) fn without_time_zone(schools: usize) {
    gauge!(WITHOUT_TIME_ZONE).set(u32::try_from(schools).unwrap_or(u32::MAX));
}
