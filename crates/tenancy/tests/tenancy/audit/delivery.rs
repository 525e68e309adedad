//! Records reach the right database, and one that fails holds up no other.

use std::time::Duration;

use domain::names::{ServerName, TenantId};
use domain::tenant::InactiveState;
use tenancy::audit::{Audit, Filter, Record, Settings};
use testing::Version;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::fixture::{NEVER, PATIENCE, Running, SLOW_ONCE, World, ids, leave, record, records, scalar};

#[tokio::test]
async fn batches_arrive_complete_and_in_order_in_their_own_schools_database() {
    for version in Version::ALL {
        let world = World::start(version, 3).await;
        let running = world.running(Settings::default());
        let left: Vec<_> = world.schools.iter().map(|school| records(school.tenant, 1_200)).collect();
        for n in 0..1_200 {
            for records in &left {
                running.audit.record(records[n].clone());
            }
        }
        assert_eq!(running.stop().await, 0);
        for (school, left) in world.schools.iter().zip(&left) {
            assert_eq!(world.written(school).await, ids(left));
            let mut conn = world.superuser(&school.database).await;
            let mut listed = Audit::list(&mut conn, &Filter::default(), None, 10_000).await.unwrap();
            listed.sort_by_key(|record| record.id);
            assert_eq!(&listed, left);
        }
    }
}

#[tokio::test]
async fn what_belongs_to_no_school_that_serves_goes_to_the_platform_with_the_tenant_it_named() {
    for version in Version::ALL {
        let world = World::with(version, 2, async |master| master.withdraw(2, InactiveState::Suspended).await).await;
        let (serving, suspended) = (world.schools[0].tenant, world.schools[1].tenant);
        let unknown = TenantId(Uuid::from_u128(99));
        let running = world.running(Settings::default());
        let nobody = Record { user: None, address: Some("2001:db8::1".parse().unwrap()), success: false, ..record(None, 1) };
        let mut left = vec![nobody, record(unknown, 2), record(suspended, 3)];
        leave(&running.audit, &left);
        running.audit.record(record(serving, 4));
        assert_eq!(running.stop().await, 0);
        left.reverse();
        assert_eq!(world.platform(None).await, left);
        assert_eq!(world.platform(Some(suspended)).await, left[..1]);
        assert_eq!((world.written(&world.schools[0]).await.len(), world.written(&world.schools[1]).await.len()), (1, 0));
    }
}

#[tokio::test]
async fn a_school_whose_server_does_not_know_its_time_zone_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let world = World::start(Version::V18, 2).await;
    world.inside(&world.schools[0], "UPDATE app.settings SET value = '\"Portugal/Gone\"' WHERE key = 'school.time_zone'").await;
    let running = world.running(Settings::default());
    for school in &world.schools {
        running.audit.record(record(school.tenant, 1));
    }
    assert_eq!(running.stop().await, 0);
    let text = metrics.render();
    assert!(text.contains("dailycare_api_tenants_without_time_zone 1\n"), "{text}");
    assert!(world.schools.iter().all(|school| !text.contains(&school.tenant.to_string())), "a tenant is in a label");
}

#[tokio::test]
async fn a_school_whose_schema_is_older_than_records_leaves_them_to_the_platform() {
    let mut older = None;
    let world = World::with(Version::V18, 1, async |master| {
        older = Some(master.reserve(100, "antiga").await);
        let mut publication = master.publication(100, "antiga");
        publication.schema_version = 20;
        master.publish(&publication).await;
    })
    .await;
    let running = world.running(Settings::default());
    let left = record(older.unwrap(), 1);
    running.audit.record(left.clone());
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.platform(older).await, [left]);
}

