//! Activities: their kinds, their classes, and entries for a whole class at once.

use serde_json::{Value, json};
use uuid::Uuid;

use super::nursery::{DAY, NOON, Nursery, created, length, refused, texts};

#[tokio::test]
async fn an_activity_knows_the_class_of_its_day_and_is_found_by_it() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    let meal = nursery.record(json!({"child_id": child, "kind": "meal", "meal": "lunch", "meal_eaten": "most", "started_at": NOON})).await;
    assert_eq!((&meal["class_id"], &meal["visible_to_guardians"]), (&json!(nursery.class), &json!(true)));
    let early = json!({"child_id": child, "kind": "nappy", "nappy": "wet", "started_at": "2025-08-31T10:00:00Z"});
    assert_eq!(nursery.record(early).await["class_id"], Value::Null);
    // Half past midnight in Lisbon is the day before in UTC.
    nursery.record(json!({"child_id": child, "kind": "nap", "nap_quality": "calm", "started_at": "2026-05-03T23:30:00Z"})).await;
    let class = &nursery.class;
    for (query, kinds) in [
        (format!("day={DAY}"), &["meal", "nap"][..]),
        (format!("day={DAY}&kind=nap"), &["nap"]),
        (format!("class_id={class}&from=2026-05-04T00:00:00Z"), &["meal"]),
        ("until=2026-05-04T00:00:00Z".to_owned(), &["nap", "nappy"]),
        (format!("child_id={}", nursery.children[1]), &[]),
    ] {
        let found = nursery.admin.get(&format!("/activities?{query}")).await;
        assert_eq!(texts(found.data(), "kind"), kinds, "{query}");
    }
    let first = nursery.admin.get("/activities?limit=2").await;
    let next = first.body["next"].as_str().unwrap();
    let second = nursery.admin.get(&format!("/activities?limit=2&after={next}")).await;
    assert_eq!((texts(second.data(), "kind"), &second.body["next"]), (vec!["nappy"], &Value::Null));
}

#[tokio::test]
async fn what_contradicts_an_activitys_kind_is_named() {
    let nursery = Nursery::open().await;
    let of = |fields: Value| {
        let mut activity = json!({"child_id": nursery.children[0], "started_at": NOON});
        activity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        activity
    };
    for (activity, fields) in [
        (of(json!({"kind": "meal"})), &[("meal", "required")][..]),
        (of(json!({"kind": "meal", "meal": "lunch", "bottle_ml": 100})), &[("bottle_ml", "not_allowed")]),
        (of(json!({"kind": "nappy"})), &[("nappy", "required")]),
        (of(json!({"kind": "play"})), &[("title", "required")]),
        (of(json!({"kind": "observation"})), &[("notes", "required")]),
        (of(json!({"kind": "nap", "meal": "lunch", "nappy": "wet"})), &[("meal", "not_allowed"), ("nappy", "not_allowed")]),
        (of(json!({"kind": "nap", "ended_at": "2026-05-04T10:00:00Z"})), &[("ended_at", "order")]),
        (of(json!({"kind": "nap", "ended_at": "2026-05-06T10:00:00Z"})), &[("ended_at", "range")]),
        (of(json!({"kind": "nap", "details": {"x": "y".repeat(8200)}})), &[("details", "length")]),
        (of(json!({"kind": "nap", "class_id": Uuid::nil()})), &[("class_id", "not_found")]),
        (of(json!({"kind": "nap", "started_at": null})), &[("started_at", "type")]),
    ] {
        refused(&nursery.admin.post("/activities", activity).await, 422, fields);
    }
    let nap = nursery.admin.post("/activities", of(json!({"kind": "nap"}))).await;
    let path = format!("/activities/{}", nap.data()["id"].as_str().unwrap());
    refused(&nursery.admin.patch(&path, &nap.etag(), json!({"meal": "lunch"})).await, 422, &[("meal", "not_allowed")]);
    let ended = nursery.admin.patch(&path, &nap.etag(), json!({"ended_at": "2026-05-04T13:00:00+01:00", "nap_quality": "calm"})).await;
    assert_eq!((ended.status, &ended.data()["nap_quality"]), (200, &json!("calm")));
    assert_eq!(nursery.admin.delete(&path, &nap.etag()).await.status, 412);
    assert_eq!(nursery.admin.delete(&path, &ended.etag()).await.status, 204);
    assert_eq!(nursery.admin.get(&path).await.status, 404);
}

