//! The API's login: made once, given its URL's password, and never somebody else's role.

use postgres::session::Credentials;
use provisioning::master::Error;
use provisioning::master::api_login::{Ensured, ensure};
use provisioning::scram;

use crate::fixtures::{DATABASE, EVERYWHERE, Master, execute, refusal};

async fn ensured(master: &Master, username: &str, password: &str) -> provisioning::master::Result<Ensured> {
    let login = Credentials { username: username.into(), password: password.into() };
    ensure(&master.target(), &login, &scram::verifier(&login.password)).await
}

#[tokio::test]
async fn the_apis_login_is_made_once_and_follows_the_password_of_its_url() {
    for (version, admin) in EVERYWHERE {
        let master = Master::start(version, admin).await;
        master.bootstrap().await;
        let (first, second) = ("canary-first-password", "canary-second-password");
        assert_eq!(ensured(&master, "api \"1\"", first).await.unwrap(), Ensured::Made, "{version:?} {admin:?}");
        assert_eq!(ensured(&master, "api \"1\"", first).await.unwrap(), Ensured::Already);
        assert_eq!(ensured(&master, "api \"1\"", second).await.unwrap(), Ensured::PasswordSet);
        assert!(master.login("api \"1\"", first, DATABASE).await.is_err(), "the old password still opens");
        let mut api = master.login("api \"1\"", second, DATABASE).await.unwrap();
        assert_eq!(refusal(&mut api, "SELECT * FROM registry.tenants").await, None);
        assert_eq!(refusal(&mut api, "DELETE FROM registry.tenants").await.as_deref(), Some("42501"));
        assert!(!master.log().contains("canary-"), "a password reached the server's log");
    }
}

#[tokio::test]
async fn a_role_that_is_more_or_other_than_the_apis_login_is_never_touched() {
    for (version, admin) in EVERYWHERE {
        let master = Master::start(version, admin).await;
        master.bootstrap().await;
        let mut superuser = master.superuser("postgres").await;
        for role in [
            "CREATE ROLE somebody LOGIN PASSWORD 'canary'",
            "CREATE ROLE powerful LOGIN CREATEDB PASSWORD 'canary' IN ROLE dailycare_api",
            "CREATE ROLE operators LOGIN PASSWORD 'canary' IN ROLE dailycare_api, dailycare_operator",
            "CREATE ROLE grouped NOLOGIN IN ROLE dailycare_api",
        ] {
            execute(&mut superuser, role).await;
        }
        for taken in ["somebody", "powerful", "operators", "grouped", "dailycare_api", "dailycare_operator", &master.admin] {
            let refused = ensured(&master, taken, "another").await;
            assert!(matches!(refused, Err(Error::LoginTaken)), "{version:?} {taken}: {refused:?}");
        }
        assert!(master.login("somebody", "canary", "template1").await.is_ok(), "its password was changed");
    }
}
