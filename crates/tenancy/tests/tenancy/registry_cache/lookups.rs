//! Tenants that are looked up, refetched and listed.

use std::time::Duration;

use domain::tenant::InactiveState;
use futures::future::join_all;
use tenancy::registry_cache::{Error, RegistryCache, Settings};
use testing::Version;

use super::fixture::{Followed, NEVER, moved, settings, size, stranger};
use crate::master::Master;

#[tokio::test]
async fn a_thousand_callers_for_one_unknown_tenant_cost_one_query_and_later_ones_none() {
    let master = Master::start(Version::V18).await;
    let cache = RegistryCache::load(master.api(), master.opening.clone(), settings()).await.unwrap();
    for _ in 0..2 {
        let answers = join_all((0..1000).map(|_| cache.by_id(stranger(9)))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_none()));
        assert_eq!(master.statements("t.id = $1"), 1);
    }
}

#[tokio::test]
async fn a_tenant_that_was_unknown_is_found_as_soon_as_it_exists() {
    let master = Master::start(Version::V18).await;
    let mut followed = Followed::start(&master, settings()).await;
    let tenant = master.publication(1, "norte").tenant.id;
    assert!(followed.cache.by_id(tenant).await.unwrap().is_none());
    master.school(1, "norte").await;
    followed.until("the new school", |cache| cache.cached(tenant).is_some_and(|entry| entry.target.is_some())).await;
    assert!(followed.cache.by_id(tenant).await.unwrap().is_some());
}

#[tokio::test]
async fn a_tenant_that_nobody_announced_yet_is_looked_up() {
    let master = Master::start(Version::V18).await;
    let cache = RegistryCache::load(master.api(), master.opening.clone(), settings()).await.unwrap();
    let norte = master.school(1, "norte").await;
    assert_eq!(cache.by_id(norte).await.unwrap().unwrap().code, "norte");
    assert_eq!(cache.cached(norte).unwrap().code, "norte");
}

#[tokio::test]
async fn refetching_reads_what_was_not_announced_shares_one_query_and_never_goes_back() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let rare = Settings { refetch_interval: NEVER, ..settings() };
    let cache = RegistryCache::load(master.api(), master.opening.clone(), rare).await.unwrap();
    master.publish(&moved(&master.publication(1, "norte"), 7)).await;
    assert_eq!(size(&cache, tenant), Some(100));
    for entry in join_all((0..1000).map(|_| cache.refetch(tenant))).await {
        assert_eq!(entry.unwrap().unwrap().target.as_ref().unwrap().size, 7);
    }
    assert_eq!(cache.refetch(tenant).await.unwrap().unwrap().target.as_ref().unwrap().size, 7);
    assert_eq!(master.statements("t.id = $1"), 1);
    assert!(cache.refetch(stranger(9)).await.unwrap().is_none());

    let eager = Settings { refetch_interval: Duration::ZERO, ..settings() };
    let followed = Followed::start(&master, eager).await;
    let mut epoch = 0;
    for size in 10..40 {
        let published = moved(&master.publication(1, "norte"), size);
        let ((), early, late) = futures::join!(master.publish(&published), followed.cache.refetch(tenant), followed.cache.refetch(tenant));
        for entry in [early.unwrap(), late.unwrap(), followed.cache.cached(tenant)] {
            let read = entry.unwrap().epoch;
            assert!(read >= epoch, "went back from epoch {epoch} to {read}");
        }
        epoch = followed.cache.cached(tenant).unwrap().epoch;
    }
}

#[tokio::test]
async fn an_older_registry_is_refused_with_what_to_do_and_a_missing_one_is_an_error() {
    let master = Master::start(Version::V18).await;
    let load = async || RegistryCache::load(master.api(), master.opening.clone(), settings()).await.err();
    assert!(load().await.is_none());
    master.write("DELETE FROM registry.schema_migrations WHERE version = (SELECT max(version) FROM registry.schema_migrations)").await;
    let Some(Error::SchemaOutdated { found, needed }) = load().await else { panic!("an outdated registry was taken") };
    assert_eq!(found + 1, needed);
    master.write("DROP TABLE registry.schema_migrations").await;
    assert!(matches!(load().await, Some(Error::Registry(_))));
}

#[tokio::test]
async fn tenants_are_listed_by_code_page_by_page() {
    let master = Master::start(Version::V18).await;
    for (n, name) in [(1, "sul"), (2, "norte"), (3, "leste"), (4, "oeste")] {
        master.school(n, name).await;
    }
    master.withdraw(4, InactiveState::Retained).await;
    let cache = RegistryCache::load(master.api(), master.opening.clone(), settings()).await.unwrap();
    let page = |after| cache.list(after, 2).iter().map(|entry| entry.code.clone()).collect::<Vec<_>>();
    assert_eq!(page(None), ["leste", "norte"]);
    assert_eq!(page(Some("norte")), ["sul"]);
    assert!(page(Some("sul")).is_empty());
    assert_eq!(cache.len(), 4);
}
