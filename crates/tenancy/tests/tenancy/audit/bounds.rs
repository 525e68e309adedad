//! The queue is bounded, what is lost is counted, and a stop loses nothing that can be written.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use tenancy::audit::{Limits, Record, Settings};
use testing::Version;
use uuid::Uuid;

use super::fixture::{Running, World, ids, leave, record, records};

#[tokio::test]
async fn what_waits_is_bounded_and_what_is_lost_is_counted_to_the_record() {
    let world = World::start(Version::V18, 2).await;
    let [noisy, quiet] = &world.schools[..] else { unreachable!() };
    world.close(noisy).await;
    let (audit, writer) = world.audit(Settings { capacity: 100, batch: 30, ..Settings::default() });
    let (many, few) = (records(noisy.tenant, 1_000), records(quiet.tenant, 10));
    leave(&audit, &few);
    leave(&audit, &many);
    assert_eq!((audit.waiting(), audit.dropped()), (100, 910));
    world.open(noisy).await;
    assert_eq!(Running::start(audit, writer).stop().await, 910);
    assert_eq!(world.written(quiet).await, ids(&few));
    assert_eq!(world.written(noisy).await, ids(&many[910..]));
}

#[tokio::test]
async fn refusals_of_nobody_are_recorded_within_bounds_and_push_nobody_elses_records_out() {
    let world = World::start(Version::V18, 1).await;
    let limit = |n| std::num::NonZeroU32::new(n).unwrap();
    let refusals = Limits { address: limit(3), nobody: limit(1), user: limit(2), ..Limits::default() };
    let (audit, writer) = world.audit(Settings { capacity: 100, refusals, ..Settings::default() });
    let staff = record(None, 0);
    audit.record(staff.clone());
    let refused = |user: Option<u128>, address: [u8; 4], n| {
        let (user, address) = (user.map(Uuid::from_u128), Some(IpAddr::from(address)));
        audit.record(Record { user, address, success: false, ..record(None, n) });
    };
    (0..1_000).for_each(|n| refused(None, [192, 0, 2, 9], n));
    assert_eq!(audit.waiting(), 1 + 3, "one address");
    (0..200).for_each(|n| refused(None, [198, 51, 100, n], n.into()));
    assert_eq!(audit.waiting(), 1 + 10, "all addresses");
    (0..100).for_each(|n| refused(Some(1), [192, 0, 2, 1], n));
    (0..100).for_each(|n| refused(Some(2), [192, 0, 2, 1], n));
    assert_eq!((audit.waiting(), audit.dropped()), (1 + 10 + 4, 0), "each user");
    leave(&audit, &records(world.schools[0].tenant, 40));
    (100..200).for_each(|n| refused(Some(n), [192, 0, 2, 1], 0));
    assert_eq!((audit.waiting(), audit.dropped()), (1 + 10 + 4 + 40, 0), "half the queue waits");
    assert_eq!(Running::start(audit, writer).stop().await, 0);
    assert!(world.platform(None).await.contains(&staff));
}

#[tokio::test]
async fn a_graceful_stop_under_the_load_of_twenty_schools_loses_nothing() {
    let world = World::start(Version::V18, 20).await;
    let running = world.running(Settings::default());
    let left = join_all(world.schools.iter().map(|school| {
        let (audit, left) = (running.audit.clone(), records(school.tenant, 400));
        tokio::spawn(async move {
            for part in left.chunks(7) {
                leave(&audit, part);
                tokio::task::yield_now().await;
            }
            left
        })
    }))
    .await;
    let audit = running.audit.clone();
    assert!(audit.waiting() > 0, "there was nothing left to write");
    assert_eq!(running.stop().await, 0);
    for (school, left) in world.schools.iter().zip(left) {
        assert_eq!(world.written(school).await, ids(&left.unwrap()));
    }
    audit.record(record(world.schools[0].tenant, 0));
    assert_eq!((audit.waiting(), audit.dropped()), (0, 1));
}

#[tokio::test]
async fn a_stop_writes_what_failed_before_once_more_and_counts_what_fails_again() {
    let world = World::start(Version::V18, 2).await;
    let [denied, allowed] = &world.schools[..] else { unreachable!() };
    for school in &world.schools {
        world.inside(school, "REVOKE INSERT ON app.access_audit FROM tenant_app").await;
    }
    // Less than who was denied waits before trying again.
    let running = world.running(Settings { drain: Duration::from_secs(2), ..Settings::default() });
    let left = records(allowed.tenant, 5);
    leave(&running.audit, &records(denied.tenant, 5));
    leave(&running.audit, &left);
    world.until_logged("permission denied for table access_audit", 2).await;
    running.until_waiting(10).await;
    world.inside(allowed, "GRANT INSERT ON app.access_audit TO tenant_app").await;
    assert_eq!(running.stop().await, 5);
    assert_eq!(world.written(allowed).await, ids(&left));
}

#[tokio::test]
async fn a_record_that_the_database_refuses_costs_no_other() {
    let world = World::start(Version::V18, 1).await;
    let school = &world.schools[0];
    world.inside(school, "ALTER TABLE app.access_audit ADD CHECK (action <> 'poison')").await;
    let running = world.running(Settings::default());
    let left = records(school.tenant, 9);
    leave(&running.audit, &left[..4]);
    running.audit.record(Record { action: "poison".into(), ..record(school.tenant, 0) });
    leave(&running.audit, &left[4..]);
    assert_eq!(running.stop().await, 1);
    assert_eq!(world.written(school).await, ids(&left));
}
