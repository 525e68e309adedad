//! The metrics of the cache.
//!
//! Must not have a tenant or a key in a label.

use metrics::{counter, describe_counter};
use telemetry::metrics::{Kind, Metric};

const CACHE: &str = "dailycare_api_cache_total";

/// The cache's metrics.
pub const METRICS: [Metric; 1] = [Metric {
    name: CACHE,
    kind: Kind::Counter,
    labels: &["result"],
    help: "Reads of the cache: hit, miss, error (Redis failed), rejected (not this tenant's or unreadable), skipped (Redis was not asked).",
}];

/// Registers the metrics' descriptions with the installed recorder.
pub fn describe() {
    for Metric { name, help, .. } in METRICS {
        describe_counter!(name, help);
    }
}

/// Counts a read by its result. A caller that waits for another's load reads nothing.
pub(super) fn read(result: &'static str) {
    counter!(CACHE, "result" => result).increment(1);
}
