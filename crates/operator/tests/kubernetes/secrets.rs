//! Secrets: created once, ours or not, corrected only while they are the ones that were read.

use std::collections::BTreeMap;

use domain::retry::Class;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _};
use operator::kubernetes::secrets::{AdminContent, Creation, CredentialsContent, admin_secret, apply, create, credentials_secret, read};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use testing::until;

use crate::{client_of, fresh_namespace, plane, school, version};

const NAME: &str = "northside-db";

fn content(namespace: &str, owner: OwnerReference) -> CredentialsContent {
    CredentialsContent {
        namespace: namespace.to_owned(),
        name: NAME.to_owned(),
        owner,
        host: "pg.example".to_owned(),
        port: 5432,
        ssl_mode: "require",
        certificates: None,
        username: "dailycare_tenant_northside_a".to_owned(),
        password: "canary".into(),
        database: "dailycare_tenant_northside".to_owned(),
        revision: "r1".to_owned(),
        extra_labels: BTreeMap::new(),
        extra_annotations: BTreeMap::new(),
    }
}

/// A namespace with a School in it, and what its Secret should be made of.
async fn prepared() -> (Client, Api<Secret>, CredentialsContent) {
    let (client, namespace) = fresh_namespace().await;
    let owner = school(&client, &namespace, "northside").await.controller_owner_ref(&()).unwrap();
    (client.clone(), Api::namespaced(client, &namespace), content(&namespace, owner))
}

async fn by_hand(secrets: &Api<Secret>, patch: Value) -> Secret {
    secrets
        .patch(NAME, &PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..PatchParams::default() }, &Patch::Merge(patch))
        .await
        .unwrap()
}

fn text(secret: &Secret, key: &str) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
}

#[tokio::test]
async fn a_secret_is_created_once_and_a_second_create_changes_nothing() {
    let (client, secrets, content) = prepared().await;
    assert!(matches!(create(&client, &credentials_secret(&content)).await.unwrap(), Creation::Created(_)));
    let first = secrets.get(NAME).await.unwrap();
    let other = CredentialsContent { password: "another".into(), ..content.clone() };
    assert!(matches!(create(&client, &credentials_secret(&other)).await.unwrap(), Creation::AlreadyExists));
    assert_eq!(secrets.get(NAME).await.unwrap(), first);
    let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
    assert!(observed.is_controlled_by(&content.owner.uid));
    assert_eq!(observed.password().unwrap().expose_secret(), "canary");
}

