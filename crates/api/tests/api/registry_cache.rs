//! The tenant registry cache: that it knows every change, in time and in order, and what it answers while the registry cannot be read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use futures::future::join_all;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{InactiveState, Publication};
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::SCHEMA;
use tenancy::registry_cache::{CachedTenant, Error, Fault, RegistryCache, Settings, State};
use testing::Version;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::registry::{API_LOGIN, Master};

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);
/// For what must happen, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn settings() -> Settings {
    Settings { poll: NEVER, ..Settings::default() }
}

/// A cache that follows its registry until it is dropped.
struct Followed {
    cache: Arc<RegistryCache>,
    changes: mpsc::UnboundedReceiver<(TenantId, i64)>,
    _stop: DropGuard,
}

impl Followed {
    async fn start(master: &Master, settings: Settings) -> Self {
        let cache = RegistryCache::load(master.api(), master.opening.clone(), settings).await.unwrap();
        let (told, changes) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let following = Arc::clone(&cache).follow(move |tenant, epoch| told.send((tenant, epoch)).unwrap_or_default(), stop.clone());
        let loaded = Instant::now();
        tokio::spawn(following);
        let line_is_up = || {
            let since = loaded.elapsed();
            cache.age() < since
        };
        eventually("a line to the registry", line_is_up).await;
        Self { cache, changes, _stop: stop.drop_guard() }
    }

    /// Waits until the cache has announced a change after which `holds`, which did not hold before.
    async fn until(&mut self, what: &str, mut holds: impl FnMut(&RegistryCache) -> bool) {
        let told = async {
            while !holds(&self.cache) {
                self.changes.recv().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("never happened: {what}"));
    }

    async fn until_epoch(&mut self, tenant: TenantId, epoch: i64) {
        self.until("the new route", |cache| cache.cached(tenant).is_some_and(|entry| entry.epoch >= epoch)).await;
    }
}

/// Waits for what no change is told of.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

fn stranger(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(n))
}

/// Another route, and so another epoch, each time.
fn moved(publication: &Publication, size: u16) -> Publication {
    let mut moved = publication.clone();
    moved.route.endpoint.host = format!("pg-{size}.example");
    moved.route.pool.size = size;
    moved
}

fn size(cache: &RegistryCache, tenant: TenantId) -> Option<u16> {
    cache.cached(tenant)?.target.as_ref().map(|target| target.size)
}

fn state(entry: Option<Arc<CachedTenant>>) -> Option<(State, bool)> {
    entry.map(|entry| (entry.state, entry.target.is_some()))
}

#[tokio::test]
async fn everything_is_loaded_and_a_new_route_is_heard_of_without_a_poll() {
    for version in Version::ALL {
        let master = Master::start(version).await;
        let tenant = master.school(1, "norte").await;
        master.reserve(2, "sul").await;
        let mut followed = Followed::start(&master, settings()).await;
        let entry = followed.cache.cached(tenant).unwrap();
        assert_eq!((entry.code.as_str(), entry.state, entry.schema_version), ("norte", State::Active, Some(SCHEMA)));
        let target = entry.target.as_ref().unwrap();
        assert_eq!((target.tenant, target.epoch, target.size), (tenant, entry.epoch, 100));
        let sul = master.publication(2, "sul").tenant.id;
        assert_eq!(state(followed.cache.by_id(sul).await.unwrap()), Some((State::Provisioning, false)));

        master.publish(&moved(&master.publication(1, "norte"), 7)).await;
        followed.until_epoch(tenant, entry.epoch + 1).await;
        assert_eq!(size(&followed.cache, tenant), Some(7));
        assert_eq!(master.statements("t.id = $1"), 0, "a tenant that is in memory was asked for");
    }
}

#[tokio::test]
async fn a_change_is_told_after_memory_has_it() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let cache = RegistryCache::load(master.api(), master.opening.clone(), settings()).await.unwrap();
    let (told, mut changes) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let seen = Arc::clone(&cache);
    let on_change = move |tenant, epoch| told.send((tenant, epoch, seen.cached(tenant).unwrap().epoch)).unwrap();
    let following = tokio::spawn(Arc::clone(&cache).follow(on_change, stop.clone()));
    for size in 1..20 {
        master.publish(&moved(&master.publication(1, "norte"), size)).await;
        let (told_of, epoch, known) = tokio::time::timeout(PATIENCE, changes.recv()).await.unwrap().unwrap();
        assert_eq!(told_of, tenant);
        assert!(known >= epoch, "told of epoch {epoch} while memory had {known}");
    }
    stop.cancel();
    following.await.unwrap();
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
    let wanted: Vec<_> = (0..8_u16).map(|n| (1..=10_u16).rev().find(|round| !(n + round).is_multiple_of(4))).collect();
    let sizes = |cache: &RegistryCache| tenants.iter().map(|&tenant| size(cache, tenant)).collect::<Vec<_>>();
    followed.until("every school's last write", |cache| sizes(cache) == wanted).await;
}

