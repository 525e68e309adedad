//! Servers that die, logins that are refused, routes that change, and the end.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor as _;
use tenancy::circuit_breaker::BreakerSettings;
use tenancy::pools::{Error, Limits, Pools};
use testing::{Version, until};

use super::fleet::{Fleet, PATIENCE, database, id, limits, pid, request_connection, usage};

#[tokio::test]
async fn an_idle_connection_whose_backend_was_killed_is_replaced_unseen() {
    for version in Version::ALL {
        let fleet = Fleet::start(version, 1).await;
        let (pools, target) = (Pools::new(Limits { check_after_idle: Duration::ZERO, ..limits() }), fleet.target(0));
        let mut connection = pools.connection(&target).await.unwrap();
        let first = pid(&mut connection).await;
        connection.finish();
        fleet.terminate(first).await;
        let mut connection = pools.connection(&target).await.unwrap();
        assert_ne!(pid(&mut connection).await, first);
        assert_eq!(usage(&pools).open, 1);
    }
}

#[tokio::test]
async fn after_a_restart_the_first_dead_connection_found_lets_all_others_be_replaced_unseen() {
    let mut fleet = Fleet::start(Version::V18, 3).await;
    let pools = Pools::new(limits());
    for tenant in 0..3 {
        let both = (pools.connection(&fleet.target(tenant)).await.unwrap(), pools.connection(&fleet.target(tenant)).await.unwrap());
        both.0.finish();
        both.1.finish();
    }
    fleet.server.kill9().await.unwrap();
    fleet.server.start_again().await.unwrap();
    let mut dead = pools.connection(&fleet.target(0)).await.unwrap();
    dead.execute("SELECT 1").await.unwrap_err();
    drop(dead);
    until("the dead one is gone", async || usage(&pools).open == 5).await;
    for tenant in [0, 1, 2, 1, 2] {
        let mut connections =
            (pools.connection(&fleet.target(tenant)).await.unwrap(), pools.connection(&fleet.target(tenant)).await.unwrap());
        assert_eq!(database(&mut connections.0).await, format!("school_{tenant}"));
        assert_eq!(database(&mut connections.1).await, format!("school_{tenant}"));
    }
}

#[tokio::test]
async fn a_server_that_is_down_opens_the_breaker_and_the_first_probe_after_closes_it() {
    let mut fleet = Fleet::start(Version::V18, 1).await;
    let (pools, target) = (
        Pools::new(Limits { breaker: BreakerSettings { pause: Duration::from_secs(2), ..limits().breaker }, ..limits() }),
        fleet.target(0),
    );
    fleet.server.stop().await.unwrap();
    for _ in 0..5 {
        assert!(matches!(pools.connection(&target).await, Err(Error::Unreachable(_))));
    }
    assert!(matches!(pools.connection(&target).await, Err(Error::BreakerOpen { refused: false, .. })));
    assert_eq!(usage(&pools).open, 0);
    fleet.server.start_again().await.unwrap();
    until("the breaker is closed", async || pools.connection(&target).await.is_ok()).await;
    assert!(pools.connection(&target).await.is_ok());
}

#[tokio::test]
async fn a_session_that_leads_to_a_standby_is_left_with_all_of_its_age_unless_it_is_new() {
    let fleet = Fleet::start(Version::V18, 2).await;
    let pools = Pools::new(Limits { standby_recheck: Duration::ZERO, ..limits() });
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(pools.connection(&fleet.target(0)).await.unwrap());
    }
    let mut other = pools.connection(&fleet.target(1)).await.unwrap();
    let other_pid = pid(&mut other).await;
    other.finish();
    let (mut busy, idle, found) = (sessions.remove(0), sessions.remove(0), sessions.remove(0));
    let old = pid(&mut busy).await;
    idle.finish();
    assert!(found.leave_standby());
    busy.finish();
    until("the end of all sessions of that age", async || usage(&pools).open == 1).await;
    let mut fresh = pools.connection(&fleet.target(0)).await.unwrap();
    assert_ne!(pid(&mut fresh).await, old);
    let mut other = pools.connection(&fleet.target(1)).await.unwrap();
    assert_eq!(pid(&mut other).await, other_pid, "another school's session was closed");

    let pools = Pools::new(limits());
    let mut new = pools.connection(&fleet.target(0)).await.unwrap();
    let kept = pid(&mut new).await;
    assert!(!new.leave_standby(), "it was opened just now");
    until("the return of the session", async || usage(&pools).idle == 1).await;
    assert_eq!(pid(&mut pools.connection(&fleet.target(0)).await.unwrap()).await, kept);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_a_new_epoch_at_once() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let pools = Pools::new(limits());
    let wrong = fleet.target_of(0, 1, "wrong");
    assert!(matches!(pools.connection(&wrong).await, Err(Error::Refused(error)) if error.is("28P01")));
    for _ in 0..10 {
        assert!(matches!(pools.connection(&wrong).await, Err(Error::BreakerOpen { refused: true, .. })));
    }
    let log = std::fs::read_to_string(fleet.server.log_path()).unwrap();
    assert_eq!(log.matches("password authentication failed").count(), 1);
    pools.connection(&fleet.target_of(0, 2, "right")).await.unwrap().finish();
    assert!(matches!(pools.connection(&wrong).await, Err(Error::Stale)));
}

