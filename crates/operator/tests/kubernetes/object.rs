//! Finalizers, status and fresh reads: written once, on the object that was read, or not at all.

use domain::condition::{Condition, ConditionStatus, ConditionType, Reason};
use domain::retry::Class;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use operator::crd::school::{PlacementStatus, School, SchoolStatus};
use operator::kubernetes::condition::merge_conditions;
use operator::kubernetes::object::{add_finalizer, fresh, patch_status, remove_finalizer};
use serde_json::{Value, json};

use crate::{fresh_namespace, school, version};

const OURS: &str = "dailycare.io/school-cleanup";
const THEIRS: &str = "example.com/audit";

async fn prepared() -> (Api<School>, School) {
    let (client, namespace) = fresh_namespace().await;
    let school = school(&client, &namespace, "northside").await;
    (Api::namespaced(client, &namespace), school)
}

async fn by_hand(schools: &Api<School>, patch: Value) -> School {
    schools.patch("northside", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
}

fn status(status: ConditionStatus, previous: Option<&SchoolStatus>) -> SchoolStatus {
    let before = previous.and_then(|status| status.conditions.clone()).unwrap_or_default();
    let ready = Condition::new(ConditionType::Ready, status, Reason::Provisioning, "being made");
    let conditions = merge_conditions(&before, &[ready], 1, Timestamp::now());
    SchoolStatus { observed_generation: Some(1), conditions: Some(conditions), ..SchoolStatus::default() }
}

#[tokio::test]
async fn a_finalizer_is_added_beside_others_and_only_once() {
    let (schools, first) = prepared().await;
    let once = add_finalizer(&schools, &first, OURS).await.unwrap();
    assert_eq!(once.finalizers(), [OURS]);
    let twice = add_finalizer(&schools, &once, OURS).await.unwrap();
    assert_eq!(version(&twice), version(&once));
    let both = add_finalizer(&schools, &twice, THEIRS).await.unwrap();
    assert_eq!(both.finalizers(), [OURS, THEIRS]);
    assert_eq!(remove_finalizer(&schools, &both, OURS).await.unwrap().unwrap().finalizers(), [THEIRS]);
}

#[tokio::test]
async fn finalizers_that_changed_meanwhile_are_a_conflict_and_are_not_lost() {
    let (schools, last) = prepared().await;
    by_hand(&schools, json!({"metadata": {"finalizers": [THEIRS]}})).await;
    let error = add_finalizer(&schools, &last, OURS).await.unwrap_err();
    assert!(error.is_conflict() && error.class() == Class::Contended, "{error:?}");
    let last = add_finalizer(&schools, &schools.get("northside").await.unwrap(), OURS).await.unwrap();
    by_hand(&schools, json!({"metadata": {"finalizers": [OURS]}})).await;
    let error = remove_finalizer(&schools, &last, OURS).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    assert_eq!(schools.get("northside").await.unwrap().finalizers(), [OURS]);
}

#[tokio::test]
async fn any_other_change_meanwhile_does_not_stand_in_the_way_of_a_finalizer() {
    let (schools, last) = prepared().await;
    by_hand(&schools, json!({"metadata": {"labels": {"team": "a"}}})).await;
    assert_eq!(add_finalizer(&schools, &last, OURS).await.unwrap().finalizers(), [OURS]);
}

#[tokio::test]
async fn removing_the_last_finalizer_of_a_deleted_object_lets_it_go_and_is_done_when_it_is_gone() {
    let (schools, last) = prepared().await;
    add_finalizer(&schools, &last, OURS).await.unwrap();
    schools.delete("northside", &DeleteParams::default()).await.unwrap();
    let deleting = schools.get("northside").await.unwrap();
    remove_finalizer(&schools, &deleting, OURS).await.unwrap();
    assert!(schools.get_opt("northside").await.unwrap().is_none());
    assert!(remove_finalizer(&schools, &deleting, OURS).await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_decided_on_an_object_falls_on_its_successor_of_the_same_name() {
    let (client, namespace) = fresh_namespace().await;
    let schools = Api::<School>::namespaced(client.clone(), &namespace);
    let first = school(&client, &namespace, "northside").await;
    schools.delete("northside", &DeleteParams::default()).await.unwrap();
    let second = school(&client, &namespace, "northside").await;
    let held = add_finalizer(&schools, &second, OURS).await.unwrap();

    let (old, new) = (first.uid().unwrap(), second.uid().unwrap());
    assert!(fresh(&schools, "northside", &old).await.unwrap().is_none());
    assert_eq!(fresh(&schools, "northside", &new).await.unwrap().unwrap().uid(), Some(new));
    assert!(patch_status(&schools, &first, &status(ConditionStatus::True, None)).await.unwrap_err().is_conflict());
    let mut same_finalizer = first;
    same_finalizer.metadata.finalizers = Some(vec![OURS.to_owned()]);
    assert!(remove_finalizer(&schools, &same_finalizer, OURS).await.unwrap_err().is_conflict());
    assert_eq!(version(&schools.get("northside").await.unwrap()), version(&held));
}

#[tokio::test]
async fn a_status_is_written_once_and_not_again_while_it_says_the_same() {
    let (schools, last) = prepared().await;
    let written = patch_status(&schools, &last, &status(ConditionStatus::False, last.status.as_ref())).await.unwrap().unwrap();
    assert_eq!(written.status.as_ref().unwrap().observed_generation, Some(1));
    let again = status(ConditionStatus::False, written.status.as_ref());
    assert!(patch_status(&schools, &written, &again).await.unwrap().is_none());
    assert_eq!(version(&schools.get("northside").await.unwrap()), version(&written));
}

#[tokio::test]
async fn a_status_decided_on_an_older_object_is_a_conflict() {
    let (schools, last) = prepared().await;
    by_hand(&schools, json!({"spec": {"state": "Suspended"}})).await;
    let error = patch_status(&schools, &last, &status(ConditionStatus::True, None)).await.unwrap_err();
    assert!(error.is_conflict() && error.class() == Class::Contended, "{error:?}");
}

#[tokio::test]
async fn what_is_no_longer_in_the_status_goes() {
    let (schools, last) = prepared().await;
    let tenant_id = Some("0191f2a0-0000-7000-8000-000000000000".to_owned());
    let more = SchoolStatus { tenant_id, placement: Some(PlacementStatus::default()), ..status(ConditionStatus::True, None) };
    let written = patch_status(&schools, &last, &more).await.unwrap().unwrap();
    let less = SchoolStatus { placement: None, ..written.status.clone().unwrap() };
    let written = patch_status(&schools, &written, &less).await.unwrap().unwrap();
    assert_eq!(written.status, Some(less));
}
