//! A registry that goes back in time under a running process: it is believed, and connections of routes that changed are old.

use std::sync::Arc;
use std::time::Duration;

use domain::names::TenantId;
use domain::tenant::InactiveState;
use tenancy::registry_cache::{RegistryCache, Settings, State};
use testing::{Version, until};

use super::fixture::{Followed, moved, settings, size, state};
use crate::master::Master;

fn quick() -> Settings {
    Settings { poll: Duration::from_millis(200), refetch_interval: Duration::ZERO, ..settings() }
}

fn route_epoch(cache: &RegistryCache, tenant: TenantId) -> i64 {
    cache.cached(tenant).unwrap().target.as_ref().unwrap().epoch
}

#[tokio::test]
async fn a_restored_master_database_replaces_what_is_in_memory_and_later_changes_count_at_once() {
    for version in Version::ALL {
        let master = Master::start(version).await;
        let (norte, sul, leste) = (master.school(1, "norte").await, master.school(2, "sul").await, master.school(3, "leste").await);
        master.back_up().await;
        // Numbers that the restored registry does not know.
        for size in 1..=20 {
            master.publish(&moved(&master.publication(1, "norte"), size)).await;
        }
        master.withdraw(3, InactiveState::Suspended).await;
        let lost = master.school(4, "oeste").await;
        let mut followed = Followed::start(&master, quick()).await;
        let [norte_epoch, sul_epoch] = [norte, sul].map(|tenant| route_epoch(&followed.cache, tenant));
        assert_eq!((size(&followed.cache, norte), size(&followed.cache, lost)), (Some(20), Some(100)));

        master.restore().await;
        let restored = |cache: &RegistryCache| {
            (size(cache, norte), state(cache.cached(leste))) == (Some(100), Some((State::Active, true))) && cache.cached(lost).is_none()
        };
        followed.until("what the restored registry says", restored).await;
        assert!(route_epoch(&followed.cache, norte) > norte_epoch, "connections of the lost route would be used");
        assert_eq!(route_epoch(&followed.cache, sul), sul_epoch, "connections of a route that is the same were closed");

        // Fewer changes than were lost.
        let before = route_epoch(&followed.cache, norte);
        master.publish(&moved(&master.publication(1, "norte"), 30)).await;
        master.withdraw(2, InactiveState::Suspended).await;
        let current = |cache: &RegistryCache| (size(cache, norte), state(cache.cached(sul))) == (Some(30), Some((State::Suspended, false)));
        followed.until("changes after the restore", current).await;
        assert!(route_epoch(&followed.cache, norte) > before);
    }
}

#[tokio::test]
async fn rows_that_are_put_back_in_place_are_noticed_by_a_line_that_never_broke() {
    let master = Master::start(Version::V18).await;
    let (norte, sul) = (master.school(1, "norte").await, master.school(2, "sul").await);
    master.superuser("CREATE TABLE public.kept AS TABLE registry.tenants").await;
    master.publish(&moved(&master.publication(1, "norte"), 7)).await;
    master.withdraw(2, InactiveState::Suspended).await;
    let mut followed = Followed::start(&master, quick()).await;
    assert_eq!((size(&followed.cache, norte), size(&followed.cache, sul)), (Some(7), None));
    // As a restore of data does it: without triggers, so nobody is told.
    let put_back = "
        SET session_replication_role = replica;
        UPDATE registry.tenants t SET state = k.state, is_active = k.is_active, host = k.host, pool_size = k.pool_size, epoch = k.epoch,
            change_seq = k.change_seq FROM public.kept k WHERE k.id = t.id";
    master.superuser(put_back).await;
    let restored = |cache: &RegistryCache| (size(cache, norte), size(cache, sul)) == (Some(100), Some(100));
    followed.until("the rows as they are", restored).await;
}

#[tokio::test]
async fn a_registry_that_is_empty_as_amid_a_restore_takes_no_school_away() {
    let master = Master::start(Version::V18).await;
    let norte = master.school(1, "norte").await;
    let mut followed = Followed::start(&master, quick()).await;
    let cache = Arc::clone(&followed.cache);
    master.superuser("CREATE TABLE public.kept AS TABLE registry.tenants").await;
    master.superuser("SET session_replication_role = replica; DELETE FROM registry.tenants").await;
    let reads = master.statements("t.change_seq > $1");
    until("some reads of the empty registry", async || master.statements("t.change_seq > $1") > reads + 3).await;
    assert_eq!(state(cache.cached(norte)), Some((State::Active, true)));
    let columns = "id, name, code, email, phone_number, is_active, activated_at, school_uid, cluster_uid, school_namespace, school_name, state, server,
        host, port, database_name, login, tls_mode, tls_ca, credentials, key_id, pool_size, schema_version, epoch, change_seq";
    master
        .superuser(&format!(
            "SET session_replication_role = replica; INSERT INTO registry.tenants ({columns}) SELECT {columns} FROM public.kept"
        ))
        .await;
    master.publish(&moved(&master.publication(1, "norte"), 7)).await;
    followed.until("a change after the restore", |cache| size(cache, norte) == Some(7)).await;
}
