//! A school's first administrator.

use domain::names::SchoolCode;
use domain::tenant::Person;
use provisioning::master::tenants::{observe, reserve};
use provisioning::master::users::{Account, Creation, create_admin};

use crate::fixtures::{registry, reservation, tenant_ref};

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
