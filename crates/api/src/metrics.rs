//! The API's metrics: their table, and their installation in the process.
//!
//! Labels come from closed sets: the routes' patterns, methods, classes. A tenant is a label of five families and of the sum of durations, which stands for
//! a histogram of its own. A series that nobody touches for [`SILENCE`] is no longer shown. Must not be recorded but by `requests`, `tenants`, `registry` and `logs`.

mod labels;
pub mod logs;
pub mod registry;
pub mod requests;
pub mod tenants;

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusRecorder};
use metrics_util::MetricKindMask;
use telemetry::metrics::{Exposition, Kind, Metric, describe_all};

pub use labels::{Class, Verb};

/// Every metric of requests, of tenants and of what serves them.
pub const METRICS: [Metric; 14] = [
    Metric {
        name: requests::REQUESTS,
        kind: Kind::Counter,
        labels: &["method", "route", "class"],
        help: "Requests that ended, by class of status.",
    },
    Metric { name: requests::DURATION, kind: Kind::Histogram, labels: &["route"], help: "How long requests took." },
    Metric {
        name: requests::REFUSALS,
        kind: Kind::Counter,
        labels: &["code"],
        help: "Requests refused for who asked, or for which school: no token, a wrong password, no permission, another's tenant.",
    },
    Metric { name: requests::IN_FLIGHT, kind: Kind::Gauge, labels: &[], help: "Requests that have started and not ended." },
    Metric { name: tenants::REQUESTS, kind: Kind::Counter, labels: &["tenant", "class"], help: "A tenant's requests, by class of status." },
    Metric {
        name: tenants::DURATION,
        kind: Kind::Counter,
        labels: &["tenant"],
        help: "Seconds that a tenant's requests took, all together; divided by their number, the mean.",
    },
    Metric {
        name: tenants::ERRORS,
        kind: Kind::Counter,
        labels: &["tenant", "code"],
        help: "A tenant's requests that failed by no fault of the client.",
    },
    Metric {
        name: tenants::POOL_IN_USE,
        kind: Kind::Gauge,
        labels: &["tenant"],
        help: "A tenant's connections that are not idle: at work, being opened or closed.",
    },
    Metric {
        name: tenants::POOL_WAIT,
        kind: Kind::Counter,
        labels: &["tenant"],
        help: "Seconds that a tenant's requests waited for a connection.",
    },
    Metric { name: tenants::DATABASE_BYTES, kind: Kind::Gauge, labels: &["tenant"], help: "The size of a tenant's database." },
    Metric {
        name: registry::AGE,
        kind: Kind::Gauge,
        labels: &[],
        help: "Seconds since the registry confirmed that the routes in memory are current.",
    },
    Metric { name: registry::TENANTS, kind: Kind::Gauge, labels: &[], help: "Tenants in memory." },
    Metric {
        name: registry::SERVER_CONNECTIONS,
        kind: Kind::Gauge,
        labels: &["server", "state"],
        help: "Connections to a database server, those that wait for one (waiting) and the most there may be (budget).",
    },
    Metric {
        name: logs::LOST,
        kind: Kind::Counter,
        labels: &[],
        help: "Log records that were lost because what reads the log was too slow or stuck.",
    },
];

/// Seconds; a request takes a fraction of a millisecond to some seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// A counter or gauge that nobody touched for this long is not shown until somebody does. A gauge that is to stay must be set again in time.
pub const SILENCE: Duration = Duration::from_mins(15);

/// How long a handle may be kept. A silent series is removed, and a handle of a removed series counts into nothing. A handle that is much younger than
/// [`SILENCE`] and was used when it was made cannot be such a handle.
const HANDLE: Duration = Duration::from_mins(1);

/// Records the API's metrics from now on, for the whole process. The handle renders them.
///
/// # Errors
/// When something else in the process records already.
pub fn install() -> Result<Exposition, BuildError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe_all(&METRICS);
    Ok(Exposition::from(handle).refreshed_by(|| logs::lost(telemetry::logs::lost())))
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let silent = MetricKindMask::COUNTER | MetricKindMask::GAUGE;
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.idle_timeout(silent, Some(SILENCE)).build_recorder())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Method;
    use domain::names::TenantId;
    use testing::metrics::assert_exposed;
    use uuid::Uuid;

    fn rendered(record: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe_all(&METRICS);
            record();
        });
        Exposition::from(recorder.handle()).render()
    }

    #[test]
    fn every_metric_of_the_table_is_recorded_with_its_labels_its_type_and_its_help() {
        let tenant = TenantId(Uuid::new_v4());
        let text = rendered(|| {
            requests::in_flight(1.0);
            requests::refused("TENANT_MISMATCH");
            requests::ended("/table/{id}", Verb::Get, Class::Succeeded, Duration::from_millis(3));
            tenants::request_ended(tenant, Class::Refused, Duration::from_millis(2));
            tenants::error(tenant, "POOL_EXHAUSTED");
            tenants::pool_in_use(tenant, 3);
            tenants::pool_wait(tenant, Duration::from_millis(2));
            tenants::database_bytes(tenant, 8_000_000);
            registry::age(Duration::from_secs(1));
            registry::tenants(7);
            registry::server_connections("pg-1", "open", 3);
            logs::lost(2);
        });
        assert_exposed(&text, &METRICS);
    }

    #[test]
    fn a_tenant_is_a_label_of_five_families_and_of_one_sum_of_durations_and_of_no_histogram() {
        let with_tenant: Vec<_> = METRICS.into_iter().filter(|metric| metric.labels.contains(&"tenant")).collect();
        assert!(with_tenant.len() <= 5 + 1 && with_tenant.iter().all(|metric| metric.kind != Kind::Histogram), "{with_tenant:?}");
        let sum = with_tenant.iter().find(|metric| metric.name == tenants::DURATION).unwrap();
        assert_eq!((sum.kind, sum.labels), (Kind::Counter, ["tenant"].as_slice()), "a class more would be six series a tenant");
    }

    #[test]
    fn a_tenants_requests_have_a_sum_and_a_mean_of_the_recent_ones() {
        let (tenant, other) = (TenantId(Uuid::new_v4()), TenantId(Uuid::new_v4()));
        let text = rendered(|| {
            tenants::request_ended(tenant, Class::Succeeded, Duration::from_millis(3));
            tenants::request_ended(tenant, Class::Aborted, Duration::from_millis(9));
        });
        assert!(text.contains(&format!("{}{{tenant=\"{tenant}\"}} 0.012000", tenants::DURATION)), "{text}");
        assert_eq!((tenants::recent(tenant), tenants::recent(other)), (Some((2, Duration::from_millis(6))), None));
    }

    #[test]
    fn a_kept_handle_counts_on_and_words_of_clients_are_no_labels() {
        let made_up = Method::from_bytes(b"BREW").unwrap();
        let text = rendered(|| (0..3).for_each(|_| requests::ended("/kept", Verb::of(&made_up), Class::Aborted, Duration::ZERO)));
        assert!(text.contains(r#"dailycare_api_requests_total{method="other",route="/kept",class="aborted"} 3"#), "{text}");
        assert!(!text.contains("BREW"), "{text}");
    }
}
