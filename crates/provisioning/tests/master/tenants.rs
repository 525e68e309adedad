//! Reserving and publishing tenants and taking them out of service, and who may do so.

use domain::names::{ClusterUid, SchoolCode, SchoolUid};
use domain::school::observed::ObservedTenant;
use domain::tenant::{InactiveState, TenantState};
use postgres::session::Tls;
use provisioning::master::TenantRef;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::{
    Change, Occupancy, Publication, RegistryObservation, Reserved, observe, occupancy, publish, reserve, set_state,
};
use provisioning::master::users::{Account, create_admin};
use registry::seal;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgPool;
use testing::Version;
use uuid::Uuid;

use crate::fixtures::{CLUSTER, Master, publication, registry, reservation, tenant_ref, written};
use crate::users::person;

type Alter = fn(&mut Publication);

pub(crate) fn keyring() -> Keyring {
    Keyring::parse(&Keyring::generate_file("k1").unwrap()).unwrap()
}

async fn observe_school(pool: &PgPool, n: u128, code: &str) -> RegistryObservation {
    observe(pool, tenant_ref(n).id, Some(&SchoolCode::parse(code).unwrap()), Some("ana@norte.example")).await.unwrap()
}

#[tokio::test]
async fn of_schools_that_reserve_one_code_at_once_one_has_it_and_the_others_learn_who() {
    for version in Version::ALL {
        let (_master, pool) = Master::bootstrapped(version).await;
        let reservations: Vec<_> = (1..=8).map(|n| reservation(n, "norte")).collect();
        let answers = futures::future::join_all(reservations.iter().map(|reservation| reserve(&pool, reservation))).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let winner = answers.iter().position(|answer| *answer == Reserved::Ours).unwrap();
        for (n, answer) in answers.iter().enumerate().filter(|(n, _)| *n != winner) {
            let Reserved::OfAnother(holder) = answer else { panic!("{n} and {winner} both have the code") };
            assert_eq!(holder.tenant, reservations[winner].tenant.id);
            assert_eq!((holder.namespace.as_deref(), holder.name.as_ref()), (Some("schools"), Some(&reservations[winner].name)));
        }
    }
}

#[tokio::test]
async fn reserving_again_is_ours_and_writes_nothing() {
    let (_master, pool) = registry().await;
    assert_eq!(reserve(&pool, &reservation(1, "norte")).await.unwrap(), Reserved::Ours);
    let before = written(&pool, tenant_ref(1)).await;
    assert_eq!(reserve(&pool, &reservation(1, "norte")).await.unwrap(), Reserved::Ours);
    assert_eq!(written(&pool, tenant_ref(1)).await, before);
}

#[tokio::test]
async fn what_is_observed_is_absent_then_ours_and_of_another_for_everyone_else() {
    let (_master, pool) = registry().await;
    let observed = async |n, code| observe_school(&pool, n, code).await.tenant(tenant_ref(n), |_| true);
    assert_eq!(observed(1, "norte").await, ObservedTenant::Absent);
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    assert_eq!(observed(1, "norte").await, ObservedTenant::Ours { state: TenantState::Provisioning, current: true });
    assert_eq!(observed(2, "norte").await, ObservedTenant::OfAnother);
    assert_eq!(observed(2, "sul").await, ObservedTenant::Absent);
    let usurper = TenantRef { school: SchoolUid(Uuid::from_u128(9)), ..tenant_ref(1) };
    assert_eq!(observe_school(&pool, 1, "norte").await.tenant(usurper, |_| true), ObservedTenant::Reassigned);
    assert_eq!(observe_school(&pool, 1, "norte").await.admin, Account::Absent);
    let leaving = observe(&pool, tenant_ref(1).id, None, None).await.unwrap();
    assert_eq!(leaving.tenant(tenant_ref(1), |_| true), ObservedTenant::Ours { state: TenantState::Provisioning, current: true });
    assert_eq!((leaving.holder, leaving.admin), (None, Account::Absent));
}