#[tokio::test]
async fn what_was_missed_while_the_line_was_cut_is_caught_up_with_and_removed_rows_too() {
    for version in Version::ALL {
        let master = Master::start(version).await;
        let (kept, removed) = (master.school(1, "norte").await, master.school(2, "sul").await);
        // Only the wait before a new line is bounded by this: a poll finds no removed row.
        let mut followed = Followed::start(&master, Settings { poll: Duration::from_millis(300), ..Settings::default() }).await;
        master.superuser(&format!("ALTER ROLE {API_LOGIN} NOLOGIN")).await;
        master.cut().await;
        master.publish(&moved(&master.publication(1, "norte"), 7)).await;
        let new = master.school(3, "leste").await;
        master.write(&format!("DELETE FROM registry.tenants WHERE id = '{removed}'")).await;
        assert_eq!(size(&followed.cache, kept), Some(100), "the line was not cut");
        master.superuser(&format!("ALTER ROLE {API_LOGIN} LOGIN")).await;
        let current =
            |cache: &RegistryCache| size(cache, kept) == Some(7) && size(cache, new) == Some(100) && cache.cached(removed).is_none();
        followed.until("all that was missed", current).await;
        assert!(followed.cache.by_id(removed).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn lines_that_are_cut_again_and_again_lose_no_change() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let mut followed = Followed::start(&master, Settings { poll: Duration::from_millis(200), ..Settings::default() }).await;
    for size_ in 1..=10 {
        let published = moved(&master.publication(1, "norte"), size_);
        futures::join!(master.cut(), master.publish(&published));
        followed.until("a change amid a storm", |cache| size(cache, tenant) == Some(size_)).await;
    }
}

#[tokio::test]
async fn a_row_that_is_removed_by_hand_is_forgotten_and_its_connections_are_old() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let mut followed = Followed::start(&master, settings()).await;
    master.school(2, "sul").await;
    master.write(&format!("DELETE FROM registry.tenants WHERE id = '{tenant}'")).await;
    let told = async { while followed.changes.recv().await.unwrap() != (tenant, i64::MAX) {} };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert!(followed.cache.cached(tenant).is_none());
    followed.until("the other school", |cache| cache.len() == 1).await;
    assert!(followed.cache.by_id(tenant).await.unwrap().is_none());
}

#[tokio::test]
async fn while_the_registry_is_down_known_tenants_are_served_and_unknown_ones_an_error() {
    for version in Version::ALL {
        let mut master = Master::start(version).await;
        let tenant = master.school(1, "norte").await;
        let mut followed = Followed::start(&master, Settings { query_timeout: Duration::from_millis(500), ..settings() }).await;
        let cache = Arc::clone(&followed.cache);
        master.server.kill9().await.unwrap();
        assert_eq!(state(cache.by_id(tenant).await.unwrap()), Some((State::Active, true)));
        assert!(matches!(cache.by_id(stranger(9)).await, Err(Error::Registry(_))), "unknown was taken for absent");
        assert!(cache.refetch(tenant).await.is_err());
        assert_eq!(state(cache.cached(tenant)), Some((State::Active, true)), "a failed refetch lost what was known");
        let age = cache.age();
        assert!(age > Duration::ZERO && cache.age() > age, "nobody confirmed anything");

        master.server.start_again().await.unwrap();
        master.publish(&moved(&master.publication(1, "norte"), 7)).await;
        followed.until("a change after the restart", |cache| size(cache, tenant) == Some(7)).await;
        assert!(cache.by_id(stranger(9)).await.unwrap().is_none(), "an error was remembered as an absence");
    }
}

#[tokio::test]
async fn a_registry_that_hangs_makes_errors_in_time_and_what_is_known_is_served() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let quick = Settings { query_timeout: Duration::from_millis(300), poll: Duration::from_millis(50), ..Settings::default() };
    let followed = Followed::start(&master, quick).await;
    let cache = &followed.cache;
    master.server.pause().unwrap();
    assert!(cache.by_id(stranger(9)).await.is_err());
    eventually("an age that no poll confirms", || cache.age() > Duration::from_secs(1)).await;
    assert_eq!(size(cache, tenant), Some(100));
    master.server.resume().unwrap();
    eventually("a fresh confirmation", || cache.age() < Duration::from_millis(500)).await;
    let asked = async {
        loop {
            if let Ok(found) = cache.by_id(stranger(9)).await {
                break found;
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), asked).await.unwrap().is_none());
}

#[tokio::test]
async fn a_line_that_is_dead_without_knowing_it_is_left_for_a_new_one() {
    let master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let quick = Settings { query_timeout: Duration::from_millis(300), poll: Duration::from_millis(50), ..Settings::default() };
    let mut followed = Followed::start(&master, quick).await;
    // Through these connections neither an answer nor an error will ever come, while new ones work.
    master.freeze().await;
    master.publish(&moved(&master.publication(1, "norte"), 7)).await;
    followed.until("a change after the line died", |cache| size(cache, tenant) == Some(7)).await;
    let cache = &followed.cache;
    eventually("a fresh confirmation", || cache.age() < Duration::from_millis(200)).await;
    master.server.resume().unwrap();
}

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
    eventually("the late key", || size(&cache, sul) == Some(8)).await;
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
        () = eventually("the late key", || size(&cache, sul) == Some(8)) => {}
        () = noise => {}
    }
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
    let Some(Error::Outdated { found, needed }) = load().await else { panic!("an outdated registry was taken") };
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
