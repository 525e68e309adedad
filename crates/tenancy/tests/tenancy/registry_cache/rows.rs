//! What a row says: states, faults and keys.

use std::sync::Arc;
use std::time::Duration;

use domain::tenant::InactiveState;
use futures::future::join_all;
use provisioning::master::keyring::Keyring;
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::registry_cache::{Fault, RegistryCache, Settings, State};
use testing::{Version, until};

use super::fixture::{Followed, moved, settings, size, state, stranger};
use crate::master::Master;

#[tokio::test]
async fn states_are_told_apart_and_a_tenant_that_is_gone_is_unknown_without_being_asked_for() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let mut followed = Followed::start(&master, settings()).await;
    let cache = Arc::clone(&followed.cache);
    master.withdraw(1, InactiveState::Suspended).await;
    followed.until("suspended", |cache| state(cache.cached(tenant)) == Some((State::Suspended, false))).await;
    master.write("UPDATE registry.tenants SET state = 'moving'").await;
    followed.until("moving", |cache| state(cache.cached(tenant)) == Some((State::Moving, false))).await;
    master.publish(&master.publication(1, "norte")).await;
    followed.until("back", |cache| state(cache.cached(tenant)) == Some((State::Active, true))).await;
    master.withdraw(1, InactiveState::Retained).await;
    followed.until("retained", |cache| cache.cached(tenant).is_none()).await;
    assert!(cache.by_id(tenant).await.unwrap().is_none());
    assert_eq!((cache.list(None, 10).len(), cache.len()), (0, 1));
    master.withdraw(1, InactiveState::Deleted).await;
    followed.until("deleted", RegistryCache::is_empty).await;
    assert!(cache.by_id(tenant).await.unwrap().is_none());
    assert_eq!(master.statements("t.id = $1"), 0, "a tenant that is known to be gone was asked for");

    let heir = master.school(2, "norte").await;
    followed.until("the heir", |cache| cache.cached(heir).is_some_and(|entry| entry.target.is_some())).await;
    assert!(cache.by_id(tenant).await.unwrap().is_none());
}

#[tokio::test]
async fn a_row_that_cannot_be_served_stops_no_other() {
    for version in Version::ALL {
        let master = Master::start(version).await;
        let tenants = join_all((1..=6).map(|n| {
            let master = &master;
            async move { master.school(n, &format!("escola-{n}")).await }
        }))
        .await;
        let alter =
            async |n: usize, set: &str| master.write(&format!("UPDATE registry.tenants SET {set} WHERE id = '{}'", tenants[n])).await;
        master.write("ALTER TABLE registry.tenants DROP CONSTRAINT tenants_state_known").await;
        alter(0, "credentials = set_byte(credentials, 20, get_byte(credentials, 20) # 1)").await;
        alter(1, "key_id = 'lost'").await;
        alter(2, "state = 'hibernating', is_active = false").await;
        alter(3, "tls_mode = NULL").await;
        alter(4, &format!("credentials = (SELECT credentials FROM registry.tenants WHERE id = '{}')", tenants[5])).await;
        let cache = RegistryCache::load(master.api(), master.opening.clone(), settings()).await.unwrap();
        let faults: Vec<_> = tenants.iter().map(|&tenant| cache.cached(tenant).unwrap().fault).collect();
        let expected = [Fault::Refused, Fault::UnknownKey, Fault::UnknownState, Fault::NoRoute, Fault::Refused].map(Some);
        assert_eq!(faults[..5], expected);
        assert_eq!(faults[5], None);
        assert!(tenants[..5].iter().all(|&tenant| cache.cached(tenant).unwrap().target.is_none()));
        assert_eq!(size(&cache, tenants[5]), Some(100));
        assert!(!format!("{:?}", cache.list(None, 10)).contains("canary"), "an entry shows a password");
    }
}

#[tokio::test]
async fn a_rotated_key_is_read_from_the_file_whether_the_file_or_the_row_comes_first() {
    let master = Master::start(Version::V18).await;
    let (norte, sul) = (master.school(1, "norte").await, master.school(2, "sul").await);
    let file = tempfile::NamedTempFile::new().unwrap();
    let keys = ["k2", "k3"].map(|id| Keyring::generate_file(id).unwrap());
    let ring = |file: &SecretString| Keyring::parse(file).unwrap();
    let poll = Duration::from_millis(100);
    let settings = Settings { poll, key_file: Some(file.path().to_owned()), ..Settings::default() };
    let mut followed = Followed::start(&master, settings).await;

    let write = |text: &str| std::fs::write(file.path(), Keyring::opening_file(&text.into()).unwrap().expose_secret()).unwrap();
    write(keys[0].expose_secret());
    master.publish_with(&moved(&master.publication(1, "norte"), 7), &ring(&keys[0])).await;
    followed.until("a row of the new key", |cache| size(cache, norte) == Some(7)).await;

    master.publish_with(&moved(&master.publication(2, "sul"), 8), &ring(&keys[1])).await;
    let fault = |cache: &RegistryCache| cache.cached(sul).unwrap().fault;
    followed.until("a row of a key that is not there yet", |cache| fault(cache) == Some(Fault::UnknownKey)).await;
    assert_eq!(size(&followed.cache, norte), Some(7));
    write(&format!("{}{}", keys[1].expose_secret(), keys[0].expose_secret()));
    let cache = Arc::clone(&followed.cache);
    until("the late key", async || size(&cache, sul) == Some(8)).await;
}

#[tokio::test]
async fn a_late_key_is_found_even_if_the_line_is_never_silent() {
    let master = Master::start(Version::V18).await;
    let sul = master.school(2, "sul").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let keys = Keyring::generate_file("k2").unwrap();
    let settings = Settings { poll: Duration::from_secs(2), key_file: Some(file.path().to_owned()), ..Settings::default() };
    let mut followed = Followed::start(&master, settings).await;
    master.publish_with(&moved(&master.publication(2, "sul"), 8), &Keyring::parse(&keys).unwrap()).await;
    let fault = |cache: &RegistryCache| cache.cached(sul).unwrap().fault;
    followed.until("a row of a key that is not there yet", |cache| fault(cache) == Some(Fault::UnknownKey)).await;
    std::fs::write(file.path(), Keyring::opening_file(&keys).unwrap().expose_secret()).unwrap();
    let cache = Arc::clone(&followed.cache);
    let noise = async {
        loop {
            master.write(&format!("NOTIFY tenants, '{}'", stranger(9))).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = until("the late key", async || size(&cache, sul) == Some(8)) => {}
        () = noise => {}
    }
}
