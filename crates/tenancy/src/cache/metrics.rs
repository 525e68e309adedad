//! What the cache counts. No label may hold a tenant or a key.

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

/// How one read ended. Who waits for another's load of the same value reads nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Hit,
    Miss,
    Error,
    Rejected,
    Skipped,
}

/// Says what the metrics mean, to the recorder that is installed.
pub fn describe() {
    for Metric { name, help, .. } in METRICS {
        describe_counter!(name, help);
    }
}

pub(super) fn read(read: Read) {
    let result = match read {
        Read::Hit => "hit",
        Read::Miss => "miss",
        Read::Error => "error",
        Read::Rejected => "rejected",
        Read::Skipped => "skipped",
    };
    counter!(CACHE, "result" => result).increment(1);
}
