//! A noisy school, and what the others notice of it.

use std::num::NonZeroU32;
use std::time::Duration;

use api_testing::{Answer, World, connections};
use futures::future::join_all;
use testing::{Version, until};

use super::fixture::{reveals_nothing, run};

#[tokio::test]
async fn a_noisy_school_is_told_to_wait_and_no_other_waits_for_it() {
    let world = World::start(Version::V18, |settings| {
        connections(settings, 2);
        settings.pools.wait = Duration::from_millis(250);
    })
    .await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (ana, rui) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    assert_eq!((ana.get("/children").await.status, rui.get("/children").await.status), (200, 200));
    let mut lock = world.platform.superuser(&north.school).await.unwrap();
    run(&mut lock, &["BEGIN".into(), "LOCK TABLE app.children".into()]).await;
    let noise: Vec<_> = (0..60)
        .map(|_| {
            tokio::spawn({
                let ana = ana.clone();
                async move { ana.get("/children").await }
            })
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(rui.get("/children").await.status, 200);
    }
    until("the refusals", async || noise.iter().filter(|request| request.is_finished()).count() >= 58).await;
    run(&mut lock, &["COMMIT".into()]).await;
    let answers: Vec<Answer> = join_all(noise).await.into_iter().map(Result::unwrap).collect();
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((1..=2).contains(&served), "{served} had its two connections");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(matches!(answer.code(), "TOO_MANY_REQUESTS" | "POOL_EXHAUSTED"), "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
        reveals_nothing(&world, &north, answer);
    }
}

#[tokio::test]
async fn a_school_that_asks_faster_than_its_rate_is_told_when_to_come_back_and_no_other_is() {
    let world = World::start(Version::V18, |settings| {
        settings.quota.rate = NonZeroU32::MIN;
        settings.quota.burst = NonZeroU32::new(5).unwrap();
    })
    .await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (ana, rui) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    // However slow the machine, fifty requests are faster than one a second.
    let mut refused = None;
    for _ in 0..50 {
        let answer = ana.get("/settings").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), "TOO_MANY_REQUESTS");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(rui.get("/settings").await.status, 200);
    until("a place", async || ana.get("/settings").await.status == 200).await;
}
