//! What guardians read and write of their own children, and that they learn nothing about others.

use serde_json::{Value, json};
use uuid::Uuid;

use super::nursery::{DAY, NOON, Nursery, created, length, refused, texts};

#[tokio::test]
async fn guardians_see_what_is_visible_to_them_of_their_own_children() {
    let nursery = Nursery::open().await;
    let (guardian, _) = nursery.guardian().await;
    let mut naps = Vec::new();
    for (child, visible) in [(0, true), (0, false), (1, true)] {
        let nap = json!({"child_id": nursery.children[child], "kind": "nap", "started_at": NOON, "visible_to_guardians": visible});
        naps.push(nursery.record(nap).await["id"].as_str().unwrap().to_owned());
        let allergy =
            json!({"child_id": nursery.children[child], "allergen": format!("Noz {visible}"), "kind": "food", "severity": "severe"});
        created(nursery.admin.post("/allergies", allergy).await);
    }
    let found = guardian.get("/activities").await;
    assert_eq!(texts(found.data(), "id"), [&naps[0]]);
    assert_eq!(guardian.get(&format!("/activities/{}", naps[1])).await.status, 404);
    assert_eq!(texts(guardian.get("/allergies").await.data(), "allergen"), ["Noz false", "Noz true"]);
    assert_eq!(length(nursery.admin.get("/allergies").await.data()), 3);
    let nap = json!({"child_id": nursery.children[0], "kind": "nap", "started_at": NOON});
    assert_eq!(guardian.post("/activities", nap).await.status, 403);
}

#[tokio::test]
async fn who_writes_about_their_own_children_learns_nothing_about_others() {
    let nursery = Nursery::open().await;
    let grants = ["activities:create", "health:create", "health:administer", "children:update", "incidents:create"];
    let rows = grants.map(|grant| format!("('Guardian', '{grant}', 'own')")).join(", ");
    nursery.school.sql(&format!("INSERT INTO app.role_permissions (role_code, permission_code, scope) VALUES {rows}")).await;
    let ((guardian, herself), staff, stranger) = (nursery.guardian().await, nursery.staff("Teacher").await.1, Uuid::new_v4());
    let (own, other, unknown) = (json!(nursery.children[0]), json!(nursery.children[1]), json!(Uuid::new_v4()));
    nursery.school.sql(&format!("INSERT INTO app.guardians (id, full_name) VALUES ('{stranger}', 'Zé')")).await;
    let nuts = |child: &Value| json!({"child_id": child, "allergen": "Noz", "kind": "food", "severity": "mild"});
    created(nursery.admin.post("/allergies", nuts(&other)).await);
    let theirs = json!({"child_id": other, "name": "Ben-u-ron", "dose": "5 ml", "route": "oral"});
    let theirs = created(nursery.admin.post("/medications", theirs).await)["id"].clone();
    let hers = nursery.medication(&herself).await["id"].clone();

    // What another family's child or medicine has already (an allergy, a place in a class, no authorisation) is not told.
    type Body<'a> = &'a dyn Fn(&Value) -> Value;
    let stay = |child: &Value| json!({"child_id": child, "class_id": nursery.class, "starts_on": "2026-05-01"});
    let nap = |child: &Value| json!({"child_id": child, "kind": "nap", "started_at": NOON, "ended_at": "2026-05-04T10:00:00+01:00"});
    let fall = |child: &Value| json!({"child_id": child, "kind": "fall", "severity": "minor", "occurred_at": NOON, "description": "Caiu"});
    let dose = |of: &Value| json!({"medication_id": of, "outcome": "given", "administered_at": "2026-05-05T12:00:00Z", "dose_given": "5 ml", "administered_by": staff});
    let bodies: [(&str, &str, &Value, Body); 5] = [
        ("/allergies", "child_id", &other, &nuts),
        ("/enrolments", "child_id", &other, &stay),
        ("/activities", "child_id", &other, &nap),
        ("/incidents", "child_id", &other, &fall),
        ("/medication-administrations", "medication_id", &theirs, &dose),
    ];
    for (path, field, theirs, body) in bodies {
        for named in [theirs, &unknown] {
            refused(&guardian.post(path, body(named)).await, 422, &[(field, "not_found")]);
        }
    }
    let signed = |by: &str| json!({"child_id": own, "name": "Xarope", "dose": "5 ml", "route": "oral", "authorised_by": by, "authorised_from": DAY, "authorised_until": DAY});
    for by in [stranger, Uuid::new_v4()] {
        refused(&guardian.post("/medications", signed(&by.to_string())).await, 422, &[("authorised_by", "not_found")]);
    }
    created(guardian.post("/medications", signed(&herself)).await);
    created(guardian.post("/allergies", nuts(&own)).await);
    refused(&guardian.post("/enrolments", stay(&own)).await, 409, &[("starts_on", "overlap")]);
    refused(&guardian.post("/medication-administrations", dose(&hers)).await, 422, &[("administered_at", "not_authorised")]);
}

#[tokio::test]
async fn a_key_shows_nobody_a_record_that_is_not_theirs_any_more() {
    let nursery = Nursery::open().await;
    nursery
        .school
        .sql("INSERT INTO app.role_permissions (role_code, permission_code, scope) VALUES ('Guardian', 'activities:create', 'own')")
        .await;
    let ((guardian, _), (teacher, _)) = (nursery.guardian().await, nursery.staff("Teacher").await);
    let nap = json!({"child_id": nursery.children[0], "kind": "nap", "started_at": NOON, "notes": "canary"});
    let (hers, his) =
        (guardian.post_keyed("/activities", "k", nap.clone()).await, teacher.post_keyed("/activities", "k", nap.clone()).await);
    assert_eq!((hers.status, his.status), (201, 201), "{} {}", hers.body, his.body);
    let again = guardian.post_keyed("/activities", "k", nap.clone()).await;
    assert_eq!((again.status, again.id()), (201, hers.id()));

    // She is not the child's guardian any more, and he keeps the permission over his own alone.
    nursery.school.sql("DELETE FROM app.child_guardians").await;
    let path = "/roles/Teacher/permissions";
    let mut grants = nursery.admin.get(path).await.data().clone();
    grants.as_array_mut().unwrap().iter_mut().for_each(|grant| grant["scope"] = json!("own"));
    assert_eq!(nursery.admin.put(path, Some("*"), grants).await.status, 200);
    for former in [&guardian, &teacher] {
        assert_eq!(former.post_keyed("/activities", "k", nap.clone()).await.code(), "NOT_FOUND");
    }
}
