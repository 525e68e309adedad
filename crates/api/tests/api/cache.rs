//! The cache on a real server that is healthy, frozen, dead, empty, full, read-only or lied to: the answer is always the loader's.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_testing::{METRICS, World, cached_in};
use domain::names::TenantId;
use futures::future::join_all;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue};
use serde_json::json;
use tenancy::cache::{Cache, Key, Settings};
use tenancy::circuit_breaker::BreakerSettings;
use testing::{Redis, Version, until};
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

const A: TenantId = TenantId(Uuid::from_u128(0xa));
const B: TenantId = TenantId(Uuid::from_u128(0xb));
/// Longer than any test: what ends within it has ended by itself.
const LONG: Duration = Duration::from_mins(1);

/// Settings for a server that is well, on a machine that may be busy.
fn settings(redis: &Redis) -> Settings {
    Settings { timeout: LONG, ..Settings::new(redis.url().into()) }
}

/// Settings for a server in trouble: one failure opens the breaker, which tries again at once.
fn hasty(redis: &Redis) -> Settings {
    let breaker = BreakerSettings { failures: 1, window: LONG, pause: Duration::ZERO };
    Settings { breaker, ..Settings::new(redis.url().into()) }
}

fn well(redis: &Redis) -> Cache {
    Cache::connect(settings(redis)).unwrap()
}

/// What `cache` gives when `value` is the truth.
async fn get(cache: &Cache, tenant: TenantId, key: Key, value: &str) -> String {
    let getting = cache.get_or_load(tenant, key, ready(Ok::<_, Infallible>(value.to_owned())));
    let Ok(got) = timeout(2 * LONG, getting).await.unwrap_or_else(|_| panic!("nobody answers"));
    got
}

/// Counts what the cache does on this thread while it lives.
struct Counts(PrometheusHandle);

impl Counts {
    fn of(&self, result: &str) -> u64 {
        let prefix = format!("dailycare_api_cache_total{{result=\"{result}\"}} ");
        self.0.render().lines().find_map(|line| line.strip_prefix(&prefix).and_then(|count| count.parse().ok())).unwrap_or(0)
    }
}

macro_rules! counts {
    ($counts:ident) => {
        let recorder = PrometheusBuilder::new().build_recorder();
        let $counts = Counts(recorder.handle());
        let _recording = metrics::set_default_local_recorder(&recorder);
    };
}

/// A client of Redis' own, without a cache in between.
struct Raw(MultiplexedConnection);

impl Raw {
    async fn of(redis: &Redis) -> Self {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(LONG));
        Self(Client::open(redis.url()).unwrap().get_multiplexed_async_connection_with_config(&config).await.unwrap())
    }

    async fn run<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async(&mut self.0).await.unwrap()
    }

    async fn keys(&mut self) -> Vec<String> {
        self.run(&["KEYS", "*"]).await
    }

    async fn value(&mut self, tenant: TenantId, key: &str) -> Option<String> {
        self.run(&["GET", &format!("tenant:{tenant}:{key}")]).await
    }
}

#[tokio::test]
async fn what_somebody_may_do_is_never_in_redis() {
    let redis = Redis::start(&[]).await.unwrap();
    let world = World::start(Version::V18, cached_in(&redis.url())).await;
    let school = world.school("norte").await;
    let (admin, teacher) = (school.user("SchoolAdmin").await, school.user("Teacher").await);
    for path in ["/settings", "/classes", "/children"] {
        assert_eq!((admin.get(path).await.status, teacher.get(path).await.status), (200, 200), "{path}");
    }
    let tenant = TenantId(school.id());
    let place = |key: &str| format!("tenant:{tenant}:{key}");
    let mut keys = Raw::of(&redis).await.keys().await;
    keys.sort();
    assert_eq!(keys, ["#generation", "classes", "classes#stamp", "settings", "settings#stamp"].map(place));
}

