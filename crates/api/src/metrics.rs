//! The API's metrics, and the only code that records those of requests and of tenants.
//!
//! Labels come from closed sets: the routes' patterns, methods, classes. A tenant is a label of five families, and of the sum of durations that stands for
//! a histogram of its own; one that is silent for [`SILENCE`] is not shown any more.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use domain::names::TenantId;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;
use telemetry::metrics::{Kind, Metric, describe_all};

const REQUESTS: &str = "dailycare_api_requests_total";
const DURATION: &str = "dailycare_api_request_duration_seconds";
const REFUSALS: &str = "dailycare_api_refusals_total";
const IN_FLIGHT: &str = "dailycare_api_requests_in_flight";
const TENANT_REQUESTS: &str = "dailycare_tenant_requests_total";
const TENANT_DURATION: &str = "dailycare_tenant_request_duration_microseconds_total";
const TENANT_ERRORS: &str = "dailycare_tenant_errors_total";
const TENANT_POOL_IN_USE: &str = "dailycare_tenant_pool_in_use";
const TENANT_POOL_WAIT: &str = "dailycare_tenant_pool_wait_microseconds_total";
const TENANT_DATABASE_BYTES: &str = "dailycare_tenant_database_bytes";

const REGISTRY_AGE: &str = "dailycare_api_tenant_registry_age_seconds";
const REGISTERED: &str = "dailycare_api_tenants";
const SERVER_CONNECTIONS: &str = "dailycare_api_server_connections";

/// Those of requests, of tenants and of what they are served with.
pub const METRICS: [Metric; 13] = [
    Metric { name: REQUESTS, kind: Kind::Counter, labels: &["method", "route", "class"], help: "Requests that ended, by class of status." },
    Metric { name: DURATION, kind: Kind::Histogram, labels: &["route"], help: "How long requests took." },
    Metric {
        name: REFUSALS,
        kind: Kind::Counter,
        labels: &["code"],
        help: "Requests refused for who asked, or for which school: no token, a wrong password, no permission, another's tenant.",
    },
    Metric { name: IN_FLIGHT, kind: Kind::Gauge, labels: &[], help: "Requests that have begun and not ended." },
    Metric { name: TENANT_REQUESTS, kind: Kind::Counter, labels: &["tenant", "class"], help: "A tenant's requests, by class of status." },
    Metric {
        name: TENANT_DURATION,
        kind: Kind::Counter,
        labels: &["tenant"],
        help: "How long a tenant's requests took, all together; divided by their number, the mean.",
    },
    Metric {
        name: TENANT_ERRORS,
        kind: Kind::Counter,
        labels: &["tenant", "code"],
        help: "A tenant's requests that failed by no fault of the client.",
    },
    Metric {
        name: TENANT_POOL_IN_USE,
        kind: Kind::Gauge,
        labels: &["tenant"],
        help: "A tenant's connections that are not idle: at work, being opened or closed.",
    },
    Metric {
        name: TENANT_POOL_WAIT,
        kind: Kind::Counter,
        labels: &["tenant"],
        help: "How long a tenant's requests waited for a connection.",
    },
    Metric { name: TENANT_DATABASE_BYTES, kind: Kind::Gauge, labels: &["tenant"], help: "The size of a tenant's database." },
    Metric {
        name: REGISTRY_AGE,
        kind: Kind::Gauge,
        labels: &[],
        help: "Seconds since the registry confirmed that the routes in memory are current.",
    },
    Metric { name: REGISTERED, kind: Kind::Gauge, labels: &[], help: "Tenants in memory." },
    Metric {
        name: SERVER_CONNECTIONS,
        kind: Kind::Gauge,
        labels: &["server", "state"],
        help: "Connections to a database server, those that wait for one (waiting) and the most there may be (budget).",
    },
];

/// Seconds; a request takes a fraction of a millisecond to some seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// A counter or gauge that nobody touched for this long is not shown until somebody does. A gauge that is to stay must be set again in time.
pub const SILENCE: Duration = Duration::from_mins(15);

/// How long a handle may be kept. A series that fell silent is removed, and a handle of a removed series counts into nothing: one that is much
/// younger than [`SILENCE`] and was used when it was made cannot be such a handle.
const HANDLE: Duration = Duration::from_mins(1);

/// Requests that are younger than this are recent ones.
const RECENT: Duration = Duration::from_mins(10);

/// Tenants whose handles are kept.
const TENANTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Records the API's metrics from now on, for the whole process. The handle renders them.
///
/// # Errors
/// When something else in the process records already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe_all(&METRICS);
    Ok(handle)
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let silent = MetricKindMask::COUNTER | MetricKindMask::GAUGE;
    Ok(PrometheusBuilder::new().set_buckets(&BUCKETS)?.idle_timeout(silent, Some(SILENCE)).build_recorder())
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $label:literal),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $(#[doc = concat!("`", $label, "`.")] $variant),+ }

        impl $name {
            const COUNT: usize = [$(Self::$variant),+].len();

            /// The label's value.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }
        }
    };
}

