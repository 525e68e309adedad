//! One tenant's share: its requests, errors, connections and the size of its database.
//!
//! Handles are kept for the tenants that work now: with 10,000 tenants a label per class, code or bucket more would be 10,000 series more.
//!
//! Must not keep the series of a tenant that is silent.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use domain::names::TenantId;
use metrics::{Counter, Gauge, counter, gauge};
use telemetry::metrics::count_seconds;

use super::{Class, HANDLE};

pub(super) const REQUESTS: &str = "dailycare_tenant_requests_total";
pub(super) const DURATION: &str = "dailycare_tenant_request_duration_seconds_total";
pub(super) const ERRORS: &str = "dailycare_tenant_errors_total";
pub(super) const POOL_IN_USE: &str = "dailycare_tenant_pool_in_use";
pub(super) const POOL_WAIT: &str = "dailycare_tenant_pool_wait_seconds_total";
pub(super) const DATABASE_BYTES: &str = "dailycare_tenant_database_bytes";

/// Requests that are younger than this are recent ones.
const RECENT: Duration = Duration::from_mins(10);

/// Tenants whose handles are kept.
const TENANTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

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
pub fn request_ended(tenant: TenantId, class: Class, took: Duration) {
    let (handles, microseconds) = (tenant_handles(tenant), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let make = || counter!(REQUESTS, "tenant" => tenant.to_string(), "class" => class.label());
    handles.requests[class as usize].get_or_init(make).increment(1);
    count_seconds(handles.duration.get_or_init(|| counter!(DURATION, "tenant" => tenant.to_string())), took);
    handles.count.fetch_add(1, Ordering::Relaxed);
    handles.microseconds.fetch_add(microseconds, Ordering::Relaxed);
}

/// How many requests of `tenant` this process answered recently, and their mean duration: those of the last minute or two of work, none older than ten
/// minutes. None when there was none.
#[must_use]
pub fn recent(tenant: TenantId) -> Option<(u64, Duration)> {
    let handles = BY_TENANT.peek(&tenant)?;
    let recent = [Some(handles.since_made()), handles.before].into_iter().flatten().filter(|requests| requests.since.elapsed() < RECENT);
    let (count, microseconds) = recent.fold((0, 0), |(count, sum), requests| (count + requests.count, sum + requests.microseconds));
    microseconds.checked_div(count).map(|mean| (count, Duration::from_micros(mean)))
}

/// A request of `tenant` failed by no fault of the client. `code` is the label of an error's code. Rare, so without a handle.
pub fn error(tenant: TenantId, code: &'static str) {
    counter!(ERRORS, "tenant" => tenant.to_string(), "code" => code).increment(1);
}

/// Connections of `tenant` that are not idle now.
pub fn pool_in_use(tenant: TenantId, connections: u32) {
    tenant_handles(tenant).in_use.get_or_init(|| gauge!(POOL_IN_USE, "tenant" => tenant.to_string())).set(connections);
}

/// A request of `tenant` waited for a connection.
pub fn pool_wait(tenant: TenantId, waited: Duration) {
    let handles = tenant_handles(tenant);
    let wait = handles.wait.get_or_init(|| counter!(POOL_WAIT, "tenant" => tenant.to_string()));
    count_seconds(wait, waited);
}

/// The size of `tenant`'s database.
pub fn database_bytes(tenant: TenantId, bytes: u64) {
    // Exact up to 8 PiB.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and a size of petabytes need not be exact")]
    let bytes = bytes as f64;
    tenant_handles(tenant).bytes.get_or_init(|| gauge!(DATABASE_BYTES, "tenant" => tenant.to_string())).set(bytes);
}