#[tokio::test]
async fn what_a_write_outdates_is_forgotten_also_when_its_caller_hangs_up_during_the_commit() {
    let redis = Redis::start(&[]).await.unwrap();
    let world = World::start(Version::V18, cached_in(&redis.url())).await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    // Its commit waits for a lock that the test holds.
    let slow = "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END';
                GRANT EXECUTE ON FUNCTION app.slow() TO PUBLIC;
                CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON app.settings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.slow()";
    school.sql(slow).await;
    let listed = async || {
        let all = admin.get("/settings").await;
        all.data().as_array().unwrap().iter().find(|row| row["key"] == "school.locale").unwrap()["value"].clone()
    };
    assert_eq!(listed().await, "pt-PT");
    let mut holder = world.platform.superuser(&school.school).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut holder).await.unwrap();
    let caller = admin.clone();
    let put = tokio::spawn(async move { caller.put("/settings/school.locale", Some("*"), json!({ "value": "en" })).await });
    let waiting =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND wait_event = 'advisory')";
    until("the commit", async || school.ask::<bool>(waiting).await).await;
    put.abort();
    let given_up = format!("dailycare_tenant_requests_total{{tenant=\"{}\",class=\"aborted\"}} 1", school.id());
    until("the end of the request", async || METRICS.render().contains(&given_up)).await;
    drop(holder);
    until("the new value", async || listed().await == "en").await;
    // Told of twice, by its transaction and by the caller's going, it is recorded once: the work lasts.
    let told = "SELECT array_agg(success) FROM app.access_audit WHERE action = 'settings:update'";
    assert_eq!(school.ask::<Vec<bool>>(told).await, [true]);
}

#[tokio::test]
async fn a_value_is_loaded_once_and_then_read_by_every_process() {
    let redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    let (one, other) = (well(&redis), well(&redis));
    assert_eq!(get(&one, A, Key::new("settings"), "first").await, "first");
    assert_eq!(get(&one, A, Key::new("settings"), "second").await, "first");
    assert_eq!(get(&other, A, Key::new("settings"), "third").await, "first");
    assert_eq!(get(&one, A, Key::of("settings", "x"), "other key").await, "other key");
    assert_eq!(get(&one, B, Key::new("settings"), "other tenant").await, "other tenant");
    assert_eq!((counts.of("hit"), counts.of("miss")), (2, 3));
}

#[tokio::test]
async fn what_is_stored_names_its_tenant_and_ends_in_about_an_hour() {
    let redis = Redis::start(&[]).await.unwrap();
    let (cache, mut raw) = (well(&redis), Raw::of(&redis).await);
    for part in ["*", "a:b", "\r\nFLUSHALL\r\n", "{x}", "Maria João", "#stamp"] {
        get(&cache, A, Key::of("classes", part), "value").await;
    }
    let keys = raw.keys().await;
    // Six values, six stamps, one generation.
    assert_eq!(keys.len(), 13, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with(&format!("tenant:{A}:"))), "{keys:?}");
    let mut lives = Vec::new();
    for key in keys.iter().filter(|key| !key.contains('#')) {
        lives.push(raw.run::<u64>(&["PTTL", key]).await);
    }
    assert_eq!(lives.len(), 6);
    // A minute less than nine tenths of an hour, for a machine that may be slow.
    assert!(lives.iter().all(|life| (53 * 60_000..=66 * 60_000).contains(life)), "{lives:?}");
    assert!(lives.iter().max().unwrap() - lives.iter().min().unwrap() > 1_000, "no jitter: {lives:?}");
}

