//! Bounds of the audit's queue and of those who empty it.
//!
//! Must not read flags: the program sets these.

use std::time::Duration;

use super::refusals::Limits;

/// Bounds of the queue and of those who empty it. Numbers are at least 1. A 0 counts as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most records in memory, including those being written. A record holds at most 2.5 KB.
    pub capacity: usize,
    /// The most records of one batch. As many waiting are written without further delay.
    pub batch: usize,
    /// How long a record waits for others to be written with it.
    pub linger: Duration,
    /// Batches written at once, each to another destination. Half as many more to servers that failed last.
    pub writers: usize,
    /// Time that one batch may take, including the connect.
    pub timeout: Duration,
    /// Time to write what is left on a stop.
    pub drain: Duration,
    /// How many refusals the platform's audit records.
    pub refusals: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            batch: 500,
            linger: Duration::from_millis(200),
            writers: 4,
            timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            refusals: Limits::default(),
        }
    }
}
