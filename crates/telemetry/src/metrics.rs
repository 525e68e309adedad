//! What a metric is: a row of a table that each program keeps of its own, so that names, labels and help are told in one place.
//!
//! Must not know a program's metrics.

use std::fmt::Write as _;
use std::time::Duration;

use metrics::{Counter, Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::PrometheusHandle;

/// What the name of a counter of seconds ends with. The exporter's counters are integers, so such a counter counts microseconds, and [`Exposition`] divides.
const SECONDS: &str = "_seconds_total";

/// Microseconds of a second.
const MICROSECONDS: u64 = 1_000_000;

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

/// Adds a duration to a counter whose name ends in `_seconds_total`.
pub fn count_seconds(counter: &Counter, took: Duration) {
    counter.increment(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

/// What a scrape is answered.
#[derive(Clone, Debug)]
pub struct Exposition {
    handle: PrometheusHandle,
    /// Records what is counted elsewhere.
    refresh: fn(),
}

impl From<PrometheusHandle> for Exposition {
    fn from(handle: PrometheusHandle) -> Self {
        Self { handle, refresh: || {} }
    }
}

impl Exposition {
    /// With `refresh` called before each scrape, to record what is counted elsewhere.
    #[must_use]
    pub fn refreshed_by(self, refresh: fn()) -> Self {
        Self { refresh, ..self }
    }

    /// Every metric in Prometheus' text format; durations in seconds.
    #[must_use]
    pub fn render(&self) -> String {
        (self.refresh)();
        in_seconds(&self.handle.render())
    }

    /// Folds the samples of histograms, so that they do not pile up when nobody scrapes.
    pub fn fold(&self) {
        self.handle.run_upkeep();
    }
}

fn in_seconds(text: &str) -> String {
    let mut exposed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match microseconds(line) {
            // Writing to a string cannot fail.
            Some((series, count)) => drop(writeln!(exposed, "{series} {}.{:06}", count / MICROSECONDS, count % MICROSECONDS)),
            None => exposed.push_str(line),
        }
    }
    exposed
}

/// The series and the value of a line, if it is one of a counter of seconds. Comments begin with `#`, which no name does.
fn microseconds(line: &str) -> Option<(&str, u64)> {
    let name = line.split(['{', ' ']).next()?;
    let (series, value) = line.trim_end().rsplit_once(' ')?;
    name.ends_with(SECONDS).then(|| value.parse().ok())?.map(|count| (series, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_seconds_are_divided_and_everything_else_stays() {
        let text = "# HELP a_seconds_total Seconds 7\n# TYPE a_seconds_total counter\na_seconds_total{tenant=\"x\"} 12000\n\
                    a_seconds_total 61000001\nb_total 7\nc_duration_seconds_sum 5\n\n";
        let expected = "# HELP a_seconds_total Seconds 7\n# TYPE a_seconds_total counter\na_seconds_total{tenant=\"x\"} 0.012000\n\
                        a_seconds_total 61.000001\nb_total 7\nc_duration_seconds_sum 5\n\n";
        assert_eq!(in_seconds(text), expected);
    }
}