#[tokio::test]
async fn a_value_of_another_tenant_or_key_and_garbage_are_refused_and_replaced() {
    let redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    let (cache, mut raw) = (well(&redis), Raw::of(&redis).await);
    get(&cache, A, Key::new("settings"), "of a").await;
    get(&cache, A, Key::new("classes"), "classes of a").await;
    get(&cache, B, Key::new("settings"), "of b").await;
    let (own, name) = (raw.value(A, "settings").await.unwrap(), format!("tenant:{A}:settings"));
    let foreign = raw.value(B, "settings").await.unwrap();
    // The best forgery: another tenant's value with this tenant's marks.
    let forged = own.replace(&A.to_string(), &B.to_string()).replace("of a", "of b");
    let other_key = own.replace(r#""key":"settings""#, r#""key":"classes""#);
    for (number, lie) in
        [foreign.as_str(), &forged, &other_key, "", "null", "{}", "\u{0}\u{1}", &own[..own.len() - 1], "[[[["].into_iter().enumerate()
    {
        raw.run::<()>(&["SET", &name, lie]).await;
        let truth = number.to_string();
        assert_eq!(get(&cache, A, Key::new("settings"), &truth).await, truth, "{lie:?} was believed");
        assert_eq!(get(&cache, A, Key::new("settings"), "not asked").await, truth, "{lie:?} was not replaced");
    }
    assert_eq!(counts.of("rejected"), 9);
    assert_eq!(counts.of("error"), 0);
}

#[tokio::test]
async fn a_wrong_type_in_any_place_is_a_miss_and_replaced() {
    let redis = Redis::start(&[]).await.unwrap();
    let (cache, mut raw) = (well(&redis), Raw::of(&redis).await);
    for name in ["settings", "settings#stamp", "#generation"] {
        get(&cache, A, Key::new("settings"), "before").await;
        let name = format!("tenant:{A}:{name}");
        raw.run::<()>(&["DEL", &name]).await;
        raw.run::<()>(&["RPUSH", &name, "1"]).await;
        assert_eq!(get(&cache, A, Key::new("settings"), &name).await, name);
        assert_eq!(get(&cache, A, Key::new("settings"), "not asked").await, name);
        cache.invalidate_all(A).await;
    }
}

#[tokio::test]
async fn a_flush_ends_all_values_of_one_tenant_in_every_process() {
    let redis = Redis::start(&[]).await.unwrap();
    let (one, other) = (well(&redis), well(&redis));
    for (tenant, key) in [(A, "x"), (A, "y"), (B, "x")] {
        get(&one, tenant, Key::new(key), "old").await;
    }
    other.invalidate_all(A).await;
    assert_eq!(get(&one, A, Key::new("x"), "new").await, "new");
    assert_eq!(get(&one, A, Key::new("y"), "new").await, "new");
    assert_eq!(get(&one, B, Key::new("x"), "new").await, "old");
}

#[tokio::test]
async fn a_load_that_began_before_a_write_is_forgotten_leaves_nothing_behind() {
    let redis = Redis::start(&[]).await.unwrap();
    let key = || Key::new("settings");
    for (forgetting, whole_tenant) in [(0, false), (1, false), (0, true), (1, true)] {
        let caches = [well(&redis), well(&redis)];
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel();
        let slow = tokio::spawn({
            let cache = caches[0].clone();
            async move {
                let load = async {
                    begun.send(()).unwrap();
                    may_go_on.await.unwrap();
                    Ok::<_, Infallible>("old".to_owned())
                };
                cache.get_or_load(A, key(), load).await
            }
        });
        has_begun.await.unwrap();
        if whole_tenant {
            caches[forgetting].invalidate_all(A).await;
        } else {
            caches[forgetting].invalidate(A, key()).await;
        }
        // Where it was forgotten, nobody waits for the old load any more.
        assert_eq!(get(&caches[forgetting], A, key(), "new").await, "new");
        go_on.send(()).unwrap();
        assert_eq!(slow.await.unwrap(), Ok("old".to_owned()));
        for cache in &caches {
            assert_ne!(get(cache, A, key(), "new").await, "old", "forgotten by {forgetting}, whole tenant: {whole_tenant}");
        }
        caches[0].invalidate_all(A).await;
    }
}

#[tokio::test]
async fn a_hundred_callers_load_once_also_without_redis() {
    let mut redis = Redis::start(&[]).await.unwrap();
    let cache = well(&redis);
    for key in ["with", "without"] {
        let loads = AtomicUsize::new(0);
        let callers = (0..100).map(|_| {
            cache.get_or_load(A, Key::new(key), async {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>("value".to_owned())
            })
        });
        assert!(join_all(callers).await.into_iter().all(|got| got == Ok("value".to_owned())));
        assert_eq!(loads.into_inner(), 1, "{key} Redis");
        redis.kill().await.unwrap();
    }
}

#[tokio::test]
async fn a_loader_that_goes_away_is_followed_by_one_of_those_who_wait() {
    let redis = Redis::start(&[]).await.unwrap();
    let cache = well(&redis);
    let (begun, has_begun) = oneshot::channel();
    let gone = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = async {
                begun.send(()).unwrap();
                pending::<Result<String, Infallible>>().await
            };
            cache.get_or_load(A, Key::new("settings"), load).await
        }
    });
    has_begun.await.unwrap();
    let loads = AtomicUsize::new(0);
    let waiting = join_all((0..10).map(|_| {
        cache.get_or_load(A, Key::new("settings"), async {
            loads.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>("value".to_owned())
        })
    }));
    let going = async {
        // The others are polled first and wait.
        tokio::task::yield_now().await;
        assert_eq!(loads.load(Ordering::Relaxed), 0);
        gone.abort();
    };
    let (got, ()) = futures::join!(waiting, going);
    assert!(got.into_iter().all(|got| got == Ok("value".to_owned())));
    assert_eq!(loads.into_inner(), 1);
}

