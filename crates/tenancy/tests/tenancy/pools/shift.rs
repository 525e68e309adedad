//! A working day in a second: anything at any time, and nobody ever in another school's database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use sqlx::{Connection as _, Executor as _};
use tenancy::pools::{Error, Limits, Pools};
use testing::{Random, Version, seed, until};

use super::fleet::{Fleet, database, id, in_transaction, limits, pid, usage};

const TENANTS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_a_connection_is_in_its_tenants_database_with_a_session_as_new() {
    let seed = seed();
    println!("DAILYCARE_TEST_SEED={seed}");
    let fleet = Arc::new(Fleet::start(Version::V18, usize::try_from(TENANTS).unwrap()).await);
    let pools = Pools::new(Limits { server_budget: 4, tenant_cap: 2, check_after_idle: Duration::from_millis(1), ..limits() });
    let epochs = Arc::new([const { AtomicI64::new(1) }; 5]);
    let workers = (0..8).map(|worker| {
        let (fleet, pools, epochs) = (Arc::clone(&fleet), Arc::clone(&pools), Arc::clone(&epochs));
        tokio::spawn(async move {
            let mut random = Random::new(seed.wrapping_add(worker));
            for _ in 0..60 {
                request(&fleet, &pools, &epochs, &mut random).await;
            }
        })
    });
    for worker in join_all(workers).await {
        worker.unwrap();
    }
    until("all is given back", async || usage(&pools).idle == usage(&pools).open && usage(&pools).waiting == 0).await;
    assert!(usage(&pools).open <= 4);
}

async fn request(fleet: &Fleet, pools: &Arc<Pools>, epochs: &[AtomicI64; 5], random: &mut Random) {
    let tenant = usize::try_from(random.below(TENANTS)).unwrap();
    let target = fleet.target_of(tenant, epochs[tenant].load(Ordering::SeqCst), "right");
    if random.below(10) == 0 {
        // Given up after a moment, in the queue or while it connects.
        let _ = tokio::time::timeout(Duration::from_micros(random.below(5_000)), pools.connection(&target)).await;
        return;
    }
    let mut connection = match pools.connection(&target).await {
        Ok(connection) => connection,
        Err(Error::Stale | Error::Busy) => return,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(database(&mut connection).await, format!("school_{tenant}"));
    let query = "SELECT current_setting('search_path'), to_regclass('pg_temp.left_over') IS NULL";
    let found: (String, bool) = sqlx::query_as(query).fetch_one(&mut *connection).await.unwrap();
    assert_eq!(found, ("pg_catalog,app,pg_temp".to_owned(), true));
    assert!(!in_transaction(&mut connection).await);
    match random.below(9) {
        0 => drop(connection),
        1 => drop(connection.begin().await.unwrap()),
        2 => drop(connection.execute("BEGIN; SELECT 1").await.unwrap()),
        3 => drop(tokio::time::timeout(Duration::from_micros(random.below(2_000)), connection.execute("SELECT pg_sleep(0.002)")).await),
        4 => {
            connection.execute("SET search_path = public; CREATE TEMPORARY TABLE left_over ()").await.unwrap();
            connection.set_dirty();
            connection.finish();
        }
        5 => {
            let own = pid(&mut connection).await;
            fleet.terminate(own).await;
        }
        6 => pools.close(id(tenant), epochs[tenant].fetch_add(1, Ordering::SeqCst) + 1),
        _ => connection.finish(),
    }
}
