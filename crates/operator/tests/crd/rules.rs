//! The table of good and bad objects, judged by the API server.

use kube::Client;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cases::{self, Expected, Kind, merge, plain};
use crate::{client, object, refusal, untyped};

fn judge(expected: Expected, outcome: kube::Result<DynamicObject>, what: &Value) {
    match expected {
        Expected::Taken => drop(outcome.unwrap_or_else(|error| panic!("{what} was refused: {error}"))),
        Expected::Broken(text) | Expected::OutOfBounds(text) => {
            assert!(outcome.is_err(), "{what} was taken");
            let status = refusal(outcome);
            assert_eq!(status.code, 422, "{what}: {}", status.message);
            assert!(status.message.contains(text), "{what} was refused with another message: {}", status.message);
            let causes = status.details.unwrap().causes;
            let ours = causes.iter().filter(|cause| cause.message.contains(text)).count();
            assert!(matches!(expected, Expected::OutOfBounds(_)) || ours == causes.len(), "{what} breaks more than one rule: {causes:?}");
        }
    }
}

#[tokio::test]
async fn objects_are_taken_or_refused_as_the_table_says() {
    let client = client().await;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for case in cases::creations() {
        let mut expected_text = plain(case.kind);
        merge(&mut expected_text, &case.change);
        judge(case.expected, untyped(&client, case.kind).create(&dry_run, &object(&expected_text)).await, &case.change);
    }
}

/// A School of this name as it stood before an update.
async fn present(client: &Client, name: &str, before: &Value, status: &Value) {
    let schools = untyped(client, Kind::School);
    let mut expected_text = plain(Kind::School);
    merge(&mut expected_text, &json!({"metadata": {"name": name}, "spec": before}));
    schools.create(&PostParams::default(), &object(&expected_text)).await.unwrap();
    schools.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await.unwrap();
}

#[tokio::test]
async fn changes_are_taken_or_refused_as_the_table_says() {
    let client = client().await;
    let schools = untyped(&client, Kind::School);
    for (number, case) in cases::updates().into_iter().enumerate() {
        let name = format!("change-{number}");
        present(&client, &name, &case.before, &case.status).await;
        let outcome = schools.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"spec": case.after}))).await;
        judge(case.expected, outcome, &case.after);
        schools.delete(&name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_points_at_the_field_and_says_why() {
    let client = client().await;
    let status = json!({"adminUser": {"name": "Ana Sousa", "email": "ana@northside.example"}});
    let before = json!({"placement": {"serverName": "pg-1"}, "credentials": {"secretName": "own"}});
    present(&client, "pointed", &before, &status).await;
    for (after, field, reason) in [
        (json!({"code": "other"}), "spec.code", "FieldValueForbidden"),
        (json!({"placement": null}), "spec.placement.serverName", "FieldValueForbidden"),
        (json!({"credentials": null}), "spec.credentials.secretName", "FieldValueForbidden"),
        (json!({"adminUser": {"name": "Rui"}}), "spec.adminUser", "FieldValueForbidden"),
        (json!({"email": "nobody"}), "spec.email", "FieldValueInvalid"),
    ] {
        let patch = Patch::Merge(json!({"spec": after}));
        let causes =
            refusal(untyped(&client, Kind::School).patch("pointed", &PatchParams::default(), &patch).await).details.unwrap().causes;
        let found: Vec<_> = causes.iter().map(|cause| (cause.field.as_str(), cause.reason.as_str())).collect();
        assert_eq!(found, [(field, reason)], "{after}");
    }
}