labels! {
    /// How a request ended.
    Class { Informed = "1xx", Succeeded = "2xx", Redirected = "3xx", Refused = "4xx", Failed = "5xx", Aborted = "aborted" }
}
labels! {
    /// A request's method. A client may send any word as one.
    Verb { Get = "GET", Head = "HEAD", Post = "POST", Put = "PUT", Patch = "PATCH", Delete = "DELETE", Options = "OPTIONS", Other = "other" }
}

impl Class {
    /// The class of a status.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() / 100 {
            1 => Self::Informed,
            2 => Self::Succeeded,
            3 => Self::Redirected,
            4 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

impl Verb {
    /// The label of a method.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }
}

/// One route's handles, made when they are first used.
struct Route {
    made: Instant,
    requests: [[OnceLock<Counter>; Class::COUNT]; Verb::COUNT],
    duration: OnceLock<Histogram>,
}

static ROUTES: LazyLock<papaya::HashMap<String, Arc<Route>>> = LazyLock::new(papaya::HashMap::new);

/// A request ended. `route` is a pattern of the router, never a path.
pub fn answered(route: &str, verb: Verb, class: Class, took: Duration) {
    let handles = route_handles(route);
    let requests = handles.requests[verb as usize][class as usize]
        .get_or_init(|| counter!(REQUESTS, "method" => verb.label(), "route" => route.to_owned(), "class" => class.label()));
    requests.increment(1);
    handles.duration.get_or_init(|| histogram!(DURATION, "route" => route.to_owned())).record(took);
}

fn route_handles(route: &str) -> Arc<Route> {
    let routes = ROUTES.pin();
    match routes.get(route) {
        Some(handles) if handles.made.elapsed() < HANDLE => Arc::clone(handles),
        _ => {
            let handles = Arc::new(Route { made: Instant::now(), requests: Default::default(), duration: OnceLock::new() });
            routes.insert(route.to_owned(), Arc::clone(&handles));
            handles
        }
    }
}

/// A request was refused for who asked, or for which school. `code` is the label of an error's code. Rare, so without a handle.
pub fn refused(code: &'static str) {
    counter!(REFUSALS, "code" => code).increment(1);
}

/// Requests began (1) or ended (-1).
pub fn in_flight(change: f64) {
    gauge!(IN_FLIGHT).increment(change);
}

/// How long ago the registry confirmed the routes in memory.
pub fn registry_age(age: Duration) {
    gauge!(REGISTRY_AGE).set(age.as_secs_f64());
}

/// How many tenants are in memory.
pub fn tenants(count: usize) {
    gauge!(REGISTERED).set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}

/// Connections to one server: `state` is open, idle, waiting or budget.
pub fn server_connections(server: &str, state: &'static str, count: u32) {
    gauge!(SERVER_CONNECTIONS, "server" => server.to_owned(), "state" => state).set(count);
}

/// One tenant's handles, made when they are first used, and its requests since then and before.
struct Tenant {
    made: Instant,
    count: AtomicU64,
    microseconds: AtomicU64,
    before: Option<Requests>,
    duration: OnceLock<Counter>,
    requests: [OnceLock<Counter>; Class::COUNT],
    in_use: OnceLock<Gauge>,
    wait: OnceLock<Counter>,
    bytes: OnceLock<Gauge>,
}

static BY_TENANT: LazyLock<quick_cache::sync::Cache<TenantId, Arc<Tenant>>> =
    LazyLock::new(|| quick_cache::sync::Cache::new(TENANTS.get()));

fn tenant_handles(tenant: TenantId) -> Arc<Tenant> {
    let known = BY_TENANT.get(&tenant);
    if let Some(handles) = known.as_ref().filter(|handles| handles.made.elapsed() < HANDLE) {
        return Arc::clone(handles);
    }
    let handles = Arc::new(Tenant {
        made: Instant::now(),
        count: AtomicU64::new(0),
        microseconds: AtomicU64::new(0),
        before: known.map(|handles| handles.since_made()),
        duration: OnceLock::new(),
        requests: Default::default(),
        in_use: OnceLock::new(),
        wait: OnceLock::new(),
        bytes: OnceLock::new(),
    });
    BY_TENANT.insert(tenant, Arc::clone(&handles));
    handles
}

/// A tenant's requests from one moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Requests {
    since: Instant,
    count: u64,
    microseconds: u64,
}

impl Tenant {
    fn since_made(&self) -> Requests {
        let (count, microseconds) = (self.count.load(Ordering::Relaxed), self.microseconds.load(Ordering::Relaxed));
        Requests { since: self.made, count, microseconds }
    }
}

