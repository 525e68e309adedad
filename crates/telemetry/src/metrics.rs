//! What a metric is: a row of a table that each program keeps of its own, so that names, labels and help are told in one place.
//!
//! Must not know a program's metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// A state that can be read at any time.
    Gauge,
    /// Durations in seconds.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, by Prometheus' naming rules.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// Tells the recorder what a table's metrics mean.
pub fn describe_all(table: &[Metric]) {
    for metric in table {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
}