#[tokio::test]
async fn an_error_is_not_cached_and_only_for_who_caused_it() {
    let redis = Redis::start(&[]).await.unwrap();
    let cache = well(&redis);
    let failing = cache.get_or_load(A, Key::new("settings"), async {
        tokio::task::yield_now().await;
        Err::<String, _>("no")
    });
    let waiting = cache.get_or_load(A, Key::new("settings"), ready(Ok::<_, &str>("value".to_owned())));
    assert_eq!(futures::join!(failing, waiting), (Err("no"), Ok("value".to_owned())));
    assert_eq!(get(&cache, A, Key::new("settings"), "loaded").await, "loaded");
}

#[tokio::test]
async fn a_frozen_redis_is_asked_five_times_and_then_left_alone() {
    let redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    get(&well(&redis), A, Key::new("settings"), "old").await;
    let breaker = BreakerSettings { pause: LONG, window: LONG, failures: 5 };
    let cache = Cache::connect(Settings { breaker, ..Settings::new(redis.url().into()) }).unwrap();
    redis.pause().unwrap();
    for number in 0..20 {
        let truth = number.to_string();
        assert_eq!(get(&cache, A, Key::new("settings"), &truth).await, truth);
    }
    assert_eq!((counts.of("error"), counts.of("skipped"), counts.of("hit")), (5, 15, 0));
    redis.resume().unwrap();
}