#[tokio::test]
async fn a_school_that_stops_serving_while_its_records_wait_leaves_them_to_the_platform() {
    let world = World::start(Version::V18, 1).await;
    let tenant = world.schools[0].tenant;
    let (audit, writer) = world.audit(Settings::default());
    let mut left = records(tenant, 3);
    leave(&audit, &left);
    world.master.withdraw(1, InactiveState::Suspended).await;
    world.registry_cache.refetch(tenant).await.unwrap();
    assert_eq!(Running::start(audit, writer).stop().await, 0);
    left.reverse();
    assert_eq!(world.platform(Some(tenant)).await, left);
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_written_again_and_stands_once() {
    for version in Version::ALL {
        let world = World::start(version, 1).await;
        let school = &world.schools[0];
        let mut conn = world.superuser(&school.database).await;
        sqlx::raw_sql(SLOW_ONCE).execute(&mut conn).await.unwrap();
        let running = world.running(Settings { timeout: Duration::from_secs(1), drain: PATIENCE, ..Settings::default() });
        let left = records(school.tenant, 20);
        leave(&running.audit, &left);
        running.until_waiting(0).await;
        assert!(scalar::<i64>(&mut conn, "SELECT last_value FROM public.statements").await > 1, "nothing was repeated");
        // A whole batch that is left twice changes nothing either.
        leave(&running.audit, &left);
        assert_eq!(running.stop().await, 0);
        assert_eq!(world.written(school).await, ids(&left));
    }
}

#[tokio::test]
async fn a_school_that_cannot_be_entered_holds_up_no_other_and_gets_its_records_when_it_can() {
    for version in Version::ALL {
        let world = World::start(version, 2).await;
        let [closed, other] = &world.schools[..] else { unreachable!() };
        let running = world.running(Settings { batch: 50, ..Settings::default() });
        let left = records(closed.tenant, 120);
        leave(&running.audit, &left[..10]);
        world.until_written(closed, 10).await;
        world.close(closed).await;
        leave(&running.audit, &left[10..]);
        leave(&running.audit, &records(other.tenant, 300));
        world.until_written(other, 300).await;
        running.until_waiting(110).await;
        world.open(closed).await;
        world.until_written(closed, 120).await;
        assert_eq!(running.stop().await, 0);
        assert_eq!(world.written(closed).await, ids(&left));
    }
}

#[tokio::test]
async fn a_master_database_that_takes_no_records_holds_up_no_school_and_gets_them_later() {
    let world = World::start(Version::V18, 1).await;
    world.master.superuser("REVOKE INSERT ON registry.access_audit FROM dailycare_api").await;
    let running = world.running(Settings::default());
    let refusal = Record { success: false, ..record(None, 1) };
    running.audit.record(refusal.clone());
    world.until_logged("permission denied for table access_audit", 1).await;
    running.audit.record(record(world.schools[0].tenant, 2));
    world.until_written(&world.schools[0], 1).await;
    world.master.superuser("GRANT INSERT ON registry.access_audit TO dailycare_api").await;
    assert_eq!(running.stop().await, 0);
    assert_eq!(world.platform(None).await, [refusal]);
}

#[tokio::test]
async fn many_schools_on_a_server_that_hangs_take_no_writer_from_those_on_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut lost = Vec::new();
    let world = World::with(Version::V18, 1, async |master| {
        for n in 100..120 {
            let code = format!("longe-{n}");
            lost.push(master.reserve(n, &code).await);
            let mut publication = master.publication(n, &code);
            publication.route.server = ServerName::parse("pg-2").unwrap();
            publication.route.endpoint.port = port;
            publication.route.pool.connect_timeout_seconds = 3600;
            master.publish(&publication).await;
        }
    })
    .await;
    let running = world.running(Settings { timeout: NEVER, drain: Duration::ZERO, ..Settings::default() });
    // One failure is how the server becomes doubtful.
    running.audit.record(record(lost[0], 0));
    drop(listener.accept().await.unwrap());
    let hanging = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    running.until_waiting(1).await;
    let school = &world.schools[0];
    running.audit.record(record(school.tenant, 0));
    world.until_written(school, 1).await;
    for &tenant in &lost[1..] {
        running.audit.record(record(tenant, 0));
    }
    for n in 1..=5 {
        leave(&running.audit, &records(school.tenant, 100));
        world.until_written(school, 1 + n * 100).await;
    }
    running.until_waiting(20).await;
    assert_eq!(running.stop().await, 20);
    hanging.abort();
}
