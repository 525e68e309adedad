//! One load for all callers of one process.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use tenancy::cache::Key;
use testing::Redis;
use tokio::sync::oneshot;

use super::fixture::{A, get, well};

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