#[tokio::test]
async fn publishing_what_is_current_writes_nothing_and_any_difference_is_written() {
    for version in Version::ALL {
        let (_master, pool) = Master::bootstrapped(version).await;
        let keyring = keyring();
        let desired = publication(1, "norte");
        assert_eq!(publish(&pool, &desired, &keyring).await.unwrap(), Change::NotOurs);
        reserve(&pool, &reservation(1, "norte")).await.unwrap();
        assert!(!observe_school(&pool, 1, "norte").await.row.unwrap().matches(&desired, &keyring));
        assert_eq!(publish(&pool, &desired, &keyring).await.unwrap(), Change::Made);
        assert!(observe_school(&pool, 1, "norte").await.row.unwrap().matches(&desired, &keyring));
        let before = written(&pool, tenant_ref(1)).await;
        assert_eq!(publish(&pool, &desired, &keyring).await.unwrap(), Change::Unneeded);
        assert_eq!(written(&pool, tenant_ref(1)).await, before);

        let alterations: [Alter; 13] = [
            |p| p.profile.name.push('!'),
            |p| p.profile.email.push('a'),
            |p| p.profile.phone_number = None,
            |p| p.route.endpoint.host = "pg-2.example".into(),
            |p| p.route.endpoint.port = 6432,
            |p| p.route.endpoint.tls = Tls::Disable,
            |p| p.route.endpoint.tls = Tls::Require,
            |p| p.route.endpoint.tls = Tls::VerifyCa(b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"[..].into()),
            |p| p.route.endpoint.tls = Tls::VerifyFull(b"-----BEGIN CERTIFICATE-----\nB\n-----END CERTIFICATE-----\n"[..].into()),
            |p| p.route.pool.size = 7,
            |p| p.route.pool.pooling = false,
            |p| p.schema_version += 1,
            |p| p.password = Some("another".into()),
        ];
        for (n, alter) in alterations.into_iter().enumerate() {
            let mut altered = desired.clone();
            alter(&mut altered);
            assert!(!observe_school(&pool, 1, "norte").await.row.unwrap().matches(&altered, &keyring), "{n}");
            assert_eq!(publish(&pool, &altered, &keyring).await.unwrap(), Change::Made, "{n}");
            assert!(observe_school(&pool, 1, "norte").await.row.unwrap().matches(&altered, &keyring), "{n}");
            publish(&pool, &desired, &keyring).await.unwrap();
        }
    }
}

#[tokio::test]
async fn only_the_school_that_a_row_is_for_may_write_it() {
    let (_master, pool) = registry().await;
    let keyring = keyring();
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    let before = written(&pool, tenant_ref(1)).await;
    let other_school = TenantRef { school: SchoolUid(Uuid::from_u128(9)), ..tenant_ref(1) };
    let other_cluster = TenantRef { cluster: ClusterUid(Uuid::from_u128(9)), ..tenant_ref(1) };
    for other in [other_school, other_cluster] {
        let mut desired = publication(1, "norte");
        desired.tenant = other;
        assert_eq!(publish(&pool, &desired, &keyring).await.unwrap(), Change::NotOurs);
        for to in [InactiveState::Suspended, InactiveState::Retained, InactiveState::Deleted] {
            assert_eq!(set_state(&pool, other, to).await.unwrap(), Change::NotOurs);
        }
        let mut reserving = reservation(1, "norte");
        reserving.tenant = other;
        assert!(matches!(reserve(&pool, &reserving).await.unwrap(), Reserved::OfAnother(_)));
    }
    assert_eq!(written(&pool, tenant_ref(1)).await, before);
}

#[tokio::test]
async fn published_credentials_open_for_their_tenant_only_and_a_new_key_reseals_them() {
    let (_master, pool) = registry().await;
    let file = |id| Keyring::generate_file(id).unwrap();
    let old = file("old");
    let before = Keyring::parse(&old).unwrap();
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    publish(&pool, &publication(1, "norte"), &before).await.unwrap();
    let sealed = observe_school(&pool, 1, "norte").await.row.unwrap().sealed.unwrap();
    let opened = before.open(tenant_ref(1).id, &sealed).unwrap();
    assert_eq!((opened.username.as_str(), opened.password.expose_secret()), ("dailycare_tenant_norte_a", "canary-password"));
    assert_eq!(before.open(tenant_ref(2).id, &sealed).unwrap_err(), seal::Error::Refused);
    assert!(!String::from_utf8_lossy(&sealed.bytes).contains("canary"));

    let both: SecretString = format!("{}{}", file("new").expose_secret(), old.expose_secret()).into();
    let after = Keyring::parse(&both).unwrap();
    assert_eq!(publish(&pool, &publication(1, "norte"), &after).await.unwrap(), Change::Made);
    assert_eq!(observe_school(&pool, 1, "norte").await.row.unwrap().sealed.unwrap().key_id, "new");
    assert_eq!(publish(&pool, &publication(1, "norte"), &after).await.unwrap(), Change::Unneeded);
}

#[tokio::test]
async fn a_suspended_tenant_comes_back_and_keeps_the_time_it_was_first_activated() {
    let (_master, pool) = registry().await;
    let keyring = keyring();
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    publish(&pool, &publication(1, "norte"), &keyring).await.unwrap();
    let facts = async || {
        let query = sqlx::query_as::<_, (bool, String, String)>("SELECT is_active, state, activated_at::text FROM registry.tenants");
        query.fetch_one(&pool).await.unwrap()
    };
    let active = facts().await;
    assert_eq!((active.0, active.1.as_str()), (true, "active"));
    assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Suspended).await.unwrap(), Change::Made);
    let before = written(&pool, tenant_ref(1)).await;
    assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Suspended).await.unwrap(), Change::Unneeded);
    assert_eq!(written(&pool, tenant_ref(1)).await, before);
    assert_eq!(facts().await, (false, "suspended".into(), active.2.clone()));
    assert_eq!(publish(&pool, &publication(1, "norte"), &keyring).await.unwrap(), Change::Made);
    assert_eq!(facts().await, active);
}

