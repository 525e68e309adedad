//! Caches with the settings of a healthy and of a failing server, and a client that bypasses them.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use domain::names::TenantId;
use metrics_exporter_prometheus::PrometheusHandle;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue};
use tenancy::cache::{Cache, Key, Settings};
use tenancy::circuit_breaker::BreakerSettings;
use testing::Redis;
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) const A: TenantId = TenantId(Uuid::from_u128(0xa));

pub(crate) const B: TenantId = TenantId(Uuid::from_u128(0xb));

/// Longer than any test: what ends within it has ended by itself.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// Settings for a server that is well, on a machine that may be busy.
pub(crate) fn settings(redis: &Redis) -> Settings {
    Settings { timeout: LONG, ..Settings::new(redis.url().into()) }
}

/// Settings for a server in trouble: one failure opens the breaker, which tries again at once.
pub(crate) fn hasty(redis: &Redis) -> Settings {
    let breaker = BreakerSettings { failures: 1, window: LONG, pause: Duration::ZERO };
    Settings { breaker, ..Settings::new(redis.url().into()) }
}

pub(crate) fn well(redis: &Redis) -> Cache {
    Cache::connect(settings(redis)).unwrap()
}

/// What `cache` gives when `value` is the truth.
pub(crate) async fn get(cache: &Cache, tenant: TenantId, key: Key, value: &str) -> String {
    let getting = cache.get_or_load(tenant, key, ready(Ok::<_, Infallible>(value.to_owned())));
    let Ok(got) = timeout(2 * LONG, getting).await.unwrap_or_else(|_| panic!("nobody answers"));
    got
}

/// Counts what the cache does on this thread while it lives.
pub(crate) struct Counts(pub(crate) PrometheusHandle);

impl Counts {
    pub(crate) fn of(&self, result: &str) -> u64 {
        let prefix = format!("dailycare_api_cache_total{{result=\"{result}\"}} ");
        self.0.render().lines().find_map(|line| line.strip_prefix(&prefix).and_then(|count| count.parse().ok())).unwrap_or(0)
    }
}

macro_rules! counts {
    ($counts:ident) => {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let $counts = $crate::cache::fixture::Counts(recorder.handle());
        let _recording = metrics::set_default_local_recorder(&recorder);
    };
}

/// A client of Redis' own, without a cache in between.
pub(crate) struct Raw(pub(crate) MultiplexedConnection);

impl Raw {
    pub(crate) async fn of(redis: &Redis) -> Self {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(LONG));
        Self(Client::open(redis.url()).unwrap().get_multiplexed_async_connection_with_config(&config).await.unwrap())
    }

    pub(crate) async fn run<T: FromRedisValue>(&mut self, parts: &[&str]) -> T {
        let mut command = redis::cmd(parts[0]);
        command.arg(&parts[1..]).query_async(&mut self.0).await.unwrap()
    }

    pub(crate) async fn keys(&mut self) -> Vec<String> {
        self.run(&["KEYS", "*"]).await
    }

    pub(crate) async fn value(&mut self, tenant: TenantId, key: &str) -> Option<String> {
        self.run(&["GET", &format!("tenant:{tenant}:{key}")]).await
    }
}

pub(crate) use counts;
