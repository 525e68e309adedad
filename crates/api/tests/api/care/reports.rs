//! Incidents and the daily report.

use serde_json::json;

use super::nursery::{DAY, NOON, Nursery, created, length, refused, texts};

#[tokio::test]
async fn an_incident_is_reported_followed_and_closed() {
    let nursery = Nursery::open().await;
    let (teacher, staff) = nursery.staff("Teacher").await;
    let (guardian, _) = nursery.guardian().await;
    let fall = json!({"child_id": nursery.children[0], "occurred_at": NOON, "kind": "fall", "severity": "minor", "description": "Caiu do baloiço"});
    let incident = teacher.post("/incidents", fall).await;
    assert_eq!((&incident.data()["class_id"], &incident.data()["reported_by"]), (&json!(nursery.class), &json!(staff)));
    let path = format!("/incidents/{}", incident.data()["id"].as_str().unwrap());
    let before = json!({"guardians_notified_at": "2026-05-04T08:00:00Z"});
    refused(&teacher.patch(&path, &incident.etag(), before).await, 422, &[("guardians_notified_at", "order")]);
    refused(&teacher.patch(&path, &incident.etag(), json!({"description": null})).await, 422, &[("description", "type")]);
    refused(&teacher.patch(&path, &incident.etag(), json!({"kind": null})).await, 422, &[("kind", "type")]);
    let closed = teacher.patch(&path, &incident.etag(), json!({"closed_at": "2026-05-04T15:00:00Z"})).await;
    assert_eq!(closed.status, 200);
    assert_eq!(length(teacher.get("/incidents?closed=false").await.data()), 0);
    assert_eq!(length(teacher.get(&format!("/incidents?closed=true&kind=fall&severity=minor&day={DAY}")).await.data()), 1);
    assert_eq!(length(guardian.get("/incidents").await.data()), 1);
}

#[tokio::test]
async fn a_daily_report_holds_the_day_and_nothing_else() {
    let nursery = Nursery::open().await;
    let (guardian, id) = nursery.guardian().await;
    let (teacher, _) = nursery.staff("Teacher").await;
    let medication = nursery.medication(&id).await;
    let child = &nursery.children[0];
    for (kind, fields) in [
        ("meal", json!({"meal": "lunch", "started_at": NOON})),
        ("meal", json!({"meal": "breakfast", "started_at": "2026-05-04T08:30:00Z"})),
        ("nap", json!({"started_at": "2026-05-04T13:00:00Z", "ended_at": "2026-05-04T14:10:30Z"})),
        ("nap", json!({"started_at": "2026-05-04T16:00:00Z", "ended_at": "2026-05-04T16:20:30Z"})),
        ("nap", json!({"started_at": "2026-05-04T17:00:00Z"})),
        ("nap", json!({"started_at": "2026-05-05T13:00:00Z", "ended_at": "2026-05-05T14:00:00Z"})),
        ("nappy", json!({"nappy": "wet", "started_at": NOON})),
        ("play", json!({"title": "Areia", "started_at": NOON})),
        ("observation", json!({"notes": "Para a equipa", "started_at": NOON, "visible_to_guardians": false})),
    ] {
        let mut activity = json!({"child_id": child, "kind": kind});
        activity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        nursery.record(activity).await;
    }
    let dose = json!({"medication_id": medication["id"], "outcome": "given", "administered_at": NOON, "dose_given": "5 ml"});
    created(teacher.post("/medication-administrations", dose).await);
    let bump = json!({"child_id": child, "occurred_at": NOON, "kind": "bump", "severity": "minor", "description": "Na porta"});
    created(teacher.post("/incidents", bump).await);

    let path = format!("/children/{child}/daily-report?date={DAY}");
    let answer = teacher.get(&path).await;
    let report = answer.data();
    assert_eq!(texts(&report["meals"], "meal"), ["breakfast", "lunch"]);
    assert_eq!((length(&report["naps"]), &report["nap_minutes"]), (3, &json!(91)));
    assert_eq!(
        (&report["child"]["full_name"], &report["class"]["name"], &report["date"]),
        (&json!("Ana"), &json!("Girassóis"), &json!(DAY))
    );
    assert_eq!(["nappies", "play", "observations", "medication", "incidents"].map(|part| length(&report[part])), [1; 5]);
    assert_eq!(report["medication"][0]["medication_name"], "Paracetamol");

    let for_guardian = guardian.get(&path).await;
    assert_eq!(["play", "observations", "medication"].map(|part| length(&for_guardian.data()[part])), [1, 0, 1]);
    assert_eq!(guardian.get(&format!("/children/{}/daily-report", nursery.children[1])).await.status, 404);
    // Health records are not for a mere reader.
    let reader = nursery.school.user("ReadOnly").await.get(&path).await;
    assert_eq!((reader.status, reader.data().get("medication"), reader.data().get("incidents")), (200, None, None));
    let today = teacher.get(&format!("/children/{child}/daily-report")).await;
    assert_eq!((today.status, length(&today.data()["meals"])), (200, 0));
    refused(&teacher.get(&format!("/children/{child}/daily-report?dat={DAY}")).await, 422, &[("dat", "invalid")]);

    nursery.school.sql("UPDATE app.settings SET value = 'false' WHERE key = 'reports.visible_to_guardians'").await;
    assert_eq!((guardian.get(&path).await.status, teacher.get(&path).await.status), (403, 200));
}

#[tokio::test]
async fn of_a_day_a_reader_is_told_the_parts_that_its_other_permissions_reach() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    for fields in [
        json!({"kind": "meal", "meal": "lunch"}),
        json!({"kind": "nappy", "nappy": "wet"}),
        json!({"kind": "play", "title": "Areia"}),
        json!({"kind": "observation", "notes": "Contente"}),
    ] {
        let mut activity = json!({"child_id": child, "started_at": NOON});
        activity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        nursery.record(activity).await;
    }
    let path = format!("/children/{child}/daily-report?date={DAY}");
    // Who may read reports alone is told the day; who may read its own alone, nothing of others' children.
    let grants =
        "DELETE FROM app.role_permissions WHERE role_code = 'ReadOnly' AND permission_code IN ('children:read', 'activities:read')";
    for (scope, parts) in [(None, None), (Some("own"), Some(0)), (Some("school"), Some(1))] {
        nursery.school.sql(grants).await;
        if let Some(scope) = scope {
            let grant = format!(
                "INSERT INTO app.role_permissions (role_code, permission_code, scope)
                 SELECT 'ReadOnly', code, '{scope}' FROM unnest(ARRAY['children:read', 'activities:read']) code"
            );
            nursery.school.sql(&grant).await;
        }
        let reader = nursery.school.user("ReadOnly").await.get(&path).await;
        let report = reader.data();
        assert_eq!((&report["date"], report.get("child").is_some()), (&json!(DAY), parts == Some(1)), "{scope:?}: {report}");
        for part in ["nappies", "play", "observations"] {
            assert_eq!(report.get(part).map(length), parts, "{scope:?} {part}");
        }
        assert_eq!(["meals", "naps", "nap_minutes"].map(|part| report.get(part).is_some()), [parts.is_some(); 3], "{scope:?}");
    }
}
