//! Requests as a whole: how many, how long, how many now, and who was refused.
//!
//! Must not know a tenant.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use metrics::{Counter, Histogram, counter, gauge, histogram};

use super::{Class, HANDLE, Verb};

pub(super) const REQUESTS: &str = "dailycare_api_requests_total";
pub(super) const DURATION: &str = "dailycare_api_request_duration_seconds";
pub(super) const REFUSALS: &str = "dailycare_api_refusals_total";
pub(super) const IN_FLIGHT: &str = "dailycare_api_requests_in_flight";

/// One route's handles, made when they are first used.
struct Route {
    made: Instant,
    requests: [[OnceLock<Counter>; Class::COUNT]; Verb::COUNT],
    duration: OnceLock<Histogram>,
}

static ROUTES: LazyLock<papaya::HashMap<String, Arc<Route>>> = LazyLock::new(papaya::HashMap::new);

/// A request ended. `route` is a pattern of the router, never a path.
pub fn ended(route: &str, verb: Verb, class: Class, took: Duration) {
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
