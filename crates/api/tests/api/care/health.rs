//! Health records, authorised medication and its doses.

use api_testing::Client;
use serde_json::{Value, json};
use testing::until;
use uuid::Uuid;

use super::nursery::{DAY, NOON, Nursery, created, length, refused};

#[tokio::test]
async fn health_records_are_kept_within_their_rules() {
    let nursery = Nursery::open().await;
    let (nurse, _) = nursery.staff("HealthStaff").await;
    let child = &nursery.children[0];
    let nuts = |allergen: &str| json!({"child_id": child, "allergen": allergen, "kind": "food", "severity": "mild"});
    let allergy = nurse.post("/allergies", nuts("Amêndoa")).await;
    refused(&nurse.post("/allergies", nuts("AMENDOA")).await, 409, &[("allergen", "taken")]);
    let path = format!("/allergies/{}", allergy.data()["id"].as_str().unwrap());
    let change = json!({"severity": "severe", "action_plan": "Adrenalina"});
    assert_eq!(nurse.patch(&path, &allergy.etag(), change).await.data()["severity"], "severe");
    for (query, count) in [("severity=severe", 1), ("severity=mild", 0), ("kind=insect", 0)] {
        assert_eq!(length(nurse.get(&format!("/allergies?{query}")).await.data()), count, "{query}");
    }
    assert_eq!(length(nurse.get(&format!("/allergies?class_id={}", nursery.class)).await.data()), 1);

    let dose = |fields: Value| {
        let mut dose = json!({"child_id": child, "vaccine": "VASPR"});
        dose.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        dose
    };
    refused(&nurse.post("/vaccinations", dose(json!({}))).await, 422, &[("given_on", "required")]);
    refused(&nurse.post("/vaccinations", dose(json!({"dose_number": 21, "due_on": DAY}))).await, 422, &[("dose_number", "maximum")]);
    created(nurse.post("/vaccinations", dose(json!({"due_on": DAY}))).await);
    refused(&nurse.post("/vaccinations", dose(json!({"given_on": DAY}))).await, 409, &[("dose_number", "taken")]);
    created(nurse.post("/vaccinations", dose(json!({"dose_number": 2, "due_on": "2026-06-01"}))).await);
    created(nurse.post("/vaccinations", dose(json!({"dose_number": 3, "due_on": "2026-01-01", "given_on": "2026-01-02"}))).await);
    assert_eq!(nurse.get("/vaccinations?due_before=2026-05-05").await.data()[0]["dose_number"], 1);
    assert_eq!(length(nurse.get("/vaccinations?due_before=2026-05-04").await.data()), 0);
    let page = nurse.get("/vaccinations?limit=1").await;
    let next = nurse.get(&format!("/vaccinations?limit=1&after={}", page.body["next"].as_str().unwrap())).await;
    assert_eq!([&page.data()[0]["dose_number"], &next.data()[0]["dose_number"]], [3, 1]);
    for nobody in ["ReadOnly", "Teacher"] {
        assert_eq!(nursery.school.user(nobody).await.post("/allergies", nuts("Leite")).await.status, 403);
    }
}

#[tokio::test]
async fn only_a_guardian_of_the_child_authorises_its_medication() {
    let nursery = Nursery::open().await;
    let (_, guardian) = nursery.guardian().await;
    let of = |child: &str, fields: Value| {
        let mut medication = json!({"child_id": child, "name": "Ben-u-ron", "dose": "5 ml", "route": "oral"});
        medication.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        medication
    };
    let signed = json!({"authorised_by": guardian, "authorised_from": DAY, "authorised_until": "2026-05-08"});
    let other = nursery.admin.post("/medications", of(&nursery.children[1], signed.clone())).await;
    refused(&other, 422, &[("authorised_by", "not_guardian")]);
    let half = nursery.admin.post("/medications", of(&nursery.children[0], json!({"authorised_from": DAY}))).await;
    refused(&half, 422, &[("authorised_by", "incomplete")]);
    let reversed = json!({"authorised_by": guardian, "authorised_from": DAY, "authorised_until": "2026-05-01"});
    refused(&nursery.admin.post("/medications", of(&nursery.children[0], reversed)).await, 422, &[("authorised_until", "order")]);

    let open = nursery.admin.post("/medications", of(&nursery.children[0], json!({"times_of_day": ["18:00", "08:05"]}))).await;
    assert_eq!(open.data()["times_of_day"], json!(["18:00", "08:05"]));
    let path = format!("/medications/{}", open.data()["id"].as_str().unwrap());
    let medication = nursery.admin.patch(&path, &open.etag(), signed).await;
    assert_eq!(medication.status, 200, "{:?}", medication.fields());
    for (query, count) in [("authorised_on=2026-05-08", 1), ("authorised_on=2026-05-09", 0), ("ends_before=2026-05-09", 1)] {
        assert_eq!(length(nursery.admin.get(&format!("/medications?{query}")).await.data()), count, "{query}");
    }
    let withdrawn = json!({"authorised_by": null, "authorised_from": null, "authorised_until": null});
    assert_eq!(nursery.admin.patch(&path, &medication.etag(), withdrawn).await.status, 200);
}

