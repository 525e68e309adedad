//! A School in the hands of tools that apply it again and again, and of people who write nonsense.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use operator::crd::print;
use serde_json::{Value, json};

use crate::sources::{list, names, whole};
use crate::world::{Setup, World, conditions, run};

#[test]
fn applying_the_same_manifest_again_changes_no_generation_and_writes_nothing() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "yew", json!({})).await;
        let before = world.ready(&namespace, "yew").await;
        let ready = ["--namespace", namespace.as_str(), "get", "events", "--field-selector", "reason=Ready", "-o", "name"];
        world.until("the operator has told everything", async || !world.kubectl(&ready).await.is_empty()).await;
        let writes = world.operator_writes(&namespace).len();
        let manifest = json!({"apiVersion": "dailycare.io/v1alpha1", "kind": "School", "metadata": {"name": "yew"}, "spec": before.spec});
        let tool = PatchParams::apply("argocd-controller").force();
        let first = world.schools(&namespace).patch("yew", &tool, &Patch::Apply(&manifest)).await.unwrap();
        let second = world.schools(&namespace).patch("yew", &tool, &Patch::Apply(&manifest)).await.unwrap();
        assert_eq!((first.metadata.generation, whole(&first)), (before.metadata.generation, whole(&second)));
        assert_eq!(first.status, before.status);
        // Reconciles of one School follow each other: once the write for this change is in the audit log, so is whatever an earlier one wrote.
        world.merge_school(&namespace, "yew", json!({"spec": {"displayName": "One change"}})).await.unwrap();
        world.ready(&namespace, "yew").await;
        world.until("the audit log has the write", async || world.operator_writes(&namespace).len() > writes).await;
        assert_eq!(world.operator_writes(&namespace)[writes..], ["patch schools yew status"]);
    });
}

#[test]
fn what_cannot_change_is_refused_with_a_message_that_says_why() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "zelkova", json!({"placement": {"tier": "premium", "serverName": "pg-15"}})).await;
        let names = names(&world.ready(&namespace, "zelkova").await);
        for (spec, says) in [
            (json!({"code": "another"}), "the code cannot be changed"),
            (json!({"credentials": {"secretName": "another"}}), "the credentials are in the Secret named by status.credentials.secretName"),
            (json!({"placement": {"serverName": "pg-18"}}), "serverName cannot be changed or removed"),
            (json!({"placement": {"serverName": null}}), "serverName cannot be changed or removed"),
            (json!({"placement": {"tier": "basic"}}), "the school is placed and stays in its tier"),
            (json!({"adminUser": {"email": "another@zelkova.example"}}), "adminUser names the first administrator and is set once"),
            (json!({"adminUser": {"name": "Another"}}), "adminUser names the first administrator and is set once"),
        ] {
            let refused = world.merge_school(&namespace, "zelkova", json!({"spec": spec})).await.unwrap_err().to_string();
            assert!(refused.contains(says), "{spec}: {refused}");
        }
        assert!(world.serves(&namespace, &names).await);
        world.merge_school(&namespace, "zelkova", json!({"spec": {"credentials": {"secretName": "zelkova-db"}}})).await.unwrap();
        let gone = json!({"spec": {"credentials": null}});
        let refused = world.merge_school(&namespace, "zelkova", gone).await.unwrap_err().to_string();
        assert!(refused.contains("secretName cannot be changed or removed"), "{refused}");
    });
}

#[test]
fn a_code_that_is_no_plain_short_name_is_refused_with_a_message_that_says_what_to_write() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let long = "a".repeat(64);
        for code in
            ["Escola A", "a--b_", "a'b", "a\"; DROP DATABASE postgres; --", "\u{430}bc", "é", "-a", "a-", "1a", "a", "", "ab\n", "a\u{0}b"]
        {
            let refused = world.try_apply_school(&namespace, "bad", code, json!({})).await.unwrap_err().to_string();
            assert!(
                refused.contains("spec.code") && refused.contains("use 2 to 40 lower-case letters, digits and hyphens"),
                "{code:?}: {refused}"
            );
        }
        let refused = world.try_apply_school(&namespace, "bad", &long, json!({})).await.unwrap_err().to_string();
        assert!(refused.contains("spec.code: Too long: may not be more than 40"), "{refused}");
        assert!(world.schools(&namespace).get_opt("bad").await.unwrap().is_none());
    });
}