#[tokio::test]
async fn a_database_barred_closed_or_gone_asks_for_a_new_route_and_is_no_failure() {
    for version in Version::ALL {
        let fleet = Fleet::start(version, 1).await;
        let (pools, target) = (Pools::new(limits()), fleet.target(0));
        for statement in [
            "ALTER DATABASE school_0 ALLOW_CONNECTIONS false",
            "ALTER DATABASE school_0 ALLOW_CONNECTIONS true; ALTER DATABASE school_0 OWNER TO postgres; REVOKE CONNECT ON DATABASE school_0 FROM PUBLIC",
        ] {
            fleet.run(statement.to_owned()).await;
            for _ in 0..10 {
                assert!(matches!(pools.connection(&target).await, Err(Error::Stale)));
            }
        }
        fleet.run("DROP DATABASE school_0".to_owned()).await;
        assert!(matches!(pools.connection(&target).await, Err(Error::Stale)));
        assert_eq!(usage(&pools).open, 0);
        fleet.run("CREATE DATABASE school_0".to_owned()).await;
        assert!(pools.connection(&target).await.is_ok());
    }
}

#[tokio::test]
async fn closing_an_epoch_ends_idle_connections_waiters_and_busy_ones_when_given_back() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let (pools, old) = (Pools::new(Limits { tenant_cap: 2, ..limits() }), fleet.target(0));
    let (mut busy, idle) = (pools.connection(&old).await.unwrap(), pools.connection(&old).await.unwrap());
    idle.finish();
    pools.close(id(0), 2);
    until("the idle one is gone", async || fleet.sessions().await == 1 && usage(&pools).open == 1).await;
    assert_eq!(database(&mut busy).await, "school_0");
    assert!(matches!(pools.connection(&old).await, Err(Error::Stale)));

    let new = fleet.target_of(0, 2, "right");
    let mut second = pools.connection(&new).await.unwrap();
    let waiting = request_connection(&pools, &new);
    until("one waits", async || usage(&pools).waiting == 1).await;
    busy.finish();
    let mut third = waiting.await.unwrap().unwrap();
    assert_ne!(pid(&mut second).await, pid(&mut third).await);
    until("the old busy one is gone", async || fleet.sessions().await == 2).await;

    let waiting = request_connection(&pools, &new);
    until("one waits", async || usage(&pools).waiting == 1).await;
    pools.close(id(0), 3);
    assert!(matches!(waiting.await.unwrap(), Err(Error::Stale)));
}

#[tokio::test]
async fn draining_refuses_new_and_waiting_requests_and_lasts_until_busy_ones_are_closed() {
    let fleet = Fleet::start(Version::V18, 2).await;
    let pools = Pools::new(Limits { server_budget: 2, ..limits() });
    let (first, second) = (pools.connection(&fleet.target(0)).await.unwrap(), pools.connection(&fleet.target(0)).await.unwrap());
    second.finish();
    let busy = pools.connection(&fleet.target(1)).await.unwrap();
    let waiting = request_connection(&pools, &fleet.target(1));
    until("one waits", async || usage(&pools).waiting == 1).await;
    let drain = tokio::spawn({
        let pools = Arc::clone(&pools);
        async move { pools.drain(PATIENCE).await }
    });
    assert!(matches!(waiting.await.unwrap(), Err(Error::Stopping)));
    assert!(matches!(pools.connection(&fleet.target(0)).await, Err(Error::Stopping)));
    assert!(!drain.is_finished());
    first.finish();
    drop(busy);
    drain.await.unwrap();
    assert_eq!(usage(&pools).open, 0);
    until("no session is left", async || fleet.sessions().await == 0).await;
}
