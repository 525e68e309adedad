//! A server whose template of the operator's schema is missing: its schools are served as they are, and nobody is told a falsehood about it.
//!
//! Must not break a server of another test: a world of its own.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use operator::crd::School;
use postgres::schema::Migrations;
use serde_json::json;
use sqlx::Executor as _;

use crate::migrations::{at_version, schema};
use crate::world::{Setup, World, conditions, log_in, run, says};

/// The School waits for the template, is served, and nobody is asked to look at it.
fn assert_served_meanwhile(school: &School) {
    for (kind, status, reason) in [
        ("Ready", "False", "AwaitingTemplate"),
        ("SchemaReady", "False", "AwaitingTemplate"),
        ("Reconciling", "False", "AwaitingTemplate"),
        ("Stalled", "False", "AwaitingTemplate"),
        ("Available", "True", "Serving"),
        ("CredentialsReady", "True", "Issued"),
    ] {
        assert!(says(school, kind, status, reason), "{kind}: {:#?}", conditions(Some(school)));
    }
}

fn message(school: &School) -> String {
    conditions(Some(school)).into_iter().find(|condition| condition.type_ == "Ready").unwrap().message
}

/// Schools of every kind at the built-in version, and one whose operator died when only its names were recorded.
async fn settled() -> World {
    let mut world = World::new(Setup::default()).await;
    world.namespace("district").await;
    for code in ["alder", "birch"] {
        world.apply_school("district", code, json!({"placement": {"tier": "standard"}})).await;
        world.ready("district", code).await;
    }
    world.apply_school("district", "birch", json!({"placement": {"tier": "standard"}, "state": "Suspended"})).await;
    world.school_when("district", "birch", "Ready", "True", "Suspended").await;
    world.operator.stop().await.unwrap();
    world.start_operator(&[("DAILYCARE_ABORT", "after:record_names")]);
    world.apply_school("district", "fir", json!({"placement": {"tier": "standard"}})).await;
    assert!(matches!(world.operator.ended().await, Ok(Some(134))), "{}", world.log_tail());
    world
}

#[test]
fn schools_of_a_server_whose_template_cannot_be_built_are_served_as_they_are_and_never_stalled_for_it() {
    run(async {
        let mut world = settled().await;
        let (old, progress) = (Migrations::tenant().unwrap().target(), ["--progress-deadline", "1"]);
        let file = format!("{:04}_mascots.sql", old + 1);
        let failing = schema(&[(&file, "CREATE TABLE app.mascots (name text PRIMARY KEY); SELECT 1 / 0;")]);
        world.replace_operator(&[&["--schema-dir", failing.path().to_str().unwrap()], progress.as_slice()].concat()).await;

        world.server_when("pg-18", "Stalled", "True", "MigrationFailed").await;
        assert_served_meanwhile(&world.school_when("district", "alder", "Ready", "False", "AwaitingTemplate").await);
        // A closed school stays closed, and is not told of what does not concern it.
        world.school_when("district", "birch", "Ready", "True", "Suspended").await;
        // What has no database yet has something to wait for, and a person is told after the deadline.
        let fir = world.school_when("district", "fir", "Stalled", "True", "ProgressDeadlineExceeded").await;
        assert!(says(&fir, "Ready", "False", "AwaitingTemplate"), "{:#?}", conditions(Some(&fir)));
        assert!(message(&fir).contains("first database is copied from it; see kubectl describe databaseserver pg-18"), "{}", message(&fir));
        assert!(world.secret("district", "fir-db").await.is_none(), "a Secret was made for nothing");

        // The deadline has passed for everybody. A lost password is still replaced, and requests get the new one.
        let before = world.secret("district", "alder-db").await.unwrap();
        let secrets = Api::<Secret>::namespaced(world.client.clone(), "district");
        secrets.delete("alder-db", &DeleteParams::default()).await.unwrap();
        world.request_reconcile("district", "alder").await;
        let replaced = async || world.secret("district", "alder-db").await.is_some_and(|now| now["password"] != before["password"]);
        world.until("alder has another password", replaced).await;
        world.assert_statuses_are_true("district").await;
        assert_served_meanwhile(&world.school_when("district", "alder", "CredentialsReady", "True", "Issued").await);
        // So is a school that was closed.
        world.apply_school("district", "birch", json!({"placement": {"tier": "standard"}, "state": "Active"})).await;
        assert_served_meanwhile(&world.school_when("district", "birch", "Available", "True", "Serving").await);
        assert_eq!(world.tenant("birch").await, Some(("active".to_owned(), i32::try_from(old).ok())));
        world.assert_statuses_are_true("district").await;

        let mended = schema(&[(&file, "CREATE TABLE app.mascots (name text PRIMARY KEY);")]);
        world.replace_operator(&[&["--schema-dir", mended.path().to_str().unwrap()], progress.as_slice()].concat()).await;
        for code in ["alder", "birch", "fir"] {
            at_version(&world, code, old + 1).await;
            let mut conn = log_in(&world.secret("district", &format!("{code}-db")).await.unwrap(), None).await.unwrap();
            conn.execute("SELECT FROM app.mascots").await.unwrap();
        }
        world.assert_statuses_are_true("district").await;
    });
}