/// A request of `tenant` ended.
pub fn tenant_request(tenant: TenantId, class: Class, took: Duration) {
    let (handles, microseconds) = (tenant_handles(tenant), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let make = || counter!(TENANT_REQUESTS, "tenant" => tenant.to_string(), "class" => class.label());
    handles.requests[class as usize].get_or_init(make).increment(1);
    handles.duration.get_or_init(|| counter!(TENANT_DURATION, "tenant" => tenant.to_string())).increment(microseconds);
    handles.count.fetch_add(1, Ordering::Relaxed);
    handles.microseconds.fetch_add(microseconds, Ordering::Relaxed);
}

/// How many requests of `tenant` this process answered of late, and how long one took on average: those of the last minute or two of work, none of which
/// is older than ten minutes. None when there was none.
#[must_use]
pub fn tenant_recent(tenant: TenantId) -> Option<(u64, Duration)> {
    let handles = BY_TENANT.peek(&tenant)?;
    let recent = [Some(handles.since_made()), handles.before].into_iter().flatten().filter(|requests| requests.since.elapsed() < RECENT);
    let (count, microseconds) = recent.fold((0, 0), |(count, sum), requests| (count + requests.count, sum + requests.microseconds));
    microseconds.checked_div(count).map(|mean| (count, Duration::from_micros(mean)))
}

/// A request of `tenant` failed by no fault of the client. `code` is the label of an error's code. Rare, so without a handle.
pub fn tenant_error(tenant: TenantId, code: &'static str) {
    counter!(TENANT_ERRORS, "tenant" => tenant.to_string(), "code" => code).increment(1);
}

/// Connections of `tenant` that are not idle now.
pub fn tenant_pool_in_use(tenant: TenantId, connections: u32) {
    tenant_handles(tenant).in_use.get_or_init(|| gauge!(TENANT_POOL_IN_USE, "tenant" => tenant.to_string())).set(connections);
}

/// A request of `tenant` waited for a connection.
pub fn tenant_pool_wait(tenant: TenantId, waited: Duration) {
    let handles = tenant_handles(tenant);
    let wait = handles.wait.get_or_init(|| counter!(TENANT_POOL_WAIT, "tenant" => tenant.to_string()));
    wait.increment(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
}

/// The size of `tenant`'s database.
pub fn tenant_database_bytes(tenant: TenantId, bytes: u64) {
    // Exact up to 8 PiB.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and a size of petabytes need not be exact")]
    let bytes = bytes as f64;
    tenant_handles(tenant).bytes.get_or_init(|| gauge!(TENANT_DATABASE_BYTES, "tenant" => tenant.to_string())).set(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::metrics::assert_exposed;
    use uuid::Uuid;

    fn rendered(record: impl FnOnce()) -> String {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe_all(&METRICS);
            record();
        });
        recorder.handle().render()
    }

    #[test]
    fn every_metric_of_the_table_is_recorded_with_its_labels_its_type_and_its_help() {
        let tenant = TenantId(Uuid::new_v4());
        let text = rendered(|| {
            in_flight(1.0);
            refused("TENANT_MISMATCH");
            answered("/table/{id}", Verb::Get, Class::Succeeded, Duration::from_millis(3));
            tenant_request(tenant, Class::Refused, Duration::from_millis(2));
            tenant_error(tenant, "POOL_EXHAUSTED");
            tenant_pool_in_use(tenant, 3);
            tenant_pool_wait(tenant, Duration::from_millis(2));
            tenant_database_bytes(tenant, 8_000_000);
            registry_age(Duration::from_secs(1));
            tenants(7);
            server_connections("pg-1", "open", 3);
        });
        assert_exposed(&text, &METRICS);
    }

    #[test]
    fn a_tenant_is_a_label_of_five_families_and_of_one_sum_of_durations_and_of_no_histogram() {
        let with_tenant: Vec<_> = METRICS.into_iter().filter(|metric| metric.labels.contains(&"tenant")).collect();
        assert!(with_tenant.len() <= 5 + 1 && with_tenant.iter().all(|metric| metric.kind != Kind::Histogram), "{with_tenant:?}");
        let sum = with_tenant.iter().find(|metric| metric.name == TENANT_DURATION).unwrap();
        assert_eq!((sum.kind, sum.labels), (Kind::Counter, ["tenant"].as_slice()), "a class more would be six series a tenant");
    }

    #[test]
    fn a_tenants_requests_have_a_sum_and_a_mean_of_the_recent_ones() {
        let (tenant, other) = (TenantId(Uuid::new_v4()), TenantId(Uuid::new_v4()));
        let text = rendered(|| {
            tenant_request(tenant, Class::Succeeded, Duration::from_millis(3));
            tenant_request(tenant, Class::Aborted, Duration::from_millis(9));
        });
        assert!(text.contains(&format!("{TENANT_DURATION}{{tenant=\"{tenant}\"}} 12000")), "{text}");
        assert_eq!((tenant_recent(tenant), tenant_recent(other)), (Some((2, Duration::from_millis(6))), None));
    }

    #[test]
    fn a_kept_handle_counts_on_and_words_of_clients_are_no_labels() {
        let made_up = Method::from_bytes(b"BREW").unwrap();
        let text = rendered(|| (0..3).for_each(|_| answered("/kept", Verb::of(&made_up), Class::Aborted, Duration::ZERO)));
        assert!(text.contains(r#"dailycare_api_requests_total{method="other",route="/kept",class="aborted"} 3"#), "{text}");
        assert!(!text.contains("BREW"), "{text}");
    }
}