#[tokio::test]
async fn a_dose_is_logged_by_staff_under_an_authorisation_and_once() {
    let nursery = Nursery::open().await;
    let (_, guardian) = nursery.guardian().await;
    let (teacher, staff) = nursery.staff("Teacher").await;
    let medication = nursery.medication(&guardian).await;
    let given = json!({"medication_id": medication["id"], "outcome": "given", "administered_at": NOON, "dose_given": "5 ml"});
    let with = |fields: Value| {
        let mut dose = given.clone();
        dose.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        dose
    };
    const PATH: &str = "/medication-administrations";
    for (dose, fields) in [
        (with(json!({"administered_at": "2026-05-05T12:00:00Z"})), &[("administered_at", "not_authorised")][..]),
        (with(json!({"administered_at": "2100-05-05T12:00:00Z"})), &[("administered_at", "future")]),
        (with(json!({"dose_given": null})), &[("dose_given", "required")]),
        (with(json!({"outcome": "refused"})), &[("dose_given", "not_allowed")]),
        (with(json!({"medication_id": Uuid::nil()})), &[("medication_id", "not_found")]),
        (with(json!({"administered_by": Uuid::nil()})), &[("administered_by", "not_found")]),
        (with(json!({"witnessed_by": staff})), &[("witnessed_by", "distinct")]),
        (with(json!({"child_id": nursery.children[0]})), &[("child_id", "unknown")]),
    ] {
        refused(&teacher.post(PATH, dose).await, 422, fields);
    }
    // Who is not of the staff says who gave it.
    refused(&nursery.admin.post(PATH, given.clone()).await, 422, &[("administered_by", "required")]);
    let dose = teacher.post_keyed(PATH, "dose-1", given.clone()).await;
    let logged = created(dose);
    assert_eq!((&logged["child_id"], &logged["administered_by"]), (&json!(nursery.children[0]), &json!(staff)));
    assert_eq!(logged["medication_name"], "Paracetamol");
    // The body names the medication alone, and the record names its child.
    let named =
        format!("SELECT count(*) FROM app.access_audit WHERE success AND resource = '/api/v1{PATH}?child_id={}'", nursery.children[0]);
    until("the dose is recorded with its child", async || nursery.school.scalar::<i64>(&named).await == 1).await;
    assert_eq!(created(teacher.post_keyed(PATH, "dose-1", given.clone()).await), logged);
    // Without a key the same dose is refused too.
    refused(&nursery.admin.post(PATH, with(json!({"administered_by": staff}))).await, 409, &[("administered_at", "taken")]);
    assert_eq!(length(nursery.admin.get(&format!("{PATH}?outcome=given&day={DAY}")).await.data()), 1);
    a_second_dose_within_half_an_hour_is_meant(&nursery, &teacher, &with).await;
    let missed = json!({"medication_id": medication["id"], "outcome": "missed", "administered_at": "2026-05-05T12:00:00Z"});
    created(teacher.post(PATH, missed).await);
}

/// Of two people who give the same dose within minutes, the second is told; whoever means it says so, and it is logged.
async fn a_second_dose_within_half_an_hour_is_meant(nursery: &Nursery, teacher: &Client, with: &dyn Fn(Value) -> Value) {
    let at = |minutes: &str| with(json!({"administered_at": format!("2026-05-04T{minutes}:00+01:00")}));
    for near in ["11:31", "11:59", "12:00", "12:30"] {
        let code = if near == "12:00" { "taken" } else { "recent" };
        refused(&teacher.post("/medication-administrations", at(near)).await, 409, &[("administered_at", code)]);
    }
    let mut refusal = at("12:05");
    refusal["outcome"] = json!("refused");
    refusal["dose_given"] = Value::Null;
    created(teacher.post("/medication-administrations", refusal).await);
    let mut again = at("12:00");
    again["confirm_repeat"] = json!(true);
    refused(&teacher.post("/medication-administrations", again.clone()).await, 409, &[("administered_at", "taken")]);
    again["administered_at"] = json!("2026-05-04T12:20:00+01:00");
    created(teacher.post("/medication-administrations", again).await);
    created(teacher.post("/medication-administrations", at("12:51")).await);
    assert_eq!(length(nursery.admin.get(&format!("/medication-administrations?outcome=given&day={DAY}")).await.data()), 3);
}

#[tokio::test]
async fn the_log_of_doses_is_evidence() {
    let nursery = Nursery::open().await;
    let (_, guardian) = nursery.guardian().await;
    let (teacher, _) = nursery.staff("Teacher").await;
    let (nurse, witness) = nursery.staff("HealthStaff").await;
    let medication = nursery.medication(&guardian).await;
    nursery.school.sql("UPDATE app.settings SET value = 'true' WHERE key = 'medication.require_witness'").await;
    let mut given = json!({"medication_id": medication["id"], "outcome": "given", "administered_at": NOON, "dose_given": "5 ml"});
    refused(&teacher.post("/medication-administrations", given.clone()).await, 422, &[("witnessed_by", "required")]);
    given["witnessed_by"] = json!(witness);
    let dose = teacher.post("/medication-administrations", given).await;
    let path = format!("/medication-administrations/{}", dose.data()["id"].as_str().unwrap());
    refused(&nurse.patch(&path, &dose.etag(), json!({"dose_given": "10 ml"})).await, 422, &[("dose_given", "unknown")]);
    let noted = nurse.patch(&path, &dose.etag(), json!({"notes": "Cuspiu metade"})).await;
    assert_eq!((noted.status, &noted.data()["notes"]), (200, &json!("Cuspiu metade")));
    assert_eq!(teacher.delete(&path, &noted.etag()).await.status, 403);
    assert_eq!(nurse.delete(&path, &noted.etag()).await.status, 204);
    assert_eq!(nurse.get(&path).await.status, 404);
}
