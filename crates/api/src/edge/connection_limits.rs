//! Bounds of connections, and the times of the end: plain values.
//!
//! Must not hold what concerns a single request: that is in `settings`.

use std::time::Duration;

use telemetry::health::Readiness;

/// Bounds of connections, and the times of the end.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time. Beyond, they wait in the listener's backlog and cost nothing.
    pub connections: usize,
    /// For a request's head, from its first byte to its last.
    pub head_timeout: Duration,
    /// For a connection on which nothing moves: between requests, or when an answer is not read.
    pub idle_timeout: Duration,
    /// For an answer to be read whole, from the first time that the client was slower than we. It is held in memory for so long, so bytes that trickle do not
    /// extend it; the largest, an export, passes at 2 Mbit/s.
    pub answer_timeout: Duration,
    /// After the stop, how long new connections are still served: load balancers need it to notice.
    pub grace: Duration,
    /// After that, how long running requests may take to end.
    pub drain: Duration,
    /// Told first that the process is on its way out.
    pub readiness: Readiness,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(1),
            answer_timeout: Duration::from_mins(5),
            grace: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            readiness: Readiness::default(),
        }
    }
}
