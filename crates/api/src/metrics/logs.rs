//! The metric of the process's own log.
//!
//! Must not count: `telemetry::logs` does.

use metrics::counter;

pub(super) const LOST: &str = "dailycare_api_log_records_lost_total";

/// Log records that were lost since the start.
pub fn lost(count: u64) {
    counter!(LOST).absolute(count);
}
