//! Connections that break, hang or die, and a registry that is down: cached tenants are served, and nothing is missed.

use std::sync::Arc;
use std::time::Duration;

use tenancy::registry_cache::{Error, RegistryCache, Settings, State};
use testing::{Version, until};

use super::fixture::{Followed, moved, settings, size, state, stranger};
use crate::master::{API_LOGIN, Master};

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
    until("an age that no poll confirms", async || cache.age() > Duration::from_secs(1)).await;
    assert_eq!(size(cache, tenant), Some(100));
    master.server.resume().unwrap();
    until("a fresh confirmation", async || cache.age() < Duration::from_millis(500)).await;
    let answered = async {
        loop {
            if let Ok(found) = cache.by_id(stranger(9)).await {
                break found;
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), answered).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_of_the_master_database_that_leads_to_a_standby_reads_on_and_is_replaced() {
    let mut master = Master::start(Version::V18).await;
    let tenant = master.school(1, "norte").await;
    let pool = master.api();
    master.server.stop().await.unwrap();
    std::fs::write(master.server.log_path().with_file_name("data").join("standby.signal"), "").unwrap();
    master.server.start_again().await.unwrap();
    // The session's process, and its age in seconds.
    let session = async || {
        let mut conn = pool.acquire().await.unwrap();
        let select = "SELECT pid, extract(epoch FROM clock_timestamp() - backend_start)::float8 FROM pg_stat_activity
            WHERE pid = pg_backend_pid() AND EXISTS (SELECT FROM registry.tenants WHERE id = $1)";
        let session: (i32, f64) = sqlx::query_as(select).bind(tenant.0).fetch_one(&mut *conn).await.unwrap();
        drop(conn);
        // Otherwise the next one who asks would get a second session.
        until("the return of the session", async || pool.num_idle() > 0).await;
        session
    };
    let (first, _) = session().await;
    until("another session", async || session().await.0 != first).await;
    master.superuser("SELECT pg_promote()").await;
    let (promoted, _) = session().await;
    let older_than_one_with_a_standby = async || {
        let (pid, age) = session().await;
        assert_eq!(pid, promoted, "a session with the primary was replaced");
        age > 8.0
    };
    until("some age of the session", older_than_one_with_a_standby).await;
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
    until("a fresh confirmation", async || cache.age() < Duration::from_millis(200)).await;
    master.server.resume().unwrap();
}
