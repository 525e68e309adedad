//! The budget, the caps, the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tenancy::pools::{Error, Limits, Pools, Target};
use testing::{Version, until};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::fleet::{Fleet, PATIENCE, database, id, limits, pid, request_connection, usage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tenants_share_ten_connections_and_there_is_never_an_eleventh() {
    let fleet = Arc::new(Fleet::start(Version::V18, 40).await);
    let pools = Pools::new(Limits { tenant_cap: 3, ..limits() });
    let over = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn({
        let (fleet, over) = (Arc::clone(&fleet), Arc::clone(&over));
        async move {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(fleet.sessions().await);
            }
            most
        }
    });
    let workers = (0..30).map(|worker| {
        let (fleet, pools) = (Arc::clone(&fleet), Arc::clone(&pools));
        tokio::spawn(async move {
            for round in 0..10 {
                let tenant = (worker * 7 + round * 31) % 200;
                let mut connection = pools.connection(&fleet.target(tenant)).await.unwrap();
                assert_eq!(database(&mut connection).await, format!("school_{}", tenant % 40));
                assert!(usage(&pools).open <= 10);
                if round % 3 == 0 { drop(connection) } else { connection.finish() }
            }
        })
    });
    for worker in join_all(workers).await {
        worker.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    assert!((2..=10).contains(&watcher.await.unwrap()));
    until("everybody gave back", async || usage(&pools).idle == usage(&pools).open).await;
    assert_eq!(usage(&pools).waiting, 0);
}

#[tokio::test]
async fn in_a_full_budget_another_tenants_least_recently_used_connection_makes_room() {
    let fleet = Fleet::start(Version::V18, 3).await;
    let pools = Pools::new(Limits { server_budget: 2, wait: Duration::from_secs(20), ..limits() });
    for tenant in [0, 1, 0] {
        pools.connection(&fleet.target(tenant)).await.unwrap().finish();
    }
    let third = pools.connection(&fleet.target(2)).await.unwrap();
    let open = pools.by_tenant().into_iter().map(|(tenant, usage)| (tenant, usage.open)).collect::<std::collections::HashMap<_, _>>();
    assert_eq!(open, [(id(0), 1), (id(2), 1)].into());
    third.finish();
}

#[tokio::test]
async fn an_idle_connection_is_lent_and_none_is_opened_for_who_has_none_or_while_somebody_waits() {
    let fleet = Fleet::start(Version::V18, 2).await;
    let pools = Pools::new(Limits { server_budget: 1, wait: Duration::from_secs(20), ..limits() });
    assert!(pools.idle_connection(&fleet.target(0)).is_none(), "nobody has one");
    pools.connection(&fleet.target(0)).await.unwrap().finish();
    assert!(pools.idle_connection(&fleet.target(1)).is_none(), "it is another's");
    let mut lent = pools.idle_connection(&fleet.target(0)).unwrap();
    assert_eq!(database(&mut lent).await, "school_0");
    assert!(pools.idle_connection(&fleet.target(0)).is_none() && usage(&pools).open == 1, "a second one was opened");
    let waiting = request_connection(&pools, &fleet.target(1));
    until("another waits", async || usage(&pools).waiting == 1).await;
    lent.finish();
    let connection = waiting.await.unwrap().unwrap();
    assert!(pools.idle_connection(&fleet.target(0)).is_none(), "it gave way to who waited");
    connection.finish();
    pools.close(id(1), 2);
    assert!(pools.idle_connection(&fleet.target(1)).is_none(), "its epoch is over");
}

#[tokio::test]
async fn a_hundred_waiting_requests_of_one_tenant_do_not_hold_up_another() {
    let fleet = Fleet::start(Version::V18, 2).await;
    let pools = Pools::new(Limits { server_budget: 4, tenant_cap: 25, ..limits() });
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(pools.connection(&fleet.target(0)).await.unwrap());
    }
    let noisy: Vec<_> = (0..100).map(|_| request_connection(&pools, &fleet.target(0))).collect();
    until("a hundred wait", async || usage(&pools).waiting == 100).await;
    let quiet = request_connection(&pools, &fleet.target(1));
    until("one more waits", async || usage(&pools).waiting == 101).await;
    held.pop().unwrap().finish();
    let mut connection = quiet.await.unwrap().unwrap();
    assert_eq!(usage(&pools).waiting, 100, "the very next connection was the other tenant's");
    assert_eq!(database(&mut connection).await, "school_1");
    drop((held, connection));
    for request in noisy {
        request.await.unwrap().unwrap().finish();
    }
}

#[tokio::test]
async fn a_tenant_has_no_more_connections_than_its_setting_and_the_cap_allow() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let pools = Pools::new(Limits { tenant_cap: 2, ..limits() });
    let (first, _second) = (pools.connection(&fleet.target(0)).await.unwrap(), pools.connection(&fleet.target(0)).await.unwrap());
    let third = request_connection(&pools, &fleet.target(0));
    until("the third waits", async || usage(&pools).waiting == 1).await;
    assert_eq!(usage(&pools).open, 2);
    first.finish();
    let _third = third.await.unwrap().unwrap();
    assert_eq!(usage(&pools).open, 2);
}

