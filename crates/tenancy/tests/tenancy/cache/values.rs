//! What is stored, for whom and for how long, and what makes it invalid.

use std::convert::Infallible;

use tenancy::cache::{Cache, Key, Settings};
use testing::Redis;
use tokio::sync::oneshot;

use super::fixture::{A, B, Raw, counts, get, settings, well};

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
