//! Servers that do not answer, or refuse: nobody waits long, and no outdated value is read.

use tenancy::cache::{Cache, Key, Settings};
use tenancy::circuit_breaker::BreakerSettings;
use testing::{Redis, until};

use super::fixture::{A, LONG, Raw, counts, get, hasty, settings, well};

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