#[tokio::test]
async fn with_four_waiters_for_each_connection_a_tenant_is_busy_and_others_are_not() {
    let fleet = Fleet::start(Version::V18, 2).await;
    let pools = Pools::new(Limits { tenant_cap: 1, ..limits() });
    let held = pools.connection(&fleet.target(0)).await.unwrap();
    let waiting: Vec<_> = (0..4).map(|_| request_connection(&pools, &fleet.target(0))).collect();
    until("four wait", async || usage(&pools).waiting == 4).await;
    assert!(matches!(pools.connection(&fleet.target(0)).await, Err(Error::Busy)));
    pools.connection(&fleet.target(1)).await.unwrap().finish();
    held.finish();
    for request in waiting {
        request.await.unwrap().unwrap().finish();
    }
}

#[tokio::test]
async fn who_waits_in_vain_is_told_so_and_leaves_the_queue() {
    let fleet = Fleet::start(Version::V18, 2).await;
    let pools = Pools::new(Limits { server_budget: 1, wait: Duration::from_millis(20), ..limits() });
    let held = pools.connection(&fleet.target(0)).await.unwrap();
    assert!(matches!(pools.connection(&fleet.target(1)).await, Err(Error::Exhausted { source: None })));
    assert_eq!((usage(&pools).open, usage(&pools).waiting), (1, 0));
    held.finish();
}

#[tokio::test]
async fn requests_that_are_dropped_while_they_wait_or_connect_leave_no_place_taken() {
    let fleet = Fleet::start(Version::V18, 2).await;
    let pools = Pools::new(Limits { server_budget: 1, ..limits() });
    let held = pools.connection(&fleet.target(0)).await.unwrap();
    let waiting: Vec<_> = (0..20).map(|n| request_connection(&pools, &fleet.target(n % 2))).collect();
    until("all wait", async || usage(&pools).waiting == 20).await;
    // Some are dropped in the queue, some at the moment when they are served.
    waiting[..10].iter().for_each(tokio::task::JoinHandle::abort);
    held.finish();
    waiting[10..].iter().for_each(tokio::task::JoinHandle::abort);
    until("nobody waits", async || usage(&pools).waiting == 0).await;
    until("what was served is idle or gone", async || usage(&pools).idle == usage(&pools).open).await;
    drop(waiting);

    pools.connection(&fleet.target(0)).await.unwrap().finish();
    fleet.server.pause().unwrap();
    let connecting = request_connection(&pools, &fleet.target_of(0, 2, "right"));
    until("it connects to a server that hangs", async || usage(&pools).open == 1 && usage(&pools).idle == 0).await;
    connecting.abort();
    until("its place is free", async || usage(&pools).open == 0).await;
    fleet.server.resume().unwrap();
    let mut connection = pools.connection(&fleet.target(1)).await.unwrap();
    assert_eq!(database(&mut connection).await, "school_1");
}

#[tokio::test]
async fn what_is_idle_for_long_or_lived_its_time_is_closed_and_its_tenant_forgotten() {
    let fleet = Fleet::start(Version::V18, 1).await;
    let pools = Pools::new(Limits { idle: Duration::from_millis(40), ..limits() });
    let stop = CancellationToken::new();
    let reaper = tokio::spawn(Arc::clone(&pools).reap(stop.clone()));
    let mut busy = pools.connection(&fleet.target(0)).await.unwrap();
    pools.connection(&fleet.target(0)).await.unwrap().finish();
    until("the idle one is closed", async || usage(&pools).open == 1).await;
    database(&mut busy).await;
    busy.finish();
    until("both are closed", async || pools.by_tenant().is_empty() && fleet.sessions().await == 0).await;
    stop.cancel();
    reaper.await.unwrap();

    let pools = Pools::new(Limits { lifetime: Duration::ZERO, ..limits() });
    let mut connection = pools.connection(&fleet.target(0)).await.unwrap();
    let first = pid(&mut connection).await;
    connection.finish();
    assert_ne!(pid(&mut pools.connection(&fleet.target(0)).await.unwrap()).await, first);
}

#[tokio::test]
async fn nobody_is_refused_while_connections_take_longer_to_open_than_the_usual_wait() {
    let fleet = Fleet::start(Version::V18, 4).await;
    let limits = Limits { server_budget: 1, wait: Duration::from_millis(50), connect_timeout: PATIENCE, ..limits() };
    let pools = Pools::new(limits);
    let slow = slow_to_accept(fleet.server.port()).await;
    let target = |tenant: usize| {
        let mut route = fleet.route(tenant);
        route.endpoint.port = slow;
        Arc::new(Target::new(id(tenant), 1, &route, "right".into()))
    };
    // Each of them closes the connection of the one before, and opens its own.
    let requests = (0..4).map(|tenant| {
        let (pools, target) = (Arc::clone(&pools), target(tenant));
        async move {
            let mut connection = pools.connection(&target).await.unwrap();
            assert_eq!(database(&mut connection).await, format!("school_{tenant}"));
            connection.finish();
        }
    });
    join_all(requests).await;
}

/// A port that leads to the server, to whose clients it answers only after several of the usual waits.
async fn slow_to_accept(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}
