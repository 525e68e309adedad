//! What the next user of a connection finds: nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, Executor as _};
use tenancy::pools::{Limits, Pools, Target};
use testing::{Version, until};

use super::fleet::{Fleet, id, in_transaction, limits, pid, usage};

/// Pools of one connection, so that the next user gets the last one's.
fn one() -> Arc<Pools> {
    Pools::new(Limits { server_budget: 1, ..limits() })
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back_and_the_connection_used_again() {
    for version in Version::ALL {
        let fleet = Fleet::start(version, 1).await;
        let (pools, target) = (one(), fleet.target(0));
        let mut connection = pools.connection(&target).await.unwrap();
        connection.execute("CREATE TABLE public.pupil (name text)").await.unwrap();
        let first = pid(&mut connection).await;
        let mut transaction = connection.begin().await.unwrap();
        transaction.execute("INSERT INTO public.pupil VALUES ('Ana')").await.unwrap();
        drop(transaction);
        // The driver knows that something is left to do.
        connection.finish();
        let mut connection = pools.connection(&target).await.unwrap();
        // A transaction that the driver knows nothing of.
        connection.execute("BEGIN; INSERT INTO public.pupil VALUES ('Rui')").await.unwrap();
        drop(connection);
        let mut connection = pools.connection(&target).await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM public.pupil").fetch_one(&mut *connection).await.unwrap();
        assert_eq!((left, pid(&mut connection).await), (0, first));
        connection.execute("BEGIN").await.unwrap();
        connection.execute("SELECT 1 / 0").await.unwrap_err();
        drop(connection);
        let mut connection = pools.connection(&target).await.unwrap();
        assert!(!in_transaction(&mut connection).await);
    }
}

#[tokio::test]
async fn changed_settings_hold_from_the_next_use_without_a_new_epoch() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let pools = Pools::new(Limits { server_budget: 1, command_timeout: Duration::from_secs(40), ..limits() });
    let with = |seconds, pooling| {
        let mut route = fleet.route(0);
        (route.pool.command_timeout_seconds, route.pool.pooling) = (seconds, pooling);
        Arc::new(Target::new(id(0), 1, &route, "right".into()))
    };
    let mut sessions = Vec::new();
    for (seconds, pooling, shown) in [(7, true, "7s"), (9, true, "9s"), (9, false, "9s"), (9, true, "9s"), (3600, true, "40s")] {
        let mut connection = pools.connection(&with(seconds, pooling)).await.unwrap();
        let timeout: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut *connection).await.unwrap();
        assert_eq!(timeout, shown);
        sessions.push(pid(&mut connection).await);
        connection.finish();
    }
    let kept: Vec<_> = sessions.windows(2).map(|pair| pair[0] == pair[1]).collect();
    assert_eq!(kept, [false, true, false, false], "another timeout, the same, no pooling any more, another timeout");
}

#[tokio::test]
async fn giving_back_leaves_no_warning_in_the_servers_log() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let (pools, target) = (one(), fleet.target(0));
    for _ in 0..3 {
        let mut connection = pools.connection(&target).await.unwrap();
        let transaction = connection.begin().await.unwrap();
        drop(transaction);
        drop(connection);
    }
    drop(pools.connection(&target).await.unwrap());
    until("all is given back", async || usage(&pools).idle == 1).await;
    let log = std::fs::read_to_string(fleet.server.log_path()).unwrap();
    assert!(!log.contains("WARNING") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn a_query_that_is_dropped_at_any_point_does_not_poison_the_next_user() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let (pools, target) = (one(), fleet.target(0));
    for polls in 0..24 {
        let mut connection = pools.connection(&target).await.unwrap();
        {
            let mut query = pin!(work(&mut connection, polls));
            for _ in 0..polls {
                if futures::poll!(&mut query).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        drop(connection);
        let mut connection = pools.connection(&target).await.unwrap();
        let found: i64 = sqlx::query_scalar("SELECT $1::int8").bind(i64::from(polls)).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(found, i64::from(polls));
        assert!(!in_transaction(&mut connection).await, "after {polls} polls");
        connection.finish();
    }
}

/// Begins a transaction, prepares, runs and reads.
async fn work(connection: &mut sqlx::PgConnection, different: i32) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let statement =
        sqlx::AssertSqlSafe(format!("SELECT 'poison ' || n, {different} FROM generate_series(1, $1::int) AS n, pg_sleep(0.001)"));
    sqlx::query(statement).bind(50).fetch_all(&mut *transaction).await?;
    transaction.commit().await
}

#[tokio::test]
async fn a_place_is_not_free_while_the_server_goes_on_with_a_statement_that_nobody_waits_for() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let pools = Pools::new(Limits { answer_timeout: Duration::from_millis(50), ..limits() });
    let mut connection = pools.connection(&fleet.target(0)).await.unwrap();
    {
        let mut endless = pin!(connection.execute("SELECT pg_sleep(50)"));
        assert!(futures::poll!(&mut endless).is_pending());
    }
    until("it runs", async || fleet.sessions().await == 1).await;
    drop(connection);
    until("the place is free", async || usage(&pools).open == 0).await;
    assert_eq!(fleet.sessions().await, 0);
}

#[tokio::test]
async fn a_dirty_sessions_settings_tables_and_locks_are_gone_for_the_next_user() {
    for version in Version::ALL {
        let fleet = Fleet::start(version, 1).await;
        let (pools, target) = (one(), fleet.target(0));
        for finished in [true, false] {
            let mut connection = pools.connection(&target).await.unwrap();
            connection
                .execute("SET search_path = public; CREATE TEMPORARY TABLE left_over (); SELECT pg_advisory_lock(7); LISTEN news")
                .await
                .unwrap();
            connection.set_dirty();
            if finished {
                connection.finish();
            } else {
                drop(connection);
            }
            let mut connection = pools.connection(&target).await.unwrap();
            let query = "SELECT current_setting('search_path'), to_regclass('pg_temp.left_over') IS NULL,
                (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM pg_listening_channels())";
            let found: (String, bool, i64, i64) = sqlx::query_as(query).fetch_one(&mut *connection).await.unwrap();
            assert_eq!(found, ("pg_catalog,app,pg_temp".to_owned(), true, 0, 0));
        }
    }
}

#[tokio::test]
async fn without_pooling_every_use_has_a_session_of_its_own() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let mut route = fleet.route(0);
    route.pool.pooling = false;
    let (pools, target) = (one(), Arc::new(Target::new(super::fleet::id(0), 1, &route, "right".into())));
    let mut connection = pools.connection(&target).await.unwrap();
    let first = pid(&mut connection).await;
    connection.finish();
    assert_ne!(pid(&mut pools.connection(&target).await.unwrap()).await, first);
    until("nothing is kept", async || usage(&pools).open == 0).await;
}