#[tokio::test]
async fn a_secret_of_the_name_that_somebody_else_made_is_told_apart_and_stays_as_it_is() {
    let (client, secrets, content) = prepared().await;
    let mine = json!({"metadata": {"name": NAME}, "stringData": {"password": "mine"}});
    let before = secrets.create(&PostParams::default(), &serde_json::from_value(mine).unwrap()).await.unwrap();
    assert!(matches!(create(&client, &credentials_secret(&content)).await.unwrap(), Creation::AlreadyExists));
    let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
    assert!(!observed.is_controlled_by(&content.owner.uid));
    assert_eq!(secrets.get(NAME).await.unwrap(), before);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_none() {
    let (client, namespace) = fresh_namespace().await;
    assert!(read(&client, &namespace, NAME).await.unwrap().is_none());
}

#[tokio::test]
async fn a_hand_edited_key_is_restored_while_the_password_and_other_peoples_fields_stay() {
    let (client, secrets, content) = prepared().await;
    create(&client, &credentials_secret(&content)).await.unwrap();
    let edit = json!({
        "stringData": {"host": "elsewhere", "password": "by-hand", "note": "theirs"},
        "metadata": {"labels": {"team": "a", "dailycare.io/school": null}},
    });
    by_hand(&secrets, edit).await;
    let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
    let desired = credentials_secret(&CredentialsContent { password: observed.password().unwrap(), ..content.clone() });
    assert!(!observed.matches(&desired));
    apply(&client, &observed, &desired).await.unwrap();
    let now = secrets.get(NAME).await.unwrap();
    assert_eq!(["host", "password", "note"].map(|key| text(&now, key)), ["pg.example", "by-hand", "theirs"]);
    assert!(text(&now, "uri").contains("by-hand"));
    let labels = now.metadata.labels.unwrap();
    assert_eq!((labels["team"].as_str(), labels["dailycare.io/school"].as_str()), ("a", "northside"));
}

#[tokio::test]
async fn a_secret_that_says_what_is_wanted_is_not_written() {
    let (client, secrets, content) = prepared().await;
    create(&client, &credentials_secret(&content)).await.unwrap();
    let before = secrets.get(NAME).await.unwrap();
    let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
    assert!(observed.matches(&credentials_secret(&content)));
    apply(&client, &observed, &credentials_secret(&content)).await.unwrap();
    assert_eq!(version(&secrets.get(NAME).await.unwrap()), version(&before));
}

#[tokio::test]
async fn what_we_set_and_no_longer_want_is_removed_even_after_corrections() {
    let (client, secrets, content) = prepared().await;
    let map = || BTreeMap::from([("example.com/tier".to_owned(), "gold".to_owned())]);
    let more = CredentialsContent { certificates: Some(b"PEM".to_vec()), extra_labels: map(), extra_annotations: map(), ..content.clone() };
    for (from, to) in [(&content, &more), (&more, &content)] {
        create(&client, &credentials_secret(from)).await.unwrap();
        let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
        assert!(!observed.matches(&credentials_secret(to)));
        apply(&client, &observed, &credentials_secret(to)).await.unwrap();
        assert!(read(&client, &content.namespace, NAME).await.unwrap().unwrap().matches(&credentials_secret(to)));
    }
    let now = secrets.get(NAME).await.unwrap();
    assert!(!now.data.unwrap().contains_key("certificates"));
    assert!(!now.metadata.labels.unwrap().contains_key("example.com/tier"));
    assert!(!now.metadata.annotations.unwrap().contains_key("example.com/tier"));
}

#[tokio::test]
async fn a_correction_of_a_secret_that_changed_or_was_replaced_meanwhile_is_a_conflict() {
    let (client, secrets, content) = prepared().await;
    create(&client, &credentials_secret(&content)).await.unwrap();
    let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
    let desired = credentials_secret(&CredentialsContent { port: 6432, ..content.clone() });
    by_hand(&secrets, json!({"stringData": {"password": "by-hand"}})).await;
    let error = apply(&client, &observed, &desired).await.unwrap_err();
    assert!(error.is_conflict() && error.class() == Class::Contended, "{error:?}");

    let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
    secrets.delete(NAME, &DeleteParams::default()).await.unwrap();
    create(&client, &credentials_secret(&content)).await.unwrap();
    let error = apply(&client, &observed, &desired).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    assert_eq!(text(&secrets.get(NAME).await.unwrap(), "port"), "5432");
}

#[tokio::test]
async fn an_immutable_secret_is_invalid_to_correct_and_stays_as_it_is() {
    let (client, secrets, content) = prepared().await;
    create(&client, &credentials_secret(&content)).await.unwrap();
    let before = by_hand(&secrets, json!({"immutable": true})).await;
    let observed = read(&client, &content.namespace, NAME).await.unwrap().unwrap();
    let desired = credentials_secret(&CredentialsContent { password: "renewed".into(), ..content });
    let error = apply(&client, &observed, &desired).await.unwrap_err();
    assert_eq!(error.class(), Class::Invalid, "{error:?}");
    assert!(error.message().contains("immutable"), "{}", error.message());
    assert_eq!(version(&secrets.get(NAME).await.unwrap()), version(&before));
}

/// Its owner is a `ConfigMap` here, because the garbage collector takes half a minute to learn of a new kind.
#[tokio::test]
async fn the_secrets_go_with_their_owner() {
    let (client, namespace) = fresh_namespace().await;
    let owners = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    let owner = ConfigMap { metadata: ObjectMeta { name: Some("owner".to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() };
    let owner = owners.create(&PostParams::default(), &owner).await.unwrap().controller_owner_ref(&()).unwrap();
    let content = content(&namespace, owner.clone());
    let (person, email) = ("Ana Sousa".to_owned(), "ana@northside.example".to_owned());
    let admin = AdminContent {
        namespace: namespace.clone(),
        name: "admin".to_owned(),
        owner,
        person,
        email,
        password: "canary".into(),
        request: None,
    };
    create(&client, &credentials_secret(&content)).await.unwrap();
    create(&client, &admin_secret(&admin)).await.unwrap();
    let secrets = Api::<Secret>::namespaced(client, &namespace);
    let made = secrets.get("admin").await.unwrap();
    assert_eq!(["name", "email", "password"].map(|key| text(&made, key)), ["Ana Sousa", "ana@northside.example", "canary"]);
    owners.delete("owner", &DeleteParams::default()).await.unwrap();
    for name in [NAME, "admin"] {
        until("the Secret is gone", async || secrets.get_opt(name).await.unwrap().is_none()).await;
    }
}

#[tokio::test]
async fn a_missing_right_is_denied_with_a_message_that_names_verb_and_resource() {
    let (_, namespace) = fresh_namespace().await;
    let stranger = client_of(&plane().await.service_account(&namespace, "stranger").await.unwrap()).await;
    let error = read(&stranger, &namespace, NAME).await.unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    assert!(error.message().contains(r#"cannot get resource "secrets""#), "{}", error.message());
}

#[tokio::test]
async fn in_a_terminating_namespace_a_create_is_contended_because_the_deletion_will_be_seen() {
    let (client, secrets, content) = prepared().await;
    let hold = json!({"metadata": {"name": "hold", "finalizers": ["example.com/hold"]}});
    secrets.create(&PostParams::default(), &serde_json::from_value(hold).unwrap()).await.unwrap();
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces.delete(&content.namespace, &DeleteParams::default()).await.unwrap();
    let error = create(&client, &credentials_secret(&content)).await.unwrap_err();
    assert!(error.is_namespace_terminating(), "{error:?}");
    assert_eq!(error.class(), Class::Contended);
    let patch = json!({"metadata": {"finalizers": null}});
    secrets.patch("hold", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}