#[tokio::test]
async fn moments_that_no_calendar_has_are_refused_and_no_fault() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    for query in ["day=-262143-01-01", "from=-262143-01-01T00:00:00Z", "until=-262143-01-01T00:00:00Z", "day=2026-02-30", "from=today"] {
        assert_eq!(nursery.admin.get(&format!("/activities?{query}")).await.status, 422, "{query}");
    }
    for date in ["-262143-01-01", "0000-00-00"] {
        assert_eq!(nursery.admin.get(&format!("/children/{child}/daily-report?date={date}")).await.status, 422, "{date}");
    }
    for started_at in ["0000-01-01T00:00:00Z", "2026-05-04T12:00:00+23:59", "2026-05-04T25:00:00Z"] {
        let nap = json!({"child_id": child, "kind": "nap", "started_at": started_at});
        assert_eq!(nursery.admin.post("/activities", nap.clone()).await.status, 422, "{started_at}");
        let path = format!("/classes/{}/activities", nursery.class);
        let nap = json!({"kind": "nap", "started_at": started_at});
        assert_eq!(nursery.admin.post(&path, nap).await.status, 422, "{started_at}");
    }
}

#[tokio::test]
async fn a_whole_class_is_recorded_in_one_entry_and_only_once() {
    let nursery = Nursery::open().await;
    let (teacher, _) = nursery.staff("Teacher").await;
    let path = format!("/classes/{}/activities", nursery.class);
    let lunch = json!({"kind": "meal", "meal": "lunch", "meal_eaten": "all", "started_at": NOON, "except": [nursery.children[1]],
        "overrides": [{"child_id": nursery.children[2], "meal_eaten": "little", "notes": "Sem fome", "visible_to_guardians": false}]});
    let first = teacher.post_keyed(&path, "lunch-1", lunch.clone()).await;
    assert_eq!(first.status, 201, "{:?}", first.fields());
    assert_eq!(texts(first.data(), "child_id"), [&nursery.children[0], &nursery.children[2]]);
    assert_eq!(texts(first.data(), "meal_eaten"), ["all", "little"]);
    let [ana, carla] = [&first.data()[0], &first.data()[1]];
    assert_eq!((&ana["class_id"], &ana["details"], &ana["batch_id"]), (&json!(nursery.class), &json!({}), &carla["batch_id"]));
    assert_eq!((&ana["created_by"], &ana["visible_to_guardians"]), (&json!(teacher.user), &json!(true)));
    assert_eq!((&carla["notes"], &carla["visible_to_guardians"]), (&json!("Sem fome"), &json!(false)));
    let again = teacher.post_keyed(&path, "lunch-1", lunch.clone()).await;
    assert_eq!((again.status, again.data()), (201, first.data()));
    let batch = ana["batch_id"].as_str().unwrap();
    assert_eq!(length(teacher.get(&format!("/activities?batch_id={batch}")).await.data()), 2);
    assert_eq!(length(teacher.get("/activities").await.data()), 2);
    let other = teacher.post_keyed(&path, "lunch-1", json!({"kind": "meal", "meal": "dinner", "started_at": NOON})).await;
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn an_entry_for_a_class_is_made_whole_or_not_at_all() {
    let nursery = Nursery::open().await;
    let path = format!("/classes/{}/activities", nursery.class);
    let stranger = Uuid::new_v4();
    let child = &nursery.children[0];
    for (entry, fields) in [
        (json!({"children": [child, stranger]}), &[("children.1", "not_found")][..]),
        (json!({"except": [stranger]}), &[("except.0", "not_found")]),
        (json!({"overrides": [{"child_id": stranger}]}), &[("overrides.0.child_id", "not_found")]),
        (json!({"except": nursery.children}), &[("children", "too_few")]),
        (json!({"started_at": "2025-08-31T10:00:00Z"}), &[("children", "too_few")]),
        (json!({"overrides": [{"child_id": child, "meal": "lunch"}]}), &[("overrides.0.meal", "not_allowed")]),
        (json!({"overrides": [{"child_id": child}, {"child_id": child}]}), &[("overrides.1.child_id", "repeated")]),
        (json!({"overrides": [{"child_id": child, "started_at": "2026-05-05T12:00:00Z"}]}), &[("overrides.0.started_at", "range")]),
        (json!({"overrides": [{"child_id": child, "ended_at": "2026-05-04T08:00:00Z"}]}), &[("ended_at", "order")]),
        (json!({"overrides": [{"child_id": child, "kind": "play"}]}), &[("overrides.0.kind", "unknown")]),
        (json!({"child_id": child}), &[("child_id", "unknown")]),
        (json!({"children": null}), &[("children", "type")]),
    ] {
        let mut nap = json!({"kind": "nap", "started_at": NOON});
        nap.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
        refused(&nursery.admin.post(&path, nap).await, 422, fields);
    }
    let nap = json!({"kind": "nap", "started_at": NOON});
    assert_eq!(nursery.admin.post(&format!("/classes/{stranger}/activities"), nap.clone()).await.status, 404);
    assert_eq!(nursery.school.user("ReadOnly").await.post(&path, nap.clone()).await.status, 403);
    nursery
        .school
        .sql("UPDATE app.role_permissions SET scope = 'own' WHERE permission_code = 'activities:create' AND role_code = 'Teacher'")
        .await;
    assert_eq!(nursery.school.user("Teacher").await.post(&path, nap).await.status, 403);
    assert_eq!(length(nursery.admin.get("/activities").await.data()), 0);
    let own = json!({"kind": "nap", "started_at": NOON, "overrides": [{"child_id": child, "started_at": "2026-05-04T12:10:00+01:00"}]});
    let recorded = created(nursery.admin.post(&path, own).await);
    assert_eq!(texts(&recorded, "started_at"), ["2026-05-04T11:10:00Z", "2026-05-04T11:00:00Z", "2026-05-04T11:00:00Z"]);
}

#[tokio::test]
async fn a_class_of_more_than_two_hundred_is_entered_in_parts() {
    let nursery = Nursery::open().await;
    let class = &nursery.class;
    let sql = format!(
        "WITH made AS (INSERT INTO app.children (full_name) SELECT 'Zé ' || n FROM generate_series(1, 198) n RETURNING id)
         INSERT INTO app.enrolments (child_id, class_id, starts_on) SELECT id, '{class}', '2025-09-01' FROM made"
    );
    nursery.school.sql(&sql).await;
    let path = format!("/classes/{class}/activities");
    let walk = json!({"kind": "play", "title": "Passeio", "started_at": NOON});
    refused(&nursery.admin.post(&path, walk.clone()).await, 422, &[("children", "too_many")]);
    let mut part = walk;
    part["except"] = json!([nursery.children[0]]);
    assert_eq!(length(&created(nursery.admin.post(&path, part).await)), 200);
}

#[tokio::test]
async fn what_happened_did_not_happen_in_the_future() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    let ahead = |hours| (chrono::Utc::now() + chrono::TimeDelta::hours(hours)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let nap = |from: String| json!({"child_id": child, "kind": "nap", "started_at": from});
    for far in [ahead(48), "2062-05-04T12:00:00Z".to_owned()] {
        refused(&nursery.admin.post("/activities", nap(far.clone())).await, 422, &[("started_at", "future")]);
        let fall = json!({"child_id": child, "kind": "fall", "severity": "minor", "occurred_at": far, "description": "Caiu"});
        refused(&nursery.admin.post("/incidents", fall).await, 422, &[("occurred_at", "future")]);
    }
    let entered = created(nursery.admin.post("/activities", nap(ahead(1))).await);
    let path = format!("/activities/{}", entered["id"].as_str().unwrap());
    refused(&nursery.admin.patch(&path, "*", json!({"ended_at": ahead(48)})).await, 422, &[("ended_at", "future")]);
    let entry = |more: Value| {
        let mut entry = json!({"kind": "nap", "started_at": chrono::Utc::now()});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let class = format!("/classes/{}/activities", nursery.class);
    refused(&nursery.admin.post(&class, entry(json!({"ended_at": ahead(48)}))).await, 422, &[("ended_at", "future")]);
    let one = json!({"overrides": [{"child_id": child, "ended_at": ahead(48)}]});
    refused(&nursery.admin.post(&class, entry(one)).await, 422, &[("overrides.0.ended_at", "future")]);
    let fall = json!({"child_id": child, "kind": "fall", "severity": "minor", "occurred_at": ahead(-1), "description": "Caiu"});
    let incident = format!("/incidents/{}", created(nursery.admin.post("/incidents", fall).await)["id"].as_str().unwrap());
    for field in ["closed_at", "guardians_notified_at"] {
        refused(&nursery.admin.patch(&incident, "*", json!({ field: ahead(1) })).await, 422, &[(field, "future")]);
    }
}
