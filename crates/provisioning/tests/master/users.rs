//! A school's first administrator.

use domain::names::{ResetRequest, SchoolCode};
use domain::tenant::{InactiveState, Person};
use provisioning::master::tenants::{observe, publish, reserve, set_state};
use provisioning::master::users::{Account, Creation, RequestedReset, create_admin, reset_requested};

use crate::fixtures::{publication, registry, reservation, tenant_ref};
use crate::tenants::keyring;

pub(crate) fn person(email: &str) -> Person {
    Person { name: "Ana".into(), email: email.into() }
}

#[tokio::test]
async fn an_administrator_is_made_once_and_an_address_of_any_case_has_one_account() {
    let (_master, pool) = registry().await;
    for (n, code) in [(1, "norte"), (2, "sul")] {
        reserve(&pool, &reservation(n, code)).await.unwrap();
    }
    let account =
        async |n, code, email| observe(&pool, tenant_ref(n).id, Some(&SchoolCode::parse(code).unwrap()), Some(email)).await.unwrap().admin;
    assert_eq!(account(1, "norte", "ana@norte.example").await, Account::Absent);
    assert_eq!(create_admin(&pool, tenant_ref(1), &person("ana@norte.example"), "$h$").await.unwrap(), Creation::Made);
    assert_eq!(account(1, "norte", "ana@norte.example").await, Account::Made);
    assert_eq!(create_admin(&pool, tenant_ref(1), &person("ana@norte.example"), "$other$").await.unwrap(), Creation::Already);

    assert_eq!(account(2, "sul", "ANA@Norte.example").await, Account::EmailTaken);
    assert_eq!(create_admin(&pool, tenant_ref(2), &person("ANA@Norte.example"), "$h$").await.unwrap(), Creation::EmailTaken);
    assert_eq!(create_admin(&pool, tenant_ref(3), &person("rui@leste.example"), "$h$").await.unwrap(), Creation::NotOurs);

    let all = "SELECT count(*) FROM registry.users WHERE password_hash = '$h$' AND must_change_password AND role = 'SchoolAdmin'";
    assert_eq!(sqlx::query_scalar::<_, i64>(all).fetch_one(&pool).await.unwrap(), 1);
}

#[tokio::test]
async fn a_request_for_another_password_is_executed_once_for_a_served_school_and_leaves_nothing_when_it_fails() {
    let (master, pool) = registry().await;
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    create_admin(&pool, tenant_ref(1), &person("ana@norte.example"), "$first$").await.unwrap();
    let reset_after = async |last, n, request, email, hash| {
        reset_requested(&pool, tenant_ref(n), &ResetRequest::parse(request).unwrap(), last, email, hash).await.unwrap()
    };
    let reset = async |n, request, email, hash| reset_after(None, n, request, email, hash).await;
    assert_eq!(reset(1, "1", "ana@norte.example", "$no$").await, RequestedReset::Overtaken, "it is not served yet");
    publish(&pool, &publication(1, "norte"), &keyring()).await.unwrap();
    assert_eq!(reset(2, "1", "ana@norte.example", "$no$").await, RequestedReset::Overtaken, "it is another School's");
    assert_eq!(reset(1, "1", "rui@norte.example", "$no$").await, RequestedReset::Nobody);

    let known = async || {
        let observed = observe(&pool, tenant_ref(1).id, None, Some("ana@norte.example")).await.unwrap();
        (observed.admin_reset, observed.administrator)
    };
    assert_eq!(known().await, (None, Some("ana@norte.example".to_owned())));
    // Two operators at once, one of which thinks that it leads.
    let both = futures::future::join_all(["$second$", "$third$"].map(|hash| reset(1, "1", "ANA@norte.example", hash))).await;
    assert!(both.contains(&RequestedReset::Done) && both.contains(&RequestedReset::Overtaken), "{both:?}");
    assert_eq!(known().await.0.as_deref(), Some("1"));
    let audited = "SELECT count(*) FROM registry.access_audit WHERE action = 'platform:reset_school_admin' AND tenant_id = $1";
    let audited = async || sqlx::query_scalar::<_, i64>(audited).bind(tenant_ref(1).id.0).fetch_one(&pool).await.unwrap();
    assert_eq!(audited().await, 1);
    let hash = "SELECT password_hash FROM registry.users WHERE email = 'ana@norte.example'";
    let hash = async || sqlx::query_scalar::<_, String>(hash).fetch_one(&pool).await.unwrap();
    assert!(["$second$", "$third$"].contains(&hash().await.as_str()));

    // One that is late: another operator has acted on a later request meanwhile.
    assert_eq!(reset_after(Some("1"), 1, "2", "ana@norte.example", "$later$").await, RequestedReset::Done);
    for late in [None, Some("1")] {
        assert_eq!(reset_after(late, 1, "1", "ana@norte.example", "$no$").await, RequestedReset::Overtaken);
    }
    assert_eq!((hash().await.as_str(), known().await.0.as_deref()), ("$later$", Some("2")));

    set_state(&pool, tenant_ref(1), InactiveState::Suspended).await.unwrap();
    assert_eq!(reset_after(Some("2"), 1, "3", "ana@norte.example", "$no$").await, RequestedReset::Overtaken, "it is suspended");
    assert_eq!((audited().await, known().await.0.as_deref()), (2, Some("2")));
    drop(master);
}

#[tokio::test]
async fn the_administrator_that_a_request_means_is_the_first_while_that_is_one_and_else_the_only_other() {
    let (_master, pool) = registry().await;
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    create_admin(&pool, tenant_ref(1), &person("ana@norte.example"), "$h$").await.unwrap();
    let meant = async || observe(&pool, tenant_ref(1).id, None, Some("Ana@norte.example")).await.unwrap().administrator;
    let change = async |sql: &'static str| {
        sqlx::query(sql).bind(tenant_ref(1).id.0).execute(&pool).await.unwrap();
    };
    let join = "INSERT INTO registry.users (tenant_id, name, email, password_hash, role)
        SELECT $1, name, name || '@norte.example', '$h$', 'SchoolAdmin' FROM unnest(ARRAY['eva', 'rui']) AS name";
    change(join).await;
    assert_eq!(meant().await.as_deref(), Some("ana@norte.example"));
    change("UPDATE registry.users SET is_active = false WHERE tenant_id = $1 AND name = 'Ana'").await;
    assert_eq!(meant().await, None);
    change("UPDATE registry.users SET is_active = false WHERE tenant_id = $1 AND name = 'rui'").await;
    assert_eq!(meant().await.as_deref(), Some("eva@norte.example"));
    change("UPDATE registry.users SET is_active = false WHERE tenant_id = $1").await;
    assert_eq!(meant().await, None);
}

#[tokio::test]
async fn of_requests_for_one_administrator_that_meet_one_makes_it_and_the_others_find_it() {
    let (_master, pool) = registry().await;
    reserve(&pool, &reservation(1, "norte")).await.unwrap();
    let ana = person("ana@norte.example");
    let mut done = futures::future::join_all((0..8).map(|_| create_admin(&pool, tenant_ref(1), &ana, "$h$"))).await;
    done.sort_by_key(|creation| *creation.as_ref().unwrap() != Creation::Made);
    let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
    assert_eq!(done[0], Creation::Made);
    assert!(done[1..].iter().all(|creation| *creation == Creation::Already), "{done:?}");
}
