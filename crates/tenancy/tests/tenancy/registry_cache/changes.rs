//! Changes are learned of in time and in order, by notification or by poll.

use std::sync::Arc;
use std::time::Duration;

use domain::names::TenantId;
use futures::future::join_all;
use postgres::schema::Migrations;
use tenancy::registry_cache::{RegistryCache, Settings, State};
use testing::{PATIENCE, Version};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fixture::{Followed, moved, settings, size, state};
use crate::master::Master;

#[tokio::test]
async fn everything_is_loaded_and_a_new_route_is_heard_of_without_a_poll() {
    let target = Migrations::tenant().unwrap().target();
    for version in Version::ALL {
        let master = Master::start(version).await;
        let tenant = master.school(1, "norte").await;
        master.reserve(2, "sul").await;
        let mut followed = Followed::start(&master, settings()).await;
        let entry = followed.cache.cached(tenant).unwrap();
        assert_eq!((entry.code.as_str(), entry.state, entry.schema_version), ("norte", State::Active, Some(target)));
        let way = entry.target.as_ref().unwrap();
        assert_eq!((way.tenant, way.size), (tenant, 100));
        let sul = master.publication(2, "sul").tenant.id;
        assert_eq!(state(followed.cache.by_id(sul).await.unwrap()), Some((State::Provisioning, false)));

        master.publish(&moved(&master.publication(1, "norte"), 7)).await;
        followed.until_epoch(tenant, entry.epoch + 1).await;
        let moved = followed.cache.cached(tenant).unwrap();
        assert!(moved.target.as_ref().unwrap().epoch > way.epoch, "connections of the old route would be used");
        assert_eq!(size(&followed.cache, tenant), Some(7));
        assert_eq!(master.statements("t.id = $1"), 0, "a tenant that is in memory was asked for");
    }
}

#[tokio::test]
async fn a_change_is_announced_after_memory_has_it() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let cache = RegistryCache::load(master.api(), master.opening.clone(), settings()).await.unwrap();
    let (sender, mut changes) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let observer = Arc::clone(&cache);
    let on_change = move |tenant, epoch| sender.send((tenant, epoch, route_epoch(&observer, tenant))).unwrap();
    let following = tokio::spawn(Arc::clone(&cache).follow(on_change, stop.clone()));
    for size in 1..20 {
        master.publish(&moved(&master.publication(1, "norte"), size)).await;
        let (tenant_of_change, epoch, known) = tokio::time::timeout(PATIENCE, changes.recv()).await.unwrap().unwrap();
        assert_eq!(tenant_of_change, tenant);
        assert!(known >= epoch, "the announced epoch is {epoch} and memory had {known}");
    }
    stop.cancel();
    following.await.unwrap();
}

fn route_epoch(cache: &RegistryCache, tenant: TenantId) -> i64 {
    cache.cached(tenant).unwrap().target.as_ref().unwrap().epoch
}

#[tokio::test]
async fn without_notifications_the_poll_finds_every_change() {
    for version in Version::ALL {
        let master = Master::start(version).await;
        let tenant = master.school(1, "norte").await;
        let deaf = Settings { listen: false, poll: Duration::from_millis(20), ..Settings::default() };
        let mut followed = Followed::start(&master, deaf).await;
        master.publish(&moved(&master.publication(1, "norte"), 7)).await;
        followed.until("the new route", |cache| size(cache, tenant) == Some(7)).await;
        let new = master.school(2, "sul").await;
        followed.until("the new school", |cache| cache.cached(new).is_some_and(|entry| entry.target.is_some())).await;
        assert_eq!(master.statements("LISTEN"), 0);
    }
}

#[tokio::test]
async fn writers_that_commit_late_and_in_any_order_are_not_missed() {
    let master = Master::start(Version::V18).await;
    let tenants: Vec<_> = join_all((1..=8).map(|n| {
        let master = &master;
        async move { master.school(n, &format!("escola-{n}")).await }
    }))
    .await;
    let deaf = Settings { listen: false, poll: Duration::from_millis(1), ..Settings::default() };
    let mut followed = Followed::start(&master, deaf).await;
    let write = |tenant: TenantId, round: i32, commit: bool| {
        let pool = &master.operator;
        async move {
            let mut transaction = pool.begin().await.unwrap();
            let update = sqlx::query("UPDATE registry.tenants SET pool_size = $2, port = $2 WHERE id = $1").bind(tenant.0).bind(round);
            update.execute(&mut *transaction).await.unwrap();
            // Time for a poll to come between the number and the commit.
            sqlx::query("SELECT pg_sleep(0.003)").execute(&mut *transaction).await.unwrap();
            if commit { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
        }
    };
    for round in 1..=10 {
        join_all(tenants.iter().enumerate().map(|(n, &tenant)| write(tenant, round, (n + usize::try_from(round).unwrap()) % 4 != 0))).await;
    }
    // What the last committed round of each school was.
    let expected: Vec<_> = (0..8_u16).map(|n| (1..=10_u16).rev().find(|round| !(n + round).is_multiple_of(4))).collect();
    let sizes = |cache: &RegistryCache| tenants.iter().map(|&tenant| size(cache, tenant)).collect::<Vec<_>>();
    followed.until("every school's last write", |cache| sizes(cache) == expected).await;
}

#[tokio::test]
async fn a_row_that_is_removed_by_hand_is_forgotten_and_its_connections_are_old() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let mut followed = Followed::start(&master, settings()).await;
    let epoch = route_epoch(&followed.cache, tenant);
    master.school(2, "sul").await;
    master.write(&format!("DELETE FROM registry.tenants WHERE id = '{tenant}'")).await;
    let announced = async {
        loop {
            let (changed, epoch) = followed.changes.recv().await.unwrap();
            if changed == tenant {
                break epoch;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, announced).await.unwrap() > epoch, "its connections would be used");
    assert!(followed.cache.cached(tenant).is_none());
    followed.until("the other school", |cache| cache.len() == 1).await;
    assert!(followed.cache.by_id(tenant).await.unwrap().is_none());
}