#[tokio::test]
async fn a_suspended_tenant_is_published_without_a_password_and_keeps_the_credentials_that_it_has() {
    let (_master, pool) = registry().await;
    let keyring = keyring();
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    let mut closed = Publication { password: None, state: TenantState::Suspended, ..publication(1, "norte") };
    assert_eq!(publish(&pool, &closed, &keyring).await.unwrap(), Change::Made);
    let row = observe_school(&pool, 1, "norte").await.row.unwrap();
    assert_eq!((row.matches(&closed, &keyring), row.sealed.is_none()), (true, true));
    assert!(row.routed_password(&closed.route.login, &keyring).is_none());
    publish(&pool, &publication(1, "norte"), &keyring).await.unwrap();
    let sealed = observe_school(&pool, 1, "norte").await.row.unwrap().sealed;

    closed.profile.name.push('!');
    assert_eq!(publish(&pool, &closed, &keyring).await.unwrap(), Change::Made);
    assert_eq!(publish(&pool, &closed, &keyring).await.unwrap(), Change::Unneeded);
    let row = observe_school(&pool, 1, "norte").await.row.unwrap();
    assert_eq!((row.state, &row.sealed, &row.profile), (TenantState::Suspended, &sealed, &closed.profile));
    assert!(row.matches(&closed, &keyring));
    assert_eq!(row.routed_password(&closed.route.login, &keyring).unwrap().expose_secret(), "canary-password");
}

#[tokio::test]
async fn a_deleted_tenant_frees_code_and_addresses_has_no_credentials_and_stays_deleted() {
    let (_master, pool) = registry().await;
    let keyring = keyring();
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    publish(&pool, &publication(1, "norte"), &keyring).await.unwrap();
    create_admin(&pool, tenant_ref(1), &person("ana@norte.example"), "$h$").await.unwrap();
    assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Retained).await.unwrap(), Change::Made);
    assert!(matches!(reserve(&pool, &reservation(2, "norte")).await.unwrap(), Reserved::OfAnother(_)), "a retained school lost its code");

    assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Deleted).await.unwrap(), Change::Made);
    assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Deleted).await.unwrap(), Change::Unneeded);
    assert_eq!(set_state(&pool, tenant_ref(1), InactiveState::Suspended).await.unwrap(), Change::NotOurs);
    assert_eq!(publish(&pool, &publication(1, "norte"), &keyring).await.unwrap(), Change::NotOurs);
    let row = observe_school(&pool, 1, "norte").await.row.unwrap();
    assert_eq!((row.state, row.sealed), (TenantState::Deleted, None));
    assert_eq!(observe_school(&pool, 1, "norte").await.admin, Account::Absent);
    assert_eq!(reserve(&pool, &reservation(2, "norte")).await.unwrap(), Reserved::Ours);
}

#[tokio::test]
async fn placement_counts_reserved_and_retained_schools_of_its_own_cluster() {
    let (_master, pool) = registry().await;
    for (n, code) in [(1, "norte"), (2, "sul"), (3, "leste")] {
        reserve(&pool, &reservation(n, code)).await.unwrap();
    }
    set_state(&pool, tenant_ref(2), InactiveState::Retained).await.unwrap();
    set_state(&pool, tenant_ref(3), InactiveState::Deleted).await.unwrap();
    let mut counted = occupancy(&pool, CLUSTER).await.unwrap();
    counted.places.sort();
    let server = reservation(1, "norte").server;
    let mut expected = vec![(tenant_ref(1).id, server.clone()), (tenant_ref(2).id, server)];
    expected.sort();
    assert_eq!(counted, Occupancy { places: expected, odd: vec![] });
    assert_eq!(occupancy(&pool, ClusterUid(Uuid::from_u128(9))).await.unwrap(), Occupancy::default());
}

#[tokio::test]
async fn a_row_that_names_no_possible_server_is_told_apart_and_the_others_are_counted() {
    let (_master, pool) = registry().await;
    for (n, code) in [(1, "norte"), (2, "sul")] {
        reserve(&pool, &reservation(n, code)).await.unwrap();
    }
    let odd = "UPDATE registry.tenants SET server = 'Not A Name' WHERE id = $1";
    sqlx::query(odd).bind(tenant_ref(1).id.0).execute(&pool).await.unwrap();
    let counted = occupancy(&pool, CLUSTER).await.unwrap();
    let server = reservation(2, "sul").server;
    assert_eq!(counted, Occupancy { places: vec![(tenant_ref(2).id, server)], odd: vec![tenant_ref(1).id] });
    assert_eq!(counted.tenants().count(), 2, "neither counts as gone");
}
