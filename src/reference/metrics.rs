//! The metrics of both programs, from their tables: `docs/running/metrics.md`.
//!
//! Must not describe a metric itself: the tables do.

use std::fmt::Write as _;

use telemetry::metrics::{Kind, Metric};
use tenancy::{audit, cache, maintenance};

use super::{code, head, hold, table};

const INTRODUCTION: &str = "Both programs serve their metrics at `/metrics` of `--http-address`, in the text format of Prometheus. \
There is no login: keep the address inside the cluster. Times are in seconds, sizes in bytes. \
A histogram has the series `_bucket`, `_sum` and `_count`. \
No label holds a school's name or a person's; `tenant` is a tenant id.\n\n\
The alerts of [the API](runbook/README.md#alerts-of-the-api) and [the operator](runbook/README.md#alerts-of-the-operator) are built on these metrics.\n";

#[test]
fn the_page_of_metrics_is_what_the_tables_say() {
    let tenancy = audit::metrics::METRICS.into_iter().chain(cache::metrics::METRICS).chain(maintenance::metrics::METRICS);
    let mut api: Vec<Metric> = api::metrics::METRICS.into_iter().chain(tenancy).collect();
    let (tenants, whole): (Vec<_>, Vec<_>) = api.drain(..).partition(|metric| metric.labels.contains(&"tenant"));
    let mut page = head("Metrics", "the tables in `crates/operator`, `crates/api` and `crates/tenancy`") + INTRODUCTION;
    for (title, text, metrics) in [
        ("The operator", "", operator::metrics::METRICS.as_slice()),
        ("The API", "", &whole),
        ("One school", "Served by the API. A tenant that sends no request for 15 minutes is not shown until it sends one.\n\n", &tenants),
    ] {
        let _ = write!(page, "\n## {title}\n\n{text}{}", table(["metric", "type", "labels", "meaning"], metrics.iter().map(row)));
    }
    hold("docs/running/metrics.md", &page);
}

fn row(metric: &Metric) -> [String; 4] {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    [format!("`{}`", metric.name), kind.to_owned(), code(metric.labels.iter().copied()), metric.help.to_owned()]
}