#[tokio::test]
async fn a_redis_that_thaws_is_used_again() {
    let redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    let cache = Cache::connect(hasty(&redis)).unwrap();
    redis.pause().unwrap();
    assert_eq!(get(&cache, A, Key::new("settings"), "one").await, "one");
    assert_eq!(counts.of("error"), 1);
    redis.resume().unwrap();
    until("a hit", async || {
        assert_eq!(get(&cache, A, Key::new("settings"), "one").await, "one");
        counts.of("hit") > 0
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_dies_empties_or_comes_back_never_shows() {
    let mut redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    let cache = Cache::connect(hasty(&redis)).unwrap();
    for round in 0..3 {
        let truth = round.to_string();
        redis.kill().await.unwrap();
        assert_eq!(get(&cache, A, Key::new("settings"), &truth).await, truth);
        redis.start_again().await.unwrap();
        let hits = counts.of("hit");
        until("a hit", async || {
            assert_eq!(get(&cache, A, Key::new("settings"), &truth).await, truth);
            counts.of("hit") > hits
        })
        .await;
        Raw::of(&redis).await.run::<()>(&["FLUSHALL"]).await;
        assert_eq!(get(&cache, A, Key::new("settings"), "after the flush").await, "after the flush");
    }
}

#[tokio::test]
async fn an_absent_redis_stops_nothing() {
    let mut redis = Redis::start(&[]).await.unwrap();
    redis.stop().await.unwrap();
    let cache = well(&redis);
    for truth in ["one", "two"] {
        assert_eq!(get(&cache, A, Key::new("settings"), truth).await, truth);
    }
}

#[tokio::test]
async fn what_was_forgotten_while_redis_was_down_does_not_come_back_with_it() {
    let mut redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    let cache = Cache::connect(hasty(&redis)).unwrap();
    for (key, whole_tenant) in [("x", false), ("y", true)] {
        get(&well(&redis), A, Key::new(key), "old").await;
        Raw::of(&redis).await.run::<()>(&["SAVE"]).await;
        redis.kill().await.unwrap();
        if whole_tenant {
            cache.invalidate_all(A).await;
        } else {
            cache.invalidate(A, Key::new(key)).await;
        }
        redis.start_again().await.unwrap();
        assert!(
            Raw::of(&redis).await.value(A, key).await.unwrap().contains("old"),
            "the old value did not come back, so this shows nothing"
        );
        let hits = counts.of("hit");
        until("a hit", async || {
            assert_eq!(get(&cache, A, Key::new(key), "new").await, "new");
            counts.of("hit") > hits
        })
        .await;
        // And nobody else sees the old one either.
        assert_eq!(get(&well(&redis), A, Key::new(key), "newer").await, "new");
    }
}

#[tokio::test]
async fn a_read_only_replica_gives_no_old_value_after_a_write() {
    let redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    let (cache, mut raw) = (Cache::connect(hasty(&redis)).unwrap(), Raw::of(&redis).await);
    get(&well(&redis), A, Key::new("settings"), "old").await;
    raw.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    cache.invalidate(A, Key::new("settings")).await;
    for truth in ["one", "two"] {
        assert_eq!(get(&cache, A, Key::new("settings"), truth).await, truth);
    }
    raw.run::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    let hits = counts.of("hit");
    until("a hit", async || {
        assert_eq!(get(&cache, A, Key::new("settings"), "new").await, "new");
        counts.of("hit") > hits
    })
    .await;
}

#[tokio::test]
async fn a_forget_whose_caller_goes_away_is_done_all_the_same() {
    let redis = Redis::start(&[]).await.unwrap();
    let cache = well(&redis);
    get(&cache, A, Key::new("settings"), "old").await;
    assert!(futures::FutureExt::now_or_never(cache.invalidate(A, Key::new("settings"))).is_none(), "it ended before it was dropped");
    until("the new value", async || get(&cache, A, Key::new("settings"), "new").await == "new").await;
}

#[tokio::test]
async fn a_full_redis_evicts_or_refuses_and_every_answer_is_right() {
    for policy in ["allkeys-lru", "allkeys-random", "noeviction"] {
        let redis = Redis::start(&[("maxmemory", "4mb"), ("maxmemory-policy", policy)]).await.unwrap();
        let (cache, mut raw) = (well(&redis), Raw::of(&redis).await);
        for round in 0..2 {
            for number in 0..100 {
                let truth = format!("{number}{}", "x".repeat(100_000));
                assert_eq!(get(&cache, A, Key::of("big", &number), &truth).await, truth, "{policy}, round {round}");
            }
        }
        let statistics: String = raw.run(&["INFO", "stats"]).await;
        let evicted = !statistics.contains("evicted_keys:0\r\n");
        assert_eq!(evicted, policy != "noeviction", "{statistics}");
        let refused = raw.run::<String>(&["INFO", "errorstats"]).await.contains("errorstat_OOM");
        assert_eq!(refused, policy == "noeviction");
    }
}

#[tokio::test]
async fn a_member_of_a_cluster_that_refuses_is_done_without() {
    let redis = Redis::start(&[("cluster-enabled", "yes")]).await.unwrap();
    counts!(counts);
    let cache = well(&redis);
    for number in 0..10 {
        let truth = number.to_string();
        assert_eq!(get(&cache, A, Key::new("settings"), &truth).await, truth);
    }
    assert_eq!((counts.of("error"), counts.of("skipped")), (5, 5));
}

#[tokio::test]
async fn a_wrong_password_is_done_without() {
    let redis = Redis::start(&[]).await.unwrap();
    counts!(counts);
    let url = redis.url().replace(redis.password(), "wrong");
    let cache = Cache::connect(Settings { url: url.into(), ..settings(&redis) }).unwrap();
    assert_eq!(get(&cache, A, Key::new("settings"), "value").await, "value");
    assert_eq!(counts.of("error"), 1);
}

#[tokio::test]
async fn a_value_that_is_too_large_is_not_stored() {
    let redis = Redis::start(&[]).await.unwrap();
    let (cache, mut raw) = (Cache::connect(Settings { max_bytes: 1_000, ..settings(&redis) }).unwrap(), Raw::of(&redis).await);
    get(&cache, A, Key::new("large"), &"x".repeat(1_000)).await;
    get(&cache, A, Key::new("small"), "x").await;
    assert_eq!(raw.value(A, "large").await, None);
    assert!(raw.value(A, "small").await.is_some());
    assert_eq!(get(&cache, A, Key::new("large"), "loaded").await, "loaded");
}

#[tokio::test]
async fn without_a_cache_every_value_is_loaded() {
    let cache = Cache::disabled();
    for truth in ["one", "two"] {
        assert_eq!(get(&cache, A, Key::new("settings"), truth).await, truth);
    }
    cache.invalidate(A, Key::new("settings")).await;
    cache.invalidate_all(A).await;
}

#[tokio::test]
async fn no_form_of_the_cache_shows_its_password() {
    let redis = Redis::start(&[]).await.unwrap();
    let settings = settings(&redis);
    let shown = format!("{settings:?} {:?}", Cache::connect(settings.clone()).unwrap());
    assert!(!shown.contains(redis.password()), "{shown}");
}