/// The CRD as an older or careless release might have had it: any spec goes.
fn lax() -> Value {
    let mut crd = print::all().into_iter().find(|crd| crd["spec"]["names"]["kind"] == "School").unwrap();
    let version = &mut crd["spec"]["versions"][0];
    version.as_object_mut().unwrap().remove("selectableFields");
    let schema = &mut version["schema"]["openAPIV3Schema"];
    schema.as_object_mut().unwrap().remove("x-kubernetes-validations");
    schema["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    crd
}

#[test]
fn a_school_that_makes_no_sense_stops_no_other_and_can_be_corrected_or_deleted() {
    run(async {
        let world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        let crds = Api::<CustomResourceDefinition>::all(world.client.clone());
        crds.patch("schools.dailycare.io", &PatchParams::apply("test").force(), &Patch::Apply(lax())).await.unwrap();
        let kind = ApiResource::erase::<operator::crd::School>(&());
        let raw = Api::<DynamicObject>::namespaced_with(world.client.clone(), &namespace, &kind);
        let nonsense = |name: &str, spec: Value| -> DynamicObject {
            serde_json::from_value(
                json!({"apiVersion": "dailycare.io/v1alpha1", "kind": "School", "metadata": {"name": name}, "spec": spec}),
            )
            .unwrap()
        };
        let unreadable = nonsense("unreadable", json!({"code": 42, "displayName": ["no"]}));
        let stored = async || raw.create(&PostParams::default(), &unreadable).await.is_ok();
        world.until("the API server takes anything", stored).await;
        let person = json!({"name": "Ana", "email": "ana@hostile.example"});
        let hostile = json!({"code": "a\"; DROP DATABASE postgres; --", "displayName": "x", "email": "a@b.pt", "adminUser": person});
        raw.create(&PostParams::default(), &nonsense("hostile", hostile)).await.unwrap();

        world.apply_school(&namespace, "sane", json!({})).await;
        world.ready(&namespace, "sane").await;
        let school = world.school_when(&namespace, "hostile", "Stalled", "True", "InvalidSpec").await;
        let said = conditions(Some(&school)).into_iter().find(|c| c.type_ == "Stalled").unwrap().message;
        assert!(said.starts_with("spec.code: school code must be 2 to 40"), "{said}");

        world.merge_school(&namespace, "hostile", json!({"spec": {"code": "tamed"}})).await.unwrap();
        world.ready(&namespace, "hostile").await;
        let mended =
            json!({"spec": {"code": "mended", "displayName": "x", "email": "a@b.pt", "adminUser": {"name": "Bo", "email": "bo@b.pt"}}});
        raw.patch("unreadable", &PatchParams::default(), &Patch::Merge(mended)).await.unwrap();
        world.ready(&namespace, "unreadable").await;
        let codes = list(&mut world.master().await, "SELECT code::text FROM registry.tenants ORDER BY code").await;
        assert_eq!(codes, ["mended", "sane", "tamed"]);

        world.merge_school(&namespace, "sane", json!({"spec": {"code": "broken now", "email": "no"}})).await.unwrap();
        world.school_when(&namespace, "sane", "Stalled", "True", "InvalidSpec").await;
        world.delete_school(&namespace, "sane").await;
        let state = list(&mut world.master().await, "SELECT state FROM registry.tenants WHERE code = 'sane'").await;
        assert_eq!(state, ["retained"], "a School whose spec makes no sense is deleted as its policy says");
        world.assert_statuses_are_true(&namespace).await;
    });
}

/// Argo CD's health of a real object, by the script that is shipped.
fn argo_cd<K: serde::Serialize>(kind: &str, object: &K) -> String {
    let patch: Value = serde_yaml::from_str(include_str!("../../config/argocd/argocd-cm.yaml")).unwrap();
    let script = patch["data"][format!("resource.customizations.health.dailycare.io_{kind}")].as_str().unwrap();
    testing::argo_cd_health(script, &serde_json::to_value(object).unwrap()).unwrap()
}

#[test]
fn argo_cd_takes_a_school_for_healthy_only_when_it_is_served_and_for_suspended_when_it_is_closed() {
    run(async {
        let world = World::shared().await;
        let namespace = world.fresh_namespace().await;
        let unplaced = world.apply_school(&namespace, "rowan", json!({"placement": {"serverName": "pg-nowhere"}})).await;
        assert_eq!(argo_cd("School", &unplaced), "Progressing", "nobody has reported on it");
        let unplaced = world.school_when(&namespace, "rowan", "Ready", "False", "ServerNotFound").await;
        assert_eq!(argo_cd("School", &unplaced), "Progressing", "its server may come yet");
        world.apply_school(&namespace, "wych-elm", json!({"placement": {"tier": "premium", "serverName": "pg-15"}})).await;
        let ready = world.ready(&namespace, "wych-elm").await;
        assert_eq!(argo_cd("School", &ready), "Healthy");
        let closing = world.merge_school(&namespace, "wych-elm", json!({"spec": {"state": "Suspended"}})).await.unwrap();
        assert_eq!(argo_cd("School", &closing), "Progressing", "that is of the generation before");
        let closed = world.school_when(&namespace, "wych-elm", "Ready", "True", "Suspended").await;
        assert_eq!(argo_cd("School", &closed), "Suspended");
        world.try_apply_school(&namespace, "twin", "wych-elm", json!({})).await.unwrap();
        let refused = world.school_when(&namespace, "twin", "Stalled", "True", "NameConflict").await;
        assert_eq!(argo_cd("School", &refused), "Degraded");
        assert_eq!(argo_cd("DatabaseServer", &world.servers().get("pg-15").await.unwrap()), "Healthy");
    });
}
